//! The Teleport ⇄ Slack loop.

pub mod config;
