//! F4: wherever two messages are allowed, the workers have said so: that something was sent again, or that a second message
//! was found.

use slack_access_operator::delivery::effect::{Effect, Note};

use super::Violation;
use crate::exceptions::{self, Exception};
use crate::history::{Happening, History};
use crate::ledger::{self, Held};

pub fn check(history: &History) -> Vec<Violation> {
    let ledger = ledger::of(history);
    let messages: Vec<&Held> = ledger.values().filter(|held| held.posted.reply.is_none()).collect();
    let mut violations = Vec::new();
    for (index, second) in messages.iter().enumerate() {
        for first in &messages[..index] {
            let same = first.posted.request == second.posted.request
                && first.posted.place == second.posted.place
                && first.posted.app == second.posted.app;
            let (from, until) = (
                first.at.max(second.at),
                [first, second].iter().filter_map(|held| held.deleted).map(|(at, _)| at).min(),
            );
            let at_once = until.is_none_or(|until| until > from);
            let is_ours = match exceptions::allows(history, first, second) {
                Some(Exception::TooLate | Exception::Unsearchable) => true,
                // Without a record, what another process has sent is known to none.
                Some(Exception::Forgotten) => first.posted.by == second.posted.by,
                Some(Exception::Unrecognisable | Exception::Unprotected | Exception::Official) | None => false,
            };
            let request = second.posted.request;
            if same && at_once && is_ours && !is_told(history, request) {
                let what = format!("{} and {} were never told of", first.posted.message, second.posted.message);
                violations.push(Violation { property: "F4", at: from, request: Some(request), what });
            }
        }
    }
    violations
}

fn is_told(history: &History, request: usize) -> bool {
    history.entries.iter().any(|entry| match &entry.what {
        Happening::Wants(machine, Effect::Report(Note::SentAgain { .. } | Note::DoubleFound(..))) => {
            machine.request == request
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Posted;
    use crate::properties::testing::{MACHINE, history, key, post, posted};

    fn story(told: Option<Note>) -> Vec<Violation> {
        let late = Posted { answered: false, ..post("2", 1) };
        let mut happenings = vec![(1, posted("1", 1)), (60_000, Happening::Posted(late))];
        happenings.extend(told.map(|note| (70_000, Happening::Wants(MACHINE, Effect::Report(note)))));
        check(&history(happenings))
    }

    #[test]
    fn it_fires_for_a_double_that_is_not_told() {
        assert_eq!(story(None).len(), 1);
    }

    #[test]
    fn it_does_not_fire_for_one_that_is() {
        assert!(story(Some(Note::SentAgain { recipient: key(), searched: true })).is_empty());
    }
}
