//! Whose turn it is to post, and when; pure: time is a parameter.
//!
//! Slack's rules: about one message a second in a conversation, with bursts of a size that is not published; "several
//! hundred" messages a minute in a workspace; every other method so many calls a minute by its tier, with bursts above
//! (Slack docs: rate limits). A refused call is not lost, only late. So calls are made at once until Slack refuses one, and
//! from then on what was refused keeps to the published pace for a while.
//!
//! Conversations take turns: one with a long queue delays its own messages, not those of others.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::slack::method;
use crate::slack::rate_limit::outage::{Closed, Outage};
use crate::slack::rate_limit::pace::{Pace, Published};
use crate::slack::rate_limit::{Outcome, Ticket};

/// Messages in one conversation. Slack publishes one a second.
const CONVERSATION: Published = Published {
    interval: Duration::from_millis(1_020),
    step: Duration::from_millis(10),
    widest: Duration::from_millis(1_500),
};
/// Messages in a workspace: 300 a minute.
const WORKSPACE: Published = Published {
    interval: Duration::from_millis(200),
    step: Duration::from_millis(100),
    widest: Duration::from_secs(1),
};
/// Calls of a method of tier 3 or 4: 46 a minute, where Slack permits 50 or more.
const METHOD: Published = Published {
    interval: Duration::from_millis(1_300),
    step: Duration::from_millis(200),
    widest: Duration::from_millis(2_600),
};
/// Calls of a method of tier 2: 18 a minute, where Slack permits 20.
const SLOW_METHOD: Published = Published {
    interval: Duration::from_millis(3_300),
    step: Duration::from_millis(500),
    widest: Duration::from_millis(6_600),
};

/// Posts that may be under way at once in a conversation without a limit: Slack tolerates small bursts, and a post waits
/// for Teleport before it waits for Slack.
const WIDTH: usize = 3;
/// So long before a post may begin its slot is granted: the claim is written meanwhile.
pub(super) const LEAD: Duration = Duration::from_millis(250);
/// Posts that may be under way at once in all conversations.
const MOST_AT_ONCE: usize = 32;
/// So many different conversations that are refused one after the other, none of them because of its own speed, are taken
/// for a limit of the workspace. Fewer can be a coincidence: another worker posts in the same conversations.
const REFUSED_CONVERSATIONS: usize = 3;
/// Conversations that are remembered before those without a limit are forgotten.
const SWEEP_ABOVE: usize = 1_024;

/// Slots of all conversations of one workspace, and the pace of every method.
#[derive(Debug)]
pub struct RateLimit {
    /// Every name of a conversation: ids, and what it was called before its id was known.
    names: HashMap<String, Id>,
    conversations: HashMap<Id, Conversation>,
    tickets: HashMap<Ticket, Held>,
    /// Conversations that may have a slot to give, in turn.
    ready: VecDeque<Id>,
    /// Conversations that wait for a time.
    timed: BTreeSet<(Instant, Id)>,
    in_flight: usize,
    workspace: Pace,
    /// Conversations refused since the latest post that was not, as far as that was not due to their own speed.
    refused: BTreeSet<Id>,
    methods: HashMap<&'static str, Pace>,
    outage: Outage,
    next_id: Id,
    next_place: u64,
    sweep_above: usize,
}

type Id = u64;

#[derive(Debug, Default)]
struct Conversation {
    /// Tickets by their places in the line, which grow.
    waiting: VecDeque<(u64, Ticket)>,
    holders: BTreeSet<Ticket>,
    pace: Pace,
    line: Line,
}

/// Where a conversation stands among the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    /// Nowhere: nothing waits, or it has as many slots as it may have.
    #[default]
    Out,
    Ready,
    Timed(Instant),
}

#[derive(Clone, Copy, Debug)]
struct Held {
    conversation: Id,
    place: u64,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
    Granted,
    Begun,
}

impl Conversation {
    fn width(&self, now: Instant) -> usize {
        if self.pace.is_limited(now) { 1 } else { WIDTH }
    }

    fn is_idle(&self, now: Instant) -> bool {
        self.waiting.is_empty() && self.holders.is_empty() && !self.pace.is_limited(now)
    }
}

impl Default for RateLimit {
    fn default() -> Self {
        Self {
            names: HashMap::new(),
            conversations: HashMap::new(),
            tickets: HashMap::new(),
            ready: VecDeque::new(),
            timed: BTreeSet::new(),
            in_flight: 0,
            workspace: Pace::default(),
            refused: BTreeSet::new(),
            methods: HashMap::new(),
            outage: Outage::default(),
            next_id: 0,
            next_place: 0,
            sweep_above: SWEEP_ABOVE,
        }
    }
}

impl RateLimit {
    /// Puts `ticket` at the end of the line of `conversation`. A ticket that is in use already stays where it is.
    pub fn enqueue(&mut self, ticket: Ticket, conversation: &str, now: Instant) {
        if self.tickets.contains_key(&ticket) {
            return;
        }
        self.sweep(now);
        let id = self.id_of(conversation);
        let place = self.next_place;
        self.next_place += 1;
        self.tickets.insert(ticket, Held { conversation: id, place, stage: Stage::Waiting });
        if let Some(conversation) = self.conversations.get_mut(&id) {
            conversation.waiting.push_back((place, ticket));
        }
        self.line_up(id);
    }

    /// Takes `ticket` out of its line, or gives its slot back unused.
    pub fn withdraw(&mut self, ticket: Ticket, now: Instant) {
        match self.tickets.get(&ticket) {
            Some(&Held { conversation, place, stage: Stage::Waiting }) => {
                self.tickets.remove(&ticket);
                let Some(conversation) = self.conversations.get_mut(&conversation) else { return };
                if let Ok(index) = conversation.waiting.binary_search_by_key(&place, |(place, _)| *place) {
                    conversation.waiting.remove(index);
                }
            }
            Some(_) => self.finished(ticket, Outcome::Unused, now),
            None => {}
        }
    }

    /// Begins the post that the slot of `ticket` was granted for, or says when it may begin: a slot is granted a little
    /// early, and a limit may have become known since.
    pub fn begin(&mut self, ticket: Ticket, now: Instant) -> Result<(), Instant> {
        let Some(held) = self.tickets.get_mut(&ticket).filter(|held| held.stage == Stage::Granted) else {
            return Ok(());
        };
        let Some(conversation) = self.conversations.get_mut(&held.conversation) else { return Ok(()) };
        let at = conversation.pace.ready_at(CONVERSATION, now).max(self.workspace.pause_end(now).unwrap_or(now));
        if at > now {
            return Err(at);
        }
        conversation.pace.take(now);
        held.stage = Stage::Begun;
        Ok(())
    }

    /// The slot of `ticket` is free again; `outcome` is what its post came to.
    pub fn finished(&mut self, ticket: Ticket, outcome: Outcome, now: Instant) {
        if self.tickets.get(&ticket).is_none_or(|held| held.stage == Stage::Waiting) {
            return;
        }
        let Some(Held { conversation: id, stage, .. }) = self.tickets.remove(&ticket) else { return };
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(conversation) = self.conversations.get_mut(&id) {
            conversation.holders.remove(&ticket);
            if stage == Stage::Granted && outcome != Outcome::Unused {
                conversation.pace.take(now);
            }
        }
        match outcome {
            Outcome::Answered => {
                self.refused.clear();
                self.outage.answered(MOST_AT_ONCE);
            }
            Outcome::Limited(retry_after) => {
                self.outage.answered(MOST_AT_ONCE);
                self.refuse_post(id, retry_after, now);
            }
            Outcome::Unanswered => self.outage.unanswered(ticket, id, now),
            Outcome::Unconnected => self.outage.unconnected(Some(ticket), now),
            Outcome::Unused => self.outage.unused(ticket),
        }
        self.line_up(id);
    }

    /// Slack refused a call of `method` and takes none for `retry_after`. A refused post pauses its conversation; another
    /// method pauses as a whole.
    pub fn limited(&mut self, method: &'static str, conversation: Option<&str>, retry_after: Duration, now: Instant) {
        match conversation.filter(|_| method == method::POST_MESSAGE) {
            Some(conversation) => {
                let id = self.id_of(conversation);
                self.refuse_post(id, retry_after, now);
            }
            None if method == method::POST_MESSAGE => {
                self.workspace.refuse(WORKSPACE, retry_after, now);
            }
            None => {
                self.methods.entry(method).or_default().refuse(published(method), retry_after, now);
            }
        }
    }

    /// Lets a call of any method but `chat.postMessage` through, or says when to ask again.
    pub fn permit(&mut self, method: &'static str, now: Instant) -> Result<(), Instant> {
        let pace = self.methods.entry(method).or_default();
        let ready = pace.ready_at(published(method), now);
        if ready > now {
            return Err(ready);
        }
        pace.take(now);
        Ok(())
    }

    /// Slack answered a call of any method but `chat.postMessage`.
    pub fn answered(&mut self, now: Instant) {
        self.outage.answered_elsewhere(now);
    }

    /// No connection to Slack could be made by a call of any method but `chat.postMessage`.
    pub fn unconnected(&mut self, now: Instant) {
        self.outage.unconnected(None, now);
    }

    /// Whether Slack is known not to answer.
    pub fn is_unreachable(&self) -> bool {
        self.outage.is_known()
    }

    /// These names turned out to be of one conversation: its lines, its slots and its pace become one.
    pub fn merge<'a>(&mut self, names: impl IntoIterator<Item = &'a str> + Clone) {
        let known = names.clone().into_iter().filter_map(|name| self.names.get(name).copied());
        let known: BTreeSet<Id> = known.collect();
        let mut known = known.into_iter();
        let id = known.next().unwrap_or_else(|| self.new_id());
        for other in known {
            self.absorb(id, other);
        }
        for name in names {
            if !self.names.contains_key(name) {
                self.names.insert(name.to_owned(), id);
            }
        }
        self.line_up(id);
    }

    /// The tickets whose turn it is now, and when to ask again unless something happens before.
    pub fn granted(&mut self, now: Instant) -> (Vec<Ticket>, Option<Instant>) {
        while let Some(&(at, id)) = self.timed.first()
            && at <= now
        {
            self.timed.pop_first();
            self.ready.push_back(id);
            if let Some(conversation) = self.conversations.get_mut(&id) {
                conversation.line = Line::Ready;
            }
        }
        let mut granted = Vec::new();
        let mut open_at = None;
        while let Some(&id) = self.ready.front() {
            match self.admit(now) {
                Ok(()) => {}
                Err(Closed::Full) => break,
                Err(Closed::Until(at)) => {
                    open_at = Some(at);
                    break;
                }
            }
            self.ready.pop_front();
            granted.extend(self.grant(id, now));
        }
        let timed = self.timed.first().map(|(at, _)| *at);
        (granted, [open_at, timed].into_iter().flatten().min())
    }

    fn admit(&self, now: Instant) -> Result<(), Closed> {
        self.outage.admit(self.in_flight, MOST_AT_ONCE, now)?;
        let ready = self.workspace.ready_at(WORKSPACE, now);
        if ready > now { Err(Closed::Until(ready)) } else { Ok(()) }
    }

    /// Gives the next slot of a conversation to its first ticket, or puts the conversation where it has to wait.
    fn grant(&mut self, id: Id, now: Instant) -> Option<Ticket> {
        let conversation = self.conversations.get_mut(&id)?;
        conversation.line = Line::Out;
        if conversation.waiting.is_empty() || conversation.holders.len() >= conversation.width(now) {
            return None;
        }
        let at = conversation.pace.prepare_at(CONVERSATION, LEAD, now);
        if at > now {
            conversation.line = Line::Timed(at);
            self.timed.insert((at, id));
            return None;
        }
        let (_, ticket) = conversation.waiting.pop_front()?;
        conversation.holders.insert(ticket);
        if !conversation.waiting.is_empty() {
            conversation.line = Line::Ready;
            self.ready.push_back(id);
        }
        if let Some(held) = self.tickets.get_mut(&ticket) {
            held.stage = Stage::Granted;
        }
        self.in_flight += 1;
        self.workspace.take(now);
        self.outage.begun(ticket);
        Some(ticket)
    }

    fn refuse_post(&mut self, id: Id, retry_after: Duration, now: Instant) {
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        let may_be_its_speed = conversation.pace.refuse(CONVERSATION, retry_after, now);
        if !may_be_its_speed {
            self.refused.insert(id);
        }
        if self.refused.len() >= REFUSED_CONVERSATIONS {
            self.refused.clear();
            self.workspace.refuse(WORKSPACE, retry_after, now);
        }
    }

    fn line_up(&mut self, id: Id) {
        if let Some(conversation) = self.conversations.get_mut(&id)
            && conversation.line == Line::Out
            && !conversation.waiting.is_empty()
        {
            conversation.line = Line::Ready;
            self.ready.push_back(id);
        }
    }

    fn absorb(&mut self, id: Id, other: Id) {
        let Some(absorbed) = self.conversations.remove(&other) else { return };
        match absorbed.line {
            Line::Out => {}
            Line::Ready => self.ready.retain(|ready| *ready != other),
            Line::Timed(at) => {
                self.timed.remove(&(at, other));
            }
        }
        for ticket in absorbed.holders.iter().chain(absorbed.waiting.iter().map(|(_, ticket)| ticket)) {
            if let Some(held) = self.tickets.get_mut(ticket) {
                held.conversation = id;
            }
        }
        for name in self.names.values_mut().filter(|name| **name == other) {
            *name = id;
        }
        if self.refused.remove(&other) {
            self.refused.insert(id);
        }
        let conversation = self.conversations.entry(id).or_default();
        conversation.holders.extend(absorbed.holders);
        conversation.pace.merge(absorbed.pace);
        conversation.waiting.extend(absorbed.waiting);
        conversation.waiting.make_contiguous().sort_unstable_by_key(|(place, _)| *place);
    }

    fn id_of(&mut self, name: &str) -> Id {
        if let Some(id) = self.names.get(name) {
            return *id;
        }
        let id = self.new_id();
        self.names.insert(name.to_owned(), id);
        id
    }

    fn new_id(&mut self) -> Id {
        let id = self.next_id;
        self.next_id += 1;
        self.conversations.insert(id, Conversation::default());
        id
    }

    /// How many conversations are remembered.
    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.conversations.len()
    }

    fn sweep(&mut self, now: Instant) {
        if self.conversations.len() < self.sweep_above {
            return;
        }
        self.conversations.retain(|_, conversation| !conversation.is_idle(now));
        self.names.retain(|_, id| self.conversations.contains_key(id));
        self.ready.retain(|id| self.conversations.contains_key(id));
        self.timed.retain(|(_, id)| self.conversations.contains_key(id));
        self.refused.retain(|id| self.conversations.contains_key(id));
        self.sweep_above = SWEEP_ABOVE.max(self.conversations.len() * 2);
    }
}

fn published(method: &str) -> Published {
    match method {
        method::LIST => SLOW_METHOD,
        _ => METHOD,
    }
}
