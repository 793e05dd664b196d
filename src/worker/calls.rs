//! Carries out a machine's effects: the only place where Teleport and Slack meet. Each call ends in an answer; none
//! decides what follows from it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use tracing::debug;

use crate::access_request::RequestId;
use crate::config::recipient::{Recipient, RecipientKey};
use crate::delivery::effect::{Effect, ReplyKind, Sought, Target};
use crate::delivery::input::{Answer, CallId, Failure, NotSearched, Replied, Resolved, StoreError};
use crate::delivery::state::{Observation, Place};
use crate::slack::MessageRef;
use crate::slack::api::{Post, UserId};
use crate::slack::error::{Class, Error};
use crate::slack::message::{Content, Metadata};
use crate::slack::method;
use crate::slack::turn::ChannelTurn;
use crate::teleport::error::{CallError, Kind};
use crate::worker::context::{Context, Teleport};
use crate::worker::paced::{self, note_limit, unless_paused};
use crate::worker::render::Subject;

/// How far back from a claim to search: the clocks of its worker and of Slack may differ.
const SEARCH_MARGIN: SignedDuration = SignedDuration::from_mins(5);

/// The turn to post in a conversation.
#[derive(Debug)]
pub(super) struct Slot {
    _turn: ChannelTurn,
    address: Address,
}

/// Where a post goes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    /// What Slack takes as its channel.
    channel: String,
    /// The conversation's id as far as known: turns and pace are kept by it, however the conversation is addressed.
    conversation: String,
}

impl Address {
    fn at(context: &Context, channel: &str) -> Self {
        let conversation = context.conversation_of(channel).unwrap_or_else(|| channel.to_owned());
        // A user stays a user's id: the conversation's own works only while it is open.
        let channel = if Recipient::is_person(channel) { channel.to_owned() } else { conversation.clone() };
        Self { channel, conversation }
    }

    /// From when on Slack takes a post here: `now`, or the end of its pause.
    fn ready_at(&self, context: &Context, now: Instant) -> Instant {
        context.pacing().ready_at(method::POST_MESSAGE, Some(&self.conversation), now)
    }
}

/// The id of an effect's question.
pub(super) fn id(effect: &Effect) -> Option<CallId> {
    match effect {
        Effect::LookUp(call)
        | Effect::Read(call)
        | Effect::Write { call, .. }
        | Effect::Resolve { call, .. }
        | Effect::Acquire { call, .. }
        | Effect::Post { call, .. }
        | Effect::Reply { call, .. }
        | Effect::Update { call, .. }
        | Effect::React { call, .. }
        | Effect::Search { call, .. }
        | Effect::Remove { call, .. } => Some(*call),
        Effect::Release(_) | Effect::Report(_) => None,
    }
}

/// The slot that an effect uses up.
pub(super) fn slot(effect: &Effect) -> Option<CallId> {
    match effect {
        Effect::Post { slot, .. } | Effect::Reply { slot, .. } => Some(*slot),
        _ => None,
    }
}

/// Waits until it is this caller's turn to post, and until the pace permits.
pub(super) async fn acquire(context: Arc<Context>, to: Target) -> Slot {
    let channel = channel(&to);
    let (turn, address) = loop {
        let address = Address::at(&context, &channel);
        let is_limited = || context.pacing().is_limited(&address.conversation, Instant::now());
        let alone = is_limited();
        let turn = context.turns.take(&address.conversation, alone).await;
        // An answer may have told meanwhile which conversation it is, or that it is limited.
        let still_so = alone || !is_limited();
        if still_so && Address::at(&context, &channel) == address {
            break (turn, address);
        }
    };
    let now = Instant::now();
    let at = context.pacing().reserve(&address.conversation, now);
    // The timer counts whole milliseconds and rounds up: no wait is not a short one.
    if at > now {
        tokio::time::sleep_until(at.into()).await;
    }
    // Another post may have been limited while this one waited.
    loop {
        let now = Instant::now();
        let ready = address.ready_at(&context, now);
        if ready <= now {
            return Slot { _turn: turn, address };
        }
        tokio::time::sleep_until(ready.into()).await;
    }
}

/// What Slack takes as the channel of a post.
fn channel(to: &Target) -> String {
    match to {
        Target::Thread(message) => message.channel.clone(),
        Target::Recipient(key, place) => match key.recipient() {
            Some(Recipient::ChannelName(name)) => name,
            Some(Recipient::Email(_)) => {
                // A user's id opens the direct message where there is none yet.
                let person = place.ids().find(|id| Recipient::is_person(id));
                person.or_else(|| place.ids().next()).unwrap_or_default().to_owned()
            }
            Some(recipient) => recipient.written_id().unwrap_or_default().to_owned(),
            None => place.ids().next().unwrap_or_default().to_owned(),
        },
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
        Effect::Resolve { recipient, .. } => Answer::Resolved(resolve(context, &recipient).await),
        Effect::Post { recipient, shown, plain, not_after, .. } => Answer::Posted(match (slot, subject) {
            (Some(slot), Some(subject)) => {
                let server = teleport.as_ref().map(|teleport| &teleport.server);
                let body = subject.message(id, &recipient, shown, plain, server).await;
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
            let body = subject.message(id, &recipient, shown, plain, server).await;
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
        Kind::LimitExceeded | Kind::Unavailable => StoreError::Unknown,
    }
}

async fn resolve(context: &Context, key: &RecipientKey) -> Resolved {
    match key.recipient() {
        Some(Recipient::Email(email)) => match paced::patient_lookup(context, &email).await {
            Ok(user) => {
                let mut place = Place::of(user.to_string());
                let known = context.conversation_of(user.as_str()).or_else(|| context.conversation_of(&email));
                if let Some(conversation) = known {
                    place.add(conversation);
                }
                Resolved::Place(place)
            }
            Err(error) => Resolved::Failed(error),
        },
        Some(Recipient::ChannelName(name)) => {
            context.spellings_known().await;
            context
                .id_of(key.as_str())
                .or_else(|| context.conversation_of(&name))
                .map_or(Resolved::Unknowable, |id| Resolved::Place(Place::of(id)))
        }
        Some(recipient) => recipient.written_id().map_or(Resolved::Unknowable, |id| Resolved::Place(Place::of(id))),
        None => Resolved::Unknowable,
    }
}

/// Posts a message, or a reply where `thread` names one.
async fn post(
    context: &Context,
    slot: Slot,
    body: Content,
    thread: Option<MessageRef>,
    not_after: Instant,
) -> Result<(MessageRef, Replied), Failure> {
    // An answer to another post may have told meanwhile which conversation it is.
    let address = Address::at(context, &slot.address.channel);
    let now = Instant::now();
    if now >= not_after {
        return Err(Failure::TooLate);
    }
    // Storing the claim took its time: another post may have been limited meanwhile.
    let ready = address.ready_at(context, now);
    if ready > now {
        return Err(Failure::Postponed(ready));
    }
    let post = Post { channel: address.channel, content: body, thread_ts: thread.map(|parent| parent.ts) };
    let result = context.slack.post_message(&post).await;
    paced::count(context, method::POST_MESSAGE, &result);
    match result {
        Ok(posted) => {
            context.learn_conversation(&post.channel, &posted.message.channel);
            if posted.strayed {
                // The thread's first message is gone, and Slack has put the reply into the channel.
                let _ = context.slack.delete_message(&posted.message).await;
                return Ok((posted.message, Replied::Strayed));
            }
            Ok((posted.message, Replied::InThread))
        }
        Err(error) => {
            let conversation = Address::at(context, &post.channel).conversation;
            note_limit(context, &error, Some(&conversation));
            if error.class == Class::Config {
                // A name may belong to another channel by now.
                context.forget_conversation(&conversation);
            }
            Err(Failure::Refused(error))
        }
    }
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
    if let Some(id) = place.ids().find(|id| !Recipient::is_person(id)) {
        return Ok(Some(id.to_owned()));
    }
    if let Some(user) = place.ids().next() {
        return direct_messages(context, UserId::new(user)).await.map(Some);
    }
    match key.recipient() {
        Some(Recipient::Email(email)) => {
            if let known @ Some(_) = context.conversation_of(&email) {
                return Ok(known);
            }
            let user = paced::lookup(context, &email).await?;
            direct_messages(context, user).await.map(Some)
        }
        Some(Recipient::ChannelName(name)) => {
            if let known @ Some(_) = context.conversation_of(&name) {
                return Ok(known);
            }
            let list = context.slack.resolve_channel_name(&name);
            Ok(unless_paused(context, method::LIST, list).await?.map(|channel| channel.id))
        }
        Some(recipient) => Ok(recipient.written_id().map(str::to_owned)),
        None => Ok(None),
    }
}

async fn direct_messages(context: &Context, user: UserId) -> Result<String, Failure> {
    match context.conversation_of(user.as_str()) {
        Some(id) => Ok(id),
        None => unless_paused(context, method::OPEN, context.slack.open_dm(&user)).await,
    }
}
