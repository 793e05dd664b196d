//! Five hundred requests at once for channels that take one message a second.

use super::{count, losses};
use crate::Failure;
use crate::cluster::Cluster;
use crate::plugin::{Plugin, Side};
use crate::requests::{self, Pace};
use crate::slack::{self, Slack};
use crate::table::Measured;

pub(super) async fn measure(side: &Side) -> Result<Vec<Measured>, Failure> {
    let cluster = Cluster::start().await?;
    let slack = Slack::start(slack::one_a_second()).await?;
    let plugin = Plugin::start(side, &cluster, &slack).await?;
    let ids = requests::create(&cluster, 500, Pace::AtOnce).await?;
    let outcome = slack.settle(&ids).await;
    let mut rows = losses(
        "burst of 500 over 20 channels at 1 message/s: lost",
        "burst of 500 over 20 channels at 1 message/s: doubled",
        &outcome,
    );
    rows.push(count("  calls although a 429 had asked to wait", slack.impatient_calls()));
    plugin.stop().await?;
    Ok(rows)
}
