//! What lies outside of the cluster: Teleport, Slack and a name server, under the names and ports that the sample uses.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use simulators::slack::{self, Message, default_workspace};
use simulators::teleport::{Cluster, Config, NewRequest};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_rustls::TlsAcceptor;

/// How long an announcement may take before it counts as lost.
const LOST: Duration = Duration::from_mins(1);

/// Teleport and Slack, and who has to be told of which request.
pub(crate) struct Outside {
    pub(crate) teleport: Cluster,
    pub(crate) slack: slack::Server,
    /// The authorities that vouch for both, PEM.
    pub(crate) authorities: String,
    /// The places where each request has to be announced, once.
    expected: Mutex<BTreeMap<String, Vec<String>>>,
}

impl Outside {
    pub(crate) async fn start([first, second]: [Ipv4Addr; 2]) -> Self {
        let teleport = Cluster::start(Config { listen: format!("{first}:443"), ..Config::default() }).await.unwrap();
        let slack = slack::Server::start(default_workspace()).await.unwrap();
        let slack_authority = serve_tls((second, 443).into(), "slack.com", slack.address()).await;
        serve_names((first, 53).into(), BTreeMap::from([("teleport.example.com", first), ("slack.com", second)])).await;
        let authorities = format!("{}\n{slack_authority}", teleport.web_authority_pem());
        Self { teleport, slack, authorities, expected: Mutex::default() }
    }

    /// Makes an access request; it has to be announced in these places: names of channels, or e-mail addresses.
    pub(crate) fn request(&self, role: &str, places: &[&str]) -> String {
        let id = self.teleport.create_request(NewRequest::new("bob@example.com", &[role]).reason("e2e"));
        let places = places.iter().map(|&place| place.to_owned()).collect();
        self.expected.lock().unwrap().insert(id.clone(), places);
        id
    }

    /// Waits until a request is announced wherever it has to be; returns how long that took.
    pub(crate) async fn announced(&self, id: &str) -> Duration {
        let began = Instant::now();
        let places = self.expected.lock().unwrap()[id].clone();
        let everywhere = |slack: &slack::Handle| places.iter().all(|place| count(slack, place, id) > 0);
        if let Err(error) = self.slack.workspace().wait_for(everywhere, LOST).await {
            panic!("request {id} is not announced in all of {places:?}: {error}");
        }
        began.elapsed()
    }

    /// Makes a request, waits for its announcement, and decides it: what still waits for a decision is announced to recipients that
    /// are added later, too.
    pub(crate) async fn works(&self, role: &str, places: &[&str]) {
        let id = self.request(role, places);
        self.announced_and_decided(&id).await;
    }

    /// Waits for the announcement of a request, and decides it.
    pub(crate) async fn announced_and_decided(&self, id: &str) {
        self.announced(id).await;
        self.teleport.approve(id, "").unwrap();
    }

    /// Looks at every request of the journey: announced once wherever it had to be, and nowhere else. Returns how many there are.
    pub(crate) fn nothing_lost_or_doubled(&self) -> usize {
        let expected = self.expected.lock().unwrap();
        let slack = self.slack.workspace();
        let everywhere = ["access-requests", "dba-oncall", "general", "alice@example.com", "bob@example.com"];
        for (id, places) in expected.iter() {
            for place in everywhere {
                let wanted = usize::from(places.iter().any(|wanted| wanted == place));
                let found = count(slack, place, id);
                assert_eq!(found, wanted, "announcements of {id} in {place} (expected in {places:?})");
            }
        }
        expected.len()
    }

    /// The announcement of a request in a channel.
    pub(crate) fn announcement(&self, channel: &str, id: &str) -> Message {
        announcements(self.slack.workspace(), channel, id).pop().unwrap()
    }
}

fn count(slack: &slack::Handle, place: &str, id: &str) -> usize {
    announcements(slack, place, id).len()
}

/// Messages in a channel or to a person that are no replies and name the request.
fn announcements(slack: &slack::Handle, place: &str, id: &str) -> Vec<Message> {
    let mut messages = if place.contains('@') { slack.direct_messages(place) } else { slack.messages(place) };
    messages.retain(|message| {
        let reply = message.thread_ts.as_ref().is_some_and(|thread| *thread != message.ts);
        !reply && format!("{}{:?}{:?}", message.text, message.blocks, message.attachments).contains(id)
    });
    messages
}

/// Serves TLS in front of a plain server; returns the authority that vouches for it, PEM.
async fn serve_tls(address: SocketAddr, name: &str, backend: SocketAddr) -> String {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let authority_certificate = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // Whoever hangs up in the middle is gone; nothing to be done.
                if let (Ok(mut inside), Ok(mut outside)) =
                    (TcpStream::connect(backend).await, acceptor.accept(stream).await)
                {
                    let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
                }
            });
        }
    });
    authority_certificate.pem()
}

/// Answers questions for addresses (RFC 1035): these names, and that there is no other.
async fn serve_names(address: SocketAddr, names: BTreeMap<&'static str, Ipv4Addr>) {
    let socket = UdpSocket::bind(address).await.unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, asker)) = socket.recv_from(&mut buffer).await {
            if let Some(answer) = answer(&buffer[..length], &names) {
                let _ = socket.send_to(&answer, asker).await;
            }
        }
    });
}

fn answer(query: &[u8], names: &BTreeMap<&str, Ipv4Addr>) -> Option<Vec<u8>> {
    let mut name = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        name.push(String::from_utf8_lossy(query.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let question = query.get(12..at + 4)?;
    let wants_v4 = question.ends_with(&[0, 1, 0, 1]);
    let known = names.get(name.join(".").as_str());
    let address = known.filter(|_| wants_v4).map(|address| IpAddr::V4(*address));
    // The id again; an answer with authority; "no such name" where there is none. No further options (no EDNS).
    let code = if known.is_some() { 0 } else { 3 };
    let mut reply = vec![query[0], query[1], 0x85, 0x80 | code, 0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0];
    reply.extend_from_slice(question);
    if let Some(IpAddr::V4(address)) = address {
        // The name as in the question, type A, class IN, 5 seconds, 4 bytes.
        reply.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4]);
        reply.extend_from_slice(&address.octets());
    }
    Some(reply)
}
