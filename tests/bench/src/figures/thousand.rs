//! A thousand notifications, Slack answering at once: memory before and after, processor time, latency.

use std::time::Duration;

use super::latencies;
use crate::Failure;
use crate::cluster::Cluster;
use crate::plugin::{Plugin, Side};
use crate::requests::{self, Pace, Watcher};
use crate::slack::{self, Slack};
use crate::table::{Limit, Measured, Unit};

const REQUESTS: usize = 1_000;
/// Slower than either plugin works. Teleport on sqlite hands events over every 100 ms, so that three or four come at once and the
/// later ones wait for Teleport to store what it is told of the earlier ones.
const PACE: Pace = Pace::Every(Duration::from_millis(30));
/// Until memory counts as idle.
const IDLE: Duration = Duration::from_secs(5);

pub(super) async fn measure(side: &Side) -> Result<Vec<Measured>, Failure> {
    let cluster = Cluster::start().await?;
    let slack = Slack::start(slack::unlimited()).await?;
    let plugin = Plugin::start(side, &cluster, &slack).await?;
    let watcher = Watcher::start(&cluster).await?;
    tokio::time::sleep(IDLE).await;
    let (memory_before, cpu_before) = (plugin.memory()?, plugin.cpu()?);
    let ids = requests::create(&cluster, REQUESTS, PACE).await?;
    let outcome = slack.settle(&ids).await;
    let cpu = plugin.cpu()? - cpu_before;
    tokio::time::sleep(IDLE).await;
    let memory = |name, value| Measured { name, unit: Unit::Mebibytes, limit: Limit::OnePartIn(6.0), value };
    let mut rows = vec![
        memory("idle memory (PSS) after start", memory_before),
        memory("idle memory (PSS) after 1,000 notifications", plugin.memory()?),
        Measured {
            name: "processor time for 1,000 notifications",
            unit: Unit::Seconds,
            limit: Limit::OnePartIn(4.0),
            value: cpu,
        },
        super::count("1,000 notifications: lost", outcome.lost),
    ];
    let names = [
        "event to message, three at once, p50",
        "event to message, three at once, p95",
        "event to message, three at once, p99",
    ];
    rows.extend(latencies(names, &watcher, &slack));
    plugin.stop().await?;
    Ok(rows)
}
