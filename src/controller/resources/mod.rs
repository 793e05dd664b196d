//! Pure: [`Validated`] → the objects that make up a workload.

mod config_map;
mod deployment;
mod rbac;

use std::collections::BTreeMap;
use std::marker::PhantomData;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::admin::access::Authentication;
use crate::controller::validate::{Owner, Validated};
use crate::crd::SlackAccessPlugin;

pub(crate) use crate::controller::resources::deployment::CONTAINER;

/// The label by which the operator finds everything that it made.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// That label's value.
pub const MANAGED_BY: &str = "slack-access-operator";
/// The label that names the object for which something was made.
pub const PLUGIN_LABEL: &str = "slackaccess.dev/plugin";
/// The label that names what something is.
pub const NAME_LABEL: &str = "app.kubernetes.io/name";
/// That label's value.
pub const NAME: &str = "slack-access-worker";
/// The annotation with a digest of what was applied: tells without a request whether something else is wanted now.
pub const APPLIED_ANNOTATION: &str = "slackaccess.dev/applied";
/// The annotation of the pods that names the revision they were made from.
pub const REVISION_ANNOTATION: &str = "slackaccess.dev/revision";

/// The annotation of the pods with the UID of their ServiceAccount: one that was deleted and made anew refuses the tokens of the one
/// before, so that its pods have to be replaced.
pub const ACCOUNT_ANNOTATION: &str = "slackaccess.dev/service-account";

/// The annotation of the Deployment that names the policy under which it was made.
pub const POLICY_ANNOTATION: &str = "slackaccess.dev/policy";

/// Objects that are still to be applied.
#[derive(Debug)]
pub enum Prepared {}

/// Objects as the API server holds them.
#[derive(Debug)]
pub enum Applied {}

/// Everything that one `SlackAccessPlugin` needs. The marker tells whether the API server knows: a status can be derived from
/// [`Applied`] objects only.
#[derive(Debug)]
pub struct Resources<State> {
    /// The identity of the pods.
    pub service_account: ServiceAccount,
    /// What the pods may do: write the status of their own object.
    pub role: Role,
    /// Grants the role to the service account.
    pub role_binding: RoleBinding,
    /// The worker's configuration file.
    pub config_map: ConfigMap,
    /// The pods.
    pub deployment: Deployment,
    /// Keeps one worker running while nodes are drained; none for a single worker, since it would block the drain.
    pub disruption_budget: Option<PodDisruptionBudget>,
    /// Names configuration and pods: what a worker reports back as `configHash`.
    pub revision: String,
    /// See [`Prepared`] and [`Applied`].
    pub state: PhantomData<State>,
}

/// Why an object could not be rendered: never for one that was validated.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An object has no JSON form.
    #[error("failed to render an object: {0}")]
    Json(#[from] serde_json::Error),
}

/// What an installation asks of every worker's pod, whatever its object says.
#[derive(Clone, Debug, Default)]
pub struct WorkerPods {
    /// What readers of `/metrics` have to show.
    pub metrics_authentication: Authentication,
    /// A seccomp profile on the nodes, by its path below the kubelet's folder of profiles; the runtime's own when absent.
    pub seccomp_profile: Option<String>,
}

/// Builds everything. `default_image` is used where the object does not name one; `policy` names the rules that it keeps to.
pub fn build(
    validated: &Validated,
    default_image: &str,
    worker_pods: &WorkerPods,
    policy: &str,
) -> Result<Resources<Prepared>, Error> {
    let Validated { owner, suspend: _, config: _, file, mounts: _, join_token: _, pods } = validated;
    let config_map = config_map::build(owner, file.clone());
    let mut deployment = deployment::build(validated, config_map.name_any(), default_image, worker_pods);
    let revision = revision(&deployment)?;
    deployment::stamp(&mut deployment, &revision);
    // No part of the pods: another policy under which the same is allowed replaces none.
    deployment.metadata.annotations.get_or_insert_default().insert(POLICY_ANNOTATION.to_owned(), policy.to_owned());
    Ok(Resources {
        service_account: stamped(rbac::service_account(owner, &pods.written.service_account))?,
        role: stamped(rbac::role(owner))?,
        role_binding: stamped(rbac::role_binding(owner))?,
        config_map: stamped(config_map)?,
        deployment: stamped(deployment)?,
        disruption_budget: deployment::disruption_budget(owner, pods.written.replicas).map(stamped).transpose()?,
        revision,
        state: PhantomData,
    })
}

/// Ties the pods to the ServiceAccount as it is there: its UID is known only once it has been applied. No part of the revision: what
/// the pods run with is the same.
pub fn bound_to(account: &ServiceAccount, mut deployment: Deployment) -> Result<Deployment, Error> {
    if let Some(uid) = account.uid() {
        deployment::annotate(&mut deployment, ACCOUNT_ANNOTATION, uid);
    }
    Ok(stamped(deployment)?)
}

/// The name of everything that belongs to one object; that of its ConfigMap goes on with a digest.
#[must_use]
pub fn child_name(owner: &Owner) -> String {
    format!("slack-access-{}", owner.name)
}

/// Names what the pods run with: the template, and with it the map of the configuration, which is named after its text. The number
/// of replicas is not part of it: scaling replaces no pod.
fn revision(deployment: &Deployment) -> Result<String, serde_json::Error> {
    let template = deployment.spec.as_ref().map(|spec| &spec.template);
    Ok(digest([serde_json::to_vec(&template)?.as_slice()]))
}

/// A short name for what `parts` hold together.
pub(super) fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        hash.update([0]);
    }
    let start = hash.finalize().iter().take(8).fold(0_u64, |start, byte| start << 8 | u64::from(*byte));
    format!("{start:016x}")
}

/// Writes the digest of the object into the object.
fn stamped<K: Resource<DynamicType = ()> + Serialize>(mut object: K) -> Result<K, serde_json::Error> {
    let digest = digest([serde_json::to_vec(&object)?.as_slice()]);
    object.meta_mut().annotations.get_or_insert_default().insert(APPLIED_ANNOTATION.to_owned(), digest);
    Ok(object)
}

/// Labels that never change: they select the pods.
fn selector(owner: &Owner) -> BTreeMap<String, String> {
    BTreeMap::from([(NAME_LABEL.to_owned(), NAME.to_owned()), (PLUGIN_LABEL.to_owned(), owner.name.clone())])
}

fn labels(owner: &Owner) -> BTreeMap<String, String> {
    let mut labels = selector(owner);
    labels.insert(MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned());
    labels.insert("app.kubernetes.io/instance".to_owned(), owner.name.clone());
    labels.insert("app.kubernetes.io/component".to_owned(), "worker".to_owned());
    labels
}

fn metadata(owner: &Owner) -> ObjectMeta {
    ObjectMeta {
        name: Some(child_name(owner)),
        namespace: Some(owner.namespace.clone()),
        labels: Some(labels(owner)),
        // Without `blockOwnerDeletion`, which would need a further permission on clusters that check it.
        owner_references: Some(vec![OwnerReference {
            api_version: SlackAccessPlugin::api_version(&()).into_owned(),
            kind: SlackAccessPlugin::kind(&()).into_owned(),
            name: owner.name.clone(),
            uid: owner.uid.clone(),
            controller: Some(true),
            block_owner_deletion: None,
        }]),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests;
