//! Identities: what `tctl auth sign` and `tbot` write, parsed whole before any of it is used.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

use jiff::Timestamp;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, InconsistentKeys, RootCertStore};
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;
use zeroize::Zeroizing;

use crate::cause::without_debug;
use crate::file_watch;

mod error;
mod file;
mod ssh;
#[cfg(test)]
mod tests;

pub use crate::teleport::identity::error::{IdentityError, Problem};
pub use crate::teleport::identity::ssh::SshMaterial;

/// The name that every Auth server's certificate carries, whatever its address: Teleport's `constants.APIDomain`.
pub const API_DOMAIN: &str = "teleport.cluster.local";

/// Where an identity lies on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// One file with everything: `tctl auth sign --format=file`, or `tbot`'s `identity`.
    IdentityFile(PathBuf),
    /// Three files: `tctl auth sign --format=tls`. They hold nothing for SSH, so no tunnel can be dialed with them.
    TlsFiles {
        /// The client certificate, `auth.crt`.
        certificate: PathBuf,
        /// Its private key, `auth.key`.
        key: PathBuf,
        /// The certificate authorities of the cluster, `auth.cas`.
        cas: PathBuf,
    },
}

impl Credentials {
    /// Reads and checks the files. Cheap enough (a few kilobytes) to be called from async code.
    pub fn load(&self) -> Result<Identity, IdentityError> {
        match self {
            Self::IdentityFile(path) => {
                let content = read(path)?;
                let beside = beside(path);
                let ssh_certificate = match file_watch::read(&beside) {
                    Ok(content) => Some(content),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                    Err(source) => return Err(IdentityError::Read { path: beside, source }),
                };
                Identity::parse_file(
                    &content,
                    ssh_certificate.as_ref().map(|content| content.as_slice()),
                    &path.display().to_string(),
                )
            }
            Self::TlsFiles { certificate, key, cas } => {
                let (certificate_pem, key_pem, cas_pem) = (read(certificate)?, read(key)?, read(cas)?);
                Identity::from_tls(
                    Named { content: &certificate_pem, origin: &certificate.display().to_string() },
                    Named { content: &key_pem, origin: &key.display().to_string() },
                    Named { content: &cas_pem, origin: &cas.display().to_string() },
                )
            }
        }
    }

    /// The file that an identity file without an SSH certificate is completed by; it need not exist.
    pub fn ssh_certificate_beside(&self) -> Option<PathBuf> {
        match self {
            Self::IdentityFile(path) => Some(beside(path)),
            Self::TlsFiles { .. } => None,
        }
    }

    /// The files to watch for changes.
    pub fn paths(&self) -> Vec<&Path> {
        match self {
            Self::IdentityFile(path) => vec![path],
            Self::TlsFiles { certificate, key, cas } => vec![certificate, key, cas],
        }
    }
}

/// Content together with the name that errors give it.
#[derive(Clone, Copy)]
pub struct Named<'a> {
    /// The bytes of the file.
    pub content: &'a [u8],
    /// The file, as errors name it.
    pub origin: &'a str,
}

/// A client's credential for one Teleport cluster, checked and ready to use.
pub struct Identity {
    user: String,
    cluster: String,
    roles: Vec<String>,
    not_before: Timestamp,
    not_after: Timestamp,
    provider: Arc<CryptoProvider>,
    verifier: Arc<WebPkiServerVerifier>,
    certificate: Arc<CertifiedKey>,
    ssh: Result<SshMaterial, String>,
    fingerprint: Fingerprint,
    server_name: ServerName<'static>,
}

/// Names the content of an identity, to notice that it changed. Not secret, and of no use to anybody else.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(6).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Fingerprint {
    fn of(contents: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for content in contents {
            hash.update(content.len().to_le_bytes());
            hash.update(content);
        }
        Self(hash.finalize().into())
    }
}

impl Identity {
    /// Parses an identity file. `origin` is what errors call it.
    pub fn from_identity_file(content: &[u8], origin: &str) -> Result<Self, IdentityError> {
        Self::parse_file(content, None, origin)
    }

    /// Parses the three files of `tctl auth sign --format=tls`.
    pub fn from_tls(certificate: Named<'_>, key: Named<'_>, cas: Named<'_>) -> Result<Self, IdentityError> {
        let first = |file: Named<'_>, wanted: &str, missing: Problem| {
            if file.content.trim_ascii().is_empty() {
                return Err(Problem::Empty.at(file.origin));
            }
            if let Some(problem) = file::container(file.content) {
                return Err(problem.at(file.origin));
            }
            let blocks = file::blocks(file.content).map_err(|problem| problem.at(file.origin))?;
            let block = blocks.into_iter().find(|block| file::label(block).ends_with(wanted));
            block.ok_or_else(|| file::problem(file.content, missing).at(file.origin))
        };
        let is_certificate = first(key, "CERTIFICATE", Problem::NoPrivateKey).is_ok();
        let no_key = if is_certificate { Problem::KeyIsCertificate } else { Problem::NoPrivateKey };
        let key_pem = Zeroizing::new(first(key, "PRIVATE KEY", no_key)?);
        let certificate_pem = first(certificate, "CERTIFICATE", Problem::NoCertificate)?;
        if let Some(problem) = file::container(cas.content) {
            return Err(problem.at(cas.origin));
        }
        let authorities = file::blocks(cas.content).map_err(|problem| problem.at(cas.origin))?;
        if authorities.is_empty() {
            return Err(file::problem(cas.content, Problem::NoAuthorities).at(cas.origin));
        }
        Self::assemble(
            &Material {
                key: (&key_pem, key.origin),
                certificate: (&certificate_pem, certificate.origin),
                authorities: (&authorities, cas.origin),
            },
            |_| Err("the three TLS files hold no SSH certificate".to_owned()),
            Fingerprint::of(&[certificate.content, key.content, cas.content]),
        )
    }

    fn parse_file(content: &[u8], beside: Option<&[u8]>, origin: &str) -> Result<Self, IdentityError> {
        if content.trim_ascii().is_empty() {
            return Err(Problem::Empty.at(origin));
        }
        if let Some(problem) = file::container(content) {
            return Err(problem.at(origin));
        }
        let pieces = file::split(content).map_err(|problem| problem.at(origin))?;
        let key = pieces.key.ok_or_else(|| file::problem(content, Problem::NoPrivateKey).at(origin))?;
        if file::label(&key).ends_with("CERTIFICATE") {
            return Err(Problem::OnlyCertificates.at(origin));
        }
        let certificate = pieces.certificate.filter(|block| file::label(block).ends_with("CERTIFICATE"));
        let certificate = certificate.ok_or_else(|| Problem::NoCertificate.at(origin))?;
        let ssh_certificate =
            pieces.ssh_certificate.or_else(|| beside.map(|content| String::from_utf8_lossy(content).trim().to_owned()));
        Self::assemble(
            &Material {
                key: (&key, origin),
                certificate: (&certificate, origin),
                authorities: (&pieces.authorities, origin),
            },
            |key| SshMaterial::parse(ssh_certificate.as_deref(), &pieces.ssh_authorities, key),
            Fingerprint::of(&[content, beside.unwrap_or_default()]),
        )
    }

    fn assemble(
        material: &Material<'_>,
        ssh: impl FnOnce(&CertifiedKey) -> Result<SshMaterial, String>,
        fingerprint: Fingerprint,
    ) -> Result<Self, IdentityError> {
        let provider = Arc::new(ring::default_provider());
        let (certificate_pem, certificate_origin) = material.certificate;
        let leaf = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|_| Problem::DamagedCertificate.at(certificate_origin))?;
        let facts = Facts::read(&leaf).ok_or_else(|| Problem::DamagedCertificate.at(certificate_origin))?;
        if facts.is_authority {
            return Err(Problem::NoCertificate.at(certificate_origin)); // the first authority stands in its place
        }
        let (key_pem, key_origin) = material.key;
        let certificate = Arc::new(certified(leaf, key_pem, &provider).map_err(|problem| problem.at(key_origin))?);
        let (authorities_pem, authorities_origin) = material.authorities;
        let authorities =
            Arc::new(roots(authorities_pem, &facts.cluster).map_err(|problem| problem.at(authorities_origin))?);
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(&authorities), Arc::clone(&provider))
            .build()
            .map_err(|error| Problem::DamagedAuthority(without_debug(&error.to_string())).at(authorities_origin))?;
        let server_name = ServerName::try_from(API_DOMAIN)
            .map_err(|error| Problem::DamagedAuthority(without_debug(&error.to_string())).at(authorities_origin))?;
        let ssh = ssh(&certificate);
        let Facts { user, cluster, roles, not_before, not_after, is_authority: _ } = facts;
        Ok(Self {
            user,
            cluster,
            roles,
            not_before,
            not_after,
            provider,
            verifier,
            certificate,
            ssh,
            fingerprint,
            server_name,
        })
    }

    /// The Teleport user that it was signed for: the certificate's common name.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The cluster that signed it: the common name of the certificate's issuer.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The user's roles at the time of signing: the organizations in the certificate's subject.
    pub fn roles(&self) -> &[String] {
        &self.roles
    }

    /// From when on it is valid.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// Until when it is valid.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Whether no new connection can be made with it any more. Connections that exist may go on working.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now >= self.not_after
    }

    /// Names its content, to notice a change.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// What an SSH tunnel through the Proxy needs, if it is there.
    pub fn ssh(&self) -> Option<&SshMaterial> {
        self.ssh.as_ref().ok()
    }

    /// Why [`Identity::ssh`] has nothing to offer.
    pub fn ssh_problem(&self) -> Option<&str> {
        self.ssh.as_ref().err().map(String::as_str)
    }

    /// The name to ask for and to check in the Auth server's certificate.
    pub fn server_name(&self) -> ServerName<'static> {
        self.server_name.clone()
    }

    /// The TLS configuration towards the Auth server: trusts this identity's authorities and nobody else, and always
    /// sends the leaf certificate, whatever authorities the server hints at (Teleport refuses chains).
    pub fn tls_config(&self, alpn: &[Vec<u8>]) -> Result<ClientConfig, rustls::Error> {
        let mut config =
            self.builder()?.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&self.certificate))));
        config.alpn_protocols = alpn.to_vec();
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    fn builder(&self) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, rustls::Error> {
        Ok(ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .with_webpki_verifier(Arc::clone(&self.verifier)))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("user", &self.user)
            .field("cluster", &self.cluster)
            .field("roles", &self.roles)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// PEM texts, each with the file it came from.
struct Material<'a> {
    key: (&'a str, &'a str),
    certificate: (&'a str, &'a str),
    authorities: (&'a [String], &'a str),
}

/// What the client certificate says about its holder.
struct Facts {
    user: String,
    cluster: String,
    roles: Vec<String>,
    not_before: Timestamp,
    not_after: Timestamp,
    is_authority: bool,
}

impl Facts {
    fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let issuer = certificate.issuer();
        Some(Self {
            user: first(common_names(certificate.subject()))?,
            cluster: first(common_names(issuer)).or_else(|| first(organizations(issuer)))?,
            roles: organizations(certificate.subject()),
            not_before: Timestamp::from_second(certificate.validity().not_before.timestamp()).ok()?,
            not_after: Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()?,
            is_authority: certificate.is_ca(),
        })
    }
}

fn first(values: Vec<String>) -> Option<String> {
    values.into_iter().next()
}

fn common_names(name: &X509Name<'_>) -> Vec<String> {
    name.iter_common_name().filter_map(|value| value.as_str().ok()).map(str::to_owned).collect()
}

fn organizations(name: &X509Name<'_>) -> Vec<String> {
    name.iter_organization().filter_map(|value| value.as_str().ok()).map(str::to_owned).collect()
}

fn certified(leaf: CertificateDer<'static>, key: &str, provider: &CryptoProvider) -> Result<CertifiedKey, Problem> {
    let label = file::label(key);
    if !label.ends_with("PRIVATE KEY") {
        return Err(Problem::NoPrivateKey);
    }
    if !matches!(label, "RSA PRIVATE KEY" | "EC PRIVATE KEY" | "PRIVATE KEY") {
        return Err(Problem::UnsupportedKey(label.to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| Problem::DamagedKey)?;
    CertifiedKey::from_der(vec![leaf], key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Problem::KeyMismatch,
        _ => Problem::DamagedKey,
    })
}

/// The authorities of the identity's own cluster, which name it in their subject. Those of leaf clusters may stand beside them,
/// and vouch for no Auth server of ours. One that cannot be used does not spoil the others.
fn roots(authorities: &[String], cluster: &str) -> Result<RootCertStore, Problem> {
    let mut roots = RootCertStore::empty();
    let mut problem = Problem::NoAuthorities;
    for pem in authorities {
        match CertificateDer::from_pem_slice(pem.as_bytes()) {
            Err(_) => problem = Problem::DamagedAuthority("it is damaged".to_owned()),
            Ok(der) if !is_of_cluster(&der, cluster) => {
                if matches!(problem, Problem::NoAuthorities) {
                    problem = Problem::ForeignAuthorities(cluster.to_owned());
                }
            }
            Ok(der) => {
                if let Err(error) = roots.add(der) {
                    problem = Problem::DamagedAuthority(without_debug(&error.to_string()));
                }
            }
        }
    }
    if roots.is_empty() { Err(problem) } else { Ok(roots) }
}

fn is_of_cluster(authority: &CertificateDer<'_>, cluster: &str) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(authority) else { return true };
    let subject = certificate.subject();
    [common_names(subject), organizations(subject)].concat().iter().any(|name| name == cluster)
}

fn beside(identity_file: &Path) -> PathBuf {
    PathBuf::from(format!("{}-cert.pub", identity_file.display()))
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    file_watch::read(path).map_err(|source| IdentityError::Read { path: path.to_owned(), source })
}
