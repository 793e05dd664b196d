//! S1: of one request there is at most one living message in each place, and at most one reply for each review.

use std::collections::BTreeMap;

use super::Violation;
use crate::exceptions;
use crate::history::{Happening, History};
use crate::ledger::{self, Held};

pub fn check(history: &History) -> Vec<Violation> {
    let ledger = ledger::of(history);
    let mut same: BTreeMap<_, Vec<&Held>> = BTreeMap::new();
    for held in ledger.values() {
        let posted = &held.posted;
        same.entry((posted.request, posted.place, posted.app, posted.reply.clone().map(|reply| format!("{reply:?}"))))
            .or_default()
            .push(held);
    }
    let mut violations = Vec::new();
    for ((request, place, _, _), mut held) in same {
        held.sort_by_key(|held| held.at);
        for (index, second) in held.iter().enumerate() {
            let first = held[..index].iter().find(|first| first.deleted.is_none_or(|(at, _)| at > second.at));
            let Some(first) = first else { continue };
            if exceptions::allows(history, first, second).is_none() && !replaces(history, second) {
                let what = format!(
                    "{} and {} are both there in place {place}, {:?}",
                    first.posted.message, second.posted.message, second.posted.reply
                );
                violations.push(Violation { property: "S1", at: second.at, request: Some(request), what });
            }
        }
    }
    violations
}

/// Whether the second message tells the outcome where the first takes neither updates nor replies.
fn replaces(history: &History, second: &Held) -> bool {
    history.entries.iter().any(|entry| match &entry.what {
        Happening::Stored { request, after, .. } => {
            *request == second.posted.request
                && entry.at <= second.at
                && after.record.deliveries.values().any(|one| one.anew)
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Author;
    use crate::properties::testing::{history, message, post, posted};

    #[test]
    fn it_fires_for_two_messages_in_one_place() {
        assert_eq!(check(&history(vec![(1, posted("1", 1)), (2, posted("2", 2))])).len(), 1);
    }

    #[test]
    fn it_does_not_fire_once_the_first_is_gone_or_where_its_effect_came_too_late() {
        let deleted = Happening::Deleted { message: message("1"), by: Author::Person };
        assert!(check(&history(vec![(1, posted("1", 1)), (2, deleted), (3, posted("2", 3))])).is_empty());
        let late = Happening::Posted(crate::history::Posted { answered: false, ..post("2", 1) });
        assert!(check(&history(vec![(1, posted("1", 1)), (60_000, late)])).is_empty());
    }
}
