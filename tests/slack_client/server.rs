//! A server that answers as a test tells it, byte by byte where need be, and remembers what it was asked.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What the server does with one request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Answers.
    Http { status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8> },
    /// Reads the request and closes the connection.
    Close,
    /// Announces a longer body than it sends, and closes.
    CutShort,
    /// Reads the request and stays silent.
    Hang,
    /// Waits for [`Server::release`], then answers.
    Held(Value),
}

impl Reply {
    pub(crate) fn json(body: &Value) -> Self {
        Self::Http {
            status: 200,
            headers: vec![("content-type", "application/json; charset=utf-8".to_owned())],
            body: body.to_string().into_bytes(),
        }
    }

    pub(crate) fn html(status: u16) -> Self {
        Self::Http {
            status,
            headers: vec![("content-type", "text/html".to_owned())],
            body: b"<html>{\"ok\":true} Server Error | Slack</html>".to_vec(),
        }
    }

    pub(crate) fn status(mut self, code: u16) -> Self {
        if let Self::Http { status, .. } = &mut self {
            *status = code;
        }
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Self::Http { headers, .. } = &mut self {
            headers.push((name, value.to_owned()));
        }
        self
    }
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) verb: String,
    pub(crate) target: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

#[derive(Default)]
struct Script {
    replies: Mutex<VecDeque<Reply>>,
    received: Mutex<Vec<Received>>,
    arrived: Notify,
    release: Notify,
}

/// Gives the replies in order, whatever is asked; ends with this value.
pub(crate) struct Server {
    script: Arc<Script>,
    address: SocketAddr,
    _connections: JoinSet<()>,
}

#[derive(Clone)]
enum Mode {
    Plain,
    Tls(TlsAcceptor),
    Proxy(TlsAcceptor),
}

impl Server {
    pub(crate) async fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self::start(replies, Mode::Plain).await
    }

    /// With TLS for `localhost`; the PEM is its authority's.
    pub(crate) async fn tls(replies: impl IntoIterator<Item = Reply>) -> (Self, Vec<u8>) {
        let (acceptor, ca) = acceptor("localhost");
        (Self::start(replies, Mode::Tls(acceptor)).await, ca)
    }

    /// An HTTPS proxy which is every server itself, as `host`.
    pub(crate) async fn proxy(replies: impl IntoIterator<Item = Reply>, host: &str) -> (Self, Vec<u8>) {
        let (acceptor, ca) = acceptor(host);
        (Self::start(replies, Mode::Proxy(acceptor)).await, ca)
    }

    async fn start(replies: impl IntoIterator<Item = Reply>, mode: Mode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Script { replies: Mutex::new(replies.into_iter().collect()), ..Script::default() });
        let mut connections = JoinSet::new();
        let shared = Arc::clone(&script);
        connections.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(connection(stream, mode.clone(), Arc::clone(&shared)));
            }
        });
        Self { script, address, _connections: connections }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/api/", self.address)
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.script.received.lock().unwrap().clone()
    }

    /// Waits until a request has arrived.
    pub(crate) async fn arrival(&self) {
        self.script.arrived.notified().await;
    }

    /// Lets a held reply go.
    pub(crate) fn release(&self) {
        self.script.release.notify_one();
    }
}

async fn connection(stream: TcpStream, mode: Mode, script: Arc<Script>) {
    match mode {
        Mode::Plain => serve(stream, &script).await,
        Mode::Tls(acceptor) => secure(stream, &acceptor, &script).await,
        Mode::Proxy(acceptor) => {
            let mut stream = BufReader::new(stream);
            let Some(request) = receive(&mut stream).await else { return };
            let is_connect = request.verb == "CONNECT";
            script.received.lock().unwrap().push(request);
            if is_connect && stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.is_ok() {
                secure(stream.into_inner(), &acceptor, &script).await;
            }
        }
    }
}

async fn secure(stream: TcpStream, acceptor: &TlsAcceptor, script: &Script) {
    // A client that does not trust us goes away here.
    if let Ok(stream) = acceptor.accept(stream).await {
        serve(stream, script).await;
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, script: &Script) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = receive(&mut stream).await {
        script.received.lock().unwrap().push(request);
        script.arrived.notify_one();
        let reply = script.replies.lock().unwrap().pop_front().expect("more calls than replies");
        let reply = match reply {
            Reply::Close => return,
            Reply::Hang => std::future::pending().await,
            Reply::CutShort => {
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"ok\":";
                let _ = stream.write_all(head.as_bytes()).await;
                let _ = stream.flush().await;
                return;
            }
            Reply::Held(body) => {
                script.release.notified().await;
                Reply::json(&body)
            }
            reply @ Reply::Http { .. } => reply,
        };
        let Reply::Http { status, headers, body } = reply else { return };
        let mut head = format!("HTTP/1.1 {status} Whatever\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.extend([name, ": ", &value, "\r\n"]);
        }
        head.push_str("\r\n");
        if stream.write_all(head.as_bytes()).await.is_err() || stream.write_all(&body).await.is_err() {
            return;
        }
        let _ = stream.flush().await;
    }
}

async fn receive(stream: &mut (impl AsyncBufRead + Unpin)) -> Option<Received> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
    let mut parts = line.split_whitespace().map(str::to_owned);
    let (verb, target) = (parts.next()?, parts.next()?);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Received { verb, target, headers, body: String::from_utf8(body).unwrap() })
}

fn acceptor(host: &str) -> (TlsAcceptor, Vec<u8>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([host.to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), ca.pem().into_bytes())
}
