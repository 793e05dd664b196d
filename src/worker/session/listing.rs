//! Listing everything: what the watch has no memory of.

use std::time::{Duration, SystemTime};

use futures::FutureExt as _;
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::delivery::input::{Known, Source};
use crate::delivery::listing::{self, Listed};
use crate::teleport::client::Client;
use crate::teleport::error::{CallError, Kind};
use crate::worker::context::Teleport;
use crate::worker::dispatcher::Mail;
use crate::worker::health::condition_reason;
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

    pub(super) fn listed(&mut self, result: Result<Whole, CallError>) -> Result<(), Error> {
        let Whole { listed, hidden, asked } = match result {
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
        for Listed { id, observation, data } in listed {
            self.context.learn_direct_messages(&data);
            if let Some(request) = observation.request() {
                self.note_user(&request.user);
            }
            let unseen = !touched.contains(&id);
            if unseen {
                self.count_open(&id, &observation);
            }
            if unseen && (self.dispatcher.has(&id) || self.context.needs_work(&observation, &data)) {
                found += u64::from(!self.dispatcher.has(&id));
                self.dispatcher
                    .tell(id, Mail { observation, source: Source::Listing, known: Known::Stored(data, asked) });
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

/// Everything that one listing shows.
pub(super) struct Whole {
    listed: Vec<Listed>,
    /// Records whose requests the identity cannot see, or that are gone.
    hidden: usize,
    /// When the records were asked for.
    asked: std::time::Instant,
}

async fn list(client: Client, own_user: String) -> Result<Whole, CallError> {
    let asked = Instant::now().into_std();
    // In this order, see `listing::join`.
    let records = client.all_plugin_data().await?;
    let requests = client.access_requests().await?;
    let (listed, hidden) = listing::join(requests, records, &own_user, Timestamp::now());
    Ok(Whole { listed, hidden, asked })
}
