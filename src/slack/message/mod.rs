//! How an access request looks in Slack. Pure and deterministic: the same notification gives the same bytes.
//!
//! Everything that users of Teleport control stands in code spans or blocks, escaped, in `verbatim` text: it cannot ping,
//! link, format or pretend to be ours. Slack's limits are kept with room to spare: see [`SECTION`] and [`TOTAL`].

mod blocks;
mod parts;
mod plain;
mod reply;
pub mod review;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

pub use crate::slack::message::plain::render_plain;
pub use crate::slack::message::reply::{render_outcome, render_reply};
pub use crate::slack::message::review::{ReviewButtons, ReviewForm, render_form};

/// Most UTF-16 units in one section's text; Slack takes 3,000 characters.
pub const SECTION: usize = 2_900;
/// Most UTF-16 units in all blocks of a message; Slack was seen to refuse from about 11,300 to 13,200.
pub const TOTAL: usize = 11_000;
/// Most UTF-16 units of a notification text: a phone shows less.
pub const FALLBACK: usize = 600;

/// Metadata event type of a request's message.
pub const REQUEST_EVENT: &str = "teleport_access_request";
/// Metadata entry that names the request's cluster.
pub const CLUSTER: &str = "cluster";

/// Metadata event type of a review's reply.
pub const REVIEW_EVENT: &str = "teleport_access_review";

/// An access request, as far as its message shows it. Every string may be hostile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notification {
    /// The request's id.
    pub request_id: String,
    /// Teleport cluster; not shown when empty.
    pub cluster: String,
    /// Who asks.
    pub user: String,
    /// The roles asked for, in any order.
    pub roles: Vec<RoleLogins>,
    /// The resources asked for, in any order.
    pub resources: Vec<String>,
    /// Why, in the requester's words.
    pub reason: String,
    /// Whom the requester would like to decide.
    pub suggested_reviewers: Vec<String>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Until when it can be decided.
    pub request_expires: Option<Timestamp>,
    /// Until when the access would last.
    pub access_expires: Option<Timestamp>,
    /// For how long access is asked, where the end is not known.
    pub max_duration: Option<Duration>,
    /// Long-term access, which is granted by an access list.
    pub long_term: bool,
    /// Where it stands.
    pub state: State,
    /// Who decided; empty when not known.
    pub resolved_by: String,
    /// Why, in their words.
    pub resolve_reason: String,
    /// When.
    pub resolved_at: Option<Timestamp>,
    /// The reviews so far, in the order in which they came.
    pub reviews: Vec<Review>,
    /// How many reviews it takes.
    pub thresholds: Option<Thresholds>,
    /// The request in Teleport's web UI: `https://<proxy>/web/requests/<id>`. Without it the message tells the commands.
    pub link: Option<String>,
    /// The buttons to approve and deny, while it is pending; none where reviews are made in Teleport only.
    pub review: Option<ReviewButtons>,
}

/// A role, and the logins that it gives.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoleLogins {
    /// The role's name.
    pub role: String,
    /// The logins; `None` when they are not known, which is not the same as none.
    pub logins: Option<Vec<String>>,
}

/// How many reviews decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Approvals that approve.
    pub approve: u32,
    /// Denials that deny.
    pub deny: u32,
}

/// One review.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Review {
    /// The reviewer's Teleport name.
    pub author: String,
    /// What they want it to become.
    pub proposed: State,
    /// Why, in their words.
    pub reason: String,
    /// When.
    pub at: Option<Timestamp>,
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum State {
    /// Undecided.
    #[default]
    Pending,
    /// Granted.
    Approved,
    /// Refused.
    Denied,
    /// Granted for the long term, through an access list.
    Promoted,
    /// Nobody decided in time.
    Expired,
    /// Taken back or removed.
    Deleted,
}

/// What Slack is given to show.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Content {
    /// What notifications and screen readers say; the message itself where there are no blocks.
    pub text: String,
    /// A JSON array of blocks; anything else is no blocks.
    pub blocks: Value,
    /// By which the message is found again.
    pub metadata: Option<Metadata>,
}

/// Message metadata: seen by apps, not by people.
#[derive(Clone, Debug, PartialEq)]
pub struct Metadata {
    /// Lower-case letters, digits and underscores; Slack drops metadata with a dot in it.
    pub event_type: String,
    /// Flat; opaque ids, no secrets.
    pub payload: BTreeMap<String, Value>,
}

impl Metadata {
    /// Of the message about a request for one recipient, as it is configured.
    pub fn of_request(request_id: &str, recipient: &str) -> Self {
        Self::new(REQUEST_EVENT, request_id, ("recipient", json!(super::text::shorten(recipient, 200))))
    }

    /// The same for a request of this cluster, where its name is known. Ids say nothing of a cluster, and one Slack app may
    /// serve several.
    #[must_use]
    pub fn in_cluster(mut self, cluster: &str) -> Self {
        if !cluster.is_empty() {
            self.payload.insert(CLUSTER.to_owned(), json!(super::text::shorten(cluster, 200)));
        }
        self
    }

    /// Of every message about a request, whichever recipient it is for.
    pub fn of_any_recipient(request_id: &str) -> Self {
        let request_id = json!(super::text::shorten(request_id, 200));
        Self { event_type: REQUEST_EVENT.to_owned(), payload: BTreeMap::from([("request_id".to_owned(), request_id)]) }
    }

    /// Of the reply that tells how a request ended, where its message cannot be updated.
    pub fn of_outcome(request_id: &str, resolution: &str) -> Self {
        Self::new(REVIEW_EVENT, request_id, ("outcome", json!(resolution)))
    }

    /// Of the reply that tells about the review of this index.
    pub fn of_review(request_id: &str, index: usize) -> Self {
        Self::new(REVIEW_EVENT, request_id, ("review", json!(index)))
    }

    fn new(event_type: &str, request_id: &str, (key, value): (&str, Value)) -> Self {
        let request_id = json!(super::text::shorten(request_id, 200));
        let payload = BTreeMap::from([("request_id".to_owned(), request_id), (key.to_owned(), value)]);
        Self { event_type: event_type.to_owned(), payload }
    }
}

impl State {
    /// As the status line shows it.
    pub fn emoji(self) -> &'static str {
        match self {
            Self::Pending => "⏳",
            Self::Approved => "✅",
            Self::Denied => "❌",
            Self::Promoted => "🔑",
            Self::Expired => "⌛",
            Self::Deleted => "🗑️",
        }
    }

    /// As a headline says it.
    pub fn phrase(self) -> &'static str {
        match self {
            Self::Pending => "waiting for review",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Promoted => "promoted to long-term access",
            Self::Expired => "expired without a decision",
            Self::Deleted => "deleted",
        }
    }

    /// Whether nothing more will happen to it.
    pub fn is_resolved(self) -> bool {
        self != Self::Pending
    }
}

/// The reaction that a resolved message gets, without colons.
pub fn reaction_for(state: State) -> Option<&'static str> {
    match state {
        State::Approved | State::Promoted => Some("white_check_mark"),
        State::Denied => Some("x"),
        State::Pending | State::Expired | State::Deleted => None,
    }
}

/// The message about a request, for one recipient (as it is configured; it goes into the metadata only).
pub fn render(notification: &Notification, recipient: &str) -> Content {
    Content {
        text: plain::headline(notification, FALLBACK),
        blocks: blocks::message(notification),
        metadata: Some(Metadata::of_request(&notification.request_id, recipient).in_cluster(&notification.cluster)),
    }
}
