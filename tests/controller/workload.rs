//! What becomes of an object.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams, PropagationPolicy};
use serde_json::json;
use slack_access_operator::crd::SlackAccessPlugin;

use crate::room::{CHILD, Room, minimal, with};
use crate::support::eventually;

fn replicas(deployment: &Deployment) -> Option<i32> {
    deployment.spec.as_ref()?.replicas
}

#[tokio::test]
async fn an_object_becomes_a_workload_whose_pods_pod_security_admits() {
    let room = Room::new().await;
    let controller = room.start_controller("create");
    room.apply(&minimal()).await.unwrap();
    // Made by Kubernetes from the Deployment, so admitted by Pod Security.
    let pods = room.until_pods(1).await;
    assert_eq!(pods[0].spec.as_ref().unwrap().service_account_name.as_deref(), Some(CHILD));
    let map = room.until_config_maps(1).await.remove(0);
    assert!(map.data.unwrap()["worker.toml"].contains("teleport.example.com:443"));
    room.until::<ServiceAccount>(CHILD, "the ServiceAccount", |_| true).await;
    room.until::<Role>(CHILD, "the Role", |_| true).await;
    room.until::<RoleBinding>(CHILD, "the RoleBinding", |_| true).await;
    let status = room.until_ready_is("Unknown", "Starting").await;
    assert_eq!(status.observed_generation, Some(1));
    controller.stop().await;
}

#[tokio::test]
async fn what_others_change_or_delete_is_repaired() {
    let room = Room::new().await;
    let controller = room.start_controller("drift");
    room.apply(&minimal()).await.unwrap();
    room.until::<Deployment>(CHILD, "the Deployment", |_| true).await;
    let scale = json!({"spec": {"replicas": 5}, "metadata": {"labels": {"team": "infra"}}});
    room.api::<Deployment>().patch(CHILD, &PatchParams::default(), &Patch::Merge(scale)).await.unwrap();
    let map = room.until_config_maps(1).await.remove(0);
    let nonsense = json!({"data": {"worker.toml": "nonsense"}});
    let changed =
        room.api::<ConfigMap>().patch(&map.name_any(), &PatchParams::default(), &Patch::Merge(nonsense)).await;
    assert!(changed.unwrap_err().to_string().contains("immutable"));
    room.delete::<ConfigMap>(&map.name_any()).await;
    room.delete::<Role>(CHILD).await;

    let deployment = room.until::<Deployment>(CHILD, "one replica again", |found| replicas(found) == Some(1)).await;
    assert_eq!(deployment.labels()["team"], "infra", "what others add is theirs");
    room.until::<ConfigMap>(&map.name_any(), "the configuration again", |again| {
        again.uid() != map.uid() && again.data == map.data
    })
    .await;
    room.until::<Role>(CHILD, "the Role again", |_| true).await;
    controller.stop().await;
}

#[tokio::test]
async fn a_service_account_made_anew_replaces_the_pods_that_hold_tokens_of_the_one_before() {
    let room = Room::new().await;
    let controller = room.start_controller("account");
    room.apply(&minimal()).await.unwrap();
    let bound = |pod: &Pod| pod.annotations().get("slackaccess.dev/service-account").cloned();
    let old = room.until_pods(1).await.remove(0);
    let account = room.api::<ServiceAccount>().get(CHILD).await.unwrap();
    assert_eq!(bound(&old), account.uid());
    room.delete::<ServiceAccount>(CHILD).await;
    let anew = room.until::<ServiceAccount>(CHILD, "the account anew", |anew| anew.uid() != account.uid()).await;
    // The new pod is there before the old one goes.
    let both = room.until_pods(2).await;
    assert!(both.iter().any(|pod| pod.uid() == old.uid()));
    assert!(both.iter().any(|pod| bound(pod) == anew.uid()), "{both:?}");
    controller.stop().await;
}

#[tokio::test]
async fn a_disruption_budget_comes_and_goes_with_the_second_worker() {
    let room = Room::new().await;
    let controller = room.start_controller("prune");
    room.apply(&with("/spec/workload", json!({"replicas": 2}))).await.unwrap();
    room.until::<PodDisruptionBudget>(CHILD, "the budget", |_| true).await;
    let pods = room.until_pods(2).await;
    room.change(json!({"workload": {"replicas": 1}})).await;
    room.until_gone::<PodDisruptionBudget>(CHILD).await;
    let left = room.until_pods(1).await;
    assert!(pods.iter().any(|pod| pod.uid() == left[0].uid()), "scaling replaced a pod");
    controller.stop().await;
}

#[tokio::test]
async fn suspending_stops_the_worker_and_is_undone() {
    let room = Room::new().await;
    let controller = room.start_controller("suspend");
    room.apply(&minimal()).await.unwrap();
    room.until_pods(1).await;
    room.change(json!({"suspend": true})).await;
    room.until_pods(0).await;
    let status = room.until_ready_is("False", "Suspended").await;
    assert_eq!(status.condition("Stalled").unwrap().status, "False");
    room.change(json!({"suspend": false})).await;
    room.until_pods(1).await;
    controller.stop().await;
}

#[tokio::test]
async fn deleting_the_object_takes_everything_with_it_and_it_can_be_made_anew_at_once() {
    let room = Room::new().await;
    let controller = room.start_controller("delete");
    room.apply(&minimal()).await.unwrap();
    let first = room.until::<Deployment>(CHILD, "the Deployment", |_| true).await;
    let plugin = room.plugins().get("slack").await.unwrap();
    assert!(plugin.finalizers().is_empty());
    room.delete::<SlackAccessPlugin>("slack").await;
    room.apply(&minimal()).await.unwrap();
    room.until::<Deployment>(CHILD, "a new Deployment", |found| found.uid() != first.uid()).await;
    room.until_pods(1).await;

    room.delete::<SlackAccessPlugin>("slack").await;
    room.until_gone::<Deployment>(CHILD).await;
    room.until_config_maps(0).await;
    room.until_gone::<ServiceAccount>(CHILD).await;
    room.until_gone::<Role>(CHILD).await;
    room.until_gone::<RoleBinding>(CHILD).await;
    room.until_pods(0).await;
    controller.stop().await;
}

#[tokio::test]
async fn what_an_object_deleted_without_its_parts_left_behind_is_taken_over_or_taken_away() {
    let room = Room::new().await;
    let controller = room.start_controller("orphan");
    room.apply(&minimal()).await.unwrap();
    let first = room.until_config_maps(1).await.remove(0);
    let deployment = room.until::<Deployment>(CHILD, "the Deployment", |_| true).await;
    let orphan = DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    room.plugins().delete("slack", &orphan).await.unwrap();
    room.until_gone::<SlackAccessPlugin>("slack").await;
    room.apply(&with("/spec/roleToRecipients", json!({"*": ["another"]}))).await.unwrap();
    let revision = eventually("a configuration of its own", async || {
        let status = room.plugins().get("slack").await.unwrap().status?;
        Some(status.workload?.config_hash)
    })
    .await;
    let new = room.running_pod(&revision).await;
    let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    room.say_of_pod(&new, ready).await;
    let left = room.until_config_maps(1).await.remove(0);
    assert_ne!(left.name_any(), first.name_any());
    let taken_over = room.api::<Deployment>().get(CHILD).await.unwrap();
    assert_eq!(taken_over.uid(), deployment.uid());
    controller.stop().await;
}

#[tokio::test]
async fn a_renamed_secret_rolls_the_workload_and_nothing_of_the_old_one_stays() {
    let room = Room::new().await;
    let controller = room.start_controller("rename");
    room.apply(&minimal()).await.unwrap();
    let old = room.until_pods(1).await;
    room.change(json!({"slack": {"token": {"secretRef": {"name": "another-token"}}}})).await;
    let deployment = room
        .until::<Deployment>(CHILD, "the other Secret", |found| {
            serde_json::to_string(found).unwrap().contains("another-token")
        })
        .await;
    assert!(!serde_json::to_string(&deployment.spec).unwrap().contains("slack-bot-token"));
    // The new pod is there before the old one goes.
    let both = room.until_pods(2).await;
    assert!(both.iter().any(|pod| pod.uid() == old[0].uid()));
    controller.stop().await;
}

#[tokio::test]
async fn each_configuration_has_a_map_of_its_own_until_no_pod_of_it_is_wanted() {
    let room = Room::new().await;
    let controller = room.start_controller("maps");
    room.apply(&minimal()).await.unwrap();
    let first = room.until_config_maps(1).await.remove(0);
    let old = room.until_pods(1).await.remove(0);
    room.change(json!({"roleToRecipients": {"*": ["another"]}})).await;
    room.until_config_maps(2).await;
    let both = room.until_pods(2).await;
    let new = both.iter().find(|pod| pod.uid() != old.uid()).unwrap();
    let mounted = |pod: &Pod| {
        let volumes = pod.spec.as_ref().unwrap().volumes.clone().unwrap();
        volumes.into_iter().find_map(|volume| volume.config_map).unwrap().name
    };
    assert_eq!(mounted(&old), first.name_any());
    assert_ne!(mounted(new), first.name_any());
    let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    room.say_of_pod(new, ready).await;
    let left = room.until_config_maps(1).await.remove(0);
    assert_eq!(mounted(new), left.name_any());
    controller.stop().await;
}

#[tokio::test]
async fn somebody_elses_object_of_that_name_is_left_alone_and_said() {
    let room = Room::new().await;
    let theirs: ServiceAccount =
        serde_json::from_value(json!({"metadata": {"name": CHILD, "labels": {"team": "theirs"}}})).unwrap();
    room.api::<ServiceAccount>().create(&kube::api::PostParams::default(), &theirs).await.unwrap();
    let controller = room.start_controller("taken");
    room.apply(&minimal()).await.unwrap();
    let status = room.until_ready_is("False", "NameTaken").await;
    assert_eq!(status.condition("Stalled").unwrap().status, "True");
    assert!(status.condition("Ready").unwrap().message.starts_with(&format!("ServiceAccount `{CHILD}` exists")));
    let found = room.api::<ServiceAccount>().get(CHILD).await.unwrap();
    assert_eq!(found.labels()["team"], "theirs");
    // It heals without anybody touching the object.
    room.delete::<ServiceAccount>(CHILD).await;
    room.until_ready_is("Unknown", "Starting").await;
    controller.stop().await;
}

#[tokio::test]
async fn a_wrong_affinity_is_said_with_its_place() {
    let room = Room::new().await;
    let controller = room.start_controller("affinity");
    room.apply(&with("/spec/workload", json!({"affinity": {"nodeAfinity": {}}}))).await.unwrap();
    let status = room.until_ready_is("False", "InvalidSpec").await;
    assert!(
        status.condition("Ready").unwrap().message.starts_with("spec.workload.affinity.nodeAfinity: no such field")
    );
    room.change(json!({"workload": {"affinity": null}})).await;
    room.until_ready_is("Unknown", "Starting").await;
    controller.stop().await;
}

#[tokio::test]
async fn a_secret_that_changes_touches_no_pod() {
    let room = Room::new().await;
    let controller = room.start_controller("secret");
    let secret = |token: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "slack-bot-token"}, "stringData": {"token": token}});
    let secrets = room.api::<k8s_openapi::api::core::v1::Secret>();
    let write = PatchParams::apply("tester").force();
    secrets.patch("slack-bot-token", &write, &Patch::Apply(secret("one"))).await.unwrap();
    room.apply(&minimal()).await.unwrap();
    let before = room.until_pods(1).await;
    room.until_ready_is("Unknown", "Starting").await;
    secrets.patch("slack-bot-token", &write, &Patch::Apply(secret("two"))).await.unwrap();
    room.report(&[]).await;
    room.until_ready_is("True", "Working").await;
    let after: Vec<Pod> = room.until_pods(1).await;
    assert_eq!(before[0].uid(), after[0].uid());
    let calls = room.cluster.calls_of(&controller.user);
    assert!(calls.iter().all(|call| !call.contains("secrets")), "{calls:?}");
    controller.stop().await;
}
