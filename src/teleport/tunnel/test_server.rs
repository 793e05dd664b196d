//! The other side, for tests: an SSH server which accepts certificates and opens `teleport-transport`.

use std::sync::Arc;

use ring::agreement::{EphemeralPrivateKey, X25519};
use ring::rand::SystemRandom;
use rustls::sign::SigningKey;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream};

use crate::teleport::tunnel::certificate::{Certificate, Holder};
use crate::teleport::tunnel::error::SshError;
use crate::teleport::tunnel::kex::{self, Keys, expect};
use crate::teleport::tunnel::key::{self, PublicKey};
use crate::teleport::tunnel::packet::{Transport, number};
use crate::teleport::tunnel::pump::{self, Channel};
use crate::teleport::tunnel::wire::{Reader, Writer};

const VERSION: &str = "SSH-2.0-test";

/// Who the server is, and whom it lets in.
pub(crate) struct TestServer {
    pub(crate) key: Arc<dyn SigningKey>,
    pub(crate) certificate: Certificate,
    pub(crate) users: PublicKey,
    /// Refuses the tunnel with these words.
    pub(crate) refusal: Option<&'static str>,
}

impl TestServer {
    /// Serves one connection up to the open channel; returns the request's data and the channel's bytes.
    pub(crate) async fn accept<S>(&self, stream: S) -> Result<(Vec<u8>, DuplexStream), SshError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut transport = Transport::new(stream);
        transport.stream.write_all(format!("a line before\r\n{VERSION}\r\n").as_bytes()).await?;
        let client = transport.receive_line(255).await?;
        let session = self.exchange(&mut transport, &client).await?;
        self.authenticate(&mut transport, &session).await?;
        self.open(transport).await
    }

    async fn exchange<S>(&self, transport: &mut Transport<S>, client: &str) -> Result<Vec<u8>, SshError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let random = SystemRandom::new();
        let ours = kex::proposal(&random)?;
        transport.send(&ours).await?;
        let theirs = transport.receive().await?;
        let init = transport.receive().await?;
        let mut reader = Reader::new(&init);
        expect(&mut reader, number::KEX_ECDH_INIT)?;
        let their_public = reader.string()?;
        let private = EphemeralPrivateKey::generate(&X25519, &random).unwrap();
        let public = private.compute_public_key().unwrap();
        let secret = kex::shared_secret(private, &X25519, their_public)?;
        let hash = kex::sha256(
            &Writer::default()
                .string(client)
                .string(VERSION)
                .string(&theirs)
                .string(&ours)
                .string(&self.certificate.blob)
                .string(their_public)
                .string(&public)
                .mpint(&secret)
                .done(),
        );
        let (_, signature) = key::sign(self.key.as_ref(), hash.as_ref())?;
        let reply = Writer::message(number::KEX_ECDH_REPLY).string(&self.certificate.blob).string(public);
        transport.send(&reply.string(signature).done()).await?;
        transport.send(&[number::NEWKEYS]).await?;
        expect(&mut Reader::new(&transport.receive().await?), number::NEWKEYS)?;
        let keys = Keys { secret: &secret, hash: hash.as_ref() };
        transport.incoming.cipher = Some(keys.cipher("aes128-gcm@openssh.com", b'A', b'C')?);
        transport.outgoing.cipher = Some(keys.cipher("aes128-gcm@openssh.com", b'B', b'D')?);
        Ok(hash.as_ref().to_vec())
    }

    async fn authenticate<S>(&self, transport: &mut Transport<S>, session: &[u8]) -> Result<(), SshError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        transport.send(&Writer::message(number::EXT_INFO).u32(0).done()).await?;
        expect(&mut Reader::new(&transport.receive().await?), number::SERVICE_REQUEST)?;
        transport.send(&Writer::message(number::SERVICE_ACCEPT).string("ssh-userauth").done()).await?;
        transport.send(&Writer::message(number::USERAUTH_BANNER).string("welcome").string("").done()).await?;
        let question = transport.receive().await?;
        let mut reader = Reader::new(&question);
        expect(&mut reader, number::USERAUTH_REQUEST)?;
        let user = reader.text()?;
        assert_eq!((reader.text()?, reader.text()?, reader.boolean()?), ("ssh-connection", "publickey", true));
        let algorithm = reader.text()?;
        let certificate = Certificate::decode(reader.string()?)?;
        let signed = Writer::default().string(session).raw(&question[..question.len() - reader.rest().len()]).done();
        let signature = reader.string()?;
        assert_eq!(algorithm, format!("{}-cert-v01@openssh.com", certificate.algorithm));
        let good = certificate.holder == Holder::User
            && certificate.authority == self.users
            && certificate.principals.iter().any(|principal| principal == user)
            && certificate.key.verify(&signed, signature).is_ok();
        if good {
            transport.send(&[number::USERAUTH_SUCCESS]).await
        } else {
            transport.send(&Writer::message(number::USERAUTH_FAILURE).string("publickey").boolean(false).done()).await
        }
    }

    async fn open<S>(&self, mut transport: Transport<S>) -> Result<(Vec<u8>, DuplexStream), SshError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let open = transport.receive().await?;
        let mut reader = Reader::new(&open);
        expect(&mut reader, number::CHANNEL_OPEN)?;
        if reader.text()? != "teleport-transport" {
            let failure = Writer::message(number::CHANNEL_OPEN_FAILURE).u32(0).u32(3).string("unknown").string("");
            transport.send(&failure.done()).await?;
            return Err(SshError::Damaged);
        }
        let channel = Channel { theirs: reader.u32()?, window: reader.u32()?, largest: reader.u32()? };
        // As a server does that wants to know whether we are alive.
        let keepalive = Writer::message(number::GLOBAL_REQUEST).string("keepalive@openssh.com").boolean(true).done();
        transport.send(&keepalive).await?;
        expect(&mut Reader::new(&transport.receive().await?), number::REQUEST_FAILURE)?;
        let confirmation = Writer::message(number::CHANNEL_OPEN_CONFIRMATION)
            .u32(channel.theirs)
            .u32(7)
            .u32(pump::WINDOW)
            .u32(pump::LARGEST_PACKET);
        transport.send(&confirmation.done()).await?;
        let request = transport.receive().await?;
        let mut reader = Reader::new(&request);
        expect(&mut reader, number::CHANNEL_REQUEST)?;
        assert_eq!((reader.u32()?, reader.text()?, reader.boolean()?), (7, "teleport-transport-dial", true));
        if let Some(words) = self.refusal {
            let stderr = Writer::message(number::CHANNEL_EXTENDED_DATA).u32(channel.theirs).u32(1).string(words);
            transport.send(&stderr.done()).await?;
            transport.send(&Writer::message(number::CHANNEL_FAILURE).u32(channel.theirs).done()).await?;
            return Err(SshError::Damaged);
        }
        transport.send(&Writer::message(number::CHANNEL_SUCCESS).u32(channel.theirs).done()).await?;
        Ok((reader.rest().to_vec(), pump::start(transport, channel)))
    }
}
