//! What an error that wraps others is about.

use std::error::Error;

/// `text`, and behind it the innermost cause of `error`, which says what really happened, unless `text` holds it already.
pub(crate) fn with_innermost(text: String, error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    match causes.last().map(ToString::to_string) {
        Some(cause) if text.is_empty() => cause,
        Some(cause) if !text.contains(&cause) => format!("{text}: {cause}"),
        _ => text,
    }
}

/// What the Kubernetes API said, without the debugging form that kube adds; where it said nothing, the innermost cause too: why
/// nobody answered.
pub(crate) fn of_kube(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => with_innermost(other.to_string(), other),
    }
}
