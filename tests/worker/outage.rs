//! What happens while the worker is away, and when it ends in the middle of its work.

use simulators::faults::{Effect, Fault};
use simulators::slack::BOT_TOKEN;
use simulators::teleport::{NewRequest, NewReview};

use crate::support::{ALICE, BOB, CHANNEL, World, shown};

const ROUTES: &str = "\"*\" = [\"access-requests\", \"dba-oncall\", \"general\", \"bob@example.com\"]";

#[tokio::test]
async fn what_happened_while_the_worker_was_down_is_told_when_it_starts() {
    let (world, worker) = World::start().await;
    let (reviewed, denied, deleted) = (
        world.cluster.create_request(NewRequest::new(ALICE, &["dba"]).threshold(2, 1)),
        world.request("dba"),
        world.request("dba"),
    );
    for id in [&reviewed, &denied, &deleted] {
        world.announced(id, 1).await;
    }
    worker.end().await;
    world.cluster.review(&reviewed, &NewReview::approve(BOB, "fine")).unwrap();
    world.cluster.deny(&denied, "no").unwrap();
    world.cluster.delete(&deleted);
    let new = world.request("dba");
    let decided = world.request("dba");
    world.cluster.approve(&decided, "").unwrap();
    let worker = world.run().await;
    world.announced(&new, 1).await;
    world.closed(&denied, "DENIED").await;
    world.closed(&deleted, "EXPIRED").await;
    world.until("the review is told", |world| world.record(&reviewed).contains_key("reviews_count")).await;
    assert_eq!(world.slack().thread(CHANNEL, &world.post(&reviewed).ts).len(), 1);
    assert!(shown(&world.post(&deleted)).contains("deleted"));
    assert!(world.posts(&decided).is_empty(), "a decision needs no review any more");
    world.end(worker).await;
}

#[tokio::test]
async fn a_watch_that_breaks_loses_nothing() {
    let (world, worker) = World::start().await;
    let mut ids = Vec::new();
    for round in 0..3 {
        match round {
            0 => world.cluster.cut_streams(),
            1 => world.cluster.end_streams(),
            _ => world.cluster.reset_streams(),
        }
        ids.push(world.request("dba"));
        world.until("the watch is open again", |world| world.cluster.open_streams() == 1).await;
        ids.push(world.request("dba"));
    }
    world.cluster.stop().await;
    ids.push(world.request("dba"));
    let before = ids[0].clone();
    world.cluster.approve(&before, "").unwrap();
    world.cluster.resume().await.unwrap();
    for id in &ids {
        world.announced(id, 1).await;
    }
    world.closed(&before, "APPROVED").await;
    world.end(worker).await;
}

#[tokio::test]
async fn a_watch_that_ends_again_and_again_is_not_reopened_in_a_hurry() {
    let (world, worker) = World::start().await;
    world.cluster.inject(Fault::always("WatchEvents", Effect::End).after(1)).unwrap();
    world.cluster.end_streams();
    let calls = |world: &World| world.cluster.calls("WatchEvents").len();
    for _ in 0..20 {
        world.request("dba");
        let before = calls(&world);
        world.until("it tries again", |world| calls(world) > before).await;
        if calls(&world) > 4 {
            break;
        }
    }
    world.cluster.faults().clear();
    let id = world.request("dba");
    world.announced(&id, 1).await;
    world.end(worker).await;
}

#[tokio::test]
async fn restarts_in_good_order_during_a_burst_lose_and_double_nothing() {
    let world = World::new(|setup| setup.recipients = ROUTES.to_owned()).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        let worker = world.run().await;
        ids.extend((0..10).map(|_| world.request("dba")));
        let already = world.all_messages().count();
        world.until("some are told", |world| world.all_messages().count() >= already + 15).await;
        worker.end().await;
    }
    let worker = world.run().await;
    for id in &ids {
        world.announced(id, 4).await;
    }
    world.end(worker).await;
}

async fn a_killed_worker_in_a_burst_leaves_nothing_untold_and_doubles_nothing_that_can_be_looked_up() {
    let world = World::new(|setup| {
        setup.route("\"*\" = [\"access-requests\", \"dba-oncall\", \"general\"]");
    })
    .await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let worker = world.run().await;
        ids.extend((0..20).map(|_| world.request("dba")));
        let already = world.all_messages().count();
        world.until("some are told", |world| world.all_messages().count() >= already + 20).await;
        worker.kill().await;
    }
    let worker = world.run().await;
    for id in &ids {
        world.announced(id, 3).await;
    }
    world.end(worker).await;
}

/// Ends a worker while Slack has taken a message and not answered yet. Returns the request.
async fn killed_while_posting(world: &World, effect: Effect) -> String {
    let worker = world.run().await;
    world.slack().inject(Fault::once("chat.postMessage", effect)).unwrap();
    let id = world.request("dba");
    world.until("Slack is asked", |world| world.slack().calls("chat.postMessage").len() == 1).await;
    worker.kill().await;
    id
}

async fn a_message_that_was_sent_but_not_recorded_is_found_in_the_history() {
    let world = World::new(|_| {}).await;
    let id = killed_while_posting(&world, Effect::Slow { millis: 60_000 }).await;
    assert_eq!(world.posts(&id).len(), 1);
    let worker = world.run().await;
    world.announced(&id, 1).await;
    world.cluster.approve(&id, "").unwrap();
    world.closed(&id, "APPROVED").await;
    world.end(worker).await;
}

async fn a_message_that_was_claimed_but_not_sent_is_sent_by_the_next_worker() {
    let world = World::new(|_| {}).await;
    let id = killed_while_posting(&world, Effect::Hang).await;
    assert!(world.posts(&id).is_empty());
    let worker = world.run().await;
    world.announced(&id, 1).await;
    world.end(worker).await;
}

async fn where_the_history_cannot_be_read_at_most_the_one_message_in_flight_is_doubled() {
    let world = World::new(|_| {}).await;
    world.slack().set_scopes(BOT_TOKEN, &["chat:write", "users:read", "users:read.email", "reactions:write"]);
    let others: Vec<String> = (0..3).map(|_| world.request("dba")).collect();
    let worker = world.run().await;
    for id in &others {
        world.announced(id, 1).await;
    }
    world.slack().inject(Fault::once("chat.postMessage", Effect::Slow { millis: 60_000 })).unwrap();
    let id = world.request("dba");
    world.until("it is sent", |world| world.posts(&id).len() == 1).await;
    worker.kill().await;
    let worker = world.run().await;
    world.until("it is recorded", |world| world.recorded(&id) == 1).await;
    assert!(world.posts(&id).len() <= 2);
    for id in &others {
        assert_eq!(world.posts(id).len(), 1);
    }
    world.end(worker).await;
}

#[tokio::test]
async fn a_worker_that_dies_before_its_claim_is_stored_leaves_no_trace() {
    let world = World::new(|_| {}).await;
    let worker = world.run().await;
    world.cluster.inject(Fault::once("UpdatePluginData", Effect::Hang)).unwrap();
    let id = world.request("dba");
    world.until("it wants to claim", |world| world.cluster.calls("UpdatePluginData").len() == 1).await;
    worker.kill().await;
    let worker = world.run().await;
    world.announced(&id, 1).await;
    world.end(worker).await;
}

/// Each of these waits for the grace time of a claim: side by side they wait once.
#[tokio::test]
async fn what_a_killed_worker_left_half_done_is_finished_by_the_next_one() {
    tokio::join!(
        a_killed_worker_in_a_burst_leaves_nothing_untold_and_doubles_nothing_that_can_be_looked_up(),
        a_message_that_was_sent_but_not_recorded_is_found_in_the_history(),
        a_message_that_was_claimed_but_not_sent_is_sent_by_the_next_worker(),
        where_the_history_cannot_be_read_at_most_the_one_message_in_flight_is_doubled(),
    );
}
