//! The HTTP layer: encodings, authentication, scopes, limits, and what goes wrong on command.

mod slack_client;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simulators::faults::{Effect, Fault};
use simulators::slack::{APP_TOKEN, App, Limits, Outcome, Settings, Token, TokenState, default_workspace, scopes};
use slack_client::{CHANNEL, WAIT, error, start, start_with, start_workspace};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn answers_are_json_with_slacks_headers_and_status_200_also_for_errors() {
    let client = start().await;
    let response = client.answer("chat.postMessage", json!({"channel": "C0UNKNOWN01", "text": "x"})).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json; charset=utf-8");
    assert!(response.headers()["x-oauth-scopes"].to_str().unwrap().contains("chat:write"));
    assert_eq!(response.headers()["x-accepted-oauth-scopes"], "chat:write");
    assert!(response.headers().contains_key("x-slack-req-id"));
    assert_eq!(response.json::<Value>().await.unwrap(), json!({"ok": false, "error": "channel_not_found"}));
}

#[tokio::test]
async fn bodies_are_read_by_content_type_and_refused_by_name() {
    let client = start().await;
    let post = json!({"channel": CHANNEL, "text": "x"}).to_string();
    for (content_type, body, expected, warning) in [
        (Some("application/json; charset=utf-8"), post.as_str(), "ok", None),
        (Some("application/json"), post.as_str(), "ok", Some("missing_charset")),
        (Some("application/x-www-form-urlencoded"), "channel=C0ACCESSREQ&text=a+b", "ok", None),
        (
            Some("application/x-www-form-urlencoded; charset=utf-8"),
            "channel=C0ACCESSREQ&text=x",
            "ok",
            Some("superfluous_charset"),
        ),
        (
            Some("multipart/form-data; boundary=b"),
            "--b\r\nContent-Disposition: form-data; name=\"channel\"\r\n\r\nC0ACCESSREQ\r\n--b\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\nx\r\n--b--\r\n",
            "ok",
            None,
        ),
        (Some("application/xml"), "<a/>", "invalid_post_type", None),
        (None, "x", "missing_post_type", None),
        (Some("application/json; charset=utf-16"), "{}", "invalid_charset", None),
        (Some("application/json; charset=utf-8"), "{", "invalid_json", None),
        (Some("application/json; charset=utf-8"), "[1]", "json_not_object", None),
        (Some("multipart/form-data; boundary=b"), "x", "invalid_form_data", None),
        (Some("application/x-www-form-urlencoded"), "blocks[]=1", "invalid_array_arg", None),
    ] {
        let mut request = client.request("POST", "chat.postMessage").bearer_auth(&client.token).body(body.to_owned());
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(error(&answer), expected, "{content_type:?} {body}");
        assert_eq!(answer["warning"].as_str(), warning, "{content_type:?} {answer}");
        if let Some(warning) = warning {
            assert_eq!(answer["response_metadata"]["warnings"], json!([warning]));
        }
    }
}

#[tokio::test]
async fn a_method_that_reads_forms_does_not_see_json_arguments() {
    let client = start().await;
    for (method, body, expected) in [
        ("users.lookupByEmail", json!({"email": "alice@example.com"}), "invalid_arguments"),
        ("users.info", json!({"user": "U0ALICE0001"}), "user_not_found"),
        ("conversations.info", json!({"channel": CHANNEL}), "invalid_arguments"),
    ] {
        assert_eq!(error(&client.post(method, body).await), expected, "{method}");
    }
    assert_eq!(client.violations().iter().filter(|v| v.contains("JSON body for a method that reads forms")).count(), 3);
}

#[tokio::test]
async fn authentication_is_checked_before_scopes_and_arguments() {
    let client = start_workspace(
        default_workspace()
            .limits(Limits::off())
            .token(Token::bot("xoxb-old", &[]).state(TokenState::Revoked))
            .token(Token::bot("xoxb-late", &[]).state(TokenState::Expired))
            .token(Token::bot("xoxb-gone", &[]).state(TokenState::Inactive))
            .token(Token::bot("xoxb-poor", &["users:read"])),
    )
    .await;
    for (method, token, expected) in [
        ("auth.test", Some("xoxb-wrong"), "invalid_auth"),
        ("auth.test", Some("xoxb-old"), "token_revoked"),
        ("auth.test", Some("xoxb-late"), "token_expired"),
        ("auth.test", Some("xoxb-gone"), "account_inactive"),
        ("auth.test", Some(APP_TOKEN), "not_allowed_token_type"),
        ("auth.test", None, "not_authed"),
        ("apps.connections.open", Some(client.token.as_str()), "not_allowed_token_type"),
        ("apps.connections.open", None, "missing_args"),
        ("chat.nonsense", None, "unknown_method"),
        ("chat.postMessage", Some("xoxb-poor"), "missing_scope"),
    ] {
        let mut request = client.request("POST", method);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(error(&answer), expected, "{method} {token:?}");
        if expected == "missing_scope" {
            assert_eq!((&answer["needed"], &answer["provided"]), (&json!("chat:write:bot"), &json!("users:read")));
        }
    }
}

#[tokio::test]
async fn retired_methods_say_so_and_name_what_took_their_place() {
    let client = start().await;
    for (method, instead) in [
        ("channels.list", "conversations.list or users.conversations"),
        ("channels.setTopic", "conversations.setTopic"),
        ("groups.createChild", "conversations.create"),
        ("im.open", "conversations.open"),
        ("mpim.replies", "conversations.replies"),
    ] {
        let answer = client.post(method, json!({})).await;
        assert_eq!(error(&answer), "method_deprecated", "{method}");
        let message = answer["response_metadata"]["messages"][0].as_str().unwrap();
        assert!(message.starts_with("[ERROR] ") && message.contains(instead), "{method}: {message}");
    }
    for method in ["files.upload", "rtm.start"] {
        assert_eq!(
            client.post(method, json!({})).await,
            json!({"ok": false, "error": "method_deprecated"}),
            "{method}"
        );
    }
    assert_eq!(error(&client.post("channels.nonsense", json!({})).await), "unknown_method");
}

#[tokio::test]
async fn a_token_works_in_a_form_but_not_in_the_url_or_in_json() {
    let client = start().await;
    let form = client.request("POST", "auth.test").form(&[("token", &client.token)]);
    assert_eq!(form.send().await.unwrap().json::<Value>().await.unwrap()["ok"], true);
    let query = client.request("GET", "auth.test").query(&[("token", &client.token)]);
    assert_eq!(error(&query.send().await.unwrap().json().await.unwrap()), "not_authed");
    let json = client.request("POST", "auth.test").header("content-type", "application/json; charset=utf-8");
    let json = json.body(json!({"token": client.token}).to_string());
    assert_eq!(error(&json.send().await.unwrap().json().await.unwrap()), "not_authed");
    assert_eq!(client.violations()[0], "auth.test: token in the URL in {}");
    let journal = serde_json::to_string(&client.server.workspace().journal()).unwrap();
    assert!(!journal.contains("xoxb-"), "{journal}");
}

#[tokio::test]
async fn a_channel_takes_a_message_a_second_and_a_429_stops_nothing_else() {
    let client = start_with(|settings| settings.limits = Limits::default()).await;
    client.say("first").await;
    let response = client.answer("chat.postMessage", json!({"channel": CHANNEL, "text": "second"})).await;
    assert_eq!(response.status(), 429);
    assert_eq!(
        (&response.headers()["retry-after"], &response.headers()["connection"]),
        (&"1".parse().unwrap(), &"close".parse().unwrap())
    );
    assert_eq!(response.json::<Value>().await.unwrap()["error"], "ratelimited");
    let other = client.post("chat.postMessage", json!({"channel": "general", "text": "x"})).await;
    assert_eq!(error(&other), "ok");
    assert_eq!(client.server.workspace().messages(CHANNEL).len(), 1);
    client.server.workspace().advance(Duration::from_secs(1));
    client.say("second").await;
    client.server.assert_no_violations();
}

#[tokio::test]
async fn a_call_inside_a_retry_after_window_is_a_violation_with_its_body() {
    let client = start().await;
    let slack = client.server.workspace();
    slack.inject(Fault::once("users.lookupByEmail", Effect::RateLimited { retry_after: Some(30) })).unwrap();
    client.get("users.lookupByEmail", &[("email", "alice@example.com")]).await;
    slack.advance(Duration::from_secs(5));
    let again = client.get("users.lookupByEmail", &[("email", "alice@example.com")]).await;
    assert_eq!(error(&again), "ratelimited");
    assert_eq!(error(&client.get("users.info", &[("user", "U0ALICE0001")]).await), "ok");
    let violations = client.violations();
    assert!(violations[0].contains("Retry-After") && violations[0].contains("alice@example.com"), "{violations:?}");
    slack.advance(Duration::from_secs(26));
    assert_eq!(error(&client.get("users.lookupByEmail", &[("email", "alice@example.com")]).await), "ok");
}

#[tokio::test]
async fn haste_is_a_violation_also_while_the_fault_that_asked_to_wait_goes_on() {
    let client = start().await;
    let slack = client.server.workspace();
    slack.inject(Fault::times("users.info", 2, Effect::RateLimited { retry_after: Some(30) })).unwrap();
    for _ in 0..2 {
        client.get("users.info", &[("user", "U0ALICE0001")]).await;
        slack.advance(Duration::from_secs(1));
    }
    let violations = client.violations();
    assert_eq!(violations.len(), 1, "{violations:?}");
    assert!(violations[0].contains("Retry-After") && violations[0].contains("U0ALICE0001"), "{violations:?}");
    assert_eq!(slack.journal()[1].violations.len(), 1);
}

#[tokio::test]
async fn an_incoming_webhook_posts_into_its_channel_and_refuses_in_plain_text() {
    let client = start_with(|settings| settings.limits = Limits::default()).await;
    let slack = client.server.workspace();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = |key: &str| format!("{}/services/T0SIMULATED/B0TELEPORT1/{key}", slack.url());
    let post = async |key: &str, body: &str| {
        let response = http.post(url(key)).header("content-type", "application/json").body(body.to_owned());
        let response = response.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    for (key, body, status, text) in [
        ("simulated", r#"{"text": "x"}"#, 200, "ok"),
        ("unknown", r#"{"text": "x"}"#, 404, "no_service"),
        ("simulated", "{", 400, "invalid_payload"),
        ("simulated", "{}", 400, "no_text"),
        ("simulated", r#"{"blocks": [{"type": "nonsense"}]}"#, 400, "invalid_blocks"),
        ("simulated", r#"{"attachments": [{}]}"#, 400, "no_text"),
        ("simulated", r#"{"attachments": ["x"]}"#, 400, "invalid_attachments"),
        ("simulated", r#"{"attachments": [{"blocks": [{"type": "nonsense"}]}]}"#, 400, "invalid_attachments"),
    ] {
        assert_eq!(post(key, body).await, (status, text.to_owned()), "{key} {body}");
    }
    let hasty = post("simulated", r#"{"text": "y"}"#).await;
    assert_eq!(hasty, (429, json!({"retry_after": 1, "ok": false, "error": "rate_limited"}).to_string()));
    slack.advance(Duration::from_secs(2));
    let form = http.post(url("simulated")).form(&[("payload", r#"{"text": "of a form"}"#)]).send().await.unwrap();
    assert_eq!(form.status(), 200);
    let texts: Vec<_> = slack.messages("general").into_iter().map(|message| message.text).collect();
    assert_eq!(texts, ["x", "of a form"]);
    slack.archive("general");
    assert_eq!(post("simulated", r#"{"text": "x"}"#).await, (410, "channel_is_archived".to_owned()));
}

#[tokio::test]
async fn the_workspace_and_every_tier_have_a_limit_a_minute() {
    let client = start_with(|settings| {
        settings.limits = Limits { workspace_per_minute: 3, channel_burst: 100, ..Limits::default() }
    })
    .await;
    for _ in 0..3 {
        client.say("x").await;
    }
    assert_eq!(client.answer("chat.postMessage", json!({"channel": "general", "text": "x"})).await.status(), 429);
    for _ in 0..20 {
        assert_eq!(error(&client.get("users.list", &[("limit", "1")]).await), "ok");
    }
    assert_eq!(error(&client.get("users.list", &[("limit", "1")]).await), "ratelimited");
}

#[tokio::test]
async fn faults_strike_before_or_after_the_effect() {
    let client = start().await;
    let slack = client.server.workspace();
    let post = || client.try_post("chat.postMessage", json!({"channel": CHANNEL, "text": "x"}));
    for (effect, status, error_code, posted) in [
        (Effect::Error { code: "fatal_error".into(), message: String::new() }, 200, Some("fatal_error"), false),
        (Effect::ErrorAfter { code: "internal_error".into() }, 200, Some("internal_error"), true),
        (Effect::ServerError { status: 503 }, 503, None, false),
        (Effect::ServerErrorAfter { status: 504 }, 504, None, true),
        (Effect::RateLimited { retry_after: None }, 429, Some("ratelimited"), false),
        (Effect::RateLimited { retry_after: Some(0) }, 429, Some("ratelimited"), false),
        (Effect::RateLimitedText { retry_after: None }, 429, None, false),
        (Effect::Redirect { location: "https://elsewhere.example/".into() }, 302, None, false),
        (Effect::Malformed, 200, None, true),
        (Effect::Html, 200, None, true),
    ] {
        let before = slack.messages(CHANNEL).len();
        slack.inject(Fault::once("chat.postMessage", effect.clone())).unwrap();
        let response = post().await.unwrap();
        assert_eq!(response.status(), status, "{effect:?}");
        let html = response.headers().get("content-type").is_some_and(|t| t.to_str().unwrap().starts_with("text/html"));
        let text = response.text().await.unwrap();
        let body: Option<Value> = serde_json::from_str(&text).ok();
        assert_eq!(body.as_ref().and_then(|body| body["error"].as_str()), error_code, "{effect:?} {text}");
        assert_eq!(html, matches!(effect, Effect::ServerError { .. } | Effect::ServerErrorAfter { .. } | Effect::Html));
        assert_eq!(slack.messages(CHANNEL).len() - before, usize::from(posted), "{effect:?}");
    }
}

#[tokio::test]
async fn a_lost_answer_is_a_closed_connection_after_the_effect_and_a_reset_one_before_it() {
    let client = start().await;
    let slack = client.server.workspace();
    for (effect, posted, outcome) in [(Effect::AnswerLost, 1, Outcome::Lost), (Effect::ResetBefore, 1, Outcome::Reset)]
    {
        slack.inject(Fault::once("chat.postMessage", effect)).unwrap();
        let failed = client.try_post("chat.postMessage", json!({"channel": CHANNEL, "text": "x"})).await;
        assert!(failed.is_err_and(|error| !error.is_timeout()));
        assert_eq!(slack.messages(CHANNEL).len(), posted);
        assert_eq!(slack.journal().last().unwrap().outcome, outcome);
    }
}

#[tokio::test]
async fn hang_slow_drip_and_huge_answers_are_what_they_say() {
    let client = start().await;
    let slack = client.server.workspace();
    slack.inject(Fault::once("auth.test", Effect::Hang)).unwrap();
    let hung = client.request("POST", "auth.test").bearer_auth(&client.token).timeout(Duration::from_millis(300));
    assert!(hung.send().await.unwrap_err().is_timeout());
    for effect in [Effect::Slow { millis: 200 }, Effect::Drip { millis: 200 }] {
        slack.inject(Fault::once("auth.test", effect)).unwrap();
        let begun = Instant::now();
        assert_eq!(client.post("auth.test", json!({})).await["ok"], true);
        assert!(begun.elapsed() >= Duration::from_millis(180));
    }
    slack.inject(Fault::once("auth.test", Effect::Huge { bytes: 1 << 20 })).unwrap();
    assert!(client.answer("auth.test", json!({})).await.text().await.unwrap().len() > 1 << 20);
}

#[tokio::test]
async fn a_stale_read_shows_the_past_and_faults_can_wait_for_certain_arguments() {
    let client = start().await;
    let slack = client.server.workspace();
    let ts = client.say("old").await;
    slack.advance(Duration::from_secs(10));
    client.post("chat.update", json!({"channel": CHANNEL, "ts": ts, "text": "new"})).await;
    slack.inject(Fault::once("conversations.history", Effect::StaleRead { millis: 5_000 }).only(CHANNEL)).unwrap();
    client.get("conversations.history", &[("channel", "C0GENERAL01")]).await;
    for expected in ["old", "new"] {
        let history = client.get("conversations.history", &[("channel", CHANNEL)]).await;
        assert_eq!(history["messages"][0]["text"], expected);
    }
    assert!(slack.inject(Fault::once("chat.postMessage", Effect::StaleRead { millis: 1 })).is_err());
    assert!(slack.inject(Fault::once("chat.postMessage", Effect::Duplicate)).is_err());
    assert!(slack.inject(Fault::once("chat.nonsense", Effect::Hang)).is_err());
}

#[tokio::test]
async fn keep_alive_connections_end_without_notice_after_so_many_requests_or_so_much_idleness() {
    type Change = fn(&mut Settings);
    let changes: [Change; 2] =
        [|s| s.requests_per_connection = Some(1), |s| s.idle_connection = Some(Duration::from_millis(20))];
    for change in changes {
        let client = start_with(change).await;
        let mut stream = TcpStream::connect(client.server.address()).await.unwrap();
        stream.write_all(b"POST /api/auth.test HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(WAIT, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.contains("not_authed") && !answer.contains("connection: close"), "{answer}");
    }
}

#[tokio::test]
async fn strict_mode_names_what_slack_would_frown_upon() {
    let mut app = App::new("A0SIMTELEPORT", "teleport", "B0TELEPORT1", "U0BTELEPORT");
    app = app.manifest(scopes::NOTIFY);
    let client = start_workspace(default_workspace().limits(Limits::off()).app(app)).await;
    client.post("chat.postMessage", json!({"channel": CHANNEL, "blocks": [{"type": "divider"}]})).await;
    client.post("chat.postMessage", json!({"channel": CHANNEL, "text": "x".repeat(4_001)})).await;
    client.get("conversations.history", &[("channel", CHANNEL)]).await;
    client.post("chat.nonsense", json!({})).await;
    let mixed = client.request("POST", "auth.test").bearer_auth(&client.token).query(&[("a", "1")]).form(&[("b", "2")]);
    mixed.send().await.unwrap();
    let violations = client.violations();
    for expected in [
        "blocks without text",
        "text of 4001 characters",
        "scope channels:history is not in the app's manifest",
        "unknown method",
        "arguments in both the query and the body",
    ] {
        assert!(violations.iter().any(|violation| violation.contains(expected)), "{expected} is not in {violations:?}");
    }
    assert!(client.server.workspace().used_scopes().contains("channels:history"));
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| client.server.assert_no_violations()));
    let text = failed.unwrap_err().downcast::<String>().unwrap();
    assert!(text.contains("chat.postMessage") && text.contains("divider"), "{text}");
}

#[tokio::test]
async fn waiting_ends_with_the_change_or_tells_the_last_calls() {
    let client = start().await;
    let slack = client.server.workspace();
    let (arrived, _) = tokio::join!(slack.wait_for(|slack| slack.messages(CHANNEL).len() == 1, WAIT), client.say("x"));
    arrived.unwrap();
    let late = slack.wait_for(|_| false, Duration::from_millis(20)).await.unwrap_err();
    assert!(format!("{late:?}").contains("chat.postMessage"));
}

#[tokio::test]
async fn a_benchmark_workspace_keeps_no_journal_and_never_refuses() {
    let client = start_workspace(default_workspace().for_benchmarks()).await;
    for _ in 0..200 {
        client.say("x").await;
    }
    let slack = client.server.workspace();
    assert_eq!((slack.journal().len(), slack.call_count(), slack.messages(CHANNEL).len()), (0, 200, 200));
}
