//! A queue in which those who ask for much do not hold up those who ask for little; pure.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Names one wait for a turn, and then the turn.
pub(super) type Ticket = u64;

/// Turns, handed out to owners one after the other.
#[derive(Debug)]
pub(super) struct FairQueue<O> {
    /// Turns that may be in use at once.
    most: usize,
    /// The same for one owner: less, so that a turn is free for another.
    most_of_one: usize,
    lines: HashMap<O, Line>,
    /// Owners with tickets that wait, in the order of their turns.
    owners: VecDeque<O>,
    in_use: usize,
}

#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<Ticket>,
    in_use: usize,
}

impl<O: Clone + Eq + Hash> FairQueue<O> {
    pub(super) fn new(most: usize, most_of_one: usize) -> Self {
        Self { most, most_of_one, lines: HashMap::new(), owners: VecDeque::new(), in_use: 0 }
    }

    pub(super) fn enqueue(&mut self, owner: O, ticket: Ticket) {
        let line = self.lines.entry(owner.clone()).or_default();
        if line.waiting.is_empty() {
            self.owners.push_back(owner);
        }
        line.waiting.push_back(ticket);
    }

    /// Leaves the line; a ticket that has its turn already is not in it.
    pub(super) fn withdraw(&mut self, owner: &O, ticket: Ticket) {
        let Some(line) = self.lines.get_mut(owner) else { return };
        line.waiting.retain(|waiting| *waiting != ticket);
        if line.waiting.is_empty() {
            self.owners.retain(|waiting| waiting != owner);
        }
        self.forget_if_idle(owner);
    }

    /// The end of a turn.
    pub(super) fn finished(&mut self, owner: &O) {
        self.in_use = self.in_use.saturating_sub(1);
        if let Some(line) = self.lines.get_mut(owner) {
            line.in_use = line.in_use.saturating_sub(1);
        }
        self.forget_if_idle(owner);
    }

    /// The tickets whose turn it is now.
    pub(super) fn granted(&mut self) -> Vec<Ticket> {
        let mut granted = Vec::new();
        // An owner that has its share is asked once and then left for the next time.
        let mut refused = 0;
        while self.in_use < self.most && refused < self.owners.len() {
            let Some(owner) = self.owners.pop_front() else { break };
            let Some(line) = self.lines.get_mut(&owner) else { continue };
            if line.in_use >= self.most_of_one {
                self.owners.push_back(owner);
                refused += 1;
                continue;
            }
            granted.extend(line.waiting.pop_front());
            line.in_use += 1;
            self.in_use += 1;
            refused = 0;
            if !line.waiting.is_empty() {
                self.owners.push_back(owner);
            }
        }
        granted
    }

    fn forget_if_idle(&mut self, owner: &O) {
        if self.lines.get(owner).is_some_and(|line| line.waiting.is_empty() && line.in_use == 0) {
            self.lines.remove(owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn two_thousand_of_one_do_not_hold_up_one_of_another() {
        let mut queue = FairQueue::new(4, 2);
        (0..2_000).for_each(|ticket| queue.enqueue("large", ticket));
        assert_eq!(queue.granted(), [0, 1]);
        queue.enqueue("small", 5_000);
        assert_eq!(queue.granted(), [5_000]);
        queue.enqueue("late", 6_000);
        queue.finished(&"small");
        assert_eq!(queue.granted(), [6_000]);
    }

    #[test]
    fn owners_take_turns_when_all_turns_are_in_use() {
        let mut queue = FairQueue::new(2, 1);
        for (owner, ticket) in [("a", 1), ("a", 2), ("b", 3), ("c", 4), ("a", 5)] {
            queue.enqueue(owner, ticket);
        }
        assert_eq!(queue.granted(), [1, 3]);
        queue.finished(&"a");
        assert_eq!(queue.granted(), [4], "a has had its turn");
        queue.finished(&"b");
        assert_eq!(queue.granted(), [2]);
    }

    #[test]
    fn who_withdraws_is_not_granted() {
        let mut queue = FairQueue::new(1, 1);
        queue.enqueue("a", 1);
        queue.enqueue("a", 2);
        queue.withdraw(&"a", 1);
        assert_eq!(queue.granted(), [2]);
        queue.withdraw(&"a", 2);
        queue.finished(&"a");
        assert!(queue.lines.is_empty() && queue.owners.is_empty());
    }

    proptest! {
        #[test]
        fn every_ticket_has_one_turn_and_no_share_is_exceeded(owners in prop::collection::vec(0_u8..4, 1..60)) {
            let mut queue = FairQueue::new(3, 2);
            let of: HashMap<Ticket, u8> = (0..).zip(owners.clone()).collect();
            (0..).zip(&owners).for_each(|(ticket, owner)| queue.enqueue(*owner, ticket));
            let (mut seen, mut in_use) = (Vec::new(), VecDeque::new());
            loop {
                let granted = queue.granted();
                in_use.extend(granted.iter().copied());
                seen.extend(granted);
                prop_assert!(in_use.len() <= 3);
                for owner in 0..4 {
                    prop_assert!(in_use.iter().filter(|ticket| of[*ticket] == owner).count() <= 2);
                }
                let Some(ticket) = in_use.pop_front() else { break };
                queue.finished(&of[&ticket]);
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..).zip(&owners).map(|(ticket, _)| ticket).collect::<Vec<_>>());
        }
    }
}
