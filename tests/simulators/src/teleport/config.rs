//! What kind of cluster is simulated.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::keys::KeyAlgorithm;
use super::role::{Role, User};

/// Teleport's editions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Edition {
    /// Open source: no reviews by users, no access lists; plugins are told so, and give no links to the web UI.
    Oss,
    /// Enterprise: all of it.
    #[default]
    Enterprise,
}

/// A server's version. It decides which methods exist and what the watch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerVersion {
    /// Major version.
    pub major: u32,
    /// Minor version.
    pub minor: u32,
    /// Patch level.
    pub patch: u32,
}

impl ServerVersion {
    /// The last version without `ListAccessRequests` and monitoring rules that the real thing is compared with.
    pub const OLD: Self = Self { major: 14, minor: 2, patch: 3 };
    /// A current one.
    pub const NEW: Self = Self { major: 18, minor: 11, patch: 1 };

    /// The oldest client that is not turned away, if it says its version: of the previous major version.
    #[must_use]
    pub fn oldest_client(self) -> Self {
        Self { major: self.major.saturating_sub(1), minor: 0, patch: 0 }
    }

    /// Plugins may submit reviews of users: `review_requests.submit_for_users`.
    pub fn takes_reviews_for_users(self) -> bool {
        (self.major, self.minor) >= (18, 11)
    }

    /// `ListAccessRequests` exists.
    pub fn lists_access_requests(self) -> bool {
        self.major >= 15
    }

    /// The unary `GetAccessRequests` of v10 still exists.
    pub fn gets_access_requests_unary(self) -> bool {
        self.major <= 12
    }

    /// Access monitoring rules exist.
    pub fn has_monitoring_rules(self) -> bool {
        self.major >= 15
    }

    /// `UsersService` exists.
    pub fn has_users_service(self) -> bool {
        self.major >= 15
    }

    /// The first event of a watch names the kinds being watched, and a part of the kinds may be refused.
    pub fn has_partial_watch(self) -> bool {
        self.major >= 13
    }

    /// Reviewing twice is "already exists" rather than "access denied".
    pub fn second_review_exists_already(self) -> bool {
        self.major >= 17
    }

    /// Answers carry the header `version`. Version 14.2.3 has none; clients of version 16 rely on it.
    pub fn answers_with_version(self) -> bool {
        self.major >= 16
    }

    /// `GetRoles` answers with all roles in one message.
    pub fn gets_roles_at_once(self) -> bool {
        self.major <= 16
    }

    /// `ListRoles` exists.
    pub fn lists_roles(self) -> bool {
        self.major >= 15
    }

    /// Lists of access requests may be narrowed by scope and by words.
    pub fn searches_access_requests(self) -> bool {
        self.major >= 15
    }

    /// The HTTP form of the join exists on Auth.
    pub fn joins_by_http_on_auth(self) -> bool {
        self.major <= 17
    }

    /// The HTTP form of the join exists on the Proxy.
    pub fn joins_by_http_on_proxy(self) -> bool {
        self.major <= 18
    }

    /// gRPC `RegisterUsingToken` exists.
    pub fn registers_using_token(self) -> bool {
        self.major >= 17
    }

    /// The join stream takes ServiceAccount tokens.
    pub fn joins_by_stream(self) -> bool {
        (self.major, self.minor) >= (18, 5)
    }

    /// Users may be filtered by the server.
    pub fn filters_users(self) -> bool {
        self.major >= 16
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The text is not `major.minor.patch`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a version: write it as major.minor.patch, for example 18.2.1")]
pub struct NotAVersion(String);

impl FromStr for ServerVersion {
    type Err = NotAVersion;

    /// A pre-release part is read over.
    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let wrong = || NotAVersion(text.to_owned());
        let core = text.split(['-', '+']).next().unwrap_or_default();
        let mut numbers = core.split('.').map(|part| part.parse::<u32>().map_err(|_| wrong()));
        let mut next = || numbers.next().unwrap_or_else(|| Err(wrong()));
        let version = Self { major: next()?, minor: next()?, patch: next()? };
        if numbers.next().is_some() { Err(wrong()) } else { Ok(version) }
    }
}

impl TryFrom<String> for ServerVersion {
    type Error = NotAVersion;

    fn try_from(text: String) -> Result<Self, NotAVersion> {
        text.parse()
    }
}

impl From<ServerVersion> for String {
    fn from(version: ServerVersion) -> Self {
        version.to_string()
    }
}

/// How a cluster is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the cluster, also in its certificates.
    pub cluster_name: String,
    /// Version that the server claims and behaves as.
    pub version: ServerVersion,
    /// Edition that the server claims and behaves as.
    pub edition: Edition,
    /// Keys of the authorities and of new identities.
    pub algorithm: KeyAlgorithm,
    /// Where Auth listens: host and port; port 0 for a free one.
    pub listen: String,
    /// The Proxy, if there is one.
    pub proxy: Option<ProxyConfig>,
    /// Roles at the start.
    pub roles: Vec<Role>,
    /// Users at the start.
    pub users: Vec<User>,
    /// Events that a watcher may leave unread before it is dropped.
    pub watch_buffer: usize,
    /// Pings of a client closer together than this are held against it.
    pub keepalive_min_time: Duration,
    /// How long a pending request lives.
    pub request_ttl: Duration,
    /// How long the access lasts once approved.
    pub access_ttl: Duration,
    /// Requests in one page of a list that asks for no other size.
    pub page_size: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cluster_name: "teleport.example.com".to_owned(),
            version: ServerVersion::NEW,
            edition: Edition::Enterprise,
            algorithm: KeyAlgorithm::Ecdsa,
            listen: "127.0.0.1:0".to_owned(),
            proxy: None,
            roles: vec![
                Role::access_plugin(),
                Role::new("access").logins(&["{{internal.logins}}"]),
                Role::new("dba").logins(&["postgres", "root"]),
                Role::new("requester").may_request(&["*"]),
                Role::new("reviewer").may_review(&["*"]),
            ],
            users: vec![
                User::new("slack-plugin", &["access-plugin"]),
                User::new("alice@example.com", &["requester"]),
                User::new("bob@example.com", &["reviewer"]),
                User::new("carol@example.com", &["reviewer"]),
            ],
            watch_buffer: 1024,
            keepalive_min_time: Duration::from_mins(1),
            request_ttl: Duration::from_hours(1),
            access_ttl: Duration::from_hours(12),
            page_size: 1000,
        }
    }
}

impl Config {
    /// Behaves as the open-source 14.2.3.
    pub fn old() -> Self {
        Self { version: ServerVersion::OLD, edition: Edition::Oss, ..Self::default() }
    }

    /// With a Proxy of the default kind.
    #[must_use]
    pub fn with_proxy(mut self) -> Self {
        self.proxy = Some(ProxyConfig::default());
        self
    }
}

/// How the Proxy is set up.
#[derive(Clone, Debug)]
pub struct ProxyConfig {
    /// Where the web port listens.
    pub listen: String,
    /// Everything through the web port (`proxy_listener_mode: multiplex`).
    pub tls_routing: bool,
    /// A load balancer in front of it ends TLS, offers no ALPN of Teleport's and hands on HTTP.
    pub behind_load_balancer: bool,
    /// Name under which it is reached from outside; without it, `localhost` and its port.
    pub public_addr: Option<String>,
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self { listen: "127.0.0.1:0".to_owned(), tls_routing: true, behind_load_balancer: false, public_addr: None }
    }
}
