//! The task of one access request: observe, decide, act, until nothing is left to do.
//!
//! There is one task per request id at a time. It owns what is known of the request, so that nothing needs a lock;
//! recipients proceed independently of each other, each in a lane of its own. What must not be sent twice is claimed in
//! Teleport's plugin data first (compare-and-swap), sent, and only then recorded.

mod claims;
mod fact;
mod lane;
mod render;
mod send;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tracing::{debug, info, warn};

use self::{
    claims::{FRESH, ForeignClaims},
    fact::Fact,
    lane::{HISTORY_LAG, Lane, State},
    render::Logins,
    send::{Outcome, Sending, Target},
};
use super::{
    board::Problem,
    context::{Context, Teleport},
    decide::{Decision, Observation, Situation, Step, decide, resolution, shown},
    recipients::{Recipient, Selection},
    record::{Claim, Record},
};
use crate::{
    backoff::Backoff,
    metrics::{Operation, Outcome as Delivered},
    slack::{
        client::Posted,
        error::{Class, Error},
        message::{self, Content, Metadata},
        method,
    },
    teleport::{
        error::{CallError, Kind},
        request::{AccessRequest, PluginData, RequestId, RequestState},
    },
};

/// Between attempts to read or write the record.
const STORE: Backoff = Backoff::doubling(Duration::from_millis(200), Duration::from_secs(30));
/// Searching the history is given up after so many failures; the message is then sent again.
const MOST_LOOK_BACKS: u32 = 5;

/// What a task is told about its request.
#[derive(Clone, Debug)]
pub(super) struct Mail {
    /// The request as it is now.
    pub observed: Observation,
    /// When it was observed.
    pub at: Instant,
    /// What is stored about it, where the sender knows.
    pub hint: Hint,
    /// Counts the mails of one request.
    pub number: u64,
}

/// What the sender of a [`Mail`] knows about the stored record.
#[derive(Clone, Debug)]
pub(super) enum Hint {
    /// Nothing: read it.
    Unknown,
    /// The request is so new that nothing should be stored yet.
    New,
    /// It was just read.
    Known(Record),
}

type Running = FuturesUnordered<BoxFuture<'static, (String, Outcome)>>;

/// The task of one request.
pub(super) struct Task {
    context: Arc<Context>,
    id: RequestId,
    mailbox: watch::Receiver<Mail>,
    mail: Mail,
    record: Option<Record>,
    /// When the record was read, or written.
    read_at: Instant,
    logins: Option<Logins>,
    wanted: BTreeMap<String, Recipient>,
    unrouted: bool,
    lanes: BTreeMap<String, Lane>,
    /// What has happened and is not stored yet.
    facts: Vec<(String, Fact)>,
    /// Claims of our own that were stored, and when storing them began.
    claimed: BTreeMap<String, (Claim, Instant)>,
    foreign_claims: ForeignClaims,
    claim_count: u64,
    /// Waiting for turns: given up on shutdown.
    waiting: Running,
    /// Calls under way: awaited on shutdown.
    calling: Running,
    failures: u32,
    paused_until: Option<Instant>,
}

impl Task {
    /// Runs until nothing is left to do, and returns the number of the last mail that it has seen.
    pub(super) async fn run(context: Arc<Context>, id: RequestId, mut mailbox: watch::Receiver<Mail>) -> u64 {
        let mail = mailbox.borrow_and_update().clone();
        let now = Instant::now();
        let mut task = Self {
            id,
            mailbox,
            record: None,
            read_at: now,
            logins: None,
            wanted: BTreeMap::new(),
            unrouted: false,
            lanes: BTreeMap::new(),
            facts: Vec::new(),
            claimed: BTreeMap::new(),
            foreign_claims: ForeignClaims::default(),
            claim_count: 0,
            waiting: Running::new(),
            calling: Running::new(),
            failures: 0,
            paused_until: None,
            mail: mail.clone(),
            context,
        };
        task.take(mail);
        task.work().await;
        task.context.board.forget(&task.id);
        task.mail.number
    }

    async fn work(&mut self) {
        let context = self.context.clone();
        let mut routes = context.routes.clone();
        routes.mark_unchanged();
        let mut shutting_down = false;
        loop {
            let wake = match self.advance(shutting_down).await {
                Ok(wake) => wake,
                Err(Stop::Over) => return,
                Err(Stop::Again) => continue,
                Err(Stop::Later(at)) => Some(at),
            };
            if self.is_done(wake, shutting_down) {
                return;
            }
            tokio::select! {
                biased;
                Some((key, outcome)) = self.calling.next() => self.handle(&key, outcome),
                Some((key, outcome)) = self.waiting.next() => self.handle(&key, outcome),
                changed = self.mailbox.changed(), if !shutting_down => match changed {
                    Ok(()) => {
                        let mail = self.mailbox.borrow_and_update().clone();
                        self.take(mail);
                    }
                    // Nobody is left to hear from: finish what is under way.
                    Err(_) => shutting_down = true,
                },
                Ok(()) = routes.changed() => self.circumstances_changed(),
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
                () = context.shutdown.cancelled(), if !shutting_down => {
                    shutting_down = true;
                    self.give_up_waiting();
                }
            }
            self.handle_more();
        }
    }

    fn is_done(&self, wake: Option<Instant>, shutting_down: bool) -> bool {
        let idle = self.calling.is_empty() && self.waiting.is_empty() && self.facts.is_empty();
        let unread = self.mailbox.has_changed().unwrap_or(false);
        idle && (shutting_down || (wake.is_none() && !unread))
    }

    /// Outcomes that are there already are handled before the next write, which then stores them together.
    fn handle_more(&mut self) {
        while let Some(Some((key, outcome))) = self.calling.next().now_or_never() {
            self.handle(&key, outcome);
        }
        while let Some(Some((key, outcome))) = self.waiting.next().now_or_never() {
            self.handle(&key, outcome);
        }
    }

    fn take(&mut self, mail: Mail) {
        match &mail.hint {
            Hint::Unknown => {}
            Hint::New if self.record.is_none() => self.record = Some(Record::default()),
            Hint::New => {}
            Hint::Known(record) => {
                // What this task has stored since is newer than what a listing saw.
                if self.record.is_none() && self.facts.is_empty() {
                    self.record = Some(record.clone());
                    self.read_at = mail.at;
                } else {
                    self.record = None;
                }
            }
        }
        self.mail = mail;
        self.route();
    }

    /// Finds out who is to be told.
    fn route(&mut self) {
        let Observation::Present(request) = &self.mail.observed else { return };
        let routes = self.context.routes.borrow().clone();
        let Selection { recipients, unrouted_roles, unaddressed_reviewers } =
            routes.select(&request.roles, &request.suggested_reviewers);
        let unrouted = recipients.is_empty() && request.state == RequestState::Pending;
        if unrouted && !self.unrouted {
            warn!(
                request_id = %self.id, roles = ?unrouted_roles, reviewers = ?unaddressed_reviewers,
                "Nobody is told of this request: add its roles, or \"*\", to role_to_recipients"
            );
            self.context.metrics.request_unrouted();
            self.context.board.unrouted(&self.id, &unrouted_roles);
        }
        self.unrouted = unrouted;
        self.wanted = recipients.into_iter().map(|recipient| (recipient.to_string(), recipient)).collect();
    }

    fn circumstances_changed(&mut self) {
        self.route();
        self.lanes.values_mut().for_each(Lane::circumstances_changed);
    }

    fn give_up_waiting(&mut self) {
        self.waiting = Running::new();
        for lane in self.lanes.values_mut() {
            if matches!(lane.state, State::Ready { .. }) {
                lane.state = State::Idle;
            }
        }
    }

    /// Stores what has happened, decides, and begins what is to be done. Returns when to look again.
    async fn advance(&mut self, shutting_down: bool) -> Result<Option<Instant>, Stop> {
        let now = Instant::now();
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return Err(Stop::Later(until));
        }
        let Some(teleport) = self.context.teleport.borrow().clone() else {
            return Err(Stop::Later(now + Duration::from_millis(200)));
        };
        if self.foreign_claims.must_read_again(self.read_at, now) {
            self.record = None;
        }
        let current = match self.record.take() {
            Some(record) => record,
            None => self.read(&teleport).await?,
        };
        let mut next = current.clone();
        for (key, fact) in &self.facts {
            fact.apply(key, &mut next);
        }
        let decision = self.decide(&next);
        let claims = if shutting_down { Vec::new() } else { self.claims(&decision) };
        for (key, claim) in &claims {
            Fact::Claimed(claim.clone()).apply(key, &mut next);
        }
        if let Some(resolution) = decision.close {
            resolution.clone_into(&mut next.resolution);
        }
        let must_store = !self.facts.is_empty() || !claims.is_empty() || decision.close.is_some();
        self.record = Some(current);
        if must_store {
            if let Observation::Present(request) = &self.mail.observed {
                next.remember(request);
            }
            let began = Instant::now();
            let holds = claims.iter().map(|(key, claim)| (key.clone(), (claim.clone(), began)));
            self.claimed.extend(holds);
            self.store(&teleport, next).await?;
            if decision.close.is_some() {
                let resolution = decision.close;
                info!(request_id = %self.id, resolution, "Every message shows how the request ended");
            }
        }
        if shutting_down {
            return Ok(None);
        }
        self.begin(&teleport, &decision).await
    }

    fn decide(&self, record: &Record) -> Decision {
        let wanted: Vec<String> = self.wanted.keys().cloned().collect();
        decide(Situation {
            observed: &self.mail.observed,
            record,
            wanted: &wanted,
            instance: &self.context.instance,
            abandoned: &self.foreign_claims.abandoned(self.read_at),
        })
    }

    /// New claims: for lanes whose turn it is to post, and on what others have abandoned.
    fn claims(&mut self, decision: &Decision) -> Vec<(String, Claim)> {
        let mut claims = Vec::new();
        for (key, step) in &decision.steps {
            let at = match step {
                Step::Post | Step::Reply(_) => {
                    let ready = self.lanes.get(key).is_some_and(|lane| matches!(lane.state, State::Ready { .. }));
                    ready.then(|| Timestamp::now().as_second())
                }
                Step::LookBack(claim) if claim.by != self.context.instance => Some(claim.at),
                _ => None,
            };
            if let Some(at) = at {
                self.claim_count += 1;
                let claim = Claim { by: self.context.instance.clone(), at, n: self.claim_count };
                claims.push((key.clone(), claim));
            }
        }
        claims
    }

    async fn read(&mut self, teleport: &Teleport) -> Result<Record, Stop> {
        match teleport.client.plugin_data(&self.id).await {
            Ok(data) => {
                self.failures = 0;
                self.read_at = Instant::now();
                Ok(Record::decode(data))
            }
            Err(error) => Err(self.pause("read", &error)),
        }
    }

    async fn store(&mut self, teleport: &Teleport, mut next: Record) -> Result<(), Stop> {
        let (set, expect): (PluginData, PluginData) = next.update();
        if !set.is_empty() {
            match teleport.client.update_plugin_data(&self.id, set.clone(), expect).await {
                Ok(()) => next.written(set),
                Err(error) => return Err(self.store_failed(&error)),
            }
        }
        self.failures = 0;
        self.read_at = Instant::now();
        self.facts.clear();
        self.record = Some(next);
        Ok(())
    }

    fn store_failed(&mut self, error: &CallError) -> Stop {
        self.record = None;
        match error.kind {
            Kind::CompareFailed => {
                debug!(request_id = %self.id, "Somebody else has written the record: deciding anew");
                self.context.metrics.plugin_data_conflict();
                self.claimed.clear();
                Stop::Again
            }
            Kind::NotFound => {
                debug!(request_id = %self.id, "The request and its record are gone");
                self.facts.clear();
                Stop::Over
            }
            _ => {
                // Whether the claims were stored is not known; that nothing was sent is.
                let claimed = std::mem::take(&mut self.claimed);
                self.facts.extend(claimed.into_keys().map(|key| (key, Fact::Released)));
                self.pause("write", error)
            }
        }
    }

    fn pause(&mut self, what: &'static str, error: &CallError) -> Stop {
        self.failures = self.failures.saturating_add(1);
        let delay = STORE.delay(self.failures, rand::random());
        if error.is_transient() && self.failures < 3 {
            debug!(request_id = %self.id, %error, "Could not {what} the record of a request: trying again");
        } else {
            warn!(request_id = %self.id, %error, "Could not {what} the record of a request: trying again");
        }
        let until = Instant::now() + delay;
        self.paused_until = Some(until);
        Stop::Later(until)
    }

    /// Begins the steps whose lanes are free. Returns when the next one falls due.
    async fn begin(&mut self, teleport: &Teleport, decision: &Decision) -> Result<Option<Instant>, Stop> {
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
        Ok(wake)
    }

    /// Lanes without a next step give up their turns.
    fn settle(&mut self, keys: &BTreeSet<&str>) {
        for (key, lane) in &mut self.lanes {
            if !keys.contains(key.as_str()) && matches!(lane.state, State::Ready { .. }) {
                lane.state = State::Idle;
            }
        }
        self.foreign_claims.retain(keys);
    }

    async fn begin_step(&mut self, teleport: &Teleport, key: &str, step: &Step, now: Instant) -> Progress {
        if let Step::AwaitClaim(claim) = step {
            return Progress::Due(self.foreign_claims.see(key, claim, now));
        }
        let lane = self.lanes.entry(key.to_owned()).or_default();
        match &lane.state {
            State::Busy => return Progress::Begun,
            State::Ready { .. } => {}
            State::Idle if !lane.is_due(now) => return Progress::Due(lane.not_before.unwrap_or(now)),
            State::Idle => {}
        }
        let Some(record) = self.record.clone() else { return Progress::Due(now) };
        let parent = record.deliveries.get(key).and_then(|delivery| delivery.message.clone());
        let recipient = self.wanted.get(key).cloned().or_else(|| Recipient::parse(key));
        let target = match (&parent, recipient) {
            (Some(parent), _) => Target::Channel(parent.channel.clone()),
            (None, Some(recipient)) => Target::Recipient(recipient),
            (None, None) => return Progress::Begun,
        };
        match step {
            Step::Post | Step::Reply(_) => match std::mem::take(&mut lane.state) {
                State::Ready { turn, channel } => {
                    let Some((_, since)) = self.claimed.remove(key) else {
                        // The claim is not ours yet: the next round asks for it.
                        lane.state = State::Ready { turn, channel };
                        return Progress::Due(now);
                    };
                    if since.elapsed() > FRESH {
                        lane.state = State::Idle;
                        self.facts.push((key.to_owned(), Fact::Released));
                        return Progress::Due(now);
                    }
                    lane.state = State::Busy;
                    let plain = lane.plain;
                    let (content, sending) = self.content(teleport, &record, key, step, plain).await;
                    let thread = parent.filter(|_| matches!(step, Step::Reply(_)));
                    let call = send::post(self.context.clone(), turn, channel, content, sending, thread);
                    self.calling.push(labelled(key, call));
                }
                _ => {
                    lane.state = State::Busy;
                    self.waiting.push(labelled(key, send::acquire(self.context.clone(), target)));
                    self.learn_logins(teleport).await;
                }
            },
            Step::LookBack(claim) => {
                if claim.by != self.context.instance {
                    // It is claimed by now, and looked for in the next round.
                    return Progress::Due(now);
                }
                lane.state = State::Busy;
                let since = Timestamp::from_second(claim.at).unwrap_or(Timestamp::UNIX_EPOCH);
                let replies = record.deliveries.get(key).map_or(0, |delivery| delivery.replies);
                let wanted = match parent {
                    Some(_) => Metadata::of_review(&self.id.0, replies),
                    None => Metadata::of_request(&self.id.0, key),
                };
                let call = send::look_back(self.context.clone(), target, parent, since, wanted);
                self.calling.push(labelled(key, call));
            }
            Step::Refresh { show, reaction } => {
                let Some(message) = parent else { return Progress::Begun };
                lane.state = State::Busy;
                let plain = lane.plain;
                let show = match show {
                    Some(name) => Some((name.clone(), self.content(teleport, &record, key, step, plain).await.0)),
                    None => None,
                };
                let call = send::refresh(self.context.clone(), message, show, *reaction);
                self.calling.push(labelled(key, call));
            }
            Step::AwaitClaim(_) => {}
        }
        Progress::Begun
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
    async fn content(
        &mut self,
        teleport: &Teleport,
        record: &Record,
        key: &str,
        step: &Step,
        plain: bool,
    ) -> (Content, Sending) {
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
        let notification = render::notification(&self.id, observed, record, &teleport.server, &logins);
        let content =
            if plain { message::render_plain(&notification, key) } else { message::render(&notification, key) };
        (content, Sending::Message { shown: shown(observed) })
    }

    fn handle(&mut self, key: &str, outcome: Outcome) {
        let lane = self.lanes.entry(key.to_owned()).or_default();
        lane.state = State::Idle;
        match outcome {
            Outcome::Acquired(Ok((turn, channel))) => lane.state = State::Ready { turn, channel },
            Outcome::Acquired(Err(error)) => self.failed(key, error),
            Outcome::Sent(sending, Ok(posted)) => self.sent(key, sending, &posted),
            Outcome::Sent(sending, Err(error)) => self.not_sent(key, &sending, error),
            Outcome::LookedBack(result) => self.looked_back(key, result),
            Outcome::Refreshed { show, reaction } => self.refreshed(key, show, reaction),
        }
    }

    fn fact(&mut self, key: &str, fact: Fact) {
        self.facts.push((key.to_owned(), fact));
    }

    fn sent(&mut self, key: &str, sending: Sending, posted: &Posted) {
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.succeeded();
        }
        let message = &posted.message;
        match sending {
            Sending::Message { shown } => {
                let latency = self.mail.at.elapsed();
                self.context.metrics.delivery(Operation::Post, Delivered::Ok);
                self.context.metrics.delivery_latency(latency);
                self.context.board.delivered();
                info!(request_id = %self.id, recipient = key, slack_message = %message, "Posted the access request");
                self.fact(key, Fact::Posted { message: message.clone(), shown });
            }
            Sending::Reply(_) if posted.strayed => {
                info!(request_id = %self.id, recipient = key, "The message was deleted in Slack: not following it");
                self.fact(key, Fact::Lost);
            }
            Sending::Reply(index) => {
                self.context.metrics.delivery(Operation::Reply, Delivered::Ok);
                info!(request_id = %self.id, recipient = key, review = index, "Replied with a review");
                self.fact(key, Fact::Replied(index + 1));
            }
        }
    }

    fn not_sent(&mut self, key: &str, sending: &Sending, error: Error) {
        match error.class {
            // The claim stays: the history tells whether it was sent.
            Class::Ambiguous => self.failed(key, error),
            Class::Forgotten if matches!(sending, Sending::Reply(_)) => {
                info!(request_id = %self.id, recipient = key, %error, "The message was deleted in Slack: not following it");
                self.fact(key, Fact::Lost);
            }
            _ => {
                self.fact(key, Fact::Released);
                self.failed(key, error);
            }
        }
    }

    fn looked_back(&mut self, key: &str, result: Result<Option<crate::slack::MessageRef>, Error>) {
        let replies = self
            .record
            .as_ref()
            .and_then(|record| record.deliveries.get(key))
            .filter(|delivery| delivery.message.is_some())
            .map(|delivery| delivery.replies);
        match (result, replies) {
            (Ok(Some(message)), None) => {
                info!(request_id = %self.id, recipient = key, slack_message = %message, "Found the message whose answer was lost");
                // What it shows is not known: bring it up to date.
                self.fact(key, Fact::Posted { message, shown: String::new() });
            }
            (Ok(Some(_)), Some(replies)) => self.fact(key, Fact::Replied(replies + 1)),
            (Ok(None), _) => self.fact(key, Fact::Released),
            (Err(error), _) => {
                let lane = self.lanes.entry(key.to_owned()).or_default();
                lane.look_backs += 1;
                let passes = matches!(error.class, Class::Transient | Class::Ambiguous);
                if passes && lane.look_backs < MOST_LOOK_BACKS {
                    self.failed(key, error);
                } else {
                    debug!(request_id = %self.id, recipient = key, %error, "Cannot tell whether it was sent: sending again");
                    self.fact(key, Fact::Released);
                }
            }
        }
    }

    fn refreshed(
        &mut self,
        key: &str,
        show: Option<(String, Result<(), Error>)>,
        reaction: Option<(&'static str, Result<(), Error>)>,
    ) {
        match show {
            Some((name, Ok(()))) => {
                self.context.metrics.delivery(Operation::Update, Delivered::Ok);
                info!(request_id = %self.id, recipient = key, state = name, "Updated the message");
                self.fact(key, Fact::Shown(name));
                if let Some(lane) = self.lanes.get_mut(key) {
                    lane.succeeded();
                }
            }
            Some((_, Err(error))) if error.class == Class::Forgotten => {
                info!(request_id = %self.id, recipient = key, %error, "The message can no longer be updated: not following it");
                self.fact(key, Fact::Lost);
            }
            Some((_, Err(error))) => return self.failed(key, error),
            None => {}
        }
        match reaction {
            Some((name, Ok(()))) => {
                self.context.metrics.delivery(Operation::Reaction, Delivered::Ok);
                self.fact(key, Fact::Reacted(name));
            }
            Some((_, Err(error))) if matches!(error.class, Class::Transient | Class::Ambiguous) => {
                self.failed(key, error);
            }
            Some((_, Err(error))) => {
                // The message itself says how the request ended; the reaction is an extra.
                warn!(request_id = %self.id, recipient = key, %error, remedy = error.remedy(), "Leaving out the reaction");
                self.fact(key, Fact::ReactionGivenUp);
            }
            None => {}
        }
    }

    fn failed(&mut self, key: &str, error: Error) {
        self.count_failure(&error);
        let lane = self.lanes.entry(key.to_owned()).or_default();
        let news = lane.problem.as_ref().is_none_or(|known| known.code != error.code);
        let (id, remedy) = (&self.id, error.remedy());
        match error.class {
            _ if error.is_rate_limit() => {
                debug!(request_id = %id, recipient = key, retry_after = ?error.retry_after, "Slack asks for patience");
            }
            _ if !news => debug!(request_id = %id, recipient = key, %error, "Failed again"),
            Class::Transient | Class::Ambiguous => {
                warn!(request_id = %id, recipient = key, %error, "Could not reach Slack: trying again");
            }
            _ => warn!(request_id = %id, recipient = key, %error, remedy, "Slack refuses: trying again later"),
        }
        if error.class == Class::Ambiguous {
            lane.failed(error, rand::random(), Instant::now() + HISTORY_LAG);
        } else {
            lane.failed(error, rand::random(), Instant::now());
        }
    }

    fn count_failure(&self, error: &Error) {
        let operation = match error.method {
            method::UPDATE => Operation::Update,
            method::ADD_REACTION => Operation::Reaction,
            _ => Operation::Post,
        };
        let outcome = match error.class {
            Class::Transient => Delivered::Retry,
            Class::Ambiguous => Delivered::Ambiguous,
            _ => Delivered::Refused,
        };
        self.context.metrics.delivery(operation, outcome);
        self.context.metrics.slack_call(error.method, error.class.as_str());
    }

    /// Tells people what is left.
    fn report(&self, decision: &Decision) {
        let board = &self.context.board;
        for (key, _) in &decision.steps {
            let problem =
                self.lanes.get(key).and_then(|lane| lane.problem.as_ref()).filter(|error| !error.is_rate_limit());
            let problem = problem.map(|error| Problem {
                code: error.code.clone(),
                remedy: error.remedy(),
                of_recipient: matches!(error.class, Class::Config | Class::Recipient),
            });
            board.set(&self.id, key, Some(problem));
        }
        for key in self.lanes.keys().filter(|key| decision.steps.iter().all(|(other, _)| other != *key)) {
            board.set(&self.id, key, None);
        }
    }
}

/// Why a round ended before its end.
enum Stop {
    /// Nothing is left, and nothing can be done.
    Over,
    /// Decide anew at once.
    Again,
    /// Decide anew at this time.
    Later(Instant),
}

/// What became of a step.
enum Progress {
    /// It is under way.
    Begun,
    /// It falls due at this time.
    Due(Instant),
}

fn labelled(key: &str, call: impl Future<Output = Outcome> + Send + 'static) -> BoxFuture<'static, (String, Outcome)> {
    let key = key.to_owned();
    async move { (key, call.await) }.boxed()
}

/// Whether a listing shows something to do, so that a task is worth its while.
pub(super) fn needs_work(context: &Context, observed: &Observation, record: &Record) -> bool {
    let wanted: Vec<String> = match observed {
        Observation::Present(request) => {
            let routes = context.routes.borrow().clone();
            let selection = routes.select(&request.roles, &request.suggested_reviewers);
            selection.recipients.iter().map(ToString::to_string).collect()
        }
        Observation::Gone(_) => Vec::new(),
    };
    let nobody = BTreeSet::new();
    let situation = Situation { observed, record, wanted: &wanted, instance: &context.instance, abandoned: &nobody };
    let unannounced = wanted.is_empty() && resolution(observed).is_none() && !record.exists();
    unannounced || !decide(situation).is_settled()
}
