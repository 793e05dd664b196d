//! The worker's part of its object's status: what works, what does not, and what to do.
//!
//! Nothing here stands in the way of a notification: reports are taken from a channel that always holds the latest one, and while
//! the Kubernetes API is away they are just not written.

mod patch;
mod silence;
mod turn;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::cause::of_kube;
use crate::config::StatusObject;
use crate::config::paths::{POD_NAME_VARIABLE, REVISION_VARIABLE};
use crate::crd::{SlackAccessPlugin, SlackAccessPluginStatus};
use crate::worker::health::conditions::WorkerReport;
use crate::worker::health::status::silence::{News, Silence};
use crate::worker::health::status::turn::{Turn, Turns};

/// The name under which workers own fields of the status.
pub const FIELD_MANAGER: &str = "slack-access-operator/worker";

/// A report is written at least this often; the promise to others is once a minute.
const HEARTBEAT: Duration = Duration::from_secs(40);
/// How often a worker that is being replaced looks whether it still is: the object may have been changed back.
const WHILE_REPLACED: Duration = Duration::from_secs(3);
/// Two reports are at least this far apart.
const GAP: Duration = Duration::from_secs(1);
/// How long the API may take for an answer.
const DEADLINE: Duration = Duration::from_secs(15);
/// How long to wait after failures in a row.
const BACKOFF: Backoff = Backoff::doubling(Duration::from_secs(1), Duration::from_secs(30));

/// Who reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Me {
    /// The pod's name.
    pub pod: String,
    /// The revision of the workload that the pod was made from.
    pub revision: String,
}

impl Me {
    /// As the operator told it to the pod.
    #[must_use]
    pub fn from_environment() -> Self {
        let variable = |name: &str| std::env::var(name).unwrap_or_default();
        Self { pod: variable(POD_NAME_VARIABLE), revision: variable(REVISION_VARIABLE) }
    }
}

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("no way to the Kubernetes API is known: {0}")]
    Config(#[from] kube::config::InClusterError),
    #[error("the Kubernetes API refused or failed: {}", of_kube(.0))]
    Kube(#[from] kube::Error),
    #[error("the Kubernetes API did not answer in time")]
    Late(#[from] tokio::time::error::Elapsed),
    #[error("the status of the object is not of this version: {0}")]
    Unreadable(#[from] serde_json::Error),
}

impl Error {
    /// Whether the API does not know whose token this is.
    fn is_of_stranger(&self) -> bool {
        matches!(self, Self::Kube(kube::Error::Api(status)) if status.code == 401)
    }
}

/// How the Kubernetes API is reached.
#[derive(Clone)]
pub enum Access {
    /// As this pod's service account, and in no other way: a kubeconfig can name a program to run. Nothing is connected before the
    /// first report.
    InCluster,
    /// Through this client.
    Client(Client),
}

/// Writes reports until told to stop. `view` turns whatever the channel carries into a report.
pub async fn run<R>(
    access: Access,
    object: StatusObject,
    me: Me,
    mut reports: watch::Receiver<R>,
    view: impl Fn(&R) -> WorkerReport,
    stop: CancellationToken,
) {
    let mut writer = Writer { access, object, me, client: None, turns: Turns::default(), written: None };
    let mut silence = Silence::default();
    let mut due = Instant::now();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep_until(due) => {}
        }
        let report = view(&reports.borrow_and_update());
        let mut pause = HEARTBEAT;
        match timeout(DEADLINE, writer.write(&report)).await.map_err(Error::from).flatten() {
            Ok(turn) => {
                if turn == Turn::Successors {
                    pause = WHILE_REPLACED;
                }
                if silence.ended() {
                    tracing::info!("The status of the object can be written again");
                }
            }
            Err(error) => {
                match silence.failed(error.is_of_stranger(), Instant::now()) {
                    Some(News::Failing) => {
                        tracing::warn!(%error, "Cannot write the status of the object; notifications go on");
                    }
                    Some(News::TokenUnknown) => tracing::warn!(
                        %error, pod = writer.me.pod,
                        "The Kubernetes API does not know this pod's token, so that the status of the object stays as it is: \
                         the ServiceAccount was probably deleted and made anew, and the token is of the old one; \
                         delete the pod, its successor gets a new one (notifications go on meanwhile)"
                    ),
                    None => {}
                }
                writer.client = None;
            }
        }
        let now = Instant::now();
        due = if silence.failures() > 0 {
            now + BACKOFF.delay(silence.failures(), rand::random())
        } else {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep_until(now + pause) => Instant::now(),
                changed = reports.changed() => match changed {
                    Ok(()) => now + GAP,
                    Err(_) => return, // the worker has ended
                },
            }
        };
    }
}

struct Writer {
    access: Access,
    object: StatusObject,
    me: Me,
    /// Made at the first report, and anew after a failure: tokens and certificates may have changed.
    client: Option<Client>,
    turns: Turns,
    written: Option<(WorkerReport, Instant)>,
}

impl Writer {
    /// Writes the report if it is news and ours to write; whose turn it is.
    async fn write(&mut self, report: &WorkerReport) -> Result<Turn, Error> {
        let now = Instant::now();
        let is_written =
            self.written.as_ref().is_some_and(|(last, at)| last == report && now.duration_since(*at) < HEARTBEAT);
        if is_written {
            return Ok(Turn::Mine);
        }
        let resource = ApiResource::erase::<SlackAccessPlugin>(&());
        let client = self.client()?;
        let api: Api<DynamicObject> = Api::namespaced_with(client, &self.object.namespace, &resource);
        let Some(found) = api.get_opt(&self.object.name).await? else { return Ok(Turn::Others) };
        if self.object.uid.is_some() && self.object.uid != found.metadata.uid {
            return Ok(Turn::Others); // another object of the same name: it has workers of its own
        }
        let status = found.data.get("status").cloned().unwrap_or_default();
        let seen: SlackAccessPluginStatus = serde_json::from_value::<Option<_>>(status)?.unwrap_or_default();
        let alone = found.data.pointer("/spec/workload/replicas").and_then(Value::as_i64).unwrap_or(1) == 1;
        // One that has just started may be gone before it has anything to say, as when replicas are added and taken away.
        let succeeds = alone && report.has_tried();
        let turn = self.turns.whose(&self.me, succeeds, &seen, now);
        if turn != Turn::Mine {
            // What was written before is not what others wrote since.
            self.written = None;
            return Ok(turn);
        }
        let status = patch::patch(report, &self.me, &seen, &Time(Timestamp::now()));
        let body = json!({
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"name": self.object.name, "uid": found.metadata.uid},
            "status": status,
        });
        api.patch_status(&self.object.name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(body)).await?;
        self.written = Some((report.clone(), now));
        Ok(turn)
    }

    fn client(&mut self) -> Result<Client, Error> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let client = match &self.access {
            Access::Client(client) => client.clone(),
            Access::InCluster => {
                let mut config = kube::Config::incluster()?;
                config.connect_timeout = Some(DEADLINE);
                config.read_timeout = Some(DEADLINE);
                config.write_timeout = Some(DEADLINE);
                Client::try_from(config)?
            }
        };
        self.client = Some(client.clone());
        Ok(client)
    }
}

#[cfg(test)]
mod tests {
    use crate::worker::health::status::*;

    #[test]
    fn what_the_api_refuses_is_said_in_its_own_words() {
        let status = kube::core::Status::failure("Unauthorized", "Unauthorized").with_code(401);
        let error = Error::from(kube::Error::Api(Box::new(status)));
        assert_eq!(error.to_string(), "the Kubernetes API refused or failed: Unauthorized");
        assert!(error.is_of_stranger());
        let status = kube::core::Status::failure("no patch", "Forbidden").with_code(403);
        assert!(!Error::from(kube::Error::Api(Box::new(status))).is_of_stranger());
    }
}
