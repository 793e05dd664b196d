//! One file per subcommand.

mod demo;
mod slack;
mod teleport;

use std::{error::Error, io::Write as _, process::ExitCode};

/// What to simulate.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Slack, Teleport and the real worker between them, with a page that shows all three
    Demo(demo::Args),
    /// A Slack workspace: Web API, Socket Mode, and a control API under `/_sim/`
    Slack(slack::Args),
    /// A Teleport cluster: Auth, optionally a Proxy, and a control API under `/_sim/` on a port of its own
    Teleport(teleport::Args),
}

/// Runs the command until it is interrupted.
pub(crate) fn run(command: Command) -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match block_on(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn block_on(command: Command) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Demo(args) => demo::run(args).await,
            Command::Slack(args) => slack::run(args).await,
            Command::Teleport(args) => teleport::run(args).await,
        }
    })
}

/// Waits until somebody ends the program.
async fn interrupted() -> std::io::Result<()> {
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminated.recv() => Ok(()),
    }
}
