//! `spec`: what a user writes.

#![allow(unreachable_pub, reason = "the schema derive repeats each public struct inside a function")]

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::suggested_reviewers::DEFAULT_MAX;
use crate::crd::{
    CaBundle, Identity, Join, Recipients, Review, SlackAccessPluginStatus, SlackAppToken, SlackToken, TlsFiles,
    Workload,
};

/// Slack's Web API for everybody but GovSlack.
const SLACK_API: &str = "https://slack.com/api/";
/// The official plugin's name for its records, so that one can take over from the other.
const PLUGIN_NAME: &str = "slack";

/// What is announced where, and with which credentials.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "slackaccess.dev",
    version = "v1alpha1",
    kind = "SlackAccessPlugin",
    plural = "slackaccessplugins",
    shortname = "sap",
    category = "slackaccess",
    namespaced,
    status = "SlackAccessPluginStatus",
    derive = "PartialEq",
    doc = "Announces the access requests of a Teleport cluster in Slack. Its author makes a worker use a Teleport identity and a Slack token of this namespace, and decides who in Slack reads the cluster's access requests; which Secrets, hosts and images that may be is the operator's policy, and no value of a Secret is shown to the author (docs/security.md).",
    // The name goes into labels (63 characters) and into names that Kubernetes appends to.
    validation = Rule::new("self.metadata.name.size() <= 45").message("metadata.name is too long: at most 45 characters, since the names of the workload's parts are made from it"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether a running worker works with this configuration."),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Why, in one word."),
    printcolumn(name = "Teleport", type_ = "string", json_path = ".status.teleport.cluster", description = "The Teleport cluster that the worker is connected to."),
    printcolumn(name = "Slack", type_ = "string", json_path = ".status.slack.team", description = "The Slack workspace of the bot token."),
    printcolumn(name = "Pending", type_ = "integer", json_path = ".status.delivery.pending", description = "Requests that wait for a decision."),
    // Not of type `date`: kubectl prints a time to come as `<invalid>`.
    printcolumn(name = "Identity expires", type_ = "string", json_path = ".status.teleport.identityExpiresAt", description = "When the Teleport identity ends.", priority = "1"),
    printcolumn(name = "Failing", type_ = "integer", json_path = ".status.delivery.failing", description = "Requests with a message that could not be delivered yet.", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", description = "What works, or what to do."),
)]
#[cfg_attr(test, kube(cel))]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.review) || !self.review.enabled || has(self.slack.appToken)").message("review.enabled needs slack.appToken: an app-level token (xapp-…) with the scope connections:write, over which Slack tells of clicks"))]
pub struct SlackAccessPluginSpec {
    /// Stops the worker and its messages until this is `false` again. Requests made meanwhile are announced then, unless they ended.
    #[serde(default)]
    pub suspend: bool,
    /// The Teleport cluster whose access requests are announced.
    pub teleport: Teleport,
    /// The Slack workspace in which they are announced.
    pub slack: Slack,
    /// Who is told about a request: recipients for each requested role. `"*"` serves every role without an entry of its own.
    #[schemars(extend("maxProperties" = 200))]
    #[x_kube(validation = Rule::new("self.size() > 0").message("nobody would be told: at least one role with a recipient is needed, for example \"*\": [access-requests]"))]
    #[x_kube(validation = Rule::new("self.all(role, role.size() > 0 && role.size() <= 256 && role == role.trim())").message("a role's name is empty, longer than 256 characters, or has spaces around it"))]
    pub role_to_recipients: BTreeMap<String, Recipients>,
    /// Which of the reviewers that a request suggests are told.
    #[serde(default)]
    pub suggested_reviewers: SuggestedReviewers,
    /// The name of this object's records in Teleport. Objects on one Teleport cluster need different ones, or each changes the
    /// other's messages; `slack` is the official plugin's. Changed, it leaves earlier messages as they are.
    #[serde(default = "SlackAccessPluginSpec::default_plugin_name")]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$')").message("must be 1 to 63 lowercase letters, digits and hyphens, with a letter or digit at both ends"))]
    #[schemars(length(min = 1, max = 63))]
    pub plugin_name: String,
    /// Approve and deny in Slack.
    #[serde(default)]
    pub review: Review,
    /// What the worker writes to its log.
    #[serde(default)]
    pub log: Log,
    /// Settings of the pods in which the worker runs.
    #[serde(default)]
    pub workload: Workload,
}

impl SlackAccessPluginSpec {
    pub(crate) fn default_plugin_name() -> String {
        PLUGIN_NAME.to_owned()
    }
}

/// The Teleport cluster.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.join), has(self.identity), has(self.tls)].exists_one(given, given)").message("exactly one of teleport.join (the worker's own ServiceAccount), teleport.identity (an identity file) and teleport.tls (auth.crt, auth.key, auth.cas) is needed"))]
pub struct Teleport {
    /// Host and port of Teleport's Proxy (443 or 3080) or Auth Service (3025). Which of them it is is found out.
    #[schemars(length(min = 1, max = 261))]
    #[x_kube(validation = Rule::new("self.matches('^([a-zA-Z0-9]([a-zA-Z0-9._-]*[a-zA-Z0-9])?|\\\\[[0-9a-fA-F:.]+\\\\]):[0-9]{1,5}$') && !self.contains('..') && !self.contains(':::')").message("must be host:port without a scheme, for example teleport.example.com:443 (Proxy: 443 or 3080, Auth: 3025); an IPv6 address stands in brackets: [2001:db8::1]:443"))]
    #[x_kube(validation = Rule::new("!self.matches(':[0-9]{1,5}$') || (int(self.substring(self.lastIndexOf(':') + 1)) >= 1 && int(self.substring(self.lastIndexOf(':') + 1)) <= 65535)").message("the port must be between 1 and 65535"))]
    pub address: String,
    /// Joins Teleport with the worker's own ServiceAccount: no Secret, nothing to renew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join: Option<Join>,
    /// An identity file, as `tctl auth sign --format=file` or `tbot` make it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// A certificate, its key and the roots, as `tctl auth sign --format=tls` makes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
    /// The Teleport user that the identity has to be of. Without it, the user of the first identity is kept until the worker is
    /// started anew, and an identity of another user is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub user: Option<String>,
    /// Certificates to trust for a Proxy whose web certificate a private authority signed. With `join` and the address of an Auth
    /// Service: the authority of the cluster's hosts (`tctl auth export --type=tls-host`), unless `caPins` names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<CaBundle>,
}

/// The Slack workspace.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Slack {
    /// The bot token (`xoxb-…`).
    pub token: SlackToken,
    /// The app-level token (`xapp-…`, scope `connections:write`), over which Slack tells of clicks. Used with `review.enabled` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_token: Option<SlackAppToken>,
    /// Slack's Web API. Set it for GovSlack (`https://slack-gov.com/api/`) or for a proxy that speaks it.
    #[serde(default = "Slack::default_api_url")]
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new("isURL(self) && url(self).getScheme() in ['https', 'http']").message("must be an https:// address (or http:// to a simulator or a proxy beside you: the token crosses the network readably)"))]
    #[x_kube(validation = Rule::new("!isURL(self) || (url(self).getHostname() != '' && !self.contains('@') && !self.contains('?') && !self.contains('#'))").message("must have a host, and no user, password, query or fragment: names of methods are added to it"))]
    #[x_kube(validation = Rule::new("!isURL(self) || url(self).getPort() == '' || (url(self).getPort().size() <= 5 && int(url(self).getPort()) <= 65535)").message("the port must be between 1 and 65535"))]
    pub api_url: String,
    /// Certificates to trust for a server whose certificate a private authority signed, such as an inspecting proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<CaBundle>,
    /// The id of the workspace (`T…`) that the token has to be of. Without it, the workspace of the first token is kept until the
    /// worker is started anew, and a token of another workspace is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.matches('^[TE][A-Z0-9]{2,30}$')").message("must be the id of a workspace, such as T0123456"))]
    #[schemars(length(min = 3, max = 31))]
    pub team_id: Option<String>,
}

impl Slack {
    fn default_api_url() -> String {
        SLACK_API.to_owned()
    }
}

/// Bounds for suggested reviewers: what a requester writes is not trusted.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SuggestedReviewers {
    /// How many of one request are told at most; none with 0.
    #[serde(default = "SuggestedReviewers::default_max")]
    #[schemars(range(max = 1000))]
    pub max: u32,
    /// Only addresses of these domains are told, if some are named: for example `example.com`, without its subdomains.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 253)))]
    #[x_kube(validation = Rule::new("self.all(domain, domain.matches('^[a-zA-Z0-9-]+([.][a-zA-Z0-9-]+)*$'))").message("must be domains, as they stand behind the @ of an address: example.com"))]
    pub allowed_domains: Vec<String>,
}

impl SuggestedReviewers {
    fn default_max() -> u32 {
        DEFAULT_MAX
    }
}

impl Default for SuggestedReviewers {
    fn default() -> Self {
        Self { max: DEFAULT_MAX, allowed_domains: Vec::new() }
    }
}

/// The worker's log.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Log {
    /// The least severe entry that is written.
    #[serde(default)]
    pub severity: LogSeverity,
    /// One JSON object a line, or text for people.
    #[serde(default)]
    pub format: LogFormat,
}

/// How severe an entry of the log has to be to be written.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogSeverity {
    /// Everything that helps to find an error.
    Debug,
    /// What happens.
    #[default]
    Info,
    /// What may need attention.
    Warn,
    /// What failed.
    Error,
}

/// How entries of the log are written.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// Lines for people.
    Text,
}
