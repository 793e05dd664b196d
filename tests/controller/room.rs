//! A namespace of its own for each test, with a controller that sees nothing else.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU32, Ordering};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use slack_access_operator::admin::access;
use slack_access_operator::controller::policy::Policy;
use slack_access_operator::controller::resources::WorkerPods;
use slack_access_operator::controller::{self, Settings};
use slack_access_operator::crd::{SlackAccessPlugin, SlackAccessPluginStatus};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::chart;
use crate::support::{self, Cluster, eventually};

/// The name of everything that belongs to the object `slack`.
pub const CHILD: &str = "slack-access-slack";

/// The image of workers.
pub const IMAGE: &str = "example.com/slack-access-operator:1.0.0";

/// A namespace, and what tests do in it.
pub struct Room {
    pub cluster: &'static Cluster,
    pub client: Client,
    pub namespace: String,
}

/// A controller in this process.
pub struct Running {
    /// The name under which it speaks to the API server.
    pub user: String,
    stop: CancellationToken,
    task: JoinHandle<Result<(), controller::Error>>,
}

impl Running {
    /// Ends it in good order.
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

impl Room {
    pub async fn new() -> Self {
        Self::in_cluster(support::shared().await).await
    }

    pub async fn in_cluster(cluster: &'static Cluster) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let namespace = format!("room-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let client = cluster.client();
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let metadata = ObjectMeta {
            name: Some(namespace.clone()),
            // What is made here has to pass, not only to be logged.
            labels: Some([("pod-security.kubernetes.io/enforce".to_owned(), "restricted".to_owned())].into()),
            ..ObjectMeta::default()
        };
        namespaces.create(&PostParams::default(), &Namespace { metadata, ..Namespace::default() }).await.unwrap();
        Self { cluster, client, namespace }
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn plugins(&self) -> Api<SlackAccessPlugin> {
        self.api()
    }

    /// Starts a controller which may do everything, under a name of its own.
    pub fn start_controller(&self, name: &str) -> Running {
        let user = format!("{name}-{}", self.namespace);
        let client = self.cluster.client_as(&user, &["system:masters"]);
        self.start_controller_with(client, user)
    }

    pub fn start_controller_with(&self, client: Client, user: String) -> Running {
        self.start_controller_under(Policy::single_team(), client, user)
    }

    pub fn start_controller_under(&self, policy: Policy, client: Client, user: String) -> Running {
        let settings = Settings {
            namespaces: vec![self.namespace.clone()],
            worker_image: IMAGE.into(),
            policy,
            worker_pods: WorkerPods::default(),
            diag_addr: None,
            metrics: access::Settings::default(),
            instance: user,
        };
        Self::start_controller_as(client, settings)
    }

    pub fn start_controller_as(client: Client, settings: Settings) -> Running {
        // Shown for a test that fails.
        let _ = tracing_subscriber::fmt().with_env_filter("slack_access_operator=debug").with_test_writer().try_init();
        let stop = CancellationToken::new();
        let user = settings.instance.clone();
        let task = tokio::spawn(controller::run_with(client, settings, stop.clone()));
        Running { user, stop, task }
    }

    /// Grants here what the chart gives the account of `of`'s operator for one namespace; the account's user name.
    pub async fn grant(&self, of: &Self) -> String {
        let rendered = chart::rendered(&self.namespace, &["rbac.yaml"], &[]);
        let [role, binding] = rendered.try_into().unwrap();
        self.api::<Role>().create(&PostParams::default(), &serde_json::from_value(role).unwrap()).await.unwrap();
        let mut binding: RoleBinding = serde_json::from_value(binding).unwrap();
        let subject = &mut binding.subjects.as_mut().unwrap()[0];
        subject.namespace = Some(of.namespace.clone());
        let user = format!("system:serviceaccount:{}:{}", of.namespace, subject.name);
        self.api::<RoleBinding>().create(&PostParams::default(), &binding).await.unwrap();
        user
    }

    /// Writes an object as `kubectl apply --server-side` would.
    pub async fn apply(&self, plugin: &Value) -> Result<SlackAccessPlugin, kube::Error> {
        let name = plugin["metadata"]["name"].as_str().unwrap();
        self.plugins().patch(name, &PatchParams::apply("tester").force(), &Patch::Apply(plugin)).await
    }

    /// Changes a part of the object `slack`.
    pub async fn change(&self, spec: Value) -> SlackAccessPlugin {
        let patch = json!({"spec": spec});
        self.plugins().patch("slack", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap()
    }

    /// The object of this name once it is as it should be.
    pub async fn until<K>(&self, name: &str, what: &str, mut is_so: impl FnMut(&K) -> bool) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        eventually(what, async || self.api::<K>().get_opt(name).await.unwrap().filter(&mut is_so)).await
    }

    /// Waits until there is no object of this name.
    pub async fn until_gone<K>(&self, name: &str)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        eventually(&format!("{name} to be gone"), async || {
            self.api::<K>().get_opt(name).await.unwrap().is_none().then_some(())
        })
        .await;
    }

    /// The status of `slack` once `Ready` has this status and reason.
    pub async fn until_ready_is(&self, status: &str, reason: &str) -> SlackAccessPluginStatus {
        let mut last = String::new();
        let wait = async {
            eventually("Ready", async || {
                let found = self.plugins().get("slack").await.unwrap().status.unwrap_or_default();
                last = found.condition("Ready").map(describe).unwrap_or_default();
                let is_so =
                    found.condition("Ready").is_some_and(|ready| ready.status == status && ready.reason == reason);
                is_so.then_some(found)
            })
            .await
        };
        let Ok(found) = tokio::time::timeout(std::time::Duration::from_secs(40), wait).await else {
            panic!("Ready is not {status}/{reason} but {last}")
        };
        found
    }

    /// What carries the label of `slack`.
    async fn labelled<K>(&self) -> Vec<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let ours = ListParams::default().labels("slackaccess.dev/plugin=slack");
        self.api::<K>().list(&ours).await.unwrap().items
    }

    /// The objects of a kind that carry the label of `slack`, once there are so many.
    async fn until_labelled<K>(&self, number: usize) -> Vec<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        eventually(&format!("{number} objects of the kind {}", K::kind(&())), async || {
            Some(self.labelled().await).filter(|found| found.len() == number)
        })
        .await
    }

    /// The pods of `slack` once there are so many.
    pub async fn until_pods(&self, number: usize) -> Vec<Pod> {
        self.until_labelled(number).await
    }

    /// The configurations of `slack` once there are so many.
    pub async fn until_config_maps(&self, number: usize) -> Vec<ConfigMap> {
        self.until_labelled(number).await
    }

    /// Says of a pod what a kubelet would.
    pub async fn say_of_pod(&self, pod: &Pod, status: Value) {
        let patch = json!({"status": status});
        self.api::<Pod>().patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Reports as a worker that runs what the object asks for would; `broken` conditions are `(type, reason, message)`.
    pub async fn report(&self, broken: &[(&str, &str, &str)]) {
        let plugin = self
            .until::<SlackAccessPlugin>("slack", "a workload in the status", |plugin| {
                plugin.status.as_ref().is_some_and(|status| status.workload.is_some())
            })
            .await;
        let hash = plugin.status.unwrap().workload.unwrap().config_hash;
        self.report_of(&hash, broken).await;
    }

    /// A pod of this revision, as it is once its worker runs.
    pub async fn running_pod(&self, hash: &str) -> Pod {
        let pod = eventually("a pod of this revision", async || {
            let pods = self.labelled::<Pod>().await;
            pods.into_iter().find(|pod| pod.annotations().get("slackaccess.dev/revision").is_some_and(|of| of == hash))
        })
        .await;
        let running = json!({"phase": "Running", "containerStatuses": [{
            "name": "worker", "image": "example.com/x:1", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
        }]});
        self.say_of_pod(&pod, running).await;
        pod
    }

    pub async fn report_of(&self, hash: &str, broken: &[(&str, &str, &str)]) {
        let pod = self.running_pod(hash).await.name_any();
        let conditions: Vec<Value> = ["IdentityValid", "TeleportConnected", "SlackConnected", "RecipientsResolved", "Delivering"]
            .iter()
            .map(|part| {
                let (status, reason, message) = broken
                    .iter()
                    .find(|(broken, ..)| broken == part)
                    .map_or(("True", "OK", ""), |(_, reason, message)| ("False", *reason, *message));
                json!({"type": part, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"})
            })
            .collect();
        let patch = json!({
            "apiVersion": "slackaccess.dev/v1alpha1", "kind": "SlackAccessPlugin", "metadata": {"name": "slack"},
            "status": {
                "conditions": conditions,
                "teleport": {"cluster": "example.com"},
                "slack": {"team": "Acme"},
                "worker": {"pod": pod, "version": "1.0.0", "configHash": hash, "lastReportTime": "2026-01-01T00:00:00Z"},
            },
        });
        let manager = PatchParams::apply("slack-access-operator/worker").force();
        self.plugins().patch_status("slack", &manager, &Patch::Apply(patch)).await.unwrap();
    }

    pub async fn delete<K>(&self, name: &str)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        self.api::<K>().delete(name, &DeleteParams::default()).await.unwrap();
    }
}

fn describe(condition: &Condition) -> String {
    format!("{}/{}: {}", condition.status, condition.reason, condition.message)
}

/// The least that a user has to write.
pub fn minimal() -> Value {
    json!({
        "apiVersion": "slackaccess.dev/v1alpha1",
        "kind": "SlackAccessPlugin",
        "metadata": {"name": "slack"},
        "spec": {
            "teleport": {
                "address": "teleport.example.com:443",
                "identity": {"secretRef": {"name": "teleport-slack-identity"}},
            },
            "slack": {"token": {"secretRef": {"name": "slack-bot-token"}}},
            "roleToRecipients": {"*": ["access-requests"]},
        },
    })
}

/// The least, with one value replaced or added; `path` as in a JSON pointer.
pub fn with(path: &str, value: Value) -> Value {
    let mut plugin = minimal();
    let (parent, key) = path.rsplit_once('/').unwrap();
    plugin.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(key.replace("~1", "/"), value);
    plugin
}

/// The least that is needed, with one setting of the pods.
pub fn with_workload(setting: &str, value: Value) -> Value {
    with("/spec/workload", Value::Object([(setting.to_owned(), value)].into_iter().collect()))
}

/// The least that is needed, with one variable of the worker's.
pub fn with_variable(variable: Value) -> Value {
    with_workload("env", Value::Array(vec![variable]))
}
