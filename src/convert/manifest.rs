//! Writes what became of a configuration as one file for `kubectl apply`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use crate::config::DEFAULT_PLUGIN_NAME;
use crate::convert::{Converted, Skeleton};

/// What stands where a secret is to be filled in. No token and no identity looks like it: a worker names it as malformed.
const FILL_IN: &str = "FILL IN";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Holder<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    string_data: BTreeMap<&'a str, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    data: BTreeMap<&'a str, String>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
}

pub(super) fn render(converted: &Converted) -> Result<String, serde_saphyr::SerializeError> {
    let mut text = String::new();
    if converted.notes.is_empty() {
        text.push_str("# Every setting was carried over.\n");
    } else {
        text.push_str("# Not carried over as they were:\n");
        for note in &converted.notes {
            let _ = writeln!(text, "#   {} {}", note.setting, one_line(&note.reason));
        }
    }
    let namespace = converted.object.metadata.namespace.as_deref();
    for skeleton in &converted.skeletons {
        let option = namespace.map(|name| format!(" -n {name}")).unwrap_or_default();
        let command = skeleton.command.replace("kubectl ", &format!("kubectl{option} "));
        let _ = writeln!(text, "---\n# Fill in, or make it with:\n#   {}", one_line(&command));
        text.push_str(&serde_saphyr::to_string(&holder(skeleton, namespace))?);
        ensure_newline(&mut text);
    }
    text.push_str("---\n");
    text.push_str(&serde_saphyr::to_string(&lean(converted))?);
    ensure_newline(&mut text);
    Ok(text)
}

fn holder<'a>(skeleton: &'a Skeleton, namespace: Option<&'a str>) -> Holder<'a> {
    let content: BTreeMap<_, _> =
        skeleton.keys.iter().map(|(key, what)| (key.as_str(), format!("{FILL_IN}: {what}"))).collect();
    let is_secret = skeleton.kind == "Secret";
    let (string_data, data) = if is_secret { (content, BTreeMap::new()) } else { (BTreeMap::new(), content) };
    let metadata = Metadata { name: &skeleton.name, namespace };
    Holder { api_version: "v1", kind: skeleton.kind, metadata, string_data, data }
}

/// The object without what says nothing: a person is to read it.
fn lean(converted: &Converted) -> Value {
    let mut object = serde_json::to_value(&converted.object).unwrap_or_default();
    if let Some(root) = object.as_object_mut() {
        root.remove("status");
    }
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        if !converted.object.spec.suspend {
            spec.remove("suspend");
        }
        if converted.object.spec.plugin_name == DEFAULT_PLUGIN_NAME {
            spec.remove("pluginName");
        }
        // Neither form of the official configuration has it.
        spec.remove("suggestedReviewers");
        if !converted.object.spec.review.enabled {
            spec.remove("review");
        }
        if let Some(workload) = spec.get_mut("workload").and_then(Value::as_object_mut) {
            workload.remove("replicas");
            if workload.is_empty() {
                spec.remove("workload");
            }
        }
    }
    object
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn ensure_newline(text: &mut String) {
    if !text.ends_with('\n') {
        text.push('\n');
    }
}
