//! Answers of the Web API: `{"ok":true,…}` and `{"ok":false,"error":…}` (Slack docs: Web API basics, evaluating responses).

use std::borrow::Cow;

use serde_json::{Map, Value, json};

/// Why a call has no effect.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refusal {
    pub(super) error: Cow<'static, str>,
    /// Further fields beside `error`.
    pub(super) extra: Map<String, Value>,
    /// `response_metadata.messages`.
    pub(super) messages: Vec<String>,
    /// `warning`, which also accompanies failures.
    pub(super) warning: Option<&'static str>,
    /// HTTP 429 with this `Retry-After`, in seconds.
    pub(super) retry_after: Option<u64>,
}

impl Refusal {
    pub(super) fn new(error: impl Into<Cow<'static, str>>) -> Self {
        Self { error: error.into(), extra: Map::new(), messages: Vec::new(), warning: None, retry_after: None }
    }

    /// `invalid_arguments` with a line that says which.
    pub(super) fn argument(what: &str) -> Self {
        Self { messages: vec![format!("[ERROR] {what}")], ..Self::new("invalid_arguments") }
    }

    /// HTTP 429 (Slack docs: rate limits).
    pub(super) fn limited(retry_after: u64) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new("ratelimited") }
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }

    pub(super) fn message(mut self, message: String) -> Self {
        self.messages.push(message);
        self
    }

    pub(super) fn warning(mut self, warning: Option<&'static str>) -> Self {
        self.warning = self.warning.or(warning);
        self
    }

    pub(super) fn body(&self) -> Value {
        let mut map = self.extra.clone();
        map.insert("ok".to_owned(), json!(false));
        map.insert("error".to_owned(), json!(self.error));
        decorate(&mut map, self.warning.into_iter(), &self.messages);
        Value::Object(map)
    }
}

/// What a call that took effect answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub(super) fields: Map<String, Value>,
    pub(super) warnings: Vec<&'static str>,
    pub(super) messages: Vec<String>,
}

impl Answer {
    /// `{"ok":true}` with the fields of `value`, an object.
    pub(super) fn of(value: Value) -> Self {
        let fields = if let Value::Object(map) = value { map } else { Map::new() };
        Self { fields, ..Self::default() }
    }

    pub(super) fn warn(mut self, warning: &'static str) -> Self {
        self.warnings.push(warning);
        self
    }

    pub(super) fn into_body(self, charset: Option<&'static str>) -> Value {
        let mut map = Map::with_capacity(self.fields.len() + 2);
        map.insert("ok".to_owned(), json!(true));
        map.extend(self.fields);
        decorate(&mut map, self.warnings.iter().copied().chain(charset), &self.messages);
        Value::Object(map)
    }
}

/// Sets a property of an object.
pub(super) fn set(object: &mut Value, name: &str, value: impl Into<Value>) {
    if let Some(map) = object.as_object_mut() {
        map.insert(name.to_owned(), value.into());
    }
}

/// Adds `warning` and `response_metadata`, which keeps a cursor that is there already.
fn decorate(map: &mut Map<String, Value>, warnings: impl Iterator<Item = &'static str>, messages: &[String]) {
    let warnings: Vec<_> = warnings.collect();
    let mut messages = messages.to_vec();
    if warnings.contains(&"missing_charset") {
        messages.push(
            "[WARN] A Content-Type HTTP header was presented but did not declare a charset, such as a 'utf-8'".into(),
        );
    }
    if warnings.is_empty() && messages.is_empty() {
        return;
    }
    if !warnings.is_empty() {
        map.insert("warning".to_owned(), json!(warnings.join(",")));
    }
    let metadata = map.entry("response_metadata").or_insert_with(|| json!({}));
    if let Some(metadata) = metadata.as_object_mut() {
        if !warnings.is_empty() {
            metadata.insert("warnings".to_owned(), json!(warnings));
        }
        if !messages.is_empty() {
            metadata.insert("messages".to_owned(), json!(messages));
        }
    }
}
