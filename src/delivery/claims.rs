//! Claims of others, and since when this worker has seen them.
//!
//! A claim without its message is never final: whoever made it may have died. It is taken over after a grace time on the
//! observer's own monotonic clock, because the clocks of two machines cannot be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::delivery::record::Claim;

/// How long a claim is respected. Its owner sends within [`FRESH`] of beginning to store it, and Slack's answer is awaited
/// for at most 10 s, so that nothing of it can still be under way afterwards.
pub(crate) const GRACE: Duration = Duration::from_secs(20);
/// A claim that took longer than this to store is not acted upon, but renewed.
pub(crate) const FRESH: Duration = Duration::from_secs(8);

/// The claims of others that stand in the way.
#[derive(Debug, Default)]
pub(crate) struct ForeignClaims(BTreeMap<String, (Claim, Instant)>);

impl ForeignClaims {
    /// Notes that `claim` is there, and says when its grace time ends.
    pub(crate) fn see(&mut self, key: &str, claim: &Claim, now: Instant) -> Instant {
        let known = self.0.get(key).filter(|(known, _)| known == claim).map(|(_, since)| *since);
        let since = known.unwrap_or(now);
        self.0.insert(key.to_owned(), (claim.clone(), since));
        since + GRACE
    }

    /// Those whose grace time had ended when the record was last read, at `read`.
    pub(crate) fn abandoned(&self, read: Instant) -> BTreeSet<String> {
        self.0.iter().filter(|(_, (_, since))| *since + GRACE <= read).map(|(key, _)| key.clone()).collect()
    }

    /// Whether a grace time has ended since the record was read: it must be read again to know whether the claim stands.
    pub(crate) fn must_read_again(&self, read: Instant, now: Instant) -> bool {
        self.0.values().any(|(_, since)| (read..=now).contains(&(*since + GRACE)) && read < *since + GRACE)
    }

    /// Forgets the claims but those that `keep` names.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|key, _| keep(key));
    }
}

#[cfg(test)]
mod tests {
    use crate::delivery::claims::*;

    fn claim(n: u64) -> Claim {
        Claim { by: "other".to_owned(), at: 1, n }
    }

    #[test]
    fn a_claim_is_abandoned_only_once_it_was_read_again_after_the_grace_time() {
        let start = Instant::now();
        let mut claims = ForeignClaims::default();
        assert_eq!(claims.see("a", &claim(1), start), start + GRACE);
        assert!(claims.abandoned(start).is_empty());
        assert!(!claims.must_read_again(start, start + GRACE / 2));
        assert!(claims.must_read_again(start, start + GRACE));
        claims.see("a", &claim(1), start + GRACE);
        assert!(claims.abandoned(start + GRACE).contains("a"));
        assert!(!claims.must_read_again(start + GRACE, start + GRACE));
    }

    #[test]
    fn a_new_claim_gets_a_grace_time_of_its_own() {
        let start = Instant::now();
        let mut claims = ForeignClaims::default();
        claims.see("a", &claim(1), start);
        claims.see("a", &claim(2), start + GRACE);
        assert!(claims.abandoned(start + GRACE).is_empty());
    }
}
