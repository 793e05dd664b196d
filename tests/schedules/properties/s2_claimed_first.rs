//! S2: every post and every reply is preceded by a stored claim of its process for that recipient, not older than 8 seconds
//! when it begins.

use std::collections::BTreeMap;

use slack_access_operator::delivery::effect::Effect;

use super::Violation;
use crate::history::{Author, Happening, History};
use crate::plan::{Ms, SECOND};

/// A claim that took longer than this to store is not acted upon.
const FRESH: Ms = 8 * SECOND;

pub fn check(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    // Since when claims are being written, by process, request and recipient.
    let mut claims = BTreeMap::new();
    let mut sent: BTreeMap<_, Vec<Ms>> = BTreeMap::new();
    for entry in &history.entries {
        match &entry.what {
            Happening::Stored { request, by: Author::Worker(process), began, after, .. } => {
                for (key, delivery) in &after.record.deliveries {
                    if let Some(claim) = &delivery.claim {
                        claims.entry((*process, *request, key.clone(), claim.clone())).or_insert(*began);
                    }
                }
            }
            Happening::Wants(
                machine,
                Effect::Post { recipient, under, .. } | Effect::Reply { recipient, under, .. },
            ) => {
                let began = claims.get(&(machine.process, machine.request, recipient.clone(), under.clone()));
                let wrong = match began {
                    None => "without a stored claim".to_owned(),
                    Some(began) if entry.at >= began + FRESH => format!("under a claim of {began} ms"),
                    Some(began) => {
                        sent.entry((machine.process, machine.request)).or_default().push(*began);
                        continue;
                    }
                };
                let what = format!("{machine} sends to {recipient} {wrong}");
                violations.push(Violation { property: "S2", at: entry.at, request: Some(machine.request), what });
            }
            Happening::Posted(posted) => {
                let Author::Worker(process) = posted.by else { continue };
                let began = sent.get(&(process, posted.request));
                let is_fresh = began.is_none_or(|began| {
                    began.iter().any(|began| posted.begun < began + FRESH && *began <= posted.begun)
                });
                if !is_fresh {
                    let what =
                        format!("{} was begun at {} ms, after its claim was outdated", posted.message, posted.begun);
                    violations.push(Violation { property: "S2", at: entry.at, request: Some(posted.request), what });
                }
            }
            _ => {}
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::testing::{ONE, OTHER, claim, claimed, history, stored_delivery, wants_post};
    use slack_access_operator::delivery::record::Delivery;

    fn stored(by: crate::history::Process, began: Ms) -> Happening {
        stored_delivery(by, began, Delivery::default(), claimed(claim("one", 1)))
    }

    #[test]
    fn it_fires_without_a_claim_with_that_of_another_and_with_an_old_one() {
        let sent = || wants_post(5, claim("one", 1));
        assert_eq!(check(&history(vec![(10, sent())])).len(), 1);
        assert_eq!(check(&history(vec![(1, stored(OTHER, 0)), (10, sent())])).len(), 1);
        assert_eq!(check(&history(vec![(1, stored(ONE, 0)), (8_000, sent())])).len(), 1);
    }

    #[test]
    fn it_does_not_fire_for_a_fresh_claim() {
        assert!(check(&history(vec![(1, stored(ONE, 0)), (7_999, wants_post(5, claim("one", 1)))])).is_empty());
    }
}
