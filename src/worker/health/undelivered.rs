//! What is undelivered, and why: for people, who read it as metrics and as the object's status.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;

use crate::access_request::RequestId;

/// Why a recipient could not be told, and what helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Slack's error string, or one of our own.
    pub code: String,
    /// One sentence: what to do.
    pub remedy: String,
    /// Only this recipient cannot be reached; others can.
    pub of_recipient: bool,
}

/// One delivery that is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// Since when.
    pub since: Timestamp,
    /// What stands in the way; none while it is just under way.
    pub problem: Option<Problem>,
}

/// A summary of the board.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Deliveries that are not done.
    pub pending: usize,
    /// Those among them that have failed.
    pub failing: usize,
    /// Requests that the failed ones belong to.
    pub failing_requests: usize,
    /// Since when the oldest waits.
    pub oldest: Option<Timestamp>,
    /// The problem of each recipient that has one.
    pub problems: BTreeMap<String, Problem>,
    /// When a message last reached somebody.
    pub last_success: Option<Timestamp>,
    /// Requests that nobody was to be told of.
    pub unrouted: usize,
    /// The last of them, and what to do.
    pub last_unrouted: Option<String>,
}

#[derive(Default)]
struct State {
    undelivered: BTreeMap<(RequestId, String), Undelivered>,
    last_success: Option<Timestamp>,
    unrouted: usize,
    last_unrouted: Option<String>,
    /// Requests that were counted as unrouted already.
    counted: HashSet<RequestId>,
}

/// The board. Clones share it.
#[derive(Clone)]
pub struct Board {
    state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<u64>>,
}

impl Default for Board {
    fn default() -> Self {
        Self { state: Arc::default(), changed: Arc::new(watch::Sender::new(0)) }
    }
}

impl Board {
    /// Notes what is left to do for one recipient of a request, or that nothing is.
    pub fn set(&self, request: &RequestId, recipient: &str, left: Option<Option<Problem>>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (request.clone(), recipient.to_owned());
        let changed = match left {
            None => state.undelivered.remove(&key).is_some(),
            Some(problem) => match state.undelivered.get_mut(&key) {
                Some(known) if known.problem == problem => false,
                Some(known) => {
                    known.problem = problem;
                    true
                }
                None => {
                    state.undelivered.insert(key, Undelivered { since: Timestamp::now(), problem });
                    true
                }
            },
        };
        drop(state);
        if changed {
            self.notify();
        }
    }

    /// Forgets a request.
    pub fn forget(&self, request: &RequestId) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.undelivered.len();
        state.undelivered.retain(|(id, _), _| id != request);
        let changed = state.undelivered.len() != before;
        drop(state);
        if changed {
            self.notify();
        }
    }

    /// Notes that somebody was told something.
    pub fn delivered(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).last_success = Some(Timestamp::now());
        self.notify();
    }

    /// Notes that a request reaches no recipient. Whether that is news: a request is counted once, however often it is
    /// listed.
    pub fn unrouted(&self, request: &RequestId, roles: &[String]) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.counted.insert(request.clone()) {
            return false;
        }
        state.unrouted += 1;
        state.last_unrouted = Some(format!(
            "request {request} for {}: add the role, or \"*\", to roleToRecipients",
            if roles.is_empty() { "no role".to_owned() } else { roles.join(", ") }
        ));
        drop(state);
        self.notify();
        true
    }

    /// Forgets requests that were counted as unrouted and are `open` no more.
    pub fn retain_unrouted(&self, open: impl Fn(&RequestId) -> bool) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).counted.retain(open);
    }

    /// What stands on it now.
    pub fn summary(&self) -> Summary {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let failing = state.undelivered.values().filter(|left| left.problem.is_some());
        let failing_requests: BTreeSet<_> =
            state.undelivered.iter().filter(|(_, left)| left.problem.is_some()).map(|((id, _), _)| id).collect();
        Summary {
            pending: state.undelivered.len(),
            failing: failing.count(),
            failing_requests: failing_requests.len(),
            unrouted: state.unrouted,
            last_unrouted: state.last_unrouted.clone(),
            oldest: state.undelivered.values().map(|left| left.since).min(),
            problems: state
                .undelivered
                .iter()
                .filter_map(|((_, recipient), left)| Some((recipient.clone(), left.problem.clone()?)))
                .collect(),
            last_success: state.last_success,
        }
    }

    /// Tells when something changes.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn notify(&self) {
        self.changed.send_modify(|version| *version += 1);
    }
}

#[cfg(test)]
mod tests {
    use crate::worker::health::undelivered::*;

    fn id(name: &str) -> RequestId {
        RequestId(name.to_owned())
    }

    fn problem() -> Problem {
        Problem { code: "not_in_channel".to_owned(), remedy: "invite @teleport to #dba".to_owned(), of_recipient: true }
    }

    #[test]
    fn a_problem_is_shown_until_the_delivery_is_done() {
        let board = Board::default();
        board.set(&id("a"), "#dba", Some(None));
        board.set(&id("a"), "#dba", Some(Some(problem())));
        let summary = board.summary();
        assert_eq!((summary.pending, summary.failing), (1, 1));
        assert_eq!(summary.problems["#dba"], problem());
        board.set(&id("a"), "#dba", None);
        assert_eq!(board.summary(), Summary::default());
    }

    #[test]
    fn a_request_that_reaches_no_recipient_is_counted_once() {
        let board = Board::default();
        assert!(board.unrouted(&id("a"), &[]));
        assert!(!board.unrouted(&id("a"), &[]), "listed again");
        assert!(board.unrouted(&id("b"), &[]));
        board.retain_unrouted(|request| *request == id("a"));
        assert!(!board.unrouted(&id("a"), &[]));
        assert_eq!(board.summary().unrouted, 2);
    }

    #[test]
    fn nobody_is_told_of_what_has_not_changed() {
        let board = Board::default();
        let mut changes = board.subscribe();
        board.set(&id("a"), "#dba", Some(None));
        changes.mark_unchanged();
        board.set(&id("a"), "#dba", Some(None));
        assert!(!changes.has_changed().unwrap());
        board.forget(&id("a"));
        assert!(changes.has_changed().unwrap());
    }
}
