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

/// Between two messages in one channel, once the burst is used up.
const CHANNEL_INTERVAL: Duration = Duration::from_secs(1);
/// Messages that may follow each other at once in a channel that was quiet.
const CHANNEL_BURST: u32 = 3;
/// For how long a channel that Slack has limited gets no burst.
const PENANCE: Duration = Duration::from_mins(10);
/// Messages in all channels together: 240 a minute, which is below every figure reported for "several hundred".
const WORKSPACE: Rate = Rate { interval: Duration::from_millis(250), burst: 60 };
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
        entry.pace.take(entry.rate(now), now).max(workspace)
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
