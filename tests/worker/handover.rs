//! Taking over from the official plugin, and handing over to it: by what it stores in Teleport.

use simulators::teleport::{NewRequest, NewReview};

use crate::support::{ALICE, BOB, CHANNEL, World, shown};

/// Base64 of `{"channelId":"…","messageId":"…"}`, as newer releases of the official plugin may write it.
fn newer_form(channel: &str, ts: &str) -> String {
    use std::fmt::Write as _;
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let json = format!("{{\"channelId\":\"{channel}\",\"messageId\":\"{ts}\"}}");
    let mut out = String::new();
    for chunk in json.as_bytes().chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            let index = (bits >> (18 - 6 * place)) & 63;
            write!(out, "{}", char::from(ALPHABET[index as usize])).unwrap();
        }
        out.extend(std::iter::repeat_n('=', 3 - chunk.len()));
    }
    out
}

/// A message of the official plugin's, by way of a worker whose record is then replaced by that plugin's.
async fn announced_by_official_plugin(world: &World, messages: impl FnOnce(&str, &str) -> String) -> String {
    let worker = world.run().await;
    let id = world.cluster.create_request(NewRequest::new(ALICE, &["dba"]).reason("why").threshold(2, 1));
    world.announced(&id, 1).await;
    worker.end().await;
    let post = world.post(&id);
    let list = messages(&post.channel, &post.ts);
    world.cluster.set_plugin_data(&id, "slack", &[("slack_access_operator", ""), ("messages", &list)]).unwrap();
    id
}

#[tokio::test]
async fn messages_of_the_official_plugin_are_followed_and_not_posted_again() {
    for newer in [false, true] {
        let world = World::new(|_| {}).await;
        let id = announced_by_official_plugin(&world, |channel, ts| {
            if newer { newer_form(channel, ts) } else { format!("{channel}/{ts}") }
        })
        .await;
        let list = world.record(&id)["messages"].clone();
        let worker = world.run().await;
        world.cluster.review(&id, &NewReview::approve(BOB, "ok")).unwrap();
        world.until("the review is told", |world| world.post(&id).updates == 1).await;
        world.cluster.deny(&id, "no").unwrap();
        world.closed(&id, "DENIED").await;
        assert_eq!(world.slack().messages(CHANNEL).len(), 2, "one message, one reply");
        assert!(shown(&world.post(&id)).contains("denied"));
        assert_eq!(world.record(&id)["messages"], list, "left as the official plugin wrote it");
        assert_eq!(world.record(&id)["reviews_count"], "1");
        world.end(worker).await;
    }
}

#[tokio::test]
async fn reviews_that_the_official_plugin_has_told_are_not_told_again() {
    let world = World::new(|_| {}).await;
    let id = announced_by_official_plugin(&world, |channel, ts| format!("{channel}/{ts}")).await;
    world.cluster.review(&id, &NewReview::approve(BOB, "ok")).unwrap();
    world.cluster.set_plugin_data(&id, "slack", &[("reviews_count", "1")]).unwrap();
    let worker = world.run().await;
    world.cluster.approve(&id, "").unwrap();
    world.closed(&id, "APPROVED").await;
    assert!(world.slack().thread(CHANNEL, &world.post(&id).ts).is_empty());
    world.end(worker).await;
}

#[tokio::test]
async fn what_the_official_plugin_resolved_is_left_alone() {
    let world = World::new(|_| {}).await;
    let id = announced_by_official_plugin(&world, |channel, ts| format!("{channel}/{ts}")).await;
    world.cluster.approve(&id, "").unwrap();
    world.cluster.set_plugin_data(&id, "slack", &[("resolution", "APPROVED")]).unwrap();
    let updates = world.slack().calls("chat.update").len();
    let worker = world.run().await;
    let other = world.request("dba");
    world.announced(&other, 1).await;
    assert_eq!(world.slack().calls("chat.update").len(), updates);
    assert_eq!(world.posts(&id).len(), 1);
    world.end(worker).await;
}

#[tokio::test]
async fn a_request_that_the_official_plugin_claimed_and_never_told_is_told_after_a_grace_time() {
    let world = World::new(|_| {}).await;
    let id = world.request("dba");
    world.cluster.set_plugin_data(&id, "slack", &[("user", ALICE), ("roles", "dba")]).unwrap();
    let told = world.request("dba");
    world.cluster.set_plugin_data(&told, "slack", &[("user", ALICE), ("roles", "dba")]).unwrap();
    let worker = world.run().await;
    // The official plugin gets its message out within the grace time.
    world.cluster.set_plugin_data(&told, "slack", &[("messages", "C0ACCESSREQ/1700000000.000100")]).unwrap();
    world.announced(&id, 1).await;
    assert!(world.posts(&told).is_empty());
    world.end(worker).await;
}

#[tokio::test]
async fn the_official_plugin_finds_its_keys_as_it_would_have_written_them() {
    let (world, worker) = World::start_with(|setup| {
        setup.route("\"*\" = [\"access-requests\", \"bob@example.com\"]");
    })
    .await;
    let request = NewRequest::new(ALICE, &["ops", "dba"]).reason("a < b & c").resource("node/<web>");
    let id = world.cluster.create_request(request.threshold(2, 1));
    world.announced(&id, 2).await;
    world.cluster.review(&id, &NewReview::approve(BOB, "ok")).unwrap();
    world.until("the review is counted", |world| world.record(&id).contains_key("reviews_count")).await;
    let record = world.record(&id);
    assert_eq!(record["user"], ALICE);
    assert_eq!(record["roles"], "dba,ops");
    assert_eq!(record["request_reason"], "a < b & c");
    assert_eq!(record["reviews_count"], "1");
    assert!(record["resources"].contains("\\u003cweb\\u003e"), "{}", record["resources"]);
    for item in record["messages"].split(',') {
        let (channel, ts) = item.split_once('/').unwrap();
        assert!(world.slack().message(channel, ts).is_some(), "{item}");
    }
    for key in ["resolution", "resolve_reason"] {
        assert!(!record.contains_key(key));
    }
    world.end(worker).await;
}
