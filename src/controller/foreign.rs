//! Pure: what is in a worker's pod that the operator did not put there. Someone with rights to Deployments or pods, or a webhook of the
//! cluster, may add it; the operator leaves it and says it, since it runs beside the credentials.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, EnvVar, EphemeralContainer, Pod, PodSpec};

use crate::config::paths::{POD_NAME_VARIABLE, REVISION_VARIABLE};
use crate::controller::resources::CONTAINER;
use crate::crd::VARIABLES;

/// The part of a pod's spec that [`found`] looks at; a fraction of the whole, for the cache.
pub(super) fn essence(spec: PodSpec) -> PodSpec {
    let slim = |container: Container| Container {
        name: container.name,
        command: container.command,
        env: container.env.map(|env| {
            env.into_iter()
                .filter(is_foreign)
                .map(|variable| EnvVar { name: variable.name, ..EnvVar::default() })
                .collect()
        }),
        ..Container::default()
    };
    let name_only = |container: Container| Container { name: container.name, ..Container::default() };
    PodSpec {
        containers: spec.containers.into_iter().map(slim).collect(),
        init_containers: spec.init_containers.map(|containers| containers.into_iter().map(name_only).collect()),
        ephemeral_containers: spec.ephemeral_containers.map(|containers| {
            let name_only = |container: EphemeralContainer| EphemeralContainer {
                name: container.name,
                ..EphemeralContainer::default()
            };
            containers.into_iter().map(name_only).collect()
        }),
        host_pid: spec.host_pid,
        host_network: spec.host_network,
        host_ipc: spec.host_ipc,
        share_process_namespace: spec.share_process_namespace,
        ..PodSpec::default()
    }
}

fn is_foreign(variable: &EnvVar) -> bool {
    let name = variable.name.as_str();
    !VARIABLES.contains(&name) && ![POD_NAME_VARIABLE, REVISION_VARIABLE].contains(&name)
}

/// What the pods of one object have beside what the operator made, in words, sorted.
pub(super) fn found(pods: &[Pod]) -> BTreeSet<String> {
    pods.iter().filter_map(|pod| pod.spec.as_ref()).flat_map(in_pod).collect()
}

fn in_pod(spec: &PodSpec) -> Vec<String> {
    let sharing = [
        ("hostPID", spec.host_pid),
        ("hostNetwork", spec.host_network),
        ("hostIPC", spec.host_ipc),
        ("shareProcessNamespace", spec.share_process_namespace),
    ];
    let sharing = sharing.into_iter().filter(|(_, set)| *set == Some(true)).map(|(field, _)| field.to_owned());
    let containers = spec.containers.iter().map(|container| &container.name).filter(|name| *name != CONTAINER);
    let init = spec.init_containers.iter().flatten().map(|container| &container.name);
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|container| &container.name);
    let others = containers.chain(init).chain(ephemeral).map(|name| format!("container `{name}`"));
    let worker = spec.containers.iter().find(|container| container.name == CONTAINER);
    let command =
        worker.filter(|worker| worker.command.is_some()).map(|_| format!("`command` of container `{CONTAINER}`"));
    let variables =
        worker.into_iter().flat_map(|worker| worker.env.iter().flatten()).filter(|variable| is_foreign(variable));
    let variables = variables.map(|variable| format!("variable `{}`", variable.name));
    sharing.chain(others).chain(command).chain(variables).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn said(spec: Value) -> Vec<String> {
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        let pod = Pod { spec: Some(essence(spec)), ..Pod::default() };
        found(&[pod.clone(), pod]).into_iter().collect()
    }

    #[test]
    fn a_pod_as_the_operator_made_it_has_nothing_foreign() {
        let env = json!([{"name": "SLACK_ACCESS_OPERATOR_POD"}, {"name": "HTTPS_PROXY", "value": "http://p"}]);
        assert!(said(json!({"containers": [{"name": "worker", "image": "x", "env": env}]})).is_empty());
    }

    #[test]
    fn what_others_put_beside_the_credentials_is_named_once() {
        let spec = json!({
            "hostPID": true,
            "shareProcessNamespace": true,
            "initContainers": [{"name": "istio-init"}],
            "ephemeralContainers": [{"name": "debugger"}],
            "containers": [
                {"name": "worker", "command": ["/bin/sh"], "env": [{"name": "LD_PRELOAD", "value": "/x.so"}]},
                {"name": "istio-proxy"},
            ],
        });
        assert_eq!(
            said(spec),
            [
                "`command` of container `worker`",
                "container `debugger`",
                "container `istio-init`",
                "container `istio-proxy`",
                "hostPID",
                "shareProcessNamespace",
                "variable `LD_PRELOAD`",
            ]
        );
    }
}
