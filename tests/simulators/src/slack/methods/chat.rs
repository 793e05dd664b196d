//! `chat.*` (Slack docs: chat.postMessage, chat.update, chat.postEphemeral, chat.delete, chat.getPermalink).

use serde_json::{Map, Value, json};

use super::content::{Content, Route, generate_blocks, store_text};
use crate::slack::blocks;
use crate::slack::call::Call;
use crate::slack::clock::{parse_ts, ts};
use crate::slack::model::{Channel, ChannelKind, Message, Posting, UserKind};
use crate::slack::refusal::{Answer, Refusal};
use crate::slack::settings::{LongText, OrphanReply};
use crate::slack::world::Ephemeral;

/// Finds the conversation of a post: an id, a user's id, or the name of a public channel.
fn resolve(call: &mut Call<'_>) -> Result<String, Refusal> {
    let wanted = call.args.required("channel")?.into_owned();
    let not_found = || Refusal::new("channel_not_found");
    if wanted.is_empty() {
        return Err(not_found());
    }
    if call.world.channels.contains_key(&wanted) {
        return Ok(call.visible_channel(&wanted)?.id.clone());
    }
    if let Some(user) = call.world.users.get(&wanted) {
        if user.team != call.team() {
            return Err(not_found());
        }
        let (user, bot, team) = (user.id.clone(), call.caller.user.clone(), call.team().to_owned());
        return Ok(call.world.direct_channel(&bot, &user, &team));
    }
    // Legacy: names of public channels; org-wide tokens refuse them.
    let name = wanted.strip_prefix('#').unwrap_or(&wanted);
    let mut channels = call.world.channels.values();
    let found = channels.find(|c| c.name == name && c.kind == ChannelKind::Public && c.team == call.team());
    if call.caller.token.org_wide {
        return Err(Refusal::new("team_not_found"));
    }
    found.map(|channel| channel.id.clone()).ok_or_else(not_found)
}

/// Whether the caller may write there, and if not, what Slack says.
fn check_access(call: &mut Call<'_>, id: &str, threaded: bool) -> Result<(), Refusal> {
    let channel = call.visible_channel(id)?;
    if channel.archived {
        return Err(Refusal::new("is_archived"));
    }
    let (kind, posting) = (channel.kind.clone(), channel.posting);
    if let ChannelKind::Im { user, .. } = kind {
        let settings = &call.world.settings;
        let reachable = call.world.users.get(&user).is_some_and(|user| !user.deleted && user.kind != UserKind::Bot);
        if !reachable {
            return Err(Refusal::new(settings.undeliverable_dm.clone()));
        }
        if !call.app().is_some_and(|app| app.messages_tab) {
            return Err(Refusal::new("messages_tab_disabled"));
        }
        return Ok(());
    }
    if !call.is_member(id) {
        if !call.has_scope("chat:write.public") {
            return Err(Refusal::new("not_in_channel"));
        }
        call.use_scope("chat:write.public");
    }
    match (posting, threaded) {
        (Posting::ReadOnly, _) => Err(Refusal::new("restricted_action_read_only_channel")),
        (Posting::ThreadsOnly, false) => Err(Refusal::new("restricted_action_thread_only_channel")),
        (Posting::NoThreads, true) => Err(Refusal::new("restricted_action_non_threadable_channel")),
        _ => Ok(()),
    }
}

/// The argument `thread_ts`; clients that reply where they were spoken to often send an empty one.
fn thread_argument(call: &Call<'_>) -> Result<Option<String>, Refusal> {
    let parent = call.args.text("thread_ts")?.map(std::borrow::Cow::into_owned);
    Ok(parent.filter(|parent| !parent.is_empty()))
}

/// The thread a post belongs to: `None` posts into the channel, also when the parent is gone.
fn thread(call: &mut Call<'_>, channel: &str) -> Result<Option<String>, Refusal> {
    let Some(parent) = thread_argument(call)? else { return Ok(None) };
    if parse_ts(&parent).is_none() {
        let message = format!("[ERROR] {parent} is not a valid thread_ts");
        return Err(Refusal::new("invalid_thread_ts").message(message));
    }
    match call.world.message(channel, &parent) {
        Some(message) if message.subtype.as_deref() == Some("channel_join") => {
            Err(Refusal::new("cannot_reply_to_message"))
        }
        Some(message) => {
            // The ts of a reply leads to odd threading; Slack attaches it to the reply's parent.
            let root = message.thread_ts.clone().filter(|root| *root != parent);
            if root.is_some() {
                call.flaw("thread_ts names a reply instead of the thread's first message");
            }
            Ok(Some(root.unwrap_or(parent)))
        }
        None => match call.world.settings.orphan_reply {
            OrphanReply::TopLevel => Ok(None),
            OrphanReply::ThreadNotFound => Err(Refusal::new("thread_not_found")),
            OrphanReply::CannotReply => Err(Refusal::new("cannot_reply_to_message")),
        },
    }
}

/// A message of the caller without content.
fn blank(call: &Call<'_>, channel: &str, ts: &str) -> Result<Message, Refusal> {
    let args = call.args;
    let team = call.team();
    Ok(Message {
        bot_id: call.caller.bot_id.clone(),
        app_id: Some(call.caller.token.app.clone()),
        client_msg_id: args.text("client_msg_id")?.map(std::borrow::Cow::into_owned),
        unfurl_links: args.flag("unfurl_links", true)?,
        unfurl_media: args.flag("unfurl_media", true)?,
        mrkdwn: args.flag("mrkdwn", true)?,
        parse: args.text("parse")?.map(std::borrow::Cow::into_owned),
        link_names: args.flag("link_names", false)?,
        ..Message::blank(channel, ts, &call.caller.user, team)
    })
}

/// Puts new content into a message.
fn fill(call: &mut Call<'_>, message: &mut Message, content: Content) {
    if let Some(text) = &content.text {
        store_text(message, text);
    }
    match content.blocks {
        Some(blocks) if !blocks.is_empty() => {
            message.blocks = blocks::as_stored(blocks, || short_id(call));
            message.generated_blocks = false;
        }
        _ => {
            let id = short_id(call);
            message.blocks.clear();
            generate_blocks(message, &id);
        }
    }
    if let Some(attachments) = content.attachments {
        message.attachments = attachments;
    }
    if let Some(metadata) = content.metadata {
        message.metadata = non_empty(metadata);
    }
}

/// An empty object takes the metadata away.
fn non_empty(metadata: Value) -> Option<Value> {
    Some(metadata).filter(|metadata| metadata.as_object().is_some_and(|map| !map.is_empty()))
}

/// A fresh `block_id` of the shape that Slack gives.
fn short_id(call: &mut Call<'_>) -> String {
    let id = call.world.new_id('b');
    id.chars().skip(6).collect()
}

fn check_parse(call: &Call<'_>) -> Result<(), Refusal> {
    match call.args.text("parse")?.as_deref() {
        None | Some("" | "none" | "full" | "client") => Ok(()),
        Some(_) => Err(Refusal::argument("must be one of: none, full, client [json-pointer:/parse]")),
    }
}

/// Slack docs name `as_user_not_supported`; what apps of today are answered was reported as this.
fn refuse_as_user(call: &Call<'_>) -> Result<(), Refusal> {
    if call.args.flag("as_user", false)? {
        return Err(Refusal::new("invalid_arguments").with("deprecated_argument", "as_user"));
    }
    Ok(())
}

fn customised(call: &mut Call<'_>) -> Result<Option<String>, Refusal> {
    refuse_as_user(call)?;
    if ["username", "icon_emoji", "icon_url"].iter().any(|name| call.args.has(name)) {
        call.need_scope(&["chat:write.customize"])?;
        return Ok(Some(call.args.text_or_empty("username")?.into_owned()));
    }
    Ok(None)
}

/// The message that the arguments make, without a `ts`, and whether its text was cut.
pub(super) fn compose(call: &mut Call<'_>) -> Result<(Message, bool), Refusal> {
    let channel = resolve(call)?;
    let threaded = thread_argument(call)?.is_some();
    check_access(call, &channel, threaded)?;
    check_parse(call)?;
    let username = customised(call)?;
    let content = Content::read(call, Route::Post)?;
    let thread_ts = thread(call, &channel)?;
    let broadcast = call.args.flag("reply_broadcast", false)? && thread_ts.is_some();
    let truncated = content.truncated;
    let mut message = Message { thread_ts, broadcast, username, ..blank(call, &channel, "")? };
    message.subtype = match (&message.username, broadcast) {
        (Some(_), _) => Some("bot_message".to_owned()),
        (None, true) => Some("thread_broadcast".to_owned()),
        (None, false) => None,
    };
    fill(call, &mut message, content);
    Ok((message, truncated))
}

pub(super) fn post_message(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let (mut message, truncated) = compose(call)?;
    let channel = message.channel.clone();
    if let Some(first) = duplicate(call, &channel)? {
        return Ok(first);
    }
    if call.world.settings.message_quota.is_some_and(|quota| call.world.posted >= quota) {
        return Err(Refusal::new("message_limit_exceeded"));
    }
    call.pace(&channel)?;

    message.ts = call.world.next_ts(&channel);
    let rest = split_off(call, &mut message);
    let object = posted_object(call, &message);
    let body = json!({"channel": channel, "ts": message.ts, "message": object});
    call.world.store(message);
    for mut part in rest {
        part.ts = call.world.next_ts(&channel);
        call.world.store(part);
    }
    let answer = Answer::of(body);
    Ok(if truncated { answer.warn("message_truncated") } else { answer })
}

/// With [`LongText::Split`], cuts the text after 4,000 characters and returns the further messages.
fn split_off(call: &mut Call<'_>, message: &mut Message) -> Vec<Message> {
    const PART: usize = 4_000;
    if call.world.settings.long_text != LongText::Split || !message.generated_blocks {
        return Vec::new();
    }
    let characters: Vec<char> = message.sent_text.chars().collect();
    let mut parts = characters.chunks(PART).map(|part| part.iter().collect::<String>());
    let first = parts.next().unwrap_or_default();
    let template = message.clone();
    let rest: Vec<_> = parts
        .map(|text| {
            let mut part = Message { metadata: None, ..template.clone() };
            store_text(&mut part, &text);
            generate_blocks(&mut part, &short_id(call));
            part
        })
        .collect();
    if !rest.is_empty() {
        store_text(message, &first);
        generate_blocks(message, &short_id(call));
    }
    rest
}

/// With the switch on, a repeated `client_msg_id` answers with the first message.
fn duplicate(call: &Call<'_>, channel: &str) -> Result<Option<Answer>, Refusal> {
    let Some(id) = call.args.text("client_msg_id")? else { return Ok(None) };
    if !call.world.settings.honour_client_msg_id {
        return Ok(None);
    }
    let messages = call.world.channels.get(channel).into_iter().flat_map(|channel| channel.messages.values());
    let mut messages = messages.filter(|stored| stored.deleted.is_none()).map(|stored| &stored.now);
    let first = messages.find(|message| message.client_msg_id.as_deref() == Some(id.as_ref()));
    Ok(first.map(|message| {
        let object = posted_object(call, message);
        Answer::of(json!({"channel": channel, "ts": message.ts, "message": object, "is_duplicate": true}))
    }))
}

/// The message in the answer of a post, which also tells about the bot.
fn posted_object(call: &Call<'_>, message: &Message) -> Map<String, Value> {
    let mut object = message.object(true);
    if let (Some(app), Some(bot)) = (call.app(), &message.bot_id) {
        let profile = json!({
            "id": bot, "app_id": app.id, "name": app.name, "deleted": false, "updated": 1_700_000_000,
            "team_id": message.team, "user_id": app.bot_user,
            "icons": {"image_36": "", "image_48": "", "image_72": ""},
        });
        object.insert("bot_profile".to_owned(), profile);
    }
    let parent = message.thread_ts.as_ref().and_then(|ts| call.world.message(&message.channel, ts));
    if let Some(parent) = parent {
        object.insert("parent_user_id".to_owned(), json!(parent.user));
    }
    object
}

/// A stored message that the caller may change.
fn own_message(call: &mut Call<'_>, refused: &'static str) -> Result<(String, String), Refusal> {
    let id = call.args.required("channel")?.into_owned();
    let ts = call.args.required("ts")?.into_owned();
    // A user's id is not a conversation here.
    let channel: &Channel = call.visible_channel(&id)?;
    let frozen = channel.archived;
    if frozen && refused == "cant_update_message" {
        return Err(Refusal::new("is_inactive"));
    }
    let message = call.world.message(&id, &ts).ok_or_else(|| Refusal::new("message_not_found"))?;
    let own = message.user == call.caller.user && message.app_id.as_deref() == Some(call.caller.token.app.as_str());
    if !own || message.subtype.as_deref() == Some("tombstone") {
        return Err(Refusal::new(refused));
    }
    Ok((id, ts))
}

pub(super) fn update(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let (channel, ts) = own_message(call, "cant_update_message")?;
    check_parse(call)?;
    refuse_as_user(call)?;
    let content = Content::read(call, Route::Update)?;
    let old = call.world.message(&channel, &ts).cloned().ok_or_else(|| Refusal::new("message_not_found"))?;
    if call.args.flag("reply_broadcast", false)? && old.thread_ts.is_none() {
        return Err(Refusal::new("cant_broadcast_message"));
    }
    let written = parse_ts(&ts).unwrap_or_default();
    let age = std::time::Duration::from_micros(call.now.saturating_sub(written));
    if call.world.settings.edit_window.is_some_and(|window| age > window) {
        return Err(Refusal::new("edit_window_closed"));
    }
    let mut message = old.clone();
    // Omission overwrites what the message had (Slack docs: chat.update, "parse", "link_names").
    message.parse = Some(call.args.text("parse")?.map_or_else(|| "client".to_owned(), std::borrow::Cow::into_owned));
    message.link_names = call.args.flag("link_names", false)?;
    let (has_text, has_blocks) = (content.text.is_some(), content.blocks.is_some());
    if has_text || has_blocks {
        fill(call, &mut message, content);
    } else {
        // Neither text nor blocks: both stay.
        if let Some(attachments) = content.attachments {
            message.attachments = attachments;
        }
        if let Some(metadata) = content.metadata {
            message.metadata = non_empty(metadata);
        }
    }
    // Only a change of the text shows "(edited)".
    if has_text && !has_blocks && message.text != old.text {
        message.edited = Some(crate::slack::clock::ts(call.now));
    }
    message.updates += 1;
    let body = json!({
        "channel": channel, "ts": ts, "text": message.text, "message": Value::Object(message.object(true)),
    });
    if let Some(stored) = call.world.change_message(&channel, &ts) {
        *stored = message;
    }
    Ok(Answer::of(body))
}

pub(super) fn delete(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let (channel, ts) = own_message(call, "cant_delete_message")?;
    let customised = call.world.message(&channel, &ts).is_some_and(|message| message.username.is_some());
    if customised {
        return Err(Refusal::new("cant_delete_message"));
    }
    call.world.delete_message(&channel, &ts);
    Ok(Answer::of(json!({"channel": channel, "ts": ts})))
}

pub(super) fn post_ephemeral(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let channel = call.args.required("channel")?.into_owned();
    let channel = call.visible_channel(&channel)?.id.clone();
    let thread_ts = thread_argument(call)?;
    check_access(call, &channel, thread_ts.is_some())?;
    let user = call.args.required("user")?.into_owned();
    let active = call.world.users.get(&user).is_some_and(|user| !user.deleted);
    let member = call.world.channels.get(&channel).is_some_and(|channel| channel.members.contains(&user));
    if !active || !member {
        return Err(Refusal::new("user_not_in_channel"));
    }
    check_parse(call)?;
    let content = Content::read(call, Route::Ephemeral)?;
    call.pace(&channel)?;
    let now = ts(call.now);
    let mut message = blank(call, &channel, &now)?;
    message.thread_ts = thread_ts;
    fill(call, &mut message, content);
    call.world.ephemerals.push(Ephemeral { user, message });
    Ok(Answer::of(json!({"message_ts": now})))
}

pub(super) fn permalink(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let channel = call.channel_argument()?;
    let ts = call.args.required("message_ts")?.into_owned();
    let message = call.world.message(&channel, &ts).ok_or_else(|| Refusal::new("message_not_found"))?;
    let domain = call.world.team(call.team()).map_or("", |team| team.domain.as_str());
    let mut link = format!("https://{domain}.slack.com/archives/{channel}/p{}", ts.replace('.', ""));
    if let Some(parent) = message.thread_ts.as_ref().filter(|parent| **parent != ts) {
        link = format!("{link}?thread_ts={parent}&cid={channel}");
    }
    Ok(Answer::of(json!({"channel": channel, "permalink": link})))
}
