//! The ALPN connection upgrade: a byte stream inside HTTP, for Proxies behind a load balancer which ends TLS itself.
//!
//! Source: Teleport's `api/client/alpn_conn_upgrade.go` and its proxy's `/webapi/connectionupgrade`.

use std::time::Duration;
use std::{future, io};

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustls::AlertDescription;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_util::io::{CopyToBytes, SinkWriter, StreamReader};

use crate::teleport::dial::address::Address;
use crate::teleport::dial::error::StepError;
use crate::teleport::dial::tls::{self, BoxedStream, Stream, WebTrust};

/// The protocol which the Proxy's SSH tunnel goes by, and which no load balancer knows.
pub(super) const TUNNEL_PROTOCOL: &str = "teleport-reversetunnel";
/// How long finding out may take.
const TEST_TIMEOUT: Duration = Duration::from_secs(5);
pub(super) const PATH: &str = "/webapi/connectionupgrade";
/// What is to be carried: plain bytes.
const BYTES: &str = "alpn";
/// The same in a websocket in which the Proxy sends a ping every half minute.
const BYTES_WITH_PINGS: &str = "alpn-ping";

/// How the upgrade is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// As a websocket with pings, for load balancers that cut what is silent: Teleport 15 and newer.
    WebSocketWithPings,
    /// As a websocket without them, for Proxies that know no others.
    WebSocket,
    /// Teleport's own upgrade: up to 17, the only one up to 14.
    Legacy,
}

impl Mode {
    /// In the order in which they are worth a try.
    pub(super) const ALL: [Self; 3] = [Self::WebSocketWithPings, Self::WebSocket, Self::Legacy];

    const fn kind(self) -> &'static str {
        match self {
            Self::WebSocketWithPings => BYTES_WITH_PINGS,
            Self::WebSocket | Self::Legacy => BYTES,
        }
    }
}

/// Why a connection was not upgraded.
#[derive(Debug)]
pub(super) enum UpgradeError {
    /// It did not get as far as an answer.
    Step(StepError),
    /// What answered did not do as it was asked.
    Refused(Refusal),
}

/// An answer that is no upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// What answered, and how.
    pub(super) said: String,
    /// Another [`Mode`] may be understood.
    pub(super) another_may_help: bool,
}

/// Whether something on the way to the Proxy swallows Teleport's application protocols. Any doubt means no.
pub(super) async fn is_required(stream: impl Stream, address: &Address, web: &WebTrust) -> bool {
    let Ok(name) = address.server_name() else { return false };
    match timeout(TEST_TIMEOUT, tls::to_web(stream, name, web, &[TUNNEL_PROTOCOL])).await {
        Ok(Ok(stream)) => stream.get_ref().1.alpn_protocol() != Some(TUNNEL_PROTOCOL.as_bytes()),
        Ok(Err(error)) => matches!(
            error.get_ref().and_then(|error| error.downcast_ref()),
            Some(
                rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)
                    | rustls::Error::PeerMisbehaved(rustls::PeerMisbehaved::SelectedUnofferedApplicationProtocol)
            )
        ),
        Err(_) => false,
    }
}

/// Turns a TCP connection to the Proxy's web port into a stream which ends at the Proxy's own TLS.
pub(super) async fn upgrade(
    stream: impl Stream + 'static,
    address: &Address,
    web: &WebTrust,
    mode: Mode,
) -> Result<BoxedStream, UpgradeError> {
    let name = address.server_name().map_err(|error| UpgradeError::Step(StepError::Tls(error.to_string())))?;
    let outer = tls::to_web(stream, name, web, &["http/1.1"]).await;
    request(outer.map_err(|error| UpgradeError::Step(StepError::web_tls(&error)))?, address, mode).await
}

async fn request(stream: impl Stream + 'static, address: &Address, mode: Mode) -> Result<BoxedStream, UpgradeError> {
    let failed = |error: &dyn std::error::Error| UpgradeError::Step(StepError::Upgrade(error.to_string()));
    let key = tungstenite::handshake::client::generate_key();
    let mut request = Request::get(PATH)
        .header(header::HOST, address.to_string())
        .header(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    request = match mode {
        Mode::WebSocketWithPings | Mode::WebSocket => request
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, &key)
            .header(header::SEC_WEBSOCKET_PROTOCOL, mode.kind()),
        Mode::Legacy => request.header(header::UPGRADE, BYTES).header("x-teleport-upgrade", BYTES),
    };
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| failed(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    let driver = tokio::spawn(connection.with_upgrades());
    let response = match sender.send_request(request).await {
        Ok(response) => response,
        Err(error) => return Err(failed(&error)),
    };
    if let Err(refusal) = check(&response, mode, &key) {
        driver.abort();
        return Err(UpgradeError::Refused(refusal));
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(|error| failed(&error))?;
    Ok(match mode {
        Mode::WebSocketWithPings | Mode::WebSocket => websocket(upgraded).await,
        Mode::Legacy => Box::new(TokioIo::new(upgraded)),
    })
}

fn check<B>(response: &Response<B>, mode: Mode, key: &str) -> Result<(), Refusal> {
    let status = response.status();
    if status != StatusCode::SWITCHING_PROTOCOLS {
        // A Proxy that does not know this form, or a front that knows the other; what else is answered is not about the form.
        let another_may_help = matches!(
            status,
            StatusCode::BAD_REQUEST
                | StatusCode::NOT_FOUND
                | StatusCode::UPGRADE_REQUIRED
                | StatusCode::NOT_IMPLEMENTED
        );
        return Err(Refusal { said: answered(response), another_may_help });
    }
    let has = |name: header::HeaderName, wanted: &str| {
        response.headers().get(name).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(wanted.as_bytes()))
    };
    let accepted = || {
        let accept = response.headers().get(header::SEC_WEBSOCKET_ACCEPT);
        accept.is_some_and(|value| value == derive_accept_key(key.as_bytes()).as_str())
    };
    let is_as_asked = match mode {
        Mode::WebSocketWithPings | Mode::WebSocket => {
            has(header::UPGRADE, "websocket") && has(header::SEC_WEBSOCKET_PROTOCOL, mode.kind()) && accepted()
        }
        Mode::Legacy => has(header::UPGRADE, BYTES),
    };
    if is_as_asked {
        return Ok(());
    }
    let said = format!("{}, to something else than `{}`", answered(response), mode.kind());
    Err(Refusal { said, another_may_help: true })
}

/// What answered, and how: `nginx/1.25 answered 403 Forbidden with text/html`.
fn answered<B>(response: &Response<B>) -> String {
    let header = |name: header::HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
    let server =
        header(header::SERVER).map_or_else(|| "what is there".to_owned(), |server| shortened(server).to_owned());
    let kind = header(header::CONTENT_TYPE).map(|kind| format!(" with {}", shortened(kind))).unwrap_or_default();
    format!("{server} answered {}{kind}", response.status())
}

/// Whoever answers may be anybody.
fn shortened(text: &str) -> &str {
    text.get(..60).unwrap_or(text)
}

/// The bytes of a websocket's binary messages. Pings are answered by the websocket itself.
async fn websocket(upgraded: Upgraded) -> BoxedStream {
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None).await;
    let (sink, stream) = socket.split();
    let messages = stream.filter_map(|message| {
        future::ready(match message {
            Ok(Message::Binary(bytes)) => Some(Ok(bytes)),
            Ok(Message::Text(_)) => Some(Err(io::Error::other("a text message in a stream of bytes"))),
            Ok(_) => None,
            Err(error) => Some(Err(io::Error::other(error))),
        })
    });
    let bytes = sink
        .with(|bytes: Bytes| future::ready(Ok::<_, tungstenite::Error>(Message::Binary(bytes))))
        .sink_map_err(io::Error::other);
    Box::new(tokio::io::join(StreamReader::new(messages), SinkWriter::new(CopyToBytes::new(bytes))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)]) -> Response<()> {
        let response = Response::builder().status(status);
        headers.iter().fold(response, |response, (name, value)| response.header(*name, *value)).body(()).unwrap()
    }

    #[test]
    fn a_front_that_answers_wrongly_is_named_and_asked_otherwise_only_where_that_can_help() {
        let html = [("server", "nginx/1.25"), ("content-type", "text/html")];
        for (status, another_may_help) in
            [(200, false), (400, true), (403, false), (404, true), (426, true), (500, false), (502, false)]
        {
            let refusal = check(&answer(status, &html), Mode::WebSocket, "key").unwrap_err();
            let begin = format!("nginx/1.25 answered {status} ");
            assert!(refusal.said.starts_with(&begin) && refusal.said.ends_with(" with text/html"), "{}", refusal.said);
            assert_eq!(refusal.another_may_help, another_may_help, "{status}");
        }
    }

    #[test]
    fn only_the_upgrade_that_was_asked_for_is_taken() {
        let accept = derive_accept_key(b"key");
        let with = |protocol: &str| {
            let headers =
                [("upgrade", "websocket"), ("sec-websocket-accept", &accept), ("sec-websocket-protocol", protocol)];
            answer(101, &headers)
        };
        assert!(check(&with("alpn-ping"), Mode::WebSocketWithPings, "key").is_ok());
        assert!(check(&with("alpn"), Mode::WebSocket, "key").is_ok());
        let refusal = check(&answer(101, &[("upgrade", "websocket")]), Mode::WebSocketWithPings, "key").unwrap_err();
        assert!(
            refusal.another_may_help && refusal.said.contains("something else than `alpn-ping`"),
            "{}",
            refusal.said
        );
        assert!(check(&with("alpn"), Mode::WebSocket, "another key").is_err());
        assert!(check(&answer(101, &[("upgrade", "alpn")]), Mode::Legacy, "").is_ok());
        assert!(check(&answer(101, &[]), Mode::Legacy, "").is_err());
    }
}
