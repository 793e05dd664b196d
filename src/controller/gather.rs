//! What is known of the cluster: slim caches of the objects that the operator made, fed by watches.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::stream::{self, BoxStream, StreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::core::DeserializeGuard;
use kube::runtime::controller::{ReconcileRequest, trigger_owners, trigger_self, trigger_with};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::build::{MANAGED_BY, MANAGED_BY_LABEL, PLUGIN_LABEL, child_name};
use super::validate::Owner;
use crate::crd::SlackAccessPlugin;

/// An object that may not fit its definition; one that does not must not hold up the others.
pub type Plugin = DeserializeGuard<SlackAccessPlugin>;

/// Where objects are watched: one namespace, or all of them.
pub type Scope = Option<String>;

/// Requests to reconcile, from every watch.
pub type Queue = BoxStream<'static, Result<ReconcileRequest<Plugin>, watcher::Error>>;

/// Reading sides of the caches.
pub struct Caches {
    /// The objects that users write.
    pub plugins: Store<Plugin>,
    service_accounts: Store<ServiceAccount>,
    roles: Store<Role>,
    role_bindings: Store<RoleBinding>,
    config_maps: Store<ConfigMap>,
    deployments: Store<Deployment>,
    disruption_budgets: Store<PodDisruptionBudget>,
    pods: Store<Pod>,
}

/// What was seen of one object's workload.
#[derive(Debug, Default)]
pub struct Observed {
    /// What is there of each kind, wanted or not.
    pub service_accounts: Vec<Arc<ServiceAccount>>,
    /// Likewise.
    pub roles: Vec<Arc<Role>>,
    /// Likewise.
    pub role_bindings: Vec<Arc<RoleBinding>>,
    /// Likewise.
    pub config_maps: Vec<Arc<ConfigMap>>,
    /// Likewise.
    pub deployments: Vec<Arc<Deployment>>,
    /// Likewise.
    pub disruption_budgets: Vec<Arc<PodDisruptionBudget>>,
    /// The pods.
    pub pods: Vec<Arc<Pod>>,
}

impl Caches {
    /// Starts every watch of a scope. Nothing happens until the queue is polled.
    pub fn watch(client: &Client, scope: &Scope) -> (Self, Queue) {
        let (plugins, plugin_events) = plugins(client, scope);
        let (service_accounts, account_events) = owned::<ServiceAccount>(client, scope);
        let (roles, role_events) = owned::<Role>(client, scope);
        let (role_bindings, binding_events) = owned::<RoleBinding>(client, scope);
        let (config_maps, map_events) = owned::<ConfigMap>(client, scope);
        let (deployments, deployment_events) = owned::<Deployment>(client, scope);
        let (disruption_budgets, budget_events) = owned::<PodDisruptionBudget>(client, scope);
        let (pods, pod_events) = pods(client, scope);
        let queue = stream::select_all([
            plugin_events,
            account_events,
            role_events,
            binding_events,
            map_events,
            deployment_events,
            budget_events,
            pod_events,
        ]);
        let caches = Self {
            plugins,
            service_accounts,
            roles,
            role_bindings,
            config_maps,
            deployments,
            disruption_budgets,
            pods,
        };
        (caches, queue.boxed())
    }

    /// Waits until every cache has been filled once.
    pub async fn filled(&self) -> Result<(), reflector::store::WriterDropped> {
        let Self {
            plugins,
            service_accounts,
            roles,
            role_bindings,
            config_maps,
            deployments,
            disruption_budgets,
            pods,
        } = self;
        plugins.wait_until_ready().await?;
        service_accounts.wait_until_ready().await?;
        roles.wait_until_ready().await?;
        role_bindings.wait_until_ready().await?;
        config_maps.wait_until_ready().await?;
        deployments.wait_until_ready().await?;
        disruption_budgets.wait_until_ready().await?;
        pods.wait_until_ready().await
    }

    /// Whether every cache has been filled once: before that, what is not seen may be there all the same.
    pub fn are_filled(&self) -> bool {
        self.filled().now_or_never().is_some_and(|filled| filled.is_ok())
    }

    /// Everything that is there for one object.
    pub fn gather(&self, owner: &Owner) -> Observed {
        Observed {
            service_accounts: found(&self.service_accounts, owner),
            roles: found(&self.roles, owner),
            role_bindings: found(&self.role_bindings, owner),
            config_maps: found(&self.config_maps, owner),
            deployments: found(&self.deployments, owner),
            disruption_budgets: found(&self.disruption_budgets, owner),
            pods: self.pods.state_filter(|pod| is_for(pod, owner)),
        }
    }
}

/// By its owner, by its label, or by standing where ours will stand.
fn found<K>(store: &Store<K>, owner: &Owner) -> Vec<Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let name = child_name(owner);
    store.state_filter(|object| {
        let metadata = object.meta();
        metadata.namespace.as_deref() == Some(&owner.namespace)
            && (metadata.name.as_deref() == Some(&name)
                || metadata.owner_references.iter().flatten().any(|reference| reference.uid == owner.uid))
    })
}

fn is_for(pod: &Pod, owner: &Owner) -> bool {
    pod.metadata.namespace.as_deref() == Some(&owner.namespace) && pod.labels().get(PLUGIN_LABEL) == Some(&owner.name)
}

fn api<K>(client: &Client, scope: &Scope) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match scope {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Small pages: a page is held in memory several times over while it is being read.
fn pages() -> watcher::Config {
    watcher::Config::default().page_size(100)
}

fn made_by_us() -> watcher::Config {
    pages().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY}"))
}

fn plugins(client: &Client, scope: &Scope) -> (Store<Plugin>, Queue) {
    let (reader, writer) = reflector::store::<Plugin>();
    let api = match scope {
        Some(namespace) => Api::<Plugin>::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let events = watcher(api, pages())
        .default_backoff()
        .modify(|plugin| {
            plugin.meta_mut().managed_fields = None;
            plugin.meta_mut().annotations = None;
        })
        .reflect(writer)
        .applied_objects();
    (reader, trigger_self(events, ()).boxed())
}

fn owned<K>(client: &Client, scope: &Scope) -> (Store<K>, Queue)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let (reader, writer) = reflector::store::<K>();
    let events = watcher(api::<K>(client, scope), made_by_us())
        .default_backoff()
        .modify(|object| object.meta_mut().managed_fields = None)
        .reflect(writer)
        .touched_objects();
    (reader, trigger_owners::<Plugin, _>(events, (), ()).boxed())
}

fn pods(client: &Client, scope: &Scope) -> (Store<Pod>, Queue) {
    let (reader, writer) = reflector::store::<Pod>();
    let events = watcher(api::<Pod>(client, scope), made_by_us())
        .default_backoff()
        .modify(|pod| {
            pod.metadata.managed_fields = None;
            pod.spec = None;
        })
        .reflect(writer)
        .touched_objects();
    let plugin = |pod: Pod| {
        let name = pod.labels().get(PLUGIN_LABEL)?;
        Some(ObjectRef::<Plugin>::new(name).within(pod.metadata.namespace.as_deref()?))
    };
    (reader, trigger_with(events, plugin).boxed())
}
