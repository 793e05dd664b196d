//! Pure: why no worker runs, in plain words, from what Kubernetes says of its pods.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use kube::ResourceExt as _;

use super::build::REVISION_ANNOTATION;
use crate::crd::reason::controller as reason;

/// Something that keeps a worker from running.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// The word for conditions and events.
    pub reason: &'static str,
    /// What is wrong, and what to do.
    pub message: String,
}

/// The first thing in the way of the pods of this revision.
pub fn diagnose(deployment: &Deployment, pods: &[Pod], revision: &str) -> Option<Problem> {
    let name = deployment.name_any();
    refused(deployment)
        .or_else(|| {
            let mut current: Vec<_> = pods
                .iter()
                .filter(|pod| pod.annotations().get(REVISION_ANNOTATION).is_some_and(|found| found == revision))
                .collect();
            // Which of several pods speaks must not depend on the order in which a cache happens to hold them.
            current.sort_by_key(|pod| pod.name_any());
            current.into_iter().find_map(|pod| of_pod(pod, &name))
        })
        .or_else(|| stuck(deployment, &name))
}

/// Whether Kubernetes has given up waiting for the pods to become ready.
pub fn is_past_deadline(deployment: &Deployment) -> bool {
    condition(deployment, "Progressing")
        .is_some_and(|(status, reason, _)| status == "False" && reason == "ProgressDeadlineExceeded")
}

/// The quota or an admission policy refuses the pods.
fn refused(deployment: &Deployment) -> Option<Problem> {
    let (_, _, message) = condition(deployment, "ReplicaFailure").filter(|(status, ..)| *status == "True")?;
    Some(Problem {
        reason: reason::POD_REFUSED,
        message: format!("Kubernetes refuses to create the worker's pod: {message}"),
    })
}

fn stuck(deployment: &Deployment, name: &str) -> Option<Problem> {
    is_past_deadline(deployment).then(|| Problem {
        reason: reason::NOT_PROGRESSING,
        message: format!("the worker's pod does not become ready; see: kubectl describe deployment {name}"),
    })
}

fn of_pod(pod: &Pod, deployment: &str) -> Option<Problem> {
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
        return Some(Problem {
            reason: reason::UNSCHEDULABLE,
            message: format!("no node takes the worker's pod: {message}"),
        });
    }
    (status.phase.as_deref() == Some("Failed")).then(|| Problem {
        reason: reason::NOT_PROGRESSING,
        message: format!(
            "the worker's pod failed: {}",
            status.message.as_deref().or(status.reason.as_deref()).unwrap_or("no reason given")
        ),
    })
}

fn of_container(container: &ContainerStatus, deployment: &str) -> Option<Problem> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let message = waiting.message.as_deref().unwrap_or("no reason given");
    match waiting.reason.as_deref()? {
        "ImagePullBackOff"
        | "ErrImagePull"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable" => Some(Problem {
            reason: reason::IMAGE_PULL_FAILED,
            message: format!(
                "image `{}` cannot be pulled: {message}; check spec.workload.image, and imagePullSecrets for a private registry",
                container.image
            ),
        }),
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => Some(Problem {
            reason: reason::CONTAINER_CONFIG_ERROR,
            message: format!("the worker's container cannot be created: {message}; check spec.workload"),
        }),
        "CrashLoopBackOff" => {
            let ended = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
            Some(Problem {
                reason: reason::CRASH_LOOP,
                message: format!(
                    "the worker ends soon after each start{}; see: kubectl logs deployment/{deployment}",
                    ended.map(ending).unwrap_or_default()
                ),
            })
        }
        _ => None,
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
        Some(line) => format!("{cause}: {}", line.trim()),
        None => cause,
    }
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

    use super::*;

    const REVISION: &str = "r1";

    fn deployment(condition: &Value) -> Deployment {
        serde_json::from_value(json!({
            "metadata": {"name": "slack-access-slack"},
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

    fn said(pod: &Pod) -> (&'static str, String) {
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
                reason::IMAGE_PULL_FAILED,
                "image `example.com/x:1` cannot be pulled: not found; check spec.workload.image",
            ),
            (waiting("ErrImageNeverPull", "absent", &none), reason::IMAGE_PULL_FAILED, "imagePullSecrets"),
            (
                waiting("CreateContainerConfigError", "secret \"proxy\" not found", &none),
                reason::CONTAINER_CONFIG_ERROR,
                "secret \"proxy\" not found",
            ),
            (
                waiting("CrashLoopBackOff", "back-off 10s", &crashed),
                reason::CRASH_LOOP,
                "(exit code 1): cannot bind port 8081; see: kubectl logs deployment/slack-access-slack",
            ),
            (waiting("CrashLoopBackOff", "back-off 10s", &killed), reason::CRASH_LOOP, "needs more memory"),
            (
                pod(
                    REVISION,
                    &json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}]}),
                ),
                reason::UNSCHEDULABLE,
                "0/3 nodes are available",
            ),
            (pod(REVISION, &json!({"phase": "Failed", "reason": "Evicted"})), reason::NOT_PROGRESSING, "Evicted"),
        ];
        for (pod, reason, words) in cases {
            let (said_reason, message) = said(&pod);
            assert_eq!(said_reason, reason, "{message}");
            assert!(message.contains(words), "{message}");
        }
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
            &json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: compute"}),
        );
        let problem = diagnose(&refused, &[], REVISION).unwrap();
        assert_eq!(problem.reason, reason::POD_REFUSED);
        assert!(problem.message.ends_with("exceeded quota: compute"));
    }

    #[test]
    fn pods_that_never_become_ready_are_noticed() {
        let stuck =
            deployment(&json!({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}));
        assert!(is_past_deadline(&stuck));
        assert_eq!(diagnose(&stuck, &[], REVISION).unwrap().reason, reason::NOT_PROGRESSING);
    }
}
