//! The ledger: one counter for each clause of the promise that no request is lost, nothing is told twice, and what Slack
//! shows is true. `docs/guarantees.md` joins each clause with its tests and its counters.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// A message that shows a change later than this is late.
const LATE: Duration = Duration::from_mins(1);

/// Why a recipient was never told of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untold {
    /// Slack refused, or did not answer.
    Slack,
    /// The record could not be stored in Teleport.
    Teleport,
    /// The request ended while it waited for its turn.
    Waiting,
}

/// Whether the history could be read before something was sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Searched {
    /// It does not show what was sent: Slack had not carried it out.
    Yes,
    /// It could not be read: nothing can find a double.
    No,
}

/// What a sweep of the bot's own messages did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swept {
    /// A message that no record led to was brought to its request's end.
    Ended,
    /// A second message of a request was removed.
    Removed,
}

impl Untold {
    const fn label(self) -> &'static str {
        match self {
            Self::Slack => "slack",
            Self::Teleport => "teleport",
            Self::Waiting => "waiting",
        }
    }
}

impl Searched {
    const fn label(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
        }
    }
}

impl Swept {
    const fn label(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Removed => "removed",
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct UntoldLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SearchedLabel {
    searched: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SweptLabel {
    what: &'static str,
}

/// The counters.
#[derive(Debug, Default)]
pub struct Ledger {
    never_announced: Family<UntoldLabel, Counter>,
    outcomes_unknown: Counter,
    found: Counter,
    sent_again: Family<SearchedLabel, Counter>,
    doubles_found: Counter,
    strays_removed: Counter,
    never_updated: Counter,
    shown_late: Counter,
    lost: Counter,
    swept: Family<SweptLabel, Counter>,
}

impl Ledger {
    /// The counters, all at zero and all there: an alert on the increase would miss a first value out of nothing.
    pub(super) fn new() -> Self {
        let ledger = Self::default();
        for reason in [Untold::Slack, Untold::Teleport, Untold::Waiting] {
            drop(ledger.never_announced.get_or_create(&UntoldLabel { reason: reason.label() }));
        }
        for searched in [Searched::Yes, Searched::No] {
            drop(ledger.sent_again.get_or_create(&SearchedLabel { searched: searched.label() }));
        }
        for what in [Swept::Ended, Swept::Removed] {
            drop(ledger.swept.get_or_create(&SweptLabel { what: what.label() }));
        }
        ledger
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "requests_never_announced",
            "Requests that ended before a configured recipient was told of them, by what stood in the way",
            self.never_announced.clone(),
        );
        registry.register(
            "outcomes_unknown",
            "Posts and replies whose answer was lost; their history is searched before they are sent again",
            self.outcomes_unknown.clone(),
        );
        registry.register(
            "outcomes_found",
            "Messages whose answer was lost and that the history showed",
            self.found.clone(),
        );
        registry.register(
            "sent_again",
            "Posts and replies that were sent again after an unknown outcome, by whether the history could be searched",
            self.sent_again.clone(),
        );
        registry.register(
            "doubles_found",
            "Second messages of a request in one conversation that were found",
            self.doubles_found.clone(),
        );
        registry.register(
            "strays_removed",
            "Second messages of a request that were removed",
            self.strays_removed.clone(),
        );
        registry.register(
            "messages_never_updated",
            "Messages that could not be brought to their request's end while its record lived",
            self.never_updated.clone(),
        );
        registry.register(
            "messages_shown_late",
            "Messages that showed a change of their request more than 60 seconds after it was seen",
            self.shown_late.clone(),
        );
        registry.register(
            "messages_lost",
            "Messages that were deleted in Slack or can never be changed again, and are not followed any further",
            self.lost.clone(),
        );
        registry.register(
            "messages_swept",
            "Messages of the bot without a record that were brought to their end, or removed because they were doubled",
            self.swept.clone(),
        );
    }

    /// A request ended before a configured recipient was told of it.
    pub fn never_announced(&self, reason: Untold) {
        self.never_announced.get_or_create(&UntoldLabel { reason: reason.label() }).inc();
    }

    /// The answer to a post or reply was lost.
    pub fn outcome_unknown(&self) {
        self.outcomes_unknown.inc();
    }

    /// The history showed what was sent.
    pub fn found(&self) {
        self.found.inc();
    }

    /// Something is sent again whose first sending may have taken effect.
    pub fn sent_again(&self, searched: Searched) {
        self.sent_again.get_or_create(&SearchedLabel { searched: searched.label() }).inc();
    }

    /// A second message of a request was found.
    pub fn double_found(&self) {
        self.doubles_found.inc();
    }

    /// A second message was removed.
    pub fn stray_removed(&self) {
        self.strays_removed.inc();
    }

    /// A message could not be brought to its request's end.
    pub fn never_updated(&self) {
        self.never_updated.inc();
    }

    /// A message shows a change so long after it was seen.
    pub fn shown(&self, after: Duration) {
        if after > LATE {
            self.shown_late.inc();
        }
    }

    /// A message is not followed any further.
    pub fn lost(&self) {
        self.lost.inc();
    }

    /// A sweep changed a message.
    pub fn swept(&self, what: Swept) {
        self.swept.get_or_create(&SweptLabel { what: what.label() }).inc();
    }
}
