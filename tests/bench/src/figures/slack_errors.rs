//! Slack answers every call with 500 for ten seconds.

use std::time::Duration;

use simulators::faults::{Effect, Fault};

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
    let plugin = Plugin::start(side, &cluster, &slack).await?;
    let outage = Fault::during("*", Duration::from_secs(10), Effect::ServerError { status: 500 });
    slack.server.workspace().inject(outage)?;
    let ids = requests::create(&cluster, 50, Pace::Every(Duration::from_millis(200))).await?;
    let outcome = slack.settle(&ids).await;
    plugin.stop().await?;
    Ok(losses(
        "Slack answers 500 for 10 s, 50 requests: lost",
        "Slack answers 500 for 10 s, 50 requests: doubled",
        &outcome,
    ))
}
