//! Block Kit as Slack accepts it: pure checks, no network (Slack docs: Block Kit reference).

mod composition;
mod elements;
mod layout;
mod newer;
mod rich_text;
mod rule;

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use self::layout::{IN_HOMES, IN_MESSAGES, IN_MODALS};
use self::rule::Rule;

pub use self::rule::Problem;

/// Where blocks are shown, which decides what is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// In a message.
    Message,
    /// In a modal.
    Modal,
    /// In the Home tab of an app.
    Home,
}

/// Why blocks are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// `invalid_blocks`.
    Invalid(Vec<Problem>),
    /// `msg_blocks_too_long`: all text together.
    TooLong,
    /// `invalid_attachments` with `only_one_table_allowed` (Slack docs: table block).
    TwoTables,
}

/// All text of one message's blocks together; not published, but observed.
const TEXT_SUM: usize = 13_200;
/// All markdown blocks of a message together (Slack docs: markdown block).
const MARKDOWN_SUM: usize = 12_000;
/// All cells of a table together (Slack docs: table block).
const TABLE_SUM: usize = 10_000;
/// Charts of a message.
const CHARTS: usize = 2;

/// Checks the blocks of a message, a modal or a Home tab.
pub fn check(blocks: &[Value], surface: Surface) -> Result<(), Refused> {
    check_under(blocks, surface, "/blocks")
}

/// As [`check`], for blocks that stand elsewhere than in `/blocks`.
pub fn check_under(blocks: &[Value], surface: Surface, pointer: &str) -> Result<(), Refused> {
    let mut problems = Vec::new();
    let (most, shapes) = match surface {
        Surface::Message => (50, IN_MESSAGES),
        Surface::Modal => (100, IN_MODALS),
        Surface::Home => (100, IN_HOMES),
    };
    if blocks.len() > most {
        problems.push(Problem::new(format!("no more than {most} items allowed"), pointer));
    }
    for (index, block) in blocks.iter().enumerate() {
        Rule::OneOf(shapes).check(block, &format!("{pointer}/{index}"), &mut problems);
    }
    check_ids(blocks, pointer, &mut problems);
    check_sums(blocks, pointer, &mut problems);
    if !problems.is_empty() {
        return Err(Refused::Invalid(problems));
    }
    if tables(blocks) > 1 {
        return Err(Refused::TwoTables);
    }
    let text: usize = blocks.iter().filter(|block| kind(block) != "table").map(text_length).sum();
    if surface == Surface::Message && text > TEXT_SUM { Err(Refused::TooLong) } else { Ok(()) }
}

/// Checks a `plain_text` object outside of blocks, such as a modal's title.
pub(super) fn check_plain(value: &Value, most: usize, pointer: &str, problems: &mut Vec<Problem>) {
    Rule::Plain(most).check(value, pointer, problems);
}

fn kind(block: &Value) -> &str {
    block.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// `block_id` is unique in the message, `action_id` in the block.
fn check_ids(blocks: &[Value], pointer: &str, problems: &mut Vec<Problem>) {
    let mut block_ids = HashSet::new();
    for (index, block) in blocks.iter().enumerate() {
        let id = block.get("block_id").and_then(Value::as_str);
        if let Some(id) = id.filter(|id| !block_ids.insert(*id)) {
            let what = format!("`block_id` \"{id}\" already exists");
            problems.push(Problem::new(what, format!("{pointer}/{index}/block_id")));
        }
        let mut action_ids = HashSet::new();
        for (place, element) in block.get("elements").and_then(Value::as_array).into_iter().flatten().enumerate() {
            let id = element.get("action_id").and_then(Value::as_str);
            if let Some(id) = id.filter(|id| !action_ids.insert(*id)) {
                let what = format!("`action_id` \"{id}\" already exists");
                problems.push(Problem::new(what, format!("{pointer}/{index}/elements/{place}/action_id")));
            }
        }
    }
}

/// Limits that hold for all blocks of a kind together.
fn check_sums(blocks: &[Value], pointer: &str, problems: &mut Vec<Problem>) {
    let of = |wanted: &'static str| blocks.iter().filter(move |block| kind(block) == wanted);
    if of("markdown").map(text_length).sum::<usize>() > MARKDOWN_SUM {
        problems.push(Problem::new(format!("must be less than {} characters", MARKDOWN_SUM + 1), pointer));
    }
    if of("data_visualization").count() > CHARTS {
        problems.push(Problem::new("too many data_visualization blocks", pointer));
    }
    let focused = blocks.iter().map(count_focused).sum::<usize>();
    if focused > 1 {
        problems.push(Problem::new("only one element may have focus_on_load", pointer));
    }
    if of("table").map(text_length).sum::<usize>() > TABLE_SUM {
        problems.push(Problem::new(format!("must be less than {} characters", TABLE_SUM + 1), pointer));
    }
}

/// Tables of either kind, those in containers included.
pub(super) fn tables(blocks: &[Value]) -> usize {
    let children = |block: &Value| block.get("child_blocks").and_then(Value::as_array).map_or(0, |list| tables(list));
    blocks.iter().map(|block| usize::from(matches!(kind(block), "table" | "data_table")) + children(block)).sum()
}

/// Elements that want the focus.
fn count_focused(block: &Value) -> usize {
    let elements = block.get("elements").and_then(Value::as_array).into_iter().flatten();
    let elements = elements.chain(block.get("accessory")).chain(block.get("element"));
    elements.filter(|element| element.get("focus_on_load") == Some(&Value::Bool(true))).count()
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

/// The blocks as Slack stores them: ids and the defaults of text objects filled in.
pub fn as_stored(mut blocks: Vec<Value>, mut new_id: impl FnMut() -> String) -> Vec<Value> {
    for block in blocks.iter_mut().filter_map(Value::as_object_mut) {
        block.entry("block_id").or_insert_with(|| json!(new_id()));
        let interactive = ["elements", "accessory", "element"];
        for (name, value) in block.iter_mut() {
            match value {
                Value::Array(elements) if interactive.contains(&name.as_str()) => {
                    for element in elements {
                        name_action(element, &mut new_id);
                    }
                }
                element if interactive.contains(&name.as_str()) => name_action(element, &mut new_id),
                _ => {}
            }
        }
    }
    blocks.iter_mut().for_each(fill_text_defaults);
    blocks
}

/// Interactive elements without `action_id` get one.
fn name_action(element: &mut Value, new_id: &mut impl FnMut() -> String) {
    let interactive =
        !matches!(kind(element), "image" | "plain_text" | "mrkdwn") && !kind(element).starts_with("rich_text");
    if let (true, Some(map)) = (interactive, element.as_object_mut()) {
        map.entry("action_id").or_insert_with(|| json!(new_id()));
    }
}

fn fill_text_defaults(node: &mut Value) {
    match node {
        Value::Object(map) => {
            let default: Option<(&str, bool)> = match map.get("type").and_then(Value::as_str) {
                Some("plain_text") => Some(("emoji", true)),
                Some("mrkdwn") => Some(("verbatim", false)),
                _ => None,
            };
            if let Some((name, value)) = default {
                map.entry(name).or_insert(json!(value));
            }
            map.values_mut().for_each(fill_text_defaults);
        }
        Value::Array(list) => list.iter_mut().for_each(fill_text_defaults),
        _ => {}
    }
}

/// The elements of a block that a person can use.
pub(super) fn elements(block: &Value) -> impl Iterator<Item = &Value> {
    let listed = ["elements", "actions"].into_iter().filter_map(|name| block.get(name)?.as_array()).flatten();
    listed.chain(block.get("accessory")).chain(block.get("element"))
}

/// An interactive element, found by its `action_id`, with the `block_id` of its block.
pub(super) fn find_action<'a>(blocks: &'a [Value], action_id: &str) -> Option<(&'a str, &'a Map<String, Value>)> {
    let named = |element: &&Value| element.get("action_id").and_then(Value::as_str) == Some(action_id);
    blocks.iter().find_map(|block| {
        let element = elements(block).find(named)?;
        Some((block.get("block_id")?.as_str()?, element.as_object()?))
    })
}

/// The `action_id` of every interactive element.
pub(super) fn action_ids(blocks: &[Value]) -> Vec<String> {
    blocks
        .iter()
        .flat_map(elements)
        .filter_map(|element| element.get("action_id")?.as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests;
