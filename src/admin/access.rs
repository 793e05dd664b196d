//! Who may read `/metrics`.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use crate::admin::tls::CertificateFiles;
use crate::admin::token_review::{TokenReviewer, Verdict};

/// How a request came in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Channel {
    /// As it is.
    #[default]
    Plain,
    /// Over TLS.
    Encrypted,
}

/// Who may read `/metrics`, as it was configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What a reader has to show.
    pub authentication: Authentication,
    /// Serves `/metrics` over TLS only. `/livez` and `/readyz` are served with and without.
    pub certificate: Option<CertificateFiles>,
}

/// What a reader of `/metrics` has to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Authentication {
    /// Nothing
    #[default]
    None,
    /// A token of this Kubernetes cluster, of a user who may `get` the path /metrics
    Kubernetes,
}

/// What a reader of `/metrics` has to bring; nothing by default.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Only over TLS.
    pub encrypted: bool,
    /// A token of the Kubernetes cluster, of a user who may `get` the path `/metrics`.
    pub reviewer: Option<Arc<TokenReviewer>>,
}

/// Why a reader gets nothing.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Over TLS only.
    #[error("metrics are served over TLS only: ask with https://")]
    Plain,
    /// Nothing to check.
    #[error("metrics need a token of this Kubernetes cluster: send it as `Authorization: Bearer TOKEN`")]
    NoToken,
    /// Not one of this cluster's, or expired.
    #[error("the Kubernetes API does not accept this token")]
    Unauthenticated,
    /// Somebody who may not.
    #[error("{user} may not read metrics: bind a ClusterRole that allows `get` on the nonResourceURL /metrics")]
    Forbidden {
        /// Whose token it is.
        user: String,
    },
    /// The question could not be asked.
    #[error("the token could not be checked: {0}")]
    NotReviewed(String),
}

impl Access {
    /// Whether this request may read.
    pub(super) async fn check(&self, channel: Channel, headers: &HeaderMap) -> Result<(), Refusal> {
        if self.encrypted && channel == Channel::Plain {
            return Err(Refusal::Plain);
        }
        let Some(reviewer) = &self.reviewer else { return Ok(()) };
        let token = bearer(headers).ok_or(Refusal::NoToken)?;
        match reviewer.review(token).await {
            Ok(Verdict::Allowed) => Ok(()),
            Ok(Verdict::Unauthenticated) => Err(Refusal::Unauthenticated),
            Ok(Verdict::Forbidden(user)) => Err(Refusal::Forbidden { user }),
            Err(error) => Err(Refusal::NotReviewed(error.to_string())),
        }
    }
}

/// The token of `Authorization: Bearer TOKEN`; the scheme's case does not matter (RFC 9110, 11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    Some(token.trim()).filter(|token| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))])
    }

    #[test]
    fn a_token_is_found_behind_its_scheme() {
        assert_eq!(bearer(&headers("Bearer abc")), Some("abc"));
        assert_eq!(bearer(&headers("bearer  abc ")), Some("abc"));
        for value in ["Bearer ", "Bearer", "Basic abc", "abc"] {
            assert_eq!(bearer(&headers(value)), None, "{value}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }

    #[tokio::test]
    async fn metrics_that_need_tls_are_not_shown_without() {
        let access = Access { encrypted: true, reviewer: None };
        let none = HeaderMap::new();
        assert!(matches!(access.check(Channel::Plain, &none).await, Err(Refusal::Plain)));
        assert!(access.check(Channel::Encrypted, &none).await.is_ok());
        assert!(Access::default().check(Channel::Plain, &none).await.is_ok());
    }
}
