//! The switches of the simulation, each with the default that finds most mistakes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// Rate limits (Slack docs: rate limits). Windows of one minute per method, workspace and app; posts are also limited per channel.
#[derive(Clone, Debug, Serialize)]
pub struct Limits {
    /// Nothing is limited when off: for benchmarks.
    pub enabled: bool,
    /// Calls a minute of one method instead of what its tier allows.
    pub per_method: BTreeMap<String, u32>,
    /// Messages that may reach one channel at once before the pace of one a second holds. Slack tolerates short bursts of unpublished
    /// size; 1 is the strictest reading.
    pub channel_burst: u32,
    /// `chat.postMessage` calls a minute in the whole workspace ("several hundred").
    pub workspace_per_minute: u32,
    /// A call that arrives this soon after the 429 was in flight already and does not count as a violation.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            enabled: true,
            per_method: BTreeMap::new(),
            channel_burst: 1,
            workspace_per_minute: 300,
            grace: Duration::from_millis(300),
        }
    }
}

impl Limits {
    /// No limits.
    pub fn off() -> Self {
        Self { enabled: false, ..Self::default() }
    }

    /// A burst of five messages a channel, as real Slack often tolerates, and as many connections a minute as an app may hold: sources
    /// differ on how often they may be opened (1 or 50 a minute), and an app that is started again should not have to wait.
    pub fn lenient() -> Self {
        let per_method = BTreeMap::from([("apps.connections.open".to_owned(), 10)]);
        Self { channel_burst: 5, per_method, ..Self::default() }
    }
}

/// What becomes of a post whose text is longer than 4,000 characters (reports differ; Slack docs: truncating content).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LongText {
    /// It stays one message; strict mode reports it.
    Keep,
    /// It becomes several messages; the answer names the first.
    Split,
}

/// What becomes of a reply whose parent is gone (reports differ).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OrphanReply {
    /// Posted into the channel; the answer's `message.thread_ts` is missing.
    TopLevel,
    /// `thread_not_found`.
    ThreadNotFound,
    /// `cannot_reply_to_message`.
    CannotReply,
}

/// Timing and size of Socket Mode (Slack docs: Socket Mode).
#[derive(Clone, Debug, Serialize)]
pub struct SocketSettings {
    /// Time between the server's pings.
    pub ping_every: Duration,
    /// How long a pong may take before the connection is dropped.
    pub pong_within: Duration,
    /// How long an acknowledgement may take.
    pub ack_within: Duration,
    /// Time between the warning and the end of a connection.
    pub warning_before_end: Duration,
    /// Seconds that `hello` announces.
    pub approximate_connection_time: u64,
    /// Connections one app may hold.
    pub max_connections: usize,
    /// A handshake answers HTTP 409, as it was seen with many at once.
    pub refuse_handshake: bool,
    /// A client that vanished without a close frame stays registered and swallows envelopes.
    pub keep_ghosts: bool,
    /// `hello` is sent; without it a connection is never up.
    pub hello: bool,
}

impl Default for SocketSettings {
    fn default() -> Self {
        Self {
            ping_every: Duration::from_secs(10),
            pong_within: Duration::from_secs(10),
            ack_within: Duration::from_secs(3),
            warning_before_end: Duration::from_secs(10),
            approximate_connection_time: 18_060,
            max_connections: 10,
            refuse_handshake: false,
            keep_ghosts: false,
            hello: true,
        }
    }
}

/// Everything that can be switched.
#[derive(Clone, Debug, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent switch")]
pub struct Settings {
    /// Violations are recorded.
    pub strict: bool,
    /// Rate limits.
    pub limits: Limits,
    /// Calls that the journal keeps; the oldest go first. 0 keeps none and is cheapest.
    pub journal_capacity: usize,
    /// See [`LongText`].
    pub long_text: LongText,
    /// See [`OrphanReply`].
    pub orphan_reply: OrphanReply,
    /// A post with a known `client_msg_id` answers with the first message and `is_duplicate`. Unconfirmed for bots, so off.
    pub honour_client_msg_id: bool,
    /// How long a new message is missing from history.
    pub read_lag: Duration,
    /// Pages are shorter than asked for, and the first is empty.
    pub short_pages: bool,
    /// Error of a post to a deactivated user or another bot.
    pub undeliverable_dm: String,
    /// An `event_type` with a dot loses the metadata silently, as was reported.
    pub drop_dotted_metadata: bool,
    /// Bytes of metadata; Slack publishes no number.
    pub metadata_limit: usize,
    /// Distinct emoji one person may put on a message.
    pub reactions_per_user: usize,
    /// Distinct emoji on a message.
    pub emoji_per_message: usize,
    /// `reactions.add` needs membership.
    pub reactions_need_membership: bool,
    /// The workspace pays, so that it has user groups.
    pub paid_plan: bool,
    /// How long a message may be updated; afterwards `edit_window_closed`. Workspaces choose it; most allow it for good.
    pub edit_window: Option<Duration>,
    /// Posts until `message_limit_exceeded`.
    pub message_quota: Option<u64>,
    /// Keep-alive connections are closed after this many requests.
    pub requests_per_connection: Option<u32>,
    /// Keep-alive connections are closed after this much idle time.
    pub idle_connection: Option<Duration>,
    /// Socket Mode.
    pub socket: SocketSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            strict: true,
            limits: Limits::default(),
            journal_capacity: 10_000,
            long_text: LongText::Keep,
            orphan_reply: OrphanReply::TopLevel,
            honour_client_msg_id: false,
            read_lag: Duration::ZERO,
            short_pages: false,
            undeliverable_dm: "channel_not_found".to_owned(),
            drop_dotted_metadata: true,
            metadata_limit: 8_192,
            reactions_per_user: 23,
            emoji_per_message: 50,
            reactions_need_membership: true,
            paid_plan: true,
            edit_window: None,
            message_quota: None,
            requests_per_connection: None,
            idle_connection: None,
            socket: SocketSettings::default(),
        }
    }
}
