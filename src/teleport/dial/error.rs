//! Why the Auth server could not be reached: every way that was tried, what each said, and what to do.

use std::error::Error;
use std::{fmt, io};

use rustls::{AlertDescription, CertificateError};

use crate::cause::{spaced, without_debug};
use crate::teleport::dial::address::{Address, NotAnAddress};
use crate::teleport::dial::find::FindError;
use crate::teleport::tunnel::SshError;

/// No way led to the Auth server.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The address makes no sense.
    #[error("teleport address: {0}")]
    Address(#[from] NotAnAddress),
    /// The identity cannot be turned into a TLS configuration.
    #[error("cannot set up TLS: {}", without_debug(&_0.to_string()))]
    Tls(#[from] rustls::Error),
    /// An Auth server was found, and it does not accept the identity.
    #[error("the Auth server at {address} refused the identity: {refusal}; {}", refusal.remedy())]
    Refused {
        /// Where.
        address: Address,
        /// Its words.
        refusal: Refusal,
    },
    /// Nothing that was tried led to an Auth server.
    #[error("cannot reach Teleport at {address}: {}; {advice}", Failures(failures))]
    Unreachable {
        /// Where.
        address: Address,
        /// Every way that was tried.
        failures: Vec<Failure>,
        /// What to check.
        advice: &'static str,
    },
}

impl DialError {
    /// Draws the conclusion from the failures of all ways.
    pub(super) fn new(address: Address, failures: Vec<Failure>) -> Self {
        for failure in &failures {
            if let StepError::Refused(refusal) = failure.error {
                return Self::Refused { address, refusal };
            }
        }
        let any = |wanted: fn(&StepError) -> bool| failures.iter().any(|failure| wanted(&failure.error));
        let advice = if any(|error| matches!(error, StepError::WebCertificate(Distrust::Expired))) {
            "renew the Proxy's web certificate; neither the identity nor a CA bundle is at fault"
        } else if any(|error| matches!(error, StepError::WebCertificate(Distrust::NotYetValid))) {
            "check the clocks of this machine and of the Proxy; neither the identity nor a CA bundle is at fault"
        } else if any(|error| matches!(error, StepError::WebCertificate(Distrust::OtherName))) {
            "name the Proxy by a name that is in its web certificate, or issue one for this name"
        } else if any(|error| matches!(error, StepError::WebCertificate(_))) {
            "check that address and identity are of the same cluster; if this is a Proxy whose web certificate is signed by an authority of your own, name that authority's certificate in teleport.ca_bundle or SSL_CERT_FILE"
        } else if any(|error| matches!(error, StepError::HttpProxy { .. })) {
            "check HTTPS_PROXY; NO_PROXY names hosts that are reached without it"
        } else if failures.iter().all(|failure| matches!(failure.error, StepError::Connect { .. })) {
            "check the address, the network and that Teleport is running"
        } else if any(|error| matches!(error, StepError::ForeignServer(_))) {
            "check that address and identity are of the same cluster; after a rotation of the cluster's authorities, sign a new identity"
        } else if any(|error| matches!(error, StepError::Timeout { .. })) {
            "check the address (a Proxy's 443 or 3080, or an Auth server's 3025) and firewalls"
        } else {
            "check the address (a Proxy's 443 or 3080, or an Auth server's 3025)"
        };
        Self::Unreachable { address, failures, advice }
    }
}

/// One way that did not lead there.
#[derive(Debug)]
pub struct Failure {
    /// The way, as in "directly".
    pub way: &'static str,
    /// What went wrong on it.
    pub error: StepError,
}

struct Failures<'a>(&'a [Failure]);

impl fmt::Display for Failures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What all ways have in common, such as a closed port, is said once.
        let mut said: Vec<(Vec<&str>, String)> = Vec::new();
        for Failure { way, error } in self.0 {
            let text = error.to_string();
            match said.iter_mut().find(|(_, known)| *known == text) {
                Some((ways, _)) => ways.push(way),
                None => said.push((vec![way], text)),
            }
        }
        if let [(_, text)] = said.as_slice() {
            return f.write_str(text);
        }
        for (index, (ways, text)) in said.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{}: {text}", ways.join(", "))?;
        }
        Ok(())
    }
}

/// What can go wrong on one way.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// No TCP connection.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Where to.
        address: Address,
        /// What the system said.
        source: io::Error,
    },
    /// Something was silent for too long.
    #[error("no answer within {seconds} s")]
    Timeout {
        /// How long.
        seconds: u64,
    },
    /// The HTTP proxy did not let us through.
    #[error("the HTTP proxy at {proxy} {reason}")]
    HttpProxy {
        /// The proxy, without its password.
        proxy: String,
        /// What it did.
        reason: String,
    },
    /// The Auth server did not accept the client certificate.
    #[error("the Auth server refused the identity: {0}")]
    Refused(Refusal),
    /// The server is not this cluster's Auth server.
    #[error("the server's certificate is not of the identity's cluster ({0})")]
    ForeignServer(Distrust),
    /// Trust in the Proxy's web certificate is missing.
    #[error("the Proxy's web certificate is not trusted ({0})")]
    WebCertificate(Distrust),
    /// TLS failed in another way.
    #[error("{0}")]
    Tls(String),
    /// The Proxy's web API did not help.
    #[error("the Proxy's web API: {0}")]
    Find(FindError),
    /// The connection upgrade failed.
    #[error("connection upgrade: {0}")]
    Upgrade(String),
    /// The SSH tunnel failed.
    #[error("ssh: {0}")]
    Ssh(#[from] SshError),
    /// This way is not open here.
    #[error("{0}")]
    NotOffered(String),
}

/// Why a server's certificate is not trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// No known authority signed it.
    #[error("unknown issuer")]
    UnknownIssuer,
    /// The authority has another key than the known one of its name.
    #[error("signed by another authority of the same name")]
    OtherKey,
    /// Its time is over.
    #[error("expired")]
    Expired,
    /// Its time has not come.
    #[error("not valid yet")]
    NotYetValid,
    /// It does not name the host.
    #[error("made for another name")]
    OtherName,
    /// An authority's own certificate, where a server's belongs.
    #[error("self-signed, with the marks of an authority")]
    Authority,
    /// Its signature or key is of a kind that is not supported.
    #[error("its signature or key is of a kind that this program does not support; Teleport's and Let's Encrypt's are")]
    Unsupported,
    /// Another reason, in a few words.
    #[error("{0}")]
    Other(String),
}

impl Distrust {
    fn of(reason: &CertificateError) -> Self {
        // Known to rustls by their names in webpki only.
        let name = format!("{reason:?}");
        match reason {
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::BadSignature => Self::OtherKey,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::OtherName,
            CertificateError::Other(_) if name.contains("CaUsedAsEndEntity") => Self::Authority,
            _ if name.contains("Unsupported") => Self::Unsupported,
            _ => Self::Other(format!("rejected: {}", in_words(&name))),
        }
    }
}

/// Why the Auth server turned a client certificate down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its time is over, by the server's clock.
    #[error("its certificate has expired")]
    Expired,
    /// Signed by an authority that the cluster does not know (any more).
    #[error("its certificate was signed by an authority that the cluster does not know")]
    UnknownAuthority,
    /// Turned down for another reason.
    #[error("its certificate was not accepted ({})", in_words(&format!("{_0:?}")))]
    Other(AlertDescription),
}

impl Refusal {
    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Expired => "sign a new one with `tctl auth sign`, or let tbot renew it in time",
            Self::UnknownAuthority => {
                "sign a new one with `tctl auth sign` on this cluster: the identity is of another cluster, or the cluster's authorities were rotated"
            }
            Self::Other(_) => "sign a new one with `tctl auth sign`",
        }
    }

    fn from_alert(alert: AlertDescription) -> Option<Self> {
        match alert {
            AlertDescription::CertificateExpired => Some(Self::Expired),
            AlertDescription::UnknownCA => Some(Self::UnknownAuthority),
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRequired
            | AlertDescription::AccessDenied => Some(Self::Other(alert)),
            _ => None,
        }
    }
}

/// Looks for a refused client certificate in an error of a call, such as a `tonic::Status` of a broken connection.
///
/// With TLS 1.3 the server's refusal arrives after the client believes the handshake to be over. Dialing waits for the
/// server's first word and so notices it; a connection that is made anew later shows it here.
pub fn refusal(error: &(dyn Error + 'static)) -> Option<Refusal> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(StepError::Refused(refusal)) = error.downcast_ref() {
            return Some(*refusal);
        }
        if let Some(rustls::Error::AlertReceived(alert)) = error.downcast_ref() {
            return Refusal::from_alert(*alert);
        }
        // An io::Error shows its content's source as its own, not the content.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

impl StepError {
    /// Reads an error of the connection to the Auth server, where we check it by the identity and it checks us.
    pub(super) fn auth_tls(error: &io::Error) -> Self {
        match tls(error) {
            Some(rustls::Error::AlertReceived(alert)) => match Refusal::from_alert(*alert) {
                Some(refusal) => Self::Refused(refusal),
                None => Self::Tls(alert_text(*alert)),
            },
            Some(rustls::Error::InvalidCertificate(reason)) => Self::ForeignServer(Distrust::of(reason)),
            _ => Self::tls(error),
        }
    }

    /// Reads an error of a connection to the Proxy's web port, checked by the system's authorities.
    pub(super) fn web_tls(error: &io::Error) -> Self {
        match tls(error) {
            Some(rustls::Error::InvalidCertificate(reason)) => Self::WebCertificate(Distrust::of(reason)),
            _ => Self::tls(error),
        }
    }

    fn tls(error: &io::Error) -> Self {
        Self::Tls(match tls(error) {
            Some(rustls::Error::InvalidMessage(_)) => "the server does not speak TLS".to_owned(),
            Some(rustls::Error::AlertReceived(alert)) => alert_text(*alert),
            Some(other) => without_debug(&other.to_string()),
            None if error.kind() == io::ErrorKind::UnexpectedEof => "the server closed the connection".to_owned(),
            None => error.to_string(),
        })
    }
}

fn tls(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn alert_text(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::NoApplicationProtocol => "the server does not know this protocol (ALPN)".to_owned(),
        AlertDescription::UnrecognisedName => "the server does not know this name (SNI)".to_owned(),
        other => format!("the server ended the TLS handshake ({})", in_words(&format!("{other:?}"))),
    }
}

/// The name of a variant, in words: what stands in its brackets is for developers.
fn in_words(debug: &str) -> String {
    let name =
        debug.split(['{', '(']).map(str::trim).find(|part| !part.is_empty() && *part != "Other").unwrap_or(debug);
    spaced(name.trim_end_matches(['}', ')', ' ']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(distrust: Distrust) -> String {
        let failure = Failure { way: "as the Proxy itself says", error: StepError::WebCertificate(distrust) };
        DialError::new(Address::new("proxy.example.com", 443), vec![failure]).to_string()
    }

    #[test]
    fn an_expired_web_certificate_is_the_proxys_to_renew() {
        let line = advice(Distrust::Expired);
        assert!(line.contains("web certificate is not trusted (expired); renew the Proxy's web certificate"), "{line}");
        assert!(!line.contains("ca_bundle") && !line.contains("same cluster"), "{line}");
        let line = advice(Distrust::NotYetValid);
        assert!(line.contains("clocks"), "{line}");
        assert!(advice(Distrust::UnknownIssuer).contains("teleport.ca_bundle"));
    }

    #[test]
    fn no_debugging_form_of_a_library_reaches_a_person() {
        let reason = CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
            signature_algorithm_id: vec![1],
            public_key_algorithm_id: vec![2],
        };
        let errors = [
            Distrust::of(&reason).to_string(),
            Distrust::of(&CertificateError::InvalidPurpose).to_string(),
            Distrust::of(&CertificateError::BadEncoding).to_string(),
            Refusal::Other(AlertDescription::CertificateRequired).to_string(),
            alert_text(AlertDescription::HandshakeFailure),
            without_debug(&rustls::Error::InvalidCertificate(reason).to_string()),
        ];
        for text in &errors {
            assert!(!text.contains(['{', '}', '[']) && !text.contains("Context {"), "{text}");
            let camel =
                text.as_bytes().windows(2).any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase());
            assert!(!camel, "{text}");
        }
        assert!(errors[0].contains("does not support"), "{}", errors[0]);
        assert!(errors[3].contains("certificate required"), "{}", errors[3]);
    }
}
