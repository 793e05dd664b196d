//! Beginning the steps that were decided, each in its lane.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::lane::{Doing, LATEST_EFFECT, SearchPlan};
use super::{LaneId, Machine, Purpose, Question, RECORD_OUTLIVES_ACCESS, Update, Wakes};
use crate::config::recipient::{Recipient, RecipientKey};
use crate::delivery::change::Change;
use crate::delivery::claims::{FRESH, GRACE};
use crate::delivery::decide::{Decision, Part, Planned, Step};
use crate::delivery::effect::{Effect, Note, ReplyKind, Sought, Target, Wake};
use crate::delivery::record::{Claim, Delivery, clamped};
use crate::delivery::state::{Now, Place, Shown};

/// Changes are left to the worker that posted the message for this long, and up to twice as long.
const OWNER_FIRST: Duration = Duration::from_secs(2);
/// When to read the record again while another worker holds a claim: it is usually done soon.
const LOOK_AT_CLAIM: [Duration; 4] = [Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(10), GRACE];
/// A lane that was refused acts again on a record that is no older than this: its request and its record may be gone.
const READ_AGAIN: Duration = Duration::from_secs(30);
/// A request with less time left is announced again at once rather than searched for.
const ABOUT_TO_EXPIRE: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

/// What became of a planned step.
enum Progress {
    /// It is under way, or waits for what another input will say.
    Begun,
    /// It falls due at this time.
    Due(Instant, Wake),
    /// The record has to be read again first.
    MustRead,
}

impl Machine {
    /// Begins the steps whose lanes are free. Returns whether the record has to be read again first.
    pub(super) fn begin(&mut self, decision: &Decision, now: Now, wake: &mut Wakes, effects: &mut Vec<Effect>) -> bool {
        self.settle(decision, now, effects);
        if self.is_draining {
            return false;
        }
        self.remove_strays(now, wake, effects);
        if self.doubt.is_some() {
            return false;
        }
        let mut must_read = false;
        let mut due = Wakes::default();
        for planned in &decision.steps {
            match self.begin_step(planned, now, effects) {
                Progress::Begun => {}
                Progress::Due(at, why) => due.at(at, why),
                Progress::MustRead => must_read = true,
            }
        }
        must_read |= self.assure(decision, now, &mut due, effects);
        // A step that needs a look-up first holds up all others: nothing falls due before its answer.
        if self.doubt.is_none() {
            wake.0.append(&mut due.0);
        }
        must_read
    }

    /// Lanes without a next step give up their slots and forget what was in the way.
    fn settle(&mut self, decision: &Decision, now: Now, effects: &mut Vec<Effect>) {
        let planned: BTreeSet<LaneId> =
            decision.steps.iter().map(|planned| (planned.key.clone(), planned.part)).collect();
        let sends: BTreeSet<LaneId> = decision
            .steps
            .iter()
            .filter(|planned| match planned.step {
                Step::Post => {
                    !self.is_unresolved(&planned.key)
                        && !self.may_be_claimed(&planned.key)
                        && !self.must_search_first(&planned.key, now)
                }
                Step::Reply(_) => true,
                _ => false,
            })
            .map(|planned| (planned.key.clone(), planned.part))
            .collect();
        for (id, lane) in &mut self.lanes {
            if sends.contains(id) {
                continue;
            }
            // What another worker has claimed or done is no longer this one's to send.
            if let Some(slot) = lane.slot() {
                lane.doing = Doing::Nothing;
                self.calls.remove(&slot);
                effects.push(Effect::Release(slot));
            }
            // What is to be removed keeps its pause.
            if lane.is_free() && !planned.contains(id) && lane.strays.is_empty() {
                lane.search = None;
                lane.retry.succeeded();
            }
        }
        let awaited: BTreeSet<&RecipientKey> = decision
            .steps
            .iter()
            .filter(|planned| matches!(planned.step, Step::Await(_) | Step::TakeOver(_)))
            .map(|planned| &planned.key)
            .collect();
        self.foreign_claims.retain(|key| awaited.contains(key));
    }

    fn begin_step(&mut self, planned: &Planned, now: Now, effects: &mut Vec<Effect>) -> Progress {
        let Planned { key, part, step } = planned;
        let id = (key.clone(), *part);
        match step {
            Step::Await(claim) => return self.await_claim(key, claim, now),
            // By the next write, with all other claims.
            Step::TakeOver(_) => return Progress::Begun,
            _ => {}
        }
        let lane = self.lane(&id);
        if !lane.is_free() {
            return Progress::Begun;
        }
        if let Some(due) = lane.retry.due().filter(|due| *due > now.monotonic) {
            return Progress::Due(due, Wake::Retry);
        }
        if lane.retry.needs_person() && self.read_before(now.monotonic.checked_sub(READ_AGAIN)) {
            return Progress::MustRead;
        }
        match step {
            Step::Post => self.begin_post(&id, now, effects),
            Step::Reply(what) => match self.leave_to_owner(key, now) {
                Some(progress) => progress,
                None => self.begin_reply(&id, *what, effects),
            },
            Step::LookBack(claim) => self.look_back(&id, claim, now, effects),
            Step::Update(shown) => match self.leave_to_owner(key, now) {
                Some(progress) => progress,
                None => self.update(&id, *shown, false, effects),
            },
            Step::React(name) => match self.leave_to_owner(key, now) {
                Some(progress) => progress,
                None => self.react(&id, name, effects),
            },
            Step::Sweep(since) => self.sweep(&id, *since, now, effects),
            Step::Await(_) | Step::TakeOver(_) => Progress::Begun,
        }
    }

    fn read_before(&self, limit: Option<Instant>) -> bool {
        let read = self.record.as_ref().map(|(_, read)| *read);
        read.is_some_and(|read| limit.is_some_and(|limit| read < limit))
    }

    fn await_claim(&mut self, key: &RecipientKey, claim: &Claim, now: Now) -> Progress {
        let since = self.foreign_claims.see(key, claim, now.monotonic);
        let mut checks = LOOK_AT_CLAIM.iter().map(|after| since + *after);
        let Some(next) = checks.find(|at| self.read_before(Some(*at))) else { return Progress::Begun };
        if next <= now.monotonic { Progress::MustRead } else { Progress::Due(next, Wake::Claim) }
    }

    /// Changes are left for a moment to the worker that touched the message last: several workers see the same change at the
    /// same time. Then the record tells whether it has done them.
    fn leave_to_owner(&mut self, key: &RecipientKey, now: Now) -> Option<Progress> {
        let owner = self.record.as_ref()?.0.deliveries.get(key).map(|delivery| delivery.owner.clone())?;
        if owner.is_empty() || self.me.is_or_was(&owner) {
            return None;
        }
        let since = self.view.as_ref().map_or(now.monotonic, |view| view.since);
        let until = since + OWNER_FIRST.mul_f64(1.0 + self.share());
        if until > now.monotonic {
            return Some(Progress::Due(until, Wake::Owner));
        }
        self.read_before(Some(until)).then_some(Progress::MustRead)
    }

    /// A number between 0 and 1 that differs between the workers, for one request.
    fn share(&self) -> f64 {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let mut hasher = DefaultHasher::new();
        (self.me.name(), &self.id).hash(&mut hasher);
        f64::from(u32::try_from(hasher.finish() % 1_000).unwrap_or(0)) / 1_000.0
    }

    pub(super) fn delivery(&self, key: &RecipientKey) -> Delivery {
        let stored = self.record.as_ref().and_then(|(record, _)| record.deliveries.get(key)).cloned();
        let mut record = crate::delivery::record::Record::default();
        record.deliveries.extend(stored.map(|delivery| (key.clone(), delivery)));
        let is_told =
            record.deliveries.get(key).is_some_and(|known| known.message.is_some() || known.anew || known.lost);
        if let Some(known) = self.memory.deliveries.get(key).filter(|_| !is_told && !self.is_forgotten()) {
            record.deliveries.insert(key.clone(), known.clone());
        }
        for fact in self.facts.iter().filter(|fact| fact.key == *key) {
            fact.apply(&mut record);
        }
        record.deliveries.remove(key).unwrap_or_default()
    }

    fn begin_post(&mut self, id: &LaneId, now: Now, effects: &mut Vec<Effect>) -> Progress {
        if self.view.as_ref().is_some_and(|view| view.is_listed && view.confirmed.is_none()) {
            // A listing may be older than the end of the request.
            self.must_look_up();
            return Progress::Begun;
        }
        let key = &id.0;
        if self.may_be_claimed(key) {
            return Progress::Begun;
        }
        if self.must_resolve(key) {
            if self.is_unresolved(key) {
                let call = self.ask(Question::Resolve(key.clone(), id.clone()));
                self.lane(id).doing = Doing::Resolving;
                effects.push(Effect::Resolve { call, recipient: key.clone() });
                return Progress::Begun;
            }
            if self.waits_for_others(key, now) {
                return Progress::Begun;
            }
        }
        if self.must_search_first(key, now) {
            let place = self.place(key);
            let since = self.request().and_then(|request| request.created).unwrap_or_default();
            let call = self.ask(Question::Search { lane: id.clone(), why: Purpose::First });
            self.lane(id).doing = Doing::Calling;
            let what = Sought::Message { place, since };
            effects.push(Effect::Search { call, recipient: key.clone(), what });
            return Progress::Begun;
        }
        let call = self.ask(Question::Slot(id.clone()));
        self.lane(id).doing = Doing::Queued(call);
        effects.push(Effect::Acquire { call, to: Target::Recipient(key.clone(), self.place(key)) });
        Progress::Begun
    }

    /// Whether it has to be known before where this recipient's messages arrive: people have no other address, and of two
    /// spellings only the conversation tells whether they are one.
    fn must_resolve(&self, key: &RecipientKey) -> bool {
        match key.recipient() {
            Some(Recipient::Email(_)) => true,
            Some(recipient) => self.others(key).any(|other| other.may_be(&recipient)),
            None => false,
        }
    }

    /// Whether where this recipient's messages arrive has to be found out first, and was not yet. What others have claimed or
    /// posted meanwhile may make it so.
    pub(super) fn is_unresolved(&self, key: &RecipientKey) -> bool {
        let is_written = key.recipient().is_some_and(|recipient| recipient.written_id().is_some());
        self.must_resolve(key) && !is_written && !self.places.contains_key(key)
    }

    /// Whether another worker has claimed what may be the same place, and only its message will show whether it is.
    pub(super) fn may_be_claimed(&self, key: &RecipientKey) -> bool {
        let Some(recipient) = key.recipient() else { return false };
        let deliveries = self.record.iter().flat_map(|(record, _)| &record.deliveries);
        let mut unknown = deliveries.filter(|(other, delivery)| {
            let is_foreign = delivery.claim.as_ref().is_some_and(|claim| claim.by != self.me.name());
            *other != key && is_foreign && delivery.places().is_unknown() && self.place(other).is_unknown()
        });
        unknown.any(|(other, _)| other.recipient().is_some_and(|other| other.may_be(&recipient)))
    }

    /// The other recipients of this request, wanted or told.
    fn others(&self, key: &RecipientKey) -> impl Iterator<Item = Recipient> {
        let told = self.record.iter().flat_map(|(record, _)| record.deliveries.keys());
        let wanted = self.wanted.iter().map(|wanted| &wanted.key);
        told.chain(wanted).filter(move |other| *other != key).filter_map(RecipientKey::recipient)
    }

    /// Where it cannot be known before a post whether two recipients are one place, the one whose conversation only a post
    /// shows comes first: a channel's name before its id, a person before the id of the direct message.
    fn waits_for_others(&self, key: &RecipientKey, now: Now) -> bool {
        let Some(recipient) = key.recipient().filter(|recipient| recipient.written_id().is_some()) else {
            return false;
        };
        self.wanted.iter().filter(|other| other.key != *key).any(|other| {
            let may_be =
                other.key.recipient().is_some_and(|name| name.may_be(&recipient) && name.comes_before(&recipient));
            let lane = self.lanes.get(&(other.key.clone(), Part::Message));
            // Once it is due again it goes first again.
            let is_resting = |lane: &super::lane::Lane| lane.is_free() && !lane.retry.is_due(now.monotonic);
            let is_refused = lane.is_some_and(|lane| lane.retry.needs_person() && is_resting(lane));
            let delivery = self.delivery(&other.key);
            let is_unknown = match recipient {
                Recipient::DirectMessage(_) => {
                    let mut place = self.place(&other.key);
                    place.merge(&delivery.places());
                    for told in self.record.iter().flat_map(|(record, _)| record.deliveries.values()) {
                        if told.places().is_same(&place) {
                            place.merge(&told.places());
                        }
                    }
                    !place.ids().any(|id| matches!(Recipient::parse(id), Some(Recipient::DirectMessage(_))))
                }
                _ => self.place(&other.key).is_unknown() && delivery.places().is_unknown(),
            };
            may_be && is_unknown && !is_refused && !delivery.lost
        })
    }

    /// Whether the history has to be searched before a post: an earlier process may have announced the request.
    pub(super) fn must_search_first(&self, key: &RecipientKey, now: Now) -> bool {
        let lane = self.lanes.get(&(key.clone(), Part::Message));
        self.may_have_been_forgotten(now) && !lane.is_some_and(|lane| lane.searched_first)
    }

    /// Whether the request may have been announced, although there is no record: a record can end before its request.
    fn may_have_been_forgotten(&self, now: Now) -> bool {
        let has_record = self.record.as_ref().is_some_and(|(record, _)| record.exists());
        let Some(access_ends) = self.request().and_then(|request| request.access_expires) else { return false };
        let margin = RECORD_OUTLIVES_ACCESS.checked_sub(Duration::from_mins(10)).unwrap_or_default();
        let is_over = access_ends.checked_add(margin).is_ok_and(|ends| ends <= now.wall);
        !has_record && is_over
    }

    fn begin_reply(&mut self, id: &LaneId, what: ReplyKind, effects: &mut Vec<Effect>) -> Progress {
        let Some(parent) = self.delivery(&id.0).message else { return Progress::Begun };
        if self.lane(id).must_search {
            let call = self.ask(Question::Search { lane: id.clone(), why: Purpose::Reply(what) });
            self.lane(id).doing = Doing::Calling;
            effects.push(Effect::Search { call, recipient: id.0.clone(), what: Sought::Reply { parent, what } });
            return Progress::Begun;
        }
        let call = self.ask(Question::Slot(id.clone()));
        self.lane(id).doing = Doing::Queued(call);
        effects.push(Effect::Acquire { call, to: Target::Thread(parent) });
        Progress::Begun
    }

    /// The claim is stored: posts or replies, unless storing it took too long.
    pub(super) fn send(
        &mut self,
        id: &LaneId,
        slot: crate::delivery::input::CallId,
        claim: Claim,
        began: Instant,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let not_after = began + FRESH;
        let shown = self.view.as_ref().map(|view| Shown::of(&view.observation)).unwrap_or_default();
        let delivery = self.delivery(&id.0);
        let is_wanted = id.1 == Part::Replies || delivery.anew || self.is_pending();
        if now.monotonic >= not_after || self.is_draining || self.doubt.is_some() || !is_wanted {
            self.lane(id).doing = Doing::Nothing;
            effects.push(Effect::Release(slot));
            self.happened(&id.0, Some(claim), Change::Released { suspect: None });
            return;
        }
        let recipient = id.0.clone();
        let under = claim.clone();
        self.lane(id).doing = Doing::Calling;
        if let (Part::Replies, Some(parent)) = (id.1, delivery.message) {
            let what = self.reply_under_claim(&id.0);
            let call = self.ask(Question::Reply { lane: id.clone(), claim, what });
            effects.push(Effect::Reply { call, slot, recipient, parent, what, under, not_after });
            return;
        }
        let plain = self.lane(id).retry.plain();
        let to = Target::Recipient(recipient.clone(), self.place(&recipient));
        let call = self.ask(Question::Post { lane: id.clone(), claim, shown });
        effects.push(Effect::Post { call, slot, recipient, to, shown, plain, under, not_after });
    }

    /// What a claim on the replies of a recipient is for: the next one.
    pub(super) fn reply_under_claim(&self, key: &RecipientKey) -> ReplyKind {
        let delivery = self.delivery(key);
        let reviews = self.request().map_or(0, |request| request.reviews.len());
        let resolution = self.view.as_ref().and_then(|view| view.observation.resolution());
        match resolution {
            Some(resolution) if delivery.another_app && delivery.replies >= reviews => ReplyKind::Outcome(resolution),
            _ => ReplyKind::Review(delivery.replies),
        }
    }

    fn look_back(&mut self, id: &LaneId, claim: &Claim, now: Now, effects: &mut Vec<Effect>) -> Progress {
        let reply = (id.1 == Part::Replies).then(|| self.reply_under_claim(&id.0));
        let fresh = SearchPlan {
            claim: claim.clone(),
            reply,
            since: now.monotonic,
            looks: SearchPlan::OWN,
            done: 0,
            failures: 0,
        };
        let lane = self.lane(id);
        let plan = lane.search.take().filter(|plan| plan.claim == *claim).unwrap_or(fresh);
        let next = plan.next();
        lane.search = Some(plan.clone());
        let Some(at) = next else {
            self.give_up_claim(id, &plan, true, effects);
            return Progress::Due(now.monotonic, Wake::Retry);
        };
        if at > now.monotonic {
            return Progress::Due(at, Wake::Retry);
        }
        let delivery = self.delivery(&id.0);
        let what = if let (Some(what), Some(parent)) = (plan.reply, delivery.message) {
            Sought::Reply { parent, what }
        } else {
            let mut place = self.place(&id.0);
            place.merge(&delivery.place);
            Sought::Message { place, since: claim.time() }
        };
        let call = self.ask(Question::Search { lane: id.clone(), why: Purpose::LookBack });
        self.lane(id).doing = Doing::Calling;
        effects.push(Effect::Search { call, recipient: id.0.clone(), what });
        Progress::Begun
    }

    /// Whether there is no time left to search for a message again and again.
    pub(super) fn is_about_to_expire(&self, now: Now) -> bool {
        let expires = self.request().and_then(|request| request.request_expires);
        self.is_pending() && expires.is_some_and(|expires| now.wall.duration_until(expires) < ABOUT_TO_EXPIRE)
    }

    /// Nothing was found under the claim, or nothing can be searched: it is sent again, and a second message is looked for
    /// at the end.
    pub(super) fn give_up_claim(&mut self, id: &LaneId, plan: &SearchPlan, searched: bool, effects: &mut Vec<Effect>) {
        let lane = self.lane(id);
        lane.search = None;
        lane.retry.succeeded();
        effects.push(Effect::Report(Note::SentAgain { recipient: id.0.clone(), searched }));
        let suspect = (id.1 == Part::Message).then(|| plan.claim.time().as_second());
        self.happened(&id.0, Some(plan.claim.clone()), Change::Released { suspect });
    }

    fn update(&mut self, id: &LaneId, shown: Shown, assures: bool, effects: &mut Vec<Effect>) -> Progress {
        let delivery = self.delivery(&id.0);
        let Some(message) = delivery.message else { return Progress::Begun };
        let succeeds_another = !delivery.owner.is_empty() && delivery.owner != self.me.name();
        let lane = self.lane(id);
        lane.doing = Doing::Calling;
        let plain = lane.retry.plain();
        let call = self.ask(Question::Update(Update {
            lane: id.clone(),
            before: delivery.shown,
            shown,
            assures,
            succeeds_another,
        }));
        effects.push(Effect::Update { call, recipient: id.0.clone(), message, shown, plain });
        Progress::Begun
    }

    /// An earlier update may be carried out after a later one: the message is brought up to date once more, when that can no
    /// longer be.
    /// Returns whether the record has to be read again first.
    fn assure(&mut self, decision: &Decision, now: Now, wake: &mut Wakes, effects: &mut Vec<Effect>) -> bool {
        let mut must_read = false;
        let due: Vec<_> = self
            .lanes
            .iter()
            .filter(|((key, part), lane)| {
                let is_planned = decision.steps.iter().any(|planned| planned.key == *key && planned.part == *part);
                lane.is_free() && !is_planned
            })
            .filter_map(|(id, lane)| Some((id.clone(), lane.assure_at?)))
            .collect();
        for (id, at) in due {
            if at > now.monotonic {
                wake.at(at, Wake::Retry);
                continue;
            }
            if self.read_before(Some(at)) {
                // Another worker may have shown more meanwhile.
                must_read = true;
                continue;
            }
            self.lane(&id).assure_at = None;
            let delivery = self.delivery(&id.0);
            if delivery.message.is_some() && !delivery.lost && !delivery.another_app {
                // The record may be older than what was seen since.
                let seen = self.view.as_ref().map(|view| Shown::of(&view.observation)).unwrap_or_default();
                self.update(&id, delivery.shown.max_stage(seen), true, effects);
            }
        }
        must_read
    }

    fn react(&mut self, id: &LaneId, name: &'static str, effects: &mut Vec<Effect>) -> Progress {
        let Some(message) = self.delivery(&id.0).message else { return Progress::Begun };
        self.lane(id).doing = Doing::Calling;
        let call = self.ask(Question::React { lane: id.clone(), name });
        effects.push(Effect::React { call, message, name });
        Progress::Begun
    }

    /// Looks for a second message, once nothing can be carried out late any more.
    fn sweep(&mut self, id: &LaneId, since: i64, now: Now, effects: &mut Vec<Effect>) -> Progress {
        // `since` is of the wall clock of another machine, perhaps: the wait is on this one's monotonic clock.
        let seen = *self.lane(id).sweep_seen.get_or_insert(now.monotonic);
        if seen + LATEST_EFFECT > now.monotonic {
            return Progress::Due(seen + LATEST_EFFECT, Wake::Retry);
        }
        let delivery = self.delivery(&id.0);
        let call = self.ask(Question::Search { lane: id.clone(), why: Purpose::Sweep });
        self.lane(id).doing = Doing::Calling;
        let mut place: Place = delivery.places();
        place.merge(&self.place(&id.0));
        let what = Sought::Message { place, since: clamped(since) };
        effects.push(Effect::Search { call, recipient: id.0.clone(), what });
        Progress::Begun
    }

    /// Removes messages that are one too many.
    fn remove_strays(&mut self, now: Now, wake: &mut Wakes, effects: &mut Vec<Effect>) {
        // Only beside a message that the record names, as it is stored: until then another worker may store the other one.
        let Some((record, _)) = &self.record else { return };
        let stored: BTreeSet<_> = record.deliveries.values().filter_map(|known| known.message.clone()).collect();
        for lane in self.lanes.values_mut() {
            lane.strays.retain(|stray| !stored.contains(stray));
        }
        let is_told = |key: &RecipientKey| record.deliveries.get(key).is_some_and(|known| known.message.is_some());
        let lanes: Vec<_> = self
            .lanes
            .iter()
            .filter(|(id, lane)| {
                lane.is_free()
                    && (is_told(&id.0)
                        || stored
                            .iter()
                            .any(|message| lane.strays.iter().any(|stray| stray.channel == message.channel)))
            })
            .filter_map(|(id, lane)| Some((id.clone(), lane.strays.first().cloned()?, lane.retry.due())))
            .collect();
        for (id, message, due) in lanes {
            if let Some(at) = due.filter(|at| *at > now.monotonic) {
                wake.at(at, Wake::Retry);
                continue;
            }
            self.lane(&id).doing = Doing::Calling;
            let call = self.ask(Question::Remove { lane: id, message: message.clone() });
            effects.push(Effect::Remove { call, message });
        }
    }
}
