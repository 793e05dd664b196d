//! Key pairs that serve TLS and SSH at once, as the one key in an identity file does.

use rcgen::KeyPair;
use russh::keys::key::safe_rng;
use russh::keys::pkcs8::encode_pkcs8;
use russh::keys::ssh_key::private::{KeypairData, RsaKeypair};
use russh::keys::{PrivateKey, decode_secret_key};
use serde::{Deserialize, Serialize};

use super::x509::pem;

/// Why no certificate or identity could be made.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The TLS half.
    #[error("cannot make a TLS certificate: {0}")]
    Tls(#[from] rcgen::Error),
    /// The SSH half.
    #[error("cannot make an SSH certificate: {0}")]
    Ssh(#[from] russh::keys::ssh_key::Error),
    /// The key in one of its encodings.
    #[error("cannot convert a private key: {0}")]
    Key(#[from] russh::keys::Error),
    /// The key inside its PKCS#8 wrapping.
    #[error("cannot unwrap a private key: {0}")]
    Der(#[from] yasna::ASN1Error),
}

/// Kinds of keys that Teleport's signature suites use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum KeyAlgorithm {
    /// ECDSA P-256, the default of new clusters (`balanced-v1`).
    #[default]
    Ecdsa,
    /// RSA 2048, the only kind of clusters before v17 (`legacy`). Slow to make in a debug build.
    Rsa,
    /// Ed25519, found in SSH keys.
    Ed25519,
}

/// A private key, usable for both protocols.
pub(crate) struct Key {
    pub(crate) tls: KeyPair,
    pub(crate) ssh: PrivateKey,
    /// As Teleport writes it: PKCS#1 for RSA, PKCS#8 for the others.
    pub(crate) pem: String,
}

impl Key {
    pub(crate) fn generate(algorithm: KeyAlgorithm) -> Result<Self, SigningError> {
        match algorithm {
            KeyAlgorithm::Ecdsa => Self::from_tls(KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?),
            KeyAlgorithm::Ed25519 => Self::from_tls(KeyPair::generate_for(&rcgen::PKCS_ED25519)?),
            KeyAlgorithm::Rsa => Self::generate_rsa(),
        }
    }

    fn from_tls(tls: KeyPair) -> Result<Self, SigningError> {
        let pem = tls.serialize_pem();
        Ok(Self { ssh: decode_secret_key(&pem, None)?, tls, pem })
    }

    fn generate_rsa() -> Result<Self, SigningError> {
        let ssh = PrivateKey::new(KeypairData::from(RsaKeypair::random(&mut safe_rng(), 2048)?), "")?;
        let wrapped = encode_pkcs8(&ssh)?;
        let tls = KeyPair::from_pem(&pem("PRIVATE KEY", &wrapped))?;
        let inner = yasna::parse_der(&wrapped, |reader| {
            reader.read_sequence(|reader| {
                reader.next().read_u8()?;
                reader.next().read_der()?;
                reader.next().read_bytes()
            })
        })?;
        Ok(Self { tls, ssh, pem: pem("RSA PRIVATE KEY", &inner) })
    }
}
