//! Where the worker's identity comes from: files that change, or joins that are repeated. The session sees no difference.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use rustls::pki_types::CertificateDer;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::config::{Config, IdentitySource};
use crate::file_watch::Watched;
use crate::metrics::{Join as JoinLabel, Metrics};
use crate::teleport::dial::DialOptions;
use crate::teleport::identity::{Credentials, Identity, IdentityError};
use crate::teleport::join::schedule::{self, Outcome};
use crate::teleport::join::{self, JoinError};
use crate::worker::Error;

/// A strict start waits no longer than this for the first join.
pub(super) const FIRST: Duration = Duration::from_secs(30);

/// The identities that one session gets, one after the other.
pub(super) struct Identities(Kind);

enum Kind {
    Files { credentials: Credentials, watched: Watched },
    Join { task: Arc<JoinTask>, results: watch::Receiver<Joins> },
}

/// Why there is no identity, or no newer one.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// The files hold none.
    #[error(transparent)]
    Files(Arc<IdentityError>),
    /// The join failed.
    #[error(transparent)]
    Join(Arc<JoinError>),
}

impl From<SourceError> for Error {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Files(error) => Self::Identity(error),
            SourceError::Join(error) => Self::Join(error),
        }
    }
}

impl Identities {
    /// Starts to watch the files, or to join. `running` is what the session before this one used.
    pub(super) fn start(config: &Config, dial: &DialOptions, running: &RunningJoin, metrics: &Metrics) -> Self {
        Self(match &config.teleport.credentials {
            IdentitySource::Files(credentials) => Kind::Files {
                credentials: credentials.clone(),
                // Watched before they are read: a change in between would be missed otherwise.
                watched: Watched::await_files(credentials.paths().into_iter().map(Path::to_owned)),
            },
            IdentitySource::Join(settings) => {
                let task = running.task(&config.teleport.addr, settings, dial, metrics);
                Kind::Join { results: task.results.clone(), task }
            }
        })
    }

    /// The identity as it is now; none before the first join has ended.
    pub(super) fn load(&self) -> Result<Option<Arc<Identity>>, SourceError> {
        match &self.0 {
            Kind::Files { credentials, .. } => {
                let identity = credentials.load().map_err(|error| SourceError::Files(Arc::new(error)))?;
                Ok(Some(Arc::new(identity)))
            }
            Kind::Join { results, .. } => match &*results.borrow() {
                Joins { failure: Some(error), .. } => Err(SourceError::Join(Arc::clone(error))),
                Joins { identity, .. } => Ok(identity.clone()),
            },
        }
    }

    /// The identity to begin with: of a join that fails now, the last one that is still in its time.
    pub(super) fn first(&self) -> Result<Option<Arc<Identity>>, SourceError> {
        match &self.0 {
            Kind::Join { results, .. } if results.borrow().identity.is_some() => Ok(results.borrow().identity.clone()),
            _ => self.load(),
        }
    }

    /// Waits for another identity, or for a failure to get one. Cancel-safe.
    pub(super) async fn changed(&mut self) {
        match &mut self.0 {
            Kind::Files { watched, .. } => drop(watched.changed().await),
            Kind::Join { results, .. } => {
                if results.changed().await.is_err() {
                    // The task lives as long as this handle: only the runtime's end can stop it.
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    /// Whether identities are made by joining.
    pub(super) fn joins(&self) -> bool {
        matches!(self.0, Kind::Join { .. })
    }

    /// The identity in use does not serve any more, or may soon not: joins now, unless that was done within the last minute. Files
    /// are for others to renew.
    pub(super) fn renew(&self) {
        if let Kind::Join { task, .. } = &self.0 {
            task.wanted.notify_one();
        }
    }
}

/// The joins so far.
#[derive(Clone, Debug, Default)]
struct Joins {
    /// What the last one that worked has yielded.
    identity: Option<Arc<Identity>>,
    /// Why the last one did not work.
    failure: Option<Arc<JoinError>>,
}

/// The joining that is under way: it outlives a session, so that a changed configuration does not lose the identity.
#[derive(Clone, Default)]
pub(super) struct RunningJoin(Arc<Mutex<Option<Arc<JoinTask>>>>);

/// Joins again and again, until it is dropped.
struct JoinTask {
    address: String,
    settings: join::Settings,
    authorities: Vec<CertificateDer<'static>>,
    wanted: Arc<Notify>,
    results: watch::Receiver<Joins>,
    _running: AbortOnDropHandle<()>,
}

impl RunningJoin {
    /// The task that joins so, which may be running already.
    fn task(&self, address: &str, settings: &join::Settings, dial: &DialOptions, metrics: &Metrics) -> Arc<JoinTask> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |task: &&Arc<JoinTask>| {
            task.address == address && task.settings == *settings && task.authorities == dial.web_authorities
        };
        if let Some(task) = running.as_ref().filter(same) {
            return Arc::clone(task);
        }
        let (sender, results) = watch::channel(Joins::default());
        let wanted = Arc::new(Notify::new());
        let joining = keep_joining(
            address.to_owned(),
            settings.clone(),
            dial.clone(),
            metrics.clone(),
            Arc::clone(&wanted),
            sender,
        );
        let task = Arc::new(JoinTask {
            address: address.to_owned(),
            settings: settings.clone(),
            authorities: dial.web_authorities.clone(),
            wanted,
            results,
            _running: AbortOnDropHandle::new(tokio::spawn(joining)),
        });
        *running = Some(Arc::clone(&task));
        task
    }
}

async fn keep_joining(
    address: String,
    settings: join::Settings,
    dial: DialOptions,
    metrics: Metrics,
    wanted: Arc<Notify>,
    results: watch::Sender<Joins>,
) {
    let mut failures: u32 = 0;
    loop {
        // Whatever was asked for until now, this join is the answer to.
        let _ = wanted.notified().now_or_never();
        let began = Instant::now();
        let outcome = match join::join(&address, &settings, &dial).await {
            Ok(joined) => {
                failures = 0;
                metrics.joined(JoinLabel::Ok);
                info!(
                    user = joined.identity.user(),
                    expires = %joined.identity.not_after(),
                    form = %joined.form,
                    "Joined Teleport with the ServiceAccount's token"
                );
                results.send_replace(Joins { identity: Some(joined.identity), failure: None });
                Outcome::Joined { life: joined.life }
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                let refused = error.is_refusal();
                metrics.joined(if refused { JoinLabel::Refused } else { JoinLabel::Unreachable });
                warn!(%error, failures, "Could not join Teleport: trying again");
                results.send_modify(|joins| joins.failure = Some(Arc::new(error)));
                if refused { Outcome::Refused } else { Outcome::Unreachable { failures } }
            }
        };
        let due = began + schedule::next(outcome, rand::random());
        tokio::select! {
            () = sleep_until(due) => {}
            () = asked(&wanted, began + schedule::SHORTEST) => {}
        }
    }
}

/// Waits until a join is asked for, and not shorter than until `earliest`.
async fn asked(wanted: &Notify, earliest: Instant) {
    wanted.notified().await;
    sleep_until(earliest).await;
}
