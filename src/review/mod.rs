//! What follows from a click: who it was, whether the review may be recorded, and what the person is told. Pure.
//!
//! `origin` says whether a click is of our workspace and app; `machine` walks one review from the click to its end, one step at a time;
//! `outcome` holds the ends and their words. The driver that makes the calls is `worker::review`.
//!
//! Two promises hold here. A review is submitted only for the one Teleport user that is tied to the Slack user of the envelope: the
//! content of a button or a form never says who reviews. And every walk ends in an [`outcome::Outcome`], which has words for the person.

pub mod machine;
pub mod origin;
pub mod outcome;

use crate::config::ReasonPolicy;

/// Most bytes of a reason: what Teleport takes (`maxAccessRequestReasonSize` of its `lib/services`).
pub const LONGEST_REASON: usize = 4096;

/// What a reviewer wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// To approve.
    Approve,
    /// To deny.
    Deny,
}

impl Decision {
    /// As in logs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Deny => "deny",
        }
    }

    /// What was done, in a sentence.
    pub fn done(self) -> &'static str {
        match self {
            Self::Approve => "approved",
            Self::Deny => "denied",
        }
    }

    /// Whether a review with this decision needs a reason.
    pub fn needs_reason(self, policy: ReasonPolicy) -> bool {
        match policy {
            ReasonPolicy::Never | ReasonPolicy::Optional => false,
            ReasonPolicy::OnDeny => self == Self::Deny,
            ReasonPolicy::Always => true,
        }
    }
}

/// A reason as it is submitted: without control characters but line breaks and tabs, and without space around it.
pub fn clean_reason(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let kept: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    kept.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_to_give_a_reason() {
        use Decision::{Approve, Deny};
        for (policy, needed) in [
            (ReasonPolicy::Never, [false, false]),
            (ReasonPolicy::Optional, [false, false]),
            (ReasonPolicy::OnDeny, [false, true]),
            (ReasonPolicy::Always, [true, true]),
        ] {
            assert_eq!([Approve.needs_reason(policy), Deny.needs_reason(policy)], needed, "{policy:?}");
        }
    }

    #[test]
    fn a_reason_keeps_its_lines_and_loses_what_no_person_types() {
        assert_eq!(clean_reason("  a\r\nb\rc\t\u{0}\u{1b}[31m <!channel> \n"), "a\nb\nc\t[31m <!channel>");
        assert_eq!(clean_reason(" \u{0}\n "), "");
    }
}
