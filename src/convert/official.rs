//! What both forms of the official configuration say.

use std::collections::BTreeMap;

use crate::convert::Note;
use crate::crd::{LogSeverity, Workload};

/// The settings that have a counterpart, and notes about the rest. Secrets are not kept.
#[derive(Debug, Default)]
pub(super) struct Official {
    pub(super) address: Option<String>,
    pub(super) credentials: Credentials,
    pub(super) token: Token,
    pub(super) api_url: Option<String>,
    pub(super) plugin_name: Option<String>,
    /// The user that the identity has to be of.
    pub(super) user: Option<String>,
    /// The workspace that the token has to be of.
    pub(super) team_id: Option<String>,
    /// Paths of PEM files.
    pub(super) teleport_ca: Option<String>,
    pub(super) slack_ca: Option<String>,
    pub(super) recipients: BTreeMap<String, Vec<String>>,
    pub(super) review: Review,
    pub(super) severity: LogSeverity,
    pub(super) workload: Workload,
    pub(super) notes: Vec<Note>,
}

/// Where the identity comes from.
#[derive(Debug, Default)]
pub(super) enum Credentials {
    #[default]
    Missing,
    /// A file on the plugin's machine.
    File(String),
    /// Three files there: certificate, key, authorities.
    TlsFiles { certificate: String, key: String, cas: String },
    /// A key of a Secret that exists.
    Secret { name: String, key: String },
}

/// Where the bot token comes from.
#[derive(Debug, Default)]
pub(super) enum Token {
    #[default]
    Missing,
    /// It stands in the configuration.
    Inline,
    /// It stands in the chart's values, and so in a Secret that goes with the release.
    OfRelease { secret: String, key: String },
    /// A file on the plugin's machine.
    File(String),
    /// A key of a Secret that exists.
    Secret { name: String, key: String },
}

impl Official {
    pub(super) fn note(&mut self, setting: impl Into<String>, reason: impl Into<String>) {
        self.notes.push(Note::new(setting, reason));
    }

    /// The severities of the official plugin, in any case.
    pub(super) fn set_severity(&mut self, setting: &str, text: &str) {
        self.severity = match text.trim().to_lowercase().as_str() {
            "debug" => LogSeverity::Debug,
            "warn" | "warning" => LogSeverity::Warn,
            "err" | "error" => LogSeverity::Error,
            "info" | "" => LogSeverity::Info,
            _ => {
                self.note(setting, "is not a severity that the official plugin knows; info is used");
                LogSeverity::Info
            }
        };
    }
}

/// `[review]`: approving and denying in Slack.
#[derive(Debug, Default)]
pub(super) struct Review {
    pub(super) enabled: bool,
    pub(super) slack_user_id_trait: Option<String>,
    pub(super) allow_email_match: bool,
    pub(super) app_token: Token,
}
