//! Rate limits as a pure decision over time (Slack docs: rate limits).

use std::collections::{HashMap, VecDeque};

use super::settings::Limits;

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;

/// How often a method may be called a minute; `Special` methods have rules of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tier {
    One,
    Two,
    Three,
    Four,
    Special(u32),
}

impl Tier {
    fn per_minute(self) -> u32 {
        match self {
            Self::One => 1,
            Self::Two => 20,
            Self::Three => 50,
            Self::Four => 100,
            Self::Special(calls) => calls,
        }
    }
}

/// What is limited as one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Bucket {
    /// One method of one app in one team.
    Method { team: String, app: String, method: &'static str },
    /// Posts of one app into one channel.
    Channel { app: String, channel: String },
}

/// The outcome for one call, all times in microseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    /// HTTP 429; `Retry-After` in seconds. `ignored`: a 429 had told the caller to wait and it did not.
    Limited {
        retry_after: u64,
        ignored: bool,
    },
}

#[derive(Default)]
struct Window {
    calls: VecDeque<u64>,
    /// Set by the last 429: until when, and when it was said.
    closed: Option<(u64, u64)>,
}

/// The state of all buckets.
#[derive(Default)]
pub(super) struct Limiter {
    windows: HashMap<Bucket, Window>,
}

impl Limiter {
    /// One call of a method.
    pub(super) fn call(&mut self, limits: &Limits, bucket: Bucket, tier: Tier, now: u64) -> Verdict {
        let Bucket::Method { method, .. } = bucket else { return Verdict::Pass };
        let allowed = limits.per_method.get(method).copied().unwrap_or(match method {
            "chat.postMessage" => limits.workspace_per_minute,
            _ => tier.per_minute(),
        });
        self.take(limits, bucket, allowed, MINUTE, now)
    }

    /// One message into a channel: a bucket of `channel_burst` messages that fills up by one a second.
    pub(super) fn post(&mut self, limits: &Limits, bucket: Bucket, now: u64) -> Verdict {
        let burst = limits.channel_burst.max(1);
        self.take(limits, bucket, burst, u64::from(burst) * SECOND, now)
    }

    fn take(&mut self, limits: &Limits, bucket: Bucket, allowed: u32, window: u64, now: u64) -> Verdict {
        if !limits.enabled {
            return Verdict::Pass;
        }
        let state = self.windows.entry(bucket).or_default();
        while state.calls.front().is_some_and(|at| at + window <= now) {
            state.calls.pop_front();
        }
        let grace = u64::try_from(limits.grace.as_micros()).unwrap_or(u64::MAX);
        let closed = state.closed.filter(|(until, _)| *until > now);
        if let Some((until, said)) = closed {
            return Verdict::Limited { retry_after: seconds(until - now), ignored: now > said.saturating_add(grace) };
        }
        let full = state.calls.len() >= usize::try_from(allowed).unwrap_or(usize::MAX);
        if full && let Some(oldest) = state.calls.front() {
            let retry_after = seconds(oldest + window - now);
            state.closed = Some((now + retry_after * SECOND, now));
            return Verdict::Limited { retry_after, ignored: false };
        }
        state.calls.push_back(now);
        Verdict::Pass
    }

    /// A 429 from elsewhere (a fault) closes the bucket as one of ours would.
    pub(super) fn close(&mut self, bucket: Bucket, retry_after: u64, now: u64) {
        self.windows.entry(bucket).or_default().closed = Some((now + retry_after * SECOND, now));
    }

    /// The verdict of a window that a fault closed, when limits are off otherwise.
    pub(super) fn closed(&self, limits: &Limits, bucket: &Bucket, now: u64) -> Verdict {
        let grace = u64::try_from(limits.grace.as_micros()).unwrap_or(u64::MAX);
        match self.windows.get(bucket).and_then(|window| window.closed).filter(|(until, _)| *until > now) {
            Some((until, said)) => {
                Verdict::Limited { retry_after: seconds(until - now), ignored: now > said.saturating_add(grace) }
            }
            None => Verdict::Pass,
        }
    }
}

/// Whole seconds, rounded up, at least one.
fn seconds(micros: u64) -> u64 {
    micros.div_ceil(SECOND).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(method: &'static str) -> Bucket {
        Bucket::Method { team: "T".into(), app: "A".into(), method }
    }

    #[test]
    fn a_tier_allows_its_number_of_calls_a_minute_and_no_other_method_suffers() {
        let (mut limiter, limits) = (Limiter::default(), Limits::default());
        for n in 0..20 {
            assert_eq!(limiter.call(&limits, method("users.list"), Tier::Two, n * SECOND), Verdict::Pass);
        }
        let refused = limiter.call(&limits, method("users.list"), Tier::Two, 20 * SECOND);
        assert_eq!(refused, Verdict::Limited { retry_after: 40, ignored: false });
        assert_eq!(limiter.call(&limits, method("users.info"), Tier::Four, 20 * SECOND), Verdict::Pass);
        let again = limiter.call(&limits, method("users.list"), Tier::Two, 30 * SECOND);
        assert_eq!(again, Verdict::Limited { retry_after: 30, ignored: true });
        assert_eq!(limiter.call(&limits, method("users.list"), Tier::Two, 60 * SECOND), Verdict::Pass);
    }

    #[test]
    fn a_channel_takes_one_message_a_second_after_its_burst() {
        let (mut limiter, limits) = (Limiter::default(), Limits::lenient());
        let channel = |id: &str| Bucket::Channel { app: "A".into(), channel: id.into() };
        for _ in 0..5 {
            assert_eq!(limiter.post(&limits, channel("C1"), 0), Verdict::Pass);
        }
        assert!(matches!(limiter.post(&limits, channel("C1"), 1), Verdict::Limited { .. }));
        assert_eq!(limiter.post(&limits, channel("C2"), 1), Verdict::Pass);
    }

    #[test]
    fn an_app_opens_ten_connections_a_minute_where_limits_are_lenient_and_one_where_they_are_strict() {
        for (limits, allowed) in [(Limits::lenient(), 10), (Limits::default(), 1)] {
            let mut limiter = Limiter::default();
            let mut open = || limiter.call(&limits, method("apps.connections.open"), Tier::One, 0);
            assert!((0..allowed).all(|_| open() == Verdict::Pass));
            assert!(matches!(open(), Verdict::Limited { .. }));
        }
    }

    #[test]
    fn a_call_that_was_in_flight_when_the_429_was_said_is_no_violation() {
        let (mut limiter, limits) = (Limiter::default(), Limits::default());
        limiter.close(method("users.info"), 1, 0);
        let verdict = limiter.call(&limits, method("users.info"), Tier::Four, 100_000);
        assert_eq!(verdict, Verdict::Limited { retry_after: 1, ignored: false });
    }
}
