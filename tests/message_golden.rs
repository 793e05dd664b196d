//! The JSON of messages, compared with files that a person has looked at. After a wanted change:
//! `UPDATE_GOLDEN=1 cargo test --test message_golden`, then read the difference.

#![allow(
    clippy::unwrap_used,
    clippy::unnecessary_wraps,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use slack_access_operator::slack::message::{
    Content, Notification, Review, RoleLogins, State, Thresholds, render, render_plain, render_reply,
};

const ID: &str = "0192f0c1-7a53-7c1e-9d2a-3f4b5c6d7e8f";

fn role(role: &str, logins: Option<&[&str]>) -> RoleLogins {
    let logins = logins.map(|logins| logins.iter().map(|&login| login.to_owned()).collect());
    RoleLogins { role: role.to_owned(), logins }
}

fn at(time: &str) -> Option<jiff::Timestamp> {
    Some(time.parse().unwrap())
}

fn pending() -> Notification {
    Notification {
        request_id: ID.to_owned(),
        cluster: "teleport.example.com".to_owned(),
        user: "alice@example.com".to_owned(),
        roles: vec![role("editor", None), role("dba", None)],
        reason: "Rotate the certificates of db-1 & db-2, see <OPS-1234>".to_owned(),
        created: at("2026-11-23T09:30:00Z"),
        request_expires: at("2026-11-23T10:30:00Z"),
        access_expires: at("2026-11-23T17:30:00Z"),
        link: Some(format!("https://teleport.example.com/web/requests/{ID}")),
        ..Notification::default()
    }
}

fn reviews() -> Vec<Review> {
    vec![
        Review {
            author: "bob@example.com".to_owned(),
            proposed: State::Approved,
            reason: "Planned maintenance".to_owned(),
            at: at("2026-11-23T09:41:00Z"),
        },
        Review { author: "carol@example.com".to_owned(), proposed: State::Denied, ..Review::default() },
    ]
}

fn check(name: &str, content: &Content) {
    let metadata = content
        .metadata
        .as_ref()
        .map(|metadata| json!({"event_type": metadata.event_type, "event_payload": metadata.payload}));
    let json = json!({"text": content.text, "blocks": content.blocks, "metadata": metadata});
    let json = serde_json::to_string_pretty(&json).unwrap() + "\n";
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/messages").join(format!("{name}.json"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, json).unwrap();
        return;
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        golden == json,
        "{name} has changed; if that is wanted: UPDATE_GOLDEN=1 cargo test --test message_golden\n{json}"
    );
}

#[test]
fn a_pending_request() {
    check("pending", &render(&pending(), "access-requests"));
}

#[test]
fn a_pending_request_without_web_ui_tells_the_commands() {
    check("pending_commands", &render(&Notification { link: None, ..pending() }, "access-requests"));
}

#[test]
fn a_request_for_resources_with_logins_reviewers_and_thresholds() {
    let notification = Notification {
        roles: vec![role("node-access", Some(&["ubuntu", "root"])), role("auditor", Some(&[])), role("dba", None)],
        resources: vec![
            "/teleport.example.com/node/5b1c".to_owned(),
            "/teleport.example.com/db/orders".to_owned(),
            "/teleport.example.com/node/5b1c".to_owned(),
        ],
        suggested_reviewers: vec!["carol@example.com".to_owned(), "bob@example.com".to_owned()],
        thresholds: Some(Thresholds { approve: 2, deny: 1 }),
        max_duration: Some(Duration::from_hours(36)),
        access_expires: None,
        ..pending()
    };
    check("pending_resources", &render(&notification, "dba-oncall"));
}

#[test]
fn a_request_under_review() {
    let notification =
        Notification { reviews: reviews(), thresholds: Some(Thresholds { approve: 2, deny: 2 }), ..pending() };
    check("reviewed", &render(&notification, "access-requests"));
}

#[test]
fn a_resolved_request_says_who_decided_why_and_when() {
    let resolved = |state, reason: &str| Notification {
        state,
        resolved_by: "bob@example.com".to_owned(),
        resolve_reason: reason.to_owned(),
        resolved_at: at("2026-11-23T09:42:00Z"),
        reviews: reviews()[..1].to_vec(),
        ..pending()
    };
    check("approved", &render(&resolved(State::Approved, "Until the evening"), "access-requests"));
    check("denied", &render(&resolved(State::Denied, "Not during the freeze\nAsk again on Monday"), "access-requests"));
    let promoted = Notification { long_term: true, ..resolved(State::Promoted, "") };
    check("promoted", &render(&promoted, "access-requests"));
}

#[test]
fn an_expired_and_a_deleted_request_are_shown_as_such() {
    check("expired", &render(&Notification { state: State::Expired, ..pending() }, "access-requests"));
    check("deleted", &render(&Notification { state: State::Deleted, ..pending() }, "access-requests"));
}

#[test]
fn a_request_of_which_little_is_known() {
    let notification = Notification { request_id: ID.to_owned(), user: "alice".to_owned(), ..Notification::default() };
    check("bare", &render(&notification, "alice@example.com"));
}

#[test]
fn a_message_in_text_alone() {
    let notification = Notification { resources: vec!["/teleport.example.com/db/orders".to_owned()], ..pending() };
    check("plain", &render_plain(&notification, "access-requests"));
    check("plain_commands", &render_plain(&Notification { link: None, ..pending() }, "access-requests"));
}

#[test]
fn a_reply_about_a_review() {
    let reviews = reviews();
    check("reply_approved", &render_reply(ID, 0, &reviews[0]));
    check("reply_denied", &render_reply(ID, 1, &reviews[1]));
}

#[test]
fn the_order_in_which_teleport_lists_things_does_not_matter() {
    let mut other = pending();
    other.roles.reverse();
    other.roles.push(role("dba", None));
    assert_eq!(render(&pending(), "x"), render(&other, "x"));
    assert_eq!(render(&pending(), "x").blocks[0]["type"], Value::from("header"));
}
