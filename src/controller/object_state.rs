//! What the controller remembers of each object of a scope between two reconciliations. Losing it costs a few needless requests.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::time::Instant;

use crate::controller::drift::{self, Written};
use crate::controller::status::Controlled;
use crate::crd::SlackAccessPlugin;

/// How long a worker may be silent; it reports at least once a minute.
const SILENCE: Duration = Duration::from_secs(150);

/// A watch that is refused is tried again, and refused again, within this time.
const REFUSED: Duration = Duration::from_mins(2);

/// Every object's notes, by UID; and whether the scope may be watched at all.
#[derive(Debug, Default)]
pub struct Memory {
    objects: Mutex<HashMap<String, Notes>>,
    refused: Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Notes {
    failures: u32,
    nudges: u32,
    nudged: Option<Instant>,
    written: BTreeMap<String, Written>,
    heard: Option<(Signs, Option<Instant>)>,
    unrouted: Option<i64>,
    said: Option<(String, Controlled)>,
    unreadable: Option<(Option<i64>, String)>,
}

/// What there is to hear of an object's workers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Signs {
    /// The time of the last report.
    pub last_report: Option<Time>,
    /// Whether a worker is ready whose first report has not come yet.
    pub first_report_is_due: bool,
}

/// Whether a worker still reports.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pulse {
    /// No worker has reported yet, and none could have.
    None,
    /// It does, or may be about to; it would be silent after this time.
    Alive(Duration),
    /// It did too long ago, or should have long since.
    Silent,
}

impl Memory {
    /// Counts a failure; how many there were in a row.
    pub fn note_failure(&self, uid: &str) -> u32 {
        self.with(uid, |notes| {
            notes.failures = notes.failures.saturating_add(1);
            notes.failures
        })
    }

    /// Ends the row of failures.
    pub fn note_success(&self, uid: &str) {
        self.with(uid, |notes| notes.failures = 0);
    }

    /// What was written last of a kind.
    pub fn written(&self, uid: &str, kind: &str) -> Option<Written> {
        self.with(uid, |notes| notes.written.get(kind).cloned())
    }

    /// Notes what was written of a kind.
    pub fn note_written(&self, uid: &str, kind: &str, written: Written) {
        self.with(uid, |notes| notes.written.insert(kind.to_owned(), written));
    }

    /// Tells from how long the signs have been the same whether the worker still reports. The time of a report is only compared
    /// with the one seen before, so that the clocks of the two need not agree. `was_silent`: that is what was said of it last,
    /// perhaps by a process before this one, to which an old report must not look new.
    pub fn pulse(&self, uid: &str, signs: Signs, was_silent: bool) -> Pulse {
        let now = Instant::now();
        self.with(uid, |notes| {
            let is_mute = signs == Signs::default();
            let since = match &notes.heard {
                Some((seen, since)) if *seen == signs => *since,
                before => {
                    let since = (before.is_some() || !was_silent).then_some(now);
                    notes.heard = Some((signs, since));
                    since
                }
            };
            match since.and_then(|since| SILENCE.checked_sub(now.duration_since(since))) {
                _ if is_mute => Pulse::None,
                Some(left) if !left.is_zero() => Pulse::Alive(left),
                _ => Pulse::Silent,
            }
        })
    }

    /// When the pods should next be touched so that their node looks for a changed Secret; `None` for now.
    pub fn nudge(&self, uid: &str) -> Option<Duration> {
        let now = Instant::now();
        self.with(uid, |notes| {
            let interval = nudge_interval(notes.nudges);
            match notes.nudged.and_then(|last| interval.checked_sub(now.duration_since(last))) {
                Some(left) if !left.is_zero() => Some(left),
                _ => {
                    notes.nudges = notes.nudges.saturating_add(1);
                    notes.nudged = Some(now);
                    None
                }
            }
        })
    }

    /// How many unrouted requests were known before `now` of them are. What was there before this process started is no news.
    pub fn unrouted(&self, uid: &str, now: i64) -> i64 {
        self.with(uid, |notes| notes.unrouted.replace(now).unwrap_or(now))
    }

    /// What was last said of an object, if this view of it does not show that yet.
    pub fn unseen(&self, uid: &str, plugin: &SlackAccessPlugin) -> Option<Controlled> {
        self.with(uid, |notes| {
            let (version, said) = notes.said.as_ref()?;
            let is_shown = plugin.metadata.resource_version.as_ref() == Some(version)
                || drift::is_newer(&plugin.metadata, version);
            if is_shown {
                notes.said = None;
                return None;
            }
            Some(said.clone())
        })
    }

    /// Notes what was said of an object, and the resource version that this made.
    pub fn note_said(&self, uid: &str, version: String, said: Controlled) {
        self.with(uid, |notes| notes.said = Some((version, said)));
    }

    /// Whether it is news that an object of this generation cannot be read, and why.
    pub fn is_news(&self, uid: &str, generation: Option<i64>, problem: &str) -> bool {
        self.with(uid, |notes| {
            let now = (generation, problem.to_owned());
            notes.unreadable.replace(now.clone()) != Some(now)
        })
    }

    /// Nothing is waited for any more.
    pub fn forget_nudges(&self, uid: &str) {
        self.with(uid, |notes| (notes.nudges, notes.nudged) = (0, None));
    }

    /// Notes that a watch of the scope was refused; whether that is news.
    pub fn note_refusal(&self) -> bool {
        let is_news = !self.is_refused();
        *lock(&self.refused) = Some(Instant::now());
        is_news
    }

    /// Whether watches of the scope are being refused.
    pub fn is_refused(&self) -> bool {
        lock(&self.refused).is_some_and(|last| last.elapsed() < REFUSED)
    }

    /// Drops the notes of objects that are gone.
    pub fn keep_only(&self, uids: &HashSet<String>) {
        lock(&self.objects).retain(|uid, _| uids.contains(uid));
    }

    fn with<T>(&self, uid: &str, act: impl FnOnce(&mut Notes) -> T) -> T {
        let mut objects = lock(&self.objects);
        if let Some(notes) = objects.get_mut(uid) {
            return act(notes);
        }
        act(objects.entry(uid.to_owned()).or_default())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Every five seconds for two minutes, then every half minute: a node by itself looks about once a minute.
const fn nudge_interval(nudges: u32) -> Duration {
    Duration::from_secs(if nudges < 24 { 5 } else { 30 })
}

#[cfg(test)]
mod tests {
    use crate::controller::object_state::*;

    fn reported(time: &str) -> Signs {
        Signs { last_report: Some(Time(time.parse().unwrap())), first_report_is_due: false }
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_is_silent_only_when_its_report_stays_the_same_for_long() {
        let memory = Memory::default();
        let (first, second) = (reported("2026-01-01T00:00:00Z"), reported("2020-01-01T00:00:00Z"));
        assert_eq!(memory.pulse("u", Signs::default(), false), Pulse::None);
        assert_eq!(memory.pulse("u", first.clone(), false), Pulse::Alive(SILENCE));
        tokio::time::advance(Duration::from_secs(149)).await;
        assert_eq!(memory.pulse("u", first, false), Pulse::Alive(Duration::from_secs(1)));
        // An earlier time is news as well: clocks may be set back.
        assert_eq!(memory.pulse("u", second.clone(), false), Pulse::Alive(SILENCE));
        tokio::time::advance(SILENCE).await;
        assert_eq!(memory.pulse("u", second, false), Pulse::Silent);
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_was_silent_before_this_process_started_is_so_until_it_reports() {
        let memory = Memory::default();
        let (old, new) = (reported("2026-01-01T00:00:00Z"), reported("2026-01-01T01:00:00Z"));
        assert_eq!(memory.pulse("u", old.clone(), true), Pulse::Silent);
        assert_eq!(memory.pulse("u", old, true), Pulse::Silent);
        assert_eq!(memory.pulse("u", new.clone(), true), Pulse::Alive(SILENCE));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(memory.pulse("u", new, false), Pulse::Alive(Duration::from_secs(149)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_never_reports_is_silent_too_once_it_has_been_ready_for_long() {
        let memory = Memory::default();
        for before in [Signs::default(), reported("2026-01-01T00:00:00Z")] {
            let due = Signs { first_report_is_due: true, ..before.clone() };
            memory.pulse("u", before.clone(), false);
            tokio::time::advance(SILENCE).await;
            assert_eq!(memory.pulse("u", due.clone(), false), Pulse::Alive(SILENCE));
            tokio::time::advance(SILENCE).await;
            assert_eq!(memory.pulse("u", due.clone(), false), Pulse::Silent);
            // Ready again after it was not: its time starts anew.
            memory.pulse("u", before, true);
            assert_eq!(memory.pulse("u", due, false), Pulse::Alive(SILENCE));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pods_are_touched_at_once_and_then_at_intervals() {
        let memory = Memory::default();
        assert_eq!(memory.nudge("u"), None);
        assert_eq!(memory.nudge("u"), Some(Duration::from_secs(5)));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(memory.nudge("u"), None);
        memory.forget_nudges("u");
        assert_eq!(memory.nudge("u"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_news_once_while_it_lasts() {
        let memory = Memory::default();
        assert!(!memory.is_refused());
        assert!(memory.note_refusal());
        tokio::time::advance(Duration::from_mins(1)).await;
        assert!(!memory.note_refusal());
        tokio::time::advance(Duration::from_secs(119)).await;
        assert!(memory.is_refused());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!memory.is_refused() && memory.note_refusal());
    }

    #[test]
    fn an_unreadable_object_is_news_once_for_each_generation() {
        let memory = Memory::default();
        let told = [(1, "a"), (1, "a"), (2, "a"), (2, "b")]
            .map(|(generation, why)| memory.is_news("u", Some(generation), why));
        assert_eq!(told, [true, false, true, true]);
    }

    #[test]
    fn failures_in_a_row_are_counted_for_each_object() {
        let memory = Memory::default();
        assert_eq!((memory.note_failure("a"), memory.note_failure("a"), memory.note_failure("b")), (1, 2, 1));
        memory.note_success("a");
        assert_eq!(memory.note_failure("a"), 1);
        memory.keep_only(&HashSet::from(["b".to_owned()]));
        assert_eq!((memory.note_failure("a"), memory.note_failure("b")), (1, 2));
    }
}
