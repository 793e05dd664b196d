//! The definition and the controller on a real Kubernetes API server.

#![allow(unreachable_pub, reason = "a test program has no outside")]

#[path = "../support/mod.rs"]
mod support;

mod admission;
mod room;
mod workload;
