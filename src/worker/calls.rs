//! Carries out a machine's effects: the only place where Teleport and Slack meet. Each call ends in an answer; none
//! decides what follows from it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tracing::debug;

use crate::access_request::RequestId;
use crate::config::recipient::{Recipient, RecipientKey};
use crate::delivery::claims::SLACK_TIMEOUT;
use crate::delivery::effect::{Effect, ReplyKind, Sought, Target};
use crate::delivery::input::{Answer, Failure, NotSearched, Replied, Resolved, StoreError};
use crate::delivery::state::{Observation, Place};
use crate::slack::MessageRef;
use crate::slack::address_book::{self, Address};
use crate::slack::api::Post;
use crate::slack::error::{Class, Error};
use crate::slack::message::{Content, Metadata};
use crate::slack::method;
use crate::slack::rate_limit;
use crate::teleport::error::{CallError, Kind};
use crate::worker::context::{Context, Teleport, address};
use crate::worker::render::Subject;
use crate::worker::task::now;

/// How far back from a claim to search: the clocks of its worker and of Slack may differ.
const SEARCH_MARGIN: SignedDuration = SignedDuration::from_mins(5);

/// The right to make one post.
#[derive(Debug)]
pub(super) struct Slot {
    turn: rate_limit::Slot,
    /// What Slack takes as the channel of the post.
    channel: String,
    /// The recipient, unless the post goes into a thread.
    address: Option<Address>,
}

/// Waits until it is this caller's turn to post, and until the pace permits.
pub(super) async fn acquire(context: Arc<Context>, to: Target) -> Slot {
    let (channel, address, names) = match to {
        Target::Thread(message) => (message.channel.clone(), None, vec![message.channel]),
        Target::Recipient(key, place) => {
            let address = key.recipient().as_ref().map(address);
            let channel = channel(&context, address.as_ref(), &place);
            let names = place.ids().map(str::to_owned).chain([channel.clone()]).collect();
            (channel, address, names)
        }
    };
    let turn = context.limiter.acquire(names.iter().map(String::as_str)).await;
    Slot { turn, channel, address }
}

/// What Slack takes as the channel of a post to a recipient.
fn channel(context: &Context, address: Option<&Address>, place: &Place) -> String {
    let known = address.map(|address| context.book.known(address)).unwrap_or_default();
    let ids: Vec<&str> = place.ids().chain(known.iter().map(String::as_str)).collect();
    let first = ids.first().copied();
    match address {
        Some(Address::Channel(id) | Address::DirectMessage(id) | Address::User(id)) => id.clone(),
        Some(Address::ChannelName(name)) => first.unwrap_or(name).to_owned(),
        // A user's id opens the direct message where there is none yet; the conversation's own works only while it is open.
        Some(Address::Email(_)) | None => {
            let user = ids.iter().copied().find(|id| Recipient::is_person(id));
            user.or(first).unwrap_or_default().to_owned()
        }
    }
}

/// Carries an effect out.
pub(super) async fn perform(
    context: &Context,
    teleport: Option<Teleport>,
    id: &RequestId,
    effect: Effect,
    slot: Option<Slot>,
    subject: Option<Subject>,
    was_reported_gone: bool,
) -> Answer {
    match effect {
        Effect::LookUp(_) => Answer::Request(look_up(context, teleport, id, was_reported_gone).await),
        Effect::Read(_) => Answer::Record(match teleport {
            Some(Teleport { client, .. }) => client.plugin_data(id).await.map_err(|error| store_failed(id, &error)),
            None => Err(StoreError::Unknown),
        }),
        Effect::Write { set, expect, .. } => Answer::Stored(match teleport {
            Some(Teleport { client, .. }) => {
                let written = client.update_plugin_data(id, set, expect).await;
                written.map_err(|error| store_failed(id, &error))
            }
            None => Err(StoreError::Unknown),
        }),
        Effect::Resolve { recipient, .. } => Answer::Resolved(resolve(context, id, &recipient).await),
        Effect::Post { recipient, shown, plain, not_after, .. } => Answer::Posted(match (slot, subject) {
            (Some(slot), Some(subject)) => {
                let server = teleport.as_ref().map(|teleport| &teleport.server);
                let review = *context.review_buttons.borrow();
                let body = subject.message(id, &recipient, shown, plain, server, review).await;
                post(context, slot, body, None, not_after).await.map(|(message, _)| message)
            }
            _ => Err(Failure::TooLate),
        }),
        Effect::Reply { parent, what, not_after, .. } => Answer::Replied(match (slot, subject) {
            (Some(slot), Some(subject)) => {
                let body = subject.reply(id, what);
                post(context, slot, body, Some(parent), not_after).await.map(|(_, replied)| replied)
            }
            _ => Err(Failure::TooLate),
        }),
        Effect::Update { recipient, message, shown, plain, .. } => {
            let Some(subject) = subject else { return Answer::Done(Err(Failure::TooLate)) };
            let server = teleport.as_ref().map(|teleport| &teleport.server);
            let review = *context.review_buttons.borrow();
            let body = subject.message(id, &recipient, shown, plain, server, review).await;
            let call = context.slack.update_message(&message, &body);
            Answer::Done(unless_paused(context, method::UPDATE, call).await)
        }
        Effect::React { message, name, .. } => {
            let call = context.slack.add_reaction(&message, name);
            Answer::Done(unless_paused(context, method::ADD_REACTION, call).await)
        }
        Effect::Search { recipient, what, .. } => Answer::Found(search(context, id, &recipient, what).await),
        Effect::Remove { message, .. } => {
            let call = context.slack.delete_message(&message);
            Answer::Done(unless_paused(context, method::DELETE, call).await)
        }
        Effect::Acquire { .. } | Effect::Release(_) | Effect::Report(_) => Answer::Acquired,
    }
}

/// A request that is not shown is gone only if requests of others are shown at all, or if something else says so too:
/// without the right to list them Teleport leaves them out instead of refusing.
async fn look_up(
    context: &Context,
    teleport: Option<Teleport>,
    id: &RequestId,
    was_reported_gone: bool,
) -> Result<Observation, StoreError> {
    let Some(Teleport { client, .. }) = teleport else { return Err(StoreError::Unknown) };
    match client.access_request(id).await {
        Ok(Some(request)) => Ok(Observation::Present(Box::new(request))),
        Ok(None) if was_reported_gone || context.sees_requests_of_others.load(Ordering::Relaxed) => {
            Ok(Observation::Gone(Timestamp::now()))
        }
        Ok(None) => Err(StoreError::Refused),
        Err(error) => Err(store_failed(id, &error)),
    }
}

/// Logs a failed call to Teleport, and tells what it means for a machine.
fn store_failed(id: &RequestId, error: &CallError) -> StoreError {
    debug!(request_id = %id, %error, "A call about a request failed");
    store_error(error)
}

fn store_error(error: &CallError) -> StoreError {
    match error.kind {
        Kind::CompareFailed => StoreError::Conflict,
        Kind::NotFound => StoreError::Gone,
        _ if error.is_too_large() => StoreError::TooLarge,
        Kind::AccessDenied | Kind::BadParameter | Kind::Unimplemented | Kind::AlreadyExists => StoreError::Refused,
        Kind::LimitExceeded | Kind::TooLarge | Kind::Unavailable => StoreError::Unknown,
    }
}

async fn resolve(context: &Context, id: &RequestId, key: &RecipientKey) -> Resolved {
    let Some(recipient) = key.recipient() else { return Resolved::Unknowable };
    match context.book.resolve(&id.0, &address(&recipient)).await {
        address_book::Resolved::Place(ids) => Resolved::Place(ids.into_iter().collect()),
        address_book::Resolved::Unknowable => Resolved::Unknowable,
        address_book::Resolved::Failed(error) => Resolved::Failed(error),
    }
}

/// Makes the call, unless Slack has said that it would refuse it now.
async fn unless_paused<T>(
    context: &Context,
    method: &'static str,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Failure> {
    context.limiter.try_call(method, call).await.map_err(Failure::Postponed)?.map_err(Failure::Refused)
}

/// Posts a message, or a reply where `thread` names one.
async fn post(
    context: &Context,
    slot: Slot,
    body: Content,
    thread: Option<MessageRef>,
    not_after: Instant,
) -> Result<(MessageRef, Replied), Failure> {
    let Slot { turn, channel, address } = slot;
    // Storing the claim took its time: another post may have been limited meanwhile.
    turn.begin().await.map_err(Failure::Postponed)?;
    if now().monotonic >= not_after {
        return Err(Failure::TooLate);
    }
    let post = Post { channel, content: body, thread_ts: thread.map(|parent| parent.ts) };
    let result = context.slack.post_message(&post).await;
    turn.finish(&result);
    match result {
        Ok(posted) => {
            context.limiter.merge([post.channel.as_str(), posted.message.channel.as_str()]);
            if let Some(address) = &address {
                context.book.learn(address, &posted.message.channel);
            }
            if posted.strayed {
                // The thread's first message is gone, and Slack has put the reply into the channel.
                let _ = context.slack.delete_message(&posted.message).await;
                return Ok((posted.message, Replied::Strayed));
            }
            Ok((posted.message, Replied::InThread))
        }
        Err(error) => {
            if let Some(address) = address.filter(|_| matches!(error.class, Class::Config | Class::Recipient)) {
                context.book.doubt(&address);
            }
            Err(Failure::Refused(error))
        }
    }
}

/// Posts a line of our own to a recipient, with a slot like any other post.
pub(super) async fn say(context: &Arc<Context>, key: RecipientKey, text: String) -> Result<(), Failure> {
    let place = context.known_place(&key);
    let slot = acquire(context.clone(), Target::Recipient(key, place)).await;
    let body = Content { text, blocks: Value::Null, metadata: None };
    let not_after = now().monotonic + SLACK_TIMEOUT;
    post(context, slot, body, None, not_after).await.map(drop)
}

/// Searches for messages or replies that may have been sent.
async fn search(
    context: &Context,
    id: &RequestId,
    recipient: &RecipientKey,
    what: Sought,
) -> Result<Vec<MessageRef>, NotSearched> {
    let found = match what {
        Sought::Reply { parent, what } => {
            let wanted = reply_metadata(id, what);
            unless_paused(context, method::REPLIES, context.slack.find_replies(&parent, &wanted)).await
        }
        Sought::Message { place, since } => {
            let since = since.checked_sub(SEARCH_MARGIN).unwrap_or(Timestamp::UNIX_EPOCH);
            match conversation(context, recipient, &place).await {
                Ok(Some(channel)) => {
                    let wanted = Metadata::of_any_recipient(&id.0);
                    let call = context.slack.find_posted(&channel, since, &wanted);
                    unless_paused(context, method::HISTORY, call).await
                }
                Ok(None) => Ok(Vec::new()),
                Err(failure) => Err(failure),
            }
        }
    };
    match found {
        Ok(found) => Ok(found),
        Err(failure) => {
            let passes = matches!(&failure, Failure::Refused(error) if may_pass(error));
            let alone = passes && unless_paused(context, method::AUTH_TEST, context.slack.auth_test()).await.is_ok();
            Err(NotSearched { failure, alone })
        }
    }
}

/// Names what a reply says, in its metadata.
pub(super) fn reply_metadata(id: &RequestId, what: ReplyKind) -> Metadata {
    match what {
        ReplyKind::Review(index) => Metadata::of_review(&id.0, index),
        ReplyKind::Outcome(resolution) => Metadata::of_outcome(&id.0, resolution.as_str()),
    }
}

/// Whether the same call may work later without help.
fn may_pass(error: &Error) -> bool {
    matches!(error.class, Class::Transient | Class::Ambiguous)
}

/// The id of the conversation in which a recipient's messages are; none when there is no such channel.
async fn conversation(context: &Context, key: &RecipientKey, place: &Place) -> Result<Option<String>, Failure> {
    let mut place = place.clone();
    place.merge(&context.known_place(key));
    if let Some(id) = place.ids().find(|id| !Recipient::is_person(id)) {
        return Ok(Some(id.to_owned()));
    }
    let user = match (place.ids().next(), key.recipient()) {
        (Some(user), _) => user.to_owned(),
        (None, Some(Recipient::ChannelName(name))) => {
            let list = context.slack.resolve_channel_name(&name);
            return Ok(unless_paused(context, method::LIST, list).await?.map(|channel| channel.id));
        }
        (None, Some(Recipient::Email(email))) => {
            context.book.user(key.as_str(), &email).await.map_err(Failure::Refused)?.to_string()
        }
        (None, _) => return Ok(None),
    };
    let opened = context.book.direct_message(&user).await.map_err(Failure::Postponed)?;
    opened.map(Some).map_err(Failure::Refused)
}
