//! Messages of the bot that no record leads to.

use simulators::slack::BOT_TOKEN;
use slack_access_operator::slack::MessageRef;
use slack_access_operator::slack::api::{Client, Post, Settings};
use slack_access_operator::slack::message::{Notification, render};
use slack_access_operator::slack::token::Token;

use crate::support::{CHANNEL, World, shown};

/// Posts a message about a request as the bot does, without a record of it.
async fn post_unrecorded(world: &World, request: &str, cluster: &str) -> MessageRef {
    let settings = Settings { api_url: world.slack.url(), ..Settings::new(Token::new(BOT_TOKEN)) };
    let notification =
        Notification { request_id: request.to_owned(), cluster: cluster.to_owned(), ..Notification::default() };
    let post = Post { channel: CHANNEL.to_owned(), content: render(&notification, CHANNEL), thread_ts: None };
    Client::new(&settings).unwrap().post_message(&post).await.unwrap().message
}

#[tokio::test]
async fn what_no_record_leads_to_is_brought_to_its_end_or_removed_and_what_may_be_anothers_is_left_alone() {
    let (world, worker) = World::start().await;
    let pending = world.request("dba");
    world.announced(&pending, 1).await;
    let first = world.post(&pending);
    let cluster = world.cluster.name().to_owned();
    let gone = post_unrecorded(&world, "8a3b4e4e-0000-4000-8000-000000000001", &cluster).await;
    let of_another_cluster = post_unrecorded(&world, "8a3b4e4e-0000-4000-8000-000000000002", "other.example.com").await;
    let of_any_cluster = post_unrecorded(&world, "8a3b4e4e-0000-4000-8000-000000000003", "").await;
    let before =
        [&of_another_cluster, &of_any_cluster].map(|message| world.slack().message(&message.channel, &message.ts));
    post_unrecorded(&world, &pending, &cluster).await;
    world.until("the second message is removed", |world| world.posts(&pending).len() == 1).await;
    assert_eq!(world.post(&pending).ts, first.ts, "the record leads to the first");
    let message = |world: &World| world.slack().message(&gone.channel, &gone.ts).unwrap();
    world.until("the request that is gone is shown so", |world| shown(&message(world)).contains("expired")).await;
    let after =
        [&of_another_cluster, &of_any_cluster].map(|message| world.slack().message(&message.channel, &message.ts));
    assert_eq!(before, after);
    world.end(worker).await;
}
