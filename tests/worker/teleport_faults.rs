//! Teleport fails, lags, forgets rights, or is old: nothing is lost, and nothing is told that is not true.

use futures::future::join_all;
use simulators::faults::{Effect, Fault};
use simulators::slack::BOT_TOKEN;
use simulators::teleport::{Config, NewRequest, NewReview, Role, Rule};

use crate::support::{ALICE, BOB, CHANNEL, World, shown};

fn error(code: &str) -> Effect {
    Effect::Error { code: code.to_owned(), message: String::new() }
}

/// The rights of the plugin's role without those of one kind.
fn rules_without(kind: &str) -> Vec<Rule> {
    Role::access_plugin().rules.into_iter().filter(|rule| rule.kinds != [kind]).collect()
}

#[tokio::test]
async fn writes_that_fail_or_whose_answer_is_lost_lead_to_one_message() {
    let effects = [
        error("unavailable"),
        error("aborted"),
        error("resource_exhausted"),
        Effect::AnswerLost,
        Effect::ResetBefore,
        Effect::Malformed,
        Effect::Slow { millis: 1_000 },
        Effect::ServerError { status: 502 },
    ];
    // The claim fails, or the record of the message that was sent.
    let cases = effects.into_iter().flat_map(|effect| [(effect.clone(), 0), (effect, 1)]);
    join_all(cases.map(async |(effect, skip)| {
        let (world, worker) = World::start().await;
        world.cluster.inject(Fault::times("UpdatePluginData", 2, effect).after(skip)).unwrap();
        let id = world.request("dba");
        world.announced(&id, 1).await;
        world.cluster.approve(&id, "").unwrap();
        world.closed(&id, "APPROVED").await;
        assert_eq!(world.posts(&id).len(), 1);
        world.end(worker).await;
    }))
    .await;
}

#[tokio::test]
async fn a_write_that_takes_long_does_not_keep_slacks_answers_from_being_taken() {
    let (world, worker) = World::start().await;
    // Without the history, whoever does not know whether a message was sent has to send it again.
    world.slack().set_scopes(BOT_TOKEN, &["chat:write", "users:read", "users:read.email", "reactions:write"]);
    // The channel's message is on its way when the reviewer is found and claimed; a call to Slack has 10 s.
    world.slack().inject(Fault::once("chat.postMessage", Effect::Slow { millis: 400 })).unwrap();
    world.slack().inject(Fault::once("users.lookupByEmail", Effect::Slow { millis: 100 })).unwrap();
    world.cluster.inject(Fault::once("UpdatePluginData", Effect::Slow { millis: 11_000 }).after(1)).unwrap();
    let id = world.cluster.create_request(NewRequest::new(ALICE, &["dba"]).suggest(&["carol@example.com"]));
    world.announced(&id, 2).await;
    world.end(worker).await;
}

#[tokio::test]
async fn a_record_that_cannot_be_written_holds_up_no_other_request_in_its_channel() {
    let (world, worker) = World::start().await;
    let blocked = "blocked-request";
    let refusal = Fault::always("UpdatePluginData", error("invalid_argument")).only(blocked);
    world.cluster.inject(refusal).unwrap();
    world.cluster.create_request(NewRequest { id: Some(blocked.to_owned()), ..NewRequest::new(ALICE, &["dba"]) });
    world.until("it cannot be claimed", |world| !world.cluster.calls("UpdatePluginData").is_empty()).await;
    let others: Vec<String> = (0..5).map(|_| world.request("dba")).collect();
    for id in &others {
        world.announced(id, 1).await;
    }
    world.cluster.faults().clear();
    world.announced(blocked, 1).await;
    world.end(worker).await;
}

#[tokio::test]
async fn reads_that_lag_behind_do_not_lead_to_a_second_message() {
    let (world, worker) = World::start().await;
    world.cluster.inject(Fault::times("GetPluginData", 5, Effect::StaleRead { millis: 2_000 })).unwrap();
    let id = world.cluster.create_request(NewRequest::new(ALICE, &["dba"]).threshold(2, 1));
    world.announced(&id, 1).await;
    world.cluster.cut_streams();
    world.cluster.review(&id, &NewReview::approve(BOB, "")).unwrap();
    world.cluster.approve(&id, "").unwrap();
    world.closed(&id, "APPROVED").await;
    assert_eq!(world.slack().thread(CHANNEL, &world.post(&id).ts).len(), 1);
    world.end(worker).await;
}

#[tokio::test]
async fn an_old_server_is_listed_in_its_own_way() {
    for cluster in [Config::old(), Config { version: "12.4.0".parse().unwrap(), ..Config::old() }] {
        let world = World::new(|setup| setup.cluster = cluster).await;
        let early = world.request("dba");
        let worker = world.run().await;
        let late = world.request("dba");
        for id in [&early, &late] {
            world.announced(id, 1).await;
        }
        world.cluster.deny(&early, "").unwrap();
        world.closed(&early, "DENIED").await;
        world.end(worker).await;
    }
}

#[tokio::test]
async fn records_of_more_than_four_megabytes_in_all_are_read() {
    let world = World::new(|_| {}).await;
    let filler = "x".repeat(900_000);
    let ids: Vec<String> = (0..7).map(|_| world.request("dba")).collect();
    for id in &ids[1..] {
        world.cluster.set_plugin_data(id, "another-plugin", &[("filler", &filler)]).unwrap();
        world.cluster.set_plugin_data(id, "slack", &[("user", ALICE), ("resolution", "APPROVED")]).unwrap();
    }
    let worker = world.run().await;
    world.announced(&ids[0], 1).await;
    worker.said("Listed all access requests requests=7").await;
    world.end(worker).await;
}

#[tokio::test]
async fn a_watch_that_is_too_slow_for_a_flood_loses_nothing() {
    let (world, worker) = World::start_with(|setup| {
        setup.cluster = Config { watch_buffer: 4, ..Config::default() };
    })
    .await;
    // All at once: the watcher is dropped with a full buffer.
    let ids: Vec<String> = (0..40).map(|_| world.request("dba")).collect();
    worker.said("The watch ended").await;
    for id in &ids {
        world.announced(id, 1).await;
    }
    world.end(worker).await;
}

#[tokio::test]
async fn without_the_right_to_list_nothing_is_taken_for_gone() {
    let world = World::new(|setup| setup.command = "worker").await;
    let worker = world.run().await;
    let id = world.request("dba");
    world.announced(&id, 1).await;
    worker.end().await;
    let mut rules = rules_without("access_request");
    rules.push(Rule::new("access_request", &["read"]));
    world.cluster.set_permissions("slack-plugin", Some(rules));
    let worker = world.spawn(&[]);
    world.until("it has tried", |world| world.cluster.calls("WatchEvents").len() >= 2).await;
    world.cluster.set_permissions("slack-plugin", None);
    worker.said("Plugin is ready").await;
    world.cluster.approve(&id, "").unwrap();
    world.closed(&id, "APPROVED").await;
    assert!(shown(&world.post(&id)).contains("approved"));
    world.end(worker).await;
}

#[tokio::test]
async fn what_was_under_way_when_teleport_went_away_is_recorded_soon_after_it_is_back() {
    let (world, worker) = World::start().await;
    world.slack().inject(Fault::once("chat.postMessage", Effect::Slow { millis: 500 })).unwrap();
    let id = world.request("dba");
    world.until("it is sent", |world| world.posts(&id).len() == 1).await;
    world.cluster.stop().await;
    worker.said_times("Cannot reach Teleport", 4).await;
    world.cluster.resume().await.unwrap();
    world.announced(&id, 1).await;
    world.end(worker).await;
}

#[tokio::test]
async fn a_role_that_cannot_be_read_in_time_does_not_hold_up_the_message() {
    let (world, worker) = World::start().await;
    world.cluster.inject(Fault::always("GetRole", Effect::Hang)).unwrap();
    let id = world.request("dba");
    let started = std::time::Instant::now();
    world.announced(&id, 1).await;
    assert!(started.elapsed() < std::time::Duration::from_secs(8));
    world.end(worker).await;
}

#[tokio::test]
async fn a_request_that_may_not_be_recorded_is_told_once_it_may() {
    let (world, worker) = World::start().await;
    world.cluster.set_permissions("slack-plugin", Some(rules_without("access_plugin_data")));
    let id = world.request("dba");
    worker.said("Could not write the record of a request").await;
    assert!(world.posts(&id).is_empty());
    world.cluster.set_permissions("slack-plugin", None);
    world.announced(&id, 1).await;
    world.end(worker).await;
}

#[tokio::test]
async fn a_record_that_other_plugins_have_nearly_filled_keeps_no_request_from_being_announced() {
    let world = World::new(|_| {}).await;
    let request = NewRequest { reason: "x".repeat(60_000), ..NewRequest::new(ALICE, &["dba"]) };
    let id = world.cluster.create_request(request);
    world.cluster.set_plugin_data(&id, "jira", &[("issue", &"y".repeat(970_000))]).unwrap();
    let worker = world.run().await;
    world.announced(&id, 1).await;
    assert!(!world.record(&id).contains_key("request_reason"));
    world.cluster.approve(&id, "").unwrap();
    world.closed(&id, "APPROVED").await;
    world.end(worker).await;
}
