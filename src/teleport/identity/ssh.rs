//! The SSH half of an identity: a user certificate to log in with, and the authorities of the hosts to trust.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::sign::{CertifiedKey, SigningKey};

use crate::teleport::tunnel::certificate::{Certificate, Holder};
use crate::teleport::tunnel::key::{self, PublicKey};

/// What it takes to open an SSH tunnel through the Proxy.
#[derive(Clone)]
pub struct SshMaterial {
    pub(crate) certificate: Certificate,
    pub(crate) key: Arc<dyn SigningKey>,
    pub(crate) host_authorities: Vec<PublicKey>,
}

impl SshMaterial {
    /// Reads the lines of an identity file. The error says why no tunnel can be opened.
    pub(super) fn parse(certificate: Option<&str>, authorities: &[String], tls: &CertifiedKey) -> Result<Self, String> {
        let line = certificate.ok_or("the identity holds no SSH certificate")?;
        let certificate = line
            .split_ascii_whitespace()
            .nth(1)
            .and_then(|blob| BASE64_STANDARD.decode(blob).ok())
            .and_then(|blob| Certificate::decode(&blob).ok())
            .ok_or("the identity's SSH certificate cannot be read: it is damaged or of an unknown kind")?;
        if certificate.holder != Holder::User {
            return Err("the identity's SSH certificate is not a user's".to_owned());
        }
        // A signature that the certified key accepts proves that the two belong together.
        let probe = b"belongs together";
        let matches = key::sign(tls.key.as_ref(), probe)
            .is_ok_and(|(_, signature)| certificate.key.verify(probe, &signature).is_ok());
        if !matches {
            return Err("the identity's SSH certificate does not belong to its private key".to_owned());
        }
        let host_authorities: Vec<_> = authorities.iter().filter_map(|line| host_authority(line)).collect();
        if host_authorities.is_empty() {
            return Err(
                "the identity holds no SSH host authority (@cert-authority line) to check the Proxy by".to_owned()
            );
        }
        Ok(Self { certificate, key: Arc::clone(&tls.key), host_authorities })
    }

    /// The name to log in with: the certificate's first principal, or else its key id.
    pub fn login(&self) -> &str {
        self.certificate.principals.first().map_or(self.certificate.key_id.as_str(), String::as_str)
    }

    /// How many host authorities are trusted.
    pub fn host_authorities(&self) -> usize {
        self.host_authorities.len()
    }
}

impl fmt::Debug for SshMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SshMaterial").field("login", &self.login()).finish_non_exhaustive()
    }
}

/// Reads `@cert-authority <hosts> <key type> <key> [type=host…]`. Lines of other types are somebody else's.
fn host_authority(line: &str) -> Option<PublicKey> {
    let mut fields = line.split_ascii_whitespace().skip(2);
    let blob = fields.nth(1)?;
    if fields.next().is_some_and(|comment| comment.split('&').any(|pair| pair == "type=user")) {
        return None;
    }
    let blob = BASE64_STANDARD.decode(blob).ok()?;
    PublicKey::decode(&blob).ok()
}
