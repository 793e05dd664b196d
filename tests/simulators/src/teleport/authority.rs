//! The cluster's certificate authorities: one for hosts, one for users, each for TLS and SSH.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use rcgen::PublicKeyData;
use russh::keys::key::safe_rng;
use russh::keys::ssh_key::certificate::{Builder, CertType};
use russh::keys::{Certificate, PublicKey};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::clock::since_epoch;
use super::keys::{Key, KeyAlgorithm, SigningError};
use super::x509::{Contents, Issuer, Name, oid, sign};

/// Certificates start a minute in the past, as Teleport's do, so that clocks may differ a little.
pub(crate) const BACKDATED: Duration = Duration::from_mins(1);
const TEN_YEARS: Duration = Duration::from_hours(87600);

/// The domain under which every Auth server's certificate is valid.
pub const API_DOMAIN: &str = "teleport.cluster.local";

/// The name under which the Auth servers of one cluster are addressed: its name in hex, below [`API_DOMAIN`].
pub fn encoded_cluster_name(cluster: &str) -> String {
    let nibbles = cluster.bytes().flat_map(|byte| [byte >> 4, byte & 0xf]);
    let hex: String = nibbles.filter_map(|nibble| char::from_digit(nibble.into(), 16)).collect();
    format!("{hex}.{API_DOMAIN}")
}

/// One certificate authority.
pub(crate) struct Authority {
    name: Name,
    key: Key,
    pub(crate) certificate: CertificateDer<'static>,
}

impl Authority {
    pub(crate) fn new(cluster: &str, algorithm: KeyAlgorithm) -> Result<Self, SigningError> {
        let key = Key::generate(algorithm)?;
        // Teleport numbers the subjects, so that two authorities of one cluster differ in name.
        let name = vec![
            (oid::ORGANIZATION, cluster.to_owned()),
            (oid::COMMON_NAME, cluster.to_owned()),
            (oid::SERIAL_NUMBER, rand::random::<u64>().to_string()),
        ];
        let now = SystemTime::now();
        let certificate = sign(
            &Contents {
                subject: &name,
                public_key: &key.tls,
                not_before: now - BACKDATED,
                not_after: now + TEN_YEARS,
                authority: true,
                dns_names: &[],
                addresses: &[],
            },
            &Issuer { name: &name, key: &key.tls },
        )?;
        Ok(Self { name, key, certificate })
    }

    /// The TLS certificate of a user's key.
    pub(crate) fn issue_user(
        &self,
        subject: &Name,
        public_key: &dyn PublicKeyData,
        not_before: SystemTime,
        not_after: SystemTime,
    ) -> Result<CertificateDer<'static>, SigningError> {
        let contents =
            Contents { subject, public_key, not_before, not_after, authority: false, dns_names: &[], addresses: &[] };
        Ok(sign(&contents, &Issuer { name: &self.name, key: &self.key.tls })?)
    }

    /// A server certificate for `names` and the loopback addresses, with its key.
    pub(crate) fn issue_server(&self, names: &[String]) -> Result<ServerCertificate, SigningError> {
        let key = Key::generate(KeyAlgorithm::Ecdsa)?;
        let subject = vec![(oid::COMMON_NAME, names.first().cloned().unwrap_or_default())];
        let now = SystemTime::now();
        let contents = Contents {
            subject: &subject,
            public_key: &key.tls,
            not_before: now - BACKDATED,
            not_after: now + TEN_YEARS,
            authority: false,
            dns_names: names,
            addresses: &[IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)],
        };
        let certificate = sign(&contents, &Issuer { name: &self.name, key: &self.key.tls })?;
        Ok(ServerCertificate { certificate, key: key.tls.serialize_der() })
    }

    /// An SSH certificate for a key.
    pub(crate) fn issue_ssh(&self, key: &PublicKey, contents: &SshContents<'_>) -> Result<Certificate, SigningError> {
        let SshContents { kind, key_id, principals, not_before, not_after, extensions } = *contents;
        let (after, before) = (since_epoch(not_before).as_secs(), since_epoch(not_after).as_secs());
        let mut builder = Builder::new_with_random_nonce(&mut safe_rng(), key.key_data().clone(), after, before)?;
        builder.cert_type(kind)?.key_id(key_id)?;
        for principal in principals {
            builder.valid_principal(principal.as_str())?;
        }
        for (name, value) in extensions {
            builder.extension(*name, value.as_str())?;
        }
        Ok(builder.sign(&self.key.ssh)?)
    }

    /// The SSH public key of this authority in one line.
    pub(crate) fn ssh_line(&self) -> Result<String, SigningError> {
        Ok(self.key.ssh.public_key().to_openssh()?)
    }

    /// Whether an SSH certificate was signed by this authority and is valid now.
    pub(crate) fn vouches_for(&self, certificate: &Certificate, now: SystemTime) -> bool {
        let fingerprint = self.key.ssh.public_key().fingerprint(russh::keys::HashAlg::Sha256);
        certificate.validate_at(since_epoch(now).as_secs(), [&fingerprint]).is_ok()
    }
}

/// What an SSH certificate says.
pub(crate) struct SshContents<'a> {
    pub(crate) kind: CertType,
    pub(crate) key_id: &'a str,
    pub(crate) principals: &'a [String],
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
    pub(crate) extensions: &'a [(&'static str, String)],
}

/// A server's certificate and private key.
pub(crate) struct ServerCertificate {
    pub(crate) certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl ServerCertificate {
    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()))
    }
}

/// All authorities of a cluster, and the one that a company's own proxy certificate would come from.
pub(crate) struct Authorities {
    pub(crate) host: Authority,
    pub(crate) user: Authority,
    pub(crate) web: Authority,
}

impl Authorities {
    pub(crate) fn new(cluster: &str, algorithm: KeyAlgorithm) -> Result<Self, SigningError> {
        Ok(Self {
            host: Authority::new(cluster, algorithm)?,
            user: Authority::new(cluster, algorithm)?,
            web: Authority::new("Simulated public web CA", KeyAlgorithm::Ecdsa)?,
        })
    }
}
