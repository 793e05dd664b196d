//! Slack's `error` strings, and our own codes: what follows from each, and what a person can do about it. Every string
//! stands here once.
//!
//! The strings are those of Slack's method pages and of what clients have seen.

use crate::slack::error::class::Class;
use crate::slack::error::code;
use crate::slack::method;

/// Codes with the same consequences.
pub(super) struct Row {
    pub(super) class: Class,
    /// What to do, with `{channel}` and `{bot}` in place of the names. Empty: what the class says.
    pub(super) remedy: &'static str,
    pub(super) codes: &'static [&'static str],
}

const fn row(class: Class, remedy: &'static str, codes: &'static [&'static str]) -> Row {
    Row { class, remedy, codes }
}

/// What a code means for these methods, where it differs from its row in [`TABLE`].
pub(super) const BY_METHOD: &[(&[&str], &str, Class)] = &[
    (&[method::ADD_REACTION], "already_reacted", Class::AlreadyDone),
    (&[method::DELETE], "message_not_found", Class::AlreadyDone),
];

/// Codes about the app or the workspace, even if the call was for a person.
pub(super) const NOT_ABOUT_THE_PLACE: &[&str] =
    &["messages_tab_disabled", "message_limit_exceeded", "ekm_access_denied", "team_not_found", "missing_argument"];

/// What to do about a conversation with a person, instead of what is said about a channel.
pub(super) const PERSON: &str = "check that {channel} is an active member of this workspace, and not a bot";
/// Codes for which [`PERSON`] is said.
pub(super) const SAID_OF_PERSONS: &[&str] = &["channel_not_found", "not_in_channel", "is_archived", "is_inactive"];

pub(super) const TABLE: &[Row] = &[
    // Credentials and permissions of the app, and calls that no configuration makes right.
    row(Class::Auth, "give the bot token (xoxb-...) of the Slack app", &["not_authed"]),
    row(
        Class::Auth,
        "check that the bot token is complete, belongs to this Slack (slack.com or slack-gov.com), and that this address is \
         in the app's list of allowed IP addresses",
        &["invalid_auth"],
    ),
    row(
        Class::Auth,
        "reinstall the app to the workspace and give its new bot token",
        &["account_inactive", "token_revoked", "user_removed_from_team"],
    ),
    row(Class::Auth, "give a fresh token, or switch token rotation off for the app", &["token_expired"]),
    row(Class::Auth, "give the bot token (xoxb-...), not a user or app-level token", &["not_allowed_token_type"]),
    row(
        Class::Auth,
        "add the missing scope (chat:write, users:read, users:read.email) and reinstall the app",
        &["missing_scope"],
    ),
    row(
        Class::Auth,
        "wait: the workspace is being moved into an Enterprise organization",
        &["org_login_required", "team_added_to_org"],
    ),
    row(
        Class::Auth,
        "ask a Slack administrator to allow the app in this workspace",
        &[
            "no_permission",
            "access_denied",
            "accesslimited",
            "app_access_restricted",
            "team_access_not_granted",
            "enterprise_is_restricted",
            "two_factor_setup_required",
            "team_disabled",
            "forbidden_team",
        ],
    ),
    row(
        Class::Auth,
        "check the Slack API address (api_url): it does not answer as Slack's Web API does",
        &["unknown_method", "method_deprecated", "deprecated_endpoint", "insecure_request"],
    ),
    row(Class::Auth, "", &["is_bot"]),
    // Channels.
    row(
        Class::Config,
        "check that {channel} exists in this workspace; if it is private, invite the app there (/invite @{bot})",
        &["channel_not_found"],
    ),
    row(
        Class::Config,
        "invite @{bot} to {channel}, or add the scope chat:write.public and reinstall the app",
        &["not_in_channel"],
    ),
    row(Class::Config, "unarchive {channel} or configure another recipient", &["is_archived", "is_inactive"]),
    row(
        Class::Config,
        "let the app post in {channel} (its posting permissions), or configure another recipient",
        &[
            "restricted_action",
            "restricted_action_read_only_channel",
            "restricted_action_thread_only_channel",
            "posting_to_channel_denied",
            "channel_is_limited_access",
        ],
    ),
    row(
        Class::Config,
        "switch on the Messages tab of the app (App Home > Show Tabs), so that it can send direct messages",
        &["messages_tab_disabled"],
    ),
    row(Class::Config, "raise the workspace's message limit: its free plan is used up", &["message_limit_exceeded"]),
    row(Class::Config, "ask a Slack administrator to restore the workspace's key access (EKM)", &["ekm_access_denied"]),
    row(
        Class::Config,
        "give the id of {channel} instead of its name: an org-wide token needs ids",
        &["team_not_found"],
    ),
    row(
        Class::Config,
        "",
        &[
            "method_not_supported_for_channel_type",
            "send_on_behalf_not_allowed",
            "plan_upgrade_required",
            "missing_argument",
            "no_access",
        ],
    ),
    // People.
    row(
        Class::Recipient,
        "check that {channel} is the e-mail address of an active member of this workspace",
        &["users_not_found", "user_not_found", "user_disabled", "user_not_visible"],
    ),
    row(
        Class::Recipient,
        "configure a person or a channel instead of {channel}",
        &["cannot_dm_bot", "invalid_user_combination"],
    ),
    row(Class::Recipient, "", &["user_not_in_channel"]),
    // The bytes of the call.
    row(
        Class::Payload,
        "",
        &[
            "invalid_blocks",
            "invalid_blocks_format",
            "msg_blocks_too_long",
            "msg_too_long",
            "no_text",
            "invalid_attachments",
            "too_many_attachments",
            "attachment_payload_limit_exceeded",
            "invalid_metadata_format",
            "invalid_metadata_schema",
            "metadata_too_large",
            "metadata_must_be_sent_from_app",
            "markdown_text_conflict",
            "block_mismatch",
            "invalid_name",
            "bad_timestamp",
            "no_item_specified",
            "not_reactable",
            "invalid_arguments",
            "invalid_arg_name",
            "invalid_array_arg",
            "invalid_json",
            "json_not_object",
            "invalid_form_data",
            "invalid_post_type",
            "missing_post_type",
            "invalid_charset",
            "invalid_cursor",
            "invalid_limit",
            "limit_required",
            "invalid_types",
            "too_many_users",
            "not_enough_users",
            "users_list_not_supplied",
            "as_user_not_supported",
            "too_many_contact_cards",
            code::BAD_REQUEST,
        ],
    ),
    // What passes.
    row(
        Class::Transient,
        "nothing to do: it is sent as soon as Slack's rate limit permits",
        &[code::RATE_LIMITED, "rate_limited"],
    ),
    row(
        Class::Transient,
        "",
        &["service_unavailable", "request_timeout", "external_channel_migrating", "streaming_state_conflict"],
    ),
    row(
        Class::Transient,
        "check the network, the proxy (HTTPS_PROXY) and the CA bundle on the way to Slack",
        &[code::CONNECT_FAILED],
    ),
    row(Class::Transient, "check HTTPS_PROXY; NO_PROXY names hosts that are reached without it", &[code::PROXY_FAILED]),
    row(
        Class::Transient,
        "check the Slack API address (api_url): it does not answer as Slack's Web API does",
        &[code::REDIRECTED],
    ),
    // The message or its thread.
    row(
        Class::Forgotten,
        "nothing to do: the message was deleted in Slack or can no longer be changed",
        &["message_not_found", "thread_not_found", "edit_window_closed"],
    ),
    row(
        Class::Forgotten,
        "",
        &[
            "thread_locked",
            "too_many_reactions",
            "too_many_emoji",
            "cannot_reply_to_message",
            "restricted_action_thread_locked",
            "restricted_action_non_threadable_channel",
        ],
    ),
    row(
        Class::AnotherApp,
        "nothing to do, or give the token of the Slack app that posted the message: only that app can change it",
        &["cant_update_message", "cant_delete_message"],
    ),
];

/// The row of a code.
pub(super) fn find(code: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.codes.contains(&code))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_stands_in_one_row() {
        let mut seen = BTreeSet::new();
        for code in TABLE.iter().flat_map(|row| row.codes) {
            assert!(seen.insert(code), "{code} stands there twice");
        }
        for code in SAID_OF_PERSONS.iter().chain(NOT_ABOUT_THE_PLACE) {
            assert!(seen.contains(code), "{code} has no row");
        }
    }
}
