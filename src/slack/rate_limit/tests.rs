//! What holds for every order of events.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::*;

use super::*;
use crate::slack::method;

const POST: &str = method::POST_MESSAGE;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn tickets(numbers: impl IntoIterator<Item = u64>) -> Vec<Ticket> {
    numbers.into_iter().map(Ticket).collect()
}

/// A line of tickets 0..count in one conversation.
fn line(conversation: &str, count: u64, now: Instant) -> RateLimit {
    let mut limit = RateLimit::default();
    (0..count).for_each(|ticket| limit.enqueue(Ticket(ticket), conversation, now));
    limit
}

#[test]
fn three_posts_of_a_conversation_are_under_way_at_once_in_order_of_arrival() {
    let now = Instant::now();
    let mut limit = line("C1", 5, now);
    assert_eq!(limit.granted(now), (tickets(0..3), None));
    limit.finished(Ticket(1), Outcome::Answered, now);
    assert_eq!(limit.granted(now), (tickets([3]), None));
}

#[test]
fn a_limited_conversation_has_one_slot_at_a_time_at_its_pace() {
    let now = Instant::now();
    let mut limit = line("C1", 5, now);
    limit.granted(now);
    for ticket in 0..3 {
        limit.finished(Ticket(ticket), Outcome::Limited(seconds(10)), now);
    }
    let resumed = now + seconds(10);
    assert_eq!(limit.granted(now), (vec![], Some(resumed)));
    assert_eq!(limit.granted(resumed), (tickets([3]), None));
    assert_eq!(limit.begin(Ticket(3), resumed), Ok(()));
    assert_eq!(limit.granted(resumed + seconds(5)), (vec![], None), "the fourth is still under way");
    limit.finished(Ticket(3), Outcome::Answered, resumed);
    let early = resumed + Duration::from_millis(1_020 - 250);
    assert_eq!(limit.granted(resumed), (vec![], Some(early)), "the claim takes its time");
    assert_eq!(limit.granted(early).0, tickets([4]));
    let paced = resumed + Duration::from_millis(1_020);
    assert_eq!(limit.begin(Ticket(4), early), Err(paced));
    assert_eq!(limit.begin(Ticket(4), paced), Ok(()));
}

#[test]
fn a_long_line_does_not_hold_up_another_conversation() {
    let now = Instant::now();
    let mut limit = RateLimit::default();
    for conversation in 0..30_u64 {
        for post in 0..10 {
            limit.enqueue(Ticket(conversation * 10 + post), &format!("C{conversation}"), now);
        }
    }
    let (first, _) = limit.granted(now);
    let mut shares: BTreeMap<u64, u64> = BTreeMap::new();
    for ticket in &first {
        *shares.entry(ticket.0 / 10).or_default() += 1;
    }
    assert_eq!(shares.len(), 30, "each conversation has a slot before one has all of its own");
    limit.enqueue(Ticket(1_000), "late", now);
    for ticket in first.iter().take(31) {
        limit.finished(*ticket, Outcome::Answered, now);
    }
    assert!(limit.granted(now).0.contains(&Ticket(1_000)));
}

#[test]
fn who_withdraws_leaves_the_line_and_who_holds_a_slot_gives_it_back() {
    let now = Instant::now();
    let mut limit = line("C1", 6, now);
    limit.granted(now);
    limit.withdraw(Ticket(3), now);
    limit.withdraw(Ticket(0), now);
    assert_eq!(limit.granted(now).0, tickets([4]));
    limit.withdraw(Ticket(3), now);
    assert_eq!(limit.granted(now).0, tickets([]), "withdrawing twice frees nothing");
}

#[test]
fn two_names_of_one_conversation_share_its_slots_its_line_and_its_pace() {
    let now = Instant::now();
    let mut limit = RateLimit::default();
    limit.enqueue(Ticket(0), "U1", now);
    limit.enqueue(Ticket(1), "D1", now);
    limit.enqueue(Ticket(2), "U1", now);
    limit.enqueue(Ticket(3), "D1", now);
    limit.merge(["U1", "D1"]);
    assert_eq!(limit.granted(now).0, tickets(0..3));
    limit.finished(Ticket(1), Outcome::Limited(seconds(3)), now);
    limit.finished(Ticket(0), Outcome::Answered, now);
    limit.enqueue(Ticket(4), "U1", now);
    limit.finished(Ticket(2), Outcome::Answered, now);
    assert_eq!(limit.granted(now), (vec![], Some(now + seconds(3))));
    assert_eq!(limit.granted(now + seconds(3)).0, tickets([3]));
}

#[test]
fn a_pause_that_becomes_known_after_the_grant_is_told() {
    let now = Instant::now();
    let mut limit = line("C1", 2, now);
    limit.granted(now);
    limit.finished(Ticket(0), Outcome::Limited(seconds(5)), now);
    assert_eq!(limit.begin(Ticket(1), now), Err(now + seconds(5)));
    assert_eq!(limit.begin(Ticket(1), now + seconds(5)), Ok(()));
}

/// Posts once in a conversation of its own, which Slack refuses.
fn refused_once(limit: &mut RateLimit, number: u64, now: Instant) {
    limit.enqueue(Ticket(number), &format!("D{number}"), now);
    assert_eq!(limit.granted(now).0, tickets([number]));
    limit.finished(Ticket(number), Outcome::Limited(seconds(20)), now);
}

#[test]
fn conversations_that_were_not_too_fast_and_are_refused_together_show_a_limit_of_the_workspace() {
    let now = Instant::now();
    let mut limit = RateLimit::default();
    (0..3).for_each(|number| refused_once(&mut limit, number, now));
    limit.enqueue(Ticket(9), "another", now);
    assert_eq!(limit.granted(now), (vec![], Some(now + seconds(20))));
    assert_eq!(limit.granted(now + seconds(20)).0, tickets([9]));
}

#[test]
fn a_post_that_is_taken_in_between_shows_that_it_is_not_the_workspace() {
    let now = Instant::now();
    let mut limit = RateLimit::default();
    for number in 0..9 {
        refused_once(&mut limit, number, now);
        limit.enqueue(Ticket(100 + number), "works", now);
        assert_eq!(limit.granted(now).0, tickets([100 + number]));
        limit.finished(Ticket(100 + number), Outcome::Answered, now);
    }
}

#[test]
fn another_method_pauses_as_a_whole_then_keeps_to_its_pace_and_holds_up_no_post() {
    let (mut limit, now) = (line("C1", 1, Instant::now()), Instant::now());
    assert_eq!(limit.permit(method::UPDATE, now), Ok(()));
    assert_eq!(limit.permit(method::UPDATE, now), Ok(()));
    limit.limited(method::UPDATE, Some("C1"), seconds(7), now);
    assert_eq!(limit.permit(method::UPDATE, now), Err(now + seconds(7)));
    let after = now + seconds(7);
    assert_eq!(limit.permit(method::UPDATE, after), Ok(()));
    assert_eq!(limit.permit(method::UPDATE, after), Err(after + Duration::from_millis(1_300)));
    assert_eq!(limit.granted(now).0, tickets([0]));
}

#[test]
fn during_an_outage_one_post_probes_and_then_they_come_back_gradually() {
    let now = Instant::now();
    let mut limit = line("C1", 2, now);
    (10..40).for_each(|number| limit.enqueue(Ticket(number), &format!("D{number}"), now));
    let (first, _) = limit.granted(now);
    (40..80).for_each(|number| limit.enqueue(Ticket(number), &format!("D{number}"), now));
    for ticket in first {
        limit.finished(ticket, Outcome::Unconnected, now);
    }
    assert!(limit.is_unreachable());
    assert_eq!(limit.granted(now), (vec![], Some(now + seconds(1))));
    let mut at = now + seconds(1);
    let mut sizes = Vec::new();
    for _ in 0..3 {
        let (granted, _) = limit.granted(at);
        sizes.push(granted.len());
        for ticket in granted {
            limit.finished(ticket, Outcome::Answered, at);
        }
        at += seconds(1);
    }
    assert_eq!(sizes, [1, 1, 2]);
    assert!(!limit.is_unreachable());
}

#[test]
fn conversations_are_forgotten_but_not_those_that_are_limited_or_waited_for() {
    let now = Instant::now();
    let mut limit = line("waited for", 4, now);
    limit.granted(now);
    limit.limited(POST, Some("limited"), seconds(1), now);
    for number in 100..5_000 {
        let ticket = Ticket(number);
        limit.enqueue(ticket, &format!("D{number}"), now);
        limit.granted(now);
        limit.finished(ticket, Outcome::Answered, now);
        assert!(limit.known() <= 1_100, "{}", limit.known());
    }
    limit.enqueue(Ticket(10), "limited", now);
    assert_eq!(limit.granted(now), (vec![], Some(now + seconds(1))));
    limit.finished(Ticket(0), Outcome::Answered, now);
    assert_eq!(limit.granted(now).0, tickets([3]));
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Enqueue(u8),
    Withdraw(u8),
    Finish(u8, u8),
    Merge(u8, u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0_u64..3_000).prop_map(Step::Wait),
        5 => (0_u8..5).prop_map(Step::Enqueue),
        1 => any::<u8>().prop_map(Step::Withdraw),
        4 => (any::<u8>(), 0_u8..8).prop_map(|(which, outcome)| Step::Finish(which, outcome)),
        1 => (0_u8..5, 0_u8..5).prop_map(|(one, other)| Step::Merge(one, other)),
    ]
}

fn outcome(number: u8) -> Outcome {
    match number {
        0 => Outcome::Limited(seconds(4)),
        1 => Outcome::Unanswered,
        2 => Outcome::Unconnected,
        3 => Outcome::Unused,
        _ => Outcome::Answered,
    }
}

/// A second account of the same, kept by the simplest means.
#[derive(Default)]
struct Ledger {
    group: HashMap<u8, u8>,
    paused: HashMap<u8, Instant>,
    limited: BTreeSet<u8>,
    waiting: Vec<(u64, u8)>,
    holding: Vec<(u64, u8)>,
}

impl Ledger {
    fn group(&self, conversation: u8) -> u8 {
        self.group.get(&conversation).copied().unwrap_or(conversation)
    }

    fn merge(&mut self, one: u8, other: u8) {
        let (to, from) = (self.group(one), self.group(other));
        if to == from {
            return;
        }
        (0..5).filter(|name| self.group(*name) == from).collect::<Vec<_>>().into_iter().for_each(|name| {
            self.group.insert(name, to);
        });
        let pause = self.paused.get(&to).copied().max(self.paused.get(&from).copied());
        self.paused.extend(pause.map(|until| (to, until)));
        if self.limited.remove(&from) {
            self.limited.insert(to);
        }
    }
}

proptest! {
    #[test]
    fn no_grant_is_in_a_known_pause_out_of_order_or_one_too_many_and_none_is_forgotten(
        steps in prop::collection::vec(step(), 1..300)
    ) {
        let (mut limit, mut now, mut ledger) = (RateLimit::default(), Instant::now(), Ledger::default());
        let mut next = 0;
        for step in steps {
            match step {
                Step::Wait(millis) => now += Duration::from_millis(millis),
                Step::Enqueue(conversation) => {
                    limit.enqueue(Ticket(next), &conversation.to_string(), now);
                    ledger.waiting.push((next, conversation));
                    next += 1;
                }
                Step::Withdraw(which) => {
                    if !ledger.waiting.is_empty() {
                        let (ticket, _) = ledger.waiting.remove(usize::from(which) % ledger.waiting.len());
                        limit.withdraw(Ticket(ticket), now);
                    }
                }
                Step::Finish(which, number) => {
                    if !ledger.holding.is_empty() {
                        let (ticket, conversation) = ledger.holding.remove(usize::from(which) % ledger.holding.len());
                        let outcome = outcome(number);
                        let group = ledger.group(conversation);
                        if limit.begin(Ticket(ticket), now).is_ok() {
                            prop_assert!(ledger.paused.get(&group).is_none_or(|until| *until <= now), "begun in a pause");
                        }
                        limit.finished(Ticket(ticket), outcome, now);
                        if let Outcome::Limited(pause) = outcome {
                            let until = ledger.paused.get(&group).copied().max(Some(now + pause));
                            ledger.paused.extend(until.map(|until| (group, until)));
                            ledger.limited.insert(group);
                        }
                    }
                }
                Step::Merge(one, other) => {
                    limit.merge([one.to_string().as_str(), other.to_string().as_str()]);
                    ledger.merge(one, other);
                }
            }
            let (granted, wake) = limit.granted(now);
            prop_assert!(wake.is_none_or(|at| at > now));
            for Ticket(ticket) in granted {
                let index = ledger.waiting.iter().position(|(waiting, _)| *waiting == ticket);
                prop_assert!(index.is_some(), "only what waits is granted, and once");
                let (_, conversation) = ledger.waiting.remove(index.unwrap_or_default());
                let group = ledger.group(conversation);
                prop_assert!(ledger.paused.get(&group).is_none_or(|until| *until <= now), "in a known pause");
                let overtaken = ledger.waiting.iter().any(|(waiting, other)| *waiting < ticket && ledger.group(*other) == group);
                prop_assert!(!overtaken, "out of order");
                ledger.holding.push((ticket, conversation));
                let at_once = ledger.holding.iter().filter(|(_, other)| ledger.group(*other) == group).count();
                prop_assert!(at_once <= if ledger.limited.contains(&group) { 1 } else { 3 }, "{at_once} at once");
            }
            let idle = ledger.holding.is_empty();
            prop_assert!(!idle || ledger.waiting.is_empty() || wake.is_some(), "what waits is woken");
        }
        // Slack works again: everything that waits is granted in the end.
        for _ in 0..3_000 {
            for (ticket, _) in std::mem::take(&mut ledger.holding) {
                limit.finished(Ticket(ticket), Outcome::Answered, now);
            }
            let (granted, wake) = limit.granted(now);
            for Ticket(ticket) in granted {
                ledger.waiting.retain(|(waiting, _)| *waiting != ticket);
                ledger.holding.push((ticket, 0));
            }
            if ledger.holding.is_empty() {
                match wake {
                    Some(at) => now = at,
                    None => break,
                }
            }
        }
        prop_assert!(ledger.waiting.is_empty(), "{} are forgotten", ledger.waiting.len());
    }
}

mod waiting {
    use futures::{FutureExt as _, poll};

    use super::*;

    fn failed(code: &str) -> Result<(), Error> {
        Err(Error::new(POST, code, Some("C1")))
    }

    fn limited(retry_after: Duration) -> Result<(), Error> {
        Err(Error { retry_after: Some(retry_after), ..Error::new(POST, "ratelimited", Some("C1")) })
    }

    #[tokio::test(start_paused = true)]
    async fn a_slot_passes_on_when_it_is_dropped() {
        let limiter = RateLimiter::default();
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(limiter.acquire(["C1"]).await);
        }
        let mut fourth = Box::pin(limiter.acquire(["C1"]));
        assert!(poll!(&mut fourth).is_pending());
        held.pop();
        assert!(poll!(&mut fourth).is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_waiting_holds_up_no_one() {
        let limiter = RateLimiter::default();
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(limiter.acquire(["C1"]).await);
        }
        let mut gives_up = Box::pin(limiter.acquire(["C1"]));
        assert!(poll!(&mut gives_up).is_pending());
        let mut next = Box::pin(limiter.acquire(["C1"]));
        assert!(poll!(&mut next).is_pending());
        drop(gives_up);
        held.pop();
        assert!(poll!(&mut next).is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn time_alone_ends_a_pause() {
        let limiter = RateLimiter::default();
        let began = tokio::time::Instant::now();
        limiter.acquire(["C1"]).await.finish(&limited(seconds(7)));
        let slot = limiter.acquire(["C1", "#ops"]).await;
        assert_eq!(began.elapsed(), seconds(7));
        assert_eq!(slot.begin().await, Ok(()));
        assert!(limiter.acquire(["C2"]).now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_post_waits_for_a_moment_but_not_for_a_pause() {
        let limiter = RateLimiter::default();
        let (late, first) = (limiter.acquire(["C1"]).await, limiter.acquire(["C1"]).await);
        first.finish(&limited(seconds(2)));
        let began = tokio::time::Instant::now();
        assert_eq!(late.begin().await, Err((began + seconds(2)).into_std()));
        drop(late);
        for _ in 0..2 {
            let slot = limiter.acquire(["C1"]).await;
            assert_eq!(slot.begin().await, Ok(()));
            slot.finish(&Ok(()));
        }
        assert_eq!(began.elapsed(), seconds(2) + Duration::from_millis(1_020));
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_an_outage_is_found_by_one_post_at_a_time() {
        let limiter = RateLimiter::default();
        limiter.acquire(["C1"]).await.finish(&failed("connect_failed"));
        let began = tokio::time::Instant::now();
        limiter.acquire(["C1"]).await.finish(&failed("connect_failed"));
        limiter.acquire(["C2"]).await.finish(&Ok(()));
        assert_eq!(began.elapsed(), seconds(1 + 2));
    }

    #[test]
    fn errors_of_the_way_to_slack_are_no_answers() {
        let of = |code: &str| Outcome::of(&failed(code));
        assert_eq!(of("connect_failed"), Outcome::Unconnected);
        assert_eq!(of("timeout"), Outcome::Unanswered);
        assert_eq!(of("http_502"), Outcome::Unanswered);
        assert_eq!(of("http_404"), Outcome::Answered);
        assert_eq!(of("not_in_channel"), Outcome::Answered);
        assert_eq!(Outcome::of(&limited(seconds(3))), Outcome::Limited(seconds(3)));
    }
}
