//! Messages and their past.

use serde::Serialize;
use serde_json::{Map, Value, json};

/// An emoji under a message and who put it there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reaction {
    /// Name without colons.
    pub name: String,
    /// User ids in the order of reacting.
    pub users: Vec<String>,
}

/// A message as it is stored: what Slack made of what was sent.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each mirrors one switch of Slack's own")]
pub struct Message {
    /// Conversation id.
    pub channel: String,
    /// Identity inside the conversation.
    pub ts: String,
    /// Parent's `ts` when it is a reply.
    pub thread_ts: Option<String>,
    /// A reply that is also shown in the channel.
    pub broadcast: bool,
    /// `bot_message`, `thread_broadcast`, `tombstone` and the like.
    pub subtype: Option<String>,
    /// Author.
    pub user: String,
    /// Author's bot id.
    pub bot_id: Option<String>,
    /// Author's app.
    pub app_id: Option<String>,
    /// Author's team.
    pub team: String,
    /// Text, or with blocks the text of the notification.
    pub text: String,
    /// The text as it was sent.
    pub sent_text: String,
    /// Blocks as stored, ids filled in. A text-only message gets one `rich_text` block here.
    pub blocks: Vec<Value>,
    /// The blocks were made by Slack from the text.
    pub generated_blocks: bool,
    /// Legacy attachments.
    pub attachments: Vec<Value>,
    /// `{event_type, event_payload}`.
    pub metadata: Option<Value>,
    /// Client's own id, where it was sent.
    pub client_msg_id: Option<String>,
    /// `ts` of the last update of the text.
    pub edited: Option<String>,
    /// Reactions in order of first use.
    pub reactions: Vec<Reaction>,
    /// How often it was updated.
    pub updates: usize,
    /// Preview of plain links wanted.
    pub unfurl_links: bool,
    /// Preview of media wanted.
    pub unfurl_media: bool,
    /// Text formatting on.
    pub mrkdwn: bool,
    /// `parse` argument in force; without it only URLs are linked.
    pub parse: Option<String>,
    /// `link_names` argument in force.
    pub link_names: bool,
    /// Customised name (`chat:write.customize`).
    pub username: Option<String>,
}

impl Message {
    /// A message without content, as a person writes it.
    pub(in crate::slack) fn blank(channel: &str, ts: &str, user: &str, team: &str) -> Self {
        Self {
            channel: channel.to_owned(),
            ts: ts.to_owned(),
            thread_ts: None,
            broadcast: false,
            subtype: None,
            user: user.to_owned(),
            bot_id: None,
            app_id: None,
            team: team.to_owned(),
            text: String::new(),
            sent_text: String::new(),
            blocks: Vec::new(),
            generated_blocks: false,
            attachments: Vec::new(),
            metadata: None,
            client_msg_id: None,
            edited: None,
            reactions: Vec::new(),
            updates: 0,
            unfurl_links: true,
            unfurl_media: true,
            mrkdwn: true,
            parse: Some("client".to_owned()),
            link_names: true,
            username: None,
        }
    }

    /// The API's message object (Slack docs: message event). `metadata`: the whole of it, or only its type.
    pub(in crate::slack) fn object(&self, whole_metadata: bool) -> Map<String, Value> {
        let mut map = Map::new();
        let mut put = |name: &str, value: Value| {
            map.insert(name.to_owned(), value);
        };
        put("type", json!("message"));
        put("user", json!(self.user));
        put("ts", json!(self.ts));
        put("team", json!(self.team));
        put("text", json!(self.text));
        let optional = [
            ("subtype", &self.subtype),
            ("bot_id", &self.bot_id),
            ("app_id", &self.app_id),
            ("thread_ts", &self.thread_ts),
            ("client_msg_id", &self.client_msg_id),
            ("username", &self.username),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                put(name, json!(value));
            }
        }
        if !self.blocks.is_empty() {
            put("blocks", json!(self.blocks));
        }
        if !self.attachments.is_empty() {
            put("attachments", json!(self.attachments));
        }
        if let Some(metadata) = &self.metadata {
            let shown = if whole_metadata { metadata.clone() } else { json!({"event_type": metadata["event_type"]}) };
            put("metadata", shown);
        }
        if let Some(ts) = &self.edited {
            put("edited", json!({"user": self.user, "ts": ts}));
        }
        if !self.reactions.is_empty() {
            put("reactions", self.reaction_objects());
        }
        map
    }

    /// The `reactions` array of the API.
    pub(in crate::slack) fn reaction_objects(&self) -> Value {
        let reactions = self.reactions.iter();
        reactions.map(|r| json!({"name": r.name, "users": r.users, "count": r.users.len()})).collect()
    }
}

/// How many earlier versions of a message are kept for stale reads and stale clicks.
const KEPT_VERSIONS: usize = 16;

/// A message with its past.
#[derive(Clone, Debug)]
pub(in crate::slack) struct Stored {
    pub(in crate::slack) now: Message,
    /// Microseconds since the epoch.
    pub(in crate::slack) created: u64,
    pub(in crate::slack) deleted: Option<u64>,
    /// Earlier versions and until when they held, oldest first.
    past: Vec<(u64, Message)>,
}

impl Stored {
    pub(in crate::slack) fn new(message: Message, created: u64) -> Self {
        Self { now: message, created, deleted: None, past: Vec::new() }
    }

    /// Keeps the present version as past and hands out the message for change.
    pub(in crate::slack) fn change(&mut self, at: u64) -> &mut Message {
        if self.past.len() == KEPT_VERSIONS {
            self.past.remove(0);
        }
        self.past.push((at, self.now.clone()));
        &mut self.now
    }

    /// What a reader of the time `at` saw.
    pub(in crate::slack) fn at(&self, at: u64) -> Option<&Message> {
        if self.created > at || self.deleted.is_some_and(|deleted| deleted <= at) {
            return None;
        }
        Some(self.past.iter().find(|(until, _)| *until > at).map_or(&self.now, |(_, message)| message))
    }

    /// The version before the last `back` changes.
    pub(in crate::slack) fn version(&self, back: usize) -> &Message {
        let index = self.past.len().checked_sub(back);
        index.and_then(|index| self.past.get(index)).map_or(&self.now, |(_, message)| message)
    }
}
