//! The turns to post in one worker: first come, first served, a few at once in each conversation, one where Slack has asked
//! for a pause.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use slack_access_operator::delivery::input::CallId;

use crate::history::MachineId;
use crate::plan::{MINUTE, Ms};

/// Posts at once in a conversation without a limit.
const WIDTH: usize = 3;
/// Between posts in a conversation that was limited.
const INTERVAL: Ms = 1_100;
/// How long a limit is remembered.
const REMEMBERED: Ms = 10 * MINUTE;

/// Who waits.
pub type Ticket = (MachineId, CallId);

/// The lines of one worker.
#[derive(Default)]
pub struct Gate {
    lines: BTreeMap<String, Line>,
    /// Methods other than posting, as a whole.
    pauses: BTreeMap<&'static str, Ms>,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<Ticket>,
    held: BTreeSet<Ticket>,
    paused_until: Ms,
    limited_until: Ms,
    next: Ms,
}

impl Gate {
    /// Stands in line.
    pub fn join(&mut self, conversation: &str, ticket: Ticket) {
        self.lines.entry(conversation.to_owned()).or_default().waiting.push_back(ticket);
    }

    /// Leaves the line, or gives the slot back.
    pub fn leave(&mut self, ticket: Ticket) {
        for line in self.lines.values_mut() {
            line.waiting.retain(|other| *other != ticket);
            line.held.remove(&ticket);
        }
    }

    /// Everything of a machine that is over.
    pub fn forget(&mut self, machine: MachineId) {
        for line in self.lines.values_mut() {
            line.waiting.retain(|(other, _)| *other != machine);
            line.held.retain(|(other, _)| *other != machine);
        }
    }

    /// Slack has asked for a pause.
    pub fn limited(&mut self, method: &'static str, conversation: Option<&str>, until: Ms) {
        if let Some(conversation) = conversation {
            let line = self.lines.entry(conversation.to_owned()).or_default();
            line.paused_until = line.paused_until.max(until);
            line.limited_until = until + REMEMBERED;
        } else {
            let pause = self.pauses.entry(method).or_default();
            *pause = until.max(*pause);
        }
    }

    /// Until when a call has to wait.
    pub fn pause(&self, method: &'static str, conversation: Option<&str>, now: Ms) -> Option<Ms> {
        let until = match conversation {
            Some(conversation) => self.lines.get(conversation).map_or(0, |line| line.paused_until),
            None => self.pauses.get(method).copied().unwrap_or(0),
        };
        (until > now).then_some(until)
    }

    /// Whose turn it is now, and when to ask again.
    pub fn grant(&mut self, now: Ms) -> (Vec<Ticket>, Option<Ms>) {
        let mut granted = Vec::new();
        let mut again: Option<Ms> = None;
        for line in self.lines.values_mut() {
            loop {
                let is_limited = now < line.limited_until;
                let width = if is_limited { 1 } else { WIDTH };
                if line.waiting.is_empty() || line.held.len() >= width {
                    break;
                }
                let ready = line.paused_until.max(if is_limited { line.next } else { 0 });
                if ready > now {
                    again = Some(again.map_or(ready, |other| other.min(ready)));
                    break;
                }
                line.next = now + INTERVAL;
                if let Some(ticket) = line.waiting.pop_front() {
                    line.held.insert(ticket);
                    granted.push(ticket);
                }
            }
        }
        (granted, again)
    }
}
