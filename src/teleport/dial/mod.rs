//! Getting a connection to the Auth server, however Teleport is exposed.
//!
//! The address may be an Auth server's, a Proxy's web port or a Proxy's tunnel port. Nobody has to say which: the
//! likely ways are tried in turn with a short head start each, and the first on which an Auth server of the identity's
//! own cluster answers is taken. The channel keeps to that way when it has to connect anew.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;
use tracing::debug;

mod address;
pub(in crate::teleport) mod anonymous;
mod error;
pub(in crate::teleport) mod exchange;
pub(in crate::teleport) mod find;
mod http_proxy;
mod options;
mod race;
mod route;
#[cfg(test)]
mod tests;
mod tls;
mod tunnel;
mod upgrade;

use crate::teleport::dial::route::Context;
use crate::teleport::dial::tls::BoxedStream;
use crate::teleport::identity::Identity;

pub use crate::teleport::dial::address::{Address, NotAnAddress};
pub use crate::teleport::dial::error::{DialError, Failure, Refusal, StepError, refusal};
pub use crate::teleport::dial::find::FindError;
pub use crate::teleport::dial::options::{DialOptions, HttpProxySettings, UpgradeOverride};
pub use crate::teleport::dial::route::Route;

/// The head start of one way before the next. Longer than a handshake across a continent.
const HEAD_START: Duration = Duration::from_millis(300);
/// Teleport cuts off clients which ping more often than once a minute (`KeepAlivePeriod`).
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(90);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(30);

/// Finds a way to the Auth server behind `address` and connects.
///
/// The Auth server has answered on the connection by then, so it has not turned the certificate down; whether the user
/// may do anything is for a first call (`Ping`) to find out. A new identity needs a new dial.
pub async fn dial(
    address: &str,
    identity: Arc<Identity>,
    options: &DialOptions,
) -> Result<(Channel, Route), DialError> {
    let context = Arc::new(Context::new(address.parse()?, identity, options.clone())?);
    let attempts = Guess::all(&context).into_iter().map(|guess| {
        let context = &context;
        Box::pin(async move {
            let outcome = guess.attempt(context).await;
            if let Err(error) = &outcome {
                debug!(address = %context.address, way = guess.name(), %error, "This way does not lead to Teleport");
            }
            outcome.map_err(|error| Failure { way: guess.name(), error })
        })
    });
    let refused = |failure: &Failure| matches!(failure.error, StepError::Refused(_));
    match race::race(attempts, HEAD_START, refused).await {
        Ok((stream, route)) => Ok((channel(context, route.clone(), stream), route)),
        Err(failures) => Err(DialError::new(context.address.clone(), failures)),
    }
}

/// Tries every way and says what answered on each: for people who want to know. [`dial`] takes the first that works.
pub async fn survey(
    address: &str,
    identity: Arc<Identity>,
    options: &DialOptions,
) -> Vec<(&'static str, Result<Route, StepError>)> {
    let Ok(address) = address.parse() else { return Vec::new() };
    let Ok(context) = Context::new(address, identity, options.clone()) else { return Vec::new() };
    let attempts = Guess::all(&context).into_iter().map(|guess| {
        let context = &context;
        async move { (guess.name(), guess.attempt(context).await.map(|(_, route)| route)) }
    });
    futures::future::join_all(attempts).await
}

/// Connects on one known route and tries no other: for checks that want to know about that very route.
pub async fn dial_route(
    address: &str,
    identity: Arc<Identity>,
    options: &DialOptions,
    route: Route,
) -> Result<Channel, DialError> {
    let context = Arc::new(Context::new(address.parse()?, identity, options.clone())?);
    match context.connect(&route).await {
        Ok(stream) => Ok(channel(context, route, stream)),
        Err(error) => {
            Err(DialError::new(context.address.clone(), vec![Failure { way: "on the only route tried", error }]))
        }
    }
}

/// What the address may be.
#[derive(Clone, Copy)]
enum Guess {
    Auth,
    RoutingProxy,
    /// Some other Proxy: ask it.
    AskProxy,
    TunnelPort,
}

impl Guess {
    fn all(context: &Context) -> Vec<Self> {
        let mut guesses = vec![Self::Auth, Self::RoutingProxy, Self::AskProxy];
        if context.identity.ssh().is_some() {
            guesses.push(Self::TunnelPort);
        }
        guesses
    }

    fn name(self) -> &'static str {
        match self {
            Self::Auth => "as an Auth server",
            Self::RoutingProxy => "as a Proxy with TLS routing",
            Self::AskProxy => "as the Proxy itself says",
            Self::TunnelPort => "as a Proxy's SSH tunnel",
        }
    }

    async fn attempt(self, context: &Context) -> Result<(BoxedStream, Route), StepError> {
        let route = match self {
            Self::Auth => Route::Direct,
            Self::RoutingProxy => Route::ProxyAlpn,
            Self::AskProxy => context.bounded(announced(context)).await?,
            Self::TunnelPort => Route::ProxyTunnel { address: context.address.clone(), over_tls: false },
        };
        Ok((context.connect(&route).await?, route))
    }
}

/// The way that follows from what the Proxy says about itself.
async fn announced(context: &Context) -> Result<Route, StepError> {
    let tunnel = |address, over_tls| match context.identity.ssh() {
        Some(_) => Ok(Route::ProxyTunnel { address, over_tls }),
        None => Err(tunnel::missing(&context.identity)),
    };
    if let Some(given) = &context.options.tunnel_public_addr {
        return tunnel(given.parse().map_err(|error: NotAnAddress| StepError::NotOffered(error.to_string()))?, false);
    }
    if context.options.conn_upgrade.decides(&context.address) == Some(true) {
        return Ok(Route::ProxyAlpnUpgraded);
    }
    let found = find::ask(context.web().await?, &context.address).await.map_err(StepError::Find)?;
    if found.tls_routing() {
        let required = match context.options.conn_upgrade.decides(&context.address) {
            Some(decided) => decided,
            None => upgrade::is_required(context.tcp(&context.address).await?, &context.address, &context.web).await,
        };
        if required {
            return Ok(Route::ProxyAlpnUpgraded);
        }
    }
    tunnel(found.tunnel_address(&context.address).map_err(StepError::Find)?, found.tls_routing())
}

/// A channel which starts on the stream that won, and finds its way back by itself.
fn channel(context: Arc<Context>, route: Route, stream: BoxedStream) -> Channel {
    let first = Arc::new(Mutex::new(Some(stream)));
    let route = Arc::new(route);
    endpoint().connect_with_connector_lazy(service_fn(move |_: Uri| {
        let ready = first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (context, route) = (Arc::clone(&context), Arc::clone(&route));
        async move {
            match ready {
                Some(stream) => Ok(TokioIo::new(stream)),
                None => context.connect(&route).await.map(TokioIo::new),
            }
        }
    }))
}

/// TLS is ours, so tonic is told of none; what the server sees is the scheme of `origin`.
fn endpoint() -> Endpoint {
    Endpoint::from_static("http://teleport.cluster.local")
        .origin(Uri::from_static("https://teleport.cluster.local"))
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .http2_adaptive_window(false)
}
