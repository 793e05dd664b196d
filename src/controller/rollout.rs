//! Pure: why no worker runs, in plain words, from what Kubernetes says of its pods.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStateRunning, ContainerStateTerminated, ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;

use crate::controller::resources::{CONTAINER, PLUGIN_LABEL, REVISION_ANNOTATION};
use crate::crd::condition::Finding;
use crate::crd::reason::Reason;
use crate::crd::status::WorkerStatus;

/// So many restarts are a loop; before the first pause between two of them, Kubernetes restarts once at once.
const LOOP: i32 = 2;

/// The first thing in the way of the pods of this revision.
pub fn diagnose(deployment: &Deployment, pods: &[Pod], revision: &str) -> Option<Finding> {
    let name = deployment.name_any();
    refused(deployment)
        .or_else(|| {
            let mut current: Vec<_> = of_revision(pods, revision).filter(|pod| !is_leaving(pod)).collect();
            // Which of several pods speaks must not depend on the order in which a cache happens to hold them; one that has
            // ended for good speaks only if there is no other.
            current.sort_by_key(|pod| (has_failed(pod), pod.name_any()));
            current.into_iter().find_map(|pod| of_pod(pod, &name))
        })
        .or_else(|| paused(deployment, &name))
        .or_else(|| stuck(deployment))
}

/// Whether a worker of this revision runs for which the last report holds: the one that made it, since its start, or another one
/// that is ready.
pub fn is_heard(pods: &[Pod], revision: &str, report: &WorkerStatus) -> bool {
    of_revision(pods, revision).any(|pod| {
        let Some((worker, running)) = running(pod) else { return false };
        // Both times are of the clock of one node.
        let since_start = running.started_at.as_ref() <= report.last_report_time.as_ref();
        worker.ready || (pod.name_any() == report.pod && since_start)
    })
}

/// Whether a worker of this revision runs and is ready.
pub fn has_ready(pods: &[Pod], revision: &str) -> bool {
    of_revision(pods, revision)
        .filter(|pod| !is_leaving(pod))
        .any(|pod| running(pod).is_some_and(|(worker, _)| worker.ready))
}

/// Whether a worker of another revision runs.
pub fn has_predecessor(pods: &[Pod], revision: &str) -> bool {
    pods.iter().any(|pod| !is_of_revision(pod, revision) && running(pod).is_some())
}

fn of_revision<'a>(pods: &'a [Pod], revision: &'a str) -> impl Iterator<Item = &'a Pod> {
    pods.iter().filter(move |pod| is_of_revision(pod, revision))
}

fn is_of_revision(pod: &Pod, revision: &str) -> bool {
    is_annotated(&pod.metadata, revision)
}

fn is_annotated(metadata: &ObjectMeta, revision: &str) -> bool {
    let annotations = metadata.annotations.as_ref();
    annotations.and_then(|all| all.get(REVISION_ANNOTATION)).is_some_and(|found| found == revision)
}

fn is_leaving(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

fn has_failed(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Failed")
}

/// The worker's container, if it runs.
fn running(pod: &Pod) -> Option<(&ContainerStatus, &ContainerStateRunning)> {
    let mut containers = pod.status.as_ref()?.container_statuses.iter().flatten();
    let worker = containers.find(|container| container.name == CONTAINER)?;
    Some((worker, worker.state.as_ref()?.running.as_ref()?))
}

/// How far a Deployment has come: numbers of pods.
pub struct Rollout {
    /// Wanted.
    pub wanted: i32,
    /// Made from the present template.
    pub updated: i32,
    /// Ready, of whatever template.
    pub available: i32,
    /// There, of whatever template, without those that are being deleted.
    pub all: i32,
}

/// What Kubernetes says of the rollout; `None` before it has said anything.
pub fn rollout(deployment: &Deployment) -> Option<Rollout> {
    let status = deployment.status.as_ref()?;
    Some(Rollout {
        wanted: deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
        updated: status.updated_replicas.unwrap_or_default(),
        available: status.available_replicas.unwrap_or_default(),
        all: status.replicas.unwrap_or_default(),
    })
}

/// Whether as many pods of this revision as are wanted are available, and no others are wanted.
pub fn is_rolled_out(deployment: &Deployment, revision: &str) -> bool {
    let Some(Rollout { wanted, updated, available, all }) = rollout(deployment) else { return false };
    let template = deployment.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref());
    let is_current = template.is_some_and(|metadata| is_annotated(metadata, revision));
    let is_seen =
        deployment.status.as_ref().and_then(|status| status.observed_generation) >= deployment.metadata.generation;
    is_current && is_seen && updated >= wanted && available >= wanted && all <= wanted
}

/// Whether Kubernetes has given up waiting for the pods to become ready.
pub fn is_past_deadline(deployment: &Deployment) -> bool {
    condition(deployment, "Progressing")
        .is_some_and(|(status, reason, _)| status == "False" && reason == "ProgressDeadlineExceeded")
}

/// The quota or an admission policy refuses the pods.
fn refused(deployment: &Deployment) -> Option<Finding> {
    let (_, _, message) = condition(deployment, "ReplicaFailure").filter(|(status, ..)| *status == "True")?;
    // `pods "name" is forbidden: …`, with another name after each attempt.
    let message = message.split_once(" is forbidden: ").map_or(message, |(_, why)| why);
    Some(Finding {
        reason: Reason::PodRefused,
        message: format!("Kubernetes refuses to create the worker's pod: {message}"),
    })
}

/// Somebody has paused the rollout before every pod was made from the present template.
fn paused(deployment: &Deployment, name: &str) -> Option<Finding> {
    let is_paused = deployment.spec.as_ref().and_then(|spec| spec.paused).unwrap_or_default();
    let is_behind =
        rollout(deployment).is_none_or(|Rollout { wanted, updated, all, .. }| updated < wanted || all > updated);
    (is_paused && is_behind).then(|| Finding {
        reason: Reason::DeploymentPaused,
        message: format!(
            "the rollout of Deployment `{name}` is paused, so that not every worker gets this configuration; to go on: kubectl rollout resume deployment/{name}"
        ),
    })
}

fn stuck(deployment: &Deployment) -> Option<Finding> {
    let plugin = deployment.labels().get(PLUGIN_LABEL).map(String::as_str).unwrap_or_default();
    is_past_deadline(deployment).then(|| Finding {
        reason: Reason::NotProgressing,
        message: format!(
            "the worker's pod does not become ready; see: kubectl describe pod -l {PLUGIN_LABEL}={plugin}"
        ),
    })
}

fn of_pod(pod: &Pod, deployment: &str) -> Option<Finding> {
    let status = pod.status.as_ref()?;
    let containers = status.container_statuses.iter().flatten();
    if let Some(problem) = containers.into_iter().find_map(|container| of_container(container, deployment)) {
        return Some(problem);
    }
    let unschedulable =
        status.conditions.iter().flatten().find(|condition| {
            condition.type_ == "PodScheduled" && condition.reason.as_deref() == Some("Unschedulable")
        });
    if let Some(condition) = unschedulable {
        let message = condition.message.as_deref().unwrap_or("no reason given");
        return Some(Finding {
            reason: Reason::Unschedulable,
            message: format!("no node takes the worker's pod: {message}"),
        });
    }
    has_failed(pod).then(|| Finding {
        reason: Reason::NotProgressing,
        message: format!(
            "the worker's pod failed: {}",
            status.message.as_deref().or(status.reason.as_deref()).unwrap_or("no reason given")
        ),
    })
}

fn of_container(container: &ContainerStatus, deployment: &str) -> Option<Finding> {
    let state = container.state.as_ref()?;
    let Some(waiting) = &state.waiting else {
        // Between two starts of a loop it runs for a moment.
        let ended = state.terminated.as_ref().or(container.last_state.as_ref()?.terminated.as_ref())?;
        let loops = container.restart_count >= LOOP && !container.ready && ended.exit_code != 0;
        return loops.then(|| crash_loop(Some(ended), deployment));
    };
    let message = waiting.message.as_deref().map_or_else(|| "no reason given".to_owned(), without_ids);
    match waiting.reason.as_deref()? {
        "ImagePullBackOff"
        | "ErrImagePull"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable" => Some(Finding {
            reason: Reason::ImagePullFailed,
            message: format!(
                "image `{}` cannot be pulled; check spec.workload.image, and imagePullSecrets for a private registry: {message}",
                container.image
            ),
        }),
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => Some(Finding {
            reason: Reason::ContainerConfigError,
            message: format!("the worker's container cannot be created: {message}; check spec.workload"),
        }),
        "CrashLoopBackOff" => {
            let ended = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
            Some(crash_loop(ended, deployment))
        }
        _ => None,
    }
}

fn crash_loop(ended: Option<&ContainerStateTerminated>, deployment: &str) -> Finding {
    Finding {
        reason: Reason::CrashLoop,
        message: format!(
            "the worker ends soon after each start{}; see: kubectl logs deployment/{deployment}",
            ended.map(ending).unwrap_or_default()
        ),
    }
}

/// How a container ended: Kubernetes' own word for it and the last line that the worker wrote.
fn ending(ended: &ContainerStateTerminated) -> String {
    let cause = match ended.reason.as_deref() {
        Some("OOMKilled") => " (it needs more memory than spec.workload.resources allows)".to_owned(),
        _ => format!(" (exit code {})", ended.exit_code),
    };
    let last_line =
        ended.message.as_deref().and_then(|message| message.lines().rev().find(|line| !line.trim().is_empty()));
    match last_line {
        Some(line) => format!("{cause}: {}", without_ids(line.trim())),
        None => cause,
    }
}

/// Leaves out the ids of containers: another one after each attempt is no news.
fn without_ids(message: &str) -> String {
    let is_id = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let words = message.split(' ').filter(|word| !is_id(word.trim_matches(|c: char| !c.is_ascii_alphanumeric())));
    words.collect::<Vec<_>>().join(" ")
}

fn condition<'a>(deployment: &'a Deployment, type_: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let condition =
        deployment.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == type_)?;
    Some((
        condition.status.as_str(),
        condition.reason.as_deref().unwrap_or_default(),
        condition.message.as_deref().unwrap_or_default(),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::controller::rollout::*;

    const REVISION: &str = "r1";

    fn deployment(condition: &Value) -> Deployment {
        serde_json::from_value(json!({
            "metadata": {"name": "slack-access-slack", "labels": {PLUGIN_LABEL: "slack"}},
            "status": {"conditions": [condition]},
        }))
        .unwrap()
    }

    fn fine() -> Deployment {
        deployment(&json!({"type": "Available", "status": "True"}))
    }

    fn pod(revision: &str, status: &Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "annotations": {REVISION_ANNOTATION: revision}},
            "status": status,
        }))
        .unwrap()
    }

    fn waiting(reason: &str, message: &str, last: &Value) -> Pod {
        pod(
            REVISION,
            &json!({"phase": "Pending", "containerStatuses": [{
                "name": "worker", "image": "example.com/x:1", "imageID": "", "ready": false, "restartCount": 1,
                "state": {"waiting": {"reason": reason, "message": message}}, "lastState": last,
            }]}),
        )
    }

    fn said(pod: &Pod) -> (Reason, String) {
        let problem = diagnose(&fine(), std::slice::from_ref(pod), REVISION).unwrap();
        (problem.reason, problem.message)
    }

    #[test]
    fn each_state_of_a_pod_is_said_in_plain_words() {
        let none = json!({});
        let crashed =
            json!({"terminated": {"exitCode": 1, "reason": "Error", "message": "first\ncannot bind port 8081\n"}});
        let killed = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
        let cases = vec![
            (
                waiting("ImagePullBackOff", "not found", &none),
                Reason::ImagePullFailed,
                "image `example.com/x:1` cannot be pulled; check spec.workload.image, and imagePullSecrets for a private registry: not found",
            ),
            (waiting("ErrImageNeverPull", "absent", &none), Reason::ImagePullFailed, "imagePullSecrets"),
            (
                waiting("CreateContainerConfigError", "secret \"proxy\" not found", &none),
                Reason::ContainerConfigError,
                "secret \"proxy\" not found",
            ),
            (
                waiting("CrashLoopBackOff", "back-off 10s", &crashed),
                Reason::CrashLoop,
                "(exit code 1): cannot bind port 8081; see: kubectl logs deployment/slack-access-slack",
            ),
            (waiting("CrashLoopBackOff", "back-off 10s", &killed), Reason::CrashLoop, "needs more memory"),
            (
                pod(
                    REVISION,
                    &json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}]}),
                ),
                Reason::Unschedulable,
                "0/3 nodes are available",
            ),
            (pod(REVISION, &json!({"phase": "Failed", "reason": "Evicted"})), Reason::NotProgressing, "Evicted"),
        ];
        for (pod, reason, words) in cases {
            let (said_reason, message) = said(&pod);
            assert_eq!(said_reason, reason, "{message}");
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn a_loop_is_said_between_its_pauses_too_and_one_restart_is_none() {
        let of = |restarts: i32, ready: bool, state: Value| {
            pod(
                REVISION,
                &json!({"phase": "Running", "containerStatuses": [{
                    "name": "worker", "image": "x", "imageID": "", "ready": ready, "restartCount": restarts, "state": state,
                    "lastState": {"terminated": {"exitCode": 1, "message": "cannot bind"}},
                }]}),
            )
        };
        let running = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
        for state in [&running, &json!({"terminated": {"exitCode": 1, "message": "cannot bind"}})] {
            let (reason, message) = said(&of(2, false, state.clone()));
            assert!(reason == Reason::CrashLoop && message.contains("cannot bind"), "{reason}: {message}");
        }
        assert_eq!(diagnose(&fine(), &[of(1, false, running.clone())], REVISION), None);
        assert_eq!(diagnose(&fine(), &[of(9, true, running)], REVISION), None);
    }

    #[test]
    fn a_pod_that_has_ended_for_good_speaks_only_if_there_is_no_other() {
        let evicted = pod(REVISION, &json!({"phase": "Failed", "reason": "Evicted"}));
        let mut next = waiting("ImagePullBackOff", "not found", &json!({}));
        next.metadata.name = Some("z".into());
        let problem = diagnose(&fine(), &[evicted.clone(), next.clone()], REVISION).unwrap();
        assert_eq!(problem.reason, Reason::ImagePullFailed);
        next.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
        assert_eq!(diagnose(&fine(), &[evicted, next], REVISION).unwrap().reason, Reason::NotProgressing);
    }

    #[test]
    fn an_id_that_changes_with_each_attempt_is_left_out() {
        let id = "9f".repeat(32);
        let said = |id: &str| without_ids(&format!("failed to start containerd task \"{id}\": cannot start: unknown"));
        assert_eq!(said(&id), "failed to start containerd task cannot start: unknown");
        assert_eq!(said("worker"), "failed to start containerd task \"worker\": cannot start: unknown");
    }

    #[test]
    fn a_pod_on_its_way_is_no_problem() {
        assert_eq!(diagnose(&fine(), &[waiting("ContainerCreating", "", &json!({}))], REVISION), None);
        assert_eq!(diagnose(&fine(), &[pod(REVISION, &json!({"phase": "Running"}))], REVISION), None);
    }

    #[test]
    fn the_pods_of_another_revision_are_not_asked() {
        let old = pod("r0", &json!({"phase": "Failed", "reason": "Evicted"}));
        assert_eq!(diagnose(&fine(), &[old], REVISION), None);
    }

    #[test]
    fn a_refused_pod_is_said_with_the_words_of_the_refusal() {
        let refused = deployment(
            &json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "pods \"slack-access-slack-6947fc8b86-6824x\" is forbidden: exceeded quota: compute"}),
        );
        let problem = diagnose(&refused, &[], REVISION).unwrap();
        assert_eq!(problem.reason, Reason::PodRefused);
        assert_eq!(problem.message, "Kubernetes refuses to create the worker's pod: exceeded quota: compute");
    }

    #[test]
    fn pods_that_never_become_ready_are_noticed() {
        let stuck =
            deployment(&json!({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}));
        assert!(is_past_deadline(&stuck));
        let problem = diagnose(&stuck, &[], REVISION).unwrap();
        assert_eq!(problem.reason, Reason::NotProgressing);
        assert!(
            problem.message.ends_with("kubectl describe pod -l slackaccess.dev/plugin=slack"),
            "{}",
            problem.message
        );
    }

    #[test]
    fn a_paused_rollout_is_said_until_every_pod_is_made_from_the_present_template() {
        let paused = |status: &Value| {
            let deployment = serde_json::from_value(json!({
                "metadata": {"name": "slack-access-slack"},
                "spec": {"paused": true, "replicas": 1, "selector": {}, "template": {}},
                "status": status,
            }));
            diagnose(&deployment.unwrap(), &[], REVISION)
        };
        for status in [json!({}), json!({"replicas": 1}), json!({"replicas": 2, "updatedReplicas": 1})] {
            let problem = paused(&status).unwrap();
            assert_eq!(problem.reason, Reason::DeploymentPaused);
            assert!(problem.message.ends_with("kubectl rollout resume deployment/slack-access-slack"));
        }
        assert_eq!(paused(&json!({"replicas": 1, "updatedReplicas": 1})), None);
    }
}
