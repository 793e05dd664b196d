//! A client of the tunnel, made of the same parts as the server, for one login and one channel.

use std::time::SystemTime;

use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use russh::keys::Certificate;
use russh::keys::signature::{Signer, Verifier};
use russh::keys::ssh_encoding::Encode;
use russh::keys::ssh_key::Signature;
use russh::keys::ssh_key::certificate::CertType;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::net::TcpListener;

use super::packet::Cipher;
use super::wire::{Reader, Writer};
use super::*;
use crate::teleport::authority::{Authority, BACKDATED, SshContents};
use crate::teleport::config::Config;
use crate::teleport::keys::{Key, KeyAlgorithm};

fn issue(authority: &Authority, key: &Key, kind: CertType, principal: &str) -> Certificate {
    let now = SystemTime::now();
    let contents = SshContents {
        kind,
        key_id: principal,
        principals: &[principal.to_owned()],
        not_before: now - BACKDATED,
        not_after: now + Duration::from_mins(1),
        extensions: &[],
    };
    authority.issue_ssh(key.ssh.public_key(), &contents).unwrap()
}

struct Client {
    incoming: Incoming<ReadHalf<DuplexStream>>,
    outgoing: Outgoing<WriteHalf<DuplexStream>>,
    session: Vec<u8>,
}

impl Client {
    /// Exchanges keys; the host must show a certificate of `hosts`.
    async fn connect(io: DuplexStream, hosts: &Authority) -> Self {
        let (reading, writing) = split(io);
        let mut incoming = Incoming { io: reading, cipher: None };
        let mut outgoing = Outgoing { io: writing, cipher: None };
        outgoing.io.write_all(b"SSH-2.0-test\r\n").await.unwrap();
        let mut version = vec![0; b"SSH-2.0-Teleport\r\n".len()];
        incoming.io.read_exact(&mut version).await.unwrap();
        let lists = [
            "curve25519-sha256,ext-info-c",
            "ecdsa-sha2-nistp256-cert-v01@openssh.com",
            "aes128-gcm@openssh.com",
            "aes128-gcm@openssh.com",
        ];
        let ours = lists.iter().fold(Writer::message(20).raw(&[0; 16]), |message, list| message.bytes(list.as_bytes()));
        let ours = (0..6).fold(ours, |message, _| message.bytes(b"none")).byte(0).number(0).0;
        outgoing.send(&ours).await.unwrap();
        let theirs = incoming.next().await.unwrap();
        let private = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).unwrap();
        let public = private.compute_public_key().unwrap();
        outgoing.send(&Writer::message(30).bytes(public.as_ref()).0).await.unwrap();
        let reply = incoming.next().await.unwrap();
        let mut fields = Reader(&reply[1..]);
        let (host, host_public) = (fields.bytes().unwrap(), fields.bytes().unwrap());
        let signature = Signature::try_from(fields.bytes().unwrap()).unwrap();
        let shared = agree_ephemeral(private, &UnparsedPublicKey::new(&X25519, host_public), <[u8]>::to_vec).unwrap();
        let secret = Writer::default().big_number(&shared).0;
        let transcript =
            Writer::default().bytes(b"SSH-2.0-test").bytes(b"SSH-2.0-Teleport").bytes(&ours).bytes(&theirs);
        let transcript = transcript.bytes(host).bytes(public.as_ref()).bytes(host_public).raw(&secret);
        let hash = digest(&SHA256, &transcript.0).as_ref().to_vec();
        let certificate = Certificate::from_bytes(host).unwrap();
        assert!(hosts.vouches_for(&certificate, SystemTime::now()));
        certificate.public_key().verify(&hash, &signature).unwrap();
        assert_eq!(incoming.next().await.unwrap(), [21]);
        outgoing.send(&[21]).await.unwrap();
        let derive = |letter: u8| {
            digest(&SHA256, &Writer::default().raw(&secret).raw(&hash).byte(letter).raw(&hash).0).as_ref().to_vec()
        };
        outgoing.cipher = Some(Cipher::new(&derive(b'C'), &derive(b'A')).unwrap());
        incoming.cipher = Some(Cipher::new(&derive(b'D'), &derive(b'B')).unwrap());
        assert_eq!(incoming.next().await.unwrap()[0], 7, "extensions were asked for");
        Self { incoming, outgoing, session: hash }
    }

    /// Logs in; the number of the server's verdict.
    async fn log_in(&mut self, user: &str, certificate: &Certificate, key: &Key) -> u8 {
        self.outgoing.send(&Writer::message(5).bytes(b"ssh-userauth").0).await.unwrap();
        assert_eq!(self.incoming.next().await.unwrap()[0], 6);
        let algorithm = b"ecdsa-sha2-nistp256-cert-v01@openssh.com";
        let request = Writer::message(50).bytes(user.as_bytes()).bytes(b"ssh-connection").bytes(b"publickey");
        let request = request.byte(1).bytes(algorithm).bytes(&certificate.to_bytes().unwrap());
        let signed = Writer::default().bytes(&self.session).raw(&request.0).0;
        let mut signature = Vec::new();
        key.ssh.try_sign(&signed).unwrap().encode(&mut signature).unwrap();
        self.outgoing.send(&request.bytes(&signature).0).await.unwrap();
        self.incoming.next().await.unwrap()[0]
    }

    /// Opens the channel and asks for `address`; the messages until the verdict on it.
    async fn dial(&mut self, address: &str) -> Vec<Vec<u8>> {
        let open = Writer::message(90).bytes(b"teleport-transport").number(5).number(1 << 20).number(1 << 15);
        self.outgoing.send(&open.0).await.unwrap();
        assert_eq!(self.incoming.next().await.unwrap()[0], 91);
        let payload = format!("{{\"address\":\"{address}\",\"conn_type\":\"node\"}}");
        let request = Writer::message(98).number(0).bytes(b"teleport-transport-dial").byte(1).raw(payload.as_bytes());
        self.outgoing.send(&request.0).await.unwrap();
        let mut messages = vec![self.incoming.next().await.unwrap()];
        while !matches!(messages.last().unwrap()[0], 99 | 100) {
            messages.push(self.incoming.next().await.unwrap());
        }
        messages
    }
}

struct Bench {
    authorities: Arc<Authorities>,
    key: Key,
    echo: TcpListener,
}

impl Bench {
    async fn new() -> Self {
        Self {
            authorities: Arc::new(Authorities::new("c", KeyAlgorithm::Ecdsa).unwrap()),
            key: Key::generate(KeyAlgorithm::Ecdsa).unwrap(),
            echo: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        }
    }

    async fn client(&self) -> Client {
        let host = Key::generate(KeyAlgorithm::Ecdsa).unwrap();
        let certificate = issue(&self.authorities.host, &host, CertType::Host, "localhost");
        let tunnel = Tunnel {
            core: Core::new(Config::default()),
            authorities: self.authorities.clone(),
            host: Arc::new(Host { key: host.ssh, certificate }),
            auth: self.echo.local_addr().unwrap(),
        };
        let (near, far) = tokio::io::duplex(1 << 16);
        tokio::spawn(async move { tunnel.serve(far).await });
        Client::connect(near, &self.authorities.host).await
    }
}

#[tokio::test]
async fn bytes_travel_through_the_tunnel_both_ways() {
    let bench = Bench::new().await;
    let mut client = bench.client().await;
    let certificate = issue(&bench.authorities.user, &bench.key, CertType::User, "root");
    assert_eq!(client.log_in("root", &certificate, &bench.key).await, 52);
    assert_eq!(client.dial("@remote-auth-server").await.pop().unwrap()[0], 99);
    let (mut auth, _) = bench.echo.accept().await.unwrap();
    client.outgoing.send(&Writer::message(94).number(0).bytes(b"hello").0).await.unwrap();
    let mut received = [0; 5];
    auth.read_exact(&mut received).await.unwrap();
    assert_eq!(&received, b"hello");
    assert_eq!(
        client.incoming.next().await.unwrap(),
        Writer::message(93).number(5).number(5).0,
        "the window is refilled"
    );
    auth.write_all(b"world").await.unwrap();
    assert_eq!(client.incoming.next().await.unwrap(), Writer::message(94).number(5).bytes(b"world").0);
    drop(auth);
    assert_eq!(client.incoming.next().await.unwrap()[0], 96);
    assert_eq!(client.incoming.next().await.unwrap()[0], 97);
}

#[tokio::test]
async fn only_certificates_of_users_log_in_and_only_under_their_principals() {
    let bench = Bench::new().await;
    let right = issue(&bench.authorities.user, &bench.key, CertType::User, "root");
    let foreign = issue(&bench.authorities.host, &bench.key, CertType::User, "root");
    for (user, certificate, verdict) in [("root", &right, 52), ("alice", &right, 51), ("root", &foreign, 51)] {
        let mut client = bench.client().await;
        assert_eq!(client.log_in(user, certificate, &bench.key).await, verdict, "{user}");
    }
    let other = Key::generate(KeyAlgorithm::Ecdsa).unwrap();
    assert_eq!(bench.client().await.log_in("root", &right, &other).await, 51, "signed with another key");
}

#[tokio::test]
async fn a_dial_to_anything_but_auth_fails_with_a_reason() {
    let bench = Bench::new().await;
    let mut client = bench.client().await;
    let certificate = issue(&bench.authorities.user, &bench.key, CertType::User, "root");
    client.log_in("root", &certificate, &bench.key).await;
    let messages = client.dial("node-1:3022").await;
    assert_eq!(messages[0][0], 95);
    assert!(String::from_utf8_lossy(&messages[0]).contains("\"node-1:3022\" is not reachable"));
    assert_eq!(messages[1][0], 100);
}
