//! Histories made by hand.

use slack_access_operator::config::recipient::RecipientKey;
use slack_access_operator::delivery::effect::{Effect, Target};
use slack_access_operator::delivery::input::CallId;
use slack_access_operator::delivery::record::{Claim, Delivery, Record};
use slack_access_operator::delivery::state::{Place, Shown};
use slack_access_operator::slack::MessageRef;
use std::rc::Rc;

use crate::history::{Author, Entry, Happening, History, MachineId, Posted, Process, Stored};
use crate::plan::{Act, HOUR, MINUTE, Ms, Plan, Scopes, Spot, Timed, WorkerPlan};

/// The worker of these histories, and another one.
pub const ONE: Process = Process { worker: 0, incarnation: 1 };
pub const OTHER: Process = Process { worker: 1, incarnation: 1 };
pub const MACHINE: MachineId = MachineId { process: ONE, request: 0, serial: 1 };

pub fn plan() -> Plan {
    Plan {
        seed: 0,
        places: vec![Spot::Channel { id: "C000000000".to_owned(), name: "access-0".to_owned() }],
        configurations: vec![vec!["C000000000".to_owned()]],
        workers: vec![WorkerPlan { configuration: 0, starts: 0, clock: 0 }; 2],
        official_until: None,
        scopes: Scopes { history: true, list: true, open: true },
        acts: vec![Timed {
            at: 0,
            act: Act::Request { request: 0, waits: 8 * HOUR, access: 8 * HOUR, suggested: Vec::new() },
        }],
        faults: Vec::new(),
        heal: MINUTE,
    }
}

pub fn history(happenings: Vec<(Ms, Happening)>) -> History {
    let entries = happenings.into_iter().map(|(at, what)| Entry { at, what }).collect();
    History { plan: plan(), entries, left: Vec::new(), is_endless: false }
}

pub fn key() -> RecipientKey {
    RecipientKey::new("C000000000")
}

pub fn message(ts: &str) -> MessageRef {
    MessageRef { channel: "C000000000".to_owned(), ts: ts.to_owned() }
}

pub fn post(ts: &str, begun: Ms) -> Posted {
    Posted {
        message: message(ts),
        request: 0,
        place: 0,
        reply: None,
        shown: Shown::Pending { reviews: 0 },
        by: Author::Worker(ONE),
        app: 1,
        begun,
        answered: true,
        is_searchable: true,
    }
}

pub fn posted(ts: &str, begun: Ms) -> Happening {
    Happening::Posted(post(ts, begun))
}

pub fn claim(by: &str, n: u64) -> Claim {
    Claim { by: by.to_owned(), at: 1_700_000_000, n }
}

pub fn stored_delivery(by: Process, began: Ms, before: Delivery, after: Delivery) -> Happening {
    let version = |delivery: Delivery| {
        let mut record = Record::default();
        record.deliveries.insert(key(), delivery);
        Rc::new(Stored { record, ..Stored::default() })
    };
    Happening::Stored { request: 0, by: Author::Worker(by), began, before: version(before), after: version(after) }
}

pub fn claimed(claim: Claim) -> Delivery {
    Delivery { claim: Some(claim), ..Delivery::default() }
}

pub fn wants_post(call: u64, under: Claim) -> Happening {
    Happening::Wants(
        MACHINE,
        Effect::Post {
            call: CallId(call),
            slot: CallId(call - 1),
            recipient: key(),
            to: Target::Recipient(key(), Place::default()),
            shown: Shown::Pending { reviews: 0 },
            plain: false,
            under,
            not_after: std::time::Instant::now(),
        },
    )
}

pub fn standing() -> slack_access_operator::delivery::effect::Standing {
    slack_access_operator::delivery::effect::Standing::Suggested
}
