//! Pure: what the controller says of an object, from what it did, what its pods do, and what its worker reports.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt as _;
use serde::Serialize;

use crate::controller::error::Error;
use crate::controller::foreign;
use crate::controller::object_state::Pulse;
use crate::controller::resources::{Applied, Resources};
use crate::controller::rollout::{self, Rollout};
use crate::crd::SlackAccessPluginStatus;
use crate::crd::condition::{Finding, Status, condition};
use crate::crd::reason::{Credential, Reason};
use crate::crd::status::{
    DELIVERING, IDENTITY_VALID, READY, RECIPIENTS_RESOLVED, RECONCILING, REVIEW_CONNECTED, REVIEW_ENABLED,
    SLACK_CONNECTED, STALLED, TELEPORT_CONNECTED, WORKLOAD_MODIFIED, WorkerStatus, WorkloadStatus,
};

/// The worker's conditions, in the order in which one makes the next possible.
const PARTS: [&str; 7] = [
    IDENTITY_VALID,
    TELEPORT_CONNECTED,
    SLACK_CONNECTED,
    RECIPIENTS_RESOLVED,
    DELIVERING,
    REVIEW_ENABLED,
    REVIEW_CONNECTED,
];
/// Workers of earlier releases do not write all of them, and those of reviews are there only where these are switched on.
const WRITTEN_BY_ALL: usize = 4;

/// Everything that the decision depends on.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The generation of the spec that was worked on.
    pub generation: Option<i64>,
    /// The status as it is.
    pub previous: &'a SlackAccessPluginStatus,
    /// `spec.suspend`.
    pub suspended: bool,
    /// The Secret of the Teleport identity.
    pub identity_secret: &'a str,
    /// The Secret of the Slack token.
    pub token_secret: &'a str,
    /// What became of the spec.
    pub outcome: Result<&'a Resources<Applied>, &'a Error>,
    /// The pods that are there.
    pub pods: &'a [Pod],
    /// Whether the worker still reports.
    pub pulse: Pulse,
    /// The time of the decision.
    pub now: Time,
}

/// The controller's part of the status.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Controlled {
    /// See [`SlackAccessPluginStatus::observed_generation`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Reconciling`, `Stalled`, `WorkloadModified`.
    pub conditions: Vec<Condition>,
    /// See [`SlackAccessPluginStatus::workload`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadStatus>,
}

/// What the controller finds, before it becomes conditions.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Verdict {
    ready: Status,
    /// Of a worker of another release, the word may be one that this release does not know.
    reason: String,
    message: String,
    phase: Phase,
}

impl Verdict {
    fn new(ready: Status, reason: Reason, message: impl Into<String>, phase: Phase) -> Self {
        Self { ready, reason: reason.to_string(), message: message.into(), phase }
    }
}

/// Where an object stands for those who wait for it.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Phase {
    /// At its end.
    Settled,
    /// On its way, and why.
    Moving(Option<Finding>),
    /// Somebody has to do something.
    Stuck,
}

/// Decides what to say.
pub fn decide(facts: &Facts<'_>) -> Controlled {
    let Verdict { ready, reason: why, message, phase } = verdict(facts);
    let none = || (Reason::None.to_string(), String::new());
    let (reconciling, stalled) = match phase {
        Phase::Settled => ((Status::False, none()), (Status::False, none())),
        Phase::Moving(None) => ((Status::True, (why.clone(), message.clone())), (Status::False, none())),
        Phase::Moving(Some(Finding { reason, message })) => {
            ((Status::True, (reason.to_string(), message)), (Status::False, none()))
        }
        Phase::Stuck => ((Status::False, none()), (Status::True, (why.clone(), message.clone()))),
    };
    let foreign: Vec<_> = foreign::found(facts.pods).into_iter().collect();
    let modified = if foreign.is_empty() {
        (Status::False, none())
    } else {
        let message = format!("the worker's pods have what the operator did not put there: {}", foreign.join(", "));
        (Status::True, (Reason::ForeignSettings.to_string(), message))
    };
    let condition = |type_: &str, status: Status, (why, message): (String, String)| {
        condition(type_, status, (&why, &message), facts.generation, facts.previous.condition(type_), &facts.now)
    };
    Controlled {
        observed_generation: facts.generation,
        conditions: vec![
            condition(READY, ready, (why, message)),
            condition(RECONCILING, reconciling.0, reconciling.1),
            condition(STALLED, stalled.0, stalled.1),
            condition(WORKLOAD_MODIFIED, modified.0, modified.1),
        ],
        workload: match facts.outcome {
            Ok(resources) => Some(WorkloadStatus {
                deployment: resources.deployment.name_any(),
                config_hash: resources.revision.clone(),
            }),
            Err(_) => facts.previous.workload.clone(),
        },
    }
}

impl Controlled {
    /// The status as it is once this has been said.
    pub fn overlay(self, status: &mut SlackAccessPluginStatus) {
        let Self { observed_generation, conditions, workload } = self;
        status.observed_generation = observed_generation;
        status.workload = workload;
        status.conditions.retain(|old| conditions.iter().all(|new| new.type_ != old.type_));
        status.conditions.extend(conditions);
    }
}

/// Whether the status already says this.
pub fn is_said(controlled: &Controlled, status: &SlackAccessPluginStatus) -> bool {
    controlled.observed_generation == status.observed_generation
        && controlled.workload == status.workload
        && controlled.conditions.iter().all(|condition| status.condition(&condition.type_) == Some(condition))
}

fn verdict(facts: &Facts<'_>) -> Verdict {
    let resources = match facts.outcome {
        Ok(resources) => resources,
        Err(error) => {
            let phase = if error.needs_person() { Phase::Stuck } else { Phase::Moving(None) };
            return Verdict::new(Status::False, error.reason(), error.to_string(), phase);
        }
    };
    if facts.suspended {
        return suspended(facts.pods);
    }
    let problem = rollout::diagnose(&resources.deployment, facts.pods, &resources.revision);
    let revision = resources.revision.as_str();
    let report = report_of(facts.previous, revision);
    // What is written in the status stays there when its writer is gone.
    let is_heard = report.is_some_and(|report| rollout::is_heard(facts.pods, revision, report));
    let has_predecessor = rollout::has_predecessor(facts.pods, revision);
    match (is_heard, facts.pulse) {
        (true, Pulse::Alive(_)) => reported_verdict(facts, rollout(resources, problem), has_predecessor),
        (_, _) if problem.is_some() => hindered(problem, &resources.deployment, has_predecessor),
        (true, _) => silent(&resources.deployment),
        (false, Pulse::Silent) if owes_first_report(facts.previous, facts.pods, revision) => {
            silent(&resources.deployment)
        }
        (false, _) if has_predecessor => Verdict::new(
            Status::Unknown,
            Reason::RollingOut,
            "a worker with this configuration is being started; the one before works until then",
            Phase::Moving(None),
        ),
        (false, _) => {
            Verdict::new(Status::Unknown, Reason::Starting, "the worker is being started", Phase::Moving(None))
        }
    }
}

/// What a worker of this revision reported last.
fn report_of<'a>(status: &'a SlackAccessPluginStatus, revision: &str) -> Option<&'a WorkerStatus> {
    status.worker.as_ref().filter(|worker| worker.config_hash == revision)
}

/// Whether a worker of this revision is ready, and none has reported yet: it does so within moments, or it cannot.
pub fn owes_first_report(status: &SlackAccessPluginStatus, pods: &[Pod], revision: &str) -> bool {
    report_of(status, revision).is_none() && rollout::has_ready(pods, revision)
}

/// Whether the status says that the worker is silent.
pub fn says_silent(status: &SlackAccessPluginStatus) -> bool {
    status.condition(READY).is_some_and(|ready| ready.reason == Reason::WorkerSilent)
}

fn silent(deployment: &Deployment) -> Verdict {
    let message = format!(
        "the worker runs but has not reported for minutes: it may be unable to reach the Kubernetes API; see: kubectl logs deployment/{}",
        deployment.name_any()
    );
    Verdict::new(Status::Unknown, Reason::WorkerSilent, message, Phase::Moving(None))
}

fn suspended(pods: &[Pod]) -> Verdict {
    let (message, phase) = if pods.is_empty() {
        ("spec.suspend is set: no request is announced until it is false again", Phase::Settled)
    } else {
        ("spec.suspend is set: the worker is being stopped", Phase::Moving(None))
    };
    Verdict::new(Status::False, Reason::Suspended, message, phase)
}

/// No worker of this revision runs, and it is known why.
fn hindered(problem: Option<Finding>, deployment: &Deployment, has_predecessor: bool) -> Verdict {
    let Finding { reason, mut message } = problem.unwrap_or_else(|| Finding::new(Reason::Starting, ""));
    if has_predecessor {
        message.push_str(" (the worker of the earlier configuration goes on until then)");
    }
    let is_stuck = reason == Reason::DeploymentPaused || rollout::is_past_deadline(deployment);
    let phase = if is_stuck { Phase::Stuck } else { Phase::Moving(None) };
    Verdict::new(Status::False, reason, message, phase)
}

/// A worker of this revision reports.
fn reported_verdict(facts: &Facts<'_>, rollout: Option<Finding>, has_predecessor: bool) -> Verdict {
    let status = facts.previous;
    let parts = PARTS.map(|part| status.condition(part));
    // What is known to be broken comes before what is not known yet.
    let broken = |wanted: &str| parts.iter().flatten().find(|condition| condition.status == wanted);
    if let Some(condition) = broken("False").or_else(|| broken("Unknown")) {
        let failed = condition.status == "False";
        return Verdict {
            ready: if failed { Status::False } else { Status::Unknown },
            reason: condition.reason.clone(),
            message: with_secret(condition, facts),
            phase: if failed && reason_of(condition).is_some_and(Reason::needs_person) {
                Phase::Stuck
            } else {
                Phase::Moving(None)
            },
        };
    }
    if parts.iter().take(WRITTEN_BY_ALL).any(Option::is_none) {
        let message = "the worker has not tried everything yet";
        return Verdict::new(Status::Unknown, Reason::Starting, message, Phase::Moving(None));
    }
    if has_predecessor {
        // It would still tell its own recipients.
        let Finding { reason, message } = rollout.unwrap_or_else(|| Finding::new(Reason::RollingOut, ENDING));
        return Verdict::new(Status::Unknown, reason, message, Phase::Moving(None));
    }
    let phase = rollout.map_or(Phase::Settled, |rollout| Phase::Moving(Some(rollout)));
    Verdict::new(Status::True, Reason::Working, working(status), phase)
}

/// What the worker says, with the Secret that has to be changed: the worker knows credentials, not where they come from.
fn with_secret(condition: &Condition, facts: &Facts<'_>) -> String {
    let secret = match reason_of(condition).and_then(Reason::credential) {
        // A worker that joins has none.
        Some(Credential::Identity) if facts.identity_secret.is_empty() => return condition.message.clone(),
        Some(Credential::Identity) => facts.identity_secret,
        Some(Credential::Token) => facts.token_secret,
        None => return condition.message.clone(),
    };
    let message = &condition.message;
    // In backticks, as the worker writes names: a Secret may be named like a word of the message (`token`).
    let name = format!("`{secret}`");
    if message.contains(&name) { message.clone() } else { format!("{message} (Secret {name})") }
}

fn working(status: &SlackAccessPluginStatus) -> String {
    let cluster = status.teleport.as_ref().and_then(|teleport| teleport.cluster.as_deref());
    let team = status.slack.as_ref().and_then(|slack| slack.team.as_deref());
    match (cluster, team) {
        (Some(cluster), Some(team)) => format!("announcing access requests of {cluster} in {team}"),
        _ => "announcing access requests".to_owned(),
    }
}

/// While the last of an earlier configuration is not gone.
const ENDING: &str = "the new configuration works; a worker of the earlier one is ending";

/// Whether the Deployment is still on its way although one worker already works.
fn rollout(resources: &Resources<Applied>, problem: Option<Finding>) -> Option<Finding> {
    let Rollout { wanted, updated, available, all } = rollout::rollout(&resources.deployment)?;
    if rollout::is_rolled_out(&resources.deployment, &resources.revision) {
        return None;
    }
    Some(match problem {
        Some(problem) => problem,
        None if all > updated && updated >= wanted => Finding::new(Reason::RollingOut, ENDING),
        None => Finding::new(Reason::RollingOut, format!("{available} of {wanted} workers are ready")),
    })
}

/// Why a condition has its status; `None` where a worker of another release uses a word of its own.
fn reason_of(condition: &Condition) -> Option<Reason> {
    Reason::parse(&condition.reason)
}

/// Whether a changed Secret or ConfigMap would heal what the worker reports: then its node should look for one soon.
pub fn waits_for_secret(status: &SlackAccessPluginStatus) -> bool {
    status
        .conditions
        .iter()
        .any(|condition| condition.status == "False" && reason_of(condition).is_some_and(Reason::healed_by_secret))
}

#[cfg(test)]
mod tests;
