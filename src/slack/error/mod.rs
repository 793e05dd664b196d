//! What went wrong at Slack, what follows from it, and what a person can do about it. Pure.

mod class;
mod remedy;
mod table;

use std::time::Duration;

use crate::slack::text::shorten;

pub use crate::slack::error::class::{Class, classify, classify_for, is_rate_limit};
pub use crate::slack::error::remedy::{DEFAULT_BOT, remedy};

/// Codes of our own, for what Slack has no word for. They share the name space of Slack's `error` strings.
pub mod code {
    /// HTTP 429, whatever the body; also Slack's own string for it.
    pub const RATE_LIMITED: &str = "ratelimited";
    /// No connection: DNS, TCP or TLS. Nothing was sent.
    pub const CONNECT_FAILED: &str = "connect_failed";
    /// No connection: the HTTP proxy on the way is away, or does not make one. Nothing was sent.
    pub const PROXY_FAILED: &str = "proxy_failed";
    /// No answer in time.
    pub const TIMEOUT: &str = "timeout";
    /// The connection broke after the request was, or may have been, sent.
    pub const CONNECTION_LOST: &str = "connection_lost";
    /// HTTP 200 with something that is not Slack's JSON.
    pub const MALFORMED_ANSWER: &str = "malformed_answer";
    /// The answer was larger than we read.
    pub const ANSWER_TOO_LARGE: &str = "answer_too_large";
    /// A redirect: this is not Slack's API, or not its present address.
    pub const REDIRECTED: &str = "redirected";
    /// A request that could not be built; a fault of our own.
    pub const BAD_REQUEST: &str = "bad_request";
}

/// A call that Slack refused, or that did not get through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{method}: {code}{}", parenthesised(.detail))]
pub struct Error {
    /// The method called.
    pub method: &'static str,
    /// Slack's `error` string, `http_<status>`, or one of [`code`].
    pub code: String,
    /// What follows from it.
    pub class: Class,
    /// How long Slack wants this method to rest; always there when rate limited.
    pub retry_after: Option<Duration>,
    /// The channel or user the call was about, as it was given.
    pub channel: Option<Box<str>>,
    /// Slack's explanation or the transport's reason; short, no body of an answer, no token.
    pub detail: String,
    /// The scopes Slack asks for, with `missing_scope`.
    pub needed: Option<Box<str>>,
}

impl Error {
    /// An error of this code, classified for its method and for the channel or user that it was about.
    pub fn new(method: &'static str, code: impl Into<String>, channel: Option<&str>) -> Self {
        let code = code.into();
        let class = classify_for(method, &code, channel);
        Self {
            method,
            code,
            class,
            retry_after: None,
            channel: channel.map(Into::into),
            detail: String::new(),
            needed: None,
        }
    }

    /// The same, with a reason. It is shortened to one line of at most 300 characters.
    #[must_use]
    pub fn because(mut self, detail: impl AsRef<str>) -> Self {
        self.detail = shorten(detail.as_ref(), 300);
        self
    }

    /// One sentence that says what to do; the scope is named when Slack named it.
    pub fn remedy(&self) -> String {
        self.remedy_for(DEFAULT_BOT)
    }

    /// The same for a bot of this name, which a person may have to invite.
    pub fn remedy_for(&self, bot: &str) -> String {
        if let ("missing_scope", Some(needed)) = (&*self.code, &self.needed) {
            return remedy::missing_scope(needed);
        }
        remedy(&self.code, self.channel.as_deref().unwrap_or(remedy::THE_CHANNEL), bot)
    }

    /// Whether something answered that is not Slack's Web API, or not where its methods are: the address is wrong.
    pub fn is_elsewhere(&self) -> bool {
        matches!(&*self.code, "http_404" | "unknown_method" | code::REDIRECTED)
    }

    /// Whether Slack asked us to slow down.
    pub fn is_rate_limit(&self) -> bool {
        is_rate_limit(&self.code)
    }
}

fn parenthesised(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(" ({detail})") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slack::method;

    #[test]
    fn the_missing_scope_is_named_by_its_present_name() {
        let mut error = Error::new(method::LOOKUP_BY_EMAIL, "missing_scope", None);
        error.needed = Some("users:read.email".into());
        assert_eq!(error.remedy(), "add the scope users:read.email and reinstall the app");
        error.needed = Some("chat:write:bot".into());
        assert_eq!(error.remedy(), "add the scope chat:write and reinstall the app");
    }

    #[test]
    fn an_error_reads_as_one_short_line() {
        let error = Error::new(method::UPDATE, "invalid_blocks", Some("C1")).because("a\n".repeat(1000));
        let text = error.to_string();
        assert!(text.starts_with("chat.update: invalid_blocks (a a a"), "{text}");
        assert!(!text.contains('\n') && text.len() < 400, "{text}");
        assert_eq!(Error::new(method::UPDATE, "no_text", None).to_string(), "chat.update: no_text");
    }
}
