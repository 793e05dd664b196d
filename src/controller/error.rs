//! Why a reconciliation did not reach its end.

use std::time::Duration;

use kube::runtime::watcher;

use crate::cause::of_kube;
use crate::controller::{policy, resources, validate};
use crate::crd::reason::Reason;

/// Why a reconciliation did not reach its end. Everything here is also said in the object's status.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object does not fit its definition: it was written under another version of it.
    #[error("the object does not fit this version of the operator: {0}")]
    Unreadable(String),
    /// The spec cannot work as it is.
    #[error(transparent)]
    Rejected(#[from] validate::Rejection),
    /// The spec asks for something that the operator's policy does not allow.
    #[error(transparent)]
    Forbidden(#[from] policy::Refusal),
    /// Another object keeps its records under the same plugin name on the same Teleport cluster.
    #[error(
        "the plugin name `{name}` is that of {holder} on this Teleport cluster, and each would take the other's messages for its own: set another one in spec.pluginName"
    )]
    PluginNameShared {
        /// The plugin name.
        name: String,
        /// The other object, as `namespace/name`.
        holder: String,
    },
    /// An object could not be rendered.
    #[error(transparent)]
    Build(#[from] resources::Error),
    /// Something of the same name is there and was not made for this object.
    #[error(
        "{kind} `{name}` exists and was not made by the operator; rename or delete it, or give this object another name"
    )]
    NameTaken {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// Something made for an earlier object of the same name is still being deleted.
    #[error("{kind} `{name}` of an earlier object of this name is still being deleted")]
    PredecessorRemains {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// The definition lacks a field that this version writes.
    #[error(
        "the definition of SlackAccessPlugin is older than the operator ({0}): apply crds/slackaccessplugins.yaml of version {version}",
        version = env!("CARGO_PKG_VERSION")
    )]
    DefinitionOutdated(String),
    /// The calls on behalf of one object took too long.
    #[error("the Kubernetes API did not answer within {} s", .0.as_secs())]
    Unanswered(Duration),
    /// The Kubernetes API refused or failed.
    #[error("failed to {action} {kind} `{name}`: {}", of_kube(source))]
    Kube {
        /// What was tried.
        action: &'static str,
        /// The kind of the object in question.
        kind: String,
        /// Its name.
        name: String,
        /// What the API said.
        #[source]
        source: Box<kube::Error>,
    },
}

impl Error {
    /// The word for conditions and events.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Unreadable(_) | Self::Rejected(_) | Self::Build(_) => Reason::InvalidSpec,
            Self::Forbidden(_) => Reason::PolicyRefused,
            Self::PluginNameShared { .. } => Reason::PluginNameShared,
            Self::NameTaken { .. } => Reason::NameTaken,
            Self::DefinitionOutdated(_) => Reason::DefinitionOutdated,
            Self::PredecessorRemains { .. } | Self::Unanswered(_) | Self::Kube { .. } => Reason::ApplyFailed,
        }
    }

    /// Whether only somebody's change can help.
    #[must_use]
    pub fn needs_person(&self) -> bool {
        match self {
            Self::Unreadable(_)
            | Self::Rejected(_)
            | Self::Forbidden(_)
            | Self::Build(_)
            | Self::PluginNameShared { .. }
            | Self::NameTaken { .. }
            | Self::DefinitionOutdated(_) => true,
            Self::PredecessorRemains { .. } | Self::Unanswered(_) => false,
            Self::Kube { source, .. } => is_refusal(source),
        }
    }

    /// Whether the same input gives the same error: then only a change of the object is worth another try.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Unreadable(_) | Self::Rejected(_) | Self::Forbidden(_) | Self::Build(_))
    }
}

/// Whether the API server understood and said no. Such an answer may change without the object changing (quota, RBAC).
fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 400 | 403 | 422))
}

/// Whether the API server refuses a watch, with its code: what is watched is not ours to see, or not there.
#[must_use]
pub fn refusal_of_watch(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status.code).filter(|code| matches!(code, 403 | 404)),
        _ => None,
    }
}

/// Why a watch broke, in the API's words.
#[must_use]
pub fn of_watch(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error) => format!("cannot list: {}", of_kube(error)),
        watcher::Error::WatchStartFailed(error) => format!("cannot watch: {}", of_kube(error)),
        watcher::Error::WatchFailed(error) => format!("the watch ended: {}", of_kube(error)),
        watcher::Error::WatchError(status) => format!("the API server ended the watch: {}", status.message),
        watcher::Error::NoResourceVersion => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("no answer")]
    struct Unanswered(#[source] std::io::Error);

    #[test]
    fn a_broken_watch_is_said_in_the_words_of_the_api() {
        let status = kube::core::Status::failure("pods is forbidden: no list", "Forbidden").with_code(403);
        let error = watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status.clone())));
        assert_eq!(refusal_of_watch(&error), Some(403));
        assert_eq!(of_watch(&error), "cannot list: pods is forbidden: no list");
        let error = watcher::Error::WatchError(Box::new(status));
        assert_eq!(of_watch(&error), "the API server ended the watch: pods is forbidden: no list");
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = kube::Error::Service(Box::new(std::io::Error::other(Unanswered(refused))));
        assert_eq!(refusal_of_watch(&watcher::Error::NoResourceVersion), None);
        let said = of_watch(&watcher::Error::WatchStartFailed(error));
        assert!(said.starts_with("cannot watch: ") && said.ends_with("no answer: connection refused"), "{said}");
    }
}
