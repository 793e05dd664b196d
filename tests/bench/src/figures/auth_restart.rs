//! Teleport is restarted under a running plugin; nobody restarts the plugin.

use super::losses;
use crate::Failure;
use crate::cluster::Cluster;
use crate::plugin::{Plugin, Side};
use crate::requests::{self, Pace};
use crate::slack::{self, Slack};
use crate::table::Measured;

pub(super) async fn measure(side: &Side) -> Result<Vec<Measured>, Failure> {
    let mut cluster = Cluster::start().await?;
    let slack = Slack::start(slack::unlimited()).await?;
    let plugin = Plugin::start(side, &cluster, &slack).await?;
    cluster.restart().await?;
    let ids = requests::create(&cluster, 20, Pace::AtOnce).await?;
    let outcome = slack.settle(&ids).await;
    plugin.stop().await?;
    Ok(losses("Auth restarted, then 20 requests: lost", "Auth restarted, then 20 requests: doubled", &outcome))
}
