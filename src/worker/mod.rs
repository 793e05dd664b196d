//! The Teleport ⇄ Slack loop.

pub mod config;
pub mod decide;
pub mod gojson;
pub mod messages;
pub mod record;
