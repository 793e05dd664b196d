//! What a person can do about an error, in one sentence.

use crate::slack::error::class::is_person;
use crate::slack::error::{Class, classify, table};
use crate::slack::method;
use crate::slack::recipient_mistake::RecipientMistake;
use crate::slack::text::shorten;

/// Stands for a channel whose name is not known.
pub(super) const THE_CHANNEL: &str = "the channel";

/// The bot's name in Teleport's guide, for as long as Slack has not told its own.
pub const DEFAULT_BOT: &str = "teleport";

/// One sentence that tells a person what to do about `code`. `channel` is shown as it is configured (`#dba`, `C0123…`), and
/// `bot` is whom to invite there.
pub fn remedy(code: &str, channel: &str, bot: &str) -> String {
    if let ("channel_not_found", Some(mistake)) = (code, RecipientMistake::find(channel)) {
        return format!(
            "{:?} {}; {}",
            shorten(channel.trim_start_matches('#'), 100),
            mistake.problem(),
            mistake.remedy()
        );
    }
    let bot = shorten(bot, 100);
    let mut channel = shorten(channel, 100);
    // A bare name reads better as Slack shows it; ids and addresses stay as they are.
    if channel.chars().next().is_some_and(char::is_lowercase) && !channel.contains(['@', ' ']) {
        channel.insert(0, '#');
    }
    let said = table::find(code).map(|row| row.remedy).filter(|remedy| !remedy.is_empty());
    let template = match said {
        Some(_) if is_person(&channel) && table::SAID_OF_PERSONS.contains(&code) => table::PERSON,
        Some(said) => said,
        None if code.starts_with("http_4") => {
            "check the Slack API address (api_url) and the proxy: something other than Slack answered"
        }
        None => match classify(method::UPDATE, code) {
            Class::Transient | Class::Ambiguous => {
                "nothing to do at first: it is tried again; see status.slack.com if it lasts"
            }
            Class::Payload => "nothing to do: it is sent in a plainer form; please report this error",
            _ if channel == THE_CHANNEL => "look the error up in Slack's documentation",
            _ => "look the error up in Slack's documentation and check {channel}",
        },
    };
    fill(template, &channel, &bot)
}

/// Puts the names into a template. Names are not searched for placeholders.
fn fill(template: &str, channel: &str, bot: &str) -> String {
    let parts: Vec<String> = template.split("{channel}").map(|part| part.replace("{bot}", bot)).collect();
    parts.join(channel)
}

pub(super) fn missing_scope(needed: &str) -> String {
    // Slack names old scopes: a token without chat:write is told to get chat:write:bot.
    let needed = if needed == "chat:write:bot" { "chat:write" } else { needed };
    format!("add the scope {} and reinstall the app", shorten(needed, 100))
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_says_what_to_do_about_it() {
        for code in table::TABLE.iter().flat_map(|row| row.codes).chain(&["never_heard_of"]) {
            let remedy = remedy(code, "dba-oncall", DEFAULT_BOT);
            assert!(remedy.chars().next().unwrap().is_lowercase() && !remedy.ends_with('.'), "{code}: {remedy}");
            assert!(!remedy.contains(['{', '}']) && !remedy.contains("  "), "{code}: {remedy}");
        }
        assert!(remedy("not_in_channel", "dba-oncall", DEFAULT_BOT).starts_with("invite @teleport to #dba-oncall"));
        assert!(remedy("not_in_channel", "dba-oncall", "gatekeeper").starts_with("invite @gatekeeper to #dba-oncall"));
        assert!(remedy("channel_not_found", "C0123", DEFAULT_BOT).contains("invite"), "both causes are named");
        assert!(remedy("channel_not_found", "C0123", DEFAULT_BOT).contains("check that C0123 exists"));
        let list = remedy("channel_not_found", "#ops, dba", DEFAULT_BOT);
        assert_eq!(list, r#""ops, dba" holds several recipients in one text; write a list: ["ops", "dba"]"#);
        assert!(remedy("users_not_found", "alice@example.com", DEFAULT_BOT).contains(" alice@example.com "));
    }
}
