//! S5: nothing is announced by a process that has seen the request end.

use std::collections::BTreeSet;

use slack_access_operator::delivery::effect::Effect;
use slack_access_operator::delivery::input::{Answer, Input, Source};
use slack_access_operator::delivery::state::Observation;

use super::Violation;
use crate::history::{Happening, History};

pub fn check(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut ended = BTreeSet::new();
    // Outcomes that have to be told with a message of their own.
    let mut anew = BTreeSet::new();
    for entry in &history.entries {
        match &entry.what {
            Happening::Told(machine, input) => {
                let observation = match input {
                    // That a listing does not show a request proves nothing.
                    Input::Observed { observation: Observation::Gone(_), source: Source::Listing, .. } => continue,
                    Input::Observed { observation, .. } | Input::Answer(_, Answer::Request(Ok(observation))) => {
                        observation
                    }
                    _ => continue,
                };
                if observation.resolution().is_some() {
                    ended.insert((machine.process, machine.request));
                }
            }
            Happening::Stored { request, after, .. } if after.record.deliveries.values().any(|one| one.anew) => {
                anew.insert(*request);
            }
            Happening::Wants(machine, Effect::Post { recipient, .. })
                if ended.contains(&(machine.process, machine.request)) && !anew.contains(&machine.request) =>
            {
                let what = format!("{machine} announces to {recipient} although it has seen the end");
                violations.push(Violation { property: "S5", at: entry.at, request: Some(machine.request), what });
            }
            _ => {}
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use slack_access_operator::delivery::input::{Known, Source};
    use slack_access_operator::delivery::state::Observation;

    use super::*;
    use crate::properties::testing::{MACHINE, claim, history, wants_post};

    fn told(source: Source) -> Happening {
        let observation = Observation::Gone(Timestamp::UNIX_EPOCH);
        Happening::Told(MACHINE, Input::Observed { observation, source, known: Known::Nothing })
    }

    #[test]
    fn it_fires_for_a_post_after_the_end() {
        assert_eq!(check(&history(vec![(1, told(Source::Event)), (2, wants_post(5, claim("one", 1)))])).len(), 1);
    }

    #[test]
    fn it_does_not_fire_for_a_post_before_it_or_for_a_gap_in_a_listing() {
        assert!(check(&history(vec![(1, wants_post(5, claim("one", 1))), (2, told(Source::Event))])).is_empty());
        assert!(check(&history(vec![(1, told(Source::Listing)), (2, wants_post(5, claim("one", 1)))])).is_empty());
    }
}
