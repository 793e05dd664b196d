//! The Teleport ⇄ Slack loop.
//!
//! ```text
//! session ─ connects, watches, lists again ─▶ dispatcher ─ one task per request id ─▶ task ⇄ delivery::machine
//!    ▲                                                                                 │
//!    └─ new identity, token, configuration                                             └▶ plugin data, Slack
//! ```

mod calls;
mod context;
mod dispatcher;
pub mod health;
mod identity_source;
mod instance;
mod missed;
mod notes;
mod recipient_check;
mod render;
mod review;
mod role_logins;
mod session;
mod sweep;
mod task;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use zeroize::Zeroizing;

use crate::admin::{self, Health};
use crate::config::{Config, Origin};
use crate::file_watch::{self, Watched};
use crate::metrics::Metrics;
use crate::slack::api::SettingsError;
use crate::slack::error::Error as SlackError;
use crate::telemetry::Logging;
use crate::teleport::error::CallError;
use crate::teleport::identity::IdentityError;
use crate::teleport::join::JoinError;
use crate::worker::health::condition_reason;
use crate::worker::health::conditions::WorkerReport;
use crate::worker::health::report::{Report, Reporter};
use crate::worker::health::status::{Access, Me};
use crate::worker::health::undelivered::Board;
use crate::worker::identity_source::RunningJoin;
use crate::worker::instance::Host;
use crate::worker::session::Session;

/// The setting of the certificates that a Teleport Proxy's web certificate is checked with.
const TELEPORT_BUNDLE: &str = "teleport.ca_bundle";
/// The setting of the certificates that Slack's, or a proxy's, is checked with.
const SLACK_BUNDLE: &str = "slack.ca_bundle";

/// Why the worker ended. Each is one line that says what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused something that every process may do.
    #[error("cannot listen for signals: {0}; restart the process")]
    Signals(#[source] std::io::Error),
    /// The identity cannot be used.
    #[error(transparent)]
    Identity(Arc<IdentityError>),
    /// Teleport cannot be joined.
    #[error(transparent)]
    Join(Arc<JoinError>),
    /// A file that the configuration names cannot be read.
    #[error("{key}: cannot read {}: {source}; check the path and its permissions", path.display())]
    File {
        /// The setting that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that the configuration names is of no use.
    #[error("{key}: {}: {reason}", path.display())]
    Unusable {
        /// The setting that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The settings for Slack cannot be used.
    #[error(transparent)]
    SlackSettings(#[from] SettingsError),
    /// Slack does not take the token.
    #[error("slack.token: Slack refuses the bot token: {error}; {}", error.remedy())]
    Slack {
        /// Slack's answer.
        error: SlackError,
    },
    /// Something else answers where Slack's Web API should.
    #[error(
        "slack.api_url: {address} does not answer as Slack's Web API does: {error}; correct it (it ends in /api/), or leave it out for Slack itself"
    )]
    NotSlack {
        /// The address.
        address: String,
        /// What answered.
        error: Box<SlackError>,
    },
    /// Teleport cannot be reached, or refuses the identity.
    #[error(transparent)]
    Connect(session::ConnectError),
    /// The identity is of another user than the configuration names.
    #[error("teleport.identity: {0}")]
    IdentityUser(String),
    /// The token is of another workspace than the one in use, or than the configuration names.
    #[error(
        "slack.token: the token is of workspace {found}, not of {kept}: put back a token of {kept}, or name the new workspace in spec.slack.teamId (slack.team_id)"
    )]
    OtherWorkspace {
        /// The workspace of the token.
        found: String,
        /// The workspace that was expected.
        kept: String,
    },
    /// The watch ended, and `TELEPORT_PLUGIN_FAIL_FAST` is set.
    #[error("the watch on Teleport ended and TELEPORT_PLUGIN_FAIL_FAST is set: {0}")]
    WatchEnded(CallError),
    /// The endpoints cannot be served.
    #[error(transparent)]
    Endpoints(#[from] admin::Error),
}

/// The conditions of readiness.
pub struct Gate;

impl Gate {
    /// An identity and a token are there.
    pub const CREDENTIALS: &'static str = "credentials";
    /// Teleport answers.
    pub const TELEPORT: &'static str = "teleport";
    /// All requests have been listed once.
    pub const FIRST_LIST: &'static str = "first list";
}

/// What a worker needs beside its configuration.
#[derive(Clone)]
pub struct RunOptions {
    /// Where the configuration comes from, to read it again.
    pub origin: Origin,
    /// Who may read `/metrics`.
    pub metrics: admin::access::Settings,
    /// To change severity and output, or open the log file anew.
    pub logging: Logging,
    /// End with an error when credentials are missing, or Teleport or Slack turn the first attempt down, as a service
    /// under systemd should. Without it the worker waits until things are mended, as a pod should.
    pub strict: bool,
}

/// What one run with one configuration works with, and what outlives it.
#[derive(Clone)]
pub(crate) struct Shared {
    config: Arc<Config>,
    health: Health,
    metrics: Metrics,
    board: Board,
    reporter: Reporter,
    host: Arc<Host>,
    fail_fast: bool,
    running_join: RunningJoin,
    stop: CancellationToken,
}

/// Runs until asked to end (`SIGTERM`, `SIGINT`), and begins anew with a changed configuration on `SIGHUP`.
pub async fn run(config: Config, options: RunOptions) -> Result<(), Error> {
    let mut signals = Signals::new().map_err(Error::Signals)?;
    let stop = CancellationToken::new();
    let health = Health::with_gates([Gate::CREDENTIALS, Gate::TELEPORT, Gate::FIRST_LIST]);
    let metrics = Metrics::new();
    if let Some(address) = &config.diag_addr {
        // It serves until the process ends.
        drop(admin::serve(address, &options.metrics, health.clone(), metrics.clone(), stop.clone()).await?);
    }
    let host = Arc::new(Host::find(config.kubernetes.as_ref()));
    let shared = Shared {
        config: Arc::new(config),
        health,
        metrics,
        board: Board::default(),
        reporter: Reporter::default(),
        host,
        fail_fast: options.origin.environment.fail_fast(),
        running_join: RunningJoin::default(),
        stop: stop.child_token(),
    };
    if let Some(object) = shared.config.kubernetes.clone() {
        let (reports, me) = (shared.reporter.subscribe(), Me::from_environment());
        let view = |report: &Report| WorkerReport::of(report, jiff::Timestamp::now());
        tokio::spawn(health::status::run(Access::InCluster, object, me, reports, view, stop.clone()));
    }
    let Some(mut session) = first_session(&shared, options.strict, &mut signals).await? else {
        shut_down(&stop);
        return Ok(());
    };
    tokio::select! {
        started = session.start() => started?,
        () = signals.end() => {
            shut_down(&stop);
            return Ok(());
        }
    }
    loop {
        // With another configuration there is something to lose: it waits rather than ends.
        let renew = |config| Session::new(Shared { config, stop: stop.child_token(), ..shared.clone() }, false);
        let Some(mut next) = run_once(session, renew, &options, &mut signals).await? else {
            shut_down(&stop);
            return Ok(());
        };
        next.start().await?;
        session = next;
    }
}

/// The first session; none when asked to end before. A CA bundle that is missing or broken is an error in a strict start, and waited
/// for otherwise.
async fn first_session(shared: &Shared, strict: bool, signals: &mut Signals) -> Result<Option<Session>, Error> {
    let mut ca_bundles = ca_bundles(&shared.config);
    loop {
        let error = match Session::new(shared.clone(), strict) {
            Ok(session) => return Ok(Some(session)),
            Err(error) if strict => return Err(error),
            Err(error) => error,
        };
        match condition_reason::of_ca_bundle(&error) {
            Some((TELEPORT_BUNDLE, problem)) => shared.reporter.teleport_problem(problem),
            Some((_, problem)) => shared.reporter.slack_problem(problem),
            None => return Err(error),
        }
        error!(%error, "A CA bundle cannot be used: waiting for another");
        tokio::select! {
            _ = ca_bundles.changed() => {}
            () = signals.end() => return Ok(None),
        }
    }
}

fn shut_down(stop: &CancellationToken) {
    info!("Successfully shut down");
    stop.cancel();
}

/// Runs with one configuration. Returns what runs with the next one, or none when the process is to end.
async fn run_once(
    session: Session,
    renew: impl Fn(Arc<Config>) -> Result<Session, Error>,
    options: &RunOptions,
    signals: &mut Signals,
) -> Result<Option<Session>, Error> {
    let (stop, config) = (session.stop(), session.config());
    let mut ca_bundles = session.ca_bundles();
    let mut running = std::pin::pin!(session.run());
    let (mut next, mut ending) = (None, false);
    loop {
        let wish = tokio::select! {
            result = &mut running => return result.map(|()| next),
            wish = signals.next() => wish,
            // Clients are made anew, as with another configuration.
            _ = ca_bundles.changed() => Wish::Reload,
        };
        match wish {
            Wish::End if ending => {
                warn!("Asked twice to end: leaving what is in flight");
                return Ok(None);
            }
            Wish::End => (next, ending) = (None, true),
            Wish::Reload if ending => continue,
            Wish::Reload => match load_again(options, &config, &renew) {
                Some(renewed) => next = Some(renewed),
                None => continue,
            },
        }
        stop.cancel();
    }
}

/// Reads the configuration anew; a broken one is reported, and the old one stays in use.
fn load_again(
    options: &RunOptions,
    old: &Config,
    renew: impl Fn(Arc<Config>) -> Result<Session, Error>,
) -> Option<Session> {
    let loaded = match options.origin.load() {
        Ok(loaded) => loaded,
        Err(error) => {
            error!(%error, "Cannot use the new configuration: staying with the old one");
            return None;
        }
    };
    for warning in &loaded.warnings {
        warn!("Configuration: {warning}");
    }
    for setting in only_at_start(old, &loaded.config) {
        warn!("Configuration: {setting} has changed and is used from the next start on; restart the process");
    }
    if let Err(error) = options.logging.apply(&loaded.config.log) {
        error!(%error, "Cannot change the log: leaving it as it was");
    }
    match renew(Arc::new(loaded.config)) {
        Ok(session) => {
            info!(file = %options.origin.path.display(), "Read the configuration anew");
            Some(session)
        }
        Err(error) => {
            error!(%error, "Cannot use the new configuration: staying with the old one");
            None
        }
    }
}

/// The settings that differ and are looked at only once.
fn only_at_start(old: &Config, new: &Config) -> Vec<&'static str> {
    let differs = [("diag.addr", old.diag_addr != new.diag_addr), ("log.format", old.log.format != new.log.format)];
    differs.into_iter().filter(|(_, differs)| *differs).map(|(setting, _)| setting).collect()
}

/// Tells when a CA bundle changes; never, if there is none.
fn ca_bundles(config: &Config) -> Watched {
    Watched::await_files([&config.teleport.ca_bundle, &config.slack.ca_bundle].into_iter().flatten().cloned())
}

fn read_file(key: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    file_watch::read(path).map_err(|source| Error::File { key, path: path.to_owned(), source })
}

/// What a signal asks for.
#[derive(PartialEq, Eq)]
enum Wish {
    End,
    Reload,
}

/// The signals that the official plugin's users know.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::End,
            _ = self.interrupt.recv() => Wish::End,
            _ = self.hangup.recv() => Wish::Reload,
        }
    }

    /// Waits for the wish to end; there is nothing to reload yet.
    async fn end(&mut self) {
        while self.next().await != Wish::End {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Wildcard};

    #[test]
    fn settings_that_need_a_restart_are_named_when_they_change() {
        let config = |rest: &str| {
            let text = format!("[teleport]\nidentity = \"/id\"\n[slack]\ntoken = \"xoxb-1\"\n{rest}");
            Config::parse("f", &text, Wildcard::Optional, &Environment::default()).unwrap().config
        };
        let old = config("[diag]\naddr = \"127.0.0.1:3000\"\n");
        assert_eq!(only_at_start(&old, &config("[diag]\naddr = \"127.0.0.1:3000\"\n")), [] as [&str; 0]);
        assert_eq!(only_at_start(&old, &config("[log]\nformat = \"json\"\n")), ["diag.addr", "log.format"]);
    }
}
