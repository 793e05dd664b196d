//! The control API: what the page and other languages use.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod slack_client;

use futures::StreamExt;
use serde_json::{Value, json};
use slack_client::{CHANNEL, Client, WAIT, error, start};

async fn control(client: &Client, verb: &str, path: &str, body: Value) -> (u16, Value) {
    let url = format!("../_sim/{path}");
    let request = client.request(verb, &url).json(&body);
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn the_state_shows_everything_there_is_to_draw() {
    let client = start().await;
    let ts = client.say("<https://teleport.example|request>").await;
    control(&client, "POST", "react", json!({"user": "bob", "channel": CHANNEL, "ts": ts, "name": "eyes"})).await;
    control(&client, "POST", "say", json!({"user": "carol", "channel": CHANNEL, "text": "why?", "thread_ts": ts}))
        .await;
    let (_, state) = control(&client, "GET", "state", json!({})).await;
    let channel = state["channels"].as_array().unwrap().iter().find(|channel| channel["id"] == CHANNEL).unwrap();
    assert_eq!((&channel["kind"], &channel["bot_is_member"]), (&json!("public"), &json!(true)));
    let message = &channel["messages"][0];
    assert_eq!(message["object"]["reactions"][0]["users"], json!(["U0BOB000001"]));
    assert_eq!(message["effects"]["links"][0]["url"], "https://teleport.example");
    assert_eq!(channel["messages"][1]["object"]["thread_ts"], json!(ts));
    assert_eq!(state["users"].as_array().unwrap().len(), 8);
    assert!(!state.to_string().contains("xoxb-"));
}

#[tokio::test]
async fn faults_are_injected_listed_and_removed() {
    let client = start().await;
    let fault = json!({"method": "auth.test", "effect": "error", "code": "fatal_error", "count": 2});
    let (_, made) = control(&client, "POST", "faults", fault).await;
    assert_eq!(error(&client.post("auth.test", json!({})).await), "fatal_error");
    let (_, list) = control(&client, "GET", "faults", json!({})).await;
    assert_eq!((&list[0]["id"], &list[0]["effect"], &list[0]["count"]), (&made["id"], &json!("error"), &json!(1)));
    assert_eq!(control(&client, "DELETE", &format!("faults/{}", made["id"]), json!({})).await.0, 200);
    assert_eq!(error(&client.post("auth.test", json!({})).await), "ok");
    let unfit = json!({"method": "chat.postMessage", "effect": "stall"});
    let (status, answer) = control(&client, "POST", "faults", unfit).await;
    assert_eq!(status, 400);
    assert!(answer["error"].as_str().unwrap().contains("socket"), "{answer}");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_the_reason() {
    let client = start().await;
    for (path, body, expected) in [
        ("faults", json!({"method": "auth.test", "effect": "hang", "cuont": 1}), "unknown field `cuont`"),
        ("faults", json!({"method": "auth.test", "effect": "sulk"}), "unknown variant `sulk`"),
        ("faults", json!({"method": "auth.nonsense", "effect": "hang"}), "knows no hang for auth.nonsense"),
        ("faults", json!("hang"), "invalid type"),
        ("click", json!({"user": "bob"}), "missing field `channel`"),
        ("channel", json!({"channel": "general", "action": "invite", "user": "nobody"}), "no such user"),
        ("channel", json!({"channel": "general", "action": "paint"}), "action must be"),
        ("user", json!({"user": "nobody", "action": "deactivate"}), "no such user"),
        ("token", json!({"token": "nothing", "action": "revoke"}), "no such token"),
        ("command", json!({"user": "nobody", "channel": "general", "command": "/x"}), "this person cannot"),
    ] {
        let (status, answer) = control(&client, "POST", path, body.clone()).await;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(status == 400 && error.contains(expected), "{path} {body}: {status} {answer}");
    }
    assert!(client.server.workspace().faults().list().is_empty());
}

#[tokio::test]
async fn the_journal_is_read_from_where_one_left_off() {
    let client = start().await;
    client.say("a").await;
    client.say("b").await;
    let (_, calls) = control(&client, "GET", "journal?after=1", json!({})).await;
    assert_eq!(calls.as_array().unwrap().len(), 1);
    assert_eq!(
        (&calls[0]["seq"], &calls[0]["args"]["text"], &calls[0]["answer"]["ok"]),
        (&json!(2), &json!("b"), &json!(true))
    );
}

#[tokio::test]
async fn every_change_is_announced() {
    let client = start().await;
    let response = client.request("GET", "../_sim/events").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut events = Box::pin(futures::stream::unfold(response, |mut response| async move {
        let chunk = response.chunk().await.ok()??;
        Some((String::from_utf8(chunk.to_vec()).unwrap(), response))
    }));
    let first = tokio::time::timeout(WAIT, events.next()).await.unwrap().unwrap();
    client.say("x").await;
    let second = tokio::time::timeout(WAIT, events.next()).await.unwrap().unwrap();
    assert!(first.starts_with("data: ") && second.starts_with("data: ") && first != second, "{first} {second}");
}

#[tokio::test]
async fn admins_change_channels_people_and_tokens() {
    let client = start().await;
    let post =
        async || error(&client.post("chat.postMessage", json!({"channel": CHANNEL, "text": "x"})).await).to_owned();
    for (path, body, expected) in [
        ("channel", json!({"channel": CHANNEL, "action": "kick", "user": "teleport"}), "not_in_channel"),
        ("channel", json!({"channel": CHANNEL, "action": "invite", "user": "teleport"}), "ok"),
        ("channel", json!({"channel": CHANNEL, "action": "archive"}), "is_archived"),
        ("channel", json!({"channel": CHANNEL, "action": "unarchive"}), "ok"),
        ("token", json!({"token": client.token, "action": "scopes", "scopes": []}), "missing_scope"),
        ("token", json!({"token": client.token, "action": "scopes", "scopes": ["chat:write"]}), "ok"),
        ("token", json!({"token": client.token, "action": "revoke"}), "token_revoked"),
        ("token", json!({"token": client.token, "action": "restore"}), "ok"),
    ] {
        assert_eq!(control(&client, "POST", path, body.clone()).await.0, 200);
        assert_eq!(post().await, expected, "{body}");
    }
    assert_eq!(control(&client, "POST", "channel", json!({"channel": "none", "action": "archive"})).await.0, 400);
}

#[tokio::test]
async fn a_click_without_a_connection_says_so() {
    let client = start().await;
    let ts = client.say("x").await;
    let click = json!({"user": "bob", "channel": CHANNEL, "ts": ts, "action_id": "approve"});
    let (status, answer) = control(&client, "POST", "click", click).await;
    assert_eq!(status, 400);
    assert!(answer["error"].as_str().unwrap().contains("action_id"), "{answer}");
}
