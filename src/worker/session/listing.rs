//! Listing everything: what the watch has no memory of.

use std::time::{Duration, SystemTime};

use futures::FutureExt as _;
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::delivery::listing::{self, Listed};
use crate::teleport::client::Client;
use crate::teleport::error::{CallError, Kind};
use crate::worker::context::Teleport;
use crate::worker::health::condition_reason;
use crate::worker::request::{Hint, needs_work};
use crate::worker::session::connect::ConnectError;
use crate::worker::session::{Session, is_due};
use crate::worker::{Error, Gate};

/// Between attempts to list.
const RELIST: Duration = Duration::from_secs(5);
/// After the first listing over a connection comes a second one: what a server answers from may lag behind what was
/// written, and what changed before the watch was open is in no event.
const LAG: Duration = Duration::from_secs(10);

impl Session {
    pub(super) fn list_if_due(&mut self) {
        if !is_due(self.relist_at) || self.listing.is_some() {
            return;
        }
        self.relist_at = None;
        let Some(Teleport { client, .. }) = self.teleport.borrow().clone() else { return };
        self.touched.clear();
        let user = self.identity.as_ref().map(|identity| identity.user().to_owned()).unwrap_or_default();
        self.listing = Some(list(client, user).boxed());
    }

    pub(super) fn listed(&mut self, result: Result<(Vec<Listed>, usize), CallError>) -> Result<(), Error> {
        let (listed, hidden) = match result {
            Ok(listed) => listed,
            Err(error) if self.strict && error.kind == Kind::AccessDenied => {
                return Err(Error::Connect(ConnectError::refused(self.identity.as_deref(), error)));
            }
            Err(error) => {
                warn!(%error, "Could not list access requests: trying again");
                self.shared.reporter.teleport_problem(condition_reason::of_call(&error));
                self.relist_at = Some(Instant::now() + RELIST);
                return Ok(());
            }
        };
        self.strict = false;
        if std::mem::take(&mut self.unconfirmed) {
            self.relist_at = Some(Instant::now() + LAG);
        }
        let total = listed.len();
        let mut found = 0;
        let touched = std::mem::take(&mut self.touched);
        self.open.retain(|id| touched.contains(id));
        for Listed { id, observed, record } in listed {
            self.context.learn_direct_messages(&record);
            let unseen = !touched.contains(&id);
            if unseen {
                self.count_open(&id, &observed);
            }
            if unseen && (self.dispatcher.has(&id) || needs_work(&self.context, &observed, &record)) {
                found += u64::from(!self.dispatcher.has(&id));
                self.dispatcher.tell(id, observed, Hint::Known(record));
            }
        }
        if hidden > 0 {
            debug!(records = hidden, "Stored records whose requests the identity cannot see, or that are gone");
        }
        self.shared.metrics.resynced(SystemTime::now(), found);
        info!(requests = total, with_work = found, "Listed all access requests");
        self.shared.health.open(Gate::FIRST_LIST);
        self.shared.reporter.listed();
        if !std::mem::replace(&mut self.listed_before, true) {
            info!("Plugin is ready");
        }
        Ok(())
    }
}

async fn list(client: Client, own_user: String) -> Result<(Vec<Listed>, usize), CallError> {
    // In this order, see `listing::join`.
    let records = client.all_plugin_data().await?;
    let requests = client.access_requests().await?;
    Ok(listing::join(requests, records, &own_user, Timestamp::now()))
}
