//! The Teleport ⇄ Slack loop.

pub mod config;
pub mod recipients;
