//! Slack as the second source of truth: carries out what [`sweep::plan`](crate::delivery::sweep::plan) finds to do about the
//! bot's own messages of the last days, at the start and once a day.
//!
//! A sweep is bounded in calls and spread in time, and left out where the app may not read the history.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;
use tracing::{debug, info};

use crate::access_request::RequestId;
use crate::config::recipient::{Recipient, RecipientKey};
use crate::delivery::record::{Record, RequestMemory};
use crate::delivery::state::{Observation, Shown};
use crate::delivery::sweep::{Followed, Found, Standing, Step, doubtful, plan};
use crate::metrics::ledger::Swept;
use crate::slack::api::OwnMessage;
use crate::slack::error::Error;
use crate::slack::method;
use crate::teleport::error::CallError;
use crate::worker::context::{Context, Teleport};
use crate::worker::render::Subject;

/// From the start of the worker to the first sweep: what is under way from before has settled.
const FIRST: Duration = Duration::from_secs(15);
/// Between two sweeps.
const EVERY: Duration = Duration::from_hours(24);
/// Between two conversations.
const BETWEEN: Duration = Duration::from_secs(5);
/// How far back messages are read.
const DAYS: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Requests of one conversation that are looked up in one sweep.
const MOST_LOOK_UPS: usize = 100;
/// Messages of one conversation that are changed in one sweep.
const MOST_STEPS: usize = 50;

/// What Teleport knows of a request that messages name.
struct Known {
    observation: Observation,
    remembered: RequestMemory,
}

/// Why a conversation was left for the next sweep.
#[derive(Debug, thiserror::Error)]
enum Unswept {
    #[error("{0}")]
    Slack(#[from] Error),
    #[error("{0}")]
    Teleport(#[from] CallError),
}

/// Sweeps at the start and once a day, until the worker ends.
pub(super) async fn keep_sweeping(context: Arc<Context>) {
    let mut wait = FIRST;
    loop {
        tokio::select! {
            () = sleep(wait) => {}
            () = context.shutdown.cancelled() => return,
        }
        wait = EVERY;
        tokio::select! {
            () = sweep(&context) => {}
            () = context.shutdown.cancelled() => return,
        }
    }
}

async fn sweep(context: &Context) {
    let Ok(account) = context.slack.account().await else { return };
    if !account.scopes.iter().any(|scope| scope.ends_with(":history")) {
        debug!("The app may not read the history (channels:history, groups:history, im:history): not sweeping");
        return;
    }
    for channel in conversations(context) {
        if let Err(reason) = sweep_conversation(context, &channel).await {
            debug!(channel, %reason, "Could not sweep a conversation");
        }
        sleep(BETWEEN).await;
    }
}

/// The ids of the conversations of the configured recipients, as far as they are known.
fn conversations(context: &Context) -> BTreeSet<String> {
    let recipients = context.routes.borrow().all();
    let places = recipients.iter().map(|recipient| context.known_place(&RecipientKey::from(recipient)));
    places
        .flat_map(|place| place.ids().map(str::to_owned).collect::<Vec<_>>())
        .filter(|id| !Recipient::is_person(id))
        .collect()
}

async fn sweep_conversation(context: &Context, channel: &str) -> Result<(), Unswept> {
    let Some(teleport) = context.teleport.borrow().clone() else { return Ok(()) };
    let since = Timestamp::now().checked_sub(DAYS).unwrap_or(Timestamp::UNIX_EPOCH);
    let own = context.limiter.call(method::HISTORY, context.slack.own_messages(channel, since)).await?;
    let own: Vec<OwnMessage> = own
        .into_iter()
        .filter(|one| one.cluster.as_ref().is_none_or(|cluster| *cluster == teleport.server.cluster))
        .collect();
    // Which cluster a message is of that does not say so can only be told while the cluster has its request.
    let of_this_cluster: BTreeSet<RequestId> =
        own.iter().filter(|one| one.cluster.is_some()).map(|one| RequestId(one.request_id.clone())).collect();
    let found: Vec<Found> =
        own.into_iter().map(|one| Found { message: one.message, request: RequestId(one.request_id) }).collect();
    if found.is_empty() {
        return Ok(());
    }
    let records = teleport.client.all_plugin_data().await?;
    let mut followed: Followed =
        records.into_iter().map(|stored| (stored.request, messages(&Record::decode(stored.data)))).collect();
    let asked: Vec<RequestId> = doubtful(&found, &followed).into_iter().take(MOST_LOOK_UPS).cloned().collect();
    let mut known = BTreeMap::new();
    for id in asked {
        let may_be_gone = of_this_cluster.contains(&id);
        known.extend(look_up(context, &teleport, &id, may_be_gone, &mut followed).await?.map(|one| (id, one)));
    }
    let standings = known.iter().map(|(id, one)| {
        let is_ended = one.observation.resolution().is_some();
        (id.clone(), if is_ended { Standing::Ended } else { Standing::Pending })
    });
    for step in plan(&found, &followed, &standings.collect(), MOST_STEPS) {
        take(context, &teleport, step, &known).await?;
    }
    Ok(())
}

/// Looks a request up past any cache, and its record, which is newer than the history: none where a task is at work, or
/// where it cannot be told whether the request is of this cluster.
async fn look_up(
    context: &Context,
    teleport: &Teleport,
    id: &RequestId,
    may_be_gone: bool,
    followed: &mut Followed,
) -> Result<Option<Known>, CallError> {
    let observation = match teleport.client.access_request(id).await? {
        Some(request) => Observation::Present(Box::new(request)),
        None if may_be_gone && context.sees_requests_of_others.load(Ordering::Relaxed) => {
            Observation::Gone(Timestamp::now())
        }
        None => return Ok(None),
    };
    let record = Record::decode(teleport.client.plugin_data(id).await?);
    followed.insert(id.clone(), messages(&record));
    if record.deliveries.values().any(|delivery| delivery.claim.is_some()) {
        return Ok(None);
    }
    Ok(Some(Known { observation, remembered: record.request }))
}

/// The messages that a record leads to.
fn messages(record: &Record) -> BTreeSet<crate::slack::MessageRef> {
    record.deliveries.values().filter_map(|delivery| delivery.message.clone()).collect()
}

async fn take(
    context: &Context,
    teleport: &Teleport,
    step: Step,
    known: &BTreeMap<RequestId, Known>,
) -> Result<(), Error> {
    match step {
        Step::Remove { message, request } => {
            context.limiter.call(method::DELETE, context.slack.delete_message(&message)).await?;
            context.metrics.ledger().swept(Swept::Removed);
            info!(request_id = %request, slack_message = %message, "Removed a second message of a request");
        }
        Step::End { message, request } => {
            let Some(Known { observation, remembered }) = known.get(&request) else { return Ok(()) };
            let shown = Shown::of(observation);
            let subject = Subject { observation: observation.clone(), remembered: remembered.clone(), logins: None };
            let recipient = RecipientKey::new(&message.channel);
            let body = subject.message(&request, &recipient, shown, false, Some(&teleport.server), None).await;
            context.limiter.call(method::UPDATE, context.slack.update_message(&message, &body)).await?;
            context.metrics.ledger().swept(Swept::Ended);
            info!(request_id = %request, slack_message = %message, state = %shown, "Brought a message without a record to its end");
            if let Some(name) = observation.resolution().and_then(|resolution| resolution.reaction()) {
                context.limiter.call(method::ADD_REACTION, context.slack.add_reaction(&message, name)).await?;
            }
        }
    }
    Ok(())
}
