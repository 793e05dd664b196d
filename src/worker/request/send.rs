//! The calls to Slack that the steps of one recipient take. Each ends in an outcome; none decides what follows from it.

use std::sync::Arc;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use crate::config::recipient::Recipient;
use crate::slack::api::{Post, Posted, UserId};
use crate::slack::error::{Class, Error};
use crate::slack::message::{Content, Metadata};
use crate::slack::turn::ChannelTurn;
use crate::slack::{MessageRef, method};
use crate::worker::context::Context;
use crate::worker::paced::{self, Failure, note_limit, unless_paused};

/// How far back from a claim to search: the clocks of its worker and of Slack may differ.
const SEARCH_MARGIN: SignedDuration = SignedDuration::from_mins(5);

/// How a call ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The channel's turn has come, and its pace permits a post.
    Acquired(Result<(ChannelTurn, Place), Error>),
    /// A message or reply was sent.
    Sent(Sending, Result<Posted, Error>),
    /// The history was searched; `None` when the message is not there.
    LookedBack(Result<Option<MessageRef>, NotSearched>),
    /// Message and reaction were brought up to date, as far as each was asked for.
    Refreshed {
        /// What the message was to show, and whether it does.
        show: Option<(String, Result<(), Failure>)>,
        /// The reaction that was to be added, and whether it was.
        reaction: Option<(&'static str, Result<(), Failure>)>,
    },
}

/// Why a search did not tell anything.
#[derive(Debug)]
pub(super) struct NotSearched {
    /// What went wrong.
    pub failure: Failure,
    /// Whether it was the search alone: Slack takes other calls.
    pub alone: bool,
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

/// Where to post.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// To a recipient of the configuration, who may have to be looked up.
    Recipient(Recipient),
    /// In the channel of a message.
    Channel(String),
}

/// Where a post goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// What Slack takes as its channel.
    address: String,
    /// The conversation's id as far as known: turns and pace are kept by it, however the conversation is addressed.
    conversation: String,
}

impl Place {
    fn at(context: &Context, address: &str) -> Self {
        let conversation = context.conversation_of(address).unwrap_or_else(|| address.to_owned());
        // A user stays a user's id: the conversation's own works only while it is open.
        let address = if Recipient::is_person(address) { address.to_owned() } else { conversation.clone() };
        Self { address, conversation }
    }

    /// From when on Slack takes a post here: `now`, or the end of its pause.
    fn ready_at(&self, context: &Context, now: Instant) -> Instant {
        context.pacing().ready_at(method::POST_MESSAGE, Some(&self.conversation), now)
    }

    /// Whether Slack would refuse a post here now.
    pub(super) fn is_paused(&self, context: &Context) -> bool {
        let now = Instant::now();
        self.ready_at(context, now) > now
    }
}

/// Waits until it is this caller's turn to post to `target`, and until the pace permits. `may_be_another` is whether another
/// recipient of the request may be the same place, which has to be known before.
pub(super) async fn acquire(context: Arc<Context>, target: Target, may_be_another: bool) -> Outcome {
    Outcome::Acquired(acquire_turn(&context, target, may_be_another).await)
}

async fn acquire_turn(context: &Context, target: Target, may_be_another: bool) -> Result<(ChannelTurn, Place), Error> {
    if may_be_another && matches!(target, Target::Recipient(Recipient::ChannelName(_) | Recipient::Email(_))) {
        context.spellings_known().await;
    }
    let address = match target {
        Target::Recipient(Recipient::Email(email)) => paced::patient_lookup(context, &email).await?.to_string(),
        Target::Recipient(
            Recipient::ChannelName(text)
            | Recipient::ChannelId(text)
            | Recipient::DirectMessage(text)
            | Recipient::UserId(text),
        )
        | Target::Channel(text) => text,
    };
    let (turn, place) = loop {
        let place = Place::at(context, &address);
        let is_limited = || context.pacing().is_limited(&place.conversation, Instant::now());
        let alone = is_limited();
        let turn = context.turns.take(&place.conversation, alone).await;
        // An answer may have told meanwhile which conversation it is, or that it is limited.
        let still_so = alone || !is_limited();
        if still_so && Place::at(context, &address) == place {
            break (turn, place);
        }
    };
    let now = Instant::now();
    let at = context.pacing().reserve(&place.conversation, now);
    // The timer counts whole milliseconds and rounds up: no wait is not a short one.
    if at > now {
        tokio::time::sleep_until(at.into()).await;
    }
    // Another post may have been limited while this one waited.
    loop {
        let now = Instant::now();
        let ready = place.ready_at(context, now);
        if ready <= now {
            return Ok((turn, place));
        }
        tokio::time::sleep_until(ready.into()).await;
    }
}

/// Posts a message, or a reply where `thread` names one.
pub(super) async fn post(
    context: Arc<Context>,
    turn: ChannelTurn,
    place: Place,
    message: Content,
    sending: Sending,
    thread: Option<MessageRef>,
) -> Outcome {
    let Place { address, conversation } = place;
    let post = Post { channel: address, content: message, thread_ts: thread.map(|parent| parent.ts) };
    let result = context.slack.post_message(&post).await;
    paced::count(&context, method::POST_MESSAGE, &result);
    match &result {
        Ok(posted) => {
            context.learn_conversation(&post.channel, &posted.message.channel);
            if posted.strayed {
                // The thread's first message is gone, and Slack has put the reply into the channel.
                let _ = context.slack.delete_message(&posted.message).await;
            }
        }
        Err(error) => {
            note_limit(&context, error, Some(&conversation));
            if error.class == Class::Config {
                // A name may belong to another channel by now.
                context.forget_conversation(&conversation);
            }
        }
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
    let found = match &thread {
        Some(parent) => unless_paused(&context, method::REPLIES, context.slack.find_replies(parent, &wanted))
            .await
            .map(|found| found.into_iter().next()),
        None => find_posted(&context, target, since - SEARCH_MARGIN, &wanted).await,
    };
    Outcome::LookedBack(match found {
        Ok(found) => Ok(found),
        Err(failure) => {
            let passes = matches!(&failure, Failure::Refused(error) if may_pass(error));
            let alone = passes && unless_paused(&context, method::AUTH_TEST, context.slack.auth_test()).await.is_ok();
            Err(NotSearched { failure, alone })
        }
    })
}

async fn find_posted(
    context: &Context,
    target: Target,
    since: Timestamp,
    wanted: &Metadata,
) -> Result<Option<MessageRef>, Failure> {
    let channel = match target {
        Target::Channel(id) => Some(id),
        Target::Recipient(recipient) => conversation(context, &recipient).await?,
    };
    match channel {
        Some(channel) => {
            let found = context.slack.find_posted(&channel, since, wanted);
            Ok(unless_paused(context, method::HISTORY, found).await?.into_iter().next())
        }
        None => Ok(None),
    }
}

/// Whether the same call may work later without anybody's help.
pub(super) fn may_pass(error: &Error) -> bool {
    matches!(error.class, Class::Transient | Class::Ambiguous)
}

/// The id of the conversation in which a recipient's messages are; none when there is no such channel.
async fn conversation(context: &Context, recipient: &Recipient) -> Result<Option<String>, Failure> {
    Ok(match recipient {
        Recipient::ChannelId(id) | Recipient::DirectMessage(id) => Some(id.clone()),
        Recipient::UserId(id) => Some(direct_messages(context, UserId::new(id)).await?),
        Recipient::Email(email) => {
            if let known @ Some(_) = context.conversation_of(email) {
                return Ok(known);
            }
            let user = paced::lookup(context, email).await?;
            Some(direct_messages(context, user).await?)
        }
        Recipient::ChannelName(name) => {
            if let known @ Some(_) = context.conversation_of(name) {
                return Ok(known);
            }
            let list = context.slack.resolve_channel_name(name);
            unless_paused(context, method::LIST, list).await?.map(|channel| channel.id)
        }
    })
}

async fn direct_messages(context: &Context, user: UserId) -> Result<String, Failure> {
    match context.conversation_of(user.as_str()) {
        Some(id) => Ok(id),
        None => unless_paused(context, method::OPEN, context.slack.open_dm(&user)).await,
    }
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
        let result = unless_paused(&context, method::UPDATE, call).await;
        shown = Some((name, result));
    }
    let mut reacted = None;
    // A message that is gone or cannot be reached takes no reaction either.
    if let Some(name) = reaction.filter(|_| !matches!(shown, Some((_, Err(_))))) {
        let call = context.slack.add_reaction(&message, name);
        let result = unless_paused(&context, method::ADD_REACTION, call).await;
        reacted = Some((name, result));
    }
    Outcome::Refreshed { show: shown, reaction: reacted }
}
