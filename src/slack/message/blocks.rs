//! The request's message as Block Kit.

use serde_json::{Value, json};

use crate::slack::message::{Notification, SECTION, State, parts, review};
use crate::slack::text;

// Shares of `super::TOTAL`; with five fields, headline and separators they stay below it.
const ROLES: usize = 1_800;
const RESOURCES: usize = 1_600;
const REASON: usize = 2_200;
const REVIEWS: usize = 1_800;
const RESOLUTION: usize = 1_000;
const SUGGESTED: usize = 400;
const LOGINS: usize = 600;

pub(super) fn message(notification: &Notification) -> Value {
    let mut blocks = vec![
        header(notification),
        json!({"type": "section", "fields": fields(notification).iter().map(|field| mrkdwn(field)).collect::<Vec<_>>()}),
    ];
    let sections = [
        resolution(notification),
        roles(notification),
        resources(notification),
        reason(notification),
        suggested(notification),
        reviews(notification),
        next_step(notification),
    ];
    blocks.extend(sections.into_iter().flatten().map(|text| section(&text)));
    blocks.extend(buttons(notification));
    blocks.push(json!({
        "type": "context",
        "elements": [mrkdwn(&format!("Request {}", parts::name(&notification.request_id)))],
    }));
    Value::Array(blocks)
}

/// An ended request has none, and neither has one that is decided elsewhere.
fn buttons(notification: &Notification) -> Option<Value> {
    let is_open = notification.state == State::Pending && !notification.long_term;
    notification.review.filter(|_| is_open).and_then(|buttons| review::buttons(&notification.request_id, buttons))
}

/// A section that shows its text as it is: no names and addresses made into links.
pub(super) fn section(text: &str) -> Value {
    json!({"type": "section", "text": mrkdwn(text)})
}

fn mrkdwn(text: &str) -> Value {
    debug_assert!(text::len(text) <= SECTION, "{} units", text::len(text));
    json!({"type": "mrkdwn", "text": text, "verbatim": true})
}

fn header(notification: &Notification) -> Value {
    let state = notification.state;
    let text = format!("{} {} {}", state.emoji(), parts::kind(notification), state.phrase());
    json!({"type": "header", "text": {"type": "plain_text", "text": text, "emoji": true}})
}

fn fields(notification: &Notification) -> Vec<String> {
    let mut fields = vec![format!("*User*\n{}", parts::name(&notification.user))];
    let mut add = |title: &str, value: Option<String>| fields.extend(value.map(|value| format!("*{title}*\n{value}")));
    let is_pending = notification.state == State::Pending;
    add("Cluster", (!text::is_blank(&notification.cluster)).then(|| parts::name(&notification.cluster)));
    add("Requested", notification.created.map(parts::date));
    add("Review until", notification.request_expires.filter(|_| is_pending).map(parts::date));
    match (notification.access_expires, notification.max_duration) {
        (Some(at), _) => add("Access until", Some(parts::date(at))),
        (None, length) => add("Access for", length.map(parts::duration)),
    }
    fields
}

fn roles(notification: &Notification) -> Option<String> {
    let roles = parts::roles(notification);
    if roles.is_empty() {
        return None;
    }
    let title = if roles.len() == 1 { "*Role*" } else { "*Roles*" };
    if roles.values().all(Option::is_none) {
        return Some(format!("{title}\n{}", text::list(roles.into_keys().map(parts::name), ", ", ROLES)));
    }
    let lines = roles.into_iter().map(|(role, logins)| match logins {
        None => format!("• {}", parts::name(role)),
        Some(logins) if logins.is_empty() => format!("• {}, no logins", parts::name(role)),
        Some(logins) => {
            format!("• {} as {}", parts::name(role), text::list(parts::names(logins), ", ", LOGINS))
        }
    });
    Some(format!("{title} and logins\n{}", text::list(lines, "\n", ROLES)))
}

fn resources(notification: &Notification) -> Option<String> {
    let names = parts::names(notification.resources.iter().map(String::as_str));
    let title = if names.len() == 1 { "*Resource*" } else { "*Resources*" };
    let has_names = names.len() > 0;
    let lines = names.map(|name| format!("• {name}"));
    has_names.then(|| format!("{title}\n{}", text::list(lines, "\n", RESOURCES)))
}

fn reason(notification: &Notification) -> Option<String> {
    let has_reason = !text::is_blank(&notification.reason);
    has_reason.then(|| format!("*Reason*\n{}", text::block(&notification.reason, REASON)))
}

fn suggested(notification: &Notification) -> Option<String> {
    let names = parts::names(notification.suggested_reviewers.iter().map(String::as_str));
    let is_shown = notification.state == State::Pending && names.len() > 0;
    is_shown.then(|| format!("*Suggested reviewers*\n{}", text::list(names, ", ", SUGGESTED)))
}

fn reviews(notification: &Notification) -> Option<String> {
    let progress = parts::progress(notification);
    if notification.reviews.is_empty() && progress.is_empty() {
        return None;
    }
    let lines = match &*notification.reviews {
        [] => "None yet".to_owned(),
        reviews => text::list(reviews.iter().map(parts::review), "\n", REVIEWS),
    };
    Some(format!("*Reviews*{progress}\n{lines}"))
}

fn resolution(notification: &Notification) -> Option<String> {
    let state = notification.state;
    if !state.is_resolved() {
        return None;
    }
    let mut text = format!("{} *{}*", state.emoji(), parts::verdict(state));
    let has_author = !text::is_blank(&notification.resolved_by);
    if has_author {
        text.push_str(" by ");
        text.push_str(&parts::name(&notification.resolved_by));
    }
    if let Some(at) = notification.resolved_at {
        text.push_str(" · ");
        text.push_str(&parts::date(at));
    }
    let has_reason = !text::is_blank(&notification.resolve_reason);
    if has_reason {
        text.push('\n');
        text.push_str(&text::block(&notification.resolve_reason, RESOLUTION));
    }
    // The headline has already said it where nothing is to be added.
    (has_reason || has_author || notification.resolved_at.is_some()).then_some(text)
}

/// Where to decide, or to look.
fn next_step(notification: &Notification) -> Option<String> {
    let is_pending = notification.state == State::Pending;
    match parts::link(notification) {
        Some(link) if is_pending => Some(format!("<{link}|Review in Teleport>")),
        Some(link) => Some(format!("<{link}|View in Teleport>")),
        None => parts::commands(notification).filter(|_| is_pending),
    }
}
