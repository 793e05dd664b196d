use std::time::{Duration, Instant};

use simulators::faults::{Effect, Fault};
use simulators::teleport::Cluster;
use simulators::teleport::pb::proto::{Event, ListAccessRequestsRequest, PingRequest};
use simulators::teleport::pb::types::PluginDataFilter;
use tonic::{Code, Streaming};

use crate::support::{cluster, dba, events, next, plugin, update};

fn error(code: &str, message: &str) -> Effect {
    Effect::Error { code: code.to_owned(), message: message.to_owned() }
}

#[tokio::test]
async fn errors_come_with_the_code_and_message_that_were_asked_for_and_as_often() {
    let cluster = cluster().await;
    let mut client = plugin(&cluster).await;
    cluster.inject(Fault::times("Ping", 2, error("unavailable", "down"))).unwrap();
    for _ in 0..2 {
        let failed = client.ping(PingRequest {}).await.unwrap_err();
        assert_eq!((failed.code(), failed.message()), (Code::Unavailable, "down"));
    }
    client.ping(PingRequest {}).await.unwrap();
    let faults: Vec<_> = cluster.calls("Ping").into_iter().map(|call| call.fault.is_some()).collect();
    assert_eq!(faults, [true, true, false]);
}

#[tokio::test]
async fn a_limit_and_a_broken_load_balancer_are_told_apart() {
    let cluster = cluster().await;
    let mut client = plugin(&cluster).await;
    cluster.inject(Fault::once("Ping", Effect::RateLimited { retry_after: None })).unwrap();
    assert_eq!(client.ping(PingRequest {}).await.unwrap_err().code(), Code::ResourceExhausted);
    cluster.inject(Fault::once("Ping", Effect::ServerError { status: 503 })).unwrap();
    // By the gRPC specification this is `Unavailable`; tonic tries to read the page as a message first.
    let failed = client.ping(PingRequest {}).await.unwrap_err();
    assert!(matches!(failed.code(), Code::Unavailable | Code::Internal), "{failed:?}");
}

#[tokio::test]
async fn a_reset_before_has_no_effect_and_a_lost_answer_has() {
    let cluster = cluster().await;
    for (effect, stored) in [(Effect::ResetBefore, false), (Effect::AnswerLost, true)] {
        let id = cluster.create_request(dba());
        let mut client = plugin(&cluster).await;
        cluster.inject(Fault::once("UpdatePluginData", effect.clone())).unwrap();
        client.update_plugin_data(update(&id, &[("a", "1")], &[])).await.unwrap_err();
        assert_eq!(!cluster.plugin_data(&id, "slack").is_empty(), stored, "{effect:?}");
    }
}

#[tokio::test]
async fn a_malformed_answer_has_had_its_effect() {
    let cluster = cluster().await;
    let id = cluster.create_request(dba());
    let mut client = plugin(&cluster).await;
    cluster.inject(Fault::once("UpdatePluginData", Effect::Malformed)).unwrap();
    client.update_plugin_data(update(&id, &[("a", "1")], &[])).await.unwrap_err();
    assert_eq!(cluster.plugin_data(&id, "slack").len(), 1);
}

#[tokio::test]
async fn an_error_after_the_effect_hides_it_and_a_fault_may_be_for_some_arguments_only() {
    let cluster = cluster().await;
    let (one, other) = (cluster.create_request(dba()), cluster.create_request(dba()));
    let mut client = plugin(&cluster).await;
    let fault = Fault::once("UpdatePluginData", Effect::ErrorAfter { code: "unavailable".to_owned() });
    cluster.inject(fault.only(&other)).unwrap();
    client.update_plugin_data(update(&one, &[("a", "1")], &[])).await.unwrap();
    let failed = client.update_plugin_data(update(&other, &[("a", "1")], &[])).await.unwrap_err();
    assert_eq!(failed.code(), Code::Unavailable);
    assert_eq!(cluster.plugin_data(&other, "slack").len(), 1);
}

#[tokio::test]
async fn a_call_that_hangs_ends_by_its_deadline_only_and_a_slow_one_late() {
    let cluster = cluster().await;
    let mut client = plugin(&cluster).await;
    cluster.inject(Fault::once("Ping", Effect::Hang)).unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(100), client.ping(PingRequest {})).await.is_err());
    cluster.inject(Fault::once("Ping", Effect::Slow { millis: 100 })).unwrap();
    let start = Instant::now();
    client.ping(PingRequest {}).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn a_stale_read_sees_the_state_of_a_while_ago() {
    let cluster = cluster().await;
    let mut client = plugin(&cluster).await;
    cluster.create_request(dba());
    let id = cluster.create_request(dba());
    cluster.set_plugin_data(&id, "slack", &[("a", "1")]).unwrap();
    cluster.inject(Fault::once("ListAccessRequests", Effect::StaleRead { millis: 5_000 })).unwrap();
    cluster.inject(Fault::once("GetPluginData", Effect::StaleRead { millis: 5_000 })).unwrap();
    let filter = PluginDataFilter { kind: "access_request".to_owned(), resource: id, plugin: String::new() };
    for (requests, records) in [(0, 0), (2, 1)] {
        let seen = client.list_access_requests(ListAccessRequestsRequest::default()).await.unwrap().into_inner();
        assert_eq!(seen.access_requests.len(), requests);
        let seen = client.get_plugin_data(filter.clone()).await.unwrap().into_inner();
        assert_eq!(seen.plugin_data.len(), records);
    }
}

/// A watch whose second event meets a fault; the first one says what is watched.
async fn watch_with(effect: Effect) -> (Cluster, Streaming<Event>) {
    let cluster = cluster().await;
    cluster.inject(Fault::once("WatchEvents", effect).after(1)).unwrap();
    let mut stream = events(&mut plugin(&cluster).await, &["access_request"]).await;
    next(&mut stream).await.unwrap().unwrap();
    cluster.create_request(dba());
    (cluster, stream)
}

#[tokio::test]
async fn a_stream_is_cut_or_ended_at_an_event() {
    let (_cluster, mut stream) = watch_with(Effect::Cut).await;
    next(&mut stream).await.unwrap_err();
    let (_cluster, mut stream) = watch_with(Effect::End).await;
    assert_eq!(next(&mut stream).await.unwrap(), None);
}

#[tokio::test]
async fn an_event_comes_twice() {
    let (_cluster, mut stream) = watch_with(Effect::Duplicate).await;
    let first = next(&mut stream).await.unwrap().unwrap();
    assert_eq!(next(&mut stream).await.unwrap().unwrap(), first);
}

#[tokio::test]
async fn a_stream_stalls_for_good() {
    let (cluster, mut stream) = watch_with(Effect::Stall).await;
    cluster.create_request(dba());
    assert!(tokio::time::timeout(Duration::from_millis(100), stream.message()).await.is_err());
    assert_eq!(cluster.open_streams(), 1);
}

#[tokio::test]
async fn faults_that_cannot_happen_are_refused() {
    let cluster = cluster().await;
    let unfit = cluster.inject(Fault::once("Ping", Effect::Cut)).unwrap_err();
    let words = "this fault cannot happen to Ping: it is for streams; use one of WatchEvents, GetAccessRequestsV2, \
                 GetUsers, GetCurrentUserRoles, Join";
    assert_eq!(unfit.to_string(), words);
    assert!(cluster.faults().list().is_empty());
}
