//! In-process access to a running workspace, for tests and for the page.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::journal::{Call, Violation};
use super::model::{App, Channel, Message, Reaction, Token, TokenState, User};
use super::settings::Settings;
use super::text::Effects;
use super::world::{Ephemeral, World};
use crate::faults::{Effect, Fault, Faults};

pub(super) struct Shared {
    world: Mutex<World>,
    version: watch::Sender<u64>,
    faults: Faults,
    pub(super) base: OnceLock<String>,
    pub(super) stop: CancellationToken,
}

/// A running workspace. Clones are the same workspace.
#[derive(Clone)]
pub struct Handle(pub(super) Arc<Shared>);

/// Something awaited did not happen in time.
#[derive(thiserror::Error)]
#[error("waited {waited:?} in vain; the last calls were:\n{calls}")]
pub struct TimedOut {
    waited: Duration,
    calls: String,
}

impl fmt::Debug for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A fault that makes no sense for Slack.
#[derive(Debug, thiserror::Error)]
#[error("the simulated Slack knows no {effect} for {method}: {remedy}")]
pub struct UnfitFault {
    effect: String,
    method: String,
    remedy: &'static str,
}

/// The pseudo method under which faults of Socket Mode connections are injected.
pub const SOCKET: &str = "socket";

impl Handle {
    pub(super) fn new(world: World) -> Self {
        let version = watch::Sender::new(0);
        Self(Arc::new(Shared {
            world: Mutex::new(world),
            faults: Faults::of(version.clone()),
            version,
            base: OnceLock::new(),
            stop: CancellationToken::new(),
        }))
    }

    /// Whoever looks sees what has become due since.
    fn lock(&self) -> MutexGuard<'_, World> {
        let mut world = self.0.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.post_due();
        world
    }

    pub(super) fn read<T>(&self, look: impl FnOnce(&World) -> T) -> T {
        look(&self.lock())
    }

    /// Changes the world and tells everybody who waits for changes.
    pub(super) fn write<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let result = change(&mut self.lock());
        self.0.version.send_modify(|version| *version += 1);
        result
    }

    /// `http://127.0.0.1:PORT`.
    pub(super) fn base(&self) -> &str {
        self.0.base.get().map_or("", String::as_str)
    }

    /// A number that grows with every change, to await changes with.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.version.subscribe()
    }

    /// Waits until `predicate` holds; it is tried again after every change.
    pub async fn wait_for(&self, mut predicate: impl FnMut(&Self) -> bool, timeout: Duration) -> Result<(), TimedOut> {
        let mut changes = self.changes();
        let reached = async {
            while !predicate(self) {
                if changes.changed().await.is_err() {
                    break;
                }
            }
        };
        tokio::time::timeout(timeout, reached).await.map_err(|_| {
            let calls: Vec<_> = self.journal();
            let last = calls.iter().rev().take(10).rev().map(|c| format!("  {} {} -> {}", c.method, c.args, c.answer));
            TimedOut { waited: timeout, calls: last.collect::<Vec<_>>().join("\n") }
        })
    }

    /// The messages of a conversation (id or name), replies included, oldest first. Deleted ones are left out.
    pub fn messages(&self, channel: &str) -> Vec<Message> {
        self.read(|world| {
            let Some(channel) = find_channel(world, channel) else { return Vec::new() };
            channel
                .messages
                .values()
                .filter(|stored| stored.deleted.is_none())
                .map(|stored| stored.now.clone())
                .collect()
        })
    }

    /// One message.
    pub fn message(&self, channel: &str, ts: &str) -> Option<Message> {
        self.read(|world| world.message(&find_channel(world, channel)?.id, ts).cloned())
    }

    /// The replies under a message, oldest first.
    pub fn thread(&self, channel: &str, ts: &str) -> Vec<Message> {
        let mut messages = self.messages(channel);
        messages.retain(|message| message.thread_ts.as_deref() == Some(ts) && message.ts != ts);
        messages
    }

    /// The reactions of a message.
    pub fn reactions(&self, channel: &str, ts: &str) -> Vec<Reaction> {
        self.message(channel, ts).map(|message| message.reactions).unwrap_or_default()
    }

    /// The direct messages that the first app's bot exchanged with a person (id or e-mail), oldest first.
    pub fn direct_messages(&self, user: &str) -> Vec<Message> {
        let channel = self.read(|world| {
            let user = find_user(world, user)?;
            let bot = &world.apps.values().next()?.bot_user;
            world.existing_direct_channel(bot, &user.id).map(str::to_owned)
        });
        channel.map(|channel| self.messages(&channel)).unwrap_or_default()
    }

    /// The messages that only one person saw.
    pub fn ephemerals(&self) -> Vec<Ephemeral> {
        self.read(|world| world.ephemerals.clone())
    }

    /// What a client would make of a message: whom it pings, where it links. `None` when there is no such message.
    pub fn effects(&self, channel: &str, ts: &str) -> Option<Effects> {
        self.message(channel, ts).map(|message| Effects::of(&message))
    }

    /// A user by id, e-mail or handle.
    pub fn find_user(&self, user: &str) -> Option<User> {
        self.read(|world| find_user(world, user).cloned())
    }

    /// A channel by id or name.
    pub fn find_channel(&self, channel: &str) -> Option<Channel> {
        self.read(|world| find_channel(world, channel).cloned())
    }

    /// The calls so far, oldest first, as many as [`Settings::journal_capacity`] keeps.
    pub fn journal(&self) -> Vec<Call> {
        self.read(|world| world.journal.calls().cloned().collect())
    }

    /// The calls after that number, oldest first.
    pub fn calls_after(&self, seq: u64) -> Vec<Call> {
        self.read(|world| world.journal.after(seq).cloned().collect())
    }

    /// The calls of one method.
    pub fn calls(&self, method: &str) -> Vec<Call> {
        self.read(|world| world.journal.calls().filter(|call| call.method == method).cloned().collect())
    }

    /// How many calls arrived, kept in the journal or not.
    pub fn call_count(&self) -> u64 {
        self.read(|world| world.journal.count())
    }

    /// Forgets calls and violations so far.
    pub fn clear_journal(&self) {
        self.write(|world| {
            world.journal.clear();
            world.violations.clear();
        });
    }

    /// Base URL of the control API and of everything else: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        self.base()
    }

    /// The faults in force. Inject through [`Handle::inject`], which refuses what makes no sense.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// Injects a fault and returns its number.
    pub fn inject(&self, fault: Fault) -> Result<u64, UnfitFault> {
        let remedy = match (&fault.effect, fault.method.as_str()) {
            (Effect::Cut | Effect::Stall | Effect::End | Effect::Duplicate, SOCKET) => None,
            (Effect::Cut | Effect::Stall | Effect::End | Effect::Duplicate, _) => {
                Some("it is for the method \"socket\"")
            }
            (_, SOCKET) => Some("a socket can be cut, stalled, ended, or made to deliver twice"),
            (Effect::StaleRead { .. }, method) if method != "*" => {
                let reads = super::methods::find(method).is_some_and(|method| method.reads);
                (!reads).then_some("only methods that read can be stale")
            }
            (Effect::ServerError { status } | Effect::ServerErrorAfter { status }, _)
                if !(500..600).contains(status) =>
            {
                Some("the status must be 500 to 599")
            }
            (_, method) => {
                let known = method == "*" || super::methods::find(method).is_some();
                (!known).then_some("there is no such method")
            }
        };
        if let Some(remedy) = remedy {
            return Err(UnfitFault { effect: fault.effect.name(), method: fault.method, remedy });
        }
        Ok(self.0.faults.inject(fault))
    }

    /// Changes settings while the server runs.
    pub fn configure(&self, change: impl FnOnce(&mut Settings)) {
        self.write(|world| change(&mut world.settings));
    }

    /// Skips time on the workspace's clock: rate limits, `ts`, expiries.
    pub fn advance(&self, by: Duration) {
        self.write(|world| world.clock.advance(by));
    }

    /// From now on the token answers `token_revoked`.
    pub fn revoke_token(&self, token: &str) {
        self.change_token(token, |token| token.state = TokenState::Revoked);
    }

    /// Puts the token into a state.
    pub fn set_token_state(&self, token: &str, state: TokenState) {
        self.change_token(token, |token| token.state = state);
    }

    /// The token's state; `None` when there is no such token.
    pub fn token_state(&self, token: &str) -> Option<TokenState> {
        self.read(|world| world.tokens.get(token).map(|token| token.state))
    }

    /// Replaces the token's scopes, as a reinstallation does.
    pub fn set_scopes(&self, token: &str, scopes: &[&str]) {
        self.change_token(token, |token| token.scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect());
    }

    /// Whether the token is known, in whatever state.
    pub fn knows_token(&self, token: &str) -> bool {
        self.read(|world| world.tokens.contains_key(token))
    }

    fn change_token(&self, token: &str, change: impl FnOnce(&mut Token)) {
        self.write(|world| {
            if let Some(token) = world.tokens.get_mut(token) {
                change(Arc::make_mut(token));
            }
        });
    }

    /// Adds or replaces a token.
    pub fn add_token(&self, token: Token) {
        self.write(|world| super::workspace::add_token(world, token));
    }

    /// Adds or replaces a person.
    pub fn add_user(&self, user: User) {
        self.write(|world| super::workspace::add_user(world, user));
    }

    /// Adds or replaces a channel.
    pub fn add_channel(&self, channel: Channel) {
        self.write(|world| super::workspace::add_channel(world, channel));
    }

    /// Changes the settings of the first app.
    pub fn configure_app(&self, change: impl FnOnce(&mut App)) {
        self.write(|world| world.apps.values_mut().next().map(change));
    }

    /// Archives a channel (id or name).
    pub fn archive(&self, channel: &str) {
        self.change_channel(channel, |channel| channel.archived = true);
    }

    /// Opens an archived channel again.
    pub fn unarchive(&self, channel: &str) {
        self.change_channel(channel, |channel| channel.archived = false);
    }

    /// Gives a channel another name; its id stays.
    pub fn rename(&self, channel: &str, name: &str) {
        self.change_channel(channel, |channel| name.clone_into(&mut channel.name));
    }

    /// Makes a user or bot (id, e-mail or handle) a member of a channel.
    pub fn invite(&self, channel: &str, user: &str) {
        let Some(user) = self.find_user(user) else { return };
        self.change_channel(channel, |channel| _ = channel.members.insert(user.id));
    }

    /// Ends the membership of a user or bot.
    pub fn kick(&self, channel: &str, user: &str) {
        let Some(user) = self.find_user(user) else { return };
        self.change_channel(channel, |channel| _ = channel.members.remove(&user.id));
    }

    fn change_channel(&self, channel: &str, change: impl FnOnce(&mut Channel)) {
        self.write(|world| {
            let id = find_channel(world, channel).map(|channel| channel.id.clone());
            if let Some(channel) = id.and_then(|id| world.channels.get_mut(&id)) {
                change(channel);
            }
        });
    }

    /// Deactivates a person.
    pub fn deactivate_user(&self, user: &str) {
        self.write(|world| {
            let id = find_user(world, user).map(|user| user.id.clone());
            if let Some(user) = id.and_then(|id| world.users.get_mut(&id)) {
                user.deleted = true;
            }
        });
    }

    /// A person or the retention policy deletes a message.
    pub fn delete_message(&self, channel: &str, ts: &str) {
        self.write(|world| {
            if let Some(id) = find_channel(world, channel).map(|channel| channel.id.clone()) {
                world.delete_message(&id, ts);
            }
        });
    }

    /// What real Slack would refuse, warn about or punish, so far.
    pub fn violations(&self) -> Vec<Violation> {
        self.read(|world| world.violations.clone())
    }

    /// The scopes that the calls so far needed.
    pub fn used_scopes(&self) -> BTreeSet<String> {
        self.read(|world| world.used_scopes.clone())
    }

    /// Panics with the list when there are violations.
    ///
    /// # Panics
    /// When there are any.
    #[expect(clippy::panic, reason = "an assertion for tests")]
    pub fn assert_no_violations(&self) {
        let violations = self.violations();
        if !violations.is_empty() {
            let list: Vec<_> = violations.iter().map(|violation| format!("  {violation}")).collect();
            panic!("real Slack would refuse, warn about or punish this:\n{}", list.join("\n"));
        }
    }
}

pub(super) fn find_channel<'a>(world: &'a World, channel: &str) -> Option<&'a Channel> {
    let name = channel.strip_prefix('#').unwrap_or(channel);
    world.channels.get(channel).or_else(|| world.channels.values().find(|c| !c.name.is_empty() && c.name == name))
}

pub(super) fn find_user<'a>(world: &'a World, user: &str) -> Option<&'a User> {
    let same = |known: &&User| known.name == user || known.email.as_ref().is_some_and(|e| e.eq_ignore_ascii_case(user));
    world.users.get(user).or_else(|| world.users.values().find(same))
}
