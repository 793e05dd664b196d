use std::time::Duration;

use simulators::teleport::Rule;
use simulators::teleport::pb::types::{PluginDataFilter, PluginDataV3};
use tonic::Code;

use crate::support::{Auth, cluster, dba, plugin, update};

async fn get(client: &mut Auth, kind: &str, resource: &str, plugin: &str) -> Vec<PluginDataV3> {
    let filter = PluginDataFilter { kind: kind.to_owned(), resource: resource.to_owned(), plugin: plugin.to_owned() };
    client.get_plugin_data(filter).await.unwrap().into_inner().plugin_data
}

#[tokio::test]
async fn the_first_write_needs_the_request_and_later_ones_do_not() {
    let cluster = cluster().await;
    let mut client = plugin(&cluster).await;
    let missing = client.update_plugin_data(update("nope", &[("a", "1")], &[])).await.unwrap_err();
    assert_eq!((missing.code(), missing.message()), (Code::NotFound, "no access request matching \"nope\""));
    let id = cluster.create_request(dba());
    client.update_plugin_data(update(&id, &[("a", "1")], &[])).await.unwrap();
    cluster.expire(&id);
    client.update_plugin_data(update(&id, &[("a", "2")], &[("a", "1")])).await.unwrap();
    assert_eq!(cluster.plugin_data(&id, "slack")["a"], "2");
}

#[tokio::test]
async fn a_record_outlives_the_access_by_one_hour() {
    let cluster = cluster().await;
    let id = cluster.create_request(dba());
    cluster.set_plugin_data(&id, "slack", &[("a", "1")]).unwrap();
    cluster.advance(Duration::from_mins(12 * 60 + 59));
    assert!(cluster.request(&id).is_none());
    assert_eq!(cluster.plugin_data(&id, "slack").len(), 1);
    cluster.advance(Duration::from_mins(2));
    assert!(cluster.plugin_data(&id, "slack").is_empty());
}

#[tokio::test]
async fn reading_finds_one_record_or_all_of_a_kind() {
    let cluster = cluster().await;
    let mut client = plugin(&cluster).await;
    let (first, second) = (cluster.create_request(dba()), cluster.create_request(dba()));
    assert!(get(&mut client, "access_request", &first, "").await.is_empty(), "nothing stored is no error");
    cluster.set_plugin_data(&first, "slack", &[("a", "1")]).unwrap();
    cluster.set_plugin_data(&first, "jira", &[("b", "2")]).unwrap();
    cluster.set_plugin_data(&second, "jira", &[("c", "3")]).unwrap();
    let record = get(&mut client, "access_request", &first, "slack").await.remove(0);
    assert_eq!(record.spec.unwrap().entries.len(), 2, "all plugins' entries of the resource");
    assert_eq!(get(&mut client, "access_request", "", "").await.len(), 2);
    assert_eq!(get(&mut client, "access_request", "", "slack").await.len(), 1);
    assert!(get(&mut client, "access_request", &second, "slack").await.is_empty());
    assert!(get(&mut client, "access_list", "", "").await.is_empty());
}

#[tokio::test]
async fn all_records_of_a_kind_come_in_one_answer_however_large() {
    let cluster = cluster().await;
    let big = "x".repeat(900_000);
    for _ in 0..5 {
        let id = cluster.create_request(dba());
        cluster.set_plugin_data(&id, "slack", &[("a", &big)]).unwrap();
    }
    let filter = PluginDataFilter { kind: "access_request".to_owned(), ..PluginDataFilter::default() };
    let refused = plugin(&cluster).await.get_plugin_data(filter.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "by the client, which takes 4 MiB unless told otherwise");
    let mut client = plugin(&cluster).await.max_decoding_message_size(16 << 20);
    assert_eq!(client.get_plugin_data(filter).await.unwrap().into_inner().plugin_data.len(), 5);
}

#[tokio::test]
async fn every_write_changes_the_revision() {
    let cluster = cluster().await;
    let id = cluster.create_request(dba());
    let revision = || cluster.plugin_record("access_request", &id).unwrap().metadata.unwrap().revision;
    cluster.set_plugin_data(&id, "slack", &[("a", "1")]).unwrap();
    let before = revision();
    cluster.set_plugin_data(&id, "slack", &[("a", "1")]).unwrap();
    assert_ne!(revision(), before);
}

#[tokio::test]
async fn an_empty_expectation_checks_nothing() {
    let cluster = cluster().await;
    let mut client = plugin(&cluster).await;
    let id = cluster.create_request(dba());
    for value in ["1", "2"] {
        client.update_plugin_data(update(&id, &[("a", value)], &[])).await.unwrap();
    }
    assert_eq!(cluster.plugin_data(&id, "slack")["a"], "2");
}

#[tokio::test]
async fn other_kinds_and_large_records_are_bad_parameters() {
    let cluster = cluster().await;
    let mut client = plugin(&cluster).await;
    let id = cluster.create_request(dba());
    let mut node = update(&id, &[("a", "1")], &[]);
    "node".clone_into(&mut node.kind);
    let refused = client.update_plugin_data(node).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, "unsupported resource kind \"node\""));
    let big = "x".repeat(1_000_001);
    let refused = client.update_plugin_data(update(&id, &[("a", &big)], &[])).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, "plugin data size limit exceeded"));
}

#[tokio::test]
async fn access_lists_have_plugin_data_without_any_check_that_they_exist() {
    let cluster = cluster().await;
    let mut client = plugin(&cluster).await;
    let mut params = update("list", &[("user_notifications", "{}")], &[]);
    "access_list".clone_into(&mut params.kind);
    client.update_plugin_data(params).await.unwrap();
    cluster.advance(Duration::from_hours(13 * 24));
    assert_eq!(get(&mut client, "access_list", "list", "slack").await.len(), 1);
    cluster.advance(Duration::from_hours(2 * 24));
    assert!(get(&mut client, "access_list", "list", "slack").await.is_empty());
}

#[tokio::test]
async fn a_right_on_requests_counts_for_their_plugin_data() {
    let cluster = cluster().await;
    let id = cluster.create_request(dba());
    let mut client = plugin(&cluster).await;
    cluster.set_permissions("slack-plugin", Some(vec![Rule::new("access_request", &["update"])]));
    client.update_plugin_data(update(&id, &[("a", "1")], &[])).await.unwrap();
    cluster.set_permissions("slack-plugin", Some(vec![]));
    let denied = client.update_plugin_data(update(&id, &[("a", "1")], &[])).await.unwrap_err();
    assert_eq!(denied.message(), "access denied to perform action \"update\" on \"access_plugin_data\"");
}

#[tokio::test]
async fn of_two_writers_with_the_same_expectation_one_wins() {
    let cluster = cluster().await;
    let id = cluster.create_request(dba());
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..8 {
        let mut client = plugin(&cluster).await;
        let params = update(&id, &[("owner", &number.to_string())], &[("owner", "")]);
        writers.spawn(async move { client.update_plugin_data(params).await.is_ok() });
    }
    let winners = writers.join_all().await.into_iter().filter(|won| *won).count();
    assert_eq!(winners, 1);
}
