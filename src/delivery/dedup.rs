//! Two spellings of one place, such as a channel's name and its id: a request that concerns both is told there once. Pure.

use std::collections::BTreeSet;

use crate::config::recipient::Recipient;
use crate::delivery::record::Record;

/// Of the `wanted` recipients one for each place: the one that has its message, or else the first. `id_of` tells the channel's or
/// user's id of a recipient, where it is known; those without are places of their own.
pub(crate) fn one_each<'a>(
    wanted: impl IntoIterator<Item = &'a String>,
    record: &Record,
    id_of: impl Fn(&str) -> Option<String>,
) -> Vec<String> {
    let told = record
        .deliveries
        .iter()
        .flat_map(|(key, delivery)| [id_of(key), delivery.message.as_ref().map(|message| message.channel.clone())]);
    let mut places: BTreeSet<String> = told.flatten().collect();
    let is_new =
        |key: &&String| record.deliveries.contains_key(*key) || id_of(key.as_str()).is_none_or(|id| places.insert(id));
    wanted.into_iter().filter(is_new).cloned().collect()
}

/// The id that a recipient is written with, if it is.
pub(crate) fn written_id(recipient: &Recipient) -> Option<&str> {
    match recipient {
        Recipient::ChannelId(id) | Recipient::UserId(id) | Recipient::DirectMessage(id) => Some(id),
        Recipient::ChannelName(_) | Recipient::Email(_) => None,
    }
}

/// Whether some of these recipients are written by name or address and others by id, so that two may be one.
pub(crate) fn are_mixed<'a>(recipients: impl IntoIterator<Item = &'a Recipient>) -> bool {
    let mut forms = recipients.into_iter().map(|recipient| written_id(recipient).is_some());
    forms.next().is_some_and(|first| forms.any(|other| other != first))
}

#[cfg(test)]
mod tests {
    use crate::delivery::dedup::*;
    use crate::delivery::record::Delivery;
    use crate::slack::MessageRef;

    fn id_of(key: &str) -> Option<String> {
        match key {
            "#dba" | "C1" => Some("C1".to_owned()),
            "bob@example.com" | "U1" => Some("U1".to_owned()),
            _ => None,
        }
    }

    fn kept(wanted: &[&str], record: &Record) -> Vec<String> {
        let wanted: Vec<String> = wanted.iter().map(|key| (*key).to_owned()).collect();
        one_each(&wanted, record, id_of)
    }

    #[test]
    fn of_two_spellings_the_first_is_told() {
        let record = Record::default();
        assert_eq!(kept(&["#dba", "#ops", "C1", "U1", "bob@example.com"], &record), ["#dba", "#ops", "U1"]);
    }

    #[test]
    fn what_is_told_under_one_spelling_is_not_told_under_the_other() {
        let mut record = Record::default();
        record.deliveries.insert("C1".to_owned(), Delivery::default());
        assert_eq!(kept(&["#dba", "C1"], &record), ["C1"]);
        let message = Some(MessageRef { channel: "C1".to_owned(), ts: "1.5".to_owned() });
        let mut by_another_program = Record::default();
        by_another_program.deliveries.insert("x".to_owned(), Delivery { message, ..Delivery::default() });
        assert_eq!(kept(&["#dba"], &by_another_program), [] as [&str; 0]);
    }

    #[test]
    fn names_alone_or_ids_alone_are_never_one() {
        let parse = |texts: &[&str]| texts.iter().filter_map(|text| Recipient::parse(text)).collect::<Vec<_>>();
        assert!(!are_mixed(&parse(&["dba", "ops", "bob@example.com"])));
        assert!(!are_mixed(&parse(&["C024BE91L", "U024BE91L"])));
        assert!(!are_mixed(&[]));
        assert!(are_mixed(&parse(&["dba", "C024BE91L"])));
    }
}
