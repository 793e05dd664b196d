//! From a byte stream to an open channel: introduction, keys, login, channel, request.

use std::time::{SystemTime, UNIX_EPOCH};

use rustls::sign::SigningKey;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};

use crate::teleport::tunnel::certificate::Certificate;
use crate::teleport::tunnel::error::SshError;
use crate::teleport::tunnel::kex::{self, Versions, expect};
use crate::teleport::tunnel::key::{self, PublicKey};
use crate::teleport::tunnel::packet::{Transport, number, printable};
use crate::teleport::tunnel::pump::{self, Channel, LARGEST_PACKET, WINDOW};
use crate::teleport::tunnel::wire::{Reader, Writer};

const VERSION: &str = concat!("SSH-2.0-slack-access-operator_", env!("CARGO_PKG_VERSION"));
/// Lines that a server may say before its version, and how long one may be (RFC 4253, section 4.2).
const GREETING_LINES: usize = 50;
const GREETING_LENGTH: usize = 1024;
/// Only one channel is ever opened, so it has the first number.
const OUR_CHANNEL: u32 = 0;

/// Who logs in, and who may be on the other side.
pub(crate) struct Login<'a> {
    /// The login name.
    pub(crate) user: &'a str,
    /// The user certificate.
    pub(crate) certificate: &'a Certificate,
    /// Its private key.
    pub(crate) key: &'a dyn SigningKey,
    /// Who may have signed the server's certificate.
    pub(crate) host_authorities: &'a [PublicKey],
}

/// The channel to open and the request that brings it to life.
pub(crate) struct Request<'a> {
    /// Channel type.
    pub(crate) channel: &'a str,
    /// Request type.
    pub(crate) name: &'a str,
    /// The request's data.
    pub(crate) payload: &'a [u8],
}

/// Logs in, opens the channel, makes the request, and returns the channel's bytes. Dropping them closes everything.
pub(crate) async fn open_channel<S>(
    stream: S,
    login: &Login<'_>,
    request: &Request<'_>,
) -> Result<DuplexStream, SshError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut transport = Transport::new(stream);
    let versions = introduce(&mut transport).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let session = kex::exchange(&mut transport, &versions, |certificate| {
        certificate
            .host_problem(login.host_authorities, now)
            .map_or(Ok(()), |problem| Err(SshError::UntrustedHost(problem)))
    })
    .await?;
    authenticate(&mut transport, &session, login).await?;
    let channel = open(&mut transport, request).await?;
    Ok(pump::start(transport, channel))
}

async fn introduce<S: AsyncRead + AsyncWrite + Unpin>(transport: &mut Transport<S>) -> Result<Versions, SshError> {
    use tokio::io::AsyncWriteExt;
    transport.stream.write_all(format!("{VERSION}\r\n").as_bytes()).await?;
    transport.stream.flush().await?;
    for _ in 0..GREETING_LINES {
        let line = transport.receive_line(GREETING_LENGTH).await?;
        if line.starts_with("SSH-") {
            let spoken = line.starts_with("SSH-2.0-") || line.starts_with("SSH-1.99-");
            return if spoken {
                Ok(Versions { client: VERSION.to_owned(), server: line })
            } else {
                Err(SshError::NotSsh)
            };
        }
    }
    Err(SshError::NotSsh)
}

/// Public key authentication with a certificate (RFC 4252, section 7): signed at once, without asking first.
async fn authenticate<S: AsyncRead + AsyncWrite + Unpin>(
    transport: &mut Transport<S>,
    session: &[u8],
    login: &Login<'_>,
) -> Result<(), SshError> {
    transport.send(&Writer::message(number::SERVICE_REQUEST).string("ssh-userauth").done()).await?;
    let accepted = transport.receive().await?;
    expect(&mut Reader::new(&accepted), number::SERVICE_ACCEPT)?;

    // The name of the certificate's algorithm follows from that of the signature, which is known once it is made.
    let (signature_algorithm, _) = key::sign(login.key, b"").map_err(|_| SshError::Crypto("signing"))?;
    let question = Writer::message(number::USERAUTH_REQUEST)
        .string(login.user)
        .string("ssh-connection")
        .string("publickey")
        .boolean(true)
        .string(format!("{signature_algorithm}-cert-v01@openssh.com"))
        .string(&login.certificate.blob)
        .done();
    let signed = Writer::default().string(session).raw(&question).done();
    let (_, signature) = key::sign(login.key, &signed).map_err(|_| SshError::Crypto("signing"))?;
    transport.send(&Writer::default().raw(&question).string(signature).done()).await?;
    loop {
        let answer = transport.receive().await?;
        match answer.first() {
            Some(&number::USERAUTH_SUCCESS) => return Ok(()),
            Some(&number::USERAUTH_BANNER) => {}
            Some(&number::USERAUTH_FAILURE) => return Err(SshError::LoginRefused(login.user.to_owned())),
            other => return Err(SshError::Unexpected(other.copied().unwrap_or_default())),
        }
    }
}

async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    transport: &mut Transport<S>,
    request: &Request<'_>,
) -> Result<Channel, SshError> {
    let message = Writer::message(number::CHANNEL_OPEN)
        .string(request.channel)
        .u32(OUR_CHANNEL)
        .u32(WINDOW)
        .u32(LARGEST_PACKET)
        .done();
    transport.send(&message).await?;
    let mut channel = loop {
        let answer = transport.receive().await?;
        let mut reader = Reader::new(&answer);
        match reader.byte()? {
            number::CHANNEL_OPEN_CONFIRMATION => {
                reader.u32()?;
                break Channel { theirs: reader.u32()?, window: reader.u32()?, largest: reader.u32()? };
            }
            number::CHANNEL_OPEN_FAILURE => {
                reader.take(8)?;
                return Err(SshError::ChannelRefused(printable(reader.text()?)));
            }
            _ => sideline(transport, &answer).await?,
        }
    };

    let message = Writer::message(number::CHANNEL_REQUEST)
        .u32(channel.theirs)
        .string(request.name)
        .boolean(true)
        .raw(request.payload)
        .done();
    transport.send(&message).await?;
    let mut complaint = String::new();
    loop {
        let answer = transport.receive().await?;
        let mut reader = Reader::new(&answer);
        match reader.byte()? {
            number::CHANNEL_SUCCESS => return Ok(channel),
            number::CHANNEL_FAILURE | number::CHANNEL_CLOSE => {
                return Err(SshError::ChannelRefused(printable(&complaint)));
            }
            number::CHANNEL_EXTENDED_DATA => {
                reader.take(8)?;
                complaint.push_str(&String::from_utf8_lossy(reader.string()?));
            }
            number::CHANNEL_WINDOW_ADJUST => {
                reader.u32()?;
                channel.window = channel.window.saturating_add(reader.u32()?);
            }
            number::CHANNEL_EOF => {}
            _ => sideline(transport, &answer).await?,
        }
    }
}

/// Answers what is not about our channel.
async fn sideline<S: AsyncRead + AsyncWrite + Unpin>(
    transport: &mut Transport<S>,
    message: &[u8],
) -> Result<(), SshError> {
    if let Some(answer) = decline(message)? {
        transport.send(&answer).await?;
    }
    Ok(())
}

/// The answer to a server that wants something of us, if it needs one: no.
pub(super) fn decline(message: &[u8]) -> Result<Option<Vec<u8>>, SshError> {
    let mut reader = Reader::new(message);
    match reader.byte()? {
        number::GLOBAL_REQUEST => {
            reader.string()?;
            Ok(reader.boolean()?.then(|| vec![number::REQUEST_FAILURE]))
        }
        number::CHANNEL_OPEN => {
            const PROHIBITED: u32 = 1;
            reader.string()?;
            let theirs = reader.u32()?;
            Ok(Some(
                Writer::message(number::CHANNEL_OPEN_FAILURE).u32(theirs).u32(PROHIBITED).string("").string("").done(),
            ))
        }
        number::CHANNEL_REQUEST => {
            reader.u32()?;
            reader.string()?;
            // Our one channel; its number on the other side is not known here, and no server waits for this answer.
            Ok(None)
        }
        other => Err(SshError::Unexpected(other)),
    }
}
