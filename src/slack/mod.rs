//! Everything that speaks to Slack.

pub mod client;
pub mod directory;
pub mod error;
pub mod message;
pub mod pacing;
pub mod text;
pub mod token;
