//! What a Proxy says about itself at `/webapi/find`: whether it routes by TLS, and where its SSH tunnel listens.

use http::{Request, StatusCode, header};
use http_body_util::Full;
use serde::Deserialize;

use crate::teleport::dial::address::Address;
use crate::teleport::dial::exchange::exchange;
use crate::teleport::dial::tls::Stream;

const DEFAULT_TUNNEL_PORT: u16 = 3024;
const DEFAULT_HTTPS_PORT: u16 = 443;

/// Why the question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// Not a Teleport Proxy, or one that is not well.
    #[error("answered {0} to /webapi/find: this is not a Teleport Proxy, or something stands in front of it")]
    Status(StatusCode),
    /// Something else answered.
    #[error("did not answer /webapi/find as a Teleport Proxy does: {0}")]
    Answer(#[from] serde_json::Error),
    /// The answer has an address that makes no sense.
    #[error("announces an address that makes no sense: {0}")]
    Address(#[from] super::address::NotAnAddress),
    /// HTTP failed.
    #[error("did not answer /webapi/find: {0}")]
    Http(String),
}

/// The answer, as far as dialing and joining need it. Unknown keys are newer servers', missing ones older servers'.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::teleport) struct Find {
    /// The cluster's name.
    pub(in crate::teleport) cluster_name: String,
    /// The Proxy's release.
    pub(in crate::teleport) server_version: String,
    proxy: ProxySettings,
}

#[derive(Debug, Default, Deserialize)]
struct ProxySettings {
    #[serde(default)]
    tls_routing_enabled: bool,
    #[serde(default)]
    ssh: SshSettings,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SshSettings {
    #[serde(rename = "tunnel_listen_addr")]
    tunnel_listen: String,
    #[serde(rename = "web_listen_addr")]
    web_listen: String,
    #[serde(rename = "public_addr")]
    public: String,
    #[serde(rename = "ssh_public_addr")]
    ssh_public: String,
    #[serde(rename = "ssh_tunnel_public_addr")]
    ssh_tunnel_public: String,
}

impl Find {
    /// Whether the web port hands connections on by TLS's application protocol ("multiplex" mode).
    pub(super) fn tls_routing(&self) -> bool {
        self.proxy.tls_routing_enabled
    }

    /// Where the SSH tunnel listens; the rules of Teleport's `api/client/webclient` (`TunnelAddr`). A listener on "any
    /// address" is taken to be where we asked.
    pub(super) fn tunnel_address(&self, asked: &Address) -> Result<Address, FindError> {
        let ssh = &self.proxy.ssh;
        let given = |text: &str| !text.trim().is_empty();
        let port_of = |text: &str| {
            given(text).then(|| Address::with_default_port(text, 0).ok()).flatten().map(|a| a.port).filter(|p| *p != 0)
        };
        if self.proxy.tls_routing_enabled {
            let port = port_of(&ssh.web_listen).unwrap_or(DEFAULT_HTTPS_PORT);
            let text = if given(&ssh.public) { &ssh.public } else { &ssh.web_listen };
            if !given(text) {
                return Ok(asked.clone());
            }
            return Ok(reachable(Address::with_default_port(text, port)?, asked));
        }
        let port = port_of(&ssh.tunnel_listen).unwrap_or(DEFAULT_TUNNEL_PORT);
        if given(&ssh.ssh_tunnel_public) {
            return Ok(Address::with_default_port(&ssh.ssh_tunnel_public, port)?);
        }
        let candidates = [&ssh.ssh_public, &ssh.public, &ssh.tunnel_listen, &ssh.web_listen];
        for text in candidates.into_iter().filter(|text| given(text)) {
            let host = Address::with_default_port(text, port)?.host;
            if !is_unspecified(&host) {
                return Ok(Address::new(host, port));
            }
        }
        Ok(Address::new(asked.host.clone(), port))
    }
}

fn reachable(address: Address, asked: &Address) -> Address {
    if is_unspecified(&address.host) { Address::new(asked.host.clone(), address.port) } else { address }
}

fn is_unspecified(host: &str) -> bool {
    matches!(host, "0.0.0.0" | "::")
}

/// Asks over a connection to the Proxy's web port.
pub(in crate::teleport) async fn ask(stream: impl Stream + 'static, address: &Address) -> Result<Find, FindError> {
    let request = Request::get("/webapi/find")
        .header(header::HOST, address.to_string())
        .header(header::ACCEPT, "application/json")
        .body(Full::default())
        .map_err(|error| FindError::Http(error.to_string()))?;
    let response = exchange(stream, request).await.map_err(|error| FindError::Http(error.0))?;
    if response.status() != StatusCode::OK {
        return Err(FindError::Status(response.status()));
    }
    Ok(serde_json::from_slice(response.body())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tunnel(tls_routing: bool, ssh: &str) -> String {
        let json = format!(r#"{{"proxy":{{"tls_routing_enabled":{tls_routing},"ssh":{{{ssh}}},"kube":{{}}}},"x":1}}"#);
        let find: Find = serde_json::from_str(&json).unwrap();
        assert_eq!(find.tls_routing(), tls_routing);
        find.tunnel_address(&Address::new("asked", 3080)).unwrap().to_string()
    }

    #[test]
    fn the_tunnel_is_found_as_teleports_own_client_finds_it() {
        for (tls_routing, ssh, expected) in [
            (
                true,
                r#""public_addr":"pub:3081","web_listen_addr":"web:3080","ssh_tunnel_public_addr":"t:9""#,
                "pub:3081",
            ),
            (true, r#""public_addr":"pub","web_listen_addr":"web:3080""#, "pub:3080"),
            (true, r#""public_addr":"pub""#, "pub:443"),
            (true, r#""web_listen_addr":"web:3080""#, "web:3080"),
            (true, r#""web_listen_addr":"web""#, "web:443"),
            (true, r#""web_listen_addr":"0.0.0.0:3080""#, "asked:3080"),
            (true, "", "asked:3080"),
            (false, r#""ssh_tunnel_public_addr":"t:9","public_addr":"pub:1""#, "t:9"),
            (false, r#""ssh_tunnel_public_addr":"t","tunnel_listen_addr":"l:7""#, "t:7"),
            (false, r#""ssh_public_addr":"s:3023","public_addr":"pub:1""#, "s:3024"),
            (false, r#""public_addr":"pub:443","tunnel_listen_addr":"l:7""#, "pub:7"),
            (false, r#""tunnel_listen_addr":"l:7","web_listen_addr":"web:3080""#, "l:7"),
            (false, r#""tunnel_listen_addr":"[::]:7","web_listen_addr":"web:3080""#, "web:7"),
            (false, r#""tunnel_listen_addr":"0.0.0.0:7""#, "asked:7"),
            (false, "", "asked:3024"),
        ] {
            assert_eq!(tunnel(tls_routing, ssh), expected, "{tls_routing} {ssh}");
        }
    }

    #[test]
    fn an_answer_with_nothing_in_it_is_an_old_proxy_without_tls_routing() {
        let find: Find = serde_json::from_str("{}").unwrap();
        assert!(!find.tls_routing());
    }
}
