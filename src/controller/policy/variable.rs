//! Environment variables of a worker: few names, and values that say what they say. No policy allows others: a variable can name a
//! library to load, take a value from any Secret, or replace a setting of the spec.

use k8s_openapi::api::core::v1::EnvVar;

use crate::controller::validate::Rejection;
use crate::crd::{CERTIFICATE_FOLDERS, VARIABLES};

/// What is wrong with each.
pub(super) fn check(variables: &[EnvVar]) -> Vec<Rejection> {
    let wrong = variables.iter().enumerate().filter_map(|(index, variable)| {
        problem(variable).map(|problem| Rejection::new(format!("spec.workload.env[{index}]"), problem))
    });
    wrong.collect()
}

/// Whether a proxy variable is set, in either case.
pub(super) fn sets_proxy(variables: &[EnvVar], name: &str) -> bool {
    variables.iter().any(|variable| {
        variable.name.eq_ignore_ascii_case(name) && variable.value.as_ref().is_some_and(|value| !value.is_empty())
    })
}

fn problem(variable: &EnvVar) -> Option<String> {
    let EnvVar { name, value, value_from } = variable;
    let value = value.as_deref().unwrap_or_default();
    if !VARIABLES.contains(&name.as_str()) {
        return Some(format!("{name} may not be set; a worker takes {}", VARIABLES.join(", ")));
    }
    if value_from.is_some() {
        return Some(format!(
            "{name} must have a literal value: a worker takes no variable from a Secret or a ConfigMap"
        ));
    }
    if value.contains("$(") {
        return Some(format!("{name} must have a literal value: `$(` would insert another variable"));
    }
    let is_system_path = || {
        CERTIFICATE_FOLDERS.iter().any(|folder| value.starts_with(folder)) && !value.split('/').any(|part| part == "..")
    };
    if name == "SSL_CERT_FILE" && !is_system_path() {
        return Some(format!(
            "SSL_CERT_FILE must be a file of the image, below {}; for other authorities use caBundle",
            CERTIFICATE_FOLDERS.join(" or ")
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn problem_of(variable: Value) -> Option<String> {
        problem(&serde_json::from_value(variable).unwrap())
    }

    #[test]
    fn a_proxy_and_a_time_zone_are_taken() {
        for (name, value) in [
            ("HTTPS_PROXY", "http://user:word@proxy.example:3128"),
            ("no_proxy", "10.0.0.0/8,fd00::/8,.svc"),
            ("SSL_CERT_FILE", "/etc/ssl/certs/company.pem"),
            ("TZ", "Europe/Berlin"),
            ("RUST_LOG", "debug"),
        ] {
            assert_eq!(problem_of(json!({"name": name, "value": value})), None, "{name}");
        }
        assert_eq!(problem_of(json!({"name": "HTTP_PROXY"})), None, "empty takes a proxy away");
    }

    #[test]
    fn whatever_could_load_code_or_take_a_secret_is_refused() {
        for name in
            ["LD_PRELOAD", "KUBECONFIG", "TELEPORT_SLACK_SLACK_API_URL", "KUBERNETES_SERVICE_HOST", "https_Proxy"]
        {
            assert!(problem_of(json!({"name": name, "value": "x"})).unwrap().starts_with(name), "{name}");
        }
        let from = json!({"name": "HTTPS_PROXY", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}});
        assert!(problem_of(from).unwrap().contains("literal value"));
        let inserted = json!({"name": "HTTPS_PROXY", "value": "http://$(PW):x@proxy"});
        assert!(problem_of(inserted).unwrap().contains("literal value"));
    }

    #[test]
    fn authorities_of_the_whole_process_come_with_the_image() {
        for path in [
            "/var/run/slack-access-operator/configmaps/evil/ca.crt",
            "/etc/ssl/../../var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
            "/proc/self/environ",
            "ca.crt",
            "",
        ] {
            let said = problem_of(json!({"name": "SSL_CERT_FILE", "value": path}));
            assert!(said.is_some_and(|said| said.contains("use caBundle")), "{path}");
        }
    }
}
