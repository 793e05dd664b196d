//! How the arguments of a call are read: from the query, a form, a multipart form or a JSON body.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};

use super::multipart;
use super::refusal::Refusal;

/// How a body was encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    None,
    Form,
    Multipart,
    Text,
    Json,
}

/// What a call was made with, before anything is believed.
#[derive(Clone, Debug)]
pub(super) struct Args {
    values: Map<String, Value>,
    pub(super) encoding: Encoding,
    /// Slack docs: Web API basics, "Warnings": `missing_charset`, `superfluous_charset`.
    pub(super) warning: Option<&'static str>,
    /// Arguments came in the query and in the body of one call.
    pub(super) spread: bool,
    /// A `token` in the query.
    pub(super) token_in_query: bool,
    /// The `token` of a form body.
    pub(super) form_token: Option<String>,
}

impl Args {
    /// Reads the query and the body. `json_allowed`: the method sees the arguments of a JSON body.
    pub(super) fn read(query: &str, headers: &HeaderMap, body: &[u8], json_allowed: bool) -> Result<Self, Refusal> {
        let mut values = pairs(query)?;
        let token_in_query = values.remove("token").is_some();
        let had_query = !values.is_empty();
        let content = ContentType::of(headers);
        let mut args = Self {
            values: Map::new(),
            encoding: Encoding::None,
            warning: None,
            spread: false,
            token_in_query,
            form_token: None,
        };
        let mut from_body = match content {
            // Slack docs: `missing_post_type`.
            None if body.is_empty() => Map::new(),
            None => return Err(Refusal::new("missing_post_type")),
            Some(content) => {
                content.check_charset()?;
                args.encoding = content.encoding()?;
                args.warning = content.warning(args.encoding, body);
                read_body(args.encoding, &content, body).map_err(|refusal| refusal.warning(args.warning))?
            }
        };
        if args.encoding == Encoding::Json {
            // A token in a JSON body is not looked at (Slack docs: Web API, authentication).
            from_body.remove("token");
            if !json_allowed {
                from_body.clear();
            }
        } else if let Some(Value::String(token)) = from_body.remove("token") {
            args.form_token = Some(token);
        }
        args.spread = had_query && !from_body.is_empty();
        values.extend(from_body);
        // `null` is the same as absent.
        values.retain(|_, value| !value.is_null());
        args.values = values;
        Ok(args)
    }

    /// All arguments, for the journal.
    pub(super) fn values(&self) -> &Map<String, Value> {
        &self.values
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// The argument as text; numbers and booleans of a JSON body are taken as text, as Slack does.
    pub(super) fn text(&self, name: &str) -> Result<Option<Cow<'_, str>>, Refusal> {
        Ok(match self.values.get(name) {
            None => None,
            Some(Value::String(text)) => Some(Cow::Borrowed(text.as_str())),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Some(Cow::Owned(value.to_string())),
            Some(_) => return Err(Refusal::argument(&format!("must provide a string [json-pointer:/{name}]"))),
        })
    }

    /// The argument as text; an absent one is the empty text.
    pub(super) fn text_or_empty(&self, name: &str) -> Result<Cow<'_, str>, Refusal> {
        Ok(self.text(name)?.unwrap_or_default())
    }

    /// A text without which the method makes no sense. Only an absent one is `invalid_arguments`; an empty one names nothing that
    /// exists, and is refused with the method's own error.
    pub(super) fn required(&self, name: &str) -> Result<Cow<'_, str>, Refusal> {
        self.text(name)?.ok_or_else(|| Refusal::argument(&format!("missing required field: {name}")))
    }

    /// A switch; anything that is not a spelling of true or false is refused.
    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, Refusal> {
        match self.text(name)?.as_deref() {
            None | Some("") => Ok(default),
            Some("true" | "1" | "True" | "TRUE") => Ok(true),
            Some("false" | "0" | "False" | "FALSE") => Ok(false),
            Some(_) => Err(Refusal::argument(&format!("must be a boolean [json-pointer:/{name}]"))),
        }
    }

    /// A JSON value: native in a JSON body, JSON text in a form field (or in a JSON string). `Err` is the text that did not parse.
    pub(super) fn structured(&self, name: &str) -> Result<Option<Value>, ()> {
        match self.values.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
            Some(Value::String(text)) => serde_json::from_str(text).map(Some).map_err(|_| ()),
            Some(value) => Ok(Some(value.clone())),
        }
    }
}

fn read_body(encoding: Encoding, content: &ContentType, body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    match encoding {
        Encoding::Json => match serde_json::from_slice(body) {
            Ok(Value::Object(map)) => {
                map.keys().try_for_each(|name| check_name(name))?;
                Ok(map)
            }
            Ok(_) => Err(Refusal::new("json_not_object")),
            Err(_) if body.is_empty() => Ok(Map::new()),
            Err(_) => Err(Refusal::new("invalid_json")),
        },
        Encoding::Multipart => {
            let fields = content.boundary.as_deref().and_then(|boundary| multipart::fields(boundary, body));
            let fields = fields.ok_or_else(|| Refusal::new("invalid_form_data"))?;
            collect(fields.into_iter())
        }
        Encoding::Form | Encoding::Text | Encoding::None => {
            let text = std::str::from_utf8(body).map_err(|_| Refusal::new("invalid_form_data"))?;
            pairs(text)
        }
    }
}

/// Decodes `a=b&c=d`.
fn pairs(text: &str) -> Result<Map<String, Value>, Refusal> {
    collect(text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    }))
}

fn collect(pairs: impl Iterator<Item = (String, String)>) -> Result<Map<String, Value>, Refusal> {
    let mut map = Map::new();
    for (name, value) in pairs {
        check_name(&name)?;
        map.insert(name, json!(value));
    }
    Ok(map)
}

/// Slack docs: `invalid_array_arg`; `invalid_arg_name`, which is for very long names and for those with anything but letters, digits and
/// underscores.
fn check_name(name: &str) -> Result<(), Refusal> {
    /// How long is very long is not published.
    const LONGEST: usize = 255;
    if name.ends_with(']') {
        return Err(Refusal::new("invalid_array_arg"));
    }
    let fits = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if fits && (1..=LONGEST).contains(&name.len()) { Ok(()) } else { Err(Refusal::new("invalid_arg_name")) }
}

/// Percent-decoding of forms: `+` is a space, broken escapes stay as they are.
pub(super) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let mut ahead = rest.clone();
                let hex = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
                match (hex(ahead.next()), hex(ahead.next())) {
                    (Some(high), Some(low)) => {
                        bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
                        rest = ahead;
                    }
                    _ => bytes.push(b'%'),
                }
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

struct ContentType {
    essence: String,
    charset: Option<String>,
    boundary: Option<String>,
}

impl ContentType {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let mut parts = text.split(';').map(str::trim);
        let essence = parts.next()?.to_ascii_lowercase();
        let mut content = Self { essence, charset: None, boundary: None };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"').to_owned();
            match name.trim().to_ascii_lowercase().as_str() {
                "charset" => content.charset = Some(value.to_ascii_lowercase()),
                "boundary" => content.boundary = Some(value),
                _ => {}
            }
        }
        Some(content)
    }

    /// Slack docs: `invalid_charset`.
    fn check_charset(&self) -> Result<(), Refusal> {
        match self.charset.as_deref() {
            None | Some("utf-8" | "utf8" | "iso-8859-1") => Ok(()),
            Some(_) => Err(Refusal::new("invalid_charset")),
        }
    }

    /// Slack docs: `invalid_post_type`.
    fn encoding(&self) -> Result<Encoding, Refusal> {
        match self.essence.as_str() {
            "application/json" => Ok(Encoding::Json),
            "application/x-www-form-urlencoded" => Ok(Encoding::Form),
            "multipart/form-data" => Ok(Encoding::Multipart),
            "text/plain" => Ok(Encoding::Text),
            _ => Err(Refusal::new("invalid_post_type")),
        }
    }

    fn warning(&self, encoding: Encoding, body: &[u8]) -> Option<&'static str> {
        match (encoding, &self.charset) {
            (Encoding::Json, None) if !body.is_empty() => Some("missing_charset"),
            (Encoding::Form, Some(_)) => Some("superfluous_charset"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(content_type: &str, body: &str) -> Result<Args, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::try_from(content_type).unwrap_or(HeaderValue::from_static("")));
        Args::read("", &headers, body.as_bytes(), true)
    }

    #[test]
    fn a_plus_sign_arrives_only_when_it_was_encoded() {
        let args = Args::read("a=x%2By&b=x+y", &HeaderMap::new(), b"", true).unwrap();
        assert_eq!((args.required("a").unwrap(), args.required("b").unwrap()), ("x+y".into(), "x y".into()));
    }

    #[test]
    fn bodies_that_slack_cannot_read_are_refused_by_name() {
        for (content_type, body, error) in [
            ("application/json; charset=utf-8", "{", "invalid_json"),
            ("application/json; charset=utf-8", "[]", "json_not_object"),
            ("application/json; charset=utf-16", "{}", "invalid_charset"),
            ("application/xml", "<a/>", "invalid_post_type"),
            ("application/x-www-form-urlencoded", "a[]=1", "invalid_array_arg"),
            ("application/x-www-form-urlencoded", "a.b=1", "invalid_arg_name"),
            ("application/x-www-form-urlencoded", "a-b=1", "invalid_arg_name"),
            ("application/json; charset=utf-8", r#"{"a b": 1}"#, "invalid_arg_name"),
            ("application/json; charset=utf-8", r#"{"ü": 1}"#, "invalid_arg_name"),
            ("application/json; charset=utf-8", &format!(r#"{{"{}": 1}}"#, "a".repeat(256)), "invalid_arg_name"),
            ("multipart/form-data; boundary=x", "nothing", "invalid_form_data"),
        ] {
            assert_eq!(read(content_type, body).unwrap_err().error, error, "{content_type} {body}");
        }
    }

    #[test]
    fn charset_warnings_are_for_json_without_and_forms_with_one() {
        for (content_type, body, warning) in [
            ("application/json", "{}", Some("missing_charset")),
            ("application/json; charset=utf-8", "{}", None),
            ("application/x-www-form-urlencoded; charset=utf-8", "a=1", Some("superfluous_charset")),
            ("application/x-www-form-urlencoded", "a=1", None),
        ] {
            assert_eq!(read(content_type, body).unwrap().warning, warning, "{content_type}");
        }
    }
}
