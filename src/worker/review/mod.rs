//! Approve and deny in Slack: carries out what `crate::review` decides.
//!
//! ```text
//! slack::socket ─ envelope ─▶ click ─ step ⇄ review::machine ─▶ teleport::review
//!        ▲                      │
//!        └── acknowledgement ───┴─▶ words for the person
//! ```
//!
//! Slack waits 3 s for the acknowledgement of a click and does not repeat the click. So a review is submitted first and acknowledged
//! afterwards: a person whose click dies with this process sees Slack's own error. When Teleport takes longer, the click is
//! acknowledged, finished all the same, and its outcome is told.

mod click;
mod connected;
mod rights;
mod tell;
mod token;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, error, info, warn};

use crate::config::{Config, ReasonPolicy};
use crate::review::machine::Identity;
use crate::slack::message::ReviewButtons;
use crate::slack::socket::{self, Event, State};
use crate::teleport::client::Server;
use crate::teleport::review::ReviewRights;
use crate::worker::context::Context;
use crate::worker::health::report::Reporter;
use crate::worker::review::click::Click;
use crate::worker::{Error, Shared};

/// How long it is remembered who a Slack user is in Teleport.
const IDENTITY_TTL: Duration = Duration::from_mins(5);
/// How long it is remembered that a Slack user may not review.
const NEGATIVE_TTL: Duration = Duration::from_secs(15);
/// How many people are remembered.
const MOST_IDENTITIES: usize = 1_000;
/// How long an envelope is known again.
const ENVELOPE_TTL: Duration = Duration::from_mins(10);
/// How many envelopes are known again.
const MOST_ENVELOPES: usize = 10_000;
/// How many clicks are worked on at once; further ones are told to try again.
const MOST_CLICKS: usize = 64;
/// How many of them may be of one person.
const MOST_CLICKS_OF_ONE: usize = 4;
/// How often it is looked whether Teleport has come to permit reviews, or does not any more.
const RECHECK: Duration = Duration::from_mins(1);
/// How long clicks may take to be acknowledged before the connection is closed at the end.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_secs(3);
/// When clicks are given up at the end, to be told so.
const ABANDON_AFTER: Duration = Duration::from_secs(7);
/// How long all of it may take at the end; the worker waits a little longer.
const END_WITHIN: Duration = Duration::from_secs(12);
/// A connection that is away for less is no news.
const TOLERANCE: Duration = Duration::from_secs(45);

/// Whether reviews are possible, for those who render messages, and what is needed to find it out.
pub(super) struct Reviews {
    config: Option<crate::config::Review>,
    reporter: Reporter,
    buttons: watch::Sender<Option<ReviewButtons>>,
    rights: Mutex<ReviewRights>,
}

impl Reviews {
    /// Without buttons until Teleport is known to permit reviews.
    pub(super) fn new(config: &Config, reporter: Reporter) -> Arc<Self> {
        if config.review.is_some() {
            reporter.review(|_| {});
        } else {
            reporter.no_review();
        }
        Arc::new(Self {
            config: config.review.clone(),
            reporter,
            buttons: watch::Sender::default(),
            rights: Mutex::default(),
        })
    }

    /// The buttons of a pending request now.
    pub(super) fn buttons(&self) -> watch::Receiver<Option<ReviewButtons>> {
        self.buttons.subscribe()
    }

    /// Takes what was found out about a connection to Teleport.
    pub(super) fn found(&self, server: &Server, rights: &ReviewRights) {
        let Some(config) = &self.config else { return };
        rights.clone_into(&mut self.rights());
        let finding = rights::judge(server, rights);
        let with_reason = matches!(config.reason, ReasonPolicy::Optional | ReasonPolicy::OnDeny);
        let buttons = finding.is_ok().then_some(ReviewButtons { with_reason });
        if self.buttons.send_replace(buttons) != buttons || buttons.is_none() {
            match &finding {
                Ok(message) => info!("Reviews in Slack: {message}"),
                Err(problem) => warn!(reason = %problem.reason, "No reviews in Slack: {}", problem.message),
            }
        }
        self.reporter.review(|review| review.enabled = Some(finding));
    }

    fn rights(&self) -> MutexGuard<'_, ReviewRights> {
        self.rights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What all clicks share.
struct Desk {
    config: crate::config::Review,
    context: Arc<Context>,
    reviews: Arc<Reviews>,
    /// The app, as Slack named it.
    app_id: Mutex<Option<String>>,
    people: Mutex<HashMap<String, (Instant, Identity)>>,
    /// When clicks that are not finished are given up.
    abandon: CancellationToken,
}

impl Desk {
    fn known(&self, slack_user: &str) -> Option<Identity> {
        let people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        people.get(slack_user).filter(|(until, _)| Instant::now() < *until).map(|(_, identity)| identity.clone())
    }

    fn remember(&self, slack_user: &str, identity: &Identity) {
        let mut people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        people.retain(|_, (until, _)| now < *until);
        if people.len() < MOST_IDENTITIES {
            let ttl = if identity.is_ok() { IDENTITY_TTL } else { NEGATIVE_TTL };
            people.insert(slack_user.to_owned(), (now + ttl, identity.clone()));
        }
    }
}

/// Serves clicks until the context's shutdown, then finishes what is in flight. Does nothing where reviews are off.
pub(super) async fn run(shared: Shared, context: Arc<Context>, reviews: Arc<Reviews>) {
    context.metrics.review_configured(reviews.config.is_some());
    let Some(config) = reviews.config.clone() else { return };
    if let Err(error) = serve(&shared, config, context, reviews).await {
        error!(%error, "Reviews in Slack are not possible with this configuration");
    }
}

async fn serve(
    shared: &Shared,
    config: crate::config::Review,
    context: Arc<Context>,
    reviews: Arc<Reviews>,
) -> Result<(), Error> {
    let mut token_file = token::watched(&config);
    let client = Arc::new(token::client(shared, &config)?);
    let (tokens, new_tokens) = watch::channel(0_u64);
    let (events, mut clicks) = mpsc::unbounded_channel();
    let (states, mut connection) = watch::channel(State::default());
    let socket_stop = CancellationToken::new();
    let stop = context.shutdown.clone();
    let desk = Arc::new(Desk {
        config,
        context,
        reviews,
        app_id: Mutex::default(),
        people: Mutex::default(),
        abandon: CancellationToken::new(),
    });
    let mut token_problem = token::take_up(&client, &desk.config, &tokens).err();
    let mut socket = tokio::spawn(socket::run(client.clone(), new_tokens, events, states, socket_stop.clone()));
    let mut counter = Counter::default();
    let mut health = connected::Health::new(&desk);
    let mut work = JoinSet::new();
    let mut recheck = interval(RECHECK);
    recheck.set_missed_tick_behavior(MissedTickBehavior::Delay);
    recheck.reset();
    // Beside the clicks: a Teleport that hangs must not hold them up.
    let mut rechecking = None;
    let state = connection.borrow_and_update().clone();
    health.look(&state, token_problem.as_ref());
    while !stop.is_cancelled() {
        let until = health.wake();
        tokio::select! {
            () = stop.cancelled() => {}
            Some(event) = clicks.recv() => counter.admit(&desk, event, &mut work, &mut health),
            Some(ended) = work.join_next() => counter.ended(ended),
            Ok(()) = connection.changed() => {
                let state = connection.borrow_and_update().clone();
                health.look(&state, token_problem.as_ref());
            }
            () = at(until) => {
                let state = connection.borrow().clone();
                health.look(&state, token_problem.as_ref());
            }
            _ = token_file.changed() => {
                token_problem = token::take_up(&client, &desk.config, &tokens).err();
                let state = connection.borrow().clone();
                health.look(&state, token_problem.as_ref());
            }
            () = health.compared() => {
                let state = connection.borrow().clone();
                health.look(&state, token_problem.as_ref());
            }
            _ = recheck.tick() => rechecking = Some(AbortOnDropHandle::new(tokio::spawn(recheck_rights(desk.clone())))),
        }
    }
    drop(rechecking);
    // New clicks are taken as long as Slack sends them: until the connection is closed.
    let (close_at, abandon_at) = (Instant::now() + ACKNOWLEDGE_WITHIN, Instant::now() + ABANDON_AFTER);
    let finish = async {
        loop {
            if work.is_empty() || Instant::now() >= close_at {
                socket_stop.cancel();
            }
            if Instant::now() >= abandon_at {
                desk.abandon.cancel();
            }
            if work.is_empty() && socket.is_finished() && clicks.is_empty() {
                return;
            }
            let next = if socket_stop.is_cancelled() { abandon_at } else { close_at };
            tokio::select! {
                Some(event) = clicks.recv() => counter.admit(&desk, event, &mut work, &mut health),
                Some(ended) = work.join_next() => counter.ended(ended),
                _ = &mut socket, if !socket.is_finished() => {}
                () = sleep_until(next), if Instant::now() < next => {}
            }
        }
    };
    if timeout(END_WITHIN, finish).await.is_err() {
        warn!(clicks = work.len(), "Left clicks unfinished: their persons were not told");
    }
    Ok(())
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Looks again at what Teleport permits: it tells nobody when a role changes.
async fn recheck_rights(desk: Arc<Desk>) {
    let Some(teleport) = desk.context.teleport.borrow().clone() else { return };
    match teleport.client.review_rights().await {
        Ok(rights) => desk.reviews.found(&teleport.server, &rights),
        Err(error) => debug!(%error, "Cannot find out whether reviews are permitted"),
    }
}

/// The person and the envelope of a click that is over.
type Ended = (String, String);

/// Which envelopes and whose clicks are worked on.
#[derive(Default)]
struct Counter {
    /// Until when each is known, and whether it is over.
    envelopes: HashMap<String, (Instant, bool)>,
    people: HashMap<String, usize>,
}

impl Counter {
    fn admit(&mut self, desk: &Arc<Desk>, event: Event, work: &mut JoinSet<Ended>, health: &mut connected::Health) {
        let envelope = event.envelope.id.clone();
        if let Some(is_over) = self.known(&envelope) {
            debug!("Slack delivered an envelope once more");
            // While the first is worked on, its own acknowledgement is the one that counts.
            if is_over {
                event.responder.acknowledge(None);
            }
            return;
        }
        let Some(click) = Click::of(event) else {
            self.over(&envelope);
            return;
        };
        health.clicked();
        let person = click.person().to_owned();
        let of_one = self.people.entry(person.clone()).or_default();
        let busy = work.len() >= MOST_CLICKS || *of_one >= MOST_CLICKS_OF_ONE;
        *of_one += 1;
        let desk = desk.clone();
        work.spawn(async move {
            click.carry_out(&desk, busy).await;
            (person, envelope)
        });
    }

    fn ended(&mut self, ended: Result<Ended, JoinError>) {
        match ended {
            Ok((person, envelope)) => {
                self.over(&envelope);
                if let Some(count) = self.people.get_mut(&person) {
                    *count -= 1;
                    if *count == 0 {
                        self.people.remove(&person);
                    }
                }
            }
            Err(error) => error!(%error, "The task of a click has crashed"),
        }
    }

    fn over(&mut self, envelope: &str) {
        if let Some((_, is_over)) = self.envelopes.get_mut(envelope) {
            *is_over = true;
        }
    }

    /// Notes an envelope; whether the earlier one of this id is over, if there was one.
    fn known(&mut self, envelope: &str) -> Option<bool> {
        let now = Instant::now();
        if self.envelopes.len() >= MOST_ENVELOPES {
            self.envelopes.retain(|_, (until, _)| now < *until);
        }
        if let Some((until, is_over)) = self.envelopes.get(envelope)
            && now < *until
        {
            return Some(*is_over);
        }
        self.envelopes.insert(envelope.to_owned(), (now + ENVELOPE_TTL, false));
        None
    }
}
