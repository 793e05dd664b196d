//! The calls to Slack that the steps of one recipient take. Each ends in an outcome; none decides what follows from it.

use std::{sync::Arc, time::Instant};

use jiff::{SignedDuration, Timestamp};

use crate::{
    slack::{
        MessageRef,
        client::{Post, Posted, UserId},
        error::{Error, code},
        message::{Content, Metadata},
        method,
        turn::ChannelTurn,
    },
    worker::{context::Context, recipients::Recipient},
};

/// How far back from a claim to search: the clocks of its worker and of Slack may differ.
const SEARCH_MARGIN: SignedDuration = SignedDuration::from_mins(5);

/// How a call ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The channel's turn has come, and its pace permits a post.
    Acquired(Result<(ChannelTurn, String), Error>),
    /// A message or reply was sent.
    Sent(Sending, Result<Posted, Error>),
    /// The history was searched; `None` when the message is not there.
    LookedBack(Result<Option<MessageRef>, Error>),
    /// Message and reaction were brought up to date, as far as each was asked for.
    Refreshed {
        /// What the message was to show, and whether it does.
        show: Option<(String, Result<(), Error>)>,
        /// The reaction that was to be added, and whether it was.
        reaction: Option<(&'static str, Result<(), Error>)>,
    },
}

/// What was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    /// The request's message, which shows this.
    Message {
        /// See `decide::shown`.
        shown: String,
    },
    /// The reply about the review of this index.
    Reply(usize),
}

/// Waits until it is this caller's turn to post to `target`, and until the pace permits.
pub(super) async fn acquire(context: Arc<Context>, target: Target) -> Outcome {
    Outcome::Acquired(acquire_turn(&context, target).await)
}

/// Where to post.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// To a recipient of the configuration, who may have to be looked up.
    Recipient(Recipient),
    /// In the channel of a message.
    Channel(String),
}

async fn acquire_turn(context: &Context, target: Target) -> Result<(ChannelTurn, String), Error> {
    let mut channel = match target {
        Target::Recipient(recipient) => address(context, &recipient).await?,
        Target::Channel(id) => id,
    };
    let mut turn = context.turns.take(&channel).await;
    // The post before may have shown the id behind the address: from then on turn and pace go by the id.
    if let Some(id) = context.channel_id(&channel) {
        drop(turn);
        turn = context.turns.take(&id).await;
        channel = id;
    }
    let at = context.pacing().reserve(&channel, Instant::now());
    tokio::time::sleep_until(at.into()).await;
    // Another post may have been limited while this one waited.
    loop {
        let now = Instant::now();
        let ready = context.pacing().ready_at(method::POST_MESSAGE, Some(&channel), now);
        if ready <= now {
            return Ok((turn, channel));
        }
        tokio::time::sleep_until(ready.into()).await;
    }
}

/// What Slack takes as the channel of a post to `recipient`.
async fn address(context: &Context, recipient: &Recipient) -> Result<String, Error> {
    let address = match recipient {
        Recipient::ChannelName(address)
        | Recipient::ChannelId(address)
        | Recipient::DirectMessage(address)
        | Recipient::UserId(address) => address.clone(),
        Recipient::Email(email) => context.directory.lookup(&context.slack, email).await?.to_string(),
    };
    Ok(context.channel_id(&address).unwrap_or(address))
}

/// Posts a message, or a reply where `thread` names one.
pub(super) async fn post(
    context: Arc<Context>,
    turn: ChannelTurn,
    channel: String,
    content: Content,
    sending: Sending,
    thread: Option<MessageRef>,
) -> Outcome {
    let post = Post { channel, content, thread_ts: thread.map(|parent| parent.ts) };
    let result = context.slack.post_message(&post).await;
    match &result {
        Ok(posted) => {
            if posted.strayed {
                // The thread's first message is gone, and Slack has put the reply into the channel.
                let _ = context.slack.delete_message(&posted.message).await;
            }
            context.learn_channel_id(&post.channel, &posted.message.channel);
        }
        Err(error) => note_limit(&context, error, Some(&post.channel)),
    }
    drop(turn);
    Outcome::Sent(sending, result)
}

/// Searches for a message or reply that may have been sent at or after `since`.
pub(super) async fn look_back(
    context: Arc<Context>,
    target: Target,
    thread: Option<MessageRef>,
    since: Timestamp,
    wanted: Metadata,
) -> Outcome {
    let result = match &thread {
        Some(parent) => context.slack.find_reply(parent, &wanted).await,
        None => find_posted(&context, target, since - SEARCH_MARGIN, &wanted).await,
    };
    if let Err(error) = &result {
        note_limit(&context, error, None);
    }
    Outcome::LookedBack(result)
}

async fn find_posted(
    context: &Context,
    target: Target,
    since: Timestamp,
    wanted: &Metadata,
) -> Result<Option<MessageRef>, Error> {
    let channel = match target {
        Target::Channel(id) => Some(id),
        Target::Recipient(recipient) => conversation(context, &recipient).await?,
    };
    match channel {
        Some(channel) => context.slack.find_posted(&channel, since, wanted).await,
        None => Ok(None),
    }
}

/// The id of the conversation in which a recipient's messages are; none when there is no such channel.
async fn conversation(context: &Context, recipient: &Recipient) -> Result<Option<String>, Error> {
    Ok(match recipient {
        Recipient::ChannelId(id) | Recipient::DirectMessage(id) => Some(id.clone()),
        Recipient::UserId(id) => Some(context.slack.open_dm(&UserId::new(id)).await?),
        Recipient::Email(email) => {
            let user = context.directory.lookup(&context.slack, email).await?;
            Some(context.slack.open_dm(&user).await?)
        }
        Recipient::ChannelName(name) => match context.channel_id(name) {
            Some(id) => Some(id),
            None => context.slack.resolve_channel_name(name).await?.map(|channel| channel.id),
        },
    })
}

/// Brings a message up to date: its content first, then the reaction.
pub(super) async fn refresh(
    context: Arc<Context>,
    message: MessageRef,
    show: Option<(String, Content)>,
    reaction: Option<&'static str>,
) -> Outcome {
    let mut shown = None;
    if let Some((name, content)) = show {
        let call = context.slack.update_message(&message, &content);
        let result = unless_paused(&context, method::UPDATE, &message, call).await;
        shown = Some((name, result));
    }
    let mut reacted = None;
    // A message that is gone or cannot be reached takes no reaction either.
    if let Some(name) = reaction.filter(|_| !matches!(shown, Some((_, Err(_))))) {
        let call = context.slack.add_reaction(&message, name);
        let result = unless_paused(&context, method::ADD_REACTION, &message, call).await;
        reacted = Some((name, result));
    }
    Outcome::Refreshed { show: shown, reaction: reacted }
}

/// Makes the call, unless Slack has said that it would refuse it now.
async fn unless_paused(
    context: &Context,
    method: &'static str,
    message: &MessageRef,
    call: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    let now = Instant::now();
    let permit = context.pacing().permit(method, now);
    if let Err(ready) = permit {
        let mut error = Error::new(method, code::RATE_LIMITED, Some(&message.channel));
        error.retry_after = Some(ready - now);
        return Err(error);
    }
    let result = call.await;
    if let Err(error) = &result {
        note_limit(context, error, None);
    }
    result
}

fn note_limit(context: &Context, error: &Error, channel: Option<&str>) {
    if let Some(retry_after) = error.retry_after.filter(|_| error.is_rate_limit()) {
        context.pacing().limited(error.method, channel, retry_after, Instant::now());
        context.metrics.slack_rate_limited(retry_after);
    }
}
