//! `conversations.history` and `conversations.replies` (Slack docs: same names).

use serde_json::{Map, Value, json};

use super::page::Page;
use crate::slack::call::Call;
use crate::slack::clock::{parse_bound, parse_ts};
use crate::slack::model::{Message, Stored};
use crate::slack::refusal::{Answer, Refusal, set};

/// The range of time asked for, in microseconds, both ends open unless `inclusive`.
struct Range {
    oldest: u64,
    latest: u64,
    inclusive: bool,
}

impl Range {
    fn read(call: &Call<'_>) -> Result<Self, Refusal> {
        let bound = |name: &str, error: &'static str, default: u64| match call.args.text(name)?.as_deref() {
            None | Some("") => Ok(default),
            Some(text) => parse_bound(text).ok_or_else(|| Refusal::new(error)),
        };
        Ok(Self {
            oldest: bound("oldest", "invalid_ts_oldest", 0)?,
            latest: bound("latest", "invalid_ts_latest", u64::MAX)?,
            inclusive: call.args.flag("inclusive", false)?,
        })
    }

    fn holds(&self, ts: &str) -> bool {
        let at = parse_ts(ts).unwrap_or_default();
        if self.inclusive { self.oldest <= at && at <= self.latest } else { self.oldest < at && at < self.latest }
    }
}

/// The message as a reader of the time sees it; what is younger than the lag is not there yet.
fn seen<'a>(call: &Call<'_>, stored: &'a Stored) -> Option<&'a Message> {
    let lag = u64::try_from(call.world.settings.read_lag.as_micros()).unwrap_or(u64::MAX);
    if stored.created.saturating_add(lag) > call.read_at {
        return None;
    }
    stored.at(call.read_at)
}

/// A message with what is known about its thread.
fn object(call: &Call<'_>, message: &Message, whole_metadata: bool) -> Value {
    let mut object = message.object(whole_metadata);
    let mut replies = call.world.replies(&message.channel, &message.ts, call.read_at).peekable();
    if replies.peek().is_some() {
        add_thread(&mut object, message, replies);
    }
    Value::Object(object)
}

fn add_thread<'a>(object: &mut Map<String, Value>, parent: &Message, replies: impl Iterator<Item = &'a Message>) {
    let (mut count, mut users, mut latest) = (0, Vec::new(), "");
    for reply in replies {
        count += 1;
        latest = reply.ts.as_str();
        if !users.contains(&reply.user.as_str()) {
            users.push(reply.user.as_str());
        }
    }
    for (name, value) in [
        ("thread_ts", json!(parent.ts)),
        ("reply_count", json!(count)),
        ("reply_users_count", json!(users.len())),
        ("reply_users", json!(users)),
        ("latest_reply", json!(latest)),
        ("is_locked", json!(false)),
        ("subscribed", json!(false)),
    ] {
        object.insert(name.to_owned(), value);
    }
}

/// The conversation, if the caller may read it.
fn readable(call: &mut Call<'_>) -> Result<String, Refusal> {
    let id = call.channel_argument()?;
    call.need_conversation_scope("history", &id)?;
    if !call.is_member(&id) {
        return Err(Refusal::new("not_in_channel"));
    }
    Ok(id)
}

pub(super) fn history(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let id = readable(call)?;
    let range = Range::read(call)?;
    let page = Page::read(call, "next_ts", 100, 999)?;
    let whole_metadata = call.args.flag("include_all_metadata", false)?;
    let messages = call.world.channels.get(&id).into_iter().flat_map(|channel| channel.messages.values().rev());
    let messages = messages.filter_map(|stored| seen(call, stored));
    // Replies live in their thread only, unless they were broadcast.
    let messages = messages.filter(|m| m.broadcast || m.thread_ts.as_ref().is_none_or(|parent| *parent == m.ts));
    let messages = messages.filter(|message| range.holds(&message.ts));
    let messages = messages.filter(|message| page.after.as_ref().is_none_or(|after| message.ts < *after));
    let (messages, next) = page.take("next_ts", messages, |message| message.ts.clone());
    let messages: Vec<_> = messages.into_iter().map(|message| object(call, message, whole_metadata)).collect();
    Ok(answer(&messages, &next))
}

pub(super) fn replies(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let id = readable(call)?;
    let ts = call.args.required("ts")?.into_owned();
    let range = Range::read(call)?;
    let page = Page::read(call, "next_ts", 1_000, 1_000)?;
    let whole_metadata = call.args.flag("include_all_metadata", false)?;
    let not_found = || Refusal::new("thread_not_found");
    let stored = call.world.channels.get(&id).and_then(|channel| channel.messages.get(&ts)).ok_or_else(not_found)?;
    let asked = seen(call, stored).ok_or_else(not_found)?;
    let parent = asked.thread_ts.clone().unwrap_or_else(|| ts.clone());
    let thread = call.world.channels.get(&id).into_iter().flat_map(|channel| channel.messages.values());
    let thread = thread.filter_map(|stored| seen(call, stored));
    let thread = thread.filter(|m| m.ts == parent || m.thread_ts.as_deref() == Some(parent.as_str()));
    // The parent always comes along.
    let thread = thread.filter(|message| message.ts == parent || range.holds(&message.ts));
    let thread = thread.filter(|message| page.after.as_ref().is_none_or(|after| message.ts > *after));
    let (thread, next) = page.take("next_ts", thread, |message| message.ts.clone());
    let messages: Vec<_> = thread.into_iter().map(|message| object(call, message, whole_metadata)).collect();
    Ok(answer(&messages, &next))
}

fn answer(messages: &[Value], next: &str) -> Answer {
    let mut body = json!({"messages": messages, "has_more": !next.is_empty(), "pin_count": 0});
    if !next.is_empty() {
        set(&mut body, "response_metadata", json!({"next_cursor": next}));
    }
    Answer::of(body)
}
