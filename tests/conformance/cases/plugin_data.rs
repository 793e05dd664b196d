//! What plugins remember beside a request.

use simulators::teleport::pb::proto::RequestId;
use simulators::teleport::pb::types::{PluginDataFilter, PluginDataV3};
use tonic::Code;

use super::client::{Auth, refusal, update, uuid};
use super::{ALICE, NOBODY, Teleport};

async fn read(client: &mut Auth, id: &str, plugin: &str) -> Vec<PluginDataV3> {
    client.get_plugin_data(filter(id, plugin)).await.unwrap().into_inner().plugin_data
}

fn filter(id: &str, plugin: &str) -> PluginDataFilter {
    PluginDataFilter { kind: "access_request".to_owned(), resource: id.to_owned(), plugin: plugin.to_owned() }
}

fn entry(record: &PluginDataV3, plugin: &str) -> Vec<(String, String)> {
    let mut data: Vec<_> = record.spec.as_ref().unwrap().entries[plugin].data.clone().into_iter().collect();
    data.sort();
    data
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

pub(crate) async fn a_write_happens_only_if_every_expectation_holds(teleport: &Teleport) {
    let id = teleport.request().await;
    let mut plugin = teleport.plugin().await;
    assert_eq!(read(&mut plugin, &id, "p").await, []);
    plugin.update_plugin_data(update(&id, "p", &[("a", "1"), ("b", "2")], &[("a", "")])).await.unwrap();
    for (expect, field) in [
        (&[("a", "")] as &[_], "a"),
        (&[("a", "2")], "a"),
        (&[("a", "1"), ("c", "x")], "c"),
        (&[("b", "2"), ("a", "0")], "a"),
    ] {
        let refused = refusal(plugin.update_plugin_data(update(&id, "p", &[("a", "3")], expect)).await);
        let words = format!("expectations not met for field {field:?}");
        assert_eq!(refused, (Code::FailedPrecondition, words), "{expect:?}");
    }
    plugin.update_plugin_data(update(&id, "p", &[("a", "3")], &[("a", "1"), ("c", "")])).await.unwrap();
    let records = read(&mut plugin, &id, "p").await;
    assert_eq!(entry(&records[0], "p"), pairs(&[("a", "3"), ("b", "2")]));
    assert_eq!((records[0].kind.as_str(), records[0].sub_kind.as_str()), ("plugin_data", "access_request"));
    assert_eq!(records[0].metadata.as_ref().unwrap().name, id);
    assert!(records[0].metadata.as_ref().unwrap().expires.is_some());
}

pub(crate) async fn a_key_with_an_empty_value_is_deleted(teleport: &Teleport) {
    let id = teleport.request().await;
    let mut plugin = teleport.plugin().await;
    plugin.update_plugin_data(update(&id, "p", &[("a", "1"), ("b", "2")], &[])).await.unwrap();
    plugin.update_plugin_data(update(&id, "p", &[("a", "")], &[("b", "2")])).await.unwrap();
    assert_eq!(entry(&read(&mut plugin, &id, "p").await[0], "p"), pairs(&[("b", "2")]));
    plugin.update_plugin_data(update(&id, "p", &[("b", "")], &[])).await.unwrap();
    assert_eq!(read(&mut plugin, &id, "p").await, [], "an entry without keys is none");
}

pub(crate) async fn plugins_share_a_record_but_not_their_entries(teleport: &Teleport) {
    let id = teleport.request().await;
    let mut plugin = teleport.plugin().await;
    plugin.update_plugin_data(update(&id, "p", &[("a", "1")], &[("a", "")])).await.unwrap();
    plugin.update_plugin_data(update(&id, "q", &[("a", "2")], &[("a", "")])).await.unwrap();
    let records = read(&mut plugin, &id, "p").await;
    assert_eq!(records.len(), 1);
    assert_eq!(entry(&records[0], "q"), pairs(&[("a", "2")]), "the filter chooses records, not entries");
    assert_eq!(read(&mut plugin, &id, "r").await, []);
    let all = read(&mut plugin, "", "q").await;
    assert!(all.iter().any(|record| record.metadata.as_ref().unwrap().name == id));
}

pub(crate) async fn a_record_needs_its_request_only_to_begin(teleport: &Teleport) {
    let id = teleport.request().await;
    let mut plugin = teleport.plugin().await;
    plugin.update_plugin_data(update(&id, "p", &[("a", "1")], &[])).await.unwrap();
    teleport.admin().await.delete_access_request(RequestId { id: id.clone() }).await.unwrap();
    plugin.update_plugin_data(update(&id, "p", &[("a", "2")], &[("a", "1")])).await.unwrap();
    assert_eq!(entry(&read(&mut plugin, &id, "p").await[0], "p"), pairs(&[("a", "2")]));

    let unknown = uuid();
    let refused = refusal(plugin.update_plugin_data(update(&unknown, "p", &[("a", "1")], &[])).await);
    assert_eq!(refused, (Code::NotFound, format!("no access request matching {unknown:?}")));
}

pub(crate) async fn a_record_has_a_largest_size(teleport: &Teleport) {
    let id = teleport.request().await;
    let mut plugin = teleport.plugin().await;
    let big = "x".repeat(999_000);
    plugin.update_plugin_data(update(&id, "p", &[("a", &big)], &[])).await.unwrap();
    let refused = refusal(plugin.update_plugin_data(update(&id, "q", &[("a", &big)], &[])).await);
    assert_eq!(refused, (Code::InvalidArgument, "plugin data size limit exceeded".to_owned()));
    plugin.update_plugin_data(update(&id, "p", &[("a", "")], &[])).await.unwrap();
}

pub(crate) async fn only_certain_kinds_have_plugin_data(teleport: &Teleport) {
    let mut plugin = teleport.plugin().await;
    let words = "unsupported resource kind \"node\"";
    let filter = PluginDataFilter { kind: "node".to_owned(), ..PluginDataFilter::default() };
    assert_eq!(refusal(plugin.get_plugin_data(filter).await), (Code::InvalidArgument, words.to_owned()));
    let mut params = update("x", "p", &[("a", "1")], &[]);
    "node".clone_into(&mut params.kind);
    assert_eq!(refusal(plugin.update_plugin_data(params).await), (Code::InvalidArgument, words.to_owned()));
}

pub(crate) async fn plugin_data_needs_its_own_right_or_that_of_the_kind(teleport: &Teleport) {
    let id = teleport.request().await;
    for user in [ALICE, NOBODY] {
        let mut client = teleport.auth(user).await;
        let words = |verb: &str| format!("access denied to perform action {verb:?} on \"access_plugin_data\"");
        let refused = refusal(client.get_plugin_data(filter(&id, "p")).await);
        assert_eq!(refused, (Code::PermissionDenied, words("list")), "{user}");
        let refused = refusal(client.update_plugin_data(update(&id, "p", &[("a", "1")], &[])).await);
        assert_eq!(refused, (Code::PermissionDenied, words("update")), "{user}");
    }
    // It has no rule for plugin data, but all of access_request.
    let mut admin = teleport.admin().await;
    admin.update_plugin_data(update(&id, "p", &[("a", "1")], &[])).await.unwrap();
    assert_eq!(read(&mut admin, &id, "p").await.len(), 1);
}
