//! What people do with an app: modals, response URLs, events, commands, and interactivity over HTTP.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod slack_client;

use std::time::Duration;

use serde_json::{Value, json};
use simulators::slack::{Envelope, Press, signature};
use slack_client::socket::{App, ask, connect};
use slack_client::{CHANNEL, WAIT, error, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

#[tokio::test]
async fn a_click_opens_a_modal_once_and_soon() {
    let client = start().await;
    let slack = client.server.workspace();
    let mut app = connect(&client).await;
    let ts = ask(&client, CHANNEL).await;
    let input = json!({"type": "input", "block_id": "why", "label": {"type": "plain_text", "text": "Why?"}, "element": {"type": "plain_text_input", "action_id": "text"}});
    let date = json!({"type": "datepicker", "action_id": "date", "initial_date": "2026-05-01"});
    let title = |text: &str| json!({"type": "plain_text", "text": text});
    let section = json!({"type": "section", "block_id": "when", "text": title("When"), "accessory": date});
    let view = json!({"type": "modal", "title": title("Deny"), "submit": title("Deny"), "blocks": [input, section]});
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
        (json!({"type": "home", "title": title("x"), "blocks": []}), "unsupported type: home"),
        (
            json!({"type": "modal", "title": title("x"), "blocks": [input]}),
            "must define `submit` to use an `input` block in modals",
        ),
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

    let submit = async |app: &mut App| {
        slack.submit_view(id, &json!({"why": {"text": {"type": "plain_text_input", "value": "no"}}})).unwrap();
        app.frame().await
    };
    let submitted = submit(&mut app).await;
    assert_eq!(submitted["accepts_response_payload"], true);
    let payload = &submitted["payload"];
    assert_eq!(payload["type"], "view_submission");
    assert_eq!(payload["view"]["state"]["values"]["why"]["text"]["value"], "no");
    assert_eq!(payload["view"]["state"]["values"]["when"]["date"]["selected_date"], "2026-05-01");
    assert!(payload["view"]["blocks"][0]["block_id"].is_string());
    let errors = json!({"response_action": "errors", "errors": {"why": "be kind"}});
    app.send(&json!({"envelope_id": submitted["envelope_id"], "payload": errors}).to_string()).await;
    let again = submit(&mut app).await;
    assert_eq!(slack.open_views().len(), 1, "errors leave the modal open");
    app.acknowledge(&again).await;
    slack.wait_for(|slack| slack.open_views().is_empty(), WAIT).await.unwrap();
}

#[tokio::test]
async fn what_is_chosen_in_a_message_and_in_a_modal_reaches_the_app() {
    let client = start().await;
    let slack = client.server.workspace();
    let mut app = connect(&client).await;
    let plain = |text: &str| json!({"type": "plain_text", "text": text});
    let option = |text: &str| json!({"text": plain(text), "value": text});
    let menu = json!({"type": "static_select", "action_id": "role", "placeholder": plain("Role"), "options": [option("dba"), option("ops")]});
    let blocks = json!([{"type": "actions", "block_id": "choose", "elements": [menu]}]);
    let body = json!({"channel": CHANNEL, "text": "choose", "blocks": blocks});
    let ts = client.post("chat.postMessage", body).await["ts"].as_str().unwrap().to_owned();
    let chosen = json!({"selected_option": option("ops")});
    let press = |values: Value| Press {
        action_id: "role".to_owned(),
        chosen: chosen.as_object().unwrap().clone(),
        values: values.as_object().unwrap().clone(),
    };
    slack.press("bob", CHANNEL, &ts, &press(json!({}))).unwrap();
    let frame = app.frame().await;
    app.acknowledge(&frame).await;
    let payload = &frame["payload"];
    assert_eq!(payload["actions"][0]["selected_option"]["value"], "ops");
    assert_eq!(payload["state"]["values"]["choose"]["role"]["selected_option"]["value"], "ops");

    let view = json!({"type": "modal", "title": plain("Choose"), "blocks": blocks});
    let opened = client.post("views.open", json!({"trigger_id": payload["trigger_id"], "view": view})).await;
    let id = opened["view"]["id"].as_str().unwrap();
    let values = json!({"choose": {"role": {"type": "static_select", "selected_option": option("ops")}}});
    slack.press_in_view(id, &press(values.clone())).unwrap();
    let frame = app.frame().await;
    app.acknowledge(&frame).await;
    let payload = &frame["payload"];
    assert_eq!(payload["type"], "block_actions");
    assert_eq!(payload["container"], json!({"type": "view", "view_id": id}));
    assert_eq!(payload["actions"][0]["selected_option"]["value"], "ops");
    assert_eq!(payload["view"]["state"]["values"], values);
    assert_eq!((&payload["message"], &payload["response_url"]), (&Value::Null, &Value::Null));
    // The trigger of a click in a modal may put another on top of it.
    let pushed = client.post("views.push", json!({"trigger_id": payload["trigger_id"], "view": view})).await;
    assert_eq!(error(&pushed), "ok");
    let pushed = &pushed["view"];
    assert_eq!((&pushed["root_view_id"], &pushed["previous_view_id"]), (&json!(id), &json!(id)));
    assert_eq!((&pushed["bot_id"], &opened["view"]["previous_view_id"]), (&json!("B0TELEPORT1"), &Value::Null));

    let other = slack.press_in_view(id, &Press { action_id: "other".to_owned(), ..Press::default() });
    assert_eq!(other.unwrap_err().to_string(), "there is no element with this action_id; there are [\"role\"]");
    let gone = slack.press_in_view("V0NONE", &press(json!({})));
    assert_eq!(gone.unwrap_err().to_string(), "there is no open view with this id");
    app.close().await;
    assert_eq!(client.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn events_and_commands_reach_the_app() {
    let client = start().await;
    let slack = client.server.workspace();
    let mut app = connect(&client).await;
    slack.emit_event(&json!({"type": "app_mention", "text": "hi"})).unwrap();
    let frame = app.frame().await;
    let payload = &frame["payload"];
    assert_eq!((&payload["type"], &payload["event"]["text"]), (&json!("event_callback"), &json!("hi")));
    assert_eq!(payload["authorizations"][0]["user_id"], "U0BTELEPORT");
    app.acknowledge(&frame).await;
    slack.command("bob", CHANNEL, "/access", "list").unwrap();
    let frame = app.frame().await;
    assert_eq!((&frame["type"], &frame["accepts_response_payload"]), (&json!("slash_commands"), &json!(true)));
    assert_eq!((&frame["payload"]["command"], &frame["payload"]["text"]), (&json!("/access"), &json!("list")));
    let url = frame["payload"]["response_url"].as_str().unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    http.post(url).json(&json!({"text": "none"})).send().await.unwrap();
    assert_eq!(slack.ephemerals()[0].message.text, "none");
}

#[tokio::test]
async fn the_acknowledgement_of_a_command_is_its_answer() {
    let client = start().await;
    let slack = client.server.workspace();
    let mut app = connect(&client).await;
    let mut answer = async |payload: Value| {
        slack.command("bob", CHANNEL, "/access", "list").unwrap();
        let frame = app.frame().await;
        app.send(&json!({"envelope_id": frame["envelope_id"], "payload": payload}).to_string()).await;
        let answered = |envelope: &Envelope| envelope.acknowledged_after.is_some();
        slack.wait_for(|slack| slack.envelopes().last().is_some_and(answered), WAIT).await.unwrap();
    };
    answer(json!({})).await;
    assert!(slack.ephemerals().is_empty() && slack.messages(CHANNEL).is_empty());
    answer(json!({"text": "none"})).await;
    let shown = &slack.ephemerals()[0];
    assert_eq!((shown.user.as_str(), shown.message.text.as_str()), ("U0BOB000001", "none"));
    answer(json!({"text": "for all", "response_type": "in_channel"})).await;
    assert_eq!(slack.messages(CHANNEL)[0].text, "for all");
    assert_eq!(client.violations(), Vec::<String>::new());
    answer(json!({"blocks": [{"type": "nonsense"}]})).await;
    assert!(client.violations()[0].contains("the answer to a command is refused: invalid_blocks"));
}

#[tokio::test]
async fn a_home_tab_is_published_for_each_person_and_can_be_used() {
    let client = start().await;
    let slack = client.server.workspace();
    let mut app = connect(&client).await;
    let button = json!({"type": "button", "action_id": "go", "text": {"type": "plain_text", "text": "Go"}});
    let picker = json!({"type": "datepicker", "action_id": "when", "initial_date": "2026-05-01"});
    let view = json!({"type": "home", "blocks": [{"type": "actions", "block_id": "b", "elements": [button, picker]}]});
    let publish = async |user: &str, view: &Value, hash: Option<&str>| {
        client.post("views.publish", json!({"user_id": user, "view": view, "hash": hash})).await
    };
    let first = publish("U0BOB000001", &view, None).await;
    let (id, hash) = (first["view"]["id"].as_str().unwrap(), first["view"]["hash"].as_str().unwrap());
    assert_eq!((&first["view"]["type"], &first["view"]["root_view_id"]), (&json!("home"), &json!(id)));
    let again = publish("U0BOB000001", &view, Some(hash)).await;
    assert_eq!(again["view"]["id"], id);
    let alert = json!({"type": "alert", "text": {"type": "plain_text", "text": "x"}});
    for (user, view, hash, expected) in [
        ("U0BOB000001", view.clone(), Some(hash), "hash_conflict"),
        ("U0CAROL0001", view.clone(), Some(hash), "hash_conflict"),
        ("U0NOBODY001", view.clone(), None, "invalid_arguments"),
        ("U0BOB000001", json!({"type": "modal", "blocks": []}), None, "invalid_arguments"),
        ("U0BOB000001", json!({"type": "home", "blocks": [alert]}), None, "invalid_arguments"),
        (
            "U0BOB000001",
            json!({"type": "home", "blocks": [], "private_metadata": "x".repeat(3_001)}),
            None,
            "invalid_arguments",
        ),
    ] {
        assert_eq!(error(&publish(user, &view, hash).await), expected, "{user} {view}");
    }
    let other = publish("U0CAROL0001", &view, None).await;
    assert_ne!(other["view"]["id"], id);
    slack.press_in_view(id, &Press { action_id: "go".to_owned(), ..Press::default() }).unwrap();
    let frame = app.frame().await;
    app.acknowledge(&frame).await;
    let payload = &frame["payload"];
    assert_eq!((&payload["user"]["id"], &payload["view"]["type"]), (&json!("U0BOB000001"), &json!("home")));
    assert_eq!(payload["view"]["state"]["values"]["b"]["when"]["selected_date"], "2026-05-01");
    assert!(slack.open_views().is_empty(), "a Home tab is no modal");
    assert!(slack.submit_view(id, &json!({})).is_err());
    slack.configure_app(|app| app.home_tab = false);
    assert_eq!(error(&publish("U0BOB000001", &view, None).await), "not_enabled");
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
    assert_eq!(respond(&url, json!({"attachments": ["x"]})).await, (400, "invalid_attachments".to_owned()));
    assert_eq!(respond(&url, json!({"text": "only for you"})).await, (200, "ok".to_owned()));
    assert_eq!((slack.ephemerals()[0].user.as_str(), slack.messages(CHANNEL).len()), ("U0BOB000001", 1));
    respond(&url, json!({"text": "for all", "response_type": "in_channel"})).await;
    assert_eq!(slack.messages(CHANNEL).len(), 2);
    respond(&url, json!({"text": "changed", "replace_original": true})).await;
    assert_eq!(slack.message(CHANNEL, &ts).unwrap().text, "changed");
    let attached = json!({"attachments": [{"text": "x"}], "replace_original": true});
    assert_eq!(respond(&url, attached).await, (200, "ok".to_owned()));
    assert_eq!(slack.message(CHANNEL, &ts).unwrap().attachments[0]["text"], "x");
    respond(&url, json!({"text": "x"})).await;
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
