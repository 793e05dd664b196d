//! The record of every call, and of what real Slack would have held against it.

use std::collections::VecDeque;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Not answered yet, or never (a hang).
    Open,
    /// Answered.
    Answered,
    /// The connection was closed without an answer, after the effect.
    Lost,
    /// The connection was closed before any effect.
    Reset,
}

/// One call of the Web API.
#[derive(Clone, Debug, Serialize)]
pub struct Call {
    /// Number of the call, from 1.
    pub seq: u64,
    /// Method name from the URL.
    pub method: String,
    /// Arrival, microseconds since the epoch on the simulator's clock.
    pub at: u64,
    /// `bot`, `user`, `app`, `unknown` or `none`; never the token itself.
    pub token: &'static str,
    /// Arguments as they were understood; the token is left out.
    pub args: Value,
    /// Answer's body, as far as one was made.
    pub answer: Value,
    /// HTTP status; 0 while there is none.
    pub status: u16,
    /// Microseconds until the answer was ready.
    pub duration: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// The injected fault, if one applied.
    pub fault: Option<String>,
    /// What real Slack would refuse or warn about.
    pub violations: Vec<String>,
}

impl Call {
    /// Answered with `"ok":true`.
    pub fn ok(&self) -> bool {
        self.answer.get("ok") == Some(&Value::Bool(true))
    }

    /// The answer's `error`.
    pub fn error(&self) -> Option<&str> {
        self.answer.get("error")?.as_str()
    }
}

/// Something that real Slack would refuse, warn about or punish.
#[derive(Clone, Debug, Serialize)]
pub struct Violation {
    /// Method or place.
    pub method: String,
    /// What is wrong with it.
    pub what: String,
    /// The call's arguments or the frame, so that the culprit can be found.
    pub body: Value,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} in {}", self.method, self.what, self.body)
    }
}

/// The last calls, oldest first.
#[derive(Default)]
pub(super) struct Journal {
    calls: VecDeque<Call>,
    last_seq: u64,
}

impl Journal {
    /// Notes the arrival and returns the call's number.
    pub(super) fn open(&mut self, capacity: usize, call: Option<Call>) -> u64 {
        self.last_seq += 1;
        if let Some(call) = call {
            while self.calls.len() >= capacity.max(1) {
                self.calls.pop_front();
            }
            self.calls.push_back(Call { seq: self.last_seq, ..call });
        }
        self.last_seq
    }

    /// The call of this number, if it is still kept.
    pub(super) fn get_mut(&mut self, seq: u64) -> Option<&mut Call> {
        let index = self.calls.binary_search_by_key(&seq, |call| call.seq).ok()?;
        self.calls.get_mut(index)
    }

    pub(super) fn calls(&self) -> impl Iterator<Item = &Call> {
        self.calls.iter()
    }

    pub(super) fn after(&self, seq: u64) -> impl Iterator<Item = &Call> {
        self.calls.range(self.calls.partition_point(|call| call.seq <= seq)..)
    }

    pub(super) fn clear(&mut self) {
        self.calls.clear();
    }

    /// Calls so far, kept or not.
    pub(super) fn count(&self) -> u64 {
        self.last_seq
    }
}
