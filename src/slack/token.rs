//! The Slack token: kept out of every log, error and `{:?}`.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::encoded;

/// A Slack token. `Debug` and `Display` show its kind only; its memory is overwritten when the last copy goes.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<Zeroizing<String>>);

impl Token {
    /// Takes the token as it was found in a file, a Secret or a key, without the white space around it.
    pub fn new(token: impl AsRef<str>) -> Self {
        Self(Arc::new(Zeroizing::new(token.as_ref().trim().to_owned())))
    }

    /// Whether there is nothing of it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the prefix says about the token.
    pub fn kind(&self) -> Kind {
        Kind::of(&self.0)
    }

    /// The token itself, for the `Authorization` header and for nothing else.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// Why the token must not be sent to this host: nothing is sent as a bearer that is empty, and nothing that is not Slack's to
    /// Slack. What else may be in a file or a Secret is not for Slack to see; a token of another shape serves a proxy or a simulator.
    pub(crate) fn withheld_from(&self, host: &str) -> Option<Withheld> {
        if self.is_empty() {
            return Some(Withheld::Missing);
        }
        let is_slack = SLACK_HOSTS.iter().any(|slack| {
            let below = host.strip_suffix(slack);
            below.is_some_and(|below| below.is_empty() || below.ends_with('.'))
        });
        (is_slack && self.kind() == Kind::Unknown).then_some(Withheld::Foreign)
    }

    /// Whether the token can serve where a bot token is expected.
    ///
    /// `Ok(Some(warning))` when the prefix is unknown: simulators and proxies hand out tokens of their own shape.
    pub fn check_bot_slot(&self) -> Result<Option<String>, TokenError> {
        match self.check_form()? {
            Kind::Bot | Kind::RotatedBot => Ok(None),
            Kind::Unknown => Ok(Some(
                "the Slack token does not start with xoxb-: unless a proxy or a simulator issued it, copy the Bot User \
                 OAuth Token from the app's OAuth & Permissions page"
                    .to_owned(),
            )),
            kind => Err(TokenError::WrongKind(kind)),
        }
    }

    /// Whether the token can serve where an app-level token is expected; the warning is as that of [`Token::check_bot_slot`].
    pub fn check_app_slot(&self) -> Result<Option<String>, AppTokenError> {
        let flaw = match self.check_form() {
            Ok(Kind::App) => return Ok(None),
            Ok(Kind::Unknown) => {
                return Ok(Some(
                    "the Slack app token does not start with xapp-: unless a simulator issued it, generate one with the \
                     scope connections:write under Basic Information > App-Level Tokens"
                        .to_owned(),
                ));
            }
            Ok(kind) | Err(TokenError::WrongKind(kind)) => format!("is of another kind, {kind}"),
            Err(TokenError::Empty) => "is empty".to_owned(),
            Err(TokenError::Malformed) => "has spaces, line breaks or other characters that no token has".to_owned(),
            Err(TokenError::Quoted) => "has quotes around it".to_owned(),
            Err(TokenError::Prefixed) => "has something before it".to_owned(),
            Err(TokenError::Encoded) => "is base64-encoded once more than needed".to_owned(),
        };
        Err(AppTokenError { flaw })
    }

    /// The id of the app that the token says it belongs to: `xapp-1-A0123456789-…`.
    pub fn app_id(&self) -> Option<&str> {
        let id = self.0.strip_prefix("xapp-")?.split('-').nth(1)?;
        (id.starts_with('A') && id.len() > 1 && id.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(id)
    }

    /// Whether a token stands behind something that belongs to the place it was copied from: `Bearer xoxb-…`, `token: xoxb-…`.
    fn follows_something(&self) -> bool {
        let last = self.0.rsplit([' ', '\t', ':', '=']).next().unwrap_or_default();
        last != self.reveal() && Kind::of(last) != Kind::Unknown && Kind::of(&self.0) == Kind::Unknown
    }

    /// The token's kind, if it has the form of a token at all.
    fn check_form(&self) -> Result<Kind, TokenError> {
        if self.0.is_empty() {
            return Err(TokenError::Empty);
        }
        let bare = self.0.trim_matches(is_quote).trim();
        if bare != self.reveal() && Kind::of(bare) != Kind::Unknown {
            return Err(TokenError::Quoted);
        }
        let is_token =
            |content: &[u8]| std::str::from_utf8(content).is_ok_and(|text| Kind::of(text.trim()) != Kind::Unknown);
        if encoded::hides(self.0.as_bytes(), is_token) {
            return Err(TokenError::Encoded);
        }
        if self.follows_something() {
            return Err(TokenError::Prefixed);
        }
        // What cannot stand in a header is not a token: most often a whole file was put where its content belongs.
        if !self.0.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Malformed);
        }
        Ok(self.kind())
    }
}

/// Slack's own hosts.
const SLACK_HOSTS: [&str; 2] = ["slack.com", "slack-gov.com"];

/// Why a token is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Withheld {
    /// There is none.
    Missing,
    /// It is not Slack's, and the host is.
    Foreign,
}

impl Withheld {
    /// What Slack would answer, and the reason in words.
    pub(crate) const fn refusal(self) -> (&'static str, &'static str) {
        match self {
            Self::Missing => ("not_authed", "there is no token, and nothing was sent"),
            Self::Foreign => ("invalid_auth", "what is given as the token is not Slack's (xoxb-...), and was not sent"),
        }
    }
}

/// Straight ones of configuration files and shells, and those that a word processor makes of them.
fn is_quote(character: char) -> bool {
    matches!(character, '"' | '\'' | '`' | '\u{2018}'..='\u{201f}')
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.kind())
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.kind())
    }
}

/// The kinds of tokens, told apart by prefix (Slack's docs: token types).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `xoxb-`: the bot token, for all Web API calls.
    Bot,
    /// `xoxe.xoxb-`: a bot token that expires after 12 hours.
    RotatedBot,
    /// `xoxp-` or `xoxe.xoxp-`: acts as a person.
    User,
    /// `xapp-`: opens Socket Mode connections and nothing else.
    App,
    /// `xoxe-`: buys the next rotated token.
    Refresh,
    /// `xwfp-`: a workflow's, for 15 minutes.
    Workflow,
    /// Anything else.
    Unknown,
}

impl Kind {
    fn of(token: &str) -> Self {
        const PREFIXES: [(&str, Kind); 7] = [
            ("xoxb-", Kind::Bot),
            ("xoxe.xoxb-", Kind::RotatedBot),
            ("xoxp-", Kind::User),
            ("xoxe.xoxp-", Kind::User),
            ("xapp-", Kind::App),
            ("xoxe-", Kind::Refresh),
            ("xwfp-", Kind::Workflow),
        ];
        PREFIXES.iter().find(|(prefix, _)| token.starts_with(prefix)).map_or(Self::Unknown, |&(_, kind)| kind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bot => "bot token (xoxb-)",
            Self::RotatedBot => "rotated bot token (xoxe.xoxb-)",
            Self::User => "user token (xoxp-)",
            Self::App => "app-level token (xapp-)",
            Self::Refresh => "refresh token (xoxe-)",
            Self::Workflow => "workflow token (xwfp-)",
            Self::Unknown => "token of unknown kind",
        })
    }
}

/// Why a token cannot be the bot token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Nothing was given.
    #[error(
        "the Slack bot token is empty: copy the Bot User OAuth Token (xoxb-...) from the app's OAuth & Permissions page"
    )]
    Empty,
    /// It has white space, control or non-ASCII characters inside.
    #[error("the Slack bot token has spaces, line breaks or other characters that no token has: give the token alone")]
    Malformed,
    /// It is in quotes that belong to the notation it was copied from.
    #[error("the Slack bot token has quotes around it: give the token without them")]
    Quoted,
    /// It stands behind `Bearer` or the name of a setting.
    #[error("the Slack bot token has something before it (`Bearer`, or the name of a setting): give the token alone")]
    Prefixed,
    /// It is in base64.
    #[error(
        "the Slack bot token is base64-encoded once more than needed: give it plainly, in a Secret under `stringData` or \
         with `kubectl create secret generic --from-literal` (only under `data` it is encoded, once)"
    )]
    Encoded,
    /// It is a token, but not a bot's.
    #[error(
        "the Slack bot token is of another kind, {0}: copy the Bot User OAuth Token (xoxb-...) from the app's OAuth & Permissions page"
    )]
    WrongKind(Kind),
}

/// Why a token cannot be the app-level token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the Slack app token {flaw}: generate an app-level token (xapp-...) with the scope connections:write under Basic Information > App-Level Tokens"
)]
pub struct AppTokenError {
    /// What is wrong with it, as the rest of a sentence.
    flaw: String,
}

/// `text` with every appearance of `token` replaced by its kind.
pub fn mask(text: &str, token: &Token) -> String {
    if token.0.is_empty() { text.to_owned() } else { text.replace(token.reveal(), &token.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_debug_nor_display_shows_the_token() {
        let token = Token::new("xoxb-1-secret\n");
        assert_eq!(format!("{token:?} {token}"), "Token(bot token (xoxb-)) <bot token (xoxb-)>");
        assert_eq!(token.reveal(), "xoxb-1-secret");
    }

    #[test]
    fn only_a_bot_token_fits_the_bot_slot() {
        assert_eq!(Token::new("xoxb-1").check_bot_slot(), Ok(None));
        assert_eq!(Token::new("xoxe.xoxb-1").check_bot_slot(), Ok(None));
        assert_eq!(Token::new(" \n").check_bot_slot(), Err(TokenError::Empty));
        assert_eq!(Token::new("xoxb-1\nxoxb-2").check_bot_slot(), Err(TokenError::Malformed));
        for (token, kind) in [
            ("xoxp-1", Kind::User),
            ("xoxe.xoxp-1", Kind::User),
            ("xapp-1", Kind::App),
            ("xoxe-1", Kind::Refresh),
            ("xwfp-1", Kind::Workflow),
        ] {
            assert_eq!(Token::new(token).check_bot_slot(), Err(TokenError::WrongKind(kind)));
        }
    }

    #[test]
    fn a_token_of_unknown_shape_is_only_warned_about() {
        let warning = Token::new("test-token").check_bot_slot().unwrap().unwrap();
        assert!(warning.contains("xoxb-") && !warning.contains("test-token"), "{warning}");
    }

    #[test]
    fn nothing_but_slacks_own_tokens_goes_to_slack_and_an_empty_one_goes_nowhere() {
        let withheld = |token: &str, host: &str| Token::new(token).withheld_from(host);
        for host in ["slack.com", "slack-gov.com", "edge.slack.com"] {
            assert_eq!(withheld("database-password", host), Some(Withheld::Foreign), "{host}");
            assert_eq!(withheld("xoxb-1", host), None, "{host}");
        }
        for host in ["127.0.0.1", "slack-proxy.example", "notslack.com", "slack.com.example"] {
            assert_eq!(withheld("token-of-a-proxy", host), None, "{host}");
            assert_eq!(withheld(" ", host), Some(Withheld::Missing), "{host}");
        }
    }

    #[test]
    fn quotes_around_a_token_are_not_part_of_it() {
        for token in ["\"xoxb-1\"", "'xoxb-1\n'", "\u{201c}xoxb-1\u{201d}", "xoxb-1\"", "\"xoxp-1\""] {
            assert_eq!(Token::new(token).check_bot_slot(), Err(TokenError::Quoted), "{token}");
        }
        assert!(Token::new("\"test-token\"").check_bot_slot().is_ok(), "it may be a proxy's");
    }

    #[test]
    fn what_stands_before_a_token_is_named_and_line_ends_are_not_part_of_it() {
        for token in ["Bearer xoxb-1", "token: xoxb-1\r\n", "token:xoxb-1", "SLACK_TOKEN=xoxb-1", "bearer\txoxe.xoxb-1"]
        {
            assert_eq!(Token::new(token).check_bot_slot(), Err(TokenError::Prefixed), "{token}");
        }
        assert_eq!(Token::new("xoxb-1\r\n").check_bot_slot(), Ok(None));
        assert!(Token::new("proxy:test=token").check_bot_slot().is_ok(), "it may be a proxy's");
    }

    #[test]
    fn a_token_in_base64_is_recognised_and_not_shown() {
        // `echo -n xoxb-1-secret | base64`, the same with a line break at its end, and encoded twice.
        for token in ["eG94Yi0xLXNlY3JldA==", "eG94Yi0xLXNlY3JldAo=", "ZUc5NFlpMHhMWE5sWTNKbGRBPT0="] {
            let error = Token::new(token).check_bot_slot().unwrap_err();
            assert_eq!(error, TokenError::Encoded);
            assert!(!error.to_string().contains(token) && !error.to_string().contains("xoxb-1"), "{error}");
        }
        assert!(Token::new("c29tZXRoaW5nIGVsc2U=").check_bot_slot().is_ok(), "it may be a proxy's");
    }

    #[test]
    fn only_an_app_token_fits_the_app_slot() {
        assert_eq!(Token::new("xapp-1-A1-2-ab").check_app_slot(), Ok(None));
        for token in ["", "xoxb-1", "xoxp-1", "\"xapp-1\"", "xapp-1 xapp-2", "eGFwcC0xLXNlY3JldA=="] {
            let error = Token::new(token).check_app_slot().unwrap_err().to_string();
            assert!(error.contains("xapp-...") && error.contains("connections:write"), "{error}");
            assert!(token.is_empty() || !error.contains(token), "{error}");
        }
        assert!(Token::new("test-app-token").check_app_slot().unwrap().unwrap().contains("xapp-"));
    }

    #[test]
    fn an_app_token_names_its_app() {
        assert_eq!(Token::new("xapp-1-A0123ABC-456-abcdef").app_id(), Some("A0123ABC"));
        for token in ["xapp-1", "xapp-1--2", "xapp-1-B1-2", "xoxb-1-A1-2", "xapp-1-A<>-2"] {
            assert_eq!(Token::new(token).app_id(), None, "{token}");
        }
    }

    #[test]
    fn a_token_inside_a_text_is_masked() {
        let token = Token::new("xoxb-1-secret");
        assert_eq!(mask("header xoxb-1-secret refused", &token), "header <bot token (xoxb-)> refused");
        assert_eq!(mask("abc", &Token::new("")), "abc");
    }
}
