//! Teleport's kinds of errors and the gRPC codes they become.

use tonic::{Code, Status};

/// Kind of an error inside Teleport. Source: Teleport's `trace` module and its mapping to gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The resource is not there.
    NotFound,
    /// The resource is there already.
    AlreadyExists,
    /// The caller may not do this.
    AccessDenied,
    /// A limit was hit.
    LimitExceeded,
    /// A compare-and-swap lost.
    CompareFailed,
    /// The call makes no sense.
    BadParameter,
    /// The server does not know how.
    NotImplemented,
    /// The connection or the stream broke.
    ConnectionProblem,
    /// An error without a kind.
    Other,
}

impl Kind {
    /// The gRPC code under which clients see this kind.
    pub fn code(self) -> Code {
        match self {
            Self::NotFound => Code::NotFound,
            Self::AlreadyExists => Code::AlreadyExists,
            Self::AccessDenied => Code::PermissionDenied,
            Self::LimitExceeded => Code::ResourceExhausted,
            Self::CompareFailed => Code::FailedPrecondition,
            Self::BadParameter => Code::InvalidArgument,
            Self::NotImplemented => Code::Unimplemented,
            Self::ConnectionProblem => Code::Unavailable,
            Self::Other => Code::Unknown,
        }
    }
}

/// An error as Teleport would report it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Trace {
    /// What kind of error.
    pub kind: Kind,
    /// Teleport's own words.
    pub message: String,
}

impl Trace {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// What Teleport says of newer kinds of resources.
    pub(crate) fn missing(kind: &str, name: &str) -> Self {
        Self::not_found(format!("{kind} {name:?} doesn't exist"))
    }

    pub(crate) fn denied(message: impl Into<String>) -> Self {
        Self::new(Kind::AccessDenied, message)
    }

    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::new(Kind::BadParameter, message)
    }
}

impl From<Trace> for Status {
    fn from(error: Trace) -> Self {
        Self::new(error.kind.code(), error.message)
    }
}

/// The code that a fault names in snake case, `unavailable` for example; `None` for a name that gRPC does not have.
pub(crate) fn code_named(name: &str) -> Option<Code> {
    let code = match name {
        "cancelled" => Code::Cancelled,
        "unknown" => Code::Unknown,
        "invalid_argument" => Code::InvalidArgument,
        "deadline_exceeded" => Code::DeadlineExceeded,
        "not_found" => Code::NotFound,
        "already_exists" => Code::AlreadyExists,
        "permission_denied" => Code::PermissionDenied,
        "resource_exhausted" => Code::ResourceExhausted,
        "failed_precondition" => Code::FailedPrecondition,
        "aborted" => Code::Aborted,
        "out_of_range" => Code::OutOfRange,
        "unimplemented" => Code::Unimplemented,
        "internal" => Code::Internal,
        "unavailable" => Code::Unavailable,
        "data_loss" => Code::DataLoss,
        "unauthenticated" => Code::Unauthenticated,
        _ => return None,
    };
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_becomes_the_code_that_teleports_clients_map_back() {
        let table = [
            (Kind::NotFound, 5),
            (Kind::AlreadyExists, 6),
            (Kind::AccessDenied, 7),
            (Kind::LimitExceeded, 8),
            (Kind::CompareFailed, 9),
            (Kind::BadParameter, 3),
            (Kind::NotImplemented, 12),
            (Kind::ConnectionProblem, 14),
            (Kind::Other, 2),
        ];
        for (kind, number) in table {
            assert_eq!(kind.code() as i32, number, "{kind:?}");
        }
    }
}
