//! From a request to what is seen in Slack, to the end of the request.

use std::time::{Duration, SystemTime};

use crate::cluster::{ALICE, Teleport};
use crate::slack::{Slack, shown};
use crate::worker::{Home, Worker};

/// A plugin with a role's recipients, running as `user`.
async fn running(test: &str, user: &str, recipients: &[&str]) -> (Home, Slack, Worker, String) {
    let teleport = Teleport::shared().await;
    let (home, slack) = (Home::new(), Slack::start().await);
    let role = teleport.role(test).await;
    teleport.sign(user, "1h", &home.path("auth.pem")).await;
    let file = home.configuration(&teleport.auth, &slack, &role, recipients).write(&home);
    let worker = Worker::start(&home, "worker", &file).await;
    (home, slack, worker, role)
}

#[tokio::test]
async fn the_guides_role_is_enough_to_announce_and_to_resolve() {
    let teleport = Teleport::shared().await;
    let (_home, slack, worker, role) = running("minimal", "guide-plugin", &["access-requests"]).await;
    // As an administrator would on behalf of a user.
    let printed = teleport.tctl(&["requests", "create", &format!("--roles={role}"), "--reason=by tctl", ALICE]).await;
    let id = printed.trim();
    let text = shown(&slack.announced("access-requests", id).await);
    assert!(text.contains("by tctl") && text.contains(&role), "{text}");
    assert!(!text.contains("minimal-login"), "logins need the right to read roles: {text}");
    teleport.tctl(&["requests", "deny", "--reason=too late", id]).await;
    let text = shown(&slack.shows("access-requests", id, "denied", Some("x")).await);
    assert!(text.contains("too late"), "{text}");
    worker.stop().await;
    slack.finish().await;
}

#[tokio::test]
async fn suggested_reviewers_are_told_beside_the_roles_recipients() {
    let teleport = Teleport::shared().await;
    let (_home, slack, worker, role) = running("suggested", "access-plugin", &["carol@example.com"]).await;
    let id = teleport
        .ask_with(&role, |request| {
            // Carol is a recipient already, the last one is in no workspace.
            request.spec.get_or_insert_default().suggested_reviewers =
                ["bob@example.com", "carol@example.com", "nobody@example.com"].map(str::to_owned).into();
        })
        .await;
    let places = ["bob@example.com", "carol@example.com"];
    for place in places {
        slack.announced(place, &id).await;
    }
    teleport.tctl(&["requests", "approve", &id]).await;
    for place in places {
        slack.shows(place, &id, "approved", Some("white_check_mark")).await;
    }
    worker.stop().await;
    slack.finish().await;
}

#[tokio::test]
async fn a_request_whose_time_runs_out_is_shown_as_expired() {
    let teleport = Teleport::shared().await;
    let (_home, slack, worker, role) = running("expiry", "access-plugin", &["access-requests"]).await;
    let id = teleport
        .ask_with(&role, |request| {
            let soon = SystemTime::now() + Duration::from_secs(5);
            request.metadata.get_or_insert_default().expires = Some(soon.into());
        })
        .await;
    slack.announced("access-requests", &id).await;
    slack.shows("access-requests", &id, "expired", None).await;
    worker.stop().await;
    slack.finish().await;
}

#[tokio::test]
async fn a_request_that_is_deleted_is_shown_as_such() {
    let teleport = Teleport::shared().await;
    let (_home, slack, worker, role) = running("deletion", "access-plugin", &["access-requests"]).await;
    let id = teleport.ask(&role, "").await;
    slack.announced("access-requests", &id).await;
    teleport.tctl(&["requests", "rm", "--force", &id]).await;
    slack.shows("access-requests", &id, "deleted", None).await;
    worker.stop().await;
    slack.finish().await;
}

#[tokio::test]
async fn nothing_that_happens_while_the_plugin_is_down_is_missed_or_told_twice() {
    let teleport = Teleport::shared().await;
    let (home, slack, worker, role) = running("down", "access-plugin", &["access-requests", "dba-oncall"]).await;
    let file = home.path("teleport-slack.toml");
    let places = ["access-requests", "dba-oncall"];
    let before = teleport.ask(&role, "before").await;
    for place in places {
        slack.announced(place, &before).await;
    }
    worker.stop().await;

    let during = teleport.ask(&role, "during").await;
    let resolved = teleport.ask(&role, "resolved meanwhile").await;
    teleport.tctl(&["requests", "approve", &before]).await;
    teleport.tctl(&["requests", "deny", "--reason=no", &resolved]).await;
    let worker = Worker::start(&home, "worker", &file).await;
    for place in places {
        slack.announced(place, &during).await;
        slack.shows(place, &before, "approved", Some("white_check_mark")).await;
    }
    worker.kill().await;

    let after = teleport.ask(&role, "after a kill").await;
    let worker = Worker::start(&home, "worker", &file).await;
    for place in places {
        slack.announced(place, &after).await;
        assert_eq!((slack.about(place, &before).len(), slack.about(place, &during).len()), (1, 1), "{place}");
        assert_eq!(slack.about(place, &resolved).len(), 0, "nobody has to know of it any more");
    }
    worker.stop().await;
    slack.finish().await;
}
