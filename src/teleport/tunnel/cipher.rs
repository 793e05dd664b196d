//! AES in Galois/counter mode over SSH packets (RFC 5647, as OpenSSH's `aes*-gcm@openssh.com` negotiates it).

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::teleport::tunnel::error::SshError;

/// Length of the tag that follows each packet.
pub(super) const TAG: usize = 16;

/// The ciphers, the preferred one first.
pub(super) const NAMES: &[&str] = &["aes128-gcm@openssh.com", "aes256-gcm@openssh.com"];

/// One direction's cipher.
pub(super) struct Cipher {
    key: LessSafeKey,
    nonce: [u8; NONCE_LEN],
}

impl Cipher {
    /// How many bytes of key a cipher needs.
    pub(super) fn key_length(name: &str) -> usize {
        algorithm(name).key_len()
    }

    pub(super) const NONCE_LENGTH: usize = NONCE_LEN;

    pub(super) fn new(name: &str, key: &[u8], nonce: &[u8]) -> Result<Self, SshError> {
        let key = UnboundKey::new(algorithm(name), key).map_err(|_| SshError::Crypto("setting up the cipher"))?;
        let nonce = nonce.try_into().map_err(|_| SshError::Crypto("setting up the cipher"))?;
        Ok(Self { key: LessSafeKey::new(key), nonce })
    }

    /// Encrypts in place; the length in front stays readable but is authenticated.
    pub(super) fn seal(&mut self, length: [u8; 4], body: &mut [u8]) -> Result<[u8; TAG], SshError> {
        let nonce = self.next_nonce();
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(length), body)
            .map_err(|_| SshError::Crypto("encrypting a packet"))?;
        tag.as_ref().try_into().map_err(|_| SshError::Crypto("encrypting a packet"))
    }

    /// Decrypts body and tag in place and returns the body.
    pub(super) fn open<'a>(&mut self, length: [u8; 4], sealed: &'a mut [u8]) -> Result<&'a [u8], SshError> {
        let nonce = self.next_nonce();
        let body = self.key.open_in_place(nonce, Aad::from(length), sealed).map_err(|_| SshError::Damaged)?;
        Ok(body)
    }

    /// Four fixed bytes, then a counter: never the same twice under one key.
    fn next_nonce(&mut self) -> Nonce {
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

fn algorithm(name: &str) -> &'static Algorithm {
    if name.starts_with("aes256") { &AES_256_GCM } else { &AES_128_GCM }
}
