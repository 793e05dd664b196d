//! Teleport as seen from outside, as far as dialing can tell: each server accepts on loopback until it is dropped.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::{SinkExt, StreamExt};
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::teleport::dial::tls::Stream;
use crate::teleport::testing::{Cluster, web_server};
use crate::teleport::tunnel::test_server::TestServer;

/// Something that listens on loopback.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) accepted: Arc<AtomicUsize>,
    cut: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&accepted);
        let (cut, cuts) = watch::channel(());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                let serving = serve(stream);
                let mut cuts = cuts.clone();
                cuts.mark_unchanged();
                tokio::spawn(async move {
                    tokio::select! { () = serving => {} _ = cuts.changed() => {} }
                });
            }
        });
        Self { address, accepted, cut, task }
    }

    /// Breaks all connections that there are.
    pub(super) fn cut(&self) {
        self.cut.send(()).unwrap();
    }

    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// An Auth server.
    pub(super) async fn auth(cluster: &Cluster) -> Self {
        let config = Arc::new(cluster.auth_server());
        Self::start(move |stream| serve_auth(stream, Arc::clone(&config))).await
    }

    /// A Proxy with TLS routing: hands the right protocol to the Auth server, and is a web server otherwise.
    pub(super) async fn routing_proxy(cluster: &Cluster) -> Self {
        let wanted = format!("teleport-auth@{}.teleport.cluster.local", hex(&cluster.name));
        let auth = Arc::new(cluster.auth_server());
        let web = Arc::new(web_server(&["h2", "http/1.1"]).0);
        Self::start(move |stream| {
            let (wanted, auth, web) = (wanted.clone(), Arc::clone(&auth), Arc::clone(&web));
            async move {
                let Ok(start) = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await else {
                    return;
                };
                let routed = start
                    .client_hello()
                    .alpn()
                    .is_some_and(|mut protocols| protocols.next() == Some(wanted.as_bytes()));
                if routed {
                    let Ok(stream) = start.into_stream(auth).await else { return };
                    serve_http2(stream).await;
                } else {
                    // The client does not trust this one, so there is nothing to serve.
                    let _ = start.into_stream(web).await;
                }
            }
        })
        .await
    }

    /// A web server which answers `find`, upgrades connections as its `manner` says, and swallows ALPN.
    pub(super) async fn web(find: String, upgrades: Option<(Upgrades, &Cluster)>) -> (Self, CertificateDer<'static>) {
        let (config, authority) = web_server(&[]);
        let config = Arc::new(config);
        let upgrades = upgrades.map(|(manner, cluster)| (manner, Arc::new(cluster.auth_server())));
        let server = Self::start(move |stream| {
            let (config, find, upgrades) = (Arc::clone(&config), find.clone(), upgrades.clone());
            async move {
                if let Ok(stream) = TlsAcceptor::from(config).accept(stream).await {
                    serve_web(stream, &find, upgrades).await;
                }
            }
        })
        .await;
        (server, authority)
    }

    /// The SSH tunnel of a Proxy, with the Auth server behind it.
    pub(super) async fn tunnel(cluster: &Cluster) -> Self {
        let auth = Arc::new(cluster.auth_server());
        let (key, certificate) = cluster.ssh_host();
        let ssh = Arc::new(TestServer { key, certificate, users: cluster.ssh_authority(), refusal: None });
        Self::start(move |stream| {
            let (ssh, auth) = (Arc::clone(&ssh), Arc::clone(&auth));
            async move {
                if let Ok((payload, channel)) = ssh.accept(stream).await {
                    assert_eq!(payload, br#"{"address":"@remote-auth-server","conn_type":"node"}"#);
                    serve_auth(channel, auth).await;
                }
            }
        })
        .await
    }

    /// An HTTP proxy which knows one name, and remembers the requests' heads.
    pub(super) async fn http_proxy(name: &'static str, target: SocketAddr, heads: Arc<Mutex<Vec<String>>>) -> Self {
        Self::start(move |mut stream| {
            let heads = Arc::clone(&heads);
            async move {
                let head = read_head(&mut stream).await;
                let known = head.starts_with(&format!("CONNECT {name} HTTP/1.1\r\n"));
                heads.lock().unwrap().push(head);
                if !known {
                    let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
                    return;
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let mut upstream = TcpStream::connect(target).await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut upstream).await;
            }
        })
        .await
    }

    /// Accepts and says nothing.
    pub(super) async fn silent() -> Self {
        Self::start(|stream| async move {
            std::future::pending::<()>().await;
            drop(stream);
        })
        .await
    }
}

/// How a Proxy behind a load balancer lets connections be upgraded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Upgrades {
    /// With pings only.
    WebSocketWithPings,
    /// Without pings only.
    WebSocket,
    Legacy,
    /// A front that answers everything like this.
    Never(&'static str),
}

fn hex(name: &str) -> &'static str {
    assert_eq!(name, "example", "the only name in these tests");
    "6578616d706c65"
}

async fn serve_auth(stream: impl Stream + 'static, config: Arc<ServerConfig>) {
    if let Ok(stream) = TlsAcceptor::from(config).accept(stream).await {
        serve_http2(stream).await;
    }
}

/// Answers every call with "unimplemented", which proves that it got here and back.
async fn serve_http2(stream: impl Stream + 'static) {
    let answer = |_: Request<Incoming>| async {
        let response = Response::builder().header("content-type", "application/grpc").header("grpc-status", "12");
        Ok::<_, Infallible>(response.body(Empty::<bytes::Bytes>::new()).unwrap())
    };
    let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service_fn(answer)).await;
}

async fn read_head(stream: &mut (impl Stream + ?Sized)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

async fn serve_web(mut stream: impl Stream + 'static, find: &str, upgrades: Option<(Upgrades, Arc<ServerConfig>)>) {
    let head = read_head(&mut stream).await;
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    };
    let upgrade = header("upgrade").unwrap_or_default();
    match (head.split(' ').nth(1), upgrades) {
        (Some("/webapi/find"), _) => {
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{find}", find.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
        (Some("/webapi/connectionupgrade"), Some((Upgrades::Never(status), _))) => {
            let answer = format!("HTTP/1.1 {status}\r\nserver: front\r\ncontent-length: 0\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
        (
            Some("/webapi/connectionupgrade"),
            Some((manner @ (Upgrades::WebSocketWithPings | Upgrades::WebSocket), auth)),
        ) if upgrade == "websocket" => {
            let known = if manner == Upgrades::WebSocket { "alpn" } else { "alpn-ping" };
            let offered = header("sec-websocket-protocol").unwrap_or_default();
            // A server that knows none of what was offered switches, and names none (RFC 6455, 4.2.2).
            let protocol =
                if offered == known { format!("sec-websocket-protocol: {known}\r\n") } else { String::new() };
            let accept = derive_accept_key(header("sec-websocket-key").unwrap().as_bytes());
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\n{protocol}\r\n"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
            serve_websocket(stream, auth).await;
        }
        (Some("/webapi/connectionupgrade"), Some((Upgrades::Legacy, auth))) if upgrade == "alpn" => {
            let answer = "HTTP/1.1 101 Switching Protocols\r\nupgrade: alpn\r\nconnection: upgrade\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
            serve_auth(stream, auth).await;
        }
        _ => {
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
        }
    }
}

/// Bytes in binary messages, with pings in between, as the Proxy sends them.
async fn serve_websocket(stream: impl Stream + 'static, auth: Arc<ServerConfig>) {
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    let (inner, mut outer) = duplex(4096);
    tokio::spawn(serve_auth(inner, auth));
    let mut buffer = [0; 700];
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Binary(bytes))) => outer.write_all(&bytes).await.unwrap(),
                Some(Ok(_)) => {}
                _ => return,
            },
            read = outer.read(&mut buffer) => {
                let Ok(count @ 1..) = read else { return };
                let bytes = buffer[..count].to_vec();
                if socket.send(Message::Ping("alive?".into())).await.is_err()
                    || socket.send(Message::Binary(bytes.into())).await.is_err()
                {
                    return;
                }
            }
        }
    }
}
