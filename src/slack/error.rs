//! What went wrong at Slack, what follows from it, and what a person can do about it. Pure.

use std::{fmt::Write as _, time::Duration};

use super::{method, text::shorten};

/// What a caller does about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Token, scopes, workspace or the calling code are at fault: no call works until somebody acts. Try again slowly.
    Auth,
    /// This channel cannot take the message until somebody acts; others can.
    Config,
    /// This person cannot be reached; others can.
    Recipient,
    /// Slack refuses these very bytes: send a plainer message instead.
    Payload,
    /// It was not carried out, or carrying it out twice does no harm: try again with backoff, or after `retry_after`.
    Transient,
    /// It may have been carried out: look before trying again.
    Ambiguous,
    /// It is already as wanted: a success.
    AlreadyDone,
    /// The message or thread that the call was about is gone or closed: stop following it. The recipient itself is fine.
    Forgotten,
}

impl Class {
    /// The name used in logs and as a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Config => "config",
            Self::Recipient => "recipient",
            Self::Payload => "payload",
            Self::Transient => "transient",
            Self::Ambiguous => "ambiguous",
            Self::AlreadyDone => "already_done",
            Self::Forgotten => "forgotten",
        }
    }
}

/// Codes of our own, for what Slack has no word for. They share the name space of Slack's `error` strings.
pub mod code {
    /// HTTP 429, whatever the body; also Slack's own string for it.
    pub const RATE_LIMITED: &str = "ratelimited";
    /// No connection: DNS, TCP, proxy or TLS. Nothing was sent.
    pub const CONNECT_FAILED: &str = "connect_failed";
    /// No answer in time.
    pub const TIMEOUT: &str = "timeout";
    /// The connection broke after the request was, or may have been, sent.
    pub const CONNECTION_LOST: &str = "connection_lost";
    /// HTTP 200 with something that is not Slack's JSON.
    pub const MALFORMED_ANSWER: &str = "malformed_answer";
    /// The answer was larger than we read.
    pub const ANSWER_TOO_LARGE: &str = "answer_too_large";
    /// A redirect: this is not Slack's API, or not its present address.
    pub const REDIRECTED: &str = "redirected";
    /// A request that could not be built; a fault of our own.
    pub const BAD_REQUEST: &str = "bad_request";
}

/// A call that Slack refused, or that did not get through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{method}: {code}{}", parenthesised(.detail))]
pub struct Error {
    /// The method called.
    pub method: &'static str,
    /// Slack's `error` string, `http_<status>`, or one of [`code`].
    pub code: String,
    /// What follows from it.
    pub class: Class,
    /// How long Slack wants this method to rest; always there when rate limited.
    pub retry_after: Option<Duration>,
    /// The channel or user the call was about, as it was given.
    pub channel: Option<Box<str>>,
    /// Slack's explanation or the transport's reason; short, no body of an answer, no token.
    pub detail: String,
    /// The scopes Slack asks for, with `missing_scope`.
    pub needed: Option<Box<str>>,
}

impl Error {
    /// An error of this code, classified for its method and for the channel or user that it was about.
    pub fn new(method: &'static str, code: impl Into<String>, channel: Option<&str>) -> Self {
        let code = code.into();
        let class = classify_for(method, &code, channel);
        Self {
            method,
            code,
            class,
            retry_after: None,
            channel: channel.map(Into::into),
            detail: String::new(),
            needed: None,
        }
    }

    /// The same, with a reason. It is shortened to one line of at most 300 characters.
    #[must_use]
    pub fn because(mut self, detail: impl AsRef<str>) -> Self {
        self.detail = shorten(detail.as_ref(), 300);
        self
    }

    /// One sentence that says what to do; the scope is named when Slack named it.
    pub fn remedy(&self) -> String {
        match (&*self.code, &self.needed) {
            ("missing_scope", Some(needed)) => missing_scope(needed),
            _ => remedy(&self.code, self.channel.as_deref().unwrap_or("the channel")),
        }
    }

    /// Whether Slack asked us to slow down.
    pub fn is_rate_limit(&self) -> bool {
        is_rate_limit(&self.code)
    }
}

fn parenthesised(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(" ({detail})") }
}

/// Slack has used both spellings.
pub fn is_rate_limit(code: &str) -> bool {
    matches!(code, "ratelimited" | "rate_limited")
}

/// As [`classify`], knowing whom the call was about: a refused direct message is about a person, not about a channel.
pub fn classify_for(method: &str, code: &str, channel: Option<&str>) -> Class {
    let class = classify(method, code);
    let of_the_place = !matches!(
        code,
        "messages_tab_disabled"
            | "message_limit_exceeded"
            | "ekm_access_denied"
            | "team_not_found"
            | "missing_argument"
    );
    if class == Class::Config && channel.is_some_and(is_person) && of_the_place { Class::Recipient } else { class }
}

/// Whether this is the id of a user or of a direct message.
fn is_person(channel: &str) -> bool {
    let is_id = channel.len() > 1 && channel.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    is_id && channel.starts_with(['U', 'W', 'D'])
}

/// The class of an error code, for the method that answered it.
///
/// Strings are those of Slack's method pages and of what clients have seen. What is unknown may have been carried out.
pub fn classify(method: &str, code: &str) -> Class {
    let unclear = if method::is_idempotent(method) { Class::Transient } else { Class::Ambiguous };
    match (method, code) {
        (method::ADD_REACTION, "already_reacted") | (method::DELETE, "message_not_found") => return Class::AlreadyDone,
        (method::UPDATE | method::ADD_REACTION, "is_inactive") => return Class::Forgotten,
        _ => {}
    }
    match code {
        // Credentials and permissions of the app, and calls that no configuration makes right.
        "not_authed"
        | "invalid_auth"
        | "account_inactive"
        | "token_revoked"
        | "token_expired"
        | "not_allowed_token_type"
        | "missing_scope"
        | "no_permission"
        | "two_factor_setup_required"
        | "access_denied"
        | "accesslimited"
        | "team_access_not_granted"
        | "enterprise_is_restricted"
        | "app_access_restricted"
        | "is_bot"
        | "user_removed_from_team"
        | "team_disabled"
        | "forbidden_team"
        | "org_login_required"
        | "team_added_to_org"
        | "unknown_method"
        | "method_deprecated"
        | "deprecated_endpoint"
        | "insecure_request" => Class::Auth,

        "channel_not_found"
        | "not_in_channel"
        | "is_archived"
        | "is_inactive"
        | "messages_tab_disabled"
        | "ekm_access_denied"
        | "message_limit_exceeded"
        | "team_not_found"
        | "channel_is_limited_access"
        | "method_not_supported_for_channel_type"
        | "send_on_behalf_not_allowed"
        | "posting_to_channel_denied"
        | "plan_upgrade_required"
        | "missing_argument"
        | "no_access" => Class::Config,

        "users_not_found"
        | "user_not_found"
        | "user_not_visible"
        | "user_disabled"
        | "user_not_in_channel"
        | "invalid_user_combination"
        | "cannot_dm_bot" => Class::Recipient,

        "invalid_blocks"
        | "invalid_blocks_format"
        | "msg_blocks_too_long"
        | "msg_too_long"
        | "no_text"
        | "invalid_attachments"
        | "too_many_attachments"
        | "attachment_payload_limit_exceeded"
        | "invalid_metadata_format"
        | "invalid_metadata_schema"
        | "metadata_too_large"
        | "metadata_must_be_sent_from_app"
        | "markdown_text_conflict"
        | "block_mismatch"
        | "invalid_name"
        | "bad_timestamp"
        | "no_item_specified"
        | "not_reactable"
        | "invalid_arguments"
        | "invalid_arg_name"
        | "invalid_array_arg"
        | "invalid_json"
        | "json_not_object"
        | "invalid_form_data"
        | "invalid_post_type"
        | "missing_post_type"
        | "invalid_charset"
        | "invalid_cursor"
        | "invalid_limit"
        | "limit_required"
        | "invalid_types"
        | "too_many_users"
        | "not_enough_users"
        | "users_list_not_supplied"
        | "as_user_not_supported"
        | "too_many_contact_cards"
        | code::BAD_REQUEST => Class::Payload,

        "ratelimited"
        | "rate_limited"
        | "service_unavailable"
        | "request_timeout"
        | "external_channel_migrating"
        | "streaming_state_conflict"
        | code::CONNECT_FAILED
        | code::REDIRECTED => Class::Transient,

        "message_not_found"
        | "cant_update_message"
        | "cant_delete_message"
        | "edit_window_closed"
        | "thread_locked"
        | "too_many_reactions"
        | "too_many_emoji"
        | "thread_not_found"
        | "cannot_reply_to_message"
        | "restricted_action_thread_locked"
        | "restricted_action_non_threadable_channel" => Class::Forgotten,

        _ if code.starts_with("restricted_action") => Class::Config,
        _ if code.starts_with("slack_connect_") && code.ends_with("_blocked") => Class::Config,
        _ if code.starts_with("invalid_ts_") => Class::Payload,
        // Refused by an HTTP server in front of Slack, before the call reached it. 408 says nothing of that kind.
        _ if code.starts_with("http_4") && code != "http_408" => Class::Transient,
        _ => unclear,
    }
}

/// One sentence that tells a person what to do about `code`. `channel` is shown as it is configured (`#dba`, `C0123…`).
pub fn remedy(code: &str, channel: &str) -> String {
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
            "check that {channel} exists in this workspace; if it is private, invite the app there (/invite @teleport)"
        ),
        "not_in_channel" => {
            format!("invite @teleport to {channel}, or add the scope chat:write.public and reinstall the app")
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

fn missing_scope(needed: &str) -> String {
    // Slack names old scopes: a token without chat:write is told to get chat:write:bot.
    let needed = if needed == "chat:write:bot" { "chat:write" } else { needed };
    format!("add the scope {} and reinstall the app", shorten(needed, 100))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slack's strings by what they mean to us, for calls that may be repeated and for `chat.postMessage` alike.
    const TABLE: &[(Class, &str)] = &[
        (
            Class::Auth,
            "not_authed invalid_auth account_inactive token_revoked token_expired not_allowed_token_type missing_scope \
             no_permission two_factor_setup_required access_denied accesslimited team_access_not_granted \
             enterprise_is_restricted app_access_restricted is_bot user_removed_from_team team_disabled forbidden_team \
             org_login_required team_added_to_org unknown_method method_deprecated deprecated_endpoint insecure_request",
        ),
        (
            Class::Config,
            "channel_not_found not_in_channel is_archived restricted_action restricted_action_read_only_channel \
             restricted_action_thread_only_channel messages_tab_disabled ekm_access_denied message_limit_exceeded \
             team_not_found channel_is_limited_access method_not_supported_for_channel_type send_on_behalf_not_allowed \
             slack_connect_canvas_sharing_blocked slack_connect_file_link_sharing_blocked posting_to_channel_denied \
             plan_upgrade_required missing_argument",
        ),
        (
            Class::Recipient,
            "users_not_found user_not_found user_not_visible user_disabled user_not_in_channel invalid_user_combination \
             cannot_dm_bot",
        ),
        (
            Class::Payload,
            "invalid_blocks invalid_blocks_format msg_blocks_too_long msg_too_long no_text invalid_attachments \
             too_many_attachments attachment_payload_limit_exceeded invalid_metadata_format invalid_metadata_schema \
             metadata_too_large metadata_must_be_sent_from_app markdown_text_conflict block_mismatch invalid_name \
             bad_timestamp no_item_specified not_reactable invalid_arguments invalid_arg_name invalid_array_arg \
             invalid_json json_not_object invalid_form_data invalid_post_type missing_post_type invalid_charset \
             invalid_cursor invalid_limit limit_required invalid_types invalid_ts_oldest invalid_ts_latest \
             too_many_users not_enough_users users_list_not_supplied as_user_not_supported",
        ),
        (
            Class::Transient,
            "ratelimited rate_limited service_unavailable request_timeout external_channel_migrating \
             streaming_state_conflict connect_failed redirected http_403 http_404 http_407",
        ),
        (
            Class::Forgotten,
            "cant_update_message edit_window_closed thread_locked too_many_reactions too_many_emoji thread_not_found \
             cannot_reply_to_message restricted_action_thread_locked restricted_action_non_threadable_channel",
        ),
    ];

    #[test]
    fn every_known_string_has_its_class() {
        for (class, codes) in TABLE {
            for code in codes.split_whitespace() {
                for method in [method::POST_MESSAGE, method::UPDATE] {
                    assert_eq!(classify(method, code), *class, "{method} {code}");
                }
            }
        }
    }

    #[test]
    fn what_may_have_happened_is_only_repeated_where_that_does_no_harm() {
        let unclear = "fatal_error internal_error update_failed http_500 http_502 http_504 http_408 timeout connection_lost \
                       malformed_answer answer_too_large never_heard_of";
        for code in unclear.split_whitespace() {
            assert_eq!(classify(method::POST_MESSAGE, code), Class::Ambiguous, "{code}");
            assert_eq!(classify(method::POST_EPHEMERAL, code), Class::Ambiguous, "{code}");
            for method in
                [method::UPDATE, method::DELETE, method::ADD_REACTION, method::LOOKUP_BY_EMAIL, method::HISTORY]
            {
                assert_eq!(classify(method, code), Class::Transient, "{method} {code}");
            }
        }
    }

    #[test]
    fn the_method_decides_where_the_string_alone_does_not() {
        for (method, code, class) in [
            (method::ADD_REACTION, "already_reacted", Class::AlreadyDone),
            (method::DELETE, "message_not_found", Class::AlreadyDone),
            (method::UPDATE, "message_not_found", Class::Forgotten),
            (method::ADD_REACTION, "message_not_found", Class::Forgotten),
            (method::UPDATE, "is_inactive", Class::Forgotten),
            (method::POST_MESSAGE, "is_inactive", Class::Config),
        ] {
            assert_eq!(classify(method, code), class, "{method} {code}");
        }
    }

    #[test]
    fn a_direct_message_that_is_refused_concerns_a_person() {
        for (channel, class) in [
            ("UNITED-ops", Class::Config),
            ("U1", Class::Recipient),
            ("W1", Class::Recipient),
            ("D1", Class::Recipient),
            ("C1", Class::Config),
        ] {
            assert_eq!(classify_for(method::POST_MESSAGE, "channel_not_found", Some(channel)), class);
        }
        // These are about the app or the workspace, whoever the message was for.
        assert_eq!(classify_for(method::POST_MESSAGE, "messages_tab_disabled", Some("U1")), Class::Config);
        assert_eq!(classify_for(method::POST_MESSAGE, "invalid_auth", Some("U1")), Class::Auth);
    }

    #[test]
    fn every_error_says_what_to_do_about_it() {
        for code in TABLE.iter().flat_map(|(_, codes)| codes.split_whitespace()).chain(["never_heard_of"]) {
            let remedy = remedy(code, "dba-oncall");
            assert!(remedy.chars().next().unwrap().is_lowercase() && !remedy.ends_with('.'), "{code}: {remedy}");
            assert!(!remedy.contains("  "), "{code}: {remedy}");
        }
        assert!(remedy("not_in_channel", "dba-oncall").starts_with("invite @teleport to #dba-oncall"));
        assert!(remedy("channel_not_found", "C0123").contains("invite"), "both causes are named");
        assert!(remedy("channel_not_found", "C0123").contains("check that C0123 exists"));
        assert!(remedy("users_not_found", "alice@example.com").contains(" alice@example.com "));
    }

    #[test]
    fn the_missing_scope_is_named_by_its_present_name() {
        let mut error = Error::new(method::LOOKUP_BY_EMAIL, "missing_scope", None);
        error.needed = Some("users:read.email".into());
        assert_eq!(error.remedy(), "add the scope users:read.email and reinstall the app");
        error.needed = Some("chat:write:bot".into());
        assert_eq!(error.remedy(), "add the scope chat:write and reinstall the app");
    }

    #[test]
    fn an_error_reads_as_one_short_line() {
        let error = Error::new(method::UPDATE, "invalid_blocks", Some("C1")).because("a\n".repeat(1000));
        let text = error.to_string();
        assert!(text.starts_with("chat.update: invalid_blocks (a a a"), "{text}");
        assert!(!text.contains('\n') && text.len() < 400, "{text}");
        assert_eq!(Error::new(method::UPDATE, "no_text", None).to_string(), "chat.update: no_text");
    }
}
