//! When the next call may start. Pure: the clock is given, nothing sleeps here.
//!
//! Slack's rules: about one message a second a channel, with bursts of a size that it does not tell; "several hundred"
//! messages a minute in a workspace; every other method so many calls a minute by tier, with bursts above. A 429 with
//! `Retry-After` counts for its method, and for posts, as far as anybody can tell, for the channel that was too fast.
//!
//! A refused call is not lost, only late, and how much Slack tolerates is its own to say. So calls are made at once until
//! Slack refuses one. From then on, for a while, what was refused keeps to the published pace.
//!
//! How to post: take the channel's [`super::turn::ChannelTurn`], [`Pacing::reserve`], sleep until then, then check
//! [`Pacing::ready_at`] once more, because another call may have been limited meanwhile.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::slack::method;

/// Between two messages in one channel: some more than a second, because one call may travel faster than the one before.
const CHANNEL_INTERVAL: Duration = Duration::from_millis(1_100);
/// Between two calls of a method of tier 3 or 4: 46 a minute, where Slack permits 50 or more.
const METHOD_INTERVAL: Duration = Duration::from_millis(1_300);
/// The same for `conversations.list`, of tier 2: 18 a minute, where Slack permits 20.
const LIST_INTERVAL: Duration = Duration::from_millis(3_300);
/// For how long what was refused keeps to its pace.
const PENANCE: Duration = Duration::from_mins(10);
/// Channels that are remembered before those without a limit are forgotten.
const SWEEP_ABOVE: usize = 1024;

/// One stream of calls.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    /// The latest place handed out.
    last: Option<Instant>,
    /// Slack said: not before.
    paused_until: Option<Instant>,
    /// At the published pace until then.
    penance_until: Option<Instant>,
}

impl Pace {
    fn ready(&self, interval: Duration, now: Instant) -> Instant {
        let paced = self.last.filter(|_| self.is_penitent(now)).map(|last| last + interval);
        [paced, self.pause_end(now)].into_iter().flatten().fold(now, Instant::max)
    }

    fn take(&mut self, at: Instant) {
        self.last = self.last.max(Some(at));
    }

    fn pause(&mut self, until: Instant) {
        self.paused_until = self.paused_until.max(Some(until));
    }

    fn limit(&mut self, until: Instant, now: Instant) {
        self.pause(until);
        self.penance_until = Some(now + PENANCE);
    }

    /// Both streams are one.
    fn merge(&mut self, other: Self) {
        self.last = self.last.max(other.last);
        self.paused_until = self.paused_until.max(other.paused_until);
        self.penance_until = self.penance_until.max(other.penance_until);
    }

    fn pause_end(&self, now: Instant) -> Option<Instant> {
        self.paused_until.filter(|until| *until > now)
    }

    fn is_penitent(&self, now: Instant) -> bool {
        self.penance_until.is_some_and(|until| until > now)
    }
}

fn interval(method: &str) -> Duration {
    match method {
        method::LIST => LIST_INTERVAL,
        _ => METHOD_INTERVAL,
    }
}

/// The schedule of one workspace's calls.
#[derive(Debug, Default)]
pub struct Pacing {
    channels: HashMap<String, Pace>,
    methods: HashMap<&'static str, Pace>,
}

impl Pacing {
    /// A schedule with nothing on it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next place for a message in `channel` and says when it may start.
    pub fn reserve(&mut self, channel: &str, now: Instant) -> Instant {
        self.sweep(now);
        let workspace = self.methods.get(method::POST_MESSAGE).and_then(|pace| pace.pause_end(now));
        let pace = self.channels.entry(channel.to_owned()).or_default();
        let at = pace.ready(CHANNEL_INTERVAL, now).max(workspace.unwrap_or(now));
        pace.take(at);
        at
    }

    /// Whether Slack has lately refused a message in `channel`.
    pub fn is_limited(&self, channel: &str, now: Instant) -> bool {
        self.channels.get(channel).is_some_and(|pace| pace.is_penitent(now))
    }

    /// Takes the place for a call of any method but `chat.postMessage`, if it may start now; otherwise says when to ask
    /// again.
    pub fn permit(&mut self, method: &'static str, now: Instant) -> Result<(), Instant> {
        let pace = self.methods.entry(method).or_default();
        let ready = pace.ready(interval(method), now);
        if ready > now {
            return Err(ready);
        }
        pace.take(now);
        Ok(())
    }

    /// Slack has answered a call of `method` (about `channel`) with a rate limit: nothing of the kind before `retry_after`
    /// has passed.
    ///
    /// A limited post pauses its channel. When another channel is paused at the same time it may be the workspace that is
    /// too fast, and all posts pause; if it was only the two channels, the others lose no more than that. Other methods
    /// always pause as a whole.
    pub fn limited(&mut self, method: &'static str, channel: Option<&str>, retry_after: Duration, now: Instant) {
        let until = now + retry_after;
        let Some(channel) = channel.filter(|_| method == method::POST_MESSAGE) else {
            self.methods.entry(method).or_default().limit(until, now);
            return;
        };
        let others = self.channels.iter().filter(|(name, _)| *name != channel);
        if let Some(other) = others.filter_map(|(_, pace)| pace.pause_end(now)).max() {
            self.methods.entry(method).or_default().pause(until.max(other));
        }
        self.channels.entry(channel.to_owned()).or_default().limit(until, now);
    }

    /// What was known as `address` so far turns out to be the channel `id`: one channel, one pace.
    pub fn rename(&mut self, address: &str, id: &str) {
        if let Some(pace) = self.channels.remove(address) {
            self.channels.entry(id.to_owned()).or_default().merge(pace);
        }
    }

    /// When a call that has its place may start: now, or when the pause that Slack asked for is over. Limits may have
    /// become known after the place was taken.
    pub fn ready_at(&self, method: &str, channel: Option<&str>, now: Instant) -> Instant {
        let all = self.methods.get(method);
        let one = channel.filter(|_| method == method::POST_MESSAGE).and_then(|channel| self.channels.get(channel));
        all.into_iter().chain(one).filter_map(|pace| pace.pause_end(now)).fold(now, Instant::max)
    }

    fn sweep(&mut self, now: Instant) {
        if self.channels.len() > SWEEP_ABOVE {
            self.channels.retain(|_, pace| pace.is_penitent(now) || pace.pause_end(now).is_some());
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

    fn offsets(pacing: &mut Pacing, channel: &str, count: usize, now: Instant) -> Vec<u128> {
        (0..count).map(|_| (pacing.reserve(channel, now) - now).as_millis()).collect()
    }

    #[test]
    fn nothing_waits_until_slack_says_so() {
        let (mut pacing, now) = (Pacing::new(), Instant::now());
        assert_eq!(offsets(&mut pacing, "C1", 5, now), [0; 5]);
        assert_eq!(pacing.permit(method::UPDATE, now), Ok(()));
        assert_eq!(pacing.permit(method::UPDATE, now), Ok(()));
    }

    #[test]
    fn a_limited_channel_rests_alone_and_keeps_to_its_pace_for_ten_minutes() {
        let (mut pacing, now) = (Pacing::new(), Instant::now());
        pacing.limited(POST, Some("C1"), seconds(30), now);
        assert_eq!(pacing.ready_at(POST, Some("C1"), now), now + seconds(30));
        assert_eq!(pacing.ready_at(POST, Some("C2"), now), now);
        assert_eq!(pacing.ready_at(method::UPDATE, Some("C1"), now), now);
        assert_eq!(offsets(&mut pacing, "C1", 3, now), [30_000, 31_100, 32_200]);
        assert_eq!(offsets(&mut pacing, "C2", 3, now), [0; 3]);
        let forgiven = now + seconds(700);
        assert_eq!(offsets(&mut pacing, "C1", 3, forgiven), [0; 3]);
    }

    #[test]
    fn a_channel_keeps_its_pace_when_its_id_becomes_known() {
        let (mut pacing, now) = (Pacing::new(), Instant::now());
        pacing.reserve("C1", now);
        pacing.limited(POST, Some("access-requests"), seconds(30), now);
        pacing.rename("access-requests", "C1");
        assert_eq!(pacing.ready_at(POST, Some("C1"), now), now + seconds(30));
        assert_eq!(offsets(&mut pacing, "C1", 2, now), [30_000, 31_100]);
        assert_eq!(pacing.ready_at(POST, Some("access-requests"), now), now);
    }

    #[test]
    fn two_channels_limited_at_once_pause_the_workspace_and_no_longer() {
        let (mut pacing, now) = (Pacing::new(), Instant::now());
        pacing.limited(POST, Some("C1"), seconds(30), now);
        pacing.limited(POST, Some("C1"), seconds(30), now + seconds(1));
        assert_eq!(pacing.ready_at(POST, Some("C3"), now + seconds(1)), now + seconds(1), "one channel twice is one");
        pacing.limited(POST, Some("C2"), seconds(10), now + seconds(5));
        assert_eq!(pacing.ready_at(POST, Some("C3"), now + seconds(5)), now + seconds(31));
        assert_eq!(pacing.ready_at(method::UPDATE, Some("C3"), now + seconds(5)), now + seconds(5));
        let later = now + seconds(60);
        assert_eq!(["C4", "C5", "C6"].map(|channel| pacing.reserve(channel, later)), [later; 3], "the others go on");
    }

    #[test]
    fn channels_limited_one_after_the_other_have_nothing_to_do_with_each_other() {
        let (mut pacing, now) = (Pacing::new(), Instant::now());
        pacing.limited(POST, Some("C1"), seconds(5), now);
        pacing.limited(POST, Some("C2"), seconds(5), now + seconds(5));
        assert_eq!(pacing.ready_at(POST, Some("C3"), now + seconds(5)), now + seconds(5));
    }

    #[test]
    fn another_method_rests_as_a_whole_and_then_keeps_to_its_pace() {
        let (mut pacing, now) = (Pacing::new(), Instant::now());
        pacing.limited(method::UPDATE, Some("C1"), seconds(7), now);
        assert_eq!(pacing.permit(method::UPDATE, now), Err(now + seconds(7)));
        let after = now + seconds(7);
        assert_eq!(pacing.permit(method::UPDATE, after), Ok(()));
        assert_eq!(pacing.permit(method::UPDATE, after), Err(after + METHOD_INTERVAL));
        assert_eq!(pacing.ready_at(POST, Some("C1"), now), now);
    }

    #[test]
    fn channels_are_forgotten_but_not_those_that_were_limited() {
        let (mut pacing, now) = (Pacing::new(), Instant::now());
        pacing.limited(POST, Some("limited"), seconds(1), now);
        for n in 0..3 * SWEEP_ABOVE {
            pacing.reserve(&format!("D{n}"), now);
            assert!(pacing.channels.len() <= SWEEP_ABOVE + 2);
            assert!(pacing.channels.contains_key("limited"));
        }
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
        fn no_place_lies_inside_a_known_pause_or_before_an_earlier_one(steps in prop::collection::vec(step(), 1..200)) {
            let (mut pacing, mut now) = (Pacing::new(), Instant::now());
            let mut latest: HashMap<u8, Instant> = HashMap::new();
            for step in steps {
                match step {
                    Step::Wait(millis) => now += Duration::from_millis(millis),
                    Step::Limited(channel, after) => {
                        pacing.limited(POST, Some(&channel.to_string()), seconds(after), now);
                    }
                    Step::Post(channel) => {
                        let name = channel.to_string();
                        let ready = pacing.ready_at(POST, Some(&name), now);
                        let penitent = pacing.channels.get(&name).is_some_and(|pace| pace.is_penitent(now));
                        let at = pacing.reserve(&name, now);
                        prop_assert!(at >= now && at >= ready);
                        if let Some(last) = latest.insert(channel, at) && penitent {
                            prop_assert!(at >= last + CHANNEL_INTERVAL);
                        }
                    }
                }
            }
        }
    }
}
