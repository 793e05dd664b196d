//! What follows from how an effect ended.

use super::lane::{Doing, LATEST_EFFECT, SearchPlan};
use super::{LaneId, Machine, Purpose, Question, Update};
use crate::config::recipient::RecipientKey;
use crate::delivery::change::Change;
use crate::delivery::decide::Part;
use crate::delivery::effect::{Effect, Note, ReplyKind};
use crate::delivery::input::{Answer, CallId, Failure, NotSearched, Replied, Resolved};
use crate::delivery::record::{Claim, Delivery};
use crate::delivery::state::{Now, Shown};
use crate::slack::MessageRef;
use crate::slack::error::{Class, Error, code};

/// Searching the history is given up after so many failures while Slack took other calls; the message is then sent again.
/// An outage does not count: what was sent just before it is found once it is over.
const MOST_SEARCH_FAILURES: u32 = 5;

impl Machine {
    /// Judges an answer by its question. An answer to a question that is no longer open is dropped.
    pub(super) fn answered(&mut self, call: CallId, answer: Answer, now: Now, effects: &mut Vec<Effect>) {
        let Some(question) = self.calls.remove(&call) else { return };
        match (question, answer) {
            (Question::LookUp, Answer::Request(result)) => self.looked_up(call, result, now, effects),
            (Question::Read { asked }, Answer::Record(result)) => self.record_read(asked, result, now, effects),
            (Question::Write, Answer::Stored(result)) => self.record_written(result, now, effects),
            (Question::Resolve(key, lane), Answer::Resolved(resolved)) => {
                self.resolved(&key, &lane, resolved, now, effects);
            }
            (Question::Slot(lane), Answer::Acquired) => self.acquired(&lane, call, effects),
            (Question::Post { lane, claim, shown }, Answer::Posted(result)) => {
                self.posted(&lane, claim, shown, result, now, effects);
            }
            (Question::Reply { lane, claim, what }, Answer::Replied(result)) => {
                self.replied(&lane, claim, what, result, now, effects);
            }
            (Question::Update(update), Answer::Done(result)) => self.updated(update, result, now, effects),
            (Question::React { lane, name }, Answer::Done(result)) => {
                self.reacted(&lane, name, result, now, effects);
            }
            (Question::Search { lane, why }, Answer::Found(result)) => self.searched(&lane, why, result, now, effects),
            (Question::Remove { lane, message }, Answer::Done(result)) => {
                self.removed(&lane, &message, result, now, effects);
            }
            // An answer of another kind is the caller's fault: the question stays open.
            (question, _) => drop(self.calls.insert(call, question)),
        }
    }

    fn resolved(&mut self, key: &RecipientKey, lane: &LaneId, resolved: Resolved, now: Now, effects: &mut Vec<Effect>) {
        self.lane(lane).doing = Doing::Nothing;
        match resolved {
            Resolved::Place(place) => drop(self.places.insert(key.clone(), Some(place))),
            Resolved::Unknowable => drop(self.places.insert(key.clone(), None)),
            Resolved::Failed(error) => self.failed(lane, error, now, effects),
        }
    }

    fn acquired(&mut self, id: &LaneId, slot: CallId, effects: &mut Vec<Effect>) {
        let lane = self.lane(id);
        if lane.doing == Doing::Queued(slot) {
            lane.doing = Doing::Granted(slot);
        } else {
            effects.push(Effect::Release(slot));
        }
    }

    fn posted(
        &mut self,
        id: &LaneId,
        claim: Claim,
        shown: Shown,
        result: Result<MessageRef, Failure>,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        match result {
            Ok(message) => {
                let lane = self.lane(id);
                lane.doing = Doing::Nothing;
                lane.search = None;
                lane.retry.succeeded();
                let new_since = self.view.as_ref().filter(|view| view.is_new).map(|view| view.since);
                effects.push(Effect::Report(Note::Announced {
                    recipient: id.0.clone(),
                    message: message.clone(),
                    after: new_since.map(|since| now.monotonic.saturating_duration_since(since)),
                }));
                self.announced(&id.0, Some(claim), message, shown);
            }
            Err(failure) => self.not_sent(id, claim, None, failure, now, effects),
        }
    }

    fn announced(&mut self, key: &RecipientKey, under: Option<Claim>, message: MessageRef, shown: Shown) {
        let owner = self.me.name();
        let mut place = self.place(key);
        place.add(message.channel.clone());
        let delivery =
            Delivery { message: Some(message.clone()), shown, place, owner: owner.clone(), ..Delivery::default() };
        self.memory.deliveries.insert(key.clone(), delivery);
        self.happened(key, under, Change::Posted { message, shown, owner });
    }

    fn replied(
        &mut self,
        id: &LaneId,
        claim: Claim,
        what: ReplyKind,
        result: Result<Replied, Failure>,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        match result {
            Ok(Replied::InThread) => {
                let lane = self.lane(id);
                lane.doing = Doing::Nothing;
                lane.search = None;
                lane.retry.succeeded();
                effects.push(Effect::Report(Note::Replied(id.0.clone(), what)));
                self.reply_is_there(&id.0, Some(claim), what);
            }
            Ok(Replied::Strayed) => {
                self.lane(id).doing = Doing::Nothing;
                let gone = Error::new(crate::slack::method::POST_MESSAGE, "message_not_found", None);
                effects.push(Effect::Report(Note::Lost(id.0.clone(), gone)));
                self.happened(&id.0, Some(claim), Change::Lost);
            }
            Err(failure) => self.not_sent(id, claim, Some(what), failure, now, effects),
        }
    }

    fn reply_is_there(&mut self, key: &RecipientKey, under: Option<Claim>, what: ReplyKind) {
        match what {
            ReplyKind::Review(index) => {
                let count = index.saturating_add(1);
                self.happened(key, under, Change::Replied(count));
            }
            ReplyKind::Outcome(resolution) => {
                let before = self.delivery(key).shown;
                self.happened(key, under, Change::Shown { before, now: Shown::Ended(resolution) });
            }
        }
    }

    /// A post or reply did not take effect, or may not have.
    fn not_sent(
        &mut self,
        id: &LaneId,
        claim: Claim,
        reply: Option<ReplyKind>,
        failure: Failure,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        self.lane(id).doing = Doing::Nothing;
        let error = match failure {
            Failure::TooLate => {
                self.happened(&id.0, Some(claim), Change::Released { suspect: None });
                return;
            }
            Failure::Postponed(until) => {
                self.lane(id).retry.postpone(until);
                self.happened(&id.0, Some(claim), Change::Released { suspect: None });
                return;
            }
            Failure::Refused(error) => error,
        };
        match (error.class, reply) {
            (Class::Ambiguous, _) => {
                // The claim stays: the history tells whether it was sent.
                effects.push(Effect::Report(Note::OutcomeUnknown(id.0.clone())));
                let looks = match &*error.code {
                    code::TIMEOUT => SearchPlan::OWN,
                    code::CONNECTION_LOST => SearchPlan::BROKEN_OFF,
                    _ => SearchPlan::ANSWERED,
                };
                let plan = SearchPlan { claim, reply, since: now.monotonic, looks, done: 0, failures: 0 };
                self.failed(id, error, now, effects);
                self.lane(id).search = Some(plan);
            }
            (Class::Forgotten | Class::AnotherApp | Class::Payload, Some(what @ ReplyKind::Review(_))) => {
                // Whether the message itself is gone shows when it is updated.
                effects.push(Effect::Report(Note::LeftOut(id.0.clone(), error)));
                self.reply_is_there(&id.0, Some(claim), what);
            }
            (Class::Forgotten | Class::AnotherApp | Class::Payload, Some(ReplyKind::Outcome(_))) => {
                self.memory.deliveries.remove(&id.0);
                self.happened(&id.0, Some(claim), Change::TellAnew);
            }
            _ => {
                self.happened(&id.0, Some(claim), Change::Released { suspect: None });
                self.failed(id, error, now, effects);
            }
        }
    }

    fn updated(&mut self, update: Update, result: Result<(), Failure>, now: Now, effects: &mut Vec<Effect>) {
        let Update { lane, before, shown, assures, succeeds_another } = update;
        let id = &lane;
        self.lane(id).doing = Doing::Nothing;
        let error = match result {
            Ok(()) => {
                let lane = self.lane(id);
                lane.retry.succeeded();
                if succeeds_another && shown.is_end() && !assures {
                    lane.assure_at = Some(now.monotonic + LATEST_EFFECT);
                }
                if assures {
                    return;
                }
                effects.push(Effect::Report(Note::Updated(id.0.clone(), shown)));
                self.happened(&id.0, None, Change::Shown { before, now: shown });
                return;
            }
            Err(Failure::Postponed(until)) => {
                let lane = self.lane(id);
                lane.retry.postpone(until);
                if assures {
                    lane.assure_at = Some(until);
                }
                return;
            }
            Err(Failure::TooLate) => return,
            Err(Failure::Refused(error)) => error,
        };
        if may_come_late(&error) {
            self.lane(id).assure_at = Some(now.monotonic + LATEST_EFFECT);
        }
        if error.class == Class::AnotherApp {
            effects.push(Effect::Report(Note::AnotherApp(id.0.clone())));
            self.happened(&id.0, None, Change::AnotherApp);
        } else if error.class == Class::Forgotten {
            self.memory.deliveries.remove(&id.0);
            effects.push(Effect::Report(Note::Lost(id.0.clone(), error)));
            self.happened(&id.0, None, Change::Lost);
        } else {
            self.failed(id, error, now, effects);
        }
    }

    fn reacted(
        &mut self,
        id: &LaneId,
        name: &'static str,
        result: Result<(), Failure>,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        self.lane(id).doing = Doing::Nothing;
        match result {
            Ok(()) => {
                self.lane(id).retry.succeeded();
                effects.push(Effect::Report(Note::Reacted(id.0.clone())));
                self.happened(&id.0, None, Change::Reacted(name));
            }
            Err(Failure::Postponed(until)) => self.lane(id).retry.postpone(until),
            Err(Failure::TooLate) => {}
            Err(Failure::Refused(error)) if matches!(error.class, Class::Transient | Class::Ambiguous) => {
                self.failed(id, error, now, effects);
            }
            Err(Failure::Refused(error)) => {
                // The message itself says how the request ended; the reaction is an extra.
                effects.push(Effect::Report(Note::LeftOut(id.0.clone(), error)));
                self.happened(&id.0, None, Change::ReactionGivenUp);
            }
        }
    }

    fn searched(
        &mut self,
        id: &LaneId,
        why: Purpose,
        result: Result<Vec<MessageRef>, NotSearched>,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        self.lane(id).doing = Doing::Nothing;
        match why {
            Purpose::LookBack => self.looked_back(id, result, now, effects),
            Purpose::First => self.searched_first(id, result, now, effects),
            Purpose::Reply(what) => self.searched_for_reply(id, what, result, now, effects),
            Purpose::Sweep => self.swept(id, result, now, effects),
        }
    }

    fn searched_for_reply(
        &mut self,
        id: &LaneId,
        what: ReplyKind,
        result: Result<Vec<MessageRef>, NotSearched>,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        match result {
            Ok(found) if !found.is_empty() => self.reply_is_there(&id.0, None, what),
            Err(NotSearched { failure: Failure::Postponed(until), .. }) => self.lane(id).retry.postpone(until),
            Err(NotSearched { failure: Failure::Refused(error), alone }) if may_pass(&error) && !alone => {
                self.failed(id, error, now, effects);
            }
            // Replies come in their order: where this one is missing, later ones are too.
            Ok(_) | Err(_) => self.lane(id).must_search = false,
        }
    }

    fn looked_back(
        &mut self,
        id: &LaneId,
        result: Result<Vec<MessageRef>, NotSearched>,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let Some(mut plan) = self.lane(id).search.take() else { return };
        match result {
            Ok(found) => match (found.split_first(), plan.reply) {
                (Some((first, _)), Some(what)) => {
                    self.lane(id).retry.succeeded();
                    effects.push(Effect::Report(Note::Found(id.0.clone(), first.clone())));
                    self.reply_is_there(&id.0, Some(plan.claim), what);
                }
                (Some((first, doubles)), None) => {
                    self.adopt(id, Some(plan.claim), first, doubles, effects);
                }
                (None, _) => {
                    plan.done += 1;
                    plan.failures = 0;
                    let enough = plan.next().is_none() || self.is_about_to_expire(now);
                    if enough {
                        self.give_up_claim(id, &plan, true, effects);
                    } else {
                        self.lane(id).search = Some(plan);
                    }
                }
            },
            Err(NotSearched { failure: Failure::Postponed(until), .. }) => {
                let lane = self.lane(id);
                lane.retry.postpone(until);
                lane.search = Some(plan);
            }
            Err(NotSearched { failure: Failure::TooLate, .. }) => self.lane(id).search = Some(plan),
            Err(NotSearched { failure: Failure::Refused(error), alone }) => {
                plan.failures += u32::from(alone);
                if may_pass(&error) && plan.failures < MOST_SEARCH_FAILURES {
                    self.failed(id, error, now, effects);
                    self.lane(id).search = Some(plan);
                } else {
                    self.give_up_claim(id, &plan, false, effects);
                }
            }
        }
    }

    /// The message is there: the oldest is the one, others are too many.
    fn adopt(
        &mut self,
        id: &LaneId,
        under: Option<Claim>,
        message: &MessageRef,
        doubles: &[MessageRef],
        effects: &mut Vec<Effect>,
    ) {
        effects.push(Effect::Report(Note::Found(id.0.clone(), message.clone())));
        for double in doubles {
            effects.push(Effect::Report(Note::DoubleFound(id.0.clone(), double.clone())));
        }
        let lane = self.lane(id);
        lane.retry.succeeded();
        lane.strays.extend(doubles.iter().cloned());
        // What it shows is not known: it is brought up to date.
        self.announced(&id.0, under, message.clone(), Shown::Unknown);
    }

    fn searched_first(
        &mut self,
        id: &LaneId,
        result: Result<Vec<MessageRef>, NotSearched>,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        match result {
            Ok(found) => {
                self.lane(id).searched_first = true;
                if let Some((first, doubles)) = found.split_first() {
                    self.lane(&(id.0.clone(), Part::Replies)).must_search = true;
                    self.adopt(id, None, first, doubles, effects);
                }
            }
            Err(NotSearched { failure: Failure::Postponed(until), .. }) => self.lane(id).retry.postpone(until),
            Err(NotSearched { failure: Failure::TooLate, .. }) => {}
            Err(NotSearched { failure: Failure::Refused(error), alone }) => {
                if may_pass(&error) && !alone {
                    self.failed(id, error, now, effects);
                } else {
                    self.lane(id).searched_first = true;
                    effects.push(Effect::Report(Note::SentAgain { recipient: id.0.clone(), searched: false }));
                }
            }
        }
    }

    fn swept(
        &mut self,
        id: &LaneId,
        result: Result<Vec<MessageRef>, NotSearched>,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        match result {
            Ok(found) => {
                let kept = self.delivery_message(&id.0);
                if let (None, Some((first, doubles))) = (&kept, found.split_first()) {
                    // It came when nothing was sent again any more: the only one.
                    self.adopt(id, None, first, doubles, effects);
                    self.happened(&id.0, None, Change::Swept);
                    return;
                }
                for double in found.into_iter().filter(|message| Some(message) != kept.as_ref()) {
                    effects.push(Effect::Report(Note::DoubleFound(id.0.clone(), double.clone())));
                    self.lane(id).strays.push(double);
                }
                self.happened(&id.0, None, Change::Swept);
            }
            Err(NotSearched { failure: Failure::Postponed(until), .. }) => self.lane(id).retry.postpone(until),
            Err(NotSearched { failure: Failure::TooLate, .. }) => {}
            Err(NotSearched { failure: Failure::Refused(error), alone }) => {
                let lane = self.lane(id);
                lane.sweep_failures += u32::from(alone);
                if may_pass(&error) && lane.sweep_failures < MOST_SEARCH_FAILURES {
                    self.failed(id, error, now, effects);
                } else {
                    effects.push(Effect::Report(Note::LeftOut(id.0.clone(), error)));
                    self.happened(&id.0, None, Change::Swept);
                }
            }
        }
    }

    fn delivery_message(&self, key: &RecipientKey) -> Option<MessageRef> {
        self.record.as_ref().and_then(|(record, _)| record.deliveries.get(key)?.message.clone())
    }

    fn removed(
        &mut self,
        id: &LaneId,
        message: &MessageRef,
        result: Result<(), Failure>,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        self.lane(id).doing = Doing::Nothing;
        match result {
            Ok(()) => {
                let lane = self.lane(id);
                lane.strays.retain(|stray| stray != message);
                effects.push(Effect::Report(Note::StrayRemoved(id.0.clone(), message.clone())));
            }
            Err(Failure::Postponed(until)) => self.lane(id).retry.postpone(until),
            Err(Failure::TooLate) => {}
            Err(Failure::Refused(error)) if may_pass(&error) => self.failed(id, error, now, effects),
            Err(Failure::Refused(error)) => {
                self.lane(id).strays.retain(|stray| stray != message);
                effects.push(Effect::Report(Note::LeftOut(id.0.clone(), error)));
            }
        }
    }

    fn failed(&mut self, id: &LaneId, error: Error, now: Now, effects: &mut Vec<Effect>) {
        let chance = self.jitter();
        let standing = self.standing(&id.0);
        let is_news = self.lane(id).retry.failed(error.clone(), chance, now.monotonic);
        effects.push(Effect::Report(Note::Failed { recipient: id.0.clone(), error, standing, is_news }));
    }
}

/// Whether the same call may work later without help.
fn may_pass(error: &Error) -> bool {
    matches!(error.class, Class::Transient | Class::Ambiguous)
}

/// Whether Slack may carry the call out although its caller has given it up.
fn may_come_late(error: &Error) -> bool {
    matches!(&*error.code, code::TIMEOUT | code::CONNECTION_LOST)
}
