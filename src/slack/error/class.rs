//! What follows from an error: Slack's `error` strings, and our own codes, by what a caller does about them.

use crate::slack::error::code;
use crate::slack::method;

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
pub(super) fn is_person(channel: &str) -> bool {
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
        | code::PROXY_FAILED
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
#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Slack's strings by what they mean to us, for calls that may be repeated and for `chat.postMessage` alike.
    pub(in crate::slack::error) const TABLE: &[(Class, &str)] = &[
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
             streaming_state_conflict connect_failed proxy_failed redirected http_403 http_404 http_407",
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
            (method::UPDATE, "is_inactive", Class::Config),
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
}
