//! `simulators demo …`, `simulators slack …`, `simulators teleport …`: the simulators as programs, to be looked at, worked with,
//! and talked to by other people's programs.

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
