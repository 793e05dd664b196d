//! The connection to Teleport: made, made anew with another identity, lost.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::backoff::Backoff;
use crate::metrics::Reload;
use crate::teleport::error::CallError;
use crate::teleport::identity::Identity;
use crate::worker::health::condition_reason;
use crate::worker::session::connect::{ConnectError, Connection, connect};
use crate::worker::session::{Session, is_due};
use crate::worker::{Error, Gate};

/// Between attempts to connect.
const RECONNECT: Backoff = Backoff::doubling(Duration::from_millis(200), Duration::from_secs(10));
/// A connection that lasted this long was a good one: its loss is the first failure of a new series.
const STEADY: Duration = Duration::from_secs(30);

impl Session {
    pub(super) fn connect_if_due(&mut self) {
        if self.connection.is_some() && self.candidate.is_none() {
            self.retry_at = None;
            return;
        }
        if self.connecting.is_some() || !(self.retry_at.is_none() || is_due(self.retry_at)) {
            return;
        }
        self.retry_at = None;
        // Without a connection both identities get their chance in turn: a new one may be refused for good.
        let alternates = self.connection.is_none() && self.identity.is_some();
        let try_new = !alternates || self.failures.is_multiple_of(2);
        let Some(identity) = self.candidate.clone().filter(|_| try_new).or_else(|| self.identity.clone()) else {
            return;
        };
        let (config, dial) = (self.shared.config.clone(), self.dial.clone());
        self.connecting = Some(async move { (identity.clone(), connect(&config, identity, &dial).await) }.boxed());
    }

    pub(super) fn attempted(&mut self, identity: Arc<Identity>, result: Result<Connection, ConnectError>) {
        match result {
            Ok(connection) => self.connected(identity, connection),
            Err(error) => self.connect_failed(&error),
        }
    }

    pub(super) fn connected(&mut self, identity: Arc<Identity>, connection: Connection) {
        let renewed = self.candidate.as_ref().is_some_and(|candidate| Arc::ptr_eq(candidate, &identity));
        if renewed {
            self.candidate = None;
            self.note_identity(&identity);
            self.shared.metrics.identity_reload(Reload::Ok);
            info!(expires = %identity.not_after(), "Took up the new identity");
        }
        let server = &connection.teleport.server;
        info!(
            cluster = server.cluster,
            version = server.version,
            user = identity.user(),
            "Connected to Teleport {}",
            connection.route
        );
        self.shared.reporter.teleport_connected(server, &connection.route);
        self.identity = Some(identity);
        self.count_credentials();
        self.teleport.send_replace(Some(connection.teleport.clone()));
        self.shared.metrics.teleport_connected(true);
        self.shared.health.open(Gate::TELEPORT);
        self.connection = Some(connection);
        self.connected_at = Instant::now();
        self.retry_at = None;
        // The watch has no memory.
        self.relist_at = Some(Instant::now());
        self.unconfirmed = true;
        self.listing = None;
    }

    pub(super) fn connect_failed(&mut self, error: &ConnectError) {
        // A join brings the authorities of a rotated cluster, a certificate in the place of an expired one, or the reason of a refusal.
        if !matches!(error, ConnectError::Call(_)) {
            self.identity_source.renew();
        }
        self.failures = self.failures.saturating_add(1);
        let delay = RECONNECT.delay(self.failures, rand::random());
        self.retry_at = Some(Instant::now() + delay);
        if self.connection.is_some() {
            if self.failures == 1 {
                self.shared.metrics.identity_reload(Reload::Failed);
                error!(%error, "The new identity does not work: staying with the old one");
            } else {
                debug!(%error, retry_in = ?delay, "The new identity does not work yet");
            }
            self.shared.reporter.identity_problem(condition_reason::of_connecting(error));
            return;
        }
        error!(%error, retry_in = ?delay, "Cannot reach Teleport");
        self.shared.metrics.teleport_connected(false);
        self.shared.health.close(Gate::TELEPORT);
        self.shared.reporter.teleport_problem(condition_reason::of_connecting(error));
    }

    /// The watch is over, for whatever reason.
    pub(super) fn disconnected(&mut self, error: CallError) -> Result<(), Error> {
        self.connection = None;
        // A rotation of the authorities restarts Auth's listeners: with a new join both the old and the new are trusted.
        self.identity_source.renew();
        if self.connected_at.elapsed() >= STEADY {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(Instant::now() + RECONNECT.delay(self.failures, rand::random()));
        if self.shared.fail_fast {
            return Err(Error::WatchEnded(error));
        }
        warn!(%error, "The watch ended: reconnecting");
        self.shared.metrics.teleport_connected(false);
        self.shared.reporter.teleport_problem(condition_reason::of_call(&error));
        Ok(())
    }

    pub(super) fn identity_changed(&mut self) {
        match self.identity_source.load() {
            Ok(None) => {}
            Ok(Some(identity))
                if self.identity.as_ref().is_some_and(|known| known.fingerprint() == identity.fingerprint()) =>
            {
                self.candidate = None;
                // Back to the one in use: what was wrong with its successor is of no concern any more.
                self.note_identity(&identity);
            }
            Ok(Some(identity)) => {
                info!(expires = %identity.not_after(), "Found a new identity: trying it");
                self.candidate = Some(identity);
                self.connecting = None;
                self.retry_at = None;
                self.failures = 0;
            }
            Err(error) => {
                // A failed join is logged and counted where it is made, and is no new credential.
                if !self.identity_source.joins() {
                    self.shared.metrics.identity_reload(Reload::Failed);
                    if self.identity.is_some() {
                        error!(%error, "Cannot use the new identity: staying with the old one");
                    } else {
                        error!(%error, "There is still no usable identity: waiting for one");
                    }
                }
                self.shared.reporter.identity_problem(condition_reason::of_source(&error));
            }
        }
    }
}
