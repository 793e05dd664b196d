//! Who is told of a request, and what.

use simulators::faults::{Effect, Fault};
use simulators::teleport::{Config, Edition, NewRequest};

use crate::support::{ALICE, BOB, CHANNEL, World, shown};

fn places(world: &World, id: &str) -> Vec<String> {
    let mut places: Vec<String> = world.posts(id).iter().map(|message| message.channel.clone()).collect();
    places.sort();
    places
}

#[tokio::test]
async fn everybody_whom_the_map_and_the_requester_name_is_told_once() {
    let (world, worker) = World::start_with(|setup| {
        setup.recipients = "\"*\" = \"general\"\n\
             \"dba\" = [\"#dba-oncall\", \"C0PRIVATE01\", \"Bob@Example.com\", \"dba-oncall\"]\n\
             \"ops\" = \"access-requests\""
            .to_owned();
    })
    .await;
    let request =
        NewRequest::new(ALICE, &["dba", "ops", "unlisted"]).suggest(&[BOB, "carol@example.com", "no-address"]);
    let id = world.cluster.create_request(request);
    world.announced(&id, 6).await;
    let places = places(&world, &id);
    assert_eq!(places[..4], ["C0ACCESSREQ", "C0DBAONCALL", "C0GENERAL01", "C0PRIVATE01"]);
    assert_eq!(world.slack().direct_messages(BOB).len(), 1);
    assert_eq!(world.slack().direct_messages("carol@example.com").len(), 1);
    let other = world.request("something-else");
    world.announced(&other, 1).await;
    assert_eq!(world.post(&other).channel, "C0GENERAL01");
    world.end(worker).await;
}

#[tokio::test]
async fn two_spellings_of_one_place_are_told_once_and_so_they_stay_over_a_restart() {
    let (world, worker) = World::start_with(|setup| {
        setup.recipients = format!("\"*\" = [\"dba-oncall\", \"C0DBAONCALL\", \"U0BOB000001\", \"{BOB}\"]");
    })
    .await;
    let id = world.request("dba");
    world.announced(&id, 2).await;
    worker.kill().await;
    let missed = world.request("ops");
    let worker = world.run().await;
    world.announced(&missed, 2).await;
    world.cluster.approve(&id, BOB).unwrap();
    world.closed(&id, "APPROVED").await;
    for id in [&id, &missed] {
        assert_eq!(world.posts(id).len(), 2, "a channel and a person");
    }
    world.end(worker).await;
}

#[tokio::test]
async fn a_request_whose_recipients_cannot_be_one_waits_for_no_look_at_the_others() {
    let world =
        World::new(|setup| setup.route("\"*\" = \"general\"\ndba = \"dba-oncall\"\nops = \"C0DBAONCALL\"")).await;
    world.slack().inject(Fault::always("conversations.list", Effect::RateLimited { retry_after: Some(600) })).unwrap();
    let worker = world.run().await;
    let id = world.request("access");
    world.announced(&id, 1).await;
    world.end(worker).await;
}

#[tokio::test]
async fn the_message_tells_all_that_a_reviewer_needs() {
    let (world, worker) = World::start_with(|setup| setup.cluster = Config::default().with_proxy()).await;
    let request = NewRequest::new(ALICE, &["dba", "access"]).reason("the index is gone").resource("node/web-1");
    let id = world.cluster.create_request(request);
    world.announced(&id, 1).await;
    let shown = shown(&world.post(&id));
    for part in [ALICE, "dba", "postgres", "root", "access", "the index is gone", "waiting for review", "web-1"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(shown.contains(&format!("/web/requests/{id}")), "{shown}");
    world.end(worker).await;
}

#[tokio::test]
async fn a_cluster_without_reviews_in_its_web_ui_gets_the_commands_instead_of_a_link() {
    let (world, worker) = World::start_with(|setup| {
        setup.cluster = Config { edition: Edition::Oss, ..Config::old() };
    })
    .await;
    let id = world.request("dba");
    world.announced(&id, 1).await;
    let shown = shown(&world.post(&id));
    assert!(shown.contains(&format!("review --approve {id}")) || shown.contains(&id), "{shown}");
    assert!(!shown.contains("/web/requests/"), "{shown}");
    world.end(worker).await;
}

#[tokio::test]
async fn what_the_identity_may_not_read_about_roles_is_left_out_of_the_message() {
    let (world, worker) = World::start().await;
    let rules = simulators::teleport::Role::access_plugin().rules;
    let without_roles = rules.into_iter().filter(|rule| rule.kinds != ["role"]).collect();
    world.cluster.set_permissions("slack-plugin", Some(without_roles));
    let id = world.request("dba");
    world.announced(&id, 1).await;
    assert!(!shown(&world.post(&id)).contains("postgres"));
    world.end(worker).await;
}

#[tokio::test]
async fn a_request_that_names_nobody_is_reported_and_told_once_the_map_names_somebody() {
    let (world, worker) = World::start_with(|setup| {
        setup.command = "worker";
        setup.route("\"dba\" = \"dba-oncall\"");
    })
    .await;
    let id = world.request("ops");
    worker.said("The request reaches no recipient").await;
    world.configure(&format!("\"*\" = \"{CHANNEL}\""));
    worker.signal("HUP");
    world.announced(&id, 1).await;
    world.end(worker).await;
}
