//! Conditions of the status: one builder, one truncation.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::crd::reason::Reason;

/// Longer messages are cut, in characters: a table has to stay readable.
pub const LONGEST_MESSAGE: usize = 1024;

/// A reason and what it means here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The word that scripts match.
    pub reason: Reason,
    /// What is wrong and what to do, in one line and without any secret.
    pub message: String,
}

impl Finding {
    /// A reason and what it means here.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Not known yet.
    Unknown,
}

impl Status {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// Builds a condition. Its transition time stays that of `before` while the status is the same.
#[must_use]
pub fn condition(
    type_: &str,
    status: Status,
    (reason, message): (&str, &str),
    generation: Option<i64>,
    before: Option<&Condition>,
    now: &Time,
) -> Condition {
    let unchanged = before.filter(|before| before.status == status.as_str());
    Condition {
        type_: type_.to_owned(),
        status: status.as_str().to_owned(),
        reason: reason.to_owned(),
        message: shortened(message),
        observed_generation: generation,
        last_transition_time: unchanged.map_or_else(|| now.clone(), |before| before.last_transition_time.clone()),
    }
}

fn shortened(message: &str) -> String {
    match message.char_indices().nth(LONGEST_MESSAGE) {
        Some((end, _)) => format!("{}…", message.get(..end).unwrap_or_default()),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(second: i64) -> Time {
        Time(k8s_openapi::jiff::Timestamp::from_second(second).unwrap())
    }

    fn built(status: Status, before: Option<&Condition>, second: i64) -> Condition {
        condition("Ready", status, ("Working", "ä"), None, before, &time(second))
    }

    #[test]
    fn the_transition_time_moves_only_when_the_status_flips() {
        let first = built(Status::True, None, 1);
        assert_eq!(built(Status::True, Some(&first), 2).last_transition_time, time(1));
        assert_eq!(built(Status::False, Some(&first), 2).last_transition_time, time(2));
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let long = condition("Ready", Status::False, ("Working", &"ä".repeat(2_000)), None, None, &time(1));
        assert_eq!(long.message.chars().count(), LONGEST_MESSAGE + 1);
        assert!(long.message.ends_with('…'));
    }
}
