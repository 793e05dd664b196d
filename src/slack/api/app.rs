//! Slack as the app itself: the app-level token opens Socket Mode connections and does nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use reqwest::{StatusCode, Upgraded, Url};
use serde_json::{Value, json};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::slack::api::settings::{Settings, SettingsError};
use crate::slack::api::transport::{Transport, reason};
use crate::slack::error::{Error, code};
use crate::slack::method;
use crate::slack::token::Token;

/// Larger frames end the connection: an interaction carries one message or one form.
const LARGEST_FRAME: usize = 4 << 20;

/// One Socket Mode connection.
pub type WebSocket = WebSocketStream<Upgraded>;

/// Opens Socket Mode connections, through the same proxy and with the same certificates as every other call.
#[derive(Debug)]
pub struct AppClient {
    transport: Transport,
    http: reqwest::Client,
}

impl AppClient {
    /// A client for these settings, whose token is the app-level one. Makes no call.
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let http = settings.upgrading_http(&settings.base()?)?;
        Ok(Self { transport: Transport::new(settings)?, http })
    }

    /// From now on calls use this token.
    pub fn set_token(&self, token: Token) {
        self.transport.set_token(token);
    }

    /// Whether calls use this token.
    pub fn has_token(&self, token: &Token) -> bool {
        self.transport.token() == *token
    }

    /// `apps.connections.open` alone: whether the token may open connections. None is opened, so that no click goes astray.
    pub async fn may_open(&self) -> Result<(), Error> {
        self.transport.write(method::CONNECTIONS_OPEN, None, &json!({})).await.map(drop)
    }

    /// `apps.connections.open` and the WebSocket handshake that follows it: the address works once, and for a short time.
    pub async fn open_socket(&self) -> Result<WebSocket, Error> {
        let answer = self.transport.write(method::CONNECTIONS_OPEN, None, &json!({})).await?;
        let address = answer.body.get("url").and_then(Value::as_str).unwrap_or_default().to_owned();
        let url = http_address(&address, self.transport.base())?;
        let key = STANDARD.encode(rand::random::<[u8; 16]>());
        let request = self
            .http
            .get(url)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, &key);
        let fail = |code: &str, reason: &str| Error::new(method::HANDSHAKE, code, None).because(reason);
        let response = self.transport.execute(method::HANDSHAKE, request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(fail(code::MALFORMED_ANSWER, "the server does not switch to WebSocket"));
        }
        let accepted = response.headers().get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
        if accepted != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
            return Err(fail(code::MALFORMED_ANSWER, "the answer is not for this handshake"));
        }
        let stream = response.upgrade().await.map_err(|error| fail(code::CONNECTION_LOST, &reason(&error)))?;
        let config =
            WebSocketConfig::default().max_message_size(Some(LARGEST_FRAME)).max_frame_size(Some(LARGEST_FRAME));
        Ok(WebSocketStream::from_raw_socket(stream, Role::Client, Some(config)).await)
    }
}

/// The address as the HTTP client takes it. Not encrypted only where the Web API is not either. It holds a ticket: it is never shown.
fn http_address(address: &str, base: &Url) -> Result<Url, Error> {
    let malformed = || Error::new(method::CONNECTIONS_OPEN, code::MALFORMED_ANSWER, None).because("no usable address");
    let rest = match address.split_once("://") {
        Some(("wss", rest)) => format!("https://{rest}"),
        Some(("ws", rest)) if base.scheme() == "http" => format!("http://{rest}"),
        _ => return Err(malformed()),
    };
    Url::parse(&rest).ok().filter(Url::has_host).ok_or_else(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_encrypted_where_the_web_api_is() {
        let (https, http) = ("https://slack.com/api/".parse().unwrap(), "http://127.0.0.1:1/api/".parse().unwrap());
        let secret = "wss://wss-primary.slack.com/link/?ticket=t&app_id=a";
        assert_eq!(http_address(secret, &https).unwrap().as_str(), &secret.replace("wss://", "https://"));
        assert!(http_address("ws://127.0.0.1:1/link", &http).is_ok());
        for address in ["ws://wss-primary.slack.com/link/?ticket=t", "https://slack.com", "wss://", "", "file:///x"] {
            let error = http_address(address, &https).unwrap_err().to_string();
            assert!(!error.contains("ticket"), "{error}");
        }
    }
}
