//! The ALPN connection upgrade: a byte stream inside HTTP, for Proxies behind a load balancer which ends TLS itself.
//!
//! Source: Teleport's `api/client/alpn_conn_upgrade.go` and its proxy's `/webapi/connectionupgrade`.

use std::time::Duration;
use std::{future, io};

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Empty;
use hyper::body::Incoming;
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
const PATH: &str = "/webapi/connectionupgrade";
/// What is to be carried: plain bytes.
const KIND: &str = "alpn";

/// How the upgrade is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// As a websocket: Teleport 15 and newer.
    WebSocket,
    /// Teleport's own upgrade: up to 17, the only one up to 14.
    Legacy,
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
) -> Result<BoxedStream, StepError> {
    let name = address.server_name().map_err(|error| StepError::Tls(error.to_string()))?;
    let outer = tls::to_web(stream, name, web, &["http/1.1"]).await.map_err(|error| StepError::web_tls(&error))?;
    request(outer, address, mode).await
}

async fn request(stream: impl Stream + 'static, address: &Address, mode: Mode) -> Result<BoxedStream, StepError> {
    let failed = |error: &dyn std::error::Error| StepError::Upgrade(error.to_string());
    let key = tungstenite::handshake::client::generate_key();
    let mut request = Request::get(PATH)
        .header(header::HOST, address.to_string())
        .header(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    request = match mode {
        Mode::WebSocket => request
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, &key)
            .header(header::SEC_WEBSOCKET_PROTOCOL, KIND),
        Mode::Legacy => request.header(header::UPGRADE, KIND).header("x-teleport-upgrade", KIND),
    };
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| failed(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    let driver = tokio::spawn(connection.with_upgrades());
    let response = match sender.send_request(request).await {
        Ok(response) => response,
        Err(error) => return Err(failed(&error)),
    };
    if let Err(problem) = check(&response, mode, &key) {
        driver.abort();
        return Err(StepError::Upgrade(problem));
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(|error| failed(&error))?;
    Ok(match mode {
        Mode::WebSocket => websocket(upgraded).await,
        Mode::Legacy => Box::new(TokioIo::new(upgraded)),
    })
}

fn check(response: &Response<Incoming>, mode: Mode, key: &str) -> Result<(), String> {
    match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => {}
        StatusCode::NOT_FOUND => return Err("the Proxy does not know it (404): it is too old".to_owned()),
        other => return Err(format!("the Proxy answered {other}")),
    }
    let has = |name: header::HeaderName, wanted: &str| {
        response.headers().get(name).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(wanted.as_bytes()))
    };
    let accepted = || {
        let accept = response.headers().get(header::SEC_WEBSOCKET_ACCEPT);
        accept.is_some_and(|value| value == derive_accept_key(key.as_bytes()).as_str())
    };
    match mode {
        Mode::WebSocket
            if !has(header::UPGRADE, "websocket") || !has(header::SEC_WEBSOCKET_PROTOCOL, KIND) || !accepted() =>
        {
            Err("the Proxy switched to something else than was asked for".to_owned())
        }
        _ => Ok(()),
    }
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
