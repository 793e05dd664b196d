//! The ServiceAccount token (a JWT) with which a worker joins: read anew for every join, and decoded to word messages. It is never
//! verified here: that is Teleport's part.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, io};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::file_watch;

/// A token that ends within this time is better replaced first.
const LEAST_LEFT: jiff::SignedDuration = jiff::SignedDuration::from_secs(15);
/// How long the replacement is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// Real tokens have one to two kilobytes.
const LARGEST: usize = 64 * 1024;

/// A ServiceAccount token. `Debug` shows its claims, never the token.
#[derive(Clone)]
pub(super) struct ServiceAccountToken {
    jwt: String,
    /// What it says of itself.
    pub(super) claims: Claims,
}

impl fmt::Debug for ServiceAccountToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccountToken").field("claims", &self.claims).finish_non_exhaustive()
    }
}

/// What a token says of itself, as far as messages need it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(super) struct Claims {
    /// Who may take it.
    #[serde(rename = "aud")]
    pub(super) audiences: Audiences,
    /// Who made it.
    #[serde(rename = "iss")]
    pub(super) issuer: String,
    /// `system:serviceaccount:NAMESPACE:NAME`.
    #[serde(rename = "sub")]
    pub(super) subject: String,
    /// When it ends, in seconds since 1970.
    #[serde(rename = "exp")]
    pub(super) expires: Option<i64>,
}

/// One audience or several: RFC 7519 allows both.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub(super) enum Audiences {
    /// A string.
    One(String),
    /// A list.
    Several(Vec<String>),
}

impl Default for Audiences {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl fmt::Display for Audiences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(audience) => f.write_str(audience),
            Self::Several(audiences) => f.write_str(&audiences.join(", ")),
        }
    }
}

impl Claims {
    /// `NAMESPACE:NAME`, as an allow rule of Teleport's token resource writes it.
    pub(super) fn service_account(&self) -> Option<&str> {
        self.subject.strip_prefix("system:serviceaccount:").filter(|rest| rest.split(':').count() == 2)
    }
}

/// A token that cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// The file cannot be read.
    #[error("cannot read the ServiceAccount token {}: {source}; {}", path.display(), unreadable_remedy(source))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error(
        "{}: this is no ServiceAccount token (a JWT, three parts with dots between); name a file that a projected serviceAccountToken volume writes",
        path.display()
    )]
    NotAToken {
        /// The file.
        path: PathBuf,
    },
}

fn unreadable_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "mount a projected serviceAccountToken volume there, or correct join_token_path",
        io::ErrorKind::PermissionDenied => "let the user that runs this process read it",
        _ => "name a file that a projected serviceAccountToken volume writes",
    }
}

impl ServiceAccountToken {
    /// Reads the token as it is now. One that is about to end is waited with for a while: the kubelet should be replacing it. Whether
    /// it has really ended is for Teleport to say, by its own clock.
    pub(super) async fn read(path: &Path) -> Result<Self, TokenFileError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let token = Self::read_once(path)?;
            if !token.ends_soon(Timestamp::now()) || Instant::now() >= deadline {
                return Ok(token);
            }
            sleep(file_watch::INTERVAL).await;
        }
    }

    fn read_once(path: &Path) -> Result<Self, TokenFileError> {
        let content =
            file_watch::read(path).map_err(|source| TokenFileError::Read { path: path.to_owned(), source })?;
        Self::parse(&content).ok_or_else(|| TokenFileError::NotAToken { path: path.to_owned() })
    }

    fn ends_soon(&self, now: Timestamp) -> bool {
        let expires = self.claims.expires.and_then(|expires| Timestamp::from_second(expires).ok());
        expires.is_some_and(|expires| now.duration_until(expires) < LEAST_LEFT)
    }

    fn parse(content: &[u8]) -> Option<Self> {
        let jwt = std::str::from_utf8(content).ok().filter(|text| text.len() <= LARGEST)?.trim();
        let mut parts = jwt.split('.');
        let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return None;
        };
        let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?;
        Some(Self { jwt: jwt.to_owned(), claims: serde_json::from_slice(&payload).ok()? })
    }

    /// The secret.
    pub(super) fn jwt(&self) -> &str {
        &self.jwt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(claims: &str) -> String {
        let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", part(r#"{"alg":"RS256"}"#), part(claims), part("signature"))
    }

    fn written(content: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, content).unwrap();
        file
    }

    fn read(content: &str) -> Result<ServiceAccountToken, TokenFileError> {
        ServiceAccountToken::read_once(written(content).path())
    }

    #[test]
    fn a_token_says_who_it_is_for_and_whose_it_is() {
        let text = jwt(
            r#"{"aud":["a.example","b"],"iss":"https://k","sub":"system:serviceaccount:teleport:slack","exp":2000}"#,
        );
        let token = read(&format!("{text}\n")).unwrap();
        assert_eq!(token.jwt(), text);
        assert_eq!(token.claims.audiences.to_string(), "a.example, b");
        assert_eq!(token.claims.service_account(), Some("teleport:slack"));
        let one = read(&jwt(r#"{"aud":"a","sub":"alice"}"#)).unwrap();
        assert_eq!((one.claims.audiences.to_string(), one.claims.service_account()), ("a".to_owned(), None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_is_about_to_end_is_waited_with_until_its_replacement_comes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let now = Timestamp::now().as_second();
        std::fs::write(&file, jwt(&format!(r#"{{"exp":{}}}"#, now + 5))).unwrap();
        let path = file.path().to_owned();
        let reading = tokio::spawn(async move { ServiceAccountToken::read(&path).await.unwrap() });
        sleep(Duration::from_secs(3)).await;
        assert!(!reading.is_finished());
        std::fs::write(&file, jwt(&format!(r#"{{"exp":{}}}"#, now + 600))).unwrap();
        assert_eq!(reading.await.unwrap().claims.expires, Some(now + 600));

        std::fs::write(&file, jwt(r#"{"exp":1}"#)).unwrap();
        let ended = ServiceAccountToken::read(file.path()).await.unwrap();
        assert_eq!(ended.claims.expires, Some(1), "after a while it is for Teleport to judge");
    }

    #[test]
    fn something_else_is_refused_with_the_file_and_never_with_its_content() {
        for content in ["", "secret", "secret.secret.secret", "a.b", &format!("{}.x", jwt("{}"))] {
            let error = read(content).unwrap_err();
            assert!(matches!(error, TokenFileError::NotAToken { .. }), "{error}");
            assert!(!format!("{error} {error:?}").contains("secret"));
        }
        let missing = ServiceAccountToken::read_once(Path::new("/nowhere/token")).unwrap_err();
        assert!(missing.to_string().contains("/nowhere/token") && missing.to_string().contains("join_token_path"));
    }

    #[test]
    fn debug_output_holds_no_token() {
        let text = jwt(r#"{"sub":"system:serviceaccount:n:s"}"#);
        let shown = format!("{:?}", read(&text).unwrap());
        assert!(shown.contains("system:serviceaccount:n:s") && !shown.contains(&text[..20]), "{shown}");
    }
}
