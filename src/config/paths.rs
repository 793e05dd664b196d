//! Where a managed worker finds its files: the controller mounts them there, the worker says what is missing.
//!
//! The path of a credential names the object that it comes from, so that an error which names the file names the remedy.

use std::fmt;
use std::path::{Path, PathBuf};

/// The folder of the configuration file.
pub const CONFIG_DIR: &str = "/etc/slack-access-operator";
/// The configuration file's name, there and in the ConfigMap.
pub const CONFIG_FILE: &str = "worker.toml";
/// The folder of everything that is mounted from Secrets: one folder for each.
const SECRETS: &str = "/var/run/slack-access-operator/secrets";
/// The folder of everything that is mounted from ConfigMaps that users made: one folder for each.
const CONFIG_MAPS: &str = "/var/run/slack-access-operator/configmaps";
/// The folder of the ServiceAccount token for joining Teleport.
pub const JOIN_TOKEN_DIR: &str = "/var/run/secrets/slackaccess.dev/teleport";
/// The token's file there.
pub const JOIN_TOKEN_FILE: &str = "token";
/// The port of the worker's `/livez`, `/readyz` and `/metrics`.
pub const DIAG_PORT: u16 = 8081;

/// The environment variable with the name of the worker's pod.
pub const POD_NAME_VARIABLE: &str = "SLACK_ACCESS_OPERATOR_POD";
/// The environment variable that names the revision of the workload: what the worker reports as `configHash`.
pub const REVISION_VARIABLE: &str = "SLACK_ACCESS_OPERATOR_REVISION";

/// The keys that are tried when a Secret with an identity is named without one; the first that is there is used.
pub const IDENTITY_KEYS: [&str; 2] = ["auth_id", "identity"];
/// The file's name in that case.
pub const IDENTITY_FILE: &str = "auth_id-or-identity";

/// The object that a file is mounted from.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Source {
    /// A Secret of this name.
    Secret(String),
    /// A ConfigMap of this name.
    ConfigMap(String),
}

impl Source {
    /// The folder at which it is mounted.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        match self {
            Self::Secret(name) => Path::new(SECRETS).join(name),
            Self::ConfigMap(name) => Path::new(CONFIG_MAPS).join(name),
        }
    }
}

/// Which object and key a file is mounted from: the reverse of [`Source::folder`].
#[must_use]
pub fn origin(file: &Path) -> Option<Origin> {
    let text = |part: &std::ffi::OsStr| part.to_str().map(str::to_owned);
    let (folder, key) = (file.parent()?, file.file_name().and_then(text)?);
    let (root, name) = (folder.parent()?, folder.file_name().and_then(text)?);
    let source = if root == Path::new(SECRETS) {
        Source::Secret(name)
    } else if root == Path::new(CONFIG_MAPS) {
        Source::ConfigMap(name)
    } else {
        return None;
    };
    Some(Origin { source, key })
}

/// The object and key that a file is mounted from, in words: ``Secret `slack-bot-token` (key `token`)``.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    source: Source,
    key: String,
}

impl Origin {
    /// What to say when the file is not there. Kubernetes mounts nothing both when the object is missing and when the key is.
    #[must_use]
    pub fn missing(&self) -> String {
        let (kind, name) = match &self.source {
            Source::Secret(name) => ("Secret", name),
            Source::ConfigMap(name) => ("ConfigMap", name),
        };
        let keys = self.keys();
        format!(
            "{kind} `{name}` does not exist or has no key {keys}; create it in this namespace, or name another in the spec"
        )
    }

    fn keys(&self) -> String {
        if self.key == IDENTITY_FILE {
            let [first, second] = IDENTITY_KEYS;
            format!("`{first}` or `{second}`")
        } else {
            format!("`{}`", self.key)
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Secret(name) => write!(f, "Secret `{name}` (key {})", self.keys()),
            Source::ConfigMap(name) => write!(f, "ConfigMap `{name}` (key {})", self.keys()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::paths::*;

    #[test]
    fn a_path_tells_the_secret_and_the_key_it_comes_from() {
        let file = Source::Secret("slack-bot-token".into()).folder().join("token");
        let origin = origin(&file).unwrap();
        assert_eq!(origin.to_string(), "Secret `slack-bot-token` (key `token`)");
        assert!(origin.missing().starts_with("Secret `slack-bot-token` does not exist or has no key `token`;"));
    }

    #[test]
    fn an_identity_without_a_key_is_looked_for_under_both_names() {
        let file = Source::Secret("id".into()).folder().join(IDENTITY_FILE);
        assert_eq!(origin(&file).unwrap().to_string(), "Secret `id` (key `auth_id` or `identity`)");
    }

    #[test]
    fn a_file_outside_of_the_mounts_has_no_origin() {
        for file in ["/etc/teleport-slack.toml", "token", "/", "/var/run/slack-access-operator/secrets/token"] {
            assert_eq!(origin(Path::new(file)), None, "{file}");
        }
    }
}
