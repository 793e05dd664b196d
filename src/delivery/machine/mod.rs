//! The machine of one access request: told what was seen, it says what to do.
//!
//! ```text
//! input ─▶ take: state only; an answer meets its question, or is dropped
//!          store: fold what has happened into the record, decide, claim what is about to be sent, write once
//!          begin: for each decided step whose lane is free and due, an effect
//!       ─▶ effects, the time of the next tick, whether anything is left
//! ```
//!
//! It does no I/O and takes neither time nor chance by itself. What must not be sent twice is claimed in Teleport's plugin
//! data (compare and swap), sent, and only then recorded. The rules that the rest follows from:
//!
//! * States of a request have an order. Nothing that is shown goes back in it, and nothing counts as gone, without a
//!   look-up by id.
//! * A claim belongs to a worker and a number; so does its grace time, and what happened under it.
//! * The outcome of a call may be unknown. Unknown is never taken for "did not happen": the history is searched first.
//! * A recipient's message and its replies are lanes of their own: neither waits for the other, and the end comes first.
//! * The deadline is computed from the state at the end of each call. An early, late or repeated tick is harmless.
//!
//! The caller carries out every effect, answers each [`CallId`] once, and sends a tick at the time that it was told.

mod answers;
mod lane;
mod steps;
mod store;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use self::lane::{Doing, Lane};
use self::store::Store;
use crate::access_request::{AccessRequest, RequestId};
use crate::config::recipient::RecipientKey;
use crate::delivery::change::{Change, Fact};
use crate::delivery::claims::{ForeignClaims, WorkerId};
use crate::delivery::decide::{Decision, Part, Situation, decide};
use crate::delivery::effect::{Effect, Note, Output, ReplyKind, Standing, Untold, Wake};
use crate::delivery::input::{CallId, Input, Known, Source, Wanted};
use crate::delivery::record::{Claim, Delivery, Record, RequestMemory};
use crate::delivery::state::{Now, Observation, Place, Resolution, Shown};
use crate::slack::MessageRef;
use crate::slack::error::Error;

/// A record outlives the access that its request is about by this long (Teleport's `lib/services`, plugin data).
pub const RECORD_OUTLIVES_ACCESS: Duration = Duration::from_hours(1);

/// Names a lane.
type LaneId = (RecipientKey, Part);

/// What this process knows of a request that it has announced or seen decided, for its next machine: what was announced once
/// is never announced again, even if its record is gone before the request is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    deliveries: BTreeMap<RecipientKey, Delivery>,
    /// The decision, once it was seen: what comes after it is no news.
    decision: Option<Resolution>,
}

/// A delivery that is not done.
#[derive(Clone, Debug, PartialEq)]
pub struct Undelivered<'a> {
    /// For whom.
    pub recipient: &'a RecipientKey,
    /// Why this recipient is told of the request.
    pub standing: Standing,
    /// What stands in the way; none while it is under way.
    pub problem: Option<&'a Error>,
}

/// The machine of one request.
#[expect(clippy::struct_excessive_bools, reason = "each remembers one thing that has happened, or not")]
#[derive(Debug)]
pub struct Machine {
    id: RequestId,
    me: WorkerId,
    chance: SmallRng,
    /// The request as it is, as far as this worker knows.
    view: Option<View>,
    /// A reason to look the request up by id.
    doubt: Option<Doubt>,
    /// Teleport said by id that the request is gone, after its end was seen.
    is_gone: bool,
    /// It was pending when this machine saw it.
    was_pending: bool,
    wanted: Vec<Wanted>,
    is_unrouted: bool,
    /// Where recipients' messages arrive, as this machine found out; none where that cannot be known.
    places: BTreeMap<RecipientKey, Option<Place>>,
    /// The record as it was read or written, and when that was asked for.
    record: Option<(Record, Instant)>,
    store: Store,
    lanes: BTreeMap<LaneId, Lane>,
    foreign_claims: ForeignClaims,
    /// Since when another program's record without a message has been seen.
    foreign_since: Option<Instant>,
    /// What has happened and is not stored yet.
    facts: Vec<Fact>,
    memory: Memory,
    /// Recipients that are known to have been left untold.
    untold: Vec<RecipientKey>,
    calls: BTreeMap<CallId, Question>,
    next_call: u64,
    next_claim: u64,
    is_connected: bool,
    is_draining: bool,
}

/// The request as it was last seen.
#[derive(Clone, Debug)]
struct View {
    observation: Observation,
    /// When it was seen to be so.
    since: Instant,
    /// Seen by an event, and so new that nothing should be stored.
    is_new: bool,
    /// It is known by a listing alone, which may be old.
    is_listed: bool,
    /// When the look-up by id was asked that says so.
    confirmed: Option<Instant>,
}

/// A reason to look the request up by id.
#[derive(Clone, Copy, Debug, Default)]
struct Doubt {
    /// The look-up under way, and when it was asked.
    asked: Option<(CallId, Instant)>,
    /// Not before this.
    not_before: Option<Instant>,
    failures: u32,
}

/// What was asked, by call.
#[derive(Debug)]
enum Question {
    LookUp,
    Read { asked: Instant },
    Write,
    Resolve(RecipientKey, LaneId),
    Slot(LaneId),
    Post { lane: LaneId, claim: Claim, shown: Shown },
    Reply { lane: LaneId, claim: Claim, what: ReplyKind },
    Update(Update),
    React { lane: LaneId, name: &'static str },
    Search { lane: LaneId, why: Purpose },
    Remove { lane: LaneId, message: MessageRef },
}

/// An update under way.
#[derive(Debug)]
struct Update {
    lane: LaneId,
    /// What the message showed, as far as this worker knew.
    before: Shown,
    /// What it is to show.
    shown: Shown,
    /// It only makes good what an older update may have undone.
    assures: bool,
    /// Another worker touched the message before.
    succeeds_another: bool,
}

/// Why the history is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// Something was sent, and its outcome is unknown.
    LookBack,
    /// An earlier process may have announced the request.
    First,
    /// The thread of a message that was found may have this reply.
    Reply(ReplyKind),
    /// A doubtful send may have left a second message.
    Sweep,
}

impl Machine {
    /// A machine that knows nothing of its request yet but what this process has announced of it. `seed` is its chance, which
    /// spreads retries and nothing else.
    pub fn new(id: RequestId, me: WorkerId, seed: u64, memory: Option<Memory>) -> Self {
        Self {
            id,
            me,
            chance: SmallRng::seed_from_u64(seed),
            view: None,
            doubt: None,
            is_gone: false,
            was_pending: false,
            wanted: Vec::new(),
            is_unrouted: false,
            places: BTreeMap::new(),
            record: None,
            store: Store::default(),
            lanes: BTreeMap::new(),
            foreign_claims: ForeignClaims::default(),
            foreign_since: None,
            facts: Vec::new(),
            memory: memory.unwrap_or_default(),
            untold: Vec::new(),
            calls: BTreeMap::new(),
            next_call: 0,
            next_claim: 0,
            is_connected: true,
            is_draining: false,
        }
    }

    /// Takes one input.
    pub fn handle(&mut self, input: Input, now: Now) -> Output {
        self.handle_all([input], now)
    }

    /// Takes inputs that are there at the same time: what follows from them is stored together.
    pub fn handle_all(&mut self, inputs: impl IntoIterator<Item = Input>, now: Now) -> Output {
        let mut effects = Vec::new();
        for input in inputs {
            self.take(input, now, &mut effects);
        }
        let mut wake = Wakes::default();
        // Once more where a step wants the record to be read again.
        for _ in 0..2 {
            wake = Wakes::default();
            self.look_up_if_doubtful(now, &mut wake, &mut effects);
            if !self.advance(now, &mut wake, &mut effects) {
                break;
            }
            self.record = None;
        }
        let is_over = self.is_over(&wake);
        Output { effects, wake: wake.first(), is_over }
    }

    /// The request's id.
    pub fn id(&self) -> &RequestId {
        &self.id
    }

    /// The request as it was last seen, for rendering.
    pub fn observation(&self) -> Option<&Observation> {
        self.view.as_ref().map(|view| &view.observation)
    }

    /// What the record remembers of the request, for rendering one that is gone.
    pub fn remembered(&self) -> Option<&RequestMemory> {
        self.record.as_ref().map(|(record, _)| &record.request)
    }

    /// What this process has announced, while the request is pending.
    pub fn into_memory(self) -> Option<Memory> {
        let is_pending = self.view.is_some_and(|view| view.observation.is_pending());
        let is_of_use = if is_pending { !self.memory.deliveries.is_empty() } else { self.memory.decision.is_some() };
        (is_of_use && !self.is_gone).then_some(self.memory)
    }

    /// The deliveries that are not done, once each recipient.
    pub fn undelivered(&self) -> Vec<Undelivered<'_>> {
        let mut undelivered: BTreeMap<&RecipientKey, Option<&Error>> = BTreeMap::new();
        for ((key, _), lane) in &self.lanes {
            let problem = lane.retry.problem();
            if problem.is_some() || !lane.is_free() || lane.search.is_some() {
                let known = undelivered.entry(key).or_default();
                *known = known.or(problem);
            }
        }
        // While the record cannot be read or written nothing is begun for any recipient.
        if self.is_pending() && (self.record.is_none() || self.store.is_failing()) {
            for wanted in &self.wanted {
                undelivered.entry(&wanted.key).or_default();
            }
        }
        let standing = |key| self.standing(key);
        undelivered
            .into_iter()
            .map(|(recipient, problem)| Undelivered { recipient, standing: standing(recipient), problem })
            .collect()
    }

    fn standing(&self, key: &RecipientKey) -> Standing {
        match self.wanted.iter().find(|wanted| wanted.key == *key) {
            Some(wanted) if wanted.suggested => Standing::Suggested,
            Some(_) => Standing::Configured,
            None => Standing::Former,
        }
    }

    fn take(&mut self, input: Input, now: Now, effects: &mut Vec<Effect>) {
        match input {
            Input::Observed { observation, source, known } => self.observed(observation, source, known, now),
            Input::Routed(wanted) => {
                self.wanted = wanted;
                let is_unrouted = self.wanted.is_empty() && self.is_pending();
                if is_unrouted && !std::mem::replace(&mut self.is_unrouted, true) {
                    let roles = self.request().map(|request| request.roles.clone()).unwrap_or_default();
                    effects.push(Effect::Report(Note::Unrouted { roles }));
                }
            }
            Input::CircumstancesChanged => {
                self.lanes.values_mut().for_each(|lane| lane.retry.circumstances_changed());
                self.places.clear();
            }
            Input::Recovered(key) => {
                for part in [Part::Message, Part::Replies] {
                    if let Some(lane) = self.lanes.get_mut(&(key.clone(), part)) {
                        lane.retry.recovered(now.monotonic);
                    }
                }
            }
            Input::Connected(is_connected) => {
                if is_connected {
                    self.store.connected();
                    if let Some(doubt) = &mut self.doubt {
                        doubt.not_before = None;
                    }
                }
                self.is_connected = is_connected;
            }
            Input::Drain => {
                self.is_draining = true;
                self.give_up_slots(effects);
            }
            Input::Answer(call, answer) => self.answered(call, answer, now, effects),
            Input::Tick => {}
        }
    }

    /// The request was seen. What is older than what is known is not believed, but looked up.
    fn observed(&mut self, observation: Observation, source: Source, known: Known, now: Now) {
        match known {
            Known::Nothing => {}
            Known::New => {
                if self.record.is_none() && self.view.is_none() && self.facts.is_empty() {
                    self.record = Some((Record::default(), now.monotonic));
                }
            }
            Known::Stored(data, asked) => {
                let is_newer = self.record.as_ref().is_none_or(|(_, read)| asked > *read);
                if is_newer && self.store.is_free() {
                    self.record = Some((Record::decode(data), asked));
                }
            }
        }
        let is_listed = source == Source::Listing;
        let is_new = matches!(self.record.as_ref(), Some((record, _)) if !record.exists()) && !is_listed;
        let view = View { since: now.monotonic, is_new, is_listed, confirmed: None, observation: observation.clone() };
        let Some(known) = &mut self.view else {
            match observation {
                Observation::Gone(_) => self.must_look_up(),
                Observation::Present(_) => self.see(view),
            }
            return;
        };
        let (before, after) = (Shown::of(&known.observation), Shown::of(&observation));
        match &observation {
            // The deletion of a request that has ended is no news, but the end of all retries.
            Observation::Gone(_) if before.is_end() => self.is_gone = true,
            Observation::Present(_) if before == after => {
                known.observation = observation;
                known.is_listed &= is_listed;
            }
            Observation::Present(_) if after.stage() > before.stage() => self.see(view),
            Observation::Present(_) | Observation::Gone(_) => self.must_look_up(),
        }
    }

    /// Decides, begins what is due and stores what has happened. Returns whether the record has to be read again first.
    fn advance(&mut self, now: Now, wake: &mut Wakes, effects: &mut Vec<Effect>) -> bool {
        let Some(record) = self.effective(now, effects) else {
            self.read(now, wake, effects);
            return false;
        };
        let folded = self.facts.len();
        self.note_untold(&record, effects);
        self.note_what_was_never_shown(effects);
        let decision = self.decide(&record);
        if let Some(decision) = &decision {
            if decision.must_confirm {
                self.must_look_up();
            }
            let is_waited_for = self.foreign_program_is_waited_for(decision, now, wake);
            let must_read = self.begin(decision, now, wake, effects);
            self.look_up_if_doubtful(now, wake, effects);
            if is_waited_for || must_read {
                return self.store.is_free() && self.is_connected;
            }
        }
        self.write((record, folded), decision.as_ref(), now, wake, effects);
        false
    }

    fn see(&mut self, view: View) {
        self.was_pending |= view.observation.is_pending();
        if view.observation.request().is_some() {
            self.memory.decision = view.observation.resolution();
        }
        self.view = Some(view);
    }

    fn must_look_up(&mut self) {
        self.doubt.get_or_insert_default();
    }

    fn look_up_if_doubtful(&mut self, now: Now, wake: &mut Wakes, effects: &mut Vec<Effect>) {
        let Some(doubt) = &mut self.doubt else { return };
        if doubt.asked.is_some() || !self.is_connected || self.is_draining {
            return;
        }
        if let Some(at) = doubt.not_before.filter(|at| *at > now.monotonic) {
            wake.at(at, Wake::Store);
            return;
        }
        let call = CallId(self.next_call);
        doubt.asked = Some((call, now.monotonic));
        self.next_call += 1;
        self.calls.insert(call, Question::LookUp);
        effects.push(Effect::LookUp(call));
    }

    fn ask(&mut self, question: Question) -> CallId {
        let call = CallId(self.next_call);
        self.next_call += 1;
        self.calls.insert(call, question);
        call
    }

    fn lane(&mut self, id: &LaneId) -> &mut Lane {
        self.lanes.entry(id.clone()).or_default()
    }

    fn is_pending(&self) -> bool {
        self.view.as_ref().is_some_and(|view| view.observation.is_pending())
    }

    fn request(&self) -> Option<&AccessRequest> {
        self.view.as_ref().and_then(|view| view.observation.request())
    }

    fn happened(&mut self, key: &RecipientKey, under: Option<Claim>, change: Change) {
        let fact = Fact { key: key.clone(), under, change };
        if let Some(known) = self.memory.deliveries.remove(key) {
            let mut remembered = Record::default();
            remembered.deliveries.insert(key.clone(), known);
            fact.apply(&mut remembered);
            self.memory.deliveries.append(&mut remembered.deliveries);
        }
        self.facts.push(fact);
    }

    /// Lets others post in the channels whose turn it is.
    fn give_up_slots(&mut self, effects: &mut Vec<Effect>) {
        for lane in self.lanes.values_mut() {
            if let Some(slot) = lane.slot() {
                lane.doing = Doing::Nothing;
                self.calls.remove(&slot);
                effects.push(Effect::Release(slot));
            }
        }
    }

    /// The record as it will be once everything that has happened is stored. Messages that turn out to be one too many are
    /// noted, and their posts count as released.
    fn effective(&mut self, now: Now, effects: &mut Vec<Effect>) -> Option<Record> {
        let mut next = self.record.as_ref()?.0.clone();
        // First what this process remembers, then what has happened since.
        if !self.is_forgotten() {
            for (key, known) in &self.memory.deliveries {
                let delivery = next.deliveries.entry(key.clone()).or_default();
                if delivery.message.is_none() && !delivery.lost && !delivery.anew && delivery.claim.is_none() {
                    *delivery = known.clone();
                }
            }
        }
        for index in 0..self.facts.len() {
            let Some(fact) = self.facts.get(index) else { break };
            let Some(stray) = fact.apply(&mut next) else { continue };
            let key = fact.key.clone();
            effects.push(Effect::Report(Note::DoubleFound(key.clone(), stray.clone())));
            if let Some(fact) = self.facts.get_mut(index) {
                fact.change = Change::Released { suspect: None };
            }
            self.memory.deliveries.remove(&key);
            let lane = self.lane(&(key, Part::Message));
            if !lane.strays.contains(&stray) {
                lane.strays.push(stray);
            }
            lane.retry.postpone(now.monotonic);
        }
        Some(next)
    }

    fn decide(&self, record: &Record) -> Option<Decision> {
        let view = self.view.as_ref()?;
        let read = self.record.as_ref().map(|(_, read)| *read)?;
        Some(decide(&Situation {
            observation: &view.observation,
            decided: self.memory.decision,
            is_confirmed: view.confirmed.is_some_and(|asked| asked >= read),
            record,
            wanted: &self.wanted,
            place: &|key| self.place(key),
            me: &self.me,
            is_abandoned: &|key, claim| self.foreign_claims.is_abandoned(key, claim, read),
            is_hopeless: &|key| {
                let lane = self.lanes.get(&(key.clone(), Part::Replies));
                lane.is_some_and(|lane| lane.retry.needs_person())
            },
            foreign_is_abandoned: self
                .foreign_since
                .is_some_and(|since| since + crate::delivery::claims::GRACE <= read),
        }))
    }

    /// Where a recipient's messages arrive: as it is written, and as it was resolved.
    fn place(&self, key: &RecipientKey) -> Place {
        let mut place = self.places.get(key).cloned().flatten().unwrap_or_default();
        if let Some(id) = key.recipient().as_ref().and_then(|recipient| recipient.written_id()) {
            place.add(id);
        }
        place
    }

    /// Nothing is under way, unstored or due.
    fn is_over(&self, wake: &Wakes) -> bool {
        let is_idle = self.calls.is_empty()
            && self.store.is_free()
            && (self.facts.is_empty() || self.is_forgotten())
            && self.lanes.values().all(Lane::is_free);
        if self.is_draining {
            return is_idle;
        }
        is_idle && (self.doubt.is_none() || self.is_draining) && (wake.0.is_empty() || self.is_forgotten())
    }

    /// The request is gone, and so is its record: nothing can be kept about it, and nothing is tried any longer.
    fn is_forgotten(&self) -> bool {
        let has_ended = self.view.as_ref().is_none_or(|view| !view.observation.is_pending());
        let is_unrecorded = self.record.as_ref().is_some_and(|(record, _)| !record.exists());
        self.is_gone && has_ended && is_unrecorded
    }

    /// Tells whom the end of the request did not reach, and why.
    fn note_what_was_never_shown(&mut self, effects: &mut Vec<Effect>) {
        if self.is_draining || !self.is_forgotten() {
            return;
        }
        for ((key, part), lane) in &mut self.lanes {
            let Some(problem) = lane.retry.problem().cloned() else { continue };
            if *part == Part::Message && !self.untold.contains(key) {
                effects.push(Effect::Report(Note::NeverUpdated(key.clone(), problem)));
            }
            lane.retry.succeeded();
        }
    }

    /// Once the request has ended: whom it was never announced to although it was pending.
    fn note_untold(&mut self, record: &Record, effects: &mut Vec<Effect>) {
        let has_ended = self.view.as_ref().is_some_and(|view| view.observation.resolution().is_some());
        if !has_ended || !std::mem::take(&mut self.was_pending) {
            return;
        }
        let told: Vec<Place> = record.deliveries.values().map(Delivery::places).collect();
        for Wanted { key, .. } in &self.wanted {
            let is_known = record
                .deliveries
                .get(key)
                .is_some_and(|delivery| delivery.message.is_some() || delivery.claim.is_some() || delivery.lost);
            let place = self.place(key);
            if is_known || told.iter().any(|other| other.is_same(&place)) {
                continue;
            }
            let lane = self.lanes.get(&(key.clone(), Part::Message));
            let reason = match lane.and_then(|lane| lane.retry.problem()) {
                Some(error) => Untold::Slack(Box::new(error.clone())),
                None if self.store.is_failing() => Untold::Teleport,
                None => Untold::Waiting,
            };
            let (recipient, standing) = (key.clone(), self.standing(key));
            self.untold.push(key.clone());
            effects.push(Effect::Report(Note::NeverAnnounced { recipient, standing, reason }));
        }
    }

    fn jitter(&mut self) -> f64 {
        self.chance.random()
    }
}

/// When to wake up, and why.
#[derive(Debug, Default)]
struct Wakes(Vec<(Instant, Wake)>);

impl Wakes {
    fn at(&mut self, at: Instant, why: Wake) {
        self.0.push((at, why));
    }

    fn first(&self) -> Option<(Instant, Wake)> {
        self.0.iter().min().copied()
    }
}

#[cfg(test)]
mod tests;
