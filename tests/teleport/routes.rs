//! The ways to the Auth service: found out, not asked.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::cluster::{Own, Teleport};
use crate::slack::Slack;
use crate::worker::{Configuration, Home, Worker};

/// How a client asks a Proxy to be routed to Auth, in its first bytes.
const ROUTED: &[u8] = b"teleport-auth@";

/// Announces and resolves one request; the log has to say which way was taken.
async fn works(
    teleport: &Teleport,
    home: &Home,
    slack: Slack,
    configuration: Configuration,
    role: &str,
    way: &str,
) -> String {
    let file = configuration.write(home);
    let mut worker = Worker::spawn(&home.program, &["worker", &format!("--config={}", file.display())]);
    let line = worker.line("Connected to Teleport ").await;
    assert!(line.contains(way), "{line}");
    worker.line("Plugin is ready").await;
    let id = teleport.ask(role, "").await;
    slack.announced("access-requests", &id).await;
    teleport.tctl(&["requests", "approve", &id]).await;
    slack.shows("access-requests", &id, "approved", Some("white_check_mark")).await;
    worker.stop().await;
    slack.finish().await;
    line
}

#[tokio::test]
async fn directly() {
    let teleport = Teleport::shared().await;
    let (home, slack, role) = (Home::new(), Slack::start().await, teleport.role("direct").await);
    teleport.sign("access-plugin", "1h", &home.path("auth.pem")).await;
    let configuration = home.configuration(&teleport.auth, &slack, &role, &["access-requests"]);
    works(teleport, &home, slack, configuration, &role, "directly").await;
}

#[tokio::test]
async fn through_the_proxy_with_tls_routing() {
    let teleport = Teleport::shared().await;
    let (home, slack, role) = (Home::new(), Slack::start().await, teleport.role("alpn").await);
    teleport.sign("access-plugin", "1h", &home.path("auth.pem")).await;
    let configuration = home.configuration(&teleport.proxy, &slack, &role, &["access-requests"]);
    works(teleport, &home, slack, configuration, &role, "through the Proxy (TLS routing)").await;
}

/// A Proxy's web port as it is without TLS routing: Teleport 14.2.3 routes there even when its listeners are separate,
/// so connections which ask for that are closed on their way.
async fn without_tls_routing(proxy: &str) -> String {
    let (listener, proxy) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), proxy.to_owned());
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let proxy = proxy.clone();
            tokio::spawn(async move {
                let mut hello = vec![0; 16 * 1024];
                let length = near.read(&mut hello).await?;
                hello.truncate(length);
                if hello.windows(ROUTED.len()).any(|window| window == ROUTED) {
                    return std::io::Result::Ok(());
                }
                let mut far = TcpStream::connect(proxy).await?;
                far.write_all(&hello).await?;
                copy_bidirectional(&mut near, &mut far).await.map(drop)
            });
        }
    });
    address
}

#[tokio::test]
async fn through_the_proxy_with_an_ssh_tunnel() {
    let own = Own::start("separate").await;
    let teleport = own.teleport();
    let (home, slack, role) = (Home::new(), Slack::start().await, teleport.role("tunnel").await);
    teleport.sign("access-plugin", "1h", &home.path("auth.pem")).await;
    let port = teleport.tunnel.rsplit_once(':').unwrap().1;
    let over_the_tunnel = |line: &str| line.contains("(SSH tunnel at ") && line.contains(&format!(":{port})"));

    // The tunnel's own port.
    let configuration = home.configuration(&teleport.tunnel, &slack, &role, &["access-requests"]);
    let line = works(teleport, &home, slack, configuration, &role, "through the Proxy").await;
    assert!(over_the_tunnel(&line), "{line}");

    // The web port tells where the tunnel is, if it can be trusted.
    let (web, slack) = (without_tls_routing(&teleport.proxy).await, Slack::start().await);
    let mut configuration = home.configuration(&web, &slack, &role, &["access-requests"]);
    configuration.rest.push_str("\"*\" = \"general\"\n");
    let file = configuration.write(&home);
    let refused = home.refused(&["start", &format!("--config={}", file.display())]).await;
    for words in [&*web, "the Proxy's web certificate is not trusted"] {
        assert!(refused.contains(words), "{words} in {refused}");
    }
    let configuration = configuration.teleport("ca_bundle", teleport.web_ca.to_str().unwrap());
    let line = works(teleport, &home, slack, configuration, &role, "through the Proxy").await;
    assert!(over_the_tunnel(&line), "{line}");
}
