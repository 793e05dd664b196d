//! The cluster over HTTP: what a page or a script needs to watch it, to fill it and to make it fail.

mod catalog;

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::{Stream, stream};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::error::{Kind, Trace};
use super::journal::{Call, Violation};
use super::snapshot::Snapshot;
use super::{Cluster, NewRequest, NewReview, Validity};
use crate::faults::Fault;

/// A cluster and the identity file that its plugin uses.
#[derive(Clone)]
pub struct Control {
    cluster: Cluster,
    identity: Option<PathBuf>,
}

/// An answer that is an error: status and the reason in JSON.
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": self.1}))).into_response()
    }
}

impl From<Trace> for Refusal {
    fn from(error: Trace) -> Self {
        let status = match error.kind {
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::CompareFailed | Kind::AlreadyExists => StatusCode::CONFLICT,
            Kind::AccessDenied => StatusCode::FORBIDDEN,
            _ => StatusCode::BAD_REQUEST,
        };
        Self(status, error.message)
    }
}

/// The JSON body of a request; one that does not fit is refused in this API's own form.
struct Sent<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Sent<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let sent = Json::from_request(request, state).await;
        sent.map(|Json(value)| Self(value)).map_err(|refused| Refusal(refused.status(), refused.body_text()))
    }
}

type Answer<T = Value> = Result<Json<T>, Refusal>;

fn done() -> Json<Value> {
    Json(json!({"ok": true}))
}

/// The routes. `identity` is the file that a rotation writes.
pub fn router(cluster: Cluster, identity: Option<PathBuf>) -> Router {
    Router::new()
        .route("/_sim/state", get(state))
        .route("/_sim/events", get(events))
        .route("/_sim/requests", post(create))
        .route("/_sim/requests/{id}/review", post(review))
        .route("/_sim/requests/{id}/approve", post(approve))
        .route("/_sim/requests/{id}/deny", post(deny))
        .route("/_sim/requests/{id}/promote", post(promote))
        .route("/_sim/requests/{id}/expire", post(expire))
        .route("/_sim/requests/{id}/delete", post(expire))
        .route("/_sim/requests/{id}/plugin-data", post(plugin_data))
        .route("/_sim/identity", post(rotate))
        .route("/_sim/faults", get(faults).post(inject).delete(clear_faults))
        .route("/_sim/faults/{number}", axum::routing::delete(remove_fault))
        .route("/_sim/journal", get(journal))
        .route("/_sim/violations", get(violations))
        .route("/_sim/streams/cut", post(cut))
        .route("/_sim/streams/end", post(end))
        .route("/_sim/streams/reset", post(reset))
        .route("/_sim/advance", post(advance))
        .route("/_sim/stop", post(stop))
        .route("/_sim/terminate", post(terminate))
        .route("/_sim/resume", post(resume))
        .route("/_sim/restart", post(restart))
        .merge(catalog::routes())
        .with_state(Control { cluster, identity })
}

async fn state(State(control): State<Control>) -> Json<Snapshot> {
    Json(control.cluster.snapshot())
}

/// The state now and after every change. A reader that is slower than the changes misses some, never the last.
async fn events(State(control): State<Control>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut changes = control.cluster.subscribe();
    changes.mark_changed();
    let states = stream::unfold((control.cluster, changes), |(cluster, mut changes)| async move {
        changes.changed().await.ok()?;
        // An event that cannot be written is left out; every snapshot can.
        let event = Event::default().event("state").json_data(cluster.snapshot()).ok()?;
        Some((Ok(event), (cluster, changes)))
    });
    Sse::new(states).keep_alive(KeepAlive::default())
}

async fn create(State(control): State<Control>, Sent(request): Sent<NewRequest>) -> Answer {
    if request.user.is_empty() || (request.roles.is_empty() && request.resources.is_empty()) {
        let reason = "a request needs a user and at least one role or resource".to_owned();
        return Err(Refusal(StatusCode::BAD_REQUEST, reason));
    }
    Ok(Json(json!({"id": control.cluster.create_request(request)})))
}

async fn review(State(control): State<Control>, Path(id): Path<String>, Sent(review): Sent<NewReview>) -> Answer {
    let state = control.cluster.review(&id, &review)?;
    Ok(Json(json!({"state": state.as_str_name()})))
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Reason {
    reason: String,
}

async fn approve(State(control): State<Control>, Path(id): Path<String>, Sent(body): Sent<Reason>) -> Answer {
    control.cluster.approve(&id, &body.reason)?;
    Ok(done())
}

async fn deny(State(control): State<Control>, Path(id): Path<String>, Sent(body): Sent<Reason>) -> Answer {
    control.cluster.deny(&id, &body.reason)?;
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Promotion {
    author: String,
    list: String,
    #[serde(default)]
    title: String,
}

async fn promote(State(control): State<Control>, Path(id): Path<String>, Sent(body): Sent<Promotion>) -> Answer {
    control.cluster.promote(&id, &body.author, &body.list, &body.title)?;
    Ok(done())
}

async fn expire(State(control): State<Control>, Path(id): Path<String>) -> Answer {
    if control.cluster.expire(&id) {
        return Ok(done());
    }
    Err(Refusal(StatusCode::NOT_FOUND, format!("access request {id:?} not found")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PluginData {
    plugin: String,
    set: std::collections::BTreeMap<String, String>,
}

async fn plugin_data(State(control): State<Control>, Path(id): Path<String>, Sent(body): Sent<PluginData>) -> Answer {
    let set: Vec<_> = body.set.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    control.cluster.set_plugin_data(&id, &body.plugin, &set)?;
    Ok(done())
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Rotation {
    user: String,
    ttl_seconds: u64,
    expired: bool,
    /// Answer with the identity, and leave the file alone.
    show: bool,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { user: "slack-plugin".to_owned(), ttl_seconds: 3600, expired: false, show: false }
    }
}

/// Signs a new identity into the file that the plugin uses; without such a file, or if told to, answers with it.
async fn rotate(State(control): State<Control>, Sent(rotation): Sent<Rotation>) -> Answer {
    let duration = Duration::from_secs(rotation.ttl_seconds);
    let validity = if rotation.expired { Validity::ExpiredSince(duration) } else { Validity::For(duration) };
    let failed = |error: String| Refusal(StatusCode::INTERNAL_SERVER_ERROR, error);
    let identity =
        control.cluster.user_identity(&rotation.user, validity).map_err(|error| failed(error.to_string()))?;
    match control.identity.as_ref().filter(|_| !rotation.show) {
        None => Ok(Json(json!({"identity": identity.identity_file()}))),
        Some(path) => {
            let written = identity.write_identity_file(path);
            written.map_err(|error| failed(format!("cannot write {}: {error}", path.display())))?;
            Ok(Json(json!({"path": path})))
        }
    }
}

async fn faults(State(control): State<Control>) -> Json<Value> {
    let list = control.cluster.faults().list();
    Json(list.into_iter().map(|(number, fault)| json!({"number": number, "fault": fault})).collect())
}

async fn inject(State(control): State<Control>, Sent(fault): Sent<Fault>) -> Answer {
    let injected = control.cluster.inject(fault);
    let number = injected.map_err(|unfit| Refusal(StatusCode::UNPROCESSABLE_ENTITY, unfit.to_string()))?;
    Ok(Json(json!({"number": number})))
}

async fn clear_faults(State(control): State<Control>) -> Json<Value> {
    control.cluster.faults().clear();
    done()
}

async fn remove_fault(State(control): State<Control>, Path(number): Path<u64>) -> Answer {
    if control.cluster.faults().remove(number) {
        return Ok(done());
    }
    Err(Refusal(StatusCode::NOT_FOUND, format!("no fault {number}")))
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

/// Calls whose number is larger than `after`.
async fn journal(State(control): State<Control>, Query(After { after }): Query<After>) -> Json<Vec<Call>> {
    let mut calls = control.cluster.journal();
    calls.retain(|call| call.number > after);
    Json(calls)
}

async fn violations(State(control): State<Control>) -> Json<Vec<Violation>> {
    Json(control.cluster.violations())
}

async fn cut(State(control): State<Control>) -> Json<Value> {
    control.cluster.cut_streams();
    done()
}

async fn end(State(control): State<Control>) -> Json<Value> {
    control.cluster.end_streams();
    done()
}

async fn reset(State(control): State<Control>) -> Json<Value> {
    control.cluster.reset_streams();
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Skip {
    seconds: u64,
}

async fn advance(State(control): State<Control>, Sent(skip): Sent<Skip>) -> Json<Value> {
    control.cluster.advance(Duration::from_secs(skip.seconds));
    done()
}

async fn stop(State(control): State<Control>) -> Json<Value> {
    control.cluster.stop().await;
    done()
}

async fn terminate(State(control): State<Control>) -> Json<Value> {
    control.cluster.terminate().await;
    done()
}

async fn resume(State(control): State<Control>) -> Answer {
    let failed = |error: std::io::Error| Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    control.cluster.resume().await.map_err(failed)?;
    Ok(done())
}

async fn restart(State(control): State<Control>) -> Answer {
    control.cluster.stop().await;
    resume(State(control)).await
}
