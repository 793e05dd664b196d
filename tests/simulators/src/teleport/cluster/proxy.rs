//! Starts the Proxy of a cluster.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use russh::keys::ssh_key::certificate::CertType;

use super::StartError;
use crate::teleport::authority::{Authorities, BACKDATED, SshContents};
use crate::teleport::config::ProxyConfig;
use crate::teleport::core::Core;
use crate::teleport::keys::{Key, KeyAlgorithm, SigningError};
use crate::teleport::listener::{Restartable, Start};
use crate::teleport::proxy::{Proxy, host};
use crate::teleport::ssh::{Host, Tunnel};

/// The ports of the Proxy.
#[derive(Clone)]
pub(super) struct ProxyListeners {
    pub(super) web: Restartable,
    pub(super) tunnel: Option<Restartable>,
}

impl ProxyListeners {
    pub(super) async fn start(
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
        let own = host_of_tunnel(core, authorities, &public)?;
        core.set_proxy_public_addr(public);
        let ssh = Tunnel { core: core.clone(), authorities: authorities.clone(), host: Arc::new(own), auth };
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
    let mut principals: Vec<String> = ["localhost", "127.0.0.1", "::1", host(public)].map(str::to_owned).into();
    principals.extend([format!("proxy.{cluster}"), cluster.clone()]);
    principals.dedup();
    let certificate = authorities.host.issue_ssh(
        key.public_key(),
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
