//! Jittered exponential backoff; pure.

use std::time::Duration;

/// How long to wait before each further attempt: `base`, then `factor` times longer each time, never beyond `max`.
///
/// Up to half of each wait is left to chance ("equal jitter"): those who failed together do not come back together, and
/// nobody comes back at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    factor: f64,
}

/// Numbers that make no backoff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Waiting for nothing is a busy loop.
    #[error("backoff base must be longer than zero")]
    ZeroBase,
    /// The longest wait is shorter than the first.
    #[error("backoff maximum must not be shorter than its base")]
    MaxBelowBase,
    /// Waits would get shorter, or are not numbers.
    #[error("backoff factor must be a number and at least 1")]
    ShrinkingFactor,
}

impl Backoff {
    /// Checks the numbers.
    pub fn new(base: Duration, max: Duration, factor: f64) -> Result<Self, Invalid> {
        if base.is_zero() {
            return Err(Invalid::ZeroBase);
        }
        if max < base {
            return Err(Invalid::MaxBelowBase);
        }
        if !(factor.is_finite() && factor >= 1.0) {
            return Err(Invalid::ShrinkingFactor);
        }
        Ok(Self { base, max, factor })
    }

    /// Doubling waits, for constants in code: `base` is at least a millisecond, and `max` at least `base`.
    #[must_use]
    pub const fn doubling(base: Duration, max: Duration) -> Self {
        let base = longer(base, Duration::from_millis(1));
        Self { base, max: longer(max, base), factor: 2.0 }
    }

    /// The wait after `failures` failures in a row, without chance; zero failures mean no wait.
    #[must_use]
    pub fn ceiling(&self, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
        let exponent = i32::try_from(doublings).unwrap_or(i32::MAX);
        Duration::try_from_secs_f64(self.base.as_secs_f64() * self.factor.powi(exponent))
            .map_or(self.max, |wait| wait.clamp(self.base, self.max))
    }

    /// The wait after `failures` failures in a row. `chance` is between 0 and 1, fresh for every call, for instance
    /// `rand::random()`.
    #[must_use]
    pub fn delay(&self, failures: u32, chance: f64) -> Duration {
        let chance = if chance.is_finite() { chance.clamp(0.0, 1.0) } else { 1.0 };
        self.ceiling(failures).mul_f64(f64::midpoint(1.0, chance))
    }
}

// `Ord::max` is not const.
const fn longer(one: Duration, other: Duration) -> Duration {
    if one.as_nanos() < other.as_nanos() { other } else { one }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_double_up_to_the_maximum() {
        let backoff = Backoff::doubling(SECOND, 10 * SECOND);
        let waits: Vec<u64> = (0..7).map(|failures| backoff.ceiling(failures).as_secs()).collect();
        assert_eq!(waits, [0, 1, 2, 4, 8, 10, 10]);
    }

    #[test]
    fn a_constant_backoff_is_never_a_busy_loop() {
        assert_eq!(Backoff::doubling(Duration::ZERO, Duration::ZERO).ceiling(9), Duration::from_millis(1));
    }

    #[test]
    fn numbers_that_make_no_backoff_are_refused() {
        assert_eq!(Backoff::new(Duration::ZERO, SECOND, 2.0), Err(Invalid::ZeroBase));
        assert_eq!(Backoff::new(2 * SECOND, SECOND, 2.0), Err(Invalid::MaxBelowBase));
        for factor in [0.9, f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(Backoff::new(SECOND, SECOND, factor), Err(Invalid::ShrinkingFactor));
        }
    }

    proptest! {
        #[test]
        fn every_wait_lies_between_half_the_base_and_the_maximum(
            base in 1u64..1_000_000, over in 0u64..10_000_000, factor in 1.0f64..10.0, failures in 1u32.., chance in any::<f64>(),
        ) {
            let (base, max) = (Duration::from_micros(base), Duration::from_micros(base + over));
            let backoff = Backoff::new(base, max, factor).unwrap();
            let wait = backoff.delay(failures, chance);
            prop_assert!(wait >= base.mul_f64(0.5));
            prop_assert!(wait <= max);
        }

        #[test]
        fn more_failures_never_wait_less(failures in 0u32..u32::MAX, factor in 1.0f64..5.0, chance in 0.0f64..1.0) {
            let backoff = Backoff::new(SECOND, 300 * SECOND, factor).unwrap();
            prop_assert!(backoff.delay(failures, chance) <= backoff.delay(failures + 1, chance));
        }

        #[test]
        fn more_chance_never_waits_less(failures in 1u32.., low in 0.0f64..1.0, high in 0.0f64..1.0) {
            let backoff = Backoff::doubling(SECOND, 300 * SECOND);
            let (low, high) = (low.min(high), low.max(high));
            prop_assert!(backoff.delay(failures, low) <= backoff.delay(failures, high));
        }
    }
}
