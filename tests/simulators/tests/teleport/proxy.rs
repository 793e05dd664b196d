use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{SinkExt, StreamExt};
use serde_json::Value;
use simulators::teleport::authority::encoded_cluster_name;
use simulators::teleport::pb::proto::PingRequest;
use simulators::teleport::pb::proto::auth_service_client::AuthServiceClient;
use simulators::teleport::{Cluster, Config, ProxyConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::support::{Deadline, HOUR, channel, dial, endpoint, tls};

async fn cluster(config: ProxyConfig) -> Cluster {
    Cluster::start(Config { proxy: Some(config), ..Config::default() }).await.unwrap()
}

async fn get(cluster: &Cluster, path: &str) -> (String, Value) {
    let config = tls(None, &cluster.web_authority_pem(), &["http/1.1"]);
    let mut stream = dial(cluster.proxy_addr().unwrap(), "localhost", config).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A server that hangs up without closing TLS is read to its end all the same.
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn the_lookup_tells_version_cluster_and_addresses() {
    let routing =
        cluster(ProxyConfig { public_addr: Some("tele.example.com:443".to_owned()), ..ProxyConfig::default() });
    let routing = routing.await;
    let (status, found) = get(&routing, "/webapi/find").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert_eq!(found["cluster_name"], "teleport.example.com");
    assert_eq!(found["server_version"], "18.11.1");
    assert_eq!(found["proxy"]["tls_routing_enabled"], true);
    assert_eq!(found["proxy"]["ssh"]["public_addr"], "tele.example.com:443");

    let separate = cluster(ProxyConfig { tls_routing: false, ..ProxyConfig::default() }).await;
    let (_, found) = get(&separate, "/webapi/ping").await;
    assert_eq!(found["proxy"]["tls_routing_enabled"], false);
    assert_eq!(found["proxy"]["ssh"]["tunnel_listen_addr"], separate.tunnel_addr().unwrap().to_string());
    let (status, error) = get(&separate, "/webapi/nope").await;
    assert_eq!(
        (status.as_str(), error["error"]["message"].as_str()),
        ("HTTP/1.1 404 Not Found", Some("path not found"))
    );
}

#[tokio::test]
async fn auth_is_reached_through_the_web_port_by_alpn() {
    let cluster = cluster(ProxyConfig::default()).await;
    let identity = cluster.user_identity("slack-plugin", HOUR).unwrap();
    let special = format!("teleport-auth@{}", encoded_cluster_name(cluster.name()));
    let config = tls(Some(&identity), &identity.authorities_pem(), &[&special, "h2"]);
    let channel = channel(endpoint(), cluster.proxy_addr().unwrap(), config).await.unwrap();
    let mut client = AuthServiceClient::with_interceptor(channel, Deadline);
    let answer = client.ping(PingRequest {}).await.unwrap().into_inner();
    assert_eq!(answer.proxy_public_addr, format!("localhost:{}", cluster.proxy_addr().unwrap().port()));
    cluster.stop_proxy().await;
    client.ping(PingRequest {}).await.unwrap_err();
    cluster.resume_proxy().await.unwrap();
    client.ping(PingRequest {}).await.unwrap();
    cluster.assert_no_violations();
}

#[tokio::test]
async fn another_cluster_or_a_proxy_without_routing_leads_nowhere() {
    for (config, name) in [
        (ProxyConfig::default(), "elsewhere.example.com"),
        (ProxyConfig { tls_routing: false, ..ProxyConfig::default() }, "teleport.example.com"),
    ] {
        let cluster = cluster(config).await;
        let identity = cluster.user_identity("slack-plugin", HOUR).unwrap();
        let special = format!("teleport-auth@{}", encoded_cluster_name(name));
        let config = tls(Some(&identity), &identity.authorities_pem(), &[&special, "h2"]);
        dial(cluster.proxy_addr().unwrap(), "teleport.cluster.local", config).await.unwrap_err();
    }
}

/// What a client sees that offers the tunnel's protocol alone: the test whether an upgrade is needed.
async fn negotiated(cluster: &Cluster) -> Result<Option<Vec<u8>>, String> {
    let config = tls(None, &cluster.web_authority_pem(), &["teleport-reversetunnel"]);
    let stream = dial(cluster.proxy_addr().unwrap(), "localhost", config).await.map_err(|error| error.to_string())?;
    Ok(stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec))
}

#[tokio::test]
async fn the_test_for_an_upgrade_tells_the_three_proxies_apart() {
    let routing = cluster(ProxyConfig::default()).await;
    assert_eq!(negotiated(&routing).await.unwrap().unwrap(), b"teleport-reversetunnel");
    let balancer = cluster(ProxyConfig { behind_load_balancer: true, ..ProxyConfig::default() }).await;
    assert_eq!(negotiated(&balancer).await.unwrap(), None);
    let separate = cluster(ProxyConfig { tls_routing: false, ..ProxyConfig::default() }).await;
    let alert = negotiated(&separate).await.unwrap_err();
    assert!(alert.contains("NoApplicationProtocol"), "{alert}");
}

/// Speaks with the tunnel's server: the first line of SSH is enough to know that bytes travel both ways.
async fn ssh_greeting(stream: impl AsyncRead + AsyncWrite + Unpin, cluster: &Cluster) -> String {
    // Inside an upgraded connection the Proxy shows a certificate of the cluster's own.
    let roots = cluster.sign_identity("x", &[], HOUR).unwrap().authorities_pem();
    let config = tls(None, &roots, &["teleport-reversetunnel"]);
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let mut stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    stream.write_all(b"SSH-2.0-test\r\n").await.unwrap();
    let mut line = vec![0; 18];
    stream.read_exact(&mut line).await.unwrap();
    String::from_utf8(line).unwrap()
}

async fn upgrade(cluster: &Cluster, headers: &str) -> (String, impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let config = tls(None, &cluster.web_authority_pem(), &["http/1.1"]);
    let mut stream = dial(cluster.proxy_addr().unwrap(), "localhost", config).await.unwrap();
    let request =
        format!("GET /webapi/connectionupgrade HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    (String::from_utf8(head).unwrap().to_ascii_lowercase(), stream)
}

#[tokio::test]
async fn behind_a_load_balancer_the_tunnel_is_reached_by_a_web_socket() {
    let cluster = cluster(ProxyConfig { behind_load_balancer: true, ..ProxyConfig::default() }).await;
    let key = STANDARD.encode([7; 16]);
    let headers = format!(
        "upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: {key}\r\nsec-websocket-protocol: alpn\r\n"
    );
    let (head, stream) = upgrade(&cluster, &headers).await;
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(head.contains("sec-websocket-protocol: alpn\r\n"), "{head}");
    let (mut frames, mut messages) = WebSocketStream::from_raw_socket(stream, Role::Client, None).await.split();
    let (near, far) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move {
        let (mut reading, mut writing) = tokio::io::split(near);
        let mut buffer = vec![0; 4096];
        loop {
            tokio::select! {
                count = reading.read(&mut buffer) => match count {
                    Ok(count) if count > 0 => {
                        frames.send(Message::binary(buffer[..count].to_vec())).await.unwrap();
                    }
                    _ => return,
                },
                message = messages.next() => match message {
                    Some(Ok(Message::Binary(bytes))) => writing.write_all(&bytes).await.unwrap(),
                    Some(Ok(_)) => {}
                    _ => return,
                },
            }
        }
    });
    assert_eq!(ssh_greeting(far, &cluster).await, "SSH-2.0-Teleport\r\n");
}

#[tokio::test]
async fn behind_a_load_balancer_the_tunnel_is_reached_by_the_old_upgrade() {
    let cluster = cluster(ProxyConfig { behind_load_balancer: true, ..ProxyConfig::default() }).await;
    let (head, stream) = upgrade(&cluster, "upgrade: alpn\r\nx-teleport-upgrade: alpn\r\n").await;
    assert!(head.contains("\r\nupgrade: alpn\r\n"), "{head}");
    assert_eq!(ssh_greeting(stream, &cluster).await, "SSH-2.0-Teleport\r\n");
    let (head, _) = upgrade(&cluster, "upgrade: h2c\r\n").await;
    assert!(head.starts_with("http/1.1 404 "), "{head}");
}
