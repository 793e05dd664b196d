//! S10: a process never shows less of a request than it has seen of it, and replies come in the order of their reviews.

use std::collections::BTreeMap;

use slack_access_operator::delivery::effect::{Effect, ReplyKind};
use slack_access_operator::delivery::input::{Answer, Input};
use slack_access_operator::delivery::state::{Observation, Shown};

use super::Violation;
use crate::history::{Happening, History};

pub fn check(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut seen: BTreeMap<_, Shown> = BTreeMap::new();
    let mut replies: BTreeMap<_, usize> = BTreeMap::new();
    for entry in &history.entries {
        match &entry.what {
            Happening::Told(machine, input) => {
                let (Input::Observed { observation, .. } | Input::Answer(_, Answer::Request(Ok(observation)))) = input
                else {
                    continue;
                };
                // That a request is gone is believed only by id, and says nothing of how it ended.
                if matches!(observation, Observation::Gone(_)) {
                    continue;
                }
                let shown = Shown::of(observation);
                let known = seen.entry((machine.process, machine.request)).or_default();
                if known.stage() < shown.stage() {
                    *known = shown;
                }
            }
            Happening::Wants(machine, Effect::Update { recipient, shown, .. }) => {
                let known = seen.get(&(machine.process, machine.request)).copied().unwrap_or_default();
                if shown.stage() < known.stage() {
                    let what = format!("{machine} shows {recipient} {shown} although it has seen {known}");
                    violations.push(Violation { property: "S10", at: entry.at, request: Some(machine.request), what });
                }
            }
            Happening::Wants(machine, Effect::Reply { parent, what: ReplyKind::Review(index), .. }) => {
                let next = replies.entry((machine.process, machine.serial, parent.clone())).or_insert(*index);
                if index < next {
                    let what = format!("{machine} replies to {parent} with review {index} after a later one");
                    violations.push(Violation { property: "S10", at: entry.at, request: Some(machine.request), what });
                }
                *next = (*index).max(*next);
            }
            _ => {}
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use slack_access_operator::delivery::input::{CallId, Known, Source};

    use super::*;
    use crate::plan::End;
    use crate::properties::testing::{MACHINE, history, key, message};
    use crate::teleport::Teleport;

    fn story(shown: Shown) -> Vec<Violation> {
        let mut teleport = Teleport::default();
        teleport.create(0, 1_000_000, 1_000_000, &[], 0);
        teleport.decide(0, End::Denied, 1);
        let observation = Observation::Present(Box::new(teleport.request(0, 1).unwrap().clone()));
        let told = Input::Observed { observation, source: Source::Event, known: Known::Nothing };
        let update = Effect::Update { call: CallId(1), recipient: key(), message: message("1"), shown, plain: false };
        check(&history(vec![(1, Happening::Told(MACHINE, told)), (2, Happening::Wants(MACHINE, update))]))
    }

    #[test]
    fn it_fires_for_an_older_state() {
        assert_eq!(story(Shown::Pending { reviews: 3 }).len(), 1);
    }

    #[test]
    fn it_does_not_fire_for_the_newest_state() {
        use slack_access_operator::delivery::state::Resolution;
        assert!(story(Shown::Ended(Resolution::Denied)).is_empty());
    }
}
