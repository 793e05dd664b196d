//! A Slack workspace and a Teleport cluster that fail on command: for tests, for the demo and for manual work.

pub mod demo;
pub mod faults;
pub mod slack;
pub mod teleport;
