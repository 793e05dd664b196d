//! What a machine tells people: log lines, counters and what the status shows.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::access_request::RequestId;
use crate::delivery::effect::{Note, ReplyKind, Standing, StoreCall, Untold};
use crate::delivery::input::StoreError;
use crate::metrics::ledger::{self, Searched};
use crate::metrics::{Operation, Outcome};
use crate::slack::error::{Class, Error};
use crate::slack::method;
use crate::worker::context::Context;
use crate::worker::missed;

/// Failures in a row before they are worth a warning.
const WORTH_A_WARNING: u32 = 3;

/// Tells people.
/// `seen_at` is when the request was seen as it is.
pub(super) fn report(context: &Arc<Context>, id: &RequestId, note: &Note, seen_at: Instant) {
    let (metrics, ledger) = (&context.metrics, context.metrics.ledger());
    match note {
        Note::Announced { recipient, message, after } => {
            metrics.delivery(Operation::Post, Outcome::Ok);
            if let Some(after) = after {
                metrics.delivery_latency(*after);
            }
            context.board.delivered();
            missed::tell(context, recipient);
            info!(request_id = %id, %recipient, slack_message = %message, "Posted the access request");
        }
        Note::Replied(recipient, what) => {
            metrics.delivery(Operation::Reply, Outcome::Ok);
            match what {
                ReplyKind::Review(index) => {
                    info!(request_id = %id, %recipient, review = index, "Replied with a review");
                }
                ReplyKind::Outcome(_) => info!(request_id = %id, %recipient, "Replied with the outcome"),
            }
        }
        Note::Updated(recipient, shown) => {
            metrics.delivery(Operation::Update, Outcome::Ok);
            ledger.shown(seen_at.elapsed());
            info!(request_id = %id, %recipient, state = %shown, "Updated the message");
        }
        Note::Reacted(_) => metrics.delivery(Operation::Reaction, Outcome::Ok),
        Note::Found(recipient, message) => {
            ledger.found();
            info!(request_id = %id, %recipient, slack_message = %message, "Found the message whose answer was lost");
        }
        Note::OutcomeUnknown(recipient) => {
            ledger.outcome_unknown();
            debug!(request_id = %id, %recipient, "The outcome of a post is unknown: looking for it in the history");
        }
        Note::SentAgain { recipient, searched: true } => {
            ledger.sent_again(Searched::Yes);
            info!(request_id = %id, %recipient, "The history does not show the message: sending it again");
        }
        Note::SentAgain { recipient, searched: false } => {
            ledger.sent_again(Searched::No);
            warn!(request_id = %id, %recipient, "Cannot tell whether the message was sent: sending it again; it may appear twice");
        }
        Note::DoubleFound(recipient, message) => {
            ledger.double_found();
            warn!(request_id = %id, %recipient, slack_message = %message, "Found a second message of the request: removing it");
        }
        Note::StrayRemoved(recipient, message) => {
            ledger.stray_removed();
            info!(request_id = %id, %recipient, slack_message = %message, "Removed the second message");
        }
        Note::Failed { recipient, error, is_news, .. } => failed(context, id, recipient.as_str(), error, *is_news),
        Note::Lost(recipient, error) => {
            ledger.lost();
            info!(request_id = %id, %recipient, %error, "The message is gone or can no longer be changed: not following it");
        }
        Note::LeftOut(recipient, error) => {
            let remedy = context.slack.remedy(error);
            warn!(request_id = %id, %recipient, %error, remedy, "Leaving out what Slack does not take");
            count_failure(context, error);
        }
        Note::AnotherApp(recipient) => {
            ledger.lost();
            warn!(
                request_id = %id, %recipient,
                "The message belongs to another Slack app, so it cannot be updated: the outcome will be told in its thread; \
                 messages of the former app stay as they are"
            );
        }
        Note::NeverAnnounced { recipient, standing, reason } => {
            let (label, reason) = match reason {
                Untold::Slack(error) => (ledger::Untold::Slack, error.to_string()),
                Untold::Teleport => (ledger::Untold::Teleport, "its record could not be stored in Teleport".to_owned()),
                Untold::Waiting => (ledger::Untold::Waiting, "it waited for its turn".to_owned()),
            };
            if *standing == Standing::Configured {
                ledger.never_announced(label);
                context.missed().missed(recipient.as_str(), id);
            }
            warn!(request_id = %id, %recipient, reason, "The request ended before it could be announced here");
        }
        Note::NeverUpdated(recipient, error) => {
            ledger.never_updated();
            warn!(request_id = %id, %recipient, %error, "The end of the request could not be shown here");
        }
        Note::Unrouted { roles } => unrouted(context, id, roles),
        Note::Closed(resolution) => {
            info!(request_id = %id, resolution = resolution.as_str(), "Every message shows how the request ended");
        }
        Note::Conflict => {
            debug!(request_id = %id, "Another worker has written the record: deciding anew");
            metrics.plugin_data_conflict();
        }
        Note::StoreFailing { what, error, failures } => store_failing(id, *what, *error, *failures),
        Note::StoreRecovered => debug!(request_id = %id, "The record can be read and written again"),
    }
}

fn unrouted(context: &Context, id: &RequestId, roles: &[String]) {
    if context.board.unrouted(id, roles) {
        warn!(request_id = %id, ?roles, "The request reaches no recipient: add its roles, or \"*\", to role_to_recipients");
        context.metrics.request_unrouted();
    }
}

fn store_failing(id: &RequestId, what: StoreCall, error: StoreError, failures: u32) {
    let what = match what {
        StoreCall::LookUp => "look the request up",
        StoreCall::Read => "read the record of a request",
        StoreCall::Write => "write the record of a request",
    };
    if error == StoreError::Unknown && failures < WORTH_A_WARNING {
        debug!(request_id = %id, ?error, "Could not {what}: trying again");
    } else {
        warn!(request_id = %id, ?error, failures, "Could not {what}: trying again");
    }
}

fn failed(context: &Context, id: &RequestId, recipient: &str, error: &Error, is_news: bool) {
    count_failure(context, error);
    let remedy = context.slack.remedy(error);
    match error.class {
        _ if error.is_rate_limit() => {
            debug!(request_id = %id, recipient, retry_after = ?error.retry_after, "Slack limits the rate of calls");
        }
        _ if !is_news => debug!(request_id = %id, recipient, %error, "Failed again"),
        Class::Transient | Class::Ambiguous => {
            warn!(request_id = %id, recipient, %error, "Could not reach Slack: trying again");
        }
        _ => warn!(request_id = %id, recipient, %error, remedy, "Slack refuses: trying again later"),
    }
    if matches!(error.class, Class::Config | Class::Recipient) {
        context.suspect(recipient);
    }
}

fn count_failure(context: &Context, error: &Error) {
    let operation = match error.method {
        method::UPDATE => Operation::Update,
        method::ADD_REACTION => Operation::Reaction,
        _ => Operation::Post,
    };
    let outcome = match error.class {
        Class::Transient => Outcome::Retry,
        Class::Ambiguous => Outcome::Ambiguous,
        _ => Outcome::Refused,
    };
    context.metrics.delivery(operation, outcome);
}
