//! SIGKILL in the middle of a burst, and a start right after it.

use std::time::Duration;

use tokio::time::sleep;

use super::losses;
use crate::Failure;
use crate::cluster::Cluster;
use crate::plugin::{Plugin, Side};
use crate::requests::{self, Pace};
use crate::slack::{self, Slack};
use crate::table::Measured;

/// Messages that are there when the signal comes.
const MIDDLE: u64 = 150;

pub(super) async fn measure(side: &Side) -> Result<Vec<Measured>, Failure> {
    let cluster = Cluster::start().await?;
    let slack = Slack::start(slack::unlimited()).await?;
    let plugin = Plugin::start(side, &cluster, &slack).await?;
    let before = slack.server.workspace().call_count();
    let restart = async {
        while slack.server.workspace().call_count() < before + MIDDLE {
            sleep(Duration::from_millis(5)).await;
        }
        plugin.kill().await?;
        Plugin::start(side, &cluster, &slack).await
    };
    let (ids, plugin) = tokio::try_join!(requests::create(&cluster, 500, Pace::AtOnce), restart)?;
    let outcome = slack.settle(&ids).await;
    plugin.stop().await?;
    Ok(losses("kill -9 in a burst of 500: lost", "kill -9 in a burst of 500: doubled", &outcome))
}
