//! The key exchange (RFC 4253, sections 7 and 8; RFC 5656; RFC 8731), done once per connection.
//!
//! A server that wants fresh keys later (Go's does so after 64 GiB) finds the connection closed; the caller makes a
//! new one.

use ring::agreement::{self, ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::digest::{Context, Digest, SHA256};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::teleport::tunnel::certificate::Certificate;
use crate::teleport::tunnel::cipher::{self, Cipher};
use crate::teleport::tunnel::error::SshError;
use crate::teleport::tunnel::packet::{Transport, number};
use crate::teleport::tunnel::wire::{Reader, Writer};

/// Key exchange methods, the preferred one first. All of them hash with SHA-256.
const METHODS: &[&str] = &["curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256"];
/// Host certificates, never plain host keys: nobody could vouch for those.
const HOST_KEYS: &[&str] = &[
    "ssh-ed25519-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "rsa-sha2-512-cert-v01@openssh.com",
    "rsa-sha2-256-cert-v01@openssh.com",
];
/// Listed because the field may not be empty; the ciphers authenticate by themselves.
const MACS: &[&str] = &["hmac-sha2-256-etm@openssh.com", "hmac-sha2-256"];

/// What both sides called themselves.
pub(super) struct Versions {
    pub(super) client: String,
    pub(super) server: String,
}

/// Agrees on keys, lets `check` judge the server's certificate, and switches encryption on. Returns the session's id.
pub(super) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    transport: &mut Transport<S>,
    versions: &Versions,
    check: impl FnOnce(&Certificate) -> Result<(), SshError>,
) -> Result<Vec<u8>, SshError> {
    let random = SystemRandom::new();
    let ours = proposal(&random)?;
    transport.send(&ours).await?;
    let theirs = transport.receive().await?;
    let agreed = agree(&theirs)?;
    if agreed.skip_guess {
        transport.receive().await?;
    }

    let curve = if agreed.method == "ecdh-sha2-nistp256" { &ECDH_P256 } else { &X25519 };
    let private = EphemeralPrivateKey::generate(curve, &random).map_err(|_| SshError::Crypto("making a key"))?;
    let public = private.compute_public_key().map_err(|_| SshError::Crypto("making a key"))?;
    transport.send(&Writer::message(number::KEX_ECDH_INIT).string(&public).done()).await?;

    let reply = transport.receive().await?;
    let mut reader = Reader::new(&reply);
    expect(&mut reader, number::KEX_ECDH_REPLY)?;
    let (host_key, their_public, signature) = (reader.string()?, reader.string()?, reader.string()?);
    let secret = shared_secret(private, curve, their_public)?;
    let hash = sha256(
        &Writer::default()
            .string(&versions.client)
            .string(&versions.server)
            .string(&ours)
            .string(&theirs)
            .string(host_key)
            .string(&public)
            .string(their_public)
            .mpint(&secret)
            .done(),
    );

    let certificate = Certificate::decode(host_key)?;
    check(&certificate)?;
    if !agreed.host_key.starts_with("rsa") && !agreed.host_key.starts_with(&certificate.algorithm) {
        return Err(SshError::Damaged);
    }
    certificate
        .key
        .verify(hash.as_ref(), signature)
        .map_err(|_| SshError::UntrustedHost("the server could not prove that its certificate is its own"))?;

    transport.send(&[number::NEWKEYS]).await?;
    let message = transport.receive().await?;
    expect(&mut Reader::new(&message), number::NEWKEYS)?;
    let keys = Keys { secret: &secret, hash: hash.as_ref() };
    transport.outgoing.cipher = Some(keys.cipher(agreed.cipher_out, b'A', b'C')?);
    transport.incoming.cipher = Some(keys.cipher(agreed.cipher_in, b'B', b'D')?);
    Ok(hash.as_ref().to_vec())
}

pub(super) fn proposal(random: &SystemRandom) -> Result<Vec<u8>, SshError> {
    let mut cookie = [0; 16];
    random.fill(&mut cookie).map_err(|_| SshError::Crypto("drawing random numbers"))?;
    Ok(Writer::message(number::KEXINIT)
        .raw(&cookie)
        .names(METHODS)
        .names(HOST_KEYS)
        .names(cipher::NAMES)
        .names(cipher::NAMES)
        .names(MACS)
        .names(MACS)
        .names(&["none"])
        .names(&["none"])
        .names(&[])
        .names(&[])
        .boolean(false)
        .u32(0)
        .done())
}

#[derive(Debug)]
struct Agreed {
    method: &'static str,
    host_key: &'static str,
    cipher_out: &'static str,
    cipher_in: &'static str,
    /// The server sent a first guess of the exchange, and it was wrong.
    skip_guess: bool,
}

fn agree(theirs: &[u8]) -> Result<Agreed, SshError> {
    let mut reader = Reader::new(theirs);
    expect(&mut reader, number::KEXINIT)?;
    reader.take(16)?;
    let methods = reader.names()?;
    let host_keys = reader.names()?;
    let (ciphers_out, ciphers_in) = (reader.names()?, reader.names()?);
    for _ in 0..6 {
        reader.string()?; // macs, compressions, languages
    }
    let guessed = reader.boolean()?;
    let right = methods.first() == METHODS.first() && host_keys.first() == HOST_KEYS.first();
    Ok(Agreed {
        method: common(METHODS, &methods, "key exchange")?,
        host_key: common(HOST_KEYS, &host_keys, "host certificate")?,
        cipher_out: common(cipher::NAMES, &ciphers_out, "cipher (AES-GCM)")?,
        cipher_in: common(cipher::NAMES, &ciphers_in, "cipher (AES-GCM)")?,
        skip_guess: guessed && !right,
    })
}

fn common(ours: &[&'static str], theirs: &[&str], what: &'static str) -> Result<&'static str, SshError> {
    ours.iter().copied().find(|name| theirs.contains(name)).ok_or(SshError::NothingInCommon(what))
}

pub(super) fn expect(reader: &mut Reader<'_>, wanted: u8) -> Result<(), SshError> {
    match reader.byte()? {
        number if number == wanted => Ok(()),
        number => Err(SshError::Unexpected(number)),
    }
}

pub(super) fn shared_secret(
    private: EphemeralPrivateKey,
    curve: &'static agreement::Algorithm,
    public: &[u8],
) -> Result<Vec<u8>, SshError> {
    agree_ephemeral(private, &UnparsedPublicKey::new(curve, public), <[u8]>::to_vec)
        .map_err(|_| SshError::Crypto("agreeing on a key"))
}

pub(super) fn sha256(bytes: &[u8]) -> Digest {
    ring::digest::digest(&SHA256, bytes)
}

/// Derives keys from the exchange (RFC 4253, section 7.2). The first exchange's hash is the session's id as well.
pub(super) struct Keys<'a> {
    pub(super) secret: &'a [u8],
    pub(super) hash: &'a [u8],
}

impl Keys<'_> {
    pub(super) fn cipher(&self, name: &str, nonce: u8, key: u8) -> Result<Cipher, SshError> {
        let (nonce, key) = (self.derive(nonce), self.derive(key));
        let wrong = SshError::Crypto("deriving keys");
        match (key.as_ref().get(..Cipher::key_length(name)), nonce.as_ref().get(..Cipher::NONCE_LENGTH)) {
            (Some(key), Some(nonce)) => Cipher::new(name, key, nonce),
            _ => Err(wrong),
        }
    }

    /// One SHA-256 block is enough for every key in use.
    fn derive(&self, purpose: u8) -> Digest {
        let mut context = Context::new(&SHA256);
        context.update(&Writer::default().mpint(self.secret).done());
        context.update(self.hash);
        context.update(&[purpose]);
        context.update(self.hash);
        context.finish()
    }
}
