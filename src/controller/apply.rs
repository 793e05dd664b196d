//! Writes what `build` made, where it is not there already, and takes away what is not wanted any more.

use std::fmt::Debug;
use std::marker::PhantomData;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::controller::cache::Observed;
use crate::controller::drift::{self, Belonging, Step, Written};
use crate::controller::error::Error;
use crate::controller::object_state::Memory;
use crate::controller::resources::{self, Applied, POLICY_ANNOTATION, Prepared, Resources};
use crate::controller::rollout;
use crate::controller::validate::Owner;

/// The name under which the controller owns fields.
pub const FIELD_MANAGER: &str = "slack-access-operator/controller";

/// Brings everything into being, what others depend on first.
pub async fn apply(
    client: &Client,
    memory: &Memory,
    owner: &Owner,
    wanted: Resources<Prepared>,
    observed: &Observed,
) -> Result<Resources<Applied>, Error> {
    // Without `..`: a further kind does not compile until it is dealt with here.
    let Resources {
        service_account,
        role,
        role_binding,
        config_map,
        deployment,
        disruption_budget,
        revision,
        state: PhantomData,
    } = wanted;
    let Observed { service_accounts, roles, role_bindings, config_maps, deployments, disruption_budgets, pods: _ } =
        observed;
    let writer = Writer { client, memory, owner };
    let service_account = writer.ensure(service_account, service_accounts).await?;
    let deployment = resources::bound_to(&service_account, deployment)?;
    let applied = Resources {
        service_account,
        role: writer.ensure(role, roles).await?,
        role_binding: writer.ensure(role_binding, role_bindings).await?,
        config_map: writer.ensure(config_map, config_maps).await?,
        deployment: writer.ensure(deployment, deployments).await?,
        disruption_budget: match disruption_budget {
            Some(budget) => Some(writer.ensure(budget, disruption_budgets).await?),
            None => None,
        },
        revision,
        state: PhantomData,
    };
    writer.prune(Some(&applied.service_account), service_accounts).await?;
    writer.prune(Some(&applied.role), roles).await?;
    writer.prune(Some(&applied.role_binding), role_bindings).await?;
    // Until then, a pod of an earlier revision may have to be started anew.
    if rollout::is_rolled_out(&applied.deployment, &applied.revision) {
        writer.prune(Some(&applied.config_map), config_maps).await?;
    }
    writer.prune(Some(&applied.deployment), deployments).await?;
    writer.prune(applied.disruption_budget.as_ref(), disruption_budgets).await?;
    Ok(applied)
}

/// Stops a worker whose object breaks the policy, unless it was made under this very policy: then it runs what was allowed, and the
/// refused change alone is without effect.
pub async fn stop(
    client: &Client,
    memory: &Memory,
    owner: &Owner,
    policy: &str,
    observed: &Observed,
) -> Result<(), Error> {
    let is_allowed = |deployment: &&Deployment| {
        deployment.annotations().get(POLICY_ANNOTATION).is_some_and(|made_under| made_under == policy)
    };
    let allowed = observed.deployments.iter().find(is_allowed);
    Writer { client, memory, owner }.prune(allowed, &observed.deployments).await
}

struct Writer<'a> {
    client: &'a Client,
    memory: &'a Memory,
    owner: &'a Owner,
}

/// What is asked of a kind here.
trait Child:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize
{
}

impl<K> Child for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize
{
}

impl Writer<'_> {
    /// The object as it is wanted: as it was seen if nothing is to be done, else as the API server answered.
    async fn ensure<K: Child>(&self, wanted: K, seen: &[K]) -> Result<K, Error> {
        let name = wanted.name_any();
        let written = self.memory.written(&self.owner.uid, &K::kind(&()));
        let seen = seen.iter().find(|object| object.name_any() == name);
        let (step, uid) = if let Some(seen) = seen {
            (drift::step(&wanted, seen, self.owner, written.as_ref()).map_err(resources::Error::from)?, seen.uid())
        } else {
            self.look(&wanted, &name, written.as_ref()).await?
        };
        match step {
            Step::Keep => Ok(seen.cloned().unwrap_or_else(|| {
                let mut kept = wanted;
                kept.meta_mut().uid = uid;
                kept
            })),
            Step::Apply => self.write(&name, &wanted).await,
            Step::AwaitPredecessor => Err(Error::PredecessorRemains { kind: K::kind(&()).into_owned(), name }),
            Step::Refuse => Err(Error::NameTaken { kind: K::kind(&()).into_owned(), name }),
        }
    }

    /// The caches hold only what carries our label. Before something is written where they show nothing, what stands there
    /// is asked for: server-side apply would merge into somebody else's object. Its UID goes with the answer.
    async fn look<K: Child>(
        &self,
        wanted: &K,
        name: &str,
        written: Option<&Written>,
    ) -> Result<(Step, Option<String>), Error> {
        // A list of one: `list` is a right that the watches need anyway, `get` would be a further one.
        let only = ListParams::default().fields(&format!("metadata.name={name}"));
        let found = self.api::<K>().list_metadata(&only).await.map_err(|error| failed::<K>("read", name, error))?;
        let Some(there) = found.items.into_iter().next().map(|object| object.metadata) else {
            return Ok((Step::Apply, None));
        };
        let step = match drift::belonging(&there, self.owner) {
            // Written a moment ago, and not in the caches yet.
            Belonging::Ours if written.is_some_and(|written| written.is(&there, drift::digest_of(wanted.meta()))) => {
                Step::Keep
            }
            Belonging::Ours => Step::Apply,
            Belonging::Predecessors => Step::AwaitPredecessor,
            Belonging::Others => Step::Refuse,
        };
        Ok((step, there.uid))
    }

    async fn write<K: Child>(&self, name: &str, wanted: &K) -> Result<K, Error> {
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let result = self
            .api::<K>()
            .patch(name, &parameters, &Patch::Apply(wanted))
            .await
            .map_err(|error| failed::<K>("apply", name, error))?;
        tracing::info!(kind = %K::kind(&()), name, namespace = self.owner.namespace, "Applied an object");
        if let (Some(digest), Some(resource_version)) = (drift::digest_of(wanted.meta()), result.resource_version()) {
            let written = Written { digest: digest.to_owned(), resource_version };
            self.memory.note_written(&self.owner.uid, &K::kind(&()), written);
        }
        Ok(result)
    }

    /// Deletes what this object owns, and what one of its name left behind, beside the one that is wanted.
    async fn prune<K: Child>(&self, wanted: Option<&K>, seen: &[K]) -> Result<(), Error> {
        for object in seen {
            let name = object.name_any();
            if wanted.is_some_and(|wanted| wanted.name_any() == name)
                || drift::belonging(object.meta(), self.owner) != Belonging::Ours
                || object.meta().deletion_timestamp.is_some()
            {
                continue;
            }
            let parameters =
                DeleteParams::background().preconditions(Preconditions { uid: object.uid(), resource_version: None });
            match self.api::<K>().delete(&name, &parameters).await {
                Ok(_) => {
                    tracing::info!(kind = %K::kind(&()), name, namespace = self.owner.namespace, "Deleted an object that is not wanted any more");
                }
                // Gone, or replaced meanwhile: the next view of the cluster tells.
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                Err(error) => return Err(failed::<K>("delete", &name, error)),
            }
        }
        Ok(())
    }

    fn api<K: Child>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.owner.namespace)
    }
}

fn failed<K: Resource<DynamicType = ()>>(action: &'static str, name: &str, source: kube::Error) -> Error {
    Error::Kube { action, kind: K::kind(&()).into_owned(), name: name.to_owned(), source: Box::new(source) }
}
