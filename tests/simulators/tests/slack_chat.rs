//! Messages: who may post where, what they may consist of, and what becomes of them.

mod slack_client;

use serde_json::json;
use slack_client::{CHANNEL, error, start};

#[tokio::test]
async fn a_message_is_posted_updated_reacted_to_and_read_back() {
    let client = start().await;
    let posted = client.post("chat.postMessage", json!({"channel": "access-requests", "text": "hi & ✅"})).await;
    assert_eq!(posted["channel"], CHANNEL);
    assert_eq!(posted["message"]["text"], "hi & :white_check_mark:");
    let ts = posted["ts"].as_str().unwrap();
    let updated = client.post("chat.update", json!({"channel": CHANNEL, "ts": ts, "text": "bye"})).await;
    assert_eq!((&updated["ts"], &updated["text"]), (&json!(ts), &json!("bye")));
    let reacted = client.post("reactions.add", json!({"channel": CHANNEL, "timestamp": ts, "name": "x"})).await;
    assert_eq!(reacted, json!({"ok": true}));
    let history = client.get("conversations.history", &[("channel", CHANNEL)]).await;
    assert_eq!(history["messages"][0]["text"], "bye");
    assert_eq!(history["messages"][0]["reactions"][0], json!({"name": "x", "users": ["U0BTELEPORT"], "count": 1}));
    client.server.shutdown().await;
    client.server.assert_no_violations();
}

#[tokio::test]
async fn access_decides_what_a_post_answers() {
    let client = start().await;
    for (channel, expected) in [
        (CHANNEL, "ok"),
        ("#general", "ok"),
        ("U0ALICE0001", "ok"),
        ("C0NOBOTHERE", "not_in_channel"),
        ("C0SECRET001", "channel_not_found"),
        ("C0UNKNOWN01", "channel_not_found"),
        ("", "channel_not_found"),
        ("C0ARCHIVED1", "is_archived"),
        ("U0DAVE00001", "channel_not_found"),
        ("U0DEPLOYBOT", "channel_not_found"),
    ] {
        let answer = client.post("chat.postMessage", json!({"channel": channel, "text": "x"})).await;
        assert_eq!(error(&answer), expected, "{channel}");
    }
    let dm = client.server.workspace().direct_messages("alice@example.com");
    assert!(dm[0].channel.starts_with('D'));
}
