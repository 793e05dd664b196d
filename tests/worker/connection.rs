//! A connection that stands is not one that works: what is dead, and what is refused, is noticed and told.

use std::time::{Duration, Instant};

use simulators::faults::{Effect, Fault};

use crate::start::{diagnostics, get};
use crate::support::{LONG, World};

/// As schedules 24 and 29 of the promise ask.
const NOTICED_WITHIN: Duration = Duration::from_secs(30);

fn refusal(code: &str, message: &str) -> Effect {
    Effect::Error { code: code.to_owned(), message: message.to_owned() }
}

#[tokio::test]
async fn a_lock_is_told_while_the_watch_stays_open_and_until_it_is_removed() {
    let (world, worker) = World::start().await;
    let worker = {
        worker.end().await;
        world.spawn(&["--diag-addr", "127.0.0.1:0"])
    };
    worker.said("Plugin is ready").await;
    let address = diagnostics(&worker).await;
    assert_eq!(get(&address, "/readyz").await.0, 200);
    let lock = "lock targeting User:\"slack-plugin\" is in force";
    let began = Instant::now();
    world.cluster.inject(Fault::always("Ping", refusal("permission_denied", lock))).unwrap();
    worker.said("Teleport refuses the identity").await;
    assert!(began.elapsed() < NOTICED_WITHIN, "{:?}", began.elapsed());
    assert_eq!(world.cluster.open_streams(), 1);
    let (status, body) = get(&address, "/readyz").await;
    assert_eq!((status, body.lines().last()), (503, Some("waiting for teleport")));
    world.cluster.faults().clear();
    worker.said("Teleport takes the identity again").await;
    assert_eq!(get(&address, "/readyz").await.0, 200);
    world.end(worker).await;
}

#[tokio::test]
async fn a_user_that_is_gone_is_a_refusal_although_teleport_says_not_found() {
    let (world, worker) = World::start().await;
    let gone = "access denied: user \"slack-plugin\" is not found";
    world.cluster.inject(Fault::always("Ping", refusal("not_found", gone))).unwrap();
    world.cluster.inject(Fault::always("UpdatePluginData", refusal("not_found", gone))).unwrap();
    let id = world.request("dba");
    worker.said("create the user or role again").await;
    assert!(world.posts(&id).is_empty());
    world.cluster.faults().clear();
    world.announced(&id, 1).await;
    world.end(worker).await;
}

#[tokio::test]
async fn a_connection_that_is_dead_and_looks_alive_is_replaced_within_thirty_seconds() {
    let (world, worker) = World::start().await;
    let began = Instant::now();
    world.cluster.inject(Fault::once("Ping", Effect::Slow { millis: 60_000 })).unwrap();
    worker.said("The connection to Teleport is dead").await;
    assert!(began.elapsed() < NOTICED_WITHIN, "{:?}", began.elapsed());
    worker.said_times("Connected to Teleport", 2).await;
    let id = world.request("dba");
    world.announced(&id, 1).await;
    world.end(worker).await;
}

#[tokio::test]
async fn failing_fast_finishes_what_is_in_flight() {
    let mut world = World::new(|_| {}).await;
    world.environment.push(("TELEPORT_PLUGIN_FAIL_FAST", "true".to_owned()));
    let worker = world.run().await;
    world.slack().inject(Fault::once("chat.postMessage", Effect::Slow { millis: 3_000 })).unwrap();
    let id = world.request("dba");
    world
        .until("the message is on its way", |world| {
            world.slack().journal().iter().any(|call| call.method == "chat.postMessage")
        })
        .await;
    world.cluster.cut_streams();
    let (status, errors) = worker.ended(LONG).await;
    assert_eq!(status.code(), Some(1), "{errors}");
    assert!(errors.contains("TELEPORT_PLUGIN_FAIL_FAST"), "{errors}");
    assert_eq!((world.posts(&id).len(), world.recorded(&id)), (1, 1));
}

#[tokio::test]
async fn an_identity_that_may_not_write_records_is_said_with_the_missing_right() {
    let world = World::new(|setup| setup.command = "worker").await;
    let rules = simulators::teleport::Role::access_plugin().rules;
    let rules = rules.into_iter().filter(|rule| rule.kinds != ["access_plugin_data"]).collect();
    world.cluster.set_permissions("slack-plugin", Some(rules));
    let worker = world.spawn(&[]);
    worker.said("access_plugin_data").await;
    assert_eq!(worker.count("Plugin is ready"), 0);
    world.cluster.set_permissions("slack-plugin", None);
    worker.said("Plugin is ready").await;
    world.end(worker).await;
}
