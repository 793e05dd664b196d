//! Requests made while the plugin is down.

use super::losses;
use crate::Failure;
use crate::cluster::Cluster;
use crate::plugin::{Plugin, Side};
use crate::requests::{self, Pace};
use crate::slack::{self, Slack};
use crate::table::Measured;

pub(super) async fn measure(side: &Side) -> Result<Vec<Measured>, Failure> {
    let cluster = Cluster::start().await?;
    let slack = Slack::start(slack::unlimited()).await?;
    Plugin::start(side, &cluster, &slack).await?.stop().await?;
    let ids = requests::create(&cluster, 20, Pace::AtOnce).await?;
    let plugin = Plugin::start(side, &cluster, &slack).await?;
    let outcome = slack.settle(&ids).await;
    plugin.stop().await?;
    Ok(losses("20 requests while down: lost", "20 requests while down: doubled", &outcome))
}
