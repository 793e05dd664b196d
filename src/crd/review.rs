//! `spec.review`: how reviewers approve and deny in Slack.

#![allow(unreachable_pub, reason = "the schema derive repeats each public struct inside a function")]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::DEFAULT_SLACK_USER_ID_TRAIT;

/// Approve and deny in Slack.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!self.enabled || self.slackUserIdTrait != '' || self.allowEmailMatch").message("nobody could review: name the trait with the reviewers' Slack user ids in slackUserIdTrait, or set allowEmailMatch"))]
pub struct Review {
    /// Whether messages have buttons to approve and deny. A click is a review by the person who clicked, with their rights in Teleport.
    /// It needs `slack.appToken`, and a role in Teleport with `review_requests.submit_for_users`. Teleport's MFA is not asked for.
    #[serde(default)]
    pub enabled: bool,
    /// The trait of Teleport users that holds their Slack user id. Empty: only e-mail addresses are matched.
    #[serde(default = "Review::default_trait")]
    #[schemars(length(max = 128))]
    #[x_kube(validation = Rule::new("self == self.trim()").message("has spaces around it"))]
    pub slack_user_id_trait: String,
    /// Whether the confirmed e-mail address of a member's Slack profile may be the name of the Teleport user, where no trait is found.
    /// It is only as trustworthy as the administrators of the Slack workspace.
    #[serde(default)]
    pub allow_email_match: bool,
    /// When a reviewer is asked for a reason, which Teleport stores with the review.
    #[serde(default)]
    pub reason: ReasonPolicy,
}

impl Review {
    fn default_trait() -> String {
        DEFAULT_SLACK_USER_ID_TRAIT.to_owned()
    }
}

impl Default for Review {
    fn default() -> Self {
        Self {
            enabled: false,
            slack_user_id_trait: Self::default_trait(),
            allow_email_match: false,
            reason: ReasonPolicy::default(),
        }
    }
}

/// When a reviewer is asked for a reason.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
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
