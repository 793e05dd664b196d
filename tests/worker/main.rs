//! The worker's whole loop: the real binary between a simulated Teleport and a simulated Slack.
//!
//! Every test has its own cluster, workspace and process, and ends by asking both simulators whether a real service would
//! have refused, warned about or punished anything.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

mod announce;
mod burst;
mod connection;
mod endpoints;
mod handover;
mod join;
mod lifecycle;
mod log;
mod outage;
mod process;
mod proxy;
mod reload;
mod review;
mod slack_faults;
mod start;
mod support;
mod sweep;
mod teleport_faults;
mod two;
