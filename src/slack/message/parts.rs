//! The pieces that messages are made of: mrkdwn, escaped, each within its budget.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::slack::message::{Notification, Review, RoleLogins, State, Thresholds};
use crate::slack::text;

/// One name in a list; Teleport's own limits are far above, real names far below.
const NAME: usize = 200;

/// A name in a code span.
pub(super) fn name(text: &str) -> String {
    text::code(text, NAME)
}

/// What is asked for, as a headline calls it.
pub(super) fn kind(notification: &Notification) -> &'static str {
    match (notification.long_term, notification.resources.is_empty()) {
        (true, _) => "Long-term access request",
        (false, false) => "Resource access request",
        (false, true) => "Access request",
    }
}

/// Roles by name, each once, with the logins of all its entries.
pub(super) fn roles(notification: &Notification) -> BTreeMap<&str, Option<Vec<&str>>> {
    let mut roles: BTreeMap<&str, Option<Vec<&str>>> = BTreeMap::new();
    for RoleLogins { role, logins } in &notification.roles {
        let known = roles.entry(role).or_default();
        if let Some(logins) = logins {
            known.get_or_insert_default().extend(logins.iter().map(String::as_str));
        }
    }
    roles
}

/// Sorted, each once, each in a code span.
pub(super) fn names<'a>(texts: impl IntoIterator<Item = &'a str>) -> impl ExactSizeIterator<Item = String> {
    let mut texts: Vec<&str> = texts.into_iter().collect();
    texts.sort_unstable();
    texts.dedup();
    texts.into_iter().map(name)
}

/// A point in time, shown in the reader's own time zone.
pub(super) fn date(at: Timestamp) -> String {
    let fallback = at.strftime("%Y-%m-%d %H:%M UTC");
    if at < Timestamp::UNIX_EPOCH {
        return fallback.to_string();
    }
    format!("<!date^{}^{{date_short_pretty}} {{time}}|{fallback}>", at.as_second())
}

/// `8 hours`, `1 day 30 minutes`; seconds only where there is nothing larger.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [(seconds / 86_400, "day"), (seconds / 3_600 % 24, "hour"), (seconds / 60 % 60, "minute")];
    let shown: Vec<_> =
        parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, unit)| counted(count, unit)).collect();
    if shown.is_empty() { counted(seconds, "second") } else { shown.join(" ") }
}

fn counted(count: u64, unit: &str) -> String {
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

/// The name of a state at the beginning of a sentence.
pub(super) fn verdict(state: State) -> &'static str {
    match state {
        State::Pending => "Pending",
        State::Approved => "Approved",
        State::Denied => "Denied",
        State::Promoted => "Promoted to long-term access",
        State::Expired => "Expired",
        State::Deleted => "Deleted",
    }
}

/// What a reviewer did.
pub(super) fn deed(proposed: State) -> &'static str {
    match proposed {
        State::Approved => "approved",
        State::Denied => "denied",
        State::Promoted => "promoted",
        State::Pending | State::Expired | State::Deleted => "reviewed",
    }
}

/// What stands before a review: a verdict's emoji, or none where there was no verdict.
pub(super) fn mark(proposed: State) -> &'static str {
    match proposed {
        State::Approved | State::Denied | State::Promoted => proposed.emoji(),
        State::Pending | State::Expired | State::Deleted => "💬",
    }
}

/// One review on one line.
pub(super) fn review(review: &Review) -> String {
    let mut line = format!("{} {} {}", mark(review.proposed), name(&review.author), deed(review.proposed));
    if let Some(at) = review.at {
        line.push_str(" · ");
        line.push_str(&date(at));
    }
    if !text::is_blank(&review.reason) {
        line.push_str(": ");
        line.push_str(&text::code(&review.reason, 300));
    }
    line
}

/// How far the reviews are: ` · 1 of 2 approvals, 0 of 1 denials`.
pub(super) fn progress(notification: &Notification) -> String {
    let Some(Thresholds { approve, deny }) = notification.thresholds else { return String::new() };
    let count = |state| notification.reviews.iter().filter(|review| review.proposed == state).count();
    format!(" · {} of {approve} approvals, {} of {deny} denials", count(State::Approved), count(State::Denied))
}

/// The request's address where it is one that cannot break out of a link.
pub(super) fn link(notification: &Notification) -> Option<String> {
    let url = notification.link.as_deref()?;
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    let is_plain = url.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>|@\"`\\".contains(&byte));
    (is_web && is_plain && url.len() <= 500).then(|| text::escape(url))
}

/// The commands that decide a request, by people without the web UI. None where the id is not one that is safe to paste
/// into a shell.
pub(super) fn commands(notification: &Notification) -> Option<String> {
    let id = &notification.request_id;
    let is_id =
        !id.is_empty() && id.len() <= 100 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (is_id && !id.starts_with('-'))
        .then(|| format!("*Approve* `tsh request review --approve {id}`\n*Deny* `tsh request review --deny {id}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        for (seconds, text) in [(28_800, "8 hours"), (88_200, "1 day 30 minutes"), (59, "59 seconds"), (61, "1 minute")]
        {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_link_that_could_break_out_is_no_link() {
        let with = |link: &str| super::link(&Notification { link: Some(link.to_owned()), ..Notification::default() });
        assert_eq!(with("https://t.example/web/requests/1?a&b").unwrap(), "https://t.example/web/requests/1?a&amp;b");
        for link in [
            "javascript:alert(1)",
            "https://t.example/|evil",
            "https://t.example/>",
            "https://t.example/ x",
            "https://t@evil.example/",
            "",
        ] {
            assert_eq!(with(link), None, "{link}");
        }
    }

    #[test]
    fn no_command_is_offered_for_an_id_that_a_shell_would_read_as_more() {
        for id in ["", "1; rm -rf /", "$(id)", "--force"] {
            let notification = Notification { request_id: id.to_owned(), ..Notification::default() };
            assert_eq!(commands(&notification), None, "{id}");
        }
    }
}
