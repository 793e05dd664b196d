//! Requests and records for the unit tests of this room.

use std::collections::BTreeMap;

use crate::access_request::{AccessRequest, RequestId, RequestState, Review};
use crate::config::recipient::RecipientKey;
use crate::delivery::input::Wanted;
use crate::delivery::state::Observation;

pub(crate) fn request() -> AccessRequest {
    AccessRequest {
        id: RequestId("id".to_owned()),
        user: "alice".to_owned(),
        roles: vec!["dba".to_owned()],
        resources: Vec::new(),
        state: RequestState::Pending,
        created: None,
        access_expires: None,
        request_expires: None,
        max_duration: None,
        reason: String::new(),
        resolve_reason: String::new(),
        reviews: Vec::new(),
        suggested_reviewers: Vec::new(),
        system_annotations: BTreeMap::new(),
        long_term: false,
        thresholds: None,
    }
}

pub(crate) fn in_state(state: RequestState) -> Observation {
    Observation::Present(Box::new(AccessRequest { state, ..request() }))
}

pub(crate) fn review() -> Review {
    Review { author: "bob".to_owned(), proposed: RequestState::Approved, reason: String::new(), created: None }
}

pub(crate) fn reviewed(count: usize) -> Observation {
    Observation::Present(Box::new(AccessRequest { reviews: vec![review(); count], ..request() }))
}

pub(crate) fn key(text: &str) -> RecipientKey {
    RecipientKey::new(text)
}

pub(crate) fn wanted(keys: &[&str]) -> Vec<Wanted> {
    keys.iter().map(|text| Wanted { key: key(text), suggested: false }).collect()
}
