//! What a full listing says about every request: a pure function over what Teleport returned.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::access_request::{AccessRequest, RequestId};
use crate::delivery::decide::Observation;
use crate::delivery::record::Record;
use crate::teleport::client::StoredRecord;

/// A record outlives the access that its request is about by this long.
const RECORD_OUTLIVES: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

/// One request as a listing shows it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Which request.
    pub id: RequestId,
    /// Where it stands.
    pub observed: Observation,
    /// What is stored about it.
    pub record: Record,
}

/// Joins requests and records. The records must have been listed first: a record without a request is then one whose
/// request is gone, never one whose request came later.
///
/// An identity without the right to list requests gets a shorter list, not an error. So a missing request counts as gone
/// only if the list shows requests of others at all, or if its time is up.
pub(crate) fn join(
    requests: Vec<AccessRequest>,
    records: Vec<StoredRecord>,
    own_user: &str,
    now: Timestamp,
) -> (Vec<Listed>, usize) {
    let list_is_whole = requests.iter().any(|request| request.user != own_user);
    let mut records: BTreeMap<RequestId, StoredRecord> =
        records.into_iter().map(|record| (record.request.clone(), record)).collect();
    let mut listed: Vec<Listed> = requests
        .into_iter()
        .map(|request| {
            let data = records.remove(&request.id).map(|record| record.data).unwrap_or_default();
            Listed { id: request.id.clone(), observed: Observation::Present(request), record: Record::decode(data) }
        })
        .collect();
    let mut hidden = 0;
    for (id, stored) in records {
        let access_ended = stored.expires.is_some_and(|expires| expires - RECORD_OUTLIVES <= now);
        let record = Record::decode(stored.data);
        let request_ended = record.request.expires.is_some_and(|expires| expires <= now);
        if list_is_whole || access_ended || request_ended {
            listed.push(Listed { id, observed: Observation::Gone(now), record });
        } else {
            hidden += 1;
        }
    }
    (listed, hidden)
}

#[cfg(test)]
mod tests {
    use crate::access_request::PluginData;
    use crate::delivery::decide::tests::request;
    use crate::delivery::listing::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn stored(id: &str, expires: Option<i64>) -> StoredRecord {
        let data = PluginData::from([("messages".to_owned(), "C1/1.5".to_owned())]);
        StoredRecord { request: RequestId(id.to_owned()), data, expires: expires.map(at) }
    }

    fn ids(listed: &[Listed]) -> Vec<(&str, bool)> {
        listed.iter().map(|one| (one.id.0.as_str(), matches!(one.observed, Observation::Gone(_)))).collect()
    }

    #[test]
    fn a_record_whose_request_is_missing_from_a_whole_list_is_gone() {
        let (listed, hidden) = join(vec![request()], vec![stored("id", None), stored("old", None)], "plugin", at(0));
        assert_eq!(ids(&listed), [("id", false), ("old", true)]);
        assert!(listed[0].record.has_messages());
        assert_eq!(hidden, 0);
    }

    #[test]
    fn a_list_without_requests_of_others_proves_nothing() {
        let (listed, hidden) = join(Vec::new(), vec![stored("a", None), stored("b", Some(10_000))], "plugin", at(0));
        assert!(listed.is_empty());
        assert_eq!(hidden, 2);
    }

    #[test]
    fn a_request_whose_time_is_up_is_gone_even_if_the_list_is_empty() {
        let (listed, _) = join(Vec::new(), vec![stored("a", Some(3_600))], "plugin", at(0));
        assert_eq!(ids(&listed), [("a", true)]);
    }
}
