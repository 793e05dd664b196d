use std::time::Duration;

use simulators::teleport::pb::proto::PingRequest;
use simulators::teleport::pb::proto::auth_service_client::AuthServiceClient;
use simulators::teleport::{Cluster, Config};
use tonic::Code;

use crate::support::{Deadline, HOUR, SOON, channel, cluster, dba, endpoint, events, next, plugin, tls, update};

#[tokio::test]
async fn a_client_that_pings_too_often_is_sent_away() {
    let cluster = cluster().await;
    let identity = cluster.user_identity("slack-plugin", HOUR).unwrap();
    let endpoint = endpoint().http2_keep_alive_interval(Duration::from_millis(20)).keep_alive_while_idle(true);
    let config = tls(Some(&identity), &identity.authorities_pem(), &["h2"]);
    let channel = channel(endpoint, cluster.addr(), config).await.unwrap();
    let mut client = AuthServiceClient::with_interceptor(channel, Deadline);
    let mut stream = events(&mut client, &["access_request"]).await;
    next(&mut stream).await.unwrap().unwrap();
    next(&mut stream).await.unwrap_err();
    assert_eq!(cluster.violations()[0].what, "pinged again before 60s had passed");
}

#[tokio::test]
async fn pings_as_seldom_as_allowed_are_answered() {
    let config = Config { keepalive_min_time: Duration::from_millis(1), ..Config::default() };
    let cluster = Cluster::start(config).await.unwrap();
    let identity = cluster.user_identity("slack-plugin", HOUR).unwrap();
    let endpoint = endpoint().http2_keep_alive_interval(Duration::from_millis(20)).keep_alive_while_idle(true);
    let config = tls(Some(&identity), &identity.authorities_pem(), &["h2"]);
    let channel = channel(endpoint, cluster.addr(), config).await.unwrap();
    let mut stream = events(&mut AuthServiceClient::with_interceptor(channel, Deadline), &["access_request"]).await;
    next(&mut stream).await.unwrap().unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(200), stream.message()).await.is_err(), "it should stay quiet");
    cluster.assert_no_violations();
}

#[tokio::test]
async fn a_unary_call_without_a_deadline_is_held_against_the_client() {
    let cluster = cluster().await;
    let identity = cluster.user_identity("slack-plugin", HOUR).unwrap();
    let config = tls(Some(&identity), &identity.authorities_pem(), &["h2"]);
    let channel = channel(endpoint(), cluster.addr(), config).await.unwrap();
    AuthServiceClient::new(channel).ping(PingRequest {}).await.unwrap();
    let violation = cluster.violations().remove(0);
    assert_eq!((violation.place.as_str(), violation.what.as_str()), ("Ping", "a unary call without a deadline"));
}

#[tokio::test]
async fn a_method_that_teleport_does_not_have_is_held_against_the_client() {
    let cluster = cluster().await;
    let identity = cluster.user_identity("slack-plugin", HOUR).unwrap();
    let config = tls(Some(&identity), &identity.authorities_pem(), &["h2"]);
    let mut grpc = tonic::client::Grpc::new(channel(endpoint(), cluster.addr(), config).await.unwrap());
    grpc.ready().await.unwrap();
    let mut request = tonic::Request::new(PingRequest {});
    request.set_timeout(SOON);
    let codec = tonic_prost::ProstCodec::<PingRequest, PingRequest>::default();
    let path = "/proto.AuthService/Pong".parse().unwrap();
    assert_eq!(grpc.unary(request, path, codec).await.unwrap_err().code(), Code::Unimplemented);
    assert_eq!(cluster.violations()[0].what, "no such method in the simulator: /proto.AuthService/Pong");
}

#[tokio::test]
async fn a_message_of_more_than_four_mebibytes_is_refused() {
    let cluster = cluster().await;
    let id = cluster.create_request(dba());
    let mut client = plugin(&cluster).await;
    let big = "x".repeat(5 << 20);
    let refused = client.update_plugin_data(update(&id, &[("a", &big)], &[])).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().starts_with("grpc: received message larger than max"));
    assert_eq!(cluster.violations().len(), 1);
}

#[tokio::test]
async fn the_journal_says_who_called_what_and_what_was_answered() {
    let cluster = cluster().await;
    let mut client = plugin(&cluster).await;
    client.update_plugin_data(update("nope", &[("a", "1")], &[])).await.unwrap_err();
    let call = cluster.calls("UpdatePluginData").remove(0);
    assert_eq!((call.user.as_str(), call.code.as_deref()), ("slack-plugin", Some("NotFound")));
    assert!(call.request.contains("nope"), "{}", call.request);
    cluster.clear_journal();
    assert!(cluster.journal().is_empty());
}
