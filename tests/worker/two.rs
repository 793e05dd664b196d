//! Two workers at once, as during a rollout.

use simulators::faults::{Effect, Fault};
use simulators::teleport::{NewRequest, NewReview};

use crate::support::{ALICE, BOB, World};

#[tokio::test]
async fn two_workers_share_the_work_and_never_both_post() {
    let world = World::new(|setup| setup.route("\"*\" = [\"access-requests\", \"dba-oncall\"]")).await;
    let (one, two) = (world.run().await, world.run().await);
    let ids: Vec<String> =
        (0..40).map(|_| world.cluster.create_request(NewRequest::new(ALICE, &["dba"]).threshold(2, 1))).collect();
    for id in &ids {
        world.announced(id, 2).await;
    }
    for id in &ids {
        world.cluster.review(id, &NewReview::approve(BOB, "ok")).unwrap();
        world.cluster.review(id, &NewReview::approve("carol@example.com", "ok")).unwrap();
    }
    for id in &ids {
        world.closed(id, "APPROVED").await;
    }
    for id in &ids {
        let posts = world.posts(id);
        assert_eq!(posts.len(), 2);
        for post in posts {
            assert_eq!(world.slack().thread(&post.channel, &post.ts).len(), 2, "{id}");
            assert_eq!(post.reactions[0].users.len(), 1);
        }
    }
    one.end().await;
    world.end(two).await;
}

#[tokio::test]
async fn when_one_of_two_dies_the_other_takes_over_what_it_had_begun() {
    let world = World::new(|_| {}).await;
    let first = world.run().await;
    world.slack().inject(Fault::once("chat.postMessage", Effect::Hang)).unwrap();
    let id = world.request("dba");
    world.until("the first is at it", |world| world.slack().calls("chat.postMessage").len() == 1).await;
    let second = world.run().await;
    first.kill().await;
    let others: Vec<String> = (0..5).map(|_| world.request("dba")).collect();
    for id in &others {
        world.announced(id, 1).await;
    }
    world.announced(&id, 1).await;
    world.end(second).await;
}

#[tokio::test]
async fn a_claim_that_could_not_be_stored_does_not_undo_that_of_the_other_worker() {
    let world = World::new(|_| {}).await;
    let first = world.run().await;
    // The first worker's claim fails; by the time it tries again the second worker holds one.
    world
        .cluster
        .inject(Fault::once(
            "UpdatePluginData",
            Effect::Error { code: "unavailable".to_owned(), message: String::new() },
        ))
        .unwrap();
    world.slack().inject(Fault::once("chat.postMessage", Effect::Slow { millis: 3_000 })).unwrap();
    let second = world.run().await;
    let ids: Vec<String> = (0..3).map(|_| world.request("dba")).collect();
    for id in &ids {
        world.announced(id, 1).await;
    }
    first.end().await;
    world.end(second).await;
}
