//! The record: read, decided from, written once for everything that has happened and everything that is claimed.

use std::time::{Duration, Instant};

use super::lane::{Doing, SearchPlan};
use super::{LaneId, Machine, Question, Wakes};
use crate::backoff::Backoff;
use crate::delivery::change::{Change, Fact};
use crate::delivery::claims::GRACE;
use crate::delivery::decide::{Close, Decision, Part, Planned, Step};
use crate::delivery::effect::{Effect, Note, StoreCall, Wake};
use crate::delivery::input::{CallId, StoreError};
use crate::delivery::record::{Claim, Record};
use crate::delivery::state::{Now, Observation, Place};

/// Between attempts to read or write the record, and to look the request up.
pub(super) const BACKOFF: Backoff = Backoff::doubling(Duration::from_millis(200), Duration::from_secs(30));

/// What goes on with the record.
#[derive(Debug, Default)]
pub(super) struct Store {
    doing: StoreDoing,
    /// Not before this.
    rests_until: Option<Instant>,
    /// Failures in a row of the call that fails.
    failures: u32,
    /// Which call fails.
    failing: Option<StoreCall>,
    /// Lost races in a row.
    conflicts: u32,
    /// The record was too large, and what can be done without has been left out.
    is_shed: bool,
}

#[derive(Debug, Default)]
enum StoreDoing {
    #[default]
    Nothing,
    Reading,
    Writing(Box<Writing>),
}

/// A write under way.
#[derive(Debug)]
struct Writing {
    next: Record,
    set: crate::access_request::PluginData,
    /// How many of the machine's facts it holds.
    facts: usize,
    claims: Vec<(LaneId, Claim)>,
    closes: Option<Close>,
    began: Instant,
}

impl Store {
    /// Whether nothing is under way.
    pub(super) fn is_free(&self) -> bool {
        matches!(self.doing, StoreDoing::Nothing)
    }

    /// Whether it fails.
    pub(super) fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// There is a new connection: what failed with the old one may work.
    pub(super) fn connected(&mut self) {
        self.rests_until = None;
    }
}

impl Machine {
    /// Whether the grace time of another program, whose record has no message, has just ended: the record is read again then.
    pub(super) fn foreign_program_is_waited_for(&mut self, decision: &Decision, now: Now, wake: &mut Wakes) -> bool {
        if !decision.awaits_foreign_program {
            // Its grace time stays over until a claim of this worker is stored in its place.
            if self.record.as_ref().is_none_or(|(record, _)| !record.foreign) {
                self.foreign_since = None;
            }
            return false;
        }
        let ends = *self.foreign_since.get_or_insert(now.monotonic) + GRACE;
        if ends > now.monotonic {
            wake.at(ends, Wake::Claim);
        }
        ends <= now.monotonic
    }

    fn rests(&self, now: Now) -> Option<Instant> {
        self.store.rests_until.filter(|until| *until > now.monotonic)
    }

    /// Reads the record, if that is of use now.
    pub(super) fn read(&mut self, now: Now, wake: &mut Wakes, effects: &mut Vec<Effect>) {
        // Without a view there is nothing to decide: a look-up comes first.
        let is_needed = self.view.is_some() || !self.facts.is_empty();
        if !self.store.is_free() || !self.is_connected || !is_needed {
            return;
        }
        if let Some(until) = self.rests(now) {
            wake.at(until, Wake::Store);
            return;
        }
        let call = self.ask(Question::Read { asked: now.monotonic });
        self.store.doing = StoreDoing::Reading;
        effects.push(Effect::Read(call));
    }

    /// Writes what has happened, what is claimed, and the end of the request, together. `next` is the record with the first
    /// `folded` facts in it.
    pub(super) fn write(
        &mut self,
        (mut next, folded): (Record, usize),
        decision: Option<&Decision>,
        now: Now,
        wake: &mut Wakes,
        effects: &mut Vec<Effect>,
    ) {
        if !self.store.is_free() || !self.is_connected {
            return;
        }
        if let Some(until) = self.rests(now) {
            wake.at(until, Wake::Store);
            return;
        }
        let claims = decision.map(|decision| self.claims(decision, now)).unwrap_or_default();
        // What is under way may still change what is shown.
        let is_quiet = self.lanes.values().all(|lane| !matches!(lane.doing, Doing::Calling | Doing::Claiming { .. }));
        let closes = decision.and_then(|decision| decision.close).filter(|_| is_quiet);
        if claims.is_empty() && closes.is_none() && !self.must_store_facts() {
            return;
        }
        for ((key, part), claim) in &claims {
            let place = if *part == Part::Message { self.place(key) } else { Place::default() };
            let change = Change::Claimed(place);
            Fact { key: key.clone(), under: Some(claim.clone()), change }.apply(&mut next);
        }
        match closes {
            Some(Close::End(resolution)) => next.resolution = Some(resolution),
            Some(Close::Reopen) => next.resolution = None,
            None => {}
        }
        if let Some(request) = self.request() {
            next.remember(request);
        }
        if self.store.is_shed {
            next.shed();
        }
        let (set, expect) = next.update();
        if set.is_empty() {
            // What has happened is stored already.
            self.facts.drain(..folded.min(self.facts.len()));
            return;
        }
        for (id, claim) in &claims {
            let lane = self.lanes.entry(id.clone()).or_default();
            if let Doing::Granted(slot) = lane.doing {
                lane.doing = Doing::Claiming { slot, claim: claim.clone(), began: now.monotonic };
            }
        }
        let call = self.ask(Question::Write);
        let writing = Writing { next, set: set.clone(), facts: folded, claims, closes, began: now.monotonic };
        self.store.doing = StoreDoing::Writing(Box::new(writing));
        effects.push(Effect::Write { call, set, expect });
    }

    /// What a later fact of the same calls completes waits for it: they are stored together.
    fn must_store_facts(&self) -> bool {
        let is_urgent = |fact: &Fact| match fact.change {
            Change::Shown { .. } | Change::Reacted(_) | Change::ReactionGivenUp | Change::Swept => false,
            Change::Claimed(_)
            | Change::Released { .. }
            | Change::Posted { .. }
            | Change::Replied(_)
            | Change::Lost
            | Change::AnotherApp
            | Change::TellAnew => true,
        };
        let has_calls = self.lanes.values().any(|lane| lane.doing == Doing::Calling);
        !self.facts.is_empty() && (self.facts.iter().any(is_urgent) || !has_calls)
    }

    /// New claims: for lanes whose turn it is to post, and on what others have abandoned.
    fn claims(&mut self, decision: &Decision, now: Now) -> Vec<(LaneId, Claim)> {
        let mut claims = Vec::new();
        if self.is_draining || self.doubt.is_some() {
            return claims;
        }
        for Planned { key, part, step } in &decision.steps {
            let id = (key.clone(), *part);
            let is_granted = self.lanes.get(&id).is_some_and(|lane| matches!(lane.doing, Doing::Granted(_)));
            let at = match step {
                Step::Post
                    if self.is_unresolved(key) || self.may_be_claimed(key) || self.must_search_first(key, now) =>
                {
                    None
                }
                Step::Post | Step::Reply(_) => is_granted.then(|| now.wall.as_second()),
                Step::TakeOver(claim) => Some(claim.at),
                Step::LookBack(_) | Step::Await(_) | Step::Update(_) | Step::React(_) | Step::Sweep(_) => None,
            };
            if let Some(at) = at {
                self.next_claim += 1;
                claims.push((id, Claim { by: self.me.name(), at, n: self.next_claim }));
            }
        }
        claims
    }

    /// The answer to a read.
    pub(super) fn record_read(
        &mut self,
        asked: Instant,
        result: Result<crate::access_request::PluginData, StoreError>,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        self.store.doing = StoreDoing::Nothing;
        match result {
            Ok(data) => {
                self.store_works(StoreCall::Read, effects);
                self.record = Some((Record::decode(data), asked));
            }
            Err(StoreError::Gone) => {
                self.store_works(StoreCall::Read, effects);
                self.record = Some((Record::default(), asked));
            }
            Err(error) => self.store_failed(StoreCall::Read, error, now, effects),
        }
    }

    /// The answer to a write.
    pub(super) fn record_written(&mut self, result: Result<(), StoreError>, now: Now, effects: &mut Vec<Effect>) {
        let StoreDoing::Writing(writing) = std::mem::take(&mut self.store.doing) else { return };
        let Writing { mut next, set, facts, claims, closes, began } = *writing;
        match result {
            Ok(()) => {
                self.store_works(StoreCall::Write, effects);
                self.store.conflicts = 0;
                self.facts.drain(..facts.min(self.facts.len()));
                next.written(set);
                self.record = Some((next, began));
                for (id, claim) in claims {
                    self.claimed(&id, claim, now, effects);
                }
                if let Some(Close::End(resolution)) = closes {
                    effects.push(Effect::Report(Note::Closed(resolution)));
                }
            }
            Err(StoreError::Conflict) => {
                effects.push(Effect::Report(Note::Conflict));
                self.record = None;
                self.unclaim(&claims, false, effects);
                self.store.conflicts = self.store.conflicts.saturating_add(1);
                if self.store.conflicts > 1 {
                    // What is read may lag behind what is written. Others may post meanwhile.
                    let delay = BACKOFF.delay(self.store.conflicts - 1, self.jitter());
                    self.store.rests_until = Some(now.monotonic + delay);
                    self.give_up_slots(effects);
                }
            }
            Err(StoreError::TooLarge) if !self.store.is_shed => {
                self.store.is_shed = true;
                self.unclaim(&claims, false, effects);
            }
            Err(StoreError::Gone) => {
                // The first write to a record needs its request.
                self.record = Some((Record::default(), began));
                self.facts.clear();
                self.unclaim(&claims, true, effects);
                self.must_look_up();
            }
            Err(error) => {
                self.record = None;
                // Whether the claims were stored is not known; that nothing was sent is.
                for (id, claim) in &claims {
                    // One that was taken over may be for something that was sent: it is found when the record is read.
                    if matches!(self.lane(id).doing, Doing::Claiming { .. }) {
                        self.happened(&id.0, Some(claim.clone()), Change::Released { suspect: None });
                    }
                }
                self.unclaim(&claims, true, effects);
                self.store_failed(StoreCall::Write, error, now, effects);
            }
        }
    }

    /// The claims of a failed write are not there. The slots are kept, or given back.
    fn unclaim(&mut self, claims: &[(LaneId, Claim)], release: bool, effects: &mut Vec<Effect>) {
        for (id, _) in claims {
            let Some(lane) = self.lanes.get_mut(id) else { continue };
            if let Doing::Claiming { slot, .. } = lane.doing {
                lane.doing = if release { Doing::Nothing } else { Doing::Granted(slot) };
                if release {
                    effects.push(Effect::Release(slot));
                }
            }
        }
    }

    /// A claim is stored: send what it is for, unless storing it took too long.
    fn claimed(&mut self, id: &LaneId, claim: Claim, now: Now, effects: &mut Vec<Effect>) {
        let lane = self.lane(id);
        if let Doing::Claiming { slot, began, .. } = lane.doing.clone() {
            self.send(id, slot, claim, began, now, effects);
            return;
        }
        // Taken over from another worker.
        let was_predecessor = self.foreign_claims.is_unseen(&id.0);
        let looks = if was_predecessor { SearchPlan::PREDECESSOR } else { SearchPlan::ABANDONED };
        let reply = (id.1 == Part::Replies).then(|| self.reply_under_claim(&id.0));
        let plan = SearchPlan { claim, reply, since: now.monotonic, looks, done: 0, failures: 0 };
        self.lane(id).search = Some(plan);
    }

    fn store_works(&mut self, what: StoreCall, effects: &mut Vec<Effect>) {
        // That reading works says nothing about writing, whose failures go on being counted.
        if what == StoreCall::Read && self.store.failing == Some(StoreCall::Write) {
            return;
        }
        self.store.failing = None;
        if std::mem::take(&mut self.store.failures) > 0 {
            effects.push(Effect::Report(Note::StoreRecovered));
        }
        self.store.rests_until = None;
    }

    fn store_failed(&mut self, what: StoreCall, error: StoreError, now: Now, effects: &mut Vec<Effect>) {
        self.store.failing = Some(what);
        self.store.failures = self.store.failures.saturating_add(1);
        let delay = BACKOFF.delay(self.store.failures, self.jitter());
        self.store.rests_until = Some(now.monotonic + delay);
        effects.push(Effect::Report(Note::StoreFailing { what, error, failures: self.store.failures }));
        self.give_up_slots(effects);
    }

    /// The answer to a look-up by id.
    pub(super) fn looked_up(
        &mut self,
        call: CallId,
        result: Result<Observation, StoreError>,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let Some(asked) = self.doubt.and_then(|doubt| doubt.asked).filter(|(id, _)| *id == call) else { return };
        let result = match result {
            Err(StoreError::Gone) => Ok(Observation::Gone(now.wall)),
            result => result,
        };
        match result {
            Ok(observation) => {
                self.doubt = None;
                self.confirm(observation, asked.1, now);
            }
            Err(error) => {
                let failures = self.doubt.map_or(1, |doubt| doubt.failures.saturating_add(1));
                let not_before = Some(now.monotonic + BACKOFF.delay(failures, self.jitter()));
                self.doubt = Some(super::Doubt { asked: None, not_before, failures });
                effects.push(Effect::Report(Note::StoreFailing { what: StoreCall::LookUp, error, failures }));
                self.give_up_slots(effects);
            }
        }
    }

    /// What a look-up by id says is so, unless something newer was seen after it was asked.
    fn confirm(&mut self, observation: Observation, asked: Instant, now: Now) {
        use crate::delivery::state::Shown;
        if let Some(view) = &mut self.view {
            let (before, after) = (Shown::of(&view.observation), Shown::of(&observation));
            if matches!(observation, Observation::Gone(_)) && before.is_end() {
                self.is_gone = true;
                view.confirmed = Some(asked);
                return;
            }
            if view.since > asked && after.stage() < before.stage() {
                self.must_look_up();
                return;
            }
        }
        self.is_gone = matches!(observation, Observation::Gone(_));
        let view =
            super::View { observation, since: now.monotonic, is_new: false, is_listed: false, confirmed: Some(asked) };
        self.see(view);
    }
}
