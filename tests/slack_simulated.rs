//! The Slack client and its messages against the simulated workspace, which refuses, limits and warns as Slack does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

use std::time::{Duration, Instant};

use simulators::faults::{Effect, Fault};
use simulators::slack::{
    BOT_TOKEN, BOT_USER, Limits, OrphanReply, Server, Settings as Switches, Token as Simulated, default_workspace,
    scopes,
};
use slack_access_operator::slack::api::{Client, Post, Settings};
use slack_access_operator::slack::error::{Class, Error};
use slack_access_operator::slack::message::{
    Content, Metadata, Notification, Review, RoleLogins, State, reaction_for, render, render_plain, render_reply,
};
use slack_access_operator::slack::rate_limit::RateLimiter;
use slack_access_operator::slack::token::Token;
use slack_access_operator::slack::{MessageRef, method};

const CHANNEL: &str = "C0ACCESSREQ";
const LINK: &str = "https://teleport.example.com/web/requests/id-1";

async fn start_with(change: impl FnOnce(&mut Switches)) -> (Server, Client) {
    let server = Server::start(default_workspace().configure(change)).await.unwrap();
    let settings = Settings { api_url: server.url(), ..Settings::new(Token::new(BOT_TOKEN)) };
    (server, Client::new(&settings).unwrap())
}

async fn start() -> (Server, Client) {
    start_with(|switches| switches.limits = Limits::off()).await
}

async fn stop(server: Server) {
    server.shutdown().await;
    server.assert_no_violations();
}

fn notification(state: State) -> Notification {
    Notification {
        request_id: "id-1".to_owned(),
        user: "alice@example.com".to_owned(),
        roles: vec![RoleLogins { role: "dba".to_owned(), logins: Some(vec!["root".to_owned()]) }],
        reason: "Please, <!channel> & `friends`".to_owned(),
        created: Some("2026-11-23T09:30:00Z".parse().unwrap()),
        state,
        link: Some(LINK.to_owned()),
        ..Notification::default()
    }
}

fn post(channel: &str, content: Content) -> Post {
    Post { channel: channel.to_owned(), content, thread_ts: None }
}

fn pending(channel: &str) -> Post {
    post(channel, render(&notification(State::Pending), channel))
}

async fn refused(client: &Client, channel: &str) -> Error {
    client.post_message(&pending(channel)).await.unwrap_err()
}

#[tokio::test]
async fn a_request_is_announced_reviewed_and_resolved() {
    let (server, client) = start().await;
    let message = client.post_message(&pending("#access-requests")).await.unwrap().message;
    assert_eq!(message.channel, CHANNEL, "the name became an id");

    let review = Review { author: "bob".to_owned(), proposed: State::Approved, reason: "ok".to_owned(), at: None };
    let content = render_reply("id-1", 0, &review);
    let reply = Post { thread_ts: Some(message.ts.clone()), ..post(&message.channel, content.clone()) };
    let posted = client.post_message(&reply).await.unwrap();
    assert!(!posted.strayed);
    assert_eq!(client.find_replies(&message, content.metadata.as_ref().unwrap()).await.unwrap(), [posted.message]);

    client.update_message(&message, &render(&notification(State::Approved), "access-requests")).await.unwrap();
    for _ in 0..2 {
        client.add_reaction(&message, reaction_for(State::Approved).unwrap()).await.unwrap();
    }
    let shown = server.workspace().messages(CHANNEL);
    assert_eq!(shown.len(), 2);
    assert_eq!(shown[0].blocks[0]["text"]["text"], "✅ Access request approved");
    assert_eq!(shown[0].reactions[0].name, "white_check_mark");
    server.workspace().effects(CHANNEL, &message.ts).unwrap().assert_harmless(&["teleport.example.com"]);
    stop(server).await;
}

#[tokio::test]
async fn a_person_gets_a_direct_message_that_can_be_updated() {
    let (server, client) = start().await;
    let user = client.lookup_user_by_email("alice@example.com").await.unwrap();
    let message = client.post_message(&pending(user.as_str())).await.unwrap().message;
    assert!(message.channel.starts_with('D'));
    client.update_message(&message, &render(&notification(State::Denied), "alice@example.com")).await.unwrap();
    assert_eq!(server.workspace().direct_messages("alice@example.com")[0].updates, 1);
    stop(server).await;
}

#[tokio::test]
async fn a_direct_message_is_looked_for_under_the_id_that_slack_gives_it() {
    let (server, client) = start().await;
    server.workspace().set_scopes(BOT_TOKEN, &[scopes::NOTIFY_AND_LOOK, &["im:write"]].concat());
    let user = client.lookup_user_by_email("ALICE@example.com").await.unwrap();
    let since = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(1);
    let wanted = Metadata::of_request("id-1", user.as_str());
    let channel = client.open_dm(&user).await.unwrap();
    assert_eq!(client.find_posted(&channel, since, &wanted).await.unwrap(), []);
    let posted = client.post_message(&pending(user.as_str())).await.unwrap().message;
    assert_eq!(client.find_posted(&channel, since, &wanted).await.unwrap(), [posted]);
    stop(server).await;
}

#[tokio::test]
async fn a_channel_tells_whether_the_bot_can_post_there() {
    let (server, client) = start().await;
    let (inside, outside) =
        (client.channel_info(CHANNEL).await.unwrap(), client.channel_info("C0NOBOTHERE").await.unwrap());
    assert_eq!((&*inside.name, inside.is_member, outside.is_member), ("access-requests", true, false));
    assert!(client.channel_info("C0ARCHIVED1").await.unwrap().is_archived);
    assert_eq!(client.channel_info("C0SECRET001").await.unwrap_err().class, Class::Config);
    stop(server).await;
}

#[tokio::test]
async fn slack_takes_every_kind_of_message() {
    let (server, client) = start().await;
    for state in [State::Pending, State::Approved, State::Denied, State::Promoted, State::Expired, State::Deleted] {
        client.post_message(&post(CHANNEL, render(&notification(state), "x"))).await.unwrap();
        client.post_message(&post(CHANNEL, render_plain(&notification(state), "x"))).await.unwrap();
    }
    for message in server.workspace().messages(CHANNEL) {
        server.workspace().effects(CHANNEL, &message.ts).unwrap().assert_harmless(&["teleport.example.com"]);
    }
    stop(server).await;
}

#[tokio::test]
async fn hostile_requests_neither_ping_nor_link_nor_fail() {
    let (server, client) = start().await;
    for attack in [
        "<!channel> @here <@U0ALICE0001> #general",
        "<https://evil.example|https://teleport.example.com> https://evil.example/x",
        "``` *✅ Approved* ` <!here>",
        "\u{202e}\0\u{200b}",
        &"<&>`😀\n".repeat(20_000),
    ] {
        let text = || attack.to_owned();
        let hostile = Notification {
            request_id: text(),
            cluster: text(),
            user: text(),
            roles: vec![RoleLogins { role: text(), logins: Some(vec![text()]) }; 3],
            resources: (0..1000).map(|n| format!("{n}{attack:.300}")).collect(),
            reason: text(),
            suggested_reviewers: vec![text()],
            resolved_by: text(),
            resolve_reason: text(),
            reviews: vec![Review { author: text(), reason: text(), ..Review::default() }; 20],
            ..notification(State::Denied)
        };
        let message = client.post_message(&post(CHANNEL, render(&hostile, attack))).await.unwrap().message;
        client.update_message(&message, &render(&hostile, attack)).await.unwrap();
        client.update_message(&message, &render_plain(&hostile, attack)).await.unwrap();
        client.update_message(&message, &render(&hostile, attack)).await.unwrap();
        let plain = client.post_message(&post(CHANNEL, render_plain(&hostile, attack))).await.unwrap().message;
        let reply = render_reply(attack, 0, &hostile.reviews[0]);
        let reply = Post { thread_ts: Some(message.ts.clone()), ..post(CHANNEL, reply) };
        let reply = client.post_message(&reply).await.unwrap().message;
        for message in [message, plain, reply] {
            server.workspace().effects(CHANNEL, &message.ts).unwrap().assert_harmless(&["teleport.example.com"]);
        }
    }
    stop(server).await;
}

#[tokio::test]
async fn every_place_that_cannot_be_written_to_says_why() {
    let (server, client) = start().await;
    for (channel, class, remedy) in [
        ("C0NOBOTHERE", Class::Config, "invite @teleport to C0NOBOTHERE"),
        ("C0SECRET001", Class::Config, "invite the app there"),
        ("C0ARCHIVED1", Class::Config, "unarchive C0ARCHIVED1"),
        ("U0DAVE00001", Class::Recipient, "U0DAVE00001 is an active member"),
    ] {
        let error = refused(&client, channel).await;
        assert_eq!(error.class, class, "{error}");
        assert!(error.remedy().contains(remedy), "{}", error.remedy());
    }
    let error = client.lookup_user_by_email("dave@example.com").await.unwrap_err();
    assert_eq!(error.class, Class::Recipient);
    server.workspace().configure_app(|app| app.messages_tab = false);
    assert!(refused(&client, "U0ALICE0001").await.remedy().contains("Messages tab"));
}

#[tokio::test]
async fn a_token_that_stops_working_is_told_apart_from_a_scope_that_is_missing() {
    let (server, client) = start().await;
    let account = client.auth_test().await.unwrap();
    assert_eq!((&*account.user, &*account.user_id), ("teleport", BOT_USER));
    assert!(account.scopes.iter().any(|scope| scope == "users:read.email"), "{:?}", account.scopes);

    server.workspace().set_scopes(BOT_TOKEN, &["chat:write"]);
    let error = client.lookup_user_by_email("alice@example.com").await.unwrap_err();
    assert_eq!(
        (error.class, error.remedy().as_str()),
        (Class::Auth, "add the scope users:read.email and reinstall the app")
    );

    server.workspace().revoke_token(BOT_TOKEN);
    assert_eq!(refused(&client, CHANNEL).await.class, Class::Auth);
    server.workspace().add_token(Simulated::bot("xoxb-new", scopes::NOTIFY));
    client.set_token(Token::new("xoxb-new"));
    client.post_message(&pending(CHANNEL)).await.unwrap();
}

#[tokio::test]
async fn a_post_whose_answer_was_lost_is_found_again() {
    let (server, client) = start().await;
    let since = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(1);
    for (effect, is_there) in [
        (Effect::AnswerLost, true),
        (Effect::Malformed, true),
        (Effect::ResetBefore, false),
        (Effect::ServerError { status: 502 }, false),
        (Effect::ServerErrorAfter { status: 504 }, true),
    ] {
        let request = format!("{effect:?}");
        let content = render(&Notification { request_id: request.clone(), ..notification(State::Pending) }, CHANNEL);
        server.workspace().inject(Fault::once(method::POST_MESSAGE, effect)).unwrap();
        let error = client.post_message(&post(CHANNEL, content.clone())).await.unwrap_err();
        assert_eq!(error.class, Class::Ambiguous, "{request}: {error}");
        let found = client.find_posted(CHANNEL, since, &Metadata::of_request(&request, CHANNEL)).await.unwrap();
        assert_eq!(!found.is_empty(), is_there, "{request}");
    }
    stop(server).await;
}

#[tokio::test]
async fn a_message_is_found_through_short_and_empty_pages() {
    let (server, client) = start_with(|switches| {
        switches.limits = Limits::off();
        switches.short_pages = true;
    })
    .await;
    let first = client.post_message(&pending(CHANNEL)).await.unwrap().message;
    for n in 0..20 {
        let other = Notification { request_id: n.to_string(), ..notification(State::Pending) };
        client.post_message(&post(CHANNEL, render(&other, CHANNEL))).await.unwrap();
    }
    let since = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(1);
    let found = client.find_posted(CHANNEL, since, &Metadata::of_request("id-1", CHANNEL)).await.unwrap();
    assert_eq!(found, [first]);
    let channel = client.resolve_channel_name("security-private").await.unwrap().unwrap();
    assert!(channel.is_private && channel.is_member);
    assert_eq!(client.resolve_channel_name("no-such-channel").await.unwrap(), None);
    stop(server).await;
}

#[tokio::test]
async fn a_reply_to_a_deleted_message_is_noticed_in_each_way_that_slack_may_treat_it() {
    let (server, client) = start().await;
    for (behaviour, strayed) in
        [(OrphanReply::TopLevel, true), (OrphanReply::ThreadNotFound, false), (OrphanReply::CannotReply, false)]
    {
        server.workspace().configure(|switches| switches.orphan_reply = behaviour);
        let message = client.post_message(&pending(CHANNEL)).await.unwrap().message;
        server.workspace().delete_message(CHANNEL, &message.ts);
        let content = render_reply("id-1", 0, &Review::default());
        let reply = Post { thread_ts: Some(message.ts.clone()), ..post(CHANNEL, content) };
        match client.post_message(&reply).await {
            Ok(posted) => {
                assert!(strayed && posted.strayed);
                client.delete_message(&posted.message).await.unwrap();
                client.delete_message(&posted.message).await.unwrap();
            }
            Err(error) => assert_eq!((strayed, error.class), (false, Class::Forgotten), "{error}"),
        }
        let update = client.update_message(&message, &render(&notification(State::Denied), "x")).await;
        assert_eq!(update.unwrap_err().class, Class::Forgotten);
    }
}

#[tokio::test]
async fn a_burst_that_meets_the_limit_is_paced_afterwards_without_another_refusal() {
    let (server, client) = start_with(|_| {}).await;
    let (limiter, mut refusals) = (RateLimiter::default(), 0);
    let started = Instant::now();
    for _ in 0..4 {
        // Until it is through: Slack may refuse the burst once.
        loop {
            let slot = limiter.acquire([CHANNEL]).await;
            slot.begin().await.unwrap();
            let result = client.post_message(&pending(CHANNEL)).await;
            slot.finish(&result);
            match result {
                Ok(_) => break,
                Err(error) => {
                    assert!(error.is_rate_limit(), "{error}");
                    refusals += 1;
                }
            }
        }
    }
    assert!(refusals <= 1, "{refusals} refusals");
    assert!(started.elapsed() >= Duration::from_secs(2));
    assert_eq!(server.workspace().messages(CHANNEL).len(), 4);
    stop(server).await;
}

#[tokio::test]
async fn slack_coming_back_from_an_outage_is_found_working_by_the_same_client() {
    let (server, client) = start_with(|switches| {
        switches.limits = Limits::off();
        switches.requests_per_connection = Some(1);
    })
    .await;
    server.workspace().inject(Fault::times("*", 2, Effect::ServerError { status: 503 })).unwrap();
    let message = MessageRef { channel: CHANNEL.to_owned(), ts: "1700000000.000100".to_owned() };
    let error = client.update_message(&message, &render(&notification(State::Denied), "x")).await.unwrap_err();
    assert_eq!(error.class, Class::Transient);
    assert_eq!(client.auth_test().await.unwrap_err().class, Class::Transient);
    for _ in 0..5 {
        client.post_message(&pending(CHANNEL)).await.unwrap();
    }
    stop(server).await;
}
