//! Legacy attachments as Slack accepts them: pure checks (Slack docs: secondary message attachments, table block).

use serde_json::Value;

use super::blocks::{self, Refused, Surface};

const MOST: usize = 100;

/// Why attachments are refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// `too_many_attachments`.
    TooMany,
    /// `invalid_attachments`: something else than objects with lists of blocks.
    Shape,
    /// What is wrong with their blocks, or with the tables of the whole message.
    Blocks(Refused),
}

/// Checks the attachments of a message that has these blocks.
pub(super) fn check(attachments: &[Value], blocks: &[Value]) -> Result<(), Unfit> {
    if attachments.len() > MOST {
        return Err(Unfit::TooMany);
    }
    let mut tables = blocks::tables(blocks);
    for (index, attachment) in attachments.iter().enumerate() {
        let list = match attachment.as_object().ok_or(Unfit::Shape)?.get("blocks") {
            None | Some(Value::Null) => continue,
            Some(list) => list.as_array().ok_or(Unfit::Shape)?,
        };
        let pointer = format!("/attachments/{index}/blocks");
        blocks::check_under(list, Surface::Message, &pointer).map_err(Unfit::Blocks)?;
        tables += blocks::tables(list);
    }
    if tables > 1 { Err(Unfit::Blocks(Refused::TwoTables)) } else { Ok(()) }
}

/// The blocks of all attachments.
pub(super) fn blocks(attachments: &[Value]) -> impl Iterator<Item = &Value> {
    attachments.iter().filter_map(|attachment| attachment.get("blocks")?.as_array()).flatten()
}

/// Attachments of which one at least has something to show; colours and the like alone do not count.
pub(super) fn say_something(attachments: &[Value]) -> bool {
    const SHOWN: [&str; 11] = [
        "actions",
        "author_name",
        "blocks",
        "fallback",
        "fields",
        "footer",
        "image_url",
        "pretext",
        "text",
        "thumb_url",
        "title",
    ];
    let shown = |value: &Value| match value {
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    };
    // What is no object is refused with an error of its own.
    let says = |one: &Value| !one.is_object() || SHOWN.iter().any(|name| one.get(*name).is_some_and(shown));
    attachments.iter().any(says)
}
