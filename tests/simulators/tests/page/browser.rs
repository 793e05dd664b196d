//! A headless browser, driven over the W3C protocol `WebDriver` through Debian's chromedriver.

use std::process::Stdio;
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// How long something may take to appear: the machine may be busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const STARTED: &str = "started successfully on port ";
/// Under which an element comes in JSON (`WebDriver`, section "Elements").
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// No sandbox, because tests may run as root; nothing that would look for the internet.
const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
];

/// Keys with a code point of their own (`WebDriver`, section "Keyboard actions").
pub(crate) mod key {
    pub(crate) const TAB: &str = "\u{e004}";
    pub(crate) const ENTER: &str = "\u{e007}";
    pub(crate) const ESCAPE: &str = "\u{e00c}";
    pub(crate) const RIGHT: &str = "\u{e014}";
}

/// Whether there is a browser on this machine.
pub(crate) fn is_installed() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join("chromedriver").is_file())
}

pub(crate) struct Browser {
    http: Client,
    session: String,
    driver: Child,
    _profile: TempDir,
}

impl Browser {
    pub(crate) async fn start() -> Self {
        // Needed by the client even where no TLS is spoken; the second call of a process is refused.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder().no_proxy().timeout(PATIENCE * 2).build().unwrap();
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines.next_line().await.unwrap().expect("chromedriver tells its port");
            if let Some((_, port)) = line.split_once(STARTED) {
                break port.trim_end_matches('.').to_owned();
            }
        };
        // It goes on writing; nobody has to read it, but the pipe must stay open.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let profile = tempfile::tempdir().unwrap();
        let mut flags: Vec<String> = FLAGS.iter().map(|&flag| flag.to_owned()).collect();
        flags.push(format!("--user-data-dir={}", profile.path().display()));
        let base = format!("http://127.0.0.1:{port}/session");
        let options = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": flags}, "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let answer: Value = http.post(&base).json(&options).send().await.unwrap().json().await.unwrap();
        let id = answer["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {answer}"));
        Self { session: format!("{base}/{id}"), http, driver, _profile: profile }
    }

    pub(crate) async fn end(mut self) {
        self.http.delete(&self.session).send().await.unwrap();
        self.driver.kill().await.unwrap();
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let answer = self.try_post(path, &body).await;
        assert!(answer["error"].is_null(), "{path} with {body}: {answer}");
        answer
    }

    /// The answer, which may be an error.
    async fn try_post(&self, path: &str, body: &Value) -> Value {
        let answer = self.http.post(format!("{}{path}", self.session)).json(body).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["value"].take()
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.http.get(format!("{}{path}", self.session)).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["value"].take()
    }

    pub(crate) async fn open(&self, url: &str) {
        self.post("/url", json!({"url": url})).await;
    }

    /// Runs a function's body in the page, with `arguments`.
    pub(crate) async fn run(&self, body: &str, arguments: Value) -> Value {
        self.post("/execute/sync", json!({"script": body, "args": arguments})).await
    }

    /// What an expression is now.
    pub(crate) async fn value(&self, expression: &str) -> Value {
        self.run(&format!("return {expression}"), json!([])).await
    }

    /// Waits until an expression holds.
    pub(crate) async fn until(&self, expression: &str) {
        let holds = async {
            while !self.value(&format!("Boolean({expression})")).await.as_bool().unwrap() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let held = tokio::time::timeout(PATIENCE, holds).await;
        let shown = if held.is_ok() { json!(null) } else { self.value("document.body.innerText").await };
        assert!(held.is_ok(), "waited in vain for {expression} on\n{shown}");
    }

    /// Every element that a CSS selector finds.
    pub(crate) async fn find(&self, selector: &str) -> Vec<Element<'_>> {
        let found = self.post("/elements", json!({"using": "css selector", "value": selector})).await;
        let ids = found.as_array().unwrap().iter().map(|element| element[ELEMENT].as_str().unwrap().to_owned());
        ids.map(|id| Element { browser: self, id }).collect()
    }

    /// Clicks on the one element that a selector finds, as a person would: it has to be in sight. What was drawn anew in the
    /// meantime is looked for again.
    pub(crate) async fn click(&self, selector: &str) {
        loop {
            self.until(&format!("document.querySelector({selector:?})")).await;
            let Some(Element { id, .. }) = self.find(selector).await.into_iter().next() else { continue };
            let clicked = self.try_post(&format!("/element/{id}/click"), &json!({})).await;
            if clicked["error"] != json!("stale element reference") {
                assert!(clicked["error"].is_null(), "{selector}: {clicked}");
                return;
            }
        }
    }

    /// Presses and releases keys, one after the other, wherever the focus is.
    pub(crate) async fn press(&self, keys: &str) {
        let steps: Vec<Value> = keys
            .chars()
            .flat_map(|key| [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})])
            .collect();
        self.post("/actions", json!({"actions": [{"type": "key", "id": "keyboard", "actions": steps}]})).await;
    }

    async fn devtools(&self, command: &str, parameters: Value) {
        self.post("/goog/cdp/execute", json!({"cmd": command, "params": parameters})).await;
    }

    /// Makes the window as large as a device's.
    pub(crate) async fn resize(&self, width: u32, height: u32, mobile: bool) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    pub(crate) async fn prefer(&self, feature: &str, value: &str) {
        let media = json!({"features": [{"name": feature, "value": value}]});
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    /// What the page wrote to the console, errors of the network included.
    pub(crate) async fn console(&self) -> Vec<Value> {
        self.post("/se/log", json!({"type": "browser"})).await.as_array().unwrap().clone()
    }
}

/// An element of the page.
pub(crate) struct Element<'a> {
    browser: &'a Browser,
    id: String,
}

impl Element<'_> {
    /// The name that a screen reader says.
    pub(crate) async fn name(&self) -> String {
        let name = self.browser.get(&format!("/element/{}/computedlabel", self.id)).await;
        name.as_str().unwrap_or_default().to_owned()
    }

    pub(crate) async fn html(&self) -> String {
        let html = self.browser.get(&format!("/element/{}/property/outerHTML", self.id)).await;
        html.as_str().unwrap_or_default().to_owned()
    }
}
