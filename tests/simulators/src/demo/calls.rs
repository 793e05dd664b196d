//! The calls to both simulators in one form, for the page's timeline.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};

use crate::slack::{self, Outcome};
use crate::teleport::{Cluster, journal};

/// How a call ended, as far as a look at it tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Result {
    /// No answer yet; an open watch stays so.
    Open,
    /// Answered, and well.
    Ok,
    /// Answered with a refusal.
    Refused,
    /// No answer came.
    Lost,
}

/// One call.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Entry {
    /// Unique, and the same when the call is told again with its answer.
    key: String,
    /// `slack` or `teleport`.
    service: &'static str,
    /// Milliseconds since the epoch.
    at: u64,
    /// Method.
    method: String,
    /// What was asked.
    request: Value,
    /// How it ended.
    result: Result,
    /// The same in one or two words: `ok`, `channel_not_found`, `HTTP 500`, `Unavailable`.
    outcome: String,
    /// What was answered.
    answer: Value,
    /// The fault that was applied.
    fault: Option<String>,
    /// What the real service would hold against it.
    violations: Vec<String>,
}

impl From<&slack::Call> for Entry {
    fn from(call: &slack::Call) -> Self {
        let (result, outcome) = match call.outcome {
            Outcome::Open => (Result::Open, "no answer yet".to_owned()),
            Outcome::Lost => (Result::Lost, "done, but the answer was lost".to_owned()),
            Outcome::Reset => (Result::Lost, "connection reset".to_owned()),
            Outcome::Answered if call.ok() => (Result::Ok, "ok".to_owned()),
            Outcome::Answered => {
                let status = format!("HTTP {}", call.status);
                (Result::Refused, call.error().map_or(status, str::to_owned))
            }
        };
        Self {
            key: format!("slack-{}", call.seq),
            service: "slack",
            at: call.at / 1_000,
            method: call.method.clone(),
            request: call.args.clone(),
            result,
            outcome,
            answer: call.answer.clone(),
            fault: call.fault.clone(),
            violations: call.violations.clone(),
        }
    }
}

impl From<&journal::Call> for Entry {
    fn from(call: &journal::Call) -> Self {
        let (result, outcome) = match call.code.as_deref() {
            None => (Result::Open, "no answer yet"),
            Some("Ok") => (Result::Ok, "ok"),
            Some(code) => (Result::Refused, code),
        };
        Self {
            key: format!("teleport-{}", call.number),
            service: "teleport",
            at: call.at,
            method: call.method.clone(),
            request: json!(call.request),
            result,
            outcome: outcome.to_owned(),
            answer: if call.message.is_empty() { Value::Null } else { json!(call.message) },
            fault: call.fault.clone(),
            violations: Vec::new(),
        }
    }
}

/// How far one reader is. A call is told when it arrives, and again when it is answered.
#[derive(Default)]
pub(super) struct Reader {
    slack: Progress,
    teleport: Progress,
}

#[derive(Default)]
struct Progress {
    last: u64,
    open: BTreeSet<u64>,
}

impl Progress {
    /// Where to read from: the oldest call whose answer is not told yet.
    fn from(&self) -> u64 {
        self.open.first().map_or(self.last, |&open| (open - 1).min(self.last))
    }

    /// Whether there is something to tell about this call.
    fn is_news(&mut self, number: u64, is_open: bool) -> bool {
        let is_new = number > self.last;
        self.last = self.last.max(number);
        if is_open {
            self.open.insert(number);
            return is_new;
        }
        self.open.remove(&number) || is_new
    }

    /// Forgets open calls that are too old to be told again.
    fn trim(&mut self, kept: u64) {
        let oldest = self.last.saturating_sub(kept);
        self.open.retain(|&number| number > oldest);
    }
}

/// Calls looked back at: what a page that opens late is told, and how long an answer is waited for.
const WINDOW: u64 = 300;

impl Reader {
    /// What is new since the last time.
    pub(super) fn read(&mut self, slack: &slack::Handle, teleport: &Cluster) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        for call in slack.calls_after(self.slack.from().max(slack.call_count().saturating_sub(WINDOW))) {
            if self.slack.is_news(call.seq, call.outcome == Outcome::Open) {
                entries.push(Entry::from(&call));
            }
        }
        for call in teleport.calls_after(self.teleport.from()) {
            if self.teleport.is_news(call.number, call.code.is_none()) {
                entries.push(Entry::from(&call));
            }
        }
        self.slack.trim(WINDOW);
        self.teleport.trim(WINDOW);
        entries.sort_by_key(|entry| entry.at);
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_told_when_it_arrives_and_when_it_is_answered_and_not_again() {
        let mut progress = Progress::default();
        let told = [(1, true), (1, true), (2, false), (1, false), (1, false), (2, false)]
            .map(|(number, is_open)| progress.is_news(number, is_open));
        assert_eq!(told, [true, false, true, true, false, false]);
    }

    #[test]
    fn reading_starts_at_the_oldest_open_call() {
        let mut progress = Progress::default();
        progress.is_news(3, true);
        progress.is_news(4, false);
        assert_eq!(progress.from(), 2);
        progress.is_news(3, false);
        assert_eq!(progress.from(), 4);
    }
}
