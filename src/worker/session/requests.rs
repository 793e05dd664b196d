//! What the watch and the listings show of access requests, on its way to the dispatcher.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;
use tracing::{debug, info};

use crate::access_request::{RequestId, RequestState};
use crate::delivery::decide::Observation;
use crate::delivery::listing::Listed;
use crate::metrics::RequestState as StateLabel;
use crate::teleport::watch::Change;
use crate::worker::Shared;
use crate::worker::context::Context;
use crate::worker::dispatcher::Dispatcher;
use crate::worker::request::{Hint, needs_work};

/// A request that is younger than this when its event arrives is expected to be new.
const NEW: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

/// The access requests that are known, and the tasks at work on them.
pub(super) struct Requests {
    shared: Shared,
    context: Arc<Context>,
    pub(super) dispatcher: Dispatcher,
    /// Requests that wait for a decision.
    open: HashSet<RequestId>,
    /// Requests that changed while a listing was under way: it may show them as they were before.
    touched: HashSet<RequestId>,
}

impl Requests {
    /// Begins with none.
    pub(super) fn new(shared: Shared, context: Arc<Context>) -> Self {
        let dispatcher = Dispatcher::new(context.clone());
        Self { shared, context, dispatcher, open: HashSet::new(), touched: HashSet::new() }
    }

    /// A listing is begun.
    pub(super) fn listing_begins(&mut self) {
        self.touched.clear();
    }

    /// A request has changed.
    pub(super) fn changed(&mut self, change: Change, listing_is_running: bool) {
        self.shared.metrics.teleport_event(SystemTime::now());
        let (id, observed, hint) = match change {
            Change::Put(request) => {
                debug!(request_id = %request.id, state = ?request.state, "Access request changed");
                self.shared.metrics.request_observed(state_label(request.state));
                let age = request.created.map(|created| Timestamp::now().duration_since(created));
                let untouched = request.state == RequestState::Pending && request.reviews.is_empty();
                let new = untouched && age.is_some_and(|age| age < NEW);
                let hint = if new { Hint::New } else { Hint::Unknown };
                (request.id.clone(), Observation::Present(*request), hint)
            }
            Change::Deleted(id) => {
                debug!(request_id = %id, "Access request is gone");
                self.shared.metrics.request_observed(StateLabel::Gone);
                (id, Observation::Gone(Timestamp::now()), Hint::Unknown)
            }
        };
        if listing_is_running {
            self.touched.insert(id.clone());
        }
        self.count_open(&id, &observed);
        self.dispatcher.tell(id, observed, hint);
    }

    /// Everything was listed; `hidden` records belong to requests that the identity cannot see, or that are gone.
    pub(super) fn listed(&mut self, listed: Vec<Listed>, hidden: usize) {
        let total = listed.len();
        let mut found = 0;
        let touched = std::mem::take(&mut self.touched);
        self.open.retain(|id| touched.contains(id));
        for Listed { id, observed, record } in listed {
            self.context.learn_direct_messages(&record);
            if touched.contains(&id) {
                continue;
            }
            self.count_open(&id, &observed);
            let at_work = self.dispatcher.has(&id);
            if at_work || needs_work(&self.context, &observed, &record) {
                found += u64::from(!at_work);
                self.dispatcher.tell(id, observed, Hint::Known(record));
            }
        }
        if hidden > 0 {
            debug!(records = hidden, "Stored records whose requests the identity cannot see, or that are gone");
        }
        self.shared.board.retain_unrouted(|id| self.open.contains(id));
        self.shared.metrics.resynced(SystemTime::now(), found);
        info!(requests = total, with_work = found, "Listed all access requests");
    }

    fn count_open(&mut self, id: &RequestId, observed: &Observation) {
        let open = matches!(observed, Observation::Present(request) if request.state == RequestState::Pending);
        let changed = if open { self.open.insert(id.clone()) } else { self.open.remove(id) };
        if changed {
            let count = self.open.len();
            self.shared.reporter.change(|report| report.open_requests = count);
        }
    }
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
