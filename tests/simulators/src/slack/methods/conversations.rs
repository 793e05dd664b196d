//! `conversations.*` but for reading messages (Slack docs: same names).

use serde_json::json;

use super::page::Page;
use super::users::need_team;
use crate::slack::call::Call;
use crate::slack::model::{Channel, ChannelKind, UserKind};
use crate::slack::refusal::{Answer, Refusal, set};

pub(super) fn info(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let id = call.channel_argument()?;
    call.need_conversation_scope("read", &id)?;
    let count = call.args.flag("include_num_members", false)?;
    let channel = call.visible_channel(&id)?;
    let mut object = channel.object(&call.caller.user);
    if count && !channel.is_im() {
        set(&mut object, "num_members", json!(channel.members.len()));
    }
    Ok(Answer::of(json!({"channel": object})))
}

pub(super) fn list(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    need_team(call)?;
    listed(call, None)
}

/// `users.conversations`: those that somebody is in, the caller unless another is named.
pub(super) fn of_user(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let user = call.args.text("user")?.map_or_else(|| call.caller.user.clone(), std::borrow::Cow::into_owned);
    if !call.world.users.contains_key(&user) {
        return Err(Refusal::new("user_not_found"));
    }
    listed(call, Some(&user))
}

fn listed(call: &mut Call<'_>, member: Option<&str>) -> Result<Answer, Refusal> {
    let types = call.args.text("types")?.map_or_else(|| "public_channel".to_owned(), std::borrow::Cow::into_owned);
    let types: Vec<&str> = types.split(',').map(str::trim).collect();
    for kind in &types {
        let scope = match *kind {
            "public_channel" => "channels:read",
            "private_channel" => "groups:read",
            "im" => "im:read",
            "mpim" => "mpim:read",
            _ => return Err(Refusal::new("invalid_types")),
        };
        call.need_scope(&[scope])?;
    }
    let exclude_archived = call.args.flag("exclude_archived", false)?;
    let page = Page::read(call, "team", 100, 1_000)?;
    let wanted = |channel: &Channel| {
        let kind = match channel.kind {
            ChannelKind::Public => "public_channel",
            ChannelKind::Private => "private_channel",
            ChannelKind::Im { .. } => "im",
            ChannelKind::Mpim => "mpim",
        };
        let inside = member.is_none_or(|user| channel.members.contains(user));
        inside && types.contains(&kind) && !(exclude_archived && channel.archived)
    };
    let channels = call.world.channels.values().filter(|channel| wanted(channel) && channel.team == call.team());
    let channels = channels.filter(|c| c.kind == ChannelKind::Public || c.members.contains(&call.caller.user));
    let channels = channels.filter(|channel| page.after.as_ref().is_none_or(|after| channel.id > *after));
    let (channels, next) = page.take("team", channels, |channel| channel.id.clone());
    let objects: Vec<_> = channels
        .into_iter()
        .map(|channel| {
            let mut object = channel.object(&call.caller.user);
            if !channel.is_im() {
                set(&mut object, "num_members", json!(channel.members.len()));
            }
            object
        })
        .collect();
    Ok(Answer::of(json!({"channels": objects, "response_metadata": {"next_cursor": next}})))
}

pub(super) fn members(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let id = call.channel_argument()?;
    call.need_conversation_scope("read", &id)?;
    let page = Page::read(call, "user", 100, 1_000)?;
    let channel = call.visible_channel(&id)?;
    let members = channel.members.iter().filter(|user| page.after.as_ref().is_none_or(|after| *user > after));
    let (members, next) = page.take("user", members, |user| (*user).clone());
    Ok(Answer::of(json!({"members": members, "response_metadata": {"next_cursor": next}})))
}

pub(super) fn join(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let id = call.channel_argument()?;
    let user = call.caller.user.clone();
    let channel = call.visible_channel(&id)?;
    if channel.kind != ChannelKind::Public {
        return Err(Refusal::new("method_not_supported_for_channel_type"));
    }
    if channel.archived {
        return Err(Refusal::new("is_archived"));
    }
    let already = channel.members.contains(&user);
    if let Some(channel) = call.world.channels.get_mut(&id) {
        channel.members.insert(user.clone());
    }
    let answer = Answer::of(json!({"channel": call.visible_channel(&id)?.object(&user)}));
    Ok(if already { answer.warn("already_in_channel") } else { answer })
}

pub(super) fn leave(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let id = call.channel_argument()?;
    let user = call.caller.user.clone();
    let scopes: &[&str] = match call.visible_channel(&id)?.kind {
        ChannelKind::Public => &["channels:manage", "channels:write"],
        ChannelKind::Private => &["groups:write"],
        ChannelKind::Mpim => &["mpim:write"],
        ChannelKind::Im { .. } => return Err(Refusal::new("method_not_supported_for_channel_type")),
    };
    call.need_scope(scopes)?;
    let channel = call.visible_channel(&id)?;
    if !channel.members.contains(&user) {
        // No error, and not `ok` either (Slack docs: conversations.leave).
        return Ok(Answer::of(json!({"ok": false, "not_in_channel": true})));
    }
    if channel.archived {
        return Err(Refusal::new("is_archived"));
    }
    if channel.name == "general" {
        return Err(Refusal::new("cant_leave_general"));
    }
    if channel.members.len() == 1 {
        return Err(Refusal::new("last_member"));
    }
    if let Some(channel) = call.world.channels.get_mut(&id) {
        channel.members.remove(&user);
    }
    Ok(Answer::default())
}

pub(super) fn open(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let whole = call.args.flag("return_im", false)?;
    let channel = call.args.text_or_empty("channel")?.into_owned();
    if !channel.is_empty() {
        let found = call.visible_channel(&channel)?;
        if !matches!(found.kind, ChannelKind::Im { .. } | ChannelKind::Mpim) {
            return Err(Refusal::new("method_not_supported_for_channel_type"));
        }
        return Ok(opened(call, &channel, true, whole));
    }
    let users = call.args.text_or_empty("users")?.into_owned();
    let users: Vec<&str> = users.split(',').map(str::trim).filter(|user| !user.is_empty()).collect();
    match users.len() {
        0 => return Err(Refusal::new("users_list_not_supplied")),
        1..=8 => {}
        _ => return Err(Refusal::new("too_many_users")),
    }
    for id in &users {
        let user = call.world.users.get(*id).ok_or_else(|| Refusal::new("user_not_found"))?;
        let error = match user {
            user if user.team != call.team() => "user_not_visible",
            user if user.deleted => "user_disabled",
            user if user.id == call.caller.user => "not_enough_users",
            user if user.kind == UserKind::Bot => "cannot_dm_bot",
            _ => continue,
        };
        return Err(Refusal::new(error));
    }
    let (bot, team) = (call.caller.user.clone(), call.team().to_owned());
    let [user] = users.as_slice() else { return open_group(call, &users, whole) };
    call.need_scope(&["im:write"])?;
    let existed = call.world.existing_direct_channel(&bot, user).is_some();
    if !existed && call.args.flag("prevent_creation", false)? {
        return Err(Refusal::new("channel_not_found"));
    }
    let id = call.world.direct_channel(&bot, user, &team);
    Ok(opened(call, &id, existed, whole))
}

fn open_group(call: &mut Call<'_>, users: &[&str], whole: bool) -> Result<Answer, Refusal> {
    call.need_scope(&["mpim:write"])?;
    let (bot, team) = (call.caller.user.clone(), call.team().to_owned());
    let members = users.iter().copied().chain([bot.as_str()]);
    let group = Channel::public("", "").members(members).of_team(&team);
    let same = call.world.channels.values().find(|c| c.kind == ChannelKind::Mpim && c.members == group.members);
    if let Some(id) = same.map(|channel| channel.id.clone()) {
        return Ok(opened(call, &id, true, whole));
    }
    let id = call.world.new_id('G');
    let name = format!("mpdm-{}-1", users.join("--").to_lowercase());
    call.world.channels.insert(id.clone(), Channel { id: id.clone(), name, kind: ChannelKind::Mpim, ..group });
    Ok(opened(call, &id, false, whole))
}

fn opened(call: &Call<'_>, id: &str, existed: bool, whole: bool) -> Answer {
    let object = call.world.channels.get(id).filter(|_| whole).map(|channel| channel.object(&call.caller.user));
    let channel = object.unwrap_or_else(|| json!({"id": id}));
    Answer::of(if existed {
        json!({"channel": channel, "no_op": true, "already_open": true})
    } else {
        json!({"channel": channel})
    })
}
