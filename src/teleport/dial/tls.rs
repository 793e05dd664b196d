//! The two kinds of TLS on the way to the Auth server: towards it, and towards the Proxy's web port.

use std::fmt::Write;
use std::io;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_name};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_platform_verifier::Verifier;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::teleport::dial::error::StepError;
use crate::teleport::identity::{API_DOMAIN, Identity};

/// A byte stream, whatever it is made of.
pub(in crate::teleport) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A byte stream whose layers do not matter any more.
pub(in crate::teleport) type BoxedStream = Box<dyn Stream>;

/// The Proxy hands connections with this protocol to an Auth server of the named cluster, still encrypted.
const AUTH_PROTOCOL_PREFIX: &str = "teleport-auth@";
const H2: &[u8] = b"h2";

/// The protocols for a direct connection.
pub(super) fn direct_protocols() -> Vec<Vec<u8>> {
    vec![H2.to_vec()]
}

/// The protocols for a connection through the Proxy's web port. The Proxy looks at the first, the Auth server picks `h2`.
pub(super) fn routed_protocols(cluster: &str) -> Vec<Vec<u8>> {
    vec![format!("{AUTH_PROTOCOL_PREFIX}{}", encoded_cluster(cluster)).into_bytes(), H2.to_vec()]
}

/// A cluster name as a host name: hexadecimal, below Teleport's own domain (`apiutils.EncodeClusterName`).
fn encoded_cluster(cluster: &str) -> String {
    let mut name = cluster.bytes().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    name.push('.');
    name.push_str(API_DOMAIN);
    name
}

/// Shakes hands with an Auth server and waits for its first word: only then it has looked at our certificate.
pub(super) async fn to_auth(
    stream: impl Stream + 'static,
    identity: &Identity,
    config: &Arc<ClientConfig>,
) -> Result<BoxedStream, StepError> {
    let tls = TlsConnector::from(Arc::clone(config))
        .connect(identity.server_name(), stream)
        .await
        .map_err(|error| StepError::auth_tls(&error))?;
    if tls.get_ref().1.alpn_protocol() != Some(H2) {
        return Err(StepError::Tls("the server did not agree on HTTP/2".to_owned()));
    }
    let mut tls = BufReader::with_capacity(FIRST_WORD, tls);
    match tls.fill_buf().await {
        Ok([]) => Err(StepError::Tls("the server closed the connection".to_owned())),
        Ok(_) => Ok(Box::new(tls)),
        Err(error) => Err(StepError::auth_tls(&error)),
    }
}

/// An HTTP/2 server starts with its settings, a few dozen bytes.
const FIRST_WORD: usize = 512;

/// Trust in web certificates: the system's authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honored) and our own.
///
/// Loaded when it is first needed. Most connections never do, and the system's authorities are many.
pub(super) struct WebTrust {
    extra: Vec<CertificateDer<'static>>,
    config: OnceLock<Result<ClientConfig, rustls::Error>>,
}

impl WebTrust {
    pub(super) fn new(extra: Vec<CertificateDer<'static>>) -> Self {
        Self { extra, config: OnceLock::new() }
    }

    fn config(&self) -> Result<ClientConfig, rustls::Error> {
        self.config.get_or_init(|| self.load()).clone()
    }

    fn load(&self) -> Result<ClientConfig, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let inner = Verifier::new_with_extra_roots(self.extra.iter().cloned(), Arc::clone(&provider))?;
        let verifier = ExactMatch { inner, known: self.extra.clone() };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

/// Trusts what the system trusts, and a server that shows the very certificate that was configured, as Go's clients do: people put
/// the server's own certificate where its authority's belongs.
#[derive(Debug)]
struct ExactMatch {
    inner: Verifier,
    known: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for ExactMatch {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(_) if self.known.iter().any(|known| known == end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                verify_time(end_entity, now)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Whether a certificate is valid now.
fn verify_time(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), rustls::Error> {
    let (_, parsed) =
        X509Certificate::from_der(certificate).map_err(|_| rustls::Error::from(CertificateError::BadEncoding))?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let validity = parsed.validity();
    if now < validity.not_before.timestamp() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > validity.not_after.timestamp() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

/// Shakes hands with the Proxy's web port.
pub(super) async fn to_web<S: Stream>(
    stream: S,
    name: ServerName<'static>,
    web: &WebTrust,
    protocols: &[&str],
) -> io::Result<TlsStream<S>> {
    let mut config = web.config().map_err(io::Error::other)?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(
        names: &[&str],
        signed_by: Option<&rcgen::Issuer<'_, rcgen::KeyPair>>,
        change: impl FnOnce(&mut rcgen::CertificateParams),
    ) -> CertificateDer<'static> {
        let key = rcgen::KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut parameters = rcgen::CertificateParams::new(names).unwrap();
        change(&mut parameters);
        let made = match signed_by {
            Some(issuer) => parameters.signed_by(&key, issuer),
            None => parameters.self_signed(&key),
        };
        made.unwrap().der().clone()
    }

    fn verify(
        known: &CertificateDer<'static>,
        shown: &CertificateDer<'static>,
        name: &str,
    ) -> Result<(), rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let inner = Verifier::new_with_extra_roots([known.clone()], provider).unwrap();
        let verifier = ExactMatch { inner, known: vec![known.clone()] };
        let name = ServerName::try_from(name).unwrap().to_owned();
        verifier.verify_server_cert(shown, &[], &name, &[], UnixTime::now()).map(drop)
    }

    #[test]
    fn the_servers_own_certificate_is_taken_where_an_authoritys_belongs() {
        let authority = rcgen::Issuer::new(rcgen::CertificateParams::default(), rcgen::KeyPair::generate().unwrap());
        let issued = certificate(&["proxy.example.com"], Some(&authority), |_| {});
        let self_signed = certificate(&["proxy.example.com"], None, |parameters| {
            parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        });
        for own in [&issued, &self_signed] {
            assert_eq!(verify(own, own, "proxy.example.com"), Ok(()));
            assert!(verify(own, own, "other.example.com").is_err(), "its name still counts");
        }
        assert!(verify(&self_signed, &issued, "proxy.example.com").is_err(), "another certificate");
        let expired = certificate(&["proxy.example.com"], Some(&authority), |parameters| {
            parameters.not_after = rcgen::date_time_ymd(2020, 1, 1);
        });
        assert!(verify(&expired, &expired, "proxy.example.com").is_err(), "its time still counts");
    }

    #[test]
    fn the_proxy_finds_the_cluster_in_the_first_protocol() {
        assert_eq!(
            routed_protocols("example"),
            [b"teleport-auth@6578616d706c65.teleport.cluster.local".to_vec(), b"h2".to_vec()]
        );
    }
}
