//! The simulated Proxy: a web port which routes by ALPN, and an SSH tunnel port when TLS routing is off.
//!
//! ```text
//! web port ─▶ client hello ─┬─ teleport-auth@<hex>… ─▶ Auth, still encrypted
//!                           ├─ teleport-reversetunnel ─▶ TLS ─▶ SSH ─▶ Auth
//!                           └─ anything else ─▶ TLS ─▶ /webapi/find, /webapi/connectionupgrade ─▶ (again from the top)
//! ```

mod hello;
mod upgrade;
mod web;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::hello::{Hello, Rewound};
use super::authority::{Authorities, Authority, ServerCertificate, encoded_cluster_name};
use super::config::ProxyConfig;
use super::core::Core;
use super::server::TlsSetupError;
use super::ssh::Tunnel;

const TUNNEL: &str = "teleport-reversetunnel";
const TO_AUTH: &str = "teleport-auth@";
/// A client that does not finish a handshake is let go after this long.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A two-way stream of any make.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// What every connection of the Proxy needs.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(super) core: Core,
    pub(super) config: ProxyConfig,
    tunnel: Tunnel,
    /// With the certificate that browsers see, from the public web authority.
    public: Tls,
    /// With a certificate of the cluster's own host authority: inside an upgraded connection.
    internal: Tls,
    /// Addresses as the lookup tells them; known once everything listens.
    pub(super) web_address: SocketAddr,
    pub(super) tunnel_address: Option<SocketAddr>,
}

#[derive(Clone)]
struct Tls {
    web: TlsAcceptor,
    tunnel: TlsAcceptor,
}

impl Tls {
    fn new(authority: &Authority, names: &[String], web: &[&str]) -> Result<Self, TlsSetupError> {
        let server = authority.issue_server(names)?;
        Ok(Self { web: acceptor(&server, web)?, tunnel: acceptor(&server, &[TUNNEL])? })
    }
}

fn acceptor(server: &ServerCertificate, protocols: &[&str]) -> Result<TlsAcceptor, TlsSetupError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![server.certificate.clone()], server.key())?;
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
}

impl Proxy {
    pub(crate) fn new(
        core: Core,
        authorities: &Authorities,
        config: ProxyConfig,
        tunnel: Tunnel,
        web_address: SocketAddr,
        tunnel_address: Option<SocketAddr>,
    ) -> Result<Self, TlsSetupError> {
        let mut names = vec!["localhost".to_owned()];
        names.extend(config.public_addr.as_ref().map(|address| host(address).to_owned()));
        // A load balancer ends TLS and knows no protocol of Teleport's.
        let web: &[&str] = if config.behind_load_balancer { &[] } else { &["h2", "http/1.1"] };
        Ok(Self {
            public: Tls::new(&authorities.web, &names, web)?,
            internal: Tls::new(&authorities.host, &names, web)?,
            core,
            config,
            tunnel,
            web_address,
            tunnel_address,
        })
    }

    /// Serves the web port until `stop`.
    pub(crate) async fn serve_web(self, listener: TcpListener, stop: CancellationToken) {
        accept(listener, stop, |stream| {
            let proxy = self.clone();
            Box::pin(async move { proxy.web_connection(stream).await })
        })
        .await;
    }

    /// Serves the SSH tunnel port until `stop`.
    pub(crate) async fn serve_tunnel(self, listener: TcpListener, stop: CancellationToken) {
        accept(listener, stop, |stream| {
            let tunnel = self.tunnel.clone();
            Box::pin(async move { tunnel.serve(stream).await })
        })
        .await;
    }

    async fn web_connection(&self, mut stream: TcpStream) -> io::Result<()> {
        if self.config.behind_load_balancer {
            let stream = tokio::time::timeout(HANDSHAKE, self.public.web.accept(stream)).await??;
            return self.http(stream).await;
        }
        let hello = tokio::time::timeout(HANDSHAKE, hello::read(&mut stream)).await??;
        self.route(Box::new(stream), hello, &self.public).await
    }

    /// What goes through an upgraded connection is routed as if it had come to the web port.
    pub(super) async fn upgraded(&self, mut stream: Box<dyn Stream>) -> io::Result<()> {
        let hello = tokio::time::timeout(HANDSHAKE, hello::read(&mut stream)).await??;
        self.route(stream, hello, &self.internal).await
    }

    /// Teleport routes on the first protocol that a client offers.
    fn route(&self, io: Box<dyn Stream>, hello: Hello, tls: &Tls) -> BoxFuture<'_, io::Result<()>> {
        let first = hello.protocols.first().cloned().unwrap_or_default();
        let mut stream = Rewound { first: hello.bytes, io };
        let tls = tls.clone();
        Box::pin(async move {
            let routing = self.config.tls_routing;
            if let Some(cluster) = first.strip_prefix(TO_AUTH)
                && routing
            {
                if cluster != encoded_cluster_name(&self.core.config.cluster_name) {
                    return Err(io::Error::other(format!("no cluster {cluster}")));
                }
                let mut auth = TcpStream::connect(self.tunnel.auth).await?;
                auth.set_nodelay(true)?;
                copy_bidirectional(&mut stream, &mut auth).await?;
                return auth.shutdown().await;
            }
            if first == TUNNEL && routing {
                let stream = tokio::time::timeout(HANDSHAKE, tls.tunnel.accept(stream)).await??;
                return self.tunnel.serve(stream).await;
            }
            let stream = tokio::time::timeout(HANDSHAKE, tls.web.accept(stream)).await??;
            self.http(stream).await
        })
    }

    async fn http<I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, stream: I) -> io::Result<()> {
        let service = TowerToHyperService::new(web::router(self.clone()));
        let builder = Builder::new(TokioExecutor::new());
        builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await.map_err(io::Error::other)
    }
}

/// The host of `host:port` or `host`.
pub(super) fn host(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

/// Accepts connections until `stop`; then all of them are broken.
async fn accept(
    listener: TcpListener,
    stop: CancellationToken,
    serve: impl Fn(TcpStream) -> BoxFuture<'static, io::Result<()>>,
) {
    let connections = TaskTracker::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        // An accept that fails is one client's trouble, not the server's.
        let Ok((stream, _)) = accepted else { continue };
        // Small packets go out at once.
        let _ = stream.set_nodelay(true);
        let serving = serve(stream);
        let stop = stop.clone();
        connections.spawn(async move {
            if let Some(Err(error)) = stop.run_until_cancelled(serving).await {
                tracing::debug!(%error, "a connection to the proxy ended");
            }
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}
