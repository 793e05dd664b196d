//! The worker, as it is shipped, against the real Teleport 14.2.3 and a simulated Slack: `make test-teleport`.
//!
//! One Teleport serves all tests that do not end it; each has roles, a plugin name and a workspace of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

#[path = "../conformance/cases/mod.rs"]
mod cases;
mod cluster;
mod conformance;
mod credentials;
mod delivery;
mod go_client;
mod guide;
mod identities;
mod join;
mod official;
mod refusals;
mod restarts;
mod routes;
mod service_accounts;
mod slack;
mod worker;

/// Sends a signal to one process.
fn signal(name: &str, pid: &str) {
    let _ = std::process::Command::new("kill").args([&format!("-{name}"), pid]).status();
}
