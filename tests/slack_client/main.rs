//! The Slack client against a server that does what a real one, a proxy or a bad line does at its worst.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

mod server;

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use server::{Received, Reply, Server};
use slack_access_operator::slack::MessageRef;
use slack_access_operator::slack::address_book::AddressBook;
use slack_access_operator::slack::api::{Client, Post, Settings, UserId};
use slack_access_operator::slack::error::{Class, Error, code};
use slack_access_operator::slack::message::{Content, Metadata};
use slack_access_operator::slack::rate_limit::RateLimiter;
use slack_access_operator::slack::token::Token;

const TOKEN: &str = "xoxb-1-very-secret";

fn settings(api_url: &str) -> Settings {
    Settings { api_url: api_url.to_owned(), ..Settings::new(Token::new(TOKEN)) }
}

fn client(server: &Server) -> Client {
    Client::new(&settings(&server.url())).unwrap()
}

fn content() -> Content {
    Content {
        text: "hello".to_owned(),
        blocks: json!([{"type": "divider"}]),
        metadata: Some(Metadata::of_request("id-1", "dba")),
    }
}

fn post(channel: &str) -> Post {
    Post { channel: channel.to_owned(), content: content(), thread_ts: None }
}

fn message() -> MessageRef {
    MessageRef { channel: "C1".to_owned(), ts: "1700000000.000100".to_owned() }
}

fn posted() -> Reply {
    Reply::json(&json!({"ok": true, "channel": "C1", "ts": "1700000000.000100", "message": {"text": "hello"}}))
}

fn refused(code: &str) -> Reply {
    Reply::json(&json!({"ok": false, "error": code}))
}

/// The error of one post that is answered by `reply`.
async fn failed_post(reply: Reply) -> Error {
    let server = Server::new([reply]).await;
    let error = client(&server).post_message(&post("C1")).await.unwrap_err();
    assert_eq!(server.received().len(), 1, "the client tries nothing again");
    assert!(!format!("{error} {error:?} {}", error.remedy()).contains("secret"));
    error
}

/// The error of one update that is answered by `reply`.
async fn failed_update(reply: Reply) -> Error {
    let server = Server::new([reply]).await;
    client(&server).update_message(&message(), &content()).await.unwrap_err()
}

#[test]
fn neither_settings_nor_client_show_the_token() {
    let settings = settings("http://127.0.0.1:1/");
    let client = Client::new(&settings).unwrap();
    assert!(!format!("{settings:?} {client:?}").contains("secret"));
}

#[tokio::test]
async fn a_post_is_json_with_charset_token_and_nothing_that_slack_might_unfurl() {
    let server = Server::new([posted()]).await;
    let done = client(&server).post_message(&post("dba")).await.unwrap();
    assert_eq!(done.message, message());
    assert!(!done.strayed);
    let [request] = server.received().try_into().unwrap();
    assert_eq!((&*request.verb, &*request.target), ("POST", "/api/chat.postMessage"));
    assert_eq!(request.headers["content-type"], "application/json; charset=utf-8");
    assert_eq!(request.headers["authorization"], format!("Bearer {TOKEN}"));
    assert!(request.headers["user-agent"].starts_with("slack-access-operator/"));
    assert_eq!(
        request.json(),
        json!({
            "channel": "dba", "text": "hello", "blocks": [{"type": "divider"}], "parse": "none",
            "unfurl_links": false, "unfurl_media": false,
            "metadata": {"event_type": "teleport_access_request", "event_payload": {"request_id": "id-1", "recipient": "dba"}},
        })
    );
}

#[tokio::test]
async fn a_plain_message_has_no_blocks_at_all() {
    let server = Server::new([posted()]).await;
    let plain = Content { blocks: Value::Null, metadata: None, ..content() };
    client(&server).post_message(&Post { content: plain, ..post("C1") }).await.unwrap();
    let body = server.received()[0].json();
    assert!(body.get("blocks").is_none() && body.get("metadata").is_none(), "{body}");
}

#[tokio::test]
async fn a_reply_that_lost_its_thread_is_reported() {
    let in_thread = json!({"ok": true, "channel": "C1", "ts": "2.000000", "message": {"thread_ts": "1.000000"}});
    let server = Server::new([Reply::json(&in_thread), posted()]).await;
    let client = client(&server);
    let reply = Post { thread_ts: Some("1.000000".to_owned()), ..post("C1") };
    let done = client.post_message(&reply).await.unwrap();
    assert_eq!((done.thread_ts.as_deref(), done.strayed), (Some("1.000000"), false));
    assert_eq!(server.received()[0].json()["thread_ts"], "1.000000");
    let done = client.post_message(&reply).await.unwrap();
    assert_eq!((done.thread_ts, done.strayed), (None, true));
}

#[tokio::test]
async fn a_refusal_carries_slacks_explanation() {
    let error = failed_post(Reply::json(&json!({
        "ok": false, "error": "invalid_blocks", "errors": {}, "response_metadata":
            {"messages": ["[ERROR] must be less than 3001 characters [json-pointer:/blocks/0/text/text]"]},
    })))
    .await;
    assert_eq!((error.class, &*error.code), (Class::Payload, "invalid_blocks"));
    assert!(error.to_string().contains("[json-pointer:/blocks/0/text/text]"), "{error}");

    let error = failed_post(Reply::json(
        &json!({"ok": false, "error": "missing_scope", "needed": "chat:write:bot", "provided": "users:read"}),
    ))
    .await;
    assert_eq!(error.class, Class::Auth);
    assert_eq!(error.remedy(), "add the scope chat:write and reinstall the app");
    assert_eq!(error.to_string(), "chat.postMessage: missing_scope (needed: chat:write:bot; provided: users:read)");
}

#[tokio::test]
async fn a_user_who_cannot_be_reached_is_no_broken_channel() {
    let server = Server::new([refused("channel_not_found"), refused("channel_not_found")]).await;
    let client = client(&server);
    assert_eq!(client.post_message(&post("U1")).await.unwrap_err().class, Class::Recipient);
    assert_eq!(client.post_message(&post("C1")).await.unwrap_err().class, Class::Config);
}

#[tokio::test]
async fn too_many_requests_are_recognised_whatever_the_body() {
    let limited = |reply: Reply| async {
        let error = failed_post(reply.status(429)).await;
        assert!(error.is_rate_limit());
        assert_eq!(error.class, Class::Transient);
        error.retry_after.unwrap().as_secs()
    };
    assert_eq!(limited(refused("ratelimited").header("retry-after", "7")).await, 7);
    assert_eq!(limited(Reply::html(429).header("retry-after", "7")).await, 7);
    assert_eq!(limited(posted()).await, 30, "no Retry-After");
    assert_eq!(limited(posted().header("retry-after", "soon")).await, 30);
    assert_eq!(limited(posted().header("retry-after", "0")).await, 1);
    assert_eq!(limited(posted().header("retry-after", "86400")).await, 300);
}

#[tokio::test]
async fn a_rate_limit_may_come_with_status_200() {
    for code in ["ratelimited", "rate_limited"] {
        let error = failed_post(refused(code).header("retry-after", "3")).await;
        assert!(error.is_rate_limit());
        assert_eq!((error.class, error.retry_after), (Class::Transient, Some(Duration::from_secs(3))));
    }
}

#[tokio::test]
async fn after_an_answer_that_says_nothing_a_post_may_stand_and_an_update_may_be_repeated() {
    let unclear = [
        Reply::html(500),
        Reply::html(504),
        Reply::html(200),
        Reply::Close,
        Reply::CutShort,
        refused("internal_error"),
        refused("something_new"),
        Reply::json(&json!({"ok": true})),
        Reply::json(&json!([])),
        Reply::json(&json!({"error": "no ok"})),
        Reply::Http {
            status: 200,
            headers: vec![("content-type", "application/json".to_owned())],
            body: b"{\"ok\":tr".into(),
        },
    ];
    for reply in unclear {
        let error = failed_post(reply.clone()).await;
        assert_eq!(error.class, Class::Ambiguous, "{reply:?}: {error}");
        assert!(!error.to_string().contains("Server Error"), "{error}");
        if !matches!(&reply, Reply::Http { body, .. } if body == br#"{"ok":true}"#) {
            assert_eq!(failed_update(reply).await.class, Class::Transient);
        }
    }
}

#[tokio::test]
async fn html_is_not_read_as_json_and_503_may_say_when_to_come_back() {
    let error = failed_post(Reply::html(503).header("retry-after", "12")).await;
    assert_eq!((&*error.code, error.retry_after), ("http_503", Some(Duration::from_secs(12))));
    assert!(!error.is_rate_limit());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = Server::new([Reply::html(302).header("location", "https://slack.com/")]).await;
    let error = client(&server).auth_test().await.unwrap_err();
    assert_eq!(&*error.code, code::REDIRECTED);
    assert!(error.remedy().contains("api_url"), "{}", error.remedy());
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn an_answer_that_does_not_end_is_given_up() {
    let error = failed_post(Reply::Http {
        status: 200,
        headers: vec![("content-type", "application/json".to_owned())],
        body: vec![b' '; 9 << 20],
    })
    .await;
    assert_eq!((error.class, &*error.code), (Class::Ambiguous, code::ANSWER_TOO_LARGE));
}

#[tokio::test]
async fn silence_ends_with_the_timeout_and_leaves_open_what_happened() {
    let server = Server::new([Reply::Hang]).await;
    let client = Client::new(&Settings { timeout: Duration::from_millis(200), ..settings(&server.url()) }).unwrap();
    let error = client.post_message(&post("C1")).await.unwrap_err();
    assert_eq!((error.class, &*error.code), (Class::Ambiguous, code::TIMEOUT));
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    // Bound and closed at once: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let client = Client::new(&settings(&format!("http://127.0.0.1:{port}/"))).unwrap();
    let error = client.post_message(&post("C1")).await.unwrap_err();
    assert_eq!((error.class, &*error.code), (Class::Transient, code::CONNECT_FAILED));
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_new_token_serves_new_calls_while_the_old_one_ends_its_own() {
    let held = json!({"ok": true, "user": "old"});
    let server = Server::new([Reply::Held(held), Reply::json(&json!({"ok": true, "user": "new"}))]).await;
    let client = client(&server);
    let in_flight = tokio::spawn({
        let client = client.clone();
        async move { client.auth_test().await }
    });
    server.arrival().await;
    client.set_token(Token::new("xoxb-2-also-secret"));
    assert_eq!(client.account().await.unwrap().user, "new");
    server.release();
    assert_eq!(in_flight.await.unwrap().unwrap().user, "old");
    assert_eq!(client.account().await.unwrap().user, "new", "the late answer belongs to the old token");
    let tokens: Vec<_> = server.received().iter().map(|request| request.headers["authorization"].clone()).collect();
    assert_eq!(tokens, [format!("Bearer {TOKEN}"), "Bearer xoxb-2-also-secret".to_owned()]);
}

#[tokio::test]
async fn the_account_names_the_scopes_granted() {
    let answer = json!({"ok": true, "url": "https://acme.slack.com/", "team": "Acme", "team_id": "T1", "user": "teleport",
        "user_id": "U1", "bot_id": "B1", "enterprise_id": null, "is_enterprise_install": false, "expires_in": null});
    let server = Server::new([Reply::json(&answer).header("x-oauth-scopes", "users:read, chat:write,")]).await;
    let account = client(&server).auth_test().await.unwrap();
    assert_eq!(account.scopes, ["chat:write", "users:read"]);
    assert_eq!((account.bot_id.as_deref(), account.enterprise_id), (Some("B1"), None));
}

#[tokio::test]
async fn whom_to_invite_is_named_as_slack_names_the_bot() {
    let account = Reply::json(&json!({"ok": true, "user": "gatekeeper", "user_id": "U1", "team_id": "T1"}));
    let server = Server::new([account, refused("not_in_channel")]).await;
    let client = client(&server);
    client.auth_test().await.unwrap();
    let error = client.post_message(&post("dba")).await.unwrap_err();
    assert!(client.remedy(&error).starts_with("invite @gatekeeper to #dba"), "{}", client.remedy(&error));
}

#[tokio::test]
async fn an_address_is_looked_up_by_get_with_its_plus_intact_and_once() {
    let found = json!({"ok": true, "user": {"id": "U7", "profile": {}}, "surprise": 1});
    let server = Server::new([Reply::json(&found)]).await;
    let book = AddressBook::new(client(&server), RateLimiter::default());
    for _ in 0..2 {
        assert_eq!(book.user("request", "Al+ops@example.com").await.unwrap(), UserId::new("U7"));
    }
    let [request] = server.received().try_into().unwrap();
    assert_eq!(request.verb, "GET");
    assert_eq!(request.target, "/api/users.lookupByEmail?email=al%2Bops%40example.com");
    assert!(!request.target.contains("secret") && !request.headers.contains_key("content-type"));
}

#[tokio::test]
async fn what_is_already_done_is_a_success() {
    let server =
        Server::new([refused("already_reacted"), refused("message_not_found"), refused("message_not_found")]).await;
    let client = client(&server);
    client.add_reaction(&message(), "white_check_mark").await.unwrap();
    client.delete_message(&message()).await.unwrap();
    let error = client.update_message(&message(), &content()).await.unwrap_err();
    assert_eq!(error.class, Class::Forgotten);
    let bodies: Vec<_> = server.received().iter().map(Received::json).collect();
    assert_eq!(bodies[0], json!({"channel": "C1", "timestamp": "1700000000.000100", "name": "white_check_mark"}));
    assert_eq!(bodies[1], json!({"channel": "C1", "ts": "1700000000.000100"}));
}

#[tokio::test]
async fn our_own_messages_are_found_by_their_metadata_on_all_pages() {
    let ours =
        json!({"event_type": "teleport_access_request", "event_payload": {"request_id": "id-1", "recipient": "dba"}});
    let other =
        json!({"event_type": "teleport_access_request", "event_payload": {"request_id": "id-2", "recipient": "dba"}});
    let page = |messages: Value, next: &str| {
        Reply::json(&json!({"ok": true, "messages": messages, "response_metadata": {"next_cursor": next}}))
    };
    let server = Server::new([
        Reply::json(&json!({"ok": true, "user_id": "U1", "bot_id": "B1"})),
        page(json!([{"ts": "9.000000", "bot_id": "B2", "metadata": ours}, {"ts": "8.000000", "bot_id": "B1", "metadata": ours}]), "abc="),
        page(json!([]), "def="),
        page(json!([{"ts": "7.000000", "bot_id": "B1", "metadata": other}, {"ts": "6.000000", "bot_id": "B1", "metadata": ours}]), ""),
        page(json!([]), ""),
    ])
    .await;
    let client = client(&server);
    let since = "2023-11-14T22:13:20Z".parse().unwrap();
    let wanted = Metadata::of_request("id-1", "dba");
    let found = client.find_posted("C1", since, &wanted).await.unwrap();
    let found: Vec<_> = found.iter().map(|message| (&*message.channel, &*message.ts)).collect();
    assert_eq!(found, [("C1", "6.000000"), ("C1", "8.000000")], "all of them, the oldest first");
    let targets: Vec<_> = server.received().into_iter().map(|request| request.target).collect();
    let first = "/api/conversations.history?channel=C1&oldest=1700000000.000000&inclusive=true&limit=200&include_all_metadata=true";
    assert_eq!(targets[1..], [first.to_owned(), format!("{first}&cursor=abc%3D"), format!("{first}&cursor=def%3D")]);

    assert_eq!(client.find_replies(&message(), &Metadata::of_review("id-1", 0)).await.unwrap(), []);
    assert!(server.received()[4].target.starts_with("/api/conversations.replies?channel=C1&ts=1700000000.000100&"));
}

#[tokio::test]
async fn a_channel_is_resolved_by_name_even_without_the_scope_for_private_ones() {
    let channels = json!([{"id": "C1", "name": "dba-old"}, {"id": "C2", "name": "dba", "is_member": true}]);
    let server = Server::new([
        Reply::json(&json!({"ok": true, "user_id": "U1", "team_id": "T1", "is_enterprise_install": true})),
        refused("missing_scope"),
        Reply::json(&json!({"ok": true, "channels": channels})),
    ])
    .await;
    let channel = client(&server).resolve_channel_name("#dba").await.unwrap().unwrap();
    assert_eq!((&*channel.id, channel.is_member), ("C2", true));
    let targets: Vec<_> = server.received().into_iter().map(|request| request.target).collect();
    assert!(targets[1].contains("types=public_channel%2Cprivate_channel&"), "{targets:?}");
    assert!(targets[2].contains("types=public_channel&") && targets[2].contains("team_id=T1"), "{targets:?}");
}

#[tokio::test]
async fn a_private_authority_is_trusted_only_through_the_bundle() {
    let (server, ca) = Server::tls([Reply::json(&json!({"ok": true, "user": "teleport"}))]).await;
    let url = format!("https://localhost:{}/api", server.port());
    let trusting = Client::new(&Settings { ca_bundle: Some(ca), ..settings(&url) }).unwrap();
    assert_eq!(trusting.auth_test().await.unwrap().user, "teleport");

    let (_, other_ca) = Server::tls([]).await;
    let distrusting = Client::new(&Settings { ca_bundle: Some(other_ca), ..settings(&url) }).unwrap();
    let error = distrusting.post_message(&post("C1")).await.unwrap_err();
    assert_eq!((error.class, &*error.code), (Class::Transient, code::CONNECT_FAILED), "nothing was sent");
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[tokio::test]
async fn a_refused_token_that_does_not_look_like_one_is_said_to() {
    let server = Server::new([refused("invalid_auth"), refused("invalid_auth")]).await;
    for (token, hint) in [("changeme", true), ("xoxb-1", false)] {
        let settings = Settings { token: Token::new(token), ..settings(&server.url()) };
        let error = Client::new(&settings).unwrap().auth_test().await.unwrap_err().to_string();
        assert_eq!(error.contains("does not start with xoxb-"), hint, "{error}");
        assert!(!error.contains(token), "{error}");
    }
}

#[tokio::test]
async fn nothing_is_sent_without_a_token() {
    let server = Server::new([refused("not_authed")]).await;
    let client = Client::new(&Settings { token: Token::new(" "), ..settings(&server.url()) }).unwrap();
    let error = client.auth_test().await.unwrap_err();
    assert_eq!((error.class, &*error.code), (Class::Auth, "not_authed"));
    assert!(server.received().is_empty(), "an empty bearer was sent");
}

#[tokio::test]
async fn what_is_not_slacks_token_is_not_sent_to_slack() {
    // Resolved by nobody: the call has to end before that.
    for url in ["https://slack.com/api/", "https://slack-gov.com/api/"] {
        let client = Client::new(&Settings { token: Token::new("database-password"), ..settings(url) }).unwrap();
        let error = client.auth_test().await.unwrap_err();
        assert_eq!((error.class, &*error.code), (Class::Auth, "invalid_auth"), "{url}");
        assert!(error.to_string().contains("was not sent") && !error.to_string().contains("database"), "{error}");
    }
}

/// The environment of a process cannot be changed safely while it runs threads, so the client runs in another one.
#[tokio::test]
async fn the_proxy_of_the_environment_is_used() {
    const CA: &str = "SLACK_CLIENT_TEST_CA";
    if let Ok(ca) = std::env::var(CA) {
        let settings = Settings { ca_bundle: Some(ca.into_bytes()), ..settings("https://slack.invalid/api/") };
        assert_eq!(Client::new(&settings).unwrap().auth_test().await.unwrap().user, "teleport");
        return;
    }
    let (proxy, ca) = Server::proxy([Reply::json(&json!({"ok": true, "user": "teleport"}))], "slack.invalid").await;
    let address = format!("http://127.0.0.1:{}", proxy.port());
    run_behind("the_proxy_of_the_environment_is_used", &address, (CA, String::from_utf8(ca).unwrap())).await;
    let received = proxy.received();
    assert_eq!((&*received[0].verb, &*received[0].target), ("CONNECT", "slack.invalid:443"));
    assert!(!received[0].headers.contains_key("authorization"), "the proxy does not see the token");
    assert_eq!(received[1].target, "/api/auth.test");
}

/// Likewise in a process of its own.
#[tokio::test]
async fn a_proxy_that_is_away_is_named() {
    const PROXY: &str = "SLACK_CLIENT_TEST_PROXY";
    if let Ok(port) = std::env::var(PROXY) {
        let error = Client::new(&settings("https://slack.invalid/api/")).unwrap().auth_test().await.unwrap_err();
        assert_eq!((error.class, &*error.code), (Class::Transient, code::PROXY_FAILED));
        let (said, proxy) = (error.to_string(), format!("the HTTP proxy at 127.0.0.1:{port} cannot be reached: "));
        assert!(said.contains(&proxy) && said.contains("slack.invalid") && !said.contains("hunter2"), "{said}");
        assert!(error.remedy().contains("HTTPS_PROXY"));
        return;
    }
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("http://user:hunter2@127.0.0.1:{closed}");
    run_behind("a_proxy_that_is_away_is_named", &address, (PROXY, closed.to_string())).await;
}

/// Runs one test in a process of its own, whose environment has the proxy and one more variable.
async fn run_behind(test: &'static str, proxy: &str, variable: (&'static str, String)) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture"])
        .env(variable.0, variable.1)
        .env("HTTPS_PROXY", proxy)
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .env_remove("https_proxy");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
}

#[tokio::test]
async fn a_history_that_does_not_end_is_an_error_and_not_an_empty_one() {
    let page = |number: usize| {
        let next = format!("page-{number}");
        Reply::json(&json!({"ok": true, "messages": [], "response_metadata": {"next_cursor": next}}))
    };
    let whose = Reply::json(&json!({"ok": true, "user_id": "U1", "bot_id": "B1"}));
    let server = Server::new([whose].into_iter().chain((0..100).map(page))).await;
    let wanted = Metadata::of_request("id-1", "dba");
    let before_1970 = "0001-01-01T00:00:00Z".parse().unwrap();
    let error = client(&server).find_posted("C1", before_1970, &wanted).await.unwrap_err();
    assert_eq!((&*error.code, error.class), (code::ANSWER_TOO_LARGE, Class::Transient));
    assert!(server.received()[1].target.contains("oldest=0.000000"));
}
