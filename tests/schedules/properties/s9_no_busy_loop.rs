//! S9: a tick at its time leads to an effect or to another time; a tick at any other time changes nothing.

use std::collections::BTreeMap;

use slack_access_operator::delivery::input::Input;

use super::Violation;
use crate::history::{Happening, History};
use crate::plan::Ms;

#[derive(Default)]
struct Known {
    wake: Option<Ms>,
    /// Effects since the tick under way.
    effects: usize,
    /// Ticks at the same time.
    ticks: u32,
    ticked_at: Ms,
}

/// A machine may go through a few states at one time, but not for ever.
const MOST_TICKS: u32 = 20;

pub fn check(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut machines: BTreeMap<_, Known> = BTreeMap::new();
    for entry in &history.entries {
        match &entry.what {
            Happening::Told(machine, input) => {
                let known = machines.entry(*machine).or_default();
                known.effects = 0;
                if *input == Input::Tick {
                    known.ticks = if known.ticked_at == entry.at { known.ticks + 1 } else { 1 };
                    known.ticked_at = entry.at;
                }
            }
            Happening::Wants(machine, _) => machines.entry(*machine).or_default().effects += 1,
            Happening::Rests { machine, wake, was_tick, is_over, .. } => {
                let known = machines.entry(*machine).or_default();
                let (before, effects) = (known.wake, known.effects);
                known.wake = *wake;
                if !was_tick {
                    continue;
                }
                let was_due = before.is_some_and(|at| at <= entry.at);
                let wrong = if was_due && effects == 0 && *wake == before && !is_over {
                    "was woken in time and did nothing"
                } else if !was_due && (effects > 0 || *wake != before) {
                    "was changed by a tick that was not due"
                } else if known.ticks > MOST_TICKS {
                    "is woken again and again"
                } else {
                    continue;
                };
                let what = format!("{machine} {wrong}: wake {before:?} and now {wake:?}, {effects} effects");
                violations.push(Violation { property: "S9", at: entry.at, request: Some(machine.request), what });
            }
            _ => {}
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::testing::{MACHINE, history};

    fn rests(wake: Option<Ms>, was_tick: bool) -> Happening {
        Happening::Rests { machine: MACHINE, wake, is_over: false, open: 0, is_connected: true, was_tick }
    }

    fn story(at: Ms, wake: Option<Ms>) -> Vec<Violation> {
        check(&history(vec![
            (1, rests(Some(5), false)),
            (at, Happening::Told(MACHINE, Input::Tick)),
            (at, rests(wake, true)),
        ]))
    }

    #[test]
    fn it_fires_for_a_tick_without_effect_and_for_an_early_one_with() {
        assert_eq!(story(5, Some(5)).len(), 1);
        assert_eq!(story(4, Some(6)).len(), 1);
    }

    #[test]
    fn it_does_not_fire_for_a_tick_that_moves_on_and_for_an_early_one_without() {
        assert!(story(5, Some(6)).is_empty() && story(4, Some(5)).is_empty());
    }
}
