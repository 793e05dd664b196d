//! When to join again; pure. All times are spans since the last join, so that no clock but a steady one is needed.

use std::time::Duration;

use crate::backoff::Backoff;

/// Between attempts while Teleport cannot be reached.
const RETRY: Backoff = Backoff::doubling(Duration::from_secs(1), Duration::from_mins(1));
/// Between attempts while Teleport refuses: an administrator may mend what it refuses for.
const REFUSED: Duration = Duration::from_mins(1);
/// Joins outside the schedule are at least this far apart.
pub const SHORTEST: Duration = Duration::from_mins(1);

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a certificate that lives this long.
    Joined {
        /// From now to its end, by the server's clock.
        life: Duration,
    },
    /// Teleport cannot be reached or is not well, for the `failures`th time in a row.
    Unreachable {
        /// Counts from 1.
        failures: u32,
    },
    /// Teleport refuses.
    Refused,
}

/// How long to wait before the next join. `chance` is between 0 and 1.
///
/// A certificate is renewed when a third of its life is over, give or take a tenth of that: two renewals in a row may fail before it
/// ends, and several workers spread out.
pub fn next(outcome: Outcome, chance: f64) -> Duration {
    let jitter = 0.9 + 0.2 * chance.clamp(0.0, 1.0);
    match outcome {
        Outcome::Joined { life } => (life / 3).mul_f64(jitter),
        Outcome::Unreachable { failures } => RETRY.delay(failures, chance),
        Outcome::Refused => REFUSED.mul_f64(jitter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn a_certificate_is_renewed_when_a_third_of_its_life_is_over() {
        for (chance, expected) in [(0.0, 18), (0.5, 20), (1.0, 22)] {
            let waited = next(Outcome::Joined { life: HOUR }, chance);
            assert_eq!(waited.as_secs().div_ceil(60), expected, "{chance}: {waited:?}");
        }
    }

    #[test]
    fn two_renewals_may_fail_before_a_certificate_ends() {
        let latest = next(Outcome::Joined { life: HOUR }, 1.0);
        assert!(latest * 2 + REFUSED * 2 < HOUR);
    }

    #[test]
    fn a_refusal_is_looked_at_again_each_minute_and_an_outage_sooner_at_first() {
        let refused = next(Outcome::Refused, 0.5);
        assert_eq!(refused, Duration::from_mins(1));
        let first = next(Outcome::Unreachable { failures: 1 }, 1.0);
        let later = next(Outcome::Unreachable { failures: 20 }, 1.0);
        assert!(first <= Duration::from_secs(2), "{first:?}");
        assert!(later > Duration::from_secs(20) && later <= Duration::from_mins(1), "{later:?}");
    }
}
