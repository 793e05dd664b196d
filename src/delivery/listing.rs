//! What a full listing says about every request: a pure function over what Teleport returned.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::access_request::{AccessRequest, PluginData, RequestId, StoredRecord};
use crate::delivery::machine::RECORD_OUTLIVES_ACCESS;
use crate::delivery::record::Record;
use crate::delivery::state::Observation;

/// One request as a listing shows it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Which request.
    pub id: RequestId,
    /// Where it stands.
    pub observation: Observation,
    /// What is stored about it.
    pub data: PluginData,
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
            Listed { id: request.id.clone(), observation: Observation::Present(Box::new(request)), data }
        })
        .collect();
    let mut hidden = 0;
    for (id, stored) in records {
        let access_ended = stored.expires.is_some_and(|expires| {
            expires.checked_sub(RECORD_OUTLIVES_ACCESS).is_ok_and(|access_ended| access_ended <= now)
        });
        let request_ended = Record::decode(stored.data.clone()).request.expires.is_some_and(|expires| expires <= now);
        if list_is_whole || access_ended || request_ended {
            listed.push(Listed { id, observation: Observation::Gone(now), data: stored.data });
        } else {
            hidden += 1;
        }
    }
    (listed, hidden)
}

#[cfg(test)]
mod tests {
    use crate::access_request::PluginData;
    use crate::delivery::listing::*;
    use crate::delivery::testing::request;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn stored(id: &str, expires: Option<i64>) -> StoredRecord {
        let data = PluginData::from([("messages".to_owned(), "C1/1.5".to_owned())]);
        StoredRecord { request: RequestId(id.to_owned()), data, expires: expires.map(at) }
    }

    fn ids(listed: &[Listed]) -> Vec<(&str, bool)> {
        listed.iter().map(|one| (one.id.0.as_str(), matches!(one.observation, Observation::Gone(_)))).collect()
    }

    #[test]
    fn a_record_whose_request_is_missing_from_a_whole_list_is_gone() {
        let (listed, hidden) = join(vec![request()], vec![stored("id", None), stored("old", None)], "plugin", at(0));
        assert_eq!(ids(&listed), [("id", false), ("old", true)]);
        assert!(listed[0].data.contains_key("messages"));
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
