//! What has to happen sometimes: worlds in which nothing ever goes wrong prove nothing.

use slack_access_operator::delivery::effect::{Effect, Note, Sought};
use slack_access_operator::delivery::input::{Answer, Failure, Input, Replied, Resolved, StoreError};

use crate::history::{Author, Happening};

/// A thing that has to happen in some world of a batch.
pub struct Mark {
    pub name: &'static str,
    pub is_hit: fn(&Happening) -> bool,
}

fn note(happening: &Happening, is_it: fn(&Note) -> bool) -> bool {
    matches!(happening, Happening::Wants(_, Effect::Report(note)) if is_it(note))
}

fn answer(happening: &Happening, is_it: fn(&Answer) -> bool) -> bool {
    matches!(happening, Happening::Told(_, Input::Answer(_, answer)) if is_it(answer))
}

/// All of them.
pub const MARKS: &[Mark] = &[
    Mark { name: "a write lost a race", is_hit: |it| note(it, |note| *note == Note::Conflict) },
    Mark {
        name: "a message was found after its answer was lost",
        is_hit: |it| note(it, |note| matches!(note, Note::Found(..))),
    },
    Mark {
        name: "a message was sent again after searches",
        is_hit: |it| note(it, |note| matches!(note, Note::SentAgain { searched: true, .. })),
    },
    Mark {
        name: "a message was sent again without a search",
        is_hit: |it| note(it, |note| matches!(note, Note::SentAgain { searched: false, .. })),
    },
    Mark { name: "a second message was found", is_hit: |it| note(it, |note| matches!(note, Note::DoubleFound(..))) },
    Mark { name: "a second message was removed", is_hit: |it| note(it, |note| matches!(note, Note::StrayRemoved(..))) },
    Mark { name: "a message was lost", is_hit: |it| note(it, |note| matches!(note, Note::Lost(..))) },
    Mark {
        name: "a message belonged to another app",
        is_hit: |it| note(it, |note| matches!(note, Note::AnotherApp(_))),
    },
    Mark {
        name: "a request was never announced",
        is_hit: |it| note(it, |note| matches!(note, Note::NeverAnnounced { .. })),
    },
    Mark { name: "an end was never shown", is_hit: |it| note(it, |note| matches!(note, Note::NeverUpdated(..))) },
    Mark { name: "an end was stored", is_hit: |it| note(it, |note| matches!(note, Note::Closed(_))) },
    Mark {
        name: "a call was put off",
        is_hit: |it| {
            answer(it, |answer| {
                matches!(answer, Answer::Posted(Err(Failure::Postponed(_))) | Answer::Done(Err(Failure::Postponed(_))))
            })
        },
    },
    Mark {
        name: "a reply strayed",
        is_hit: |it| answer(it, |answer| *answer == Answer::Replied(Ok(Replied::Strayed))),
    },
    Mark {
        name: "a place could not be known",
        is_hit: |it| answer(it, |answer| *answer == Answer::Resolved(Resolved::Unknowable)),
    },
    Mark {
        name: "a record was too large",
        is_hit: |it| answer(it, |answer| *answer == Answer::Stored(Err(StoreError::TooLarge))),
    },
    Mark {
        name: "a write found its request gone",
        is_hit: |it| answer(it, |answer| *answer == Answer::Stored(Err(StoreError::Gone))),
    },
    Mark {
        name: "the outcome of a write was unknown",
        is_hit: |it| answer(it, |answer| *answer == Answer::Stored(Err(StoreError::Unknown))),
    },
    Mark { name: "a request was looked up by id", is_hit: |it| matches!(it, Happening::Wants(_, Effect::LookUp(_))) },
    Mark {
        name: "a thread was searched",
        is_hit: |it| matches!(it, Happening::Wants(_, Effect::Search { what: Sought::Reply { .. }, .. })),
    },
    Mark { name: "an effect came late", is_hit: |it| matches!(it, Happening::Posted(posted) if !posted.answered) },
    Mark {
        name: "a claim was taken over",
        is_hit: |it| match it {
            Happening::Stored { by: Author::Worker(_), before, after, .. } => {
                after.record.deliveries.iter().any(|(key, now)| {
                    let was = before.record.deliveries.get(key).and_then(|delivery| delivery.claim.as_ref());
                    was.zip(now.claim.as_ref()).is_some_and(|(was, now)| was.by != now.by)
                })
            }
            _ => false,
        },
    },
];
