//! Messages for later (Slack docs: chat.scheduleMessage, chat.deleteScheduledMessage, chat.scheduledMessages.list).

use serde_json::{Value, json};

use super::chat;
use super::page::Page;
use crate::slack::call::Call;
use crate::slack::refusal::{Answer, Refusal};
use crate::slack::world::Scheduled;

/// How far ahead a message may be, in seconds.
const FARTHEST: u64 = 120 * 24 * 60 * 60;
/// So many messages may be for one channel within so many seconds.
const MOST: usize = 30;
const WINDOW: u64 = 5 * 60;
/// What is about to be posted cannot be taken back any more.
const LAST_MINUTE: u64 = 60;

pub(super) fn schedule(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let post_at: u64 = call.args.required("post_at")?.parse().map_err(|_| Refusal::new("invalid_time"))?;
    let now = call.now / 1_000_000;
    if post_at <= now {
        return Err(Refusal::new("time_in_past"));
    }
    if post_at - now > FARTHEST {
        return Err(Refusal::new("time_too_far"));
    }
    let (message, _) = chat::compose(call)?;
    let channel = message.channel.clone();
    let near = |other: &&Scheduled| other.message.channel == channel && other.post_at.abs_diff(post_at) < WINDOW;
    if call.world.scheduled.values().filter(near).count() >= MOST {
        return Err(Refusal::new("restricted_too_many"));
    }
    if message.metadata.is_some() {
        call.flaw("a scheduled message with metadata is never posted");
    }
    let mut object = message.object(true);
    object.remove("ts");
    let id = call.world.new_id('Q');
    call.world.scheduled.insert(id.clone(), Scheduled { post_at, created: now, message });
    Ok(Answer::of(json!({
        "channel": channel, "scheduled_message_id": id, "post_at": post_at, "message": Value::Object(object),
    })))
}

pub(super) fn delete(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let channel = call.channel_argument()?;
    let id = call.args.required("scheduled_message_id")?.into_owned();
    let soon = call.now / 1_000_000 + LAST_MINUTE;
    let found = call.world.scheduled.get(&id).filter(|scheduled| is_own(call, scheduled));
    if found.is_none_or(|scheduled| scheduled.message.channel != channel || scheduled.post_at < soon) {
        return Err(Refusal::new("invalid_scheduled_message_id"));
    }
    call.world.scheduled.remove(&id);
    Ok(Answer::default())
}

pub(super) fn list(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let channel = call.args.text_or_empty("channel")?;
    if !channel.is_empty() {
        call.visible_channel(&channel)?;
    }
    let page = Page::read(call, "scheduled", 100, 1_000)?;
    let all = call.world.scheduled.iter().filter(|(_, scheduled)| is_own(call, scheduled));
    let all = all.filter(|(_, scheduled)| channel.is_empty() || scheduled.message.channel == channel);
    let all = all.filter(|(id, _)| page.after.as_ref().is_none_or(|after| *id > after));
    let (all, next) = page.take("scheduled", all, |(id, _)| (*id).clone());
    let messages: Vec<_> = all
        .into_iter()
        .map(|(id, scheduled)| {
            json!({
                "id": id, "channel_id": scheduled.message.channel, "post_at": scheduled.post_at,
                "date_created": scheduled.created, "text": scheduled.message.text,
            })
        })
        .collect();
    Ok(Answer::of(json!({"scheduled_messages": messages, "response_metadata": {"next_cursor": next}})))
}

fn is_own(call: &Call<'_>, scheduled: &Scheduled) -> bool {
    scheduled.message.app_id.as_deref() == Some(call.caller.token.app.as_str())
}
