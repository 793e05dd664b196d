//! The command `join-resources`: asks the API server for its keys, or its issuer, and prints what Teleport needs.

mod document;

use kube::api::Api;
use kube::{Client, Config};
use serde::Deserialize;

use crate::cause;
use crate::crd::SlackAccessPlugin;
use crate::join_resources::document::{Cloud, Names, Trust, render};
use crate::teleport::join::DEFAULT_ROLE;

/// The first release of Teleport with bots as resources.
const BOT_RESOURCES_SINCE: u32 = 15;

/// What to print for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The object's name; the object need not be there yet.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The token resource, if not the object's, or `<name>-k8s`.
    pub token: Option<String>,
    /// The bot, if not of the object's name.
    pub bot: Option<String>,
    /// The role, if not the object's, or `access-plugin`.
    pub role: Option<String>,
    /// How Teleport is to check ServiceAccount tokens; found out when it is left out.
    pub kind: Option<Kind>,
    /// Major version of Teleport.
    pub teleport: u32,
}

/// How Teleport is to check ServiceAccount tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Kind {
    /// By the API server's keys, copied into the token resource
    StaticJwks,
    /// By what the API server's issuer publishes
    Oidc,
    /// By asking the API server that the Auth Service runs beside
    InCluster,
}

/// Why nothing could be printed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No cluster is configured.
    #[error("cannot find a Kubernetes cluster: {0}; set KUBECONFIG")]
    NoCluster(#[source] kube::config::InferConfigError),
    /// The client cannot be made.
    #[error("cannot use the Kubernetes cluster: {0}")]
    Client(#[source] kube::Error),
    /// The API server does not say its keys or its issuer.
    #[error(
        "the API server does not answer {path}: {}; your user needs the ClusterRole system:service-account-issuer-discovery",
        cause::of_kube(source)
    )]
    Discovery {
        /// What was asked for.
        path: &'static str,
        /// What happened.
        source: kube::Error,
    },
    /// The API server's answer makes no sense.
    #[error("the API server's answer to {path} is not understood: {source}")]
    Answer {
        /// What was asked for.
        path: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// The object cannot be read.
    #[error("cannot read the SlackAccessPlugin {name}: {}", cause::of_kube(source))]
    Object {
        /// Its name.
        name: String,
        /// What happened.
        source: kube::Error,
    },
}

/// Prints token, bot and role for an object.
pub async fn documents(settings: &Settings) -> Result<String, Error> {
    let client = Client::try_from(Config::infer().await.map_err(Error::NoCluster)?).map_err(Error::Client)?;
    let written = object(&client, settings).await?.and_then(|plugin| plugin.spec.teleport.join);
    let (token, role) = written.map(|join| (join.token, join.role)).unzip();
    let names = Names {
        token: settings.token.clone().or(token).unwrap_or_else(|| format!("{}-k8s", settings.name)),
        bot: settings.bot.clone().unwrap_or_else(|| settings.name.clone()),
        role: settings.role.clone().or(role).unwrap_or_else(|| DEFAULT_ROLE.to_owned()),
        service_account: format!("{}:slack-access-{}", settings.namespace, settings.name),
    };
    let issuer = issuer(&client).await?;
    let cloud = Cloud::of(&issuer);
    let trust = match (settings.kind, cloud) {
        (Some(Kind::InCluster), _) => Trust::InCluster,
        (Some(Kind::Oidc), _) | (None, Some(_)) => Trust::Issuer { issuer },
        (Some(Kind::StaticJwks), _) | (None, None) => Trust::Keys { jwks: ask(&client, JWKS).await? },
    };
    Ok(render(&names, &trust, cloud, settings.teleport >= BOT_RESOURCES_SINCE))
}

/// The object; none when it, or the definition of its kind, is not there yet.
async fn object(client: &Client, settings: &Settings) -> Result<Option<SlackAccessPlugin>, Error> {
    let api: Api<SlackAccessPlugin> = Api::namespaced(client.clone(), &settings.namespace);
    match api.get(&settings.name).await {
        Ok(object) => Ok(Some(object)),
        // Of a kind that is not defined the API server speaks in other words, but with the same code.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(source) => Err(Error::Object { name: format!("{}/{}", settings.namespace, settings.name), source }),
    }
}

const JWKS: &str = "/openid/v1/jwks";
const DISCOVERY: &str = "/.well-known/openid-configuration";

async fn issuer(client: &Client) -> Result<String, Error> {
    #[derive(Deserialize)]
    struct Discovery {
        issuer: String,
    }
    let text = ask(client, DISCOVERY).await?;
    let answer: Discovery = serde_json::from_str(&text).map_err(|source| Error::Answer { path: DISCOVERY, source })?;
    Ok(answer.issuer)
}

async fn ask(client: &Client, path: &'static str) -> Result<String, Error> {
    let request = http::Request::get(path).body(Vec::new());
    let request = request.map_err(|error| Error::Discovery { path, source: kube::Error::HttpError(error) })?;
    client.request_text(request).await.map_err(|source| Error::Discovery { path, source })
}
