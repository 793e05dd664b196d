//! What a method sees of one call: the caller, the arguments and the world.

use std::sync::Arc;

use super::args::Args;
use super::limits::{Bucket, Verdict};
use super::model::{App, Channel, ChannelKind, Token, TokenKind};
use super::refusal::Refusal;
use super::world::World;

/// Who calls.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) token: Arc<Token>,
    /// The bot user, or the person of a user token.
    pub(super) user: String,
    /// The bot's id; none for user tokens.
    pub(super) bot_id: Option<String>,
}

/// One call after authentication.
pub(super) struct Call<'a> {
    pub(super) world: &'a mut World,
    pub(super) args: &'a Args,
    pub(super) caller: Caller,
    /// Microseconds since the epoch.
    pub(super) now: u64,
    /// Reads answer from the state of this time.
    pub(super) read_at: u64,
    /// `http://host:port`, for URLs in answers.
    pub(super) base: &'a str,
    /// What strict mode holds against this call.
    pub(super) flaws: Vec<String>,
}

impl Call<'_> {
    pub(super) fn app(&self) -> Option<&App> {
        self.world.apps.get(&self.caller.token.app)
    }

    pub(super) fn team(&self) -> &str {
        &self.caller.token.team
    }

    /// Strict mode: something that Slack accepts but frowns upon.
    pub(super) fn flaw(&mut self, what: impl Into<String>) {
        self.flaws.push(what.into());
    }

    pub(super) fn has_scope(&self, scope: &str) -> bool {
        self.caller.token.scopes.contains(scope)
    }

    /// Refuses unless one of the scopes was granted, and notes its use.
    pub(super) fn need_scope(&mut self, scopes: &[&str]) -> Result<(), Refusal> {
        if let Some(scope) = scopes.iter().find(|scope| self.has_scope(scope)) {
            self.use_scope(scope);
            return Ok(());
        }
        Err(missing_scope(scopes, &self.caller.token))
    }

    pub(super) fn use_scope(&mut self, scope: &str) {
        if !self.world.used_scopes.contains(scope) {
            self.world.used_scopes.insert(scope.to_owned());
        }
        // The manifest lists no scopes of app-level tokens.
        let listed = self.caller.token.kind != TokenKind::App;
        let outside =
            listed && self.app().and_then(|app| app.manifest_scopes.as_ref()).is_some_and(|all| !all.contains(scope));
        if outside {
            self.flaw(format!("scope {scope} is not in the app's manifest"));
        }
    }

    /// The scope of a family (`history`, `read`) for this kind of conversation.
    pub(super) fn need_conversation_scope(&mut self, family: &str, channel: &str) -> Result<(), Refusal> {
        let kind = self.world.channels.get(channel).map(|channel| &channel.kind);
        let prefix = match kind {
            Some(ChannelKind::Private) => "groups",
            Some(ChannelKind::Im { .. }) => "im",
            Some(ChannelKind::Mpim) => "mpim",
            Some(ChannelKind::Public) | None => "channels",
        };
        self.need_scope(&[&format!("{prefix}:{family}")])
    }

    /// A conversation by id that the caller may know of, else `channel_not_found`.
    pub(super) fn visible_channel(&self, id: &str) -> Result<&Channel, Refusal> {
        let channel = self.world.channels.get(id).filter(|channel| channel.team == self.team());
        let channel = channel.filter(|c| c.kind == ChannelKind::Public || c.members.contains(&self.caller.user));
        channel.ok_or_else(|| Refusal::new("channel_not_found"))
    }

    /// As [`Call::visible_channel`] for the argument `channel`, whose absence is `invalid_arguments`.
    pub(super) fn channel_argument(&self) -> Result<String, Refusal> {
        let id = self.args.required("channel")?;
        Ok(self.visible_channel(&id)?.id.clone())
    }

    pub(super) fn is_member(&self, channel: &str) -> bool {
        self.world.channels.get(channel).is_some_and(|channel| channel.members.contains(&self.caller.user))
    }

    /// Counts one message into a channel; too many are refused (Slack docs: rate limits, posting messages).
    pub(super) fn pace(&mut self, channel: &str) -> Result<(), Refusal> {
        if !self.world.settings.limits.enabled {
            return Ok(());
        }
        let bucket = Bucket::Channel { app: self.caller.token.app.clone(), channel: channel.to_owned() };
        let world = &mut *self.world;
        match world.limiter.post(&world.settings.limits, bucket, self.now) {
            Verdict::Pass => Ok(()),
            Verdict::Limited { retry_after, ignored } => {
                if ignored {
                    self.flaw(format!("posted into {channel} although a 429 had asked to wait"));
                }
                Err(Refusal::limited(retry_after))
            }
        }
    }
}

/// Slack docs: `missing_scope`; the older name of `chat:write` is what Slack really answers.
pub(super) fn missing_scope(scopes: &[&str], token: &Token) -> Refusal {
    let needed: Vec<_> =
        scopes.iter().map(|scope| if *scope == "chat:write" { "chat:write:bot" } else { scope }).collect();
    let provided: Vec<_> = token.scopes.iter().map(String::as_str).collect();
    Refusal::new("missing_scope").with("needed", needed.join(",")).with("provided", provided.join(","))
}
