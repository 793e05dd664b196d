//! Identities that end.

use std::fs;
use std::time::Duration;

use slack_access_operator::teleport::identity::Credentials;

use crate::cluster::Own;
use crate::slack::Slack;
use crate::worker::{Home, Worker};

#[tokio::test]
async fn a_new_identity_takes_the_place_of_an_expiring_one_without_a_restart() {
    let mut own = Own::start("multiplex").await;
    let (home, slack) = (Home::new(), Slack::start().await);
    let role = own.teleport().role("rotation").await;
    let identity = home.path("auth.pem");
    own.teleport().sign("access-plugin", "15s", &identity).await;
    fs::copy(&identity, home.path("old.pem")).unwrap();
    let configuration = home.configuration(&own.teleport().auth, &slack, &role, &["access-requests"]);
    let mut worker = Worker::start(&home, "worker", &configuration.write(&home)).await;
    let before = own.teleport().ask(&role, "").await;
    slack.announced("access-requests", &before).await;

    // In place of the old one, as an administrator would.
    own.teleport().sign("access-plugin", "1h", &identity).await;
    worker.line("Took up the new identity").await;

    let old = Credentials::IdentityFile(home.path("old.pem")).load().unwrap();
    let left = old.not_after().duration_since(jiff::Timestamp::now()) + jiff::SignedDuration::from_secs(1);
    assert!(left < jiff::SignedDuration::from_secs(16), "{left}");
    tokio::time::sleep(Duration::try_from(left).unwrap_or_default()).await;

    own.end("KILL").await;
    own.resume().await;
    worker.line("Connected to Teleport").await;
    let after = own.teleport().ask(&role, "").await;
    slack.announced("access-requests", &after).await;
    worker.stop().await;

    // Nobody replaced it here.
    let mut configuration = configuration;
    configuration.teleport = configuration.teleport.replace("auth.pem", "old.pem");
    configuration.rest.push_str("\"*\" = \"general\"\n");
    let file = configuration.write(&home);
    let line = home.refused(&["start", &format!("--config={}", file.display())]).await;
    assert!(line.contains("expired at") && line.contains("tctl auth sign"), "{line}");
    slack.finish().await;
}
