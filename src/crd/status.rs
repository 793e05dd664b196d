//! `status`: the product's face.
//!
//! Two writers share it through server-side apply: the controller (`Ready`, `Reconciling`, `Stalled`,
//! `WorkloadModified`, `observedGeneration`, `workload`) and one worker (everything else). Every field and every condition has exactly one of them as its owner.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A running worker works with this generation's configuration. Written by the controller.
pub const READY: &str = "Ready";
/// The controller or the cluster is still on its way to what the spec asks for. Written by the controller.
pub const RECONCILING: &str = "Reconciling";
/// Waiting will not help: somebody has to change something. Written by the controller.
pub const STALLED: &str = "Stalled";
/// The worker's pods have something that the operator did not put there. Written by the controller.
pub const WORKLOAD_MODIFIED: &str = "WorkloadModified";
/// The worker is connected to Teleport and may do what it has to. Written by the worker.
pub const TELEPORT_CONNECTED: &str = "TeleportConnected";
/// The Teleport identity is there, well-formed and in its time. Written by the worker.
pub const IDENTITY_VALID: &str = "IdentityValid";
/// Slack accepts the bot token. Written by the worker.
pub const SLACK_CONNECTED: &str = "SlackConnected";
/// Every recipient of `roleToRecipients` can be reached. Written by the worker.
pub const RECIPIENTS_RESOLVED: &str = "RecipientsResolved";
/// Every message is told within a minute. Written by the worker.
pub const DELIVERING: &str = "Delivering";

/// Teleport takes reviews that are made in Slack. Written by the worker while `review.enabled` is set.
pub const REVIEW_ENABLED: &str = "ReviewEnabled";
/// Clicks on messages arrive. Written by the worker while `review.enabled` is set.
pub const REVIEW_CONNECTED: &str = "ReviewConnected";

/// What is known about the object.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SlackAccessPluginStatus {
    /// The generation of the spec that the conditions speak of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Reconciling` and `Stalled` as kstatus defines them; `WorkloadModified` names what others put into the worker's pods;
    /// `TeleportConnected`, `IdentityValid`, `SlackConnected`, `RecipientsResolved` and `Delivering`, with reviews in Slack also
    /// `ReviewEnabled` and `ReviewConnected`, say which part does not work and what to do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The Teleport cluster as the worker sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teleport: Option<TeleportStatus>,
    /// The Slack workspace as the worker sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slack: Option<SlackStatus>,
    /// Every recipient of `roleToRecipients`, and whether it can be reached.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub recipients: Vec<RecipientStatus>,
    /// Messages that are under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliveryStatus>,
    /// The worker that reports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerStatus>,
    /// The workload that the controller keeps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadStatus>,
}

impl SlackAccessPluginStatus {
    /// The condition of this type.
    #[must_use]
    pub fn condition(&self, type_: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.type_ == type_)
    }
}

/// The Teleport cluster as the worker sees it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TeleportStatus {
    /// The cluster's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The version that the Auth Service tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_version: Option<String>,
    /// How Auth is reached: directly, or through the Proxy and by which of its ways.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The Teleport user that the identity belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_user: Option<String>,
    /// When the identity ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_expires_at: Option<Time>,
}

/// The Slack workspace as the worker sees it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SlackStatus {
    /// The workspace's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// The workspace's id (`T…`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team_id: Option<String>,
    /// The id of the Enterprise Grid organisation (`E…`), if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enterprise_id: Option<String>,
    /// The name of the bot user: the one to invite to private channels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bot_user: Option<String>,
}

/// One recipient.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RecipientStatus {
    /// The recipient as it is written in the spec.
    pub name: String,
    /// The id that Slack knows it by, once found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Whether messages reach it.
    pub state: RecipientState,
    /// What to do when they do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Whether messages reach a recipient.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum RecipientState {
    /// Not known yet.
    #[default]
    Unknown,
    /// Found; the bot may write there.
    Resolved,
    /// Not found, or the bot may not write there: see the message.
    Failed,
}

/// Messages that are under way.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeliveryStatus {
    /// Access requests that wait for a decision.
    pub pending: i64,
    /// Access requests with a message that could not be delivered yet.
    pub failing: i64,
    /// Access requests that reached nobody since the worker started: no entry of `roleToRecipients` serves their roles.
    pub unrouted: i64,
    /// Suggested reviewers whom messages do not reach. What a requester writes fails no condition.
    pub unreachable_reviewers: i64,
    /// The last of the unrouted requests, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_unrouted: Option<String>,
    /// When a message was last delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success_time: Option<Time>,
    /// Why the last attempt failed, until one succeeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// The worker that reports. With more than one replica, one of them does for all.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkerStatus {
    /// The pod's name.
    pub pod: String,
    /// The worker's version.
    pub version: String,
    /// Names the configuration that this worker runs with; to be compared with `workload.configHash`.
    pub config_hash: String,
    /// When the worker reported last. It does so at least once a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_report_time: Option<Time>,
}

/// The workload that the controller keeps.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadStatus {
    /// The Deployment's name.
    pub deployment: String,
    /// Names the configuration that this generation of the spec asks for.
    pub config_hash: String,
}
