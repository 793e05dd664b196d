//! Why the Auth server could not be reached: every way that was tried, what each said, and what to do.

use std::error::Error;
use std::{fmt, io};

use rustls::{AlertDescription, CertificateError};

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
    #[error("cannot set up TLS: {0}")]
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
        let advice = if any(|error| matches!(error, StepError::WebCertificate(_))) {
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
    ForeignServer(String),
    /// Trust in the Proxy's web certificate is missing.
    #[error("the Proxy's web certificate is not trusted ({0})")]
    WebCertificate(String),
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
    #[error("its certificate was not accepted ({0:?})")]
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
            Some(rustls::Error::InvalidCertificate(reason)) => Self::ForeignServer(certificate_text(reason)),
            _ => Self::tls(error),
        }
    }

    /// Reads an error of a connection to the Proxy's web port, checked by the system's authorities.
    pub(super) fn web_tls(error: &io::Error) -> Self {
        match tls(error) {
            Some(rustls::Error::InvalidCertificate(reason)) => Self::WebCertificate(certificate_text(reason)),
            _ => Self::tls(error),
        }
    }

    fn tls(error: &io::Error) -> Self {
        Self::Tls(match tls(error) {
            Some(rustls::Error::InvalidMessage(_)) => "the server does not speak TLS".to_owned(),
            Some(rustls::Error::AlertReceived(alert)) => alert_text(*alert),
            Some(other) => other.to_string(),
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
        other => format!("the server ended the TLS handshake: {other:?}"),
    }
}

fn certificate_text(reason: &CertificateError) -> String {
    match reason {
        CertificateError::UnknownIssuer => "unknown issuer".to_owned(),
        CertificateError::BadSignature => "signed by another authority of the same name".to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "expired".to_owned(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "made for another name".to_owned()
        }
        // Known by its name only.
        CertificateError::Other(reason) if reason.to_string().contains("CaUsedAsEndEntity") => {
            "self-signed, with the marks of an authority".to_owned()
        }
        other => other.to_string(),
    }
}
