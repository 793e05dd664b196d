//! What steers dialing besides the address and the identity: read from the environment in one place.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fmt};

use hyper_util::client::proxy::matcher::Matcher;
use rustls::pki_types::CertificateDer;

use crate::teleport::dial::address::Address;

/// How to dial. [`DialOptions::default`] knows no proxies and no overrides.
#[derive(Clone)]
pub struct DialOptions {
    /// How long one way to the Auth server may take, from the first packet to the server's first word.
    pub timeout: Duration,
    /// Whether connections to the Proxy must be wrapped in an HTTP upgrade. Undecided: it is tried out.
    pub conn_upgrade: UpgradeOverride,
    /// Where the Proxy's SSH tunnel listens, for Proxies that announce it wrongly. No lookup is made then.
    pub tunnel_public_addr: Option<String>,
    /// HTTP proxies to go out by.
    pub http_proxy: HttpProxySettings,
    /// Authorities to trust in the Proxy's web certificate, in addition to the system's.
    pub web_authorities: Vec<CertificateDer<'static>>,
}

impl Default for DialOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(15),
            conn_upgrade: UpgradeOverride::default(),
            tunnel_public_addr: None,
            http_proxy: HttpProxySettings::default(),
            web_authorities: Vec::new(),
        }
    }
}

impl DialOptions {
    /// Reads `TELEPORT_TLS_ROUTING_CONN_UPGRADE`, `TELEPORT_TUNNEL_PUBLIC_ADDR`, and the first set of
    /// `HTTPS_PROXY`, `HTTP_PROXY` and `ALL_PROXY`, with `NO_PROXY`, in either case.
    pub fn from_env() -> Self {
        Self::from_lookup(|name| env::var(name).ok())
    }

    fn from_lookup(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let either = |name: &str| set(name).or_else(|| set(&name.to_ascii_lowercase()));
        Self {
            conn_upgrade: set("TELEPORT_TLS_ROUTING_CONN_UPGRADE")
                .map_or_else(UpgradeOverride::default, |value| UpgradeOverride::parse(&value)),
            tunnel_public_addr: set("TELEPORT_TUNNEL_PUBLIC_ADDR"),
            http_proxy: HttpProxySettings::new(
                ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"].into_iter().find_map(either).as_deref(),
                either("NO_PROXY").as_deref(),
            ),
            ..Self::default()
        }
    }
}

/// The value of Teleport's `TELEPORT_TLS_ROUTING_CONN_UPGRADE`: a list, separated by `,` or `;`, of `<bool>` for every
/// address or `<address>=<bool>`. When anything is set, an address that is not mentioned needs no upgrade.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpgradeOverride {
    everywhere: Option<bool>,
    addresses: HashMap<String, bool>,
}

impl UpgradeOverride {
    /// Reads such a list; parts that make no sense are passed over, as Teleport does.
    pub fn parse(list: &str) -> Self {
        let mut parsed = Self::default();
        for part in list.split([',', ';']).map(str::trim).filter(|part| !part.is_empty()) {
            match part.rsplit_once('=') {
                Some((address, value)) => {
                    if let Some(value) = boolean(value) {
                        parsed.addresses.insert(address.trim().to_ascii_lowercase(), value);
                    }
                }
                None => parsed.everywhere = boolean(part).or(parsed.everywhere),
            }
        }
        parsed
    }

    /// What it says about an address; `None` if it was not set at all.
    pub(super) fn decides(&self, address: &Address) -> Option<bool> {
        if self.everywhere.is_none() && self.addresses.is_empty() {
            return None;
        }
        let mentioned = self.addresses.get(&address.to_string().to_ascii_lowercase()).copied();
        Some(mentioned.or(self.everywhere).unwrap_or(false))
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "t" | "true" | "y" | "yes" | "on" => Some(true),
        "0" | "f" | "false" | "n" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// Which connections go out through an HTTP proxy. Loopback never does.
#[derive(Clone, Default)]
pub struct HttpProxySettings(Option<Arc<Matcher>>);

impl HttpProxySettings {
    /// From the values of `HTTPS_PROXY` and `NO_PROXY`.
    pub fn new(https_proxy: Option<&str>, no_proxy: Option<&str>) -> Self {
        Self(
            https_proxy.map(|proxy| Arc::new(Matcher::builder().https(proxy).no(no_proxy.unwrap_or_default()).build())),
        )
    }

    pub(super) fn matcher(&self) -> Option<&Matcher> {
        self.0.as_deref()
    }
}

impl fmt::Debug for HttpProxySettings {
    /// The address of a proxy may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "HttpProxySettings(set)" } else { "HttpProxySettings(none)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upgrade_override_follows_teleports_rules() {
        let here = Address::new("Proxy.example.com", 443);
        for (list, expected) in [
            ("", None),
            ("nonsense", None),
            ("yes", Some(true)),
            ("0", Some(false)),
            ("proxy.example.com:443=true", Some(true)),
            ("other:443=true", Some(false)),
            ("true;proxy.example.com:443=no", Some(false)),
            ("other:443=false, yes", Some(true)),
        ] {
            assert_eq!(UpgradeOverride::parse(list).decides(&here), expected, "{list}");
        }
    }

    #[test]
    fn the_environment_is_read_by_both_spellings_and_empty_means_unset() {
        let options = DialOptions::from_lookup(|name| match name {
            "https_proxy" => Some("http://user:secret@proxy:3128".to_owned()),
            "TELEPORT_TUNNEL_PUBLIC_ADDR" => Some(" ".to_owned()),
            _ => None,
        });
        assert!(options.http_proxy.matcher().is_some());
        assert_eq!(options.tunnel_public_addr, None);
        assert!(!format!("{:?}", options.http_proxy).contains("secret"));
    }
}
