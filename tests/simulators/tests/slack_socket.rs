//! Socket Mode: tickets, connections, envelopes and how they end.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod slack_client;

use std::time::Duration;

use futures::StreamExt;
use serde_json::json;
use simulators::faults::{Effect, Fault};
use simulators::slack::{APP_TOKEN, ClickError, Limits, SOCKET};
use slack_client::socket::{ask, connect, dial, ticket};
use slack_client::{CHANNEL, WAIT, error, start, start_with};
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn a_click_arrives_as_an_envelope_and_is_acknowledged() {
    let client = start().await;
    let slack = client.server.workspace();
    let mut app = connect(&client).await;
    let ts = ask(&client, CHANNEL).await;
    let sent = slack.click("bob@example.com", CHANNEL, &ts, "approve").unwrap();
    let frame = app.frame().await;
    assert_eq!((&frame["type"], &frame["envelope_id"]), (&json!("interactive"), &json!(sent)));
    let payload = &frame["payload"];
    assert_eq!(payload["type"], "block_actions");
    assert_eq!(payload["user"]["id"], "U0BOB000001");
    assert_eq!(payload["api_app_id"], "A0SIMTELEPORT");
    assert_eq!(
        payload["container"],
        json!({"type": "message", "message_ts": ts, "channel_id": CHANNEL, "is_ephemeral": false})
    );
    assert_eq!(payload["message"]["ts"], json!(ts));
    let action = &payload["actions"][0];
    assert_eq!(
        (&action["action_id"], &action["block_id"], &action["value"]),
        (&json!("approve"), &json!("review"), &json!("r1"))
    );
    app.acknowledge(&frame).await;
    slack.wait_for(|slack| slack.envelopes()[0].acknowledged_after.is_some(), WAIT).await.unwrap();
    app.close().await;
    slack.wait_for(|slack| slack.open_sockets() == 0, WAIT).await.unwrap();
    client.server.shutdown().await;
    client.server.assert_no_violations();
}

#[tokio::test]
async fn a_click_shows_what_the_message_is_now() {
    let client = start().await;
    let slack = client.server.workspace();
    let mut app = connect(&client).await;
    let ts = ask(&client, CHANNEL).await;
    client.post("chat.update", json!({"channel": CHANNEL, "ts": ts, "text": "approved"})).await;
    assert_eq!(slack.click("bob", CHANNEL, &ts, "approve"), Err(ClickError::NoAction(Vec::new())));
    slack.click_stale("bob", CHANNEL, &ts, "approve", 1).unwrap();
    assert_eq!(app.frame().await["payload"]["message"]["text"], "a request");
    for user in ["dave", "deploybot", "guest", "nobody"] {
        assert_eq!(slack.click_stale(user, CHANNEL, &ts, "approve", 1), Err(ClickError::NoAccess), "{user}");
    }
    assert_eq!(slack.click("bob", CHANNEL, "1700000000.000000", "approve"), Err(ClickError::NoMessage));
    let ts = ask(&client, CHANNEL).await;
    slack.configure_app(|app| app.interactivity = false);
    assert_eq!(slack.click("bob", CHANNEL, &ts, "approve"), Err(ClickError::NoInteractivity));
}

#[tokio::test]
async fn without_a_connection_a_click_is_lost() {
    let client = start().await;
    let ts = ask(&client, CHANNEL).await;
    assert_eq!(client.server.workspace().click("bob", CHANNEL, &ts, "approve"), Err(ClickError::NoConnection));
}

#[tokio::test]
async fn a_ticket_works_once_and_opening_is_limited() {
    let client = start_with(|settings| settings.limits = Limits::default()).await;
    let answer = ticket(&client).await;
    let url = answer["url"].as_str().unwrap();
    let _app = dial(client.server.address(), url).await.unwrap();
    let again = dial(client.server.address(), url).await.err().unwrap().to_string();
    assert!(again.contains("403"), "{again}");
    assert_eq!(error(&ticket(&client).await), "ratelimited");
    client.server.workspace().configure(|settings| settings.socket.refuse_handshake = true);
    assert!(dial(client.server.address(), url).await.err().unwrap().to_string().contains("409"));
    let get = client.request("GET", "apps.connections.open").bearer_auth(APP_TOKEN);
    assert_eq!(error(&get.send().await.unwrap().json().await.unwrap()), "insecure_request");
}

#[tokio::test]
async fn one_connection_too_many_is_sent_away() {
    let client = start_with(|settings| {
        settings.limits = Limits::off();
        settings.socket.max_connections = 1;
    })
    .await;
    let _first = connect(&client).await;
    let answer = ticket(&client).await;
    let mut second = dial(client.server.address(), answer["url"].as_str().unwrap()).await.unwrap();
    assert_eq!(second.frame().await["reason"], "too_many_websockets");
    assert!(matches!(second.next().await, Some(Message::Close(_)) | None));
}

#[tokio::test]
async fn each_wrong_acknowledgement_is_a_violation() {
    let client = start_with(|settings| {
        settings.limits = Limits::off();
        settings.socket.ack_within = Duration::from_millis(300);
    })
    .await;
    let slack = client.server.workspace();
    let mut app = connect(&client).await;
    let ts = ask(&client, CHANNEL).await;
    slack.click("bob", CHANNEL, &ts, "approve").unwrap();
    let frame = app.frame().await;
    app.send("no json").await;
    app.send(r#"{"envelope_id":"unknown"}"#).await;
    let id = frame["envelope_id"].as_str().unwrap();
    app.send(&json!({"envelope_id": id, "payload": "x".repeat(21_000)}).to_string()).await;
    app.acknowledge(&frame).await;
    app.acknowledge(&frame).await;
    slack.click("bob", CHANNEL, &ts, "approve").unwrap();
    for expected in [
        "a frame that is no acknowledgement",
        "unknown envelope",
        "20 KB",
        "acknowledged twice",
        "not acknowledged in time",
    ] {
        let seen = |slack: &simulators::slack::Handle| slack.violations().iter().any(|v| v.what.contains(expected));
        slack.wait_for(seen, WAIT).await.unwrap_or_else(|error| panic!("{expected}: {error}"));
    }
    let late = app.frame().await;
    app.acknowledge(&late).await;
    let seen =
        |slack: &simulators::slack::Handle| slack.violations().iter().any(|v| v.what.contains("after the deadline"));
    slack.wait_for(seen, WAIT).await.unwrap();
}

#[tokio::test]
async fn an_event_comes_again_until_it_is_acknowledged() {
    let client = start_with(|settings| {
        settings.limits = Limits::off();
        settings.socket.ack_within = Duration::from_millis(50);
    })
    .await;
    let slack = client.server.workspace();
    let mut app = connect(&client).await;
    slack.send_event(json!({"event": {"type": "app_mention"}})).unwrap();
    for attempt in 0..3 {
        let frame = app.frame().await;
        assert_eq!(frame["retry_attempt"], attempt);
        assert_eq!(frame["retry_reason"], if attempt == 0 { "" } else { "timeout" });
    }
    let frame = app.frame().await;
    app.acknowledge(&frame).await;
    slack
        .wait_for(|slack| slack.envelopes().last().is_some_and(|e| e.acknowledged_after.is_some()), WAIT)
        .await
        .unwrap();
}

#[tokio::test]
async fn slack_says_goodbye_in_several_ways() {
    let client = start_with(|settings| {
        settings.limits = Limits::off();
        settings.socket.warning_before_end = Duration::from_millis(20);
    })
    .await;
    let slack = client.server.workspace();
    for reason in ["warning", "refresh_requested", "link_disabled"] {
        let mut app = connect(&client).await;
        slack.disconnect_sockets(reason);
        let frame = app.frame().await;
        assert_eq!((&frame["type"], &frame["reason"]), (&json!("disconnect"), &json!(reason)));
        assert!(matches!(app.next().await, Some(Message::Close(_)) | None));
    }
    assert_eq!(error(&ticket(&client).await), "forbidden_team");
}

#[tokio::test]
async fn a_connection_can_be_cut_ended_doubled_or_go_silent() {
    let client = start_with(|settings| {
        settings.limits = Limits::off();
        settings.socket.ping_every = Duration::from_millis(20);
    })
    .await;
    let slack = client.server.workspace();
    let ts = ask(&client, CHANNEL).await;

    let mut app = connect(&client).await;
    slack.inject(Fault::once(SOCKET, Effect::Cut)).unwrap();
    assert!(app.next().await.is_none());

    let mut app = connect(&client).await;
    slack.inject(Fault::once(SOCKET, Effect::End)).unwrap();
    assert!(matches!(app.next().await, Some(Message::Close(Some(frame))) if u16::from(frame.code) == 1000));
    drop(app);

    let mut app = connect(&client).await;
    slack.inject(Fault::once(SOCKET, Effect::Duplicate)).unwrap();
    slack.wait_for(|slack| slack.faults().list().is_empty(), WAIT).await.unwrap();
    slack.wait_for(|slack| slack.open_sockets() == 1, WAIT).await.unwrap();
    slack.click("bob", CHANNEL, &ts, "approve").unwrap();
    let (first, second) = (app.frame().await, app.frame().await);
    assert_eq!(first, second);
    app.acknowledge(&first).await;

    slack.inject(Fault::once(SOCKET, Effect::Stall)).unwrap();
    slack.wait_for(|slack| slack.faults().list().is_empty(), WAIT).await.unwrap();
    slack.click("bob", CHANNEL, &ts, "approve").unwrap();
    // Pings that were sent before may still arrive; then nothing does.
    let silent = tokio::time::timeout(Duration::from_millis(200), async {
        while let Some(Ok(message)) = app.0.next().await {
            assert!(message.is_ping(), "{message:?}");
        }
    });
    assert!(silent.await.is_err(), "the connection stays open and silent");
    client.server.assert_no_violations();
}

#[tokio::test]
async fn odd_frames_are_sent_as_they_are() {
    let client = start().await;
    let slack = client.server.workspace();
    let mut app = connect(&client).await;
    let huge = "x".repeat(1 << 20);
    for text in ["", "no json", r#"{"type":"novelty"}"#, huge.as_str()] {
        slack.send_raw_frame(text);
        assert_eq!(app.next().await.unwrap().to_text().unwrap(), text);
    }
    slack.send_binary_frame(&[0, 255]);
    assert_eq!(app.next().await.unwrap().into_data().as_ref(), [0, 255]);
}

#[tokio::test]
async fn a_vanished_client_can_leave_a_ghost_and_an_open_socket_at_the_end_is_a_violation() {
    let client = start_with(|settings| {
        settings.limits = Limits::off();
        settings.socket.keep_ghosts = true;
    })
    .await;
    let slack = client.server.workspace();
    drop(connect(&client).await);
    let mut app = connect(&client).await;
    assert_eq!(slack.open_sockets(), 2);
    slack.send_raw_frame("x");
    app.next().await.unwrap();
    client.server.shutdown().await;
    assert_eq!(client.violations(), ["socket: connections were left open at shutdown in 1"]);
}

#[tokio::test]
async fn a_ping_that_nobody_answers_ends_the_connection() {
    let client = start_with(|settings| {
        settings.socket.ping_every = Duration::from_millis(30);
        settings.socket.pong_within = Duration::from_millis(60);
    })
    .await;
    let _app = connect(&client).await;
    let slack = client.server.workspace();
    // The client does not read, so that it answers no ping.
    slack.wait_for(|slack| slack.open_sockets() == 0, WAIT).await.unwrap();
    assert!(client.violations()[0].contains("a ping was not answered"));
}

#[tokio::test]
async fn what_is_not_acknowledged_before_the_end_is_a_violation() {
    let client = start().await;
    let slack = client.server.workspace();
    let mut app = connect(&client).await;
    let ts = ask(&client, CHANNEL).await;
    slack.click("bob", CHANNEL, &ts, "approve").unwrap();
    app.frame().await;
    app.close().await;
    client.server.shutdown().await;
    let violations = client.violations();
    assert_eq!(violations.len(), 1, "{violations:?}");
    assert!(violations[0].contains("not acknowledged") && violations[0].contains("approve"), "{violations:?}");
}

#[tokio::test]
async fn a_client_that_says_goodbye_hears_it_back() {
    let client = start().await;
    let mut app = connect(&client).await;
    app.0.close(None).await.unwrap();
    assert!(matches!(app.next().await, Some(Message::Close(_))));
}
