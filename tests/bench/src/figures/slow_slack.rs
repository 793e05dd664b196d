//! Latency when every call to Slack takes as long as it does across the internet.

use std::time::Duration;

use simulators::faults::{Effect, Fault};

use super::latencies;
use crate::{
    Failure,
    cluster::Cluster,
    plugin::{Plugin, Side},
    requests::{self, Pace, Watcher},
    slack::{self, Slack},
    table::Measured,
};

const REQUESTS: usize = 200;
/// One at a time: no event comes while an earlier one's message is on its way or being recorded.
const PACE: Pace = Pace::Every(Duration::from_millis(310));
const CALL: Effect = Effect::Slow { millis: 100 };

pub(super) async fn measure(side: &Side) -> Result<Vec<Measured>, Failure> {
    let cluster = Cluster::start().await?;
    let slack = Slack::start(slack::unlimited()).await?;
    let plugin = Plugin::start(side, &cluster, &slack).await?;
    let watcher = Watcher::start(&cluster).await?;
    slack.server.workspace().inject(Fault::always("*", CALL))?;
    let ids = requests::create(&cluster, REQUESTS, PACE).await?;
    slack.settle(&ids).await;
    let names =
        ["  Slack takes 100 ms a call, p50", "  Slack takes 100 ms a call, p95", "  Slack takes 100 ms a call, p99"];
    let rows = latencies(names, &watcher, &slack);
    plugin.stop().await?;
    Ok(rows)
}
