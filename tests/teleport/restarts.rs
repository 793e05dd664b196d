//! Teleport goes away and comes back.

use crate::cluster::Own;
use crate::slack::Slack;
use crate::worker::{Home, Worker};

#[tokio::test]
async fn the_plugin_outlives_teleport() {
    let mut own = Own::start("multiplex").await;
    let (home, slack) = (Home::new(), Slack::start().await);
    let role = own.teleport().role("outage").await;
    own.teleport().sign("access-plugin", "1h", &home.path("auth.pem")).await;
    let file = home.configuration(&own.teleport().auth, &slack, &role, &["access-requests"]).write(&home);
    let mut worker = Worker::start(&home, "worker", &file).await;
    for signal in ["TERM", "KILL"] {
        let before = own.teleport().ask(&role, "").await;
        slack.announced("access-requests", &before).await;
        own.end(signal).await;
        worker.line("The watch ended").await;
        own.resume().await;
        let after = own.teleport().ask(&role, "").await;
        slack.announced("access-requests", &after).await;
        own.teleport().tctl(&["requests", "approve", &before]).await;
        slack.shows("access-requests", &before, "approved", Some("white_check_mark")).await;
    }
    worker.stop().await;
    slack.finish().await;
}
