//! The simulators as programs of their own, for manual work and for other people's programs. See each command's `--help`.

mod commands;

use std::process::ExitCode;

use clap::Parser as _;

use self::commands::Command;

/// A Slack workspace and a Teleport cluster that fail on command.
#[derive(clap::Parser)]
#[command(name = "simulators", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    commands::run(Cli::parse().command)
}
