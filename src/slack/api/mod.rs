//! The Slack Web API, as far as we call it.
//!
//! Every method makes one call and tries nothing again: what to do about an [`Error`] is the caller's decision, by its
//! class. Pages of one reading are the exception in number, not in kind.

mod answer;
mod app;
mod channels;
mod history;
mod proxy;
mod review;
mod settings;
mod transport;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::slack::api::answer::{Done, FoundUser, Identity, Info, Opened, or_default};
use crate::slack::api::transport::{Answer, Transport};
use crate::slack::error::{Class, Error, code};
use crate::slack::message::Content;
use crate::slack::token::Token;
use crate::slack::{MessageRef, method};

pub use crate::slack::api::app::{AppClient, WebSocket};
pub use crate::slack::api::channels::ChannelList;
pub use crate::slack::api::history::OwnMessage;
pub use crate::slack::api::review::Profile;
pub use crate::slack::api::settings::{DEFAULT_API_URL, DEFAULT_TIMEOUT, Settings, SettingsError};

/// How many messages are asked for at once; Slack recommends no more than 200.
const PAGE: &str = "200";
/// A list that does not end after so many pages is not read further.
const MOST_PAGES: u32 = 100;

/// Slack, as one bot user. Clones share connections and the token.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    transport: Transport,
    /// The answer to the latest `auth.test` with the present token.
    account: RwLock<Option<Account>>,
}

/// Who the token belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Workspace name.
    pub team: String,
    /// Workspace id, `T…`.
    pub team_id: String,
    /// Organization id, `E…`, of an Enterprise workspace.
    pub enterprise_id: Option<String>,
    /// Whether the token is for all workspaces of an organization.
    pub is_enterprise_install: bool,
    /// Name of the bot user: whom to invite.
    pub user: String,
    /// Id of the bot user, `U…`.
    pub user_id: String,
    /// Id of the bot, `B…`.
    pub bot_id: Option<String>,
    /// Id of the app, `A…`, where Slack tells it.
    pub app_id: Option<String>,
    /// Address of the workspace.
    pub url: String,
    /// The scopes granted, sorted; empty when Slack did not say.
    pub scopes: Vec<String>,
}

/// What a new token changes beside itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountChange {
    /// It is of another workspace: no message of the old one can be reached.
    Workspace,
    /// It is of another app in the same workspace: messages of the old one can be read, not changed.
    App,
}

impl Account {
    /// What changes when the token of `self` is replaced by that of `next`.
    pub fn change_to(&self, next: &Self) -> Option<AccountChange> {
        if (&self.team_id, &self.enterprise_id) != (&next.team_id, &next.enterprise_id) {
            Some(AccountChange::Workspace)
        } else if (&self.bot_id, &self.user_id) != (&next.bot_id, &next.user_id) {
            Some(AccountChange::App)
        } else {
            None
        }
    }
}

/// Id of a user, `U…` or `W…`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(String);

impl UserId {
    /// Takes an id that Slack gave.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id, which also serves as the channel of a post.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A message to be posted.
#[derive(Clone, Debug, PartialEq)]
pub struct Post {
    /// Channel id, `#name` of a public channel, or a user's id for a direct message.
    pub channel: String,
    /// What it says.
    pub content: Content,
    /// `ts` of the thread's first message.
    pub thread_ts: Option<String>,
}

/// A message as Slack took it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// Where it is.
    pub message: MessageRef,
    /// The thread it is in.
    pub thread_ts: Option<String>,
    /// It was meant for a thread and stands in the channel by itself: Slack does this, without an error, when the thread's
    /// first message was deleted. The caller deletes it or takes it as the new message.
    pub strayed: bool,
}

/// What is known about a channel.
#[expect(clippy::struct_excessive_bools, reason = "Slack's own flags, each independent of the others")]
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct ChannelInfo {
    /// Its id.
    #[serde(deserialize_with = "or_default")]
    pub id: String,
    /// Its name without `#`; empty for direct messages.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Whether the bot is in it.
    #[serde(deserialize_with = "or_default")]
    pub is_member: bool,
    /// Whether it is archived.
    #[serde(deserialize_with = "or_default")]
    pub is_archived: bool,
    /// Whether only invited members see it.
    #[serde(deserialize_with = "or_default")]
    pub is_private: bool,
    /// Whether other companies are in it (Slack Connect): reasons and resource names leave the house.
    #[serde(deserialize_with = "or_default")]
    pub is_ext_shared: bool,
}

impl Client {
    /// A client for these settings. Makes no call.
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        Ok(Self { shared: Arc::new(Shared { transport: Transport::new(settings)?, account: RwLock::default() }) })
    }

    /// From now on calls use this token; those in flight end with the one they began with.
    pub fn set_token(&self, token: Token) {
        if self.shared.transport.token() != token {
            self.shared.transport.set_token(token);
            *self.shared.account.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// Whether calls use this token.
    pub fn has_token(&self, token: &Token) -> bool {
        self.shared.transport.token() == *token
    }

    /// `auth.test`: whether the token works, whose it is, and what it may.
    pub async fn auth_test(&self) -> Result<Account, Error> {
        let token = self.shared.transport.token();
        let Answer { body, headers } = self.shared.transport.write(method::AUTH_TEST, None, &json!({})).await?;
        let mut scopes: Vec<String> = headers
            .get("x-oauth-scopes")
            .and_then(|scopes| scopes.to_str().ok())
            .into_iter()
            .flat_map(|scopes| scopes.split(','))
            .map(|scope| scope.trim().to_owned())
            .filter(|scope| !scope.is_empty())
            .collect();
        scopes.sort_unstable();
        let Identity { team, team_id, enterprise_id, is_enterprise_install, user, user_id, bot_id, app_id, url } =
            parse(method::AUTH_TEST, "", body)?;
        let account = Account {
            team,
            team_id,
            enterprise_id: enterprise_id.filter(|id| !id.is_empty()),
            is_enterprise_install,
            user,
            user_id,
            bot_id: bot_id.filter(|id| !id.is_empty()),
            app_id: app_id.filter(|id| !id.is_empty()),
            url,
            scopes,
        };
        let mut known = self.shared.account.write().unwrap_or_else(PoisonError::into_inner);
        if self.shared.transport.token() == token {
            *known = Some(account.clone());
        }
        Ok(account)
    }

    /// The account, from memory where the present token was tested before.
    pub async fn account(&self) -> Result<Account, Error> {
        let known = self.shared.account.read().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some(account) => Ok(account),
            None => self.auth_test().await,
        }
    }

    /// What to do about an error, with the bot's own name where it is known.
    pub fn remedy(&self, error: &Error) -> String {
        let known = self.shared.account.read().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().map_or_else(|| error.remedy(), |account| error.remedy_for(&account.user))
    }

    /// `chat.postMessage`. An error of class [`Class::Ambiguous`] may have posted: see [`Client::find_posted`].
    pub async fn post_message(&self, post: &Post) -> Result<Posted, Error> {
        let mut body = arguments(&post.content);
        body.insert("channel".to_owned(), json!(post.channel));
        body.insert("unfurl_links".to_owned(), json!(false));
        body.insert("unfurl_media".to_owned(), json!(false));
        if let Some(thread) = &post.thread_ts {
            body.insert("thread_ts".to_owned(), json!(thread));
        }
        let answer: answer::Posted = self.write(method::POST_MESSAGE, &post.channel, body).await?;
        let (Some(channel), Some(ts)) = (answer.channel, answer.ts) else {
            // It says ok, so the message is there; only its place is unknown.
            return Err(malformed(method::POST_MESSAGE, &post.channel, "no channel or ts"));
        };
        let thread_ts = answer.message.thread_ts;
        let strayed = post.thread_ts.is_some() && thread_ts.is_none();
        Ok(Posted { message: MessageRef { channel, ts }, thread_ts, strayed })
    }

    /// `chat.update`: replaces text, blocks and metadata. Harmless to repeat, but an old state sent late wins over a newer
    /// one: one update at a time per message.
    pub async fn update_message(&self, message: &MessageRef, content: &Content) -> Result<(), Error> {
        let mut body = arguments(content);
        body.insert("channel".to_owned(), json!(message.channel));
        body.insert("ts".to_owned(), json!(message.ts));
        self.write::<Done>(method::UPDATE, &message.channel, body).await.map(drop)
    }

    /// `chat.delete`; a message that is gone already is a success.
    pub async fn delete_message(&self, message: &MessageRef) -> Result<(), Error> {
        let body = object(json!({"channel": message.channel, "ts": message.ts}));
        done(self.write(method::DELETE, &message.channel, body).await)
    }

    /// `reactions.add`; `name` without colons. A reaction that is there already is a success.
    pub async fn add_reaction(&self, message: &MessageRef, name: &str) -> Result<(), Error> {
        let body = object(json!({"channel": message.channel, "timestamp": message.ts, "name": name}));
        done(self.write(method::ADD_REACTION, &message.channel, body).await)
    }

    /// `users.lookupByEmail`. Deactivated members and addresses that Slack does not know are `users_not_found` alike.
    pub async fn lookup_user_by_email(&self, email: &str) -> Result<UserId, Error> {
        let answer: FoundUser = self.read(method::LOOKUP_BY_EMAIL, email, &[("email", email)]).await?;
        answer.user.id.map(UserId).ok_or_else(|| malformed(method::LOOKUP_BY_EMAIL, email, "no user id"))
    }

    /// `conversations.open`: the id of the direct message with a user, needed only to read it. Takes the scope `im:write`.
    pub async fn open_dm(&self, user: &UserId) -> Result<String, Error> {
        let body = object(json!({"users": user.as_str()}));
        let answer: Opened = self.write(method::OPEN, user.as_str(), body).await?;
        answer.channel.id.ok_or_else(|| malformed(method::OPEN, user.as_str(), "no channel id"))
    }

    /// `conversations.info`. Takes the scope `channels:read`, or `groups:read` for private channels.
    pub async fn channel_info(&self, channel: &str) -> Result<ChannelInfo, Error> {
        let answer: Info = self.read(method::INFO, channel, &[("channel", channel)]).await?;
        answer.channel.ok_or_else(|| malformed(method::INFO, channel, "no channel"))
    }

    /// An organization's token must say whose channels it lists.
    async fn list_team(&self) -> Result<Option<String>, Error> {
        let account = self.account().await?;
        Ok(account.is_enterprise_install.then_some(account.team_id))
    }

    async fn write<T: DeserializeOwned>(
        &self,
        method: &'static str,
        about: &str,
        body: Map<String, Value>,
    ) -> Result<T, Error> {
        let answer = self.shared.transport.write(method, Some(about), &Value::Object(body)).await?;
        parse(method, about, answer.body)
    }

    async fn read<T: DeserializeOwned>(
        &self,
        method: &'static str,
        about: &str,
        query: &[(&str, &str)],
    ) -> Result<T, Error> {
        let answer = self.shared.transport.read(method, Some(about), query).await?;
        parse(method, about, answer.body)
    }
}

/// What is wrong with an answer is not quoted: it may hold what people wrote.
fn parse<T: DeserializeOwned>(method: &'static str, about: &str, body: Map<String, Value>) -> Result<T, Error> {
    serde_json::from_value(Value::Object(body)).map_err(|_| malformed(method, about, "fields of another kind"))
}

/// Text, blocks and metadata always go together: an update with text alone removes the blocks.
fn arguments(content: &Content) -> Map<String, Value> {
    // `parse: none` keeps Slack from finding links and names in the text by itself.
    let mut body = object(json!({"text": content.text, "parse": "none"}));
    if content.blocks.as_array().is_some_and(|blocks| !blocks.is_empty()) {
        body.insert("blocks".to_owned(), content.blocks.clone());
    }
    if let Some(metadata) = &content.metadata {
        let metadata = json!({"event_type": metadata.event_type, "event_payload": metadata.payload});
        body.insert("metadata".to_owned(), metadata);
    }
    body
}

fn done(outcome: Result<Done, Error>) -> Result<(), Error> {
    match outcome {
        Err(error) if error.class != Class::AlreadyDone => Err(error),
        _ => Ok(()),
    }
}

/// A cursor that has gone stale is no fault of the arguments: the next attempt begins with the first page.
fn begin_again(mut error: Error, cursor: &str) -> Error {
    if error.code == "invalid_cursor" && !cursor.is_empty() {
        error.class = Class::Transient;
    }
    error
}

fn malformed(method: &'static str, about: &str, reason: &str) -> Error {
    Error::new(method, code::MALFORMED_ANSWER, Some(about)).because(reason)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_another_workspace_or_app_is_told_from_a_renewed_one() {
        let account = |team: &str, bot: &str| Account {
            team_id: team.to_owned(),
            bot_id: Some(bot.to_owned()),
            ..Account::default()
        };
        let (known, renamed) = (account("T1", "B1"), Account { team: "New name".to_owned(), ..account("T1", "B1") });
        assert_eq!(known.change_to(&renamed), None);
        assert_eq!(known.change_to(&account("T1", "B2")), Some(AccountChange::App));
        assert_eq!(known.change_to(&account("T2", "B1")), Some(AccountChange::Workspace));
    }
}
