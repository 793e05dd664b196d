//! What a call to the Auth service can end in, and which of it is worth trying again.

use std::time::Duration;

use tonic::{Code, Status};

use crate::cause::with_innermost;
use crate::teleport::right::Right;

/// A failed call.
#[derive(Debug, thiserror::Error)]
#[error("Teleport's {method} failed: {message} ({kind})")]
pub struct CallError {
    /// The method, without its service.
    pub method: &'static str,
    /// What it means.
    pub kind: Kind,
    /// The server's words, or the transport's.
    pub message: String,
}

/// What a failed call means. Teleport maps its own error kinds to gRPC codes; this maps them back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The resource does not exist.
    NotFound,
    /// It exists already: a second review of the same author, for instance.
    AlreadyExists,
    /// A compare-and-swap found other values than expected: read again, decide again.
    CompareFailed,
    /// The identity's roles do not allow it.
    AccessDenied,
    /// The server does not know the method: it is older, or lacks a licence.
    Unimplemented,
    /// The server refuses the arguments.
    BadParameter,
    /// A message is larger than one side takes: ask for less.
    TooLarge,
    /// The server sheds load.
    LimitExceeded,
    /// No answer, or the connection broke: the outcome of a write is unknown.
    Unavailable,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotFound => "not found",
            Self::AlreadyExists => "already exists",
            Self::CompareFailed => "changed by somebody else",
            Self::AccessDenied => "access denied",
            Self::Unimplemented => "not known to this server",
            Self::BadParameter => "bad parameter",
            Self::TooLarge => "too large",
            Self::LimitExceeded => "limit exceeded",
            Self::Unavailable => "unavailable",
        })
    }
}

impl CallError {
    /// Classifies a gRPC status.
    pub(crate) fn new(method: &'static str, status: &Status) -> Self {
        let kind = match status.code() {
            // A certificate whose user or role is gone gets NotFound for every call: nothing may be decided from it.
            Code::NotFound if status.message().starts_with(DENIED) => Kind::AccessDenied,
            Code::NotFound => Kind::NotFound,
            // Teleport's CompareFailed travels as FailedPrecondition, not as Aborted.
            Code::FailedPrecondition => Kind::CompareFailed,
            Code::PermissionDenied | Code::Unauthenticated => Kind::AccessDenied,
            Code::Unimplemented => Kind::Unimplemented,
            Code::InvalidArgument => Kind::BadParameter,
            Code::AlreadyExists => Kind::AlreadyExists,
            // tonic and gRPC for Go tell it with these codes.
            Code::OutOfRange => Kind::TooLarge,
            Code::ResourceExhausted if status.message().contains("larger than max") => Kind::TooLarge,
            Code::ResourceExhausted => Kind::LimitExceeded,
            _ => Kind::Unavailable,
        };
        Self { method, kind, message: describe(status) }
    }

    /// No answer within the deadline.
    pub(crate) fn deadline(method: &'static str, after: Duration) -> Self {
        Self { method, kind: Kind::Unavailable, message: format!("no answer within {} s", after.as_secs()) }
    }

    /// Whether Teleport refuses a record of plugin data for its size (`MaxResourceSize` of its `lib/services`).
    pub fn is_too_large(&self) -> bool {
        self.kind == Kind::BadParameter && self.message.contains("size limit")
    }

    /// The one right that the identity lacks for this call, where Teleport names it.
    pub fn missing_right(&self) -> Option<Right> {
        Right::in_refusal(&self.message)
    }

    /// Whether the identity was refused, whatever the code: a certificate whose user or role is gone gets `NotFound` with
    /// these words.
    pub fn is_denial(&self) -> bool {
        self.kind == Kind::AccessDenied || self.message.starts_with(DENIED)
    }

    /// Whether it is the identity itself that is refused, not a right of its roles: the user is locked or gone (Teleport's
    /// `lib/authz` and `lib/services/local`). `Ping` needs no right.
    pub fn is_of_identity(&self) -> bool {
        let is_gone = self.message.starts_with(DENIED) && self.message.contains("not found");
        self.kind == Kind::AccessDenied && (self.method == "Ping" || self.is_lock() || is_gone)
    }

    /// Whether a lock is in force.
    pub fn is_lock(&self) -> bool {
        self.message.contains("is in force")
    }

    /// Whether the same call may succeed later without anybody's help.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, Kind::Unavailable | Kind::LimitExceeded | Kind::CompareFailed)
    }
}

/// How a refusal begins.
const DENIED: &str = "access denied";

/// How rustls says that a connection ended without a farewell, as it does when the server is killed; a link to its manual follows.
const CUT_OFF: &str = "without sending TLS close_notify";

/// The status message; for transport failures also the innermost cause, which says what really happened.
fn describe(status: &Status) -> String {
    // Teleport puts a cause on a line of its own, indented.
    let words = status.message().lines().map(str::trim).collect::<Vec<_>>().join(": ");
    let message = with_innermost(words, status);
    if message.is_empty() {
        status.code().description().to_owned()
    } else if message.contains(CUT_OFF) {
        "the server closed the connection".to_owned()
    } else {
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_that_was_removed_is_a_refusal_and_no_missing_request() {
        let status = Status::not_found("access denied\n\tuser \"bot-slack\" not found");
        let error = CallError::new("GetPluginData", &status);
        assert_eq!(error.kind, Kind::AccessDenied);
        assert_eq!(error.message, "access denied: user \"bot-slack\" not found");
        let request = Status::not_found("no access request matching \"x\"");
        assert_eq!(CallError::new("GetPluginData", &request).kind, Kind::NotFound);
    }

    #[test]
    fn a_failed_comparison_arrives_as_failed_precondition() {
        let status = Status::failed_precondition("expectations not met for field \"messages\"");
        let error = CallError::new("UpdatePluginData", &status);
        assert_eq!(error.kind, Kind::CompareFailed);
        assert!(error.is_transient());
        assert_eq!(
            error.to_string(),
            "Teleport's UpdatePluginData failed: expectations not met for field \"messages\" (changed by somebody else)"
        );
    }

    #[test]
    fn a_connection_that_was_cut_off_is_said_without_the_words_of_a_library() {
        let cause = "peer closed connection without sending TLS close_notify: https://example.com/unexpected-eof";
        let status = Status::from_error(Box::new(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, cause)));
        let error = CallError::new("WatchEvents", &status);
        assert_eq!(error.to_string(), "Teleport's WatchEvents failed: the server closed the connection (unavailable)");
    }

    #[test]
    fn not_found_with_words_of_a_refusal_is_a_refusal_of_the_identity() {
        let gone = Status::not_found("access denied: user \"slack-plugin\" is not found");
        let error = CallError::new("UpdatePluginData", &gone);
        assert_eq!(error.kind, Kind::AccessDenied);
        assert!(error.is_of_identity() && error.is_denial());
        let missing = CallError::new("UpdatePluginData", &Status::not_found("access request is not found"));
        assert_eq!(missing.kind, Kind::NotFound);
        let right = Status::permission_denied("access denied to perform action \"update\" on \"access_plugin_data\"");
        assert!(!CallError::new("UpdatePluginData", &right).is_of_identity());
        let lock = Status::permission_denied("lock targeting User:\"slack-plugin\" is in force");
        assert!(CallError::new("UpdatePluginData", &lock).is_of_identity());
    }

    #[test]
    fn codes_without_a_teleport_meaning_count_as_unknown_outcome() {
        for status in [Status::unknown("x"), Status::internal("x"), Status::cancelled("x"), Status::unavailable("x")] {
            assert_eq!(CallError::new("Ping", &status).kind, Kind::Unavailable);
        }
    }
}
