//! One WebSocket from its handshake to its end.

use std::time::Instant;

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use axum::extract::{Query, State, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;

use super::{Command, disconnect};
use crate::faults::Effect;
use crate::slack::handle::{Handle, SOCKET};
use crate::slack::http::Context;
use crate::slack::settings::SocketSettings;

#[derive(Deserialize)]
pub(in crate::slack) struct Link {
    #[serde(default)]
    ticket: String,
    /// Shortens the connection's announced life.
    #[serde(default)]
    debug_reconnects: bool,
}

/// `GET /link/?ticket=…`: the handshake. A ticket works once.
pub(in crate::slack) async fn link(
    State(context): State<Context>,
    Query(link): Query<Link>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let handle = context.handle;
    if handle.read(|world| world.settings.socket.refuse_handshake) {
        return (StatusCode::CONFLICT, "conflict").into_response();
    }
    let Some(app) = handle.write(|world| world.sockets.redeem(&link.ticket)) else {
        return (StatusCode::FORBIDDEN, "invalid_ticket").into_response();
    };
    upgrade.on_upgrade(move |socket| async move {
        let (id, commands) = handle.write(|world| world.sockets.add(&app));
        let stop = handle.0.stop.clone();
        let client_closed = tokio::select! {
            () = stop.cancelled() => true,
            closed = converse(socket, &handle, id, &app, link.debug_reconnects, commands) => closed,
        };
        handle.write(|world| {
            let keep = world.settings.socket.keep_ghosts && !client_closed;
            match world.sockets.connections.get_mut(&id) {
                Some(connection) if keep => connection.ghost = true,
                _ => world.sockets.remove(id),
            }
        });
    })
}

/// Returns whether the end was orderly: false when the client vanished.
async fn converse(
    mut socket: WebSocket,
    handle: &Handle,
    id: u64,
    app: &str,
    short_lived: bool,
    mut commands: mpsc::UnboundedReceiver<Command>,
) -> bool {
    let (settings, count) = handle.read(|world| (world.settings.socket.clone(), world.sockets.of_app(app).len()));
    if count > settings.max_connections {
        let _ = socket.send(Message::Text(disconnect("too_many_websockets").into())).await;
        let _ = socket.send(Message::Close(None)).await;
        return true;
    }
    if settings.hello && socket.send(Message::Text(hello(app, count, short_lived, &settings).into())).await.is_err() {
        return false;
    }
    let mut changes = handle.changes();
    let mut pings = tokio::time::interval_at((Instant::now() + settings.ping_every).into(), settings.ping_every);
    let mut unanswered: Option<Instant> = None;
    let mut twice = false;
    loop {
        if let Some(command) = fault(handle, id) {
            match command {
                Command::Duplicate => twice = true,
                command => {
                    if let Some(orderly) = obey(&mut socket, command, false).await {
                        return orderly;
                    }
                }
            }
        }
        tokio::select! {
            command = commands.recv() => {
                let Some(command) = command else { return true };
                let doubled = twice && matches!(&command, Command::Send(text) if text.contains("envelope_id"));
                twice = twice && !doubled;
                if let Some(orderly) = obey(&mut socket, command, doubled).await {
                    return orderly;
                }
            }
            frame = socket.recv() => match frame {
                Some(Ok(Message::Text(text))) => handle.write(|world| world.acknowledge(id, &text)),
                Some(Ok(Message::Pong(_))) => unanswered = None,
                Some(Ok(Message::Binary(_) | Message::Ping(_))) => {}
                Some(Ok(Message::Close(_))) => {
                    // Reading on sends the other half of the close handshake.
                    while let Some(Ok(_)) = socket.recv().await {}
                    return true;
                }
                Some(Err(_)) | None => return false,
            },
            _ = pings.tick() => {
                if unanswered.is_some_and(|since| since.elapsed() >= settings.pong_within) {
                    handle.write(|world| world.violation(SOCKET, "a ping was not answered", json!(id)));
                    return false;
                }
                unanswered = unanswered.or_else(|| Some(Instant::now()));
                if socket.send(Message::Ping(Bytes::from_static(b"Ping from applink-1"))).await.is_err() {
                    return false;
                }
            }
            _ = changes.changed() => {}
        }
    }
}

/// Does what it is told; `Some` ends the connection, with whether the end was orderly.
async fn obey(socket: &mut WebSocket, command: Command, doubled: bool) -> Option<bool> {
    match command {
        Command::Send(text) => {
            if doubled && socket.send(Message::Text(text.clone().into())).await.is_err() {
                return Some(false);
            }
            socket.send(Message::Text(text.into())).await.is_err().then_some(false)
        }
        Command::SendBinary(bytes) => socket.send(Message::Binary(bytes.into())).await.is_err().then_some(false),
        Command::Close(code) => {
            let frame = CloseFrame { code, reason: "".into() };
            let _ = socket.send(Message::Close(Some(frame))).await;
            Some(true)
        }
        // Dropping the socket closes the connection without a close frame.
        Command::Cut => Some(true),
        Command::Stall => std::future::pending().await,
        Command::Duplicate => None,
    }
}

/// The fault that hits this connection now, if any.
fn fault(handle: &Handle, id: u64) -> Option<Command> {
    let applies = |effect: &Effect| matches!(effect, Effect::Cut | Effect::Stall | Effect::End | Effect::Duplicate);
    let command = match handle.faults().take_if(SOCKET, applies)? {
        Effect::Cut => Command::Cut,
        Effect::Stall => Command::Stall,
        Effect::Duplicate => Command::Duplicate,
        _ => Command::Close(1000),
    };
    handle.write(|world| {
        if let Some(connection) = world.sockets.connections.get_mut(&id) {
            connection.spoilt |= !matches!(command, Command::Duplicate);
        }
    });
    Some(command)
}

fn hello(app: &str, count: usize, short_lived: bool, settings: &SocketSettings) -> String {
    let life = if short_lived { 360 } else { settings.approximate_connection_time };
    json!({
        "type": "hello", "num_connections": count, "connection_info": {"app_id": app},
        "debug_info": {"host": "applink-1", "build_number": 1, "approximate_connection_time": life},
    })
    .to_string()
}
