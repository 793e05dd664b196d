//! One line of work of one recipient: what is under way in it, and when it goes on.

use std::time::{Duration, Instant};

use crate::delivery::effect::ReplyKind;
use crate::delivery::input::CallId;
use crate::delivery::record::Claim;
use crate::delivery::retry::Retry;
use crate::slack::MessageRef;

/// A call to Slack may be carried out this long after its caller gave it up, as far as this program reckons with it.
pub(super) const LATEST_EFFECT: Duration = Duration::from_secs(65);

/// A recipient's message or its replies.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// What is under way.
    pub doing: Doing,
    /// Failures, and when to try again.
    pub retry: Retry,
    /// The search for something whose outcome is unknown.
    pub search: Option<SearchPlan>,
    /// Messages of ours that are one too many.
    pub strays: Vec<MessageRef>,
    /// An older state may still be carried out late: the message is brought up to date once more at this time.
    pub assure_at: Option<Instant>,
    /// The history was searched before the first post: an earlier process may have announced the request.
    pub searched_first: bool,
    /// The message was found, not posted, by this worker: its thread may have replies that no record names. They are looked
    /// for one by one before they are sent.
    pub must_search: bool,
    /// Since when the final look for a second message is planned.
    pub sweep_seen: Option<Instant>,
    /// Failures of the final look for a second message.
    pub sweep_failures: u32,
}

/// What is under way in a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Doing {
    /// Nothing.
    #[default]
    Nothing,
    /// The recipient's place is being looked up.
    Resolving,
    /// It waits for its turn to post; the slot's name.
    Queued(CallId),
    /// It is its turn; a claim is written next.
    Granted(CallId),
    /// Its claim is being written.
    Claiming {
        /// The slot.
        slot: CallId,
        /// The claim.
        claim: Claim,
        /// When the write began.
        began: Instant,
    },
    /// A call to Slack.
    Calling,
}

/// A search for something that may have been sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SearchPlan {
    /// The claim that it was sent under.
    pub claim: Claim,
    /// What it was, if it was a reply.
    pub reply: Option<ReplyKind>,
    /// Since when its outcome is unknown.
    pub since: Instant,
    /// When to look, counted from then.
    pub looks: &'static [Duration],
    /// Looks that found nothing.
    pub done: usize,
    /// Looks in a row that told nothing, while Slack took other calls.
    pub failures: u32,
}

impl SearchPlan {
    /// After a call of this process: Slack may carry it out later.
    pub(super) const OWN: &'static [Duration] =
        &[Duration::from_secs(4), Duration::from_secs(15), Duration::from_secs(30)];
    /// After a call whose connection broke: it may be under way.
    pub(super) const BROKEN_OFF: &'static [Duration] = &[Duration::from_secs(4), Duration::from_secs(15)];
    /// After a call that was answered, in a way that leaves open whether it was carried out: it is not carried out later.
    pub(super) const ANSWERED: &'static [Duration] = &[Duration::from_secs(4)];
    /// After a process at the same place that is dead: its call may have been under way just now.
    pub(super) const PREDECESSOR: &'static [Duration] = &[Duration::from_secs(2), Duration::from_secs(6)];
    /// After another worker's grace time.
    pub(super) const ABANDONED: &'static [Duration] =
        &[Duration::ZERO, Duration::from_secs(4), Duration::from_secs(15)];

    /// When to look next; none when there were looks enough.
    pub(super) fn next(&self) -> Option<Instant> {
        self.looks.get(self.done).map(|after| self.since + *after)
    }
}

impl Lane {
    /// Whether nothing is under way.
    pub(super) fn is_free(&self) -> bool {
        self.doing == Doing::Nothing
    }

    /// The slot that it holds or waits for, before its claim is being written.
    pub(super) fn slot(&self) -> Option<CallId> {
        match self.doing {
            Doing::Queued(slot) | Doing::Granted(slot) => Some(slot),
            Doing::Nothing | Doing::Resolving | Doing::Claiming { .. } | Doing::Calling => None,
        }
    }
}
