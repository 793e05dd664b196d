//! One object, from what is known to what is so: gather → validate → build → apply → status.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::reflector::Store;
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::backoff::Backoff;
use crate::controller::apply::{self, FIELD_MANAGER};
use crate::controller::cache::{Caches, Observed, Plugin, Scope};
use crate::controller::error::Error;
use crate::controller::events::{self, Publisher};
use crate::controller::object_state::{Memory, Pulse, Signs};
use crate::controller::plugin_names;
use crate::controller::policy::Policy;
use crate::controller::resources::{self, Applied, Resources, WorkerPods};
use crate::controller::status::{self, Controlled, Facts};
use crate::controller::validate::{self, Owner};
use crate::crd::{SlackAccessPlugin, SlackAccessPluginStatus, Teleport};
use crate::metrics::controller::ControllerMetrics;

/// Each object is looked at once in this time even if nothing happens.
const RESYNC: Duration = Duration::from_mins(30);
/// How long an object waits after failures in a row.
const BACKOFF: Backoff = Backoff::doubling(Duration::from_millis(500), Duration::from_mins(5));
/// For all calls on behalf of one object, each of which takes milliseconds: an API server that was stopped never answers some.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How long an object waits after it, at most: the API server may be back.
const AFTER_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an object waits while the caches are being filled.
const UNTIL_FILLED: Duration = Duration::from_millis(250);
/// The annotation that makes a node look for changed Secrets: any change of a pod does.
const NUDGE_ANNOTATION: &str = "slackaccess.dev/looked-for-secrets";

/// What the API server says of a field that the definition does not have.
const UNDECLARED: &str = "field not declared in schema";

/// What every reconciliation of one scope shares.
pub struct Context {
    /// Where objects are watched.
    pub scope: Scope,
    /// The Kubernetes API.
    pub client: Client,
    /// What is known of the cluster.
    pub caches: Caches,
    /// The objects of all scopes.
    pub all_plugins: Arc<[Store<Plugin>]>,
    /// What is remembered between two reconciliations.
    pub memory: Memory,
    /// Publishes events.
    pub events: Publisher,
    /// What is measured.
    pub metrics: ControllerMetrics,
    /// The image of workers whose object names none.
    pub worker_image: String,
    /// What the authors of objects may do.
    pub policy: Policy,
    /// What the installation asks of every worker's pod.
    pub worker_pods: WorkerPods,
}

/// Reconciles one object.
pub async fn reconcile(plugin: Arc<Plugin>, context: Arc<Context>) -> Result<Action, Error> {
    if plugin.meta().deletion_timestamp.is_some() {
        return Ok(Action::await_change()); // its parts go with it: they name it as their owner
    }
    if !context.caches.are_filled() {
        return Ok(Action::requeue(UNTIL_FILLED));
    }
    let started = Instant::now();
    let result = match &plugin.0 {
        Ok(plugin) => {
            timeout(TIMEOUT, Box::pin(of_readable(plugin, &context))).await.unwrap_or(Err(Error::Unanswered(TIMEOUT)))
        }
        Err(invalid) => Err(Error::Unreadable(invalid.error.clone())),
    };
    if let (Err(error), Err(invalid)) = (&result, &plugin.0) {
        // Its status cannot be read either, and to write it is a change that leads here again: it is said once, and again when
        // the spec changes.
        let uid = plugin.uid().unwrap_or_default();
        if context.memory.is_news(&uid, invalid.metadata.generation, &error.to_string()) {
            tracing::warn!(%error, name = invalid.metadata.name, namespace = invalid.metadata.namespace, "Cannot read an object");
            say_unreadable(&context.client, invalid, error).await;
        }
    }
    if result.is_ok() {
        context.memory.note_success(&plugin.uid().unwrap_or_default());
    }
    let outcome = result.as_ref().map_or_else(|error| error.reason().as_str(), |_| "ok");
    context.metrics.reconciled(outcome, started.elapsed());
    result
}

/// What happens after a failure: the object waits, longer each time, and no other object does.
pub fn after_failure(plugin: &Plugin, error: &Error, context: &Context) -> Action {
    if error.is_final() {
        return Action::await_change();
    }
    if matches!(error, Error::Unanswered(_)) {
        return Action::requeue(AFTER_TIMEOUT);
    }
    let failures = context.memory.note_failure(&plugin.uid().unwrap_or_default());
    Action::requeue(BACKOFF.delay(failures, rand::random()))
}

async fn of_readable(plugin: &SlackAccessPlugin, context: &Context) -> Result<Action, Error> {
    let observed = observe(plugin, context)?;
    let outcome = Box::pin(converge(plugin, context, &observed)).await;
    let mut previous = plugin.status.clone().unwrap_or_default();
    let uid = plugin.uid().unwrap_or_default();
    if let Some(said) = context.memory.unseen(&uid, plugin) {
        said.overlay(&mut previous);
    }
    let signs = Signs {
        last_report: previous.worker.as_ref().and_then(|worker| worker.last_report_time.clone()),
        first_report_is_due: outcome
            .as_ref()
            .is_ok_and(|resources| status::owes_first_report(&previous, &observed.pods, &resources.revision)),
    };
    let pulse = context.memory.pulse(&uid, signs, status::says_silent(&previous));
    let Teleport { identity, tls, .. } = &plugin.spec.teleport;
    let identity_secret = identity.as_ref().map(|identity| &identity.secret_ref.name);
    let identity_secret = identity_secret.or(tls.as_ref().map(|tls| &tls.secret_ref.name));
    let facts = Facts {
        generation: plugin.metadata.generation,
        previous: &previous,
        suspended: plugin.spec.suspend,
        identity_secret: identity_secret.map(String::as_str).unwrap_or_default(),
        token_secret: &plugin.spec.slack.token.secret_ref.name,
        outcome: outcome.as_ref(),
        pods: &observed.pods,
        pulse,
        now: Time(Timestamp::now()),
    };
    match say(plugin, &previous, &status::decide(&facts), context).await {
        Err(error @ Error::DefinitionOutdated(_)) => {
            // What that definition has room for: else the status would stay as it was, and look fine.
            let reduced = status::decide(&Facts { outcome: Err(&error), ..facts });
            say(plugin, &previous, &reduced, context).await?;
            return Err(error);
        }
        said => said?,
    }
    let resources = outcome?;
    let nudge = nudge(&previous, &resources, &observed.pods, &uid, context).await;
    Ok(Action::requeue(next_look(pulse, nudge)))
}

/// gather (caches only)
fn observe(plugin: &SlackAccessPlugin, context: &Context) -> Result<Observed, Error> {
    let owner = Owner {
        name: plugin.name_any(),
        namespace: plugin.namespace().unwrap_or_default(),
        uid: plugin.uid().unwrap_or_default(),
    };
    Ok(context.caches.gather(&owner).map_err(resources::Error::from)?)
}

/// validate (pure) → policy (pure) → build (pure) → apply (client required)
async fn converge(
    plugin: &SlackAccessPlugin,
    context: &Context,
    observed: &Observed,
) -> Result<Resources<Applied>, Error> {
    let validated = validate::validate(plugin)?;
    if let Some(holder) = name_holder(plugin, context) {
        return Err(Error::PluginNameShared { name: plugin.spec.plugin_name.clone(), holder });
    }
    let fingerprint = context.policy.fingerprint();
    if let Err(refusal) = context.policy.check(plugin, validated.secrets(), &context.worker_image) {
        apply::stop(&context.client, &context.memory, &validated.owner, &fingerprint, observed).await?;
        return Err(refusal.into());
    }
    if let Some(holder) = name_holder(plugin, context) {
        return Err(Error::PluginNameShared { name: plugin.spec.plugin_name.clone(), holder });
    }
    let wanted = resources::build(&validated, &context.worker_image, &context.worker_pods, &fingerprint)?;
    Box::pin(apply::apply(&context.client, &context.memory, &validated.owner, wanted, observed)).await
}

/// Another object that keeps its records under the plugin name of this one.
fn name_holder(plugin: &SlackAccessPlugin, context: &Context) -> Option<String> {
    let all: Vec<_> = context.all_plugins.iter().flat_map(Store::state).collect();
    plugin_names::holder(plugin, all.iter().filter_map(|plugin| plugin.0.as_ref().ok()))
}

/// Writes the controller's part of the status, and events, if there is anything new in it.
async fn say(
    plugin: &SlackAccessPlugin,
    previous: &SlackAccessPluginStatus,
    controlled: &Controlled,
    context: &Context,
) -> Result<(), Error> {
    let uid = plugin.uid().unwrap_or_default();
    let mut news = Vec::new();
    if let Some(delivery) = &previous.delivery {
        let seen = context.memory.unrouted(&uid, delivery.unrouted);
        news.extend(events::unrouted(seen, delivery));
    }
    if !status::is_said(controlled, previous) {
        if let Some(version) = patch_status(&context.client, plugin.meta(), &json!(controlled)).await? {
            context.memory.note_said(&uid, version, controlled.clone());
        }
        news.extend(events::news(previous, controlled));
    }
    context.events.publish(plugin, news).await;
    Ok(())
}

async fn say_unreadable(client: &Client, invalid: &kube::core::error_boundary::InvalidObject, error: &Error) {
    let condition = json!({
        "type": crate::crd::status::READY,
        "status": "False",
        "reason": error.reason().as_str(),
        "message": error.to_string(),
        "observedGeneration": invalid.metadata.generation,
        "lastTransitionTime": Time(Timestamp::now()),
    });
    let status = json!({"observedGeneration": invalid.metadata.generation, "conditions": [condition]});
    if let Err(error) = patch_status(client, &invalid.metadata, &status).await {
        tracing::warn!(%error, "Could not say that an object cannot be read");
    }
}

/// Writes a part of a status; the resource version that this made. The UID makes it a conflict to write to another object of the
/// same name.
async fn patch_status(
    client: &Client,
    metadata: &ObjectMeta,
    status: &serde_json::Value,
) -> Result<Option<String>, Error> {
    let name = metadata.name.clone().unwrap_or_default();
    let body = json!({
        "apiVersion": SlackAccessPlugin::api_version(&()),
        "kind": SlackAccessPlugin::kind(&()),
        "metadata": {"name": name, "uid": metadata.uid},
        "status": status,
    });
    // Untyped: an object that this version cannot read must still get its status.
    let resource = kube::api::ApiResource::erase::<SlackAccessPlugin>(&());
    let api: Api<kube::api::DynamicObject> =
        Api::namespaced_with(client.clone(), metadata.namespace.as_deref().unwrap_or_default(), &resource);
    match api.patch_status(&name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(body)).await {
        Ok(written) => Ok(written.metadata.resource_version),
        // Deleted, or deleted and made anew: there is nobody to say it to.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(None),
        Err(kube::Error::Api(status)) if status.message.contains(UNDECLARED) => {
            let field = status.message.split_whitespace().find(|word| word.starts_with(".status"));
            let field = field.unwrap_or(".status").trim_end_matches(':');
            Err(Error::DefinitionOutdated(format!("it has no `{field}`")))
        }
        Err(source) => Err(Error::Kube {
            action: "write the status of",
            kind: SlackAccessPlugin::kind(&()).into_owned(),
            name,
            source: Box::new(source),
        }),
    }
}

/// A node looks for changed Secrets about once a minute, and whenever a pod changes. While a worker waits for a Secret, its pods are
/// changed a little, so that it has it within seconds. Returns when to do so again.
async fn nudge(
    status: &SlackAccessPluginStatus,
    resources: &Resources<Applied>,
    pods: &[Pod],
    uid: &str,
    context: &Context,
) -> Option<Duration> {
    let is_current = status.worker.as_ref().is_some_and(|worker| worker.config_hash == resources.revision);
    if !is_current || !status::waits_for_secret(status) {
        context.memory.forget_nudges(uid);
        return None;
    }
    if let Some(wait) = context.memory.nudge(uid) {
        return Some(wait);
    }
    let patch = json!({"metadata": {"annotations": {NUDGE_ANNOTATION: Timestamp::now().to_string()}}});
    for pod in pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
        let api: Api<Pod> = Api::namespaced(context.client.clone(), &pod.namespace().unwrap_or_default());
        if let Err(error) = api.patch_metadata(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await {
            // Only the time until the Secret is seen depends on it.
            tracing::debug!(%error, pod = pod.name_any(), "Could not make the node look for changed Secrets");
        }
    }
    context.memory.nudge(uid)
}

fn next_look(pulse: Pulse, nudge: Option<Duration>) -> Duration {
    let silence = match pulse {
        // A little later than the deadline, so that it is over then.
        Pulse::Alive(left) => Some(left + Duration::from_secs(1)),
        Pulse::None | Pulse::Silent => None,
    };
    [silence, nudge].into_iter().flatten().fold(RESYNC, Duration::min)
}
