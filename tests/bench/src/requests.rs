//! Access requests: creating many, and seeing their events as somebody who is not the plugin.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use simulators::teleport::pb::proto::event::Resource;
use simulators::teleport::pb::proto::{Event, Operation, Watch};
use simulators::teleport::pb::types::{AccessRequestSpecV3, AccessRequestV3, Metadata, RequestState, WatchKind};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::Failure;
use crate::cluster::{Auth, Cluster, REQUESTER, role};
use crate::slack::CHANNELS;

/// Microseconds since the epoch, as the simulated Slack counts them.
pub(crate) type Micros = u64;

/// How fast requests come.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// One after another, with this time between two.
    Every(Duration),
    /// As fast as Teleport takes them from several users at once.
    AtOnce,
}

/// Creates `count` requests, spread over all channels, and returns their ids in no particular order.
pub(crate) async fn create(cluster: &Cluster, count: usize, pace: Pace) -> Result<Vec<String>, Failure> {
    /// Calls in flight when everything comes at once.
    const PARALLEL: usize = 8;
    let auth = cluster.requester().await?;
    let mut ids = Vec::with_capacity(count);
    let mut running = JoinSet::new();
    let mut tick = tokio::time::interval(match pace {
        Pace::Every(period) => period,
        Pace::AtOnce => Duration::from_micros(1),
    });
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0..count {
        match pace {
            Pace::Every(_) => _ = tick.tick().await,
            Pace::AtOnce if running.len() >= PARALLEL => {
                ids.extend(running.join_next().await.transpose()?.transpose()?);
            }
            Pace::AtOnce => {}
        }
        running.spawn(create_one(auth.clone(), role(number % CHANNELS)));
    }
    while let Some(created) = running.join_next().await {
        ids.push(created??);
    }
    Ok(ids)
}

async fn create_one(mut auth: Auth, role: String) -> Result<String, Failure> {
    let request = AccessRequestV3 {
        kind: "access_request".to_owned(),
        version: "v3".to_owned(),
        metadata: Some(Metadata { name: uuid(), namespace: "default".to_owned(), ..Metadata::default() }),
        spec: Some(AccessRequestSpecV3 {
            user: REQUESTER.to_owned(),
            roles: vec![role],
            state: RequestState::Pending as i32,
            request_reason: "the nightly report is stuck on the replica".to_owned(),
            ..AccessRequestSpecV3::default()
        }),
        ..AccessRequestV3::default()
    };
    let created = auth.create_access_request_v2(request).await?.into_inner();
    Ok(created.metadata.ok_or("the request has no name")?.name)
}

/// A random id of the form that Teleport gives.
fn uuid() -> String {
    let hex = format!("{:032x}", (rand::random::<u128>() & !(0xf << 76)) | (4 << 76));
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default().to_owned();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

/// Notes when each request's event arrived.
pub(crate) struct Watcher {
    seen: Arc<Mutex<HashMap<String, Micros>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Watcher {
    /// Watches from now on.
    pub(crate) async fn start(cluster: &Cluster) -> Result<Self, Failure> {
        let mut auth = cluster.watcher().await?;
        let kind = WatchKind { kind: "access_request".to_owned(), ..WatchKind::default() };
        let mut events = auth.watch_events(Watch { kinds: vec![kind], ..Watch::default() }).await?.into_inner();
        events.message().await?.ok_or("the watch ended before it began")?;
        let seen = Arc::new(Mutex::new(HashMap::new()));
        let task = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                while let Ok(Some(event)) = events.message().await {
                    let now = now();
                    if let Some(id) = created(event) {
                        seen.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_insert(now);
                    }
                }
            }
        });
        Ok(Self { seen, task })
    }

    /// When the event of each request was seen first.
    pub(crate) fn seen(&self) -> HashMap<String, Micros> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn created(event: Event) -> Option<String> {
    match event.resource {
        Some(Resource::AccessRequest(request)) if event.r#type == Operation::Put as i32 => Some(request.metadata?.name),
        _ => None,
    }
}

fn now() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
