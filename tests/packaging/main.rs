//! What is shipped beside the binary: the chart, the manifests, the image. Rendered by the real helm and kubectl and looked at
//! field by field; what only a cluster can tell is in `tests/e2e`.

#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: a panic is how it fails"
)]

mod image;
mod network_policy;
mod policy;
mod workflows;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use slack_access_operator::crd;
use slack_access_operator::metrics::controller::ControllerMetrics;
use slack_access_operator::metrics::{Exposition as _, Metrics, Operation, Outcome, Reload, RequestState};

const VERSION: &str = env!("CARGO_PKG_VERSION");
const CHART: &str = "charts/slack-access-operator";
const IMAGE: &str = concat!("ghcr.io/slackaccess/slack-access-operator:", env!("CARGO_PKG_VERSION"));

/// Switches on everything that is off by default, so that every value has something to show in.
const EVERYTHING: &[&str] = &[
    "monitoring.serviceMonitor.enabled=true",
    "monitoring.podMonitor.enabled=true",
    "monitoring.prometheusRule.enabled=true",
    "monitoring.dashboard.enabled=true",
    "networkPolicy.enabled=true",
    "replicas=2",
    "helmTest.check.enabled=true",
    "helmTest.check.object=\"slack\"",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(path: impl AsRef<Path>) -> Value {
    serde_saphyr::from_str(&text(path)).unwrap()
}

fn objects(yaml: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).unwrap();
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

/// A tool that the build script under `hack/kubernetes` makes at most once.
fn tool(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let built = Command::new(root().join("hack/kubernetes/build.sh")).arg("helm").output().unwrap();
        assert!(built.status.success(), "hack/kubernetes/build.sh helm: {}", String::from_utf8_lossy(&built.stderr));
        PathBuf::from(String::from_utf8(built.stdout).unwrap().trim())
    });
    folder.join(name)
}

/// Runs a tool in the root of the project.
fn run(name: &str, arguments: &[&str]) -> Output {
    Command::new(tool(name)).args(arguments).current_dir(root()).output().unwrap()
}

/// Renders the chart with `--set-json` values and more arguments.
fn try_render(values: &[&str], arguments: &[&str]) -> Result<String, String> {
    let mut all = vec!["template", "rel", CHART, "--namespace", "ops", "--kube-version", "1.34.0"];
    for value in values {
        all.extend(["--set-json", value]);
    }
    all.extend(arguments);
    let output = run("helm", &all);
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    }
}

fn render(values: &[&str]) -> Vec<Value> {
    objects(&try_render(values, &[]).unwrap())
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

fn one<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let found = of_kind(objects, kind);
    assert_eq!(found.len(), 1, "objects of kind {kind}");
    found[0]
}

fn container(objects: &[Value]) -> &Value {
    &one(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
}

fn environment<'a>(container: &'a Value, name: &str) -> &'a Value {
    container["env"].as_array().unwrap().iter().find(|variable| variable["name"] == name).unwrap()
}

// --- versions and generated files ---------------------------------------------------------------------------------------

#[test]
fn the_chart_and_its_image_have_the_version_of_the_crate() {
    let chart = yaml(format!("{CHART}/Chart.yaml"));
    assert_eq!(chart["version"], VERSION);
    assert_eq!(chart["appVersion"], VERSION);
    let images: Vec<Value> =
        serde_saphyr::from_str(chart["annotations"]["artifacthub.io/images"].as_str().unwrap()).unwrap();
    assert_eq!(images[0]["image"], IMAGE);
}

#[test]
fn the_example_in_the_chart_s_annotations_and_the_sample_are_objects_of_the_definition() {
    let chart = yaml(format!("{CHART}/Chart.yaml"));
    let examples: Vec<Value> =
        serde_saphyr::from_str(chart["annotations"]["artifacthub.io/crdsExamples"].as_str().unwrap()).unwrap();
    for example in examples.into_iter().chain([yaml("manifests/sample.yaml")]) {
        assert_eq!(example["apiVersion"], format!("{}/v1alpha1", crd::GROUP));
        let object: crd::SlackAccessPlugin = serde_json::from_value(example).unwrap();
        assert_eq!(object.metadata.name.as_deref(), Some("slack"), "README and NOTES wait for sap/slack");
    }
}

#[test]
fn the_chart_ships_the_generated_definition() {
    let copy = format!("{CHART}/files/slackaccessplugins.yaml");
    assert!(text(&copy) == crd::yaml().unwrap(), "the chart's definition is old; run: make generate");
    let generated = yaml("crds/slackaccessplugins.yaml");
    let rendered = floats(&one(&render(&[]), "CustomResourceDefinition")["spec"]);
    assert!(rendered == floats(&generated["spec"]), "helm changes the definition while rendering it");
}

/// The same value with every number as a float: helm writes `10` for `10.0`.
fn floats(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(floats).collect(),
        Value::Object(members) => members.iter().map(|(name, member)| (name.clone(), floats(member))).collect(),
        other => other.clone(),
    }
}

#[test]
fn install_yaml_is_the_chart_rendered_with_its_defaults() {
    let rendered = Command::new(root().join("hack/manifests.sh")).env("HELM", tool("helm")).output().unwrap();
    assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
    assert!(
        String::from_utf8(rendered.stdout).unwrap() == text("manifests/install.yaml"),
        "manifests/install.yaml is old; run: make generate"
    );
}

/// `fieldRef` is one value to server-side apply, with the default that the API server fills in: left out, the second of
/// `kubectl apply` and `kubectl apply --server-side` is refused with a conflict.
#[test]
fn field_references_are_written_with_their_default() {
    let rendered = render(&[]);
    let variables = container(&rendered)["env"].as_array().unwrap();
    let references: Vec<&Value> =
        variables.iter().map(|variable| &variable["valueFrom"]["fieldRef"]).filter(|field| !field.is_null()).collect();
    assert!(!references.is_empty());
    assert!(references.iter().all(|field| field["apiVersion"] == "v1"), "{references:?}");
}

/// Each would make the workers its own, whose image is the operator's.
#[test]
fn an_upgrade_never_runs_two_versions_of_the_operator_at_once() {
    assert_eq!(one(&render(&[]), "Deployment")["spec"]["strategy"], json!({"type": "Recreate"}));
}

#[test]
fn the_kustomize_overlay_moves_everything_and_gives_workers_the_mirror_s_image() {
    let output = run("kubectl", &["kustomize", "docs/kustomize-overlay"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let built = objects(&String::from_utf8(output.stdout).unwrap());
    for object in &built {
        let namespace = &object["metadata"]["namespace"];
        assert!(namespace.is_null() || namespace == "access", "{} stays in {namespace}", object["kind"]);
    }
    assert_eq!(one(&built, "Namespace")["metadata"]["name"], "access");
    assert_eq!(one(&built, "ClusterRoleBinding")["subjects"][0]["namespace"], "access");
    assert_eq!(one(&built, "Deployment")["spec"]["replicas"], 2);
    let mirrored = format!("mirror.example.com/slack-access-operator:{VERSION}");
    assert_eq!(container(&built)["image"], mirrored);
    assert_eq!(environment(container(&built), "WORKER_IMAGE")["value"], mirrored);
    let own_power = of_kind(&built, "ValidatingAdmissionPolicy")
        .into_iter()
        .find(|policy| policy["metadata"]["name"].as_str().unwrap().ends_with("-operator"))
        .unwrap();
    let user = own_power["spec"]["matchConditions"][0]["expression"].as_str().unwrap();
    assert!(user.contains("\"system:serviceaccount:access:slack-access-operator\""), "{user}");
    for policy in of_kind(&built, "ValidatingAdmissionPolicy") {
        let variables = policy["spec"]["variables"].as_array().unwrap();
        let image = &variables.iter().find(|variable| variable["name"] == "ownImage").unwrap()["expression"];
        assert_eq!(*image, format!("'{mirrored}'"));
    }
}

// --- values -------------------------------------------------------------------------------------------------------------

#[test]
fn helm_lint_finds_nothing() {
    let output = run("helm", &["lint", "--strict", "--kube-version", "1.34.0", CHART]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// One changed value for each documented value, as `--set-json` takes them; and what else has to be set for it to matter.
const CHANGED: &[(&str, &str)] = &[
    ("nameOverride", "\"other\""),
    ("fullnameOverride", "\"other\""),
    ("commonLabels", r#"{"team":"access"}"#),
    ("image.registry", "\"mirror.example.com\""),
    ("image.repository", "\"other\""),
    ("image.tag", "\"1\""),
    ("image.digest", "\"sha256:0000000000000000000000000000000000000000000000000000000000000000\""),
    ("image.pullPolicy", "\"Always\""),
    ("imagePullSecrets", r#"[{"name":"pull"}]"#),
    ("workerImage", "\"other\""),
    ("policy.profile", "\"singleTeam\""),
    ("policy.slack.apiHosts", r#"["slack.example.com"]"#),
    ("policy.slack.plainHttpHosts", r#"["slack.example.com"]"#),
    ("policy.slack.caBundles", r#"["company-ca"]"#),
    ("policy.teleport.addresses", r#"["teleport.example.com:443"]"#),
    ("policy.teleport.joinAddresses", r#"["teleport.example.com:443"]"#),
    ("policy.teleport.caBundles", r#"["company-ca"]"#),
    ("policy.images", r#"["mirror.example.com/*"]"#),
    ("policy.secrets", r#"["access-*"]"#),
    ("policy.allow.labels", "true"),
    ("policy.allow.annotations", "true"),
    ("policy.allow.serviceAccountAnnotations", "true"),
    ("policy.allow.priorityClassName", "true"),
    ("policy.allow.tolerations", "true"),
    ("policy.allow.imagePullSecrets", "true"),
    ("policy.admission.authors", "false"),
    ("policy.admission.operator", "false"),
    ("watchNamespaces", r#"["a","b"]"#),
    ("replicas", "3"),
    ("log.format", "\"text\""),
    ("log.severity", "\"debug\""),
    ("extraArgs", r#"["--more"]"#),
    ("extraEnv", r#"[{"name":"HTTPS_PROXY","value":"http://proxy:3128"}]"#),
    ("extraEnvFrom", r#"[{"configMapRef":{"name":"env"}}]"#),
    ("extraVolumes", r#"[{"name":"more","emptyDir":{}}]"#),
    ("extraVolumeMounts", r#"[{"name":"more","mountPath":"/more"}]"#),
    ("crds.enabled", "false"),
    ("crds.keep", "false"),
    ("crds.annotations", r#"{"a":"b"}"#),
    ("serviceAccount.create", "false"),
    ("serviceAccount.name", "\"other\""),
    ("serviceAccount.annotations", r#"{"a":"b"}"#),
    ("rbac.create", "false"),
    ("rbac.aggregate", "false"),
    ("deploymentAnnotations", r#"{"a":"b"}"#),
    ("podAnnotations", r#"{"a":"b"}"#),
    ("podLabels", r#"{"a":"b"}"#),
    ("podSecurityContext", r#"{"fsGroup":1}"#),
    ("securityContext", r#"{"runAsUser":1}"#),
    ("resources", r#"{"limits":{"cpu":"1"}}"#),
    ("livenessProbe", r#"{"periodSeconds":99}"#),
    ("readinessProbe", r#"{"periodSeconds":99}"#),
    ("terminationGracePeriodSeconds", "99"),
    ("priorityClassName", "\"high\""),
    ("nodeSelector", r#"{"a":"b"}"#),
    ("tolerations", r#"[{"operator":"Exists"}]"#),
    ("affinity", r#"{"nodeAffinity":{}}"#),
    ("topologySpreadConstraints", r#"[{"maxSkew":1}]"#),
    ("podDisruptionBudget.enabled", "false"),
    ("podDisruptionBudget.maxUnavailable", "\"50%\""),
    ("metrics.authentication", "\"kubernetes\""),
    ("metrics.tlsSecret", "\"operator-tls\""),
    ("metrics.scrapeTokenSecret", "\"prometheus-token\""),
    ("workerSeccompProfile", "\"profiles/worker.json\""),
    ("diagPort", "9090"),
    ("service.annotations", r#"{"a":"b"}"#),
    ("service.labels", r#"{"a":"b"}"#),
    ("monitoring.serviceMonitor.enabled", "false"),
    ("monitoring.serviceMonitor.labels", r#"{"a":"b"}"#),
    ("monitoring.serviceMonitor.interval", "\"30s\""),
    ("monitoring.serviceMonitor.scrapeTimeout", "\"5s\""),
    ("monitoring.serviceMonitor.relabelings", r#"[{"action":"drop"}]"#),
    ("monitoring.serviceMonitor.metricRelabelings", r#"[{"action":"drop"}]"#),
    ("monitoring.podMonitor.enabled", "false"),
    ("monitoring.podMonitor.labels", r#"{"a":"b"}"#),
    ("monitoring.podMonitor.interval", "\"30s\""),
    ("monitoring.podMonitor.scrapeTimeout", "\"5s\""),
    ("monitoring.podMonitor.relabelings", r#"[{"action":"drop"}]"#),
    ("monitoring.podMonitor.metricRelabelings", r#"[{"action":"drop"}]"#),
    ("monitoring.prometheusRule.enabled", "false"),
    ("monitoring.prometheusRule.labels", r#"{"a":"b"}"#),
    ("monitoring.prometheusRule.alertLabels", r#"{"a":"b"}"#),
    ("monitoring.prometheusRule.undeliveredMinutes", "9"),
    ("monitoring.prometheusRule.identityExpiryHours", "9"),
    ("monitoring.dashboard.enabled", "false"),
    ("monitoring.dashboard.labels", r#"{"a":"b"}"#),
    ("monitoring.dashboard.annotations", r#"{"a":"b"}"#),
    ("networkPolicy.enabled", "false"),
    ("networkPolicy.apiServer.to", r#"[{"ipBlock":{"cidr":"192.0.2.1/32"}}]"#),
    ("networkPolicy.apiServer.ports", "[8443]"),
    ("networkPolicy.metricsFrom", r#"[{"namespaceSelector":{}}]"#),
    ("networkPolicy.dnsTo", r#"[{"namespaceSelector":{}}]"#),
    ("networkPolicy.dnsPorts", "[53]"),
    ("networkPolicy.extraEgress", r#"[{"ports":[{"port":15012}]}]"#),
    ("networkPolicy.workers.extraEgress", r#"[{"ports":[{"port":15012}]}]"#),
    ("networkPolicy.workers.enabled", "false"),
    ("networkPolicy.workers.ports", "[8443]"),
    ("networkPolicy.workers.to", r#"[{"namespaceSelector":{}}]"#),
    ("helmTest.enabled", "false"),
    ("helmTest.check.enabled", "false"),
    ("helmTest.check.object", "\"other\""),
    ("helmTest.check.namespace", "\"other\""),
    ("helmTest.check.args", r#"["--fail-on-warning"]"#),
];

/// The values that values.yaml documents with a `# --` comment, as dotted paths.
fn documented() -> BTreeSet<String> {
    let mut path: Vec<String> = Vec::new();
    let mut comment = false;
    let mut found = BTreeSet::new();
    for line in text(format!("{CHART}/values.yaml")).lines() {
        let indent = line.len() - line.trim_start().len();
        let line = line.trim_start();
        if line.starts_with('#') {
            comment |= line.starts_with("# -- ");
        } else if let Some((key, _)) = line.split_once(':') {
            path.truncate(indent / 2);
            path.push(key.to_owned());
            if std::mem::take(&mut comment) {
                found.insert(path.join("."));
            }
        }
    }
    found
}

/// Paths of everything in `value` that is not an object with members.
fn leaves(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value.as_object() {
        Some(members) if !members.is_empty() => {
            for (name, member) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves(member, &path, found);
            }
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn every_value_is_documented() {
    let mut values = BTreeSet::new();
    leaves(&yaml(format!("{CHART}/values.yaml")), "", &mut values);
    let documented = documented();
    for value in values {
        let covered = documented.iter().any(|path| value == *path || value.starts_with(&format!("{path}.")));
        assert!(covered, "values.yaml: `{value}` has no comment that begins with `# -- `");
    }
}

#[test]
fn every_documented_value_changes_what_is_rendered() {
    let listed: BTreeSet<String> = CHANGED.iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(documented(), listed, "values.yaml and the list of this test differ");
    let plain = try_render(EVERYTHING, &[]).unwrap();
    for (path, value) in CHANGED {
        let changed = format!("{path}={value}");
        let values: Vec<&str> = EVERYTHING.iter().copied().chain([changed.as_str()]).collect();
        let rendered = try_render(&values, &[]).unwrap_or_else(|error| panic!("{changed}: {error}"));
        assert_ne!(rendered, plain, "no template uses `{path}`");
    }
}

#[test]
fn a_misspelt_value_is_refused_by_name_at_every_level() {
    for path in [
        "",
        "image.",
        "log.",
        "policy.",
        "policy.slack.",
        "policy.teleport.",
        "policy.allow.",
        "policy.admission.",
        "crds.",
        "serviceAccount.",
        "rbac.",
        "resources.",
        "livenessProbe.",
        "affinity.",
        "service.",
        "podDisruptionBudget.",
        "monitoring.",
        "monitoring.serviceMonitor.",
        "monitoring.podMonitor.",
        "monitoring.prometheusRule.",
        "monitoring.dashboard.",
        "networkPolicy.",
        "networkPolicy.apiServer.",
        "networkPolicy.workers.",
        "helmTest.",
        "helmTest.check.",
    ] {
        let error = try_render(&[&format!("{path}misspelt=1")], &[]).unwrap_err();
        assert!(error.contains("'misspelt' not allowed"), "{path}misspelt: {error}");
    }
}

#[test]
fn a_value_out_of_bounds_is_refused() {
    for value in [
        "fullnameOverride=\"1-Name\"",
        "nameOverride=\"name_\"",
        "image.digest=\"latest\"",
        "image.pullPolicy=\"Sometimes\"",
        "watchNamespaces=[\"Not_A_Namespace\"]",
        "replicas=-1",
        "policy.profile=\"none\"",
        "policy.secrets=[\"a') || true\"]",
        "log.format=\"xml\"",
        "image.tag=1.5",
        "metrics.authentication=\"basic\"",
        "diagPort=80",
        "monitoring.serviceMonitor.enabled=\"maybe\"",
        "networkPolicy.workers.ports=[0]",
        "monitoring.podMonitor.interval=\"30\"",
        "extraEnv=[{\"nam\":\"x\"}]",
        "podDisruptionBudget.maxUnavailable=0",
    ] {
        let error = try_render(&[value], &[]).unwrap_err();
        assert!(error.contains("values don't meet the specifications of the schema"), "{value}: {error}");
    }
}

/// `--set KEY=null` takes a default away: either nothing is rendered in its place, or the value is asked for by its name.
#[test]
fn a_value_that_is_taken_away_leaves_no_broken_object() {
    for path in documented() {
        let gone = format!("{path}=null");
        let values: Vec<&str> = EVERYTHING.iter().copied().chain([gone.as_str()]).collect();
        match try_render(&values, &[]) {
            Ok(rendered) => {
                for object in objects(&rendered) {
                    assert_no_null(&object, &format!("{gone}: {}", object["kind"]));
                }
            }
            Err(error) => {
                let name = path.rsplit('.').next().unwrap();
                assert!(error.contains(&format!("missing property '{name}'")), "{gone}: {error}");
            }
        }
    }
}

fn assert_no_null(value: &Value, place: &str) {
    match value {
        Value::Null => panic!("{place} is null"),
        Value::Array(items) => items.iter().for_each(|item| assert_no_null(item, &format!("{place}[]"))),
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| assert_no_null(member, &format!("{place}.{name}")));
        }
        _ => {}
    }
}

/// What is a name to Helm and a number or a truth value to YAML.
#[test]
fn names_that_look_like_numbers_stay_names() {
    let values = [
        r#"watchNamespaces=["1e3","on"]"#,
        "serviceAccount.name=\"0x10\"",
        "priorityClassName=\"7\"",
        "nameOverride=\"12\"",
        "fullnameOverride=\"sao\"",
        "workerImage=\"1.0\"",
    ];
    let mut all = vec!["template", "123", CHART, "--namespace", "456", "--kube-version", "1.34.0"];
    for value in EVERYTHING.iter().chain(&values) {
        all.extend(["--set-json", value]);
    }
    let output = run("helm", &all);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for object in objects(&String::from_utf8(output.stdout).unwrap()) {
        let kind = &object["kind"];
        let metadata = &object["metadata"];
        assert!(metadata["namespace"].is_null() || metadata["namespace"].is_string(), "{kind}: {metadata}");
        for (name, label) in metadata["labels"].as_object().unwrap() {
            assert!(label.is_string(), "{kind}: {name}: {label}");
        }
        for subject in object["subjects"].as_array().into_iter().flatten() {
            assert!(subject["name"].is_string() && subject["namespace"].is_string(), "{kind}: {subject}");
        }
        if kind == "Deployment" {
            let pod = &object["spec"]["template"]["spec"];
            for field in ["serviceAccountName", "priorityClassName"] {
                assert!(pod[field].is_string(), "{field}: {}", pod[field]);
            }
            assert_eq!(environment(&pod["containers"][0], "WORKER_IMAGE")["value"], "1.0");
        }
    }
}

#[test]
fn a_release_whose_name_no_service_can_have_is_told_so() {
    for (release, refused) in [("1st", true), ("my.release", true), ("first", false)] {
        let output = run("helm", &["template", release, CHART, "--kube-version", "1.34.0"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(said.contains("cannot be the name of a Service"), refused, "{release}: {said}");
    }
    let output =
        run("helm", &["template", "1st", CHART, "--kube-version", "1.34.0", "--set", "fullnameOverride=first"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn free_form_maps_and_the_values_of_an_umbrella_chart_are_accepted() {
    render(&[
        // The usual `condition:` of a dependency.
        "enabled=true",
        r#"global={"imageRegistry":"example.com","anything":{"at":"all"}}"#,
        r#"nodeSelector={"kubernetes.io/os":"linux"}"#,
        r#"podAnnotations={"example.com/x":"y"}"#,
        r#"podSecurityContext={"supplementalGroups":[1]}"#,
        r#"securityContext={"seLinuxOptions":{"level":"s0"}}"#,
    ]);
}

// --- rights -------------------------------------------------------------------------------------------------------------

/// Every rule of every role, with the role's name.
fn rules(objects: &[Value]) -> Vec<(String, &Value)> {
    let roles = of_kind(objects, "Role").into_iter().chain(of_kind(objects, "ClusterRole"));
    roles
        .flat_map(|role| {
            let name = role["metadata"]["name"].as_str().unwrap().to_owned();
            role["rules"].as_array().unwrap().iter().map(move |rule| (name.clone(), rule))
        })
        .collect()
}

#[test]
fn nobody_may_touch_secrets_or_widen_their_own_rights() {
    for values in [&[] as &[&str], &[r#"watchNamespaces=["a"]"#]] {
        let rendered = render(values);
        let rules = rules(&rendered);
        assert!(!rules.is_empty());
        for (role, rule) in rules {
            let said = rule.to_string();
            for forbidden in
                ["\"*\"", "secrets", "escalate", "bind\"", "impersonate", "pods/exec", "serviceaccounts/token"]
            {
                assert!(!said.contains(forbidden), "{role} contains {forbidden}: {said}");
            }
        }
    }
}

#[test]
fn every_rule_of_the_operator_names_a_file_that_needs_it() {
    let template = text(format!("{CHART}/templates/rbac.yaml"));
    let mut reason = String::new();
    let mut rules = 0;
    for line in template.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            reason.push_str(comment);
            reason.push(' ');
        } else if line.starts_with("- apiGroups:") {
            let files: Vec<&str> = reason
                .split([' ', '(', ')', ':', ',', ';'])
                .filter(|word| word.starts_with("src/"))
                .map(|word| word.trim_end_matches('.'))
                .collect();
            assert!(!files.is_empty(), "no comment with a file above {line}");
            for file in files {
                assert!(root().join(file).exists(), "{file} in `{reason}` does not exist");
            }
            reason.clear();
            rules += 1;
        }
    }
    assert_eq!(rules, rules_of_the_operator().len());
}

fn rules_of_the_operator() -> Vec<Value> {
    let rendered = render(&[]);
    rules(&rendered)
        .into_iter()
        .filter(|(role, _)| role == "rel-slack-access-operator")
        .map(|(_, rule)| rule.clone())
        .collect()
}

#[test]
fn with_a_list_of_namespaces_there_are_no_rights_elsewhere() {
    let rendered = render(&[r#"watchNamespaces=["a","b"]"#]);
    assert!(of_kind(&rendered, "ClusterRoleBinding").is_empty());
    for kind in ["Role", "RoleBinding"] {
        let namespaces: Vec<_> =
            of_kind(&rendered, kind).iter().map(|role| role["metadata"]["namespace"].clone()).collect();
        assert_eq!(namespaces, [json!("a"), json!("b")], "{kind}");
    }
    for binding in of_kind(&rendered, "RoleBinding") {
        assert_eq!(binding["subjects"][0]["namespace"], "ops");
        assert_eq!(binding["roleRef"]["kind"], "Role");
    }
    let same: Vec<Value> = of_kind(&rendered, "Role")[0]["rules"].as_array().unwrap().clone();
    assert_eq!(same, rules_of_the_operator(), "the same work needs the same rights, in fewer places");
    let arguments = container(&rendered)["args"].to_string();
    assert!(arguments.contains("--watch-namespace=a") && arguments.contains("--watch-namespace=b"), "{arguments}");
}

#[test]
fn two_releases_of_one_name_in_two_namespaces_share_no_object() {
    let of = |namespace: &str| -> BTreeSet<String> {
        let watched = format!(r#"watchNamespaces=["{namespace}"]"#);
        let arguments = ["template", "rel", CHART, "--namespace", namespace, "--kube-version", "1.34.0"];
        let output =
            run("helm", &[&arguments[..], &["--set-json", &watched, "--set-json", "crds.enabled=false"]].concat());
        objects(&String::from_utf8(output.stdout).unwrap())
            .iter()
            .map(|object| {
                let metadata = &object["metadata"];
                format!("{} {} {}", object["kind"], metadata["namespace"], metadata["name"])
            })
            .collect()
    };
    let (a, b) = (of("a"), of("b"));
    assert!(!a.is_empty());
    assert_eq!(a.intersection(&b).count(), 0, "{a:?} {b:?}");
}

#[test]
fn people_who_may_view_or_edit_a_namespace_may_view_or_edit_its_plugins() {
    let rendered = render(&[]);
    let aggregated = |to: &str| -> BTreeSet<String> {
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{to}");
        of_kind(&rendered, "ClusterRole")
            .iter()
            .filter(|role| role["metadata"]["labels"][&label] == "true")
            .flat_map(|role| role["rules"].as_array().unwrap())
            .flat_map(|rule| rule["verbs"].as_array().unwrap())
            .map(|verb| verb.as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(aggregated("view"), BTreeSet::from(["get", "list", "watch"].map(str::to_owned)));
    assert!(
        aggregated("edit")
            .is_superset(&BTreeSet::from(["get", "create", "update", "patch", "delete"].map(str::to_owned)))
    );
    assert_eq!(aggregated("edit"), aggregated("admin"));
}

// --- pods ---------------------------------------------------------------------------------------------------------------

/// The fields that Pod Security "restricted" asks for (Kubernetes docs: Pod Security Standards).
fn assert_restricted(pod: &Value) {
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(pod[field].is_null(), "{field}");
    }
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_ne!(pod["securityContext"]["runAsUser"], 0);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    for container in pod["containers"].as_array().unwrap() {
        let context = &container["securityContext"];
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}));
        assert_eq!(context["readOnlyRootFilesystem"], true, "not asked for by the standard, but by us");
        assert!(context["privileged"].is_null());
    }
}

#[test]
fn the_pods_of_the_chart_are_restricted_and_have_no_token_they_do_not_need() {
    let rendered = render(&[]);
    let operator = &one(&rendered, "Deployment")["spec"]["template"]["spec"];
    assert_restricted(operator);
    let test = &one(&rendered, "Pod")["spec"];
    assert_restricted(test);
    assert_eq!(test["automountServiceAccountToken"], false);
    assert_eq!(one(&rendered, "ServiceAccount")["automountServiceAccountToken"], false);
}

/// `OpenShift`'s `restricted-v2` refuses numbers outside of the range that it gave the namespace.
#[test]
fn no_pod_asks_for_a_user_or_a_group_by_number() {
    let rendered = render(&[]);
    for pod in [&one(&rendered, "Deployment")["spec"]["template"]["spec"], &one(&rendered, "Pod")["spec"]] {
        for context in [&pod["securityContext"], &pod["containers"][0]["securityContext"]] {
            for field in ["runAsUser", "runAsGroup", "fsGroup", "supplementalGroups"] {
                assert!(context[field].is_null(), "{field}: {}", context[field]);
            }
        }
    }
    let user = text("Containerfile").lines().find_map(|line| line.strip_prefix("USER ").map(str::to_owned)).unwrap();
    assert!(
        user.split(':').all(|part| part.parse::<u32>().is_ok_and(|id| id > 0)),
        "runAsNonRoot needs a number: {user}"
    );
}

#[test]
fn a_tag_that_is_a_number_is_taken_as_it_was_written() {
    for (argument, tag) in [("image.tag=1", "1"), ("image.tag=20261201", "20261201"), ("image.tag=1.10", "1.10")] {
        let rendered = objects(&try_render(&[], &["--set", argument]).unwrap());
        let image = container(&rendered)["image"].as_str().unwrap().to_owned();
        assert!(image.ends_with(&format!(":{tag}")), "{argument}: {image}");
    }
    let rendered = render(&["image.tag=20261201"]);
    assert!(container(&rendered)["image"].as_str().unwrap().ends_with(":20261201"), "as a values file has it");
}

#[test]
fn readers_of_metrics_are_asked_for_a_token_only_where_the_rights_to_check_it_are_given() {
    let asks = |rendered: &[Value]| {
        container(rendered)["args"].as_array().unwrap().contains(&json!("--metrics-auth=kubernetes"))
    };
    assert!(!asks(&render(&[])));
    let rendered = render(&["metrics.authentication=\"kubernetes\"", "watchNamespaces=[\"a\",\"b\"]"]);
    assert!(asks(&rendered));
    let binding = one(&rendered, "ClusterRoleBinding");
    let subjects: Vec<&str> =
        binding["subjects"].as_array().unwrap().iter().map(|subject| subject["name"].as_str().unwrap()).collect();
    assert_eq!(subjects, ["rel-slack-access-operator", "system:serviceaccounts:a", "system:serviceaccounts:b"]);
    let granted: BTreeSet<String> = of_kind(&rendered, "ClusterRole")
        .iter()
        .filter(|role| role["metadata"]["name"].as_str().unwrap().ends_with("-review"))
        .flat_map(|role| role["rules"].as_array().unwrap())
        .map(|rule| format!("{} {}", rule["verbs"][0], rule["resources"][0]))
        .collect();
    assert_eq!(
        granted.into_iter().collect::<Vec<_>>(),
        ["\"create\" \"subjectaccessreviews\"", "\"create\" \"tokenreviews\""]
    );
}

#[test]
fn the_service_selects_the_operator_and_not_the_pod_of_helm_test() {
    let rendered = render(&[]);
    let selects = |labels: &Value| {
        let selector = one(&rendered, "Service")["spec"]["selector"].as_object().unwrap();
        selector.iter().all(|(name, value)| labels[name] == *value)
    };
    assert!(selects(&one(&rendered, "Deployment")["spec"]["template"]["metadata"]["labels"]));
    assert!(!selects(&one(&rendered, "Pod")["metadata"]["labels"]));
}

#[test]
fn workers_run_the_operator_s_image_wherever_it_comes_from() {
    let images = |values: &[&str]| {
        let rendered = render(values);
        let container = container(&rendered);
        (container["image"].clone(), environment(container, "WORKER_IMAGE")["value"].clone())
    };
    assert_eq!(images(&[]), (json!(IMAGE), json!(IMAGE)));
    let digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
    let pinned = json!(format!("mirror.example.com/slackaccess/slack-access-operator@{digest}"));
    let values =
        ["image.registry=\"mirror.example.com\"", &format!("image.digest=\"{digest}\""), "image.tag=\"ignored\""];
    assert_eq!(images(&values), (pinned.clone(), pinned));
    assert_eq!(images(&["workerImage=\"other:1\""]), (json!(IMAGE), json!("other:1")));
}

#[test]
fn a_disruption_budget_appears_only_where_it_cannot_block_a_drain() {
    assert!(of_kind(&render(&[]), "PodDisruptionBudget").is_empty());
    assert_eq!(one(&render(&["replicas=2"]), "PodDisruptionBudget")["spec"]["maxUnavailable"], 1);
}

#[test]
fn the_definition_is_kept_on_uninstall_unless_told_otherwise() {
    let keep = |values: &[&str]| {
        one(&render(values), "CustomResourceDefinition")["metadata"]["annotations"]["helm.sh/resource-policy"].clone()
    };
    assert_eq!(keep(&[]), "keep");
    assert_eq!(keep(&[r#"crds.annotations={"a":"b"}"#]), "keep");
    assert_eq!(keep(&["crds.keep=false"]), Value::Null);
    assert!(of_kind(&render(&["crds.enabled=false"]), "CustomResourceDefinition").is_empty());
}

#[test]
fn narrowed_network_policies_still_let_helm_test_in() {
    let rendered = render(&[
        "networkPolicy.enabled=true",
        r#"networkPolicy.metricsFrom=[{"namespaceSelector":{"matchLabels":{"name":"monitoring"}}}]"#,
    ]);
    let named = |policy: &&Value| policy["metadata"]["name"] == "rel-slack-access-operator";
    let policy = of_kind(&rendered, "NetworkPolicy").into_iter().find(named).unwrap();
    // The pod of `helm test` is not in the namespace of the monitoring.
    let test = &one(&rendered, "Pod")["metadata"]["labels"];
    let ingress = policy["spec"]["ingress"].clone();
    let lets_test_in =
        ingress.as_array().unwrap().iter().flat_map(|rule| rule["from"].as_array().unwrap()).any(|from| {
            from["podSelector"]["matchLabels"]
                .as_object()
                .is_some_and(|labels| labels.iter().all(|(name, value)| test[name] == *value))
        });
    assert!(lets_test_in, "{ingress}");
}

// --- monitoring ---------------------------------------------------------------------------------------------------------

#[test]
fn automatic_monitors_appear_where_the_cluster_knows_them() {
    let auto = [
        "monitoring.serviceMonitor.enabled=\"auto\"",
        "monitoring.podMonitor.enabled=\"auto\"",
        "monitoring.prometheusRule.enabled=\"auto\"",
    ];
    let with = objects(&try_render(&auto, &["--api-versions", "monitoring.coreos.com/v1"]).unwrap());
    let without = render(&auto);
    for kind in ["ServiceMonitor", "PodMonitor", "PrometheusRule"] {
        assert_eq!((of_kind(&with, kind).len(), of_kind(&without, kind).len()), (1, 0), "{kind}");
    }
}

/// The words of `text` that look like one of our metrics, without what the exposition format appends.
fn metric_names(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("slack_access_"))
        .map(|word| {
            ["_total", "_bucket", "_info"]
                .iter()
                .fold(word, |word, suffix| word.strip_suffix(suffix).unwrap_or(word))
                .to_owned()
        })
        .filter(|word| word != "slack_access_")
        .collect()
}

#[test]
fn alerts_and_the_dashboard_ask_for_metrics_that_exist() {
    let metrics = Metrics::new();
    // A family with labels shows once something happened.
    metrics.request_observed(RequestState::Pending);
    metrics.delivery(Operation::Post, Outcome::Ok);
    metrics.slack_call("chat.postMessage", "ok");
    metrics.identity_reload(Reload::Failed);
    metrics.token_reload(Reload::Failed);
    let controller = ControllerMetrics::default();
    controller.plugins([("True", "Working")].into_iter());
    controller.reconciled("ok", Duration::ZERO);
    let exposed: BTreeSet<String> = [metrics.encode(), controller.encode()]
        .concat()
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    let rule = one(&render(EVERYTHING), "PrometheusRule").to_string();
    let dashboard = text(format!("{CHART}/files/dashboard.json"));
    serde_json::from_str::<Value>(&dashboard).unwrap();
    for (place, asked) in [("an alert", metric_names(&rule)), ("the dashboard", metric_names(&dashboard))] {
        assert!(!asked.is_empty());
        let unknown: Vec<_> = asked.difference(&exposed).collect();
        assert!(unknown.is_empty(), "{place} asks for {unknown:?}; there are {exposed:?}");
    }
}

/// Without the monitors nothing is measured: `absent()` would call somebody at once, and for ever.
#[test]
fn alerts_about_the_operator_come_with_the_monitor_that_watches_it() {
    let alerts = |monitored: &str| -> BTreeSet<String> {
        let monitored = format!("monitoring.serviceMonitor.enabled={monitored}");
        let rendered = render(&["monitoring.prometheusRule.enabled=true", &monitored]);
        let rules = one(&rendered, "PrometheusRule")["spec"]["groups"][0]["rules"].as_array().unwrap().clone();
        rules.iter().map(|rule| rule["alert"].as_str().unwrap().to_owned()).collect()
    };
    let of_the_operator = ["SlackAccessOperatorDown", "SlackAccessPluginNotReady"].map(str::to_owned);
    let more: Vec<_> = alerts("true").difference(&alerts("false")).cloned().collect();
    assert_eq!(more, of_the_operator);
}

/// `increase()` drops the metric's name: two metrics in one selector would then be the same series, which Prometheus refuses.
#[test]
fn no_alert_selects_two_metrics_at_once() {
    let rendered = render(EVERYTHING);
    assert!(!one(&rendered, "PrometheusRule").to_string().contains("__name__"));
}

#[test]
fn every_alert_has_a_severity_and_says_what_to_do() {
    let rendered = render(EVERYTHING);
    let alerts = one(&rendered, "PrometheusRule")["spec"]["groups"][0]["rules"].as_array().unwrap();
    assert!(alerts.len() >= 5);
    for alert in alerts {
        assert!(["critical", "warning"].contains(&alert["labels"]["severity"].as_str().unwrap()), "{alert}");
        for note in ["summary", "description"] {
            assert!(alert["annotations"][note].as_str().unwrap().ends_with('.'), "{alert}");
        }
    }
}

// --- notes --------------------------------------------------------------------------------------------------------------

#[test]
fn the_notes_say_which_namespaces_are_served() {
    // Only an installation prints the notes, and only a cluster can be installed to: a copy of the chart renders them as an object.
    let copy = tempfile::tempdir().unwrap();
    let chart = copy.path().join("chart");
    let copied = Command::new("cp").arg("-r").arg(root().join(CHART)).arg(&chart).status().unwrap();
    assert!(copied.success());
    let template = r#"{kind: Notes, text: {{ include (print .Template.BasePath "/NOTES.txt") . | toJson }}}"#;
    std::fs::write(chart.join("templates/notes.yaml"), template).unwrap();
    let notes = |namespaces: &str| {
        let namespaces = format!("watchNamespaces={namespaces}");
        let chart = chart.to_str().unwrap();
        let show = ["--show-only", "templates/notes.yaml", "--set-json", &namespaces];
        let output = run("helm", &[&["template", "rel", chart, "--kube-version", "1.34.0"], &show[..]].concat());
        let rendered = objects(&String::from_utf8(output.stdout).unwrap());
        one(&rendered, "Notes")["text"].as_str().unwrap().to_owned()
    };
    let all = notes("[]");
    assert!(all.contains("objects in all namespaces."), "{all}");
    assert!(all.contains("kubectl wait --for=condition=Ready sap/slack"), "{all}");
    let some = notes(r#"["a","b"]"#);
    assert!(some.contains("these namespaces only: a, b."), "{some}");
}
