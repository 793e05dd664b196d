//! Objects as the caches keep them: as text, a fraction of the size of the parsed form. They are parsed when they are looked at.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::runtime::reflector::{Lookup, ObjectRef};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::controller::cache::Plugin;
use crate::controller::resources::{PLUGIN_LABEL, child_name};
use crate::controller::validate::Owner;

/// An object of kind `K`: what it is found by, and the rest as JSON.
pub struct Kept<K> {
    name: Box<str>,
    namespace: Box<str>,
    owners: Box<[NamedOwner]>,
    plugin: Option<Box<str>>,
    json: Box<[u8]>,
    kind: PhantomData<fn() -> K>,
}

/// A `SlackAccessPlugin` that an object names as its owner.
#[derive(Clone)]
struct NamedOwner {
    name: Box<str>,
    uid: Box<str>,
}

impl<K: Resource<DynamicType = ()> + Serialize> Kept<K> {
    /// Keeps what `slim` leaves of an object.
    pub fn new(mut object: K, slim: impl Fn(&mut K)) -> Self {
        let metadata = object.meta();
        let namespace = metadata.namespace.as_deref();
        let owners = metadata.owner_references.iter().flatten().filter_map(|reference| {
            let owner = ObjectRef::<Plugin>::from_owner_ref(namespace, reference, ())?;
            Some(NamedOwner { name: owner.name.into(), uid: reference.uid.as_str().into() })
        });
        let owners = owners.collect();
        let plugin = metadata.labels.as_ref().and_then(|labels| labels.get(PLUGIN_LABEL));
        let plugin = plugin.map(|name| name.as_str().into());
        let (name, namespace) = (boxed(metadata.name.as_deref()), boxed(namespace));
        slim(&mut object);
        // What has no text cannot be parsed either: that is said by the one who looks at it.
        let json = serde_json::to_vec(&object).unwrap_or_default().into();
        Self { name, namespace, owners, plugin, json, kind: PhantomData }
    }
}

impl<K: DeserializeOwned> Kept<K> {
    /// The object again.
    pub fn parse(&self) -> Result<K, serde_json::Error> {
        serde_json::from_slice(&self.json)
    }
}

impl<K> Kept<K> {
    /// Whether it belongs to `owner`, stands where something of it will stand, or was left behind by an object of its name that
    /// was deleted without its parts.
    pub fn is_of(&self, owner: &Owner) -> bool {
        *self.namespace == *owner.namespace
            && (*self.name == *child_name(owner)
                || self.owners.iter().any(|named| *named.uid == *owner.uid)
                || (self.owners.is_empty() && self.is_labelled_for(owner)))
    }

    /// Whether its label says that it was made for `owner`.
    pub fn is_labelled_for(&self, owner: &Owner) -> bool {
        *self.namespace == *owner.namespace && self.plugin.as_deref() == Some(owner.name.as_str())
    }

    /// The objects that have to be looked at when this one changes: its owners, or the one that its label names.
    pub fn plugins(&self) -> Vec<ObjectRef<Plugin>> {
        let label = self.plugin.as_deref().filter(|_| self.owners.is_empty());
        let names = self.owners.iter().map(|owner| &*owner.name).chain(label);
        names.map(|name| ObjectRef::new(name).within(&self.namespace)).collect()
    }
}

/// Drops who wrote which field: often half of an object, and no decision depends on it.
pub fn without_managers<K: Resource>(object: &mut K) {
    object.meta_mut().managed_fields = None;
}

/// Leaves what tells why a worker does not run, and what others put into its pod.
pub fn pod_essence(pod: &mut k8s_openapi::api::core::v1::Pod) {
    let metadata = std::mem::take(&mut pod.metadata);
    let mut annotations = metadata.annotations;
    if let Some(annotations) = &mut annotations {
        annotations.retain(|name, _| name == super::resources::REVISION_ANNOTATION);
    }
    pod.metadata = ObjectMeta {
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        deletion_timestamp: metadata.deletion_timestamp,
        annotations,
        ..ObjectMeta::default()
    };
    pod.spec = pod.spec.take().map(super::foreign::essence);
}

fn boxed(text: Option<&str>) -> Box<str> {
    text.unwrap_or_default().into()
}

// Written out: derived, they would ask the same of `K`, of which nothing is held.
impl<K> Clone for Kept<K> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            owners: self.owners.clone(),
            plugin: self.plugin.clone(),
            json: self.json.clone(),
            kind: PhantomData,
        }
    }
}

impl<K> fmt::Debug for Kept<K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, namespace, .. } = self;
        formatter.debug_struct("Kept").field("namespace", namespace).field("name", name).finish_non_exhaustive()
    }
}

impl<K: Resource<DynamicType = ()>> Lookup for Kept<K> {
    type DynamicType = ();

    fn kind((): &()) -> Cow<'_, str> {
        <K as Resource>::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        <K as Resource>::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        <K as Resource>::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        <K as Resource>::plural(&())
    }

    fn name(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.name))
    }

    fn namespace(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.namespace))
    }

    // The caches need neither: within one kind, the name tells objects apart.
    fn resource_version(&self) -> Option<Cow<'_, str>> {
        None
    }

    fn uid(&self) -> Option<Cow<'_, str>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{ConfigMap, Pod};
    use serde_json::{Value, json};

    use crate::controller::cache_entry::*;

    fn owner() -> Owner {
        Owner { name: "slack".into(), namespace: "teleport".into(), uid: "u1".into() }
    }

    fn map(metadata: &Value) -> Kept<ConfigMap> {
        let map = serde_json::from_value(json!({"metadata": metadata, "data": {"key": "value"}})).unwrap();
        Kept::new(map, without_managers)
    }

    #[test]
    fn an_object_is_found_by_its_owner_by_its_place_and_without_an_owner_by_its_label() {
        let reference = json!([{"apiVersion": "slackaccess.dev/v1alpha1", "kind": "SlackAccessPlugin", "name": "slack", "uid": "u1"}]);
        assert!(map(&json!({"name": "other", "namespace": "teleport", "ownerReferences": reference})).is_of(&owner()));
        assert!(map(&json!({"name": "slack-access-slack", "namespace": "teleport"})).is_of(&owner()));
        assert!(!map(&json!({"name": "slack-access-slack", "namespace": "elsewhere"})).is_of(&owner()));
        let labelled = |owners: &Value| json!({"name": "other", "namespace": "teleport", "labels": {PLUGIN_LABEL: "slack"}, "ownerReferences": owners});
        assert!(map(&labelled(&json!([]))).is_of(&owner()));
        let earlier = json!([{"apiVersion": "slackaccess.dev/v1alpha1", "kind": "SlackAccessPlugin", "name": "slack", "uid": "u0"}]);
        assert!(!map(&labelled(&earlier)).is_of(&owner()));
    }

    #[test]
    fn a_change_concerns_the_owner_or_else_the_object_that_the_label_names() {
        let owners =
            json!([{"apiVersion": "slackaccess.dev/v1alpha1", "kind": "SlackAccessPlugin", "name": "a", "uid": "u"}]);
        let labels = json!({PLUGIN_LABEL: "b"});
        let named =
            |metadata: Value| map(&metadata).plugins().into_iter().map(|plugin| plugin.name).collect::<Vec<_>>();
        assert_eq!(named(json!({"namespace": "n", "ownerReferences": owners, "labels": labels})), ["a"]);
        assert_eq!(named(json!({"namespace": "n", "labels": labels})), ["b"]);
        assert_eq!(named(json!({"namespace": "n"})), Vec::<String>::new());
    }

    #[test]
    fn what_was_kept_is_the_object_without_its_managers() {
        let metadata = json!({"name": "m", "managedFields": [{"manager": "somebody"}], "labels": {"team": "infra"}});
        let expected = json!({"metadata": {"name": "m", "labels": {"team": "infra"}}, "data": {"key": "value"}});
        assert_eq!(map(&metadata).parse().unwrap(), serde_json::from_value(expected).unwrap());
    }

    #[test]
    fn a_pod_is_kept_with_its_revision_and_its_state() {
        let pod = json!({
            "metadata": {
                "name": "p", "namespace": "teleport", "uid": "u", "labels": {PLUGIN_LABEL: "slack"},
                "annotations": {"slackaccess.dev/revision": "r", "other": "o"},
            },
            "spec": {"containers": [{"name": "worker", "image": "x", "command": ["sh"]}], "nodeName": "node"},
            "status": {"phase": "Pending"},
        });
        let kept = Kept::<Pod>::new(serde_json::from_value(pod).unwrap(), pod_essence);
        assert!(kept.is_labelled_for(&owner()));
        let expected = json!({
            "metadata": {"name": "p", "namespace": "teleport", "uid": "u", "annotations": {"slackaccess.dev/revision": "r"}},
            "spec": {"containers": [{"name": "worker", "command": ["sh"]}]},
            "status": {"phase": "Pending"},
        });
        assert_eq!(kept.parse().unwrap(), serde_json::from_value(expected).unwrap());
    }
}
