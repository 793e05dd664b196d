//! The server's certificate: from files, and anew when they change.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use crate::file_watch;

/// How often the files are read again while connections come in.
const RELOAD: Duration = Duration::from_secs(10);

/// Where certificate and key are, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, with those of intermediate authorities behind it.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// The certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {} for TLS: {source}; check the path and its permissions", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} is of no use for TLS: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// A certificate in use; a cheap handle.
#[derive(Clone)]
pub struct Certificates {
    files: CertificateFiles,
    current: Arc<Mutex<Current>>,
}

struct Current {
    digest: [u8; 32],
    acceptor: TlsAcceptor,
    read_at: Instant,
}

impl Certificates {
    /// Reads the files, which must be usable.
    pub fn load(files: CertificateFiles) -> Result<Self, CertificateError> {
        let (digest, acceptor) = read(&files)?;
        let current = Current { digest, acceptor, read_at: Instant::now() };
        Ok(Self { files, current: Arc::new(Mutex::new(current)) })
    }

    /// What accepts the next connection. A renewed certificate that cannot be used is reported, and the old one stays in use.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.read_at.elapsed() >= RELOAD {
            current.read_at = Instant::now();
            match read(&self.files) {
                Ok((digest, acceptor)) if digest != current.digest => {
                    tracing::info!(file = %self.files.certificate.display(), "Took up the renewed certificate");
                    (current.digest, current.acceptor) = (digest, acceptor);
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "Cannot use the certificate: staying with the one in use"),
            }
        }
        current.acceptor.clone()
    }
}

fn read(files: &CertificateFiles) -> Result<([u8; 32], TlsAcceptor), CertificateError> {
    let CertificateFiles { certificate, key } = files;
    let (certificates_pem, key_pem) = (read_file(certificate)?, read_file(key)?);
    let unusable = |path: &Path, reason: String| CertificateError::Unusable { path: path.to_owned(), reason };
    let certificates = CertificateDer::pem_slice_iter(&certificates_pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(certificate, format!("not a PEM file of certificates ({error})")))?;
    let private = PrivateKeyDer::from_pem_slice(&key_pem)
        .map_err(|error| unusable(key, format!("not a PEM file with a private key ({error})")))?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(certificates, private)
        .map_err(|error| unusable(certificate, format!("{error}; give a certificate and its own key")))?;
    let mut digest = Sha256::new();
    digest.update(&*certificates_pem);
    digest.update(&*key_pem);
    Ok((digest.finalize().into(), TlsAcceptor::from(Arc::new(config))))
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    file_watch::read(path).map_err(|source| CertificateError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_pair(directory: &Path) -> CertificateFiles {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let files = CertificateFiles { certificate: directory.join("tls.crt"), key: directory.join("tls.key") };
        std::fs::write(&files.certificate, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        files
    }

    fn install_provider() {
        let _ = rustls::crypto::ring::default_provider().install_default();
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewed_pair_is_taken_up_and_a_broken_one_is_not() {
        install_provider();
        let directory = tempfile::tempdir().unwrap();
        let files = write_pair(directory.path());
        let certificates = Certificates::load(files.clone()).unwrap();
        let in_use = |certificates: &Certificates| certificates.current.lock().unwrap().digest;
        let first = in_use(&certificates);
        std::fs::write(&files.certificate, "broken").unwrap();
        tokio::time::advance(RELOAD).await;
        drop(certificates.acceptor());
        assert_eq!(in_use(&certificates), first);
        write_pair(directory.path());
        tokio::time::advance(RELOAD).await;
        drop(certificates.acceptor());
        assert_ne!(in_use(&certificates), first);
    }

    #[test]
    fn what_is_wrong_with_a_pair_names_the_file() {
        install_provider();
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let files = write_pair(one.path());
        let missing = CertificateFiles { key: one.path().join("none"), ..files.clone() };
        let mixed = CertificateFiles { key: write_pair(other.path()).key, ..files.clone() };
        let swapped = CertificateFiles { certificate: files.key.clone(), key: files.certificate };
        for (files, said) in [(missing, "none"), (mixed, "tls.crt"), (swapped, "tls.")] {
            let error = Certificates::load(files).err().unwrap().to_string();
            assert!(error.contains(said) && error.contains("TLS"), "{error}");
        }
    }
}
