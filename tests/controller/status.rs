//! What is said of an object: the controller's part, the worker's part, and how they come together.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use slack_access_operator::config::StatusObject;
use slack_access_operator::crd::SlackAccessPlugin;
use slack_access_operator::crd::condition::Finding;
use slack_access_operator::crd::reason::Reason;
use slack_access_operator::crd::status::{
    DELIVERING, IDENTITY_VALID, RECIPIENTS_RESOLVED, RecipientState, RecipientStatus, SLACK_CONNECTED, SlackStatus,
    TELEPORT_CONNECTED, TeleportStatus,
};
use slack_access_operator::worker::health::conditions::{Check, WorkerReport};
use slack_access_operator::worker::health::status::{self, Access, Me};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::room::{CHILD, Room, minimal, with};
use crate::support::eventually;

fn waiting(reason: &str, message: &str) -> Value {
    json!({"phase": "Pending", "containerStatuses": [{
        "name": "worker", "image": "example.com/x:1", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": reason, "message": message}},
    }]})
}

async fn events(room: &Room) -> Vec<(String, String)> {
    let events = room.api::<Event>().list(&ListParams::default()).await.unwrap().items;
    let of_ours = events.into_iter().filter(|event| {
        event.regarding.as_ref().is_some_and(|regarding| regarding.kind.as_deref() == Some("SlackAccessPlugin"))
    });
    of_ours.map(|event| (event.reason.unwrap_or_default(), event.note.unwrap_or_default())).collect()
}

#[tokio::test]
async fn what_keeps_a_pod_from_running_is_said_in_plain_words() {
    let room = Room::new().await;
    let controller = room.start_controller("pods");
    room.apply(&minimal()).await.unwrap();
    let pod = room.until_pods(1).await.remove(0);
    let cases = [
        (waiting("ImagePullBackOff", "not found"), "ImagePullFailed", "image `example.com/x:1` cannot be pulled"),
        (
            waiting("CreateContainerConfigError", "secret \"proxy\" not found"),
            "ContainerConfigError",
            "secret \"proxy\" not found",
        ),
        (
            json!({"phase": "Pending", "containerStatuses": [], "conditions": [{"type": "PodScheduled", "status": "False",
                "reason": "Unschedulable", "message": "0/3 nodes are available"}]}),
            "Unschedulable",
            "0/3 nodes are available",
        ),
    ];
    for (state, reason, words) in cases {
        room.say_of_pod(&pod, state).await;
        let status = room.until_ready_is("False", reason).await;
        let message = &status.condition("Ready").unwrap().message;
        assert!(message.contains(words), "{message}");
        assert_eq!(status.condition("Reconciling").unwrap().status, "True");
    }
    controller.stop().await;
}

#[tokio::test]
async fn a_paused_rollout_is_said_and_left_to_the_one_who_paused_it() {
    let room = Room::new().await;
    let controller = room.start_controller("paused");
    room.apply(&minimal()).await.unwrap();
    room.report(&[]).await;
    let before = room.until_ready_is("True", "Working").await.workload.unwrap().config_hash;
    // As `kubectl rollout pause` and `resume` do.
    let pause = async |paused: Value| {
        let patch = Patch::Merge(json!({"spec": {"paused": paused}}));
        room.api::<Deployment>().patch(CHILD, &PatchParams::default(), &patch).await.unwrap();
    };
    pause(json!(true)).await;
    room.apply(&with("/spec/roleToRecipients", json!({"*": ["another"]}))).await.unwrap();
    let status = room.until_ready_is("False", "DeploymentPaused").await;
    assert_eq!(status.condition("Stalled").unwrap().status, "True");
    let message = &status.condition("Ready").unwrap().message;
    assert!(message.contains("kubectl rollout resume deployment/slack-access-slack"), "{message}");
    assert!(message.contains("the worker of the earlier configuration goes on"), "{message}");
    pause(Value::Null).await;
    let after = room.until_ready_is("Unknown", "RollingOut").await.workload.unwrap().config_hash;
    assert_ne!(before, after);
    controller.stop().await;
}

#[tokio::test]
async fn a_quota_that_refuses_the_pod_is_said() {
    let room = Room::new().await;
    let quota = serde_json::from_value(json!({"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}})).unwrap();
    let quotas = room.api::<k8s_openapi::api::core::v1::ResourceQuota>();
    quotas.create(&kube::api::PostParams::default(), &quota).await.unwrap();
    room.until::<k8s_openapi::api::core::v1::ResourceQuota>("none", "the quota to be counted", |quota| {
        quota.status.as_ref().is_some_and(|status| status.hard.is_some())
    })
    .await;
    let controller = room.start_controller("quota");
    room.apply(&minimal()).await.unwrap();
    let status = room.until_ready_is("False", "PodRefused").await;
    assert!(status.condition("Ready").unwrap().message.contains("exceeded quota"));
    controller.stop().await;
}

#[tokio::test]
async fn the_workers_words_become_the_objects_and_an_event_on_change_only() {
    let room = Room::new().await;
    let controller = room.start_controller("words");
    room.apply(&minimal()).await.unwrap();
    room.report(&[]).await;
    let status = room.until_ready_is("True", "Working").await;
    assert_eq!(status.condition("Ready").unwrap().message, "announcing access requests of example.com in Acme");
    let remedy = "invite @teleport to #access-requests";
    room.report(&[("RecipientsResolved", "RecipientFailed", remedy)]).await;
    let status = room.until_ready_is("False", "RecipientFailed").await;
    assert_eq!(status.condition("Ready").unwrap().message, remedy);
    assert_eq!(status.condition("Stalled").unwrap().status, "True");
    room.report(&[]).await;
    room.until_ready_is("True", "Working").await;
    let found = eventually("three events", async || {
        let found = events(&room).await;
        (found.len() >= 3).then_some(found)
    })
    .await;
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.contains(&("RecipientFailed".to_owned(), remedy.to_owned())), "{found:?}");
    controller.stop().await;
}

#[tokio::test]
async fn another_configuration_is_ready_only_when_its_own_worker_says_so() {
    let room = Room::new().await;
    let controller = room.start_controller("revision");
    room.apply(&minimal()).await.unwrap();
    room.report(&[]).await;
    let before = room.until_ready_is("True", "Working").await.workload.unwrap().config_hash;
    room.apply(&with("/spec/roleToRecipients", json!({"*": ["another"]}))).await.unwrap();
    let status = room.until_ready_is("Unknown", "RollingOut").await;
    assert_eq!(status.observed_generation, Some(2));
    room.report_of(&before, &[]).await;
    room.report(&[]).await;
    let ending = "the new configuration works; a worker of the earlier one is ending";
    room.until::<SlackAccessPlugin>("slack", ending, |plugin| {
        let ready = plugin.status.as_ref().and_then(|status| status.condition("Ready"));
        ready.is_some_and(|ready| ready.status == "Unknown" && ready.message == ending)
    })
    .await;
    let old = room.running_pod(&before).await.name_any();
    room.api::<Pod>().delete(&old, &DeleteParams::default()).await.unwrap();
    let after = room.until_ready_is("True", "Working").await.workload.unwrap().config_hash;
    assert_ne!(before, after);
    controller.stop().await;
}

#[tokio::test]
async fn a_silent_worker_stays_silent_when_the_operator_starts_anew_until_it_reports() {
    let room = Room::new().await;
    let controller = room.start_controller("before");
    room.apply(&minimal()).await.unwrap();
    room.report(&[]).await;
    let mut status = room.until_ready_is("True", "Working").await;
    controller.stop().await;
    let write = async |status: Value| {
        let patch = Patch::Merge(json!({"status": status}));
        room.plugins().patch_status("slack", &PatchParams::default(), &patch).await.unwrap();
    };
    // As a controller that has waited for minutes leaves it.
    let ready = status.conditions.iter_mut().find(|condition| condition.type_ == "Ready").unwrap();
    (ready.status, ready.reason) = ("Unknown".into(), "WorkerSilent".into());
    write(json!({"conditions": status.conditions})).await;
    let controller = room.start_controller("after");
    let status = eventually("a look at the object", async || {
        let status = room.plugins().get("slack").await.unwrap().status.unwrap();
        let ready = status.condition("Ready").unwrap();
        ready.message.starts_with("the worker runs but has not reported").then_some(status)
    })
    .await;
    assert_eq!(status.condition("Ready").unwrap().reason, "WorkerSilent");
    write(json!({"worker": {"lastReportTime": "2026-01-01T00:01:00Z"}})).await;
    room.until_ready_is("True", "Working").await;
    controller.stop().await;
}

#[tokio::test]
async fn a_worker_reports_with_its_own_rights_and_nothing_more() {
    let room = Room::new().await;
    let controller = room.start_controller("report");
    room.apply(&minimal()).await.unwrap();
    let plugin = room
        .until::<SlackAccessPlugin>("slack", "a workload in the status", |plugin| {
            plugin.status.as_ref().is_some_and(|status| status.workload.is_some())
        })
        .await;
    let revision = plugin.status.unwrap().workload.unwrap().config_hash;
    // The pod's own service account, as the Role that the controller made allows it.
    let account = format!("system:serviceaccount:{}:{CHILD}", room.namespace);
    let client = room.cluster.client_as(&account, &["system:serviceaccounts", "system:authenticated"]);
    let working =
        [IDENTITY_VALID, TELEPORT_CONNECTED, RECIPIENTS_RESOLVED, DELIVERING].map(|type_| (type_, Check::ok("")));
    let with_slack = |slack: Check| working.iter().cloned().chain([(SLACK_CONNECTED, slack)]).collect();
    let mut report = WorkerReport {
        conditions: with_slack(Check::ok("")),
        teleport: TeleportStatus { cluster: Some("example.com".into()), ..TeleportStatus::default() },
        slack: SlackStatus { team: Some("Acme".into()), ..SlackStatus::default() },
        recipients: vec![RecipientStatus {
            name: "access-requests".into(),
            id: Some("C024BE91L".into()),
            state: RecipientState::Resolved,
            message: None,
        }],
        ..WorkerReport::default()
    };
    let (sender, receiver) = watch::channel(report.clone());
    let stop = CancellationToken::new();
    let object = StatusObject { namespace: room.namespace.clone(), name: "slack".into(), uid: plugin.metadata.uid };
    let pod = room.running_pod(&revision).await.name_any();
    let me = Me { pod: pod.clone(), revision };
    let writer =
        tokio::spawn(status::run(Access::Client(client), object, me, receiver, WorkerReport::clone, stop.clone()));
    let status = room.until_ready_is("True", "Working").await;
    assert_eq!(status.worker.unwrap().pod, pod);
    assert_eq!(status.recipients[0].id.as_deref(), Some("C024BE91L"));
    report.conditions = with_slack(Check::failed(Finding::new(Reason::TokenRefused, "the token was revoked")));
    sender.send(report).unwrap();
    let status = room.until_ready_is("False", "TokenRefused").await;
    assert_eq!(status.condition("SlackConnected").unwrap().message, "the token was revoked");
    stop.cancel();
    writer.await.unwrap();

    // Neither its spec, nor anybody's Secrets.
    let client = room.cluster.client_as(&account, &["system:serviceaccounts", "system:authenticated"]);
    let plugins: kube::Api<SlackAccessPlugin> = kube::Api::namespaced(client.clone(), &room.namespace);
    let patch = kube::api::Patch::Merge(json!({"spec": {"suspend": true}}));
    assert!(is_forbidden(plugins.patch("slack", &kube::api::PatchParams::default(), &patch).await));
    let secrets: kube::Api<k8s_openapi::api::core::v1::Secret> = kube::Api::namespaced(client, &room.namespace);
    assert!(is_forbidden(secrets.get("slack-bot-token").await));
    controller.stop().await;
}

fn is_forbidden<T>(result: Result<T, kube::Error>) -> bool {
    matches!(result, Err(kube::Error::Api(status)) if status.code == 403)
}

#[tokio::test]
async fn while_a_worker_waits_for_a_secret_its_node_is_made_to_look() {
    let room = Room::new().await;
    let controller = room.start_controller("nudge");
    room.apply(&minimal()).await.unwrap();
    let pod = room.until_pods(1).await.remove(0);
    room.report(&[("SlackConnected", "TokenMissing", "Secret `slack-bot-token` does not exist")]).await;
    room.until_ready_is("False", "TokenMissing").await;
    let name = pod.metadata.name.unwrap();
    room.until::<k8s_openapi::api::core::v1::Pod>(&name, "a touched pod", |pod| {
        pod.metadata.annotations.as_ref().is_some_and(|all| all.contains_key("slackaccess.dev/looked-for-secrets"))
    })
    .await;
    controller.stop().await;
}
