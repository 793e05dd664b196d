//! Carries out what the connection's state asks for: attempts, checks, the watch, and identities as they come.

use std::path::Path;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use crate::metrics::Reload;
use crate::teleport::client::Client;
use crate::teleport::dial::DialOptions;
use crate::teleport::error::{CallError, Kind};
use crate::teleport::identity::Identity;
use crate::teleport::watch::Change;
use crate::worker::context::Teleport;
use crate::worker::health::condition_reason;
use crate::worker::identity_source::{FIRST, Identities, SourceError};
use crate::worker::review::Reviews;
use crate::worker::session::connect::{ConnectError, Connection, connect};
use crate::worker::session::connection::{
    CHECK_TIMEOUT, CheckResult, ConnectionState, Effect, Event, Now, Step, UserPolicy,
};
use crate::worker::session::{at, next_of};
use crate::worker::{Error, Gate, Shared, TELEPORT_BUNDLE, read_file};

type Attempt = BoxFuture<'static, (Arc<Identity>, Result<Connection, ConnectError>)>;
type Check = BoxFuture<'static, Result<(), CallError>>;

/// Teleport as the session sees it.
pub(super) struct TeleportLink {
    shared: Shared,
    state: ConnectionState,
    source: Identities,
    dial: DialOptions,
    /// The connection in use, for calls.
    in_use: watch::Sender<Option<Teleport>>,
    reviews: Arc<Reviews>,
    connection: Option<Connection>,
    attempt: Option<Attempt>,
    check: Option<Check>,
    warned_of_expiry: bool,
}

/// What has happened.
pub(super) enum Happening {
    /// An access request has changed.
    Changed(Change),
    /// The watch has ended.
    Ended(CallError),
    /// An attempt to connect has ended.
    Attempted(Arc<Identity>, Result<Box<Connection>, ConnectError>),
    /// A check has ended.
    Checked(Result<(), CallError>),
    /// The source has yielded an identity, or one that cannot be used.
    Loaded(Result<Option<Arc<Identity>>, SourceError>),
    /// Something is due.
    Due,
}

/// Everything is to be listed.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MustList(pub bool);

impl TeleportLink {
    /// Loads the identity; connects to nothing yet. An identity that is missing or broken is an error in a strict start,
    /// and waited for otherwise.
    pub(super) fn new(
        shared: &Shared,
        strict: bool,
        in_use: watch::Sender<Option<Teleport>>,
        reviews: Arc<Reviews>,
    ) -> Result<Self, Error> {
        let settings = &shared.config.teleport;
        let mut dial = DialOptions::from_env();
        if let Some(path) = &settings.ca_bundle {
            dial.web_authorities = authorities(path)?;
        }
        let source = Identities::start(&shared.config, &dial, &shared.running_join, &shared.metrics);
        let loaded = match source.first() {
            Err(error) if strict => return Err(error.into()),
            loaded => loaded.map_err(|error| condition_reason::of_source(&error)).transpose(),
        };
        let policy = UserPolicy { expected: settings.user.clone(), first_is_kept: shared.config.kubernetes.is_some() };
        let mut link = Self {
            shared: shared.clone(),
            state: ConnectionState::new(policy),
            source,
            dial,
            in_use,
            reviews,
            connection: None,
            attempt: None,
            check: None,
            warned_of_expiry: false,
        };
        if let Some(loaded) = loaded {
            for effect in link.state.handle(Event::Loaded(loaded), now(), rand::random()) {
                if !matches!(effect, Effect::Reloaded(_)) {
                    link.apply(effect);
                }
            }
        }
        Ok(link)
    }

    /// The identity in use, or the one to be tried first.
    pub(super) fn identity(&self) -> Option<&Arc<Identity>> {
        self.state.identity()
    }

    /// The connection in use.
    pub(super) fn in_use(&self) -> Option<Teleport> {
        self.in_use.borrow().clone()
    }

    /// In a strict start: connects once, and a failure is an error.
    pub(super) async fn connect_once(&mut self) -> Result<MustList, Error> {
        if self.identity().is_none() {
            if timeout(FIRST, self.source.changed()).await.is_err() {
                warn!("Teleport was not joined within {} s: waiting for it", FIRST.as_secs());
                return Ok(MustList(false));
            }
            let loaded = self.source.load()?;
            let (MustList(_), _) = self.handle(Happening::Loaded(Ok(loaded)));
        }
        let Some(Step::Connect(identity)) = self.state.next(Instant::now()) else {
            // Only the user that the configuration names can be in the way.
            return Err(Error::IdentityUser(self.shared.reporter.identity_problem_now()));
        };
        let connection = connect(&self.shared.config, identity.clone(), &self.dial).await.map_err(Error::Connect)?;
        Ok(self.handle(Happening::Attempted(identity, Ok(Box::new(connection)))).0)
    }

    /// Begins what is due.
    pub(super) fn begin(&mut self) {
        while let Some(step) = self.state.next(Instant::now()) {
            match step {
                Step::Connect(identity) => {
                    let (config, dial) = (self.shared.config.clone(), self.dial.clone());
                    let attempt = async move { (identity.clone(), connect(&config, identity, &dial).await) };
                    self.attempt = Some(attempt.boxed());
                }
                Step::Check { rights } => {
                    self.check = self
                        .connection
                        .as_ref()
                        .map(|connection| check(connection.teleport.client.clone(), rights).boxed());
                }
            }
        }
    }

    /// Waits for the next happening. Cancel-safe.
    pub(super) async fn happening(&mut self) -> Happening {
        let wake = self.state.wakes_at();
        tokio::select! {
            change = next_change(&mut self.connection) => match change {
                Ok(change) => Happening::Changed(change),
                Err(error) => Happening::Ended(error),
            },
            (identity, result) = next_of(&mut self.attempt) => Happening::Attempted(identity, result.map(Box::new)),
            result = next_of(&mut self.check) => Happening::Checked(result),
            () = self.source.changed() => Happening::Loaded(self.source.load()),
            () = at(wake) => Happening::Due,
        }
    }

    /// Takes a happening in; the change that it tells of, if so.
    pub(super) fn handle(&mut self, happening: Happening) -> (MustList, Option<Change>) {
        let event = match happening {
            Happening::Changed(change) => return (MustList(false), Some(change)),
            Happening::Due => return (MustList(false), None),
            Happening::Ended(error) => {
                // A rotation of the authorities restarts Auth's listeners: with a new join both the old and the new are trusted.
                self.source.renew();
                Event::Ended(condition_reason::of_call(&error))
            }
            Happening::Attempted(identity, Ok(connection)) => {
                self.connection = Some(*connection);
                Event::Attempted(identity, Ok(()))
            }
            Happening::Attempted(identity, Err(error)) => {
                // A join brings the authorities of a rotated cluster, a certificate in the place of an expired one, or the
                // reason of a refusal.
                if !matches!(error, ConnectError::Call(_)) {
                    self.source.renew();
                }
                Event::Attempted(identity, Err(condition_reason::of_connecting(&error)))
            }
            Happening::Checked(result) => {
                if result.as_ref().is_err_and(CallError::is_denial) {
                    // Only the answer to a join says why.
                    self.source.renew();
                }
                Event::Checked(self.judge(result))
            }
            Happening::Loaded(Ok(None)) => return (MustList(false), None),
            Happening::Loaded(Ok(Some(identity))) => Event::Loaded(Ok(identity)),
            Happening::Loaded(Err(error)) => Event::Loaded(Err(condition_reason::of_source(&error))),
        };
        let mut must_list = false;
        for effect in self.state.handle(event, now(), rand::random()) {
            must_list |= matches!(effect, Effect::List);
            self.apply(effect);
        }
        (MustList(must_list), None)
    }

    fn judge(&self, result: Result<(), CallError>) -> CheckResult {
        match result {
            Err(error) if error.kind == Kind::AccessDenied => CheckResult::Refused(condition_reason::of_refusal(
                &error,
                self.identity().map(AsRef::as_ref),
                Timestamp::now(),
            )),
            Err(error) if error.kind == Kind::Unavailable => CheckResult::Lost(condition_reason::of_call(&error)),
            // A server that sheds load is there.
            Ok(()) | Err(_) => CheckResult::Works,
        }
    }

    fn apply(&mut self, effect: Effect) {
        let Shared { reporter, metrics, health, .. } = &self.shared;
        match effect {
            Effect::AbandonAttempt => self.attempt = None,
            Effect::Disconnect => {
                self.connection = None;
                self.check = None;
                metrics.teleport_connected(false);
            }
            Effect::Connected(identity) => {
                self.check = None;
                let Some(Connection { teleport, route, .. }) = &self.connection else { return };
                let server = &teleport.server;
                info!(
                    cluster = server.cluster,
                    version = server.version,
                    user = identity.user(),
                    "Connected to Teleport {route}"
                );
                reporter.teleport_connected(server, route);
                metrics.teleport_connected(true);
                if let Some(rights) = &teleport.review_rights {
                    self.reviews.found(server, rights);
                }
                self.in_use.send_replace(Some(teleport.clone()));
            }
            Effect::Identity(identity) => {
                metrics.identity_expiry(identity.not_after().into());
                reporter.identity(&identity, self.source.joins());
                self.warned_of_expiry = false;
            }
            Effect::IdentityProblem(finding) => reporter.identity_problem(finding),
            // A failed join is logged and counted where it is made, and is no new credential.
            Effect::Reloaded(false) if self.source.joins() => {}
            Effect::Reloaded(taken_up) => metrics.identity_reload(if taken_up { Reload::Ok } else { Reload::Failed }),
            Effect::TeleportProblem(finding) => reporter.teleport_problem(finding),
            Effect::TeleportRecovered => reporter.teleport_recovered(),
            Effect::Ready(true) => health.open(Gate::TELEPORT),
            Effect::Ready(false) => health.close(Gate::TELEPORT),
            Effect::List => {}
        }
    }

    /// Warns once when the identity soon expires.
    pub(super) fn warn_of_expiry(&mut self) {
        // A join that is overdue has been reported as often as it failed.
        let is_quiet = self.warned_of_expiry || self.source.joins();
        let Some(identity) = self.state.identity().filter(|_| !is_quiet) else { return };
        let expires = identity.not_after();
        let life = identity.not_before().duration_until(expires);
        if Timestamp::now().duration_until(expires) < life / 10 {
            self.warned_of_expiry = true;
            warn!(%expires, "The identity expires soon: replace it (tctl auth sign, or let tbot renew it)");
        }
    }
}

fn now() -> Now {
    Now { instant: Instant::now(), time: Timestamp::now() }
}

/// Whether Teleport answers over this connection and takes the identity; with `rights` also whether records may be written.
async fn check(client: Client, rights: bool) -> Result<(), CallError> {
    let late = |method| move |_elapsed| Err(CallError::deadline(method, CHECK_TIMEOUT));
    let ping = async { timeout(CHECK_TIMEOUT, client.ping()).await.unwrap_or_else(late("Ping")).map(drop) };
    let write =
        async { if rights { timeout(CHECK_TIMEOUT, client.try_write()).await.unwrap_or(Ok(())) } else { Ok(()) } };
    let (answered, written) = tokio::join!(ping, write);
    answered?;
    written.or_else(|error| if error.kind == Kind::AccessDenied { Err(error) } else { Ok(()) })
}

async fn next_change(connection: &mut Option<Connection>) -> Result<Change, CallError> {
    match connection {
        Some(connection) => connection.watch.next().await,
        None => std::future::pending().await,
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
