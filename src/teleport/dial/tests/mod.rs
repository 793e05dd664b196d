use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use crate::teleport::dial::*;
use crate::teleport::testing::{Cluster, Issued, Validity};

mod servers;

use crate::teleport::dial::tests::servers::{Server, Upgrades};

fn identity(cluster: &Cluster, validity: Validity) -> Arc<Identity> {
    let file = cluster.identity_file("slack", validity);
    Arc::new(Identity::from_identity_file(file.as_bytes(), "auth.pem").unwrap())
}

fn without_ssh(cluster: &Cluster) -> Arc<Identity> {
    let Issued { key, certificate, .. } = cluster.issue("slack", Validity::Valid);
    let file = key + &certificate + &cluster.ca_pem();
    Arc::new(Identity::from_identity_file(file.as_bytes(), "auth.pem").unwrap())
}

fn trusting(authority: rustls::pki_types::CertificateDer<'static>) -> DialOptions {
    DialOptions { web_authorities: vec![authority], ..DialOptions::default() }
}

/// Makes a call. The servers here know no method; that they say so shows that the call got there.
async fn call(channel: &Channel) -> Status {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let path = PathAndQuery::from_static("/proto.AuthService/Ping");
    grpc.unary(tonic::Request::new(()), path, ProstCodec::<(), ()>::default()).await.unwrap_err()
}

async fn failure(address: &str, identity: Arc<Identity>, options: &DialOptions) -> DialError {
    dial(address, identity, options).await.map(|(_, route)| route).unwrap_err()
}

const NO_ROUTING: &str = r#"{"proxy":{"tls_routing_enabled":false,"ssh":{"tunnel_listen_addr":"TUNNEL"}}}"#;
const ROUTING: &str = r#"{"proxy":{"tls_routing_enabled":true}}"#;

#[tokio::test]
async fn an_auth_server_is_dialed_directly_and_again_after_a_cut() {
    let cluster = Cluster::new("example");
    let server = Server::auth(&cluster).await;
    let address = server.address.to_string();
    let (channel, route) = dial(&address, identity(&cluster, Validity::Valid), &DialOptions::default()).await.unwrap();
    assert_eq!((route.clone(), route.to_string().as_str()), (Route::Direct, "directly"));
    assert_eq!(call(&channel).await.code(), Code::Unimplemented);
    assert_eq!(server.accepted(), 1, "the connection that won the race is the one in use");

    server.cut();
    let mut attempts = 0;
    while call(&channel).await.code() != Code::Unimplemented {
        attempts += 1;
        assert!(attempts < 20, "the channel does not find its way back");
    }
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn a_proxy_with_tls_routing_needs_nothing_but_the_identity() {
    let cluster = Cluster::new("example");
    let server = Server::routing_proxy(&cluster).await;
    let (channel, route) =
        dial(&server.address.to_string(), without_ssh(&cluster), &DialOptions::default()).await.unwrap();
    assert_eq!(route, Route::ProxyAlpn);
    assert_eq!(call(&channel).await.code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_proxy_behind_a_load_balancer_is_reached_by_an_upgrade_of_either_kind() {
    let cluster = Cluster::new("example");
    for manner in [Upgrades::WebSocketWithPings, Upgrades::WebSocket, Upgrades::Legacy] {
        let (server, authority) = Server::web(ROUTING.to_owned(), Some((manner, &cluster))).await;
        let (channel, route) =
            dial(&server.address.to_string(), without_ssh(&cluster), &trusting(authority)).await.unwrap();
        assert_eq!(route, Route::ProxyAlpnUpgraded);
        for _ in 0..3 {
            assert_eq!(call(&channel).await.code(), Code::Unimplemented);
        }
    }
}

#[tokio::test]
async fn a_front_that_lets_no_upgrade_through_is_said_in_one_message() {
    let cluster = Cluster::new("example");
    for status in ["200 OK", "400 Bad Request", "403 Forbidden", "426 Upgrade Required", "502 Bad Gateway"] {
        let (server, authority) = Server::web(ROUTING.to_owned(), Some((Upgrades::Never(status), &cluster))).await;
        let error = failure(&server.address.to_string(), without_ssh(&cluster), &trusting(authority)).await.to_string();
        assert_eq!(error.matches(&format!("front answered {status}")).count(), 1, "{error}");
        assert!(error.contains("must pass `Connection: Upgrade`"), "{error}");
    }
}

#[tokio::test]
async fn the_upgrade_can_be_forbidden() {
    let cluster = Cluster::new("example");
    let (server, authority) = Server::web(ROUTING.to_owned(), Some((Upgrades::WebSocket, &cluster))).await;
    let options = DialOptions { conn_upgrade: UpgradeOverride::parse("no"), ..trusting(authority) };
    let error = failure(&server.address.to_string(), without_ssh(&cluster), &options).await.to_string();
    assert!(error.contains("no SSH certificate"), "{error}");
}

#[tokio::test]
async fn a_proxy_without_tls_routing_is_reached_by_its_tunnel() {
    let cluster = Cluster::new("example");
    let tunnel = Server::tunnel(&cluster).await;
    let find = NO_ROUTING.replace("TUNNEL", &tunnel.address.to_string());
    let (web, authority) = Server::web(find, None).await;
    let (channel, route) =
        dial(&web.address.to_string(), identity(&cluster, Validity::Valid), &trusting(authority)).await.unwrap();
    let address = tunnel.address.to_string().parse().unwrap();
    assert_eq!(route, Route::ProxyTunnel { address, over_tls: false });
    assert_eq!(call(&channel).await.code(), Code::Unimplemented);
}

#[tokio::test]
async fn the_tunnels_own_address_works_too_and_can_be_given_separately() {
    let cluster = Cluster::new("example");
    let tunnel = Server::tunnel(&cluster).await;
    let identity = identity(&cluster, Validity::Valid);
    let here = tunnel.address.to_string();
    let options = DialOptions { timeout: Duration::from_secs(2), ..DialOptions::default() };
    let (channel, _) = dial(&here, Arc::clone(&identity), &options).await.unwrap();
    assert_eq!(call(&channel).await.code(), Code::Unimplemented);

    let (web, _) = Server::web("no answer that makes sense".to_owned(), None).await;
    let options = DialOptions { tunnel_public_addr: Some(here), ..DialOptions::default() };
    let (channel, _) = dial(&web.address.to_string(), identity, &options).await.unwrap();
    assert_eq!(call(&channel).await.code(), Code::Unimplemented);
}

#[tokio::test]
async fn an_expired_identity_is_told_apart_from_an_unreachable_server() {
    let cluster = Cluster::new("example");
    let server = Server::auth(&cluster).await;
    let address = server.address.to_string();
    let error = failure(&address, identity(&cluster, Validity::Expired), &DialOptions::default()).await;
    assert!(matches!(error, DialError::Refused { refusal: Refusal::Expired, .. }), "{error}");
    assert!(error.to_string().contains("tctl auth sign"), "{error}");
}

#[tokio::test]
async fn a_refusal_on_a_later_connection_is_found_in_the_status() {
    // As if the certificate had expired since the first connection: the route is known, the server now refuses.
    let cluster = Cluster::new("example");
    let server = Server::auth(&cluster).await;
    let address = server.address.to_string().parse().unwrap();
    let expired = identity(&cluster, Validity::Expired);
    let context = Arc::new(Context::new(address, expired, DialOptions::default()).unwrap());
    let (broken, _) = tokio::io::duplex(1);
    let channel = channel(context, Route::Direct, Box::new(broken));
    let mut found = None;
    for _ in 0..20 {
        found = refusal(&call(&channel).await);
        if found.is_some() {
            break;
        }
    }
    assert_eq!(found, Some(Refusal::Expired));
}

#[tokio::test]
async fn a_server_of_another_cluster_is_not_trusted_and_every_way_is_accounted_for() {
    let server = Server::auth(&Cluster::new("example")).await;
    let stranger = identity(&Cluster::new("example"), Validity::Valid);
    let options = DialOptions { timeout: Duration::from_secs(2), ..DialOptions::default() };
    let error = failure(&server.address.to_string(), stranger, &options).await.to_string();
    for expected in [
        &server.address.to_string(),
        "as an Auth server, as a Proxy with TLS routing: the server's certificate is not of the identity's cluster",
        "as the Proxy itself says: ",
        "as a Proxy's SSH tunnel: ",
        "of the same cluster",
    ] {
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[tokio::test]
async fn a_closed_port_is_said_once() {
    let cluster = Cluster::new("example");
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let error = failure(&address, identity(&cluster, Validity::Valid), &DialOptions::default()).await.to_string();
    assert_eq!(error.matches("cannot connect").count(), 1, "{error}");
    assert!(error.ends_with("check the address, the network and that Teleport is running"), "{error}");
}

#[tokio::test]
async fn a_web_certificate_that_is_not_trusted_is_explained() {
    let cluster = Cluster::new("example");
    let (web, _) = Server::web(NO_ROUTING.to_owned(), None).await;
    let error = failure(&web.address.to_string(), without_ssh(&cluster), &DialOptions::default()).await.to_string();
    assert!(error.contains("the Proxy's web certificate is not trusted (unknown issuer)"), "{error}");
    assert!(error.contains("SSL_CERT_FILE"), "{error}");
}

#[tokio::test]
async fn a_silent_server_does_not_hold_us_up_for_longer_than_the_timeout() {
    let cluster = Cluster::new("example");
    let server = Server::silent().await;
    let options = DialOptions { timeout: Duration::from_millis(50), ..DialOptions::default() };
    let error = failure(&server.address.to_string(), identity(&cluster, Validity::Valid), &options).await.to_string();
    assert!(error.contains("no answer within"), "{error}");
}

#[tokio::test]
async fn an_http_proxy_is_used_for_everything_but_loopback_and_shown_without_its_password() {
    let cluster = Cluster::new("example");
    let auth = Server::auth(&cluster).await;
    let heads = Arc::default();
    let proxy = Server::http_proxy("auth.test:3025", auth.address, Arc::clone(&heads)).await;
    let url = format!("http://user:secret@{}", proxy.address);
    let options =
        DialOptions { http_proxy: HttpProxySettings::new(Some(&url), Some("excepted.test")), ..DialOptions::default() };
    let identity = identity(&cluster, Validity::Valid);
    let (channel, route) = dial("auth.test:3025", Arc::clone(&identity), &options).await.unwrap();
    assert_eq!(route, Route::Direct);
    assert_eq!(call(&channel).await.code(), Code::Unimplemented);
    let head = heads.lock().unwrap()[0].to_ascii_lowercase();
    assert!(head.contains("proxy-authorization: basic dxnlcjpzzwnyzxq="), "{head}");

    let error = failure("forbidden.test:3025", Arc::clone(&identity), &options).await.to_string();
    assert!(error.contains("403") && error.contains(&proxy.address.to_string()), "{error}");
    assert!(!error.contains("secret"), "{error}");

    let asked = proxy.accepted();
    dial(&auth.address.to_string(), identity, &options).await.unwrap();
    assert_eq!(proxy.accepted(), asked, "loopback goes directly");
}

#[tokio::test]
async fn an_address_without_a_port_is_refused_before_anything_is_sent() {
    let cluster = Cluster::new("example");
    let error = failure("proxy.example.com", identity(&cluster, Validity::Valid), &DialOptions::default()).await;
    assert!(matches!(error, DialError::Address(_)), "{error}");
}
