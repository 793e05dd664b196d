//! What answers at the address, and how it is trusted: found out before anything secret is sent.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use tracing::debug;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::teleport::dial::anonymous::{Anonymous, AuthTrust, Protocol};
use crate::teleport::dial::{Address, StepError};
use crate::teleport::join::form::Service;
use crate::teleport::join::pin::{self, CaPin, PinError};
use crate::teleport::pb::proto::PingRequest;
use crate::teleport::pb::proto::auth_service_client::AuthServiceClient;

/// A server to join through.
pub(super) struct Server {
    pub(super) service: Service,
    /// The cluster's name; empty when the server does not say it.
    pub(super) cluster: String,
    /// Its release; empty when the server does not say it.
    pub(super) version: String,
    /// How an Auth server is trusted; of a Proxy the web's authorities are.
    pub(super) trust: Option<AuthTrust>,
}

/// No server to join through was found.
#[derive(Debug, thiserror::Error)]
#[error("cannot join Teleport at {address}: as a Proxy: {proxy}; as an Auth Service: {auth}; {}", self.advice())]
pub struct NotFound {
    address: Address,
    proxy: StepError,
    auth: AuthError,
}

/// Why the address does not serve as that of an Auth server.
#[derive(Debug, thiserror::Error)]
pub(super) enum AuthError {
    /// Nothing says which Auth server is the right one.
    #[error("no CA pin and no CA bundle is set, so that it cannot be trusted")]
    NoTrust,
    /// The connection failed.
    #[error("{0}")]
    Step(#[from] StepError),
    /// It does not answer.
    #[error("it does not answer the question for its authorities ({0})")]
    NoAuthorities(String),
    /// Its authorities are not the pinned ones.
    #[error("{0}")]
    Pin(#[from] PinError),
}

impl NotFound {
    /// Whether it is trust that is missing, rather than a way.
    pub fn is_distrust(&self) -> bool {
        let answers =
            !matches!(self.proxy, StepError::Connect { .. } | StepError::Timeout { .. } | StepError::HttpProxy { .. });
        match self.auth {
            AuthError::Pin(_) | AuthError::Step(StepError::ForeignServer(_)) => true,
            AuthError::NoTrust => answers,
            _ => matches!(self.proxy, StepError::WebCertificate(_)),
        }
    }

    fn advice(&self) -> &'static str {
        match (&self.proxy, &self.auth) {
            (_, AuthError::Pin(_)) => {
                "compare with `tctl status`: after a rotation of the cluster's authorities the pin is another, and while one is under way both are needed"
            }
            (StepError::HttpProxy { .. }, _) => "check HTTPS_PROXY; NO_PROXY names hosts that are reached without it",
            (_, AuthError::NoTrust) if self.is_distrust() => {
                "for an Auth Service set a CA pin (`tctl status` prints it); for a Proxy whose web certificate a private authority signed, name that authority in the CA bundle"
            }
            (StepError::WebCertificate(_), _) => {
                "name the authority of the Proxy's web certificate in the CA bundle, or that of the cluster's hosts (tctl auth export --type=tls-host) for an Auth Service"
            }
            _ => {
                "check the address (a Proxy's 443 or 3080, or an Auth Service's 3025), the network and that Teleport is running"
            }
        }
    }
}

/// Finds out what is there. With pins the address is most likely an Auth server's.
pub(super) async fn find(
    connect: &Anonymous,
    pins: &[CaPin],
    authorities: &[CertificateDer<'static>],
) -> Result<Server, NotFound> {
    let not_found = |proxy, auth| NotFound { address: connect.address.clone(), proxy, auth };
    if pins.is_empty() {
        match proxy(connect).await {
            Ok(server) => Ok(server),
            Err(proxy) => auth(connect, pins, authorities).await.map_err(|auth| not_found(proxy, auth)),
        }
    } else {
        match auth(connect, pins, authorities).await {
            Ok(server) => Ok(server),
            Err(auth) => proxy(connect).await.map_err(|proxy| not_found(proxy, auth)),
        }
    }
}

async fn proxy(connect: &Anonymous) -> Result<Server, StepError> {
    let found = connect.find().await?;
    Ok(Server { service: Service::Proxy, cluster: found.cluster_name, version: found.server_version, trust: None })
}

async fn auth(
    connect: &Anonymous,
    pins: &[CaPin],
    authorities: &[CertificateDer<'static>],
) -> Result<Server, AuthError> {
    let roots = if pins.is_empty() {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authorities.iter().cloned());
        roots
    } else {
        pin::pinned(&authorities_of(connect).await?, pins)?
    };
    if roots.is_empty() {
        return Err(AuthError::NoTrust);
    }
    let trust = AuthTrust::Authorities(Arc::new(roots));
    let mut client = AuthServiceClient::new(connect.auth_grpc(&trust).await?);
    let (cluster, version) = match answered(connect, client.ping(connect.request(PingRequest {}))).await {
        Ok(answer) => (answer.cluster_name, answer.server_version),
        // Whether it answers without a certificate is not promised.
        Err(error) => {
            debug!(%error, "The Auth Service does not say its release before the join");
            // The handshake without ALPN for gRPC proves that it is the right server all the same.
            drop(connect.auth(&trust, Protocol::Http).await?);
            (authorities.first().and_then(|certificate| cluster_of(certificate)).unwrap_or_default(), String::new())
        }
    };
    Ok(Server { service: Service::Auth, cluster, version, trust: Some(trust) })
}

/// The authorities that the server names, unverified.
async fn authorities_of(connect: &Anonymous) -> Result<Vec<u8>, AuthError> {
    let mut client = AuthServiceClient::new(connect.auth_grpc(&AuthTrust::Unverified).await?);
    let answer = answered(connect, client.get_cluster_ca_cert(connect.request(()))).await;
    answer.map(|answer| answer.tlsca).map_err(|error| AuthError::NoAuthorities(error.to_string()))
}

async fn answered<T>(
    connect: &Anonymous,
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, StepError> {
    connect
        .bounded(async {
            let answer = call.await.map_err(|status| StepError::NotOffered(status.message().to_owned()))?;
            Ok(answer.into_inner())
        })
        .await
}

/// The common name of a host authority is the cluster's.
fn cluster_of(authority: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(authority).ok()?;
    let name = certificate.subject().iter_common_name().next()?.as_str().ok()?;
    Some(name.to_owned())
}
