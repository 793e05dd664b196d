//! The worker's configuration file: the official plugin's TOML format with a few keys of our own.
//!
//! One struct, [`Config`], is parsed by the worker and rendered by the controller. Every problem is one line which says
//! where, what, and what to do.

mod environment;
mod file;
mod join;
pub mod paths;
pub mod recipient;
mod render;
pub mod suggested_reviewers;
mod syntax;
#[cfg(test)]
mod tests;
mod toml_source;
mod validate;

use std::path::{Path, PathBuf};
use std::{fmt, io};

use serde::Serialize;

use crate::config::recipient::RoleToRecipients;
use crate::config::suggested_reviewers::SuggestedReviewers;
use crate::file_watch;
use crate::telemetry::{Log, Severity};
use crate::teleport::identity::Credentials;
use crate::teleport::join::Settings as JoinSettings;

pub use crate::config::environment::{Environment, OVERRIDES, Override};
pub use crate::config::toml_source::{Place, Problem};

/// Where the official plugin keeps its file.
pub const DEFAULT_PATH: &str = "/etc/teleport-slack.toml";
/// The name under which plugin data is stored and notification rules name us; the official plugin's.
pub const DEFAULT_PLUGIN_NAME: &str = "slack";
/// Slack's Web API.
pub const DEFAULT_API_URL: &str = "https://slack.com/api/";
/// The official plugin's default for `teleport.addr`: an Auth Service on the same machine.
pub const DEFAULT_ADDR: &str = "localhost:3025";
/// The trait that the operator's objects name by default.
pub const DEFAULT_SLACK_USER_ID_TRAIT: &str = "slack_user_id";
/// How much of a token file is read, in bytes; the official plugin's limit.
pub const TOKEN_FILE_LIMIT: usize = 2000;

/// What `configure` prints: every key with its meaning.
pub const EXAMPLE: &str = include_str!("example.toml");

/// Everything the worker has to know, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "file::File")]
pub struct Config {
    /// `[teleport]`.
    pub teleport: Teleport,
    /// `[slack]`.
    pub slack: Slack,
    /// `[role_to_recipients]`.
    pub role_to_recipients: RoleToRecipients,
    /// `[suggested_reviewers]`.
    pub suggested_reviewers: SuggestedReviewers,
    /// `[review]`; none where reviews in Slack are off.
    pub review: Option<Review>,
    /// `[log]`.
    pub log: Log,
    /// `[diag] addr`: `HOST:PORT` of `/livez`, `/readyz` and `/metrics`; not served when absent.
    pub diag_addr: Option<String>,
    /// `[kubernetes]`: the object whose status this worker writes, if there is one.
    pub kubernetes: Option<StatusObject>,
}

/// How to reach Teleport, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Teleport {
    /// `HOST:PORT` of an Auth or Proxy Service; which of the two is found out.
    pub addr: String,
    /// Where the identity comes from.
    pub credentials: IdentitySource,
    /// PEM file of authorities to trust for the Proxy's web certificate, beside the system's.
    pub ca_bundle: Option<PathBuf>,
    /// The name under which plugin data is stored.
    pub plugin_name: String,
    /// The Teleport user that the identity has to be of; any, when it is not set.
    pub user: Option<String>,
}

/// Where the identity comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentitySource {
    /// Files that an administrator or `tbot` writes.
    Files(Credentials),
    /// Joining with the ServiceAccount's token.
    Join(JoinSettings),
}

/// How to reach Slack, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slack {
    /// The bot token.
    pub token: TokenSource,
    /// Base of the Web API, ending with `/`.
    pub api_url: String,
    /// PEM file of authorities to trust beside the system's, for instance those of an inspecting proxy.
    pub ca_bundle: Option<PathBuf>,
    /// The id of the workspace (`T…`) that the token has to be of; any, when it is not set.
    pub team_id: Option<String>,
}

/// A token, or the file that holds it.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// The token itself.
    Inline(String),
    /// An absolute path. The file's first [`TOKEN_FILE_LIMIT`] bytes, trimmed, are the token.
    File(PathBuf),
}

/// Shows where the token is, never the token.
impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(_) => f.write_str("Inline(redacted)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// How reviewers approve and deny in Slack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// The app-level token, which opens Socket Mode connections.
    pub app_token: TokenSource,
    /// The trait of Teleport users that holds their Slack user id; none where only e-mail addresses are matched.
    pub slack_user_id_trait: Option<String>,
    /// Whether the confirmed e-mail address of a Slack profile may be the name of the Teleport user.
    pub allow_email_match: bool,
    /// When a reviewer is asked for a reason.
    pub reason: ReasonPolicy,
}

/// When a reviewer is asked for a reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReasonPolicy {
    /// Never.
    Never,
    /// Where the reviewer wants to give one.
    Optional,
    /// A denial needs one; an approval may have one.
    #[default]
    OnDeny,
    /// Every review needs one.
    Always,
}

impl ReasonPolicy {
    /// Every policy with its name in files and objects.
    pub const NAMES: [(&'static str, Self); 4] =
        [("never", Self::Never), ("optional", Self::Optional), ("onDeny", Self::OnDeny), ("always", Self::Always)];

    /// Its name in files and objects.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, policy)| *policy == self).map_or("onDeny", |(name, _)| name)
    }
}

/// The `SlackAccessPlugin` object whose status this worker writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusObject {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID, so that an object deleted and created anew is not taken for the old one.
    pub uid: Option<String>,
}

/// Whether `role_to_recipients."*"` may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wildcard {
    /// As the official plugin demands.
    Required,
    /// Requests for roles without an entry reach their suggested reviewers only.
    Optional,
}

/// Where a configuration comes from, so that it can be read again on `kill -HUP`. It may hold a token: no `Debug`.
#[derive(Clone)]
pub struct Origin {
    /// The file.
    pub path: PathBuf,
    /// Whether `role_to_recipients."*"` may be left out.
    pub wildcard: Wildcard,
    /// What takes the place of the file's settings.
    pub environment: Environment,
    /// `--debug`: takes the place of `log.severity`.
    pub debug: bool,
    /// `--diag-addr`: takes the place of `diag.addr`.
    pub diag_addr: Option<String>,
}

impl Origin {
    /// Reads and checks the configuration as it is now.
    pub fn load(&self) -> Result<Loaded, Error> {
        let mut loaded = Config::load(&self.path, self.wildcard, &self.environment)?;
        if self.debug {
            loaded.config.log.severity = Severity::Debug;
        }
        if self.diag_addr.is_some() {
            loaded.config.diag_addr.clone_from(&self.diag_addr);
        }
        Ok(loaded)
    }

    /// The files that hold secrets, each with the setting that names it.
    #[must_use]
    pub fn secret_files(&self, config: &Config) -> Vec<(&'static str, PathBuf)> {
        let token = match &config.slack.token {
            TokenSource::File(path) => ("slack.token", path.clone()),
            TokenSource::Inline(_) => ("slack.token in the configuration file", self.path.clone()),
        };
        let key = match &config.teleport.credentials {
            IdentitySource::Files(Credentials::IdentityFile(path)) => ("teleport.identity", path.clone()),
            IdentitySource::Files(Credentials::TlsFiles { key, .. }) => ("teleport.client_key", key.clone()),
            IdentitySource::Join(join) => ("teleport.join_token_path", join.token_path.clone()),
        };
        let app_token = config.review.as_ref().and_then(|review| match &review.app_token {
            TokenSource::File(path) => Some(("review.app_token", path.clone())),
            TokenSource::Inline(_) => None,
        });
        [token, key].into_iter().chain(app_token).collect()
    }
}

/// A configuration that can be used, and what should be said about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Unknown, deprecated and ineffective settings; to be logged.
    pub warnings: Vec<Problem>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read.
    #[error("cannot read configuration file {}: {source}; {}", path.display(), unreadable_remedy(source))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file was read but cannot be used.
    #[error("{0}")]
    Invalid(Problem),
}

fn unreadable_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "write one with the `configure` command, or name another with --config",
        io::ErrorKind::PermissionDenied => "let the user that runs this process read it",
        _ => "name a readable TOML file with --config",
    }
}

impl Config {
    /// Reads and checks a file.
    pub fn load(path: &Path, wildcard: Wildcard, environment: &Environment) -> Result<Loaded, Error> {
        let bytes =
            file_watch::read_once(path).map_err(|source| Error::Unreadable { path: path.to_owned(), source })?;
        let file = path.display().to_string();
        match std::str::from_utf8(&bytes) {
            Ok(text) => Self::parse(&file, text, wildcard, environment),
            Err(error) => Err(Error::Invalid(Problem::not_text(&file, &bytes, &error))),
        }
    }

    /// Checks a file's text; `file` is its name in messages.
    pub fn parse(file: &str, text: &str, wildcard: Wildcard, environment: &Environment) -> Result<Loaded, Error> {
        validate::parse(file, text, wildcard, environment).map_err(Error::Invalid)
    }

    /// The file's text that [`Config::parse`] reads back as this configuration.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}
