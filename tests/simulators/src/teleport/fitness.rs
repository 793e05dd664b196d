//! Which faults a Teleport can have. The others are refused, so that no test waits for what cannot happen.

use super::error::code_named;
use crate::faults::{Effect, Fault};

/// Methods that answer with a stream.
pub(crate) const STREAMING: [&str; 5] =
    ["WatchEvents", "GetAccessRequestsV2", "GetUsers", "GetCurrentUserRoles", "Join"];
/// Methods that read and can therefore read something old.
const READING: [&str; 4] = ["ListAccessRequests", "GetAccessRequestsV2", "GetAccessRequests", "GetPluginData"];

/// The fault cannot happen here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this fault cannot happen to {method}: {reason}")]
pub struct Unfit {
    /// Method that it was meant for.
    pub method: String,
    /// Why not, and what would work.
    pub reason: String,
}

/// Whether a fault can ever apply.
pub(crate) fn check(fault: &Fault) -> Result<(), Unfit> {
    let any = fault.method == "*";
    let is_one_of = |methods: &[&str]| any || methods.contains(&fault.method.as_str());
    let reason = match &fault.effect {
        Effect::Error { code, .. } | Effect::ErrorAfter { code } if code_named(code).is_none() => {
            format!("{code:?} is no gRPC code; write it in snake case, for example unavailable")
        }
        Effect::ServerError { status } | Effect::ServerErrorAfter { status } if !(500..=599).contains(status) => {
            format!("{status} is no server error; use 500 to 599")
        }
        Effect::Cut | Effect::Stall | Effect::End | Effect::Duplicate if !is_one_of(&STREAMING) => {
            format!("it is for streams; use one of {}", STREAMING.join(", "))
        }
        Effect::StaleRead { .. } if !is_one_of(&READING) => {
            format!("it is for reads; use one of {}", READING.join(", "))
        }
        Effect::RateLimitedText { .. }
        | Effect::Redirect { .. }
        | Effect::Html
        | Effect::Huge { .. }
        | Effect::Drip { .. } => "it is for Slack".to_owned(),
        _ => return Ok(()),
    };
    Err(Unfit { method: fault.method.clone(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_that_cannot_happen_are_refused_with_the_remedy() {
        let error = |code: &str| Effect::Error { code: code.to_owned(), message: String::new() };
        let table = [
            ("Ping", error("unavailable"), true),
            ("Ping", error("channel_not_found"), false),
            ("Ping", Effect::ServerError { status: 502 }, true),
            ("Ping", Effect::ServerError { status: 200 }, false),
            ("Ping", Effect::Cut, false),
            ("WatchEvents", Effect::Cut, true),
            ("*", Effect::End, true),
            ("UpdatePluginData", Effect::StaleRead { millis: 1 }, false),
            ("GetPluginData", Effect::StaleRead { millis: 1 }, true),
        ];
        for (method, effect, fits) in table {
            let fault = Fault::once(method, effect);
            assert_eq!(check(&fault).is_ok(), fits, "{fault:?}");
        }
    }
}
