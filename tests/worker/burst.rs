//! Many requests at once, with Slack's limits in force.

use std::fmt::Write as _;
use std::time::Duration;

use simulators::slack::{BOT_USER, Channel, Limits};
use simulators::teleport::{Config, NewRequest};

use crate::support::{ALICE, World};

const CHANNELS: usize = 20;
const REQUESTS: usize = 300;

#[tokio::test]
async fn three_hundred_requests_over_twenty_channels_are_each_told_once_within_the_limits() {
    let world = World::new(|setup| {
        // One message a second a channel, three at once; the workspace's own limit is not the subject here.
        let limits = Limits { channel_burst: 3, workspace_per_minute: 10_000, ..Limits::default() };
        let mut workspace = std::mem::take(&mut setup.workspace).limits(limits);
        setup.recipients.clear();
        for n in 0..CHANNELS {
            let (id, name) = (format!("C0BURST{n:04}"), format!("burst-{n}"));
            workspace = workspace.channel(Channel::public(&id, &name).members([BOT_USER]));
            writeln!(setup.recipients, "\"role-{n}\" = \"{name}\"").unwrap();
            setup.places.push(name);
        }
        setup.recipients.push_str("\"*\" = \"general\"");
        setup.workspace = workspace;
        setup.cluster = Config::default();
    })
    .await;
    let worker = world.run().await;
    let ids: Vec<String> = (0..REQUESTS)
        .map(|n| world.cluster.create_request(NewRequest::new(ALICE, &[&format!("role-{}", n % CHANNELS)])))
        .collect();
    // Slack's limit for a whole workspace cannot be told from that of many channels: four messages a second.
    let all = |world: &World| world.all_messages().count() >= REQUESTS;
    world.until_within(Duration::from_mins(2), "everything is told", all).await;
    for id in &ids {
        world.announced(id, 1).await;
    }
    let refused = world.slack().calls("chat.postMessage").iter().filter(|call| call.status == 429).count();
    assert!(refused <= 3 * CHANNELS, "{refused} calls met a limit");
    world.end(worker).await;
}
