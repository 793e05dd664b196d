//! `reactions.*` (Slack docs: reactions.add, reactions.get, reactions.list, reactions.remove).

use serde_json::{Value, json};

use super::page::Page;
use crate::slack::call::Call;
use crate::slack::clock::parse_ts;
use crate::slack::emoji;
use crate::slack::model::{Message, Reaction};
use crate::slack::refusal::{Answer, Refusal};

struct Target {
    channel: String,
    ts: String,
    name: String,
}

/// Checks everything that `add` and `remove` have in common.
fn target(call: &mut Call<'_>) -> Result<Target, Refusal> {
    let channel = call.args.text_or_empty("channel")?.into_owned();
    let ts = call.args.text_or_empty("timestamp")?.into_owned();
    if channel.is_empty() || ts.is_empty() {
        return Err(Refusal::new("no_item_specified"));
    }
    let name = call.args.text_or_empty("name")?.into_owned();
    if !emoji::is_known(&name) {
        return Err(Refusal::new("invalid_name"));
    }
    if parse_ts(&ts).is_none() {
        return Err(Refusal::new("bad_timestamp"));
    }
    let archived = call.visible_channel(&channel)?.archived;
    if call.world.settings.reactions_need_membership && !call.is_member(&channel) {
        return Err(Refusal::new("not_in_channel"));
    }
    if archived {
        return Err(Refusal::new("is_archived"));
    }
    let message = call.world.message(&channel, &ts).ok_or_else(|| Refusal::new("message_not_found"))?;
    if message.subtype.as_deref() == Some("tombstone") {
        return Err(Refusal::new("message_not_found"));
    }
    Ok(Target { channel, ts, name })
}

fn message_mut<'a>(call: &'a mut Call<'_>, target: &Target) -> Result<&'a mut Message, Refusal> {
    let message = call.world.change_message(&target.channel, &target.ts);
    message.ok_or_else(|| Refusal::new("message_not_found"))
}

pub(super) fn add(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let target = target(call)?;
    let user = call.caller.user.clone();
    let (per_user, per_message) = (call.world.settings.reactions_per_user, call.world.settings.emoji_per_message);
    let message = call.world.message(&target.channel, &target.ts).ok_or_else(|| Refusal::new("message_not_found"))?;
    let same = message.reactions.iter().find(|reaction| reaction.name == target.name);
    if same.is_some_and(|reaction| reaction.users.contains(&user)) {
        return Err(Refusal::new("already_reacted"));
    }
    if message.reactions.iter().filter(|reaction| reaction.users.contains(&user)).count() >= per_user {
        return Err(Refusal::new("too_many_reactions"));
    }
    if same.is_none() && message.reactions.len() >= per_message {
        return Err(Refusal::new("too_many_emoji"));
    }
    let reactions = &mut message_mut(call, &target)?.reactions;
    match reactions.iter_mut().find(|reaction| reaction.name == target.name) {
        Some(reaction) => reaction.users.push(user),
        None => reactions.push(Reaction { name: target.name, users: vec![user] }),
    }
    Ok(Answer::default())
}

pub(super) fn remove(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let target = target(call)?;
    let user = call.caller.user.clone();
    let message = call.world.message(&target.channel, &target.ts);
    // Also when only somebody else put it there.
    if !message.is_some_and(|m| m.reactions.iter().any(|r| r.name == target.name && r.users.contains(&user))) {
        return Err(Refusal::new("no_reaction"));
    }
    let reactions = &mut message_mut(call, &target)?.reactions;
    for reaction in reactions.iter_mut().filter(|reaction| reaction.name == target.name) {
        reaction.users.retain(|other| *other != user);
    }
    reactions.retain(|reaction| !reaction.users.is_empty());
    Ok(Answer::default())
}

pub(super) fn get(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let channel = call.args.text_or_empty("channel")?.into_owned();
    let ts = call.args.text_or_empty("timestamp")?.into_owned();
    if channel.is_empty() || ts.is_empty() {
        return Err(Refusal::new("no_item_specified"));
    }
    if parse_ts(&ts).is_none() {
        return Err(Refusal::new("bad_timestamp"));
    }
    let stored = call.visible_channel(&channel)?.messages.get(&ts);
    let message = stored.and_then(|stored| stored.at(call.read_at)).ok_or_else(|| Refusal::new("message_not_found"))?;
    Ok(Answer::of(json!({
        "type": "message", "channel": channel, "message": Value::Object(message.object(false)),
    })))
}

/// What somebody reacted to, the caller unless another is named, newest first.
pub(super) fn list(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let user = call.args.text("user")?.filter(|user| !user.is_empty());
    let user = user.map_or_else(|| call.caller.user.clone(), std::borrow::Cow::into_owned);
    if !call.world.users.contains_key(&user) {
        return Err(Refusal::new("user_not_found"));
    }
    let page = Page::read(call, "reaction", 100, 1_000)?;
    let channels = call.world.channels.keys().filter_map(|id| call.visible_channel(id).ok());
    let messages = channels.flat_map(|channel| channel.messages.values()).filter_map(|stored| stored.at(call.read_at));
    let reacted = messages.filter(|message| message.reactions.iter().any(|reaction| reaction.users.contains(&user)));
    let key = |message: &Message| format!("{} {}", message.ts, message.channel);
    let mut reacted: Vec<_> = reacted.filter(|m| page.after.as_ref().is_none_or(|after| key(m) < *after)).collect();
    reacted.sort_by_key(|message| std::cmp::Reverse(key(message)));
    let (reacted, next) = page.take("reaction", reacted.into_iter(), |message| key(message));
    let items: Vec<_> = reacted
        .into_iter()
        .map(|message| {
            json!({"type": "message", "channel": message.channel, "message": Value::Object(message.object(false))})
        })
        .collect();
    Ok(Answer::of(json!({"items": items, "response_metadata": {"next_cursor": next}})))
}
