//! Everything that speaks to Slack.
//!
//! `message` and `text` render, `error` classifies: both pure. `api` is the only place that makes a call, and it makes each
//! call once: whether to try again is the caller's decision, from the error's [`error::Class`]. `rate_limit` decides when,
//! and `address_book` where to.

pub mod address_book;
pub mod api;
pub mod app_manifest;
pub mod error;
pub mod interaction;
pub mod message;
pub mod method;
pub mod rate_limit;
pub mod recipient_mistake;
pub mod socket;
pub mod text;
pub mod token;

/// Where a message is. Both parts are opaque: `ts` looks like a number and must never be treated as one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct MessageRef {
    /// Id of the conversation, as Slack answered it: of a direct message `D…`, not the user's id.
    pub channel: String,
    /// The message's id within it.
    pub ts: String,
}

impl std::fmt::Display for MessageRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.channel, self.ts)
    }
}
