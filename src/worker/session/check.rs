//! Whether Teleport still serves this identity. A lock, or a bot that was removed, refuses every call, and leaves an open watch open
//! without a word (seen on 14.2.3): a cheap call finds it out.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::teleport::error::{CallError, Kind};
use crate::worker::context::Teleport;
use crate::worker::health::condition_reason;
use crate::worker::session::{Session, is_due};

/// Between checks.
const INTERVAL: Duration = Duration::from_mins(1);
/// Between checks while Teleport refuses.
const REFUSED_INTERVAL: Duration = Duration::from_secs(10);

/// The checks of one session.
#[derive(Default)]
pub(super) struct Check {
    pub(super) at: Option<Instant>,
    pub(super) running: Option<BoxFuture<'static, Result<(), CallError>>>,
    refused: bool,
}

impl Session {
    pub(super) fn check_if_due(&mut self) {
        if self.connection.is_none() {
            self.check = Check::default();
            return;
        }
        if self.check.running.is_some() {
            return;
        }
        if self.check.at.is_none() {
            self.check.at = Some(Instant::now() + INTERVAL);
        }
        if !is_due(self.check.at) {
            return;
        }
        let Some(Teleport { client, .. }) = self.teleport.borrow().clone() else { return };
        self.check.at = None;
        self.check.running = Some(async move { client.ping().await.map(drop) }.boxed());
    }

    pub(super) fn checked(&mut self, result: Result<(), CallError>) {
        match result {
            Err(error) if error.kind == Kind::AccessDenied => {
                if !std::mem::replace(&mut self.check.refused, true) {
                    warn!(%error, "Teleport refuses the identity in use");
                }
                self.shared.reporter.teleport_problem(condition_reason::of_call(&error));
                // Only the answer to a join says why.
                self.identity_source.renew();
                self.check.at = Some(Instant::now() + REFUSED_INTERVAL);
            }
            // An outage is the watch's to notice.
            Err(_) => {}
            Ok(()) => {
                if std::mem::take(&mut self.check.refused) {
                    info!("Teleport accepts the identity in use again");
                    self.shared.reporter.change(|report| report.teleport_problem = None);
                    self.relist_at = Some(Instant::now());
                }
            }
        }
    }
}
