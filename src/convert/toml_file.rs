//! Reads the official plugin's TOML file, of any release.

use toml::{Table, Value};

use crate::convert::official::{Credentials, Official, Token};

/// Settings without a counterpart, in lower case, each with the reason.
const LEFT_OUT: &[(&str, &str)] = &[
    ("teleport.refresh_identity", "is not needed: a changed Secret is taken up by the running worker"),
    ("teleport.refresh_identity_interval", "is not needed: a changed Secret is taken up by the running worker"),
    ("slack.secret", "was for buttons in messages, which the official plugin gave up in 2021"),
    ("slack.notify_only", "is not needed: messages have no buttons"),
    (
        "http",
        "was for Slack's calls to the plugin, which the official plugin gave up in 2021: nothing has to reach the worker",
    ),
    ("log.output", "is not needed: the worker logs to the container's output (kubectl logs)"),
    ("log.format", "is not carried over: set spec.log.format"),
    ("diag", "is not needed: the worker always serves /livez, /readyz and /metrics on port 8081"),
    ("kubernetes", "is written by the operator"),
];

/// Whether the text is TOML with a section of the official file.
pub(super) fn is_one(text: &str) -> bool {
    let table = text.parse::<Table>();
    table.is_ok_and(|table| table.keys().any(|key| ["teleport", "slack"].contains(&key.to_lowercase().as_str())))
        || text.lines().any(|line| matches!(line.trim().to_lowercase().as_str(), "[teleport]" | "[slack]"))
}

pub(super) fn read(text: &str) -> Result<Official, String> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map(|span| text.get(..span.start).unwrap_or_default().matches('\n').count() + 1);
        // The parser quotes what it did not understand, which may be a token: only its own words are passed on.
        let line = line.map(|line| format!("line {line}: ")).unwrap_or_default();
        format!("{line}not valid TOML (text values stand in double quotes)")
    })?;
    let mut official = Official::default();
    let mut tls = [None, None, None];
    let mut addresses = [None, None];
    let mut fallback = Vec::new();
    for (section, value) in table {
        let section_key = section.to_lowercase();
        match (section_key.as_str(), value) {
            ("role_to_recipients", Value::Table(roles)) => {
                for (role, value) in roles {
                    let listed = texts(&value);
                    if listed.is_empty() {
                        official.note(format!("role_to_recipients.{role:?}"), "names no recipient and is left out");
                    } else {
                        official.recipients.insert(role, listed);
                    }
                }
            }
            ("teleport" | "slack" | "review" | "log", Value::Table(keys)) => {
                for (key, value) in keys {
                    let text = value.as_str().map(str::trim).unwrap_or_default().to_owned();
                    let path = format!("{section_key}.{}", key.to_lowercase());
                    match path.as_str() {
                        _ if value.as_str().is_some_and(|text| text.trim().is_empty()) => {}
                        "teleport.addr" => addresses[0] = Some(text),
                        "teleport.auth_server" => addresses[1] = Some(text),
                        "teleport.identity" => official.credentials = Credentials::File(text),
                        "teleport.client_crt" => tls[0] = Some(text),
                        "teleport.client_key" => tls[1] = Some(text),
                        "teleport.root_cas" => tls[2] = Some(text),
                        "teleport.ca_bundle" => official.teleport_ca = Some(text),
                        "teleport.plugin_name" => official.plugin_name = Some(text),
                        "teleport.user" => official.user = Some(text),
                        "slack.team_id" => official.team_id = Some(text),
                        "slack.token" => official.token = token(text),
                        "review.enabled" => official.review.enabled = value.as_bool() == Some(true),
                        "review.app_token" => official.review.app_token = token(text),
                        "review.slack_user_id_trait" => official.review.slack_user_id_trait = Some(text),
                        "review.allow_email_username_match" => {
                            official.review.allow_email_match = value.as_bool() == Some(true);
                        }
                        "slack.api_url" | "slack.apiurl" => official.api_url = Some(text),
                        "slack.ca_bundle" => official.slack_ca = Some(text),
                        "slack.recipients" | "slack.channel" => fallback.push((path, texts(&value))),
                        "log.severity" => official.set_severity("log.severity", &text),
                        _ => left_out(&mut official, path, &key),
                    }
                }
            }
            (_, Value::Table(keys)) if LEFT_OUT.iter().any(|(setting, _)| *setting == section_key) => {
                for key in keys.keys() {
                    left_out(&mut official, section_key.clone(), &format!("{section_key}.{key}"));
                }
            }
            _ => left_out(&mut official, section_key, &section),
        }
    }
    use_fallback(&mut official, fallback);
    let [addr, auth_server] = addresses;
    if auth_server.is_some() {
        let became = if addr.is_some() { "is not used: addr is set too" } else { "became spec.teleport.address" };
        official.note("teleport.auth_server", became);
    }
    official.address = addr.or(auth_server);
    if let [Some(certificate), Some(key), Some(cas)] = tls {
        official.credentials = Credentials::TlsFiles { certificate, key, cas };
    }
    Ok(official)
}

/// The recipients that older releases had beside the map: they serve every role.
fn use_fallback(official: &mut Official, fallback: Vec<(String, Vec<String>)>) {
    for (setting, recipients) in fallback {
        if official.recipients.is_empty() {
            official.note(setting, "became roleToRecipients.\"*\"");
            official.recipients.insert("*".to_owned(), recipients);
        } else {
            official.note(setting, "is not used: role_to_recipients is set too");
        }
    }
}

/// Notes a setting without a counterpart. `name` is as it was written, without its section where `path` has it.
fn left_out(official: &mut Official, path: String, name: &str) {
    let reason = LEFT_OUT.iter().find(|(setting, _)| *setting == path).map(|(_, reason)| *reason);
    let shown = if name.contains('.') { name.to_owned() } else { path };
    official.note(shown, reason.unwrap_or("is unknown, to the official plugin too, and has no effect there"));
}

/// A token, or the absolute path of its file.
fn token(text: String) -> Token {
    if text.starts_with('/') { Token::File(text) } else { Token::Inline }
}

/// A string or a list of strings.
fn texts(value: &Value) -> Vec<String> {
    let list = match value {
        Value::String(_) => std::slice::from_ref(value),
        Value::Array(list) => list.as_slice(),
        _ => &[],
    };
    let texts = list.iter().filter_map(Value::as_str).map(|text| text.trim().to_owned());
    texts.filter(|text| !text.is_empty()).collect()
}
