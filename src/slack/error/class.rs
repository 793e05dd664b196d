//! What follows from an error: by its code, and by the method that answered it.

use crate::slack::error::table;
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
    /// The message or thread that the call was about is gone or closed for good: stop following it. The recipient itself is
    /// fine.
    Forgotten,
    /// The message is another Slack app's: no call with this token can change it, though its thread may take a reply.
    AnotherApp,
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
            Self::AnotherApp => "another_app",
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
    let is_of_the_place = !table::NOT_ABOUT_THE_PLACE.contains(&code);
    if class == Class::Config && channel.is_some_and(is_person) && is_of_the_place { Class::Recipient } else { class }
}

/// Whether this is the id of a user or of a direct message.
pub(super) fn is_person(channel: &str) -> bool {
    let is_id = channel.len() > 1 && channel.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    is_id && channel.starts_with(['U', 'W', 'D'])
}

/// The class of an error code, for the method that answered it. What is unknown may have been carried out.
pub fn classify(method: &str, code: &str) -> Class {
    let of_method = |(methods, of, _): &&(&[&str], &str, Class)| *of == code && methods.contains(&method);
    if let Some((_, _, class)) = table::BY_METHOD.iter().find(of_method) {
        return *class;
    }
    if let Some(row) = table::find(code) {
        return row.class;
    }
    match code {
        _ if code.starts_with("restricted_action") => Class::Config,
        _ if code.starts_with("slack_connect_") && code.ends_with("_blocked") => Class::Config,
        _ if code.starts_with("invalid_ts_") => Class::Payload,
        // Refused by an HTTP server in front of Slack, before the call reached it. 408 says nothing of that kind.
        _ if code.starts_with("http_4") && code != "http_408" => Class::Transient,
        _ if method::is_idempotent(method) => Class::Transient,
        _ => Class::Ambiguous,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_of_the_table_has_its_class_for_calls_that_may_be_repeated_and_for_posts_alike() {
        for row in table::TABLE.iter().filter(|row| row.class != Class::Forgotten) {
            for code in row.codes {
                for method in [method::POST_MESSAGE, method::UPDATE] {
                    assert_eq!(classify(method, code), row.class, "{method} {code}");
                }
            }
        }
    }

    #[test]
    fn families_of_codes_have_a_class_too() {
        for (code, class) in [
            ("restricted_action_of_a_new_kind", Class::Config),
            ("slack_connect_canvas_sharing_blocked", Class::Config),
            ("invalid_ts_oldest", Class::Payload),
            ("http_403", Class::Transient),
            ("http_407", Class::Transient),
        ] {
            assert_eq!(classify(method::POST_MESSAGE, code), class, "{code}");
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
        ] {
            assert_eq!(classify(method, code), class, "{method} {code}");
        }
    }

    #[test]
    fn an_archived_channel_can_be_unarchived_so_nothing_about_it_is_final() {
        for method in [method::POST_MESSAGE, method::UPDATE, method::ADD_REACTION, method::DELETE] {
            for code in ["is_inactive", "is_archived"] {
                assert_eq!(classify(method, code), Class::Config, "{method} {code}");
            }
        }
    }

    #[test]
    fn a_message_of_another_app_is_told_from_one_that_is_gone() {
        assert_eq!(classify(method::UPDATE, "cant_update_message"), Class::AnotherApp);
        assert_eq!(classify(method::DELETE, "cant_delete_message"), Class::AnotherApp);
        assert_eq!(classify(method::UPDATE, "message_not_found"), Class::Forgotten);
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
