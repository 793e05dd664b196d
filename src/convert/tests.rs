//! Every file of `tests/golden/convert` is one that a user of the official plugin could have.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::config::{Config, Environment, Wildcard};
use crate::controller::validate::validate;
use crate::convert::{Converted, Error, Form, Options, convert};
use crate::crd::SlackAccessPlugin;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/convert")
}

fn options(file: &str) -> Options {
    Options {
        file: file.to_owned(),
        form: Form::Auto,
        name: "slack".to_owned(),
        namespace: None,
        release: "slack".to_owned(),
        suspend: false,
    }
}

/// Name and text of each file to convert.
fn collection() -> Vec<(String, String)> {
    let mut files: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.contains(".equivalent."))
        .map(|name| (name.clone(), fs::read_to_string(folder().join(name)).unwrap()))
        .collect();
    files.sort();
    assert!(files.len() >= 11, "{files:?}");
    files
}

fn converted(file: &str) -> Converted {
    convert(&fs::read_to_string(folder().join(file)).unwrap(), &options(file)).unwrap()
}

/// The object in the manifest, as Kubernetes reads it.
fn object(manifest: &str) -> SlackAccessPlugin {
    let mut object: SlackAccessPlugin = serde_saphyr::from_str(manifest.rsplit("---\n").next().unwrap()).unwrap();
    object.metadata.namespace = Some("teleport".to_owned());
    object.metadata.uid = Some("11111111-2222-3333-4444-555555555555".to_owned());
    object
}

/// What the official plugin does with the file: the file itself, or one in its newest form that does the same.
fn official(file: &str) -> Config {
    let equivalent = folder().join(format!("{}.equivalent.toml", file.split('.').next().unwrap()));
    let path = if equivalent.exists() { equivalent } else { folder().join(file) };
    Config::load(&path, Wildcard::Required, &Environment::default()).unwrap().config
}

#[test]
fn the_object_behaves_as_the_configuration_it_came_from() {
    for (file, text) in collection() {
        let manifest = convert(&text, &options(&file)).unwrap().to_yaml().unwrap();
        let ours = validate(&object(&manifest)).unwrap_or_else(|error| panic!("{file}: {error}")).config;
        let theirs = official(&file);
        assert_eq!(ours.teleport.addr, theirs.teleport.addr, "{file}");
        assert_eq!(
            std::mem::discriminant(&ours.teleport.credentials),
            std::mem::discriminant(&theirs.teleport.credentials),
            "{file}"
        );
        assert_eq!(ours.teleport.plugin_name, theirs.teleport.plugin_name, "{file}");
        assert_eq!(ours.slack.api_url, theirs.slack.api_url, "{file}");
        assert_eq!(ours.role_to_recipients, theirs.role_to_recipients, "{file}");
        assert_eq!(ours.review.is_some(), theirs.review.is_some(), "{file}");
        assert_eq!(ours.log.severity, theirs.log.severity, "{file}");
    }
}

#[test]
fn the_definition_admits_what_was_made() {
    for (file, text) in collection() {
        let manifest = convert(&text, &options(&file)).unwrap().to_yaml().unwrap();
        object(&manifest).validate_cel().unwrap_or_else(|error| panic!("{file}: {error:?}"));
    }
}

#[test]
fn no_secret_is_printed() {
    for (file, text) in collection() {
        let converted = convert(&text, &options(&file)).unwrap();
        let manifest = converted.to_yaml().unwrap();
        assert!(!manifest.contains("SECRET"), "{file}: {manifest}");
        assert!(!format!("{converted:?}").contains("SECRET"), "{file}");
    }
    for broken in ["[slack]\ntoken = xoxb-SECRET-1\n", "slack: [xoxb-SECRET-1", "xoxb-SECRET-1"] {
        let error = convert(broken, &options("f")).unwrap_err();
        assert!(matches!(error, Error::Unreadable { .. }) && !error.to_string().contains("SECRET"), "{error}");
        assert!(error.to_string().starts_with("f: "), "{error}");
    }
}

#[test]
fn secrets_that_are_there_are_referred_to_and_others_become_skeletons() {
    let secret = converted("values-secret.yaml");
    assert_eq!(secret.skeletons, []);
    let identity = secret.object.spec.teleport.identity.unwrap().secret_ref;
    assert_eq!((identity.name.as_str(), identity.key.as_deref()), ("slack-identity", Some("my_auth_id")));
    let token = secret.object.spec.slack.token.secret_ref;
    assert_eq!((token.name.as_str(), token.key.as_str()), ("slack-app", "bot"));

    let tbot = converted("values-tbot.yaml").object.spec;
    let identity = tbot.teleport.identity.unwrap().secret_ref;
    assert_eq!((identity.name.as_str(), identity.key.as_deref()), ("slack-tbot-out", Some("identity")));
    assert_eq!(tbot.slack.token.secret_ref.key, "slackToken");

    for (file, names) in [
        ("guide.toml", &["teleport-slack-identity", "slack-bot-token"][..]),
        ("tls.toml", &["teleport-slack-tls", "slack-bot-token"]),
        ("by-hand.toml", &["teleport-slack-identity", "slack-bot-token", "slack-ca"]),
        ("values-inline.yaml", &["slack-bot-token"]),
    ] {
        let mut found: Vec<_> = converted(file).skeletons.into_iter().map(|skeleton| skeleton.name).collect();
        let mut names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        found.sort();
        names.sort();
        assert_eq!(found, names, "{file}");
    }
    let manifest = converted("values-inline.yaml").to_yaml().unwrap();
    assert!(manifest.contains("kubectl get secret slack-teleport-plugin-slack-secret"), "{manifest}");
    let manifest = converted("values-release-10.yaml").to_yaml().unwrap();
    assert!(manifest.contains("kubectl get secret slack-plugin-secret"), "{manifest}");
    let manifest = converted("tls.toml").to_yaml().unwrap();
    assert!(manifest.contains("--from-file=token='/var/lib/teleport/plugins/slack/slack token'"), "{manifest}");
}

#[test]
fn reviews_in_slack_are_carried_over_with_their_token() {
    let spec = converted("review.toml").object.spec;
    assert!(spec.review.enabled && spec.review.allow_email_match);
    assert_eq!(spec.review.slack_user_id_trait, "slack_uid");
    let token = spec.slack.app_token.unwrap().secret_ref;
    assert_eq!((token.name.as_str(), token.key.as_str()), ("slack-app-token", "appToken"));
    let names: Vec<_> = converted("review.toml").skeletons.into_iter().map(|skeleton| skeleton.name).collect();
    assert!(names.contains(&"slack-app-token".to_owned()), "{names:?}");
    let token = converted("values-tbot.yaml").object.spec.slack.app_token.unwrap().secret_ref;
    assert_eq!(token.name, "slack-app");
    assert!(converted("guide.toml").object.spec.slack.app_token.is_none());
}

#[test]
fn pod_settings_of_the_chart_are_carried_over() {
    let workload = converted("values-secret.yaml").object.spec.workload;
    assert_eq!(workload.image, None);
    assert_eq!(workload.annotations.keys().collect::<Vec<_>>(), ["prometheus.io/scrape"]);
    assert_eq!(workload.node_selector["kubernetes.io/arch"], "amd64");
    assert_eq!((workload.tolerations.len(), workload.image_pull_secrets.len()), (1, 1));
    assert!(workload.affinity.is_some());
    assert_eq!(workload.resources.unwrap().requests.len(), 2);
}

#[test]
fn every_setting_without_a_counterpart_is_listed_with_the_reason() {
    for (file, expected) in [
        ("guide.toml", &["log.output"][..]),
        ("tls.toml", &["log.output"]),
        ("refresh.toml", &["teleport.refresh_identity", "teleport.refresh_identity_interval"]),
        ("review.toml", &[]),
        ("auth-server.toml", &["slack.recipients", "teleport.auth_server"]),
        (
            "before-2021.toml",
            &[
                "http.https_cert_file",
                "http.https_key_file",
                "http.listen_addr",
                "http.public_addr",
                "log.output",
                "slack.channel",
                "slack.notify_only",
                "slack.secret",
                "teleport.auth-server",
            ],
        ),
        (
            "by-hand.toml",
            &[
                "log.colour",
                "role_to_recipients.\"*\"",
                "role_to_recipients.\"dba\"",
                "role_to_recipients.\"dev\"",
                "role_to_recipients.\"empty\"",
                "role_to_recipients.\"sre\"",
                "teleport.addr",
                "teleport.retries",
                "zone",
            ],
        ),
        ("values-inline.yaml", &["log.output"]),
        (
            "values-secret.yaml",
            &["annotations.config", "extraEnv", "image", "podSecurityContext", "secretVolumeName", "securityContext"],
        ),
        ("values-tbot.yaml", &["crd", "review.appTokenSecretPath", "tbot"]),
        ("values-release-10.yaml", &["fullnameOverride", "image", "log.output", "volumeMounts", "volumes"]),
    ] {
        let notes = converted(file).notes;
        let found: BTreeSet<_> = notes.iter().map(|note| note.setting.as_str()).collect();
        assert_eq!(found, expected.iter().copied().collect(), "{file}: {notes:#?}");
        assert!(notes.iter().all(|note| note.reason.len() > 20), "{notes:#?}");
    }
}

#[test]
fn a_configuration_without_address_or_recipients_says_what_is_missing() {
    let converted = convert("[slack]\ntoken = \"xoxb-1\"\n", &options("f")).unwrap();
    let manifest = converted.to_yaml().unwrap();
    for words in ["teleport.addr is not set", "names no recipient: add", "the configuration names none"] {
        assert!(manifest.contains(words), "{words} in {manifest}");
    }
}

#[test]
fn an_object_that_is_to_wait_is_suspended() {
    let text = fs::read_to_string(folder().join("values-secret.yaml")).unwrap();
    let waiting = convert(&text, &Options { suspend: true, ..options("values-secret.yaml") }).unwrap();
    assert!(object(&waiting.to_yaml().unwrap()).spec.suspend);
    assert!(!converted("values-secret.yaml").to_yaml().unwrap().contains("suspend"));
}

#[test]
fn a_namespace_is_in_every_object_and_command() {
    let namespaced = Options { namespace: Some("access".to_owned()), ..options("guide.toml") };
    let text = fs::read_to_string(folder().join("guide.toml")).unwrap();
    let manifest = convert(&text, &namespaced).unwrap().to_yaml().unwrap();
    assert_eq!(manifest.matches("namespace: access").count(), 3, "{manifest}");
    assert_eq!(manifest.matches("kubectl -n access create secret").count(), 2, "{manifest}");
}
