//! Pins of an Auth server's authorities, as `tctl status` prints them: `sha256:` and the hash of the `SubjectPublicKeyInfo`.

use std::fmt;
use std::str::FromStr;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

const PREFIX: &str = "sha256:";

/// One pin.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CaPin([u8; 32]);

/// Text that is no pin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no CA pin: write sha256: and 64 hexadecimal digits, as `tctl status` prints it")]
pub struct NotAPin(String);

impl fmt::Display for CaPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CaPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CaPin {
    type Err = NotAPin;

    fn from_str(text: &str) -> Result<Self, NotAPin> {
        let parse = || {
            let digits = text.trim().strip_prefix(PREFIX)?;
            let mut hash = [0; 32];
            if digits.len() != 2 * hash.len() || !digits.is_ascii() {
                return None;
            }
            for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks(2)) {
                *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
            }
            Some(Self(hash))
        };
        parse().ok_or_else(|| NotAPin(text.to_owned()))
    }
}

/// Why authorities are not trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PinError {
    /// The server sent no certificate, or one that cannot be read.
    #[error("the server's authorities cannot be read")]
    Unreadable,
    /// An authority that no pin stands for.
    #[error("the server's authority has the pin {found}, which is none of those that are set")]
    Foreign {
        /// The pin of the authority.
        found: CaPin,
    },
}

impl CaPin {
    fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        Some(Self(Sha256::digest(certificate.tbs_certificate.subject_pki.raw).into()))
    }
}

/// The authorities of a PEM text as roots to trust. Each of them must be pinned: during a rotation both are.
pub(super) fn pinned(pem: &[u8], pins: &[CaPin]) -> Result<RootCertStore, PinError> {
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| PinError::Unreadable)?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        let found = CaPin::of(&certificate).ok_or(PinError::Unreadable)?;
        if !pins.contains(&found) {
            return Err(PinError::Foreign { found });
        }
        roots.add(certificate).map_err(|_| PinError::Unreadable)?;
    }
    if roots.is_empty() { Err(PinError::Unreadable) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::teleport::testing::Cluster;

    fn pin(cluster: &Cluster) -> CaPin {
        CaPin::of(&CertificateDer::from_pem_slice(cluster.ca_pem().as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn a_pin_is_read_as_tctl_prints_it() {
        let text = format!("sha256:{}", "0f".repeat(32));
        assert_eq!(text.parse::<CaPin>().unwrap().to_string(), text);
        for wrong in ["", "sha256:", "0f", &text[1..], &format!("{text}0"), &text.replace("0f", "0g")] {
            assert!(wrong.parse::<CaPin>().unwrap_err().to_string().contains("tctl status"), "{wrong}");
        }
    }

    #[test]
    fn every_authority_has_to_be_pinned() {
        let (one, other) = (Cluster::new("example"), Cluster::new("example"));
        let both = [one.ca_pem(), other.ca_pem()].concat();
        assert_eq!(pinned(one.ca_pem().as_bytes(), &[pin(&one)]).unwrap().len(), 1);
        assert_eq!(pinned(both.as_bytes(), &[pin(&other), pin(&one)]).unwrap().len(), 2);
        assert_eq!(pinned(both.as_bytes(), &[pin(&one)]).unwrap_err(), PinError::Foreign { found: pin(&other) });
        assert_eq!(pinned(b"", &[pin(&one)]).unwrap_err(), PinError::Unreadable);
    }
}
