//! Claims: whose they are, how long they are respected, and since when this worker has seen them.
//!
//! A claim without its message is never final: the worker that made it may have died. It is taken over after a grace time
//! on the observer's own monotonic clock, because the clocks of two machines cannot be compared. The grace time belongs to
//! the claim (worker and number), not to the recipient: a newer claim begins a new one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::config::recipient::RecipientKey;
use crate::delivery::record::Claim;

/// How long a call to Slack waits for its answer.
pub const SLACK_TIMEOUT: Duration = Duration::from_secs(10);
/// A claim that took longer than this to store is not acted upon, but given up.
pub const FRESH: Duration = Duration::from_secs(8);
/// How long a claim of another worker is respected.
pub const GRACE: Duration = Duration::from_secs(20);
// A send begins within FRESH of its claim and is answered within SLACK_TIMEOUT: nothing of it is under way after GRACE.
const _: () = assert!(FRESH.as_millis() + SLACK_TIMEOUT.as_millis() < GRACE.as_millis());

/// Names one worker process. Claims are made in its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerId {
    /// Where it runs: a pod, or a place on a machine that one process holds at a time.
    host: String,
    /// The process, new with each start.
    incarnation: String,
}

impl WorkerId {
    /// A worker on this host. No two live processes may have the same host.
    pub fn new(host: impl Into<String>, incarnation: impl Into<String>) -> Self {
        let without_dot = |text: String| text.replace('.', "-");
        Self { host: without_dot(host.into()), incarnation: without_dot(incarnation.into()) }
    }

    /// The name in claims.
    pub fn name(&self) -> String {
        format!("{}.{}", self.host, self.incarnation)
    }

    /// Whether `name` is of this process or of an earlier one at its place, which is dead.
    pub fn is_or_was(&self, name: &str) -> bool {
        name.split_once('.').is_some_and(|(host, _)| host == self.host)
    }

    /// Whether `name` is of a worker of another object: the part of a host before its hyphen names the object that it works
    /// for. Hosts without a hyphen work for none.
    pub fn is_of_another_object(&self, name: &str) -> bool {
        let object = |host: &str| host.split_once('-').map(|(object, _)| object.to_owned());
        let theirs = name.split_once('.').and_then(|(host, _)| object(host));
        theirs.zip(object(&self.host)).is_some_and(|(theirs, ours)| theirs != ours)
    }

    /// Whether `name` is of an earlier process at this place.
    pub fn succeeds(&self, name: &str) -> bool {
        self.is_or_was(name) && name != self.name()
    }
}

/// The claims of others that stand in the way, and since when each was seen.
#[derive(Debug, Default)]
pub struct ForeignClaims(BTreeMap<RecipientKey, (Claim, Instant)>);

impl ForeignClaims {
    /// Notes that `claim` is there, and tells since when it has been seen.
    pub fn see(&mut self, key: &RecipientKey, claim: &Claim, now: Instant) -> Instant {
        let known = self.0.get(key).filter(|(known, _)| known == claim).map(|(_, since)| *since);
        let since = known.unwrap_or(now);
        self.0.insert(key.clone(), (claim.clone(), since));
        since
    }

    /// Whether no claim of this recipient was seen.
    pub fn is_unseen(&self, key: &RecipientKey) -> bool {
        !self.0.contains_key(key)
    }

    /// Whether this very claim had outlived its grace time when the record was last read, at `read`.
    pub fn is_abandoned(&self, key: &RecipientKey, claim: &Claim, read: Instant) -> bool {
        self.0.get(key).is_some_and(|(known, since)| known == claim && *since + GRACE <= read)
    }

    /// Forgets the claims of recipients but those that `keep` names.
    pub fn retain(&mut self, keep: impl Fn(&RecipientKey) -> bool) {
        self.0.retain(|key, _| keep(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(n: u64) -> Claim {
        Claim { by: "other.1".to_owned(), at: 1, n }
    }

    fn key() -> RecipientKey {
        RecipientKey::new("#a")
    }

    #[test]
    fn the_grace_time_is_twenty_seconds_and_a_claim_is_fresh_for_eight() {
        assert_eq!((GRACE, FRESH, SLACK_TIMEOUT).0.as_secs(), 20);
        assert_eq!(FRESH.as_secs(), 8);
        assert_eq!(SLACK_TIMEOUT.as_secs(), 10);
    }

    #[test]
    fn a_claim_is_abandoned_only_once_it_was_read_again_after_the_grace_time() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut claims = ForeignClaims::default();
        assert_eq!(claims.see(&key(), &claim(1), start), start);
        assert!(!claims.is_abandoned(&key(), &claim(1), start + 19 * second));
        assert!(claims.is_abandoned(&key(), &claim(1), start + 20 * second));
    }

    #[test]
    fn a_new_claim_gets_a_grace_time_of_its_own() {
        let start = Instant::now();
        let mut claims = ForeignClaims::default();
        claims.see(&key(), &claim(1), start);
        assert!(!claims.is_abandoned(&key(), &claim(2), start + GRACE), "another claim than the one that was seen");
        assert_eq!(claims.see(&key(), &claim(2), start + GRACE), start + GRACE);
        assert!(!claims.is_abandoned(&key(), &claim(2), start + GRACE));
    }

    #[test]
    fn an_earlier_process_of_the_same_host_is_dead() {
        let me = WorkerId::new("pod.a", "2");
        assert!(me.succeeds(&WorkerId::new("pod.a", "1").name()));
        assert!(!me.succeeds(&me.name()), "this process is alive");
        assert!(!me.succeeds(&WorkerId::new("pod.b", "1").name()));
        assert!(!me.succeeds("0123456789abcdef"), "a claim of an earlier release names no host");
    }
}
