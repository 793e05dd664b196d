//! Messages: who may post where, what they may consist of, and what becomes of them.

mod slack_client;

use std::time::Duration;

use serde_json::{Value, json};
use simulators::slack::text::Ping;
use simulators::slack::{
    BOT_TOKEN, Channel, Limits, LongText, OrphanReply, Posting, Token, User, default_workspace, scopes,
};
use slack_client::{CHANNEL, error, start, start_with, start_workspace};

#[tokio::test]
async fn a_message_is_posted_updated_reacted_to_and_read_back() {
    let client = start().await;
    let posted = client.post("chat.postMessage", json!({"channel": "access-requests", "text": "hi ✅"})).await;
    assert_eq!(posted["channel"], CHANNEL);
    assert_eq!(posted["message"]["text"], "hi :white_check_mark:");
    assert_eq!(posted["message"]["blocks"][0]["type"], "rich_text");
    assert_eq!(posted["message"]["bot_profile"]["app_id"], "A0SIMTELEPORT");
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
    let client = start_workspace(
        default_workspace()
            .limits(Limits::off())
            .team("T0ELSEWHERE", "Elsewhere", "elsewhere")
            .channel(Channel::public("C0FOREIGN01", "foreign").of_team("T0ELSEWHERE").members(["U0BTELEPORT"]))
            .user(User::member("U0FOREIGNER", "zoe", "zoe@elsewhere.example").of_team("T0ELSEWHERE"))
            .channel(Channel::public("C0READONLY1", "news").members(["U0BTELEPORT"]).posting(Posting::ReadOnly))
            .channel(Channel::public("C0THREADS01", "ask").members(["U0BTELEPORT"]).posting(Posting::ThreadsOnly)),
    )
    .await;
    for (channel, expected) in [
        (CHANNEL, "ok"),
        ("#general", "ok"),
        ("U0ALICE0001", "ok"),
        ("W0WANDA0001", "ok"),
        ("C0PRIVATE01", "ok"),
        ("C0NOBOTHERE", "not_in_channel"),
        ("C0SECRET001", "channel_not_found"),
        ("C0UNKNOWN01", "channel_not_found"),
        ("C0FOREIGN01", "channel_not_found"),
        ("", "channel_not_found"),
        ("C0ARCHIVED1", "is_archived"),
        ("C0READONLY1", "restricted_action_read_only_channel"),
        ("C0THREADS01", "restricted_action_thread_only_channel"),
        ("U0UNKNOWN01", "channel_not_found"),
        ("U0FOREIGNER", "channel_not_found"),
        ("U0DAVE00001", "channel_not_found"),
        ("U0DEPLOYBOT", "channel_not_found"),
    ] {
        let answer = client.post("chat.postMessage", json!({"channel": channel, "text": "x"})).await;
        assert_eq!(error(&answer), expected, "{channel}");
    }
    let slack = client.server.workspace();
    slack.set_scopes(BOT_TOKEN, &["chat:write", "chat:write.public"]);
    let public = client.post("chat.postMessage", json!({"channel": "C0NOBOTHERE", "text": "x"})).await;
    assert_eq!(error(&public), "ok");
    slack.configure_app(|app| app.messages_tab = false);
    let dm = client.post("chat.postMessage", json!({"channel": "U0ALICE0001", "text": "x"})).await;
    assert_eq!(error(&dm), "messages_tab_disabled");
}

#[tokio::test]
async fn the_conversation_with_a_person_has_one_id_for_good() {
    let client = start().await;
    let first = client.post("chat.postMessage", json!({"channel": "U0ALICE0001", "text": "a"})).await;
    let id = first["channel"].as_str().unwrap();
    assert!(id.starts_with('D'));
    let again = client.post("chat.postMessage", json!({"channel": id, "text": "b"})).await;
    assert_eq!(again["channel"], id);
    let texts: Vec<_> =
        client.server.workspace().direct_messages("alice@example.com").into_iter().map(|m| m.text).collect();
    assert_eq!(texts, ["a", "b"]);
    let update = client.post("chat.update", json!({"channel": "U0ALICE0001", "ts": first["ts"], "text": "c"})).await;
    assert_eq!(error(&update), "channel_not_found");
}

#[tokio::test]
async fn a_ts_grows_inside_a_channel() {
    let client = start().await;
    let mut last = String::new();
    for _ in 0..50 {
        let ts = client.say("x").await;
        assert!(ts > last && ts.len() == 17 && ts.as_bytes()[10] == b'.', "{ts}");
        last = ts;
    }
}

#[tokio::test]
async fn content_that_slack_refuses_is_refused_and_nothing_is_stored() {
    let client = start().await;
    let long_blocks = vec![json!({"type": "section", "text": {"type": "mrkdwn", "text": "x".repeat(2_700)}}); 5];
    let table = json!({"type": "table", "rows": [[{"type": "raw_text", "text": "x"}]]});
    let url = "https://a.example/v";
    let title = json!({"type": "plain_text", "text": "x"});
    let video = json!({"type": "video", "alt_text": "x", "title": title, "thumbnail_url": url, "video_url": url});
    for (content, expected) in [
        (json!({}), "no_text"),
        (json!({"text": " "}), "no_text"),
        (json!({"text": "", "blocks": []}), "no_text"),
        (json!({"text": "x", "blocks": {}}), "invalid_blocks_format"),
        (json!({"text": "x", "blocks": "[{"}), "invalid_blocks_format"),
        (json!({"text": "x", "blocks": [{"type": "section"}]}), "invalid_blocks"),
        (json!({"text": "x", "blocks": long_blocks}), "msg_blocks_too_long"),
        (json!({"text": "x", "attachments": {}}), "invalid_attachments"),
        (json!({"text": "x", "attachments": [1]}), "invalid_attachments"),
        (json!({"text": "x", "attachments": vec![json!({"text": "y"}); 101]}), "too_many_attachments"),
        (json!({"text": "x", "attachments": [{"blocks": [{"type": "section"}]}]}), "invalid_attachments"),
        (json!({"attachments": [{"color": "#f00"}, {}]}), "no_text"),
        (json!({"text": "x", "blocks": [table, table]}), "invalid_attachments"),
        (json!({"text": "x", "blocks": [table], "attachments": [{"blocks": [table]}]}), "invalid_attachments"),
        (json!({"text": "x", "attachments": [{"blocks": [table]}, {"blocks": [table]}]}), "invalid_attachments"),
        (json!({"text": "x", "attachments": [{"blocks": [video]}]}), "invalid_attachments"),
        (json!({"text": "x", "blocks": [video]}), "invalid_blocks"),
        (json!({"text": "x", "channel": []}), "invalid_arguments"),
        (json!({"text": "x", "markdown_text": "y"}), "markdown_text_conflict"),
        (json!({"text": "x", "metadata": "{"}), "invalid_metadata_format"),
        (json!({"text": "x", "metadata": []}), "invalid_metadata_format"),
        (json!({"text": "x", "metadata": {"event_type": "a"}}), "invalid_metadata_format"),
        (json!({"text": "x", "metadata": {"event_type": 1, "event_payload": {}}}), "invalid_metadata_format"),
        (
            json!({"text": "x", "metadata": {"event_type": "a", "event_payload": {"b": "x".repeat(9_000)}}}),
            "metadata_too_large",
        ),
        (json!({"text": {"a": 1}}), "invalid_arguments"),
        (json!({"text": "x", "thread_ts": "yesterday"}), "invalid_thread_ts"),
        (json!({"text": "x", "parse": "sometimes"}), "invalid_arguments"),
        (json!({"text": "x", "unfurl_links": "maybe"}), "invalid_arguments"),
        (json!({"text": "x", "as_user": true}), "invalid_arguments"),
        (json!({"text": "x", "username": "somebody"}), "missing_scope"),
    ] {
        let mut body = content.clone();
        body.as_object_mut().unwrap().entry("channel").or_insert(json!(CHANNEL));
        assert_eq!(error(&client.post("chat.postMessage", body).await), expected, "{content}");
    }
    assert!(client.server.workspace().messages(CHANNEL).is_empty());
}

#[tokio::test]
async fn refused_blocks_are_explained() {
    let client = start().await;
    let blocks = json!([{"type": "section", "text": {"type": "mrkdwn", "text": "x".repeat(3_001)}}]);
    let answer = client.post("chat.postMessage", json!({"channel": CHANNEL, "text": "x", "blocks": blocks})).await;
    let reasons = [
        "failed to match all allowed schemas [json-pointer:/blocks/0/text]",
        "must be less than 3001 characters [json-pointer:/blocks/0/text/text]",
    ];
    assert_eq!(answer["errors"], json!(reasons));
    let messages = reasons.map(|reason| format!("[ERROR] {reason}"));
    assert_eq!(answer["response_metadata"]["messages"], json!(messages));
    let attached = json!({"channel": CHANNEL, "attachments": [{"blocks": [{"type": "nonsense"}]}]});
    let answer = client.post("chat.postMessage", attached).await;
    let reason = "unsupported type: nonsense [json-pointer:/attachments/0/blocks/0/type]";
    assert_eq!((error(&answer), &answer["errors"]), ("invalid_attachments", &json!([reason])));
}

#[tokio::test]
async fn an_argument_that_is_absent_is_told_from_one_that_names_nothing() {
    let client = start().await;
    let ts = "1700000000.000001";
    for (method, body, expected) in [
        ("chat.postMessage", json!({"text": "x"}), "missing required field: channel"),
        ("chat.postMessage", json!({"channel": "", "text": "x"}), "channel_not_found"),
        ("chat.update", json!({"channel": CHANNEL, "text": "x"}), "missing required field: ts"),
        ("chat.update", json!({"channel": CHANNEL, "ts": "", "text": "x"}), "message_not_found"),
        ("chat.delete", json!({"ts": ts}), "missing required field: channel"),
        ("chat.postEphemeral", json!({"channel": CHANNEL, "text": "x"}), "missing required field: user"),
        ("conversations.join", json!({}), "missing required field: channel"),
        ("conversations.join", json!({"channel": ""}), "channel_not_found"),
        ("views.update", json!({"view": {}}), "missing required field: view_id"),
        ("views.update", json!({"view_id": "", "view": {}}), "failed to match all allowed schemas"),
    ] {
        client.server.workspace().set_scopes(BOT_TOKEN, &["chat:write", "channels:join"]);
        let answer = client.post(method, body.clone()).await;
        assert!(answer.to_string().contains(expected), "{method} {body}: {answer}");
    }
    let reply = json!({"channel": CHANNEL, "text": "x", "thread_ts": ""});
    let answer = client.post("chat.postMessage", reply).await;
    assert_eq!((error(&answer), answer["message"].get("thread_ts")), ("ok", None), "an empty thread is none");
}

#[tokio::test]
async fn markdown_is_text_enough_for_notifications() {
    let client = start().await;
    client.post("chat.postMessage", json!({"channel": CHANNEL, "markdown_text": "**x**"})).await;
    client.server.assert_no_violations();
}

#[tokio::test]
async fn structures_are_taken_from_forms_as_json_text_and_null_is_absent() {
    let client = start().await;
    let blocks = json!([{"type": "divider", "block_id": "d"}]).to_string();
    let form = [("channel", CHANNEL), ("text", "x"), ("blocks", &blocks)];
    let request = client.request("POST", "chat.postMessage").bearer_auth(&client.token).form(&form);
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["message"]["blocks"], json!([{"type": "divider", "block_id": "d"}]));
    let answer = client
        .post("chat.postMessage", json!({"channel": CHANNEL, "text": "x", "blocks": null, "thread_ts": null}))
        .await;
    assert_eq!(error(&answer), "ok");
}

#[tokio::test]
async fn long_texts_are_cut_split_or_refused() {
    let client = start().await;
    let slack = client.server.workspace();
    let cut = client.post("chat.postMessage", json!({"channel": CHANNEL, "text": "x".repeat(40_001)})).await;
    assert_eq!((&cut["warning"], slack.messages(CHANNEL)[0].text.len()), (&json!("message_truncated"), 40_000));
    let ts = client.say("x").await;
    let long = "ü".repeat(2_001);
    for (method, body) in [
        ("chat.update", json!({"channel": CHANNEL, "ts": ts, "text": long})),
        ("chat.postEphemeral", json!({"channel": CHANNEL, "user": "U0BOB000001", "text": long})),
    ] {
        assert_eq!(error(&client.post(method, body).await), "msg_too_long", "{method}");
    }
    slack.configure(|settings| settings.long_text = LongText::Split);
    let before = slack.messages(CHANNEL).len();
    client.say(&"y".repeat(9_000)).await;
    assert_eq!(slack.messages(CHANNEL).len() - before, 3);
}

#[tokio::test]
async fn an_update_replaces_what_it_names_and_keeps_what_it_does_not() {
    let client = start().await;
    let slack = client.server.workspace();
    let metadata = json!({"event_type": "e", "event_payload": {"a": 1}});
    let blocks = json!([{"type": "divider", "block_id": "d"}]);
    let posted = client
        .post("chat.postMessage", json!({"channel": CHANNEL, "text": "x", "blocks": blocks, "metadata": metadata}))
        .await;
    let ts = posted["ts"].as_str().unwrap();
    let update = async |mut body: Value| {
        body["channel"] = json!(CHANNEL);
        body["ts"] = json!(ts);
        let answer = client.post("chat.update", body).await;
        assert_eq!(error(&answer), "ok", "{answer}");
        slack.message(CHANNEL, ts).unwrap()
    };
    let both = update(json!({"text": "y", "blocks": [{"type": "divider", "block_id": "e"}]})).await;
    assert_eq!((both.edited, &both.blocks[0]["block_id"]), (None, &json!("e")));
    let only_metadata = update(json!({"metadata": {"event_type": "f", "event_payload": {}}})).await;
    assert_eq!((&only_metadata.blocks[0]["block_id"], only_metadata.text.as_str()), (&json!("e"), "y"));
    let text = update(json!({"text": "z"})).await;
    assert!(text.generated_blocks && text.edited.is_some(), "text without blocks removes the blocks");
    assert_eq!(text.metadata.unwrap()["event_type"], "f");
    assert_eq!(update(json!({"text": "z", "metadata": {}})).await.metadata, None);
}

#[tokio::test]
async fn only_an_own_message_can_be_changed() {
    let client = start().await;
    let slack = client.server.workspace();
    let own = client.say("x").await;
    let foreign = slack.say("bob", CHANNEL, "mine", None).unwrap();
    for (method, ts, expected) in [
        ("chat.update", foreign.as_str(), "cant_update_message"),
        ("chat.update", "1700000000.000000", "message_not_found"),
        ("chat.delete", foreign.as_str(), "cant_delete_message"),
        ("chat.delete", "1700000000.000000", "message_not_found"),
    ] {
        let answer = client.post(method, json!({"channel": CHANNEL, "ts": ts, "text": "y"})).await;
        assert_eq!(error(&answer), expected, "{method} {ts}");
    }
    slack.configure(|settings| settings.edit_window = Some(Duration::from_mins(5)));
    let update = json!({"channel": CHANNEL, "ts": own, "text": "y"});
    assert_eq!(error(&client.post("chat.update", update.clone()).await), "ok");
    slack.advance(Duration::from_mins(6));
    assert_eq!(error(&client.post("chat.update", update).await), "edit_window_closed");
    slack.archive(CHANNEL);
    let archived = client.post("chat.update", json!({"channel": CHANNEL, "ts": own, "text": "y"})).await;
    assert_eq!(error(&archived), "is_inactive");
}

#[tokio::test]
async fn a_deleted_parent_leaves_a_placeholder_and_a_lonely_message_nothing() {
    let client = start().await;
    let slack = client.server.workspace();
    let (parent, alone) = (client.say("parent").await, client.say("alone").await);
    client.post("chat.postMessage", json!({"channel": CHANNEL, "text": "reply", "thread_ts": parent})).await;
    for ts in [&parent, &alone] {
        assert_eq!(error(&client.post("chat.delete", json!({"channel": CHANNEL, "ts": ts})).await), "ok");
    }
    assert_eq!(slack.message(CHANNEL, &parent).unwrap().subtype.as_deref(), Some("tombstone"));
    assert!(slack.message(CHANNEL, &alone).is_none());
    assert_eq!(slack.thread(CHANNEL, &parent).len(), 1);
}

#[tokio::test]
async fn a_reply_belongs_to_its_thread_unless_the_parent_is_gone() {
    let client = start().await;
    let slack = client.server.workspace();
    let parent = client.say("parent").await;
    let reply = json!({"channel": CHANNEL, "text": "reply", "thread_ts": parent});
    let answer = client.post("chat.postMessage", reply.clone()).await;
    assert_eq!(
        (&answer["message"]["thread_ts"], &answer["message"]["parent_user_id"]),
        (&json!(parent), &json!("U0BTELEPORT"))
    );
    let history = client.get("conversations.history", &[("channel", CHANNEL)]).await;
    assert_eq!((history["messages"].as_array().unwrap().len(), &history["messages"][0]["reply_count"]), (1, &json!(1)));
    let replies = client.get("conversations.replies", &[("channel", CHANNEL), ("ts", &parent)]).await;
    assert_eq!(replies["messages"][1]["text"], "reply");
    let broadcast = client
        .post(
            "chat.postMessage",
            json!({"channel": CHANNEL, "text": "b", "thread_ts": parent, "reply_broadcast": true}),
        )
        .await;
    assert_eq!(broadcast["message"]["subtype"], "thread_broadcast");

    let gone = json!({"channel": CHANNEL, "text": "late", "thread_ts": "1700000000.000000"});
    let stray = client.post("chat.postMessage", gone.clone()).await;
    assert_eq!((error(&stray), stray["message"].get("thread_ts")), ("ok", None));
    for (orphan, expected) in
        [(OrphanReply::ThreadNotFound, "thread_not_found"), (OrphanReply::CannotReply, "cannot_reply_to_message")]
    {
        slack.configure(|settings| settings.orphan_reply = orphan);
        assert_eq!(error(&client.post("chat.postMessage", gone.clone()).await), expected);
    }
}

#[tokio::test]
async fn a_client_message_id_is_ignored_unless_the_switch_is_on() {
    let client = start().await;
    let body = json!({"channel": CHANNEL, "text": "x", "client_msg_id": "6f1c3d6c-0000-4000-8000-000000000000"});
    let (a, b) =
        (client.post("chat.postMessage", body.clone()).await, client.post("chat.postMessage", body.clone()).await);
    assert_ne!(a["ts"], b["ts"]);
    client.server.workspace().configure(|settings| settings.honour_client_msg_id = true);
    let c = client.post("chat.postMessage", body).await;
    assert_eq!((&c["ts"], &c["is_duplicate"]), (&a["ts"], &json!(true)));
}

#[tokio::test]
async fn an_ephemeral_message_reaches_one_member_and_cannot_be_used_again() {
    let client = start().await;
    let send =
        |user: &str| client.post("chat.postEphemeral", json!({"channel": CHANNEL, "user": user, "text": "psst"}));
    let answer = send("U0BOB000001").await;
    for user in ["U0GUEST0001", "U0DAVE00001", "U0UNKNOWN01"] {
        assert_eq!(error(&send(user).await), "user_not_in_channel", "{user}");
    }
    let slack = client.server.workspace();
    assert_eq!((slack.ephemerals().len(), slack.messages(CHANNEL).len()), (1, 0));
    let update = json!({"channel": CHANNEL, "ts": answer["message_ts"], "text": "y"});
    assert_eq!(error(&client.post("chat.update", update).await), "message_not_found");
}

#[tokio::test]
async fn metadata_is_read_back_in_full_only_on_request_and_a_dot_loses_it() {
    let client = start().await;
    let post = |event_type: &str| {
        let metadata = json!({"event_type": event_type, "event_payload": {"id": "r"}});
        client.post("chat.postMessage", json!({"channel": CHANNEL, "text": "x", "metadata": metadata}))
    };
    post("teleport_access_request").await;
    let short = client.get("conversations.history", &[("channel", CHANNEL)]).await;
    assert_eq!(short["messages"][0]["metadata"], json!({"event_type": "teleport_access_request"}));
    let query = [("channel", CHANNEL), ("include_all_metadata", "true")];
    let whole = client.get("conversations.history", &query).await;
    assert_eq!(whole["messages"][0]["metadata"]["event_payload"]["id"], "r");
    post("teleport.request").await;
    let dropped = client.get("conversations.history", &query).await;
    assert_eq!(dropped["messages"][0].get("metadata"), None);
}

#[tokio::test]
async fn the_oracle_tells_whom_a_message_pings_and_where_it_links() {
    let client = start().await;
    let slack = client.server.workspace();
    let section = |text: &str, verbatim: bool| json!([{"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": verbatim}}]);
    let post = async |blocks: Value| {
        let body = json!({"channel": CHANNEL, "text": "request", "blocks": blocks, "unfurl_links": false});
        let answer = client.post("chat.postMessage", body).await;
        slack.effects(CHANNEL, answer["ts"].as_str().unwrap()).unwrap()
    };
    let hostile = post(section("@here <!channel> <https://evil.example|ok> https://bare.example", false)).await;
    assert_eq!(hostile.pings, [Ping::Special("here".into()), Ping::Special("channel".into())]);
    let hosts: Vec<_> = hostile.links.iter().map(simulators::slack::text::Link::host).collect();
    assert_eq!(hosts, ["evil.example", "bare.example"]);
    let tame =
        post(section("@here &lt;!channel&gt; https://bare.example <https://teleport.example|request>", true)).await;
    tame.assert_harmless(&["teleport.example"]);
    let plain = post(json!([{"type": "section", "text": {"type": "plain_text", "text": "<!channel> & <https://x.example>", "emoji": false}}])).await;
    plain.assert_harmless(&[]);
    assert!(plain.visible.contains("<!channel> &"));
}

#[tokio::test]
async fn a_permalink_names_channel_and_message() {
    let client = start().await;
    let ts = client.say("x").await;
    let answer = client.get("chat.getPermalink", &[("channel", CHANNEL), ("message_ts", &ts)]).await;
    assert_eq!(answer["permalink"], format!("https://simulated.slack.com/archives/{CHANNEL}/p{}", ts.replace('.', "")));
}

#[tokio::test]
async fn an_org_wide_token_refuses_names_and_wants_a_team() {
    let token = "xoxb-org";
    let workspace = default_workspace().token(Token::bot(token, scopes::NOTIFY_AND_LOOK).org_wide());
    let mut client = start_workspace(workspace).await;
    token.clone_into(&mut client.token);
    let named = client.post("chat.postMessage", json!({"channel": "access-requests", "text": "x"})).await;
    assert_eq!(error(&named), "team_not_found");
    assert_eq!(error(&client.get("users.list", &[("limit", "5")]).await), "missing_argument");
    assert_eq!(error(&client.get("users.list", &[("limit", "5"), ("team_id", "T0SIMULATED")]).await), "ok");
}

#[tokio::test]
async fn a_quota_ends_the_posting_of_a_free_workspace() {
    let client = start_with(|settings| settings.message_quota = Some(1)).await;
    client.say("x").await;
    let answer = client.post("chat.postMessage", json!({"channel": "general", "text": "x"})).await;
    assert_eq!(error(&answer), "message_limit_exceeded");
}

#[tokio::test]
async fn a_message_for_later_is_listed_until_it_is_posted_or_taken_back() {
    let client = start().await;
    let slack = client.server.workspace();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let schedule = async |post_at: Value, text: &str| {
        client.post("chat.scheduleMessage", json!({"channel": CHANNEL, "text": text, "post_at": post_at})).await
    };
    for (post_at, text, expected) in [
        (json!("soon"), "x", "invalid_time"),
        (json!(now - 10), "x", "time_in_past"),
        (json!(now + 121 * 24 * 60 * 60), "x", "time_too_far"),
        (json!(now + 600), "", "no_text"),
        (Value::Null, "x", "invalid_arguments"),
    ] {
        assert_eq!(error(&schedule(post_at.clone(), text).await), expected, "{post_at}");
    }
    let first = schedule(json!(now + 600), "first").await;
    assert_eq!((&first["channel"], &first["post_at"]), (&json!(CHANNEL), &json!(now + 600)));
    assert_eq!((&first["message"]["text"], first["message"].get("ts")), (&json!("first"), None));
    let second = schedule(json!((now + 900).to_string()), "second").await;
    let list = async || {
        let answer = client.post("chat.scheduledMessages.list", json!({"channel": CHANNEL})).await;
        answer["scheduled_messages"].as_array().unwrap().clone()
    };
    assert_eq!((list().await.len(), &list().await[0]["id"]), (2, &first["scheduled_message_id"]));
    let delete = async |id: &Value| {
        let body = json!({"channel": CHANNEL, "scheduled_message_id": id});
        error(&client.post("chat.deleteScheduledMessage", body).await).to_owned()
    };
    assert_eq!(delete(&second["scheduled_message_id"]).await, "ok");
    assert_eq!(delete(&second["scheduled_message_id"]).await, "invalid_scheduled_message_id");
    slack.advance(Duration::from_secs(560));
    assert_eq!(
        delete(&first["scheduled_message_id"]).await,
        "invalid_scheduled_message_id",
        "it is about to be posted"
    );
    assert!(slack.messages(CHANNEL).is_empty());
    slack.advance(Duration::from_mins(1));
    let texts: Vec<_> = slack.messages(CHANNEL).into_iter().map(|message| message.text).collect();
    assert_eq!((texts, list().await.len()), (vec!["first".to_owned()], 0));
    for _ in 0..30 {
        assert_eq!(error(&schedule(json!(now + 9_000), "x").await), "ok");
    }
    assert_eq!(error(&schedule(json!(now + 9_100), "x").await), "restricted_too_many");
}
