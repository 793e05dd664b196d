//! The pods, and what protects them from being drained all at once.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction,
    KeyToPath, LocalObjectReference, ObjectFieldSelector, PodAffinityTerm, PodAntiAffinity, PodSecurityContext,
    PodSpec, PodTemplateSpec, Probe, ProjectedVolumeSource, ResourceRequirements, SeccompProfile, SecretVolumeSource,
    SecurityContext, ServiceAccountTokenProjection, Volume, VolumeMount, VolumeProjection, WeightedPodAffinityTerm,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::admin::access::Authentication;
use crate::config::paths::{
    CONFIG_DIR, CONFIG_FILE, DIAG_PORT, JOIN_TOKEN_DIR, JOIN_TOKEN_FILE, POD_NAME_VARIABLE, REVISION_VARIABLE, Source,
};
use crate::controller::resources::{REVISION_ANNOTATION, WorkerPods, child_name, digest, labels, metadata, selector};
use crate::controller::validate::{JoinToken, MountedKey, Owner, Pods, Validated};
use crate::crd::quantity::Amount;
use crate::crd::{self, ImagePullPolicy};

/// The container's name: what `kubectl logs -c` takes.
pub(crate) const CONTAINER: &str = "worker";
/// The name of the port of `/livez`, `/readyz` and `/metrics`.
const PORT: &str = "diag";
/// How long a rollout may make no progress before it is called stuck, in seconds.
const PROGRESS_DEADLINE: i32 = 120;
/// How long a worker has to hand over what is in flight, in seconds.
const GRACE_PERIOD: i64 = 30;
/// The volume with the ServiceAccount token for joining Teleport.
const JOIN_VOLUME: &str = "teleport-join";
/// How long that token lives, in seconds: the least that Kubernetes allows. Teleport takes no more than 30 minutes.
const JOIN_TOKEN_SECONDS: i64 = 600;

/// The Deployment, with the configuration that this map holds; [`stamp`] completes it.
pub(super) fn build(
    validated: &Validated,
    config_map: String,
    default_image: &str,
    worker_pods: &WorkerPods,
) -> Deployment {
    let Validated { owner, suspend, config: _, file: _, mounts, join_token, pods } = validated;
    let (mut volumes, mut volume_mounts) = volumes(config_map, mounts);
    if let Some(token) = join_token {
        volumes.push(join_volume(token));
        volume_mounts.push(mount(JOIN_VOLUME, JOIN_TOKEN_DIR.to_owned()));
    }
    Deployment {
        metadata: metadata(owner),
        spec: Some(DeploymentSpec {
            replicas: Some(if *suspend { 0 } else { pods.written.replicas }),
            selector: label_selector(owner),
            // The new worker is ready before the old one goes: compare-and-swap keeps the two from posting twice.
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_unavailable: Some(IntOrString::Int(0)),
                    max_surge: Some(IntOrString::Int(1)),
                }),
            }),
            revision_history_limit: Some(2),
            progress_deadline_seconds: Some(PROGRESS_DEADLINE),
            template: template(
                owner,
                pods,
                worker_pods,
                volumes,
                container(pods, worker_pods, volume_mounts, default_image),
            ),
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

/// Names the revision in the pods, so that another one replaces them, and tells it to the worker.
pub(super) fn stamp(deployment: &mut Deployment, revision: &str) {
    annotate(deployment, REVISION_ANNOTATION, revision.to_owned());
    let pod = deployment.spec.as_mut().and_then(|spec| spec.template.spec.as_mut());
    for container in pod.into_iter().flat_map(|pod| &mut pod.containers) {
        container.env.get_or_insert_default().push(EnvVar {
            name: REVISION_VARIABLE.to_owned(),
            value: Some(revision.to_owned()),
            value_from: None,
        });
    }
}

/// Annotates the pods: another value replaces them.
pub(super) fn annotate(deployment: &mut Deployment, name: &str, value: String) {
    let Some(template) = deployment.spec.as_mut().map(|spec| &mut spec.template) else { return };
    let metadata = template.metadata.get_or_insert_default();
    metadata.annotations.get_or_insert_default().insert(name.to_owned(), value);
}

/// Lets nodes be drained one worker at a time; `None` for a single worker, whose node could not be drained at all.
pub(super) fn disruption_budget(owner: &Owner, replicas: i32) -> Option<PodDisruptionBudget> {
    (replicas > 1).then(|| PodDisruptionBudget {
        metadata: metadata(owner),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(label_selector(owner)),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    })
}

fn label_selector(owner: &Owner) -> LabelSelector {
    LabelSelector { match_labels: Some(selector(owner)), match_expressions: None }
}

fn template(
    owner: &Owner,
    pods: &Pods,
    worker_pods: &WorkerPods,
    volumes: Vec<Volume>,
    container: Container,
) -> PodTemplateSpec {
    let written = &pods.written;
    let mut pod_labels = written.labels.clone();
    pod_labels.extend(labels(owner));
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(pod_labels),
            annotations: Some(written.annotations.clone()).filter(|annotations| !annotations.is_empty()),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            service_account_name: Some(child_name(owner)),
            automount_service_account_token: Some(true),
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(GRACE_PERIOD),
            // No user id: the image's own is taken, and OpenShift hands out its own.
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                seccomp_profile: Some(seccomp_profile(worker_pods)),
                ..PodSecurityContext::default()
            }),
            containers: vec![container],
            volumes: Some(volumes),
            image_pull_secrets: some(
                written.image_pull_secrets.iter().map(|secret| LocalObjectReference { name: secret.name.clone() }),
            ),
            node_selector: Some(written.node_selector.clone()).filter(|labels| !labels.is_empty()),
            tolerations: some(written.tolerations.iter().cloned()),
            // Also for a single replica, so that scaling up does not replace it.
            affinity: Some(pods.affinity.clone().unwrap_or_else(|| spread_over_nodes(owner))),
            topology_spread_constraints: some(pods.spread.iter().cloned().map(|mut constraint| {
                constraint.label_selector.get_or_insert_with(|| label_selector(owner));
                constraint
            })),
            priority_class_name: written.priority_class_name.clone(),
            ..PodSpec::default()
        }),
    }
}

fn seccomp_profile(worker_pods: &WorkerPods) -> SeccompProfile {
    match &worker_pods.seccomp_profile {
        Some(path) => SeccompProfile { type_: "Localhost".to_owned(), localhost_profile: Some(path.clone()) },
        None => SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None },
    }
}

fn arguments(worker_pods: &WorkerPods) -> Vec<String> {
    let mut arguments = vec!["worker".to_owned(), "--config".to_owned(), format!("{CONFIG_DIR}/{CONFIG_FILE}")];
    match worker_pods.metrics_authentication {
        Authentication::None => {}
        Authentication::Kubernetes => arguments.push("--metrics-auth=kubernetes".to_owned()),
    }
    arguments
}

fn container(pods: &Pods, worker_pods: &WorkerPods, volume_mounts: Vec<VolumeMount>, default_image: &str) -> Container {
    let written = &pods.written;
    let mut env = written.env.clone();
    env.push(EnvVar {
        name: POD_NAME_VARIABLE.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: Some("v1".to_owned()),
                field_path: "metadata.name".to_owned(),
            }),
            ..EnvVarSource::default()
        }),
    });
    Container {
        name: CONTAINER.to_owned(),
        image: Some(written.image.clone().unwrap_or_else(|| default_image.to_owned())),
        image_pull_policy: written.image_pull_policy.map(ImagePullPolicy::as_str).map(str::to_owned),
        args: Some(arguments(worker_pods)),
        env: Some(env),
        ports: Some(vec![ContainerPort {
            name: Some(PORT.to_owned()),
            container_port: i32::from(DIAG_PORT),
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        readiness_probe: Some(probe("/readyz", 3, 3)),
        liveness_probe: Some(probe("/livez", 10, 6)),
        resources: Some(written.resources.as_ref().map_or_else(default_resources, resources)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            ..SecurityContext::default()
        }),
        // What the worker says last when it cannot run at all becomes readable in the pod's status.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(volume_mounts),
        ..Container::default()
    }
}

fn probe(path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(PORT.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(3),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

/// Enough for a worker with thousands of requests; no CPU limit, which would only slow it down in a burst.
fn default_resources() -> ResourceRequirements {
    let quantities = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, amount)| ((*name).to_owned(), Quantity((*amount).to_owned()))).collect()
    };
    ResourceRequirements {
        requests: Some(quantities(&[("cpu", "10m"), ("memory", "32Mi")])),
        limits: Some(quantities(&[("memory", "128Mi")])),
        claims: None,
    }
}

fn resources(written: &crd::Resources) -> ResourceRequirements {
    let quantities = |amounts: &BTreeMap<String, Amount>| {
        Some(amounts.iter().map(|(name, amount)| (name.clone(), amount.into())).collect())
            .filter(|amounts: &BTreeMap<String, Quantity>| !amounts.is_empty())
    };
    ResourceRequirements { requests: quantities(&written.requests), limits: quantities(&written.limits), claims: None }
}

/// Every volume but the configuration may be missing: the worker then starts all the same, says what is missing, and takes it up
/// when it appears.
fn volumes(config_map: String, mounts: &BTreeMap<Source, Vec<MountedKey>>) -> (Vec<Volume>, Vec<VolumeMount>) {
    let mut volumes = vec![Volume {
        name: "config".to_owned(),
        config_map: Some(ConfigMapVolumeSource { name: config_map, ..ConfigMapVolumeSource::default() }),
        ..Volume::default()
    }];
    let mut volume_mounts = vec![mount("config", CONFIG_DIR.to_owned())];
    for (source, keys) in mounts {
        let items = keys
            .iter()
            .map(|MountedKey { key, file }| KeyToPath { key: key.clone(), path: file.clone(), mode: None })
            .collect();
        let volume = match source {
            Source::Secret(name) => Volume {
                name: format!("secret-{}", digest([name.as_bytes()])),
                secret: Some(SecretVolumeSource {
                    secret_name: Some(name.clone()),
                    items: Some(items),
                    optional: Some(true),
                    default_mode: None,
                }),
                ..Volume::default()
            },
            Source::ConfigMap(name) => Volume {
                name: format!("configmap-{}", digest([name.as_bytes()])),
                config_map: Some(ConfigMapVolumeSource {
                    name: name.clone(),
                    items: Some(items),
                    optional: Some(true),
                    default_mode: None,
                }),
                ..Volume::default()
            },
        };
        volume_mounts.push(mount(&volume.name, source.folder().display().to_string()));
        volumes.push(volume);
    }
    (volumes, volume_mounts)
}

/// A token that Kubernetes makes for this pod alone, and renews when 80 % of its time are over.
fn join_volume(token: &JoinToken) -> Volume {
    let projection = ServiceAccountTokenProjection {
        audience: token.audience.clone(),
        expiration_seconds: Some(JOIN_TOKEN_SECONDS),
        path: JOIN_TOKEN_FILE.to_owned(),
    };
    Volume {
        name: JOIN_VOLUME.to_owned(),
        projected: Some(ProjectedVolumeSource {
            sources: Some(vec![VolumeProjection {
                service_account_token: Some(projection),
                ..VolumeProjection::default()
            }]),
            default_mode: None,
        }),
        ..Volume::default()
    }
}

fn mount(volume: &str, path: String) -> VolumeMount {
    VolumeMount { name: volume.to_owned(), mount_path: path, read_only: Some(true), ..VolumeMount::default() }
}

fn spread_over_nodes(owner: &Owner) -> Affinity {
    Affinity {
        pod_anti_affinity: Some(PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![WeightedPodAffinityTerm {
                weight: 100,
                pod_affinity_term: PodAffinityTerm {
                    label_selector: Some(label_selector(owner)),
                    topology_key: "kubernetes.io/hostname".to_owned(),
                    ..PodAffinityTerm::default()
                },
            }]),
            ..PodAntiAffinity::default()
        }),
        ..Affinity::default()
    }
}

/// A list, or nothing: what was never set is left to other field managers.
fn some<T>(items: impl Iterator<Item = T>) -> Option<Vec<T>> {
    let items: Vec<T> = items.collect();
    (!items.is_empty()).then_some(items)
}
