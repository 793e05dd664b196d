//! The policy for authors: one set of values, read by the operator and enforced by the API server.

use serde_json::Value;
use slack_access_operator::controller::policy::Policy;
use slack_access_operator::crd::SlackAccessPlugin;

use super::{container, of_kind, one, render, text};

fn file(objects: &[Value]) -> String {
    let map = of_kind(objects, "ConfigMap").into_iter().find(|map| map["data"]["policy.yaml"].is_string()).unwrap();
    map["data"]["policy.yaml"].as_str().unwrap().to_owned()
}

#[test]
fn the_operator_s_own_default_is_the_chart_s() {
    assert_eq!(Policy::parse(&file(&render(&[]))).unwrap(), Policy::default());
    assert_eq!(Policy::parse(&file(&render(&["policy.profile=\"singleTeam\""]))).unwrap(), Policy::single_team());
}

#[test]
fn the_operator_reads_the_file_and_starts_anew_with_another_one() {
    let checksum = |values: &[&str]| {
        let rendered = render(values);
        let deployment = one(&rendered, "Deployment");
        let mounted = &deployment["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"];
        let map =
            of_kind(&rendered, "ConfigMap").into_iter().find(|map| map["data"]["policy.yaml"].is_string()).unwrap();
        assert_eq!(*mounted, map["metadata"]["name"]);
        assert!(container(&rendered)["args"].to_string().contains("--policy=/etc/slack-access-operator/policy.yaml"));
        deployment["spec"]["template"]["metadata"]["annotations"]["checksum/policy"].clone()
    };
    assert_ne!(checksum(&[]), checksum(&["policy.images=[\"mirror.example.com/*\"]"]));
}

#[test]
fn a_list_that_is_taken_away_allows_nothing() {
    let policy = file(&render(&["policy.secrets=null", "policy.slack.apiHosts=null", "policy.allow.labels=null"]));
    let none = Policy::parse("secrets: []\nslack: {apiHosts: []}").unwrap();
    assert_eq!(Policy::parse(&policy).unwrap(), none);
}

#[test]
fn admission_policies_are_rendered_where_the_cluster_has_them() {
    let kinds = |version: &str| {
        let rendered = super::try_render(&[], &["--kube-version", version]).unwrap();
        of_kind(&super::objects(&rendered), "ValidatingAdmissionPolicy").len()
    };
    assert_eq!((kinds("1.29.0"), kinds("1.30.0")), (0, 2));
    for switch in ["authors", "operator"] {
        let rendered = render(&[&format!("policy.admission.{switch}=false")]);
        assert_eq!(of_kind(&rendered, "ValidatingAdmissionPolicy").len(), 1, "{switch}");
        assert_eq!(of_kind(&rendered, "ValidatingAdmissionPolicyBinding").len(), 1, "{switch}");
    }
}

#[test]
fn the_policy_for_authors_holds_where_the_operator_watches() {
    let rendered = render(&[r#"watchNamespaces=["a","b"]"#]);
    let binding = |part: &str| {
        let named = |binding: &&Value| binding["metadata"]["name"] == format!("rel-slack-access-operator-ops-{part}");
        of_kind(&rendered, "ValidatingAdmissionPolicyBinding").into_iter().find(named).unwrap().clone()
    };
    let selected = &binding("authors")["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"][0];
    assert_eq!(selected["values"], serde_json::json!(["a", "b"]));
    assert!(binding("operator")["spec"]["matchResources"].is_null(), "the operator is confined everywhere");
}

/// Paths of every reference to an object of this kind below a schema.
fn references(schema: &Value, field: &str, path: &str, found: &mut Vec<String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        if name == field {
            found.push(format!("{path}.name"));
        }
        // Variables take nothing from Secrets: the definition refuses `valueFrom`.
        if name != "env" {
            references(property, field, &path, found);
        }
    }
}

/// A field that mounts a Secret and is forgotten here would be a hole in the admission policy.
#[test]
fn every_reference_of_the_definition_is_judged_at_admission() {
    use kube::CustomResourceExt as _;
    let definition = serde_json::to_value(SlackAccessPlugin::crd()).unwrap();
    let spec = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let template = text(format!("{}/templates/admission-authors.yaml", super::CHART));
    let secrets = template.split("- name: secrets").nth(1).unwrap().split("- name: refusedSecrets").next().unwrap();
    let mut found = Vec::new();
    references(spec, "secretRef", "object.spec", &mut found);
    assert!(found.len() >= 5, "{found:?}");
    for path in found {
        assert!(secrets.contains(&path), "templates/admission-authors.yaml does not judge the Secret {path}");
    }
    let mut found = Vec::new();
    references(spec, "configMapRef", "object.spec", &mut found);
    assert!(found.len() >= 2, "{found:?}");
    for path in found {
        assert!(template.contains(&path), "templates/admission-authors.yaml does not judge the ConfigMap {path}");
    }
}

#[test]
fn the_admission_policies_take_the_variables_that_the_definition_takes() {
    let names = slack_access_operator::crd::VARIABLES.map(|name| format!("'{name}'")).join(", ");
    for template in ["authors", "operator"] {
        let text = text(format!("{}/templates/admission-{template}.yaml", super::CHART));
        assert!(text.contains(&names), "{template}: {names}");
    }
}

#[test]
fn the_page_on_security_names_every_value_of_the_policy() {
    let page = text("docs/security.md");
    for value in super::documented().iter().filter(|value| value.starts_with("policy.")) {
        assert!(page.contains(&format!("`{value}`")), "docs/security.md does not name `{value}`");
    }
}
