//! Everything that speaks to Slack.
//!
//! `message` and `text` render, `pacing` plans, `error` classifies: all pure. `client` is the only place that makes a call,
//! and it makes each call once: whether to try again is the caller's decision, from the error's [`error::Class`].

pub mod client;
pub mod directory;
pub mod error;
pub mod message;
pub mod method;
pub mod pacing;
pub mod text;
pub mod token;
pub mod turn;
