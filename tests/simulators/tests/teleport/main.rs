//! The simulated Teleport over real gRPC, as a client meets it.

mod authentication;
mod basics;
mod catalog;
mod faults;
mod over_http;
mod plugin_data;
mod proxy;
mod requests;
mod strict;
#[cfg(test)]
mod support;
mod watch;
