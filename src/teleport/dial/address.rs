//! Addresses as people write them: `host:port`, with IPv6 hosts in brackets.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use rustls::pki_types::{InvalidDnsNameError, ServerName};

/// A host and a port, not resolved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// Name or IP address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// Text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not an address: write host:port, such as proxy.example.com:443 or auth.example.com:3025")]
pub struct NotAnAddress {
    text: String,
}

impl Address {
    /// Puts a host and a port together.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// Parses text whose port may be left out.
    pub(super) fn with_default_port(text: &str, port: u16) -> Result<Self, NotAnAddress> {
        let (host, own) = split(text).ok_or_else(|| NotAnAddress { text: text.to_owned() })?;
        Ok(Self::new(host, own.unwrap_or(port)))
    }

    /// The name to check a certificate against.
    pub(super) fn server_name(&self) -> Result<ServerName<'static>, InvalidDnsNameError> {
        ServerName::try_from(self.host.clone())
    }

    /// Whether it can only mean this very machine.
    pub(super) fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Address {
    type Err = NotAnAddress;

    /// A scheme in front (`https://`, `tcp://`) is forgiven; a missing port is not, for it decides what is meant.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NotAnAddress { text: text.to_owned() };
        let (host, port) = split(text).ok_or_else(wrong)?;
        Ok(Self::new(host, port.ok_or_else(wrong)?))
    }
}

/// Host and, if there is one, port.
fn split(text: &str) -> Option<(&str, Option<u16>)> {
    let text = text.trim();
    let text = text.split_once("://").map_or(text, |(_, rest)| rest).trim_end_matches('/');
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return None,
        }
    } else {
        match text.split_once(':') {
            Some((_, rest)) if rest.contains(':') => (text, None), // a bare IPv6 address
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let sane = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || matches!(c, '/' | '@' | '?' | '#'));
    let port =
        port.map(|port| port.parse().ok().filter(|port| *port != 0)).map_or(Some(None), |port| port.map(Some))?;
    sane.then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_read_in_every_usual_spelling() {
        for (text, host, port) in [
            ("auth:3025", "auth", 3025),
            (" proxy.example.com:443 ", "proxy.example.com", 443),
            ("https://proxy.example.com:443/", "proxy.example.com", 443),
            ("[::1]:3025", "::1", 3025),
        ] {
            assert_eq!(text.parse(), Ok(Address::new(host, port)), "{text}");
        }
        assert_eq!(Address::new("::1", 1).to_string(), "[::1]:1");
    }

    #[test]
    fn what_is_no_address_is_refused_with_an_example() {
        for text in ["", "auth", ":3025", "auth:port", "auth:0", "auth:70000", "a b:1", "::1", "host:1/path", "[::1]x"]
        {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.to_string().contains("host:port"), "{text}: {error}");
        }
    }

    #[test]
    fn a_missing_port_can_be_given_a_default() {
        assert_eq!(Address::with_default_port("a", 5), Ok(Address::new("a", 5)));
        assert_eq!(Address::with_default_port("::1", 5), Ok(Address::new("::1", 5)));
        assert_eq!(Address::with_default_port("a:6", 5), Ok(Address::new("a", 6)));
    }

    #[test]
    fn loopback_is_known_by_name_and_by_number() {
        for host in ["localhost", "127.0.0.1", "127.8.8.8", "::1"] {
            assert!(Address::new(host, 1).is_loopback(), "{host}");
        }
        assert!(!Address::new("example.com", 1).is_loopback());
    }
}
