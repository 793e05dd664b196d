//! Pure: what whoever runs the operator lets the authors of `SlackAccessPlugin` objects do.
//!
//! An author may be anyone with the right to write this one kind. Without a policy the kind would give away its namespace: a worker
//! mounts Secrets, speaks to the hosts that the spec names, and runs the image that the spec names. The chart renders this policy
//! and, from the same values, the `ValidatingAdmissionPolicy` that refuses an object when it is written
//! (`charts/slack-access-operator/templates/admission-authors.yaml`); `docs/security.md` describes both.

mod pattern;
mod variable;

use serde::{Deserialize, Serialize};

use crate::controller::policy::pattern::Pattern;
use crate::controller::resources::digest;
use crate::controller::validate::Rejection;
use crate::crd::{CaBundle, SlackAccessPlugin, Workload};

/// Counts changes of the rules that hold under every policy: a worker that was made under other rules is stopped when its object
/// breaks the present ones.
const RULES: u8 = 1;

/// What authors may do, as the chart's `policy` values say it. A pattern may hold `*`, which stands for any characters.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Policy {
    slack: Slack,
    teleport: Teleport,
    /// Images of workers, beside the operator's own.
    images: Vec<Pattern>,
    /// Secrets that may be mounted into a worker.
    secrets: Vec<Pattern>,
    allow: Allow,
}

/// Where the Slack token may go.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Slack {
    /// Hosts of `spec.slack.apiUrl`.
    api_hosts: Vec<Pattern>,
    /// Those of them to which the token may go without TLS.
    plain_http_hosts: Vec<Pattern>,
    /// ConfigMaps and Secrets whose authorities may vouch for such a host.
    ca_bundles: Vec<Pattern>,
}

/// Where the Teleport identity may be used.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Teleport {
    /// `spec.teleport.address`.
    addresses: Vec<Pattern>,
    /// Those of them to which a worker may send a token of its ServiceAccount, for any audience, to join.
    join_addresses: Vec<Pattern>,
    /// ConfigMaps and Secrets whose authorities may vouch for the Proxy.
    ca_bundles: Vec<Pattern>,
}

/// Parts of `spec.workload` that other controllers act on: an injector, a cloud, the scheduler.
#[expect(clippy::struct_excessive_bools, reason = "one switch for each field of the spec")]
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Allow {
    labels: bool,
    annotations: bool,
    service_account_annotations: bool,
    priority_class_name: bool,
    tolerations: bool,
    image_pull_secrets: bool,
}

/// For authors who are trusted with nothing but the kind.
impl Default for Policy {
    fn default() -> Self {
        Self {
            slack: Slack::default(),
            teleport: Teleport::default(),
            images: Vec::new(),
            secrets: patterns(&["*slack*", "*teleport*"]),
            allow: Allow::default(),
        }
    }
}

impl Default for Slack {
    fn default() -> Self {
        Self {
            api_hosts: patterns(&["slack.com", "slack-gov.com"]),
            plain_http_hosts: Vec::new(),
            ca_bundles: Vec::new(),
        }
    }
}

impl Default for Teleport {
    fn default() -> Self {
        Self { addresses: patterns(&["*"]), join_addresses: Vec::new(), ca_bundles: patterns(&["*"]) }
    }
}

fn patterns(written: &[&str]) -> Vec<Pattern> {
    written.iter().copied().map(Pattern::from).collect()
}

fn any(patterns: &[Pattern], text: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(text))
}

/// Everything about an object that its policy does not allow.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct Refusal(Vec<Rejection>);

impl Policy {
    /// For a single team that owns its namespaces: everything but what no policy allows.
    #[must_use]
    pub fn single_team() -> Self {
        let all = || patterns(&["*"]);
        Self {
            slack: Slack { api_hosts: all(), plain_http_hosts: all(), ca_bundles: all() },
            teleport: Teleport { addresses: all(), join_addresses: all(), ca_bundles: all() },
            images: all(),
            secrets: all(),
            allow: Allow {
                labels: true,
                annotations: true,
                service_account_annotations: true,
                priority_class_name: true,
                tolerations: true,
                image_pull_secrets: true,
            },
        }
    }

    /// Reads a policy file (YAML).
    pub fn parse(text: &str) -> Result<Self, serde_saphyr::Error> {
        serde_saphyr::from_str(text)
    }

    /// Names the rules under which a worker was made.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        // A struct of strings and truth values always has a JSON form.
        digest([serde_json::to_vec(self).unwrap_or_default().as_slice(), &[RULES]])
    }

    /// Whether an object keeps to the policy. `own_image` is the image of workers whose object names none.
    pub fn check<'a>(
        &self,
        plugin: &SlackAccessPlugin,
        secrets: impl IntoIterator<Item = &'a str>,
        own_image: &str,
    ) -> Result<(), Refusal> {
        let mut rejections = variable::check(&plugin.spec.workload.env);
        self.slack(plugin, &mut rejections);
        self.teleport(plugin, &mut rejections);
        for secret in secrets.into_iter().filter(|secret| !any(&self.secrets, secret)) {
            rejections.push(Rejection::new(
                "spec",
                format!(
                    "Secret `{secret}` may not be mounted; allowed names: {} (policy.secrets)",
                    listed(&self.secrets)
                ),
            ));
        }
        self.workload(&plugin.spec.workload, own_image, &mut rejections);
        if rejections.is_empty() { Ok(()) } else { Err(Refusal(rejections)) }
    }

    fn slack(&self, plugin: &SlackAccessPlugin, rejections: &mut Vec<Rejection>) {
        let Slack { api_hosts, plain_http_hosts, ca_bundles } = &self.slack;
        let url = &plugin.spec.slack.api_url;
        let mut refuse = |problem: String| rejections.push(Rejection::new("spec.slack.apiUrl", problem));
        match scheme_and_host(url) {
            None => refuse(
                "must be https:// with a plain host name, an optional port and a path of letters, digits, '.', '_', '~', '-'"
                    .to_owned(),
            ),
            Some((_, host)) if !any(api_hosts, host) => refuse(format!(
                "the Slack token may not be sent to `{host}`; allowed hosts: {} (policy.slack.apiHosts)",
                listed(api_hosts)
            )),
            Some(("http", host)) if !any(plain_http_hosts, host) => refuse(format!(
                "the Slack token may not be sent to `{host}` without TLS; use https://, or allow it (policy.slack.plainHttpHosts)"
            )),
            // To an address without TLS, a proxy makes the request itself: it reads the token.
            Some(("http", _)) if variable::sets_proxy(&plugin.spec.workload.env, "HTTP_PROXY") => refuse(
                "the proxy of spec.workload.env (HTTP_PROXY) would read the token; use https://, or leave the proxy out"
                    .to_owned(),
            ),
            Some(_) => {}
        }
        let bundle = plugin.spec.slack.ca_bundle.as_ref();
        bundle_is_allowed(bundle, ca_bundles, "slack", rejections);
    }

    fn teleport(&self, plugin: &SlackAccessPlugin, rejections: &mut Vec<Rejection>) {
        let Teleport { addresses, join_addresses, ca_bundles } = &self.teleport;
        let address = &plugin.spec.teleport.address;
        if !any(addresses, address) {
            rejections.push(Rejection::new(
                "spec.teleport.address",
                format!("`{address}` is not allowed; allowed: {} (policy.teleport.addresses)", listed(addresses)),
            ));
        }
        if plugin.spec.teleport.join.is_some() && !any(join_addresses, address) {
            rejections.push(Rejection::new(
                "spec.teleport.join",
                format!(
                    "a token of the worker's ServiceAccount may not be sent to `{address}`, which could use it; allowed: {} (policy.teleport.joinAddresses)",
                    listed(join_addresses)
                ),
            ));
        }
        bundle_is_allowed(plugin.spec.teleport.ca_bundle.as_ref(), ca_bundles, "teleport", rejections);
    }

    fn workload(&self, workload: &Workload, own_image: &str, rejections: &mut Vec<Rejection>) {
        if let Some(image) = workload.image.as_deref().filter(|image| *image != own_image && !any(&self.images, image))
        {
            let others = if self.images.is_empty() { String::new() } else { format!(", {}", listed(&self.images)) };
            rejections.push(Rejection::new(
                "spec.workload.image",
                format!("`{image}` is not allowed; leave it out for `{own_image}`{others} (policy.images)"),
            ));
        }
        let Allow {
            labels,
            annotations,
            service_account_annotations,
            priority_class_name,
            tolerations,
            image_pull_secrets,
        } = self.allow;
        let switches = [
            (labels, !workload.labels.is_empty(), "labels", "labels"),
            (annotations, !workload.annotations.is_empty(), "annotations", "annotations"),
            (
                service_account_annotations,
                !workload.service_account.annotations.is_empty(),
                "serviceAccount.annotations",
                "serviceAccountAnnotations",
            ),
            (priority_class_name, workload.priority_class_name.is_some(), "priorityClassName", "priorityClassName"),
            (tolerations, !workload.tolerations.is_empty(), "tolerations", "tolerations"),
            (image_pull_secrets, !workload.image_pull_secrets.is_empty(), "imagePullSecrets", "imagePullSecrets"),
        ];
        for (_, _, field, switch) in switches.iter().filter(|(is_allowed, is_set, ..)| *is_set && !is_allowed) {
            rejections.push(Rejection::new(
                format!("spec.workload.{field}"),
                format!("may not be set; leave it out, or allow it (policy.allow.{switch})"),
            ));
        }
    }
}

fn bundle_is_allowed(bundle: Option<&CaBundle>, allowed: &[Pattern], part: &str, rejections: &mut Vec<Rejection>) {
    let Some(bundle) = bundle else { return };
    let map = bundle.config_map_ref.as_ref().map(|map| map.name.as_str());
    let secret = bundle.secret_ref.as_ref().map(|secret| secret.name.as_str());
    for name in map.into_iter().chain(secret).filter(|name| !any(allowed, name)) {
        rejections.push(Rejection::new(
            format!("spec.{part}.caBundle"),
            format!(
                "the authorities in `{name}` may not vouch for a server; allowed names: {} (policy.{part}.caBundles)",
                listed(allowed)
            ),
        ));
    }
}

/// Scheme and host of an address whose every reader understands the same: parsers differ about everything that is left out here
/// (a user, a backslash, an escape, a host that is a number).
fn scheme_and_host(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://").filter(|(scheme, _)| matches!(*scheme, "https" | "http"))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let is_path = of(path, |byte| byte.is_ascii_alphanumeric() || b"/._~-".contains(&byte));
    let (host, port) = if let Some((address, port)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']'))
    {
        (Some(address).filter(|address| of(address, |byte| byte.is_ascii_hexdigit() || b":.".contains(&byte)))?, port)
    } else {
        let (host, port) = authority.find(':').map_or((authority, ""), |colon| authority.split_at(colon));
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
        (Some(host).filter(|host| of(host, is_plain))?, port)
    };
    let port = port
        .strip_prefix(':')
        .map_or(port.is_empty(), |port| (1..=5).contains(&port.len()) && of(port, |byte| byte.is_ascii_digit()));
    (is_path && port && !host.is_empty()).then_some((scheme, host))
}

/// Whether a text is made of such bytes only.
fn of(text: &str, is_plain: impl Fn(u8) -> bool) -> bool {
    text.bytes().all(is_plain)
}

fn listed(patterns: &[Pattern]) -> String {
    let names: Vec<_> = patterns.iter().map(|pattern| format!("`{pattern}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests;
