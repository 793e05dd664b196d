//! The simulators as programs: `simulators teleport …`. See each command's `--help`.

mod commands;

use std::{error::Error, process::ExitCode};

use clap::{Parser, Subcommand};

/// A Slack workspace and a Teleport cluster that fail on command.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a Teleport cluster: Auth, optionally a Proxy, and an HTTP control port.
    Teleport(commands::teleport::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    let result: Result<(), Box<dyn Error>> = match Cli::parse().command {
        Command::Teleport(args) => commands::teleport::run(args).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
