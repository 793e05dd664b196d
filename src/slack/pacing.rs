//! When the next call may start, so that Slack's rate limits are met before Slack has to say so. Pure: the clock is given,
//! nothing sleeps here.
//!
//! Slack's rules: about one message a second a channel with short bursts; "several hundred" messages a minute in a
//! workspace; every other method so many calls a minute by tier. A 429 with `Retry-After` counts for its method only, and
//! for posts, as far as anybody can tell, for the channel that was too fast.
//!
//! How to post: take the channel's [`super::turn::ChannelTurn`], [`Pacing::reserve`], sleep until then, then check
//! [`Pacing::ready_at`] once more, because another call may have been limited meanwhile.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::method;

/// Between two messages in one channel, once the burst is used up. Some more than a second: one call may travel faster than
/// the one before it.
const CHANNEL_INTERVAL: Duration = Duration::from_millis(1_100);
/// Messages that may follow each other at once in a channel that was quiet.
const CHANNEL_BURST: u32 = 3;
/// For how long a channel that Slack has limited gets no burst.
const PENANCE: Duration = Duration::from_mins(10);
/// Messages in all channels together: 240 a minute and never more than 280, which is below every figure reported for
/// "several hundred".
const WORKSPACE: Rate = Rate { interval: Duration::from_millis(250), burst: 40 };
/// Channels that are remembered before the idle ones are forgotten.
const SWEEP_ABOVE: usize = 1024;

/// A pace: one call an interval on average, `burst` at once after a rest.
#[derive(Clone, Copy, Debug)]
struct Rate {
    interval: Duration,
    burst: u32,
}

impl Rate {
    /// The pace of a method. In no minute more calls than `burst` + 60 s / `interval`: 45 where Slack permits 50 or more
    /// (tier 3 and 4), 18 where it permits 20 (tier 2).
    fn of(method: &str) -> Self {
        match method {
            method::POST_MESSAGE => WORKSPACE,
            method::LIST => Self { interval: Duration::from_secs(5), burst: 6 },
            _ => Self { interval: Duration::from_secs(2), burst: 15 },
        }
    }

    /// How far a call may run ahead of the average pace.
    fn slack(self) -> Duration {
        self.interval * self.burst.saturating_sub(1)
    }
}

/// One paced stream of calls (the generic cell rate algorithm: one instant is the whole state).
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    /// When the calls reserved so far would be through at the average pace.
    backlog_until: Option<Instant>,
    /// The latest place handed out; the next is never earlier.
    last: Option<Instant>,
    /// Slack said: not before.
    paused_until: Option<Instant>,
}

impl Pace {
    fn ready(&self, rate: Rate, now: Instant) -> Instant {
        let paced = self.backlog_until.and_then(|until| until.checked_sub(rate.slack()));
        [paced, self.last, self.paused_until].into_iter().flatten().fold(now, Instant::max)
    }

    fn take(&mut self, rate: Rate, now: Instant) -> Instant {
        let at = self.ready(rate, now);
        self.backlog_until = Some(self.backlog_until.map_or(at, |until| until.max(at)) + rate.interval);
        self.last = Some(at);
        at
    }

    fn pause(&mut self, rate: Rate, until: Instant) {
        self.paused_until = self.paused_until.max(Some(until));
        // What waits must not leave in one burst when the pause is over.
        self.backlog_until = self.backlog_until.max(Some(until + rate.slack()));
    }

    /// The end of the pause in force.
    fn pause_end(&self, now: Instant) -> Option<Instant> {
        self.paused_until.filter(|&until| until > now)
    }

    fn is_idle(&self, now: Instant) -> bool {
        [self.backlog_until, self.last, self.paused_until].into_iter().flatten().all(|until| until <= now)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Channel {
    pace: Pace,
    /// Without burst until then.
    penance_until: Option<Instant>,
}

impl Channel {
    fn rate(&self, now: Instant) -> Rate {
        let burst = if self.penance_until.is_some_and(|until| until > now) { 1 } else { CHANNEL_BURST };
        Rate { interval: CHANNEL_INTERVAL, burst }
    }
}

/// The schedule of one workspace's calls.
#[derive(Debug, Default)]
pub struct Pacing {
    channels: HashMap<String, Channel>,
    methods: HashMap<&'static str, Pace>,
}

impl Pacing {
    /// A schedule with nothing on it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next place for a message in `channel` and says when it may start. Places of one channel are handed out in
    /// order: each starts no earlier than the one before.
    pub fn reserve(&mut self, channel: &str, now: Instant) -> Instant {
        self.sweep(now);
        // The workspace's place is taken at its own time: a slow channel holds up nobody else.
        let workspace = self.methods.entry(method::POST_MESSAGE).or_default().take(WORKSPACE, now);
        let entry = self.channels.entry(channel.to_owned()).or_default();
        entry.pace.take(entry.rate(now), workspace)
    }

    /// Takes the next place for a call of any method but `chat.postMessage`, and says when it may start.
    pub fn reserve_call(&mut self, method: &'static str, now: Instant) -> Instant {
        self.methods.entry(method).or_default().take(Rate::of(method), now)
    }

    /// Slack has answered a call of `method` (about `channel`) with a rate limit: nothing of the kind before `retry_after`
    /// has passed.
    ///
    /// A limited post pauses its channel. When another channel is paused at the same time it is the workspace that is too
    /// fast, and all posts pause. Other methods always pause as a whole.
    pub fn limited(&mut self, method: &'static str, channel: Option<&str>, retry_after: Duration, now: Instant) {
        let until = now + retry_after;
        let Some(channel) = channel.filter(|_| method == method::POST_MESSAGE) else {
            self.methods.entry(method).or_default().pause(Rate::of(method), until);
            return;
        };
        let others = self.channels.iter().filter(|(name, _)| *name != channel);
        if let Some(other) = others.filter_map(|(_, entry)| entry.pace.pause_end(now)).max() {
            self.methods.entry(method).or_default().pause(WORKSPACE, until.max(other));
        }
        let entry = self.channels.entry(channel.to_owned()).or_default();
        entry.penance_until = Some(now + PENANCE);
        entry.pace.pause(entry.rate(now), until);
    }

    /// When a call that has its reservation may start: now, or when the pause that Slack asked for is over. Limits may
    /// have become known after the reservation was made.
    pub fn ready_at(&self, method: &str, channel: Option<&str>, now: Instant) -> Instant {
        let all = self.methods.get(method);
        let one = channel
            .filter(|_| method == method::POST_MESSAGE)
            .and_then(|channel| self.channels.get(channel))
            .map(|entry| &entry.pace);
        all.into_iter().chain(one).filter_map(|pace| pace.pause_end(now)).fold(now, Instant::max)
    }

    fn sweep(&mut self, now: Instant) {
        if self.channels.len() > SWEEP_ABOVE {
            self.channels
                .retain(|_, entry| !entry.pace.is_idle(now) || entry.penance_until.is_some_and(|until| until > now));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POST: &str = method::POST_MESSAGE;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn start() -> Instant {
        // Far enough from the clock's beginning for subtractions.
        Instant::now() + seconds(10_000)
    }

    #[test]
    fn a_quiet_channel_takes_three_messages_at_once_and_then_one_a_second() {
        let (mut pacing, now) = (Pacing::new(), start());
        let starts: Vec<_> = (0..6).map(|_| (pacing.reserve("C1", now) - now).as_millis()).collect();
        assert_eq!(starts, [0, 0, 0, 1_100, 2_200, 3_300]);
        assert_eq!(pacing.reserve("C2", now), now, "another channel does not wait");
        let later = now + seconds(60);
        assert_eq!((pacing.reserve("C1", later), pacing.reserve("C1", later)), (later, later), "it has rested");
    }

    #[test]
    fn a_limited_channel_rests_alone_and_loses_its_burst_for_ten_minutes() {
        let (mut pacing, now) = (Pacing::new(), start());
        pacing.limited(POST, Some("C1"), seconds(30), now);
        assert_eq!(pacing.ready_at(POST, Some("C1"), now), now + seconds(30));
        assert_eq!(pacing.ready_at(POST, Some("C2"), now), now);
        assert_eq!(pacing.ready_at(method::UPDATE, Some("C1"), now), now);
        let starts: Vec<_> = (0..3).map(|_| (pacing.reserve("C1", now) - now).as_millis()).collect();
        assert_eq!(starts, [30_000, 31_100, 32_200]);
        let soon = now + seconds(599);
        assert_eq!((pacing.reserve("C1", soon), pacing.reserve("C1", soon)), (soon, soon + CHANNEL_INTERVAL));
        let forgiven = now + seconds(700);
        assert_eq!((pacing.reserve("C1", forgiven), pacing.reserve("C1", forgiven)), (forgiven, forgiven));
    }

    #[test]
    fn two_limited_channels_mean_that_the_workspace_is_too_fast() {
        let (mut pacing, now) = (Pacing::new(), start());
        pacing.limited(POST, Some("C1"), seconds(30), now);
        pacing.limited(POST, Some("C1"), seconds(30), now + seconds(1));
        assert_eq!(
            pacing.ready_at(POST, Some("C3"), now + seconds(1)),
            now + seconds(1),
            "one channel twice is one channel"
        );
        pacing.limited(POST, Some("C2"), seconds(10), now + seconds(5));
        assert_eq!(pacing.ready_at(POST, Some("C3"), now + seconds(5)), now + seconds(31));
        assert!(pacing.reserve("C3", now + seconds(5)) >= now + seconds(31));
        assert_eq!(pacing.ready_at(method::UPDATE, Some("C3"), now + seconds(5)), now + seconds(5));
    }

    #[test]
    fn channels_limited_one_after_the_other_have_nothing_to_do_with_each_other() {
        let (mut pacing, now) = (Pacing::new(), start());
        pacing.limited(POST, Some("C1"), seconds(5), now);
        pacing.limited(POST, Some("C2"), seconds(5), now + seconds(5));
        assert_eq!(pacing.ready_at(POST, Some("C3"), now + seconds(5)), now + seconds(5));
    }

    #[test]
    fn another_method_rests_as_a_whole() {
        let (mut pacing, now) = (Pacing::new(), start());
        pacing.limited(method::UPDATE, Some("C1"), seconds(7), now);
        assert_eq!(pacing.ready_at(method::UPDATE, Some("C2"), now), now + seconds(7));
        assert_eq!(pacing.reserve_call(method::UPDATE, now), now + seconds(7));
        assert!(pacing.reserve_call(method::UPDATE, now) > now + seconds(7), "what has waited does not leave at once");
        assert_eq!(pacing.ready_at(POST, Some("C1"), now), now);
        assert_eq!(pacing.ready_at(method::UPDATE, None, now + seconds(7)), now + seconds(7));
    }

    #[test]
    fn a_channel_with_a_long_queue_does_not_hold_up_another() {
        let (mut pacing, now) = (Pacing::new(), start());
        for _ in 0..30 {
            pacing.reserve("C1", now);
        }
        assert_eq!(pacing.reserve("C2", now), now);
    }

    #[test]
    fn idle_channels_are_forgotten_but_not_those_that_were_limited() {
        let (mut pacing, now) = (Pacing::new(), start());
        pacing.limited(POST, Some("limited"), seconds(1), now);
        for n in 0..3 * SWEEP_ABOVE {
            let later = now + Duration::from_millis(250) * u32::try_from(n).unwrap();
            pacing.reserve(&format!("D{n}"), later);
            assert!(pacing.channels.len() <= SWEEP_ABOVE + 2);
            assert!(later >= now + PENANCE || pacing.channels.contains_key("limited"), "forgotten too early");
        }
    }

    fn busiest(mut starts: Vec<Instant>, window: Duration) -> usize {
        starts.sort_unstable();
        let within = |first: &Instant| starts.iter().filter(|at| **at >= *first && **at < *first + window).count();
        starts.iter().map(within).max().unwrap_or_default()
    }

    #[derive(Clone, Debug)]
    enum Step {
        Wait(u64),
        Post(u8),
        Limited(u8, u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_u64..3_000).prop_map(Step::Wait),
            (0_u8..3).prop_map(Step::Post),
            (0_u8..3).prop_map(Step::Post),
            ((0_u8..3), (1_u64..40)).prop_map(|(channel, after)| Step::Limited(channel, after)),
        ]
    }

    proptest! {
        #[test]
        fn places_of_a_channel_are_in_order_paced_and_never_inside_a_known_pause(steps in prop::collection::vec(step(), 1..200)) {
            let (mut pacing, mut now) = (Pacing::new(), start());
            let mut starts: HashMap<u8, Vec<Instant>> = HashMap::new();
            for step in steps {
                match step {
                    Step::Wait(millis) => now += Duration::from_millis(millis),
                    Step::Limited(channel, after) => pacing.limited(POST, Some(&channel.to_string()), seconds(after), now),
                    Step::Post(channel) => {
                        let name = channel.to_string();
                        let ready = pacing.ready_at(POST, Some(&name), now);
                        let at = pacing.reserve(&name, now);
                        prop_assert!(at >= now && at >= ready);
                        let before = starts.entry(channel).or_default();
                        prop_assert!(before.last().is_none_or(|last| at >= *last), "out of order");
                        before.push(at);
                    }
                }
            }
            for starts in starts.into_values() {
                // Two more than one a second: the burst.
                prop_assert!(busiest(starts.clone(), seconds(1)) <= 3);
                prop_assert!(busiest(starts, seconds(60)) <= 62);
            }
        }

        #[test]
        fn a_workspace_never_sees_more_than_280_posts_a_minute(waits in prop::collection::vec(0_u64..400, 400..700)) {
            let (mut pacing, mut now) = (Pacing::new(), start());
            let mut starts = Vec::new();
            for (n, wait) in waits.into_iter().enumerate() {
                now += Duration::from_millis(wait);
                starts.push(pacing.reserve(&format!("D{n}"), now));
            }
            prop_assert!(busiest(starts, seconds(60)) <= 280);
        }

        #[test]
        fn calls_of_a_method_stay_below_its_tier(waits in prop::collection::vec(0_u64..2_000, 1..150)) {
            let (mut pacing, mut now) = (Pacing::new(), start());
            let (mut updates, mut lists) = (Vec::new(), Vec::new());
            for wait in waits {
                now += Duration::from_millis(wait);
                updates.push(pacing.reserve_call(method::UPDATE, now));
                lists.push(pacing.reserve_call(method::LIST, now));
            }
            prop_assert!(busiest(updates, seconds(60)) <= 45);
            prop_assert!(busiest(lists, seconds(60)) <= 18);
        }
    }
}
