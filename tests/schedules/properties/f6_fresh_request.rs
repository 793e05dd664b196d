//! F6: a request that is made after everything is healed is announced within 5 seconds.

use super::Violation;
use crate::history::{Happening, History};
use crate::plan::{FRESH_AFTER, Ms, SECOND};

const SOON: Ms = 5 * SECOND;

pub fn check(history: &History) -> Vec<Violation> {
    let Some(request) = history.plan.fresh() else { return Vec::new() };
    let made = history.plan.heal + FRESH_AFTER;
    let recipients = history.final_recipients();
    let mut violations = Vec::new();
    for (place, spot) in history.plan.places.iter().enumerate() {
        if !recipients.iter().any(|text| spot.is_named(text)) {
            continue;
        }
        let announced = history.entries.iter().find(|entry| match &entry.what {
            Happening::Posted(posted) => posted.request == request && posted.place == place && posted.reply.is_none(),
            _ => false,
        });
        let after = announced.map(|entry| entry.at - made);
        if after.is_none_or(|after| after > SOON) {
            let what = format!("it was announced in place {place} after {after:?} ms");
            violations.push(Violation { property: "F6", at: made, request: Some(request), what });
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Act, HOUR, Timed};
    use crate::properties::testing::{history, posted};

    fn story(after: Ms) -> Vec<Violation> {
        let mut history = history(Vec::new());
        let made = history.plan.heal + FRESH_AFTER;
        let act = Act::Request { request: 0, waits: HOUR, access: HOUR, suggested: Vec::new() };
        history.plan.acts = vec![Timed { at: made, act }];
        history.entries = crate::properties::testing::history(vec![(made + after, posted("1", made))]).entries;
        check(&history)
    }

    #[test]
    fn it_fires_after_more_than_five_seconds() {
        assert_eq!(story(5_001).len(), 1);
    }

    #[test]
    fn it_does_not_fire_within_them() {
        assert!(story(5_000).is_empty());
    }
}
