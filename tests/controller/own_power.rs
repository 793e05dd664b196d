//! What the operator's ServiceAccount can do with its rights, on a real API server that holds it to objects of its shape.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use slack_access_operator::controller::policy::Policy;

use crate::authors::install;
use crate::chart;
use crate::room::{CHILD, IMAGE, Room, minimal, with};
use crate::support::eventually;

/// The chart's rights and its policy for them; the user that the operator is, and a client of its.
async fn confined(room: &Room) -> (String, Client) {
    let user = room.grant(room).await;
    let image = format!("workerImage=\"{IMAGE}\"");
    let [policy, binding] =
        chart::rendered(&room.namespace, &["admission-operator.yaml"], &[&image]).try_into().unwrap();
    install(&room.client, policy, binding).await;
    let client = room.cluster.client_as(&user, &["system:serviceaccounts", "system:authenticated"]);
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &room.namespace);
    let foreign: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "probe"}})).unwrap();
    eventually("the admission policy to be in force", async || {
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        maps.create(&dry_run, &foreign).await.is_err().then_some(())
    })
    .await;
    (user, client)
}

fn refusal<T: std::fmt::Debug>(what: &str, result: Result<T, kube::Error>) -> String {
    match result {
        Err(kube::Error::Api(status)) if status.message.contains("ValidatingAdmissionPolicy") => status.message.clone(),
        other => panic!("{what}: not refused by the policy: {other:?}"),
    }
}

#[tokio::test]
async fn an_operator_that_is_held_to_its_shape_does_its_whole_work() {
    let room = Room::new().await;
    let (user, client) = confined(&room).await;
    let controller = room.start_controller_under(Policy::default(), client, user);
    room.apply(&with("/spec/workload", json!({"replicas": 2}))).await.unwrap();
    let deployment = room.until::<Deployment>(CHILD, "the Deployment", |_| true).await;
    assert_eq!(deployment.spec.unwrap().replicas, Some(2));
    // A sidecar is another's; the operator goes on beside it.
    let sidecar = json!({"spec": {"template": {"spec": {"containers": [{"name": "watcher", "image": "example.com/watcher:1"}]}}}});
    room.api::<Deployment>().patch(CHILD, &PatchParams::default(), &Patch::Strategic(sidecar)).await.unwrap();
    room.change(json!({"workload": {"replicas": 3}, "log": {"severity": "debug"}})).await;
    let deployment = room
        .until::<Deployment>(CHILD, "the change beside the sidecar", |found| {
            found.spec.as_ref().is_some_and(|spec| spec.replicas == Some(3))
        })
        .await;
    assert_eq!(deployment.spec.unwrap().template.spec.unwrap().containers.len(), 2);
    // A worker that waits for its Secret has its pods nudged.
    room.change(json!({"workload": {"replicas": 1}})).await;
    room.delete::<Deployment>(CHILD).await;
    room.report(&[("IdentityValid", "IdentityMissing", "no such Secret")]).await;
    eventually("a nudge", async || {
        let pods = room.api::<Pod>().list(&kube::api::ListParams::default()).await.unwrap();
        pods.iter().any(|pod| pod.annotations().contains_key("slackaccess.dev/looked-for-secrets")).then_some(())
    })
    .await;
    controller.stop().await;
}

#[tokio::test]
async fn who_takes_over_the_operator_does_not_have_the_namespace() {
    let room = Room::new().await;
    let (user, client) = confined(&room).await;
    let controller = room.start_controller_under(Policy::default(), client.clone(), user);
    room.apply(&minimal()).await.unwrap();
    let pod = room.until_pods(1).await.remove(0);
    room.until::<RoleBinding>(CHILD, "the RoleBinding", |_| true).await;
    controller.stop().await;

    let apply = PatchParams::apply("slack-access-operator/controller").force();
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &room.namespace);
    let mut written = serde_json::to_value(room.api::<Deployment>().get(CHILD).await.unwrap()).unwrap();
    for field in ["managedFields", "resourceVersion", "uid", "creationTimestamp", "generation"] {
        written["metadata"].as_object_mut().unwrap().remove(field);
    }
    written.as_object_mut().unwrap().remove("status");
    let (pod_spec, container) = ("/spec/template/spec", "/spec/template/spec/containers/0");
    let mut more_containers = written["spec"]["template"]["spec"]["containers"].clone();
    more_containers.as_array_mut().unwrap().push(json!({"name": "other", "image": IMAGE}));
    let mut volumes = written["spec"]["template"]["spec"]["volumes"].clone();
    volumes.as_array_mut().unwrap().push(json!({"name": "host", "hostPath": {"path": "/"}}));
    let mut secrets = written["spec"]["template"]["spec"]["volumes"].clone();
    secrets.as_array_mut().unwrap().push(json!({"name": "more", "secret": {"secretName": "database"}}));
    let exec = json!({"exec": {"command": ["sh"]}});
    let cases: Vec<(&str, &str, Value)> = vec![
        (container, "image", json!("attacker.example/x")),
        (container, "image", json!(format!("attacker.example/{IMAGE}"))),
        (container, "command", json!(["sh"])),
        (container, "args", json!(["controller"])),
        (container, "lifecycle", json!({"postStart": exec})),
        (container, "readinessProbe", exec),
        (container, "env", json!([{"name": "LD_PRELOAD", "value": "/x"}])),
        (container, "env", json!([{"name": "TZ", "valueFrom": {"secretKeyRef": {"name": "database", "key": "k"}}}])),
        (container, "envFrom", json!([{"secretRef": {"name": "database"}}])),
        (container, "securityContext", json!({"allowPrivilegeEscalation": true})),
        (pod_spec, "containers", more_containers),
        (pod_spec, "initContainers", json!([{"name": "first", "image": IMAGE}])),
        (pod_spec, "volumes", volumes),
        (pod_spec, "volumes", secrets),
        (pod_spec, "hostPID", json!(true)),
        (pod_spec, "hostNetwork", json!(true)),
        (pod_spec, "serviceAccountName", json!("default")),
        (pod_spec, "securityContext", json!({"runAsNonRoot": false})),
        ("/metadata", "name", json!("another")),
        ("/metadata", "ownerReferences", json!([])),
    ];
    for (parent, field, value) in cases {
        // Made anew: fields of an object that is there already would stay beside those of another writer.
        let mut attempt = written.clone();
        attempt["metadata"]["name"] = json!("slack-access-slack");
        attempt.pointer_mut(parent).unwrap()[field] = value;
        let attempt: Deployment = serde_json::from_value(attempt).unwrap();
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        let replaced = deployments.create(&dry_run, &attempt).await;
        refusal(&format!("{parent}/{field}"), replaced);
    }

    let roles: Api<Role> = Api::namespaced(client.clone(), &room.namespace);
    for rules in [
        json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]),
        json!([{"apiGroups": ["slackaccess.dev"], "resources": ["slackaccessplugins"], "verbs": ["get"]}]),
        json!([{"apiGroups": ["slackaccess.dev"], "resources": ["slackaccessplugins"], "resourceNames": ["other"], "verbs": ["get"]}]),
    ] {
        refusal(
            "a wider Role",
            roles.patch(CHILD, &PatchParams::default(), &Patch::Merge(json!({"rules": rules}))).await,
        );
    }
    let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), &room.namespace);
    let subjects = json!({"subjects": [{"kind": "User", "name": "mallory", "apiGroup": "rbac.authorization.k8s.io"}]});
    refusal("another subject", bindings.patch(CHILD, &PatchParams::default(), &Patch::Merge(subjects)).await);

    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &room.namespace);
    let foreign: ConfigMap =
        serde_json::from_value(json!({"metadata": {"name": "foreign"}, "data": {"a": "b"}})).unwrap();
    room.api::<ConfigMap>().create(&PostParams::default(), &foreign).await.unwrap();
    let change = Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "c"}}));
    refusal("another's ConfigMap", maps.patch("foreign", &apply, &change).await);
    refusal("the deletion of another's ConfigMap", maps.delete("foreign", &DeleteParams::default()).await);

    let pods: Api<Pod> = Api::namespaced(client, &room.namespace);
    let name = pod.name_any();
    for (what, change) in [
        ("an image", json!({"spec": {"containers": [{"name": "worker", "image": "attacker.example/x"}]}})),
        ("a label", json!({"metadata": {"labels": {"app": "database"}}})),
        ("an annotation", json!({"metadata": {"annotations": {"slackaccess.dev/revision": "x"}}})),
        ("an owner", json!({"metadata": {"ownerReferences": null}})),
        ("a finalizer", json!({"metadata": {"finalizers": ["example.com/stay"]}})),
    ] {
        refusal(what, pods.patch(&name, &PatchParams::default(), &Patch::Strategic(change)).await);
    }
    let nudge = json!({"metadata": {"annotations": {"slackaccess.dev/looked-for-secrets": "now"}}});
    pods.patch(&name, &PatchParams::default(), &Patch::Merge(nudge)).await.unwrap();
}
