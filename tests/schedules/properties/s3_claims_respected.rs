//! S3: the claim of a worker is neither changed nor cleared by another one before that has seen it for 20 seconds. A claim of
//! an earlier process at the same place is no claim of another's.

use std::collections::BTreeMap;

use super::Violation;
use crate::history::{Author, Happening, History, Process};
use crate::plan::{Ms, SECOND};

const GRACE: Ms = 20 * SECOND;

pub fn check(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut seen: BTreeMap<_, Ms> = BTreeMap::new();
    let mut owners: BTreeMap<String, Process> = BTreeMap::new();
    for entry in &history.entries {
        match &entry.what {
            Happening::Saw { process, request, record } => {
                for (key, delivery) in &record.record.deliveries {
                    if let Some(claim) = &delivery.claim {
                        seen.entry((*process, *request, key.clone(), claim.clone())).or_insert(entry.at);
                    }
                }
            }
            Happening::Stored { request, by: Author::Worker(process), before, after, .. } => {
                for (key, delivery) in &before.record.deliveries {
                    let Some(claim) = &delivery.claim else { continue };
                    let left = after.record.deliveries.get(key).and_then(|delivery| delivery.claim.as_ref());
                    let owner = owners.get(&claim.by);
                    // Nothing is ever sent to what is lost.
                    let is_lost = after.record.deliveries.get(key).is_some_and(|delivery| delivery.lost);
                    if left == Some(claim) || is_lost || owner.is_none_or(|owner| owner.worker == process.worker) {
                        continue;
                    }
                    let since = seen.get(&(*process, *request, key.clone(), claim.clone()));
                    if since.is_none_or(|since| entry.at < since + GRACE) {
                        let what = format!("{process} takes {claim:?} of {key} away, seen since {since:?}");
                        violations.push(Violation { property: "S3", at: entry.at, request: Some(*request), what });
                    }
                }
                for (key, delivery) in &after.record.deliveries {
                    let Some(claim) = &delivery.claim else { continue };
                    if before.record.deliveries.get(key).and_then(|known| known.claim.as_ref()) != Some(claim) {
                        owners.entry(claim.by.clone()).or_insert(*process);
                    }
                }
            }
            _ => {}
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use slack_access_operator::delivery::record::{Delivery, Record};

    use super::*;
    use crate::history::Stored;
    use crate::properties::testing::{ONE, OTHER, claim, claimed, history, key, stored_delivery};

    fn story(taken: Ms) -> History {
        let mut record = Record::default();
        record.deliveries.insert(key(), claimed(claim("one", 1)));
        let record = Rc::new(Stored { record, ..Stored::default() });
        history(vec![
            (1, stored_delivery(ONE, 0, Delivery::default(), claimed(claim("one", 1)))),
            (1_000, Happening::Saw { process: OTHER, request: 0, record }),
            (taken, stored_delivery(OTHER, taken, claimed(claim("one", 1)), claimed(claim("other", 1)))),
        ])
    }

    #[test]
    fn it_fires_before_the_grace_time_is_over() {
        assert_eq!(check(&story(20_999)).len(), 1);
    }

    #[test]
    fn it_does_not_fire_after_it() {
        assert!(check(&story(21_000)).is_empty());
    }
}
