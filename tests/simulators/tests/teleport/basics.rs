use simulators::teleport::NewReview;
use simulators::teleport::pb::proto::event::Resource;
use simulators::teleport::pb::proto::{Operation, PingRequest};
use simulators::teleport::pb::types::{PluginDataFilter, RequestState};
use tonic::Code;

use crate::support::{auth, cluster, dba, events, next, plugin, try_auth, update};

#[tokio::test]
async fn ping_tells_name_and_version_of_the_cluster() {
    let cluster = cluster().await;
    let answer = plugin(&cluster).await.ping(PingRequest {}).await.unwrap();
    assert_eq!(answer.metadata().get("version").unwrap(), "18.11.1");
    assert_eq!(answer.get_ref().cluster_name, "teleport.example.com");
    assert!(answer.get_ref().server_features.unwrap().advanced_access_workflows);
    cluster.assert_no_violations();
}

#[tokio::test]
async fn a_request_is_seen_from_creation_to_expiry() {
    let cluster = cluster().await;
    let mut stream = events(&mut plugin(&cluster).await, &["access_request"]).await;
    let init = next(&mut stream).await.unwrap().unwrap();
    assert_eq!(init.r#type(), Operation::Init);

    let id = cluster.create_request(dba());
    cluster.review(&id, &NewReview::approve("bob@example.com", "fine")).unwrap();
    assert!(cluster.expire(&id));

    let mut states = Vec::new();
    for _ in 0..2 {
        let event = next(&mut stream).await.unwrap().unwrap();
        let Some(Resource::AccessRequest(request)) = event.resource else { panic!("no request: {event:?}") };
        states.push(request.spec.unwrap().state());
    }
    assert_eq!(states, [RequestState::Pending, RequestState::Approved]);
    let gone = next(&mut stream).await.unwrap().unwrap();
    assert_eq!(gone.r#type(), Operation::Delete);
    let Some(Resource::ResourceHeader(header)) = gone.resource else { panic!("no header") };
    assert_eq!((header.kind.as_str(), header.metadata.unwrap().name), ("access_request", id));
}

#[tokio::test]
async fn plugin_data_is_written_by_compare_and_swap() {
    let cluster = cluster().await;
    let mut client = plugin(&cluster).await;
    let id = cluster.create_request(dba());
    client.update_plugin_data(update(&id, &[("user", "alice")], &[("user", "")])).await.unwrap();
    let lost = client.update_plugin_data(update(&id, &[("user", "bob")], &[("user", "")])).await.unwrap_err();
    assert_eq!((lost.code(), lost.message()), (Code::FailedPrecondition, "expectations not met for field \"user\""));

    let filter = PluginDataFilter { kind: "access_request".to_owned(), ..PluginDataFilter::default() };
    let all = client.get_plugin_data(filter).await.unwrap().into_inner().plugin_data;
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].spec.as_ref().unwrap().entries["slack"].data["user"], "alice");
}

#[tokio::test]
async fn without_a_certificate_only_ping_works() {
    let cluster = cluster().await;
    let mut nobody = try_auth(&cluster, None).await.unwrap();
    nobody.ping(PingRequest {}).await.unwrap();
    let filter = PluginDataFilter { kind: "access_request".to_owned(), ..PluginDataFilter::default() };
    let refused = nobody.get_plugin_data(filter).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(refused.message(), "access denied to perform action \"list\" on \"access_plugin_data\"");
    let mut alice = auth(&cluster, "alice@example.com").await;
    assert_eq!(alice.ping(PingRequest {}).await.unwrap().into_inner().server_version, "18.11.1");
}
