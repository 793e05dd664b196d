//! Teleport: requests, and records written by compare and swap. Each keeps all its versions, so that a listing can be old.

use std::rc::Rc;

use jiff::Timestamp;
use slack_access_operator::access_request::{AccessRequest, PluginData, RequestId, RequestState, Review};
use slack_access_operator::delivery::input::StoreError;
use slack_access_operator::delivery::record::Record;

use crate::history::Stored;
use crate::plan::{End, HOUR, Ms};

/// The largest record, all plugins of a request together.
const MAX_RECORD: usize = 1_000_000;
/// How long a record outlives the access that its request asks for.
const OUTLIVES: Ms = HOUR;
/// The time at which worlds begin.
const BEGINNING: i64 = 1_700_000_000_000;

/// A wall clock that is right.
pub fn wall(at: Ms) -> Timestamp {
    Timestamp::from_millisecond(BEGINNING + i64::try_from(at).unwrap_or(0)).unwrap()
}

/// The id of a request.
pub fn id(request: usize) -> RequestId {
    RequestId(format!("request-{request}"))
}

/// A version and since when it is there.
type Versions<T> = Vec<(Ms, T)>;

/// One Teleport cluster.
#[derive(Default)]
pub struct Teleport {
    requests: Vec<Versions<Option<AccessRequest>>>,
    records: Vec<Versions<Rc<Stored>>>,
    /// When each record ends; none where there is none.
    ends: Vec<Option<Ms>>,
}

impl Teleport {
    /// A request is made.
    pub fn create(&mut self, request: usize, waits: Ms, access: Ms, suggested: &[String], now: Ms) {
        while self.requests.len() <= request {
            self.requests.push(Vec::new());
            self.records.push(Vec::new());
            self.ends.push(None);
        }
        let made = AccessRequest {
            id: id(request),
            user: "alice".to_owned(),
            roles: vec!["dba".to_owned()],
            resources: Vec::new(),
            state: RequestState::Pending,
            created: Some(wall(now)),
            access_expires: Some(wall(now + access)),
            request_expires: Some(wall(now + waits)),
            max_duration: None,
            thresholds: None,
            reason: "because".to_owned(),
            resolve_reason: String::new(),
            reviews: Vec::new(),
            suggested_reviewers: suggested.to_vec(),
            system_annotations: std::collections::BTreeMap::new(),
            long_term: false,
        };
        self.requests[request].push((now, Some(made)));
    }

    /// Changes a request that is there. Returns whether it did.
    pub fn change(&mut self, request: usize, now: Ms, change: impl FnOnce(&mut AccessRequest) -> bool) -> bool {
        let Some(mut next) = self.request(request, now).cloned() else { return false };
        if !change(&mut next) {
            return false;
        }
        self.requests[request].push((now, Some(next)));
        true
    }

    /// A review is submitted, while the request is pending.
    pub fn review(&mut self, request: usize, now: Ms) -> bool {
        self.change(request, now, |request| {
            let number = request.reviews.len();
            let review = Review {
                author: format!("reviewer-{number}"),
                proposed: RequestState::Approved,
                reason: String::new(),
                created: Some(wall(now)),
            };
            request.reviews.push(review);
            request.state == RequestState::Pending
        })
    }

    /// The request is decided. It then lives as long as the access.
    pub fn decide(&mut self, request: usize, end: End, now: Ms) -> bool {
        self.change(request, now, |request| {
            let was_pending = request.state == RequestState::Pending;
            request.state = match end {
                End::Approved => RequestState::Approved,
                End::Denied => RequestState::Denied,
                End::Promoted => RequestState::Promoted,
            };
            if request.state == RequestState::Approved {
                request.request_expires = request.access_expires;
            }
            was_pending
        })
    }

    /// The request is deleted, or its time is up.
    pub fn delete(&mut self, request: usize, now: Ms) -> bool {
        let is_there = self.request(request, now).is_some();
        if is_there {
            self.requests[request].push((now, None));
        }
        is_there
    }

    /// A request as it is at a time.
    pub fn request(&self, request: usize, at: Ms) -> Option<&AccessRequest> {
        let versions = self.requests.get(request)?;
        versions.iter().rev().find(|(since, _)| *since <= at)?.1.as_ref()
    }

    /// Whether a request's own time is up.
    pub fn is_expired(&self, request: usize, now: Ms) -> bool {
        self.request(request, now).is_some_and(|known| known.request_expires.is_some_and(|end| end <= wall(now)))
    }

    /// How many requests were ever made.
    pub fn count(&self) -> usize {
        self.requests.len()
    }

    /// A record as it is now: empty where there is none.
    pub fn record(&self, request: usize, now: Ms) -> Rc<Stored> {
        if !self.has_record(request, now) {
            return Rc::default();
        }
        self.records
            .get(request)
            .and_then(|versions| versions.last())
            .map_or_else(Rc::default, |(_, last)| last.clone())
    }

    fn has_record(&self, request: usize, now: Ms) -> bool {
        self.ends.get(request).copied().flatten().is_some_and(|end| now < end)
    }

    /// Writes the keys if the values are still there. Returns the versions before and after. `foreign` is the size of what
    /// other plugins keep beside.
    pub fn write(
        &mut self,
        request: usize,
        set: &PluginData,
        expect: Option<&PluginData>,
        foreign: usize,
        now: Ms,
    ) -> Result<(Rc<Stored>, Rc<Stored>), StoreError> {
        let before = self.record(request, now);
        let is_first = !self.has_record(request, now);
        if is_first && self.request(request, now).is_none() {
            return Err(StoreError::Gone);
        }
        let stored = |name: &String| before.data.get(name).map_or("", String::as_str);
        if expect.is_some_and(|expect| expect.iter().any(|(name, value)| stored(name) != value)) {
            return Err(StoreError::Conflict);
        }
        let mut data = before.data.clone();
        for (name, value) in set {
            if value.is_empty() {
                data.remove(name);
            } else {
                data.insert(name.clone(), value.clone());
            }
        }
        let size: usize = data.iter().map(|(name, value)| name.len() + value.len()).sum();
        if size + foreign > MAX_RECORD {
            return Err(StoreError::TooLarge);
        }
        if is_first {
            let access = self.request(request, now).and_then(|request| request.access_expires);
            let ends = access.map(|at| u64::try_from(at.as_millisecond() - BEGINNING).unwrap_or(0) + OUTLIVES);
            self.ends[request] = ends;
        }
        let after = Rc::new(Stored { record: Record::decode(data.clone()), data });
        self.records[request].push((now, after.clone()));
        Ok((before, after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(pairs: &[(&str, &str)]) -> PluginData {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn teleport() -> Teleport {
        let mut teleport = Teleport::default();
        teleport.create(0, 8 * HOUR, HOUR, &[], 0);
        teleport
    }

    #[test]
    fn a_write_needs_the_values_that_it_expects() {
        let mut teleport = teleport();
        assert!(teleport.write(0, &data(&[("a", "1")]), Some(&data(&[("a", "")])), 0, 1).is_ok());
        let refused = teleport.write(0, &data(&[("a", "2")]), Some(&data(&[("a", "")])), 0, 2);
        assert_eq!(refused.err(), Some(StoreError::Conflict));
    }

    #[test]
    fn a_record_can_be_updated_after_its_request_is_gone_but_not_made() {
        let mut teleport = teleport();
        teleport.create(1, HOUR, HOUR, &[], 0);
        teleport.write(0, &data(&[("a", "1")]), None, 0, 1).unwrap();
        teleport.delete(0, 2);
        teleport.delete(1, 2);
        assert!(teleport.write(0, &data(&[("a", "2")]), None, 0, 3).is_ok());
        assert_eq!(teleport.write(1, &data(&[("a", "2")]), None, 0, 3).err(), Some(StoreError::Gone));
    }

    #[test]
    fn a_record_ends_an_hour_after_the_access_although_the_request_waits_longer() {
        let mut teleport = teleport();
        teleport.write(0, &data(&[("a", "1")]), None, 0, 1).unwrap();
        assert!(!teleport.record(0, 2 * HOUR - 1).data.is_empty());
        assert!(teleport.record(0, 2 * HOUR).data.is_empty());
        assert!(teleport.request(0, 2 * HOUR).is_some());
    }

    #[test]
    fn other_plugins_share_the_limit() {
        let refused = teleport().write(0, &data(&[("a", "1")]), None, MAX_RECORD, 1);
        assert_eq!(refused.err(), Some(StoreError::TooLarge));
    }

    #[test]
    fn an_older_version_can_be_read() {
        let mut teleport = teleport();
        teleport.decide(0, End::Denied, 10);
        assert_eq!(teleport.request(0, 9).unwrap().state, RequestState::Pending);
        assert_eq!(teleport.request(0, 10).unwrap().state, RequestState::Denied);
    }
}
