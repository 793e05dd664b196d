//! What `tctl auth sign` writes: identity files (`--format=file`) and separate TLS files (`--format=tls`).

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};
use std::{fmt, fs, io};

use russh::keys::ssh_key::certificate::CertType;
use rustls::pki_types::CertificateDer;

use super::authority::{Authorities, BACKDATED, SshContents};
use super::keys::{Key, KeyAlgorithm, SigningError};
use super::x509::{Name, oid, pem};

/// When an identity is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// From a minute ago, for this long.
    For(Duration),
    /// Ended this long ago.
    ExpiredSince(Duration),
}

impl Validity {
    fn span(self, now: SystemTime) -> (SystemTime, SystemTime) {
        match self {
            Self::For(ttl) => (now - BACKDATED, now + ttl),
            Self::ExpiredSince(ago) => (now - ago - Duration::from_hours(1), now - ago),
        }
    }
}

impl From<Duration> for Validity {
    fn from(ttl: Duration) -> Self {
        Self::For(ttl)
    }
}

/// What to put into an identity.
#[derive(Clone, Debug)]
pub struct IdentityRequest {
    /// Teleport user name.
    pub user: String,
    /// Roles of that user.
    pub roles: Vec<String>,
    /// Logins, the SSH principals.
    pub logins: Vec<String>,
    /// When it is valid.
    pub validity: Validity,
    /// Kind of its key.
    pub algorithm: KeyAlgorithm,
}

/// A signed identity, in memory.
#[derive(Clone)]
pub struct Identity {
    key_pem: String,
    ssh_certificate: String,
    tls_certificate: CertificateDer<'static>,
    ssh_authority: String,
    tls_authorities: Vec<CertificateDer<'static>>,
    not_after: SystemTime,
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Identity").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

impl Identity {
    pub(crate) fn sign(
        authorities: &Authorities,
        cluster: &str,
        proxy_host: Option<&str>,
        request: &IdentityRequest,
        now: SystemTime,
    ) -> Result<Self, SigningError> {
        let key = Key::generate(request.algorithm)?;
        let (not_before, not_after) = request.validity.span(now);
        let principals = if request.logins.is_empty() {
            vec![format!("-teleport-nologin-{}", request.user)]
        } else {
            request.logins.clone()
        };
        let mut subject: Name = principals.iter().map(|login| (oid::LOCALITY, login.clone())).collect();
        subject.extend(request.roles.iter().map(|role| (oid::ORGANIZATION, role.clone())));
        subject.push((oid::COMMON_NAME, request.user.clone()));
        subject.push((oid::TELEPORT_CLUSTER, cluster.to_owned()));
        let tls_certificate = authorities.user.issue_user(&subject, &key.tls, not_before, not_after)?;
        let ssh_certificate = authorities.user.issue_ssh(
            key.ssh.public_key(),
            &SshContents {
                kind: CertType::User,
                key_id: &request.user,
                principals: &principals,
                not_before,
                not_after,
                extensions: &[("permit-port-forwarding", String::new()), ("permit-pty", String::new())],
            },
        )?;
        let hosts = proxy_host.map(|host| format!("{host},")).unwrap_or_default();
        let ssh_authority =
            format!("@cert-authority {hosts}{cluster},*.{cluster} {} type=host", authorities.host.ssh_line()?.trim());
        Ok(Self {
            key_pem: key.pem,
            ssh_certificate: ssh_certificate.to_openssh()?.trim().to_owned(),
            tls_certificate,
            ssh_authority,
            tls_authorities: vec![authorities.host.certificate.clone()],
            not_after,
        })
    }

    /// End of its validity.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// The private key, PEM.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The TLS certificate, PEM: the leaf alone.
    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.tls_certificate)
    }

    /// The TLS certificates of the cluster's host authority, PEM.
    pub fn authorities_pem(&self) -> String {
        self.tls_authorities.iter().map(|der| pem("CERTIFICATE", der)).collect()
    }

    /// The text of `tctl auth sign --format=file`: key, SSH certificate, TLS certificate, SSH authorities, TLS authorities.
    pub fn identity_file(&self) -> String {
        let (key, ssh) = (&self.key_pem, &self.ssh_certificate);
        let ssh_authority = &self.ssh_authority;
        format!("{key}{ssh}\n{}{ssh_authority}\n{}", self.certificate_pem(), self.authorities_pem())
    }

    /// Writes [`Identity::identity_file`] with mode 0600, by way of a rename: readers see the old file or the new one.
    pub fn write_identity_file(&self, path: impl AsRef<Path>) -> io::Result<()> {
        write_private(path.as_ref(), &self.identity_file())
    }

    /// Writes the files of `tctl auth sign --format=tls --out=<prefix>`: `<prefix>.crt`, `<prefix>.key`, `<prefix>.cas`.
    pub fn write_tls_files(&self, prefix: impl AsRef<Path>) -> io::Result<()> {
        let prefix = prefix.as_ref();
        write_private(&prefix.with_added_extension("crt"), &self.certificate_pem())?;
        write_private(&prefix.with_added_extension("key"), &self.key_pem)?;
        write_private(&prefix.with_added_extension("cas"), &self.authorities_pem())
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_added_extension(format!("{:x}.new", rand::random::<u64>()));
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The name is ours alone; a file that was never created is no second error.
        let _ = fs::remove_file(&temporary);
    }
    written
}
