//! The definition and the controller on a real Kubernetes API server.

#![allow(unreachable_pub, reason = "a test program has no outside")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what is not as expected ends the test, also in its helpers"
)]

#[path = "../support/mod.rs"]
mod support;

mod admission;
mod authors;
mod chart;
mod clusters;
mod front;
mod own_power;
mod resilience;
mod room;
mod status;
mod webhook;
mod workload;
