//! Clusters that people have: webhooks that change what the operator writes, each time that it writes.

use std::sync::atomic::{AtomicU32, Ordering};

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::resilience::writes_until_quiet;
use crate::room::{CHILD, Room, minimal};
use crate::webhook::{self, Change};

const CONTAINER: &str = "/spec/template/spec/containers/0";

/// What GKE Autopilot's webhook makes of a Deployment: requests and limits alike and rounded, more of them, an annotation and a
/// toleration.
fn autopilot(_: &Value) -> Value {
    let amounts = json!({"cpu": "50m", "memory": "52Mi", "ephemeral-storage": "1Gi"});
    json!([
        {"op": "add", "path": format!("{CONTAINER}/resources"), "value": {"requests": amounts, "limits": amounts}},
        {"op": "add", "path": "/metadata/annotations/autopilot.gke.io~1resource-adjustment", "value": "{}"},
        {"op": "add", "path": "/spec/template/spec/tolerations", "value": [
            {"key": "kubernetes.io/arch", "operator": "Equal", "value": "amd64", "effect": "NoSchedule"},
        ]},
    ])
}

/// Notes each write, as some webhooks note the time.
fn counted(_: &Value) -> Value {
    static WRITES: AtomicU32 = AtomicU32::new(0);
    let write = WRITES.fetch_add(1, Ordering::Relaxed).to_string();
    json!([{"op": "add", "path": "/metadata/annotations/example.com~1write", "value": write}])
}

fn image(deployment: &Value) -> &str {
    deployment.pointer(&format!("{CONTAINER}/image")).and_then(Value::as_str).unwrap()
}

/// Replaces the tag by what it stands for.
fn pinned(deployment: &Value) -> Value {
    let (repository, _) = image(deployment).split_once([':', '@']).unwrap();
    let pinned = format!("{repository}@sha256:{}", "1".repeat(64));
    json!([{"op": "replace", "path": format!("{CONTAINER}/image"), "value": pinned}])
}

/// Puts a mirror before the image, whatever stands there already.
fn mirrored(deployment: &Value) -> Value {
    let mirrored = format!("mirror.example.com/{}", image(deployment));
    json!([{"op": "replace", "path": format!("{CONTAINER}/image"), "value": mirrored}])
}

/// How often the Deployment was written.
fn deployments(writes: &[String]) -> usize {
    writes.iter().filter(|write| *write == "patch deployments").count()
}

#[tokio::test]
async fn what_a_webhook_changes_at_each_write_is_left_as_it_is() {
    let changes: [(&str, Change); 4] =
        [("autopilot", autopilot), ("counted", counted), ("pinned", pinned), ("mirrored", mirrored)];
    for (name, change) in changes {
        let room = Room::new().await;
        webhook::install(&room, change).await;
        let controller = room.start_controller(name);
        room.apply(&minimal()).await.unwrap();
        room.until_ready_is("Unknown", "Starting").await;
        let first = deployments(&writes_until_quiet(&room, &controller.user).await);
        // It tries to repair what looks like drift, and learns that it cannot.
        assert!((1..=3).contains(&first), "{name}: written {first} times");
        let settled = room.api::<Deployment>().get(CHILD).await.unwrap();
        // Something to reconcile that changes nothing: a label of the user's.
        let label = json!({"metadata": {"labels": {"team": "infra"}}});
        room.plugins().patch("slack", &PatchParams::default(), &Patch::Merge(label)).await.unwrap();
        let again = deployments(&writes_until_quiet(&room, &controller.user).await);
        let after = room.api::<Deployment>().get(CHILD).await.unwrap();
        assert_eq!((again, after.metadata.resource_version), (first, settled.metadata.resource_version), "{name}");
        controller.stop().await;
    }
}
