//! The ways to the Auth service: found out, not asked.

use crate::{
    cluster::{Own, Teleport},
    slack::Slack,
    worker::{Configuration, Home, Worker},
};

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

#[tokio::test]
async fn through_the_proxy_with_an_ssh_tunnel() {
    let own = Own::start("separate").await;
    let teleport = own.teleport();
    let (home, slack, role) = (Home::new(), Slack::start().await, teleport.role("tunnel").await);
    teleport.sign("access-plugin", "1h", &home.path("auth.pem")).await;

    let mut configuration = home.configuration(&teleport.proxy, &slack, &role, &["access-requests"]);
    configuration.rest.push_str("\"*\" = \"general\"\n");
    let file = configuration.write(&home);
    let refused = home.refused(&["start", &format!("--config={}", file.display())]).await;
    for words in [&*teleport.proxy, "the Proxy's web certificate is not trusted"] {
        assert!(refused.contains(words), "{words} in {refused}");
    }

    let configuration = configuration.teleport("ca_bundle", teleport.web_ca.to_str().unwrap());
    let port = teleport.tunnel.rsplit_once(':').unwrap().1;
    let way = works(teleport, &home, slack, configuration, &role, "through the Proxy (SSH tunnel at ").await;
    assert!(way.ends_with(&format!(":{port})")), "{way}");
}
