//! What the rate limiter makes of Slack's limits, on virtual time: 20 channels with a message each second, and one that is
//! jammed. `make bench-rate-limit` prints the table.

#![allow(clippy::indexing_slicing, clippy::print_stdout, reason = "a table of a test")]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use slack_access_operator::slack::rate_limit::{Outcome, RateLimit, Ticket};

const CHANNELS: u64 = 20;
/// The number of the channel that is jammed.
const JAMMED: u64 = CHANNELS;
const LASTS: Duration = Duration::from_mins(10);
/// What each of the others has to keep of its message a second.
const KEPT: f64 = 0.95;

/// How Slack treats the jammed channel.
#[derive(Clone, Copy, Debug)]
enum Jam {
    None,
    /// Every post is refused for this long.
    Limited(Duration),
    /// Every post ends after this long, without an answer.
    Silent(Duration),
}

/// Slack's limit of a channel: so many messages in as many seconds.
#[derive(Clone, Copy, Debug)]
struct Slack {
    burst: usize,
    jam: Jam,
    /// How long the claim's write takes, in milliseconds, from and to.
    write: (u64, u64),
    /// The same for one way between worker and Slack.
    travel: (u64, u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives { channel: u64 },
    Wake,
    Begins { ticket: u64, channel: u64 },
    ReachesSlack { ticket: u64, channel: u64 },
    Ends { ticket: u64, channel: u64, accepted: bool, retry_after: u64, silent: bool },
}

#[derive(Default)]
struct Channel {
    accepted: VecDeque<Instant>,
    closed_until: Option<Instant>,
    delivered: u32,
    refused: u64,
}

impl Channel {
    fn takes(&mut self, burst: usize, now: Instant) -> Result<(), u64> {
        let window = Duration::from_secs(burst as u64);
        while self.accepted.front().is_some_and(|at| *at + window <= now) {
            self.accepted.pop_front();
        }
        let full = self.accepted.front().filter(|_| self.accepted.len() >= burst).map(|oldest| *oldest + window);
        let Some(until) = self.closed_until.filter(|until| *until > now).or(full) else {
            self.accepted.push_back(now);
            self.delivered += 1;
            return Ok(());
        };
        self.refused += 1;
        let seconds = (until - now + Duration::from_nanos(999_999_999)).as_secs();
        self.closed_until = Some(now + Duration::from_secs(seconds));
        Err(seconds)
    }
}

/// The smallest share of its messages that one of the channels got through, and how many posts Slack refused.
fn run(slack: Slack) -> (f64, u64) {
    let began = Instant::now();
    let mut events = BinaryHeap::new();
    let mut chance = 1_u64;
    let mut between = move |(from, to): (u64, u64)| {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis(from + (chance >> 33) % (to - from + 1))
    };
    for channel in 0..=CHANNELS {
        for second in 0..LASTS.as_secs() {
            events.push(Reverse((began + Duration::from_secs(second), Event::Arrives { channel })));
        }
    }
    let mut limit = RateLimit::default();
    let mut channels: BTreeMap<u64, Channel> = BTreeMap::new();
    let mut of: HashMap<u64, u64> = HashMap::new();
    let mut tickets = 0;
    let mut wakes = BTreeSet::new();
    while let Some(Reverse((now, event))) = events.pop() {
        if now >= began + LASTS {
            break;
        }
        let mut enqueue = |limit: &mut RateLimit, channel: u64| {
            of.insert(tickets, channel);
            limit.enqueue(Ticket(tickets), &channel.to_string(), now);
            tickets += 1;
        };
        match event {
            Event::Arrives { channel } => enqueue(&mut limit, channel),
            Event::Wake => wakes.retain(|at| *at > now),
            Event::Begins { ticket, channel } => match limit.begin(Ticket(ticket), now) {
                Ok(()) => {
                    events.push(Reverse((now + between(slack.travel), Event::ReachesSlack { ticket, channel })));
                }
                Err(at) if at - now <= Duration::from_millis(250) => {
                    events.push(Reverse((at, Event::Begins { ticket, channel })));
                }
                Err(_) => {
                    limit.withdraw(Ticket(ticket), now);
                    enqueue(&mut limit, channel);
                }
            },
            Event::ReachesSlack { ticket, channel } => {
                let jam = if channel == JAMMED { slack.jam } else { Jam::None };
                let (after, accepted, retry_after, silent) = match jam {
                    Jam::Limited(retry_after) => (between(slack.travel), false, retry_after.as_secs(), false),
                    Jam::Silent(after) => (after, false, 0, true),
                    Jam::None => match channels.entry(channel).or_default().takes(slack.burst, now) {
                        Ok(()) => (between(slack.travel), true, 0, false),
                        Err(seconds) => (between(slack.travel), false, seconds, false),
                    },
                };
                events.push(Reverse((now + after, Event::Ends { ticket, channel, accepted, retry_after, silent })));
            }
            Event::Ends { ticket, channel, accepted, retry_after, silent } => {
                let outcome = match (accepted, silent) {
                    (true, _) => Outcome::Answered,
                    (false, true) => Outcome::Unanswered,
                    (false, false) => Outcome::Limited(Duration::from_secs(retry_after)),
                };
                limit.finished(Ticket(ticket), outcome, now);
                if !accepted {
                    enqueue(&mut limit, channel);
                }
            }
        }
        let (granted, wake) = limit.granted(now);
        for Ticket(ticket) in granted {
            let channel = of[&ticket];
            events.push(Reverse((now + between(slack.write), Event::Begins { ticket, channel })));
        }
        events.extend(wake.filter(|at| wakes.insert(*at)).map(|at| Reverse((at, Event::Wake))));
    }
    let shares = (0..CHANNELS).map(|channel| f64::from(channels[&channel].delivered) / LASTS.as_secs_f64());
    (shares.fold(1.0, f64::min), channels.values().map(|channel| channel.refused).sum())
}

#[test]
fn twenty_channels_keep_their_message_a_second_while_one_is_jammed() {
    let jams = [
        ("none", Jam::None),
        ("429, Retry-After: 1", Jam::Limited(Duration::from_secs(1))),
        ("429, Retry-After: 30", Jam::Limited(Duration::from_secs(30))),
        ("no answer for 10 s", Jam::Silent(Duration::from_secs(10))),
    ];
    println!("{CHANNELS} channels, one message a second each, for {} s", LASTS.as_secs());
    println!(
        "{:22} {:>5} {:>10} {:>10} {:>8} {:>8}",
        "the jammed one", "burst", "write, ms", "travel, ms", "kept", "refused"
    );
    for (name, jam) in jams {
        for (burst, write, travel) in
            [(4, (5, 5), (20, 20)), (4, (5, 200), (20, 80)), (2, (5, 200), (20, 80)), (1, (5, 200), (20, 30))]
        {
            let (kept, refused) = run(Slack { burst, jam, write, travel });
            let percent = kept * 100.0;
            let (write, travel) = (format!("{}-{}", write.0, write.1), format!("{}-{}", travel.0, travel.1));
            println!("{name:22} {burst:>5} {write:>10} {travel:>10} {percent:>6.1} % {refused:>8}");
            assert!(kept >= KEPT, "{name}: the slowest channel got {percent:.1} % through");
        }
    }
}
