//! Installs the TLS provider, then hands over to the command line.

use std::process::ExitCode;

use slack_access_operator::{cli, telemetry};

fn main() -> ExitCode {
    telemetry::end_on_panic();
    // One provider for every TLS connection. Only the first call in a process can succeed, and this is it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    cli::run(std::env::args_os())
}
