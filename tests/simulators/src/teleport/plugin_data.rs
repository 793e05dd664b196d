//! Plugin data: what a plugin stores beside a request, written by compare-and-swap. Pure; the rules are Teleport's.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use prost::Message;

use super::clock::{time, timestamp};
use super::error::{Kind, Trace};
use super::pb::types::{Metadata, PluginDataEntry, PluginDataSpecV3, PluginDataUpdateParams, PluginDataV3};

/// The largest record, all plugins of a resource together.
pub const MAX_RECORD: usize = 1_000_000;
/// How long a record outlives the access that its request asks for.
const OUTLIVES: Duration = Duration::from_hours(1);
/// How long the record of an access list lives after its last write.
const LIST_LIFETIME: Duration = Duration::from_hours(336);

/// Kinds of resources that may have plugin data.
pub(crate) fn check_kind(kind: &str) -> Result<(), Trace> {
    match kind {
        "access_request" | "access_list" => Ok(()),
        other => Err(Trace::bad(format!("unsupported resource kind {other:?}"))),
    }
}

/// Where a record is stored.
pub(crate) fn key(kind: &str, resource: &str) -> String {
    format!("{kind}/{resource}")
}

/// A record for a resource that has none yet. `access_expiry` is that of the request it belongs to.
pub(crate) fn fresh(kind: &str, resource: &str, access_expiry: Option<SystemTime>) -> PluginDataV3 {
    PluginDataV3 {
        kind: "plugin_data".to_owned(),
        sub_kind: kind.to_owned(),
        version: "v3".to_owned(),
        metadata: Some(Metadata {
            expires: access_expiry.map(|expiry| timestamp(expiry + OUTLIVES)),
            ..super::role::named(resource)
        }),
        spec: Some(PluginDataSpecV3::default()),
    }
}

/// The record after an update.
pub(crate) fn update(
    mut record: PluginDataV3,
    params: &PluginDataUpdateParams,
    now: SystemTime,
) -> Result<PluginDataV3, Trace> {
    let spec = record.spec.get_or_insert_default();
    check_expectations(spec.entries.get(&params.plugin), &params.expect)?;
    let entry = spec.entries.entry(params.plugin.clone()).or_default();
    for (name, value) in &params.set {
        if value.is_empty() {
            entry.data.remove(name);
        } else {
            entry.data.insert(name.clone(), value.clone());
        }
    }
    if entry.data.is_empty() {
        spec.entries.remove(&params.plugin);
    }
    if params.kind == "access_list" {
        record.metadata.get_or_insert_default().expires = Some(timestamp(now + LIST_LIFETIME));
    }
    if record.encoded_len() > MAX_RECORD {
        return Err(Trace::bad("plugin data size limit exceeded"));
    }
    Ok(record)
}

/// Every listed key must hold the listed value; a key that is not there equals the empty text.
fn check_expectations(entry: Option<&PluginDataEntry>, expect: &HashMap<String, String>) -> Result<(), Trace> {
    let mut unmet: Vec<_> = expect
        .iter()
        .filter(|(name, wanted)| {
            entry.and_then(|entry| entry.data.get(*name)).map_or("", String::as_str) != wanted.as_str()
        })
        .map(|(name, _)| name)
        .collect();
    unmet.sort();
    match unmet.first() {
        None => Ok(()),
        Some(name) => Err(Trace::new(Kind::CompareFailed, format!("expectations not met for field {name:?}"))),
    }
}

/// What Teleport answers when its own optimistic retries are used up.
pub fn too_many_writes(resource: &str) -> Trace {
    Trace::new(Kind::CompareFailed, format!("too many concurrent writes to plugin data {resource}"))
}

/// End of a record's life.
pub(crate) fn expiry(record: &PluginDataV3) -> Option<SystemTime> {
    time(record.metadata.as_ref()?.expires.as_ref())
}

/// Whether a record has an entry of this plugin; the empty name stands for any.
pub(crate) fn has_plugin(record: &PluginDataV3, plugin: &str) -> bool {
    plugin.is_empty() || record.spec.as_ref().is_some_and(|spec| spec.entries.contains_key(plugin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(set: &[(&str, &str)], expect: &[(&str, &str)]) -> PluginDataUpdateParams {
        let map = |pairs: &[(&str, &str)]| pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        PluginDataUpdateParams {
            kind: "access_request".to_owned(),
            resource: "r".to_owned(),
            plugin: "slack".to_owned(),
            set: map(set),
            expect: map(expect),
        }
    }

    fn write(record: PluginDataV3, set: &[(&str, &str)], expect: &[(&str, &str)]) -> Result<PluginDataV3, Trace> {
        update(record, &params(set, expect), SystemTime::now())
    }

    fn data(record: &PluginDataV3) -> Vec<(String, String)> {
        let entries = &record.spec.as_ref().unwrap().entries;
        let mut data: Vec<_> =
            entries.get("slack").map(|entry| entry.data.clone()).unwrap_or_default().into_iter().collect();
        data.sort();
        data
    }

    #[test]
    fn a_key_that_is_not_there_is_expected_as_the_empty_text() {
        let record = write(fresh("access_request", "r", None), &[("a", "1")], &[("a", "")]).unwrap();
        let refused = write(record, &[("a", "2")], &[("a", "")]).unwrap_err();
        assert_eq!(refused, Trace::new(Kind::CompareFailed, "expectations not met for field \"a\""));
    }

    #[test]
    fn an_update_merges_and_an_empty_value_deletes_its_key() {
        let record = write(fresh("access_request", "r", None), &[("a", "1"), ("b", "2")], &[]).unwrap();
        let record = write(record, &[("a", ""), ("c", "3")], &[("b", "2")]).unwrap();
        assert_eq!(data(&record), [("b".to_owned(), "2".to_owned()), ("c".to_owned(), "3".to_owned())]);
    }

    #[test]
    fn an_entry_without_keys_is_removed() {
        let record = write(fresh("access_request", "r", None), &[("a", "1")], &[]).unwrap();
        let record = write(record, &[("a", "")], &[]).unwrap();
        assert!(!has_plugin(&record, "slack"));
    }

    #[test]
    fn a_record_beyond_the_limit_is_refused() {
        let big = "x".repeat(MAX_RECORD);
        let refused = write(fresh("access_request", "r", None), &[("a", &big)], &[]).unwrap_err();
        assert_eq!(refused, Trace::bad("plugin data size limit exceeded"));
    }

    #[test]
    fn a_record_lives_one_hour_longer_than_the_access_it_is_about() {
        let expiry_of_access = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let record = fresh("access_request", "r", Some(expiry_of_access));
        assert_eq!(expiry(&record), Some(expiry_of_access + Duration::from_hours(1)));
    }

    #[test]
    fn only_requests_and_access_lists_have_plugin_data() {
        assert_eq!(check_kind("node"), Err(Trace::bad("unsupported resource kind \"node\"")));
        assert_eq!(check_kind("access_list"), Ok(()));
    }
}
