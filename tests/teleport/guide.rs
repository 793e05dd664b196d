//! Steps 3 to 8 of Teleport's guide, walked as a person would.

use crate::cluster::{ALICE, Teleport};
use crate::slack::{Slack, shown};
use crate::worker::{Home, Worker};

/// Edits one line of a configuration, commented out or not.
fn edit(text: &str, key: &str, value: &str) -> String {
    let wanted = format!("{key} = ");
    let mut found = 0;
    let lines = text.lines().map(|line| {
        if found == 0 && line.trim_start_matches("# ").starts_with(&wanted) {
            found += 1;
            return format!("{wanted}{value}");
        }
        line.to_owned()
    });
    let edited = lines.collect::<Vec<_>>().join("\n") + "\n";
    assert_eq!(found, 1, "no line for {key} in:\n{text}");
    edited
}

fn comment_out(text: &str, key: &str) -> String {
    text.replacen(&format!("\n{key} = "), &format!("\n# {key} = "), 1)
}

#[tokio::test]
async fn the_guide_works_as_written() {
    let teleport = Teleport::shared().await;
    // Step 3: role and user.
    assert_eq!(teleport.created, "role 'access-plugin' has been created\nuser \"access-plugin\" has been created\n");
    // Step 4: the identity.
    let home = Home::new();
    let out = format!("--out={}", home.path("auth.pem").display());
    teleport.tctl(&["auth", "sign", "--user=access-plugin", &out]).await;
    // Steps 5 and 6: the app's token, and the configuration.
    let slack = Slack::start().await;
    let configured = home.run(&["configure"]).await;
    assert!(configured.status.success());
    let mut text = String::from_utf8(configured.stdout).unwrap();
    text = edit(&text, "addr", &format!("{:?}", teleport.auth));
    text = edit(&text, "identity", &format!("{:?}", home.path("auth.pem")));
    text = edit(&text, "token", &format!("{:?}", slack.token()));
    text = edit(&text, "api_url", &format!("{:?}", slack.url()));
    text = edit(&text, "\"dev\"", "[\"dba-oncall\", \"bob@example.com\"]").replace("\"dev\"", "\"guide-access\"");
    let file = home.write("teleport-slack.toml", &text);
    // Step 7: start.
    let mut worker = Worker::spawn(&home.program, &["start", &format!("--config={}", file.display())]);
    let version = env!("CARGO_PKG_VERSION");
    let greeting = worker.line("Starting Teleport Access Slack Plugin").await;
    assert!(greeting.ends_with(&format!("Starting Teleport Access Slack Plugin {version}")), "{greeting}");
    worker.line("Plugin is ready").await;
    // Step 8: test.
    let role = teleport.role("guide").await;
    let id = teleport.ask(&role, "rotate the certificates").await;
    for place in ["dba-oncall", "bob@example.com"] {
        let text = shown(&slack.announced(place, &id).await);
        for words in [ALICE, &role, "rotate the certificates", "waiting for review", "guide-login"] {
            assert!(text.contains(words), "{words} in {text}");
        }
    }
    assert!(slack.about("access-requests", &id).is_empty(), "the role has recipients of its own");
    teleport.tctl(&["requests", "approve", "--reason=go ahead", &id]).await;
    for place in ["dba-oncall", "bob@example.com"] {
        let text = shown(&slack.shows(place, &id, "approved", Some("white_check_mark")).await);
        assert!(text.contains("go ahead"), "{text}");
    }
    // A role without a line of its own goes to "*".
    let other = teleport.role("guide-other").await;
    let id = teleport.ask(&other, "").await;
    slack.announced("access-requests", &id).await;
    let log = worker.stop().await;
    assert!(log.contains("Successfully shut down"), "{log}");
    slack.finish().await;
}

#[tokio::test]
async fn the_identity_may_be_three_tls_files() {
    let teleport = Teleport::shared().await;
    let home = Home::new();
    teleport.sign_tls("access-plugin", &home.path("auth")).await;
    let slack = Slack::start().await;
    let role = teleport.role("tls-files").await;
    let configured = home.run(&["configure"]).await;
    let mut text = comment_out(&String::from_utf8(configured.stdout).unwrap(), "identity");
    text = edit(&text, "addr", &format!("{:?}", teleport.auth));
    for (key, name) in [("client_key", "auth.key"), ("client_crt", "auth.crt"), ("root_cas", "auth.cas")] {
        text = edit(&text, key, &format!("{:?}", home.path(name)));
    }
    text = edit(&text, "plugin_name", "\"tls-files\"");
    text = edit(&text, "token", &format!("{:?}", slack.token()));
    text = edit(&text, "api_url", &format!("{:?}", slack.url()));
    text = edit(&text, "\"*\"", &format!("\"general\"\n{role:?} = \"access-requests\""));
    let file = home.write("teleport-slack.toml", &text);
    let worker = Worker::start(&home, "start", &file).await;
    let id = teleport.ask(&role, "").await;
    slack.announced("access-requests", &id).await;
    teleport.tctl(&["requests", "deny", "--reason=not today", &id]).await;
    let message = slack.shows("access-requests", &id, "denied", Some("x")).await;
    assert!(shown(&message).contains("not today"), "{message:?}");
    worker.stop().await;
    slack.finish().await;
}
