//! Writes the worker's part of its object's status. Notifications never wait for it: they go on while the Kubernetes API
//! is away, and the status follows when it is back.

use std::{env, time::Duration};

use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    config::{
        StatusObject,
        mounts::{POD_NAME_VARIABLE, REVISION_VARIABLE},
    },
    report::Report,
    status::{Author, says_the_same, status},
};
use crate::{
    backoff::Backoff,
    crd::{SlackAccessPlugin, SlackAccessPluginStatus},
};

/// The owner of what is written here.
const FIELD_MANAGER: &str = "slack-access-operator/worker";
/// Changes that follow each other are written together.
const SETTLE: Duration = Duration::from_secs(1);
/// The status is written at least this often: its age tells whether the worker still reports.
const HEARTBEAT: Duration = Duration::from_secs(60);
/// After so long without a word the author is taken for gone, and another replica writes.
const SILENCE: jiff::SignedDuration = jiff::SignedDuration::from_secs(90);
/// Between attempts to reach the Kubernetes API.
const RETRY: Backoff = Backoff::doubling(Duration::from_secs(1), Duration::from_secs(30));
/// For one call.
const DEADLINE: Duration = Duration::from_secs(10);

/// Why the status could not be written.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}")]
    Kube(#[from] kube::Error),
    #[error("no answer within {} s", DEADLINE.as_secs())]
    Deadline,
    #[error("the environment does not name this pod and its revision ({POD_NAME_VARIABLE}, {REVISION_VARIABLE})")]
    Environment,
    #[error("the object was deleted and made anew: this worker belongs to the old one")]
    OtherObject,
}

/// Keeps the status of `object` up to date until `stop`.
pub(super) async fn keep_writing(object: StatusObject, mut reports: watch::Receiver<Report>, stop: CancellationToken) {
    let work = async {
        let mut writer = Writer::new(object);
        let mut failures = 0;
        loop {
            // What follows at once is written together with it.
            sleep(SETTLE).await;
            let report = reports.borrow_and_update().clone();
            let again = match writer.write(&report).await {
                Ok(()) => {
                    if failures > 0 {
                        info!("The object's status is written again");
                    }
                    failures = 0;
                    HEARTBEAT
                }
                Err(error) => {
                    failures += 1;
                    if failures == 1 {
                        warn!(%error, "Cannot write the object's status: trying again; notifications go on");
                    } else {
                        debug!(%error, failures, "Cannot write the object's status");
                    }
                    writer.client = None;
                    RETRY.delay(failures, rand::random())
                }
            };
            let again = Instant::now() + again;
            tokio::select! {
                changed = reports.changed(), if failures == 0 => if changed.is_err() { return },
                () = sleep_until(again) => {}
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}

struct Writer {
    object: StatusObject,
    client: Option<Client>,
    written: Option<(SlackAccessPluginStatus, Instant)>,
}

impl Writer {
    fn new(object: StatusObject) -> Self {
        Self { object, client: None, written: None }
    }

    async fn write(&mut self, report: &Report) -> Result<(), Error> {
        let (Ok(pod), Ok(config_hash)) = (env::var(POD_NAME_VARIABLE), env::var(REVISION_VARIABLE)) else {
            return Err(Error::Environment);
        };
        let author = Author { pod, config_hash };
        let api = self.api().await?;
        let plugin = bounded(api.get(&self.object.name)).await?;
        if self.object.uid.is_some() && plugin.metadata.uid != self.object.uid {
            return Err(Error::OtherObject);
        }
        let previous = plugin.status.unwrap_or_default();
        let now = Timestamp::now();
        if !is_ours_to_write(&previous, &author, now) {
            self.written = None;
            return Ok(());
        }
        let next = status(report, &author, plugin.metadata.generation, &previous, now);
        let is_fresh = self
            .written
            .as_ref()
            .is_some_and(|(written, at)| says_the_same(written, &next) && at.elapsed() < HEARTBEAT - SETTLE);
        let stands = previous.worker.as_ref().is_some_and(|worker| worker.pod == author.pod);
        if is_fresh && stands {
            return Ok(());
        }
        let body = json!({
            "apiVersion": "slackaccess.dev/v1alpha1",
            "kind": "SlackAccessPlugin",
            "metadata": { "name": self.object.name, "uid": plugin.metadata.uid },
            "status": next,
        });
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        bounded(api.patch_status(&self.object.name, &parameters, &Patch::Apply(body))).await?;
        self.written = Some((next, Instant::now()));
        Ok(())
    }

    async fn api(&mut self) -> Result<Api<SlackAccessPlugin>, Error> {
        let client = match &self.client {
            Some(client) => client.clone(),
            None => {
                let client = bounded(Client::try_default()).await?;
                self.client.insert(client).clone()
            }
        };
        Ok(Api::namespaced(client, &self.object.namespace))
    }
}

async fn bounded<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Error> {
    timeout(DEADLINE, call).await.map_err(|_elapsed| Error::Deadline)?.map_err(Error::Kube)
}

/// One replica writes for all. It is replaced when it falls silent, and when a worker of the wanted configuration is there
/// while it has another.
fn is_ours_to_write(previous: &SlackAccessPluginStatus, author: &Author, now: Timestamp) -> bool {
    let Some(worker) = &previous.worker else { return true };
    let last = worker.last_report_time.as_ref().map(|time| time.0);
    let silent = last.is_none_or(|last| now.duration_since(last) > SILENCE);
    let wanted = previous.workload.as_ref().map(|workload| workload.config_hash.as_str());
    let overtakes = worker.config_hash != author.config_hash && wanted == Some(&author.config_hash);
    worker.pod == author.pod || silent || overtakes
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::crd::status::{WorkerStatus, WorkloadStatus};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn author(pod: &str, hash: &str) -> Author {
        Author { pod: pod.to_owned(), config_hash: hash.to_owned() }
    }

    fn written_by(pod: &str, hash: &str, wanted: &str) -> SlackAccessPluginStatus {
        SlackAccessPluginStatus {
            worker: Some(WorkerStatus {
                pod: pod.to_owned(),
                config_hash: hash.to_owned(),
                last_report_time: Some(Time(at(100))),
                ..WorkerStatus::default()
            }),
            workload: Some(WorkloadStatus { config_hash: wanted.to_owned(), ..WorkloadStatus::default() }),
            ..SlackAccessPluginStatus::default()
        }
    }

    #[test]
    fn the_first_to_come_writes_and_goes_on() {
        assert!(is_ours_to_write(&SlackAccessPluginStatus::default(), &author("a", "1"), at(0)));
        assert!(is_ours_to_write(&written_by("a", "1", "1"), &author("a", "1"), at(110)));
    }

    #[test]
    fn another_replica_keeps_quiet_until_the_author_is_silent() {
        let status = written_by("a", "1", "1");
        assert!(!is_ours_to_write(&status, &author("b", "1"), at(110)));
        assert!(is_ours_to_write(&status, &author("b", "1"), at(200)));
    }

    #[test]
    fn a_worker_of_the_wanted_configuration_takes_over_at_once_and_not_the_other_way_round() {
        assert!(is_ours_to_write(&written_by("old", "1", "2"), &author("new", "2"), at(110)));
        assert!(!is_ours_to_write(&written_by("new", "2", "2"), &author("old", "1"), at(110)));
    }
}
