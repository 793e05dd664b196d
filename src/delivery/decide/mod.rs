//! What is to be done about one request, from what is known about it: a pure function.
//!
//! It looks at levels, not at events: whatever was missed, the same situation leads to the same steps.

use crate::access_request::PluginData;
use crate::config::recipient::RecipientKey;
use crate::delivery::claims::WorkerId;
use crate::delivery::effect::ReplyKind;
use crate::delivery::input::Wanted;
use crate::delivery::record::{Claim, Delivery, Reaction, Record};
use crate::delivery::state::{Observation, Place, Resolution, Shown};

/// All that a decision depends on.
pub struct Situation<'a> {
    /// The request.
    pub observation: &'a Observation,
    /// How the request was decided, if this process has seen it.
    pub decided: Option<Resolution>,
    /// A look-up by id, asked after the record was read, says so: what is shown may go back.
    pub is_confirmed: bool,
    /// What is stored about it, with what has happened since.
    pub record: &'a Record,
    /// The recipients that the configuration selects.
    pub wanted: &'a [Wanted],
    /// Where a recipient's messages arrive, as far as this worker knows.
    pub place: &'a dyn Fn(&RecipientKey) -> Place,
    /// This worker.
    pub me: &'a WorkerId,
    /// Whether a claim of another worker has outlived its grace time.
    pub is_abandoned: &'a dyn Fn(&RecipientKey, &Claim) -> bool,
    /// Whether Slack refuses a recipient's replies until a person acts: nothing waits for them.
    pub is_hopeless: &'a dyn Fn(&RecipientKey) -> bool,
    /// Another program stored the request but no message, and its grace time is over.
    pub foreign_is_abandoned: bool,
}

/// Which of a recipient's two lines of work: neither waits for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The message itself, and the reaction on it.
    Message,
    /// The replies in its thread.
    Replies,
}

/// One step towards the wanted state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Post the request's message.
    Post,
    /// Reply in the message's thread.
    Reply(ReplyKind),
    /// A claim of this worker without a known outcome: look for what it may have sent.
    LookBack(Claim),
    /// A claim whose worker is dead or was silent for too long: make it this worker's.
    TakeOver(Claim),
    /// Another worker holds the claim: wait for it to finish, or for the end of its grace time.
    Await(Claim),
    /// Bring the message up to date.
    Update(Shown),
    /// Add the reaction.
    React(&'static str),
    /// Look for a second message, which a doubtful send since this time (seconds since 1970) may have left.
    Sweep(i64),
}

/// One step of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Whose.
    pub key: RecipientKey,
    /// In which line of work.
    pub part: Part,
    /// What.
    pub step: Step,
}

/// What to store of the end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// Every message shows this end.
    End(Resolution),
    /// The stored end has turned out to be wrong: the request is pending.
    Reopen,
}

/// The decision about a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// The next steps, at most one of each recipient's part.
    pub steps: Vec<Planned>,
    /// What to store of the end.
    pub close: Option<Close>,
    /// Something that is shown or stored is ahead of the observation: only a look-up by id can tell which is right.
    pub must_confirm: bool,
    /// Another program has stored the request and no message: it is posting right now, or it died before it could.
    pub awaits_foreign_program: bool,
}

impl Decision {
    /// Nothing is left to do or to wait for.
    pub fn is_settled(&self) -> bool {
        self.steps.is_empty() && self.close.is_none() && !self.must_confirm && !self.awaits_foreign_program
    }
}

/// Decides the next steps for every recipient of a request.
pub fn decide(situation: &Situation<'_>) -> Decision {
    let Situation { observation, record, wanted, .. } = situation;
    let mut decision = Decision::default();
    if observation.is_pending() && record.resolution.is_some() {
        if situation.is_confirmed {
            decision.close = Some(Close::Reopen);
        } else {
            decision.must_confirm = true;
            return decision;
        }
    }
    let untold = record.foreign && record.deliveries.is_empty() && record.resolution.is_none();
    if untold && observation.resolution().is_none() && !situation.foreign_is_abandoned {
        decision.awaits_foreign_program = true;
        return decision;
    }
    let announces =
        observation.is_pending() && (!record.foreign || (!record.has_messages() && situation.foreign_is_abandoned));
    let target = target(observation, record, situation.decided);
    let nothing_yet = Delivery::default();
    let mut told: Vec<Place> = Vec::new();
    let mut recipients: Vec<(&RecipientKey, &Delivery, bool)> = Vec::new();
    for (key, delivery) in &record.deliveries {
        let place = place_of(situation, key, delivery);
        let is_taken = delivery.message.is_some() || delivery.claim.is_some() || delivery.lost;
        if is_taken {
            told.push(place);
        }
    }
    for (key, delivery) in &record.deliveries {
        let may_post = announces && is_free(situation, key, delivery, wanted, &mut told);
        recipients.push((key, delivery, may_post));
    }
    for Wanted { key, .. } in *wanted {
        if !record.deliveries.contains_key(key) {
            let may_post = announces && is_free(situation, key, &nothing_yet, wanted, &mut told);
            recipients.push((key, &nothing_yet, may_post));
        }
    }
    for (key, delivery, may_post) in recipients {
        plan(situation, key, delivery, may_post, target, &mut decision);
    }
    if let Shown::Ended(resolution) = target {
        let is_shown = decision.steps.iter().all(|planned| match planned.part {
            Part::Replies => (situation.is_hopeless)(&planned.key),
            Part::Message => matches!(planned.step, Step::Sweep(_)),
        });
        if is_shown && !decision.must_confirm && record.has_messages() && record.resolution != Some(resolution) {
            decision.close = Some(Close::End(resolution));
        }
    }
    decision
}

/// Whether a wanted recipient without a message gets one: no other recipient is the same place and was told, or will be.
fn is_free(
    situation: &Situation<'_>,
    key: &RecipientKey,
    delivery: &Delivery,
    wanted: &[Wanted],
    told: &mut Vec<Place>,
) -> bool {
    let is_taken = delivery.message.is_some() || delivery.claim.is_some() || delivery.lost;
    if is_taken || !wanted.iter().any(|one| one.key == *key) {
        return false;
    }
    let place = place_of(situation, key, delivery);
    let is_free = place.is_unknown() || !told.iter().any(|other| other.is_same(&place));
    if is_free {
        told.push(place);
    }
    is_free
}

fn place_of(situation: &Situation<'_>, key: &RecipientKey, delivery: &Delivery) -> Place {
    let mut place = delivery.places();
    place.merge(&(situation.place)(key));
    place
}

/// What messages have to show. Once a request was seen to end, its later deletion is no news.
fn target(observation: &Observation, record: &Record, decided: Option<Resolution>) -> Shown {
    let known = || {
        let shown = record.deliveries.values().filter_map(|delivery| match delivery.shown {
            Shown::Ended(resolution) => Some(resolution),
            Shown::Pending { .. } | Shown::Unknown => None,
        });
        decided.or(record.resolution).or_else(|| shown.min())
    };
    match observation {
        Observation::Gone(_) => known().map_or(Shown::of(observation), Shown::Ended),
        Observation::Present(_) => Shown::of(observation),
    }
}

fn plan(
    situation: &Situation<'_>,
    key: &RecipientKey,
    delivery: &Delivery,
    may_post: bool,
    target: Shown,
    decision: &mut Decision,
) {
    let mut add = |part, step| decision.steps.push(Planned { key: key.clone(), part, step });
    let claimed = delivery.claim.as_ref().map(|claim| claim_step(situation, key, claim));
    let Some(_) = &delivery.message else {
        match claimed {
            Some(step) => add(Part::Message, step),
            None if delivery.lost => {}
            None if may_post || delivery.anew => add(Part::Message, Step::Post),
            // Given up when the request had ended: what was sent may have come late.
            None => {
                if let (Some(since), true) = (delivery.suspect, target.is_end()) {
                    add(Part::Message, Step::Sweep(since));
                }
            }
        }
        return;
    };
    if delivery.lost {
        return;
    }
    let reply = claimed.or_else(|| next_reply(situation.observation, delivery, target).map(Step::Reply));
    // The end is shown first, with replies beside it. Before the end, a message counts the reviews that its thread tells.
    let waits_for_reply = reply.is_some() && !target.is_end() && !(situation.is_hopeless)(key);
    if let Some(step) = reply {
        add(Part::Replies, step);
    }
    let goes_back = delivery.shown.stage() > target.stage() || (delivery.shown.is_end() && delivery.shown != target);
    if delivery.shown != target && !delivery.another_app {
        if goes_back && !situation.is_confirmed {
            decision.must_confirm = true;
        } else if !waits_for_reply {
            add(Part::Message, Step::Update(target));
        }
        return;
    }
    let Shown::Ended(resolution) = target else { return };
    if delivery.shown != target {
        return; // its thread tells the outcome first
    }
    let is_news = matches!(situation.observation, Observation::Present(_)) || situation.record.resolution.is_none();
    match (resolution.reaction(), delivery.suspect) {
        (Some(name), _) if delivery.reaction == Reaction::Missing && is_news => add(Part::Message, Step::React(name)),
        (_, Some(since)) => add(Part::Message, Step::Sweep(since)),
        _ => {}
    }
}

/// The next reply: reviews in their order; then the outcome, where the message itself cannot show it.
fn next_reply(observation: &Observation, delivery: &Delivery, target: Shown) -> Option<ReplyKind> {
    let reviews = observation.request().map_or(0, |request| request.reviews.len());
    if delivery.replies < reviews {
        return Some(ReplyKind::Review(delivery.replies));
    }
    match target {
        Shown::Ended(resolution) if delivery.another_app && delivery.shown != target => {
            Some(ReplyKind::Outcome(resolution))
        }
        _ => None,
    }
}

fn claim_step(situation: &Situation<'_>, key: &RecipientKey, claim: &Claim) -> Step {
    if claim.by == situation.me.name() {
        Step::LookBack(claim.clone())
    } else if situation.me.succeeds(&claim.by) || (situation.is_abandoned)(key, claim) {
        Step::TakeOver(claim.clone())
    } else {
        Step::Await(claim.clone())
    }
}

/// Whether a listing shows something to do, so that a machine is worth its while: with nothing but what is stored.
pub fn needs_work(
    observation: &Observation,
    data: &PluginData,
    wanted: &[Wanted],
    me: &WorkerId,
    place: &dyn Fn(&RecipientKey) -> Place,
) -> bool {
    let record = Record::decode(data.clone());
    let is_unrouted = wanted.is_empty() && observation.is_pending() && !record.exists();
    let situation = Situation {
        observation,
        decided: None,
        is_confirmed: false,
        record: &record,
        wanted,
        place,
        me,
        is_abandoned: &|_, _| false,
        is_hopeless: &|_| false,
        foreign_is_abandoned: false,
    };
    is_unrouted || !decide(&situation).is_settled()
}

#[cfg(test)]
mod tests;
