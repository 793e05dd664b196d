//! One run with one configuration: keeps a watch open on Teleport, lists again whenever something may have been missed,
//! and takes up new credentials without a gap.

mod connect;
mod link;
mod listing;
mod slack;
mod token;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use futures::future::BoxFuture;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, error, info, warn};

use crate::access_request::{RequestId, RequestState};
use crate::config::Config;
use crate::config::recipient::RoleToRecipients;
use crate::delivery::input::{Known, Source};
use crate::delivery::state::Observation;
use crate::file_watch::Watched;
use crate::metrics::RequestState as StateLabel;
use crate::slack::error::{self, Class};
use crate::slack::token::Token;
use crate::teleport::dial::DialOptions;
use crate::teleport::error::CallError;
use crate::teleport::identity::{Credentials, Identity};
use crate::teleport::watch::Change;
use crate::worker::context::{Context, Parts, Teleport};
use crate::worker::dispatcher::{Dispatcher, Mail};
use crate::worker::health::condition_reason;
use crate::worker::health::report::Delayed;
use crate::worker::session::connect::{Connection, connect};
use crate::worker::session::listing::Whole;
use crate::worker::session::token::Tested;
use crate::worker::{Error, Gate, Shared, TELEPORT_BUNDLE, ca_bundles, read_file, recipient_check, sweep};

pub(super) use crate::worker::session::connect::ConnectError;

/// The longest time between tests of the Slack token.
const RETEST_LONGEST: Duration = Duration::from_mins(1);
/// The shortest time after a test until what Slack refuses leads to another one.
const RETEST_SHORTEST: Duration = Duration::from_secs(10);
/// Everything is listed again this often, whatever the watch says.
const RESYNC: Duration = Duration::from_mins(10);
/// Changes of what is undelivered are told together.
const NOTE: Duration = Duration::from_millis(500);
/// How often the loop shows that it lives.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Without a sign of life for so long the loop counts as stuck.
const STUCK: Duration = Duration::from_mins(1);
/// How long tasks may take to finish what is in flight: longer than one call to Slack.
const FINISH: Duration = Duration::from_secs(14);
/// A request that is younger than this when its event arrives is expected to be new.
const NEW: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

type Connecting = BoxFuture<'static, (Arc<Identity>, Result<Connection, ConnectError>)>;
type Testing = BoxFuture<'static, Tested>;
type Listing = BoxFuture<'static, Result<Whole, CallError>>;

/// One run with one configuration.
#[expect(clippy::struct_excessive_bools, reason = "each remembers one thing that has happened, or not")]
pub(super) struct Session {
    shared: Shared,
    context: Arc<Context>,
    dispatcher: Dispatcher,
    teleport: watch::Sender<Option<Teleport>>,
    routes: watch::Sender<Arc<RoleToRecipients>>,
    credentials: Credentials,
    identity_files: Watched,
    token_file: Watched,
    ca_bundles: Watched,
    dial: DialOptions,
    /// The identity in use; none until there is one.
    identity: Option<Arc<Identity>>,
    /// A newer identity that has not been tried with success yet.
    candidate: Option<Arc<Identity>>,
    connection: Option<Connection>,
    connecting: Option<Connecting>,
    connected_at: Instant,
    /// Attempts to connect that failed, and connections that soon broke, in a row.
    failures: u32,
    retry_at: Option<Instant>,
    /// A test of the Slack token.
    testing: Option<Testing>,
    test_at: Option<Instant>,
    tested_at: Option<Instant>,
    test_failures: u32,
    /// The token has worked once.
    slack_worked: bool,
    listing: Option<Listing>,
    relist_at: Option<Instant>,
    /// Nothing was listed over this connection yet.
    unconfirmed: bool,
    /// Requests that changed while a listing was under way: it may show them as they were before.
    touched: HashSet<RequestId>,
    /// Requests that wait for a decision.
    open: HashSet<RequestId>,
    /// When to tell what is undelivered.
    note_at: Option<Instant>,
    listed_before: bool,
    /// What only a person can mend is an error, until everything was listed once.
    strict: bool,
    warned_of_expiry: bool,
}

impl Session {
    /// Loads the credentials and makes the clients; connects to nothing yet. Credentials that are missing or broken are
    /// an error in a strict start, and waited for otherwise.
    pub(super) fn new(shared: Shared, strict: bool) -> Result<Self, Error> {
        let credentials = shared.config.teleport.credentials.clone();
        // Watched before they are read: a change in between would be missed otherwise.
        let identity_files = Watched::await_files(credentials.paths().into_iter().map(Path::to_owned));
        let token_file = token::watched(&shared.config);
        let ca_bundles = ca_bundles(&shared.config);
        let identity = match credentials.load() {
            Ok(identity) => Some(Arc::new(identity)),
            Err(error) if strict => return Err(error.into()),
            Err(error) => {
                error!(%error, "There is no usable identity: waiting for one");
                shared.reporter.identity_problem(condition_reason::of_identity(&error));
                None
            }
        };
        let slack = token::client(&shared, strict)?;
        let (teleport, teleport_in_use) = watch::channel(None);
        let (routes, routes_in_use) = watch::channel(Arc::new(shared.config.role_to_recipients.clone()));
        let context = Context::new(Parts {
            teleport: teleport_in_use,
            slack,
            routes: routes_in_use,
            suggested_reviewers: shared.config.suggested_reviewers.clone(),
            board: shared.board.clone(),
            metrics: shared.metrics.clone(),
            shutdown: shared.stop.child_token(),
        });
        let mut dial = DialOptions::from_env();
        if let Some(path) = &shared.config.teleport.ca_bundle {
            dial.web_authorities = authorities(path)?;
        }
        let session = Self {
            dispatcher: Dispatcher::new(context.clone()),
            shared,
            context,
            teleport,
            routes,
            credentials,
            identity_files,
            token_file,
            ca_bundles,
            dial,
            identity,
            candidate: None,
            connection: None,
            connecting: None,
            connected_at: Instant::now(),
            failures: 0,
            retry_at: None,
            testing: None,
            test_at: None,
            tested_at: None,
            test_failures: 0,
            slack_worked: false,
            listing: None,
            relist_at: None,
            unconfirmed: false,
            touched: HashSet::new(),
            open: HashSet::new(),
            note_at: None,
            listed_before: false,
            strict,
            warned_of_expiry: false,
        };
        session.count_credentials();
        Ok(session)
    }

    /// Whether they work is another question: an outage makes nobody unready.
    fn count_credentials(&self) {
        if self.identity.is_some() && !self.context.slack.has_token(&Token::new("")) {
            self.shared.health.open(Gate::CREDENTIALS);
        } else {
            self.shared.health.close(Gate::CREDENTIALS);
        }
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
        let identity = self.identity.clone();
        if let Some(identity) = &identity {
            self.note_identity(identity);
        }
        let Some(identity) = identity.filter(|_| self.strict) else {
            self.test_at = Some(Instant::now());
            return Ok(());
        };
        let attempt = connect(&self.shared.config, identity.clone(), &self.dial);
        let (connection, account) = tokio::join!(attempt, self.context.slack.auth_test());
        match account.and_then(token::able) {
            Err(error) if error.is_elsewhere() => {
                let address = self.shared.config.slack.api_url.clone();
                return Err(Error::NotSlack { address, error: Box::new(error) });
            }
            Err(error) if token::is_fatal(&error) => return Err(Error::Slack { error }),
            account => self.slack_tested(account.map_or_else(Tested::Fails, Tested::Works)),
        }
        self.connected(identity, connection.map_err(Error::Connect)?);
        Ok(())
    }

    /// Works until `shared.stop` is cancelled, then finishes what is in flight.
    pub(super) async fn run(mut self) -> Result<(), Error> {
        let mut resync = interval(RESYNC);
        resync.set_missed_tick_behavior(MissedTickBehavior::Delay);
        resync.reset();
        let mut heartbeat = interval(HEARTBEAT);
        let mut board = self.context.board.subscribe();
        let looking = recipient_check::keep_looking(self.context.clone(), self.shared.reporter.clone());
        let _looking = AbortOnDropHandle::new(tokio::spawn(looking));
        let _sweeping = AbortOnDropHandle::new(tokio::spawn(sweep::keep_sweeping(self.context.clone())));
        let stop = self.context.shutdown.clone();
        while !stop.is_cancelled() {
            self.connect_if_due();
            self.list_if_due();
            self.test_slack_if_due();
            let wake = self.wakes_at();
            tokio::select! {
                () = stop.cancelled() => {}
                change = next_change(&mut self.connection) => self.changed(change)?,
                (identity, result) = next_of(&mut self.connecting) => self.attempted(identity, result),
                listed = next_of(&mut self.listing) => self.listed(listed)?,
                tested = next_of(&mut self.testing) => self.slack_tested(tested),
                () = self.dispatcher.reap() => {}
                _ = heartbeat.tick() => self.beat(),
                _ = resync.tick() => self.relist_at = Some(Instant::now()),
                _ = self.identity_files.changed() => self.identity_changed(),
                _ = self.token_file.changed() => self.token_changed(),
                Ok(()) = board.changed(), if self.note_at.is_none() => self.note_at = Some(Instant::now() + NOTE),
                () = at(self.note_at) => self.note_undelivered(),
                () = at(wake) => {}
            }
        }
        self.finish().await;
        Ok(())
    }

    /// When something falls due that can begin then.
    fn wakes_at(&self) -> Option<Instant> {
        let connect = self.retry_at.filter(|_| self.connecting.is_none());
        let test = self.test_at.filter(|_| self.testing.is_none());
        let list = self.relist_at.filter(|_| self.listing.is_none());
        [connect, test, list].into_iter().flatten().min()
    }

    async fn finish(mut self) {
        self.shared.health.close(Gate::TELEPORT);
        let in_flight = self.dispatcher.len();
        if in_flight > 0 {
            info!(requests = in_flight, "Finishing what is in flight");
        }
        if timeout(FINISH, self.dispatcher.finish()).await.is_err() {
            warn!(requests = self.dispatcher.len(), "Left requests in flight to whoever comes next");
        }
    }

    /// A change, or the end of the watch.
    fn changed(&mut self, change: Result<Change, CallError>) -> Result<(), Error> {
        let change = match change {
            Ok(change) => change,
            Err(error) => return self.disconnected(error),
        };
        self.shared.metrics.teleport_event(SystemTime::now());
        let (id, observation, known) = match change {
            Change::Put(request) => {
                debug!(request_id = %request.id, state = ?request.state, "Access request changed");
                self.shared.metrics.request_observed(state_label(request.state));
                let age = request.created.map(|created| Timestamp::now().duration_since(created));
                let untouched = request.state == RequestState::Pending && request.reviews.is_empty();
                let new = untouched && age.is_some_and(|age| age < NEW);
                let known = if new { Known::New } else { Known::Nothing };
                self.note_user(&request.user);
                (request.id.clone(), Observation::Present(request), known)
            }
            Change::Deleted(id) => {
                debug!(request_id = %id, "Access request is gone");
                self.shared.metrics.request_observed(StateLabel::Gone);
                (id, Observation::Gone(Timestamp::now()), Known::Nothing)
            }
        };
        if self.listing.is_some() {
            self.touched.insert(id.clone());
        }
        self.count_open(&id, &observation);
        self.dispatcher.tell(id, Mail { observation, source: Source::Event, known });
        Ok(())
    }

    /// Requests of others are seen: what is not shown is gone, and not merely hidden.
    fn note_user(&self, user: &str) {
        if self.identity.as_ref().is_some_and(|identity| identity.user() != user) {
            self.context.sees_requests_of_others.store(true, Ordering::Relaxed);
        }
    }

    fn count_open(&mut self, id: &RequestId, observation: &Observation) {
        let open = observation.is_pending();
        let changed = if open { self.open.insert(id.clone()) } else { self.open.remove(id) };
        if changed {
            let count = self.open.len();
            self.shared.reporter.change(|report| report.open_requests = count);
        }
    }

    fn note_identity(&mut self, identity: &Identity) {
        self.shared.metrics.identity_expiry(identity.not_after().into());
        self.shared.reporter.identity(identity);
        self.warned_of_expiry = false;
    }

    fn note_undelivered(&mut self) {
        self.note_at = None;
        let summary = self.context.board.summary();
        let age = summary.oldest.map(|since| Timestamp::now().duration_since(since).unsigned_abs());
        self.shared.metrics.undelivered(summary.pending, summary.failing, age);
        // Somebody was refused for reasons that concern everybody: find out whether the token still works.
        let refused = summary.problems.values().any(|problem| error::classify("", &problem.code) == Class::Auth);
        let tested_lately = self.tested_at.is_some_and(|at| at.elapsed() < RETEST_SHORTEST);
        if refused && !tested_lately && self.testing.is_none() && self.test_failures == 0 {
            self.test_at = Some(Instant::now());
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
        let Some(identity) = self.identity.as_ref().filter(|_| !self.warned_of_expiry) else { return };
        let expires = identity.not_after();
        let life = identity.not_before().duration_until(expires);
        if Timestamp::now().duration_until(expires) < life / 10 {
            self.warned_of_expiry = true;
            warn!(%expires, "The identity expires soon: replace it (tctl auth sign, or let tbot renew it)");
        }
    }
}

/// The certificates in a PEM file.
fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = read_file(TELEPORT_BUNDLE, path)?;
    let unusable = |reason: String| Error::Unusable { key: TELEPORT_BUNDLE, path: path.to_owned(), reason };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates =
        certificates.map_err(|error| unusable(format!("not a PEM file of certificates ({error}); name another")))?;
    if certificates.is_empty() {
        return Err(unusable("no certificate in it; name a PEM file of certificates".to_owned()));
    }
    Ok(certificates)
}

fn state_label(state: RequestState) -> StateLabel {
    match state {
        RequestState::Pending => StateLabel::Pending,
        RequestState::Approved => StateLabel::Approved,
        RequestState::Denied => StateLabel::Denied,
        RequestState::Promoted => StateLabel::Promoted,
        RequestState::Unknown => StateLabel::Unknown,
    }
}

fn is_due(at: Option<Instant>) -> bool {
    at.is_some_and(|at| at <= Instant::now())
}

/// Waits until then; for ever without a time.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

async fn next_change(connection: &mut Option<Connection>) -> Result<Change, CallError> {
    match connection {
        Some(connection) => connection.watch.next().await,
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
