//! F2: in the end the records hold no claim, agree with Slack, and name every message to the official plugin.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::Violation;
use crate::exceptions;
use crate::history::{Author, Happening, History, Stored};
use crate::ledger;

pub fn check(history: &History) -> Vec<Violation> {
    let ledger = ledger::of(history);
    let mut violations = Vec::new();
    let mut last: BTreeMap<usize, Rc<Stored>> = BTreeMap::new();
    for entry in &history.entries {
        if let Happening::Stored { request, after, .. } = &entry.what {
            last.insert(*request, after.clone());
        }
    }
    for (request, stored) in last {
        let mut fails = |what: String| {
            violations.push(Violation { property: "F2", at: history.plan.end(), request: Some(request), what });
        };
        if history.record_ends(request).is_none_or(|ends| ends < history.plan.end()) {
            continue;
        }
        for (key, delivery) in &stored.record.deliveries {
            // Nothing is ever sent to one that is lost.
            if let Some(claim) = delivery.claim.as_ref().filter(|_| !delivery.lost) {
                fails(format!("{claim:?} of {key} is left"));
            }
            let Some(message) = &delivery.message else { continue };
            match ledger.get(message) {
                None => fails(format!("{message} of {key} does not exist")),
                Some(held) if held.posted.by == Author::Official => {}
                Some(held)
                    if held.deleted.is_none()
                        && !delivery.lost
                        && !delivery.another_app
                        && held.shown != delivery.shown =>
                {
                    fails(format!("{message} of {key} shows {:?} and not {:?}", held.shown, delivery.shown));
                }
                // Of two that were known by two names one is left.
                Some(held)
                    if matches!(held.deleted, Some((_, Author::Worker(_))))
                        && !ledger::living(&ledger).any(|other| {
                            other.posted.request == request && other.posted.place == held.posted.place
                        }) =>
                {
                    fails(format!("{message} of {key} was removed as one too many"));
                }
                Some(_) => {}
            }
        }
        let listed = stored.data.get("messages").cloned().unwrap_or_default();
        for held in ledger::living(&ledger).filter(|held| held.posted.request == request) {
            let is_known = listed.split(',').any(|item| item == held.posted.message.to_string());
            let is_alone = ledger::living(&ledger)
                .filter(|other| other.posted.request == request && other.posted.place == held.posted.place)
                .count()
                == 1;
            if !is_known && is_alone && !exceptions::is_unknowable(history, held) {
                fails(format!("{} is not in the list of messages", held.posted.message));
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use slack_access_operator::delivery::record::{Delivery, Record};

    use super::*;
    use crate::properties::testing::{ONE, claim, claimed, history, key, message, posted};

    fn story(delivery: Delivery, messages: &str) -> Vec<Violation> {
        let mut record = Record::default();
        record.deliveries.insert(key(), delivery);
        let data = [("messages".to_owned(), messages.to_owned())].into();
        let after = Rc::new(Stored { data, record });
        let stored = Happening::Stored { request: 0, by: Author::Worker(ONE), began: 0, before: Rc::default(), after };
        check(&history(vec![(1, posted("1", 1)), (2, stored)]))
    }

    fn told(ts: &str) -> Delivery {
        let shown = slack_access_operator::delivery::state::Shown::Pending { reviews: 0 };
        Delivery { message: Some(message(ts)), shown, ..Delivery::default() }
    }

    #[test]
    fn it_fires_for_a_claim_a_foreign_message_and_a_short_list() {
        assert_eq!(story(claimed(claim("one", 1)), "C000000000/1").len(), 1);
        assert_eq!(story(told("2"), "C000000000/1").len(), 1);
        assert_eq!(story(told("1"), "").len(), 1);
    }

    #[test]
    fn it_does_not_fire_for_a_record_that_agrees() {
        assert_eq!(story(told("1"), "C000000000/1"), []);
    }
}
