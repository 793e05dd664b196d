//! The official plugin of the same release and ours take over from each other with requests in flight.

use crate::cluster::Own;
use crate::slack::{Slack, shown};
use crate::worker::{Home, Worker};

#[tokio::test]
async fn either_plugin_finishes_what_the_other_has_announced() {
    let own = Own::start("multiplex").await;
    let teleport = own.teleport();
    // What the official plugin sends is not ours to improve.
    let (home, slack) = (Home::new(), Slack::lenient().await);
    teleport.sign("access-plugin", "1h", &home.path("auth.pem")).await;
    let mut configuration = home.configuration(&teleport.auth, &slack, "slack", &["access-requests"]);
    configuration.rest = configuration.rest.replace("\"slack\" =", "\"*\" =").replace("api_url", "APIURL");
    let file = configuration.write(&home);
    let official = teleport.bin.join("official-plugin");
    let start_official = async || {
        let mut official = Worker::spawn(&official, &[file.to_str().unwrap()]);
        official.line("Plugin is ready").await;
        official
    };
    let place = "access-requests";

    let role = teleport.role("takeover").await;
    let ours = Worker::start(&home, "start", &file).await;
    let approved = teleport.ask(&role, "announced by ours").await;
    let denied = teleport.ask(&role, "announced by ours, too").await;
    let posted = slack.announced(place, &approved).await;
    slack.announced(place, &denied).await;
    ours.stop().await;

    let theirs = start_official().await;
    teleport.tctl(&["requests", "approve", "--reason=fine", &approved]).await;
    let updated = slack.until(place, &approved, |message| message.updates > posted.updates).await;
    assert!(shown(&updated).contains("APPROVED"), "{updated:?}");
    let handed_over = teleport.ask(&role, "announced by the official plugin").await;
    let gone = teleport.ask(&role, "announced by the official plugin, too").await;
    for id in [&handed_over, &gone] {
        slack.announced(place, id).await;
    }
    theirs.stop().await;
    teleport.tctl(&["requests", "rm", "--force", &gone]).await;

    let ours = Worker::start(&home, "start", &file).await;
    teleport.tctl(&["requests", "deny", "--reason=no", &handed_over]).await;
    teleport.tctl(&["requests", "deny", "--reason=no", &denied]).await;
    for id in [&handed_over, &denied] {
        let message = slack.shows(place, id, "denied", Some("x")).await;
        assert!(shown(&message).contains("*Denied*"), "{message:?}");
    }
    // It does not store how long the request would have lived.
    slack.shows(place, &gone, "expired", None).await;
    slack.shows(place, &approved, "pproved", None).await;
    ours.stop().await;
}
