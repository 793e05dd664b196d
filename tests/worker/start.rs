//! How the worker starts, says what is wrong, and ends.

use std::time::Duration;

use simulators::faults::{Effect, Fault};
use simulators::slack::{BOT_TOKEN, TokenState};
use simulators::teleport::{Cluster, Config, Role, Validity};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{LONG, SOON, Worker, World};

/// Starts in vain: exit code 1, and one line that says why.
async fn refusal(world: &World) -> String {
    let (status, errors) = world.spawn(&[]).ended(LONG).await;
    assert_eq!(status.code(), Some(1), "{errors}");
    let line = errors.strip_suffix('\n').unwrap();
    assert!(!line.contains('\n') && line.starts_with("error: "), "{errors}");
    assert!(!line.contains("panicked") && !line.contains(BOT_TOKEN), "{line}");
    line.to_owned()
}

#[tokio::test]
async fn what_only_a_person_can_mend_ends_the_start_with_one_line() {
    let world = World::new(|_| {}).await;
    let says = |line: &str, parts: &[&str]| {
        for part in parts {
            assert!(line.contains(part), "{part:?} in {line}");
        }
    };

    world.write_token("xoxb-mistyped");
    says(&refusal(&world).await, &["invalid_auth", "bot token"]);
    world.write_token(BOT_TOKEN);
    world.slack().set_token_state(BOT_TOKEN, TokenState::Inactive);
    says(&refusal(&world).await, &["account_inactive", "reinstall"]);
    world.slack().set_token_state(BOT_TOKEN, TokenState::Active);
    std::fs::remove_file(world.path("token")).unwrap();
    says(&refusal(&world).await, &["slack.token", "cannot read", "token"]);
    for (content, told) in [
        ("  \n", "empty"),
        ("xapp-1-secret", "app-level token"),
        ("xoxb-1\nxoxb-2", "line breaks"),
        ("\"xoxb-1\"", "quotes"),
        ("eG94Yi0xLXNlY3JldA==\n", "base64-encoded"),
    ] {
        world.write_token(content);
        says(&refusal(&world).await, &["slack.token", "token: ", told]);
    }
    world.write_token(BOT_TOKEN);
    world.slack().set_scopes(BOT_TOKEN, &["users:read"]);
    says(&refusal(&world).await, &["slack.token", "missing_scope", "add the scope chat:write"]);
    world.slack().set_scopes(BOT_TOKEN, &["chat:write"]);

    let root = world.slack.url().strip_suffix("api/").unwrap().to_owned();
    for url in [root.clone(), format!("{root}api/chat.postMessage/")] {
        let mut world = World::new(|_| {}).await;
        world.environment.push(("TELEPORT_SLACK_SLACK_API_URL", url.clone()));
        says(&refusal(&world).await, &["slack.api_url", &url, "does not answer as Slack's Web API does", "/api/"]);
    }

    let expired = world.cluster.user_identity("slack-plugin", Validity::ExpiredSince(Duration::from_hours(1))).unwrap();
    expired.write_identity_file(world.path("auth.pem")).unwrap();
    says(&refusal(&world).await, &["expired", "tctl auth sign"]);
    std::fs::write(world.path("auth.pem"), "not an identity").unwrap();
    says(&refusal(&world).await, &["auth.pem"]);
    let identity = world.cluster.user_identity("slack-plugin", Duration::from_hours(1)).unwrap();
    identity.write_tls_files(world.path("auth")).unwrap();
    std::fs::copy(world.path("auth.crt"), world.path("auth.pem")).unwrap();
    says(&refusal(&world).await, &["auth.pem", "no private key", "client_crt"]);
    std::fs::remove_file(world.path("auth.pem")).unwrap();
    says(&refusal(&world).await, &["auth.pem"]);
    let foreign = Cluster::start(Config::default()).await.unwrap();
    foreign.write_identity_file(world.path("auth.pem")).unwrap();
    refusal(&world).await;
    world.cluster.write_identity_file(world.path("auth.pem")).unwrap();

    world.cluster.set_permissions("slack-plugin", Some(Vec::new()));
    says(&refusal(&world).await, &["slack-plugin", "access_request"]);
    world.cluster.set_permissions("slack-plugin", None);

    let role = || Role::new("access-plugin");
    for (narrow, missing) in [
        (role().allow("access_request", &["list", "read", "watch"]), "update on access_plugin_data"),
        (
            role().allow("access_request", &["read"]).allow("access_plugin_data", &["list", "read", "update"]),
            "list on access_request",
        ),
    ] {
        world.cluster.put_role(narrow);
        let line = refusal(&world).await;
        says(&line, &["slack-plugin", "access-plugin", &format!("a right in Teleport: {missing};")]);
    }
    world.cluster.put_role(Role::access_plugin());

    world.cluster.stop().await;
    let address = world.cluster.addr().to_string();
    says(&refusal(&world).await, &[&address]);
    world.cluster.resume().await.unwrap();
    let worker = world.run().await;
    world.end(worker).await;
}

#[tokio::test]
async fn a_worker_waits_for_what_is_missing_and_begins_when_it_is_there() {
    let world = World::new(|setup| setup.command = "worker").await;
    std::fs::remove_file(world.path("token")).unwrap();
    std::fs::remove_file(world.path("auth.pem")).unwrap();
    world.cluster.stop().await;
    let worker = world.spawn(&["--diag-addr", "127.0.0.1:0"]);
    let address = diagnostics(&worker).await;
    worker.said("There is no Slack token: waiting for one").await;
    worker.said("There is no usable identity: waiting for one").await;
    std::fs::write(world.path("auth.pem"), "not an identity").unwrap();
    worker.said("There is still no usable identity").await;
    worker.said("There is still no usable Slack token").await;
    world.cluster.write_identity_file(world.path("auth.pem")).unwrap();
    worker.said("Cannot reach Teleport").await;
    world.cluster.resume().await.unwrap();
    worker.said("Plugin is ready").await;
    assert_eq!(get(&address, "/readyz").await.1.lines().last(), Some("waiting for credentials"));
    let id = world.request("dba");
    world.write_token(&format!("\u{feff}{BOT_TOKEN}\n"));
    world.announced(&id, 1).await;
    assert_eq!(get(&address, "/readyz").await.0, 200);
    worker.end().await;
    world.cluster.assert_no_violations();
}

#[tokio::test]
async fn a_slack_outage_neither_keeps_a_worker_from_starting_nor_ends_it() {
    for command in ["start", "worker"] {
        let world = World::new(|setup| setup.command = command).await;
        world.slack().inject(Fault::once("auth.test", Effect::ServerError { status: 503 })).unwrap();
        let worker = world.run().await;
        let id = world.request("dba");
        world.announced(&id, 1).await;
        world.end(worker).await;
    }
}

/// Whoever can set a variable on a worker of the operator must not be able to send its token elsewhere.
#[tokio::test]
async fn a_worker_of_the_operator_takes_no_setting_from_its_environment() {
    let mut world = World::new(|setup| setup.command = "worker").await;
    world.environment.push(("TELEPORT_SLACK_SLACK_API_URL", "http://127.0.0.1:9/elsewhere/".to_owned()));
    world.environment.push(("TELEPORT_SLACK_SLACK_TOKEN", "xoxb-another".to_owned()));
    world.environment.push(("TELEPORT_SLACK_LOG_SEVERITY", "error".to_owned()));
    let worker = world.run().await;
    let id = world.request("dba");
    world.announced(&id, 1).await;
    world.end(worker).await;
}

#[tokio::test]
async fn the_first_signal_ends_in_good_order_and_the_second_at_once() {
    let world = World::new(|_| {}).await;
    for first in ["INT", "TERM"] {
        let worker = world.run().await;
        world.slack().inject(Fault::once("chat.postMessage", Effect::Hang)).unwrap();
        world.request("dba");
        let calls = |world: &World| world.slack().calls("chat.postMessage").len();
        world.until("the call hangs", |world| calls(world) >= 1).await;
        worker.signal(first);
        worker.said("Finishing what is in flight").await;
        worker.signal("INT");
        let (status, errors) = worker.ended(Duration::from_secs(3)).await;
        assert_eq!((status.code(), errors.as_str()), (Some(0), ""));
        world.slack().clear_journal();
    }
    world.assert_no_violations();
}

#[tokio::test]
async fn a_worker_that_is_told_to_end_records_what_it_has_sent() {
    let (world, worker) = World::start().await;
    world.slack().inject(Fault::once("chat.postMessage", Effect::Slow { millis: 1_500 })).unwrap();
    let id = world.request("dba");
    world.until("it is sent", |world| world.posts(&id).len() == 1).await;
    worker.end().await;
    assert_eq!(world.recorded(&id), 1);
    world.assert_no_violations();
}

/// The answer to a GET: status and body.
pub(crate) async fn get(address: &str, path: &str) -> (u16, String) {
    let ask = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = tokio::time::timeout(SOON, ask).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

pub(crate) async fn diagnostics(worker: &Worker) -> String {
    worker.said("Serving /livez").await;
    let log = worker.log();
    let line = log.lines().find(|line| line.contains("Serving /livez")).unwrap();
    line.split("address=").nth(1).unwrap().trim_matches('"').to_owned()
}

#[tokio::test]
async fn the_endpoints_tell_the_truth() {
    let world = World::new(|setup| setup.command = "worker").await;
    world.cluster.stop().await;
    let worker = world.spawn(&["--diag-addr", "127.0.0.1:0"]);
    let address = diagnostics(&worker).await;
    let (status, body) = get(&address, "/readyz").await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("waiting for teleport"), "{body}");
    assert_eq!(get(&address, "/livez").await.0, 200);
    let early = world.request("dba");
    world.cluster.resume().await.unwrap();
    worker.said("Plugin is ready").await;
    assert_eq!(get(&address, "/readyz").await.0, 200);
    world.announced(&early, 1).await;
    let metrics = get(&address, "/metrics").await.1;
    assert!(metrics.contains("slack_access_delivery_latency_seconds_count 0"), "what waited for a start is no latency");
    let late = world.request("dba");
    world.announced(&late, 1).await;
    let (status, metrics) = get(&address, "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "slack_access_teleport_connected 1",
        "slack_access_deliveries_total{operation=\"post\",outcome=\"ok\"} 2",
        "slack_access_delivery_latency_seconds_count 1",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    // A Slack outage does not make it unready.
    world.slack().inject(Fault::times("*", 3, Effect::ServerError { status: 503 })).unwrap();
    let id = world.request("dba");
    worker.said("Could not reach Slack").await;
    assert_eq!(get(&address, "/readyz").await.0, 200);
    world.announced(&id, 1).await;
    world.end(worker).await;
}

#[tokio::test]
async fn an_address_in_use_ends_the_start_with_one_line() {
    let world = World::new(|_| {}).await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (status, errors) = world.spawn(&["--diag-addr", &address]).ended(SOON).await;
    assert_eq!(status.code(), Some(1));
    assert!(errors.contains(&address) && errors.contains("--diag-addr"), "{errors}");
}
