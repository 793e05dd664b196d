//! Where recipients' messages arrive, asked of the simulated Slack.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::join_all;
use simulators::slack::{BOT_TOKEN, Channel, Limits, Server, default_workspace, scopes};
use slack_access_operator::slack::address_book::{Address, AddressBook, Resolved};
use slack_access_operator::slack::api::{Client, Settings};
use slack_access_operator::slack::method;
use slack_access_operator::slack::rate_limit::RateLimiter;
use slack_access_operator::slack::token::Token;

const CHANNEL: &str = "C0ACCESSREQ";

async fn start() -> (Server, Client, AddressBook) {
    let server = Server::start(default_workspace().limits(Limits::off())).await.unwrap();
    server.workspace().set_scopes(BOT_TOKEN, scopes::NOTIFY_AND_LOOK);
    let settings = Settings { api_url: server.url(), ..Settings::new(Token::new(BOT_TOKEN)) };
    let client = Client::new(&settings).unwrap();
    let book = AddressBook::new(client.clone(), RateLimiter::default());
    (server, client, book)
}

fn email(address: &str) -> Address {
    Address::Email(address.to_owned())
}

fn name(name: &str) -> Address {
    Address::ChannelName(name.to_owned())
}

async fn place(book: &AddressBook, address: &Address) -> Vec<String> {
    match book.resolve("request", address).await {
        Resolved::Place(ids) => ids,
        other => panic!("{address:?}: {other:?}"),
    }
}

#[tokio::test]
async fn a_person_is_one_place_by_address_by_user_id_and_by_direct_message() {
    let (server, _, book) = start().await;
    let by_email = place(&book, &email("Alice@example.com")).await;
    let [user, conversation] = by_email.as_slice() else { panic!("{by_email:?}") };
    assert!(user.starts_with('U') && conversation.starts_with('D'));
    assert_eq!(place(&book, &Address::User(user.clone())).await, by_email);
    assert_eq!(place(&book, &Address::DirectMessage(conversation.clone())).await, by_email[1..]);
    assert_eq!(book.known(&email("alice@example.com")), by_email);
    assert_eq!(server.workspace().calls(method::LOOKUP_BY_EMAIL).len(), 1, "the answer is kept");
    assert_eq!(server.workspace().calls(method::OPEN).len(), 1, "the answer is kept");
}

#[tokio::test]
async fn without_the_scope_a_person_is_a_user_whose_conversation_a_post_shows() {
    let (server, _, book) = start().await;
    server.workspace().set_scopes(BOT_TOKEN, scopes::NOTIFY);
    let alice = email("alice@example.com");
    let ids = place(&book, &alice).await;
    assert_eq!(ids.len(), 1);
    assert!(server.workspace().calls(method::OPEN).is_empty());
    book.learn(&alice, "D1");
    assert_eq!(place(&book, &alice).await, [ids[0].clone(), "D1".to_owned()]);
}

#[tokio::test]
async fn an_unknown_person_is_a_failure_that_is_asked_for_again_once_in_doubt() {
    let (server, _, book) = start().await;
    let nobody = email("nobody@example.com");
    for _ in 0..2 {
        let Resolved::Failed(error) = book.resolve("request", &nobody).await else { panic!("found") };
        assert_eq!(error.code, "users_not_found");
    }
    assert_eq!(server.workspace().calls(method::LOOKUP_BY_EMAIL).len(), 1);
    book.doubt(&nobody);
    book.resolve("request", &nobody).await;
    assert_eq!(server.workspace().calls(method::LOOKUP_BY_EMAIL).len(), 2);
}

#[tokio::test]
async fn many_names_take_one_reading_of_the_list_and_a_name_equals_its_id() {
    let (server, _, book) = start().await;
    for number in 0..20 {
        server.workspace().add_channel(Channel::public(&format!("C0MANY{number:04}"), &format!("many-{number}")));
    }
    let names: Vec<_> = (0..20).map(|number| name(&format!("many-{number}"))).collect();
    let found = join_all(names.iter().map(|name| place(&book, name))).await;
    assert_eq!(found[7], place(&book, &Address::Channel("C0MANY0007".to_owned())).await);
    assert!(server.workspace().calls(method::LIST).len() <= 2, "{}", server.workspace().calls(method::LIST).len());
}

#[tokio::test]
async fn a_name_that_the_list_does_not_show_is_unknowable_until_a_post_shows_its_id() {
    let (server, _, book) = start().await;
    for _ in 0..2 {
        assert_eq!(book.resolve("request", &name("never-heard-of")).await, Resolved::Unknowable);
    }
    assert_eq!(server.workspace().calls(method::LIST).len(), 1, "the list is not read again for each request");
    book.learn(&name("never-heard-of"), "C0SECRET001");
    assert_eq!(place(&book, &name("never-heard-of")).await, ["C0SECRET001"]);
}

#[tokio::test]
async fn a_name_is_unknowable_where_the_scope_for_the_list_is_missing() {
    let server = Server::start(default_workspace().limits(Limits::off())).await.unwrap();
    server.workspace().set_scopes(BOT_TOKEN, scopes::NOTIFY);
    let settings = Settings { api_url: server.url(), ..Settings::new(Token::new(BOT_TOKEN)) };
    let book = AddressBook::new(Client::new(&settings).unwrap(), RateLimiter::default());
    assert_eq!(book.resolve("request", &name("access-requests")).await, Resolved::Unknowable);
}

#[tokio::test]
async fn a_name_that_has_moved_stays_with_its_channel_and_is_reported() {
    let (server, client, book) = start().await;
    assert_eq!(place(&book, &name("access-requests")).await, [CHANNEL]);
    server.workspace().rename(CHANNEL, "old-requests");
    server.workspace().add_channel(Channel::public("C0NEWCOMER1", "access-requests"));
    for id in [CHANNEL, "C0NEWCOMER1"] {
        book.observe(&client.channel_info(id).await.unwrap());
    }
    assert_eq!(place(&book, &name("access-requests")).await, [CHANNEL]);
    let moved = book.moved();
    assert_eq!((moved.len(), moved[0].taken_by.as_deref()), (1, Some("C0NEWCOMER1")));
    assert_eq!(moved[0].now_called.as_deref(), Some("old-requests"));
    book.forget_people();
    assert_eq!(book.moved().len(), 1, "a new token of the same workspace decides nothing");
    book.clear();
    assert_eq!(place(&book, &name("access-requests")).await, ["C0NEWCOMER1"], "a changed configuration does");
}

#[tokio::test]
async fn two_thousand_reviewers_of_one_request_do_not_delay_another() {
    let (_server, _, book) = start().await;
    let done = AtomicUsize::new(0);
    let reviewers: Vec<_> = (0..2_000).map(|number| email(&format!("reviewer{number}@example.com"))).collect();
    let large = join_all(reviewers.iter().map(|reviewer| {
        book.resolve("large", reviewer).inspect(|_| {
            done.fetch_add(1, Ordering::SeqCst);
        })
    }));
    let small = async {
        while done.load(Ordering::SeqCst) < 20 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        place(&book, &email("alice@example.com")).await;
        done.load(Ordering::SeqCst)
    };
    let mut large = std::pin::pin!(large);
    let before = tokio::select! {
        before = small => before,
        _ = &mut large => panic!("the small request was served last"),
    };
    assert!(before < 60, "{before} look-ups of the large request came first");
}
