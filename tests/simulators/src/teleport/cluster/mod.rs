//! The handle of a simulated cluster.

mod proxy;
mod resources;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio_util::sync::{CancellationToken, DropGuard};

use self::proxy::ProxyListeners;
use super::authority::Authorities;
use super::config::{Config, ServerVersion};
use super::core::Core;
use super::fitness::{self, Unfit};
use super::identity::{Identity, IdentityRequest, Validity};
use super::join::JoinToken;
use super::journal::{Call, Violation};
use super::keys::SigningError;
use super::listener::{Restartable, Start};
use super::role::User;
use super::server::{self, TlsSetupError};
use super::watch::{Ending, closed_by_server};
use crate::faults::{Fault, Faults};

/// Why a cluster did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Keys or certificates.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
    /// The address.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// As configured.
        address: String,
        /// What the system says.
        source: io::Error,
    },
}

/// Nothing like that happened in time.
#[derive(Debug, thiserror::Error)]
#[error("waited {0:?} in vain")]
pub struct TimedOut(Duration);

/// A running cluster. Clones are the same cluster; it ends with the last of them.
#[derive(Clone)]
pub struct Cluster {
    pub(super) core: Core,
    pub(super) authorities: Arc<Authorities>,
    auth: Restartable,
    proxy: Option<ProxyListeners>,
    _tasks: Arc<DropGuard>,
}

impl Cluster {
    /// Starts a cluster on loopback.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let authorities = Arc::new(Authorities::new(&config.cluster_name, config.algorithm)?);
        let tls = server::tls_acceptor(&authorities, &config.cluster_name)?;
        let listen = config.listen.clone();
        let core = Core::new(config);
        let (serving, signing) = (core.clone(), authorities.clone());
        let start: Start = Box::new(move |listener, stop| {
            tokio::spawn(server::serve(serving.clone(), signing.clone(), listener, tls.clone(), stop))
        });
        let refused = |source| StartError::Listen { address: listen.clone(), source };
        let auth = Restartable::reserve(&listen).await.map_err(refused)?;
        let auth = auth.start(start).await.map_err(refused)?;
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(core.clone().expire()));
        let proxy = match core.config.proxy.clone() {
            Some(config) => Some(ProxyListeners::start(&core, &authorities, config, auth.address).await?),
            None => None,
        };
        Ok(Self { core, authorities, auth, proxy, _tasks: Arc::new(stop.drop_guard()) })
    }

    /// Name of the cluster.
    pub fn name(&self) -> &str {
        &self.core.config.cluster_name
    }

    /// Version that it behaves as.
    pub fn version(&self) -> ServerVersion {
        self.core.config.version
    }

    /// Where Auth listens.
    pub fn addr(&self) -> SocketAddr {
        self.auth.address
    }

    /// Where the Proxy's web port listens.
    pub fn proxy_addr(&self) -> Option<SocketAddr> {
        self.proxy.as_ref().map(|proxy| proxy.web.address)
    }

    /// Where the Proxy's SSH tunnel port listens; only without TLS routing.
    pub fn tunnel_addr(&self) -> Option<SocketAddr> {
        self.proxy.as_ref()?.tunnel.as_ref().map(|tunnel| tunnel.address)
    }

    // ---- identities

    /// Signs an identity as `tctl auth sign` would.
    pub fn sign_identity(
        &self,
        user: &str,
        roles: &[&str],
        validity: impl Into<Validity>,
    ) -> Result<Identity, SigningError> {
        self.sign(&IdentityRequest {
            user: user.to_owned(),
            roles: roles.iter().map(|&role| role.to_owned()).collect(),
            logins: Vec::new(),
            validity: validity.into(),
            algorithm: self.core.config.algorithm,
        })
    }

    /// Signs an identity of any make.
    pub fn sign(&self, request: &IdentityRequest) -> Result<Identity, SigningError> {
        let public = self.core.proxy_public_addr();
        let host = public.rsplit_once(':').map(|(host, _)| host);
        Identity::sign(&self.authorities, self.name(), host, request, SystemTime::now())
    }

    /// An identity of a user of the cluster with the roles that the user has.
    pub fn user_identity(&self, user: &str, validity: impl Into<Validity>) -> Result<Identity, SigningError> {
        let roles = self.core.read(|state| state.users.get(user).map(|user| user.roles.clone())).unwrap_or_default();
        let roles: Vec<&str> = roles.iter().map(String::as_str).collect();
        self.sign_identity(user, &roles, validity)
    }

    /// Writes an identity file of one day for the user `slack-plugin`.
    pub fn write_identity_file(&self, path: impl AsRef<Path>) -> Result<(), io::Error> {
        let day = Duration::from_hours(24);
        self.user_identity("slack-plugin", day).map_err(io::Error::other)?.write_identity_file(path)
    }

    /// The certificate, PEM, that a client must trust to accept the Proxy's web certificate.
    pub fn web_authority_pem(&self) -> String {
        super::x509::pem("CERTIFICATE", &self.authorities.web.certificate)
    }

    /// The certificate, PEM, of the cluster's host authority (`tctl auth export --type=tls-host`).
    pub fn host_authority_pem(&self) -> String {
        super::x509::pem("CERTIFICATE", &self.authorities.host.certificate)
    }

    /// The pin of the cluster's host authority, as `tctl status` prints it.
    pub fn ca_pin(&self) -> String {
        super::join::ca_pin(&self.authorities.host.certificate)
    }

    // ---- joining

    /// Makes a token resource of join method `kubernetes`, or replaces it, and its bot's user.
    pub fn put_join_token(&self, token: JoinToken) {
        self.core.write(|state| {
            let bot = token.user();
            state.users.insert(bot.clone(), User::new(&bot, &[&bot]));
            state.join_tokens.insert(token.name.clone(), token);
        });
    }

    /// Removes a token resource; its bot stays.
    pub fn remove_join_token(&self, name: &str) {
        self.core.write(|state| state.join_tokens.remove(name));
    }

    // ---- faults, strictness, time

    /// The faults in force.
    pub fn faults(&self) -> &Faults {
        &self.core.faults
    }

    /// Adds a fault that can happen to a Teleport; returns its number.
    pub fn inject(&self, fault: Fault) -> Result<u64, Unfit> {
        fitness::check(&fault)?;
        Ok(self.core.faults.inject(fault))
    }

    /// Every call so far, oldest first.
    pub fn journal(&self) -> Vec<Call> {
        self.core.journal.calls()
    }

    /// The calls after that number, oldest first.
    pub fn calls_after(&self, number: u64) -> Vec<Call> {
        self.core.journal.after(number)
    }

    /// Calls of one method so far.
    pub fn calls(&self, method: &str) -> Vec<Call> {
        self.journal().into_iter().filter(|call| call.method == method).collect()
    }

    /// What a real Teleport would have refused or punished.
    pub fn violations(&self) -> Vec<Violation> {
        self.core.journal.violations()
    }

    /// Forgets the calls and violations so far.
    pub fn clear_journal(&self) {
        self.core.journal.clear();
    }

    /// For tests: fails with the list when a client did something that a real Teleport would have refused or punished.
    ///
    /// # Panics
    /// When there are violations.
    pub fn assert_no_violations(&self) {
        let violations: Vec<_> = self.violations().iter().map(ToString::to_string).collect();
        assert!(violations.is_empty(), "a real Teleport would refuse or punish this: {violations:#?}");
    }

    /// Moves the cluster's clock forward: requests and records that expire until then expire now. Certificates keep to real
    /// time, as their holders do.
    pub fn advance(&self, by: Duration) {
        self.core.write(|state| {
            state.clock.advance(by);
            state.sweep();
        });
    }

    /// The cluster's time.
    pub fn now(&self) -> SystemTime {
        self.core.read(|state| state.clock.now())
    }

    // ---- connections

    /// The Proxy goes away, and every connection through it.
    pub async fn stop_proxy(&self) {
        if let Some(proxy) = &self.proxy {
            proxy.web.stop().await;
            if let Some(tunnel) = &proxy.tunnel {
                tunnel.stop().await;
            }
        }
    }

    /// The Proxy comes back on the same addresses.
    pub async fn resume_proxy(&self) -> io::Result<()> {
        if let Some(proxy) = &self.proxy {
            proxy.web.resume().await?;
            if let Some(tunnel) = &proxy.tunnel {
                tunnel.resume().await?;
            }
        }
        Ok(())
    }

    /// Auth goes away: every connection breaks and new ones are refused. The state is kept.
    pub async fn stop(&self) {
        self.core.write(|state| state.watchers.end_all(&Ending::Cut));
        self.auth.stop().await;
        self.core.touch();
    }

    /// Auth is told to end, as by SIGTERM: watches end without an error, then it goes away. The official plugin of 14.2.3
    /// does not survive this.
    pub async fn terminate(&self) {
        self.end_streams();
        // Time for the ends to reach the clients before their connections break.
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.stop().await;
    }

    /// Auth comes back on the same address.
    pub async fn resume(&self) -> io::Result<()> {
        self.auth.resume().await?;
        self.core.touch();
        Ok(())
    }

    /// Auth goes away and comes back.
    pub async fn restart(&self) -> io::Result<()> {
        self.stop().await;
        self.resume().await
    }

    /// Breaks the connection under every open watch.
    pub fn cut_streams(&self) {
        self.core.write(|state| state.watchers.end_all(&Ending::Cut));
    }

    /// Ends every open watch without an error.
    pub fn end_streams(&self) {
        self.core.write(|state| state.watchers.end_all(&Ending::End));
    }

    /// Ends every open watch as Teleport does when it builds its cache anew.
    pub fn reset_streams(&self) {
        self.core.write(|state| state.watchers.end_all(&Ending::Failed(closed_by_server())));
    }

    /// Number of watches that are open now.
    pub fn open_streams(&self) -> usize {
        self.core.read(|state| state.watchers.open())
    }

    /// Waits until `wanted` holds; it is asked again after every call and every change.
    pub async fn wait_for(&self, timeout: Duration, wanted: impl Fn(&Self) -> bool) -> Result<(), TimedOut> {
        let mut changes = self.core.subscribe();
        let holds = async {
            loop {
                changes.mark_unchanged();
                if wanted(self) || changes.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(timeout, holds).await.map_err(|_| TimedOut(timeout))
    }

    /// Wakes on every call and every change.
    pub fn subscribe(&self) -> tokio::sync::watch::Receiver<u64> {
        self.core.subscribe()
    }
}
