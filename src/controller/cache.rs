//! What is known of the cluster: slim caches of the objects that the operator made, fed by watches.

use futures::FutureExt as _;
use futures::stream::{self, BoxStream, StreamExt as _};
use futures::{Stream, TryStreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::core::DeserializeGuard;
use kube::runtime::controller::{ReconcileRequest, trigger_self, trigger_with};
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::controller::cache_entry::{self, Kept};
use crate::controller::resources::{MANAGED_BY, MANAGED_BY_LABEL};
use crate::controller::validate::Owner;
use crate::controller::watch_pace::WatchPace;
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
    service_accounts: Store<Kept<ServiceAccount>>,
    roles: Store<Kept<Role>>,
    role_bindings: Store<Kept<RoleBinding>>,
    config_maps: Store<Kept<ConfigMap>>,
    deployments: Store<Kept<Deployment>>,
    disruption_budgets: Store<Kept<PodDisruptionBudget>>,
    pods: Store<Kept<Pod>>,
}

/// What was seen of one object's workload.
#[derive(Debug, Default)]
pub struct Observed {
    /// What is there of each kind, wanted or not.
    pub service_accounts: Vec<ServiceAccount>,
    /// Likewise.
    pub roles: Vec<Role>,
    /// Likewise.
    pub role_bindings: Vec<RoleBinding>,
    /// Likewise.
    pub config_maps: Vec<ConfigMap>,
    /// Likewise.
    pub deployments: Vec<Deployment>,
    /// Likewise.
    pub disruption_budgets: Vec<PodDisruptionBudget>,
    /// The pods.
    pub pods: Vec<Pod>,
}

impl Caches {
    /// Starts every watch of a scope. Nothing happens until the queue is polled.
    pub fn watch(client: &Client, scope: &Scope) -> (Self, Queue) {
        let (plugins, plugin_events) = plugins(client, scope);
        let (service_accounts, account_events) =
            watched::<ServiceAccount>(client, scope, cache_entry::without_managers);
        let (roles, role_events) = watched::<Role>(client, scope, cache_entry::without_managers);
        let (role_bindings, binding_events) = watched::<RoleBinding>(client, scope, cache_entry::without_managers);
        let (config_maps, map_events) = watched::<ConfigMap>(client, scope, cache_entry::without_managers);
        let (deployments, deployment_events) = watched::<Deployment>(client, scope, cache_entry::without_managers);
        let (disruption_budgets, budget_events) =
            watched::<PodDisruptionBudget>(client, scope, cache_entry::without_managers);
        let (pods, pod_events) = watched::<Pod>(client, scope, cache_entry::pod_essence);
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
    pub fn gather(&self, owner: &Owner) -> Result<Observed, serde_json::Error> {
        Ok(Observed {
            service_accounts: found(&self.service_accounts, owner)?,
            roles: found(&self.roles, owner)?,
            role_bindings: found(&self.role_bindings, owner)?,
            config_maps: found(&self.config_maps, owner)?,
            deployments: found(&self.deployments, owner)?,
            disruption_budgets: found(&self.disruption_budgets, owner)?,
            pods: parsed(&self.pods, |pod| pod.is_labelled_for(owner))?,
        })
    }
}

/// By its owner, by standing where ours will stand, or by its label when it has no owner.
fn found<K>(store: &Store<Kept<K>>, owner: &Owner) -> Result<Vec<K>, serde_json::Error>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + 'static,
{
    parsed(store, |object| object.is_of(owner))
}

fn parsed<K>(store: &Store<Kept<K>>, is_meant: impl Fn(&Kept<K>) -> bool) -> Result<Vec<K>, serde_json::Error>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + 'static,
{
    store.state_filter(is_meant).iter().map(|object| object.parse()).collect()
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

/// Small pages: while it is read, a page is held several times over, for every kind at once, and parsed objects are large.
fn pages() -> watcher::Config {
    watcher::Config::default().page_size(25)
}

fn made_by_us() -> watcher::Config {
    pages().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY}"))
}

/// A watch that waits after each failure, for as long as the failure asks.
fn paced<K>(
    events: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send,
) -> impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send {
    let pace = WatchPace::default();
    let noted = pace.clone();
    events.inspect_err(move |error| noted.failed(error)).backoff(pace)
}

fn plugins(client: &Client, scope: &Scope) -> (Store<Plugin>, Queue) {
    let (reader, writer) = reflector::store::<Plugin>();
    let api = match scope {
        Some(namespace) => Api::<Plugin>::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let events = paced(watcher(api, pages()))
        .modify(|plugin| {
            plugin.meta_mut().managed_fields = None;
            plugin.meta_mut().annotations = None;
            if let Some(status) = plugin.0.as_mut().ok().and_then(|plugin| plugin.status.as_mut()) {
                status.recipients = Vec::new(); // as long as the spec, and no decision depends on it
            }
        })
        .reflect(writer)
        .applied_objects();
    (reader, trigger_self(events, ()).boxed())
}

fn watched<K>(client: &Client, scope: &Scope, slim: impl Fn(&mut K) + Send + 'static) -> (Store<Kept<K>>, Queue)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let (reader, mut writer) = reflector::store::<Kept<K>>();
    let events = paced(watcher(api::<K>(client, scope), made_by_us()))
        .map_ok(move |event| kept_event(event, &slim))
        .inspect_ok(move |event| writer.apply_watcher_event(event))
        .touched_objects();
    (reader, trigger_with(events, |object: Kept<K>| object.plugins()).boxed())
}

fn kept_event<K>(event: watcher::Event<K>, slim: &impl Fn(&mut K)) -> watcher::Event<Kept<K>>
where
    K: Resource<DynamicType = ()> + Serialize,
{
    use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
    match event {
        Apply(object) => Apply(Kept::new(object, slim)),
        Delete(object) => Delete(Kept::new(object, slim)),
        Init => Init,
        InitApply(object) => InitApply(Kept::new(object, slim)),
        InitDone => InitDone,
    }
}
