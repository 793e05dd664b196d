//! `simulators slack …`, `simulators teleport …`: the simulators as servers of their own, for manual work and for other people's programs.

mod commands;

use std::process::ExitCode;

use clap::Parser as _;

use self::commands::Command;

#[derive(clap::Parser)]
#[command(name = "simulators", about, version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    commands::run(Cli::parse().command)
}
