//! Calls to Slack that keep out of the pauses which Slack has asked for. Posts have a line of their own: see
//! [`Turns`](crate::slack::turn::Turns).

use std::time::Instant;

use crate::delivery::input::Failure;
use crate::slack::api::UserId;
use crate::slack::error::Error;
use crate::slack::method;
use crate::worker::context::Context;

/// Makes the call, unless Slack has said that it would refuse it now.
pub(super) async fn unless_paused<T>(
    context: &Context,
    method: &'static str,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Failure> {
    let permit = context.pacing().permit(method, Instant::now());
    permit.map_err(Failure::Postponed)?;
    noted(context, method, call).await.map_err(Failure::Refused)
}

/// Makes the call as soon as Slack may take it.
pub(super) async fn patiently<T>(
    context: &Context,
    method: &'static str,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    loop {
        let permit = context.pacing().permit(method, Instant::now());
        match permit {
            Ok(()) => return noted(context, method, call).await,
            Err(until) => tokio::time::sleep_until(until.into()).await,
        }
    }
}

/// The user of an address, from memory where it was looked up before.
pub(super) async fn lookup(context: &Context, email: &str) -> Result<UserId, Failure> {
    match context.directory.known(email) {
        Some(known) => known.map_err(Failure::Refused),
        None => unless_paused(context, method::LOOKUP_BY_EMAIL, context.directory.lookup(&context.slack, email)).await,
    }
}

/// The same, as soon as Slack may be asked.
pub(super) async fn patient_lookup(context: &Context, email: &str) -> Result<UserId, Error> {
    loop {
        match lookup(context, email).await {
            Ok(user) => return Ok(user),
            Err(Failure::Refused(error)) => return Err(error),
            Err(Failure::Postponed(until)) => tokio::time::sleep_until(until.into()).await,
            Err(Failure::TooLate) => {}
        }
    }
}

async fn noted<T>(
    context: &Context,
    method: &'static str,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let result = call.await;
    count(context, method, &result);
    if let Err(error) = &result {
        note_limit(context, error, None);
    }
    result
}

/// Counts a call by what came of it.
pub(super) fn count<T>(context: &Context, method: &'static str, result: &Result<T, Error>) {
    context.metrics.slack_call(method, result.as_ref().map_or_else(|error| error.class.as_str(), |_| OK));
}

/// The label of a call that worked.
const OK: &str = "ok";

/// Notes the pause that Slack asks for; `conversation` is where a post was to go.
pub(super) fn note_limit(context: &Context, error: &Error, conversation: Option<&str>) {
    if let Some(retry_after) = error.retry_after.filter(|_| error.is_rate_limit()) {
        context.pacing().limited(error.method, conversation, retry_after, Instant::now());
        context.metrics.slack_rate_limited(retry_after);
    }
}
