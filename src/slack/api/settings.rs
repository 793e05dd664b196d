//! What a client needs to know, checked before the first call.

use std::time::Duration;

use reqwest::{Certificate, Url, redirect};
use tracing::warn;

use crate::slack::api::proxy::Way;
use crate::slack::token::Token;

/// Slack's own address; `https://slack-gov.com/api/` for `GovSlack`.
pub const DEFAULT_API_URL: &str = "https://slack.com/api/";
/// Slack publishes no deadline of its own; the official plugin waits as long.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How to reach Slack, and as whom.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Base of the method addresses; a missing slash at the end is added. Empty: [`DEFAULT_API_URL`].
    pub api_url: String,
    /// The bot token.
    pub token: Token,
    /// Certificates (PEM) that are trusted in addition to the system's: of a proxy that opens TLS, of a private Slack.
    pub ca_bundle: Option<Vec<u8>>,
    /// For one call as a whole.
    pub timeout: Duration,
}

impl Settings {
    /// Slack at its own address.
    pub fn new(token: Token) -> Self {
        Self { api_url: DEFAULT_API_URL.to_owned(), token, ca_bundle: None, timeout: DEFAULT_TIMEOUT }
    }

    pub(super) fn base(&self) -> Result<Url, SettingsError> {
        let given = self.api_url.trim();
        if given.is_empty() {
            return parse(DEFAULT_API_URL);
        }
        let mut url = parse(given)?;
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(SettingsError::ApiUrlParts);
        }
        match url.scheme() {
            "https" => {}
            // For a simulator, or a proxy beside us that speaks TLS on our behalf.
            "http" if is_loopback(&url) => {}
            "http" => warn!(
                host = url.host_str().unwrap_or_default(),
                "The Slack API address (api_url) is http://: the network sees the token; use https:// outside of tests"
            ),
            scheme => {
                return Err(SettingsError::ApiUrl { reason: format!("{scheme}:// is neither https:// nor http://") });
            }
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(url)
    }

    /// The way to `base`. A proxy cannot reach what is local to us.
    pub(super) fn way(base: &Url) -> Way {
        if is_loopback(base) { Way::directly_to(base) } else { Way::to(base) }
    }

    /// The HTTP client for [`Settings::way`].
    pub(super) fn http(&self, base: &Url) -> Result<reqwest::Client, SettingsError> {
        let builder = self.builder(base)?.timeout(self.timeout).pool_idle_timeout(Duration::from_secs(30));
        build(builder)
    }

    /// The same for Socket Mode: connections begin as HTTP/1.1 and last.
    pub(super) fn upgrading_http(&self, base: &Url) -> Result<reqwest::Client, SettingsError> {
        build(self.builder(base)?.http1_only())
    }

    fn builder(&self, base: &Url) -> Result<reqwest::ClientBuilder, SettingsError> {
        // reqwest panics when the process has no provider; whoever was first wins, and it is the same one.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("slack-access-operator/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT);
        if is_loopback(base) {
            builder = builder.no_proxy();
        }
        if base.scheme() == "http" {
            // No TLS: the system's certificates need not even exist.
            builder = builder.tls_certs_only([]);
        } else if let Some(pem) = &self.ca_bundle {
            builder = builder.tls_certs_merge(certificates(pem)?);
        }
        Ok(builder)
    }
}

fn build(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, SettingsError> {
    builder.build().map_err(|error| SettingsError::Http { reason: super::transport::reason(&error) })
}

fn parse(url: &str) -> Result<Url, SettingsError> {
    let url = Url::parse(url).map_err(|error| SettingsError::ApiUrl { reason: error.to_string() })?;
    if url.has_host() { Ok(url) } else { Err(SettingsError::ApiUrl { reason: "it names no host".to_owned() }) }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, SettingsError> {
    let certificates = Certificate::from_pem_bundle(pem)
        .map_err(|error| SettingsError::CaBundle { reason: super::transport::reason(&error) })?;
    if certificates.is_empty() {
        return Err(SettingsError::CaBundle { reason: "there is no certificate in it".to_owned() });
    }
    Ok(certificates)
}

/// Why no client could be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not an address.
    #[error("the Slack API address (api_url) is not a URL: {reason}; Slack's own is {DEFAULT_API_URL}")]
    ApiUrl {
        /// What is wrong with it.
        reason: String,
    },
    /// It has parts that method names cannot be added to, or that would put a secret into logs.
    #[error(
        "the Slack API address (api_url) must have no user, password, query or fragment; Slack's own is {DEFAULT_API_URL}"
    )]
    ApiUrlParts,
    /// The CA bundle is no PEM, or an empty one.
    #[error("the CA bundle for Slack cannot be read: {reason}; give PEM certificates")]
    CaBundle {
        /// What is wrong with it.
        reason: String,
    },
    /// The HTTP client could not start: no certificates on this system, for example.
    #[error(
        "the HTTP client for Slack cannot be set up: {reason}; install the system's CA certificates or give a CA bundle"
    )]
    Http {
        /// What is wrong.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use crate::slack::api::settings::*;

    fn base(api_url: &str) -> Result<String, SettingsError> {
        Settings { api_url: api_url.to_owned(), ..Settings::new(Token::new("xoxb-1")) }.base().map(Into::into)
    }

    #[test]
    fn the_address_gets_its_slash_and_a_default() {
        assert_eq!(base("https://slack-gov.com/api").unwrap(), "https://slack-gov.com/api/");
        assert_eq!(base(" ").unwrap(), DEFAULT_API_URL);
        assert_eq!(base("http://127.0.0.1:80/api/").unwrap(), "http://127.0.0.1/api/");
        assert_eq!(base("http://[::1]:8080").unwrap(), "http://[::1]:8080/");
        assert_eq!(base("http://localhost:8080/x").unwrap(), "http://localhost:8080/x/");
    }

    #[test]
    fn plain_http_to_another_machine_is_possible() {
        assert_eq!(base("http://slack.example/api").unwrap(), "http://slack.example/api/");
    }

    #[test]
    fn an_address_that_cannot_be_one_is_named_with_its_key() {
        for url in
            ["slack.com/api", "ftp://slack.com", "https://", "https://user:hunter2@slack.com/", "https://slack.com/?a"]
        {
            let error = base(url).unwrap_err().to_string();
            assert!(error.contains("api_url") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_bundle_without_certificates_is_refused() {
        for bundle in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let settings = Settings { ca_bundle: Some(bundle.into()), ..Settings::new(Token::new("xoxb-1")) };
            let error = settings.http(&settings.base().unwrap()).unwrap_err();
            assert!(matches!(error, SettingsError::CaBundle { .. } | SettingsError::Http { .. }), "{error}");
        }
    }
}
