//! The Teleport ⇄ Slack loop.
//!
//! ```text
//! session ─ connects, watches, lists again ─▶ dispatch ─ one task per request id ─▶ request: observe → decide → act
//!    ▲                                                                               │
//!    └─ new identity, token, configuration                                           └▶ plugin data, Slack
//! ```

pub mod board;
pub mod config;
mod context;
pub mod decide;
mod dispatch;
mod gojson;
mod messages;
pub mod recipients;
pub mod record;
pub mod report;
mod request;
mod resync;
mod roles;
mod session;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::{
    board::Board,
    config::{Config, Environment, Loaded, Wildcard},
    report::Reporter,
    session::Session,
};
use crate::{
    admin::{self, Health},
    metrics::Metrics,
    slack::{client::SettingsError, error::Error as SlackError},
    telemetry::Logging,
    teleport::{error::CallError, identity::IdentityError},
};

/// Why the worker ended. Each is one line that says what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The identity cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
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
    #[error("Slack refuses the bot token: {0}; {}", .0.remedy())]
    Slack(SlackError),
    /// Teleport cannot be reached, or refuses the identity.
    #[error(transparent)]
    Connect(session::ConnectError),
    /// The watch ended, and `TELEPORT_PLUGIN_FAIL_FAST` is set.
    #[error("the watch on Teleport ended and TELEPORT_PLUGIN_FAIL_FAST is set: {0}")]
    WatchEnded(CallError),
    /// The endpoints cannot be served.
    #[error(transparent)]
    Bind(#[from] admin::BindError),
}

/// The conditions of readiness.
pub struct Gate;

impl Gate {
    /// The configuration and the credentials are there.
    pub const CONFIGURATION: &'static str = "configuration";
    /// Teleport answers.
    pub const TELEPORT: &'static str = "teleport";
    /// All requests have been listed once.
    pub const FIRST_LIST: &'static str = "first list";
}

/// Where the configuration comes from, and how the worker treats what is wrong at its start.
pub struct Options {
    /// The file.
    pub path: PathBuf,
    /// Overrides.
    pub environment: Environment,
    /// Whether `"*"` may be missing.
    pub wildcard: Wildcard,
    /// End with an error when Teleport or Slack turn the first attempt down, as a service under systemd should. Without it
    /// the worker waits until things are mended, as a pod should.
    pub strict: bool,
    /// Overrides `[diag] addr`.
    pub diag_addr: Option<String>,
    /// Log everything, whatever the configuration says.
    pub debug: bool,
}

/// What one run with one configuration works with, and what outlives it.
#[derive(Clone)]
pub(crate) struct Shared {
    config: Arc<Config>,
    health: Health,
    metrics: Metrics,
    board: Board,
    reporter: Reporter,
    fail_fast: bool,
    stop: CancellationToken,
}

/// What ends a run.
enum Ended {
    Asked,
    Reloaded(Box<Config>),
}

/// Runs until `stop` is cancelled. `reload` yields once for each wish to read the configuration anew (SIGHUP).
pub async fn run(
    options: Options,
    logging: &Logging,
    loaded: Loaded,
    mut reload: impl AsyncFnMut(),
    stop: CancellationToken,
) -> Result<(), Error> {
    let health = Health::with_gates([Gate::CONFIGURATION, Gate::TELEPORT, Gate::FIRST_LIST]);
    let metrics = Metrics::new();
    let diag = options.diag_addr.clone().or_else(|| loaded.config.diag_addr.clone());
    let _endpoints = match &diag {
        Some(address) => Some(admin::spawn(address, health.clone(), metrics.clone(), stop.clone()).await?),
        None => None,
    };
    info!("Starting Teleport Access Slack Plugin {}", env!("CARGO_PKG_VERSION"));
    let mut config = Arc::new(loaded.config);
    warn_of(&loaded.warnings);
    let mut strict = options.strict;
    let (board, reporter) = (Board::default(), Reporter::default());
    loop {
        let shared = Shared {
            config: config.clone(),
            health: health.clone(),
            metrics: metrics.clone(),
            board: board.clone(),
            reporter: reporter.clone(),
            fail_fast: options.environment.fail_fast,
            stop: stop.child_token(),
        };
        match run_once(shared, strict, &options, logging, &mut reload).await? {
            Ended::Asked => return Ok(()),
            Ended::Reloaded(new) => config = Arc::new(*new),
        }
        strict = false;
    }
}

async fn run_once(
    shared: Shared,
    strict: bool,
    options: &Options,
    logging: &Logging,
    reload: &mut impl AsyncFnMut(),
) -> Result<Ended, Error> {
    let stop = shared.stop.clone();
    let mut session = Session::new(shared, strict)?;
    tokio::select! {
        started = session.start(strict) => started?,
        () = stop.cancelled() => return Ok(Ended::Asked),
    }
    let mut running = std::pin::pin!(session.run());
    loop {
        tokio::select! {
            result = &mut running => return result.map(|()| Ended::Asked),
            () = reload() => {
                let Some(config) = load_again(options, logging) else { continue };
                stop.cancel();
                running.await?;
                return Ok(Ended::Reloaded(Box::new(config)));
            }
        }
    }
}

/// Reads the configuration anew; a broken one is reported, and the old one stays in use.
fn load_again(options: &Options, logging: &Logging) -> Option<Config> {
    match Config::load(&options.path, options.wildcard, &options.environment) {
        Ok(mut loaded) => {
            warn_of(&loaded.warnings);
            if options.debug {
                loaded.config.log.severity = crate::telemetry::Severity::Debug;
            }
            if let Err(error) = logging.apply(&loaded.config.log) {
                tracing::error!(%error, "Cannot change the log: leaving it as it was");
            }
            info!(file = %options.path.display(), "Read the configuration anew");
            Some(loaded.config)
        }
        Err(error) => {
            tracing::error!(%error, "Cannot use the new configuration: staying with the old one");
            None
        }
    }
}

fn warn_of(warnings: &[config::Problem]) {
    for warning in warnings {
        warn!("{warning}");
    }
}

fn read_file(key: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::File { key, path: path.to_owned(), source })
}
