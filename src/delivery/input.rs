//! What a machine is told.

use std::time::Instant;

use crate::access_request::PluginData;
use crate::config::recipient::RecipientKey;
use crate::delivery::state::{Observation, Place};
use crate::slack::MessageRef;
use crate::slack::error::Error;

/// Ties an answer to its question. An answer is judged by its question, never by what is true when it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Where an observation was read. Only a look-up by id, which is an answer, may set a request back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An event of the watch.
    Event,
    /// A listing, which may be older than what was seen before.
    Listing,
}

/// What comes with an observation of the stored record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing: it has to be read.
    Nothing,
    /// The request is so new that nothing should be stored yet.
    New,
    /// It was read together with the request; the question was asked at this time.
    Stored(PluginData, Instant),
}

/// One recipient that the configuration selects for the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Who.
    pub key: RecipientKey,
    /// The requester suggested this person as a reviewer; the configuration does not name the person. What a requester writes
    /// never decides about the worker's health.
    pub suggested: bool,
}

/// Everything that a machine is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The request was seen.
    Observed {
        /// How it stands.
        observation: Observation,
        /// Where that was read.
        source: Source,
        /// What came with it.
        known: Known,
    },
    /// The recipients that the configuration selects, in order; sent first, after each observation that may change them,
    /// and when the configuration changes.
    Routed(Vec<Wanted>),
    /// Token, scopes or configuration have changed: what a person had to mend may be mended.
    CircumstancesChanged,
    /// The recipient could be reached at the time of this input.
    Recovered(RecipientKey),
    /// Whether there is a connection to Teleport. A machine begins connected.
    Connected(bool),
    /// Finish what is in flight; begin nothing new.
    Drain,
    /// The answer to the effect with this id.
    Answer(CallId, Answer),
    /// Time has passed. Harmless at any moment.
    Tick,
}

/// How an effect ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Of [`LookUp`](super::effect::Effect::LookUp).
    Request(Result<Observation, StoreError>),
    /// Of [`Read`](super::effect::Effect::Read).
    Record(Result<PluginData, StoreError>),
    /// Of [`Write`](super::effect::Effect::Write).
    Stored(Result<(), StoreError>),
    /// Of [`Resolve`](super::effect::Effect::Resolve).
    Resolved(Resolved),
    /// Of [`Acquire`](super::effect::Effect::Acquire): it is this recipient's turn to post. The slot is held until its post
    /// ends or it is released.
    Acquired,
    /// Of [`Post`](super::effect::Effect::Post).
    Posted(Result<MessageRef, Failure>),
    /// Of [`Reply`](super::effect::Effect::Reply).
    Replied(Result<Replied, Failure>),
    /// Of [`Update`](super::effect::Effect::Update), [`React`](super::effect::Effect::React) and
    /// [`Remove`](super::effect::Effect::Remove).
    Done(Result<(), Failure>),
    /// Of [`Search`](super::effect::Effect::Search): every message found, oldest first.
    Found(Result<Vec<MessageRef>, NotSearched>),
}

/// Where a recipient's messages arrive.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolved {
    /// In this place.
    Place(Place),
    /// It cannot be told before something was posted: the scope for it is missing.
    Unknowable,
    /// There is no such place, or Slack did not answer.
    Failed(Error),
}

/// What became of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replied {
    /// It is in the thread.
    InThread,
    /// The thread's first message is gone. Slack put the reply into the channel, and it was deleted there.
    Strayed,
}

/// Why a call to Slack did not take effect, or may not have.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// It was not begun: Slack would refuse it before this time.
    Postponed(Instant),
    /// It was not begun: its own deadline had passed.
    TooLate,
    /// Slack refused it, or its outcome is unknown; the error's class tells which.
    Refused(Error),
}

/// Why a search told nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct NotSearched {
    /// What went wrong.
    pub failure: Failure,
    /// Slack takes other calls: it is the search alone that fails.
    pub alone: bool,
}

/// Why a call to Teleport failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The record has other values than expected.
    Conflict,
    /// The request and its record are gone.
    Gone,
    /// The record is larger than Teleport takes.
    TooLarge,
    /// The identity may not do it.
    Refused,
    /// No answer, or none that says so: a write may have been carried out.
    Unknown,
}
