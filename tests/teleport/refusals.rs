//! What does not work is said in one line that names what, where and what to do.

use std::time::Duration;

use simulators::teleport::{Cluster, Config};

use crate::cluster::Teleport;
use crate::slack::Slack;
use crate::worker::{Configuration, Home};

/// The line with which `start` ends.
async fn start(home: &Home, mut configuration: Configuration) -> String {
    configuration.rest.push_str("\"*\" = \"general\"\n");
    let file = configuration.write(home);
    home.refused(&["start", &format!("--config={}", file.display())]).await
}

fn assert_says(line: &str, words: &[&str]) {
    for words in words {
        assert!(line.contains(words), "{words:?} in: {line}");
    }
}

#[tokio::test]
async fn a_role_that_may_not_read_requests() {
    let teleport = Teleport::shared().await;
    let (home, slack) = (Home::new(), Slack::start().await);
    teleport.sign("powerless", "1h", &home.path("auth.pem")).await;
    let line = start(&home, home.configuration(&teleport.auth, &slack, "x", &["general"])).await;
    assert_says(
        &line,
        &["powerless", "lack a right in Teleport: list and read on access_request, and update on access_plugin_data"],
    );
    slack.finish().await;
}

#[tokio::test]
async fn an_identity_of_another_cluster() {
    let teleport = Teleport::shared().await;
    let (home, slack) = (Home::new(), Slack::start().await);
    let other = Cluster::start(Config::old()).await.unwrap();
    let identity = other.user_identity("slack-plugin", Duration::from_hours(1)).unwrap();
    identity.write_identity_file(home.path("auth.pem")).unwrap();
    let line = start(&home, home.configuration(&teleport.auth, &slack, "x", &["general"])).await;
    assert_says(
        &line,
        &[&teleport.auth, "not of the identity's cluster", "check that address and identity are of the same cluster"],
    );
    slack.finish().await;
}

#[tokio::test]
async fn an_address_where_nobody_or_somebody_else_listens() {
    let teleport = Teleport::shared().await;
    let (home, slack) = (Home::new(), Slack::start().await);
    teleport.sign("access-plugin", "1h", &home.path("auth.pem")).await;
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let line = start(&home, home.configuration(&free, &slack, "x", &["general"])).await;
    assert_says(&line, &[&free, "refused"]);
    let web = slack.url().trim_start_matches("http://").trim_end_matches("/api/").to_owned();
    let line = start(&home, home.configuration(&web, &slack, "x", &["general"])).await;
    assert_says(&line, &[&web]);
}

#[tokio::test]
async fn a_token_that_slack_does_not_know() {
    let teleport = Teleport::shared().await;
    let (home, slack) = (Home::new(), Slack::start().await);
    teleport.sign("access-plugin", "1h", &home.path("auth.pem")).await;
    let mut configuration = home.configuration(&teleport.auth, &slack, "x", &["general"]);
    configuration.rest = configuration.rest.replace(slack.token(), "xoxb-mistyped");
    let line = start(&home, configuration).await;
    assert_says(&line, &["Slack refuses the bot token", "invalid_auth"]);
    assert!(!line.contains("mistyped"), "{line}");
}
