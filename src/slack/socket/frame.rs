//! What Slack sends over a connection. Pure.

use serde::Deserialize;
use serde_json::{Value, json};

/// A text frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// The connection serves.
    Hello {
        /// The app that the app-level token belongs to.
        app_id: Option<String>,
        /// How many connections the app has, this one included.
        connections: Option<u32>,
    },
    /// The connection will end, or has to.
    Disconnect(Disconnect),
    /// Something to answer.
    Envelope(Envelope),
    /// Neither: of a newer Slack, or not Slack's.
    Unknown,
}

/// Why Slack ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disconnect {
    /// `warning`, `refresh_requested`, or a reason that we do not know: open another one.
    Refresh,
    /// `link_disabled`: Socket Mode is off.
    Disabled,
    /// `too_many_websockets`: the eleventh connection.
    TooMany,
}

/// A payload that Slack wants to be acknowledged.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// By which it is acknowledged.
    pub id: String,
    /// `interactive` for clicks and forms.
    pub kind: String,
    /// The acknowledgement may carry an answer.
    pub takes_answer: bool,
    /// What happened; null where the envelope has none.
    pub payload: Value,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "type", default)]
    kind: String,
    envelope_id: Option<String>,
    #[serde(default)]
    accepts_response_payload: bool,
    #[serde(default)]
    payload: Value,
    reason: Option<String>,
    num_connections: Option<u32>,
    connection_info: Option<ConnectionInfo>,
}

#[derive(Deserialize)]
struct ConnectionInfo {
    app_id: Option<String>,
}

impl Frame {
    /// Reads a text frame.
    pub fn parse(text: &str) -> Self {
        let Ok(raw) = serde_json::from_str::<Raw>(text) else { return Self::Unknown };
        if let Some(id) = raw.envelope_id.filter(|id| !id.is_empty()) {
            let Raw { kind, accepts_response_payload: takes_answer, payload, .. } = raw;
            return Self::Envelope(Envelope { id, kind, takes_answer, payload });
        }
        match raw.kind.as_str() {
            "hello" => Self::Hello {
                app_id: raw.connection_info.and_then(|info| info.app_id).filter(|id| !id.is_empty()),
                connections: raw.num_connections,
            },
            "disconnect" => Self::Disconnect(match raw.reason.as_deref() {
                Some("link_disabled") => Disconnect::Disabled,
                Some("too_many_websockets") => Disconnect::TooMany,
                _ => Disconnect::Refresh,
            }),
            _ => Self::Unknown,
        }
    }
}

/// The frame that acknowledges an envelope. Slack drops one of 20 KB or more without a word.
pub fn acknowledgement(envelope_id: &str, answer: Option<&Value>) -> String {
    match answer {
        Some(answer) => json!({"envelope_id": envelope_id, "payload": answer}).to_string(),
        None => json!({"envelope_id": envelope_id}).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_tells_the_app_and_how_many_connections_there_are() {
        let text =
            r#"{"type":"hello","num_connections":2,"connection_info":{"app_id":"A1"},"debug_info":{"host":"x"}}"#;
        assert_eq!(Frame::parse(text), Frame::Hello { app_id: Some("A1".to_owned()), connections: Some(2) });
        assert_eq!(Frame::parse(r#"{"type":"hello"}"#), Frame::Hello { app_id: None, connections: None });
    }

    #[test]
    fn a_reason_that_is_not_known_asks_for_another_connection() {
        for (reason, expected) in [
            (r#","reason":"warning""#, Disconnect::Refresh),
            (r#","reason":"refresh_requested""#, Disconnect::Refresh),
            (r#","reason":"of a newer Slack""#, Disconnect::Refresh),
            ("", Disconnect::Refresh),
            (r#","reason":"link_disabled""#, Disconnect::Disabled),
            (r#","reason":"too_many_websockets""#, Disconnect::TooMany),
        ] {
            let text = format!(r#"{{"type":"disconnect"{reason},"debug_info":{{}}}}"#);
            assert_eq!(Frame::parse(&text), Frame::Disconnect(expected), "{text}");
        }
    }

    #[test]
    fn every_envelope_can_be_acknowledged_whatever_its_type() {
        for kind in ["interactive", "events_api", "slash_commands", "of_a_newer_slack"] {
            let Frame::Envelope(envelope) =
                Frame::parse(&format!(r#"{{"type":"{kind}","envelope_id":"e1","payload":{{"a":1}}}}"#))
            else {
                panic!("{kind}")
            };
            assert_eq!((envelope.id.as_str(), envelope.kind.as_str()), ("e1", kind));
        }
        let Frame::Envelope(bare) = Frame::parse(r#"{"type":"interactive","envelope_id":"e1"}"#) else { panic!() };
        assert_eq!(bare.payload, Value::Null);
    }

    #[test]
    fn what_is_not_slacks_json_is_nothing() {
        for text in ["", "x", "[]", "1", "{}", r#"{"type":1}"#, r#"{"envelope_id":""}"#, r#"{"type":"interactive"}"#] {
            assert_eq!(Frame::parse(text), Frame::Unknown, "{text}");
        }
    }

    #[test]
    fn an_acknowledgement_carries_an_answer_only_where_there_is_one() {
        assert_eq!(acknowledgement("e", None), r#"{"envelope_id":"e"}"#);
        assert_eq!(acknowledgement("e", Some(&json!({}))), r#"{"envelope_id":"e","payload":{}}"#);
    }
}
