//! One run with one configuration: keeps a watch open on Teleport, lists again whenever something may have been missed,
//! and takes up new credentials without a gap.
//!
//! Three state machines decide, each pure and in a file of its own: `connection` (which identity, when to connect, whether
//! the connection works), `slack_token` (when to test, which workspace), `listing` (when to list). `teleport` and `slack`
//! carry out what the first two ask for; `requests` passes on what is observed.

mod connect;
mod connection;
mod listing;
mod requests;
mod sharing;
mod slack;
mod slack_token;
mod teleport;
mod token;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::config::Config;
use crate::config::recipient::RoleToRecipients;
use crate::file_watch::Watched;
use crate::slack::error::{Class, classify};
use crate::teleport::error::{CallError, Kind};
use crate::worker::context::{Context, Parts, Teleport};
use crate::worker::health::condition_reason;
use crate::worker::health::report::Delayed;
use crate::worker::review::{self, Reviews};
use crate::worker::session::listing::{Event as ListingEvent, Listing};
use crate::worker::session::requests::{Requests, Whole};
use crate::worker::session::slack::{MustWake, SlackLink};
use crate::worker::session::teleport::{Happening, MustList, TeleportLink};
use crate::worker::{Error, Gate, Shared, ca_bundles, recipient_check, sweep};

pub(super) use crate::worker::session::connect::ConnectError;

/// Changes of what is undelivered are told together.
const NOTE: Duration = Duration::from_millis(500);
/// How often the loop shows that it lives.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Without a sign of life for so long the loop counts as stuck.
const STUCK: Duration = Duration::from_mins(1);
/// How long tasks may take to finish what is in flight: longer than one call to Slack.
const FINISH: Duration = Duration::from_secs(14);

type ListingResult = Result<Whole, CallError>;

/// One run with one configuration.
pub(super) struct Session {
    shared: Shared,
    context: Arc<Context>,
    teleport: TeleportLink,
    slack: SlackLink,
    listing: Listing,
    list: Option<BoxFuture<'static, ListingResult>>,
    requests: Requests,
    routes: watch::Sender<Arc<RoleToRecipients>>,
    reviews: Arc<Reviews>,
    ca_bundles: Watched,
    /// When to tell what is undelivered.
    note_at: Option<Instant>,
    /// What only a person can mend is an error, until everything was listed once.
    strict: bool,
}

impl Session {
    /// Loads the credentials and makes the clients; connects to nothing yet. Credentials that are missing or broken are
    /// an error in a strict start, and waited for otherwise.
    pub(super) fn new(shared: Shared, strict: bool) -> Result<Self, Error> {
        let (in_use, teleport_in_use) = watch::channel(None);
        let (routes, routes_in_use) = watch::channel(Arc::new(shared.config.role_to_recipients.clone()));
        let ca_bundles = ca_bundles(&shared.config);
        let reviews = Reviews::new(&shared.config, shared.reporter.clone());
        let teleport = TeleportLink::new(&shared, strict, in_use, reviews.clone())?;
        let slack = SlackLink::new(&shared, strict)?;
        let context = Context::new(Parts {
            teleport: teleport_in_use,
            slack: slack.client().clone(),
            routes: routes_in_use,
            suggested_reviewers: shared.config.suggested_reviewers.clone(),
            review_buttons: reviews.buttons(),
            me: shared.host.worker_id(),
            board: shared.board.clone(),
            metrics: shared.metrics.clone(),
            shutdown: shared.stop.child_token(),
        });
        let session = Self {
            requests: Requests::new(shared.clone(), context.clone()),
            shared,
            context,
            teleport,
            slack,
            listing: Listing::default(),
            list: None,
            routes,
            reviews,
            ca_bundles,
            note_at: None,
            strict,
        };
        session.count_credentials();
        Ok(session)
    }

    /// Stops [`Session::run`].
    pub(super) fn stop(&self) -> CancellationToken {
        self.shared.stop.clone()
    }

    /// What it runs with.
    pub(super) fn config(&self) -> Arc<Config> {
        self.shared.config.clone()
    }

    /// Tells when a CA bundle changes: clients trust what it held when they were made.
    pub(super) fn ca_bundles(&self) -> Watched {
        self.ca_bundles.clone()
    }

    /// In a strict start: tries Teleport and Slack once, and what only a person can mend is an error.
    pub(super) async fn start(&mut self) -> Result<(), Error> {
        if !self.strict {
            return Ok(());
        }
        let (connected, tested) = tokio::join!(self.teleport.connect_once(), self.slack.test_once());
        let MustWake(_) = tested?;
        self.list_anew(connected?);
        self.count_credentials();
        Ok(())
    }

    /// Works until `shared.stop` is cancelled, then finishes what is in flight. With `TELEPORT_PLUGIN_FAIL_FAST` the end of
    /// the watch does the same, and is an error.
    pub(super) async fn run(mut self) -> Result<(), Error> {
        let looking = recipient_check::keep_looking(self.context.clone(), self.shared.reporter.clone());
        let _looking = AbortOnDropHandle::new(tokio::spawn(looking));
        let _sweeping = AbortOnDropHandle::new(tokio::spawn(sweep::keep_sweeping(self.context.clone())));
        let reviewing = review::run(self.shared.clone(), self.context.clone(), self.reviews.clone());
        let reviewing = AbortOnDropHandle::new(tokio::spawn(reviewing));
        let result = self.work().await;
        self.finish(reviewing).await;
        result
    }

    async fn work(&mut self) -> Result<(), Error> {
        let mut heartbeat = interval(HEARTBEAT);
        let mut board = self.context.board.subscribe();
        let stop = self.context.shutdown.clone();
        while !stop.is_cancelled() {
            self.teleport.begin();
            self.slack.begin();
            self.list_if_due();
            tokio::select! {
                () = stop.cancelled() => {}
                happening = self.teleport.happening() => self.of_teleport(happening)?,
                happening = self.slack.happening() => {
                    let MustWake(wake) = self.slack.handle(happening);
                    self.count_credentials();
                    if wake {
                        self.wake_all();
                    }
                }
                result = next_of(&mut self.list) => self.listed(result)?,
                () = at(self.listing.wakes_at()) => {}
                () = self.requests.dispatcher.reap() => {}
                _ = heartbeat.tick() => self.beat(),
                Ok(()) = board.changed(), if self.note_at.is_none() => self.note_at = Some(Instant::now() + NOTE),
                () = at(self.note_at) => self.note_undelivered(),
            }
        }
        Ok(())
    }

    fn of_teleport(&mut self, happening: Happening) -> Result<(), Error> {
        match happening {
            Happening::Ended(error) if self.shared.fail_fast => return Err(Error::WatchEnded(error)),
            Happening::Checked(Err(error)) if self.shared.fail_fast && error.kind == Kind::Unavailable => {
                return Err(Error::WatchEnded(error));
            }
            happening => {
                let (must_list, change) = self.teleport.handle(happening);
                self.list_anew(must_list);
                if let Some(change) = change {
                    let own_user =
                        self.teleport.identity().map(|identity| identity.user().to_owned()).unwrap_or_default();
                    self.requests.changed(change, &own_user, self.listing.is_running());
                } else {
                    self.count_credentials();
                }
            }
        }
        Ok(())
    }

    /// Whether they work is another question: an outage makes nothing unready.
    fn count_credentials(&self) {
        if self.teleport.identity().is_some() && self.slack.has_token() {
            self.shared.health.open(Gate::CREDENTIALS);
        } else {
            self.shared.health.close(Gate::CREDENTIALS);
        }
    }

    fn list_anew(&mut self, MustList(must_list): MustList) {
        if must_list {
            self.list = None;
            self.listing.handle(ListingEvent::Connected, Instant::now());
        }
    }

    fn list_if_due(&mut self) {
        if let Some(Teleport { client, .. }) = self.teleport.in_use()
            && self.listing.next(Instant::now())
        {
            self.requests.listing_begins();
            let user = self.teleport.identity().map(|identity| identity.user().to_owned()).unwrap_or_default();
            self.list = Some(requests::list(client, user).boxed());
        }
    }

    fn listed(&mut self, result: ListingResult) -> Result<(), Error> {
        match result {
            Err(error) if self.strict && error.kind == Kind::AccessDenied => {
                let identity = self.teleport.identity().map(AsRef::as_ref);
                return Err(Error::Connect(ConnectError::refused(identity, error)));
            }
            Err(error) => {
                warn!(%error, "Could not list access requests: trying again");
                self.shared.reporter.teleport_problem(condition_reason::of_call(&error));
                self.listing.handle(ListingEvent::Failed, Instant::now());
            }
            Ok(whole) => {
                self.strict = false;
                let first = !self.listing.has_succeeded();
                self.listing.handle(ListingEvent::Listed, Instant::now());
                self.requests.listed(whole);
                self.shared.health.open(Gate::FIRST_LIST);
                self.shared.reporter.listed();
                if first {
                    info!("Plugin is ready");
                }
            }
        }
        Ok(())
    }

    /// Wakes every task: what could not be done before may be possible now.
    fn wake_all(&self) {
        self.context.book.forget_people();
        self.routes.send_modify(|_| {});
    }

    async fn finish(mut self, reviewing: AbortOnDropHandle<()>) {
        self.shared.health.close(Gate::TELEPORT);
        self.context.shutdown.cancel();
        let dispatcher = &mut self.requests.dispatcher;
        if dispatcher.len() > 0 {
            info!(requests = dispatcher.len(), "Finishing what is in flight");
        }
        // The clicks of people are finished beside the messages.
        let all = async { tokio::join!(dispatcher.finish(), reviewing) };
        if timeout(FINISH, all).await.is_err() {
            warn!(requests = dispatcher.len(), "Left requests in flight to the next worker");
        }
    }

    fn note_undelivered(&mut self) {
        self.note_at = None;
        let summary = self.context.board.summary();
        let age = summary.oldest.map(|since| Timestamp::now().duration_since(since).unsigned_abs());
        self.shared.metrics.undelivered(summary.pending, summary.failing, age);
        if summary.problems.values().any(|problem| classify("", &problem.code) == Class::Auth) {
            self.slack.refused();
        }
        let delayed = Delayed::find(&summary, Timestamp::now());
        self.shared.reporter.change(|report| {
            report.delivery = summary;
            report.delayed = delayed;
        });
    }

    fn beat(&mut self) {
        self.shared.health.beat("worker", STUCK);
        self.note_undelivered();
        self.teleport.warn_of_expiry();
    }
}

/// Waits until then; for ever without a time.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Awaits a future that may not be there, and removes it once it is done.
async fn next_of<T>(slot: &mut Option<BoxFuture<'static, T>>) -> T {
    let Some(future) = slot else { return std::future::pending().await };
    let value = future.await;
    *slot = None;
    value
}
