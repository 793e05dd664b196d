//! Whether another object or program keeps its records under this worker's plugin name. Pure.
//!
//! The controller compares objects before it starts a worker; what it cannot see (another cluster's objects, the official
//! plugin) shows in records of requests that were made while this worker ran.

use std::time::Duration;

use jiff::Timestamp;

use crate::access_request::AccessRequest;
use crate::crd::condition::Finding;
use crate::crd::reason::Reason;
use crate::delivery::claims::WorkerId;
use crate::delivery::record::Record;

/// Older requests say nothing: the other may have ended since, as after a change from the official plugin.
const RECENT: Duration = Duration::from_mins(15);

/// What the record of a request that was made after `began` says of another writer.
pub(super) fn find(
    request: &AccessRequest,
    record: impl FnOnce() -> Record,
    me: &WorkerId,
    began: Timestamp,
    now: Timestamp,
) -> Option<Finding> {
    let created = request.created?;
    if created < began || now.duration_since(created).unsigned_abs() > RECENT {
        return None;
    }
    let record = record();
    let other = if record.deliveries.values().any(|delivery| me.is_of_another_object(&delivery.owner)) {
        "another SlackAccessPlugin object announces"
    } else if record.foreign {
        "another program, such as the official plugin, announces"
    } else {
        return None;
    };
    let message = format!(
        "{other} requests of this cluster under the same plugin name (request {}), so that each takes the other's messages for its own: stop it, or set another spec.pluginName (teleport.plugin_name)",
        request.id
    );
    Some(Finding::new(Reason::PluginNameShared, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::recipient::RecipientKey;
    use crate::delivery::record::Delivery;
    use crate::delivery::testing::request;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn me() -> WorkerId {
        WorkerId::new("object-pod", "1")
    }

    fn owned_by(owner: &str) -> Record {
        let delivery = Delivery { owner: owner.to_owned(), ..Delivery::default() };
        let mut record = Record::default();
        record.deliveries.insert(RecipientKey::new("#dba"), delivery);
        record
    }

    fn found(record: &Record, created: i64, now: i64) -> Option<Finding> {
        let request = AccessRequest { created: Some(at(created)), ..request() };
        find(&request, || record.clone(), &me(), at(100), at(now))
    }

    #[test]
    fn another_object_or_program_is_told_while_it_writes() {
        assert!(found(&owned_by("another-pod.1"), 200, 210).unwrap().message.contains("SlackAccessPlugin"));
        let mut foreign = Record::default();
        foreign.foreign = true;
        assert!(found(&foreign, 200, 210).unwrap().message.contains("official plugin"));
        assert_eq!(found(&foreign, 50, 210), None, "made before this worker began");
        assert_eq!(found(&foreign, 200, 200 + 901), None, "the other may have ended since");
    }

    #[test]
    fn workers_of_one_object_and_services_share_a_name() {
        for owner in ["object-pod.1", "object-other.7", "0123456789abcdef.2", ""] {
            assert_eq!(found(&owned_by(owner), 200, 210), None, "{owner}");
        }
        assert_eq!(found(&Record::default(), 200, 210), None);
    }
}
