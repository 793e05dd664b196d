//! A cluster's certificate authorities for the tests of identities and dialing: made anew for every test.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};
use russh::keys::ssh_key::certificate::{Builder, CertType};
use russh::keys::ssh_key::public::{EcdsaPublicKey, Ed25519PublicKey, KeyData};
use russh::keys::ssh_key::{Algorithm, PrivateKey};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::teleport::tunnel::certificate::Certificate;
use crate::teleport::tunnel::key::PublicKey;

/// A Teleport cluster's authorities: one key plays all of them.
pub(crate) struct Cluster {
    pub(crate) name: String,
    issuer: CertifiedIssuer<'static, KeyPair>,
    ssh: PrivateKey,
}

/// What an issued identity consists of.
pub(crate) struct Issued {
    pub(crate) key: String,
    pub(crate) certificate: String,
    pub(crate) ssh_certificate: String,
}

/// How long an identity is valid.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Validity {
    Valid,
    Expired,
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params.distinguished_name.push(DnType::OrganizationName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn server(issuer: &CertifiedIssuer<'static, KeyPair>, name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.signed_by(&key, issuer).unwrap();
    (certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()).into())
}

impl Cluster {
    pub(crate) fn new(name: &str) -> Self {
        let ssh = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).unwrap();
        Self { name: name.to_owned(), issuer: authority(name), ssh }
    }

    pub(crate) fn ca_pem(&self) -> String {
        self.issuer.pem()
    }

    /// As `tctl auth sign` writes it.
    pub(crate) fn host_authority_line(&self) -> String {
        let key = self.ssh.public_key().to_openssh().unwrap();
        let key = key.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        format!("@cert-authority proxy.example.com,{0},*.{0} {key} type=host", self.name)
    }

    pub(crate) fn issue(&self, user: &str, validity: Validity) -> Issued {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, user);
        params.distinguished_name.push(DnType::OrganizationName, "access-plugin");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if validity == Validity::Expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 2);
        }
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let public = KeyData::from(EcdsaPublicKey::from_sec1_bytes(key.public_key_raw()).unwrap());
        let ssh_certificate = self.ssh_certificate(public, CertType::User, user);
        Issued { key: key.serialize_pem(), certificate: certificate.pem(), ssh_certificate }
    }

    /// A whole identity file.
    pub(crate) fn identity_file(&self, user: &str, validity: Validity) -> String {
        let Issued { key, certificate, ssh_certificate } = self.issue(user, validity);
        let (line, ca) = (self.host_authority_line(), self.ca_pem());
        format!("{key}{ssh_certificate}\n{certificate}{line}\n{ca}")
    }

    /// TLS as an Auth server speaks it.
    pub(crate) fn auth_server(&self) -> ServerConfig {
        let provider = Arc::new(ring::default_provider());
        let (certificate, key) = server(&self.issuer, "teleport.cluster.local");
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider)).build().unwrap();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }

    /// An SSH server's key, and its certificate.
    pub(crate) fn ssh_host(&self) -> (Arc<dyn rustls::sign::SigningKey>, Certificate) {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let public = KeyData::from(Ed25519PublicKey(key.public_key_raw().try_into().unwrap()));
        let line = self.ssh_certificate(public, CertType::Host, "proxy");
        let der = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        (ring::default_provider().key_provider.load_private_key(der).unwrap(), decode(&line))
    }

    /// The authority of user and host certificates alike.
    pub(crate) fn ssh_authority(&self) -> PublicKey {
        PublicKey::decode(&self.ssh.public_key().to_bytes().unwrap()).unwrap()
    }

    fn ssh_certificate(&self, key: KeyData, kind: CertType, principal: &str) -> String {
        let mut builder = Builder::new_with_random_nonce(&mut rand::rng(), key, 0, u64::MAX).unwrap();
        builder.key_id(principal).unwrap();
        builder.cert_type(kind).unwrap();
        builder.valid_principal(principal).unwrap();
        builder.sign(&self.ssh).unwrap().to_openssh().unwrap()
    }
}

fn decode(line: &str) -> Certificate {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    Certificate::decode(&BASE64_STANDARD.decode(line.split(' ').nth(1).unwrap()).unwrap()).unwrap()
}

/// A web server's TLS for `127.0.0.1`, and the authority to trust.
pub(crate) fn web_server(alpn: &[&str]) -> (ServerConfig, CertificateDer<'static>) {
    let issuer = authority("web authority");
    let (certificate, key) = server(&issuer, "127.0.0.1");
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    (config, issuer.der().clone())
}
