//! Block Kit as Slack accepts it: pure checks, no network (Slack docs: Block Kit reference).

use std::fmt;

use serde_json::{Value, json};

/// Where blocks are shown, which decides what is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// In a message.
    Message,
    /// In a modal.
    Modal,
}

/// What is wrong and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub what: String,
    /// JSON pointer into the arguments.
    pub pointer: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [json-pointer:{}]", self.what, self.pointer)
    }
}

/// Why blocks are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// `invalid_blocks`.
    Invalid(Vec<Problem>),
    /// `msg_blocks_too_long`: all text together.
    TooLong,
}

/// All text of one message's blocks together; not published, but observed.
const TEXT_SUM: usize = 13_200;

/// Checks the blocks of a message or a modal.
pub fn check(blocks: &[Value], surface: Surface) -> Result<(), Refused> {
    check_under(blocks, surface, "/blocks")
}

/// As [`check`], for blocks that stand elsewhere than in `/blocks`.
pub fn check_under(blocks: &[Value], surface: Surface, pointer: &str) -> Result<(), Refused> {
    let most = if surface == Surface::Message { 50 } else { 100 };
    if blocks.len() > most {
        let what = format!("no more than {most} items allowed");
        return Err(Refused::Invalid(vec![Problem { what, pointer: pointer.to_owned() }]));
    }
    if blocks.iter().map(text_length).sum::<usize>() > TEXT_SUM {
        return Err(Refused::TooLong);
    }
    Ok(())
}

fn text_length(node: &Value) -> usize {
    match node {
        Value::Object(map) => map
            .iter()
            .map(|(name, value)| match value {
                Value::String(text) if name == "text" => text.chars().count(),
                other => text_length(other),
            })
            .sum(),
        Value::Array(list) => list.iter().map(text_length).sum(),
        _ => 0,
    }
}

/// The blocks as Slack stores them: ids filled in where none was sent.
pub fn as_stored(mut blocks: Vec<Value>, mut new_id: impl FnMut() -> String) -> Vec<Value> {
    for block in blocks.iter_mut().filter_map(Value::as_object_mut) {
        block.entry("block_id").or_insert_with(|| json!(new_id()));
    }
    blocks
}
