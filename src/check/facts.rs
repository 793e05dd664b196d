//! What probing has found out; nothing is judged here.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::config::recipient::{Recipient, RoleToRecipients};
use crate::slack::api::{Account, ChannelInfo, UserId};
use crate::slack::error::Error as SlackError;
use crate::teleport::client::Server;
use crate::teleport::dial::{DialError, Route, StepError};
use crate::teleport::error::CallError;
use crate::teleport::right::Rules;

/// Everything that was found out. A part that could not be probed because of another is absent.
pub struct Facts {
    /// The moment of the check.
    pub now: Timestamp,
    /// The configuration that was tried, as far as findings name it.
    pub tried: Tried,
    /// What is wrong with the configuration, each `what; remedy`.
    pub config_failures: Vec<String>,
    /// Warnings about the configuration, in the same form.
    pub config_warnings: Vec<String>,
    /// The identity, or why there is none.
    pub identity: Result<IdentityFacts, String>,
    /// Teleport; absent without an identity.
    pub teleport: Option<TeleportFacts>,
    /// The bot token: a warning about its form, or why there is none.
    pub token: Result<Option<String>, String>,
    /// Slack; absent without a token.
    pub slack: Option<SlackFacts>,
    /// Whether the app-level token opens Socket Mode connections, or why not; absent where reviews in Slack are off.
    pub socket_mode: Option<Result<(), String>>,
}

/// What is tried.
pub struct Tried {
    /// `teleport.addr`.
    pub addr: String,
    /// `slack.api_url`.
    pub api_url: String,
    /// `teleport.plugin_name`.
    pub plugin_name: String,
    /// `role_to_recipients`.
    pub routes: RoleToRecipients,
}

/// The identity.
#[derive(Clone, Debug)]
pub struct IdentityFacts {
    /// Teleport user.
    pub user: String,
    /// Cluster that signed it.
    pub cluster: String,
    /// Roles of the user.
    pub roles: Vec<String>,
    /// Begin of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
}

/// What Teleport answered.
pub struct TeleportFacts {
    /// Every way to the Auth server that was tried, by name.
    pub ways: Vec<(&'static str, Result<Route, StepError>)>,
    /// The connection as the worker makes it.
    pub connected: Result<Calls, DialError>,
}

/// What calls over the connection answered.
pub struct Calls {
    /// The way that was taken.
    pub route: Route,
    /// `Ping`.
    pub server: Result<Server, CallError>,
    /// What the identity's roles allow; none when they cannot be read.
    pub rules: Option<Rules>,
    /// Opening the watch.
    pub watch: Result<(), CallError>,
    /// Writing plugin data.
    pub write: Result<(), CallError>,
    /// The records of requests that wait for a decision: how many there are, and how many of them another program made.
    pub records: Result<Records, CallError>,
    /// Whether each configured role exists; roles that may not be read are absent.
    pub known_roles: BTreeMap<String, bool>,
}

/// Records of pending requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// Requests that wait for a decision and that the identity sees.
    pub pending: usize,
    /// Those with a record that another program made.
    pub foreign: usize,
}

/// What Slack answered.
pub struct SlackFacts {
    /// `auth.test`.
    pub account: Result<Account, SlackError>,
    /// Each configured recipient.
    pub recipients: Vec<(Recipient, Lookup)>,
}

/// What looking a recipient up has shown.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// A channel.
    Channel(ChannelInfo),
    /// A person with this id.
    Person(UserId),
    /// In no list of channels that the token may see.
    NotListed,
    /// Slack's refusal.
    Refused(SlackError),
    /// There is no look-up for it: it is an id that messages are sent to as it is.
    AsItIs,
}
