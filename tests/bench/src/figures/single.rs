//! Latency of requests that come one at a time, so that it is the plugin's own and Teleport's, and no queue's.

use std::time::Duration;

use simulators::faults::{Effect, Fault};

use super::latencies;
use crate::Failure;
use crate::cluster::Cluster;
use crate::plugin::{Plugin, Side};
use crate::requests::{self, Pace, Watcher};
use crate::slack::{self, Slack};
use crate::table::Measured;

const REQUESTS: usize = 200;
/// No event comes while an earlier one's message is on its way or being recorded: Teleport on sqlite hands events over every
/// 100 ms, and two calls to a slow Slack take 200 ms.
const PACE: Pace = Pace::Every(Duration::from_millis(310));

/// Slack answers at once.
pub(super) async fn measure(side: &Side) -> Result<Vec<Measured>, Failure> {
    measure_with(
        side,
        None,
        [
            "event to message, one at a time, p50",
            "event to message, one at a time, p95",
            "event to message, one at a time, p99",
        ],
    )
    .await
}

/// Every call to Slack takes as long as it does across the internet.
pub(super) async fn measure_slow(side: &Side) -> Result<Vec<Measured>, Failure> {
    let names =
        ["  Slack takes 100 ms a call, p50", "  Slack takes 100 ms a call, p95", "  Slack takes 100 ms a call, p99"];
    measure_with(side, Some(Effect::Slow { millis: 100 }), names).await
}

async fn measure_with(
    side: &Side,
    every_call: Option<Effect>,
    names: [&'static str; 3],
) -> Result<Vec<Measured>, Failure> {
    let cluster = Cluster::start().await?;
    let slack = Slack::start(slack::unlimited()).await?;
    let plugin = Plugin::start(side, &cluster, &slack).await?;
    let watcher = Watcher::start(&cluster).await?;
    if let Some(effect) = every_call {
        slack.server.workspace().inject(Fault::always("*", effect))?;
    }
    let ids = requests::create(&cluster, REQUESTS, PACE).await?;
    slack.settle(&ids).await;
    let rows = latencies(names, &watcher, &slack);
    plugin.stop().await?;
    Ok(rows)
}
