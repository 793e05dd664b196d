//! Where two messages are allowed, and why: the whole list.

use std::collections::BTreeSet;

use crate::history::{Author, Happening, History};
use crate::ledger::Held;
use crate::plan::{Act, MINUTE, Ms, SECOND, Spot, Trouble};

/// The history is searched for the last time 30 s after a call was given up, which takes 10 s, and shows a message up to 2 s
/// late.
const LAST_LOOK: Ms = 38 * SECOND;
/// Another worker respects a claim for 20 s, and then looks for what was sent under it.
const LAST_LOOK_OF_OTHERS: Ms = 20 * SECOND;
/// Two workers do the same at the same time.
const AT_ONCE: Ms = 10 * SECOND;
/// After the death of a process, another one looks for what it may have sent until then.
const LAST_LOOK_OF_ANOTHER: Ms = 4 * SECOND;
/// A request with less time left is announced again at once.
const ABOUT_TO_EXPIRE: Ms = MINUTE + 15 * SECOND;

/// Why a second message or reply may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exception {
    /// An effect came later than anything is looked for.
    TooLate,
    /// The answer was lost, and the history could not be read.
    Unsearchable,
    /// The record had ended before its request, and the history could not be read.
    Forgotten,
    /// Two workers, or two configurations, know one place by two names, and the app may not look up that they are one: a direct message by its own
    /// id and by its user, or a channel by its id and by its name.
    Unrecognisable,
    /// The record had ended before its request: nothing keeps two workers from announcing it at the same time.
    Unprotected,
    /// The official plugin keeps no claims, and its messages have no metadata.
    Official,
}

/// Whether two of the same are allowed.
pub fn allows(history: &History, one: &Held, other: &Held) -> Option<Exception> {
    if [one, other].iter().any(|held| held.posted.by == Author::Official) {
        return Some(Exception::Official);
    }
    let is_respelt = history.plan.acts.iter().any(|timed| matches!(timed.act, Act::Configure { .. }));
    if (one.posted.by != other.posted.by || is_respelt) && has_two_names(history, one.posted.place) {
        return Some(Exception::Unrecognisable);
    }
    let is_too_late = |held: &Held| {
        let late = held.at.saturating_sub(held.posted.begun);
        let is_short =
            history.plan_expiry(held.posted.request).is_some_and(|end| end < held.posted.begun + ABOUT_TO_EXPIRE);
        let is_orphan = is_dead(history, held.posted.by, held.posted.begun + LAST_LOOK);
        let others = history.plan.workers.len() > 1 && late > LAST_LOOK_OF_OTHERS;
        late > LAST_LOOK || others || (late > LAST_LOOK_OF_ANOTHER && (is_orphan || is_short))
    };
    if is_too_late(one) || is_too_late(other) {
        return Some(Exception::TooLate);
    }
    let later = if one.at < other.at { other } else { one };
    let is_forgotten = history.record_ends(later.posted.request).is_some_and(|ends| ends <= later.posted.begun);
    if is_forgotten && one.posted.by != other.posted.by && one.at.abs_diff(other.at) < AT_ONCE {
        return Some(Exception::Unprotected);
    }
    if is_forgotten && !later.posted.is_searchable {
        return Some(Exception::Forgotten);
    }
    if is_unknowable(history, one) || is_unknowable(history, other) {
        return Some(Exception::Unsearchable);
    }
    None
}

/// Whether a place is written in two ways that only a post can tell to be one.
fn has_two_names(history: &History, place: usize) -> bool {
    let suggested = history.plan.acts.iter().filter_map(|timed| match &timed.act {
        Act::Request { suggested, .. } => Some(suggested),
        _ => None,
    });
    let spot = &history.plan.places[place];
    let written = history.plan.configurations.iter().chain(suggested).flatten().filter(|text| spot.is_named(text));
    let kinds: BTreeSet<char> = written.filter_map(|text| text.chars().next()).collect();
    let is_hidden = match spot {
        Spot::Channel { .. } => {
            !history.plan.scopes.list || history.has(|what| matches!(what, Trouble::Renamed { .. }))
        }
        Spot::Person { .. } => kinds.contains(&'D'),
    };
    kinds.len() > 1 && is_hidden
}

/// Whether nothing can tell the workers that a message is there.
pub fn is_unknowable(history: &History, held: &Held) -> bool {
    let Author::Worker(_) = held.posted.by else { return !is_listed(history, held) };
    let unheard = !held.posted.answered || is_dead(history, held.posted.by, held.at + 30 * SECOND);
    (unheard || could_not_be_stored(history, held.at)) && !held.posted.is_searchable
}

/// Whether Teleport was in trouble for long enough that others took over what had been sent.
fn could_not_be_stored(history: &History, at: Ms) -> bool {
    history.plan.faults.iter().any(|fault| {
        let is_of_store = matches!(
            fault.what,
            Trouble::Conflict
                | Trouble::WriteLost
                | Trouble::WriteUnanswered
                | Trouble::ReadLost
                | Trouble::TeleportDown
                | Trouble::TeleportSlow(_)
                | Trouble::WatchCut
                | Trouble::Stall
        );
        is_of_store && fault.from <= at + MINUTE && at <= fault.to
    })
}

/// Whether a record ever named a message.
fn is_listed(history: &History, held: &Held) -> bool {
    let name = held.posted.message.to_string();
    history.entries.iter().any(|entry| match &entry.what {
        Happening::Stored { request, after, .. } if *request == held.posted.request => {
            after.data.get("messages").is_some_and(|list| list.split(',').any(|item| item == name))
        }
        _ => false,
    })
}

/// Whether a process had ended by then.
fn is_dead(history: &History, author: Author, by: Ms) -> bool {
    let Author::Worker(process) = author else { return false };
    history.entries.iter().any(|entry| entry.at <= by && entry.what == Happening::Stopped(process))
}
