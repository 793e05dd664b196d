//! From the first message to the last: reviews, decisions, expiry, deletion.

use std::time::Duration;

use simulators::faults::{Effect, Fault};
use simulators::slack::{BOT_TOKEN, Channel, OrphanReply, Posting};
use simulators::teleport::{NewRequest, NewReview};

use crate::support::{ALICE, BOB, CHANNEL, World, shown};

const CAROL: &str = "carol@example.com";

#[tokio::test]
async fn reviews_are_told_in_the_thread_and_a_decision_in_the_message() {
    let (world, worker) = World::start().await;
    let request = NewRequest::new(ALICE, &["dba"]).reason("the index is gone").threshold(2, 1);
    let id = world.cluster.create_request(request);
    world.announced(&id, 1).await;
    let ts = world.post(&id).ts;
    world.cluster.review(&id, &NewReview::approve(BOB, "looks right")).unwrap();
    world.until("the review is told", |world| world.post(&id).updates == 1).await;
    let thread = world.slack().thread(CHANNEL, &ts);
    assert_eq!(thread.len(), 1);
    assert!(shown(&thread[0]).contains(BOB) && shown(&thread[0]).contains("looks right"));
    assert!(shown(&world.post(&id)).contains("waiting for review"));
    world.cluster.review(&id, &NewReview::approve(CAROL, "go ahead")).unwrap();
    world.closed(&id, "APPROVED").await;
    assert_eq!(world.slack().thread(CHANNEL, &ts).len(), 2);
    let message = world.post(&id);
    for part in ["approved", "go ahead", BOB, CAROL] {
        assert!(shown(&message).contains(part), "{part}: {}", shown(&message));
    }
    assert_eq!(message.reactions.len(), 1);
    assert_eq!(message.reactions[0].name, "white_check_mark");
    let record = world.record(&id);
    for (key, value) in [("user", ALICE), ("roles", "dba"), ("request_reason", "the index is gone")] {
        assert_eq!(record[key], value);
    }
    assert_eq!((record["reviews_count"].as_str(), record["resolve_reason"].as_str()), ("2", "go ahead"));
    assert_eq!(record["messages"], format!("C0ACCESSREQ/{ts}"));
    world.end(worker).await;
}

#[tokio::test]
async fn every_way_to_end_is_shown_and_recorded() {
    let (world, worker) = World::start().await;
    let ids: Vec<String> = (0..5).map(|_| world.request("dba")).collect();
    for id in &ids {
        world.announced(id, 1).await;
    }
    world.cluster.approve(&ids[0], "for the night").unwrap();
    world.cluster.deny(&ids[1], "not today").unwrap();
    world.cluster.promote(&ids[2], BOB, "dbas", "Database people").unwrap();
    world.cluster.delete(&ids[3]);
    let ends = [
        ("APPROVED", "approved", Some("white_check_mark")),
        ("DENIED", "denied", Some("x")),
        ("PROMOTED", "promoted to long-term access", Some("white_check_mark")),
        ("EXPIRED", "deleted", None),
    ];
    for (id, (resolution, phrase, reaction)) in ids.iter().zip(ends) {
        world.closed(id, resolution).await;
        let message = world.post(id);
        assert!(shown(&message).contains(phrase), "{phrase}: {}", shown(&message));
        assert_eq!(message.reactions.first().map(|reaction| reaction.name.as_str()), reaction, "{resolution}");
    }
    assert!(shown(&world.post(&ids[0])).contains("for the night"));
    assert!(shown(&world.post(&ids[1])).contains("not today"));
    assert!(!world.record(&ids[4]).contains_key("resolution"));
    world.end(worker).await;
}

#[tokio::test]
async fn a_request_whose_time_runs_out_is_shown_as_expired() {
    let (world, worker) = World::start().await;
    let id = world.cluster.create_request(NewRequest::new(ALICE, &["dba"]).ttl(Duration::from_secs(3)));
    world.announced(&id, 1).await;
    world.closed(&id, "EXPIRED").await;
    assert!(shown(&world.post(&id)).contains("expired without a decision"));
    world.end(worker).await;
}

#[tokio::test]
async fn a_decided_request_that_is_deleted_later_stays_as_it_was_shown() {
    let (world, worker) = World::start().await;
    let id = world.request("dba");
    world.announced(&id, 1).await;
    world.cluster.approve(&id, "").unwrap();
    world.closed(&id, "APPROVED").await;
    world.cluster.delete(&id);
    let other = world.request("dba");
    world.announced(&other, 1).await;
    assert_eq!(world.record(&id)["resolution"], "APPROVED");
    assert!(shown(&world.post(&id)).contains("approved"));
    world.end(worker).await;
}

#[tokio::test]
async fn a_message_that_somebody_deleted_is_followed_no_further() {
    for orphan in [OrphanReply::TopLevel, OrphanReply::ThreadNotFound, OrphanReply::CannotReply] {
        let (world, worker) = World::start_with(|setup| {
            let workspace = std::mem::take(&mut setup.workspace);
            setup.workspace = workspace.configure(|settings| settings.orphan_reply = orphan);
        })
        .await;
        let id = world.cluster.create_request(NewRequest::new(ALICE, &["dba"]).threshold(2, 1));
        world.announced(&id, 1).await;
        world.slack().delete_message(CHANNEL, &world.post(&id).ts);
        world.cluster.review(&id, &NewReview::approve(BOB, "")).unwrap();
        world.cluster.approve(&id, "").unwrap();
        world.closed(&id, "APPROVED").await;
        assert!(world.slack().messages(CHANNEL).is_empty(), "{:#?}", world.slack().messages(CHANNEL));
        let replies = world.slack().calls("chat.postMessage").len() - 1;
        assert!(replies <= 1, "{replies} replies to a message that is gone");
        assert!(world.slack().calls("chat.update").len() <= 1);
        world.end(worker).await;
    }
}

#[tokio::test]
async fn a_channel_without_threads_still_sees_the_decision() {
    let (world, worker) = World::start_with(|setup| {
        let members = ["U0BTELEPORT"];
        let quiet = Channel::public("C0NOTHREADS", "no-threads").members(members).posting(Posting::NoThreads);
        let workspace = std::mem::take(&mut setup.workspace);
        setup.workspace = workspace.channel(quiet);
        setup.places.push("no-threads".to_owned());
        setup.route("\"*\" = \"no-threads\"");
    })
    .await;
    let id = world.cluster.create_request(NewRequest::new(ALICE, &["dba"]).threshold(2, 1));
    world.announced(&id, 1).await;
    world.cluster.review(&id, &NewReview::approve(BOB, "")).unwrap();
    world.cluster.review(&id, &NewReview::approve(CAROL, "")).unwrap();
    world.closed(&id, "APPROVED").await;
    assert!(shown(&world.post(&id)).contains("approved"));
    world.end(worker).await;
}

#[tokio::test]
async fn without_the_right_to_react_everything_else_works() {
    let (world, worker) = World::start().await;
    world.slack().set_scopes(BOT_TOKEN, &["chat:write", "users:read", "users:read.email"]);
    let id = world.request("dba");
    world.announced(&id, 1).await;
    world.cluster.deny(&id, "no").unwrap();
    world.closed(&id, "DENIED").await;
    assert!(shown(&world.post(&id)).contains("denied"));
    assert_eq!(world.slack().calls("reactions.add").len(), 1);
    world.end(worker).await;
}

#[tokio::test]
async fn a_change_that_comes_twice_is_told_once() {
    let (world, worker) = World::start().await;
    world.cluster.inject(Fault::always("WatchEvents", Effect::Duplicate)).unwrap();
    let id = world.cluster.create_request(NewRequest::new(ALICE, &["dba"]).threshold(2, 1));
    world.announced(&id, 1).await;
    for _ in 0..20 {
        world.cluster.touch_request(&id);
    }
    world.cluster.review(&id, &NewReview::approve(BOB, "")).unwrap();
    world.cluster.approve(&id, "").unwrap();
    world.closed(&id, "APPROVED").await;
    let post = world.post(&id);
    assert_eq!(world.slack().thread(CHANNEL, &post.ts).len(), 1);
    assert!(post.updates <= 2, "{} updates", post.updates);
    world.end(worker).await;
}
