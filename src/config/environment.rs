//! Settings from the process's environment: they take the place of the file's.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::config::toml_source::closest;

/// A variable and the setting that it overrides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Override {
    /// `TELEPORT_SLACK_<SECTION>_<KEY>`.
    pub variable: &'static str,
    /// The file's section.
    pub section: &'static str,
    /// The file's key.
    pub key: &'static str,
}

const fn over(variable: &'static str, section: &'static str, key: &'static str) -> Override {
    Override { variable, section, key }
}

/// Every variable that overrides a setting.
pub const OVERRIDES: &[Override] = &[
    over("TELEPORT_SLACK_TELEPORT_ADDR", "teleport", "addr"),
    over("TELEPORT_SLACK_TELEPORT_IDENTITY", "teleport", "identity"),
    over("TELEPORT_SLACK_TELEPORT_CLIENT_KEY", "teleport", "client_key"),
    over("TELEPORT_SLACK_TELEPORT_CLIENT_CRT", "teleport", "client_crt"),
    over("TELEPORT_SLACK_TELEPORT_ROOT_CAS", "teleport", "root_cas"),
    over("TELEPORT_SLACK_TELEPORT_JOIN_TOKEN", "teleport", "join_token"),
    over("TELEPORT_SLACK_TELEPORT_JOIN_TOKEN_PATH", "teleport", "join_token_path"),
    over("TELEPORT_SLACK_TELEPORT_JOIN_ROLE", "teleport", "join_role"),
    over("TELEPORT_SLACK_TELEPORT_CA_BUNDLE", "teleport", "ca_bundle"),
    over("TELEPORT_SLACK_TELEPORT_PLUGIN_NAME", "teleport", "plugin_name"),
    over("TELEPORT_SLACK_TELEPORT_USER", "teleport", "user"),
    over("TELEPORT_SLACK_SLACK_TOKEN", "slack", "token"),
    over("TELEPORT_SLACK_SLACK_API_URL", "slack", "api_url"),
    over("TELEPORT_SLACK_SLACK_CA_BUNDLE", "slack", "ca_bundle"),
    over("TELEPORT_SLACK_SLACK_TEAM_ID", "slack", "team_id"),
    over("TELEPORT_SLACK_REVIEW_APP_TOKEN", "review", "app_token"),
    over("TELEPORT_SLACK_REVIEW_SLACK_USER_ID_TRAIT", "review", "slack_user_id_trait"),
    over("TELEPORT_SLACK_REVIEW_REASON", "review", "reason"),
    over("TELEPORT_SLACK_LOG_OUTPUT", "log", "output"),
    over("TELEPORT_SLACK_LOG_SEVERITY", "log", "severity"),
    over("TELEPORT_SLACK_LOG_FORMAT", "log", "format"),
    over("TELEPORT_SLACK_DIAG_ADDR", "diag", "addr"),
];

const PREFIX: &str = "TELEPORT_SLACK_";
const FAIL_FAST: &str = "TELEPORT_PLUGIN_FAIL_FAST";
/// tbot's name for the file with the ServiceAccount token.
const TOKEN_PATH: &str = "KUBERNETES_TOKEN_PATH";

/// The variables that matter, read once. It may hold a token: no `Debug`.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// This process's environment; variables that are not UTF-8 are none of ours.
    #[must_use]
    pub fn from_process() -> Self {
        Self::from_pairs(
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )
    }

    /// An environment made of the given variables.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let matters = |name: &str| name == FAIL_FAST || name == TOKEN_PATH || name.starts_with(PREFIX);
        let variables = pairs.into_iter().filter(|(name, _)| matters(name)).collect();
        Self { variables }
    }

    /// `TELEPORT_PLUGIN_FAIL_FAST`: end with an error when the watch breaks instead of connecting again.
    #[must_use]
    pub fn fail_fast(&self) -> bool {
        self.variables
            .get(FAIL_FAST)
            .is_some_and(|value| matches!(value.to_lowercase().as_str(), "1" | "t" | "true" | "yes" | "on"))
    }

    /// `KUBERNETES_TOKEN_PATH`: where the ServiceAccount token is when the file does not say it.
    pub(super) fn token_path(&self) -> Option<PathBuf> {
        self.variables.get(TOKEN_PATH).map(|path| path.trim()).filter(|path| !path.is_empty()).map(PathBuf::from)
    }

    /// The overrides that are set to something.
    pub(super) fn overrides(&self) -> impl Iterator<Item = (Override, &str)> {
        OVERRIDES.iter().filter_map(|over| {
            let value = self.variables.get(over.variable)?.trim();
            (!value.is_empty()).then_some((*over, value))
        })
    }

    /// The variable that overrides a setting, if it is set.
    pub(super) fn origin(&self, section: &str, key: &str) -> Option<&'static str> {
        self.overrides().find(|(over, _)| over.section == section && over.key == key).map(|(over, _)| over.variable)
    }

    /// Variables that look like a misspelt override, each with the right name. Others with our prefix are left alone:
    /// Kubernetes sets `TELEPORT_SLACK_SERVICE_HOST` and the like for a Service of that name.
    pub(super) fn misspelt(&self) -> impl Iterator<Item = (&str, Override)> {
        self.variables.keys().filter(|name| name.starts_with(PREFIX)).filter_map(|name| {
            let known = closest(name, OVERRIDES.iter().map(|over| over.variable))?;
            let over = OVERRIDES.iter().find(|over| over.variable == known)?;
            (known != name).then_some((name.as_str(), *over))
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::environment::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment::from_pairs(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn every_override_is_named_after_its_section_and_key() {
        for Override { variable, section, key } in OVERRIDES {
            assert_eq!(*variable, format!("TELEPORT_SLACK_{}_{}", section.to_uppercase(), key.to_uppercase()));
        }
    }

    #[test]
    fn fail_fast_takes_the_usual_words_for_yes() {
        assert!(!environment(&[]).fail_fast());
        for (word, expected) in
            [("true", true), ("1", true), ("YES", true), ("false", false), ("0", false), ("", false)]
        {
            assert_eq!(environment(&[("TELEPORT_PLUGIN_FAIL_FAST", word)]).fail_fast(), expected, "{word}");
        }
    }

    #[test]
    fn an_empty_variable_overrides_nothing() {
        assert_eq!(environment(&[("TELEPORT_SLACK_SLACK_TOKEN", " ")]).overrides().count(), 0);
    }

    #[test]
    fn a_misspelt_variable_is_noticed_and_those_of_kubernetes_are_not() {
        let environment = environment(&[
            ("TELEPORT_SLACK_SLACK_TOKN", "x"),
            ("TELEPORT_SLACK_SERVICE_HOST", "10.0.0.1"),
            ("TELEPORT_SLACK_PORT_443_TCP_ADDR", "10.0.0.1"),
            ("TELEPORT_SLACK_LOG_SEVERITY", "debug"),
        ]);
        let found: Vec<_> = environment.misspelt().map(|(name, over)| (name, over.variable)).collect();
        assert_eq!(found, [("TELEPORT_SLACK_SLACK_TOKN", "TELEPORT_SLACK_SLACK_TOKEN")]);
    }
}
