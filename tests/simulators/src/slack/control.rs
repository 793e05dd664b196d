//! The control API under `/_sim/`, for manual work, for other languages and for the page.
//!
//! | call | what it does |
//! |---|---|
//! | `GET /_sim/state` | everything: team, apps, users, channels with their messages (`object` is the API's own form, `effects` what a client makes of it), direct messages, ephemeral messages, open modals, Home tabs, socket count, faults, violations, used scopes, version |
//! | `GET /_sim/events` | server-sent events; each carries the version number after a change, at most twenty a second |
//! | `GET /_sim/emoji` | `{name: character}` |
//! | `GET /_sim/journal?after=SEQ` | the calls after that number |
//! | `GET /_sim/faults` | `[{"id", …fault}]` |
//! | `POST /_sim/faults` | injects a fault (JSON as in [`crate::faults::Fault`]), answers `{"id"}` |
//! | `DELETE /_sim/faults` and `/_sim/faults/{id}` | removes all or one |
//! | `POST /_sim/click` | `{user, channel, ts, action_id, chosen?, values?, stale?}`: a person uses an element of a message; `chosen` is what the action says of it (`{"selected_option": {…}}`), `values` what all elements hold, `stale` counts the changes that the screen missed |
//! | `POST /_sim/press` | `{view_id, action_id, chosen?, values?}`: a person uses an element of a modal or a Home tab |
//! | `POST /_sim/submit` | `{view_id, values}`: a person submits a modal |
//! | `POST /_sim/close` | `{view_id}`: a person closes a modal |
//! | `POST /_sim/react` | `{user, channel, ts, name}`: a person puts an emoji there, or takes it away |
//! | `POST /_sim/say` | `{user, channel, text, thread_ts?}`: a person writes |
//! | `POST /_sim/event` | `{type, …}`: an event of the Events API happens |
//! | `POST /_sim/command` | `{user, channel, command, text?}`: a person types a slash command |
//! | `POST /_sim/channel` | `{channel, action, user?, name?}`: `archive`, `unarchive`, `invite`, `kick`, `rename` |
//! | `POST /_sim/user` | `{user, action}`: `deactivate` |
//! | `POST /_sim/token` | `{token, action, scopes?}`: `revoke`, `expire`, `restore`, `scopes` |
//! | `POST /_sim/sockets` | `{reason}`: disconnects Socket Mode connections |
//! | `POST /_sim/advance` | `{seconds}`: skips time |
//! | `DELETE /_sim/journal` | forgets calls and violations |
//!
//! Errors are HTTP 400 with `{"error": text}`.

use std::convert::Infallible;
use std::fmt::Display;
use std::time::Duration;

use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use futures::Stream;
use http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::emoji;
use super::handle::Handle;
use super::http::Context;
use super::interaction::Press;
use super::model::{Channel, TokenState};
use super::server::Connection;
use super::text::Effects;
use crate::faults::Fault;

/// The control API alone, to be served from another address.
pub fn control_router(handle: Handle) -> Router {
    router().with_state(Context { handle, connection: Connection::new() })
}

pub(super) fn router() -> Router<Context> {
    Router::new()
        .route("/_sim/state", get(state))
        .route("/_sim/events", get(events))
        .route("/_sim/emoji", get(emoji_names))
        .route("/_sim/journal", get(journal).delete(clear_journal))
        .route("/_sim/faults", get(faults).post(inject).delete(clear_faults))
        .route("/_sim/faults/{id}", delete(remove_fault))
        .route("/_sim/click", post(click))
        .route("/_sim/press", post(press))
        .route("/_sim/submit", post(submit))
        .route("/_sim/close", post(close))
        .route("/_sim/react", post(react))
        .route("/_sim/say", post(say))
        .route("/_sim/event", post(event))
        .route("/_sim/command", post(command))
        .route("/_sim/channel", post(channel))
        .route("/_sim/user", post(user))
        .route("/_sim/token", post(token))
        .route("/_sim/sockets", post(sockets))
        .route("/_sim/advance", post(advance))
}

/// The JSON body of a request; one that does not fit is refused in this API's own form.
struct Sent<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Sent<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let sent = Json::from_request(request, state).await;
        sent.map(|Json(value)| Self(value)).map_err(|rejection| bad(rejection.body_text()))
    }
}

fn bad(error: impl Display) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({"error": error.to_string()}))).into_response()
}

fn done(result: Result<impl Into<Value>, impl Display>) -> Response {
    match result {
        Ok(value) => Json(value.into()).into_response(),
        Err(error) => bad(error),
    }
}

impl Handle {
    /// The whole state as JSON, for drawing it. See the list in this file for its shape.
    pub fn snapshot(&self) -> Value {
        let version = *self.changes().borrow();
        let faults = list_faults(self);
        self.read(|world| {
            let bot = world.apps.values().next().map(|app| app.bot_user.clone()).unwrap_or_default();
            let channels: Vec<_> = world.channels.values().map(|channel| draw(channel, &bot)).collect();
            let ephemerals: Vec<_> = world
                .ephemerals
                .iter()
                .map(|shown| {
                    json!({"user": shown.user, "channel": shown.message.channel, "object": shown.message.object(true)})
                })
                .collect();
            let views: Vec<_> = world
                .views
                .all()
                .map(|(id, view)| json!({"id": id, "user": view.user, "view": view.content, "errors": view.errors}))
                .collect();
            let homes: Vec<_> = world
                .views
                .homes()
                .map(|(id, view)| json!({"id": id, "user": view.user, "view": view.content}))
                .collect();
            json!({
                "version": version, "now": world.clock.now(), "teams": world.teams,
                "apps": world.apps.values().collect::<Vec<_>>(), "users": world.users.values().collect::<Vec<_>>(),
                "user_groups": world.groups.values().collect::<Vec<_>>(), "channels": channels, "ephemerals": ephemerals,
                "views": views, "homes": homes, "envelopes": world.sockets.envelopes(), "faults": faults, "violations": world.violations,
                "used_scopes": world.used_scopes, "calls": world.journal.count(), "settings": world.settings,
                "sockets": world.apps.keys().map(|app| world.sockets.of_app(app).len()).sum::<usize>(),
            })
        })
    }
}

fn draw(channel: &Channel, bot: &str) -> Value {
    let messages: Vec<_> = channel
        .messages
        .values()
        .filter(|stored| stored.deleted.is_none())
        .map(|stored| {
            let message = &stored.now;
            json!({
                "object": message.object(true), "effects": Effects::of(message), "generated_blocks": message.generated_blocks,
                "updates": message.updates, "broadcast": message.broadcast,
            })
        })
        .collect();
    let mut object = json!(channel);
    if let Some(map) = object.as_object_mut() {
        map.insert("messages".to_owned(), json!(messages));
        map.insert("bot_is_member".to_owned(), json!(channel.members.contains(bot)));
    }
    object
}

async fn state(State(context): State<Context>) -> Json<Value> {
    Json(context.handle.snapshot())
}

async fn events(State(context): State<Context>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    /// So that a burst of changes is one event.
    const PAUSE: Duration = Duration::from_millis(50);
    let changes = context.handle.changes();
    let stream = futures::stream::unfold((changes, true), |(mut changes, first)| async move {
        if !first {
            changes.changed().await.ok()?;
            tokio::time::sleep(PAUSE).await;
        }
        let version = *changes.borrow_and_update();
        Some((Ok(Event::default().data(version.to_string())), (changes, false)))
    });
    Sse::new(stream).keep_alive(KeepAlive::default())
}

async fn emoji_names() -> Json<Value> {
    Json(emoji::all().map(|(name, character)| (name.to_owned(), json!(character))).collect())
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

async fn journal(State(context): State<Context>, Query(After { after }): Query<After>) -> Json<Value> {
    let calls: Vec<_> = context.handle.journal().into_iter().filter(|call| call.seq > after).collect();
    Json(json!(calls))
}

async fn clear_journal(State(context): State<Context>) -> Json<Value> {
    context.handle.clear_journal();
    Json(json!({}))
}

fn list_faults(handle: &Handle) -> Vec<Value> {
    let faults = handle.faults().list().into_iter();
    faults
        .map(|(id, fault)| {
            let mut object = json!(fault);
            if let Some(map) = object.as_object_mut() {
                map.insert("id".to_owned(), json!(id));
            }
            object
        })
        .collect()
}

async fn faults(State(context): State<Context>) -> Json<Value> {
    Json(json!(list_faults(&context.handle)))
}

async fn inject(State(context): State<Context>, Sent(fault): Sent<Fault>) -> Response {
    done(context.handle.inject(fault).map(|id| json!({"id": id})))
}

async fn clear_faults(State(context): State<Context>) -> Json<Value> {
    context.handle.faults().clear();
    Json(json!({}))
}

async fn remove_fault(State(context): State<Context>, Path(id): Path<u64>) -> Response {
    if context.handle.faults().remove(id) {
        Json(json!({})).into_response()
    } else {
        bad("there is no fault of this number")
    }
}

#[derive(Deserialize)]
struct Click {
    user: String,
    channel: String,
    ts: String,
    #[serde(default)]
    stale: usize,
    #[serde(flatten)]
    press: Press,
}

async fn click(State(context): State<Context>, Sent(click): Sent<Click>) -> Response {
    let Click { user, channel, ts, stale, press } = click;
    let sent = match stale {
        0 => context.handle.press(&user, &channel, &ts, &press),
        changes => context.handle.click_stale(&user, &channel, &ts, &press.action_id, changes),
    };
    done(sent.map(|id| json!({"envelope_id": id})))
}

#[derive(Deserialize)]
struct InView {
    view_id: String,
    #[serde(flatten)]
    press: Press,
}

async fn press(State(context): State<Context>, Sent(InView { view_id, press }): Sent<InView>) -> Response {
    done(context.handle.press_in_view(&view_id, &press).map(|id| json!({"envelope_id": id})))
}

#[derive(Deserialize)]
struct Submit {
    view_id: String,
    #[serde(default)]
    values: Value,
}

async fn submit(State(context): State<Context>, Sent(submit): Sent<Submit>) -> Response {
    done(context.handle.submit_view(&submit.view_id, &submit.values).map(|id| json!({"envelope_id": id})))
}

async fn close(State(context): State<Context>, Sent(submit): Sent<Submit>) -> Response {
    done(context.handle.close_view(&submit.view_id).map(|()| json!({})))
}

#[derive(Deserialize)]
struct React {
    user: String,
    channel: String,
    ts: String,
    name: String,
}

async fn react(State(context): State<Context>, Sent(react): Sent<React>) -> Response {
    done(context.handle.react(&react.user, &react.channel, &react.ts, &react.name).map(|()| json!({})))
}

#[derive(Deserialize)]
struct Say {
    user: String,
    channel: String,
    text: String,
    thread_ts: Option<String>,
}

async fn say(State(context): State<Context>, Sent(say): Sent<Say>) -> Response {
    let said = context.handle.say(&say.user, &say.channel, &say.text, say.thread_ts.as_deref());
    done(said.map(|ts| json!({"ts": ts})))
}

async fn event(State(context): State<Context>, Sent(event): Sent<Value>) -> Response {
    done(context.handle.emit_event(&event).map(|id| json!({"envelope_id": id})))
}

#[derive(Deserialize)]
struct Typed {
    user: String,
    channel: String,
    command: String,
    #[serde(default)]
    text: String,
}

async fn command(State(context): State<Context>, Sent(typed): Sent<Typed>) -> Response {
    let sent = context.handle.command(&typed.user, &typed.channel, &typed.command, &typed.text);
    done(sent.map(|id| json!({"envelope_id": id})))
}

/// What an admin does to a channel, a person or a token.
#[derive(Deserialize)]
struct Admin {
    #[serde(default)]
    channel: String,
    #[serde(default)]
    user: String,
    #[serde(default)]
    token: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    scopes: Vec<String>,
    action: String,
}

async fn channel(State(context): State<Context>, Sent(admin): Sent<Admin>) -> Response {
    let handle = &context.handle;
    if handle.find_channel(&admin.channel).is_none() {
        return bad("there is no such channel");
    }
    if matches!(admin.action.as_str(), "invite" | "kick") && handle.find_user(&admin.user).is_none() {
        return bad("there is no such user");
    }
    match admin.action.as_str() {
        "archive" => handle.archive(&admin.channel),
        "unarchive" => handle.unarchive(&admin.channel),
        "invite" => handle.invite(&admin.channel, &admin.user),
        "kick" => handle.kick(&admin.channel, &admin.user),
        "rename" => handle.rename(&admin.channel, &admin.name),
        _ => return bad("action must be archive, unarchive, invite, kick or rename"),
    }
    Json(json!({})).into_response()
}

async fn user(State(context): State<Context>, Sent(admin): Sent<Admin>) -> Response {
    if context.handle.find_user(&admin.user).is_none() {
        return bad("there is no such user");
    }
    match admin.action.as_str() {
        "deactivate" => context.handle.deactivate_user(&admin.user),
        _ => return bad("action must be deactivate"),
    }
    Json(json!({})).into_response()
}

async fn token(State(context): State<Context>, Sent(admin): Sent<Admin>) -> Response {
    let handle = &context.handle;
    if !handle.knows_token(&admin.token) {
        return bad("there is no such token");
    }
    match admin.action.as_str() {
        "revoke" => handle.set_token_state(&admin.token, TokenState::Revoked),
        "expire" => handle.set_token_state(&admin.token, TokenState::Expired),
        "restore" => handle.set_token_state(&admin.token, TokenState::Active),
        "scopes" => handle.set_scopes(&admin.token, &admin.scopes.iter().map(String::as_str).collect::<Vec<_>>()),
        _ => return bad("action must be revoke, expire, restore or scopes"),
    }
    Json(json!({})).into_response()
}

#[derive(Deserialize)]
struct Disconnect {
    reason: String,
}

async fn sockets(State(context): State<Context>, Sent(disconnect): Sent<Disconnect>) -> Json<Value> {
    context.handle.disconnect_sockets(&disconnect.reason);
    Json(json!({}))
}

#[derive(Deserialize)]
struct Advance {
    seconds: u64,
}

async fn advance(State(context): State<Context>, Sent(Advance { seconds }): Sent<Advance>) -> Json<Value> {
    context.handle.advance(Duration::from_secs(seconds));
    Json(json!({}))
}
