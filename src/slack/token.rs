//! The Slack token: kept out of every log, error and `{:?}`.

use std::{fmt, sync::Arc};

/// A Slack token. `Debug` and `Display` show its kind only.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<str>);

impl Token {
    /// Takes the token as it was found in a file, a Secret or a key, without the white space around it.
    pub fn new(token: impl AsRef<str>) -> Self {
        Self(Arc::from(token.as_ref().trim()))
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

    /// Whether the token can serve where a bot token is expected.
    ///
    /// `Ok(Some(warning))` when the prefix is unknown: simulators and proxies hand out tokens of their own shape.
    pub fn check_bot_slot(&self) -> Result<Option<String>, TokenError> {
        if self.0.is_empty() {
            return Err(TokenError::Empty);
        }
        // What cannot stand in a header is not a token: most often a whole file was put where its content belongs.
        if !self.0.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Malformed);
        }
        match self.kind() {
            Kind::Bot | Kind::RotatedBot => Ok(None),
            Kind::Unknown => Ok(Some(
                "the Slack token does not start with xoxb-: unless a proxy or a simulator issued it, copy the Bot User \
                 OAuth Token from the app's OAuth & Permissions page"
                    .to_owned(),
            )),
            kind => Err(TokenError::WrongKind(kind)),
        }
    }
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
    /// It is a token, but not a bot's.
    #[error(
        "the Slack bot token is of another kind, {0}: copy the Bot User OAuth Token (xoxb-...) from the app's OAuth & Permissions page"
    )]
    WrongKind(Kind),
}

/// `text` with every appearance of `token` replaced by its kind.
pub fn mask(text: &str, token: &Token) -> String {
    if token.0.is_empty() { text.to_owned() } else { text.replace(&*token.0, &token.to_string()) }
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
    fn a_token_inside_a_text_is_masked() {
        let token = Token::new("xoxb-1-secret");
        assert_eq!(mask("header xoxb-1-secret refused", &token), "header <bot token (xoxb-)> refused");
        assert_eq!(mask("abc", &Token::new("")), "abc");
    }
}
