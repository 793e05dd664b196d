//! One call over HTTP: made once, its outcome classified.

use std::collections::HashSet;
use std::error::Error as _;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Request, Response, StatusCode, Url};
use serde_json::{Map, Value};
use tracing::{debug, warn};

use crate::cause::without_debug;
use crate::slack::api::proxy::Way;
use crate::slack::api::settings::{Settings, SettingsError};
use crate::slack::error::{self, Error, code};
use crate::slack::text::shorten;
use crate::slack::token::{Kind, Token, mask};

/// Larger answers are not read to the end. A page of 200 messages with metadata is well below, and one of 999 channels whose
/// topics and purposes are of full length, none of it ASCII.
const LARGEST_ANSWER: usize = 8 << 20;
/// When Slack limits without saying for how long.
const RETRY_AFTER_FALLBACK: u64 = 30;
/// No limit is believed to last longer.
const RETRY_AFTER_MOST: u64 = 300;
/// Kinds of warnings that are remembered as logged.
const MOST_WARNINGS: usize = 64;

/// A successful answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: Map<String, Value>,
    pub(super) headers: HeaderMap,
}

/// The way to Slack.
#[derive(Debug)]
pub(super) struct Transport {
    http: reqwest::Client,
    base: Url,
    way: Way,
    token: RwLock<Token>,
    warned: Mutex<HashSet<String>>,
}

impl Transport {
    pub(super) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let base = settings.base()?;
        let http = settings.http(&base)?;
        let way = Settings::way(&base);
        Ok(Self { http, base, way, token: RwLock::new(settings.token.clone()), warned: Mutex::default() })
    }

    pub(super) fn set_token(&self, token: Token) {
        *self.token.write().unwrap_or_else(PoisonError::into_inner) = token;
    }

    pub(super) fn token(&self) -> Token {
        self.token.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A call that changes something: a JSON body. `about` is the channel or user, for errors.
    pub(super) async fn write(&self, method: &'static str, about: Option<&str>, body: &Value) -> Result<Answer, Error> {
        // Slack warns about JSON without a charset, and about a form with one.
        let request = self
            .http
            .post(self.address(method))
            .header(CONTENT_TYPE, "application/json; charset=utf-8")
            .body(body.to_string())
            .build();
        self.call(method, about, request).await
    }

    /// A call that reads: arguments in the query, as the read methods take no JSON.
    pub(super) async fn read(
        &self,
        method: &'static str,
        about: Option<&str>,
        query: &[(&str, &str)],
    ) -> Result<Answer, Error> {
        self.call(method, about, self.http.get(self.address(method)).query(query).build()).await
    }

    /// Where the Web API is.
    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    /// Makes a request without a token, elsewhere than at the Web API. Only its status is looked at.
    pub(super) async fn execute(
        &self,
        method: &'static str,
        request: reqwest::RequestBuilder,
    ) -> Result<Response, Error> {
        let fail = |code: &str, reason: &str| Error::new(method, code, None).because(reason);
        let response = request.send().await.map_err(|error| {
            let (code, reason) = match transport_code(&error) {
                code::CONNECT_FAILED => self.way.unconnected(&causes(&error)),
                code => (code, reason(&error)),
            };
            fail(code, &reason)
        })?;
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS {
            let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            return Err(limited(fail(code::RATE_LIMITED, ""), retry_after));
        }
        if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        Err(fail(&http_code(status), ""))
    }

    /// A request elsewhere than at the Web API, over the same client.
    pub(super) fn post_elsewhere(&self, url: Url) -> reqwest::RequestBuilder {
        self.http.post(url)
    }

    fn address(&self, method: &str) -> Url {
        let mut url = self.base.clone();
        let path = format!("{}{method}", url.path());
        url.set_path(&path);
        url
    }

    async fn call(
        &self,
        method: &'static str,
        about: Option<&str>,
        request: reqwest::Result<Request>,
    ) -> Result<Answer, Error> {
        // One token for the whole call, whatever is swapped in meanwhile.
        let token = self.token();
        // Kilobytes of state: on the heap while the call lasts, not inside everything that may have to make one.
        let outcome = Box::pin(self.exchange(method, about, request, &token)).await;
        outcome.map_err(|mut error| {
            error.detail = mask(&error.detail, &token);
            debug!(method, code = error.code, class = error.class.as_str(), detail = error.detail, "Slack call failed");
            error
        })
    }

    async fn exchange(
        &self,
        method: &'static str,
        about: Option<&str>,
        request: reqwest::Result<Request>,
        token: &Token,
    ) -> Result<Answer, Error> {
        let fail = |code: &str, reason: &str| Error::new(method, code, about).because(reason);
        if let Some(withheld) = token.withheld_from(self.base.host_str().unwrap_or_default()) {
            let (code, reason) = withheld.refusal();
            return Err(fail(code, reason));
        }
        let mut request = request.map_err(|error| fail(code::BAD_REQUEST, &reason(&error)))?;
        let mut header = HeaderValue::from_str(&format!("Bearer {}", token.reveal()))
            .map_err(|_| fail("invalid_auth", "the token has characters that no token has"))?;
        header.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, header);

        let response = self.http.execute(request).await.map_err(|error| {
            let (code, reason) = match transport_code(&error) {
                code::CONNECT_FAILED => self.way.unconnected(&causes(&error)),
                code => (code, reason(&error)),
            };
            fail(code, &reason)
        })?;
        let status = response.status();
        let headers = response.headers().clone();
        let id = headers.get("x-slack-req-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        debug!(method, status = status.as_u16(), request_id = shorten(id, 100), "Slack answered");

        let retry_after =
            headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(|value| value.trim().parse().ok());
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Err(limited(fail(code::RATE_LIMITED, ""), retry_after));
        }
        if status.is_redirection() {
            return Err(fail(code::REDIRECTED, &format!("HTTP {}", status.as_u16())));
        }
        if !is_json(&headers) {
            let code = if status.is_success() { code::MALFORMED_ANSWER.to_owned() } else { http_code(status) };
            let mut error = fail(&code, &format!("HTTP {} without JSON", status.as_u16()));
            error.retry_after = retry_after.map(clamp);
            return Err(error);
        }
        let body = read(response).await.map_err(|(code, reason)| fail(code, &reason))?;
        let body = match serde_json::from_slice(&body) {
            Ok(Value::Object(body)) => body,
            _ if status.is_success() => return Err(fail(code::MALFORMED_ANSWER, "not a JSON object")),
            _ => return Err(fail(&http_code(status), "")),
        };
        match (body.get("ok").and_then(Value::as_bool), text(&body, "error")) {
            (Some(true), _) if status.is_success() => {
                self.warn_once(method, &body);
                Ok(Answer { body, headers })
            }
            (Some(false), Some(code)) => {
                let mut refused = refusal(fail(&shorten(code, 100), ""), &body);
                if code == "invalid_auth" && token.kind() == Kind::Unknown && refused.detail.is_empty() {
                    refused = refused.because("the token does not start with xoxb-");
                }
                Err(if error::is_rate_limit(code) { limited(refused, retry_after) } else { refused })
            }
            _ if status.is_success() => Err(fail(code::MALFORMED_ANSWER, "neither ok nor an error")),
            _ => Err(fail(&http_code(status), "")),
        }
    }

    /// Each kind of warning is worth one line, not one a call.
    fn warn_once(&self, method: &str, body: &Map<String, Value>) {
        for warning in warnings(body) {
            let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
            if warned.len() < MOST_WARNINGS && warned.insert(format!("{method} {warning}")) {
                let messages = messages(body);
                warn!(method, warning, messages, "Slack accepted a call with a warning");
            }
        }
    }
}

fn limited(mut error: Error, retry_after: Option<u64>) -> Error {
    error.retry_after = Some(clamp(retry_after.unwrap_or(RETRY_AFTER_FALLBACK)));
    error
}

fn clamp(seconds: u64) -> Duration {
    Duration::from_secs(seconds.clamp(1, RETRY_AFTER_MOST))
}

fn http_code(status: StatusCode) -> String {
    format!("http_{}", status.as_u16())
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.trim_start().to_ascii_lowercase().starts_with("application/json"))
}

async fn read(mut response: Response) -> Result<Vec<u8>, (&'static str, String)> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| (transport_code(&error), reason(&error)))? {
        if body.len() + chunk.len() > LARGEST_ANSWER {
            return Err((code::ANSWER_TOO_LARGE, format!("more than {LARGEST_ANSWER} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What Slack adds to its refusal. The strings name places in the blocks, never their content.
fn refusal(mut error: Error, body: &Map<String, Value>) -> Error {
    let mut parts = Vec::new();
    if let Some(needed) = text(body, "needed") {
        error.needed = Some(shorten(needed, 200).into());
        parts.push(format!("needed: {needed}"));
    }
    if let Some(provided) = text(body, "provided") {
        parts.push(format!("provided: {provided}"));
    }
    let messages = messages(body);
    if !messages.is_empty() {
        parts.push(messages);
    }
    error.because(parts.join("; "))
}

fn text<'a>(body: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    body.get(key).and_then(Value::as_str)
}

fn strings<'a>(body: &'a Map<String, Value>, key: &str) -> impl Iterator<Item = &'a str> {
    let list = body.get("response_metadata").and_then(|metadata| metadata.get(key)).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
}

fn messages(body: &Map<String, Value>) -> String {
    shorten(&strings(body, "messages").collect::<Vec<_>>().join("; "), 300)
}

/// The same warning may stand in both places.
fn warnings(body: &Map<String, Value>) -> HashSet<&str> {
    let top = text(body, "warning").into_iter().flat_map(|names| names.split(','));
    top.chain(strings(body, "warnings")).map(str::trim).filter(|name| !name.is_empty()).collect()
}

fn transport_code(error: &reqwest::Error) -> &'static str {
    // A connection that cannot be made in time is a connection that cannot be made: nothing was sent.
    if error.is_connect() || error.is_dns() {
        code::CONNECT_FAILED
    } else if error.is_timeout() {
        code::TIMEOUT
    } else if error.is_builder() {
        code::BAD_REQUEST
    } else {
        code::CONNECTION_LOST
    }
}

/// The causes of a transport error, without the address (which may hold an e-mail address).
pub(super) fn reason(error: &reqwest::Error) -> String {
    without_debug(&causes(error).join(": "))
}

/// The same one by one, outermost first.
fn causes(error: &reqwest::Error) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if parts.last() != Some(&cause_text) {
            parts.push(cause_text);
        }
        source = cause.source();
    }
    parts
}
