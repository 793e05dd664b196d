//! Methods that every client library still has and Slack answers no more (Slack docs: `method_deprecated`; changelog 2020-01, deprecating
//! antecedents to the Conversations API; 2021-10, `rtm.start` to stop; 2024-04, a better way to upload files).

use crate::slack::refusal::Refusal;

const OF_CHANNELS: &str =
    "archive create history info invite join kick leave list mark rename replies setPurpose setTopic unarchive";
const OF_GROUPS: &str = "archive close create createChild history info invite kick leave list mark open rename replies setPurpose \
                         setTopic unarchive";
const OF_MESSAGES: &str = "close history list mark open replies";

/// What became methods of `conversations.*`, by family.
const FAMILIES: [(&str, &str); 4] =
    [("channels", OF_CHANNELS), ("groups", OF_GROUPS), ("im", OF_MESSAGES), ("mpim", OF_MESSAGES)];

/// Answered without a word on what to call instead.
const OTHERS: [&str; 2] = ["files.upload", "rtm.start"];

/// `method_deprecated`, if the method is one of these.
pub(in crate::slack) fn refuse(name: &str) -> Option<Refusal> {
    if OTHERS.contains(&name) {
        return Some(Refusal::new("method_deprecated"));
    }
    let (family, method) = name.split_once('.')?;
    let (_, methods) = FAMILIES.iter().find(|(known, _)| *known == family)?;
    methods.split(' ').find(|known| *known == method)?;
    let instead = match method {
        "list" => "conversations.list or users.conversations".to_owned(),
        "createChild" => "conversations.create".to_owned(),
        other => format!("conversations.{other}"),
    };
    let page = "https://api.slack.com/changelog/2020-01-deprecating-antecedents-to-the-conversations-api";
    let message = format!("[ERROR] This method is retired; {instead} took its place: {page}");
    Some(Refusal::new("method_deprecated").message(message))
}
