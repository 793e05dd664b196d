//! `spec.workload`: settings of the pods in which the worker runs.
//!
//! Fields and not a pod template: what keeps the worker safe (its probes, mounts and security context) cannot be
//! unset by accident, and `kubectl explain` lists exactly what can be set.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EnvVar, Toleration};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::crd::quantity::{Amount, amounts};

/// The environment variables that may be set on a worker. Any other could load code, insert a Secret or replace a setting.
pub const VARIABLES: [&str; 9] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "TZ",
    "RUST_LOG",
];

/// Where `SSL_CERT_FILE` may point: to files that come with the image, and never to what is mounted.
pub const CERTIFICATE_FOLDERS: [&str; 3] = ["/etc/ssl/", "/etc/pki/", "/usr/"];

/// Settings of the worker's pods. Every one may be left out.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Workload {
    /// How many workers run. All of them are active; Teleport's compare-and-swap keeps them from posting twice.
    #[schemars(range(min = 1, max = 10))]
    pub replicas: i32,
    /// The worker's image; the operator's own when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// When the image is pulled; Kubernetes decides when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Secrets of this namespace with which the image is pulled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<PullSecret>,
    /// Compute resources; 10m CPU and 32Mi memory are requested, and 128Mi memory is the limit, when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Labels that a node must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "labels")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pods tolerate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "tolerations")]
    pub tolerations: Vec<Toleration>,
    /// Affinity, as in a pod (`kubectl explain pod.spec.affinity`). Left out, nodes without a worker of this
    /// object are preferred.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "free_object")]
    pub affinity: Option<Value>,
    /// Topology spread, as in a pod (`kubectl explain pod.spec.topologySpreadConstraints`). A constraint without a
    /// `labelSelector` selects the pods of this object.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "free_objects")]
    pub topology_spread_constraints: Vec<Value>,
    /// The pods' priority class.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// Environment variables with literal values: `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` in upper or lower case, `SSL_CERT_FILE`
    /// (a file of the image), `TZ`, `RUST_LOG`. Others are refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "variables")]
    pub env: Vec<EnvVar>,
    /// More labels of the pods. Those of the operator itself cannot be replaced.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "pod_labels")]
    pub labels: BTreeMap<String, String>,
    /// More annotations of the pods.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "annotations")]
    pub annotations: BTreeMap<String, String>,
    /// The ServiceAccount of the pods. It is made by the operator.
    #[serde(skip_serializing_if = "ServiceAccountSettings::is_empty")]
    pub service_account: ServiceAccountSettings,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            replicas: 1,
            image: None,
            image_pull_policy: None,
            image_pull_secrets: Vec::new(),
            resources: None,
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            affinity: None,
            topology_spread_constraints: Vec::new(),
            priority_class_name: None,
            env: Vec::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            service_account: ServiceAccountSettings::default(),
        }
    }
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ImagePullPolicy {
    /// Each time a pod starts.
    Always,
    /// When the node does not have it.
    IfNotPresent,
    /// Never: the node must have it.
    Never,
}

impl ImagePullPolicy {
    /// As Kubernetes spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// A Secret with a registry's credentials.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct PullSecret {
    /// The Secret's name, in the namespace of this object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Compute resources of the worker's container.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resources {
    /// What the container is guaranteed, by resource (`cpu`, `memory`…).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "amounts")]
    pub requests: BTreeMap<String, Amount>,
    /// What the container may use at most, by resource.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "amounts")]
    pub limits: BTreeMap<String, Amount>,
}

/// Settings of the ServiceAccount that the pods run as.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceAccountSettings {
    /// Annotations, for clouds that grant rights by them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "annotations")]
    pub annotations: BTreeMap<String, String>,
}

impl ServiceAccountSettings {
    fn is_empty(&self) -> bool {
        self.annotations.is_empty()
    }
}

/// What Kubernetes takes for a label's or an annotation's key (its docs: labels and selectors, syntax and character set).
fn qualified_keys() -> Value {
    json!({
        "rule": r"self.all(key, key.matches('^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$'))",
        "message": "a key is not one that Kubernetes takes: at most 63 letters, digits, '-', '_' and '.' between letters or digits, with or without a DNS name and '/' before them",
    })
}

fn annotations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": {"type": "string"},
        "x-kubernetes-validations": [qualified_keys()],
    })
}

fn labels_with(rules: &[Value]) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": {
            "type": "string",
            "maxLength": 63,
            "pattern": "^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?$",
        },
        "x-kubernetes-validations": rules,
    })
}

fn labels(_: &mut SchemaGenerator) -> Schema {
    labels_with(&[qualified_keys()])
}

fn pod_labels(_: &mut SchemaGenerator) -> Schema {
    let ours = json!({
        "rule": "self.all(label, !label.startsWith('app.kubernetes.io/') && !label.startsWith('slackaccess.dev/'))",
        "message": "labels that start with app.kubernetes.io/ or slackaccess.dev/ are the operator's",
    });
    labels_with(&[qualified_keys(), ours])
}

/// Variables: few names, and literal values only.
fn variables(generator: &mut SchemaGenerator) -> Schema {
    let mut variable = EnvVar::json_schema(generator);
    restrict(&mut variable, "name", &json!({"minLength": 1, "maxLength": 256}));
    restrict(&mut variable, "value", &json!({"maxLength": 4096}));
    let names = json!(VARIABLES).to_string().replace('"', "'");
    let listed = VARIABLES.join(", ");
    let folders = CERTIFICATE_FOLDERS.map(|folder| format!("variable.value.startsWith('{folder}')")).join(" || ");
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "items": variable,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "x-kubernetes-validations": [
            {
                "rule": format!("self.all(variable, variable.name in {names})"),
                "message": format!("a worker takes these variables only: {listed}"),
            },
            {
                "rule": "self.all(variable, !has(variable.valueFrom) && (!has(variable.value) || !variable.value.contains('$(')))",
                "message": "a worker's variables have literal values: no valueFrom, and no $(NAME) of another variable",
            },
            {
                "rule": format!("self.all(variable, variable.name != 'SSL_CERT_FILE' || (has(variable.value) && ({folders}) && !variable.value.contains('..')))"),
                "message": format!("SSL_CERT_FILE must be a file of the image, below {}; for other authorities use caBundle", CERTIFICATE_FOLDERS.join(" or ")),
            },
        ],
    })
}

/// Tolerations, likewise.
fn tolerations(generator: &mut SchemaGenerator) -> Schema {
    let mut toleration = Toleration::json_schema(generator);
    restrict(&mut toleration, "operator", &json!({"enum": ["", "Equal", "Exists", "Gt", "Lt"]}));
    restrict(&mut toleration, "effect", &json!({"enum": ["", "NoExecute", "NoSchedule", "PreferNoSchedule"]}));
    json_schema!({
        "type": "array",
        "maxItems": 64,
        "items": toleration,
        "x-kubernetes-validations": [{
            "rule": "self.all(toleration, !has(toleration.operator) || toleration.operator != 'Exists' || !has(toleration.value) || toleration.value == '')",
            "message": "a toleration with the operator Exists has no value",
        }],
    })
}

/// Adds to the schema of a property of Kubernetes' own.
fn restrict(schema: &mut Schema, property: &str, more: &Value) {
    let property = schema.pointer_mut(&format!("/properties/{property}")).and_then(Value::as_object_mut);
    if let (Some(property), Some(more)) = (property, more.as_object()) {
        property.extend(more.clone());
    }
}

/// Affinity and topology spread are passed on to the pod after the controller has read them strictly: their schemas would be
/// ten times the rest of this definition.
fn free_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

fn free_objects(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 16, "items": free_object(generator)})
}
