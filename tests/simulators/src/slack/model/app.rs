//! Apps and their tokens.

use std::collections::BTreeSet;

use serde::Serialize;

/// An installed app and the switches of its settings page.
#[derive(Clone, Debug, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is one switch of that page")]
pub struct App {
    /// `A…`.
    pub id: String,
    /// Shown name.
    pub name: String,
    /// `B…`.
    pub bot_id: String,
    /// User id of its bot user.
    pub bot_user: String,
    /// Scopes that the manifest of the level under test asks for; strict mode reports the use of any other. `None`: not checked.
    pub manifest_scopes: Option<BTreeSet<String>>,
    /// Interactivity is switched on (also needed with Socket Mode).
    pub interactivity: bool,
    /// Socket Mode is switched on.
    pub socket_mode: bool,
    /// The Messages tab is on, so that people can be written to.
    pub messages_tab: bool,
    /// The Home tab is on, so that views can be published there.
    pub home_tab: bool,
    /// Request URL of interactivity without Socket Mode.
    pub request_url: Option<String>,
    /// Key with which requests to `request_url` are signed.
    #[serde(skip)]
    pub signing_secret: String,
}

impl App {
    /// An app whose bot user is `bot_user`: Messages and Home tab on, everything else off.
    pub fn new(id: &str, name: &str, bot_id: &str, bot_user: &str) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            bot_id: bot_id.to_owned(),
            bot_user: bot_user.to_owned(),
            manifest_scopes: None,
            interactivity: false,
            socket_mode: false,
            messages_tab: true,
            home_tab: true,
            request_url: None,
            signing_secret: "simulated-signing-secret".to_owned(),
        }
    }

    /// The same with interactivity over Socket Mode.
    #[must_use]
    pub fn interactive(mut self) -> Self {
        self.interactivity = true;
        self.socket_mode = true;
        self
    }

    /// The same, held to the scopes of a manifest.
    #[must_use]
    pub fn manifest(mut self, scopes: &[&str]) -> Self {
        self.manifest_scopes = Some(scopes.iter().map(|scope| (*scope).to_owned()).collect());
        self
    }
}

/// What sort of token it is (Slack docs: token types).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// `xoxb-…`.
    Bot,
    /// `xoxp-…`; acts as a person.
    User,
    /// `xapp-…`; only for `apps.connections.open`.
    App,
}

/// Whether a token still works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenState {
    /// Accepted.
    Active,
    /// `token_revoked`.
    Revoked,
    /// `token_expired`.
    Expired,
    /// `account_inactive`: the app was removed or its user deactivated.
    Inactive,
}

/// A token; its value is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    pub(in crate::slack) value: String,
    pub(in crate::slack) kind: TokenKind,
    pub(in crate::slack) state: TokenState,
    pub(in crate::slack) scopes: BTreeSet<String>,
    pub(in crate::slack) app: String,
    pub(in crate::slack) team: String,
    pub(in crate::slack) user: String,
    pub(in crate::slack) org_wide: bool,
}

impl Token {
    /// A bot token of the first app in the first team.
    pub fn bot(value: &str, scopes: &[&str]) -> Self {
        Self {
            value: value.to_owned(),
            kind: TokenKind::Bot,
            state: TokenState::Active,
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            app: String::new(),
            team: String::new(),
            user: String::new(),
            org_wide: false,
        }
    }

    /// An app-level token of the first app with the scope `connections:write`.
    pub fn app_level(value: &str) -> Self {
        Self { kind: TokenKind::App, ..Self::bot(value, &["connections:write"]) }
    }

    /// A token that acts as the person `user`.
    pub fn user(value: &str, user: &str, scopes: &[&str]) -> Self {
        Self { kind: TokenKind::User, user: user.to_owned(), ..Self::bot(value, scopes) }
    }

    /// The granted scopes.
    pub fn granted(&self) -> impl Iterator<Item = &str> {
        self.scopes.iter().map(String::as_str)
    }

    /// The same for the app `app` (an id).
    #[must_use]
    pub fn of_app(mut self, app: &str) -> Self {
        app.clone_into(&mut self.app);
        self
    }

    /// The same for the team `team` (an id).
    #[must_use]
    pub fn of_team(mut self, team: &str) -> Self {
        team.clone_into(&mut self.team);
        self
    }

    /// The same, issued for a whole Enterprise organisation (Slack docs: org-ready apps).
    #[must_use]
    pub fn org_wide(mut self) -> Self {
        self.org_wide = true;
        self
    }

    /// The same in this state.
    #[must_use]
    pub fn state(mut self, state: TokenState) -> Self {
        self.state = state;
        self
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("kind", &self.kind).field("state", &self.state).finish_non_exhaustive()
    }
}
