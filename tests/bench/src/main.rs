//! Side by side with the official plugin: the same machine, the same real Teleport, the same simulated Slack.
//!
//! ```text
//! requests ─▶ real Teleport ─▶ the plugin under measurement ─▶ simulated Slack (in this process)
//!                   └────────▶ an independent watcher: when the event was there
//! ```
//!
//! A program that prints, not a test: it asserts nothing, because times depend on the machine.

mod cluster;
mod figures;
mod machine;
mod plugin;
mod requests;
mod slack;
mod table;

use std::error::Error;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::figures::Figure;
use crate::plugin::Side;
use crate::table::Table;

/// A failure of the bench itself; what the plugins do wrong is a result.
type Failure = Box<dyn Error + Send + Sync>;

/// Prints how the worker compares with the official plugin.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    /// The release binary to measure
    #[arg(long, value_name = "PATH", default_value = "target/release/slack-access-operator")]
    ours: PathBuf,
    /// Only these figures
    #[arg(long, value_name = "FIGURE", value_delimiter = ',')]
    only: Vec<Figure>,
    /// Leave the official plugin out: for tuning ours
    #[arg(long)]
    alone: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Only the first call in a process can succeed, and this is it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcome = tokio::runtime::Runtime::new().map_err(Failure::from).and_then(|rt| rt.block_on(run(arguments)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    let figures = if arguments.only.is_empty() { Figure::ALL.to_vec() } else { arguments.only };
    let ours = arguments
        .ours
        .canonicalize()
        .map_err(|error| format!("{}: {error}; build it with `make release`", arguments.ours.display()))?;
    let binaries = cluster::binaries().await?;
    let mut sides = vec![Side::ours(ours)];
    if !arguments.alone {
        sides.push(Side::official(binaries.join("official-plugin")));
    }
    let machine = machine::facts();
    let mut table = Table::default();
    for figure in figures {
        for side in &sides {
            say(&format!("{figure}: {} …", side.name));
            table.add(side.is_ours(), figure.measure(side).await?);
        }
    }
    writeln!(io::stdout(), "\n{machine}\n\n{table}")?;
    Ok(())
}

/// Progress, beside the table.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
