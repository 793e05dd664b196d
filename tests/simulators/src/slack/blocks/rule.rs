//! A small language for the shapes of Block Kit, and the one place where it is interpreted.
//!
//! The wording is that of Slack's own schema library (`slackhq/hack-json-schema` on GitHub), whose sentences real answers repeat
//! word for word; what is said beyond a schema follows answers that were reported. Wordings drift: nobody should depend on them.

use std::fmt;

use serde_json::{Map, Value};

/// What is wrong and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub what: String,
    /// JSON pointer into the arguments.
    pub pointer: String,
}

impl Problem {
    pub(super) fn new(what: impl Into<String>, pointer: impl Into<String>) -> Self {
        Self { what: what.into(), pointer: pointer.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [json-pointer:{}]", self.what, self.pointer)
    }
}

/// What a value has to be.
pub(super) enum Rule {
    Bool,
    /// A whole number between the two, both included.
    Int(i64, i64),
    /// Any number.
    Number,
    /// A string of so many characters, both included; at least one means that blanks alone do not count.
    Str(usize, usize),
    Enum(&'static [&'static str]),
    /// A string of a form, and what to say otherwise.
    Form(fn(&str) -> bool, &'static str),
    /// A link that a person may follow, at most 3,000 characters.
    Url,
    /// A text object of either kind with so many characters at most.
    Text(usize),
    /// A `plain_text` object with so many characters at most.
    Plain(usize),
    /// An array with so many items.
    List(usize, usize, &'static Rule),
    /// An object whose `type` names one of the shapes.
    OneOf(&'static [&'static Shape]),
    /// An object without `type`.
    Object(&'static Shape),
}

/// One property.
pub(super) struct Field {
    name: &'static str,
    rule: Rule,
    required: bool,
}

/// A property that must be there.
pub(super) const fn need(name: &'static str, rule: Rule) -> Field {
    Field { name, rule, required: true }
}

/// A property that may be there.
pub(super) const fn may(name: &'static str, rule: Rule) -> Field {
    Field { name, rule, required: false }
}

/// A check of a whole object: its properties, its place, and where to put what is wrong.
pub(super) type Also = fn(&Map<String, Value>, &str, &mut Vec<Problem>);

/// A kind of object.
pub(super) struct Shape {
    /// Its `type`; empty for objects that have none.
    pub(super) name: &'static str,
    /// Properties, `type` aside.
    pub(super) fields: &'static [Field],
    /// What cannot be said of one property alone.
    pub(super) also: Option<Also>,
    /// Other properties are let through: the shape is not known in full.
    pub(super) open: bool,
}

impl Shape {
    pub(super) const fn of(name: &'static str, fields: &'static [Field]) -> Self {
        Self { name, fields, also: None, open: false }
    }

    pub(super) const fn also(self, check: Also) -> Self {
        Self { also: Some(check), ..self }
    }

    pub(super) const fn open(self) -> Self {
        Self { open: true, ..self }
    }

    fn check(&self, map: &Map<String, Value>, pointer: &str, problems: &mut Vec<Problem>) {
        for field in self.fields {
            match map.get(field.name) {
                Some(value) => field.rule.check(value, &format!("{pointer}/{}", field.name), problems),
                None if field.required => {
                    problems.push(Problem::new(format!("missing required field: {}", field.name), pointer));
                }
                None => {}
            }
        }
        let known = |name: &str| {
            (name == "type" && !self.name.is_empty()) || self.fields.iter().any(|field| field.name == name)
        };
        for name in map.keys().filter(|name| !self.open && !known(name)) {
            problems.push(Problem::new(format!("invalid additional property: {name}"), pointer));
        }
        if let Some(also) = self.also {
            also(map, pointer, problems);
        }
    }
}

impl Rule {
    pub(super) fn check(&self, value: &Value, pointer: &str, problems: &mut Vec<Problem>) {
        match self {
            Self::Bool if value.is_boolean() => {}
            Self::Bool => problems.push(Problem::new("must be a boolean", pointer)),
            Self::Int(min, max) => match value.as_i64() {
                Some(number) if number < *min => {
                    problems.push(Problem::new(format!("must be greater than {min}"), pointer));
                }
                Some(number) if number > *max => {
                    problems.push(Problem::new(format!("must be less than {max}"), pointer));
                }
                Some(_) => {}
                None => problems.push(Problem::new("must provide an integer", pointer)),
            },
            Self::Number if value.is_number() => {}
            Self::Number => problems.push(Problem::new("must provide a number", pointer)),
            Self::Str(min, max) => check_string(value, *min, *max, pointer, problems),
            Self::Enum(allowed) => match value.as_str() {
                Some(text) if allowed.contains(&text) => {}
                Some(_) => problems.push(Problem::new("must be a valid enum value", pointer)),
                None => problems.push(Problem::new("must provide a string", pointer)),
            },
            Self::Form(fits, what) => match value.as_str() {
                Some(text) if fits(text) => {}
                Some(_) => problems.push(Problem::new(*what, pointer)),
                None => problems.push(Problem::new("must provide a string", pointer)),
            },
            Self::Url => {
                check_string(value, 1, 3_000, pointer, problems);
                if value.as_str().is_some_and(|url| !is_link(url)) {
                    problems.push(Problem::new("must be a valid url", pointer));
                }
            }
            Self::Text(max) => check_text(value, *max, &["plain_text", "mrkdwn"], pointer, problems),
            Self::Plain(max) => check_text(value, *max, &["plain_text"], pointer, problems),
            Self::List(min, max, rule) => {
                let Value::Array(items) = value else {
                    problems.push(Problem::new("must provide an array", pointer));
                    return;
                };
                if items.len() < *min {
                    problems.push(Problem::new(format!("must provide at least {min} items"), pointer));
                }
                if items.len() > *max {
                    problems.push(Problem::new(format!("no more than {max} items allowed"), pointer));
                }
                for (index, item) in items.iter().enumerate() {
                    rule.check(item, &format!("{pointer}/{index}"), problems);
                }
            }
            Self::OneOf(shapes) => {
                if let Some((map, name)) = typed(value, pointer, problems) {
                    if let Some(shape) = shapes.iter().find(|shape| shape.name == name) {
                        shape.check(map, pointer, problems);
                    } else {
                        problems.push(Problem::new(format!("unsupported type: {name}"), format!("{pointer}/type")));
                    }
                }
            }
            Self::Object(shape) => match value {
                Value::Object(map) => shape.check(map, pointer, problems),
                _ => problems.push(Problem::new("must provide an object", pointer)),
            },
        }
    }
}

/// An object and its `type`.
fn typed<'a>(
    value: &'a Value,
    pointer: &str,
    problems: &mut Vec<Problem>,
) -> Option<(&'a Map<String, Value>, &'a str)> {
    let Value::Object(map) = value else {
        problems.push(Problem::new("must provide an object", pointer));
        return None;
    };
    match map.get("type") {
        Some(Value::String(name)) => Some((map, name)),
        Some(_) => {
            problems.push(Problem::new("must provide a string", format!("{pointer}/type")));
            None
        }
        None => {
            problems.push(Problem::new("missing required field: type", pointer));
            None
        }
    }
}

fn check_string(value: &Value, min: usize, max: usize, pointer: &str, problems: &mut Vec<Problem>) {
    let Value::String(text) = value else {
        problems.push(Problem::new("must provide a string", pointer));
        return;
    };
    if min > 0 && text.trim().is_empty() {
        problems.push(Problem::new("must be more than 0 characters", pointer));
    } else if text.chars().count() < min {
        problems.push(Problem::new(format!("must be more than {} characters", min - 1), pointer));
    }
    if text.chars().count() > max {
        problems.push(Problem::new(format!("must be less than {} characters", max + 1), pointer));
    }
}

/// Text objects: `emoji` belongs to `plain_text`, `verbatim` to `mrkdwn` (Slack docs: text object).
fn check_text(value: &Value, max: usize, kinds: &[&str], pointer: &str, problems: &mut Vec<Problem>) {
    let before = problems.len();
    let Some((map, name)) = typed(value, pointer, problems) else { return };
    if kinds.contains(&name) {
        match map.get("text") {
            Some(text) => check_string(text, 1, max, &format!("{pointer}/text"), problems),
            None => problems.push(Problem::new("missing required field: text", pointer)),
        }
        let option = if name == "plain_text" { "emoji" } else { "verbatim" };
        for (property, value) in map {
            match property.as_str() {
                "type" | "text" => {}
                name if name == option => Rule::Bool.check(value, &format!("{pointer}/{property}"), problems),
                other => problems.push(Problem::new(format!("invalid additional property: {other}"), pointer)),
            }
        }
    } else {
        let what = match kinds {
            [_] => "must be a valid enum value".to_owned(),
            _ => format!("unsupported type: {name}"),
        };
        problems.push(Problem::new(what, format!("{pointer}/type")));
    }
    // The kind and the length are two schemas, and both have to match.
    if problems.len() > before {
        problems.insert(before, Problem::new("failed to match all allowed schemas", pointer));
    }
}

/// A URL with a scheme that clients open, and with something behind it.
fn is_link(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once(':') else { return false };
    if url.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>')) {
        return false;
    }
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" => {
            let host = rest.strip_prefix("//").unwrap_or_default();
            host.chars().next().is_some_and(|first| first.is_alphanumeric() || first == '[')
        }
        "slack" | "mailto" | "tel" => !rest.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_have_a_known_scheme_and_a_host() {
        for (url, valid) in [
            ("https://a.example/x?y#z", true),
            ("http://127.0.0.1:80", true),
            ("slack://user?team=T1", true),
            ("https://", false),
            ("https:///x", false),
            ("javascript:alert(1)", false),
            ("a.example", false),
            ("https://a b", false),
            ("", false),
        ] {
            assert_eq!(is_link(url), valid, "{url}");
        }
    }
}
