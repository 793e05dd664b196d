//! The one channel of a tunnel: `teleport-transport`, connected to Auth by `teleport-transport-dial`.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

use super::handshake::{DEBUG, DISCONNECT, IGNORE, broken};
use super::packet::{Incoming, Outgoing};
use super::wire::{Reader, TooShort, Writer};

const GLOBAL_REQUEST: u8 = 80;
const REQUEST_FAILURE: u8 = 82;
const CHANNEL_OPEN: u8 = 90;
const CHANNEL_OPEN_CONFIRMATION: u8 = 91;
const CHANNEL_OPEN_FAILURE: u8 = 92;
const CHANNEL_WINDOW_ADJUST: u8 = 93;
const CHANNEL_DATA: u8 = 94;
const CHANNEL_EXTENDED_DATA: u8 = 95;
const CHANNEL_EOF: u8 = 96;
const CHANNEL_CLOSE: u8 = 97;
const CHANNEL_REQUEST: u8 = 98;
const CHANNEL_SUCCESS: u8 = 99;
const CHANNEL_FAILURE: u8 = 100;
const UNIMPLEMENTED: u8 = 3;
const UNKNOWN_CHANNEL_TYPE: u32 = 3;
const RESOURCE_SHORTAGE: u32 = 4;
const STDERR: u32 = 1;

/// What we let the client send ahead.
const WINDOW: u32 = 2 * 1024 * 1024;
const PACKET: u32 = 32 * 1024;
/// Names under which a dial request means an Auth server. Source: Teleport's `api/constants`.
const AUTH: &str = "@remote-auth-server";

/// The client's end of the channel.
struct Peer {
    number: u32,
    window: usize,
    packet: usize,
}

struct Session<W> {
    outgoing: Outgoing<W>,
    auth: SocketAddr,
    peer: Option<Peer>,
    to_auth: Option<OwnedWriteHalf>,
}

/// Serves channels until the client goes.
pub(super) async fn serve<R, W>(mut incoming: Incoming<R>, outgoing: Outgoing<W>, auth: SocketAddr) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut session = Session { outgoing, auth, peer: None, to_auth: None };
    // Reading a packet must not be given up half-way, so it is not part of the loop's select.
    let (sender, mut messages) = mpsc::channel(16);
    let reading = async {
        loop {
            let message = incoming.next().await;
            let last = message.is_err();
            if sender.send(message).await.is_err() || last {
                return;
            }
        }
    };
    let working = async {
        let mut from_auth: Option<OwnedReadHalf> = None;
        let mut buffer = vec![0; PACKET as usize];
        loop {
            let room = session.peer.as_ref().map_or(0, |peer| peer.window.min(peer.packet)).min(buffer.len());
            let data = async {
                match (&mut from_auth, buffer.get_mut(..room)) {
                    (Some(stream), Some(buffer)) if room > 0 => stream.read(buffer).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                message = messages.recv() => {
                    let Some(message) = message else { return Ok(()) };
                    match session.handle(&message?).await? {
                        Step::Go => {}
                        Step::Dialed(stream) => from_auth = Some(stream),
                        Step::End => return Ok(()),
                    }
                }
                read = data => {
                    // An Auth server that goes away is the end of the channel, not a fault of the tunnel.
                    let count = read.unwrap_or_default();
                    let bytes = buffer.get(..count).unwrap_or_default();
                    if count == 0 || !session.send_data(bytes).await? {
                        return session.close().await;
                    }
                }
            }
        }
    };
    tokio::select! {
        result = working => result,
        () = reading => Ok(()),
    }
}

enum Step {
    Go,
    Dialed(OwnedReadHalf),
    End,
}

impl<W: AsyncWrite + Unpin> Session<W> {
    async fn handle(&mut self, message: &[u8]) -> io::Result<Step> {
        let (number, rest) = message.split_first().ok_or_else(|| broken("an empty SSH message"))?;
        let mut fields = Reader(rest);
        match *number {
            IGNORE | DEBUG | CHANNEL_EOF => {}
            DISCONNECT | CHANNEL_CLOSE => return Ok(Step::End),
            GLOBAL_REQUEST => self.global(&mut fields).await?,
            CHANNEL_OPEN => self.open(&mut fields).await?,
            CHANNEL_REQUEST => return self.request(&mut fields).await,
            CHANNEL_DATA => self.data(&mut fields).await?,
            CHANNEL_WINDOW_ADJUST => {
                let (_, more) = numbers(&mut fields).map_err(io::Error::other)?;
                if let Some(peer) = &mut self.peer {
                    peer.window += more as usize;
                }
            }
            _ => self.outgoing.send(&Writer::message(UNIMPLEMENTED).number(0).0).await?,
        }
        Ok(Step::Go)
    }

    /// Keepalives and the like.
    async fn global(&mut self, fields: &mut Reader<'_>) -> io::Result<()> {
        fields.bytes().map_err(io::Error::other)?;
        if fields.boolean().map_err(io::Error::other)? {
            self.outgoing.send(&[REQUEST_FAILURE]).await?;
        }
        Ok(())
    }

    async fn open(&mut self, fields: &mut Reader<'_>) -> io::Result<()> {
        let kind = fields.text().map_err(io::Error::other)?;
        let (number, window) = numbers(fields).map_err(io::Error::other)?;
        let packet = fields.number().map_err(io::Error::other)?;
        let refusal = match (kind.as_str(), &self.peer) {
            ("teleport-transport", None) => None,
            ("teleport-transport", Some(_)) => Some((RESOURCE_SHORTAGE, "one channel a connection".to_owned())),
            _ => Some((UNKNOWN_CHANNEL_TYPE, format!("unknown channel type {kind}"))),
        };
        let answer = if let Some((reason, text)) = refusal {
            Writer::message(CHANNEL_OPEN_FAILURE).number(number).number(reason).bytes(text.as_bytes()).bytes(b"en")
        } else {
            self.peer = Some(Peer { number, window: window as usize, packet: packet as usize });
            Writer::message(CHANNEL_OPEN_CONFIRMATION).number(number).number(0).number(WINDOW).number(PACKET)
        };
        self.outgoing.send(&answer.0).await
    }

    async fn request(&mut self, fields: &mut Reader<'_>) -> io::Result<Step> {
        fields.number().map_err(io::Error::other)?;
        let kind = fields.text().map_err(io::Error::other)?;
        let wants_answer = fields.boolean().map_err(io::Error::other)?;
        let Some(peer) = self.peer.as_ref().map(|peer| peer.number) else {
            return Err(broken("an SSH channel request without a channel"));
        };
        let dialed = if kind == "teleport-transport-dial" {
            self.dial(fields.0).await
        } else {
            Err(format!("unknown request {kind}"))
        };
        let number = if dialed.is_ok() { CHANNEL_SUCCESS } else { CHANNEL_FAILURE };
        if let Err(text) = &dialed {
            let complaint = Writer::message(CHANNEL_EXTENDED_DATA).number(peer).number(STDERR).bytes(text.as_bytes());
            self.outgoing.send(&complaint.0).await?;
        }
        if wants_answer {
            self.outgoing.send(&Writer::message(number).number(peer).0).await?;
        }
        match dialed {
            Ok(stream) => Ok(Step::Dialed(stream)),
            Err(_) => self.close().await.map(|()| Step::End),
        }
    }

    async fn dial(&mut self, payload: &[u8]) -> Result<OwnedReadHalf, String> {
        let address = match serde_json::from_slice::<serde_json::Value>(payload) {
            Ok(request) => request.get("address").and_then(|value| value.as_str()).unwrap_or_default().to_owned(),
            Err(_) => String::from_utf8_lossy(payload).into_owned(),
        };
        if address != AUTH {
            return Err(format!("failed to dial: {address:?} is not reachable"));
        }
        let stream = TcpStream::connect(self.auth).await.map_err(|error| format!("failed to dial: {error}"))?;
        // As on a direct connection.
        let _ = stream.set_nodelay(true);
        let (reading, writing) = stream.into_split();
        self.to_auth = Some(writing);
        Ok(reading)
    }

    async fn data(&mut self, fields: &mut Reader<'_>) -> io::Result<()> {
        fields.number().map_err(io::Error::other)?;
        let bytes = fields.bytes().map_err(io::Error::other)?;
        if let (Some(stream), Some(peer)) = (&mut self.to_auth, &self.peer) {
            stream.write_all(bytes).await?;
            let used = u32::try_from(bytes.len()).map_err(io::Error::other)?;
            let more = Writer::message(CHANNEL_WINDOW_ADJUST).number(peer.number).number(used);
            self.outgoing.send(&more.0).await?;
        }
        Ok(())
    }

    /// False when there is nobody to send to.
    async fn send_data(&mut self, bytes: &[u8]) -> io::Result<bool> {
        let Some(peer) = &mut self.peer else { return Ok(false) };
        peer.window = peer.window.saturating_sub(bytes.len());
        let data = Writer::message(CHANNEL_DATA).number(peer.number).bytes(bytes);
        self.outgoing.send(&data.0).await?;
        Ok(true)
    }

    async fn close(&mut self) -> io::Result<()> {
        if let Some(peer) = &self.peer {
            self.outgoing.send(&Writer::message(CHANNEL_EOF).number(peer.number).0).await?;
            self.outgoing.send(&Writer::message(CHANNEL_CLOSE).number(peer.number).0).await?;
        }
        Ok(())
    }
}

fn numbers(fields: &mut Reader<'_>) -> Result<(u32, u32), TooShort> {
    Ok((fields.number()?, fields.number()?))
}
