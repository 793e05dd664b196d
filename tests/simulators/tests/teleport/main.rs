//! The simulated Teleport over real gRPC, as a client meets it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "only used in tests"
)]

mod authentication;
mod basics;
mod catalog;
mod faults;
mod over_http;
mod plugin_data;
mod proxy;
mod requests;
mod strict;
mod support;
mod watch;
