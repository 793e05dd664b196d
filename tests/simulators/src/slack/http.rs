//! The Web API over HTTP, with its faults (Slack docs: Web API basics).

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use http::header::{CONNECTION, CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use http::{HeaderValue, Method, StatusCode, Uri};
use serde_json::Value;

use super::dispatch::{self, Incoming, Reply};
use super::handle::Handle;
use super::journal::Outcome;
use super::refusal::set;
use super::server::Connection;
use super::{control, hooks, incoming, socket};
use crate::faults::Effect;

/// What handlers share.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) handle: Handle,
    pub(super) connection: Connection,
}

/// Bodies beyond this are refused with HTTP 413.
const BODY_LIMIT: usize = 8 << 20;

pub(super) fn router(handle: Handle, connection: Connection) -> Router {
    Router::new()
        .route("/api/{method}", any(api))
        .route("/link/", any(socket::link))
        .route("/hooks/{id}", post(hooks::respond))
        .route("/services/{team}/{bot}/{key}", post(incoming::post))
        .merge(control::router())
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(Context { handle, connection })
}

async fn api(
    State(context): State<Context>,
    Path(name): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let _busy = context.connection.begin();
    let Context { handle, connection } = &context;
    let arrived = Instant::now();
    let incoming = Incoming::read(&name, method == Method::POST, uri.query().unwrap_or_default(), &headers, &body);
    let seq = handle.write(|world| {
        let (capacity, at) = (world.settings.journal_capacity, world.clock.now());
        let entry = (capacity > 0).then(|| incoming.entry(world, at));
        world.journal.open(capacity, entry)
    });
    let reads = incoming.method.is_some_and(|method| method.reads);
    let applies = |effect: &Effect| match effect {
        Effect::Cut | Effect::Stall | Effect::End | Effect::Duplicate => false,
        Effect::StaleRead { .. } => reads,
        _ => true,
    };
    let fault = handle.faults().take_for(&name, || incoming.args_value().to_string(), applies);
    let call = Executing { handle, incoming: &incoming, seq, arrived, fault: fault.as_ref() };
    if fault.as_ref().is_some_and(strikes_before) {
        call.note_haste();
    }

    match &fault {
        None => {
            let reply = call.run(0);
            call.finish(Outcome::Answered, reply.status, &reply.body);
            answer(reply)
        }
        Some(Effect::ResetBefore) => {
            call.finish(Outcome::Reset, 0, &Value::Null);
            connection.abort().await
        }
        Some(Effect::Hang) => std::future::pending().await,
        Some(Effect::ServerError { status }) => {
            call.finish(Outcome::Answered, *status, &Value::Null);
            html(*status)
        }
        Some(Effect::Error { code, .. }) => {
            let body = dispatch::error_body(code);
            call.finish(Outcome::Answered, 200, &body);
            json(StatusCode::OK, &body)
        }
        Some(Effect::RateLimited { retry_after }) => {
            call.close_bucket(*retry_after);
            let body = dispatch::error_body("ratelimited");
            call.finish(Outcome::Answered, 429, &body);
            limited(json(StatusCode::TOO_MANY_REQUESTS, &body), *retry_after)
        }
        Some(Effect::RateLimitedText { retry_after }) => {
            call.close_bucket(*retry_after);
            call.finish(Outcome::Answered, 429, &Value::Null);
            let body = "You are sending too many requests. Please relax.";
            limited((StatusCode::TOO_MANY_REQUESTS, body).into_response(), *retry_after)
        }
        Some(Effect::Redirect { location }) => {
            call.finish(Outcome::Answered, 302, &Value::Null);
            let location = HeaderValue::from_str(location).unwrap_or(HeaderValue::from_static("/"));
            (StatusCode::FOUND, [(LOCATION, location)]).into_response()
        }
        Some(Effect::StaleRead { millis }) => {
            let reply = call.run(millis.saturating_mul(1_000));
            call.finish(Outcome::Answered, reply.status, &reply.body);
            answer(reply)
        }
        Some(Effect::Slow { millis }) => {
            let reply = call.run(0);
            tokio::time::sleep(Duration::from_millis(*millis)).await;
            call.finish(Outcome::Answered, reply.status, &reply.body);
            answer(reply)
        }
        Some(Effect::AnswerLost) => {
            let reply = call.run(0);
            call.finish(Outcome::Lost, 0, &reply.body);
            connection.abort().await
        }
        Some(Effect::ErrorAfter { code }) => {
            call.run(0);
            let body = dispatch::error_body(code);
            call.finish(Outcome::Answered, 200, &body);
            json(StatusCode::OK, &body)
        }
        Some(Effect::ServerErrorAfter { status }) => {
            call.run(0);
            call.finish(Outcome::Answered, *status, &Value::Null);
            html(*status)
        }
        Some(Effect::Malformed) => {
            let reply = call.run(0);
            call.finish(Outcome::Answered, 200, &reply.body);
            let text = reply.body.to_string();
            let half: String = text.chars().take(text.chars().count() / 2).collect();
            with_type(StatusCode::OK, "application/json; charset=utf-8", half.into())
        }
        Some(Effect::Html) => {
            let reply = call.run(0);
            call.finish(Outcome::Answered, 200, &reply.body);
            html(200)
        }
        Some(Effect::Huge { bytes }) => {
            let reply = call.run(0);
            call.finish(Outcome::Answered, 200, &reply.body);
            let mut body = reply.body;
            let size = usize::try_from(*bytes).unwrap_or(usize::MAX).min(1 << 28);
            set(&mut body, "padding", "x".repeat(size));
            json(StatusCode::OK, &body)
        }
        Some(Effect::Drip { millis }) => {
            let reply = call.run(0);
            call.finish(Outcome::Answered, reply.status, &reply.body);
            drip(&reply, Duration::from_millis(*millis))
        }
        // Not taken: `applies` refuses them.
        Some(Effect::Cut | Effect::Stall | Effect::End | Effect::Duplicate) => html(500),
    }
}

/// The call is not executed at all.
fn strikes_before(effect: &Effect) -> bool {
    use Effect::{Error, Hang, RateLimited, RateLimitedText, Redirect, ResetBefore, ServerError};
    matches!(
        effect,
        ResetBefore
            | Hang
            | ServerError { .. }
            | Error { .. }
            | RateLimited { .. }
            | RateLimitedText { .. }
            | Redirect { .. }
    )
}

/// One call between its arrival and the end of its journal entry.
struct Executing<'a> {
    handle: &'a Handle,
    incoming: &'a Incoming,
    seq: u64,
    arrived: Instant,
    fault: Option<&'a Effect>,
}

impl Executing<'_> {
    /// Lets the call take effect.
    fn run(&self, stale: u64) -> Reply {
        self.handle.write(|world| {
            let mut reply = dispatch::execute(world, self.incoming, self.handle.base(), stale);
            if !world.settings.strict {
                reply.flaws.clear();
            }
            for flaw in &reply.flaws {
                world.violation(&self.incoming.name, flaw, self.incoming.args_value());
            }
            if let Some(entry) = world.journal.get_mut(self.seq) {
                entry.violations.clone_from(&reply.flaws);
            }
            reply
        })
    }

    /// Completes the journal's entry.
    fn finish(&self, outcome: Outcome, status: u16, body: &Value) {
        self.handle.write(|world| {
            let Some(entry) = world.journal.get_mut(self.seq) else { return };
            entry.outcome = outcome;
            entry.status = status;
            entry.answer = body.clone();
            entry.duration = u64::try_from(self.arrived.elapsed().as_micros()).unwrap_or(u64::MAX);
            entry.fault = self.fault.map(|fault| format!("{fault:?}"));
        });
    }

    /// Strict mode for a call that a fault ends before it is executed.
    fn note_haste(&self) {
        self.handle.write(|world| {
            if !world.settings.strict || !dispatch::is_hasty(world, self.incoming) {
                return;
            }
            world.violation(&self.incoming.name, dispatch::HASTY, self.incoming.args_value());
            if let Some(entry) = world.journal.get_mut(self.seq) {
                entry.violations.push(dispatch::HASTY.to_owned());
            }
        });
    }

    fn close_bucket(&self, retry_after: Option<u64>) {
        self.handle.write(|world| {
            let now = world.clock.now();
            if let (Some(bucket), Some(seconds)) = (self.incoming.bucket(world), retry_after) {
                world.limiter.close(bucket, seconds, now);
            }
        });
    }
}

fn answer(reply: Reply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    let mut response = json(status, &reply.body);
    let headers = response.headers_mut();
    if let Some(token) = reply.granted {
        let granted: Vec<_> = token.granted().collect();
        if let Ok(value) = HeaderValue::from_str(&granted.join(",")) {
            headers.insert("x-oauth-scopes", value);
        }
        if let Ok(value) = HeaderValue::from_str(&reply.accepted.join(",")) {
            headers.insert("x-accepted-oauth-scopes", value);
        }
    }
    if reply.retry_after.is_some() { limited(response, reply.retry_after) } else { response }
}

fn json(status: StatusCode, body: &Value) -> Response {
    with_type(status, "application/json; charset=utf-8", Body::from(body.to_string()))
}

fn with_type(status: StatusCode, content_type: &'static str, body: Body) -> Response {
    let mut response = (status, [(CONTENT_TYPE, HeaderValue::from_static(content_type))], body).into_response();
    let id = format!("{:032x}", rand::random::<u128>());
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-slack-req-id", value);
    }
    response
}

/// HTTP 429 as Slack's edge sends it.
pub(super) fn limited(mut response: Response, retry_after: Option<u64>) -> Response {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The page that stands in front of Slack when it is down.
fn html(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let page = "<!DOCTYPE html>\n<html><head><title>Server Error | Slack</title></head>\
                <body><h1>Server Error</h1><p>It seems like there is a problem connecting to our servers.</p></body></html>\n";
    let mut response = with_type(status, "text/html; charset=utf-8", page.into());
    if status != StatusCode::OK {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Sends the body in small pieces, spread over `total`.
fn drip(reply: &Reply, total: Duration) -> Response {
    const PIECES: usize = 10;
    let text = reply.body.to_string().into_bytes();
    let size = text.len().div_ceil(PIECES).max(1);
    let pieces: Vec<_> = text.chunks(size).map(Bytes::copy_from_slice).collect();
    let pause = total / u32::try_from(pieces.len()).unwrap_or(1).max(1);
    let stream = futures::stream::unfold(pieces.into_iter(), move |mut pieces| async move {
        let piece = pieces.next()?;
        tokio::time::sleep(pause).await;
        Some((Ok::<_, std::convert::Infallible>(piece), pieces))
    });
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    with_type(status, "application/json; charset=utf-8", Body::from_stream(stream))
}
