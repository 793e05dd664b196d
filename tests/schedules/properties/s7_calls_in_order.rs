//! S7: at most one call for the record and one for each line of work at a time, each slot is used by the one that holds it,
//! each id is asked once, and nothing comes after the end of a machine.

use std::collections::{BTreeMap, BTreeSet};

use slack_access_operator::config::recipient::RecipientKey;
use slack_access_operator::delivery::effect::{Effect, Sought};
use slack_access_operator::delivery::input::{Answer, CallId, Input};
use slack_access_operator::slack::MessageRef;

use super::Violation;
use crate::history::{Happening, History};

/// What may have one call at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Line {
    Request,
    Record,
    Message(RecipientKey),
    Replies(RecipientKey),
    Reaction(MessageRef),
    Removal(MessageRef),
}

fn line(effect: &Effect) -> Option<Line> {
    Some(match effect {
        Effect::LookUp(_) => Line::Request,
        Effect::Read(_) | Effect::Write { .. } => Line::Record,
        Effect::Resolve { recipient, .. }
        | Effect::Post { recipient, .. }
        | Effect::Update { recipient, .. }
        | Effect::Search { recipient, what: Sought::Message { .. }, .. } => Line::Message(recipient.clone()),
        Effect::Reply { recipient, .. } | Effect::Search { recipient, what: Sought::Reply { .. }, .. } => {
            Line::Replies(recipient.clone())
        }
        Effect::React { message, .. } => Line::Reaction(message.clone()),
        Effect::Remove { message, .. } => Line::Removal(message.clone()),
        Effect::Acquire { .. } | Effect::Release(_) | Effect::Report(_) => return None,
    })
}

#[derive(Default)]
struct Known {
    asked: BTreeSet<CallId>,
    open: BTreeMap<CallId, Option<Line>>,
    slots: BTreeSet<CallId>,
    is_over: bool,
}

pub fn check(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut machines: BTreeMap<_, Known> = BTreeMap::new();
    for entry in &history.entries {
        let (machine, wrong) = match &entry.what {
            Happening::Told(machine, Input::Answer(call, answer)) => {
                let known = machines.entry(*machine).or_default();
                known.open.remove(call);
                if *answer == Answer::Acquired {
                    known.slots.insert(*call);
                }
                continue;
            }
            Happening::Wants(machine, effect) => {
                let known = machines.entry(*machine).or_default();
                let wrong = wants(known, effect);
                (machine, wrong)
            }
            Happening::Rests { machine, is_over: true, .. } => {
                let known = machines.entry(*machine).or_default();
                known.is_over = true;
                let open = known.open.len();
                (machine, (open > 0).then(|| format!("is over with {open} calls under way")))
            }
            _ => continue,
        };
        if let Some(wrong) = wrong {
            let what = format!("{machine} {wrong}");
            violations.push(Violation { property: "S7", at: entry.at, request: Some(machine.request), what });
        }
    }
    violations
}

fn wants(known: &mut Known, effect: &Effect) -> Option<String> {
    if known.is_over {
        return Some(format!("wants {effect:?} after its end"));
    }
    if let Effect::Release(slot) = effect {
        known.slots.remove(slot);
        known.open.remove(slot);
    }
    if let Some(slot) = effect.slot()
        && !known.slots.remove(&slot)
    {
        return Some(format!("sends without the slot {slot:?}"));
    }
    let call = effect.call()?;
    if !known.asked.insert(call) {
        return Some(format!("asks {call:?} again"));
    }
    let line = line(effect);
    let doubled = line.is_some() && known.open.values().any(|other| *other == line);
    known.open.insert(call, line.clone());
    doubled.then(|| format!("has two calls at once for {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::testing::{MACHINE, claim, history, wants_post};

    fn wants(effect: Effect) -> Happening {
        Happening::Wants(MACHINE, effect)
    }

    fn answered(call: u64) -> Happening {
        Happening::Told(MACHINE, Input::Answer(CallId(call), Answer::Acquired))
    }

    #[test]
    fn it_fires_for_two_calls_at_once_and_for_a_send_without_a_slot() {
        let twice = vec![(1, wants(Effect::Read(CallId(1)))), (2, wants(Effect::Read(CallId(2))))];
        assert_eq!(check(&history(twice)).len(), 1);
        assert_eq!(check(&history(vec![(1, wants_post(2, claim("one", 1)))])).len(), 1);
    }

    #[test]
    fn it_does_not_fire_for_one_after_the_other_and_for_a_send_with_its_slot() {
        let calls = vec![(1, wants(Effect::Read(CallId(1)))), (2, answered(1)), (3, wants(Effect::Read(CallId(2))))];
        assert!(check(&history(calls)).is_empty());
        assert!(check(&history(vec![(1, answered(1)), (2, wants_post(2, claim("one", 1)))])).is_empty());
    }
}
