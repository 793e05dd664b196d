//! Where the configuration and its credentials come from: files, or an object and the Secrets that it names.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::cause::of_kube;
use crate::check::finding::{Finding, Part};
use crate::config::paths::{self, Source};
use crate::config::{Config, IdentitySource, Loaded, TOKEN_FILE_LIMIT, TokenSource};
use crate::controller::validate::{MountedKey, validate};
use crate::crd::{SlackAccessPlugin, status};
use crate::file_watch;
use crate::slack::token::{Token, TokenError};
use crate::teleport::dial::DialOptions;
use crate::teleport::identity::{Credentials, Identity, IdentityError, Named};
use crate::teleport::join::Settings as JoinSettings;

/// A configuration, and a way to read what it names.
pub(super) struct Materials {
    pub(super) config: Config,
    /// What is wrong with the configuration, each `what; remedy`.
    pub(super) failures: Vec<String>,
    /// Warnings in the same form.
    pub(super) warnings: Vec<String>,
    /// What the object's status says.
    pub(super) status: Vec<Finding>,
    /// The content of the files that a worker of the object would have; none for a configuration file.
    mounted: Option<BTreeMap<PathBuf, Vec<u8>>>,
}

impl Materials {
    /// Of a file that has been read. The official plugin's has to serve every role.
    pub(super) fn of_files(loaded: Loaded) -> Self {
        let warnings = loaded.warnings.iter().map(ToString::to_string).collect();
        let lacks_wildcard = loaded.config.kubernetes.is_none() && !loaded.config.role_to_recipients.has_wildcard();
        let failure = "missing required value role_to_recipients[*].; add \"*\" = \"some-channel\" under [role_to_recipients] for roles without an entry of their own: `start` refuses the file without it";
        let failures = lacks_wildcard.then(|| failure.to_owned()).into_iter().collect();
        Self { config: loaded.config, failures, warnings, status: Vec::new(), mounted: None }
    }

    /// Reads the object, and the Secrets and ConfigMaps that it names, with the rights of whoever calls.
    pub(super) async fn of_object(name: &str, namespace: Option<&str>) -> Result<Self, Finding> {
        let failed = |message: String, remedy: &str| Finding::failure(Part::Configuration, message, remedy);
        let client = Client::try_default().await.map_err(|error| {
            failed(
                format!("no Kubernetes cluster is configured: {error}"),
                "check the kubeconfig (KUBECONFIG, kubectl config current-context)",
            )
        })?;
        let namespace = namespace.unwrap_or(client.default_namespace()).to_owned();
        let objects: Api<SlackAccessPlugin> = Api::namespaced(client.clone(), &namespace);
        let object = objects.get_opt(name).await.map_err(|error| {
            failed(
                format!("SlackAccessPlugin {namespace}/{name} cannot be read: {}", of_kube(&error)),
                "check the context of the kubeconfig, and whether the definition is installed (kubectl get crd slackaccessplugins.slackaccess.dev)",
            )
        })?;
        let object = object.ok_or_else(|| {
            failed(
                format!("there is no SlackAccessPlugin {namespace}/{name}"),
                "name another, or its namespace with --namespace (kubectl get sap -A)",
            )
        })?;
        let validated = validate(&object)
            .map_err(|rejection| failed(rejection.to_string(), "correct the spec (kubectl explain sap.spec)"))?;
        let mut mounted = BTreeMap::new();
        let mut warnings = Vec::new();
        for (source, keys) in &validated.mounts {
            match content(&client, &namespace, source).await {
                Ok(data) => mount(source, keys, &data, &mut mounted),
                Err(error) => warnings.push(format!(
                    "{} cannot be read: {}; check it from a worker: kubectl exec -n {namespace} deployment/slack-access-{name} -- slack-access-operator check --config={}/{}",
                    described(source),
                    of_kube(&error),
                    paths::CONFIG_DIR,
                    paths::CONFIG_FILE,
                )),
            }
        }
        let failures = Vec::new();
        Ok(Self { config: validated.config, failures, warnings, status: judge_status(&object), mounted: Some(mounted) })
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match &self.mounted {
            None => file_watch::read(path).map(|content| content.to_vec()),
            Some(mounted) => mounted.get(path).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)),
        }
    }

    /// Reads a file that has to be there; the line says what is missing and what to do.
    fn required(&self, setting: &str, path: &Path) -> Result<Vec<u8>, String> {
        self.read(path).map_err(|error| match paths::origin(path) {
            Some(origin) if error.kind() == io::ErrorKind::NotFound => origin.missing(),
            _ => format!("{setting}: cannot read {}: {error}; check the path and its permissions", path.display()),
        })
    }

    /// How to join Teleport, where the ServiceAccount's token is at hand.
    pub(super) fn join(&self) -> Option<&JoinSettings> {
        match &self.config.teleport.credentials {
            IdentitySource::Join(join) if self.mounted.is_none() => Some(join),
            _ => None,
        }
    }

    pub(super) fn identity(&self) -> Result<Identity, String> {
        let credentials = match &self.config.teleport.credentials {
            IdentitySource::Files(credentials) => credentials,
            IdentitySource::Join(join) => {
                return Err(format!(
                    "the worker joins with the token {} and its pod's ServiceAccount, which cannot be tried from here: its conditions \
                     IdentityValid and TeleportConnected say what came of it (kubectl get sap -o yaml)",
                    join.token
                ));
            }
        };
        let line = |error: IdentityError| match &error {
            IdentityError::Read { path, source } if source.kind() == io::ErrorKind::NotFound => {
                paths::origin(path).map_or_else(|| error.to_string(), |origin| origin.missing())
            }
            _ => error.to_string(),
        };
        if self.mounted.is_none() {
            return credentials.load().map_err(line);
        }
        let origin =
            |path: &Path| paths::origin(path).map_or_else(|| path.display().to_string(), |origin| origin.to_string());
        match credentials {
            Credentials::IdentityFile(path) => {
                let content = self.required("teleport.identity", path)?;
                Identity::from_identity_file(&content, &origin(path)).map_err(line)
            }
            Credentials::TlsFiles { certificate, key, cas } => {
                let read = |path: &Path| self.required("teleport.tls", path).map(|content| (content, origin(path)));
                let (certificate, key, cas) = (read(certificate)?, read(key)?, read(cas)?);
                Identity::from_tls(
                    Named { content: &certificate.0, origin: &certificate.1 },
                    Named { content: &key.0, origin: &key.1 },
                    Named { content: &cas.0, origin: &cas.1 },
                )
                .map_err(line)
            }
        }
    }

    /// A token as it stands there, and the place.
    fn read_token(&self, source: &TokenSource, setting: &str) -> Result<(Token, String), String> {
        match source {
            TokenSource::Inline(token) => Ok((Token::new(token), setting.to_owned())),
            TokenSource::File(path) => {
                let mut content = self.required(setting, path)?;
                content.truncate(TOKEN_FILE_LIMIT);
                let origin =
                    paths::origin(path).map_or_else(|| path.display().to_string(), |origin| origin.to_string());
                let Ok(text) = String::from_utf8(content) else {
                    return Err(format!("{origin}: is not text; put the token there, in UTF-8"));
                };
                Ok((Token::new(text.trim_start_matches('\u{feff}')), origin))
            }
        }
    }

    /// The app-level token; none where reviews in Slack are off.
    pub(super) fn app_token(&self) -> Option<Result<Token, String>> {
        let review = self.config.review.as_ref()?;
        Some(self.read_token(&review.app_token, "review.app_token").and_then(|(token, origin)| {
            match token.check_app_slot() {
                Ok(_) => Ok(token),
                // Its words are `what: what to do`.
                Err(error) => Err(format!("{origin}: {}", error.to_string().replacen(": ", "; ", 1))),
            }
        }))
    }

    /// The bot token; a line with what is wrong otherwise.
    pub(super) fn token(&self) -> Result<Token, String> {
        let (token, origin) = self.read_token(&self.config.slack.token, "slack.token")?;
        match token.check_bot_slot() {
            Ok(_) => Ok(token),
            Err(TokenError::Empty) => Err(format!("{origin}: is empty; put the bot token (xoxb-…) there")),
            // Its words are `what: what to do`.
            Err(error) => Err(format!("{origin}: {}", error.to_string().replacen(": ", "; ", 1))),
        }
    }

    pub(super) fn slack_bundle(&self) -> Result<Option<Vec<u8>>, String> {
        self.config.slack.ca_bundle.as_deref().map(|path| self.required("slack.ca_bundle", path)).transpose()
    }

    pub(super) fn dial_options(&self) -> Result<DialOptions, String> {
        let mut options = DialOptions::from_env();
        if let Some(path) = &self.config.teleport.ca_bundle {
            let pem = self.required("teleport.ca_bundle", path)?;
            let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
            match certificates {
                Ok(certificates) if !certificates.is_empty() => options.web_authorities = certificates,
                _ => {
                    return Err(
                        "teleport.ca_bundle: there is no certificate in it; name a PEM file of certificates".to_owned()
                    );
                }
            }
        }
        Ok(options)
    }
}

async fn content(client: &Client, namespace: &str, source: &Source) -> Result<BTreeMap<String, Vec<u8>>, kube::Error> {
    match source {
        Source::Secret(name) => {
            let secret = Api::<Secret>::namespaced(client.clone(), namespace).get_opt(name).await?;
            let data = secret.and_then(|secret| secret.data).unwrap_or_default();
            Ok(data.into_iter().map(|(key, value)| (key, value.0)).collect())
        }
        Source::ConfigMap(name) => {
            let map = Api::<ConfigMap>::namespaced(client.clone(), namespace).get_opt(name).await?.unwrap_or_default();
            let text = map.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes()));
            let binary = map.binary_data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
            Ok(text.chain(binary).collect())
        }
    }
}

/// Puts keys where kubelet would: the last of several for one file wins.
fn mount(
    source: &Source,
    keys: &[MountedKey],
    data: &BTreeMap<String, Vec<u8>>,
    mounted: &mut BTreeMap<PathBuf, Vec<u8>>,
) {
    for MountedKey { key, file } in keys {
        if let Some(content) = data.get(key) {
            mounted.insert(source.folder().join(file), content.clone());
        }
    }
}

fn described(source: &Source) -> String {
    match source {
        Source::Secret(name) => format!("Secret {name}"),
        Source::ConfigMap(name) => format!("ConfigMap {name}"),
    }
}

/// What the worker itself, or the controller, says.
fn judge_status(object: &SlackAccessPlugin) -> Vec<Finding> {
    let Some(status) = &object.status else {
        return vec![Finding::warning(
            Part::Status,
            "the object has no status",
            "check that the operator runs and watches this namespace",
        )];
    };
    match status.condition(status::READY) {
        Some(ready) if ready.status == "True" => vec![Finding::ok(Part::Status, format!("Ready: {}", ready.message))],
        Some(ready) => vec![Finding::warning(
            Part::Status,
            format!("Ready is {}: {}: {}", ready.status, ready.reason, ready.message),
            "see the reasons in docs/slackaccessplugin.md",
        )],
        None => Vec::new(),
    }
}
