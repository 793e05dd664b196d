//! What a workspace is made of: teams, people, channels, apps, tokens and messages.

mod app;
mod channel;
mod message;
mod user;

use serde::Serialize;

pub use self::app::{App, Token, TokenKind, TokenState};
pub use self::channel::{Channel, ChannelKind, Posting};
pub use self::message::{Message, Reaction};
pub use self::user::{User, UserKind};

pub(in crate::slack) use self::message::Stored;

/// A workspace (Slack says "team").
#[derive(Clone, Debug, Serialize)]
pub struct Team {
    /// `T…`.
    pub id: String,
    /// Shown name.
    pub name: String,
    /// First label of the workspace's host name.
    pub domain: String,
}

/// A user group, mentioned as `<!subteam^S…>`.
#[derive(Clone, Debug, Serialize)]
pub struct UserGroup {
    /// `S…`.
    pub id: String,
    /// Team it belongs to; empty for the first.
    pub team: String,
    /// What people type after the `@`.
    pub handle: String,
    /// Shown name.
    pub name: String,
    /// Members.
    pub users: Vec<String>,
    /// Switched off by an admin.
    pub disabled: bool,
}
