//! The key pair of one join: P-256, made in memory, in each spelling that Teleport's forms want.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

use crate::teleport::tunnel::wire::Writer;

/// `SubjectPublicKeyInfo` of a P-256 key up to the point (RFC 5480).
const SPKI_HEADER: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// The key's type in SSH (RFC 5656).
const SSH_TYPE: &str = "ecdsa-sha2-nistp256";
const SSH_CURVE: &str = "nistp256";

/// A fresh key pair. It holds a secret: no `Debug`.
pub(super) struct Key {
    private_pem: String,
    spki: Vec<u8>,
    ssh: Vec<u8>,
}

/// The system gave no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a key pair: the system has no random numbers")]
pub struct NoRandomness;

impl Key {
    pub(super) fn generate() -> Result<Self, NoRandomness> {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| NoRandomness)?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).map_err(|_| NoRandomness)?;
        let point = pair.public_key().as_ref();
        let ssh = Writer::default().string(SSH_TYPE).string(SSH_CURVE).string(point).done();
        Ok(Self { private_pem: pem("PRIVATE KEY", pkcs8.as_ref()), spki: [&SPKI_HEADER, point].concat(), ssh })
    }

    /// PKCS #8.
    pub(super) fn private_pem(&self) -> &str {
        &self.private_pem
    }

    /// `SubjectPublicKeyInfo`, DER.
    pub(super) fn public_der(&self) -> &[u8] {
        &self.spki
    }

    /// The same as PEM.
    pub(super) fn public_pem(&self) -> String {
        pem("PUBLIC KEY", &self.spki)
    }

    /// SSH's wire form.
    pub(super) fn ssh_blob(&self) -> &[u8] {
        &self.ssh
    }

    /// One line of `authorized_keys`.
    pub(super) fn ssh_line(&self) -> String {
        format!("{SSH_TYPE} {}\n", BASE64_STANDARD.encode(&self.ssh))
    }
}

/// A PEM block (RFC 7468).
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let body = BASE64_STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};

    use super::*;
    use crate::teleport::tunnel::key::PublicKey;

    #[test]
    fn every_spelling_is_of_the_same_key() {
        let key = Key::generate().unwrap();
        let private = PrivateKeyDer::from_pem_slice(key.private_pem().as_bytes()).unwrap();
        let private = rustls::crypto::ring::sign::any_ecdsa_type(&private).unwrap();
        let public = SubjectPublicKeyInfoDer::from_pem_slice(key.public_pem().as_bytes()).unwrap();
        assert_eq!(private.public_key().unwrap(), public);
        assert_eq!(public.as_ref(), key.public_der());
        let blob = key.ssh_line();
        let blob = BASE64_STANDARD.decode(blob.split_ascii_whitespace().nth(1).unwrap()).unwrap();
        assert_eq!(blob, key.ssh_blob());
        let (_, signature) = crate::teleport::tunnel::key::sign(private.as_ref(), b"text").unwrap();
        PublicKey::decode(&blob).unwrap().verify(b"text", &signature).unwrap();
    }

    #[test]
    fn every_key_is_another() {
        assert_ne!(Key::generate().unwrap().public_der(), Key::generate().unwrap().public_der());
    }
}
