//! The handle of a simulated cluster.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use russh::keys::ssh_key::certificate::CertType;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    authority::{Authorities, BACKDATED, SshContents},
    config::{Config, ProxyConfig},
    core::Core,
    error::Trace,
    fitness::{self, Unfit},
    identity::{Identity, IdentityRequest, Validity},
    journal::{Call, Violation},
    keys::{Key, KeyAlgorithm, SigningError},
    listener::{Restartable, Start},
    pb::{
        proto::PaginatedResource,
        teleport::{
            accesslist::v1::AccessList, accessmonitoringrules::v1::AccessMonitoringRule,
            userloginstate::v1::UserLoginState,
        },
        types::{AccessRequestV3, PluginDataUpdateParams, PluginDataV3, PromotedAccessList, RequestState},
    },
    plugin_data,
    proxy::Proxy,
    requests::{NewRequest, NewReview},
    role::{Role, Rule, User},
    server::{self, TlsSetupError},
    ssh::{Host, Tunnel},
    watch::{Ending, change, closed_by_server, deletion},
};
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

/// The ports of the Proxy.
#[derive(Clone)]
struct ProxyListeners {
    web: Restartable,
    tunnel: Option<Restartable>,
}

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
        let serving = core.clone();
        let start: Start =
            Box::new(move |listener, stop| tokio::spawn(server::serve(serving.clone(), listener, tls.clone(), stop)));
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

    // ---- access requests

    /// Creates a request; returns its id.
    pub fn create_request(&self, request: NewRequest) -> String {
        let request = self.core.write(|state| state.create_unchecked(request));
        request.metadata.map(|metadata| metadata.name).unwrap_or_default()
    }

    /// Submits a review, whoever the author is.
    pub fn review(&self, id: &str, review: &NewReview) -> Result<RequestState, Trace> {
        let request = self.core.write(|state| state.apply_review(id, review.message()))?;
        Ok(request.spec.map(|spec| spec.state()).unwrap_or_default())
    }

    /// Approves a request by decree.
    pub fn approve(&self, id: &str, reason: &str) -> Result<(), Trace> {
        self.core.write(|state| state.set_request_state(id, RequestState::Approved, reason, &[]))
    }

    /// Denies a request by decree.
    pub fn deny(&self, id: &str, reason: &str) -> Result<(), Trace> {
        self.core.write(|state| state.set_request_state(id, RequestState::Denied, reason, &[]))
    }

    /// Promotes a request to a membership of an access list.
    pub fn promote(&self, id: &str, author: &str, list: &str, title: &str) -> Result<(), Trace> {
        let review = NewReview::approve(author, "").message();
        let list = PromotedAccessList { name: list.to_owned(), title: title.to_owned() };
        self.core.write(|state| state.promote(id, review, list))
    }

    /// Lets a request's time run out: watchers see a deletion, its plugin data stays. False when there is no such request.
    pub fn expire(&self, id: &str) -> bool {
        self.core.write(|state| state.remove_request(id))
    }

    /// Deletes a request as an administrator would. False when there is no such request.
    pub fn delete(&self, id: &str) -> bool {
        self.expire(id)
    }

    /// Writes a request again without a change: watchers see one more event.
    pub fn touch_request(&self, id: &str) -> bool {
        self.core.write(|state| {
            let request = state.requests.get(id).map(|request| request.as_ref().clone());
            let found = request.is_some();
            if let Some(request) = request {
                state.put_request(id, request);
            }
            found
        })
    }

    /// Stores a request exactly as given; for requests that this handle cannot make.
    pub fn put_request(&self, request: AccessRequestV3) {
        let id = request.metadata.as_ref().map(|metadata| metadata.name.clone()).unwrap_or_default();
        self.core.write(|state| state.put_request(&id, request));
    }

    /// All requests, by id.
    pub fn requests(&self) -> Vec<AccessRequestV3> {
        self.core.read(|state| state.requests.rows(None).map(|(_, request)| request.as_ref().clone()).collect())
    }

    /// One request.
    pub fn request(&self, id: &str) -> Option<AccessRequestV3> {
        self.core.read(|state| state.requests.get(id).map(|request| request.as_ref().clone()))
    }

    // ---- plugin data

    /// What `plugin` stored beside an access request; empty when it stored nothing.
    pub fn plugin_data(&self, id: &str, plugin: &str) -> std::collections::BTreeMap<String, String> {
        let record = self.plugin_record("access_request", id);
        let entry = record.and_then(|record| record.spec).and_then(|mut spec| spec.entries.remove(plugin));
        entry.map(|entry| entry.data.into_iter().collect()).unwrap_or_default()
    }

    /// The whole record of a resource.
    pub fn plugin_record(&self, kind: &str, resource: &str) -> Option<PluginDataV3> {
        let key = plugin_data::key(kind, resource);
        self.core.read(|state| state.plugin_data.get(&key).map(|record| record.as_ref().clone()))
    }

    /// Writes keys of a plugin's entry, as another instance of the plugin would. An empty value removes its key.
    pub fn set_plugin_data(&self, id: &str, plugin: &str, values: &[(&str, &str)]) -> Result<(), Trace> {
        let params = PluginDataUpdateParams {
            kind: "access_request".to_owned(),
            resource: id.to_owned(),
            plugin: plugin.to_owned(),
            set: values.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect(),
            ..PluginDataUpdateParams::default()
        };
        self.core.write(|state| state.update_plugin_data(&params))
    }

    // ---- roles, users, rules, lists, resources

    /// Adds or replaces a role.
    pub fn put_role(&self, role: Role) {
        self.core.write(|state| {
            let message = role.message();
            state.watchers.publish("role", &change(super::pb::proto::event::Resource::Role(message)));
            state.roles.insert(role.name.clone(), role);
        });
    }

    /// Removes a role.
    pub fn remove_role(&self, name: &str) -> bool {
        self.core.write(|state| {
            state.watchers.publish("role", &deletion("role", name));
            state.roles.remove(name).is_some()
        })
    }

    /// Adds or replaces a user.
    pub fn put_user(&self, user: User) {
        self.core.write(|state| {
            let message = user.message();
            state.watchers.publish("user", &change(super::pb::proto::event::Resource::User(message)));
            state.users.insert(user.name.clone(), user);
        });
    }

    /// Removes a user.
    pub fn remove_user(&self, name: &str) -> bool {
        self.core.write(|state| {
            state.watchers.publish("user", &deletion("user", name));
            state.users.remove(name).is_some()
        })
    }

    /// All roles.
    pub fn roles(&self) -> Vec<Role> {
        self.core.read(|state| state.roles.values().cloned().collect())
    }

    /// All users.
    pub fn users(&self) -> Vec<User> {
        self.core.read(|state| state.users.values().cloned().collect())
    }

    /// Replaces what a user may do, whatever its roles say; `None` takes that back.
    pub fn set_permissions(&self, user: &str, rules: Option<Vec<Rule>>) {
        self.core.write(|state| match rules {
            Some(rules) => drop(state.permissions.insert(user.to_owned(), rules)),
            None => drop(state.permissions.remove(user)),
        });
    }

    /// Sets the state of a user's last login.
    pub fn put_login_state(&self, user: &str, login_state: UserLoginState) {
        self.core.write(|state| state.login_states.insert(user.to_owned(), login_state));
    }

    /// Adds or replaces an access monitoring rule.
    pub fn put_rule(&self, rule: AccessMonitoringRule) {
        self.core.write(|state| {
            let name = rule.metadata.as_ref().map(|metadata| metadata.name.clone()).unwrap_or_default();
            let event = change(super::pb::proto::event::Resource::AccessMonitoringRule(rule.clone()));
            state.watchers.publish("access_monitoring_rule", &event);
            state.rules.insert(name, rule);
        });
    }

    /// Removes an access monitoring rule.
    pub fn remove_rule(&self, name: &str) -> bool {
        self.core.write(|state| {
            let found = state.rules.remove(name).is_some();
            if found {
                state.watchers.publish("access_monitoring_rule", &deletion("access_monitoring_rule", name));
            }
            found
        })
    }

    /// Adds or replaces an access list.
    pub fn put_access_list(&self, list: AccessList) {
        self.core.write(|state| {
            let metadata = list.header.as_ref().and_then(|header| header.metadata.as_ref());
            let name = metadata.map(|metadata| metadata.name.clone()).unwrap_or_default();
            let event = change(super::pb::proto::event::Resource::AccessList(list.clone()));
            state.watchers.publish("access_list", &event);
            state.access_lists.insert(name, list);
        });
    }

    /// Adds a resource that `ListResources` finds.
    pub fn add_resource(&self, resource: PaginatedResource) {
        self.core.write(|state| state.resources.push(resource));
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
        let violations = self.violations();
        assert!(violations.is_empty(), "a real Teleport would have refused this: {violations:#?}");
    }

    /// Moves the cluster's clock forward: what expires until then expires now.
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

impl ProxyListeners {
    async fn start(
        core: &Core,
        authorities: &Arc<Authorities>,
        config: ProxyConfig,
        auth: SocketAddr,
    ) -> Result<Self, StartError> {
        let listen = |address: &str| {
            let address = address.to_owned();
            move |source| StartError::Listen { address, source }
        };
        let web = Restartable::reserve(&config.listen).await.map_err(listen(&config.listen))?;
        let mut tunnel = None;
        if !config.tls_routing {
            let address = SocketAddr::new(web.address.ip(), 0).to_string();
            tunnel = Some(Restartable::reserve(&address).await.map_err(listen(&address))?);
        }
        let public = config.public_addr.clone().unwrap_or_else(|| format!("localhost:{}", web.address.port()));
        let host = host_of_tunnel(core, authorities, &public)?;
        core.set_proxy_public_addr(public);
        let ssh = Tunnel { core: core.clone(), authorities: authorities.clone(), host: Arc::new(host), auth };
        let tunnel_address = tunnel.as_ref().map(|tunnel| tunnel.address);
        let proxy = Proxy::new(core.clone(), authorities, config, ssh, web.address, tunnel_address)?;
        let serving = proxy.clone();
        let address = web.address.to_string();
        let start: Start = Box::new(move |listener, stop| tokio::spawn(serving.clone().serve_web(listener, stop)));
        let web = web.start(start).await.map_err(listen(&address))?;
        let tunnel = match tunnel {
            None => None,
            Some(tunnel) => {
                let address = tunnel.address.to_string();
                let start: Start =
                    Box::new(move |listener, stop| tokio::spawn(proxy.clone().serve_tunnel(listener, stop)));
                Some(tunnel.start(start).await.map_err(listen(&address))?)
            }
        };
        Ok(Self { web, tunnel })
    }
}

/// The SSH host key of the Proxy and its certificate.
fn host_of_tunnel(core: &Core, authorities: &Authorities, public: &str) -> Result<Host, SigningError> {
    let key = Key::generate(KeyAlgorithm::Ecdsa)?.ssh;
    let now = SystemTime::now();
    let cluster = &core.config.cluster_name;
    // Teleport's clients compare the address that they dialed with these.
    let mut principals: Vec<String> =
        ["localhost", "127.0.0.1", "::1", super::proxy::host(public)].map(str::to_owned).into();
    principals.extend([format!("proxy.{cluster}"), cluster.clone()]);
    principals.dedup();
    let certificate = authorities.host.issue_ssh(
        &key,
        &SshContents {
            kind: CertType::Host,
            key_id: "proxy",
            principals: &principals,
            not_before: now - BACKDATED,
            not_after: now + Duration::from_hours(24 * 365),
            extensions: &[("x-teleport-role", "Proxy".to_owned()), ("x-teleport-authority", cluster.clone())],
        },
    )?;
    Ok(Host { key, certificate })
}
