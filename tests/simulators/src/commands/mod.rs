//! One file per subcommand.

mod demo;
mod slack;
mod teleport;

use std::error::Error;
use std::io::Write as _;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

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

/// Waits until somebody ends the program, or closes the terminal that it runs in.
async fn interrupted() -> std::io::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut hung_up = if is_hangup_ignored() { None } else { Some(signal(SignalKind::hangup())?) };
    let hung_up = async {
        match &mut hung_up {
            Some(hung_up) => hung_up.recv().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminated.recv() => Ok(()),
        _ = hung_up => Ok(()),
    }
}

/// Whether it was started to outlive its terminal, with `nohup` (proc(5), `SigIgn`; SIGHUP is the first bit).
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 == 1))
}

/// Where to listen, as `HOST:PORT`.
fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let mut found =
        text.to_socket_addrs().map_err(|error| format!("{error}; write HOST:PORT, such as localhost:8080"))?;
    found.next().ok_or_else(|| "the host has no address".to_owned())
}
