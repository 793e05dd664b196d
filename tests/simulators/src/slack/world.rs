//! The whole state of the simulation, changed under one lock.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::clock::{Clock, ts};
use super::hooks::Hooks;
use super::journal::{Journal, Violation};
use super::limits::Limiter;
use super::model::{App, Channel, ChannelKind, Message, Stored, Team, Token, User, UserGroup};
use super::settings::Settings;
use super::socket::Sockets;
use super::views::Views;

/// A message that only one person sees until they reload (Slack docs: `chat.postEphemeral`).
#[derive(Clone, Debug, serde::Serialize)]
pub struct Ephemeral {
    /// Who sees it.
    pub user: String,
    /// What it says; its `ts` cannot be used for anything.
    pub message: Message,
}

/// A message for later; its `ts` is empty.
pub(super) struct Scheduled {
    /// Seconds since the epoch.
    pub(super) post_at: u64,
    pub(super) created: u64,
    pub(super) message: Message,
}

/// Violations beyond this number are only counted.
const KEPT_VIOLATIONS: usize = 1_000;

#[derive(Default)]
pub(super) struct World {
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) teams: Vec<Team>,
    pub(super) users: BTreeMap<String, User>,
    pub(super) channels: BTreeMap<String, Channel>,
    pub(super) groups: BTreeMap<String, UserGroup>,
    pub(super) apps: BTreeMap<String, App>,
    pub(super) tokens: HashMap<String, Arc<Token>>,
    pub(super) journal: Journal,
    pub(super) limiter: Limiter,
    pub(super) violations: Vec<Violation>,
    pub(super) used_scopes: BTreeSet<String>,
    pub(super) ephemerals: Vec<Ephemeral>,
    /// By `scheduled_message_id`.
    pub(super) scheduled: BTreeMap<String, Scheduled>,
    pub(super) sockets: Sockets,
    pub(super) hooks: Hooks,
    pub(super) views: Views,
    /// Incoming webhooks: the last part of the URL, and the channel's id.
    pub(super) webhooks: BTreeMap<String, String>,
    /// Messages posted so far, for the free plan's quota.
    pub(super) posted: u64,
    direct: HashMap<(String, String), String>,
    last_id: u64,
}

impl World {
    /// A new id of Slack's shape: the prefix, then ten capital letters and digits.
    pub(super) fn new_id(&mut self, prefix: char) -> String {
        const DIGITS: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
        self.last_id += 1;
        let mut rest = self.last_id;
        let mut id: Vec<u8> = Vec::with_capacity(11);
        for _ in 0..9 {
            id.push(DIGITS.get(usize::try_from(rest % 36).unwrap_or(0)).copied().unwrap_or(b'0'));
            rest /= 36;
        }
        id.reverse();
        format!("{prefix}0{}", String::from_utf8_lossy(&id))
    }

    pub(super) fn team(&self, id: &str) -> Option<&Team> {
        self.teams.iter().find(|team| team.id == id)
    }

    /// The direct messages between a bot user and a person; the id stays the same for good.
    pub(super) fn direct_channel(&mut self, bot: &str, user: &str, team: &str) -> String {
        let key = (bot.to_owned(), user.to_owned());
        if let Some(id) = self.direct.get(&key) {
            return id.clone();
        }
        let id = self.new_id('D');
        let kind = ChannelKind::Im { user: user.to_owned(), bot: bot.to_owned() };
        let channel = Channel { kind, ..Channel::public(&id, "") }.members([bot, user]).of_team(team);
        self.channels.insert(id.clone(), channel);
        self.direct.insert(key, id.clone());
        id
    }

    /// The direct messages between a bot user and a person, if they ever talked.
    pub(super) fn existing_direct_channel(&self, bot: &str, user: &str) -> Option<&str> {
        self.direct.get(&(bot.to_owned(), user.to_owned())).map(String::as_str)
    }

    /// Reserves the next `ts` of a channel: the clock's, but always later than the one before.
    pub(super) fn next_ts(&mut self, channel: &str) -> String {
        let now = self.clock.now();
        let Some(channel) = self.channels.get_mut(channel) else { return ts(now) };
        channel.last_ts = now.max(channel.last_ts + 1);
        ts(channel.last_ts)
    }

    /// Stores a message under its `ts`.
    pub(super) fn store(&mut self, message: Message) {
        let now = self.clock.now();
        if let Some(channel) = self.channels.get_mut(&message.channel) {
            channel.messages.insert(message.ts.clone(), Stored::new(message, now));
            self.posted += 1;
        }
    }

    /// Posts what was scheduled and is due. Messages with metadata never are (Slack docs: chat.scheduleMessage), nor those for channels
    /// that were archived since.
    pub(super) fn post_due(&mut self) {
        let now = self.clock.now() / 1_000_000;
        if !self.scheduled.values().any(|scheduled| scheduled.post_at <= now) {
            return;
        }
        let mut due: Vec<_> = self.scheduled.extract_if(.., |_, scheduled| scheduled.post_at <= now).collect();
        due.sort_by_key(|(_, scheduled)| scheduled.post_at);
        for (_, Scheduled { mut message, .. }) in due {
            let open = self.channels.get(&message.channel).is_some_and(|channel| !channel.archived);
            if open && message.metadata.is_none() {
                message.ts = self.next_ts(&message.channel);
                self.store(message);
            }
        }
    }

    /// A message that was not deleted.
    pub(super) fn message(&self, channel: &str, ts: &str) -> Option<&Message> {
        let stored = self.channels.get(channel)?.messages.get(ts)?;
        stored.deleted.is_none().then_some(&stored.now)
    }

    /// As [`World::message`], for change; the version before is kept.
    pub(super) fn change_message(&mut self, channel: &str, ts: &str) -> Option<&mut Message> {
        let now = self.clock.now();
        let stored = self.channels.get_mut(channel)?.messages.get_mut(ts)?;
        stored.deleted.is_none().then(|| stored.change(now))
    }

    /// Replies under `ts` that are not deleted, oldest first.
    pub(super) fn replies<'a>(&'a self, channel: &str, parent: &'a str, at: u64) -> impl Iterator<Item = &'a Message> {
        let later = (std::ops::Bound::Excluded(parent.to_owned()), std::ops::Bound::Unbounded);
        let messages = self.channels.get(channel).map(|channel| channel.messages.range(later));
        let messages = messages.into_iter().flatten();
        messages.filter_map(move |(_, stored)| stored.at(at)).filter(move |m| m.thread_ts.as_deref() == Some(parent))
    }

    /// Deletes a message; a parent with replies leaves a placeholder (Slack docs: chat.delete).
    pub(super) fn delete_message(&mut self, channel: &str, ts: &str) {
        let now = self.clock.now();
        let has_replies = self.replies(channel, ts, now).next().is_some();
        let stored = self.channels.get_mut(channel).and_then(|channel| channel.messages.get_mut(ts));
        let Some(stored) = stored.filter(|stored| stored.deleted.is_none()) else { return };
        if !has_replies {
            stored.deleted = Some(now);
            return;
        }
        let message = stored.change(now);
        message.subtype = Some("tombstone".to_owned());
        "This message was deleted.".clone_into(&mut message.text);
        message.sent_text.clone_from(&message.text);
        message.blocks.clear();
        message.attachments.clear();
        message.reactions.clear();
        message.metadata = None;
        "USLACKBOT".clone_into(&mut message.user);
        (message.bot_id, message.app_id) = (None, None);
    }

    pub(super) fn violation(&mut self, method: &str, what: &str, body: Value) {
        if self.settings.strict && self.violations.len() < KEPT_VIOLATIONS {
            self.violations.push(Violation { method: method.to_owned(), what: what.to_owned(), body });
        }
    }
}
