//! Connections without a client certificate: for joining, before there is an identity.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tonic::Request;
use tonic::transport::Channel;
use tower::service_fn;

use crate::teleport::dial::address::{Address, NotAnAddress};
use crate::teleport::dial::error::StepError;
use crate::teleport::dial::find::{self, Find};
use crate::teleport::dial::options::DialOptions;
use crate::teleport::dial::tls::{self, BoxedStream, WebTrust};
use crate::teleport::dial::{endpoint, http_proxy};
use crate::teleport::identity::API_DOMAIN;

/// The protocol by which a Proxy hands connections without a client certificate to its own gRPC services.
const PROXY_GRPC: &str = "teleport-proxy-grpc";
const HTTP_1: &str = "http/1.1";
const HTTP_2: &str = "h2";

/// What is spoken over a connection to an Auth server. Without a client certificate it serves both, by this choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::teleport) enum Protocol {
    /// HTTP/1.1. Offering HTTP/2 beside it leads to the gRPC server.
    Http,
    /// HTTP/2.
    Grpc,
}

/// How an Auth server's certificate is checked.
#[derive(Clone, Debug)]
pub(in crate::teleport) enum AuthTrust {
    /// By the cluster's host authorities.
    Authorities(Arc<RootCertStore>),
    /// Not at all: for asking for the authorities, which are then checked by their pins. Nothing secret may be sent.
    Unverified,
}

/// An address, and what it takes to connect to it without a client certificate.
pub(in crate::teleport) struct Anonymous {
    /// The address.
    pub(in crate::teleport) address: Address,
    options: DialOptions,
    web: WebTrust,
}

impl Anonymous {
    pub(in crate::teleport) fn new(address: &str, options: &DialOptions) -> Result<Self, NotAnAddress> {
        let web = WebTrust::new(options.web_authorities.clone());
        Ok(Self { address: address.parse()?, options: options.clone(), web })
    }

    /// Asks the Proxy at the address about itself.
    pub(in crate::teleport) async fn find(&self) -> Result<Find, StepError> {
        self.bounded(async {
            let stream = self.web_stream(&[HTTP_1]).await?;
            find::ask(stream, &self.address).await.map_err(StepError::Find)
        })
        .await
    }

    /// A connection to the Proxy's web port, speaking HTTP.
    pub(in crate::teleport) async fn proxy_http(&self) -> Result<BoxedStream, StepError> {
        self.bounded(self.web_stream(&[HTTP_1])).await
    }

    /// A channel to the Proxy's own gRPC services.
    pub(in crate::teleport) async fn proxy_grpc(&self) -> Result<Channel, StepError> {
        self.bounded(self.web_stream(&[PROXY_GRPC, HTTP_2])).await.map(channel)
    }

    /// A connection to the Auth server at the address.
    pub(in crate::teleport) async fn auth(
        &self,
        trust: &AuthTrust,
        protocol: Protocol,
    ) -> Result<BoxedStream, StepError> {
        let config = auth_config(trust, protocol).map_err(|error| StepError::Tls(error.to_string()))?;
        let name = ServerName::try_from(API_DOMAIN).map_err(|error| StepError::Tls(error.to_string()))?;
        self.bounded(async {
            let stream = http_proxy::connect(&self.address, &self.options.http_proxy, &self.web).await?;
            let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
            Ok(Box::new(stream.map_err(|error| StepError::auth_tls(&error))?) as BoxedStream)
        })
        .await
    }

    /// A channel to the Auth server at the address.
    pub(in crate::teleport) async fn auth_grpc(&self, trust: &AuthTrust) -> Result<Channel, StepError> {
        self.auth(trust, Protocol::Grpc).await.map(channel)
    }

    async fn web_stream(&self, protocols: &[&str]) -> Result<BoxedStream, StepError> {
        let name = self.address.server_name().map_err(|error| StepError::Tls(error.to_string()))?;
        let stream = http_proxy::connect(&self.address, &self.options.http_proxy, &self.web).await?;
        let stream =
            tls::to_web(stream, name, &self.web, protocols).await.map_err(|error| StepError::web_tls(&error))?;
        Ok(Box::new(stream))
    }

    /// A unary call which the server, too, knows the deadline of.
    pub(in crate::teleport) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.options.timeout);
        request
    }

    /// Runs one step within the time that dialing has for one way.
    pub(in crate::teleport) async fn bounded<T>(
        &self,
        work: impl Future<Output = Result<T, StepError>>,
    ) -> Result<T, StepError> {
        let limit = self.options.timeout;
        timeout(limit, work).await.unwrap_or_else(|_| Err(StepError::Timeout { seconds: limit.as_secs() }))
    }
}

/// A channel over one stream, which ends with it.
fn channel(stream: BoxedStream) -> Channel {
    let stream = Arc::new(Mutex::new(Some(stream)));
    endpoint().connect_with_connector_lazy(service_fn(move |_: Uri| {
        let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        let ended = || io::Error::new(io::ErrorKind::ConnectionAborted, "the server closed the connection");
        std::future::ready(stream.map(TokioIo::new).ok_or_else(ended))
    }))
}

fn auth_config(trust: &AuthTrust, protocol: Protocol) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let mut config = match trust {
        AuthTrust::Authorities(roots) => {
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider).build();
            let verifier = verifier.map_err(|error| rustls::Error::General(error.to_string()))?;
            builder.with_webpki_verifier(verifier).with_no_client_auth()
        }
        AuthTrust::Unverified => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider))).with_no_client_auth()
        }
    };
    config.alpn_protocols = vec![
        match protocol {
            Protocol::Http => HTTP_1,
            Protocol::Grpc => HTTP_2,
        }
        .as_bytes()
        .to_vec(),
    ];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Takes any certificate whose key the server holds.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
