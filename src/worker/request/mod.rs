//! The task of one access request: observe, decide, act, until nothing is left to do.
//!
//! There is one task per request id at a time. It owns what is known of the request, so that nothing needs a lock;
//! recipients proceed independently of each other, each in a lane of its own. What must not be sent twice is claimed in
//! Teleport's plugin data first (compare-and-swap), sent, and only then recorded.

mod lane;
mod outcome;
mod render;
mod send;
mod step;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::access_request::{RequestId, RequestState};
use crate::config::recipient::{Recipient, Selection};
use crate::delivery::change::Fact;
use crate::delivery::claims::ForeignClaims;
use crate::delivery::decide::{Decision, Observation, Situation, Step, decide, resolution};
use crate::delivery::record::{Claim, Record};
use crate::worker::context::Context;
use crate::worker::request::lane::{Lane, State};
use crate::worker::request::render::Logins;
use crate::worker::request::send::Outcome;

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
#[expect(clippy::large_enum_variant, reason = "there is one for each request at work, no more")]
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
    /// Since when a request that was seen as new waits for its first message; none when it was found in a listing.
    new_since: Option<Instant>,
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
            new_since: matches!(mail.hint, Hint::New).then_some(mail.at),
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
        let mut connections = context.teleport.clone();
        connections.mark_unchanged();
        let mut mended = context.mended();
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
                Ok(()) = mended.changed() => self.recipients_mended(&mended.borrow_and_update()),
                // What failed with the old connection may work with the new one.
                Ok(()) = connections.changed() => self.paused_until = None,
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
            Hint::New if self.record.is_none() => self.record = Some(Record::default()),
            Hint::New | Hint::Unknown => {}
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
        if unrouted && !self.unrouted && self.context.board.unrouted(&self.id, &unrouted_roles) {
            warn!(
                request_id = %self.id, roles = ?unrouted_roles, reviewers = ?unaddressed_reviewers,
                "Nobody is told of this request: add its roles, or \"*\", to role_to_recipients"
            );
            self.context.metrics.request_unrouted();
        }
        self.unrouted = unrouted;
        self.wanted = recipients.into_iter().map(|recipient| (recipient.to_string(), recipient)).collect();
    }

    fn circumstances_changed(&mut self) {
        self.route();
        self.lanes.values_mut().for_each(Lane::circumstances_changed);
    }

    fn recipients_mended(&mut self, mended: &BTreeMap<String, Instant>) {
        for (key, lane) in &mut self.lanes {
            if let Some(at) = mended.get(key) {
                lane.recipient_mended(*at);
            }
        }
    }

    fn give_up_waiting(&mut self) {
        self.waiting = Running::new();
        self.give_up_turns();
    }

    /// Lets others post in the channels whose turn it is.
    fn give_up_turns(&mut self) {
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
        Ok(self.begin(&teleport, &decision).await)
    }

    fn decide(&self, record: &Record) -> Decision {
        let wanted = self.context.one_each(self.wanted.keys(), record);
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

/// Whether a listing shows something to do, so that a task is worth its while.
pub(super) fn needs_work(context: &Context, observed: &Observation, record: &Record) -> bool {
    let wanted: Vec<String> = match observed {
        Observation::Present(request) => {
            let routes = context.routes.borrow().clone();
            let selection = routes.select(&request.roles, &request.suggested_reviewers);
            let keys: Vec<String> = selection.recipients.iter().map(ToString::to_string).collect();
            context.one_each(&keys, record)
        }
        Observation::Gone(_) => Vec::new(),
    };
    let nobody = BTreeSet::new();
    let situation = Situation { observed, record, wanted: &wanted, instance: &context.instance, abandoned: &nobody };
    let unannounced = wanted.is_empty() && resolution(observed).is_none() && !record.exists();
    unannounced || !decide(situation).is_settled()
}
