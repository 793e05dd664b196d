//! Slack refuses, limits, hangs, loses answers: nobody else waits, nothing is lost, nothing is told twice.

use std::time::Duration;

use futures::future::join_all;
use simulators::faults::{Effect, Fault};
use simulators::slack::{BOT_TOKEN, BOT_USER, Channel, Limits, Outcome, Token, scopes};
use simulators::teleport::{NewRequest, NewReview};

use crate::support::{ALICE, BOB, CHANNEL, World, shown};

const NEW_TOKEN: &str = "xoxb-another-simulated-bot-token";

fn error(code: &str) -> Effect {
    Effect::Error { code: code.to_owned(), message: String::new() }
}

#[tokio::test]
async fn a_channel_at_its_limit_holds_up_no_other_and_is_not_called_in_vain() {
    let (world, worker) = World::start_with(|setup| {
        let limits = Limits { channel_burst: 1, workspace_per_minute: 10_000, ..Limits::default() };
        setup.workspace = std::mem::take(&mut setup.workspace).limits(limits);
        setup.route("\"busy\" = \"access-requests\"\n\"*\" = \"general\"");
    })
    .await;
    let busy: Vec<String> = (0..6).map(|_| world.request("busy")).collect();
    world
        .until("the busy channel is limited", |world| {
            world.slack().calls("chat.postMessage").iter().any(|call| call.status == 429)
        })
        .await;
    let other = world.request("calm");
    world.announced(&other, 1).await;
    assert!(world.slack().messages(CHANNEL).len() < busy.len(), "the other channel did not wait for the busy one");
    for id in &busy {
        world.announced(id, 1).await;
    }
    // That nothing is called while it has to wait is what the workspace holds against it at the end.
    world.end(worker).await;
}

#[tokio::test]
async fn a_message_whose_answer_was_lost_at_the_beginning_of_an_outage_is_found_after_it() {
    let (world, worker) = World::start().await;
    world.slack().inject(Fault::once("chat.postMessage", Effect::AnswerLost)).unwrap();
    // What is sent meanwhile certainly does not arrive, so that nothing has to be looked for but the first.
    world.slack().inject(Fault::always("chat.postMessage", Effect::RateLimited { retry_after: Some(1) })).unwrap();
    world.slack().inject(Fault::always("*", Effect::ServerError { status: 503 })).unwrap();
    let id = world.request("dba");
    // More often than the search is tried while Slack takes other calls.
    let calls = |world: &World, method| world.slack().calls(method).len();
    world
        .until("it was tried in vain for a while", |world| {
            calls(world, "conversations.history") + calls(world, "chat.postMessage") > 6
        })
        .await;
    world.slack().faults().clear();
    world.announced(&id, 1).await;
    world.end(worker).await;
}

#[tokio::test]
async fn a_direct_message_whose_answer_was_lost_is_found_where_the_earlier_ones_are() {
    let (world, worker) = World::start_with(|setup| setup.route(&format!("\"*\" = \"{ALICE}\""))).await;
    // Enough to read what is there, not to ask where that would be.
    world.slack().set_scopes(BOT_TOKEN, &["chat:write", "users:read.email", "im:history"]);
    let earlier = world.request("dba");
    world.announced(&earlier, 1).await;
    worker.end().await;
    let worker = world.run().await;
    world.slack().inject(Fault::once("chat.postMessage", Effect::AnswerLost)).unwrap();
    let id = world.request("dba");
    world.announced(&id, 1).await;
    worker.end().await;
    world.cluster.assert_no_violations();
}

#[tokio::test]
async fn passing_troubles_of_slack_pass() {
    let effects = [
        Effect::ServerError { status: 500 },
        Effect::ServerError { status: 503 },
        Effect::ResetBefore,
        Effect::RateLimited { retry_after: Some(1) },
        Effect::RateLimitedText { retry_after: Some(1) },
        Effect::Drip { millis: 1_000 },
        error("internal_error"),
        error("fatal_error"),
        error("service_unavailable"),
        error("a_word_that_nobody_knows"),
    ];
    join_all(effects.map(async |effect| {
        let (world, worker) = World::start().await;
        world.slack().inject(Fault::times("chat.postMessage", 2, effect.clone())).unwrap();
        let id = world.request("dba");
        world.announced(&id, 1).await;
        world.slack().inject(Fault::times("chat.update", 2, effect.clone())).unwrap();
        world.slack().inject(Fault::times("reactions.add", 1, effect)).unwrap();
        world.cluster.approve(&id, "").unwrap();
        world.closed(&id, "APPROVED").await;
        assert_eq!(world.post(&id).reactions.len(), 1);
        world.end(worker).await;
    }))
    .await;
}

#[tokio::test]
async fn a_message_whose_answer_was_lost_is_found_instead_of_sent_again() {
    let effects = [
        Effect::AnswerLost,
        Effect::Malformed,
        Effect::Html,
        Effect::Huge { bytes: 16 << 20 },
        Effect::ServerErrorAfter { status: 502 },
        Effect::ErrorAfter { code: "internal_error".to_owned() },
    ];
    join_all(effects.map(async |effect| {
        let (world, worker) = World::start_with(|setup| {
            setup.workspace = std::mem::take(&mut setup.workspace)
                .configure(|settings| settings.read_lag = Duration::from_millis(1_500));
        })
        .await;
        world.slack().inject(Fault::once("chat.postMessage", effect.clone())).unwrap();
        let id = world.cluster.create_request(NewRequest::new(ALICE, &["dba"]).threshold(2, 1));
        world.announced(&id, 1).await;
        // The same for a reply.
        world.slack().inject(Fault::once("chat.postMessage", effect)).unwrap();
        world.cluster.review(&id, &NewReview::approve(BOB, "ok")).unwrap();
        world.until("the review is told", |world| world.record(&id).contains_key("reviews_count")).await;
        assert_eq!(world.slack().thread(CHANNEL, &world.post(&id).ts).len(), 1);
        world.end(worker).await;
    }))
    .await;
}

#[tokio::test]
async fn a_call_that_hangs_holds_up_nobody_else_and_is_made_again() {
    let (world, worker) = World::start_with(|setup| {
        setup.route("\"slow\" = \"general\"\n\"*\" = \"access-requests\"");
    })
    .await;
    world.slack().inject(Fault::once("chat.postMessage", Effect::Hang)).unwrap();
    let slow = world.request("slow");
    world.until("the call hangs", |world| world.slack().calls("chat.postMessage").len() == 1).await;
    let other = world.request("dba");
    world.announced(&other, 1).await;
    assert_eq!(world.slack().calls("chat.postMessage")[0].outcome, Outcome::Open);
    world.announced(&slow, 1).await;
    world.end(worker).await;
}

#[tokio::test]
async fn recipients_that_do_not_work_hold_up_nobody_and_are_told_once_they_do() {
    let (world, worker) = World::start_with(|setup| {
        setup.route("\"*\" = [\"random\", \"nowhere\", \"old-requests\", \"board\", \"nobody@example.com\", \"dave@example.com\", \"general\"]");
        setup.places.push("nowhere".to_owned());
        setup.places.push("nobody@example.com".to_owned());
    })
    .await;
    let id = world.request("dba");
    world.announced(&id, 1).await;
    for remedy in ["invite @teleport to #random", "unarchive", "nobody@example.com is the e-mail address"] {
        worker.said(remedy).await;
    }
    let calls = world.slack().calls("chat.postMessage").len();
    world.slack().invite("random", BOT_USER);
    world.slack().unarchive("old-requests");
    world.slack().add_user(simulators::slack::User::member("U0NOBODY001", "nobody", "nobody@example.com"));
    assert_eq!(world.slack().calls("chat.postMessage").len(), calls, "nobody is asked again in a hurry");
    worker.signal("HUP");
    world.announced(&id, 4).await;
    world.end(worker).await;
}

#[tokio::test]
async fn recipients_that_are_mended_while_the_worker_runs_are_told_without_anybody_asking_for_it() {
    const LATE: &str = "late@example.com";
    let (world, worker) = World::start_with(|setup| {
        setup.route(&format!("\"*\" = [\"{CHANNEL}\", \"general\", \"{LATE}\"]"));
        setup.places.push(LATE.to_owned());
    })
    .await;
    worker.said("A configured recipient cannot be reached").await;
    world.slack().kick(CHANNEL, BOT_USER);
    world.slack().archive("general");
    let id = world.request("dba");
    // The look notices it because of the message, not because its time had come.
    worker.said_times("A configured recipient cannot be reached", 3).await;
    worker.said_times("Slack refuses: trying again later", 3).await;
    world.slack().invite(CHANNEL, BOT_USER);
    world.slack().unarchive("general");
    world.slack().add_user(simulators::slack::User::member("U0LATE00001", "late", LATE));
    world.announced(&id, 3).await;
    world.end(worker).await;
}

#[tokio::test]
async fn a_revoked_token_is_replaced_by_writing_its_file_and_nothing_is_lost() {
    let (world, worker) = World::start().await;
    let before = world.request("dba");
    world.announced(&before, 1).await;
    world.slack().revoke_token(BOT_TOKEN);
    let id = world.request("dba");
    world.cluster.deny(&before, "no").unwrap();
    worker.said("Slack refuses: trying again later").await;
    // A new token that does not work either, then one that does.
    world.write_token("xoxb-mistyped");
    worker.said("The new Slack token does not work").await;
    world.slack().add_token(Token::bot(NEW_TOKEN, scopes::NOTIFY_AND_LOOK));
    world.write_token(&format!("{NEW_TOKEN}\n"));
    world.announced(&id, 1).await;
    world.closed(&before, "DENIED").await;
    for secret in [BOT_TOKEN, NEW_TOKEN, "xoxb-mistyped"] {
        assert!(!worker.log().contains(secret));
    }
    world.end(worker).await;
}

#[tokio::test]
async fn a_new_token_that_meets_an_outage_is_tried_again() {
    let (world, worker) = World::start().await;
    world.slack().inject(Fault::once("auth.test", Effect::ServerError { status: 503 })).unwrap();
    world.slack().add_token(Token::bot(NEW_TOKEN, scopes::NOTIFY_AND_LOOK));
    world.write_token(NEW_TOKEN);
    worker.said("The new Slack token does not work").await;
    let meanwhile = world.request("dba");
    world.announced(&meanwhile, 1).await;
    worker.said("Took up the new Slack token").await;
    world.slack().revoke_token(BOT_TOKEN);
    let id = world.request("dba");
    world.announced(&id, 1).await;
    world.end(worker).await;
}

#[tokio::test]
async fn while_slack_hangs_over_a_new_token_requests_are_still_told_with_the_old_one() {
    let (world, worker) = World::start().await;
    world.slack().inject(Fault::once("auth.test", Effect::Hang)).unwrap();
    world.slack().add_token(Token::bot(NEW_TOKEN, scopes::NOTIFY_AND_LOOK));
    world.write_token(NEW_TOKEN);
    world.until("the new token is tried", |world| world.slack().calls("auth.test").len() == 2).await;
    let id = world.request("dba");
    world.announced(&id, 1).await;
    let hanging = &world.slack().calls("auth.test")[1];
    assert_eq!(hanging.outcome, Outcome::Open);
    worker.kill().await;
    world.assert_no_violations();
}

#[tokio::test]
async fn a_message_that_slack_does_not_like_is_sent_plainly() {
    let (world, worker) = World::start().await;
    world.slack().inject(Fault::once("chat.postMessage", error("invalid_blocks"))).unwrap();
    let id = world.request("dba");
    world.announced(&id, 1).await;
    let plain = shown(&world.post(&id));
    assert!(plain.contains(ALICE) && plain.contains("dba"), "{plain}");
    world.slack().inject(Fault::once("chat.update", error("msg_blocks_too_long"))).unwrap();
    world.cluster.approve(&id, "").unwrap();
    world.closed(&id, "APPROVED").await;
    assert!(shown(&world.post(&id)).contains("approved"));
    world.end(worker).await;
}

#[tokio::test]
async fn the_limit_of_a_lookup_is_kept_by_everybody_who_looks_somebody_up() {
    let world = World::new(|setup| {
        setup.route("\"a\" = \"alice@example.com\"\n\"b\" = \"bob@example.com\"\n\"*\" = \"carol@example.com\"");
    })
    .await;
    let limited = Effect::RateLimited { retry_after: Some(3) };
    world.slack().inject(Fault::once("users.lookupByEmail", limited)).unwrap();
    let worker = world.run().await;
    let first = world.request("a");
    let refused = |world: &World| world.slack().calls("users.lookupByEmail").iter().any(|call| call.status == 429);
    world.until("the lookup is limited", refused).await;
    let others = [world.request("b"), world.request("c"), world.request("a")];
    for id in others.iter().chain([&first]) {
        world.announced(id, 1).await;
    }
    world.end(worker).await;
}

#[tokio::test]
async fn many_channels_are_looked_for_in_one_reading_of_their_list() {
    let world = World::new(|setup| {
        let mut workspace = std::mem::take(&mut setup.workspace).limits(Limits::default());
        for n in 0..1_000 {
            workspace = workspace.channel(Channel::public(&format!("C1{n:07}"), &format!("channel-{n}")));
        }
        setup.workspace = workspace;
        let names: Vec<String> = (980..1_000).map(|n| format!("\"channel-{n}\"")).collect();
        setup.route(&format!("\"dba\" = \"general\"\n\"*\" = [{}]", names.join(", ")));
    })
    .await;
    world.slack().inject(Fault::once("conversations.list", Effect::RateLimited { retry_after: Some(1) })).unwrap();
    let worker = world.run().await;
    // The bot is in none of them.
    worker.said_times("A configured recipient cannot be reached", 20).await;
    let statuses: Vec<_> = world.slack().calls("conversations.list").iter().map(|call| call.status).collect();
    assert_eq!(statuses, [429, 200, 200], "the list has two pages");
    let id = world.request("dba");
    world.announced(&id, 1).await;
    world.end(worker).await;
}

#[tokio::test]
async fn a_limit_that_comes_while_a_claim_is_being_stored_is_kept() {
    let (world, worker) = World::start().await;
    let late = "late-request";
    let slow = Fault::once("UpdatePluginData", Effect::Slow { millis: 1_500 }).only(late);
    world.cluster.inject(slow).unwrap();
    world.slack().inject(Fault::once("chat.postMessage", Effect::RateLimited { retry_after: Some(4) })).unwrap();
    world.cluster.create_request(NewRequest { id: Some(late.to_owned()), ..NewRequest::new(ALICE, &["dba"]) });
    let prompt = world.request("dba");
    for id in [late, &prompt] {
        world.announced(id, 1).await;
    }
    world.end(worker).await;
}

#[tokio::test]
async fn a_burst_of_decisions_keeps_to_the_limit_of_updates() {
    let (world, worker) = World::start().await;
    let ids: Vec<String> = (0..5).map(|_| world.request("dba")).collect();
    for id in &ids {
        world.announced(id, 1).await;
    }
    world.slack().inject(Fault::once("chat.update", Effect::RateLimited { retry_after: Some(2) })).unwrap();
    for id in &ids {
        world.cluster.deny(id, "no").unwrap();
    }
    for id in &ids {
        world.closed(id, "DENIED").await;
    }
    world.end(worker).await;
}
