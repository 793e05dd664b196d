//! The scopes that the bot token needs, and what each is for. Pure.

/// A scope of the bot token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Slack's name of it.
    pub name: &'static str,
    /// Whether nothing works without it.
    pub required: bool,
    /// What it is for.
    pub purpose: &'static str,
}

const fn scope(name: &'static str, required: bool, purpose: &'static str) -> Scope {
    Scope { name, required, purpose }
}

/// Every scope that the program makes use of.
pub const SCOPES: &[Scope] = &[
    scope("chat:write", true, "post and update messages"),
    scope("users:read", true, "find people"),
    scope("users:read.email", true, "find people by their e-mail addresses"),
    scope("reactions:write", false, "mark decided requests with an emoji"),
    scope("channels:read", false, "check channels before the first message"),
    scope("groups:read", false, "check private channels before the first message"),
    scope("channels:history", false, "find a message whose answer was lost, instead of sending it again"),
    scope("groups:history", false, "find such a message in private channels"),
    scope("im:history", false, "find such a direct message"),
    scope("im:write", false, "learn where a direct message goes before it is sent"),
];
