//! What a person can do about an error, in one sentence.

use std::fmt::Write as _;

use crate::slack::error::class::is_person;
use crate::slack::error::{Class, classify, code};
use crate::slack::method;
use crate::slack::recipient_mistake::RecipientMistake;
use crate::slack::text::shorten;

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
    match code {
        "channel_not_found" | "not_in_channel" | "is_archived" | "is_inactive" if is_person(&channel) => {
            format!("check that {channel} is an active member of this workspace, and not a bot")
        }
        "channel_not_found" => format!(
            "check that {channel} exists in this workspace; if it is private, invite the app there (/invite @{bot})"
        ),
        "not_in_channel" => {
            format!("invite @{bot} to {channel}, or add the scope chat:write.public and reinstall the app")
        }
        "is_archived" | "is_inactive" => format!("unarchive {channel} or configure another recipient"),
        "restricted_action_thread_only_channel"
        | "restricted_action_read_only_channel"
        | "restricted_action"
        | "posting_to_channel_denied"
        | "channel_is_limited_access" => {
            format!("let the app post in {channel} (its posting permissions), or configure another recipient")
        }
        "messages_tab_disabled" => {
            "switch on the Messages tab of the app (App Home > Show Tabs), so that it can send direct messages"
                .to_owned()
        }
        "message_limit_exceeded" => "raise the workspace's message limit: its free plan is used up".to_owned(),
        "ekm_access_denied" => "ask a Slack administrator to restore the workspace's key access (EKM)".to_owned(),
        "team_not_found" => format!("give the id of {channel} instead of its name: an org-wide token needs ids"),
        "users_not_found" | "user_not_found" | "user_disabled" | "user_not_visible" => {
            format!("check that {channel} is the e-mail address of an active member of this workspace")
        }
        "cannot_dm_bot" | "invalid_user_combination" => format!("configure a person or a channel instead of {channel}"),
        "missing_scope" => {
            "add the missing scope (chat:write, users:read, users:read.email) and reinstall the app".to_owned()
        }
        "not_authed" => "give the bot token (xoxb-...) of the Slack app".to_owned(),
        "invalid_auth" => {
            "check that the bot token is complete, belongs to this Slack (slack.com or slack-gov.com), and \
                           that this address is in the app's list of allowed IP addresses"
                .to_owned()
        }
        "account_inactive" | "token_revoked" | "user_removed_from_team" => {
            "reinstall the app to the workspace and give its new bot token".to_owned()
        }
        "token_expired" => "give a fresh token, or switch token rotation off for the app".to_owned(),
        "not_allowed_token_type" => "give the bot token (xoxb-...), not a user or app-level token".to_owned(),
        "org_login_required" | "team_added_to_org" => {
            "wait: the workspace is being moved into an Enterprise organization".to_owned()
        }
        "no_permission"
        | "access_denied"
        | "accesslimited"
        | "app_access_restricted"
        | "team_access_not_granted"
        | "enterprise_is_restricted"
        | "two_factor_setup_required"
        | "team_disabled"
        | "forbidden_team" => "ask a Slack administrator to allow the app in this workspace".to_owned(),
        "unknown_method" | "method_deprecated" | "deprecated_endpoint" | "insecure_request" | code::REDIRECTED => {
            "check the Slack API address (api_url): it does not answer as Slack's Web API does".to_owned()
        }
        code::PROXY_FAILED => "check HTTPS_PROXY; NO_PROXY names hosts that are reached without it".to_owned(),
        code::CONNECT_FAILED => {
            "check the network, the proxy (HTTPS_PROXY) and the CA bundle on the way to Slack".to_owned()
        }
        "ratelimited" | "rate_limited" => "nothing to do: it is sent as soon as Slack's rate limit permits".to_owned(),
        "message_not_found" | "thread_not_found" | "cant_update_message" | "edit_window_closed" => {
            "nothing to do: the message was deleted in Slack or can no longer be changed".to_owned()
        }
        _ if code.starts_with("http_4") => {
            "check the Slack API address (api_url) and the proxy: something other than Slack answered".to_owned()
        }
        _ => match classify(method::UPDATE, code) {
            Class::Transient | Class::Ambiguous => {
                "nothing to do at first: it is tried again; see status.slack.com if it lasts".to_owned()
            }
            Class::Payload => "nothing to do: it is sent in a plainer form; please report this error".to_owned(),
            _ => {
                let mut text = "look the error up in Slack's documentation".to_owned();
                if channel != "the channel" {
                    let _ = write!(text, " and check {channel}");
                }
                text
            }
        },
    }
}

pub(super) fn missing_scope(needed: &str) -> String {
    // Slack names old scopes: a token without chat:write is told to get chat:write:bot.
    let needed = if needed == "chat:write:bot" { "chat:write" } else { needed };
    format!("add the scope {} and reinstall the app", shorten(needed, 100))
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::slack::error::class::tests::TABLE;

    #[test]
    fn every_error_says_what_to_do_about_it() {
        for code in TABLE.iter().flat_map(|(_, codes)| codes.split_whitespace()).chain(["never_heard_of"]) {
            let remedy = remedy(code, "dba-oncall", DEFAULT_BOT);
            assert!(remedy.chars().next().unwrap().is_lowercase() && !remedy.ends_with('.'), "{code}: {remedy}");
            assert!(!remedy.contains("  "), "{code}: {remedy}");
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
