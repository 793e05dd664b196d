//! What is read back: history, people, channels, user groups, reactions.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod slack_client;

use std::time::Duration;

use serde_json::{Value, json};
use simulators::slack::{BOT_TOKEN, Channel, Limits, User, UserKind, default_workspace};
use slack_client::{CHANNEL, Client, error, start, start_workspace};

#[tokio::test]
async fn history_is_newest_first_and_bounded_as_asked() {
    let client = start().await;
    let mut ts = Vec::new();
    for n in 0..5 {
        ts.push(client.say(&n.to_string()).await);
    }
    for (query, expected) in [
        (vec![], "4,3,2,1,0"),
        (vec![("oldest", &ts[1])], "4,3,2"),
        (vec![("latest", &ts[1])], "0"),
        (vec![("oldest", &ts[1]), ("latest", &ts[3])], "2"),
        (vec![("oldest", &ts[1]), ("latest", &ts[3]), ("inclusive", &"true".to_owned())], "3,2,1"),
        (vec![("oldest", &ts[2]), ("inclusive", &"1".to_owned()), ("limit", &"1".to_owned())], "4"),
        (vec![("latest", &ts[2]), ("inclusive", &"1".to_owned()), ("limit", &"1".to_owned())], "2"),
    ] {
        let mut all = vec![("channel", CHANNEL)];
        all.extend(query.iter().map(|(name, value)| (*name, value.as_str())));
        let answer = client.get("conversations.history", &all).await;
        let texts: Vec<_> =
            answer["messages"].as_array().unwrap().iter().map(|m| m["text"].as_str().unwrap()).collect();
        assert_eq!(texts.join(","), expected, "{query:?}");
    }
}

#[tokio::test]
async fn history_is_refused_by_name() {
    let client = start().await;
    for (query, expected) in [
        (vec![], "invalid_arguments"),
        (vec![("channel", "")], "channel_not_found"),
        (vec![("channel", "C0NOBOTHERE")], "not_in_channel"),
        (vec![("channel", "C0SECRET001")], "channel_not_found"),
        (vec![("channel", "C0ARCHIVED1")], "ok"),
        (vec![("channel", CHANNEL), ("oldest", "soon")], "invalid_ts_oldest"),
        (vec![("channel", CHANNEL), ("latest", "late")], "invalid_ts_latest"),
        (vec![("channel", CHANNEL), ("cursor", "nonsense")], "invalid_cursor"),
        (vec![("channel", CHANNEL), ("limit", "many")], "invalid_limit"),
        (vec![("channel", CHANNEL), ("limit", "1001")], "invalid_limit"),
    ] {
        assert_eq!(error(&client.get("conversations.history", &query).await), expected, "{query:?}");
    }
    client.server.workspace().set_scopes(BOT_TOKEN, &["channels:history"]);
    let private = client.get("conversations.history", &[("channel", "C0PRIVATE01")]).await;
    assert_eq!((error(&private), &private["needed"]), ("missing_scope", &json!("groups:history")));
    for (query, expected) in [
        (vec![("channel", CHANNEL), ("ts", "1700000000.000000")], "thread_not_found"),
        (vec![("channel", CHANNEL), ("ts", "")], "thread_not_found"),
        (vec![("channel", CHANNEL)], "invalid_arguments"),
    ] {
        assert_eq!(error(&client.get("conversations.replies", &query).await), expected, "{query:?}");
    }
}

/// Follows the cursors to the end and returns the pages.
async fn pages(client: &Client, method: &str, list: &str, query: &[(&str, &str)]) -> Vec<Vec<Value>> {
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let mut query = query.to_vec();
        query.push(("cursor", &cursor));
        let answer = client.get(method, &query).await;
        assert_eq!(error(&answer), "ok", "{answer}");
        pages.push(answer[list].as_array().unwrap().clone());
        let next = answer["response_metadata"]["next_cursor"].as_str().unwrap_or_default();
        if next.is_empty() {
            return pages;
        }
        assert!(next.ends_with('='), "{next}");
        next.clone_into(&mut cursor);
    }
}

#[tokio::test]
async fn only_the_cursor_says_whether_there_is_more() {
    let client = start().await;
    for n in 0..7 {
        client.say(&n.to_string()).await;
    }
    let lists = [
        ("conversations.history", "messages", vec![("channel", CHANNEL), ("limit", "3")], 7),
        ("users.list", "members", vec![("limit", "3")], 8),
        ("conversations.list", "channels", vec![("limit", "2"), ("types", "public_channel,private_channel")], 6),
        ("conversations.members", "members", vec![("channel", CHANNEL), ("limit", "2")], 5),
    ];
    for short in [false, true] {
        client.server.workspace().configure(|settings| settings.short_pages = short);
        for (method, list, query, total) in &lists {
            let pages = pages(&client, method, list, query).await;
            assert_eq!(pages.iter().map(Vec::len).sum::<usize>(), *total, "{method}");
            assert_eq!(pages[0].is_empty(), short, "{method}");
        }
    }
}

#[tokio::test]
async fn a_new_message_is_missing_from_history_for_as_long_as_the_lag() {
    let client = start().await;
    let slack = client.server.workspace();
    slack.configure(|settings| settings.read_lag = Duration::from_secs(2));
    client.say("x").await;
    for expected in [0, 1] {
        let history = client.get("conversations.history", &[("channel", CHANNEL)]).await;
        assert_eq!(history["messages"].as_array().unwrap().len(), expected);
        slack.advance(Duration::from_secs(3));
    }
}

#[tokio::test]
async fn people_are_found_by_their_address() {
    let plus = User::member("U0PLUS00001", "plus", "plus+tag@example.com");
    let stranger = User::member("U0STRANGER1", "stranger", "stranger@other.example").kind(UserKind::Stranger);
    let client = start_workspace(default_workspace().user(plus).user(stranger)).await;
    for (email, expected) in [
        ("alice@example.com", Ok("U0ALICE0001")),
        ("ALICE@Example.com", Ok("U0ALICE0001")),
        ("wanda@example.com", Ok("W0WANDA0001")),
        ("guest@partner.example", Ok("U0GUEST0001")),
        ("plus+tag@example.com", Ok("U0PLUS00001")),
        ("dave@example.com", Err("users_not_found")),
        ("nobody@example.com", Err("users_not_found")),
        ("stranger@other.example", Err("users_not_found")),
        ("", Err("users_not_found")),
    ] {
        let answer = client.get("users.lookupByEmail", &[("email", email)]).await;
        let found = if answer["ok"] == true { Ok(answer["user"]["id"].as_str().unwrap()) } else { Err(error(&answer)) };
        assert_eq!(found, expected, "{email}");
    }
    // A plus sign that was not encoded is a space.
    let url = format!("{}users.lookupByEmail?email=plus+tag@example.com", client.server.url());
    let raw = reqwest::Client::builder().no_proxy().build().unwrap().get(url).bearer_auth(BOT_TOKEN);
    assert_eq!(error(&raw.send().await.unwrap().json().await.unwrap()), "users_not_found");
}

#[tokio::test]
async fn a_user_object_tells_what_the_scopes_allow() {
    let client = start().await;
    let info = async |user: &str| client.get("users.info", &[("user", user)]).await;
    let alice = info("U0ALICE0001").await["user"].clone();
    assert_eq!(
        (&alice["profile"]["email"], &alice["is_bot"], &alice["deleted"]),
        (&json!("alice@example.com"), &json!(false), &json!(false))
    );
    let guest = info("U0GUEST0001").await["user"].clone();
    assert_eq!((&guest["is_restricted"], &guest["is_ultra_restricted"]), (&json!(true), &json!(false)));
    assert_eq!(info("U0DEPLOYBOT").await["user"]["is_bot"], true);
    let dave = info("U0DAVE00001").await["user"].clone();
    assert_eq!((&dave["deleted"], dave.get("is_admin")), (&json!(true), None));
    assert_eq!(error(&info("U0UNKNOWN01").await), "user_not_found");
    client.server.workspace().set_scopes(BOT_TOKEN, &["users:read"]);
    assert_eq!(info("U0ALICE0001").await["user"]["profile"].get("email"), None);
    let lookup = client.get("users.lookupByEmail", &[("email", "alice@example.com")]).await;
    assert_eq!((error(&lookup), &lookup["needed"]), ("missing_scope", &json!("users:read.email")));
}

#[tokio::test]
async fn channels_show_whether_the_bot_is_in_and_hide_what_it_may_not_know() {
    let client = start().await;
    for (channel, expected) in [
        (CHANNEL, json!([true, false, false])),
        ("C0NOBOTHERE", json!([false, false, false])),
        ("C0PRIVATE01", json!([true, true, false])),
        ("C0ARCHIVED1", json!([true, false, true])),
    ] {
        let channel = client.get("conversations.info", &[("channel", channel)]).await["channel"].clone();
        assert_eq!(json!([channel["is_member"], channel["is_private"], channel["is_archived"]]), expected, "{channel}");
    }
    assert_eq!(error(&client.get("conversations.info", &[("channel", "C0SECRET001")]).await), "channel_not_found");
    let types = [("types", "public_channel,secret_channel")];
    assert_eq!(error(&client.get("conversations.list", &types).await), "invalid_types");
    let unarchived = client.get("conversations.list", &[("exclude_archived", "true")]).await;
    assert!(!unarchived.to_string().contains("old-requests"));
}

#[tokio::test]
async fn joining_and_opening_tell_when_nothing_changed() {
    let client = start().await;
    let slack = client.server.workspace();
    slack.set_scopes(BOT_TOKEN, &["channels:join", "im:write", "mpim:write"]);
    for (channel, expected, warning) in [
        ("C0NOBOTHERE", "ok", None),
        ("C0NOBOTHERE", "ok", Some("already_in_channel")),
        ("C0ARCHIVED1", "is_archived", None),
        ("C0PRIVATE01", "method_not_supported_for_channel_type", None),
        ("C0UNKNOWN01", "channel_not_found", None),
    ] {
        let answer = client.post("conversations.join", json!({"channel": channel})).await;
        assert_eq!((error(&answer), answer["warning"].as_str()), (expected, warning), "{channel}");
    }
    for (users, expected) in [
        ("U0ALICE0001", "ok"),
        ("U0ALICE0001,U0BOB000001", "ok"),
        ("", "users_list_not_supplied"),
        ("U0UNKNOWN01", "user_not_found"),
        ("U0DAVE00001", "user_disabled"),
        ("U0DEPLOYBOT", "cannot_dm_bot"),
        ("1,2,3,4,5,6,7,8,9", "too_many_users"),
    ] {
        let answer = client.post("conversations.open", json!({"users": users})).await;
        assert_eq!(error(&answer), expected, "{users}");
    }
    let again = client.post("conversations.open", json!({"users": "U0ALICE0001"})).await;
    assert_eq!((&again["no_op"], &again["already_open"]), (&json!(true), &json!(true)));
    let posted = client.post("conversations.open", json!({"channel": again["channel"]["id"], "return_im": true})).await;
    assert_eq!(posted["channel"]["user"], "U0ALICE0001");
}

#[tokio::test]
async fn an_app_finds_out_where_it_is() {
    let client = start().await;
    client.server.workspace().set_scopes(BOT_TOKEN, &["team:read", "users:read", "channels:read", "groups:read"]);
    assert_eq!(client.get("team.info", &[]).await["team"]["domain"], "simulated");
    assert_eq!(client.get("bots.info", &[("bot", "B0TELEPORT1")]).await["bot"]["user_id"], "U0BTELEPORT");
    assert_eq!(error(&client.get("bots.info", &[("bot", "B0NOBODY")]).await), "bot_not_found");
    let mine = client.get("users.conversations", &[("types", "public_channel,private_channel")]).await;
    let names: Vec<_> = mine["channels"].as_array().unwrap().iter().map(|channel| &channel["name"]).collect();
    assert_eq!(names, ["access-requests", "old-requests", "dba-oncall", "general", "security-private"]);
    let echo = client.request("POST", "api.test").form(&[("foo", "bar")]).send().await.unwrap();
    assert_eq!(echo.json::<Value>().await.unwrap(), json!({"ok": true, "args": {"foo": "bar"}}));
    assert_eq!(error(&client.get("api.test", &[("error", "my_error")]).await), "my_error");
}

#[tokio::test]
async fn user_groups_need_a_paid_plan() {
    let client = start().await;
    let slack = client.server.workspace();
    slack.set_scopes(BOT_TOKEN, &["usergroups:read"]);
    let groups = client.get("usergroups.list", &[("include_users", "true")]).await;
    assert_eq!(groups["usergroups"][0]["users"], json!(["U0BOB000001", "U0CAROL0001"]));
    let users = client.get("usergroups.users.list", &[("usergroup", "S0REVIEWERS")]).await;
    assert_eq!(users["users"], json!(["U0BOB000001", "U0CAROL0001"]));
    slack.configure(|settings| settings.paid_plan = false);
    assert_eq!(error(&client.get("usergroups.list", &[]).await), "plan_upgrade_required");
}

#[tokio::test]
async fn reactions_are_one_each_per_person_and_name() {
    let client = start().await;
    let slack = client.server.workspace();
    let ts = client.say("x").await;
    slack.react("bob", CHANNEL, &ts, "eyes").unwrap();
    let call = |method: &'static str, name: &'static str| {
        client.post(method, json!({"channel": CHANNEL, "timestamp": ts, "name": name}))
    };
    for (method, name, expected) in [
        ("reactions.add", "white_check_mark", "ok"),
        ("reactions.add", "white_check_mark", "already_reacted"),
        ("reactions.add", "eyes", "ok"),
        ("reactions.add", ":x:", "invalid_name"),
        ("reactions.add", "", "invalid_name"),
        ("reactions.add", "no_such_emoji", "invalid_name"),
        ("reactions.remove", "x", "no_reaction"),
        ("reactions.remove", "eyes", "ok"),
        ("reactions.remove", "eyes", "no_reaction"),
    ] {
        assert_eq!(error(&call(method, name).await), expected, "{method} {name}");
    }
    for (channel, ts, expected) in [
        ("", ts.as_str(), "no_item_specified"),
        (CHANNEL, "", "no_item_specified"),
        (CHANNEL, "1700000000.1", "bad_timestamp"),
        (CHANNEL, "1700000000.000001", "message_not_found"),
        ("C0SECRET001", ts.as_str(), "channel_not_found"),
        ("C0ARCHIVED1", ts.as_str(), "is_archived"),
        ("C0NOBOTHERE", ts.as_str(), "not_in_channel"),
    ] {
        let answer = client.post("reactions.add", json!({"channel": channel, "timestamp": ts, "name": "x"})).await;
        assert_eq!(error(&answer), expected, "{channel} {ts}");
    }
    slack.configure(|settings| settings.reactions_per_user = 1);
    assert_eq!(error(&call("reactions.add", "x").await), "too_many_reactions");
    assert_eq!(slack.reactions(CHANNEL, &ts).len(), 2);
}

#[tokio::test]
async fn a_bot_leaves_channels_but_for_the_general_one_and_where_it_is_the_last() {
    let lonely = Channel::public("C0LONELY001", "lonely").members(["U0BTELEPORT"]);
    let client = start_workspace(default_workspace().limits(Limits::off()).channel(lonely)).await;
    client.server.workspace().set_scopes(BOT_TOKEN, &["channels:manage", "chat:write"]);
    let dm = client.post("chat.postMessage", json!({"channel": "U0ALICE0001", "text": "x"})).await;
    let leave = async |channel: &str| client.post("conversations.leave", json!({"channel": channel})).await;
    for (channel, expected) in [
        ("C0GENERAL01", "cant_leave_general"),
        ("C0LONELY001", "last_member"),
        ("C0ARCHIVED1", "is_archived"),
        ("C0SECRET001", "channel_not_found"),
        ("C0PRIVATE01", "missing_scope"),
        (dm["channel"].as_str().unwrap(), "method_not_supported_for_channel_type"),
    ] {
        assert_eq!(error(&leave(channel).await), expected, "{channel}");
    }
    assert_eq!(leave(CHANNEL).await, json!({"ok": true}));
    assert_eq!(leave(CHANNEL).await, json!({"ok": false, "not_in_channel": true}));
    let post = client.post("chat.postMessage", json!({"channel": CHANNEL, "text": "x"})).await;
    assert_eq!(error(&post), "not_in_channel");
}

#[tokio::test]
async fn reactions_are_listed_by_person_and_page_by_page() {
    let client = start().await;
    let slack = client.server.workspace();
    slack.set_scopes(BOT_TOKEN, &["chat:write", "reactions:read"]);
    for text in ["a", "b", "c"] {
        let ts = client.say(text).await;
        slack.react("bob", CHANNEL, &ts, "eyes").unwrap();
    }
    slack.react("alice", CHANNEL, &client.say("d").await, "eyes").unwrap();
    let pages = pages(&client, "reactions.list", "items", &[("user", "U0BOB000001"), ("limit", "2")]).await;
    let texts: Vec<_> = pages.concat().iter().map(|item| item["message"]["text"].clone()).collect();
    assert_eq!((pages.len(), texts), (2, vec![json!("c"), json!("b"), json!("a")]));
    assert_eq!((&pages[0][0]["type"], &pages[0][0]["channel"]), (&json!("message"), &json!(CHANNEL)));
    assert_eq!(client.get("reactions.list", &[]).await["items"], json!([]));
    assert_eq!(error(&client.get("reactions.list", &[("user", "U0NOBODY001")]).await), "user_not_found");
}

#[tokio::test]
async fn profiles_and_custom_emoji_are_read_with_scopes_of_their_own() {
    let client = start().await;
    let slack = client.server.workspace();
    assert_eq!(error(&client.get("emoji.list", &[]).await), "missing_scope");
    slack.set_scopes(BOT_TOKEN, &["emoji:read", "users.profile:read", "users:read.email"]);
    assert_eq!(client.get("emoji.list", &[]).await["emoji"], json!({}));
    let alice = client.get("users.profile.get", &[("user", "U0ALICE0001")]).await;
    let profile = &alice["profile"];
    assert_eq!((&profile["real_name"], &profile["email"]), (&json!("Alice Adams"), &json!("alice@example.com")));
    assert_eq!(client.get("users.profile.get", &[]).await["profile"]["display_name"], "teleport");
    assert_eq!(error(&client.get("users.profile.get", &[("user", "U0NOBODY001")]).await), "user_not_found");
    slack.set_scopes(BOT_TOKEN, &["users.profile:read"]);
    let alice = client.get("users.profile.get", &[("user", "U0ALICE0001")]).await;
    assert_eq!(alice["profile"].get("email"), None);
}
