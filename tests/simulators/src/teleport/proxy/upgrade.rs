//! `/webapi/connectionupgrade`: a way for TLS routing through load balancers that understand HTTP only.

use std::io;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::{Proxy, web};

const BUFFER: usize = 64 * 1024;
/// Header in which Teleport repeats what is asked for, for load balancers that eat `Upgrade`.
const TELEPORT_UPGRADE: &str = "x-teleport-upgrade";

/// How bytes travel once the connection is upgraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// In binary frames of a WebSocket.
    WebSocket,
    /// As they are.
    Raw,
    /// Behind a length of four bytes; a length of zero is a ping.
    Pinged,
}

/// The upgrade that is asked for, and the name under which it is agreed to.
fn choose(headers: &HeaderMap) -> Option<(Framing, &'static str)> {
    let values = |name: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).map(|value| value.trim().to_ascii_lowercase()).collect::<Vec<_>>()
    };
    let upgrades = [values(TELEPORT_UPGRADE), values("upgrade")].concat();
    let offered = values("sec-websocket-protocol");
    let known = |name: &str| ["alpn", "alpn-ping"].into_iter().find(|known| *known == name);
    if upgrades.iter().any(|upgrade| upgrade == "websocket") {
        return Some((Framing::WebSocket, offered.iter().find_map(|name| known(name))?));
    }
    let name = upgrades.iter().find_map(|name| known(name))?;
    Some((if name == "alpn-ping" { Framing::Pinged } else { Framing::Raw }, name))
}

/// Answers a request for an upgrade and serves the connection that it turns into.
pub(super) fn answer(proxy: Proxy, mut request: Request) -> Response {
    let Some((framing, name)) = choose(request.headers()) else {
        return (StatusCode::NOT_FOUND, web::error("unsupported upgrade types")).into_response();
    };
    let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        return (StatusCode::BAD_REQUEST, web::error("this connection cannot be upgraded")).into_response();
    };
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if framing == Framing::WebSocket {
        let Some(key) = request.headers().get("sec-websocket-key") else {
            return (StatusCode::BAD_REQUEST, web::error("no Sec-WebSocket-Key")).into_response();
        };
        let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) else {
            return (StatusCode::BAD_REQUEST, web::error("bad Sec-WebSocket-Key")).into_response();
        };
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert("sec-websocket-accept", accept);
        headers.insert("sec-websocket-protocol", HeaderValue::from_static(name));
    } else {
        headers.insert(header::UPGRADE, HeaderValue::from_static(name));
        headers.insert(TELEPORT_UPGRADE, HeaderValue::from_static(name));
    }
    tokio::spawn(async move {
        let served = async {
            let upgraded = upgrade.await.map_err(io::Error::other)?;
            serve(proxy, TokioIo::new(upgraded), framing).await
        };
        if let Err(error) = served.await {
            tracing::debug!(%error, "an upgraded connection ended");
        }
    });
    response
}

async fn serve(proxy: Proxy, stream: TokioIo<Upgraded>, framing: Framing) -> io::Result<()> {
    if framing == Framing::Raw {
        return proxy.upgraded(Box::new(stream)).await;
    }
    let (near, far) = tokio::io::duplex(BUFFER);
    let carried = async {
        match framing {
            Framing::WebSocket => web_socket(stream, near).await,
            _ => pinged(stream, near).await,
        }
    };
    tokio::select! {
        result = carried => result,
        result = proxy.upgraded(Box::new(far)) => result,
    }
}

async fn web_socket(stream: TokioIo<Upgraded>, near: DuplexStream) -> io::Result<()> {
    let config = WebSocketConfig::default();
    let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    let (mut frames, mut messages) = socket.split();
    let (mut reading, mut writing) = tokio::io::split(near);
    let outwards = async {
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = reading.read(&mut buffer).await?;
            if count == 0 {
                return frames.close().await.map_err(io::Error::other);
            }
            let bytes = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
            frames.send(Message::Binary(bytes)).await.map_err(io::Error::other)?;
        }
    };
    let inwards = async {
        while let Some(message) = messages.next().await {
            match message.map_err(io::Error::other)? {
                Message::Binary(bytes) => writing.write_all(&bytes).await?,
                Message::Close(_) => break,
                // Pings are answered by the library.
                _ => {}
            }
        }
        writing.shutdown().await
    };
    tokio::select! {
        result = outwards => result,
        result = inwards => result,
    }
}

/// Source: Teleport's `api/utils/pingconn`.
async fn pinged(stream: TokioIo<Upgraded>, near: DuplexStream) -> io::Result<()> {
    let (from_client, to_client) = tokio::io::split(stream);
    let (reading, writing) = tokio::io::split(near);
    tokio::select! {
        result = frame(reading, to_client) => result,
        result = unframe(from_client, writing) => result,
    }
}

async fn frame(mut reading: ReadHalf<DuplexStream>, mut client: WriteHalf<TokioIo<Upgraded>>) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = reading.read(&mut buffer).await?;
        if count == 0 {
            return client.shutdown().await;
        }
        client.write_u32(u32::try_from(count).map_err(io::Error::other)?).await?;
        client.write_all(buffer.get(..count).unwrap_or_default()).await?;
        client.flush().await?;
    }
}

async fn unframe(mut client: ReadHalf<TokioIo<Upgraded>>, mut writing: WriteHalf<DuplexStream>) -> io::Result<()> {
    loop {
        let count = u64::from(client.read_u32().await?);
        if tokio::io::copy(&mut (&mut client).take(count), &mut writing).await? < count {
            return writing.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upgrade_is_chosen_by_the_headers_of_old_and_new_clients() {
        let choose = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, HeaderValue::from_static(value));
            }
            super::choose(&headers)
        };
        let websocket = [("upgrade", "websocket"), ("sec-websocket-protocol", "alpn-ping, alpn")];
        assert_eq!(choose(&websocket), Some((Framing::WebSocket, "alpn-ping")));
        assert_eq!(choose(&[("upgrade", "alpn")]), Some((Framing::Raw, "alpn")));
        assert_eq!(choose(&[("x-teleport-upgrade", "alpn-ping")]), Some((Framing::Pinged, "alpn-ping")));
        assert_eq!(choose(&[("upgrade", "h2c")]), None);
        assert_eq!(choose(&[("upgrade", "websocket")]), None);
    }
}
