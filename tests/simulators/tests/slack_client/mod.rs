//! A client without manners of its own: it sends what a test says and returns what comes back.
#![allow(dead_code, reason = "every test file uses some of it")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "only used in tests")]

pub(crate) mod socket;

use std::time::Duration;

use serde_json::{Value, json};
use simulators::slack::{BOT_TOKEN, Limits, Server, Settings, Workspace, default_workspace};

pub(crate) const WAIT: Duration = Duration::from_secs(10);
/// The channel of most tests.
pub(crate) const CHANNEL: &str = "C0ACCESSREQ";

pub(crate) struct Client {
    http: reqwest::Client,
    pub(crate) server: Server,
    pub(crate) token: String,
}

/// A client of the default workspace without limits.
pub(crate) async fn start() -> Client {
    start_with(|settings| settings.limits = Limits::off()).await
}

pub(crate) async fn start_with(change: impl FnOnce(&mut Settings)) -> Client {
    start_workspace(default_workspace().configure(change)).await
}

pub(crate) async fn start_workspace(workspace: Workspace) -> Client {
    // Needed by the client even where no TLS is spoken; the second call of a process is refused.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    Client { http, server: Server::start(workspace).await.unwrap(), token: BOT_TOKEN.to_owned() }
}

impl Client {
    pub(crate) fn request(&self, verb: &str, method: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{method}", self.server.url());
        self.http.request(verb.parse().unwrap(), url)
    }

    /// POSTs JSON with everything as it should be.
    pub(crate) async fn post(&self, method: &str, body: Value) -> Value {
        self.answer(method, body).await.json().await.unwrap()
    }

    pub(crate) async fn answer(&self, method: &str, body: Value) -> reqwest::Response {
        self.try_post(method, body).await.unwrap()
    }

    pub(crate) async fn try_post(&self, method: &str, body: Value) -> reqwest::Result<reqwest::Response> {
        let request = self.request("POST", method).bearer_auth(&self.token);
        request.header("content-type", "application/json; charset=utf-8").body(body.to_string()).send().await
    }

    pub(crate) async fn get(&self, method: &str, query: &[(&str, &str)]) -> Value {
        let request = self.request("GET", method).bearer_auth(&self.token).query(query);
        request.send().await.unwrap().json().await.unwrap()
    }

    /// Posts a text into the channel and returns its `ts`.
    pub(crate) async fn say(&self, text: &str) -> String {
        let answer = self.post("chat.postMessage", json!({"channel": CHANNEL, "text": text})).await;
        assert_eq!(answer["ok"], true, "{answer}");
        answer["ts"].as_str().unwrap().to_owned()
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.server.workspace().violations().iter().map(ToString::to_string).collect()
    }
}

/// The error of an answer, or `ok`.
pub(crate) fn error(answer: &Value) -> &str {
    if answer["ok"] == true { "ok" } else { answer["error"].as_str().unwrap() }
}
