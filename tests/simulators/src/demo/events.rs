//! Everything that changes, as server-sent events.
//!
//! | event | data |
//! |---|---|
//! | `slack` | the workspace: `GET /slack/_sim/state`, with `accepts_token` |
//! | `teleport` | the cluster: `GET /teleport/_sim/state`, with `is_up`, `faults` and `violations` |
//! | `worker` | the process |
//! | `log` | new lines of its log |
//! | `calls` | new calls, and calls that were answered since |

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{Stream, StreamExt as _, stream};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Shared;
use super::calls::Reader;
use crate::faults::Faults;

/// So that a burst of changes is one event.
const PAUSE: Duration = Duration::from_millis(60);

pub(super) async fn events(State(shared): State<Shared>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let stop = shared.stop.clone();
    let batches = stream::unfold(Watcher::new(shared), async |mut watcher| {
        let batch = watcher.next().await?;
        Some((stream::iter(batch.into_iter().map(Ok)), watcher))
    });
    Sse::new(batches.flatten().take_until(stop.cancelled_owned())).keep_alive(KeepAlive::default())
}

struct Watcher {
    shared: Shared,
    slack: watch::Receiver<u64>,
    teleport: watch::Receiver<u64>,
    worker: watch::Receiver<()>,
    calls: Reader,
    line: u64,
}

impl Watcher {
    fn new(shared: Shared) -> Self {
        let mut watcher = Self {
            slack: shared.slack.changes(),
            teleport: shared.teleport.subscribe(),
            worker: shared.worker.changes(),
            shared,
            calls: Reader::default(),
            line: 0,
        };
        // The first look shows everything.
        watcher.slack.mark_changed();
        watcher.teleport.mark_changed();
        watcher.worker.mark_changed();
        watcher
    }

    /// Waits for a change; `None` when there will be none any more.
    async fn next(&mut self) -> Option<Vec<Event>> {
        let [slack, teleport, worker] = self.changed().await?;
        let mut batch = Vec::new();
        if slack {
            batch.extend(event("slack", &self.slack()));
        }
        if teleport {
            batch.extend(event("teleport", &self.teleport()));
        }
        if worker {
            batch.extend(event("worker", &self.shared.worker.view()));
            let lines = self.shared.worker.lines_after(self.line);
            if let Some(last) = lines.last() {
                self.line = last.number;
                batch.extend(event("log", &lines));
            }
        }
        let calls = self.calls.read(&self.shared.slack, &self.shared.teleport);
        if !calls.is_empty() {
            batch.extend(event("calls", &calls));
        }
        Some(batch)
    }

    /// Which of the three changed, after a pause in which more may.
    async fn changed(&mut self) -> Option<[bool; 3]> {
        // A fault that ends by itself is a change that nobody tells of.
        let (slack_heals, teleport_heals) = (end(self.shared.slack.faults()), end(self.shared.teleport.faults()));
        let (changed, [slack, teleport, worker]) = tokio::select! {
            changed = self.slack.changed() => (changed, [true, false, false]),
            changed = self.teleport.changed() => (changed, [false, true, false]),
            changed = self.worker.changed() => (changed, [false, false, true]),
            () = slack_heals => (Ok(()), [true, false, false]),
            () = teleport_heals => (Ok(()), [false, true, false]),
        };
        changed.ok()?;
        tokio::time::sleep(PAUSE).await;
        Some([
            slack | is_new(&mut self.slack)?,
            teleport | is_new(&mut self.teleport)?,
            worker | is_new(&mut self.worker)?,
        ])
    }

    fn slack(&self) -> Value {
        let mut state = self.shared.slack.snapshot();
        if let Some(state) = state.as_object_mut() {
            state.insert("accepts_token".to_owned(), json!(self.shared.credentials.is_accepted()));
        }
        state
    }

    fn teleport(&self) -> Value {
        let cluster = &self.shared.teleport;
        let mut state = json!(cluster.snapshot());
        if let Some(state) = state.as_object_mut() {
            let faults = cluster.faults().list().into_iter();
            let faults: Vec<_> = faults.map(|(number, fault)| json!({"number": number, "fault": fault})).collect();
            state.insert("faults".to_owned(), json!(faults));
            state.insert("violations".to_owned(), json!(cluster.violations()));
            state.insert("is_up".to_owned(), json!(self.shared.teleport_is_up.load(Ordering::Relaxed)));
        }
        state
    }
}

/// Waits until the next of the faults is over.
fn end(faults: &Faults) -> impl Future<Output = ()> + use<> {
    let end = faults.next_end();
    async move {
        match end {
            Some(end) => tokio::time::sleep_until(end.into()).await,
            None => std::future::pending().await,
        }
    }
}

/// Whether there is a change that was not seen yet; from now on it was. `None` when there will be none any more.
fn is_new<T>(changes: &mut watch::Receiver<T>) -> Option<bool> {
    let is_new = changes.has_changed().ok()?;
    changes.mark_unchanged();
    Some(is_new)
}

/// Whatever cannot be written as JSON is left out; nothing here is of that kind.
fn event(name: &str, data: &impl Serialize) -> Option<Event> {
    Event::default().event(name).json_data(data).ok()
}
