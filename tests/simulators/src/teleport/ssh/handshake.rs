//! The beginning of an SSH connection: versions, one key exchange, login with a certificate.

use std::io;
use std::time::SystemTime;

use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use russh::keys::signature::{Signer, Verifier};
use russh::keys::ssh_encoding::Encode;
use russh::keys::ssh_key::Signature;
use russh::keys::{Certificate, PrivateKey};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::packet::{Cipher, Incoming, Outgoing};
use super::wire::{Reader, Writer};
use crate::teleport::authority::Authority;

pub(super) const DISCONNECT: u8 = 1;
pub(super) const IGNORE: u8 = 2;
pub(super) const DEBUG: u8 = 4;
const SERVICE_REQUEST: u8 = 5;
const SERVICE_ACCEPT: u8 = 6;
const EXT_INFO: u8 = 7;
const KEXINIT: u8 = 20;
const NEWKEYS: u8 = 21;
const ECDH_INIT: u8 = 30;
const ECDH_REPLY: u8 = 31;
const USERAUTH_REQUEST: u8 = 50;
const USERAUTH_FAILURE: u8 = 51;
const USERAUTH_SUCCESS: u8 = 52;
const USERAUTH_PK_OK: u8 = 60;

const VERSION: &str = "SSH-2.0-Teleport";
const HOST_KEY: &str = "ecdsa-sha2-nistp256-cert-v01@openssh.com";
const CIPHER: &str = "aes128-gcm@openssh.com";
const EXCHANGES: [&str; 2] = ["curve25519-sha256", "curve25519-sha256@libssh.org"];
/// A client that knocks more often than this with the wrong key is let go.
const ATTEMPTS: usize = 6;

pub(super) fn broken(text: impl Into<String>) -> io::Error {
    io::Error::other(text.into())
}

/// What a host shows.
pub(crate) struct Host {
    pub(crate) key: PrivateKey,
    pub(crate) certificate: Certificate,
}

/// Shakes hands and lets in whoever has a certificate of `users`. Returns the login name.
pub(super) async fn accept<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    incoming: &mut Incoming<R>,
    outgoing: &mut Outgoing<W>,
    host: &Host,
    users: &Authority,
    now: SystemTime,
) -> io::Result<String> {
    outgoing.io.write_all(format!("{VERSION}\r\n").as_bytes()).await?;
    outgoing.io.flush().await?;
    let client_version = version(&mut incoming.io).await?;
    let session = exchange_keys(incoming, outgoing, host, &client_version).await?;
    log_in(incoming, outgoing, users, now, &session).await
}

/// The first line of the other side; lines before it are read over.
async fn version<R: AsyncRead + Unpin>(io: &mut R) -> io::Result<String> {
    for _ in 0..20 {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            line.push(io.read_u8().await?);
            if line.len() > 1024 {
                return Err(broken("an SSH version of more than 1024 bytes"));
            }
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        if line.starts_with("SSH-2.0-") {
            return Ok(line);
        }
    }
    Err(broken("no SSH version"))
}

fn our_kexinit() -> Vec<u8> {
    let lists =
        [&EXCHANGES.join(","), HOST_KEY, CIPHER, CIPHER, "hmac-sha2-256", "hmac-sha2-256", "none", "none", "", ""];
    let start = Writer::message(KEXINIT).raw(&rand::random::<[u8; 16]>());
    lists.iter().fold(start, |message, list| message.bytes(list.as_bytes())).byte(0).number(0).0
}

/// The client's offer: whether it can speak with us, and whether its first guess must be thrown away.
struct Offer {
    extensions: bool,
    discard_guess: bool,
}

fn check_kexinit(message: &[u8]) -> io::Result<Offer> {
    let mut reader = Reader(message);
    reader.skip(17).map_err(io::Error::other)?;
    let mut lists = Vec::new();
    for _ in 0..10 {
        lists.push(reader.text().map_err(io::Error::other)?);
    }
    let guesses = reader.boolean().map_err(io::Error::other)?;
    let list = |index: usize| lists.get(index).map_or("", String::as_str);
    let offers = |index: usize, name: &str| list(index).split(',').any(|offered| offered == name);
    for (index, names) in [(0, &EXCHANGES[..]), (1, &[HOST_KEY]), (2, &[CIPHER]), (3, &[CIPHER])] {
        if !names.iter().any(|name| offers(index, name)) {
            return Err(broken(format!("no common SSH algorithm: the client offers {}", list(index))));
        }
    }
    let first = |index: usize| list(index).split(',').next().unwrap_or_default().to_owned();
    let right = EXCHANGES.contains(&first(0).as_str()) && first(1) == HOST_KEY;
    Ok(Offer { extensions: offers(0, "ext-info-c"), discard_guess: guesses && !right })
}

async fn expect<R: AsyncRead + Unpin>(incoming: &mut Incoming<R>, number: u8) -> io::Result<Vec<u8>> {
    loop {
        let message = incoming.next().await?;
        match message.first() {
            Some(found) if *found == number => return Ok(message),
            Some(&IGNORE | &DEBUG | &EXT_INFO) => {}
            found => return Err(broken(format!("SSH message {found:?} instead of {number}"))),
        }
    }
}

/// One exchange over Curve25519 (RFC 8731); returns the session's identifier.
async fn exchange_keys<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    incoming: &mut Incoming<R>,
    outgoing: &mut Outgoing<W>,
    host: &Host,
    client_version: &str,
) -> io::Result<Vec<u8>> {
    let ours = our_kexinit();
    outgoing.send(&ours).await?;
    let theirs = expect(incoming, KEXINIT).await?;
    let offer = check_kexinit(&theirs)?;
    if offer.discard_guess {
        incoming.next().await?;
    }
    let init = expect(incoming, ECDH_INIT).await?;
    let client_public = Reader(init.get(1..).unwrap_or_default()).bytes().map_err(io::Error::other)?;

    let random = SystemRandom::new();
    let failed = |_| broken("the SSH key exchange failed");
    let private = EphemeralPrivateKey::generate(&X25519, &random).map_err(failed)?;
    let public = private.compute_public_key().map_err(failed)?;
    let shared = agree_ephemeral(private, &UnparsedPublicKey::new(&X25519, client_public), <[u8]>::to_vec);
    let secret = Writer::default().big_number(&shared.map_err(failed)?).0;

    let certificate = host.certificate.to_bytes().map_err(io::Error::other)?;
    let transcript = Writer::default()
        .bytes(client_version.as_bytes())
        .bytes(VERSION.as_bytes())
        .bytes(&theirs)
        .bytes(&ours)
        .bytes(&certificate)
        .bytes(client_public)
        .bytes(public.as_ref())
        .raw(&secret);
    let hash = digest(&SHA256, &transcript.0).as_ref().to_vec();
    let mut signature = Vec::new();
    host.key.try_sign(&hash).map_err(io::Error::other)?.encode(&mut signature).map_err(io::Error::other)?;
    let reply = Writer::message(ECDH_REPLY).bytes(&certificate).bytes(public.as_ref()).bytes(&signature);
    outgoing.send(&reply.0).await?;
    outgoing.send(&[NEWKEYS]).await?;

    let derive = |letter: u8| {
        let input = Writer::default().raw(&secret).raw(&hash).byte(letter).raw(&hash);
        digest(&SHA256, &input.0).as_ref().to_vec()
    };
    outgoing.cipher = Some(Cipher::new(&derive(b'D'), &derive(b'B'))?);
    expect(incoming, NEWKEYS).await?;
    incoming.cipher = Some(Cipher::new(&derive(b'C'), &derive(b'A'))?);
    if offer.extensions {
        let algorithms = "ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-256,rsa-sha2-512,ssh-rsa";
        let info = Writer::message(EXT_INFO).number(1).bytes(b"server-sig-algs").bytes(algorithms.as_bytes());
        outgoing.send(&info.0).await?;
    }
    Ok(hash)
}

async fn log_in<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    incoming: &mut Incoming<R>,
    outgoing: &mut Outgoing<W>,
    users: &Authority,
    now: SystemTime,
    session: &[u8],
) -> io::Result<String> {
    let request = expect(incoming, SERVICE_REQUEST).await?;
    let service = Reader(request.get(1..).unwrap_or_default()).text().map_err(io::Error::other)?;
    outgoing.send(&Writer::message(SERVICE_ACCEPT).bytes(service.as_bytes()).0).await?;
    for _ in 0..ATTEMPTS {
        let message = expect(incoming, USERAUTH_REQUEST).await?;
        match judge(&message, users, now, session).map_err(io::Error::other)? {
            Verdict::Welcome(user) => {
                outgoing.send(&[USERAUTH_SUCCESS]).await?;
                return Ok(user);
            }
            Verdict::Acceptable { algorithm, key } => {
                outgoing.send(&Writer::message(USERAUTH_PK_OK).bytes(&algorithm).bytes(&key).0).await?;
            }
            Verdict::Refused => {
                outgoing.send(&Writer::message(USERAUTH_FAILURE).bytes(b"publickey").byte(0).0).await?;
            }
        }
    }
    Err(broken("too many SSH login attempts"))
}

enum Verdict {
    Welcome(String),
    Acceptable { algorithm: Vec<u8>, key: Vec<u8> },
    Refused,
}

/// Judges one login attempt (RFC 4252, section 7).
fn judge(message: &[u8], users: &Authority, now: SystemTime, session: &[u8]) -> Result<Verdict, super::wire::TooShort> {
    let mut reader = Reader(message.get(1..).unwrap_or_default());
    let user = reader.text()?;
    reader.bytes()?;
    if reader.bytes()? != b"publickey" {
        return Ok(Verdict::Refused);
    }
    let signed = reader.boolean()?;
    let algorithm = reader.bytes()?.to_vec();
    let key = reader.bytes()?.to_vec();
    let certificate = Certificate::from_bytes(&key)
        .ok()
        .filter(|certificate| users.vouches_for(certificate, now) && certificate.valid_principals().contains(&user));
    let Some(certificate) = certificate else { return Ok(Verdict::Refused) };
    if !signed {
        return Ok(Verdict::Acceptable { algorithm, key });
    }
    let covered = message.len() - reader.0.len();
    let signature = reader.bytes()?;
    let data = Writer::default().bytes(session).raw(message.get(..covered).unwrap_or_default());
    let genuine = Signature::try_from(signature)
        .is_ok_and(|signature| certificate.public_key().verify(&data.0, &signature).is_ok());
    Ok(if genuine { Verdict::Welcome(user) } else { Verdict::Refused })
}
