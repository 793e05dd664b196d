//! What a machine wants done. The worker carries effects out and feeds their answers back; it decides nothing.

use std::time::Instant;

use jiff::Timestamp;

use crate::access_request::PluginData;
use crate::config::recipient::RecipientKey;
use crate::delivery::input::CallId;
use crate::delivery::record::Claim;
use crate::delivery::state::{Place, Resolution, Shown};
use crate::slack::MessageRef;
use crate::slack::error::Error;

/// One thing to be done. All but [`Effect::Release`] and [`Effect::Report`] have exactly one answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Look the request up by id, past any cache.
    LookUp(CallId),
    /// Read the record.
    Read(CallId),
    /// Set these keys of the record if these values are still there; compare and swap.
    Write {
        /// See [`CallId`].
        call: CallId,
        /// Keys to set; an empty value deletes.
        set: PluginData,
        /// Values that must be there; an empty one means absent.
        expect: PluginData,
    },
    /// Find out where a recipient's messages arrive.
    Resolve {
        /// See [`CallId`].
        call: CallId,
        /// Who.
        recipient: RecipientKey,
    },
    /// Wait for a rate-limit slot of this place; answered with [`Acquired`](super::input::Answer::Acquired).
    Acquire {
        /// See [`CallId`]; names the slot from now on.
        call: CallId,
        /// Where a message will be posted.
        to: Target,
    },
    /// Leave the line, or give the slot back unused.
    Release(CallId),
    /// Post the request's message with this slot, which ends with it.
    Post {
        /// See [`CallId`].
        call: CallId,
        /// The slot.
        slot: CallId,
        /// Whom it is for.
        recipient: RecipientKey,
        /// Where.
        to: Target,
        /// What it shows.
        shown: Shown,
        /// Without blocks: Slack refused them.
        plain: bool,
        /// The stored claim that it is sent under.
        under: Claim,
        /// Not begun after this: another worker may take the claim over.
        not_after: Instant,
    },
    /// Reply in the thread of a message with this slot, which ends with it.
    Reply {
        /// See [`CallId`].
        call: CallId,
        /// The slot.
        slot: CallId,
        /// Whom it is for.
        recipient: RecipientKey,
        /// The thread's first message.
        parent: MessageRef,
        /// What it says.
        what: ReplyKind,
        /// The stored claim that it is sent under.
        under: Claim,
        /// Not begun after this.
        not_after: Instant,
    },
    /// Bring a message up to date.
    Update {
        /// See [`CallId`].
        call: CallId,
        /// Whom it is for.
        recipient: RecipientKey,
        /// Which.
        message: MessageRef,
        /// What it shall show.
        shown: Shown,
        /// Without blocks: Slack refused them.
        plain: bool,
    },
    /// Add a reaction; it is a success if it is there already.
    React {
        /// See [`CallId`].
        call: CallId,
        /// To which message.
        message: MessageRef,
        /// The emoji's name without colons.
        name: &'static str,
    },
    /// Look in Slack's history for what may have been sent.
    Search {
        /// See [`CallId`].
        call: CallId,
        /// Whom it was for.
        recipient: RecipientKey,
        /// What to look for, and where.
        what: Sought,
    },
    /// Delete a message of ours that is one too many; it is a success if it is gone already.
    Remove {
        /// See [`CallId`].
        call: CallId,
        /// Which.
        message: MessageRef,
    },
    /// Tell people: a log line, a counter, the status.
    Report(Note),
}

impl Effect {
    /// The id of its question; none where there is no answer.
    pub fn call(&self) -> Option<CallId> {
        match self {
            Self::LookUp(call)
            | Self::Read(call)
            | Self::Write { call, .. }
            | Self::Resolve { call, .. }
            | Self::Acquire { call, .. }
            | Self::Post { call, .. }
            | Self::Reply { call, .. }
            | Self::Update { call, .. }
            | Self::React { call, .. }
            | Self::Search { call, .. }
            | Self::Remove { call, .. } => Some(*call),
            Self::Release(_) | Self::Report(_) => None,
        }
    }

    /// The slot that it uses up.
    pub fn slot(&self) -> Option<CallId> {
        match self {
            Self::Post { slot, .. } | Self::Reply { slot, .. } => Some(*slot),
            _ => None,
        }
    }
}

/// Where to post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To a recipient, in this place as far as it is known.
    Recipient(RecipientKey, Place),
    /// In the conversation of a message.
    Thread(MessageRef),
}

/// What a reply says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReplyKind {
    /// The review of this index.
    Review(usize),
    /// How the request ended, where the message itself cannot be updated.
    Outcome(Resolution),
}

/// What to look for in Slack's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sought {
    /// Messages about the request in this place, whichever recipient they were meant for, sent at or after this time by
    /// the clock of a worker.
    Message {
        /// Where.
        place: Place,
        /// From when on.
        since: Timestamp,
    },
    /// A reply in the thread of this message.
    Reply {
        /// The thread's first message.
        parent: MessageRef,
        /// What it said.
        what: ReplyKind,
    },
}

/// What people are told. A closed list: each has its log line, its metric and its place in the status.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    /// The request's message was posted, for the first time at this recipient.
    Announced {
        /// To whom.
        recipient: RecipientKey,
        /// Where it is.
        message: MessageRef,
        /// Since the request was seen; only for requests that were seen as new.
        after: Option<std::time::Duration>,
    },
    /// A reply was posted.
    Replied(RecipientKey, ReplyKind),
    /// A message was brought up to date.
    Updated(RecipientKey, Shown),
    /// A reaction was added.
    Reacted(RecipientKey),
    /// A message whose answer was lost was found.
    Found(RecipientKey, MessageRef),
    /// The outcome of a post or reply is unknown: its history is searched before it is sent again.
    OutcomeUnknown(RecipientKey),
    /// Something is sent again whose first sending may have taken effect.
    SentAgain {
        /// To whom.
        recipient: RecipientKey,
        /// Whether the history could be read; if not, nothing can find a double.
        searched: bool,
    },
    /// A second message of the request was found beside the first, and will be removed.
    DoubleFound(RecipientKey, MessageRef),
    /// A second message was removed.
    StrayRemoved(RecipientKey, MessageRef),
    /// A call failed.
    Failed {
        /// For whom.
        recipient: RecipientKey,
        /// Why.
        error: Error,
        /// Why this recipient is told of the request.
        standing: Standing,
        /// Another failure than the one before.
        is_news: bool,
    },
    /// The message is gone or can never be changed: it is not followed any further.
    Lost(RecipientKey, Error),
    /// A reaction or a reply is left out: Slack will never take it.
    LeftOut(RecipientKey, Error),
    /// The message belongs to another Slack app: the token has been replaced by that of another app.
    AnotherApp(RecipientKey),
    /// The request ended before this recipient could be told of it.
    NeverAnnounced {
        /// Who was not told.
        recipient: RecipientKey,
        /// Why the recipient was to be told.
        standing: Standing,
        /// What stood in the way.
        reason: Untold,
    },
    /// The end of the request, or reviews of it, could not be shown to this recipient while its record lived.
    NeverUpdated(RecipientKey, Error),
    /// No recipient is configured for the request.
    Unrouted {
        /// The roles that it is for.
        roles: Vec<String>,
    },
    /// Every message shows the end of the request, and this is stored.
    Closed(Resolution),
    /// Another worker wrote the record first.
    Conflict,
    /// The record cannot be read or written, for this many times in a row.
    StoreFailing {
        /// Reading or writing.
        what: StoreCall,
        /// Why.
        error: super::input::StoreError,
        /// Failures in a row.
        failures: u32,
    },
    /// The record is stored again after [`Note::StoreFailing`].
    StoreRecovered,
}

/// Why a recipient is told of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// The configuration names it.
    Configured,
    /// The requester suggested this person as a reviewer. What a requester writes never decides about the worker's health.
    Suggested,
    /// It was told earlier, and the configuration does not name it any more.
    Former,
}

/// A call to Teleport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreCall {
    /// Looking the request up.
    LookUp,
    /// Reading the record.
    Read,
    /// Writing the record.
    Write,
}

/// Why a recipient was never told of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Untold {
    /// Slack refused, or did not answer.
    Slack(Box<Error>),
    /// The record could not be stored.
    Teleport,
    /// The request ended while it waited for its turn.
    Waiting,
}

/// What [`handle`](super::machine::Machine::handle) returns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// To be carried out, in any order.
    pub effects: Vec<Effect>,
    /// When to send the next [`Tick`](super::input::Input::Tick), and why; computed from the state at the end of each call.
    pub wake: Option<(Instant, Wake)>,
    /// Nothing is left to do, to store or to wait for: the machine may be dropped.
    pub is_over: bool,
}

/// Why a machine wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wake {
    /// A recipient is tried again.
    Retry,
    /// The grace time of another worker's claim ends.
    Claim,
    /// The record is read or written again.
    Store,
    /// A change is left to the worker that posted the message; then it is this one's.
    Owner,
}
