use serde_json::Value;

use crate::controller::fixtures::{minimal, minimal_with, plugin};
use crate::controller::resources::*;
use crate::controller::validate::validate;
use crate::crd::SlackAccessPlugin;

fn built(plugin: &SlackAccessPlugin) -> Resources<Prepared> {
    build(&validate(plugin).unwrap(), "example.com/operator:1", &WorkerPods::default(), "policy").unwrap()
}

fn deployment(plugin: &SlackAccessPlugin) -> Value {
    serde_json::to_value(built(plugin).deployment).unwrap()
}

fn revision(more: &str) -> String {
    built(&minimal_with(more)).revision
}

#[test]
fn everything_is_owned_by_the_object_and_found_by_its_label() {
    let Resources {
        service_account,
        role,
        role_binding,
        config_map,
        deployment,
        disruption_budget,
        revision: _,
        state: _,
    } = built(&minimal_with("workload: {replicas: 2}"));
    let disruption_budget = disruption_budget.unwrap();
    let digest = digest([config_map.data.as_ref().unwrap()["worker.toml"].as_bytes()]);
    let of_map = format!("slack-access-slack-{digest}");
    let name = "slack-access-slack";
    for (metadata, name) in [
        (service_account.metadata, name),
        (role.metadata, name),
        (role_binding.metadata, name),
        (config_map.metadata, of_map.as_str()),
        (deployment.metadata, name),
        (disruption_budget.metadata, name),
    ] {
        assert_eq!(metadata.name.as_deref(), Some(name));
        assert_eq!(metadata.labels.unwrap()[MANAGED_BY_LABEL], MANAGED_BY);
        let owners = metadata.owner_references.unwrap();
        assert_eq!((owners.len(), owners[0].controller), (1, Some(true)));
        assert!(metadata.annotations.unwrap().contains_key(APPLIED_ANNOTATION));
    }
}

#[test]
fn the_pods_pass_pod_security_restricted_and_mount_nothing_by_sub_path() {
    let deployment = deployment(&minimal());
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
    assert_eq!(container["securityContext"]["capabilities"]["drop"][0], "ALL");
    assert!(!deployment.to_string().contains("subPath"));
}

#[test]
fn a_missing_secret_does_not_keep_the_pods_from_starting() {
    let deployment = deployment(&minimal());
    let volumes = deployment["spec"]["template"]["spec"]["volumes"].as_array().unwrap();
    let secrets: Vec<_> = volumes.iter().filter(|volume| volume.get("secret").is_some()).collect();
    assert_eq!(secrets.len(), 2);
    assert!(secrets.iter().all(|volume| volume["secret"]["optional"] == true));
}

#[test]
fn what_the_worker_runs_with_names_the_revision_and_nothing_else_does() {
    let before = revision("");
    assert_eq!(before, revision(""));
    assert_eq!(before, revision("workload: {replicas: 3, serviceAccount: {annotations: {a: b}}}"));
    assert_eq!(before, revision("suspend: true"));
    for change in [
        "log: {severity: debug}",
        "workload: {env: [{name: HTTPS_PROXY, value: 'http://proxy:3128'}]}",
        "workload: {image: 'x:2'}",
    ] {
        assert_ne!(before, revision(change), "{change}");
    }
}

#[test]
fn each_configuration_has_a_map_of_its_own_which_the_pods_mount() {
    let before = built(&minimal());
    let after = built(&minimal_with("log: {severity: debug}"));
    let scaled = built(&minimal_with("workload: {replicas: 3}"));
    assert_eq!(before.config_map.immutable, Some(true));
    assert_ne!(before.config_map.metadata.name, after.config_map.metadata.name);
    assert_eq!(before.config_map.metadata.name, scaled.config_map.metadata.name);
    for resources in [before, after] {
        let pod = resources.deployment.spec.unwrap().template.spec.unwrap();
        let mounted = pod.volumes.unwrap().into_iter().find_map(|volume| volume.config_map).unwrap();
        assert_eq!(Some(mounted.name), resources.config_map.metadata.name);
    }
}

#[test]
fn a_worker_that_joins_has_a_token_for_teleport_alone_and_no_secret_of_it() {
    let joining = |join: &str, address: &str| {
        let spec = format!(
            "teleport: {{address: '{address}', join: {join}}}\nslack: {{token: {{secretRef: {{name: slack-bot-token}}}}}}\n\
             roleToRecipients: {{'*': [access-requests]}}"
        );
        deployment(&plugin(&spec))
    };
    let audience = |deployment: &Value| {
        let volumes = deployment["spec"]["template"]["spec"]["volumes"].as_array().unwrap();
        assert_eq!(volumes.iter().filter(|volume| volume.get("secret").is_some()).count(), 1, "the Slack token's");
        let volume = volumes.iter().find(|volume| volume["name"] == "teleport-join").unwrap();
        let token = volume["projected"]["sources"][0]["serviceAccountToken"].clone();
        assert_eq!((&token["expirationSeconds"], &token["path"]), (&Value::from(600), &Value::from("token")));
        token.get("audience").cloned()
    };
    let own = joining("{token: slack-k8s}", "teleport.example.com:443");
    assert_eq!(audience(&own), Some("teleport.example.com".into()), "the host of the address");
    let mounts = own["spec"]["template"]["spec"]["containers"][0]["volumeMounts"].to_string();
    assert!(mounts.contains("/var/run/secrets/slackaccess.dev/teleport"), "{mounts}");
    let named = joining("{token: slack-k8s, audience: example}", "teleport.example.com:443");
    assert_eq!(audience(&named), Some("example".into()));
    assert_eq!(audience(&joining("{token: slack-k8s, audience: ''}", "[::1]:443")), None, "the API server's own");
    assert_eq!(audience(&joining("{token: slack-k8s}", "[::1]:443")), Some("::1".into()));
}

#[test]
fn suspending_takes_the_pods_away_and_keeps_everything_else() {
    let resources = built(&minimal_with("suspend: true\nworkload: {replicas: 2}"));
    assert_eq!(resources.deployment.spec.unwrap().replicas, Some(0));
}

#[test]
fn a_single_worker_has_no_disruption_budget() {
    assert!(built(&minimal()).disruption_budget.is_none());
}

#[test]
fn the_pods_may_touch_their_own_object_only() {
    let rules = built(&minimal()).role.rules.unwrap();
    assert!(rules.iter().all(|rule| rule.resource_names.as_deref() == Some(&["slack".to_owned()])));
    assert!(rules.iter().all(|rule| rule.api_groups.as_deref() == Some(&[crate::crd::GROUP.to_owned()])));
}

#[test]
fn a_rollout_never_leaves_the_cluster_without_a_worker() {
    let deployment = deployment(&minimal());
    assert_eq!(deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], 0);
    assert_eq!(deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"], 1);
}

#[test]
fn the_operators_labels_win_over_a_users() {
    let deployment = deployment(&minimal_with("workload: {labels: {team: infra}, annotations: {note: x}}"));
    let metadata = &deployment["spec"]["template"]["metadata"];
    assert_eq!(metadata["labels"]["team"], "infra");
    assert_eq!(metadata["labels"][PLUGIN_LABEL], "slack");
    assert_eq!(metadata["annotations"]["note"], "x");
}

#[test]
fn resources_may_be_numbers_or_text() {
    let deployment = deployment(&minimal_with("workload: {resources: {limits: {cpu: 1, memory: 64Mi}}}"));
    let resources = &deployment["spec"]["template"]["spec"]["containers"][0]["resources"];
    assert_eq!(resources, &serde_json::json!({"limits": {"cpu": "1", "memory": "64Mi"}}));
}

#[test]
fn a_spread_constraint_without_a_selector_selects_this_objects_pods() {
    let deployment = deployment(&minimal_with(
        "workload: {topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]}",
    ));
    let constraint = &deployment["spec"]["template"]["spec"]["topologySpreadConstraints"][0];
    assert_eq!(constraint["labelSelector"]["matchLabels"][PLUGIN_LABEL], "slack");
}

#[test]
fn another_service_account_replaces_the_pods_and_is_no_other_revision() {
    let bound = |uid: Option<&str>| {
        let Resources { mut service_account, deployment, revision, .. } = built(&minimal());
        service_account.metadata.uid = uid.map(str::to_owned);
        let deployment = bound_to(&service_account, deployment).unwrap();
        let template = deployment.spec.clone().unwrap().template;
        (
            deployment.annotations()[APPLIED_ANNOTATION].clone(),
            template.metadata.unwrap().annotations.unwrap(),
            revision,
        )
    };
    let (first, annotations, revision) = bound(Some("u1"));
    assert_eq!(annotations[ACCOUNT_ANNOTATION], "u1");
    assert_eq!(annotations[REVISION_ANNOTATION], revision);
    assert_eq!(bound(Some("u1")).0, first);
    assert_ne!(bound(Some("u2")).0, first);
    assert_eq!(bound(Some("u2")).2, revision);
}
