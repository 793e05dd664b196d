//! The Teleport ⇄ Slack loop.

pub mod config;
pub mod recipients;
pub mod status;

use tokio::signal::unix::{SignalKind, signal};

use crate::telemetry::Logging;

/// What a worker needs beside its configuration.
#[derive(Clone)]
pub struct RunOptions {
    /// Where the configuration comes from, to read it again.
    pub origin: config::Origin,
    /// To change severity and output, or open the log file anew.
    pub logging: Logging,
}

/// Why the worker ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused something that every process may do.
    #[error("cannot listen for signals: {0}; restart the process")]
    Signals(#[source] std::io::Error),
}

/// Runs until asked to end (`SIGTERM`, `SIGINT`).
pub async fn run(_config: config::Config, _options: RunOptions) -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
