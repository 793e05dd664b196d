//! The file as it is written: sections and keys, nothing judged yet.
//!
//! The same structs are read from and written to TOML, so that what the controller renders is what the worker reads.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// The whole file. It may hold a token: no `Debug`.
#[derive(Default, Deserialize, Serialize)]
#[serde(default, expecting = "a table")]
pub(super) struct File {
    pub(super) teleport: Teleport,
    pub(super) slack: Slack,
    pub(super) role_to_recipients: BTreeMap<String, OneOrMany>,
    #[serde(skip_serializing_if = "SuggestedReviewers::is_empty")]
    pub(super) suggested_reviewers: SuggestedReviewers,
    #[serde(skip_serializing_if = "Review::is_empty")]
    pub(super) review: Review,
    pub(super) log: Log,
    #[serde(skip_serializing_if = "Diag::is_empty")]
    pub(super) diag: Diag,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kubernetes: Option<Kubernetes>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, expecting = "a table")]
pub(super) struct Teleport {
    pub(super) addr: Option<String>,
    #[serde(skip_serializing)]
    pub(super) auth_server: Option<String>,
    pub(super) identity: Option<String>,
    pub(super) client_key: Option<String>,
    pub(super) client_crt: Option<String>,
    pub(super) root_cas: Option<String>,
    #[serde(skip_serializing)]
    pub(super) refresh_identity: Option<bool>,
    #[serde(skip_serializing)]
    pub(super) refresh_identity_interval: Option<String>,
    pub(super) join_token: Option<String>,
    pub(super) join_token_path: Option<String>,
    pub(super) join_role: Option<String>,
    pub(super) join_ca_pins: Option<OneOrMany>,
    pub(super) ca_bundle: Option<String>,
    pub(super) plugin_name: Option<String>,
    pub(super) user: Option<String>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, expecting = "a table")]
pub(super) struct Slack {
    pub(super) token: Option<String>,
    #[serde(skip_serializing)]
    pub(super) recipients: Option<OneOrMany>,
    pub(super) api_url: Option<String>,
    pub(super) ca_bundle: Option<String>,
    pub(super) team_id: Option<String>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, expecting = "a table")]
pub(super) struct SuggestedReviewers {
    pub(super) max: Option<u32>,
    pub(super) allowed_domains: Option<OneOrMany>,
}

impl SuggestedReviewers {
    fn is_empty(&self) -> bool {
        self.max.is_none() && self.allowed_domains.is_none()
    }
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, expecting = "a table")]
pub(super) struct Review {
    pub(super) enabled: Option<bool>,
    pub(super) app_token: Option<String>,
    pub(super) slack_user_id_trait: Option<String>,
    pub(super) allow_email_username_match: Option<bool>,
    pub(super) reason: Option<String>,
}

impl Review {
    fn is_empty(&self) -> bool {
        self.enabled.is_none()
    }
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, expecting = "a table")]
pub(super) struct Log {
    pub(super) output: Option<String>,
    pub(super) severity: Option<String>,
    pub(super) format: Option<String>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, expecting = "a table")]
pub(super) struct Diag {
    pub(super) addr: Option<String>,
}

impl Diag {
    fn is_empty(&self) -> bool {
        self.addr.is_none()
    }
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, expecting = "a table")]
pub(super) struct Kubernetes {
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    pub(super) uid: Option<String>,
}

/// A string, or a list of strings.
#[derive(Default, Serialize)]
#[serde(transparent)]
pub(super) struct OneOrMany(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StringOrList;

        impl<'de> Visitor<'de> for StringOrList {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }

            fn visit_str<E>(self, value: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany(vec![value.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMany, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = list.next_element()? {
                    values.push(value);
                }
                Ok(OneOrMany(values))
            }
        }

        deserializer.deserialize_any(StringOrList)
    }
}

/// Every section with its keys.
pub(super) const KEYS: &[(&str, &[&str])] = &[
    (
        "teleport",
        &[
            "addr",
            "auth_server",
            "identity",
            "client_key",
            "client_crt",
            "root_cas",
            "refresh_identity",
            "refresh_identity_interval",
            "join_token",
            "join_token_path",
            "join_role",
            "join_ca_pins",
            "ca_bundle",
            "plugin_name",
            "user",
        ],
    ),
    ("slack", &["token", "recipients", "api_url", "ca_bundle", "team_id"]),
    ("role_to_recipients", &[]),
    ("suggested_reviewers", &["max", "allowed_domains"]),
    ("review", &["enabled", "app_token", "slack_user_id_trait", "allow_email_username_match", "reason"]),
    ("log", &["output", "severity", "format"]),
    ("diag", &["addr"]),
    ("kubernetes", &["namespace", "name", "uid"]),
];

impl File {
    /// The text settings that can be overridden from outside, by section and key.
    pub(super) fn text_setting(&mut self, section: &str, key: &str) -> Option<&mut Option<String>> {
        Some(match (section, key) {
            ("teleport", "addr") => &mut self.teleport.addr,
            ("teleport", "identity") => &mut self.teleport.identity,
            ("teleport", "client_key") => &mut self.teleport.client_key,
            ("teleport", "client_crt") => &mut self.teleport.client_crt,
            ("teleport", "root_cas") => &mut self.teleport.root_cas,
            ("teleport", "join_token") => &mut self.teleport.join_token,
            ("teleport", "join_token_path") => &mut self.teleport.join_token_path,
            ("teleport", "join_role") => &mut self.teleport.join_role,
            ("teleport", "ca_bundle") => &mut self.teleport.ca_bundle,
            ("teleport", "plugin_name") => &mut self.teleport.plugin_name,
            ("teleport", "user") => &mut self.teleport.user,
            ("slack", "team_id") => &mut self.slack.team_id,
            ("slack", "token") => &mut self.slack.token,
            ("slack", "api_url") => &mut self.slack.api_url,
            ("slack", "ca_bundle") => &mut self.slack.ca_bundle,
            ("review", "app_token") => &mut self.review.app_token,
            ("review", "slack_user_id_trait") => &mut self.review.slack_user_id_trait,
            ("review", "reason") => &mut self.review.reason,
            ("log", "output") => &mut self.log.output,
            ("log", "severity") => &mut self.log.severity,
            ("log", "format") => &mut self.log.format,
            ("diag", "addr") => &mut self.diag.addr,
            _ => return None,
        })
    }
}
