//! Reviews in Slack: who clicks, what Teleport records, and what the person is told.

use serde_json::{Value, json};
use simulators::faults::{Effect, Fault};
use simulators::slack::{APP_TOKEN, Message, Token, User as SlackUser};
use simulators::teleport::pb::types::{AccessReview, RequestState};
use simulators::teleport::{NewRequest, Role, User};

use crate::support::{ALICE, BOB, CHANNEL, SOON, Setup, Worker, World, shown};

const APPROVE: &str = "approve_button";
const DENY: &str = "deny_button";
const WITH_REASON: &str = "review_with_reason_button";
const CAROL: &str = "carol@example.com";

/// A Teleport that takes reviews for users, people with their Slack ids, and a configuration that wants reviews.
fn reviewing(setup: &mut Setup) {
    reviewing_with(setup, "reason = \"onDeny\"");
}

fn reviewing_with(setup: &mut Setup, more: &str) {
    let plugin = Role::access_plugin_with_review().allow("lock", &["list", "read"]);
    setup.cluster.users = vec![
        User::new("slack-plugin", &[plugin.name.as_str()]),
        User::new(ALICE, &["requester", "reviewer"]).with_trait("slack_user_id", &["U0ALICE0001"]),
        User::new(BOB, &["reviewer"]).with_trait("slack_user_id", &["U0BOB000001"]),
        User::new(CAROL, &["reviewer"]).with_trait("slack_user_id", &["U0CAROL0001"]),
    ];
    setup.cluster.roles.push(plugin);
    let review = format!(
        "\"*\" = \"{CHANNEL}\"\n[review]\nenabled = true\napp_token = \"{APP_TOKEN}\"\n\
         slack_user_id_trait = \"slack_user_id\"\n{more}"
    );
    setup.route(&review);
}

async fn start() -> (World, Worker) {
    start_with(|_| {}).await
}

async fn start_with(change: impl FnOnce(&mut Setup)) -> (World, Worker) {
    let (world, worker) = World::start_with(|setup| {
        reviewing(setup);
        change(setup);
    })
    .await;
    connected(&world, 1).await;
    (world, worker)
}

async fn connected(world: &World, count: usize) {
    world.until("Socket Mode is connected", |world| world.slack().open_sockets() == count).await;
}

/// An announced request of Alice's, and its message.
async fn asked(world: &World) -> (String, Message) {
    let id = world.request("dba");
    world.announced(&id, 1).await;
    let message = world.post(&id);
    (id, message)
}

fn click(world: &World, person: &str, message: &Message, button: &str) {
    world.slack().click(person, &message.channel, &message.ts, button).unwrap();
}

fn reviews(world: &World, id: &str) -> Vec<AccessReview> {
    world.cluster.request(id).unwrap().spec.unwrap().reviews
}

async fn reviewed(world: &World, id: &str, count: usize) -> Vec<AccessReview> {
    world.until("the review is in Teleport", |world| reviews(world, id).len() >= count).await;
    assert_eq!(reviews(world, id).len(), count, "no review twice");
    reviews(world, id)
}

/// What a person alone is shown.
fn told(world: &World, person: &str) -> Vec<String> {
    let id = world.slack().find_user(person).unwrap().id;
    let shown = world.slack().ephemerals().into_iter().filter(|one| one.user == id);
    let direct = if person.contains('@') { world.slack().direct_messages(person) } else { Vec::new() };
    shown.map(|one| one.message.text).chain(direct.into_iter().map(|message| message.text)).collect()
}

async fn is_told(world: &World, person: &str, words: &str) {
    let what = format!("{person} is told {words:?}");
    world.until(&what, |world| told(world, person).iter().any(|text| text.contains(words))).await;
}

fn buttons(message: &Message) -> Vec<String> {
    let blocks = serde_json::to_value(&message.blocks).unwrap();
    let actions = blocks.as_array().unwrap().iter().find(|block| block["block_id"] == "review_block").cloned();
    let elements = actions.map(|block| block["elements"].as_array().unwrap().clone()).unwrap_or_default();
    elements.iter().map(|button| button["action_id"].as_str().unwrap().to_owned()).collect()
}

/// Waits for a form of this person's.
async fn form(world: &World, person: &str) -> (String, Value) {
    let id = world.slack().find_user(person).unwrap().id;
    let open = |world: &World| world.slack().open_views().into_iter().find(|(_, user, _)| *user == id);
    world.until("a form is shown", |world| open(world).is_some()).await;
    let (view, _, content) = open(world).unwrap();
    (view, content)
}

fn submit(world: &World, view: &str, reason: &str, choice: Option<&str>) {
    let mut values = json!({"reason": {"value": {"type": "plain_text_input", "value": reason}}});
    if let Some(choice) = choice {
        let option = json!({"text": {"type": "plain_text", "text": "x"}, "value": choice});
        values["decision"] = json!({"value": {"type": "radio_buttons", "selected_option": option}});
    }
    world.slack().submit_view(view, &values).unwrap();
}

#[tokio::test]
async fn a_click_is_a_review_by_the_person_who_clicked() {
    let (world, worker) = start().await;
    let (id, message) = asked(&world).await;
    assert_eq!(buttons(&message), [APPROVE, DENY, WITH_REASON]);
    click(&world, BOB, &message, APPROVE);
    let review = reviewed(&world, &id, 1).await.remove(0);
    assert_eq!((review.author.as_str(), review.submitted_by.as_str()), (BOB, "slack-plugin"));
    assert_eq!(review.proposed_state(), RequestState::Approved);
    world.closed(&id, "APPROVED").await;
    assert_eq!(buttons(&world.post(&id)), [] as [&str; 0], "an ended request has no buttons");
    worker.said("Review from Slack").await;
    let line = worker.log().lines().find(|line| line.contains("Review from Slack")).unwrap().to_owned();
    for part in [&id, "U0BOB000001", BOB, "approve", "recorded"] {
        assert!(line.contains(part), "{line}");
    }
    assert_eq!(told(&world, BOB), [] as [&str; 0], "the message shows it");
    world.end(worker).await;
}

#[tokio::test]
async fn a_denial_asks_for_a_reason_that_teleport_keeps() {
    let (world, worker) = start().await;
    let (id, message) = asked(&world).await;
    click(&world, BOB, &message, DENY);
    let (view, content) = form(&world, BOB).await;
    assert!(content.to_string().contains("the index is gone"), "the form shows what it is about: {content}");
    submit(&world, &view, " \n", None);
    world
        .until("the form says that a reason is needed", |world| {
            world.slack().envelopes().iter().any(|one| {
                one.answer.as_ref().is_some_and(|answer| answer["errors"]["reason"].to_string().contains("needed"))
            })
        })
        .await;
    assert_eq!(reviews(&world, &id).len(), 0);
    let hostile = "no <!channel> `x` \u{0}\u{202e} 🦀";
    submit(&world, &view, hostile, None);
    let review = reviewed(&world, &id, 1).await.remove(0);
    assert_eq!(review.reason, "no <!channel> `x` \u{202e} 🦀");
    assert_eq!(review.proposed_state(), RequestState::Denied);
    world.until("the form is closed", |world| world.slack().open_views().is_empty()).await;
    world.closed(&id, "DENIED").await;
    world.end(worker).await;
}

#[tokio::test]
async fn a_reason_longer_than_teleport_takes_stays_in_the_form() {
    let (world, worker) = start().await;
    let (id, message) = asked(&world).await;
    click(&world, BOB, &message, WITH_REASON);
    let (view, _) = form(&world, BOB).await;
    // 3,000 characters of 4 bytes each: Slack permits them, Teleport does not.
    submit(&world, &view, &"🦀".repeat(3_000), Some("approve"));
    world
        .until("the form says how long it may be", |world| {
            world
                .slack()
                .envelopes()
                .iter()
                .any(|one| one.answer.as_ref().is_some_and(|a| a.to_string().contains("4096")))
        })
        .await;
    assert_eq!(reviews(&world, &id).len(), 0);
    submit(&world, &view, "seen", Some("approve"));
    assert_eq!(reviewed(&world, &id, 1).await[0].reason, "seen");
    world.closed(&id, "APPROVED").await;
    world.end(worker).await;
}

#[tokio::test]
async fn the_message_counts_and_the_requester_is_told_why_the_own_click_counts_nothing() {
    let (world, worker) = start().await;
    let id = world.cluster.create_request(NewRequest::new(ALICE, &["dba"]).threshold(2, 1));
    world.announced(&id, 1).await;
    assert!(shown(&world.post(&id)).contains("0 of 2 approvals"), "{}", shown(&world.post(&id)));
    click(&world, ALICE, &world.post(&id), APPROVE);
    is_told(&world, ALICE, "your own request").await;
    click(&world, BOB, &world.post(&id), APPROVE);
    reviewed(&world, &id, 1).await;
    world.until("the message counts", |world| shown(&world.post(&id)).contains("1 of 2 approvals")).await;
    assert_eq!(buttons(&world.post(&id)).len(), 3);
    click(&world, BOB, &world.post(&id), APPROVE);
    is_told(&world, BOB, "already approved this request. Your review stands").await;
    click(&world, CAROL, &world.post(&id), APPROVE);
    reviewed(&world, &id, 2).await;
    world.closed(&id, "APPROVED").await;
    world.end(worker).await;
}

#[tokio::test]
async fn who_may_not_review_is_told_so_alone() {
    let (world, worker) = start_with(|setup| {
        setup.cluster.users.retain(|user| user.name != CAROL);
        setup.cluster.users.push(User::new(CAROL, &["requester"]).with_trait("slack_user_id", &["U0CAROL0001"]));
        setup.cluster.users.push(User::new("eve", &["reviewer"]).with_trait("slack_user_id", &["w0wanda0001"]));
        let other = SlackUser::member("U0FOREIGN01", "frank", "frank@partner.example").of_team("T0PARTNER");
        let twin = SlackUser::member("U0TWIN00001", "tim", "tim@example.com");
        setup.workspace = std::mem::replace(&mut setup.workspace, simulators::slack::default_workspace())
            .team("T0PARTNER", "Partner", "partner")
            .user(other)
            .user(twin);
        for name in ["tim", "tom"] {
            setup.cluster.users.push(User::new(name, &["reviewer"]).with_trait("slack_user_id", &["U0TWIN00001"]));
        }
    })
    .await;
    for person in ["U0FOREIGN01", "U0TWIN00001", "U0GUEST0001"] {
        world.slack().invite(CHANNEL, person);
    }
    let (id, message) = asked(&world).await;
    world.cluster.put_lock(BOB, "left");
    for (person, words) in [
        (CAROL, "Your roles in Teleport do not permit you"),
        ("W0WANDA0001", "No Teleport user has your Slack user id W0WANDA0001"),
        ("U0FOREIGN01", "another company's Slack workspace"),
        ("U0TWIN00001", "2 Teleport users have your Slack user id"),
        ("U0GUEST0001", "No Teleport user has your Slack user id"),
        (BOB, "Your Teleport user is locked"),
    ] {
        click(&world, person, &message, APPROVE);
        is_told(&world, person, words).await;
        assert_eq!(told(&world, person).len(), 1, "once");
    }
    assert_eq!(reviews(&world, &id).len(), 0);
    world.end(worker).await;
}

#[tokio::test]
async fn an_address_counts_only_where_it_is_permitted_and_confirmed() {
    let (world, worker) = World::start_with(|setup| {
        reviewing_with(setup, "allow_email_username_match = true\nreason = \"never\"");
        for user in &mut setup.cluster.users {
            // Carol has no trait; Bob's says that he is another Slack user than the one with his address.
            user.traits.retain(|_, ids| !ids.iter().any(|id| id.contains("CAROL")));
            for ids in user.traits.values_mut() {
                ids.iter_mut().filter(|id| id.contains("BOB")).for_each(|id| "U0THEREALBOB".clone_into(id));
            }
        }
        setup.cluster.users.push(User::new("guest@partner.example", &["reviewer"]));
    })
    .await;
    connected(&world, 1).await;
    world.slack().invite(CHANNEL, "U0GUEST0001");
    let (id, message) = asked(&world).await;
    assert_eq!(buttons(&message), [APPROVE, DENY]);
    click(&world, BOB, &message, APPROVE);
    is_told(&world, BOB, "tied to another Slack user").await;
    click(&world, "U0GUEST0001", &message, APPROVE);
    is_told(&world, "U0GUEST0001", "Guests of this Slack workspace").await;
    assert_eq!(reviews(&world, &id).len(), 0);
    click(&world, CAROL, &message, DENY);
    assert_eq!(reviewed(&world, &id, 1).await[0].author, CAROL);
    world.closed(&id, "DENIED").await;
    world.end(worker).await;
}

#[tokio::test]
async fn a_click_while_teleport_is_away_is_said_to_be_not_recorded_at_once() {
    let (world, worker) = start().await;
    let (id, message) = asked(&world).await;
    world.cluster.stop().await;
    click(&world, BOB, &message, APPROVE);
    let soon = world.until_within(SOON, "Bob is told", |world| {
        told(world, BOB).iter().any(|text| text.contains("was not recorded: Teleport does not answer"))
    });
    soon.await;
    world.cluster.resume().await.unwrap();
    worker.said_times("Connected to Teleport", 2).await;
    click(&world, BOB, &message, APPROVE);
    reviewed(&world, &id, 1).await;
    world.closed(&id, "APPROVED").await;
    world.end(worker).await;
}

#[tokio::test]
async fn a_slow_teleport_holds_no_click_up_and_the_outcome_is_told() {
    let (world, worker) = start().await;
    let (id, message) = asked(&world).await;
    world.cluster.inject(Fault::once("SubmitAccessReview", Effect::Slow { millis: 4_000 })).unwrap();
    click(&world, BOB, &message, APPROVE);
    is_told(&world, BOB, "Your review is recorded in Teleport: you approved this request").await;
    reviewed(&world, &id, 1).await;
    let took = world.slack().envelopes()[0].acknowledged_after.unwrap();
    assert!((2_000_000..3_000_000).contains(&took), "acknowledged after {took} µs");
    world.closed(&id, "APPROVED").await;
    world.end(worker).await;
}

#[tokio::test]
async fn an_answer_that_was_lost_makes_one_review() {
    let (world, worker) = start().await;
    let (id, message) = asked(&world).await;
    world.cluster.inject(Fault::once("SubmitAccessReview", Effect::AnswerLost)).unwrap();
    click(&world, BOB, &message, APPROVE);
    reviewed(&world, &id, 1).await;
    worker.said("outcome=\"recorded\"").await;
    world.cluster.inject(Fault::once("SubmitAccessReview", Effect::ResetBefore)).unwrap();
    let (other, message) = asked(&world).await;
    click(&world, BOB, &message, APPROVE);
    reviewed(&world, &other, 1).await;
    worker.said_times("outcome=\"recorded\"", 2).await;
    world.closed(&other, "APPROVED").await;
    world.end(worker).await;
}

#[tokio::test]
async fn an_envelope_twice_and_two_workers_make_one_review() {
    let (world, first) = start().await;
    let second = world.run().await;
    connected(&world, 2).await;
    world.slack().inject(Fault::once("socket", Effect::Duplicate)).unwrap();
    for _ in 0..4 {
        let (id, message) = asked(&world).await;
        click(&world, BOB, &message, APPROVE);
        reviewed(&world, &id, 1).await;
        world.closed(&id, "APPROVED").await;
    }
    first.end().await;
    let (id, message) = asked(&world).await;
    click(&world, BOB, &message, APPROVE);
    reviewed(&world, &id, 1).await;
    world.closed(&id, "APPROVED").await;
    world.end(second).await;
}

#[tokio::test]
async fn a_connection_that_is_about_to_end_is_replaced_before() {
    let (world, worker) = start().await;
    let (id, message) = asked(&world).await;
    world.slack().disconnect_sockets("warning");
    connected(&world, 2).await;
    click(&world, BOB, &message, APPROVE);
    reviewed(&world, &id, 1).await;
    world.closed(&id, "APPROVED").await;
    assert_eq!(worker.count("No connection to Slack's Socket Mode"), 0, "without a gap");
    world.end(worker).await;
}

#[tokio::test]
async fn what_slack_says_and_nobody_understands_harms_no_click() {
    let (world, worker) = start().await;
    let (id, message) = asked(&world).await;
    for frame in ["", "x", "{}", "[1]", r#"{"type":"of_a_newer_slack"}"#, r#"{"type":"disconnect","reason":"new"}"#] {
        world.slack().send_raw_frame(frame);
    }
    world.slack().send_binary_frame(&[0; 100]);
    let huge = json!({"type": "interactive", "envelope_id": "", "payload": {"x": "y".repeat(1 << 20)}});
    world.slack().send_raw_frame(&huge.to_string());
    world.until("it is connected again", |world| world.slack().open_sockets() >= 1).await;
    click(&world, BOB, &message, APPROVE);
    reviewed(&world, &id, 1).await;
    world.closed(&id, "APPROVED").await;
    worker.end().await;
    world.cluster.assert_no_violations();
}

#[tokio::test]
async fn a_new_app_token_is_taken_up_without_a_gap_and_a_wrong_one_is_said() {
    let world = World::new(reviewing).await;
    let file = world.path("app-token");
    crate::support::write_whole(&file, APP_TOKEN);
    let recipients = format!(
        "\"*\" = \"{CHANNEL}\"\n[review]\nenabled = true\napp_token = \"{}\"\nslack_user_id_trait = \"slack_user_id\"",
        file.display()
    );
    world.configure(&recipients);
    let worker = world.run().await;
    connected(&world, 1).await;
    crate::support::write_whole(&file, "xoxb-of-another-kind");
    worker.said("app-level token").await;
    assert!(!worker.log().contains("xoxb-of-another-kind"), "no token is shown");
    let (id, message) = asked(&world).await;
    let other = "xapp-1-A0SIMTELEPORT-another-token";
    world.slack().add_token(Token::app_level(other));
    crate::support::write_whole(&file, other);
    connected(&world, 2).await;
    click(&world, BOB, &message, APPROVE);
    reviewed(&world, &id, 1).await;
    world.closed(&id, "APPROVED").await;
    assert_eq!(worker.count("No connection to Slack's Socket Mode"), 0, "without a gap");
    world.end(worker).await;
}

#[tokio::test]
async fn without_the_right_there_are_no_buttons_and_announcements_go_on() {
    for (role, version, words) in [
        (Role::access_plugin(), None, "submit_for_users"),
        (Role::access_plugin_with_review(), Some("18.10.0"), "18.11"),
    ] {
        let (world, worker) = World::start_with(|setup| {
            reviewing(setup);
            setup.cluster.roles.push(role.clone());
            setup.cluster.users.push(User::new("slack-plugin", &[role.name.as_str()]));
            if let Some(version) = version {
                setup.cluster.version = version.parse().unwrap();
                for role in &mut setup.cluster.roles {
                    role.submit_for_users.clear();
                }
            }
        })
        .await;
        worker.said(words).await;
        let (_, message) = asked(&world).await;
        assert_eq!(buttons(&message), [] as [&str; 0]);
        world.end(worker).await;
    }
}

#[tokio::test]
async fn an_old_screen_and_a_form_after_the_end_are_told_what_became_of_the_request() {
    let (world, worker) = start().await;
    let (id, message) = asked(&world).await;
    click(&world, CAROL, &message, WITH_REASON);
    let (view, _) = form(&world, CAROL).await;
    click(&world, BOB, &message, APPROVE);
    world.closed(&id, "APPROVED").await;
    world.slack().click_stale(CAROL, &message.channel, &message.ts, APPROVE, 2).unwrap();
    is_told(&world, CAROL, "already been approved").await;
    submit(&world, &view, "too late", Some("deny"));
    world
        .until("the form says so", |world| {
            world.slack().envelopes().iter().any(|one| {
                one.answer.as_ref().is_some_and(|answer| answer.to_string().contains("already been approved"))
            })
        })
        .await;
    assert_eq!(reviews(&world, &id).len(), 1);
    world.end(worker).await;
}

#[tokio::test]
async fn a_person_is_told_directly_where_slack_takes_no_ephemeral_message() {
    let (world, worker) = start().await;
    let (id, message) = asked(&world).await;
    click(&world, BOB, &message, DENY);
    let (view, _) = form(&world, BOB).await;
    // A form has no response URL; it closes when Teleport is slow.
    world.cluster.inject(Fault::once("SubmitAccessReview", Effect::Slow { millis: 3_000 })).unwrap();
    world.slack().inject(Fault::once("chat.postEphemeral", Effect::RateLimited { retry_after: Some(1) })).unwrap();
    submit(&world, &view, "no", None);
    is_told(&world, BOB, "Your review is recorded in Teleport: you denied this request").await;
    assert_eq!(world.slack().direct_messages(BOB).len(), 1);
    reviewed(&world, &id, 1).await;
    world.closed(&id, "DENIED").await;
    world.end(worker).await;
}

#[tokio::test]
async fn a_form_that_slack_does_not_show_is_said() {
    let (world, worker) = start().await;
    let (id, message) = asked(&world).await;
    let expired = Effect::Error { code: "expired_trigger_id".to_owned(), message: String::new() };
    world.slack().inject(Fault::once("views.open", expired)).unwrap();
    click(&world, BOB, &message, DENY);
    is_told(&world, BOB, "the form for your reason could not be shown").await;
    click(&world, BOB, &message, DENY);
    let (view, _) = form(&world, BOB).await;
    submit(&world, &view, "no", None);
    reviewed(&world, &id, 1).await;
    world.closed(&id, "DENIED").await;
    world.end(worker).await;
}

#[tokio::test]
async fn a_click_while_the_worker_ends_is_finished() {
    let (world, worker) = start().await;
    let (id, message) = asked(&world).await;
    world.cluster.inject(Fault::once("SubmitAccessReview", Effect::Slow { millis: 1_500 })).unwrap();
    click(&world, BOB, &message, APPROVE);
    world
        .until("the submission is under way", |world| {
            world.cluster.journal().iter().any(|call| call.method == "SubmitAccessReview")
        })
        .await;
    worker.end().await;
    reviewed(&world, &id, 1).await;
    world.assert_no_violations();
}
