//! Moves the bytes of the open channel (RFC 4254, section 5) between the SSH connection and its user.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::time::timeout;
use tracing::debug;

use crate::teleport::tunnel::client::decline;
use crate::teleport::tunnel::error::SshError;
use crate::teleport::tunnel::packet::{Incoming, Outgoing, Transport, disconnected, number};
use crate::teleport::tunnel::wire::{Reader, Writer};

/// How much the server may send before we ask for more.
pub(super) const WINDOW: u32 = 512 * 1024;
/// The largest packet that we want to see: the least that every SSH program must handle.
pub(super) const LARGEST_PACKET: u32 = 32 * 1024;
/// How much may wait to be written before nothing more is taken from the user.
const HIGH_WATER: usize = 64 * 1024;
/// Room between the pump and its user.
const DUPLEX: usize = 32 * 1024;
/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// What is known of the open channel.
pub(super) struct Channel {
    /// The server's number for it.
    pub(super) theirs: u32,
    /// How much we may send.
    pub(super) window: u32,
    /// The largest packet that the server wants to see.
    pub(super) largest: u32,
}

/// Starts pumping; the task ends when the returned end is dropped or the connection breaks.
pub(super) fn start<S>(transport: Transport<S>, channel: Channel) -> DuplexStream
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (user, ours) = tokio::io::duplex(DUPLEX);
    tokio::spawn(async move {
        if let Err(error) = run(transport, ours, channel).await {
            debug!(%error, "SSH tunnel broke");
        }
    });
    user
}

async fn run<S>(transport: Transport<S>, user: DuplexStream, channel: Channel) -> Result<(), SshError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let Transport { stream, incoming, outgoing } = transport;
    let (mut network_in, mut network_out) = tokio::io::split(stream);
    let (mut user_in, mut user_out) = tokio::io::split(user);
    let mut state = State { incoming, outgoing, channel, to_user: BytesMut::new(), consumed: 0, ended: false };
    let mut chunk = vec![0; DUPLEX];
    let mut unflushed = false;
    loop {
        state.receive_all()?;
        if state.ended && state.to_user.is_empty() {
            return Ok(());
        }
        let sendable = state.sendable().min(chunk.len());
        let room = chunk.get_mut(..sendable).unwrap_or_default();
        tokio::select! {
            read = network_in.read_buf(&mut state.incoming.buffer), if !state.ended => {
                if read? == 0 {
                    state.ended = true;
                }
            }
            more = write_some(&mut network_out, &mut state.outgoing.buffer), if !state.ended && (unflushed || state.outgoing.buffer.has_remaining()) => {
                unflushed = more?;
            }
            read = user_in.read(room), if sendable > 0 && !state.ended => {
                let count = read?;
                if count == 0 {
                    return goodbye(&mut state, &mut network_out).await;
                }
                state.send(chunk.get(..count).unwrap_or_default())?;
            }
            written = user_out.write_buf(&mut state.to_user), if !state.to_user.is_empty() => {
                state.consume(written?)?;
            }
        }
    }
}

/// Writes some of what waits, or flushes when nothing does; tells whether there is reason to come back.
async fn write_some(out: &mut (impl AsyncWrite + Unpin), waiting: &mut BytesMut) -> std::io::Result<bool> {
    if waiting.has_remaining() {
        out.write_buf(waiting).await?;
        Ok(true)
    } else {
        out.flush().await?;
        Ok(false)
    }
}

/// The user is gone: say so, and let go of the connection.
async fn goodbye(state: &mut State, out: &mut (impl AsyncWrite + Unpin)) -> Result<(), SshError> {
    const BY_APPLICATION: u32 = 11;
    state.outgoing.push(&Writer::message(number::CHANNEL_CLOSE).u32(state.channel.theirs).done())?;
    state.outgoing.push(&Writer::message(number::DISCONNECT).u32(BY_APPLICATION).string("").string("").done())?;
    let farewell = async {
        out.write_all_buf(&mut state.outgoing.buffer).await?;
        out.shutdown().await
    };
    // A peer that does not listen any more is not worth an error.
    let _ = timeout(GOODBYE, farewell).await;
    Ok(())
}

struct State {
    incoming: Incoming,
    outgoing: Outgoing,
    channel: Channel,
    to_user: BytesMut,
    /// Taken by the user since the server was last told.
    consumed: u32,
    /// Nothing more will come.
    ended: bool,
}

impl State {
    fn sendable(&self) -> usize {
        if self.outgoing.buffer.len() >= HIGH_WATER {
            return 0;
        }
        usize::try_from(self.channel.window.min(self.channel.largest)).unwrap_or(usize::MAX)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), SshError> {
        self.channel.window = self.channel.window.saturating_sub(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.outgoing.push(&Writer::message(number::CHANNEL_DATA).u32(self.channel.theirs).string(bytes).done())
    }

    fn consume(&mut self, count: usize) -> Result<(), SshError> {
        self.consumed = self.consumed.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        if self.consumed < WINDOW / 2 {
            return Ok(());
        }
        let message = Writer::message(number::CHANNEL_WINDOW_ADJUST).u32(self.channel.theirs).u32(self.consumed).done();
        self.consumed = 0;
        self.outgoing.push(&message)
    }

    fn receive_all(&mut self) -> Result<(), SshError> {
        while let Some(message) = self.incoming.take()? {
            self.receive(&message)?;
        }
        Ok(())
    }

    fn receive(&mut self, message: &[u8]) -> Result<(), SshError> {
        let mut reader = Reader::new(message);
        match reader.byte()? {
            number::CHANNEL_DATA => {
                reader.u32()?;
                let bytes = reader.string()?;
                if self.to_user.len() + bytes.len() > WINDOW as usize {
                    return Err(SshError::Damaged); // more than it was allowed to send
                }
                self.to_user.extend_from_slice(bytes);
                Ok(())
            }
            number::CHANNEL_WINDOW_ADJUST => {
                reader.u32()?;
                self.channel.window = self.channel.window.saturating_add(reader.u32()?);
                Ok(())
            }
            number::CHANNEL_EXTENDED_DATA => {
                // Complaints after the start have no reader; they still count against the window.
                reader.take(8)?;
                let length = reader.string()?.len();
                self.consume(length)
            }
            number::CHANNEL_EOF | number::CHANNEL_CLOSE => {
                self.ended = true;
                Ok(())
            }
            // After the end of the channel it is mere politeness.
            number::DISCONNECT if self.ended => Ok(()),
            number::DISCONNECT => Err(disconnected(message)),
            number::IGNORE | number::DEBUG | number::UNIMPLEMENTED | number::EXT_INFO => Ok(()),
            _ => match decline(message)? {
                Some(answer) => self.outgoing.push(&answer),
                None => Ok(()),
            },
        }
    }
}
