//! SSH packets (RFC 4253, section 6): plain during the key exchange, AES-128-GCM (RFC 5647) afterwards.

use std::io;

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Larger packets are no SSH client's.
const LARGEST: usize = 256 * 1024;
const TAG: usize = 16;

/// The key of one direction.
pub(super) struct Cipher {
    key: LessSafeKey,
    nonce: [u8; NONCE_LEN],
}

impl Cipher {
    /// `key` and `nonce` are cut to what the algorithm needs.
    pub(super) fn new(key: &[u8], nonce: &[u8]) -> io::Result<Self> {
        let wrong = || io::Error::other("the SSH key exchange gave too few bytes");
        let key = UnboundKey::new(&AES_128_GCM, key.get(..16).ok_or_else(wrong)?).map_err(|_| wrong())?;
        let nonce = nonce.get(..NONCE_LEN).and_then(|bytes| bytes.try_into().ok()).ok_or_else(wrong)?;
        Ok(Self { key: LessSafeKey::new(key), nonce })
    }

    /// The nonce of the next packet: four fixed bytes and a counter of eight.
    fn next(&mut self) -> Nonce {
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        for byte in self.nonce.iter_mut().skip(4).rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
        nonce
    }
}

/// Reads packets.
pub(super) struct Incoming<R> {
    pub(super) io: R,
    pub(super) cipher: Option<Cipher>,
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    /// The next packet's payload.
    pub(super) async fn next(&mut self) -> io::Result<Vec<u8>> {
        let mut head = [0; 4];
        self.io.read_exact(&mut head).await?;
        let length = u32::from_be_bytes(head) as usize;
        if length == 0 || length > LARGEST {
            return Err(io::Error::other(format!("an SSH packet of {length} bytes")));
        }
        let tag = if self.cipher.is_some() { TAG } else { 0 };
        let mut body = vec![0; length + tag];
        self.io.read_exact(&mut body).await?;
        if let Some(cipher) = &mut self.cipher {
            let nonce = cipher.next();
            let opened = cipher.key.open_in_place(nonce, Aad::from(head), &mut body);
            opened.map_err(|_| io::Error::other("an SSH packet that was altered"))?;
            body.truncate(length);
        }
        let padding = usize::from(*body.first().unwrap_or(&0));
        let end = length.checked_sub(padding).filter(|end| *end > 0);
        let payload = end.and_then(|end| body.get(1..end));
        payload.map(<[u8]>::to_vec).ok_or_else(|| io::Error::other("an SSH packet of padding"))
    }
}

/// Writes packets.
pub(super) struct Outgoing<W> {
    pub(super) io: W,
    pub(super) cipher: Option<Cipher>,
}

impl<W: AsyncWrite + Unpin> Outgoing<W> {
    pub(super) async fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        // The length field itself counts towards the block only while nothing is encrypted.
        let (block, counted) = if self.cipher.is_some() { (16, 1) } else { (8, 5) };
        let mut padding = block - (counted + payload.len()) % block;
        if padding < 4 {
            padding += block;
        }
        let length = u32::try_from(1 + payload.len() + padding).map_err(io::Error::other)?;
        let head = length.to_be_bytes();
        let mut body = vec![u8::try_from(padding).map_err(io::Error::other)?];
        body.extend_from_slice(payload);
        body.resize(body.len() + padding, 0);
        if let Some(cipher) = &mut self.cipher {
            let nonce = cipher.next();
            let tag = cipher.key.seal_in_place_separate_tag(nonce, Aad::from(head), &mut body);
            body.extend_from_slice(tag.map_err(|_| io::Error::other("an SSH packet cannot be encrypted"))?.as_ref());
        }
        self.io.write_all(&head).await?;
        self.io.write_all(&body).await?;
        self.io.flush().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn packets_come_back_as_they_were_sent_plain_and_encrypted() {
        for encrypted in [false, true] {
            let cipher = || encrypted.then(|| Cipher::new(&[7; 16], &[255; 12]).unwrap());
            let (near, far) = tokio::io::duplex(1 << 16);
            let mut outgoing = Outgoing { io: near, cipher: cipher() };
            let mut incoming = Incoming { io: far, cipher: cipher() };
            for size in [1, 7, 8, 15, 16, 1000] {
                let payload = vec![42; size];
                outgoing.send(&payload).await.unwrap();
                assert_eq!(incoming.next().await.unwrap(), payload);
            }
        }
    }
}
