//! A request in text alone: for notifications, and where Slack refuses the blocks.

use crate::slack::message::{Content, Metadata, Notification, parts};
use crate::slack::text;

/// One line that says who asks for what, and how it stands; escaped, of at most `budget` units.
pub(super) fn headline(notification: &Notification, budget: usize) -> String {
    let state = notification.state;
    let head = format!("{} {} {}", state.emoji(), parts::kind(notification), state.phrase());
    let mut text = format!("{head}: {} asks for {}", text::shorten(&notification.user, 100), wanted(notification));
    if !text::is_blank(&notification.cluster) {
        text.push_str(" on ");
        text.push_str(&text::shorten(&notification.cluster, 100));
    }
    fallback(&text, budget)
}

/// One line for a message's `text`: cleaned, without links, escaped.
pub(super) fn fallback(text: &str, budget: usize) -> String {
    text::line(&text::without_links(&text::shorten(text, budget)), budget)
}

fn wanted(notification: &Notification) -> String {
    let roles = parts::roles(notification);
    match (roles.is_empty(), notification.resources.len()) {
        (true, 0) => "access".to_owned(),
        (true, 1) => "1 resource".to_owned(),
        (true, count) => format!("{count} resources"),
        (false, _) => text::list(roles.into_keys().map(|role| text::shorten(role, 60)), ", ", 200),
    }
}

/// The message about a request without blocks: for when Slack refuses them ([`crate::slack::error::Class::Payload`]).
///
/// In any script below the 4,000 bytes that an update may have.
pub fn render_plain(notification: &Notification, recipient: &str) -> Content {
    let mut lines = vec![
        format!("{} *{} {}*", notification.state.emoji(), parts::kind(notification), notification.state.phrase()),
        format!("User: {}", text::code(&notification.user, 100)),
    ];
    let mut add = |title: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("{title}: {value}"));
        }
    };
    let roles = parts::roles(notification).into_keys().map(|role| text::code(role, 60));
    add("Roles", text::list(roles, ", ", 200));
    let resources = parts::names(notification.resources.iter().map(String::as_str));
    add("Resources", text::list(resources, ", ", 150));
    if !text::is_blank(&notification.reason) {
        add("Reason", text::code(&notification.reason, 250));
    }
    if notification.state.is_resolved() && !text::is_blank(&notification.resolved_by) {
        add("Decided by", text::code(&notification.resolved_by, 100));
    }
    if notification.state.is_resolved() && !text::is_blank(&notification.resolve_reason) {
        add("Decision", text::code(&notification.resolve_reason, 150));
    }
    add("Request", text::code(&notification.request_id, 60));
    for line in &mut lines {
        *line = text::without_links(line);
    }
    let link = parts::link(notification).filter(|link| link.len() <= 200);
    lines.extend(match link {
        Some(link) => Some(format!("<{link}|Open in Teleport>")),
        None => parts::commands(notification).filter(|_| !notification.state.is_resolved()),
    });
    Content {
        text: lines.join("\n"),
        blocks: serde_json::Value::Null,
        metadata: Some(Metadata::of_request(&notification.request_id, recipient).in_cluster(&notification.cluster)),
    }
}
