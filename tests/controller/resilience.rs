//! What must not do harm: bad objects, a second controller, an API server that goes away, nothing to do, few rights.

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use slack_access_operator::admin::access;
use slack_access_operator::controller::policy::Policy;
use slack_access_operator::controller::resources::WorkerPods;
use slack_access_operator::controller::{self, Settings};
use slack_access_operator::crd::SlackAccessPlugin;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::front::Front;
use crate::room::{CHILD, Room, minimal, with};
use crate::support::{Cluster, eventually};

fn named(name: &str) -> Value {
    let mut plugin = with("/metadata/name", json!(name));
    plugin["spec"]["pluginName"] = json!(name);
    plugin
}

/// A control plane of its own: what is done to it would disturb others.
async fn cluster_of_its_own() -> &'static Cluster {
    Box::leak(Box::new(Cluster::start().await))
}

/// Waits until nothing was written for a while, but not for ever, and returns what was.
pub(crate) async fn writes_until_quiet(room: &Room, user: &str) -> Vec<String> {
    let mut before = room.cluster.writes_of(user);
    for _ in 0..15 {
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        let now = room.cluster.writes_of(user);
        if now.len() == before.len() && !now.is_empty() {
            return now;
        }
        before = now;
    }
    before
}

#[tokio::test]
async fn nothing_is_written_twice_and_nothing_when_nothing_changed() {
    let room = Room::new().await;
    let controller = room.start_controller("first");
    room.apply(&minimal()).await.unwrap();
    room.until_ready_is("Unknown", "Starting").await;
    let mut writes = writes_until_quiet(&room, &controller.user).await;
    writes.sort();
    assert_eq!(
        writes,
        [
            "patch configmaps",
            "patch deployments",
            "patch rolebindings",
            "patch roles",
            "patch serviceaccounts",
            "patch slackaccessplugins/status",
        ]
    );
    controller.stop().await;

    // A controller that starts where another one was finds everything as it should be.
    let second = room.start_controller("second");
    eventually("the second controller's watches", async || {
        let calls = room.cluster.calls_of(&second.user);
        (calls.iter().filter(|call| call.starts_with("list ")).count() >= 8).then_some(())
    })
    .await;
    // Something to reconcile that changes nothing: a label of the user's.
    let label = json!({"metadata": {"labels": {"team": "infra"}}});
    room.plugins().patch("slack", &PatchParams::default(), &Patch::Merge(label)).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(room.cluster.writes_of(&second.user), Vec::<String>::new());
    second.stop().await;
}

#[tokio::test]
async fn two_controllers_at_once_do_no_harm() {
    let room = Room::new().await;
    let (one, two) = (room.start_controller("one"), room.start_controller("two"));
    room.apply(&minimal()).await.unwrap();
    room.report(&[]).await;
    room.until_ready_is("True", "Working").await;
    let deployment = room.until::<Deployment>(CHILD, "the Deployment", |_| true).await;
    assert_eq!(deployment.metadata.generation, Some(1), "written once, or twice the same");
    room.change(json!({"workload": {"replicas": 2}})).await;
    room.until_pods(2).await;
    let busy = (room.cluster.writes_of(&one.user).len(), room.cluster.writes_of(&two.user).len());
    assert!(busy.0 + busy.1 < 40, "they write against each other: {busy:?}");
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn an_object_that_cannot_be_read_does_not_hold_up_the_others() {
    let room = Room::in_cluster(cluster_of_its_own().await).await;
    // As if it had been written under another version of the definition.
    let definitions: Api<CustomResourceDefinition> = Api::all(room.client.clone());
    let name = "slackaccessplugins.slackaccess.dev";
    let strict = definitions.get(name).await.unwrap();
    let schema = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/roleToRecipients";
    let anything = json!([{"op": "replace", "path": schema, "value": {"x-kubernetes-preserve-unknown-fields": true}}]);
    let anything = Patch::<()>::Json(serde_json::from_value(anything).unwrap());
    definitions.patch(name, &PatchParams::default(), &anything).await.unwrap();
    let mut bad = named("bad");
    bad["spec"]["roleToRecipients"] = json!("everybody");
    let resource = kube::api::ApiResource::erase::<SlackAccessPlugin>(&());
    let untyped: Api<kube::api::DynamicObject> = Api::namespaced_with(room.client.clone(), &room.namespace, &resource);
    eventually("the loose definition to be in force", async || {
        untyped.patch("bad", &PatchParams::apply("tester").force(), &Patch::Apply(&bad)).await.ok()
    })
    .await;
    drop(strict);

    let controller = room.start_controller("bad");
    room.apply(&minimal()).await.unwrap();
    room.until::<Deployment>(CHILD, "the good object's Deployment", |_| true).await;
    let status =
        eventually("a word on the bad object", async || untyped.get("bad").await.unwrap().data.get("status").cloned())
            .await;
    assert_eq!(status["conditions"][0]["reason"], "InvalidSpec");
    let of_status = |calls: Vec<String>| calls.iter().filter(|call| call.ends_with("/status")).count();
    let writes = writes_until_quiet(&room, &controller.user).await;
    assert!(of_status(writes) <= 3, "what cannot be read is said once");
    controller.stop().await;
}

#[tokio::test]
async fn an_api_server_that_goes_away_and_comes_back_is_survived() {
    let room = Room::in_cluster(cluster_of_its_own().await).await;
    let controller = room.start_controller("restart");
    room.apply(&minimal()).await.unwrap();
    room.until::<Deployment>(CHILD, "the Deployment", |_| true).await;
    room.cluster.stop_api_server();
    room.cluster.start_api_server().await;
    room.apply(&named("another")).await.unwrap();
    room.until::<Deployment>("slack-access-another", "a Deployment made after it", |_| true).await;
    controller.stop().await;
}

/// Long enough for every wait between attempts to have reached its longest.
const OUTAGE: Duration = Duration::from_secs(40);

#[tokio::test]
async fn a_change_is_taken_up_soon_after_an_outage_in_which_connections_led_nowhere() {
    let room = Room::new().await;
    let front = Front::before(room.cluster.port()).await;
    let user = format!("outage-{}", room.namespace);
    let client = controller::client(room.cluster.config_at(front.address, &user)).unwrap();
    let running = room.start_controller_with(client, user);
    room.apply(&minimal()).await.unwrap();
    room.until_ready_is("Unknown", "Starting").await;
    front.close();
    tokio::time::sleep(OUTAGE).await;
    room.change(json!({"workload": {"replicas": 2}})).await;
    front.open();
    let back = Instant::now();
    room.until::<Deployment>(CHILD, "the change in the Deployment", |deployment| {
        deployment.spec.as_ref().is_some_and(|spec| spec.replicas == Some(2))
    })
    .await;
    assert!(back.elapsed() < Duration::from_secs(15), "taken up after {:?}", back.elapsed());
    eventually("the status of the change", async || {
        let plugin = room.plugins().get("slack").await.unwrap();
        (plugin.status?.observed_generation == plugin.metadata.generation).then_some(())
    })
    .await;
    assert!(back.elapsed() < Duration::from_secs(20), "said after {:?}", back.elapsed());
    running.stop().await;
}

#[tokio::test]
async fn the_definition_may_come_later() {
    let room = Room::in_cluster(cluster_of_its_own().await).await;
    let definitions: Api<CustomResourceDefinition> = Api::all(room.client.clone());
    let name = "slackaccessplugins.slackaccess.dev";
    let mut definition = definitions.get(name).await.unwrap();
    definitions.delete(name, &kube::api::DeleteParams::default()).await.unwrap();
    eventually("the definition to be gone", async || definitions.get_opt(name).await.unwrap().is_none().then_some(()))
        .await;
    let controller = room.start_controller("later");
    eventually("a look for the definition", async || {
        let calls = room.cluster.calls_of(&controller.user);
        (!calls.is_empty()).then_some(())
    })
    .await;
    definition.metadata.resource_version = None;
    definition.metadata.uid = None;
    definitions.create(&PostParams::default(), &definition).await.unwrap();
    eventually("the definition to be served", async || room.apply(&minimal()).await.ok()).await;
    room.until::<Deployment>(CHILD, "the Deployment", |_| true).await;
    controller.stop().await;
}

/// What an operator answers on its diagnostics port; nothing while it does not listen.
async fn answer(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

#[tokio::test]
async fn a_namespace_that_may_not_be_watched_does_not_hold_up_the_others_and_is_taken_up_when_it_may() {
    let (room, gone) = (Room::new().await, Room::new().await);
    let user = room.grant(&room).await;
    let client = room.cluster.client_as(&user, &["system:serviceaccounts", "system:authenticated"]);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let controller = Room::start_controller_as(
        client,
        Settings {
            namespaces: vec![room.namespace.clone(), gone.namespace.clone()],
            worker_image: "example.com/slack-access-operator:1.0.0".into(),
            policy: Policy::single_team(),
            worker_pods: WorkerPods::default(),
            diag_addr: Some(free.clone()),
            metrics: access::Settings::default(),
            instance: user,
        },
    );
    room.apply(&minimal()).await.unwrap();
    gone.apply(&with("/spec/pluginName", json!("another"))).await.unwrap();
    room.until::<Deployment>(CHILD, "the Deployment of the other namespace", |_| true).await;
    eventually("readiness", async || answer(&free, "/readyz").await.filter(|ready| ready.contains("200 OK"))).await;
    eventually("the count of the other namespace's objects", async || {
        answer(&free, "/metrics").await.filter(|metrics| metrics.contains("slack_access_plugins{"))
    })
    .await;
    assert!(gone.api::<Deployment>().get_opt(CHILD).await.unwrap().is_none());
    gone.grant(&room).await;
    gone.until::<Deployment>(CHILD, "the Deployment of the namespace that came back", |_| true).await;
    controller.stop().await;
}

#[tokio::test]
async fn a_definition_without_what_the_operator_writes_is_said_in_the_status_that_it_has() {
    let room = Room::in_cluster(cluster_of_its_own().await).await;
    let definitions: Api<CustomResourceDefinition> = Api::all(room.client.clone());
    let name = "slackaccessplugins.slackaccess.dev";
    let workload = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/workload";
    let patched = async |operation: Value| {
        let patch = Patch::<()>::Json(serde_json::from_value(json!([operation])).unwrap());
        definitions.patch(name, &PatchParams::default(), &patch).await.unwrap();
    };
    let declared =
        serde_json::to_value(definitions.get(name).await.unwrap()).unwrap().pointer(workload).unwrap().clone();
    patched(json!({"op": "remove", "path": workload})).await;
    let probe = async |is_declared: bool| {
        let status = json!({"apiVersion": "slackaccess.dev/v1alpha1", "kind": "SlackAccessPlugin", "metadata": {"name": "probe"},
            "status": {"workload": {"deployment": "", "configHash": ""}}});
        let manager = PatchParams::apply("tester").force();
        eventually("the other definition to be in force", async || {
            let written = room.plugins().patch_status("probe", &manager, &Patch::Apply(&status)).await;
            (written.is_ok() == is_declared).then_some(())
        })
        .await;
    };
    room.apply(&named("probe")).await.unwrap();
    probe(false).await;
    let controller = room.start_controller("outdated");
    room.apply(&minimal()).await.unwrap();
    let status = room.until_ready_is("False", "DefinitionOutdated").await;
    assert_eq!(status.observed_generation, Some(1));
    assert_eq!(status.condition("Stalled").unwrap().status, "True");
    let message = &status.condition("Ready").unwrap().message;
    assert!(message.contains("it has no `.status.workload`"), "{message}");
    assert!(message.contains("apply crds/slackaccessplugins.yaml of version"), "{message}");
    patched(json!({"op": "add", "path": workload, "value": declared})).await;
    probe(true).await;
    room.until_ready_is("Unknown", "Starting").await;
    controller.stop().await;
}

#[tokio::test]
async fn the_rights_that_the_chart_grants_in_one_namespace_are_enough() {
    let room = Room::new().await;
    let user = room.grant(&room).await;
    let client = room.cluster.client_as(&user, &["system:serviceaccounts", "system:authenticated"]);
    let controller = room.start_controller_with(client, user);
    room.apply(&with("/spec/workload", json!({"replicas": 2}))).await.unwrap();
    room.until_pods(2).await;
    room.report(&[]).await;
    room.until_ready_is("True", "Working").await;
    room.change(json!({"workload": {"replicas": 1}})).await;
    room.until_gone::<k8s_openapi::api::policy::v1::PodDisruptionBudget>(CHILD).await;
    controller.stop().await;
}
