//! F1: in the end Slack holds what it has to: one message for each request and place, in its last state, with the right
//! reaction and all reviews in its thread; and nothing else.

use std::collections::BTreeSet;

use slack_access_operator::delivery::effect::{Effect, Note, ReplyKind};
use slack_access_operator::delivery::state::{Resolution, Shown};

use super::Violation;
use crate::exceptions::{self, Exception};
use crate::expected::Story;
use crate::history::{Author, Happening, History};
use crate::ledger::{self, Held};
use crate::plan::{HOUR, Trouble};

pub fn check(history: &History) -> Vec<Violation> {
    let ledger = ledger::of(history);
    let mut violations = Vec::new();
    let at = history.plan.end();
    for (request, story) in history.stories() {
        for place in 0..history.plan.places.len() {
            let mut fails = |what: String| {
                violations.push(Violation {
                    property: "F1",
                    at,
                    request: Some(request),
                    what: format!("in place {place}: {what}"),
                });
            };
            let due = history.due(request, place, &story);
            let is_here = |held: &&Held| held.posted.request == request && held.posted.place == place;
            let all: Vec<&Held> = ledger::living(&ledger).filter(is_here).collect();
            let was_deleted = ledger.values().any(|held| {
                is_here(&held) && held.posted.reply.is_none() && matches!(held.deleted, Some((_, Author::Person)))
            });
            if all.is_empty() && due.must && !was_deleted {
                fails("it was never announced".to_owned());
            }
            if !all.is_empty() && !due.may {
                fails("it was announced where it is not meant for".to_owned());
            }
            if let [first, second, ..] = all[..]
                && !is_double_for_good(history, first, second)
            {
                fails(format!("{} and {} are both left", first.posted.message, second.posted.message));
            }
            for held in all.iter().take(1) {
                judge(history, request, &story, held, &ledger, &mut fails);
            }
        }
    }
    violations
}

/// Whether nothing can find and remove a second message.
fn is_double_for_good(history: &History, first: &Held, second: &Held) -> bool {
    let is_late = |held: &Held| held.at > held.posted.begun + 65_000;
    match exceptions::allows(history, first, second) {
        Some(
            Exception::Unsearchable
            | Exception::Forgotten
            | Exception::Unprotected
            | Exception::Unrecognisable
            | Exception::Official,
        ) => true,
        Some(Exception::TooLate) => {
            is_late(first) || is_late(second) || !first.posted.is_searchable || !second.posted.is_searchable
        }
        None => first.posted.app != second.posted.app,
    }
}

fn judge(
    history: &History,
    request: usize,
    story: &Story,
    held: &Held,
    ledger: &std::collections::BTreeMap<slack_access_operator::slack::MessageRef, Held>,
    fails: &mut impl FnMut(String),
) {
    let Some((ended, end)) = story.ended else { return };
    let is_of_another_app = history.has(|what| *what == Trouble::AnotherApp) && held.posted.app == 1;
    // A record that is gone can bring no message to its end.
    let is_recorded =
        history.record_ends(request).is_some_and(|ends| ends > ended + HOUR / 2 && ends > history.plan.heal + HOUR / 2);
    if is_of_another_app || !is_recorded || exceptions::is_unknowable(history, held) {
        return;
    }
    // The official plugin stores the end before it shows it: where it ends in between, the record says what is not so.
    let was_of_official =
        held.posted.by == Author::Official && history.plan.official_until.is_some_and(|until| ended < until);
    if was_of_official {
        return;
    }
    let could_see_end = end == Resolution::Expired || history.could_be_seen(story, ended);
    let is_right =
        held.shown == Shown::Ended(end) || (!could_see_end && held.shown == Shown::Ended(Resolution::Expired));
    if !is_right {
        fails(format!("{} shows {:?} and not {end:?}", held.posted.message, held.shown));
        return;
    }
    let left_out = history.entries.iter().any(|entry| {
        matches!(&entry.what, Happening::Wants(machine, Effect::Report(Note::LeftOut(..) | Note::Lost(..))) if machine.request == request)
    });
    if !could_see_end || left_out {
        return;
    }
    let wanted: BTreeSet<String> = end.reaction().map(str::to_owned).into_iter().collect();
    if held.reactions != wanted {
        fails(format!("{} has the reactions {:?}", held.posted.message, held.reactions));
    }
    let last_review = story.reviews.last().copied().unwrap_or(0);
    if held.posted.by == Author::Official || !history.could_be_seen(story, last_review) {
        return;
    }
    let answered: BTreeSet<usize> = ledger
        .values()
        .filter(|reply| reply.posted.reply.as_ref().is_some_and(|(parent, _)| *parent == held.posted.message))
        .filter_map(|reply| match reply.posted.reply {
            Some((_, ReplyKind::Review(index))) => Some(index),
            _ => None,
        })
        .collect();
    if answered != (0..story.reviews.len()).collect() {
        fails(format!("{} has replies for {answered:?} of {} reviews", held.posted.message, story.reviews.len()));
    }
}

#[cfg(test)]
mod tests {
    use slack_access_operator::slack::MessageRef;

    use super::*;
    use crate::plan::{End, HOUR};
    use crate::properties::testing::{history, message, posted};
    use crate::teleport::Teleport;

    fn story(message: MessageRef, shown: Shown, name: &str) -> Vec<Violation> {
        let mut teleport = Teleport::default();
        teleport.create(0, 8 * HOUR, 8 * HOUR, &[], 0);
        let made = teleport.request(0, 0).cloned().map(Box::new);
        teleport.decide(0, End::Denied, HOUR);
        let decided = teleport.request(0, HOUR).cloned().map(Box::new);
        let updated = Happening::Updated { message: message.clone(), shown, begun: HOUR };
        check(&history(vec![
            (0, Happening::Changed { request: 0, now: made }),
            (1, posted("1", 1)),
            (HOUR, Happening::Changed { request: 0, now: decided }),
            (HOUR + 1, updated),
            (HOUR + 2, Happening::Reacted { message, name: name.to_owned() }),
        ]))
    }

    #[test]
    fn it_fires_for_another_state_or_reaction() {
        assert_eq!(story(message("1"), Shown::Ended(Resolution::Approved), "x").len(), 1);
        assert_eq!(story(message("1"), Shown::Ended(Resolution::Denied), "white_check_mark").len(), 1);
        assert_eq!(story(message("2"), Shown::Ended(Resolution::Denied), "x").len(), 1);
    }

    #[test]
    fn it_does_not_fire_for_the_right_one() {
        assert_eq!(story(message("1"), Shown::Ended(Resolution::Denied), "x"), []);
    }
}
