//! Conversations.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use super::message::Stored;

/// What sort of conversation it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum ChannelKind {
    /// Everybody can find and join it.
    Public,
    /// Only members know of it.
    Private,
    /// The direct messages between one user and one bot user.
    Im {
        /// The person.
        user: String,
        /// The bot user at the other end.
        bot: String,
    },
    /// A group of up to nine people.
    Mpim,
}

/// Who may post (Slack docs: `chat.postMessage` errors `restricted_action_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Posting {
    /// Every member.
    Anyone,
    /// Admins only: `restricted_action_read_only_channel`.
    ReadOnly,
    /// New messages only as thread replies: `restricted_action_thread_only_channel`.
    ThreadsOnly,
    /// No thread replies: `restricted_action_non_threadable_channel`.
    NoThreads,
}

/// A conversation and what was said in it.
#[derive(Clone, Debug, Serialize)]
pub struct Channel {
    /// `C…`, `G…` or `D…`.
    pub id: String,
    /// Team that owns it.
    pub team: String,
    /// Name without `#`; empty for direct messages.
    pub name: String,
    /// Kind.
    #[serde(flatten)]
    pub kind: ChannelKind,
    /// Archived: can be read, not written.
    pub archived: bool,
    /// Who may post.
    pub posting: Posting,
    /// Shared with another organisation (Slack Connect).
    pub ext_shared: bool,
    /// User ids, bots included.
    pub members: BTreeSet<String>,
    #[serde(skip)]
    pub(in crate::slack) messages: BTreeMap<String, Stored>,
    #[serde(skip)]
    pub(in crate::slack) last_ts: u64,
}

impl Channel {
    /// A public channel without members.
    pub fn public(id: &str, name: &str) -> Self {
        Self {
            id: id.to_owned(),
            team: String::new(),
            name: name.to_owned(),
            kind: ChannelKind::Public,
            archived: false,
            posting: Posting::Anyone,
            ext_shared: false,
            members: BTreeSet::new(),
            messages: BTreeMap::new(),
            last_ts: 0,
        }
    }

    /// A private channel without members.
    pub fn private(id: &str, name: &str) -> Self {
        Self { kind: ChannelKind::Private, ..Self::public(id, name) }
    }

    /// The same with these members (user ids).
    #[must_use]
    pub fn members<'a>(mut self, users: impl IntoIterator<Item = &'a str>) -> Self {
        self.members.extend(users.into_iter().map(str::to_owned));
        self
    }

    /// The same, archived.
    #[must_use]
    pub fn archived(mut self) -> Self {
        self.archived = true;
        self
    }

    /// The same with this rule of posting.
    #[must_use]
    pub fn posting(mut self, posting: Posting) -> Self {
        self.posting = posting;
        self
    }

    /// The same, but of the team `team`.
    #[must_use]
    pub fn of_team(mut self, team: &str) -> Self {
        team.clone_into(&mut self.team);
        self
    }

    pub(in crate::slack) fn is_im(&self) -> bool {
        matches!(self.kind, ChannelKind::Im { .. })
    }

    /// The API's channel object as `viewer` sees it (Slack docs: conversation object).
    pub(in crate::slack) fn object(&self, viewer: &str) -> Value {
        let private = self.kind != ChannelKind::Public;
        let mut channel = json!({
            "id": self.id, "created": 1_700_000_000, "is_archived": self.archived, "is_im": self.is_im(),
            "is_org_shared": false, "context_team_id": self.team, "updated": 1_700_000_000_000_i64,
        });
        let Some(map) = channel.as_object_mut() else { return channel };
        if let ChannelKind::Im { user, .. } = &self.kind {
            map.insert("user".to_owned(), json!(user));
            map.insert("priority".to_owned(), json!(0));
            return channel;
        }
        for (name, value) in [
            ("name", json!(self.name)),
            ("name_normalized", json!(self.name)),
            ("is_channel", json!(matches!(self.kind, ChannelKind::Public))),
            ("is_group", json!(matches!(self.kind, ChannelKind::Private))),
            ("is_mpim", json!(matches!(self.kind, ChannelKind::Mpim))),
            ("is_private", json!(private)),
            ("is_general", json!(self.name == "general")),
            ("is_shared", json!(self.ext_shared)),
            ("is_ext_shared", json!(self.ext_shared)),
            ("is_pending_ext_shared", json!(false)),
            ("is_member", json!(self.members.contains(viewer))),
            ("creator", json!(self.members.first())),
            ("shared_team_ids", json!([self.team])),
            ("previous_names", json!([])),
            ("topic", json!({"value": "", "creator": "", "last_set": 0})),
            ("purpose", json!({"value": "", "creator": "", "last_set": 0})),
        ] {
            map.insert(name.to_owned(), value);
        }
        channel
    }
}
