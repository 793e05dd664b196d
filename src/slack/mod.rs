//! Everything that speaks to Slack.

pub mod client;
pub mod directory;
pub mod error;
pub mod message;
pub mod pacing;
pub mod text;
pub mod token;

/// Names a posted message: Slack's channel id and timestamp, both as Slack returned them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct MessageRef {
    /// Channel id, such as `C0123ABCD`, or `D…` for a direct message.
    pub channel: String,
    /// Timestamp, an id rather than a time: never parsed, never reformatted.
    pub ts: String,
}

impl std::fmt::Display for MessageRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.channel, self.ts)
    }
}
