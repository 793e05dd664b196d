//! Beginning the steps that were decided, each in its recipient's lane.

use std::collections::BTreeSet;
use std::future::pending;
use std::panic::resume_unwind;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::access_request::AccessRequest;
use crate::config::recipient::Recipient;
use crate::delivery::change::Fact;
use crate::delivery::claims::FRESH;
use crate::delivery::decide::{Decision, FOREIGN, Observation, Step, shown};
use crate::delivery::dedup;
use crate::delivery::record::Record;
use crate::slack::MessageRef;
use crate::slack::message::{self, Content, Metadata, Notification};
use crate::worker::context::Teleport;
use crate::worker::request::lane::State;
use crate::worker::request::send::{self, Outcome, Sending, Target};
use crate::worker::request::{Task, render};

/// What became of a step.
enum Progress {
    /// It is under way.
    Begun,
    /// It falls due at this time.
    Due(Instant),
}

impl Task {
    /// Begins the steps whose lanes are free. Returns when the next one falls due.
    pub(super) async fn begin(&mut self, teleport: &Teleport, decision: &Decision) -> Option<Instant> {
        let now = Instant::now();
        let keys: BTreeSet<&str> = decision.steps.iter().map(|(key, _)| key.as_str()).collect();
        self.settle(&keys);
        let mut wake: Option<Instant> = None;
        for (key, step) in &decision.steps {
            let due = match self.begin_step(teleport, key, step, now).await {
                Progress::Begun => None,
                Progress::Due(at) => Some(at),
            };
            wake = [wake, due].into_iter().flatten().min();
        }
        self.report(decision);
        wake
    }

    /// Lanes without a next step give up their turns.
    fn settle(&mut self, keys: &BTreeSet<&str>) {
        for (key, lane) in &mut self.lanes {
            if !keys.contains(key.as_str()) && matches!(lane.state, State::Ready { .. }) {
                lane.state = State::Idle;
            }
        }
        // Its grace time stays over until one of our own claims is stored in its place.
        let unclaimed = self.record.as_ref().is_some_and(|record| record.foreign && record.deliveries.is_empty());
        self.foreign_claims.retain(|key| keys.contains(key) || (key == FOREIGN && unclaimed));
    }

    async fn begin_step(&mut self, teleport: &Teleport, key: &str, step: &Step, now: Instant) -> Progress {
        if let Step::AwaitClaim(claim) = step {
            return Progress::Due(self.foreign_claims.see(key, claim, now));
        }
        let lane = self.lanes.entry(key.to_owned()).or_default();
        match &lane.state {
            State::Busy => return Progress::Begun,
            State::Idle if !lane.is_due(now) => return Progress::Due(lane.not_before.unwrap_or(now)),
            State::Idle | State::Ready { .. } => {}
        }
        let Some(record) = self.record.clone() else { return Progress::Due(now) };
        let parent = record.deliveries.get(key).and_then(|delivery| delivery.message.clone());
        let recipient = self.wanted.get(key).cloned().or_else(|| Recipient::parse(key));
        let target = match (&parent, recipient) {
            (Some(parent), _) => Target::Channel(parent.channel.clone()),
            (None, Some(recipient)) => Target::Recipient(recipient),
            (None, None) => return Progress::Begun,
        };
        match (step, parent) {
            (Step::Post | Step::Reply(_), parent) => {
                let thread = parent.filter(|_| matches!(step, Step::Reply(_)));
                return self.begin_post(teleport, &record, (key, step), target, thread).await;
            }
            // Once it is claimed: in the next round.
            (Step::LookBack(claim), _) if claim.by != self.context.instance => return Progress::Due(now),
            (Step::LookBack(claim), parent) => {
                let since = Timestamp::from_second(claim.at).unwrap_or(Timestamp::UNIX_EPOCH);
                let replies = record.deliveries.get(key).map_or(0, |delivery| delivery.replies);
                let wanted = match parent {
                    Some(_) => Metadata::of_review(&self.id.0, replies),
                    None => Metadata::of_request(&self.id.0, key),
                };
                let call = send::look_back(self.context.clone(), target, parent, since, wanted);
                self.begin_call(key, call);
            }
            (Step::Refresh { show, reaction }, Some(message)) => {
                let show = match show {
                    Some(name) => Some((name.clone(), self.content(teleport, &record, key, step).await.0)),
                    None => None,
                };
                let call = send::refresh(self.context.clone(), message, show, *reaction);
                self.begin_call(key, call);
            }
            (Step::Refresh { .. } | Step::AwaitClaim(_), _) => {}
        }
        Progress::Begun
    }

    /// Posts if it is this lane's turn; takes a place in the line otherwise.
    async fn begin_post(
        &mut self,
        teleport: &Teleport,
        record: &Record,
        (key, step): (&str, &Step),
        target: Target,
        thread: Option<MessageRef>,
    ) -> Progress {
        let lane = self.lanes.entry(key.to_owned()).or_default();
        let State::Ready { turn, place } = std::mem::replace(&mut lane.state, State::Busy) else {
            let may_be_another = dedup::are_mixed(self.wanted.values());
            self.waiting.push(labelled(key, send::acquire(self.context.clone(), target, may_be_another)));
            self.learn_logins(teleport).await;
            return Progress::Begun;
        };
        let Some((claim, since)) = self.claimed.remove(key) else {
            // The claim is not ours yet: the next round asks for it.
            lane.state = State::Ready { turn, place };
            return Progress::Due(Instant::now());
        };
        let (content, sending) = self.content(teleport, record, key, step).await;
        // Storing the claim took its time: another post may have been limited meanwhile.
        if since.elapsed() > FRESH || place.is_paused(&self.context) {
            self.lanes.entry(key.to_owned()).or_default().state = State::Idle;
            self.facts.push((key.to_owned(), Fact::Released(claim)));
            return Progress::Due(Instant::now());
        }
        let call = send::post(self.context.clone(), turn, place, content, sending, thread);
        self.begin_call(key, call);
        Progress::Begun
    }

    fn begin_call(&mut self, key: &str, call: impl Future<Output = Outcome> + Send + 'static) {
        self.lanes.entry(key.to_owned()).or_default().state = State::Busy;
        // A task of its own: Slack's answer is taken, however long a write to Teleport keeps this one. Its deadline would pass
        // otherwise, and nobody would know whether the message was sent.
        let call = AbortOnDropHandle::new(tokio::spawn(call));
        let outcome = async {
            match call.await {
                Ok(outcome) => outcome,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => resume_unwind(panic),
                    // The runtime is ending, and this task with it.
                    Err(_) => pending().await,
                },
            }
        };
        self.calling.push(labelled(key, outcome));
    }

    /// Learns the logins of the requested roles, once.
    async fn learn_logins(&mut self, teleport: &Teleport) {
        let Observation::Present(AccessRequest { roles, .. }) = &self.mail.observed else { return };
        if self.logins.is_none() {
            let (context, roles) = (self.context.clone(), roles.clone());
            self.logins = Some(context.roles.of(&teleport.client, &roles).await);
        }
    }

    /// What a step sends.
    async fn content(&mut self, teleport: &Teleport, record: &Record, key: &str, step: &Step) -> (Content, Sending) {
        let plain = self.lanes.get(key).is_some_and(|lane| lane.plain);
        let observed = &self.mail.observed;
        if let (Step::Reply(index), Observation::Present(request)) = (step, observed)
            && let Some(review) = request.reviews.get(*index)
        {
            let content = message::render_reply(&self.id.0, *index, &render::review(review));
            return (content, Sending::Reply(*index));
        }
        self.learn_logins(teleport).await;
        let observed = &self.mail.observed;
        let logins = self.logins.clone().unwrap_or_default();
        let notification = Notification {
            review: *self.context.review_buttons.borrow(),
            ..render::notification(&self.id, observed, record, &teleport.server, &logins)
        };
        let content =
            if plain { message::render_plain(&notification, key) } else { message::render(&notification, key) };
        (content, Sending::Message { shown: shown(observed) })
    }
}

fn labelled(key: &str, call: impl Future<Output = Outcome> + Send + 'static) -> BoxFuture<'static, (String, Outcome)> {
    let key = key.to_owned();
    async move { (key, call.await) }.boxed()
}
