//! From the start of the process to "Plugin is ready".

use crate::Failure;
use crate::cluster::Cluster;
use crate::plugin::{Plugin, Side};
use crate::slack::{self, Slack};
use crate::table::{Limit, Measured, Unit};

/// Starts; the median counts.
const ROUNDS: usize = 9;

pub(super) async fn measure(side: &Side) -> Result<Vec<Measured>, Failure> {
    let cluster = Cluster::start().await?;
    let slack = Slack::start(slack::unlimited()).await?;
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let plugin = Plugin::start(side, &cluster, &slack).await?;
        times.push(plugin.ready_after.as_secs_f64() * 1_000.0);
        plugin.stop().await?;
    }
    times.sort_by(f64::total_cmp);
    let value = times.get(ROUNDS / 2).copied().unwrap_or(f64::NAN);
    let name = "start to \"Plugin is ready\", median of 9";
    Ok(vec![Measured { name, unit: Unit::Milliseconds, limit: Limit::OnePartIn(3.0), value }])
}
