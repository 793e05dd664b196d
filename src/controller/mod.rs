//! The controller: reconciles `SlackAccessPlugin` objects into workloads.
//!
//! ```text
//! gather (caches) → validate (pure) → policy (pure) → build (pure) → apply → status (pure) → one write, if there is anything new
//! ```
//!
//! Every write is a server-side apply of what is wanted: two controllers of one version at once do no harm, and nothing is written
//! when nothing changed. No Secret is ever read: workers mount them.

pub mod apply;
pub mod cache;
pub mod cache_entry;
pub mod drift;
pub mod error;
pub mod events;
#[cfg(test)]
mod fixtures;
mod foreign;
pub mod object_state;
mod plugin_names;
pub mod policy;
pub mod reconcile;
pub mod resources;
pub mod rollout;
pub mod status;
pub mod validate;
mod wait_for_crd;
mod watch_pace;

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use futures::{Stream, TryStreamExt as _};
use kube::runtime::controller::{self, applier};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Client, ResourceExt as _};
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Health};
use crate::controller::cache::{Caches, Scope};
use crate::controller::policy::Policy;
use crate::controller::reconcile::Context;
use crate::controller::resources::WorkerPods;
use crate::crd::status::READY;
use crate::metrics::controller::ControllerMetrics;

/// How many objects of one scope are worked on at the same time.
const CONCURRENCY: u16 = 16;
/// Changes of one object within this time are looked at together.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// How often objects are counted, and the notes of those that are gone dropped.
const HOUSEKEEPING: Duration = Duration::from_secs(15);
/// How often is looked whether the caches have been filled.
const FILLING: Duration = Duration::from_millis(100);
/// The loop is stuck if it has not come round in this time.
const PROGRESS_LIMIT: Duration = Duration::from_mins(1);

/// For a connection to the API server, with its TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How a scope without a name is called.
const EVERYWHERE: &str = "all namespaces";

const DEFINITION_GATE: &str = "the definition of SlackAccessPlugin";
const CACHES_GATE: &str = "the first list of every watched kind";

/// What a controller has to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespaces to watch; all of them when empty.
    pub namespaces: Vec<String>,
    /// The image of workers whose object names none.
    pub worker_image: String,
    /// What the authors of objects may do.
    pub policy: Policy,
    /// What the installation asks of every worker's pod.
    pub worker_pods: WorkerPods,
    /// `HOST:PORT` of `/livez`, `/readyz` and `/metrics`; not served when absent.
    pub diag_addr: Option<String>,
    /// Who may read `/metrics`.
    pub metrics: admin::access::Settings,
    /// The name of this instance in events.
    pub instance: String,
}

/// Why the controller ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No way to the Kubernetes API is known.
    #[error("no way to the Kubernetes API is known: {0}; run inside of a cluster, or set KUBECONFIG")]
    Config(#[from] kube::config::InferConfigError),
    /// The client cannot be made.
    #[error("cannot make a client of the Kubernetes API: {0}")]
    Client(#[from] kube::Error),
    /// The endpoints cannot be served.
    #[error(transparent)]
    Endpoints(#[from] admin::Error),
    /// The system refused something that every process may do.
    #[error("cannot listen for signals: {0}; restart the process")]
    Signals(#[source] std::io::Error),
}

/// A client that gives up a connection which does not come about, so that the next attempt finds an API server that is back.
pub fn client(mut config: kube::Config) -> Result<Client, kube::Error> {
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    Client::try_from(config)
}

/// Runs with the cluster that the environment names, until asked to end (`SIGTERM`, `SIGINT`).
pub async fn run(settings: Settings) -> Result<(), Error> {
    let config = kube::Config::infer().await?;
    let client = client(config)?;
    let stop = CancellationToken::new();
    let signals = signals(stop.clone())?;
    tokio::select! {
        ended = run_with(client, settings, stop) => ended,
        () = signals => Ok(()),
    }
}

fn signals(stop: CancellationToken) -> Result<impl Future<Output = ()>, Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("Ending");
        stop.cancel();
        // The other branch ends first unless the API server does not answer any more.
        tokio::time::sleep(Duration::from_secs(10)).await;
    })
}

/// Runs with a client until told to stop; what is being reconciled then is finished.
pub async fn run_with(client: Client, settings: Settings, stop: CancellationToken) -> Result<(), Error> {
    let Settings { namespaces, worker_image, policy, worker_pods, diag_addr, metrics: readers, instance } = settings;
    let health = Health::with_gates([DEFINITION_GATE, CACHES_GATE]);
    let metrics = ControllerMetrics::default();
    let server = match &diag_addr {
        Some(address) => Some(admin::serve(address, &readers, health.clone(), metrics.clone(), stop.clone()).await?),
        None => None,
    };
    let scopes = scopes(namespaces);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), watching = watching(&scopes), "Starting the controller");
    tokio::select! {
        () = wait_for_crd::wait_for_definition(&client) => health.open(DEFINITION_GATE),
        () = stop.cancelled() => {}
    }
    if !stop.is_cancelled() {
        let watched: Vec<_> = scopes
            .into_iter()
            .map(|scope| {
                let (caches, queue) = Caches::watch(&client, &scope);
                (scope, caches, queue)
            })
            .collect();
        let all_plugins: Arc<[_]> = watched.iter().map(|(_, caches, _)| caches.plugins.clone()).collect();
        let contexts: Vec<_> = watched
            .into_iter()
            .map(|(scope, caches, queue)| {
                let context = Arc::new(Context {
                    scope,
                    client: client.clone(),
                    caches,
                    all_plugins: all_plugins.clone(),
                    memory: object_state::Memory::default(),
                    events: events::Publisher::new(client.clone(), instance.clone()),
                    metrics: metrics.clone(),
                    worker_image: worker_image.clone(),
                    policy: policy.clone(),
                    worker_pods: worker_pods.clone(),
                });
                (context, queue)
            })
            .collect();
        let shared: Vec<_> = contexts.iter().map(|(context, _)| context.clone()).collect();
        let work: FuturesUnordered<_> =
            contexts.into_iter().map(|(context, queue)| work(context, queue, stop.clone())).collect();
        tokio::select! {
            () = work.collect::<()>() => {}
            () = keep_house(shared, health, metrics) => {}
        }
    }
    if let Some(server) = server {
        server.ended().await;
    }
    tracing::info!("The controller has ended");
    Ok(())
}

/// Each namespace once; all of them when none is named.
fn scopes(mut namespaces: Vec<String>) -> Vec<Scope> {
    namespaces.sort();
    namespaces.dedup();
    if namespaces.is_empty() { vec![None] } else { namespaces.into_iter().map(Some).collect() }
}

fn watching(scopes: &[Scope]) -> String {
    let names: Vec<_> = scopes.iter().map(|scope| scope.as_deref().unwrap_or(EVERYWHERE)).collect();
    names.join(", ")
}

/// Reconciles the objects of one scope until told to stop.
async fn work(context: Arc<Context>, queue: cache::Queue, stop: CancellationToken) {
    let store = context.caches.plugins.clone();
    let watcher = context.clone();
    let queue = queue.inspect_err(move |error| say_broken_watch(error, &watcher));
    // An error of a watch is said above, and the watch goes on by itself: it must not reach the applier, which would count it as
    // the object's.
    let queue = queue.filter_map(|request| std::future::ready(request.ok().map(Ok::<_, std::convert::Infallible>)));
    let config = controller::Config::default().concurrency(CONCURRENCY).debounce(DEBOUNCE);
    let reconciler = |plugin, context| Box::pin(reconcile::reconcile(plugin, context));
    let after_failure = |plugin: Arc<_>, error: &_, context: Arc<_>| reconcile::after_failure(&plugin, error, &context);
    let results = applier(reconciler, after_failure, context, store, queue.take_until(stop.cancelled_owned()), config);
    log_results(results).await;
}

/// Says why a watch broke. That a scope may not be watched is said once for all of its watches, each of which tries again for ever.
fn say_broken_watch(error: &watcher::Error, context: &Context) {
    context.metrics.watch_failed();
    let (error, refusal) = (error::of_watch(error), error::refusal_of_watch(error));
    let namespace = context.scope.as_deref().unwrap_or(EVERYWHERE);
    match refusal {
        Some(_) if !context.memory.note_refusal() => tracing::debug!(error, namespace, "A watch is still refused"),
        Some(403) => tracing::warn!(
            error,
            namespace,
            "No right to watch: was the namespace deleted, or its Role? Its objects are taken up when the right is there again"
        ),
        Some(_) => tracing::warn!(
            error,
            namespace,
            "Nothing to watch: was the definition of SlackAccessPlugin deleted? Objects are taken up when it is there again"
        ),
        None => tracing::warn!(error, "A watch on the Kubernetes API broke; it is taken up again"),
    }
}

async fn log_results<Q: std::error::Error + 'static>(
    results: impl Stream<Item = Result<(ObjectRef<cache::Plugin>, controller::Action), controller::Error<error::Error, Q>>>,
) {
    results
        .for_each(|result| {
            match result {
                Ok((object, _)) => tracing::debug!(%object, "Reconciled an object"),
                // It was deleted while it waited for its turn.
                Err(controller::Error::ObjectNotFound(object)) => tracing::debug!(%object, "An object is gone"),
                Err(controller::Error::ReconcilerFailed(error, object)) => {
                    tracing::warn!(%object, %error, reason = error.reason().as_str(), "Failed to reconcile an object");
                }
                Err(error) => tracing::error!(%error, "Failed to schedule a reconciliation"),
            }
            std::future::ready(())
        })
        .await;
}

/// Whether all is known that can be. A scope that may not be watched does not hold up the others, unless there is no other.
fn is_filled(contexts: &[Arc<Context>]) -> bool {
    let (filled, waiting): (Vec<_>, Vec<_>) = contexts.iter().partition(|context| context.caches.are_filled());
    !filled.is_empty() && waiting.iter().all(|context| context.memory.is_refused())
}

/// Tells readiness and progress, counts objects, and forgets those that are gone.
async fn keep_house(contexts: Vec<Arc<Context>>, health: Health, metrics: ControllerMetrics) {
    while !is_filled(&contexts) {
        tokio::time::sleep(FILLING).await;
    }
    health.open(CACHES_GATE);
    let mut tick = tokio::time::interval(HOUSEKEEPING);
    loop {
        tick.tick().await;
        health.beat("controller", PROGRESS_LIMIT);
        let plugins: Vec<_> = contexts.iter().flat_map(|context| context.caches.plugins.state()).collect();
        let readable = plugins.iter().filter_map(|plugin| plugin.0.as_ref().ok());
        metrics.plugins(readable.map(|plugin| {
            let ready = plugin.status.as_ref().and_then(|status| status.condition(READY));
            ready.map_or(("Unknown", "None"), |ready| (ready.status.as_str(), ready.reason.as_str()))
        }));
        for context in &contexts {
            let live: HashSet<String> =
                context.caches.plugins.state().iter().filter_map(|plugin| plugin.uid()).collect();
            context.memory.keep_only(&live);
        }
    }
}
