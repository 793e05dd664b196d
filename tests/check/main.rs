//! `check` between a simulated Teleport and a simulated Slack, as a person at a terminal meets it: whatever is broken, the first
//! line names it.

// Clippy's leave for tests ends at the test functions; these are their helpers.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::unnecessary_debug_formatting,
    reason = "helpers of tests; paths stand in quotes"
)]

use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use simulators::faults::{Effect, Fault};
use simulators::slack::{APP_TOKEN, BOT_TOKEN, Limits, Server, TokenState, default_workspace};
use simulators::teleport::{Cluster, Config, NewRequest, Role};
use tempfile::TempDir;
use tokio::process::Command;

/// A configuration that works, to be broken.
struct World {
    cluster: Cluster,
    slack: Server,
    directory: TempDir,
    addr: String,
    api_url: String,
    recipients: String,
    more: String,
}

impl World {
    async fn new() -> Self {
        let cluster = Cluster::start(Config::default()).await.unwrap();
        let slack = Server::start(default_workspace().limits(Limits::off())).await.unwrap();
        let (addr, api_url) = (cluster.addr().to_string(), slack.url());
        let directory = tempfile::tempdir().unwrap();
        cluster.write_identity_file(directory.path().join("auth.pem")).unwrap();
        fs::write(directory.path().join("token"), BOT_TOKEN).unwrap();
        let recipients = "\"*\" = [\"access-requests\", \"alice@example.com\"]".to_owned();
        Self { cluster, slack, directory, addr, api_url, recipients, more: String::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    async fn output(&self, arguments: &[&str]) -> Output {
        let Self { addr, api_url, recipients, more, .. } = self;
        let (identity, token) = (self.path("auth.pem"), self.path("token"));
        let text = format!(
            "[teleport]\naddr = \"{addr}\"\nidentity = {identity:?}\n{more}\n[slack]\ntoken = {token:?}\napi_url = \"{api_url}\"\n\
             [role_to_recipients]\n{recipients}\n"
        );
        self.write("slack.toml", text);
        let mut command = Command::new(env!("CARGO_BIN_EXE_slack-access-operator"));
        command.arg("check").arg("--config").arg(self.path("slack.toml")).args(arguments).env_clear();
        let output = command.output().await.unwrap();
        assert!(output.stderr.is_empty(), "{output:?}");
        for secret in [BOT_TOKEN, "PRIVATE KEY"] {
            assert!(!String::from_utf8_lossy(&output.stdout).contains(secret), "{output:?}");
        }
        output
    }

    async fn check(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.output(arguments).await;
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    }

    /// Checks what is broken: exit code 2, and the first line has these words.
    async fn fails(&self, words: &[&str]) {
        let (code, text) = self.check(&[]).await;
        let line = text.lines().next().unwrap_or_default();
        assert_eq!(code, 2, "{text}");
        assert!(line.starts_with("FAIL "), "{text}");
        for words in words {
            assert!(line.contains(words), "{words:?} in: {line}\nof:\n{text}");
        }
    }
}

#[tokio::test]
async fn a_configuration_that_works_says_so_part_by_part() {
    let mut world = World::new().await;
    world.recipients = "\"*\" = [\"access-requests\", \"alice@example.com\", \"security-private\"]".to_owned();
    let (code, text) = world.check(&["--fail-on-warning"]).await;
    assert!(!text.contains("FAIL"), "{text}");
    for words in [
        "identity      user slack-plugin of cluster",
        "answers directly",
        "tried as an Auth server: answers directly",
        "tried as the Proxy itself says: no: ",
        "requests may be listed and read, and records written",
        "workspace Simulated (T0SIMULATED), bot user @teleport",
        "#access-requests is the public channel C0ACCESSREQ",
        "#security-private is the private channel C0PRIVATE01",
        "alice@example.com is U0ALICE0001",
        "0 pending requests, none announced by another program",
    ] {
        assert!(text.contains(words), "{words:?} in:\n{text}");
    }
    let warned = text.lines().any(|line| line.starts_with("WARN"));
    assert_eq!(code, i32::from(warned), "{text}");
    assert_eq!(world.slack.workspace().calls("chat.postMessage").len(), 0, "nothing is posted unasked");
}

#[tokio::test]
async fn what_is_wrong_with_the_identity_is_named_first() {
    let world = World::new().await;
    let identity = fs::read_to_string(world.path("auth.pem")).unwrap();
    let wide: Vec<u8> = identity.encode_utf16().flat_map(u16::to_le_bytes).collect();
    world.write("auth.pem", [vec![0xff, 0xfe], wide].concat());
    world.fails(&["identity", "UTF-16", "save it as UTF-8"]).await;
    let mut tar = vec![0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    world.write("auth.pem", [tar, identity.clone().into_bytes()].concat());
    world.fails(&["identity", "tar archive", "unpack it"]).await;
    world.write("auth.pem", "");
    world.fails(&["identity", "auth.pem: the file is empty"]).await;
    fs::remove_file(world.path("auth.pem")).unwrap();
    world.fails(&["identity", "cannot read", "auth.pem"]).await;
    let expired = world
        .cluster
        .user_identity("slack-plugin", simulators::teleport::Validity::ExpiredSince(Duration::from_hours(1)));
    expired.unwrap().write_identity_file(world.path("auth.pem")).unwrap();
    world.fails(&["identity", "expired at", "tctl auth sign --user=slack-plugin"]).await;
    let other = Cluster::start(Config::default()).await.unwrap();
    other.write_identity_file(world.path("auth.pem")).unwrap();
    world.fails(&["teleport", "not of the identity's cluster", "same cluster"]).await;
}

#[tokio::test]
async fn what_is_wrong_on_the_way_to_teleport_is_named_first() {
    let mut world = World::new().await;
    let addr = world.addr.clone();
    world.addr = "fd00::1:443".to_owned();
    world.fails(&["configuration", "slack.toml:2:1: teleport.addr", "write [fd00::1]:443"]).await;
    world.addr = "teleport.example.com".to_owned();
    world.fails(&["configuration", "'teleport.example.com' is no address", "write HOST:PORT"]).await;
    // A port that was free a moment ago.
    world.addr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    world.fails(&["teleport", "cannot reach Teleport", "refused", "that Teleport is running"]).await;
    world.addr = world.slack.address().to_string();
    world.fails(&["teleport", "cannot reach Teleport"]).await;
    world.addr = addr;
    world.more = "ca_bundle = \"/nowhere/ca.pem\"\n".to_owned();
    world.fails(&["configuration", "teleport.ca_bundle: cannot read /nowhere/ca.pem"]).await;
    world.more = "identiy = \"x\"\n".to_owned();
    let (code, text) = world.check(&["--fail-on-warning"]).await;
    assert!(text.contains("unknown setting teleport.identiy is ignored; did you mean teleport.identity?"), "{text}");
    assert_eq!(code, 1, "{text}");
}

#[tokio::test]
async fn each_missing_right_is_named_with_what_mends_it() {
    let world = World::new().await;
    let role = || Role::new("access-plugin");
    for (narrow, words) in [
        (role().allow("access_request", &["list", "read", "watch"]), "lack update on access_plugin_data"),
        (
            role().allow("access_request", &["read"]).allow("access_plugin_data", &["list", "read", "update"]),
            "lack list on access_request",
        ),
        (role(), "lack list and read on access_request, and update on access_plugin_data"),
    ] {
        world.cluster.put_role(narrow);
        world.fails(&["rights", "slack-plugin", words, "allow.rules"]).await;
    }
    world.cluster.put_role(role().allow("access_request", &["list", "read"]).allow("access_plugin_data", &["update"]));
    let (code, text) = world.check(&[]).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("lack read on role: messages do not show the logins"), "{text}");
}

#[tokio::test]
async fn what_is_wrong_with_slack_is_named_first() {
    let mut world = World::new().await;
    for (token, words) in [
        ("xoxb-mistyped", "invalid_auth"),
        ("", "is empty"),
        ("xapp-1-secret", "app-level token"),
        ("\"xoxb-1\"", "quotes"),
        ("eG94Yi0xLXNlY3JldA==", "base64"),
    ] {
        world.write("token", token);
        world.fails(&["slack", words, "; "]).await;
    }
    world.write("token", BOT_TOKEN);
    let handle = world.slack.workspace();
    handle.set_token_state(BOT_TOKEN, TokenState::Inactive);
    world.fails(&["slack", "account_inactive", "reinstall"]).await;
    handle.set_token_state(BOT_TOKEN, TokenState::Active);
    handle.set_scopes(BOT_TOKEN, &["users:read", "users:read.email"]);
    world.fails(&["scopes", "lacks the scope chat:write", "reinstall the app"]).await;
    handle.set_scopes(BOT_TOKEN, &["chat:write", "users:read"]);
    world.fails(&["scopes", "users:read.email"]).await;
    handle.set_scopes(BOT_TOKEN, &["chat:write", "users:read", "users:read.email"]);
    let (code, text) = world.check(&[]).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("lacks the scope reactions:write: mark decided requests"), "{text}");
    world.api_url = world.api_url.replace("api/", "");
    world.fails(&["slack", "does not answer as Slack's Web API does", "/api/"]).await;
}

#[tokio::test]
async fn each_recipient_is_told_with_what_it_resolves_to() {
    let mut world = World::new().await;
    for (recipients, words) in [
        ("\"ops, dba\"", &["\"ops, dba\" holds several recipients", "write a list"][..]),
        ("\"https://simulated.slack.com/archives/C0ACCESSREQ\"", &["for a browser", "the id alone: C0ACCESSREQ"]),
        ("\"Alice <alice@example.com>\"", &["write the address alone: alice@example.com"]),
        ("\"S0REVIEWERS1\"", &["user group", "write a channel that the group's members are in"]),
        ("\"@here\"", &["mentions the members", "write the channel"]),
        ("\"nobody@example.com\"", &["nobody@example.com: users_not_found", "check that nobody@example.com"]),
        ("\"random\"", &["the bot is not in #random", "invite @teleport to #random"]),
        ("\"C0ARCHIVED1\"", &["is archived", "unarchive"]),
        ("\"mistyped\"", &["#mistyped is no channel that the bot sees", "check that #mistyped exists"]),
    ] {
        world.recipients = format!("\"*\" = {recipients}");
        world.fails(&[&["recipients"], words].concat()).await;
    }
}

#[tokio::test]
async fn a_file_that_serves_no_role_is_refused_as_the_plugin_does() {
    let mut world = World::new().await;
    world.recipients = String::new();
    world.fails(&["configuration", "missing required value role_to_recipients[*]."]).await;
    world.recipients = "dba = \"dba-oncall\"".to_owned();
    world.fails(&["configuration", "missing required value role_to_recipients[*]."]).await;
}

#[tokio::test]
async fn a_user_that_is_gone_is_named() {
    let world = World::new().await;
    world.cluster.remove_user("slack-plugin");
    world.fails(&["slack-plugin"]).await;
}

#[tokio::test]
async fn the_app_level_token_is_tried_where_reviews_are_on() {
    let mut world = World::new().await;
    let on = |token: &str| {
        format!(
            "\"*\" = \"access-requests\"\n[review]\nenabled = true\napp_token = \"{token}\"\nslack_user_id_trait = \"slack_user_id\"\n"
        )
    };
    world.recipients = on(APP_TOKEN);
    let (code, text) = world.check(&[]).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("the app-level token opens Socket Mode connections"), "{text}");
    world.recipients = on("xapp-mistyped");
    world.fails(&["slack", "review.app_token: apps.connections.open: invalid_auth"]).await;
}

#[tokio::test]
async fn records_of_another_program_are_noticed() {
    let world = World::new().await;
    let id = world.cluster.create_request(NewRequest::new("alice@example.com", &["dba"]));
    world.cluster.set_plugin_data(&id, "slack", &[("user", "alice"), ("messages", "C0ACCESSREQ/1650.1")]).unwrap();
    let (code, text) = world.check(&[]).await;
    assert_eq!(code, 0, "{text}");
    let words =
        "1 of 1 pending requests were announced by another program under the name slack; stop the official plugin";
    assert!(text.contains(words), "{text}");
}

#[tokio::test]
async fn a_request_that_does_not_exist_is_routed() {
    let mut world = World::new().await;
    world.recipients = "\"*\" = \"access-requests\"\ndba = [\"dba-oncall\"]\nmistyped = \"general\"".to_owned();
    let (_, text) =
        world.check(&["--explain", "--roles=dba,dev", "--user=alice", "--reviewers=bob@example.com,carol"]).await;
    for words in [
        "role dba: #dba-oncall by its own entry",
        "role dev: #access-requests by the entry \"*\"",
        "a request of alice for dba, dev reaches #access-requests, #dba-oncall, bob@example.com",
        "the suggested reviewer carol is not told",
        "the role mistyped has recipients and does not exist in Teleport",
    ] {
        assert!(text.contains(words), "{words:?} in:\n{text}");
    }
}

#[tokio::test]
async fn a_test_message_is_posted_to_each_recipient_and_removed() {
    let world = World::new().await;
    world
        .slack
        .workspace()
        .inject(Fault::once("chat.postMessage", Effect::RateLimited { retry_after: Some(1) }))
        .unwrap();
    let (code, text) = world.check(&["--send-test"]).await;
    assert_eq!(code, 0, "{text}");
    for place in ["#access-requests", "alice@example.com"] {
        assert!(text.contains(&format!("a message reached {place} and was removed")), "{text}");
    }
    let posted = world.slack.workspace().calls("chat.postMessage");
    let text = posted.last().unwrap().args["text"].as_str().unwrap().to_owned();
    assert!(text.contains("Test of slack-access-operator") && text.contains("No request was made"), "{text}");
    assert_eq!(world.slack.workspace().calls("chat.delete").len(), 2);
    let left = world.slack.workspace().messages("C0ACCESSREQ");
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn programs_read_json() {
    let world = World::new().await;
    world.write("token", "");
    let output = world.output(&["-o", "json"]).await;
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let first = &report["findings"][0];
    assert_eq!((first["severity"].as_str(), first["part"].as_str()), (Some("failure"), Some("slack")));
    assert!(first["message"].as_str().unwrap().contains("is empty"), "{first}");
    assert!(first["remedy"].as_str().unwrap().contains("xoxb-"), "{first}");
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test]
async fn a_file_that_is_not_there_is_a_failure_too() {
    let output = Command::new(env!("CARGO_BIN_EXE_slack-access-operator"))
        .args(["check", "--config=/nowhere/slack.toml"])
        .env_clear()
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("FAIL configuration cannot read configuration file /nowhere/slack.toml"), "{text}");
}
