//! How fast one stream of calls may go: at once until Slack refuses one, then at the published pace for a while.

use std::time::{Duration, Instant};

/// How long a stream keeps to its pace after Slack's latest refusal.
const COOLDOWN: Duration = Duration::from_mins(10);
/// A stream whose calls are so far apart is not refused because of its own speed.
const LEISURE: Duration = Duration::from_secs(5);

/// The published pace of a stream, and how it is widened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Published {
    /// Between two calls.
    pub interval: Duration,
    /// Added when Slack refuses a call although the pace was kept: calls do not all travel equally fast, and other
    /// workers may use the same allowance.
    pub step: Duration,
    /// No wider than this.
    pub widest: Duration,
}

/// One stream of calls.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// When the latest call began.
    last: Option<Instant>,
    /// Whether the call before that was less than [`LEISURE`] earlier.
    busy: bool,
    /// Slack refuses calls before this.
    paused_until: Option<Instant>,
    /// The pace is kept until then.
    cooling_until: Option<Instant>,
    /// Added to the published interval while the pace is kept.
    widened: Duration,
}

impl Pace {
    /// When the next call may begin: `now`, or later.
    pub(super) fn ready_at(&self, published: Published, now: Instant) -> Instant {
        self.prepare_at(published, Duration::ZERO, now)
    }

    /// When to prepare the next call, which takes up to `lead`. No pause is anticipated.
    pub(super) fn prepare_at(&self, published: Published, lead: Duration, now: Instant) -> Instant {
        let interval = (published.interval + self.widened).saturating_sub(lead);
        let paced = self.last.filter(|_| self.is_limited(now)).map(|last| last + interval);
        [paced, self.pause_end(now)].into_iter().flatten().fold(now, Instant::max)
    }

    /// Notes that a call begins.
    pub(super) fn take(&mut self, now: Instant) {
        self.busy = self.last.is_some_and(|last| now < last + LEISURE);
        self.last = self.last.max(Some(now));
    }

    /// Slack refused a call and takes none for `retry_after`. Returns whether that may be due to the speed of this stream.
    pub(super) fn refuse(&mut self, published: Published, retry_after: Duration, now: Instant) -> bool {
        let paced = self.is_limited(now);
        let paused = self.pause_end(now).is_some();
        // Calls that were under way when the pause began are refused too; they tell nothing new.
        if paced && !paused {
            self.widened = (self.widened + published.step).min(published.widest.saturating_sub(published.interval));
        }
        if !paced {
            self.widened = Duration::ZERO;
        }
        self.pause(now + retry_after);
        self.cooling_until = Some(now + COOLDOWN);
        self.busy
    }

    fn pause(&mut self, until: Instant) {
        self.paused_until = self.paused_until.max(Some(until));
    }

    /// Both streams are one.
    pub(super) fn merge(&mut self, other: Self) {
        self.last = self.last.max(other.last);
        self.busy |= other.busy;
        self.paused_until = self.paused_until.max(other.paused_until);
        self.cooling_until = self.cooling_until.max(other.cooling_until);
        self.widened = self.widened.max(other.widened);
    }

    /// The end of the pause that Slack asked for, if it lasts.
    pub(super) fn pause_end(&self, now: Instant) -> Option<Instant> {
        self.paused_until.filter(|until| *until > now)
    }

    /// Whether Slack has lately refused a call.
    pub(super) fn is_limited(&self, now: Instant) -> bool {
        self.cooling_until.is_some_and(|until| until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: Published = Published {
        interval: Duration::from_secs(1),
        step: Duration::from_millis(100),
        widest: Duration::from_millis(1_150),
    };

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn nothing_waits_until_slack_refuses() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.take(now);
        assert_eq!(pace.ready_at(PUBLISHED, now), now);
    }

    #[test]
    fn after_a_refusal_comes_a_pause_and_then_the_published_pace_for_ten_minutes() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.refuse(PUBLISHED, millis(3_000), now);
        let resumed = now + millis(3_000);
        assert_eq!(pace.ready_at(PUBLISHED, now), resumed);
        pace.take(resumed);
        assert_eq!(pace.ready_at(PUBLISHED, resumed), resumed + millis(1_000));
        let later = now + COOLDOWN;
        pace.take(later);
        assert_eq!(pace.ready_at(PUBLISHED, later), later);
    }

    #[test]
    fn the_pace_widens_when_keeping_it_does_not_help_but_not_without_end() {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        let mut intervals = Vec::new();
        for _ in 0..4 {
            pace.refuse(PUBLISHED, millis(1_000), now);
            now += millis(1_000);
            pace.take(now);
            intervals.push(pace.ready_at(PUBLISHED, now) - now);
        }
        assert_eq!(intervals, [1_000, 1_100, 1_150, 1_150].map(millis));
    }

    #[test]
    fn calls_that_were_under_way_when_the_pause_began_do_not_widen_it() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        for _ in 0..3 {
            pace.refuse(PUBLISHED, millis(1_000), now);
        }
        pace.take(now + millis(1_000));
        assert_eq!(pace.ready_at(PUBLISHED, now + millis(1_000)), now + millis(2_000));
    }

    #[test]
    fn a_stream_of_rare_calls_is_not_refused_because_of_its_speed() {
        let now = Instant::now();
        let may_be_its_speed = |gap: Duration| {
            let mut pace = Pace::default();
            pace.take(now);
            pace.take(now + gap);
            pace.refuse(PUBLISHED, millis(1_000), now + gap)
        };
        assert!(may_be_its_speed(millis(1_200)));
        assert!(!may_be_its_speed(millis(5_000)));
    }
}
