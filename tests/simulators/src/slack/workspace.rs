//! How a workspace is set up.

use std::sync::Arc;

use super::model::{App, Channel, Team, Token, User, UserGroup, UserKind};
use super::settings::{Limits, Settings};
use super::world::World;

/// A workspace that is not running yet. Things that name no team belong to the first one, tokens that name no app to the first app.
#[derive(Default)]
pub struct Workspace {
    pub(super) world: World,
}

impl Workspace {
    /// A workspace with nothing in it but its name.
    pub fn new(team_id: &str, name: &str, domain: &str) -> Self {
        Self::default().team(team_id, name, domain)
    }

    /// The id of the person with this address.
    pub fn person(&self, email: &str) -> Option<String> {
        self.world.users.values().find(|user| user.email.as_deref() == Some(email)).map(|user| user.id.clone())
    }

    /// Adds a further team, for example of another organisation.
    #[must_use]
    pub fn team(mut self, id: &str, name: &str, domain: &str) -> Self {
        self.world.teams.push(Team { id: id.to_owned(), name: name.to_owned(), domain: domain.to_owned() });
        self
    }

    /// Adds a person.
    #[must_use]
    pub fn user(mut self, user: User) -> Self {
        add_user(&mut self.world, user);
        self
    }

    /// Adds a channel.
    #[must_use]
    pub fn channel(mut self, channel: Channel) -> Self {
        add_channel(&mut self.world, channel);
        self
    }

    /// Adds a user group.
    #[must_use]
    pub fn user_group(mut self, mut group: UserGroup) -> Self {
        fill_team(&self.world, &mut group.team);
        self.world.groups.insert(group.id.clone(), group);
        self
    }

    /// Adds an app, and its bot user unless that exists.
    #[must_use]
    pub fn app(mut self, app: App) -> Self {
        if !self.world.users.contains_key(&app.bot_user) {
            let bot = User::member(&app.bot_user, &app.name, "").kind(UserKind::Bot);
            add_user(&mut self.world, bot);
        }
        self.world.apps.insert(app.id.clone(), app);
        self
    }

    /// Adds a token.
    #[must_use]
    pub fn token(mut self, token: Token) -> Self {
        add_token(&mut self.world, token);
        self
    }

    /// Adds an incoming webhook, `/services/TEAM/BOT/{key}`, that posts into a channel (id).
    #[must_use]
    pub fn webhook(mut self, key: &str, channel: &str) -> Self {
        self.world.webhooks.insert(key.to_owned(), channel.to_owned());
        self
    }

    /// Changes the settings.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.world.settings);
        self
    }

    /// Replaces the rate limits.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        self.configure(|settings| settings.limits = limits)
    }

    /// For benchmarks: no limits, no journal, no strict mode.
    #[must_use]
    pub fn for_benchmarks(self) -> Self {
        self.configure(|settings| {
            settings.limits = Limits::off();
            settings.journal_capacity = 0;
            settings.strict = false;
        })
    }
}

fn fill_team(world: &World, team: &mut String) {
    if let (true, Some(first)) = (team.is_empty(), world.teams.first()) {
        team.clone_from(&first.id);
    }
}

pub(super) fn add_user(world: &mut World, mut user: User) {
    fill_team(world, &mut user.team);
    world.users.insert(user.id.clone(), user);
}

pub(super) fn add_channel(world: &mut World, mut channel: Channel) {
    fill_team(world, &mut channel.team);
    world.channels.insert(channel.id.clone(), channel);
}

pub(super) fn add_token(world: &mut World, mut token: Token) {
    fill_team(world, &mut token.team);
    if let (true, Some(app)) = (token.app.is_empty(), world.apps.keys().next()) {
        token.app.clone_from(app);
    }
    world.tokens.insert(token.value.clone(), Arc::new(token));
}

/// Scopes of the app's manifest, level by level.
pub mod scopes {
    /// Level 1: write, find people by e-mail, react.
    pub const NOTIFY: &[&str] = &["chat:write", "users:read", "users:read.email", "reactions:write"];
    /// Level 2: also look before posting again, and check channels at start.
    pub const NOTIFY_AND_LOOK: &[&str] = &[
        "chat:write",
        "users:read",
        "users:read.email",
        "reactions:write",
        "channels:read",
        "groups:read",
        "channels:history",
        "groups:history",
        "im:history",
        "im:write",
    ];
}

/// The bot token of [`default_workspace`].
pub const BOT_TOKEN: &str = "xoxb-simulated-bot-token";
/// The app-level token of [`default_workspace`].
pub const APP_TOKEN: &str = "xapp-1-A0SIMTELEPORT-simulated-app-token";
/// The bot user of [`default_workspace`].
pub const BOT_USER: &str = "U0BTELEPORT";

/// A workspace with a handful of channels and people:
///
/// | channel | what it is |
/// |---|---|
/// | `C0ACCESSREQ` `access-requests`, `C0DBAONCALL` `dba-oncall`, `C0GENERAL01` `general` | public, the bot is in |
/// | `C0NOBOTHERE` `random` | public, the bot is not in |
/// | `C0PRIVATE01` `security-private` | private, the bot is in |
/// | `C0SECRET001` `board` | private, the bot is not in |
/// | `C0ARCHIVED1` `old-requests` | archived |
///
/// People: `alice@example.com` (asks), `bob@example.com` and `carol@example.com` (decide), `dave@example.com` (deactivated),
/// `guest@partner.example` (guest), `wanda@example.com` (Enterprise id), a bot `deploybot`. The bot user is `teleport`, its token
/// [`BOT_TOKEN`] has the scopes [`scopes::NOTIFY_AND_LOOK`], its app is interactive over Socket Mode with [`APP_TOKEN`]. The incoming
/// webhook `/services/T0SIMULATED/B0TELEPORT1/simulated` posts into `general`.
pub fn default_workspace() -> Workspace {
    let everybody = [BOT_USER, "U0ALICE0001", "U0BOB000001", "U0CAROL0001", "W0WANDA0001"];
    Workspace::new("T0SIMULATED", "Simulated", "simulated")
        .app(App::new("A0SIMTELEPORT", "teleport", "B0TELEPORT1", BOT_USER).interactive())
        .token(Token::bot(BOT_TOKEN, scopes::NOTIFY_AND_LOOK))
        .token(Token::app_level(APP_TOKEN))
        .webhook("simulated", "C0GENERAL01")
        .user(User::member("U0ALICE0001", "alice", "alice@example.com").named("Alice Adams"))
        .user(User::member("U0BOB000001", "bob", "bob@example.com").named("Bob Brown"))
        .user(User::member("U0CAROL0001", "carol", "carol@example.com").named("Carol Clark"))
        .user(User::member("U0DAVE00001", "dave", "dave@example.com").named("Dave Davis").deactivated())
        .user(User::member("U0GUEST0001", "guest", "guest@partner.example").named("Gus Guest").kind(UserKind::Guest))
        .user(User::member("W0WANDA0001", "wanda", "wanda@example.com").named("Wanda White"))
        .user(User::member("U0DEPLOYBOT", "deploybot", "").kind(UserKind::Bot))
        .channel(Channel::public("C0GENERAL01", "general").members(everybody))
        .channel(Channel::public("C0ACCESSREQ", "access-requests").members(everybody))
        .channel(Channel::public("C0DBAONCALL", "dba-oncall").members([BOT_USER, "U0BOB000001", "U0CAROL0001"]))
        .channel(Channel::public("C0NOBOTHERE", "random").members(["U0ALICE0001", "U0BOB000001"]))
        .channel(Channel::private("C0PRIVATE01", "security-private").members([BOT_USER, "U0CAROL0001"]))
        .channel(Channel::private("C0SECRET001", "board").members(["U0CAROL0001"]))
        .channel(Channel::public("C0ARCHIVED1", "old-requests").members(everybody).archived())
        .user_group(UserGroup {
            id: "S0REVIEWERS".to_owned(),
            team: String::new(),
            handle: "reviewers".to_owned(),
            name: "Reviewers".to_owned(),
            users: vec!["U0BOB000001".to_owned(), "U0CAROL0001".to_owned()],
            disabled: false,
        })
}
