//! Socket Mode, clicks, modals, response URLs, and interactivity over HTTP.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod slack_client;

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use simulators::{
    faults::{Effect, Fault},
    slack::{APP_TOKEN, ClickError, Limits, SOCKET, signature},
};
use slack_client::{CHANNEL, Client, WAIT, error, start, start_with};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

/// An app's end of a connection.
struct App(WebSocketStream<TcpStream>);

async fn ticket(client: &Client) -> Value {
    let request = client.request("POST", "apps.connections.open").bearer_auth(APP_TOKEN);
    request.send().await.unwrap().json().await.unwrap()
}

async fn dial(client: &Client, url: &str) -> Result<App, tokio_tungstenite::tungstenite::Error> {
    let stream = TcpStream::connect(client.server.address()).await?;
    Ok(App(tokio_tungstenite::client_async(url, stream).await?.0))
}

async fn connect(client: &Client) -> App {
    let answer = ticket(client).await;
    let mut app = dial(client, answer["url"].as_str().unwrap()).await.unwrap();
    assert_eq!(app.frame().await["type"], "hello");
    app
}

impl App {
    /// The next frame but pings; `None` at the end.
    async fn next(&mut self) -> Option<Message> {
        loop {
            match tokio::time::timeout(WAIT, self.0.next()).await.unwrap() {
                Some(Ok(Message::Ping(_))) => {}
                Some(Ok(message)) => return Some(message),
                Some(Err(_)) | None => return None,
            }
        }
    }

    async fn frame(&mut self) -> Value {
        serde_json::from_str(self.next().await.unwrap().to_text().unwrap()).unwrap()
    }

    async fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    async fn acknowledge(&mut self, frame: &Value) {
        self.send(&json!({"envelope_id": frame["envelope_id"]}).to_string()).await;
    }

    async fn close(mut self) {
        self.0.close(None).await.unwrap();
        while self.next().await.is_some() {}
    }
}

/// Posts a message with an approve button.
async fn ask(client: &Client, channel: &str) -> String {
    let button = json!({"type": "button", "action_id": "approve", "value": "r1", "text": {"type": "plain_text", "text": "Approve"}});
    let blocks = json!([{"type": "actions", "block_id": "review", "elements": [button]}]);
    let answer =
        client.post("chat.postMessage", json!({"channel": channel, "text": "a request", "blocks": blocks})).await;
    answer["ts"].as_str().unwrap().to_owned()
}

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
    let _app = dial(&client, url).await.unwrap();
    let again = dial(&client, url).await.err().unwrap().to_string();
    assert!(again.contains("403"), "{again}");
    assert_eq!(error(&ticket(&client).await), "ratelimited");
    client.server.workspace().configure(|settings| settings.socket.refuse_handshake = true);
    assert!(dial(&client, url).await.err().unwrap().to_string().contains("409"));
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
    let mut second = dial(&client, answer["url"].as_str().unwrap()).await.unwrap();
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
async fn a_click_opens_a_modal_once_and_soon() {
    let client = start().await;
    let slack = client.server.workspace();
    let mut app = connect(&client).await;
    let ts = ask(&client, CHANNEL).await;
    let input = json!({"type": "input", "block_id": "why", "label": {"type": "plain_text", "text": "Why?"}, "element": {"type": "plain_text_input", "action_id": "text"}});
    let title = |text: &str| json!({"type": "plain_text", "text": text});
    let view = json!({"type": "modal", "title": title("Deny"), "submit": title("Deny"), "blocks": [input]});
    let click = async |app: &mut App| {
        slack.click("bob", CHANNEL, &ts, "approve").unwrap();
        let frame = app.frame().await;
        app.acknowledge(&frame).await;
        frame["payload"]["trigger_id"].as_str().unwrap().to_owned()
    };
    let trigger = click(&mut app).await;
    for (broken, expected) in [
        (json!({"type": "modal", "blocks": []}), "missing required field"),
        (json!({"type": "modal", "title": title(&"x".repeat(25)), "blocks": []}), "must be less than 25 characters"),
        (json!({"type": "home", "title": title("x"), "blocks": []}), "must be one of: modal"),
        (json!({"type": "modal", "title": title("x"), "blocks": [input]}), "missing required field: submit"),
        (
            json!({"type": "modal", "title": title("x"), "blocks": [{"type": "markdown", "text": "x"}]}),
            "unsupported type",
        ),
        (
            json!({"type": "modal", "title": title("x"), "blocks": [], "private_metadata": "x".repeat(3_001)}),
            "must be less than 3001",
        ),
        (json!({"type": "modal", "title": title("x"), "blocks": [], "colour": "red"}), "invalid additional property"),
    ] {
        let answer = client.post("views.open", json!({"trigger_id": trigger, "view": broken})).await;
        assert_eq!(error(&answer), "invalid_arguments", "{broken}");
        assert!(answer["response_metadata"]["messages"].to_string().contains(expected), "{answer}");
    }
    let opened = client.post("views.open", json!({"trigger_id": trigger, "view": view})).await;
    let id = opened["view"]["id"].as_str().unwrap();
    let again = client.post("views.open", json!({"trigger_id": trigger, "view": view})).await;
    assert_eq!(error(&again), "exchanged_trigger_id");
    let late = click(&mut app).await;
    slack.advance(Duration::from_secs(4));
    let late = client.post("views.open", json!({"trigger_id": late, "view": view})).await;
    assert_eq!(error(&late), "expired_trigger_id");
    let wrong = client.post("views.update", json!({"view_id": id, "hash": "old", "view": view})).await;
    assert_eq!(error(&wrong), "hash_conflict");
    assert_eq!(error(&client.post("views.update", json!({"view_id": id, "view": view})).await), "ok");

    slack.submit_view(id, &json!({"why": {"text": {"type": "plain_text_input", "value": "no"}}})).unwrap();
    let submitted = app.frame().await["payload"].clone();
    assert_eq!(submitted["type"], "view_submission");
    assert_eq!(submitted["view"]["state"]["values"]["why"]["text"]["value"], "no");
}

#[tokio::test]
async fn a_response_url_works_five_times_for_half_an_hour() {
    let client = start().await;
    let slack = client.server.workspace();
    let mut app = connect(&client).await;
    let ts = ask(&client, CHANNEL).await;
    let click = async |app: &mut App| {
        slack.click("bob", CHANNEL, &ts, "approve").unwrap();
        app.frame().await["payload"]["response_url"].as_str().unwrap().to_owned()
    };
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let respond = async |url: &str, body: Value| {
        let response = http.post(url).json(&body).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let url = click(&mut app).await;
    assert_eq!(respond(&url, json!({"text": ""})).await, (400, "no_text".to_owned()));
    assert_eq!(
        respond(&url, json!({"text": "x", "blocks": [{"type": "x"}]})).await,
        (400, "invalid_blocks".to_owned())
    );
    assert_eq!(respond(&url, json!({"text": "only for you"})).await, (200, "ok".to_owned()));
    assert_eq!((slack.ephemerals()[0].user.as_str(), slack.messages(CHANNEL).len()), ("U0BOB000001", 1));
    respond(&url, json!({"text": "for all", "response_type": "in_channel"})).await;
    assert_eq!(slack.messages(CHANNEL).len(), 2);
    respond(&url, json!({"text": "changed", "replace_original": true})).await;
    assert_eq!(slack.message(CHANNEL, &ts).unwrap().text, "changed");
    for _ in 0..2 {
        respond(&url, json!({"text": "x"})).await;
    }
    assert_eq!(respond(&url, json!({"text": "x"})).await, (404, "used_url".to_owned()));
    let ts = ask(&client, CHANNEL).await;
    slack.click("bob", CHANNEL, &ts, "approve").unwrap();
    let url = app.frame().await["payload"]["response_url"].as_str().unwrap().to_owned();
    slack.advance(Duration::from_mins(31));
    assert_eq!(respond(&url, json!({"text": "x"})).await, (404, "expired_url".to_owned()));
}

#[tokio::test]
async fn without_socket_mode_a_click_is_a_signed_post() {
    let client = start().await;
    let slack = client.server.workspace();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/interactivity", listener.local_addr().unwrap());
    slack.configure_app(|app| {
        app.socket_mode = false;
        app.request_url = Some(url);
        "shhh".clone_into(&mut app.signing_secret);
    });
    let ts = ask(&client, CHANNEL).await;
    slack.click("bob", CHANNEL, &ts, "approve").unwrap();
    let (mut stream, _) = tokio::time::timeout(WAIT, listener.accept()).await.unwrap().unwrap();
    let mut request = Vec::new();
    let text = loop {
        let mut buffer = [0; 4_096];
        let read = stream.read(&mut buffer).await.unwrap();
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8(request.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() == length.parse::<usize>().unwrap() {
            break text;
        }
    };
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let timestamp = header("x-slack-request-timestamp: ").parse().unwrap();
    assert_eq!(header("x-slack-signature: "), signature("shhh", timestamp, body.as_bytes()));
    assert!(body.starts_with("payload=%7B"), "{body}");
}
