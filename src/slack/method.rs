//! The Web API methods in use, by the names that Slack's documentation, limits and our logs and metrics share.

/// Who are we, and may we.
pub const AUTH_TEST: &str = "auth.test";
/// Posts a message; not idempotent.
pub const POST_MESSAGE: &str = "chat.postMessage";
/// Posts a message that one member sees; not idempotent.
pub const POST_EPHEMERAL: &str = "chat.postEphemeral";
/// Replaces a message in place.
pub const UPDATE: &str = "chat.update";
/// Deletes a message.
pub const DELETE: &str = "chat.delete";
/// Adds an emoji to a message.
pub const ADD_REACTION: &str = "reactions.add";
/// Finds a user by e-mail address.
pub const LOOKUP_BY_EMAIL: &str = "users.lookupByEmail";
/// Opens a direct message and tells its id.
pub const OPEN: &str = "conversations.open";
/// Tells about one channel.
pub const INFO: &str = "conversations.info";
/// Lists channels.
pub const LIST: &str = "conversations.list";
/// Reads messages of a channel.
pub const HISTORY: &str = "conversations.history";
/// Tells about one user.
pub const USER_INFO: &str = "users.info";
/// Tells about one bot, and which app it belongs to.
pub const BOT_INFO: &str = "bots.info";
/// Opens a modal; not idempotent, but its trigger works once.
pub const OPEN_VIEW: &str = "views.open";
/// Asks for the address of a Socket Mode connection.
pub const CONNECTIONS_OPEN: &str = "apps.connections.open";
/// No method, but the WebSocket handshake that follows it.
pub const HANDSHAKE: &str = "Socket Mode handshake";
/// No method, but a message that only the person who clicked sees, at the address that came with the click; not idempotent.
pub const RESPONSE_URL: &str = "response_url";
/// Reads a thread.
pub const REPLIES: &str = "conversations.replies";

/// Whether the same call twice has the same effect as once. Everything is, except what makes a new message.
pub fn is_idempotent(method: &str) -> bool {
    !matches!(method, POST_MESSAGE | POST_EPHEMERAL | RESPONSE_URL)
}
