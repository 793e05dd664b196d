//! `simulators demo`: all of it, with a page to look at.

use std::error::Error;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;

use simulators::demo::{Demo, Settings};

use super::interrupted;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where the page is served
    #[arg(long, default_value = "127.0.0.1:8080", value_parser = super::listen_address)]
    listen: SocketAddr,
    /// The program under demonstration: a built slack-access-operator
    #[arg(long, value_name = "PATH", default_value = "target/debug/slack-access-operator")]
    worker: PathBuf,
}

pub(crate) async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let demo = Demo::start(Settings { listen: args.listen, worker: args.worker, echo: true }).await?;
    say(&format!("\n  The demo is at http://{}\n  Ctrl-C ends it.\n", demo.address()))?;
    interrupted().await?;
    demo.end().await;
    say("The demo has ended.")?;
    Ok(())
}

fn say(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}
