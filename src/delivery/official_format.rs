//! The official plugin's list of posted messages: `channel/ts` items, comma-joined.
//!
//! Newer releases may write each item as base64 of JSON instead; both forms are read, the first is written, because an
//! older plugin that reads the second sees no messages at all.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::slack::MessageRef;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Encoded {
    channel_id: String,
    message_id: String,
}

/// The messages in the list; items of neither form are skipped, as the official plugin does.
pub(crate) fn decode(list: &str) -> Vec<MessageRef> {
    list.split(',').filter_map(decode_item).collect()
}

fn decode_item(item: &str) -> Option<MessageRef> {
    let encoded = STANDARD.decode(item).ok().and_then(|json| serde_json::from_slice::<Encoded>(&json).ok());
    if let Some(Encoded { channel_id, message_id }) = encoded {
        return Some(MessageRef { channel: channel_id, ts: message_id });
    }
    let (channel, ts) = item.split_once('/')?;
    let whole = !channel.is_empty() && !ts.is_empty() && !ts.contains('/');
    whole.then(|| MessageRef { channel: channel.to_owned(), ts: ts.to_owned() })
}

/// The list with those of `messages` added that it lacks. What is there stays as it is, to the letter: the official
/// plugin compares it with what it would write itself.
pub(crate) fn append<'a>(list: &str, messages: impl Iterator<Item = &'a MessageRef>) -> String {
    let known = decode(list);
    let mut out = list.to_owned();
    for message in messages.filter(|message| !known.contains(message)) {
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(&message.to_string());
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::delivery::official_format::*;

    fn message(channel: &str, ts: &str) -> MessageRef {
        MessageRef { channel: channel.to_owned(), ts: ts.to_owned() }
    }

    #[test]
    fn both_forms_are_read_and_anything_else_is_skipped() {
        let encoded = STANDARD.encode(r#"{"channelId":"C2","messageId":"2.5"}"#);
        let list = format!("C1/1.5,{encoded},,x,a/b/c");
        assert_eq!(decode(&list), [message("C1", "1.5"), message("C2", "2.5")]);
    }

    #[test]
    fn appending_keeps_what_is_there_to_the_letter_and_repeats_nothing() {
        let list = append("C1/1.5,odd", [message("C1", "1.5"), message("D2", "2.5")].iter());
        assert_eq!(list, "C1/1.5,odd,D2/2.5");
        assert_eq!(append("", std::iter::empty()), "");
    }
}
