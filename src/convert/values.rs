//! Reads values of the official chart, `teleport-plugin-slack`, of any release since 10.
//!
//! Names of Secrets are made as its templates `_helpers.tpl` and `deployment.yaml` make them.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::convert::official::{Credentials, Official, Token};

const CHART: &str = "teleport-plugin-slack";
/// Names in Kubernetes that become host names.
const LONGEST_NAME: usize = 63;

/// Values without a counterpart, each with the reason.
const LEFT_OUT: &[(&str, &str)] = &[
    ("image", "is the official plugin's: the worker's image is the operator's, or spec.workload.image"),
    ("podSecurityContext", "is not needed: pods meet Pod Security \"restricted\""),
    ("securityContext", "is not needed: pods meet Pod Security \"restricted\""),
    ("annotations.config", "is not carried over: no user has to know the worker's ConfigMap"),
    ("annotations.deployment", "is not carried over: spec.workload.annotations are the pods'"),
    ("annotations.secret", "is not carried over: annotate the Secret itself"),
    ("nameOverride", "is not carried over: names derive from the object's name"),
    ("fullnameOverride", "is not carried over: names derive from the object's name"),
    ("secretVolumeName", "is not needed: Secrets are mounted by the operator"),
    ("volumes", "is not carried over: Secrets that the spec names are mounted by the operator"),
    ("volumeMounts", "is not carried over: Secrets that the spec names are mounted by the operator"),
    ("replicaCount", "is not carried over: the official plugin runs once; see spec.workload.replicas"),
    ("log.output", "is not needed: the worker logs to the container's output (kubectl logs)"),
    (
        "crd",
        "is not carried over: TeleportBotV1 and TeleportProvisionToken go with the release; apply manifests/teleport/operator.yaml instead",
    ),
    (
        "tbot",
        "is not carried over: the bot goes with the release; install the chart tbot as a release of its own, which writes the same Secret",
    ),
    ("global", "has no effect on the official chart either"),
];

pub(super) fn read(text: &str, release: &str) -> Result<Official, String> {
    let values: Value = serde_saphyr::from_str(text).map_err(|_| "is neither TOML nor YAML".to_owned())?;
    let Value::Object(mut values) = values else { return Err("holds no settings".to_owned()) };
    // `helm get values` without `-o yaml` begins with this line.
    values.remove("USER-SUPPLIED VALUES");
    if !values.keys().any(|key| ["teleport", "slack", "roleToRecipients", "tbot"].contains(&key.as_str())) {
        return Err("has none of the sections teleport, slack and roleToRecipients".to_owned());
    }
    let mut official = Official::default();
    let fullname = fullname(&values, release);
    let tbot = section(&mut values, "tbot");
    let teleport = section(&mut values, "teleport");
    let uses_tbot = tbot.get("enabled") == Some(&Value::Bool(true));
    official.address = text_of(&teleport, "address")
        .or_else(|| text_of(&tbot, "teleportProxyAddress"))
        .or_else(|| text_of(&tbot, "teleportAuthAddress"));
    let made_by_tbot =
        || format!("{release}-{}-out", text_of(&tbot, "nameOverride").unwrap_or_else(|| "tbot".to_owned()));
    let secret = text_of(&teleport, "identitySecretName").or_else(|| uses_tbot.then(made_by_tbot));
    let key = if uses_tbot { Some("identity".to_owned()) } else { text_of(&teleport, "identitySecretPath") };
    if let Some(name) = secret {
        official.credentials = Credentials::Secret { name, key: key.unwrap_or_else(|| "auth_id".to_owned()) };
    }
    let slack = section(&mut values, "slack");
    let key = text_of(&slack, "tokenSecretPath").unwrap_or_else(|| "slackToken".to_owned());
    official.token = match (text_of(&slack, "tokenFromSecret"), text_of(&slack, "token")) {
        (Some(name), _) => Token::Secret { name, key },
        (None, Some(_)) => Token::OfRelease { secret: format!("{fullname}-secret"), key },
        (None, None) => Token::Missing,
    };
    for (section_name, section, known) in [
        ("teleport", &teleport, &["address", "identitySecretName", "identitySecretPath"][..]),
        ("slack", &slack, &["token", "tokenFromSecret", "tokenSecretPath"]),
    ] {
        for (key, _) in section.iter().filter(|(key, value)| !known.contains(&key.as_str()) && !is_empty(value)) {
            official.note(format!("{section_name}.{key}"), "is no value of the official chart and has no effect there");
        }
    }
    review(&mut official, &section(&mut values, "review"), &fullname);
    if uses_tbot {
        left_out(&mut official, "tbot");
    }
    recipients(&mut official, section(&mut values, "roleToRecipients"));
    let log = section(&mut values, "log");
    if let Some(severity) = text_of(&log, "severity") {
        official.set_severity("log.severity", &severity);
    }
    if log.contains_key("output") {
        left_out(&mut official, "log.output");
    }
    pods(&mut official, &mut values);
    for (name, value) in values {
        match value {
            _ if is_empty(&value) => {}
            Value::Object(parts) if name == "annotations" => {
                for part in parts.iter().filter(|(_, value)| !is_empty(value)) {
                    left_out(&mut official, &format!("annotations.{}", part.0));
                }
            }
            Value::Object(parts) if parts.get("create") == Some(&Value::Bool(false)) => {}
            _ => left_out(&mut official, &name),
        }
    }
    Ok(official)
}

/// The settings of pods that have the same form in `spec.workload`.
fn pods(official: &mut Official, values: &mut Map<String, Value>) {
    let mut annotations = section(values, "podAnnotations");
    if let Some(Value::Object(groups)) = values.get_mut("annotations") {
        // The chart takes these before the older ones, and not both.
        let pod = section(groups, "pod");
        if !pod.is_empty() {
            annotations = pod;
        }
    }
    let workload = &mut official.workload;
    let mut unfit = Vec::new();
    take(&mut workload.annotations, Value::Object(annotations), "annotations.pod", &mut unfit);
    let mut value = |key: &str| values.remove(key).unwrap_or_default();
    let affinity = value("affinity");
    if !is_empty(&affinity) {
        workload.affinity = Some(affinity);
    }
    take(&mut workload.node_selector, value("nodeSelector"), "nodeSelector", &mut unfit);
    take(&mut workload.tolerations, value("tolerations"), "tolerations", &mut unfit);
    take(&mut workload.image_pull_secrets, value("imagePullSecrets"), "imagePullSecrets", &mut unfit);
    let resources = value("resources");
    if !is_empty(&resources) {
        let mut read = crate::crd::Resources::default();
        take(&mut read, resources, "resources", &mut unfit);
        workload.resources = Some(read);
    }
    for setting in unfit {
        official.note(setting, "does not have the form that Kubernetes expects and is left out");
    }
}

fn take<T: DeserializeOwned>(place: &mut T, value: Value, setting: &'static str, unfit: &mut Vec<&'static str>) {
    if is_empty(&value) {
        return;
    }
    match serde_json::from_value(value) {
        Ok(read) => *place = read,
        Err(_) => unfit.push(setting),
    }
}

fn review(official: &mut Official, section: &Map<String, Value>, fullname: &str) {
    let is_true = |key: &str| section.get(key) == Some(&Value::Bool(true));
    official.review.enabled = is_true("enabled");
    official.review.allow_email_match = is_true("allowEmailUsernameMatch");
    official.review.slack_user_id_trait = text_of(section, "slackUserIdTrait");
    let key = text_of(section, "appTokenSecretPath");
    if official.review.enabled && key.is_none() {
        official.note(
            "review.appTokenSecretPath",
            "is not set: compare spec.slack.appToken.secretRef.key with the keys of the Secret",
        );
    }
    let key = key.unwrap_or_else(|| "appToken".to_owned());
    official.review.app_token = match (text_of(section, "appTokenFromSecret"), text_of(section, "appToken")) {
        (Some(name), _) => Token::Secret { name, key },
        (None, Some(_)) => Token::OfRelease { secret: format!("{fullname}-secret"), key },
        (None, None) => Token::Missing,
    };
    let known = [
        "enabled",
        "allowEmailUsernameMatch",
        "slackUserIdTrait",
        "appTokenSecretPath",
        "appTokenFromSecret",
        "appToken",
    ];
    for key in section.keys().filter(|key| !known.contains(&key.as_str())) {
        official.note(format!("review.{key}"), "is no value of the official chart and has no effect there");
    }
}

fn recipients(official: &mut Official, roles: Map<String, Value>) {
    for (role, value) in roles {
        let list = match &value {
            Value::Array(list) => list.as_slice(),
            one => std::slice::from_ref(one),
        };
        let texts = list.iter().filter_map(Value::as_str).map(|text| text.trim().to_owned());
        let texts: Vec<_> = texts.filter(|text| !text.is_empty()).collect();
        if texts.is_empty() {
            official.note(format!("roleToRecipients.{role:?}"), "names no recipient and is left out");
        } else {
            official.recipients.insert(role, texts);
        }
    }
}

/// As the chart's template `slack.fullname` names things.
fn fullname(values: &Map<String, Value>, release: &str) -> String {
    let name = text_of(values, "nameOverride").unwrap_or_else(|| CHART.to_owned());
    let full = match text_of(values, "fullnameOverride") {
        Some(full) => full,
        None if release.contains(&name) => release.to_owned(),
        None => format!("{release}-{name}"),
    };
    full.chars().take(LONGEST_NAME).collect::<String>().trim_end_matches('-').to_owned()
}

fn section(values: &mut Map<String, Value>, name: &str) -> Map<String, Value> {
    match values.remove(name) {
        Some(Value::Object(section)) => section,
        _ => Map::new(),
    }
}

fn text_of(section: &Map<String, Value>, key: &str) -> Option<String> {
    let text = section.get(key)?.as_str()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn left_out(official: &mut Official, setting: &str) {
    let reason = LEFT_OUT.iter().find(|(known, _)| *known == setting).map(|(_, reason)| *reason);
    official.note(setting, reason.unwrap_or("is no value of the official chart and has no effect there"));
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(is_empty),
        _ => false,
    }
}
