//! What is undelivered, and why: for people, who read it as metrics and as the object's status.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;

use crate::access_request::RequestId;
use crate::config::recipient::RecipientKey;
use crate::delivery::effect::Standing;
use crate::delivery::machine;
use crate::slack::error::{Class, Error};

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
    /// Why the recipient is told of the request.
    pub standing: Standing,
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
    /// Deliveries to configured recipients that are not done.
    pub configured: usize,
    /// Since when the oldest of those waits.
    pub oldest_configured: Option<Timestamp>,
    /// The problem of each recipient that has one.
    pub problems: BTreeMap<String, Problem>,
    /// Suggested reviewers whom messages do not reach.
    pub unreachable_reviewers: usize,
    /// Requests that are not worked on any more, because their tasks have crashed again and again.
    pub set_aside: Vec<RequestId>,
    /// When a message last reached a recipient.
    pub last_success: Option<Timestamp>,
    /// Requests that nobody was to be told of.
    pub unrouted: usize,
    /// The last of them, and what to do.
    pub last_unrouted: Option<String>,
}

#[derive(Default)]
struct State {
    undelivered: BTreeMap<(RequestId, RecipientKey), Undelivered>,
    set_aside: BTreeSet<RequestId>,
    last_success: Option<Timestamp>,
    unrouted: usize,
    last_unrouted: Option<String>,
    /// Requests that were counted as unrouted already.
    counted: HashSet<RequestId>,
}

impl State {
    fn of_request(&self, request: &RequestId) -> impl Iterator<Item = (&RecipientKey, &Undelivered)> {
        let first = (request.clone(), RecipientKey::new(""));
        self.undelivered
            .range(first..)
            .take_while(move |((id, _), _)| id == request)
            .map(|((_, key), undelivered)| (key, undelivered))
    }
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
    /// Notes what is left to do for a request.
    pub fn update(&self, request: &RequestId, left: &[machine::Undelivered<'_>], remedy: impl Fn(&Error) -> String) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = false;
        let known: Vec<RecipientKey> = state.of_request(request).map(|(key, _)| key.clone()).collect();
        for key in known {
            if left.iter().all(|one| *one.recipient != key) {
                changed |= state.undelivered.remove(&(request.clone(), key)).is_some();
            }
        }
        for machine::Undelivered { recipient, standing, problem } in left {
            let key = (request.clone(), (*recipient).clone());
            let code = problem.filter(|error| !error.is_rate_limit()).map(|error| error.code.as_str());
            let known = state.undelivered.get(&key);
            let is_known = known.is_some_and(|known| {
                known.standing == *standing && known.problem.as_ref().map(|problem| problem.code.as_str()) == code
            });
            if is_known {
                continue;
            }
            let problem = problem.filter(|error| !error.is_rate_limit()).map(|error| Problem {
                code: error.code.clone(),
                remedy: remedy(error),
                of_recipient: matches!(error.class, Class::Config | Class::Recipient),
            });
            let since = known.map_or_else(Timestamp::now, |known| known.since);
            state.undelivered.insert(key, Undelivered { since, standing: *standing, problem });
            changed = true;
        }
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

    /// Notes that a request is set aside, because its task has crashed again and again.
    pub fn set_aside(&self, request: &RequestId) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).set_aside.insert(request.clone());
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
        // What a requester writes, and what is configured no more, never decides about the worker's health.
        let is_failing = |left: &Undelivered| left.problem.is_some() && left.standing == Standing::Configured;
        let failing = state.undelivered.values().filter(|left| is_failing(left));
        let failing_requests: BTreeSet<_> =
            state.undelivered.iter().filter(|(_, left)| is_failing(left)).map(|((id, _), _)| id).collect();
        let unreachable_reviewers: BTreeSet<_> = state
            .undelivered
            .iter()
            .filter(|(_, left)| left.problem.is_some() && left.standing == Standing::Suggested)
            .map(|((_, recipient), _)| recipient)
            .collect();
        let configured = || state.undelivered.values().filter(|left| left.standing == Standing::Configured);
        Summary {
            configured: configured().count(),
            oldest_configured: configured().map(|left| left.since).min(),
            pending: state.undelivered.len(),
            failing: failing.count(),
            failing_requests: failing_requests.len(),
            unrouted: state.unrouted,
            last_unrouted: state.last_unrouted.clone(),
            oldest: state.undelivered.values().map(|left| left.since).min(),
            problems: state
                .undelivered
                .iter()
                .filter(|(_, left)| is_failing(left))
                .filter_map(|((_, recipient), left)| Some((recipient.to_string(), left.problem.clone()?)))
                .collect(),
            unreachable_reviewers: unreachable_reviewers.len(),
            set_aside: state.set_aside.iter().cloned().collect(),
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

    fn refused(board: &Board, standing: Standing) {
        let error = Error::new("chat.postMessage", "not_in_channel", Some("#dba"));
        let recipient = RecipientKey::new("#dba");
        let left = [machine::Undelivered { recipient: &recipient, standing, problem: Some(&error) }];
        board.update(&id("a"), &left, |_| "invite @teleport to #dba".to_owned());
    }

    #[test]
    fn a_problem_is_shown_until_the_delivery_is_done() {
        let board = Board::default();
        refused(&board, Standing::Configured);
        let summary = board.summary();
        assert_eq!((summary.pending, summary.failing), (1, 1));
        assert_eq!(summary.problems["#dba"].remedy, "invite @teleport to #dba");
        board.update(&id("a"), &[], |_| String::new());
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
    fn a_suggested_reviewer_is_counted_and_fails_nothing() {
        let board = Board::default();
        refused(&board, Standing::Suggested);
        let summary = board.summary();
        assert_eq!((summary.failing, summary.unreachable_reviewers), (0, 1));
        assert!(summary.problems.is_empty());
        assert_eq!((summary.configured, summary.oldest_configured), (0, None));
    }

    #[test]
    fn a_recipient_that_is_configured_no_more_fails_nothing() {
        let board = Board::default();
        refused(&board, Standing::Former);
        assert_eq!(board.summary().failing, 0);
    }

    #[test]
    fn what_has_not_changed_is_no_news() {
        let board = Board::default();
        let mut changes = board.subscribe();
        refused(&board, Standing::Configured);
        changes.mark_unchanged();
        refused(&board, Standing::Configured);
        assert!(!changes.has_changed().unwrap());
        board.forget(&id("a"));
        assert!(changes.has_changed().unwrap());
    }
}
