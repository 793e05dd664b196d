//! `response_url`: the door that an interaction opens (Slack docs: handling user interaction, "Message responses").

use std::collections::HashMap;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::Value;

use super::clock::ts;
use super::http::Context;
use super::incoming::Content;
use super::model::Message;
use super::world::{Ephemeral, World};

/// Uses and life of a URL.
const USES: u32 = 5;
const LIFE: u64 = 30 * 60 * 1_000_000;

pub(super) struct Hook {
    /// Who clicked.
    pub(super) user: String,
    /// The message as it was clicked.
    pub(super) source: Message,
    /// Only its clicker saw the message.
    pub(super) ephemeral: bool,
    pub(super) created: u64,
    pub(super) uses: u32,
}

#[derive(Default)]
pub(super) struct Hooks(HashMap<String, Hook>);

impl Hooks {
    /// Opens a door and returns its id.
    pub(super) fn open(&mut self, user: &str, source: Message, ephemeral: bool, now: u64) -> String {
        let id = format!("{:032x}", rand::random::<u128>());
        self.0.insert(id.clone(), Hook { user: user.to_owned(), source, ephemeral, created: now, uses: 0 });
        id
    }
}

/// `POST /hooks/{id}`. Webhooks answer in plain text and with HTTP status codes.
pub(super) async fn respond(State(context): State<Context>, Path(id): Path<String>, body: Bytes) -> Response {
    let _busy = context.connection.begin();
    let body: Value = match serde_json::from_slice(&body) {
        Ok(Value::Object(map)) => Value::Object(map),
        _ => return (StatusCode::BAD_REQUEST, "invalid_payload").into_response(),
    };
    match context.handle.write(|world| use_hook(world, &id, &body)) {
        Ok(()) => (StatusCode::OK, "ok").into_response(),
        Err((status, text)) => {
            context.handle.write(|world| world.violation("response_url", text, body));
            (status, text).into_response()
        }
    }
}

fn use_hook(world: &mut World, id: &str, body: &Value) -> Result<(), (StatusCode, &'static str)> {
    let now = world.clock.now();
    let hook = world.hooks.0.get_mut(id).ok_or((StatusCode::NOT_FOUND, "no_service"))?;
    if now.saturating_sub(hook.created) > LIFE {
        return Err((StatusCode::NOT_FOUND, "expired_url"));
    }
    if hook.uses >= USES {
        return Err((StatusCode::NOT_FOUND, "used_url"));
    }
    let content = Content::read(body).map_err(|text| (StatusCode::BAD_REQUEST, text))?;
    if !flag(body, "delete_original") && content.is_empty() {
        return Err((StatusCode::BAD_REQUEST, "no_text"));
    }
    hook.uses += 1;
    let (user, source, ephemeral) = (hook.user.clone(), hook.source.clone(), hook.ephemeral);
    take_effect(world, body, content, &source, user, ephemeral);
    Ok(())
}

/// The answer to a slash command inside of its acknowledgement, which needs no URL (Slack docs: slash commands, responding with an
/// immediate message). Without anything to show, nothing is shown.
pub(super) fn answer(world: &mut World, response_url: &str, body: &Value) -> Result<(), &'static str> {
    let content = Content::read(body)?;
    let id = response_url.rsplit('/').next().unwrap_or_default();
    let Some(hook) = world.hooks.0.get(id).filter(|_| !content.is_empty()) else { return Ok(()) };
    let (user, source) = (hook.user.clone(), hook.source.clone());
    take_effect(world, body, content, &source, user, true);
    Ok(())
}

fn flag(body: &Value, name: &str) -> bool {
    matches!(body.get(name), Some(Value::Bool(true))) || body.get(name).and_then(Value::as_str) == Some("true")
}

/// Deletes or replaces the message that was clicked, or adds one: for everybody, or for the one person alone.
fn take_effect(world: &mut World, body: &Value, content: Content<'_>, source: &Message, user: String, ephemeral: bool) {
    if flag(body, "delete_original") {
        return remove(world, source, ephemeral);
    }
    let mut message = Message { metadata: None, reactions: Vec::new(), ..source.clone() };
    content.fill(world, &mut message);
    if flag(body, "replace_original") {
        return replace(world, message, ephemeral);
    }
    message.thread_ts = body.get("thread_ts").and_then(Value::as_str).map(str::to_owned);
    message.updates = 0;
    message.edited = None;
    if body.get("response_type").and_then(Value::as_str) == Some("in_channel") {
        message.ts = world.next_ts(&message.channel);
        world.store(message);
    } else {
        message.ts = ts(world.clock.now());
        world.ephemerals.push(Ephemeral { user, message });
    }
}

fn remove(world: &mut World, source: &Message, ephemeral: bool) {
    if ephemeral {
        world.ephemerals.retain(|shown| shown.message.ts != source.ts);
    } else {
        world.delete_message(&source.channel, &source.ts);
    }
}

fn replace(world: &mut World, message: Message, ephemeral: bool) {
    if ephemeral {
        let shown = world.ephemerals.iter_mut().find(|shown| shown.message.ts == message.ts);
        if let Some(shown) = shown {
            shown.message = message;
        }
    } else if let Some(stored) = world.change_message(&message.channel, &message.ts) {
        let kept = (std::mem::take(&mut stored.reactions), stored.metadata.take(), stored.updates);
        *stored = message;
        (stored.reactions, stored.metadata) = (kept.0, kept.1);
        stored.updates = kept.2 + 1;
    }
}
