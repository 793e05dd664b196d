//! The ways to an Auth server, each of them a stack of layers with HTTP/2 on top.

use std::fmt;
use std::sync::Arc;

use rustls::ClientConfig;
use tokio::time::timeout;
use tracing::debug;

use crate::teleport::dial::address::Address;
use crate::teleport::dial::error::StepError;
use crate::teleport::dial::options::DialOptions;
use crate::teleport::dial::tls::{self, BoxedStream, WebTrust};
use crate::teleport::dial::upgrade::{self, Mode, Refusal, TUNNEL_PROTOCOL, UpgradeError};
use crate::teleport::dial::{http_proxy, tunnel};
use crate::teleport::identity::Identity;

/// How an Auth server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// The address is the Auth server's own.
    Direct,
    /// Through the Proxy's web port, which hands the connection on by its application protocol.
    ProxyAlpn,
    /// The same inside an HTTP upgrade, because a load balancer in between ends TLS.
    ProxyAlpnUpgraded,
    /// Through the Proxy's SSH tunnel.
    ProxyTunnel {
        /// Where the tunnel listens.
        address: Address,
        /// Whether the tunnel shares the web port and is reached by TLS.
        over_tls: bool,
    },
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => f.write_str("directly"),
            Self::ProxyAlpn => f.write_str("through the Proxy (TLS routing)"),
            Self::ProxyAlpnUpgraded => f.write_str("through the Proxy (TLS routing inside an HTTP upgrade)"),
            Self::ProxyTunnel { address, over_tls: false } => write!(f, "through the Proxy (SSH tunnel at {address})"),
            Self::ProxyTunnel { address, over_tls: true } => {
                write!(f, "through the Proxy (SSH tunnel over TLS at {address})")
            }
        }
    }
}

/// Everything that connecting needs, prepared once per dial.
pub(super) struct Context {
    pub(super) address: Address,
    pub(super) identity: Arc<Identity>,
    pub(super) options: DialOptions,
    /// Towards an Auth server, directly.
    pub(super) direct: Arc<ClientConfig>,
    /// Towards an Auth server, through a Proxy that routes by TLS.
    pub(super) routed: Arc<ClientConfig>,
    /// Towards the Proxy's web port.
    pub(super) web: WebTrust,
}

impl Context {
    pub(super) fn new(address: Address, identity: Arc<Identity>, options: DialOptions) -> Result<Self, rustls::Error> {
        let direct = Arc::new(identity.tls_config(&tls::direct_protocols())?);
        let mut routed = ClientConfig::clone(&direct);
        routed.alpn_protocols = tls::routed_protocols(identity.cluster());
        let web = WebTrust::new(options.web_authorities.clone());
        Ok(Self { address, identity, options, direct, routed: Arc::new(routed), web })
    }

    /// Connects on one route, up to the Auth server's first word.
    pub(super) async fn connect(&self, route: &Route) -> Result<BoxedStream, StepError> {
        self.bounded(async {
            match route {
                Route::Direct => tls::to_auth(self.tcp(&self.address).await?, &self.identity, &self.direct).await,
                Route::ProxyAlpn => tls::to_auth(self.tcp(&self.address).await?, &self.identity, &self.routed).await,
                Route::ProxyAlpnUpgraded => {
                    let stream = self.upgraded().await?;
                    tls::to_auth(stream, &self.identity, &self.routed).await
                }
                Route::ProxyTunnel { address, over_tls } => {
                    let stream = self.tcp(address).await?;
                    let stream = if *over_tls { self.tunnel_tls(stream, address).await? } else { stream };
                    let stream = tunnel::open(stream, &self.identity).await?;
                    tls::to_auth(stream, &self.identity, &self.direct).await
                }
            }
        })
        .await
    }

    /// A connection to the Proxy's web port, speaking HTTP.
    pub(super) async fn web(&self) -> Result<BoxedStream, StepError> {
        self.web_tls(self.tcp(&self.address).await?, &self.address, "http/1.1").await
    }

    /// A TCP connection, through the HTTP proxy if there is one.
    pub(super) async fn tcp(&self, address: &Address) -> Result<BoxedStream, StepError> {
        http_proxy::connect(address, &self.options.http_proxy, &self.web).await
    }

    /// Nothing on the way may be silent for longer than the timeout.
    pub(super) async fn bounded<T>(&self, work: impl Future<Output = Result<T, StepError>>) -> Result<T, StepError> {
        let limit = self.options.timeout;
        timeout(limit, work).await.unwrap_or_else(|_| Err(StepError::Timeout { seconds: limit.as_secs() }))
    }

    /// One attempt for each form that may be understood, and one message for all of them.
    async fn upgraded(&self) -> Result<BoxedStream, StepError> {
        let mut refusals: Vec<String> = Vec::new();
        for mode in Mode::ALL {
            let stream = self.tcp(&self.address).await?;
            let refusal = match upgrade::upgrade(stream, &self.address, &self.web, mode).await {
                Ok(stream) => return Ok(stream),
                Err(UpgradeError::Step(error)) if refusals.is_empty() => return Err(error),
                Err(UpgradeError::Step(error)) => Refusal { said: error.to_string(), another_may_help: true },
                Err(UpgradeError::Refused(refusal)) => refusal,
            };
            debug!(address = %self.address, ?mode, reason = refusal.said, "The upgrade was refused");
            let Refusal { said, another_may_help } = refusal;
            if !refusals.contains(&said) {
                refusals.push(said);
            }
            if !another_may_help {
                break;
            }
        }
        Err(StepError::Upgrade(format!(
            "{}; what stands in front of the Proxy must pass `Connection: Upgrade` and `Upgrade: websocket` on for {}",
            refusals.join(", then "),
            upgrade::PATH
        )))
    }

    async fn tunnel_tls(&self, stream: BoxedStream, address: &Address) -> Result<BoxedStream, StepError> {
        self.web_tls(stream, address, TUNNEL_PROTOCOL).await
    }

    async fn web_tls(&self, stream: BoxedStream, address: &Address, protocol: &str) -> Result<BoxedStream, StepError> {
        let name = address.server_name().map_err(|error| StepError::Tls(error.to_string()))?;
        let stream =
            tls::to_web(stream, name, &self.web, &[protocol]).await.map_err(|error| StepError::web_tls(&error))?;
        Ok(Box::new(stream))
    }
}
