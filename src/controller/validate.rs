//! Pure: what a user wrote → everything that `build` needs, or the reason why it cannot work.
//!
//! The definition's own rules refuse most mistakes when the object is written. What is left here is what they cannot see: objects
//! that were written before a rule existed, and the free-form parts of `spec.workload`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Affinity, TopologySpreadConstraint};
use kube::ResourceExt as _;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::paths::{DIAG_PORT, IDENTITY_FILE, IDENTITY_KEYS, JOIN_TOKEN_DIR, JOIN_TOKEN_FILE, Source};
use crate::config::recipient::{Recipient, RoleToRecipients};
use crate::config::suggested_reviewers::{SuggestedReviewers, parse_domain};
use crate::config::{self, Config, IdentitySource, Problem, StatusObject, TokenSource};
use crate::crd::{self, LogFormat, LogSeverity, SlackAccessPlugin, Workload};
use crate::telemetry;
use crate::teleport::identity::Credentials;
use crate::teleport::join;

/// What a ConfigMap holds at most, in bytes.
const LARGEST_FILE: usize = 1024 * 1024;
/// Labels that the operator sets itself start like this.
const RESERVED_LABELS: [&str; 2] = ["app.kubernetes.io/", "slackaccess.dev/"];

/// The single input of the build step: nothing in it can make an object that Kubernetes would not understand.
#[derive(Clone, Debug)]
pub struct Validated {
    /// The object that owns everything that is built.
    pub owner: Owner,
    /// Whether no worker is to run.
    pub suspend: bool,
    /// The worker's configuration.
    pub config: Config,
    /// The same as a file, as the worker reads it.
    pub file: String,
    /// The keys to mount, by the object that holds them.
    pub mounts: BTreeMap<Source, Vec<MountedKey>>,
    /// The ServiceAccount token to join Teleport with, if it does.
    pub join_token: Option<JoinToken>,
    /// Settings of the pods.
    pub pods: Pods,
}

impl Validated {
    /// The Secrets that are mounted into the worker.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.mounts.keys().filter_map(|source| match source {
            Source::Secret(name) => Some(name.as_str()),
            Source::ConfigMap(_) => None,
        })
    }
}

/// The object that owns everything that is built.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Owner {
    /// Its name.
    pub name: String,
    /// Its namespace, and that of everything it owns.
    pub namespace: String,
    /// Its UID.
    pub uid: String,
}

/// A key of a Secret or ConfigMap, and the name of the file that it becomes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MountedKey {
    /// The key.
    pub key: String,
    /// The file's name.
    pub file: String,
}

/// A ServiceAccount token that Kubernetes makes for the pods.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JoinToken {
    /// Whom it is for; the API server itself when there is none.
    pub audience: Option<String>,
}

/// Settings of the pods: what was written, with its free-form parts understood.
#[derive(Clone, Debug)]
pub struct Pods {
    /// What was written.
    pub written: Workload,
    /// `affinity`.
    pub affinity: Option<Affinity>,
    /// `topologySpreadConstraints`.
    pub spread: Vec<TopologySpreadConstraint>,
}

/// Why an object cannot work as it is.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Rejection {
    /// Where, as a path from the object's root.
    pub field: String,
    /// What is wrong and what to do.
    pub problem: String,
}

impl Rejection {
    pub(super) fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

/// Understands an object.
pub fn validate(plugin: &SlackAccessPlugin) -> Result<Validated, Rejection> {
    let owner = owner(plugin)?;
    let mut mounts = Mounts::default();
    let config = config(plugin, &owner, &mut mounts)?;
    let file = rendered(&config)?;
    fits(&file, &config.role_to_recipients)?;
    let pods = pods(&plugin.spec.workload)?;
    let join_token = plugin.spec.teleport.join.as_ref().map(|join| join_token(join, &plugin.spec.teleport.address));
    Ok(Validated { owner, suspend: plugin.spec.suspend, config, file, mounts: mounts.0, join_token, pods })
}

fn owner(plugin: &SlackAccessPlugin) -> Result<Owner, Rejection> {
    let missing = |field: &str| Rejection::new(field, "is missing: this is no object of a Kubernetes API server");
    Ok(Owner {
        name: plugin.metadata.name.clone().ok_or_else(|| missing("metadata.name"))?,
        namespace: plugin.namespace().ok_or_else(|| missing("metadata.namespace"))?,
        uid: plugin.uid().ok_or_else(|| missing("metadata.uid"))?,
    })
}

/// Collects what has to be mounted while paths are given out.
#[derive(Default)]
struct Mounts(BTreeMap<Source, Vec<MountedKey>>);

impl Mounts {
    fn file(&mut self, source: Source, key: &str) -> PathBuf {
        self.file_of_keys(source, &[key], key)
    }

    /// One file from whichever of the keys is there: Kubernetes lets the last one that it finds win.
    fn file_of_keys(&mut self, source: Source, keys: &[&str], file: &str) -> PathBuf {
        let path = source.folder().join(file);
        let mounted = self.0.entry(source).or_default();
        for key in keys {
            let key = MountedKey { key: (*key).to_owned(), file: file.to_owned() };
            if !mounted.contains(&key) {
                mounted.push(key);
            }
        }
        path
    }

    fn ca_bundle(&mut self, bundle: Option<&crd::CaBundle>, field: &str) -> Result<Option<PathBuf>, Rejection> {
        let Some(bundle) = bundle else { return Ok(None) };
        match (&bundle.config_map_ref, &bundle.secret_ref) {
            (Some(map), None) => Ok(Some(self.file(Source::ConfigMap(map.name.clone()), &map.key))),
            (None, Some(secret)) => Ok(Some(self.file(Source::Secret(secret.name.clone()), &secret.key))),
            _ => Err(Rejection::new(field, "exactly one of configMapRef and secretRef is needed")),
        }
    }
}

fn config(plugin: &SlackAccessPlugin, owner: &Owner, mounts: &mut Mounts) -> Result<Config, Rejection> {
    let crd::Teleport { address, join, identity, tls, user, ca_bundle } = &plugin.spec.teleport;
    let credentials = match (join, identity, tls) {
        (Some(written), None, None) => IdentitySource::Join(join_settings(written)?),
        (None, Some(identity), None) => {
            let secret = Source::Secret(identity.secret_ref.name.clone());
            IdentitySource::Files(Credentials::IdentityFile(if let Some(key) = &identity.secret_ref.key {
                mounts.file(secret, key)
            } else {
                let [first, second] = IDENTITY_KEYS;
                mounts.file_of_keys(secret, &[second, first], IDENTITY_FILE)
            }))
        }
        (None, None, Some(tls)) => {
            let secret = || Source::Secret(tls.secret_ref.name.clone());
            IdentitySource::Files(Credentials::TlsFiles {
                certificate: mounts.file(secret(), &tls.secret_ref.certificate_key),
                key: mounts.file(secret(), &tls.secret_ref.private_key_key),
                cas: mounts.file(secret(), &tls.secret_ref.ca_key),
            })
        }
        _ => return Err(Rejection::new("spec.teleport", "exactly one of join, identity and tls is needed")),
    };
    let crd::Slack { token, app_token, api_url, ca_bundle: slack_ca, team_id } = &plugin.spec.slack;
    Ok(Config {
        teleport: config::Teleport {
            addr: address.clone(),
            credentials,
            ca_bundle: mounts.ca_bundle(ca_bundle.as_ref(), "spec.teleport.caBundle")?,
            plugin_name: plugin.spec.plugin_name.clone(),
            user: user.clone(),
        },
        slack: config::Slack {
            token: TokenSource::File(mounts.file(Source::Secret(token.secret_ref.name.clone()), &token.secret_ref.key)),
            api_url: if api_url.ends_with('/') { api_url.clone() } else { format!("{api_url}/") },
            ca_bundle: mounts.ca_bundle(slack_ca.as_ref(), "spec.slack.caBundle")?,
            team_id: team_id.clone(),
        },
        role_to_recipients: recipients(plugin)?,
        suggested_reviewers: suggested_reviewers(&plugin.spec.suggested_reviewers)?,
        review: review(&plugin.spec.review, app_token.as_ref(), mounts)?,
        log: log(plugin.spec.log),
        // Of every address: a cluster may have IPv6 alone.
        diag_addr: Some(format!(":{DIAG_PORT}")),
        kubernetes: Some(StatusObject {
            namespace: owner.namespace.clone(),
            name: owner.name.clone(),
            uid: Some(owner.uid.clone()),
        }),
    })
}

fn join_settings(join: &crd::Join) -> Result<join::Settings, Rejection> {
    let ca_pins = join.ca_pins.iter().map(|pin| pin.parse()).collect::<Result<_, join::NotAPin>>();
    Ok(join::Settings {
        token: join.token.clone(),
        token_path: Path::new(JOIN_TOKEN_DIR).join(JOIN_TOKEN_FILE),
        role: join.role.clone(),
        ca_pins: ca_pins.map_err(|error| Rejection::new("spec.teleport.join.caPins", error.to_string()))?,
    })
}

/// Most clusters are named after the host of their Proxy.
fn join_token(join: &crd::Join, address: &str) -> JoinToken {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let audience = join.audience.as_deref().unwrap_or(host);
    JoinToken { audience: Some(audience.to_owned()).filter(|audience| !audience.is_empty()) }
}

/// The app-level token is mounted only where it is used.
fn review(
    written: &crd::Review,
    app_token: Option<&crd::SlackAppToken>,
    mounts: &mut Mounts,
) -> Result<Option<config::Review>, Rejection> {
    let crd::Review { enabled, slack_user_id_trait, allow_email_match, reason } = written;
    if !enabled {
        return Ok(None);
    }
    let Some(crd::SlackAppToken { secret_ref }) = app_token else {
        return Err(Rejection::new(
            "spec.review.enabled",
            "needs slack.appToken: name the Secret of an app-level token",
        ));
    };
    let slack_user_id_trait = Some(slack_user_id_trait.trim()).filter(|name| !name.is_empty());
    Ok(Some(config::Review {
        app_token: TokenSource::File(mounts.file(Source::Secret(secret_ref.name.clone()), &secret_ref.key)),
        slack_user_id_trait: slack_user_id_trait.map(str::to_owned),
        allow_email_match: *allow_email_match,
        reason: match reason {
            crd::ReasonPolicy::Never => config::ReasonPolicy::Never,
            crd::ReasonPolicy::Optional => config::ReasonPolicy::Optional,
            crd::ReasonPolicy::OnDeny => config::ReasonPolicy::OnDeny,
            crd::ReasonPolicy::Always => config::ReasonPolicy::Always,
        },
    }))
}

/// The worker's file. What the worker would refuse to start with is refused here: its own reader decides.
fn rendered(config: &Config) -> Result<String, Rejection> {
    let unreadable = |problem: String| Rejection::new("spec", problem);
    let text = config.to_toml().map_err(|error| unreadable(error.to_string()))?;
    match Config::parse("", &text, config::Wildcard::Optional, &config::Environment::default()) {
        Ok(_) => Ok(text),
        Err(config::Error::Invalid(Problem { what, remedy, .. })) => Err(unreadable(format!("{what}; {remedy}"))),
        Err(error) => Err(unreadable(error.to_string())),
    }
}

/// The API server refuses a larger map, in words that speak of no role.
fn fits(file: &str, recipients: &RoleToRecipients) -> Result<(), Rejection> {
    if file.len() <= LARGEST_FILE {
        return Ok(());
    }
    let lists: Vec<_> = recipients.iter().map(|(_, list)| list.len()).collect();
    Err(Rejection::new(
        "spec.roleToRecipients",
        format!(
            "{} roles with {} recipients make a configuration of {} KiB, and a ConfigMap holds {} KiB; name fewer, or a channel instead of many people",
            lists.len(),
            lists.iter().sum::<usize>(),
            file.len().div_ceil(1024),
            LARGEST_FILE / 1024,
        ),
    ))
}

fn recipients(plugin: &SlackAccessPlugin) -> Result<RoleToRecipients, Rejection> {
    let mut entries = Vec::new();
    for (role, written) in &plugin.spec.role_to_recipients {
        let parsed: Option<Vec<_>> = written.0.iter().map(|recipient| Recipient::parse(&recipient.0)).collect();
        match parsed {
            Some(parsed) if !parsed.is_empty() => entries.push((role.clone(), parsed)),
            _ => {
                return Err(Rejection::new(
                    format!("spec.roleToRecipients[{role}]"),
                    "an empty recipient; name a channel or an e-mail address, or leave the role out",
                ));
            }
        }
    }
    if entries.is_empty() {
        return Err(Rejection::new("spec.roleToRecipients", "nobody would be told: name at least one recipient"));
    }
    Ok(RoleToRecipients::new(entries))
}

fn suggested_reviewers(written: &crd::SuggestedReviewers) -> Result<SuggestedReviewers, Rejection> {
    let domains = written.allowed_domains.iter().map(|domain| {
        parse_domain(domain).ok_or_else(|| {
            Rejection::new(
                "spec.suggestedReviewers.allowedDomains",
                format!("'{domain}' is no domain; write what stands behind the @ of the addresses"),
            )
        })
    });
    Ok(SuggestedReviewers { max: written.max, allowed_domains: domains.collect::<Result<_, _>>()? })
}

fn log(log: crd::Log) -> telemetry::Log {
    telemetry::Log {
        output: telemetry::Output::Stdout,
        severity: match log.severity {
            LogSeverity::Debug => telemetry::Severity::Debug,
            LogSeverity::Info => telemetry::Severity::Info,
            LogSeverity::Warn => telemetry::Severity::Warn,
            LogSeverity::Error => telemetry::Severity::Error,
        },
        format: match log.format {
            LogFormat::Json => telemetry::Format::Json,
            LogFormat::Text => telemetry::Format::Text,
        },
    }
}

fn pods(workload: &Workload) -> Result<Pods, Rejection> {
    if let Some(label) = workload.labels.keys().find(|label| RESERVED_LABELS.iter().any(|own| label.starts_with(own))) {
        return Err(Rejection::new(
            format!("spec.workload.labels[{label}]"),
            "is reserved: the operator finds its pods by labels of this prefix",
        ));
    }
    if let Some(resources) = &workload.resources {
        check_resources(resources)?;
    }
    Ok(Pods {
        affinity: workload.affinity.as_ref().map(|value| strictly(value, "spec.workload.affinity")).transpose()?,
        spread: workload
            .topology_spread_constraints
            .iter()
            .enumerate()
            .map(|(index, value)| strictly(value, &format!("spec.workload.topologySpreadConstraints[{index}]")))
            .collect::<Result<_, _>>()?,
        written: workload.clone(),
    })
}

/// What the API server would refuse in the Deployment, in words that speak of its template.
fn check_resources(resources: &crd::Resources) -> Result<(), Rejection> {
    let crd::Resources { requests, limits } = resources;
    for (kind, amounts) in [("requests", requests), ("limits", limits)] {
        for (name, amount) in amounts {
            let field = || format!("spec.workload.resources.{kind}.{name}");
            match amount.value() {
                None => {
                    return Err(Rejection::new(field(), format!("'{amount}' is no quantity; write 0.5, 500m or 64Mi")));
                }
                Some(value) if value < 0.0 => {
                    return Err(Rejection::new(
                        field(),
                        format!("'{amount}' is negative; give what the worker may use"),
                    ));
                }
                Some(_) => {}
            }
        }
    }
    for (name, request) in requests {
        let limit = limits.get(name).filter(|limit| request.value() > limit.value());
        if let Some(limit) = limit {
            return Err(Rejection::new(
                format!("spec.workload.resources.requests.{name}"),
                format!("'{request}' is more than the limit, '{limit}'; lower the one or raise the other"),
            ));
        }
    }
    Ok(())
}

/// Reads a free-form part as the API server would with strict validation: an unknown field is an error, not a silent loss.
fn strictly<T: DeserializeOwned>(value: &Value, field: &str) -> Result<T, Rejection> {
    let mut unknown = Vec::new();
    let parsed = serde_ignored::deserialize(value, |path| unknown.push(path.to_string()))
        .map_err(|error| Rejection::new(field, error.to_string()))?;
    // serde_ignored marks each optional value on the way with a `?`.
    match unknown.first().map(|path| path.replace(".?", "")) {
        Some(path) => Err(Rejection::new(format!("{field}.{path}"), "no such field; see `kubectl explain pod.spec`")),
        None => Ok(parsed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::fixtures::{minimal, plugin};

    fn rejection(spec: &str) -> String {
        validate(&plugin(spec)).unwrap_err().to_string()
    }

    #[test]
    fn the_minimal_object_is_understood() {
        let validated = validate(&minimal()).unwrap();
        assert_eq!(validated.config.teleport.addr, "teleport.example.com:443");
        assert_eq!(validated.config.slack.api_url, "https://slack.com/api/");
        assert_eq!(validated.pods.written.replicas, 1);
    }

    #[test]
    fn what_is_rendered_is_what_the_worker_reads() {
        let config = validate(&minimal()).unwrap().config;
        let text = config.to_toml().unwrap();
        let read =
            Config::parse("worker.toml", &text, config::Wildcard::Optional, &config::Environment::default()).unwrap();
        assert_eq!(read.config, config);
        assert!(read.warnings.is_empty(), "{:?}", read.warnings);
    }

    #[test]
    fn what_the_worker_would_not_start_with_is_rejected() {
        let spec = |address: &str, url: &str| {
            format!(
                "teleport: {{address: '{address}', identity: {{secretRef: {{name: id}}}}}}\n\
                 slack: {{token: {{secretRef: {{name: t}}}}, apiUrl: '{url}'}}\nroleToRecipients: {{'*': [x]}}"
            )
        };
        let url = "https://slack.com/api/";
        assert!(rejection(&spec("teleport", url)).contains("'teleport' is no address; write HOST:PORT"));
        assert!(
            rejection(&spec("a:1", "https://slack.com/api/?x=1")).starts_with("spec: slack.api_url is no base URL")
        );
    }

    #[test]
    fn a_configuration_that_no_map_holds_is_rejected_in_words_of_the_spec() {
        let lists = |length: usize| {
            let list: Vec<_> = (10..60).map(|person| format!("{person}{}@example.com", "a".repeat(length))).collect();
            let list = list.join(", ");
            let roles: Vec<_> = (0..200).map(|role| format!("role-{role}: [{list}]")).collect();
            plugin(&format!(
                "teleport: {{address: 'a:1', identity: {{secretRef: {{name: id}}}}}}\n\
                 slack: {{token: {{secretRef: {{name: t}}}}}}\nroleToRecipients: {{{}}}",
                roles.join(", ")
            ))
        };
        let said = validate(&lists(113)).unwrap_err().to_string();
        assert!(
            said.starts_with("spec.roleToRecipients: 200 roles with 10000 recipients make a configuration"),
            "{said}"
        );
        assert!(said.contains("a ConfigMap holds 1024 KiB"), "{said}");
        assert!(validate(&lists(40)).is_ok());
    }

    #[test]
    fn reviews_need_the_app_token_and_mount_it_only_where_they_are_on() {
        let spec = |slack: &str, review: &str| {
            plugin(&format!(
                "teleport: {{address: 'a:1', identity: {{secretRef: {{name: id}}}}}}\n\
                 slack: {{token: {{secretRef: {{name: t}}}}{slack}}}\nroleToRecipients: {{'*': [x]}}\nreview: {review}"
            ))
        };
        let app = ", appToken: {secretRef: {name: app}}";
        let on = validate(&spec(app, "{enabled: true}")).unwrap();
        let review = on.config.review.unwrap();
        assert_eq!(review.slack_user_id_trait.as_deref(), Some("slack_user_id"));
        assert_eq!(on.mounts[&Source::Secret("app".into())][0].key, "appToken");
        assert!(on.file.contains("[review]") && !minimal_file().contains("[review]"));
        assert_eq!(validate(&spec(app, "{}")).unwrap().mounts.len(), 2);
        let said = validate(&spec("", "{enabled: true}")).unwrap_err().to_string();
        assert!(said.starts_with("spec.review.enabled: needs slack.appToken"), "{said}");
        let said = validate(&spec(app, "{enabled: true, slackUserIdTrait: ''}")).unwrap_err().to_string();
        assert!(said.contains("review.slack_user_id_trait"), "{said}");
    }

    fn minimal_file() -> String {
        validate(&minimal()).unwrap().file
    }

    #[test]
    fn an_identity_without_a_key_prefers_the_name_of_the_guide() {
        let mounts = validate(&minimal()).unwrap().mounts;
        let keys: Vec<_> =
            mounts[&Source::Secret("teleport-slack-identity".into())].iter().map(|key| key.key.as_str()).collect();
        // The last one that exists wins.
        assert_eq!(keys, ["identity", "auth_id"]);
    }

    #[test]
    fn one_secret_for_both_credentials_is_mounted_once() {
        let both = plugin(
            "teleport: {address: 'a:1', identity: {secretRef: {name: both, key: id}}}\n\
             slack: {token: {secretRef: {name: both}}}\nroleToRecipients: {'*': [x]}",
        );
        let mounts = validate(&both).unwrap().mounts;
        assert_eq!(mounts.len(), 1);
        assert_eq!(mounts[&Source::Secret("both".into())].len(), 2);
    }

    #[test]
    fn a_misspelt_field_of_a_free_form_part_is_named() {
        let spec = "teleport: {address: 'a:1', identity: {secretRef: {name: id}}}\n\
                    slack: {token: {secretRef: {name: t}}}\nroleToRecipients: {'*': [x]}\n";
        assert!(
            rejection(&format!("{spec}workload: {{affinity: {{nodeAfinity: {{}}}}}}"))
                .starts_with("spec.workload.affinity.nodeAfinity: no such field")
        );
        let wrong = rejection(&format!("{spec}workload: {{topologySpreadConstraints: [{{maxSkew: one}}]}}"));
        assert!(wrong.starts_with("spec.workload.topologySpreadConstraints[0]: "), "{wrong}");
    }

    #[test]
    fn resources_that_no_container_can_have_are_named_by_their_place_in_the_spec() {
        let spec = "teleport: {address: 'a:1', identity: {secretRef: {name: id}}}\n\
                    slack: {token: {secretRef: {name: t}}}\nroleToRecipients: {'*': [x]}\n";
        let with = |resources: &str| format!("{spec}workload: {{resources: {{{resources}}}}}");
        for (resources, said) in [
            ("limits: {cpu: -1}", "spec.workload.resources.limits.cpu: '-1' is negative"),
            ("requests: {memory: much}", "spec.workload.resources.requests.memory: 'much' is no quantity"),
            (
                "requests: {cpu: 2}, limits: {cpu: 500m}",
                "spec.workload.resources.requests.cpu: '2' is more than the limit",
            ),
        ] {
            let told = rejection(&with(resources));
            assert!(told.starts_with(said), "{told}");
        }
        assert!(validate(&plugin(&with("requests: {cpu: 0.5}, limits: {cpu: 500m, memory: 1Gi}"))).is_ok());
    }

    #[test]
    fn names_that_the_operator_needs_cannot_be_taken() {
        let spec = "teleport: {address: 'a:1', identity: {secretRef: {name: id}}}\n\
                    slack: {token: {secretRef: {name: t}}}\nroleToRecipients: {'*': [x]}\n";
        assert!(
            rejection(&format!("{spec}workload: {{labels: {{slackaccess.dev/plugin: other}}}}"))
                .starts_with("spec.workload.labels[slackaccess.dev/plugin]: ")
        );
    }
}
