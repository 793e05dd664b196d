//! What the controller remembers of each object between two reconciliations. Losing it costs a few needless requests.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::time::Instant;

use super::plan::{self, Written};
use super::status::Controlled;
use crate::crd::SlackAccessPlugin;

/// How long a worker may be silent; it reports at least once a minute.
const SILENCE: Duration = Duration::from_secs(150);

/// Every object's notes, by UID.
#[derive(Debug, Default)]
pub struct Memory {
    objects: Mutex<HashMap<String, Notes>>,
}

#[derive(Debug, Default)]
struct Notes {
    failures: u32,
    nudges: u32,
    nudged: Option<Instant>,
    written: BTreeMap<String, Written>,
    heard: Option<(Time, Instant)>,
    unrouted: Option<i64>,
    said: Option<(String, Controlled)>,
    unreadable: Option<(Option<i64>, String)>,
}

/// Whether a worker still reports.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pulse {
    /// No worker has reported yet.
    None,
    /// It does; it would be silent after this time.
    Alive(Duration),
    /// It did, too long ago.
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

    /// Tells from the time of the last report whether the worker still reports. The time is only compared with the one seen before,
    /// so that the clocks of the two need not agree.
    pub fn pulse(&self, uid: &str, last_report: Option<&Time>) -> Pulse {
        let Some(last_report) = last_report else { return Pulse::None };
        let now = Instant::now();
        self.with(uid, |notes| match &notes.heard {
            Some((time, since)) if time == last_report => match SILENCE.checked_sub(now.duration_since(*since)) {
                Some(left) if !left.is_zero() => Pulse::Alive(left),
                _ => Pulse::Silent,
            },
            _ => {
                notes.heard = Some((last_report.clone(), now));
                Pulse::Alive(SILENCE)
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
            let is_shown =
                plugin.metadata.resource_version.as_ref() == Some(version) || plan::is_newer(&plugin.metadata, version);
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

    /// Drops the notes of objects that are gone.
    pub fn keep_only(&self, uids: &HashSet<String>) {
        self.lock().retain(|uid, _| uids.contains(uid));
    }

    fn with<T>(&self, uid: &str, act: impl FnOnce(&mut Notes) -> T) -> T {
        let mut objects = self.lock();
        if let Some(notes) = objects.get_mut(uid) {
            return act(notes);
        }
        act(objects.entry(uid.to_owned()).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Notes>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every five seconds for two minutes, then every half minute: a node by itself looks about once a minute.
const fn nudge_interval(nudges: u32) -> Duration {
    Duration::from_secs(if nudges < 24 { 5 } else { 30 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Time {
        Time(text.parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_is_silent_only_when_its_report_stays_the_same_for_long() {
        let memory = Memory::default();
        let (first, second) = (time("2026-01-01T00:00:00Z"), time("2020-01-01T00:00:00Z"));
        assert_eq!(memory.pulse("u", None), Pulse::None);
        assert_eq!(memory.pulse("u", Some(&first)), Pulse::Alive(SILENCE));
        tokio::time::advance(Duration::from_secs(149)).await;
        assert_eq!(memory.pulse("u", Some(&first)), Pulse::Alive(Duration::from_secs(1)));
        // An earlier time is news as well: clocks may be set back.
        assert_eq!(memory.pulse("u", Some(&second)), Pulse::Alive(SILENCE));
        tokio::time::advance(SILENCE).await;
        assert_eq!(memory.pulse("u", Some(&second)), Pulse::Silent);
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
