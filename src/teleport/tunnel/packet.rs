//! SSH's packets (RFC 4253, section 6) on a byte stream.

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::teleport::tunnel::cipher::{Cipher, TAG};
use crate::teleport::tunnel::error::SshError;
use crate::teleport::tunnel::wire::Reader;

/// Numbers of the messages that are spoken here.
pub(super) mod number {
    pub(in super::super) const DISCONNECT: u8 = 1;
    pub(in super::super) const IGNORE: u8 = 2;
    pub(in super::super) const UNIMPLEMENTED: u8 = 3;
    pub(in super::super) const DEBUG: u8 = 4;
    pub(in super::super) const SERVICE_REQUEST: u8 = 5;
    pub(in super::super) const SERVICE_ACCEPT: u8 = 6;
    pub(in super::super) const EXT_INFO: u8 = 7;
    pub(in super::super) const KEXINIT: u8 = 20;
    pub(in super::super) const NEWKEYS: u8 = 21;
    pub(in super::super) const KEX_ECDH_INIT: u8 = 30;
    pub(in super::super) const KEX_ECDH_REPLY: u8 = 31;
    pub(in super::super) const USERAUTH_REQUEST: u8 = 50;
    pub(in super::super) const USERAUTH_FAILURE: u8 = 51;
    pub(in super::super) const USERAUTH_SUCCESS: u8 = 52;
    pub(in super::super) const USERAUTH_BANNER: u8 = 53;
    pub(in super::super) const GLOBAL_REQUEST: u8 = 80;
    pub(in super::super) const REQUEST_FAILURE: u8 = 82;
    pub(in super::super) const CHANNEL_OPEN: u8 = 90;
    pub(in super::super) const CHANNEL_OPEN_CONFIRMATION: u8 = 91;
    pub(in super::super) const CHANNEL_OPEN_FAILURE: u8 = 92;
    pub(in super::super) const CHANNEL_WINDOW_ADJUST: u8 = 93;
    pub(in super::super) const CHANNEL_DATA: u8 = 94;
    pub(in super::super) const CHANNEL_EXTENDED_DATA: u8 = 95;
    pub(in super::super) const CHANNEL_EOF: u8 = 96;
    pub(in super::super) const CHANNEL_CLOSE: u8 = 97;
    pub(in super::super) const CHANNEL_REQUEST: u8 = 98;
    pub(in super::super) const CHANNEL_SUCCESS: u8 = 99;
    pub(in super::super) const CHANNEL_FAILURE: u8 = 100;
}

/// Far above what a peer may send when told that 32 KiB is the most.
const LONGEST: usize = 256 * 1024;
const LENGTH: usize = 4;
/// Padding brings packets to a multiple of this; right for AES, and allowed before encryption starts.
const BLOCK: usize = 16;

/// Packets that arrive.
#[derive(Default)]
pub(super) struct Incoming {
    pub(super) buffer: BytesMut,
    pub(super) cipher: Option<Cipher>,
}

impl Incoming {
    /// The payload of the next packet, if all of it is there.
    pub(super) fn take(&mut self) -> Result<Option<Vec<u8>>, SshError> {
        let Some(length_bytes) = self.buffer.first_chunk::<LENGTH>().copied() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(length_bytes)).map_err(|_| SshError::Damaged)?;
        if length == 0 || length > LONGEST {
            return Err(SshError::Damaged);
        }
        let tag = if self.cipher.is_some() { TAG } else { 0 };
        if self.buffer.len() < LENGTH + length + tag {
            return Ok(None);
        }
        self.buffer.advance(LENGTH);
        let mut packet = self.buffer.split_to(length + tag);
        let body = match &mut self.cipher {
            Some(cipher) => cipher.open(length_bytes, &mut packet)?,
            None => &packet,
        };
        let (&padding, rest) = body.split_first().ok_or(SshError::Damaged)?;
        let payload = rest.len().checked_sub(usize::from(padding)).and_then(|end| rest.get(..end));
        Ok(Some(payload.filter(|payload| !payload.is_empty()).ok_or(SshError::Damaged)?.to_vec()))
    }
}

/// Packets that leave.
#[derive(Default)]
pub(super) struct Outgoing {
    pub(super) buffer: BytesMut,
    pub(super) cipher: Option<Cipher>,
}

impl Outgoing {
    /// Appends a packet.
    pub(super) fn push(&mut self, payload: &[u8]) -> Result<(), SshError> {
        // The length in front counts for the alignment only while nothing is encrypted.
        let counted = 1 + payload.len() + if self.cipher.is_some() { 0 } else { LENGTH };
        let mut padding = BLOCK - counted % BLOCK;
        if padding < 4 {
            padding += BLOCK;
        }
        let length = u32::try_from(1 + payload.len() + padding).map_err(|_| SshError::Damaged)?.to_be_bytes();
        let mut body = Vec::with_capacity(1 + payload.len() + padding);
        body.push(u8::try_from(padding).map_err(|_| SshError::Damaged)?);
        body.extend_from_slice(payload);
        body.resize(body.len() + padding, 0); // its value is free; encryption hides it
        self.buffer.put_slice(&length);
        match &mut self.cipher {
            Some(cipher) => {
                let tag = cipher.seal(length, &mut body)?;
                self.buffer.put_slice(&body);
                self.buffer.put_slice(&tag);
            }
            None => self.buffer.put_slice(&body),
        }
        Ok(())
    }
}

/// Both directions on one stream, one message after the other: for the time before the channel is open.
pub(super) struct Transport<S> {
    pub(super) stream: S,
    pub(super) incoming: Incoming,
    pub(super) outgoing: Outgoing,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Transport<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, incoming: Incoming::default(), outgoing: Outgoing::default() }
    }

    /// Sends a message.
    pub(super) async fn send(&mut self, payload: &[u8]) -> Result<(), SshError> {
        self.outgoing.push(payload)?;
        self.stream.write_all_buf(&mut self.outgoing.buffer).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// The next message that means something.
    pub(super) async fn receive(&mut self) -> Result<Vec<u8>, SshError> {
        loop {
            match self.incoming.take()? {
                Some(message) => match message.first() {
                    Some(&number::DISCONNECT) => return Err(disconnected(&message)),
                    Some(&(number::IGNORE | number::DEBUG | number::UNIMPLEMENTED | number::EXT_INFO)) => {}
                    _ => return Ok(message),
                },
                None => self.fill().await?,
            }
        }
    }

    /// A line of text, without its end: how both sides introduce themselves.
    pub(super) async fn receive_line(&mut self, longest: usize) -> Result<String, SshError> {
        loop {
            if let Some(end) = self.incoming.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.incoming.buffer.split_to(end + 1);
                return Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned());
            }
            if self.incoming.buffer.len() > longest {
                return Err(SshError::NotSsh);
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), SshError> {
        if self.stream.read_buf(&mut self.incoming.buffer).await? == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
        Ok(())
    }
}

/// Reads the server's goodbye.
pub(super) fn disconnected(message: &[u8]) -> SshError {
    let mut reader = Reader::new(message);
    let text = reader.take(1 + 4).and_then(|_| reader.text()).unwrap_or_default();
    SshError::Disconnected(printable(text))
}

/// The peer's words, made fit for one line of a log.
pub(super) fn printable(text: &str) -> String {
    let clean: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    if clean.is_empty() { "no reason given".to_owned() } else { clean }
}

#[cfg(test)]
mod tests {
    use crate::teleport::tunnel::packet::*;

    fn pair() -> (Outgoing, Incoming) {
        let cipher = || Some(Cipher::new("aes128-gcm@openssh.com", &[7; 16], &[255; 12]).unwrap());
        (Outgoing { cipher: cipher(), ..Outgoing::default() }, Incoming { cipher: cipher(), ..Incoming::default() })
    }

    #[test]
    fn packets_of_every_length_come_out_as_they_went_in() {
        for (mut outgoing, mut incoming) in [pair(), Default::default()] {
            for length in 1..100 {
                let payload = vec![9; length];
                outgoing.push(&payload).unwrap();
                let bytes = outgoing.buffer.split();
                let (start, end) = bytes.split_at(bytes.len() / 2);
                incoming.buffer.put_slice(start);
                assert_eq!(incoming.take().unwrap(), None, "half a packet is no packet");
                incoming.buffer.put_slice(end);
                assert_eq!(incoming.take().unwrap(), Some(payload));
            }
        }
    }

    #[test]
    fn a_changed_bit_is_noticed() {
        let (mut outgoing, mut incoming) = pair();
        outgoing.push(b"hello").unwrap();
        incoming.buffer = outgoing.buffer.split();
        incoming.buffer[8] ^= 1;
        assert!(matches!(incoming.take(), Err(SshError::Damaged)));
    }

    #[test]
    fn an_absurd_length_is_refused_before_it_is_waited_for() {
        let mut incoming = Incoming::default();
        incoming.buffer.put_slice(&[0xff; 4]);
        assert!(matches!(incoming.take(), Err(SshError::Damaged)));
    }
}
