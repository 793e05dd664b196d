use simulators::teleport::pb::proto::event::Resource;
use simulators::teleport::pb::proto::{Event, Operation};
use simulators::teleport::pb::teleport::accessmonitoringrules::v1::AccessMonitoringRule;
use simulators::teleport::pb::teleport::header::v1::Metadata;
use simulators::teleport::{Cluster, Config, Rule};
use tonic::Code;

use crate::support::{SOON, auth, cluster, dba, events, next, plugin, watch};

fn kinds(event: &Event) -> Option<Vec<String>> {
    let Some(Resource::WatchStatus(status)) = &event.resource else { return None };
    Some(status.spec.as_ref()?.kinds.iter().map(|kind| kind.kind.clone()).collect())
}

#[tokio::test]
async fn the_first_event_names_the_kinds_that_are_watched() {
    let cluster = cluster().await;
    let mut stream = events(&mut plugin(&cluster).await, &["access_request", "access_monitoring_rule"]).await;
    let first = next(&mut stream).await.unwrap().unwrap();
    assert_eq!(first.r#type(), Operation::Init);
    assert_eq!(kinds(&first).unwrap(), ["access_request", "access_monitoring_rule"]);
}

#[tokio::test]
async fn before_partial_success_the_first_event_names_nothing() {
    let config = Config { version: "12.4.0".parse().unwrap(), ..Config::old() };
    let cluster = Cluster::start(config).await.unwrap();
    let mut client = plugin(&cluster).await;
    let mut stream = events(&mut client, &["access_request"]).await;
    let first = next(&mut stream).await.unwrap().unwrap();
    assert_eq!((first.r#type(), first.resource), (Operation::Init, None));
    let refused = client.watch_events(watch(&["access_request", "access_monitoring_rule"], true)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "partial success is not understood");
}

#[tokio::test]
async fn what_may_not_be_read_is_left_out_or_ends_the_watch() {
    let cluster = cluster().await;
    cluster.set_permissions("slack-plugin", Some(vec![Rule::new("access_request", &["read"])]));
    let mut client = plugin(&cluster).await;
    let both = ["access_request", "access_monitoring_rule"];
    let mut stream = events(&mut client, &both).await;
    assert_eq!(kinds(&next(&mut stream).await.unwrap().unwrap()).unwrap(), ["access_request"]);

    let denied = client.watch_events(watch(&both, false)).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    assert_eq!(denied.message(), "access denied to perform action \"read\" on \"access_monitoring_rule\"");

    let nothing = client.watch_events(watch(&["access_monitoring_rule"], true)).await.unwrap_err();
    assert_eq!(nothing.code(), Code::InvalidArgument);
    assert_eq!(nothing.message(), "none of the requested kinds can be watched");
}

#[tokio::test]
async fn a_watch_of_everything_is_denied() {
    let cluster = cluster().await;
    let denied = plugin(&cluster).await.watch_events(watch(&[], true)).await.unwrap_err();
    assert_eq!((denied.code(), denied.message()), (Code::PermissionDenied, "can't setup global watch"));
}

#[tokio::test]
async fn requests_that_were_there_before_are_not_replayed_and_every_write_is_an_event() {
    let cluster = cluster().await;
    let old = cluster.create_request(dba());
    let mut stream = events(&mut plugin(&cluster).await, &["access_request"]).await;
    next(&mut stream).await.unwrap().unwrap();
    assert!(cluster.touch_request(&old));
    assert!(cluster.touch_request(&old));
    for _ in 0..2 {
        let event = next(&mut stream).await.unwrap().unwrap();
        let Some(Resource::AccessRequest(request)) = event.resource else { panic!("no request") };
        assert_eq!(request.metadata.unwrap().name, old);
    }
}

#[tokio::test]
async fn users_may_watch_their_own_requests() {
    let cluster = cluster().await;
    let mut alice = auth(&cluster, "alice@example.com").await;
    let mut own = watch(&["access_request"], false);
    assert_eq!(alice.watch_events(own.clone()).await.unwrap_err().code(), Code::PermissionDenied);
    own.kinds[0].filter.insert("user".to_owned(), "alice@example.com".to_owned());
    let mut stream = alice.watch_events(own).await.unwrap().into_inner();
    next(&mut stream).await.unwrap().unwrap();
    cluster.create_request(simulators::teleport::NewRequest::new("bob@example.com", &["dba"]));
    let mine = cluster.create_request(dba());
    let event = next(&mut stream).await.unwrap().unwrap();
    let Some(Resource::AccessRequest(request)) = event.resource else { panic!("no request") };
    assert_eq!(request.metadata.unwrap().name, mine);
}

#[tokio::test]
async fn a_watcher_that_does_not_read_is_dropped() {
    let cluster = Cluster::start(Config { watch_buffer: 8, ..Config::default() }).await.unwrap();
    let mut stream = events(&mut plugin(&cluster).await, &["access_request"]).await;
    next(&mut stream).await.unwrap().unwrap();
    let reason = "x".repeat(100_000);
    for _ in 0..40 {
        cluster.create_request(dba().reason(&reason));
    }
    let end = loop {
        match next(&mut stream).await {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    let error = end.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::InvalidArgument, "buffer overflow"));
    assert_eq!(cluster.open_streams(), 0);
}

#[tokio::test]
async fn monitoring_rules_are_watched_like_requests() {
    let cluster = cluster().await;
    let mut stream = events(&mut plugin(&cluster).await, &["access_monitoring_rule"]).await;
    next(&mut stream).await.unwrap().unwrap();
    let metadata = Metadata { name: "dba".to_owned(), ..Metadata::default() };
    cluster.put_rule(AccessMonitoringRule { metadata: Some(metadata), ..AccessMonitoringRule::default() });
    assert!(cluster.remove_rule("dba"));
    let put = next(&mut stream).await.unwrap().unwrap();
    assert!(matches!(put.resource, Some(Resource::AccessMonitoringRule(_))));
    let deletion = next(&mut stream).await.unwrap().unwrap();
    let Some(Resource::ResourceHeader(header)) = deletion.resource else { panic!("no header") };
    assert_eq!((header.kind.as_str(), header.metadata.unwrap().name.as_str()), ("access_monitoring_rule", "dba"));
}

#[tokio::test]
async fn streams_end_as_they_are_told_to() {
    let cluster = cluster().await;
    let mut client = plugin(&cluster).await;
    let mut stream = events(&mut client, &["access_request"]).await;
    next(&mut stream).await.unwrap().unwrap();
    cluster.end_streams();
    assert_eq!(next(&mut stream).await.unwrap(), None);

    let mut stream = events(&mut client, &["access_request"]).await;
    next(&mut stream).await.unwrap().unwrap();
    cluster.reset_streams();
    assert_eq!(next(&mut stream).await.unwrap_err().code(), Code::Unavailable);

    let mut stream = events(&mut client, &["access_request"]).await;
    next(&mut stream).await.unwrap().unwrap();
    cluster.cut_streams();
    next(&mut stream).await.unwrap_err();
}

#[tokio::test]
async fn a_restart_breaks_the_watch_and_keeps_address_and_state() {
    let cluster = cluster().await;
    let id = cluster.create_request(dba());
    let address = cluster.addr();
    let mut client = plugin(&cluster).await;
    let mut stream = events(&mut client, &["access_request"]).await;
    next(&mut stream).await.unwrap().unwrap();
    cluster.stop().await;
    next(&mut stream).await.unwrap_err();
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "refused while stopped");
    cluster.resume().await.unwrap();
    assert_eq!(cluster.addr(), address);
    assert!(cluster.request(&id).is_some());
    let mut again = events(&mut plugin(&cluster).await, &["access_request"]).await;
    next(&mut again).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_server_that_is_told_to_end_ends_its_watches_without_an_error() {
    let cluster = cluster().await;
    let mut stream = events(&mut plugin(&cluster).await, &["access_request"]).await;
    next(&mut stream).await.unwrap().unwrap();
    cluster.terminate().await;
    assert_eq!(next(&mut stream).await.unwrap(), None);
    assert!(tokio::net::TcpStream::connect(cluster.addr()).await.is_err());
}

#[tokio::test]
async fn waiting_for_a_state_ends_when_it_is_reached() {
    let cluster = cluster().await;
    let id = cluster.create_request(dba());
    let mut client = plugin(&cluster).await;
    let waiting = cluster.clone();
    let wanted = id.clone();
    let waiter = tokio::spawn(async move {
        waiting.wait_for(SOON, |cluster| !cluster.plugin_data(&wanted, "slack").is_empty()).await
    });
    client.update_plugin_data(crate::support::update(&id, &[("a", "1")], &[])).await.unwrap();
    waiter.await.unwrap().unwrap();
    let vain = cluster.wait_for(std::time::Duration::from_millis(10), |_| false).await.unwrap_err();
    assert_eq!(vain.to_string(), "waited 10ms in vain");
}
