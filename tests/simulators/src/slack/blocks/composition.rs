//! Parts that blocks and elements are made of (Slack docs: composition objects).

use serde_json::{Map, Value};

use super::fill_text_defaults;
use super::rule::Rule::{Bool, Enum, Form, List, Object, Plain, Str, Text, Url};
use super::rule::{Problem, Shape, may, need};

/// Colours of buttons; the default has no name.
pub(super) const STYLES: &[&str] = &["primary", "danger"];

/// Confirmation dialog.
pub(super) static CONFIRM: Shape = Shape::of(
    "",
    &[
        need("title", Plain(100)),
        need("text", Text(300)),
        need("confirm", Plain(30)),
        need("deny", Plain(30)),
        may("style", Enum(STYLES)),
    ],
);

/// Option of a select menu.
pub(super) static OPTION: Shape =
    Shape::of("", &[need("text", Plain(75)), need("value", Str(1, 150)), may("description", Plain(75))]);

/// Option of radio buttons and checkboxes, which may be formatted.
pub(super) static FORMATTED_OPTION: Shape =
    Shape::of("", &[need("text", Text(75)), need("value", Str(1, 150)), may("description", Text(75))]);

/// Option of an overflow menu, which may be a link.
pub(super) static OVERFLOW_OPTION: Shape = Shape::of(
    "",
    &[need("text", Plain(75)), need("value", Str(1, 150)), may("description", Plain(75)), may("url", Url)],
);

/// Options under a heading.
pub(super) static OPTION_GROUP: Shape =
    Shape::of("", &[need("label", Plain(75)), need("options", List(1, 100, &Object(&OPTION)))]);

/// When an input dispatches an action.
pub(super) static DISPATCH: Shape =
    Shape::of("", &[need("trigger_actions_on", List(1, 2, &Enum(&["on_enter_pressed", "on_character_entered"])))]);

/// Which conversations a menu offers; at least one property is needed.
pub(super) static FILTER: Shape = Shape::of(
    "",
    &[
        may("include", List(1, 4, &Enum(&["im", "mpim", "private", "public"]))),
        may("exclude_external_shared_channels", Bool),
        may("exclude_bot_users", Bool),
    ],
)
.also(|map, pointer, problems| {
    if map.is_empty() {
        problems.push(Problem::new("must have minimum 1 properties", pointer));
    }
});

/// An image that lies in Slack: by id or by URL, not both. No files lie here, so that it is never found.
pub(super) static SLACK_FILE: Shape =
    Shape::of("", &[may("id", Form(is_file_id, "input must match regex pattern: ^[F][A-Z0-9]{8,}$")), may("url", Url)])
        .also(|map, pointer, problems| {
            exactly_one(map, "id", "url", pointer, problems);
            // Looked for only when its form is right.
            if !problems.iter().any(|problem| problem.pointer.starts_with(pointer)) {
                problems.push(Problem::new("invalid slack file", pointer));
            }
        });

fn is_file_id(text: &str) -> bool {
    let rest = text.strip_prefix('F').unwrap_or_default();
    rest.len() >= 8 && rest.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// One of two properties has to be there, but not both.
pub(super) fn exactly_one(map: &Map<String, Value>, a: &str, b: &str, pointer: &str, problems: &mut Vec<Problem>) {
    match (map.contains_key(a), map.contains_key(b)) {
        (false, false) => problems.push(Problem::new(format!("missing required field: {a}"), pointer)),
        (true, true) => problems.push(Problem::new(format!("{a} and {b} exclude each other"), pointer)),
        _ => {}
    }
}

/// An initial choice has to be exactly one of the options, its text included.
pub(super) fn initial_is_offered(map: &Map<String, Value>, pointer: &str, problems: &mut Vec<Problem>) {
    let list = |name: &str| map.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let grouped = list("option_groups").iter().filter_map(|group| group.get("options")?.as_array()).flatten();
    let offered: Vec<_> = list("options").iter().chain(grouped).map(filled).collect();
    if offered.is_empty() {
        return;
    }
    let unknown = |option: &Value| !offered.contains(&filled(option));
    for name in ["initial_option", "initial_options"] {
        let wrong = match map.get(name) {
            Some(Value::Array(options)) => options.iter().any(unknown),
            Some(option) => unknown(option),
            None => false,
        };
        if wrong {
            let what = "must be one of the provided options";
            problems.push(Problem::new(what, format!("{pointer}/{name}")));
        }
    }
}

/// An option with the defaults of its texts, so that leaving one out makes no difference.
fn filled(option: &Value) -> Value {
    let mut option = option.clone();
    fill_text_defaults(&mut option);
    option
}
