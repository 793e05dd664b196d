//! Pure: what has to be done about one object, given the one that is wanted and the one that was seen.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::Serialize;
use serde_json::Value;

use crate::controller::resources::{APPLIED_ANNOTATION, MANAGED_BY, MANAGED_BY_LABEL};
use crate::controller::validate::Owner;
use crate::crd::SlackAccessPlugin;

/// What was written last, and how the API server named the result.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Written {
    /// The digest of what was wanted.
    pub digest: String,
    /// The result's resource version.
    pub resource_version: String,
}

impl Written {
    /// Whether `found` is what was written, not changed since, and `digest` is still what is wanted.
    #[must_use]
    pub fn is(&self, found: &ObjectMeta, digest: Option<&str>) -> bool {
        Some(self.digest.as_str()) == digest && !is_newer(found, &self.resource_version)
    }
}

/// What has to be done about an object.
#[derive(Debug, Eq, PartialEq)]
pub enum Step {
    /// It is as it should be.
    Keep,
    /// It has to be written.
    Apply,
    /// It was made for an earlier object of the same name, and is being deleted.
    AwaitPredecessor,
    /// It belongs to somebody else.
    Refuse,
}

/// Compares. `written` is what this process itself wrote last: the API server may have put it into another form (`0.5` CPU is
/// kept as `500m`), and the view of the cluster may not show it yet.
pub fn step<K>(wanted: &K, seen: &K, owner: &Owner, written: Option<&Written>) -> Result<Step, serde_json::Error>
where
    K: Resource<DynamicType = ()> + Serialize,
{
    match belonging(seen.meta(), owner) {
        Belonging::Predecessors => return Ok(Step::AwaitPredecessor),
        Belonging::Others => return Ok(Step::Refuse),
        Belonging::Ours => {}
    }
    let digest = digest_of(wanted.meta());
    if written.is_some_and(|written| written.is(seen.meta(), digest)) {
        return Ok(Step::Keep);
    }
    let unchanged =
        digest_of(seen.meta()) == digest && contains(&serde_json::to_value(seen)?, &serde_json::to_value(wanted)?);
    Ok(if unchanged { Step::Keep } else { Step::Apply })
}

/// The digest that an object carries.
pub fn digest_of(metadata: &ObjectMeta) -> Option<&str> {
    metadata.annotations.as_ref()?.get(APPLIED_ANNOTATION).map(String::as_str)
}

/// Whose an object is.
#[derive(Debug, Eq, PartialEq)]
pub enum Belonging {
    /// This object's, or nobody's although the operator made it (its owner was deleted and left it behind).
    Ours,
    /// An earlier object's of the same name.
    Predecessors,
    /// Somebody else's.
    Others,
}

/// Tells whose an object is from its metadata.
pub fn belonging(metadata: &ObjectMeta, owner: &Owner) -> Belonging {
    let controller =
        metadata.owner_references.iter().flatten().find(|reference| reference.controller.unwrap_or_default());
    let is_managed =
        metadata.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY_LABEL)).is_some_and(|by| by == MANAGED_BY);
    match controller {
        Some(controller) if controller.uid == owner.uid => Belonging::Ours,
        Some(controller) if controller.kind == SlackAccessPlugin::kind(&()) && controller.name == owner.name => {
            Belonging::Predecessors
        }
        None if is_managed => Belonging::Ours,
        Some(_) | None => Belonging::Others,
    }
}

/// Resource versions of one kind are numbers that grow; one that is not is taken for news.
pub fn is_newer(metadata: &ObjectMeta, than: &str) -> bool {
    let seen = metadata.resource_version.as_deref();
    match (seen.map(str::parse::<u64>), than.parse::<u64>()) {
        (Some(Ok(seen)), Ok(than)) => seen > than,
        _ => seen != Some(than),
    }
}

/// Lists of a pod to which others may add (Kubernetes' API: merge key `name`, or a name that is as unique here). Any other list is
/// ours as a whole.
const LISTS_BY_NAME: [&str; 6] = ["containers", "env", "imagePullSecrets", "ports", "volumeMounts", "volumes"];

/// Whether everything that is wanted is there; what others added beside it is theirs.
fn contains(seen: &Value, wanted: &Value) -> bool {
    match (seen, wanted) {
        (_, Value::Null) => true,
        (Value::Object(seen), Value::Object(wanted)) => {
            wanted.iter().all(|(key, wanted)| match (seen.get(key), wanted) {
                (Some(Value::Array(seen)), Value::Array(wanted)) if LISTS_BY_NAME.contains(&key.as_str()) => {
                    wanted.iter().all(|wanted| {
                        seen.iter().any(|seen| seen.get("name") == wanted.get("name") && contains(seen, wanted))
                    })
                }
                (Some(seen), wanted) => contains(seen, wanted),
                (None, wanted) => is_empty(wanted),
            })
        }
        (Value::Array(seen), Value::Array(wanted)) => {
            seen.len() == wanted.len() && seen.iter().zip(wanted).all(|(seen, wanted)| contains(seen, wanted))
        }
        (seen, wanted) => seen == wanted,
    }
}

/// The API server drops what is empty.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.values().all(is_empty),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::api::core::v1::ConfigMap;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
    use serde_json::json;

    use crate::controller::drift::*;

    fn owner() -> Owner {
        Owner { name: "slack".into(), namespace: "teleport".into(), uid: "u1".into() }
    }

    fn owned_by(kind: &str, name: &str, uid: &str) -> Vec<OwnerReference> {
        vec![OwnerReference {
            kind: kind.into(),
            name: name.into(),
            uid: uid.into(),
            controller: Some(true),
            ..OwnerReference::default()
        }]
    }

    fn map(digest: &str, text: &str, version: &str) -> ConfigMap {
        ConfigMap {
            metadata: ObjectMeta {
                annotations: Some(BTreeMap::from([(APPLIED_ANNOTATION.into(), digest.into())])),
                owner_references: Some(owned_by("SlackAccessPlugin", "slack", "u1")),
                resource_version: Some(version.into()).filter(|version: &String| !version.is_empty()),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([("worker.toml".into(), text.into())])),
            ..ConfigMap::default()
        }
    }

    fn steps(wanted: &ConfigMap, seen: &ConfigMap, written: Option<(&str, &str)>) -> Step {
        let written =
            written.map(|(digest, version)| Written { digest: digest.into(), resource_version: version.into() });
        step(wanted, seen, &owner(), written.as_ref()).unwrap()
    }

    #[test]
    fn what_is_as_it_should_be_is_left_alone() {
        assert_eq!(steps(&map("d", "a", ""), &map("d", "a", "7"), None), Step::Keep);
    }

    #[test]
    fn what_others_added_is_theirs() {
        let mut seen = map("d", "a", "7");
        seen.metadata.labels = Some(BTreeMap::from([("team".into(), "infra".into())]));
        assert_eq!(steps(&map("d", "a", ""), &seen, None), Step::Keep);
    }

    #[test]
    fn a_variable_that_others_added_is_theirs_and_ours_still_ours() {
        let env = |list: Value| json!({"spec": {"containers": [{"name": "worker", "env": list}]}});
        let wanted = env(json!([{"name": "A", "value": "1"}]));
        assert!(contains(&env(json!([{"name": "B", "value": "2"}, {"name": "A", "value": "1"}])), &wanted));
        assert!(!contains(&env(json!([{"name": "B", "value": "2"}, {"name": "A", "value": "3"}])), &wanted));
        assert!(!contains(&env(json!([{"name": "B", "value": "2"}])), &wanted));
    }

    #[test]
    fn a_subject_that_others_added_to_our_binding_is_drift() {
        let ours = json!({"kind": "ServiceAccount", "name": "slack-access-slack"});
        let theirs = json!({"kind": "User", "name": "mallory"});
        assert!(!contains(&json!({"subjects": [ours, theirs]}), &json!({"subjects": [ours]})));
    }

    #[test]
    fn what_others_changed_is_repaired() {
        assert_eq!(steps(&map("d", "a", ""), &map("d", "b", "7"), None), Step::Apply);
    }

    #[test]
    fn another_wish_is_written_even_if_it_only_takes_something_away() {
        assert_eq!(steps(&map("new", "a", ""), &map("old", "a", "7"), None), Step::Apply);
    }

    #[test]
    fn a_view_that_does_not_show_our_own_write_yet_is_not_drift() {
        assert_eq!(steps(&map("new", "b", ""), &map("old", "a", "7"), Some(("new", "8"))), Step::Keep);
        assert_eq!(steps(&map("new", "b", ""), &map("new", "a", "9"), Some(("new", "8"))), Step::Apply);
    }

    #[test]
    fn a_value_that_the_server_keeps_in_another_form_is_not_drift() {
        assert_eq!(steps(&map("d", "0.5", ""), &map("d", "500m", "8"), Some(("d", "8"))), Step::Keep);
    }

    #[test]
    fn somebody_elses_object_is_never_touched() {
        let mut seen = map("d", "b", "7");
        seen.metadata.owner_references = None;
        assert_eq!(steps(&map("d", "a", ""), &seen, None), Step::Refuse);
        seen.metadata.owner_references = Some(owned_by("HelmRelease", "slack", "u9"));
        assert_eq!(steps(&map("d", "a", ""), &seen, None), Step::Refuse);
    }

    #[test]
    fn what_an_earlier_object_of_this_name_left_is_waited_for() {
        let mut seen = map("d", "a", "7");
        seen.metadata.owner_references = Some(owned_by("SlackAccessPlugin", "slack", "u0"));
        assert_eq!(steps(&map("d", "a", ""), &seen, None), Step::AwaitPredecessor);
    }

    #[test]
    fn what_was_left_behind_without_an_owner_is_taken_over() {
        let mut seen = map("d", "b", "7");
        seen.metadata.owner_references = None;
        seen.metadata.labels = Some(BTreeMap::from([(MANAGED_BY_LABEL.into(), MANAGED_BY.into())]));
        assert_eq!(steps(&map("d", "a", ""), &seen, None), Step::Apply);
    }
}
