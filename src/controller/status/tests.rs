use std::marker::PhantomData;

use serde_json::{Value, json};

use crate::controller::fixtures::minimal;
use crate::controller::resources;
use crate::controller::status::*;
use crate::controller::validate::{Rejection, validate};

const ALIVE: Pulse = Pulse::Alive(std::time::Duration::from_secs(1));

/// Applied objects whose Deployment has this status.
fn applied(status: Value) -> Resources<Applied> {
    let resources::Resources {
        service_account,
        role,
        role_binding,
        config_map,
        mut deployment,
        disruption_budget,
        revision,
        state: PhantomData,
    } = resources::build(&validate(&minimal()).unwrap(), "image", &resources::WorkerPods::default(), "policy").unwrap();
    deployment.status = Some(serde_json::from_value(status).unwrap());
    Resources {
        service_account,
        role,
        role_binding,
        config_map,
        deployment,
        disruption_budget,
        revision,
        state: PhantomData,
    }
}

fn rolled_out() -> Resources<Applied> {
    applied(json!({"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1, "readyReplicas": 1}))
}

/// A status in which a worker of `revision` reports that all works, but `broken`.
fn reported(revision: &str, broken: &[(&str, &str, &str)]) -> SlackAccessPluginStatus {
    let conditions: Vec<Value> = PARTS
        .iter()
        .map(|part| {
            let (status, reason, message) = broken
                .iter()
                .find(|(broken, ..)| broken == part)
                .map_or(("True", "OK", ""), |(_, reason, message)| ("False", *reason, *message));
            json!({"type": part, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"})
        })
        .collect();
    serde_json::from_value(json!({
        "conditions": conditions,
        "worker": {"pod": "p", "version": "1", "configHash": revision, "lastReportTime": "2026-01-01T00:00:01Z"},
        "teleport": {"cluster": "example.com"},
        "slack": {"team": "Acme"},
    }))
    .unwrap()
}

/// A pod named `p` whose worker runs.
fn running(revision: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "annotations": {resources::REVISION_ANNOTATION: revision}},
        "status": {"phase": "Running", "containerStatuses": [{
            "name": "worker", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
        }]},
    }))
    .unwrap()
}

fn said(outcome: Result<&Resources<Applied>, &Error>, previous: &SlackAccessPluginStatus, pulse: Pulse) -> Controlled {
    let pods: Vec<_> = outcome.iter().map(|resources| running(&resources.revision)).collect();
    said_with(&pods, outcome, previous, pulse)
}

fn said_with(
    pods: &[Pod],
    outcome: Result<&Resources<Applied>, &Error>,
    previous: &SlackAccessPluginStatus,
    pulse: Pulse,
) -> Controlled {
    decide(&Facts {
        generation: Some(3),
        previous,
        suspended: false,
        identity_secret: "the-identity",
        token_secret: "the-token",
        outcome,
        pods,
        pulse,
        now: Time("2026-06-01T00:00:00Z".parse().unwrap()),
    })
}

/// Ready, its reason, Reconciling, Stalled.
fn summary(controlled: &Controlled) -> (&str, &str, &str, &str) {
    let [ready, reconciling, stalled, _] = controlled.conditions.as_slice() else { panic!("four conditions") };
    (&ready.status, &ready.reason, &reconciling.status, &stalled.status)
}

#[test]
fn ready_is_what_a_reporting_worker_of_this_configuration_says() {
    let resources = rolled_out();
    let controlled = said(Ok(&resources), &reported(&resources.revision, &[]), ALIVE);
    assert_eq!(summary(&controlled), ("True", Reason::Working.as_str(), "False", "False"));
    assert_eq!(controlled.conditions[0].message, "announcing access requests of example.com in Acme");
    assert_eq!(controlled.observed_generation, Some(3));
}

#[test]
fn a_ready_pod_alone_is_not_ready() {
    let controlled = said(Ok(&rolled_out()), &SlackAccessPluginStatus::default(), Pulse::None);
    assert_eq!(summary(&controlled), ("Unknown", Reason::Starting.as_str(), "True", "False"));
}

#[test]
fn the_report_of_another_configuration_does_not_count() {
    let controlled = said_with(&[running("other")], Ok(&rolled_out()), &reported("other", &[]), ALIVE);
    assert_eq!(summary(&controlled), ("Unknown", Reason::RollingOut.as_str(), "True", "False"));
}

#[test]
fn a_configuration_is_not_ready_while_a_worker_of_an_earlier_one_still_tells_its_recipients() {
    let resources = rolled_out();
    let (new, mut old) = (running(&resources.revision), running("other"));
    old.metadata.name = Some("old".into());
    let pods = [new, old];
    let controlled = said_with(&pods, Ok(&resources), &reported(&resources.revision, &[]), ALIVE);
    assert_eq!(summary(&controlled), ("Unknown", Reason::RollingOut.as_str(), "True", "False"));
    let broken = reported(&resources.revision, &[(SLACK_CONNECTED, Reason::SlackUnreachable.as_str(), "no route")]);
    let controlled = said_with(&pods, Ok(&resources), &broken, ALIVE);
    assert_eq!(
        controlled.conditions[0].reason,
        Reason::SlackUnreachable.as_str(),
        "what the new one suffers from comes first"
    );
}

#[test]
fn what_a_worker_reported_does_not_outlive_it() {
    let resources = rolled_out();
    let report = reported(&resources.revision, &[]);
    let starting = ("Unknown", Reason::Starting.as_str(), "True", "False");
    for pulse in [ALIVE, Pulse::Silent] {
        assert_eq!(summary(&said_with(&[], Ok(&resources), &report, pulse)), starting);
    }
    let mut pod = running(&resources.revision);
    let mut change = |state: Value, ready: bool| {
        let container = &mut pod.status.as_mut().unwrap().container_statuses.as_mut().unwrap()[0];
        (container.state, container.ready) = (Some(serde_json::from_value(state).unwrap()), ready);
        summary(&said_with(std::slice::from_ref(&pod), Ok(&resources), &report, ALIVE)).1.to_owned()
    };
    assert_eq!(change(json!({"running": {"startedAt": "2026-01-01T00:00:02Z"}}), false), Reason::Starting.as_str());
    assert_eq!(change(json!({"running": {"startedAt": "2026-01-01T00:00:02Z"}}), true), Reason::Working.as_str());
    assert_eq!(change(json!({"waiting": {"reason": "CrashLoopBackOff"}}), false), Reason::CrashLoop.as_str());
}

#[test]
fn another_worker_that_is_ready_keeps_what_one_of_them_reported() {
    let resources = rolled_out();
    let mut other = running(&resources.revision);
    other.metadata.name = Some("other".into());
    let report = reported(&resources.revision, &[]);
    assert_eq!(
        said_with(&[other.clone()], Ok(&resources), &report, ALIVE).conditions[0].reason,
        Reason::Starting.as_str()
    );
    other.status.as_mut().unwrap().container_statuses.as_mut().unwrap()[0].ready = true;
    assert_eq!(said_with(&[other], Ok(&resources), &report, ALIVE).conditions[0].reason, Reason::Working.as_str());
}

#[test]
fn while_a_new_worker_cannot_start_the_one_before_it_is_mentioned() {
    let refused = json!({"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"});
    let resources = applied(json!({"conditions": [refused]}));
    let controlled = said_with(&[running("other")], Ok(&resources), &reported("other", &[]), ALIVE);
    assert_eq!(controlled.conditions[0].reason, Reason::PodRefused.as_str());
    assert!(controlled.conditions[0].message.ends_with("the worker of the earlier configuration goes on until then)"));
}

#[test]
fn the_first_broken_part_is_said_with_its_own_words() {
    let resources = rolled_out();
    let status = reported(
        &resources.revision,
        &[
            (RECIPIENTS_RESOLVED, Reason::RecipientFailed.as_str(), "invite @teleport to #dba-oncall"),
            (SLACK_CONNECTED, Reason::TokenRefused.as_str(), "the token was revoked"),
        ],
    );
    let controlled = said(Ok(&resources), &status, ALIVE);
    assert_eq!(summary(&controlled), ("False", Reason::TokenRefused.as_str(), "False", "True"));
    assert_eq!(controlled.conditions[0].message, "the token was revoked (Secret `the-token`)");
}

#[test]
fn a_secret_named_like_a_word_of_the_message_is_named_all_the_same() {
    let status =
        |message| reported(&rolled_out().revision, &[(SLACK_CONNECTED, Reason::TokenRefused.as_str(), message)]);
    let said = |message| {
        let controlled = decide(&Facts {
            generation: Some(3),
            previous: &status(message),
            suspended: false,
            identity_secret: "identity",
            token_secret: "token",
            outcome: Ok(&rolled_out()),
            pods: &[running(&rolled_out().revision)],
            pulse: ALIVE,
            now: Time("2026-06-01T00:00:00Z".parse().unwrap()),
        });
        controlled.conditions[0].message.clone()
    };
    assert_eq!(said("the token was revoked"), "the token was revoked (Secret `token`)");
    assert_eq!(said("Secret `token` holds none"), "Secret `token` holds none");
}

#[test]
fn what_is_broken_is_said_before_what_is_not_known_yet() {
    let resources = rolled_out();
    let mut status = reported(&resources.revision, &[(SLACK_CONNECTED, Reason::SlackUnreachable.as_str(), "no route")]);
    status
        .conditions
        .iter_mut()
        .filter(|one| one.type_ == TELEPORT_CONNECTED)
        .for_each(|one| one.status = "Unknown".into());
    let controlled = said(Ok(&resources), &status, ALIVE);
    assert_eq!(summary(&controlled), ("False", Reason::SlackUnreachable.as_str(), "True", "False"));
}

#[test]
fn what_may_heal_by_itself_is_reconciling_and_not_stalled() {
    let resources = rolled_out();
    for (part, why) in [
        (IDENTITY_VALID, Reason::IdentityMissing.as_str()),
        (TELEPORT_CONNECTED, Reason::TeleportUnreachable.as_str()),
        (SLACK_CONNECTED, Reason::SlackUnreachable.as_str()),
    ] {
        let controlled = said(Ok(&resources), &reported(&resources.revision, &[(part, why, "x")]), ALIVE);
        assert_eq!(summary(&controlled), ("False", why, "True", "False"));
    }
}

#[test]
fn a_worker_that_stopped_reporting_is_noticed() {
    let resources = rolled_out();
    let controlled = said(Ok(&resources), &reported(&resources.revision, &[]), Pulse::Silent);
    assert_eq!(summary(&controlled), ("Unknown", Reason::WorkerSilent.as_str(), "True", "False"));
}

#[test]
fn a_worker_that_is_ready_and_never_reports_is_noticed() {
    let resources = rolled_out();
    let mut pod = running(&resources.revision);
    for previous in [SlackAccessPluginStatus::default(), reported("other", &[])] {
        pod.status.as_mut().unwrap().container_statuses.as_mut().unwrap()[0].ready = true;
        assert!(owes_first_report(&previous, std::slice::from_ref(&pod), &resources.revision));
        let said = |pod: &Pod, pulse| said_with(std::slice::from_ref(pod), Ok(&resources), &previous, pulse);
        assert_eq!(said(&pod, ALIVE).conditions[0].reason, Reason::Starting.as_str());
        assert_eq!(summary(&said(&pod, Pulse::Silent)), ("Unknown", Reason::WorkerSilent.as_str(), "True", "False"));
        pod.status.as_mut().unwrap().container_statuses.as_mut().unwrap()[0].ready = false;
        assert_eq!(said(&pod, Pulse::Silent).conditions[0].reason, Reason::Starting.as_str());
    }
    assert!(!owes_first_report(&reported(&resources.revision, &[]), &[pod], &resources.revision));
}

#[test]
fn one_working_worker_of_two_is_ready_and_still_on_its_way() {
    let resources = applied(json!({"replicas": 2, "updatedReplicas": 1, "availableReplicas": 1}));
    let controlled = said(Ok(&resources), &reported(&resources.revision, &[]), ALIVE);
    assert_eq!(summary(&controlled), ("True", Reason::Working.as_str(), "True", "False"));
}

#[test]
fn pods_that_cannot_start_are_said_and_after_the_deadline_stalled() {
    let refused = json!({"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"});
    let late = json!({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"});
    let controlled =
        said(Ok(&applied(json!({"conditions": [refused]}))), &SlackAccessPluginStatus::default(), Pulse::None);
    assert_eq!(summary(&controlled), ("False", Reason::PodRefused.as_str(), "True", "False"));
    let controlled =
        said(Ok(&applied(json!({"conditions": [refused, late]}))), &SlackAccessPluginStatus::default(), Pulse::None);
    assert_eq!(summary(&controlled), ("False", Reason::PodRefused.as_str(), "False", "True"));
}

#[test]
fn a_spec_that_cannot_work_is_stalled() {
    let error = Error::from(Rejection { field: "spec.x".into(), problem: "is wrong".into() });
    let controlled = said(Err(&error), &SlackAccessPluginStatus::default(), Pulse::None);
    assert_eq!(summary(&controlled), ("False", Reason::InvalidSpec.as_str(), "False", "True"));
    assert_eq!(controlled.conditions[0].message, "spec.x: is wrong");
}

#[test]
fn suspended_is_said_and_nothing_is_waited_for() {
    let resources = rolled_out();
    let controlled = decide(&Facts {
        generation: Some(3),
        previous: &SlackAccessPluginStatus::default(),
        suspended: true,
        identity_secret: "the-identity",
        token_secret: "the-token",
        outcome: Ok(&resources),
        pods: &[],
        pulse: Pulse::None,
        now: Time("2026-06-01T00:00:00Z".parse().unwrap()),
    });
    assert_eq!(summary(&controlled), ("False", Reason::Suspended.as_str(), "False", "False"));
}

#[test]
fn transition_times_move_only_when_the_status_flips_and_an_equal_status_is_already_said() {
    let resources = rolled_out();
    let mut status = reported(&resources.revision, &[]);
    let first = said(Ok(&resources), &status, ALIVE);
    assert!(!is_said(&first, &status));
    status.observed_generation = first.observed_generation;
    status.workload.clone_from(&first.workload);
    for condition in &first.conditions {
        let mut condition = condition.clone();
        condition.last_transition_time = Time("2026-05-01T00:00:00Z".parse().unwrap());
        status.conditions.push(condition);
    }
    let second = said(Ok(&resources), &status, ALIVE);
    assert!(is_said(&second, &status));
    let third = said(Ok(&resources), &status, Pulse::Silent);
    assert_ne!(third.conditions[0].last_transition_time, second.conditions[0].last_transition_time);
    assert_eq!(third.conditions[2].last_transition_time, second.conditions[2].last_transition_time);
}
