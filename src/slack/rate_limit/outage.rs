//! Whether Slack answers at all. While it does not, one post at a time finds out when it does again; then posts come back
//! step by step, because everything that waited would come at once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::backoff::Backoff;
use crate::slack::rate_limit::Ticket;

/// Between two probes.
const PROBE: Backoff = Backoff::doubling(Duration::from_secs(1), Duration::from_secs(15));
/// Posts without an answer, one after the other, that are taken for an outage: one alone may be about its conversation.
const UNANSWERED: usize = 3;
/// The same, if they were for different conversations.
const UNANSWERED_CONVERSATIONS: usize = 2;

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Outage {
    state: State,
    /// Conversations of posts without an answer since the latest answer.
    conversations: BTreeSet<u64>,
    /// Those posts.
    unanswered: usize,
    /// Probes in a row that failed.
    failures: u32,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Reachable,
    /// At most so many posts at once.
    Recovering(usize),
    Unreachable {
        /// When the next probe is due.
        probe_at: Instant,
        /// The probe under way.
        probe: Option<Ticket>,
    },
}

/// Why no post may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// Until a post ends.
    Full,
    /// Until this time.
    Until(Instant),
}

impl Outage {
    /// Whether another post may begin beside those in flight; `most` is the limit without an outage.
    pub(super) fn admit(&self, in_flight: usize, most: usize, now: Instant) -> Result<(), Closed> {
        match &self.state {
            State::Unreachable { probe: Some(_), .. } => Err(Closed::Full),
            State::Unreachable { probe_at, .. } if *probe_at > now => Err(Closed::Until(*probe_at)),
            State::Recovering(window) if in_flight >= most.min(*window) => Err(Closed::Full),
            State::Reachable if in_flight >= most => Err(Closed::Full),
            State::Unreachable { .. } | State::Recovering(_) | State::Reachable => Ok(()),
        }
    }

    /// Whether Slack is known not to answer.
    pub(super) fn is_known(&self) -> bool {
        matches!(self.state, State::Unreachable { .. })
    }

    /// A post begins.
    pub(super) fn begun(&mut self, ticket: Ticket) {
        if let State::Unreachable { probe, .. } = &mut self.state {
            *probe = Some(ticket);
        }
    }

    /// Slack answered a post, whatever it said. `most` as in [`Outage::admit`].
    pub(super) fn answered(&mut self, most: usize) {
        self.forget_unanswered();
        self.state = match self.state {
            State::Unreachable { .. } => State::Recovering(1),
            State::Recovering(window) if window.saturating_mul(2) < most => State::Recovering(window.saturating_add(1)),
            State::Recovering(_) | State::Reachable => {
                self.failures = 0;
                State::Reachable
            }
        };
    }

    /// Slack answered another call: it is time to try a post, but posts may still fail.
    pub(super) fn answered_elsewhere(&mut self, now: Instant) {
        if let State::Unreachable { probe_at, .. } = &mut self.state {
            *probe_at = now.min(*probe_at);
        }
    }

    /// A post ended without an answer.
    pub(super) fn unanswered(&mut self, ticket: Ticket, conversation: u64, now: Instant) {
        self.conversations.insert(conversation);
        self.unanswered += 1;
        match self.state {
            // Posts from before the outage end late; only the probe tells how Slack is now.
            State::Unreachable { probe, .. } if probe != Some(ticket) => {}
            State::Unreachable { .. } | State::Recovering(_) => self.close(now),
            State::Reachable => {
                if self.unanswered >= UNANSWERED || self.conversations.len() >= UNANSWERED_CONVERSATIONS {
                    self.close(now);
                }
            }
        }
    }

    /// No connection could be made by a call of any method: that is about no conversation. `ticket` is that of a post.
    pub(super) fn unconnected(&mut self, ticket: Option<Ticket>, now: Instant) {
        match self.state {
            State::Unreachable { probe, .. } if ticket.is_none() || probe != ticket => {}
            _ => self.close(now),
        }
    }

    /// A slot was given back without a post.
    pub(super) fn unused(&mut self, ticket: Ticket) {
        if let State::Unreachable { probe, .. } = &mut self.state {
            *probe = probe.filter(|probe| *probe != ticket);
        }
    }

    fn close(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.forget_unanswered();
        self.state = State::Unreachable { probe_at: now + PROBE.ceiling(self.failures), probe: None };
    }

    fn forget_unanswered(&mut self) {
        self.conversations.clear();
        self.unanswered = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 8;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn closed(now: Instant) -> Outage {
        let mut outage = Outage::default();
        outage.unconnected(None, now);
        outage
    }

    #[test]
    fn one_silent_conversation_is_no_outage_but_two_are() {
        let (mut outage, now) = (Outage::default(), Instant::now());
        outage.unanswered(Ticket(1), 1, now);
        outage.unanswered(Ticket(2), 1, now);
        assert!(!outage.is_known());
        outage.unanswered(Ticket(3), 2, now);
        assert!(outage.is_known());
    }

    #[test]
    fn where_one_conversation_is_all_there_is_its_third_silence_is_an_outage() {
        let (mut outage, now) = (Outage::default(), Instant::now());
        for ticket in 1..=3 {
            assert!(!outage.is_known());
            outage.unanswered(Ticket(ticket), 1, now);
        }
        assert!(outage.is_known());
    }

    #[test]
    fn an_answer_in_between_begins_the_count_anew() {
        let (mut outage, now) = (Outage::default(), Instant::now());
        for ticket in 1..9 {
            outage.unanswered(Ticket(ticket), 1, now);
            outage.answered(MOST);
        }
        assert!(!outage.is_known());
    }

    #[test]
    fn one_probe_at_a_time_ever_more_rarely() {
        let mut now = Instant::now();
        let mut outage = closed(now);
        for wait in [1, 2, 4, 8, 15, 15] {
            assert_eq!(outage.admit(0, MOST, now), Err(Closed::Until(now + seconds(wait))));
            now += seconds(wait);
            assert_eq!(outage.admit(0, MOST, now), Ok(()));
            outage.begun(Ticket(1));
            assert_eq!(outage.admit(1, MOST, now), Err(Closed::Full));
            outage.unanswered(Ticket(1), 1, now);
        }
    }

    #[test]
    fn what_was_under_way_before_the_outage_does_not_put_off_the_probe() {
        let now = Instant::now();
        let mut outage = closed(now);
        outage.unanswered(Ticket(7), 1, now + seconds(1));
        outage.unconnected(Some(Ticket(8)), now + seconds(1));
        assert_eq!(outage.admit(0, MOST, now + seconds(1)), Ok(()));
    }

    #[test]
    fn a_probe_that_was_not_used_is_given_to_another() {
        let now = Instant::now();
        let mut outage = closed(now);
        outage.begun(Ticket(1));
        outage.unused(Ticket(1));
        assert_eq!(outage.admit(0, MOST, now + seconds(1)), Ok(()));
    }

    #[test]
    fn posts_come_back_one_more_with_each_answer() {
        let now = Instant::now();
        let mut outage = closed(now);
        outage.begun(Ticket(1));
        outage.answered(MOST);
        let mut windows = Vec::new();
        while matches!(outage.state, State::Recovering(_)) {
            windows.push((0..MOST).take_while(|in_flight| outage.admit(*in_flight, MOST, now).is_ok()).count());
            outage.answered(MOST);
        }
        assert_eq!(windows, [1, 2, 3, 4]);
        assert_eq!(outage.admit(MOST - 1, MOST, now), Ok(()));
    }

    #[test]
    fn a_failure_during_recovery_ends_it_and_waits_longer_than_before() {
        let now = Instant::now();
        let mut outage = closed(now);
        outage.answered(MOST);
        outage.unanswered(Ticket(2), 1, now);
        assert_eq!(outage.admit(0, MOST, now), Err(Closed::Until(now + seconds(2))));
    }

    #[test]
    fn another_call_that_works_brings_the_probe_forward() {
        let now = Instant::now();
        let mut outage = closed(now);
        outage.answered_elsewhere(now);
        assert!(outage.is_known(), "posts may still fail");
        assert_eq!(outage.admit(0, MOST, now), Ok(()));
    }
}
