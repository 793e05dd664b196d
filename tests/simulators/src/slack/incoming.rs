//! Incoming webhooks: URLs that post into one channel (Slack docs: sending messages using incoming webhooks). They answer in plain
//! text and with HTTP status codes.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap};
use serde_json::{Value, json};

use super::args::decode;
use super::attachments::{self, Unfit};
use super::blocks::{self, Refused, Surface};
use super::http::{Context, limited};
use super::limits::{Bucket, Verdict};
use super::methods::{generate_blocks, store_text};
use super::model::Message;
use super::world::World;

/// Why nothing is posted.
enum Refusal {
    Text(StatusCode, &'static str),
    /// Slack docs: rate limits, incoming webhooks.
    Limited(u64),
}

const fn bad(text: &'static str) -> Refusal {
    Refusal::Text(StatusCode::BAD_REQUEST, text)
}

/// What a body without an API method may say: common to webhooks and response URLs.
pub(super) struct Content<'a> {
    text: &'a str,
    blocks: Vec<Value>,
    attachments: Vec<Value>,
}

impl<'a> Content<'a> {
    /// Refuses with the text that Slack answers.
    pub(super) fn read(body: &'a Value) -> Result<Self, &'static str> {
        let list = |name: &str, error| match body.get(name) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(list)) => Ok(list.clone()),
            Some(_) => Err(error),
        };
        let (blocks, attachments) =
            (list("blocks", "invalid_blocks_format")?, list("attachments", "invalid_attachments")?);
        let refused = |refused: Refused, invalid| match refused {
            Refused::TooLong => "msg_blocks_too_long",
            Refused::TwoTables => "invalid_attachments",
            Refused::Invalid(_) => invalid,
        };
        blocks::check(&blocks, Surface::Message).map_err(|problem| refused(problem, "invalid_blocks"))?;
        attachments::check(&attachments, &blocks).map_err(|unfit| match unfit {
            Unfit::TooMany => "too_many_attachments",
            Unfit::Shape => "invalid_attachments",
            Unfit::Blocks(problem) => refused(problem, "invalid_attachments"),
        })?;
        Ok(Self { text: body.get("text").and_then(Value::as_str).unwrap_or_default(), blocks, attachments })
    }

    /// Nothing to show.
    pub(super) fn is_empty(&self) -> bool {
        self.text.trim().is_empty() && self.blocks.is_empty() && !attachments::say_something(&self.attachments)
    }

    /// Puts it into a message, in place of what was there.
    pub(super) fn fill(self, world: &mut World, message: &mut Message) {
        store_text(message, self.text);
        message.attachments = self.attachments;
        if self.blocks.is_empty() {
            let id = world.new_id('b');
            message.blocks.clear();
            generate_blocks(message, &id);
        } else {
            message.generated_blocks = false;
            message.blocks = blocks::as_stored(self.blocks, || world.new_id('b'));
        }
    }
}

/// `POST /services/{team}/{bot}/{key}`.
pub(super) async fn post(
    State(context): State<Context>,
    Path((_, _, key)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let _busy = context.connection.begin();
    let Some(body) = read(&headers, &body) else {
        return (StatusCode::BAD_REQUEST, "invalid_payload").into_response();
    };
    match context.handle.write(|world| deliver(world, &key, &body)) {
        Ok(()) => (StatusCode::OK, "ok").into_response(),
        Err(Refusal::Text(status, text)) => {
            context.handle.write(|world| world.violation("incoming_webhook", text, body));
            (status, text).into_response()
        }
        Err(Refusal::Limited(seconds)) => {
            let body = json!({"retry_after": seconds, "ok": false, "error": "rate_limited"}).to_string();
            let kind = [(CONTENT_TYPE, "application/json; charset=utf-8")];
            limited((StatusCode::TOO_MANY_REQUESTS, kind, body).into_response(), Some(seconds))
        }
    }
}

/// A JSON object, or a form with one in the field `payload`.
fn read(headers: &HeaderMap, body: &[u8]) -> Option<Value> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let text = std::str::from_utf8(body).ok()?;
    let value: Value = if kind.starts_with("application/x-www-form-urlencoded") {
        serde_json::from_str(&decode(text.split('&').find_map(|pair| pair.strip_prefix("payload="))?)).ok()?
    } else {
        serde_json::from_str(text).ok()?
    };
    value.is_object().then_some(value)
}

fn deliver(world: &mut World, key: &str, body: &Value) -> Result<(), Refusal> {
    let gone = Refusal::Text(StatusCode::NOT_FOUND, "no_service");
    let channel = world.webhooks.get(key).cloned().ok_or(gone)?;
    let (archived, team) = match world.channels.get(&channel) {
        Some(channel) => (channel.archived, channel.team.clone()),
        None => return Err(Refusal::Text(StatusCode::NOT_FOUND, "channel_not_found")),
    };
    if archived {
        return Err(Refusal::Text(StatusCode::GONE, "channel_is_archived"));
    }
    let content = Content::read(body).map_err(bad)?;
    if content.is_empty() {
        return Err(bad("no_text"));
    }
    let (app, bot, user) = match world.apps.values().next() {
        Some(app) => (app.id.clone(), app.bot_id.clone(), app.bot_user.clone()),
        None => return Err(Refusal::Text(StatusCode::NOT_FOUND, "no_active_hooks")),
    };
    let bucket = Bucket::Channel { app: app.clone(), channel: channel.clone() };
    let now = world.clock.now();
    if let Verdict::Limited { retry_after, ignored } = world.limiter.post(&world.settings.limits, bucket, now) {
        if ignored {
            world.violation("incoming_webhook", "called although a 429 had asked to wait", body.clone());
        }
        return Err(Refusal::Limited(retry_after));
    }

    let ts = world.next_ts(&channel);
    let mut message = Message {
        subtype: Some("bot_message".to_owned()),
        bot_id: Some(bot),
        app_id: Some(app),
        thread_ts: body.get("thread_ts").and_then(Value::as_str).map(str::to_owned),
        ..Message::blank(&channel, &ts, &user, &team)
    };
    content.fill(world, &mut message);
    world.store(message);
    Ok(())
}
