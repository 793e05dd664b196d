//! What the watch and the listings show of access requests, on its way to the dispatcher.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{debug, info};

use crate::access_request::StoredRecord;
use crate::access_request::{AccessRequest, RequestId, RequestState};
use crate::delivery::input::{Known, Source};
use crate::delivery::listing::{Listed, join};
use crate::delivery::record::Record;
use crate::delivery::state::Observation;
use crate::metrics::RequestState as StateLabel;
use crate::teleport::client::Client;
use crate::teleport::error::{CallError, Kind};
use crate::teleport::watch::Change;
use crate::worker::Shared;
use crate::worker::context::Context;
use crate::worker::dispatcher::{Dispatcher, Mail};
use crate::worker::session::sharing;

/// A request that is younger than this when its event arrives is expected to be new.
const NEW: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

/// So many records are read at a time, where they are too large together.
const AT_A_TIME: usize = 8;

/// The access requests that are known, and the tasks at work on them.
pub(super) struct Requests {
    shared: Shared,
    context: Arc<Context>,
    pub(super) dispatcher: Dispatcher,
    /// When this run began.
    began: Timestamp,
    /// Requests that wait for a decision.
    open: HashSet<RequestId>,
    /// Requests that changed while a listing was under way: it may show them as they were before.
    touched: HashSet<RequestId>,
}

impl Requests {
    /// Begins with none.
    pub(super) fn new(shared: Shared, context: Arc<Context>) -> Self {
        let dispatcher = Dispatcher::new(context.clone());
        Self { shared, context, dispatcher, began: Timestamp::now(), open: HashSet::new(), touched: HashSet::new() }
    }

    /// A listing is begun.
    pub(super) fn listing_begins(&mut self) {
        self.touched.clear();
    }

    /// A request has changed.
    pub(super) fn changed(&mut self, change: Change, own_user: &str, listing_is_running: bool) {
        self.shared.metrics.teleport_event(SystemTime::now());
        let (id, observation, known) = match change {
            Change::Put(request) => {
                debug!(request_id = %request.id, state = ?request.state, "Access request changed");
                self.shared.metrics.request_observed(state_label(request.state));
                let age = request.created.map(|created| Timestamp::now().duration_since(created));
                let untouched = request.state == RequestState::Pending && request.reviews.is_empty();
                let new = untouched && age.is_some_and(|age| age < NEW);
                let known = if new { Known::New } else { Known::Nothing };
                self.note_user(&request.user, own_user);
                (request.id.clone(), Observation::Present(request), known)
            }
            Change::Deleted(id) => {
                debug!(request_id = %id, "Access request is gone");
                self.shared.metrics.request_observed(StateLabel::Gone);
                (id, Observation::Gone(Timestamp::now()), Known::Nothing)
            }
        };
        if listing_is_running {
            self.touched.insert(id.clone());
        }
        self.count_open(&id, &observation);
        self.dispatcher.tell(id, Mail { observation, source: Source::Event, known });
    }

    /// Everything was listed.
    pub(super) fn listed(&mut self, whole: Whole) {
        let Whole { listed, hidden, asked, own_user } = whole;
        let total = listed.len();
        let mut found = 0;
        let touched = std::mem::take(&mut self.touched);
        self.open.retain(|id| touched.contains(id));
        let mut name_shared = None;
        for Listed { id, observation, data } in listed {
            self.context.learn_direct_messages(&data);
            if let Some(request) = observation.request() {
                self.note_user(&request.user, &own_user);
                let record = || Record::decode(data.clone());
                let shared = sharing::find(request, record, &self.context.me, self.began, Timestamp::now());
                name_shared = name_shared.or(shared);
            }
            if touched.contains(&id) {
                continue;
            }
            self.count_open(&id, &observation);
            let at_work = self.dispatcher.has(&id);
            if at_work || self.context.needs_work(&observation, &data) {
                found += u64::from(!at_work);
                self.dispatcher
                    .tell(id, Mail { observation, source: Source::Listing, known: Known::Stored(data, asked) });
            }
        }
        if hidden > 0 {
            debug!(records = hidden, "Stored records whose requests the identity cannot see, or that are gone");
        }
        self.shared.reporter.change(|report| report.name_shared = name_shared);
        self.shared.board.retain_unrouted(|id| self.open.contains(id));
        self.shared.metrics.resynced(SystemTime::now(), found);
        info!(requests = total, with_work = found, "Listed all access requests");
    }

    /// Requests of others are seen: what is not shown is gone, and not merely hidden.
    fn note_user(&self, user: &str, own_user: &str) {
        if !own_user.is_empty() && own_user != user {
            self.context.sees_requests_of_others.store(true, Ordering::Relaxed);
        }
    }

    fn count_open(&mut self, id: &RequestId, observation: &Observation) {
        let changed = if observation.is_pending() { self.open.insert(id.clone()) } else { self.open.remove(id) };
        if changed {
            let count = self.open.len();
            self.shared.reporter.change(|report| report.open_requests = count);
        }
    }
}

/// Everything that one listing shows.
pub(super) struct Whole {
    listed: Vec<Listed>,
    /// Records whose requests the identity cannot see, or that are gone.
    hidden: usize,
    /// When the records were asked for.
    asked: std::time::Instant,
    own_user: String,
}

/// Lists everything as the user `own_user`.
pub(super) async fn list(client: Client, own_user: String) -> Result<Whole, CallError> {
    let asked = Instant::now().into_std();
    // In this order, see `listing::join`.
    let records = match client.all_plugin_data().await {
        // Records that are too large together are read one by one.
        Err(error) if error.kind == Kind::TooLarge => {
            debug!(%error, "Reading the records of pending requests one by one");
            None
        }
        records => Some(records?),
    };
    let requests = client.access_requests().await?;
    let records = match records {
        Some(records) => records,
        None => one_by_one(&client, &requests).await?,
    };
    let (listed, hidden) = join(requests, records, &own_user, Timestamp::now());
    Ok(Whole { listed, hidden, asked, own_user })
}

async fn one_by_one(client: &Client, requests: &[AccessRequest]) -> Result<Vec<StoredRecord>, CallError> {
    let ids: Vec<RequestId> = requests.iter().map(|request| request.id.clone()).collect();
    let read = ids.into_iter().map(|request| {
        let client = client.clone();
        async move {
            let data = client.plugin_data(&request).await?;
            Ok(StoredRecord { request, data, expires: None })
        }
    });
    stream::iter(read).buffer_unordered(AT_A_TIME).try_collect().await
}

fn state_label(state: RequestState) -> StateLabel {
    match state {
        RequestState::Pending => StateLabel::Pending,
        RequestState::Approved => StateLabel::Approved,
        RequestState::Denied => StateLabel::Denied,
        RequestState::Promoted => StateLabel::Promoted,
        RequestState::Unknown => StateLabel::Unknown,
    }
}
