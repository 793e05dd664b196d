//! Watchers: who is told of which change.

use std::collections::HashMap;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::error::{Kind, Trace};
use super::pb::proto::event::Resource;
use super::pb::proto::{Event, Operation};
use super::pb::types;

/// How a watcher ends.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    /// The stream ends without an error.
    End,
    /// The stream ends with this status.
    Failed(Status),
    /// The connection breaks.
    Cut,
}

/// What a watcher's stream reads from.
pub(crate) struct Subscription {
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) ending: std::sync::Arc<std::sync::OnceLock<Ending>>,
    pub(crate) ended: CancellationToken,
}

struct Watcher {
    kinds: Vec<types::WatchKind>,
    events: mpsc::Sender<Event>,
    ending: std::sync::Arc<std::sync::OnceLock<Ending>>,
    ended: CancellationToken,
}

impl Watcher {
    fn finish(&self, ending: Ending) {
        // The first reason stands.
        let _ = self.ending.set(ending);
        self.ended.cancel();
    }
}

/// All watchers of the cluster.
#[derive(Default)]
pub(crate) struct Watchers {
    list: Vec<Watcher>,
}

impl Watchers {
    /// Adds a watcher; its first event says what it watches.
    pub(crate) fn subscribe(&mut self, kinds: Vec<types::WatchKind>, status: bool, buffer: usize) -> Subscription {
        let (sender, events) = mpsc::channel(buffer.max(1));
        let resource = status.then(|| {
            Resource::WatchStatus(types::WatchStatusV1 {
                kind: "watch_status".to_owned(),
                version: "v1".to_owned(),
                metadata: Some(types::Metadata::default()),
                spec: Some(types::WatchStatusSpecV1 { kinds: kinds.clone() }),
                ..types::WatchStatusV1::default()
            })
        });
        // The channel is empty and has room for one.
        let _ = sender.try_send(Event { r#type: Operation::Init.into(), resource });
        let watcher =
            Watcher { kinds, events: sender, ending: std::sync::Arc::default(), ended: CancellationToken::new() };
        let subscription = Subscription { events, ending: watcher.ending.clone(), ended: watcher.ended.clone() };
        self.list.push(watcher);
        subscription
    }

    /// Tells everyone who watches this kind of resource. A watcher whose buffer is full is dropped.
    pub(crate) fn publish(&mut self, kind: &str, event: &Event) {
        self.list.retain(|watcher| {
            if watcher.events.is_closed() {
                return false;
            }
            if !watcher.kinds.iter().any(|wanted| wanted.kind == kind && wants(wanted, event)) {
                return true;
            }
            match watcher.events.try_send(event.clone()) {
                Ok(()) => true,
                Err(TrySendError::Closed(_)) => false,
                Err(TrySendError::Full(_)) => {
                    watcher.finish(Ending::Failed(Trace::bad("buffer overflow").into()));
                    false
                }
            }
        });
    }

    /// Ends every watcher.
    pub(crate) fn end_all(&mut self, ending: &Ending) {
        for watcher in self.list.drain(..) {
            watcher.finish(ending.clone());
        }
    }

    /// Number of watchers whose stream is still there.
    pub(crate) fn open(&self) -> usize {
        self.list.iter().filter(|watcher| !watcher.events.is_closed()).count()
    }
}

/// Deletions carry a name only, so filters let them through, as Teleport's do.
fn wants(kind: &types::WatchKind, event: &Event) -> bool {
    let name = match &event.resource {
        Some(Resource::ResourceHeader(header)) => header.metadata.as_ref().map(|metadata| metadata.name.as_str()),
        Some(Resource::AccessRequest(request)) => {
            if !matches_filter(&kind.filter, request) {
                return false;
            }
            request.metadata.as_ref().map(|metadata| metadata.name.as_str())
        }
        _ => None,
    };
    kind.name.is_empty() || name.is_none_or(|name| name == kind.name)
}

/// What a filter on access requests may say.
pub(crate) fn check_filter(filter: &HashMap<String, String>) -> Result<(), Trace> {
    filter.iter().try_for_each(|(key, value)| match key.as_str() {
        "id" | "user" => Ok(()),
        "state" if types::RequestState::from_str_name(value).is_some() => Ok(()),
        "state" => Err(Trace::bad(format!("unknown request state: {value:?}"))),
        _ => Err(Trace::bad(format!("unknown filter key {key}"))),
    })
}

fn matches_filter(filter: &HashMap<String, String>, request: &types::AccessRequestV3) -> bool {
    let spec = request.spec.clone().unwrap_or_default();
    filter.iter().all(|(key, value)| match key.as_str() {
        "id" => request.metadata.as_ref().is_some_and(|metadata| &metadata.name == value),
        "user" => &spec.user == value,
        "state" => spec.state().as_str_name() == value,
        _ => true,
    })
}

/// The event of a deletion: kind and name, nothing else of the resource.
pub(crate) fn deletion(kind: &str, name: &str) -> Event {
    let header = types::ResourceHeader {
        kind: kind.to_owned(),
        sub_kind: String::new(),
        version: "v3".to_owned(),
        metadata: Some(super::role::named(name)),
    };
    Event { r#type: Operation::Delete.into(), resource: Some(Resource::ResourceHeader(header)) }
}

/// The event of a write.
pub(crate) fn change(resource: Resource) -> Event {
    Event { r#type: Operation::Put.into(), resource: Some(resource) }
}

/// What Teleport says when it re-initialises its cache under a watcher.
pub(crate) fn closed_by_server() -> Status {
    Trace::new(Kind::ConnectionProblem, "watcher closed").into()
}
