//! What the page can do beyond the simulators' own control APIs.
//!
//! | call | what it does |
//! |---|---|
//! | `POST /demo/worker` | `{order}`: `start`, `stop`, `kill` |
//! | `POST /demo/token` | `{action}`: `rotate`, `revoke`, `restore` the bot token |
//! | `POST /demo/outage` | `{seconds}`: Teleport's Auth is away for so long |
//! | `POST /demo/calm` | removes every fault, makes the credentials good, invites the app again, brings Teleport and the worker back |
//! | `GET /demo/setup` | who is told about which role, where things listen, and since when this run of the demo exists |

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use super::files::ROUTES;
use super::worker::Order;
use crate::slack::BOT_USER;

/// An outage longer than this is a mistake.
const LONGEST_OUTAGE: u64 = 300;
/// The channel that the page throws the app out of.
const KICKED_FROM: &str = "dba-oncall";

pub(super) fn router() -> Router<Shared> {
    Router::new()
        .route("/demo/worker", post(worker))
        .route("/demo/token", post(token))
        .route("/demo/outage", post(outage))
        .route("/demo/calm", post(calm))
        .route("/demo/setup", get(setup))
}

fn done() -> Response {
    Json(json!({"ok": true})).into_response()
}

fn failed(error: &std::io::Error) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({"error": error.to_string()}))).into_response()
}

#[derive(Deserialize)]
struct WorkerOrder {
    order: Order,
}

async fn worker(State(shared): State<Shared>, Json(WorkerOrder { order }): Json<WorkerOrder>) -> Response {
    shared.worker.order(order);
    done()
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum TokenAction {
    Rotate,
    Revoke,
    Restore,
}

#[derive(Deserialize)]
struct TokenOrder {
    action: TokenAction,
}

async fn token(State(shared): State<Shared>, Json(TokenOrder { action }): Json<TokenOrder>) -> Response {
    match action {
        TokenAction::Rotate => {
            if let Err(error) = shared.credentials.rotate() {
                return failed(&error);
            }
        }
        TokenAction::Revoke => shared.credentials.revoke(),
        TokenAction::Restore => shared.credentials.restore(),
    }
    done()
}

#[derive(Deserialize)]
struct Outage {
    seconds: u64,
}

async fn outage(State(shared): State<Shared>, Json(Outage { seconds }): Json<Outage>) -> Response {
    shared.stop_teleport().await;
    let seconds = Duration::from_secs(seconds.min(LONGEST_OUTAGE));
    let back = shared.clone();
    shared.tasks.spawn(async move {
        tokio::select! {
            () = tokio::time::sleep(seconds) => {}
            () = back.stop.cancelled() => return,
        }
        if let Err(error) = back.resume_teleport().await {
            tracing::warn!("Teleport cannot come back: {error}");
        }
    });
    done()
}

async fn calm(State(shared): State<Shared>) -> Response {
    shared.slack.faults().clear();
    shared.teleport.faults().clear();
    shared.slack.invite(KICKED_FROM, BOT_USER);
    let mended = shared.credentials.mend();
    let resumed = shared.resume_teleport().await;
    // Last, because it looks at its credentials when it starts.
    shared.worker.order(Order::Start);
    match mended.and(resumed) {
        Ok(()) => done(),
        Err(error) => failed(&error),
    }
}

async fn setup(State(shared): State<Shared>) -> Json<Value> {
    let routes: Vec<_> = ROUTES.iter().map(|(role, to)| json!({"role": role, "to": to})).collect();
    Json(json!({
        "routes": routes, "slack": shared.slack.url(), "teleport": shared.teleport.addr().to_string(),
        "started": shared.started,
    }))
}
