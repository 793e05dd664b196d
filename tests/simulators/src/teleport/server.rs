//! The Auth server's side of a connection: mutual TLS, HTTP/2, and what Teleport checks before a service is reached.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::service::Routes;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::access::Caller;
use super::authority::{API_DOMAIN, Authorities, encoded_cluster_name};
use super::config::ServerVersion;
use super::connection::{Connection, Disguise, Note};
use super::core::Core;
use super::fitness::STREAMING;
use super::keys::SigningError;
use super::pings::Counted;
use super::service::{self, Services, join_http};

/// A client that does not finish its handshake is let go after this long.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Why the TLS side could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// A certificate could not be made.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// rustls refused the configuration.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// rustls refused the client authorities.
    #[error("cannot set up the check of client certificates: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// TLS as an Auth server speaks it: any client may connect, but a certificate that is shown must be good.
pub(crate) fn tls_acceptor(authorities: &Authorities, cluster: &str) -> Result<TlsAcceptor, TlsSetupError> {
    let names =
        [encoded_cluster_name(cluster), API_DOMAIN.to_owned(), format!("*.{API_DOMAIN}"), "localhost".to_owned()];
    let server = authorities.host.issue_server(&names)?;
    let mut roots = RootCertStore::empty();
    for authority in [&authorities.user, &authorities.host] {
        roots.add(authority.certificate.clone())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![server.certificate.clone()], server.key())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Go takes up no earlier session of a client whose certificate has expired since; rustls would.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Accepts connections until `stop`; then every connection is broken, and this returns when the last one is gone.
pub(crate) async fn serve(
    core: Core,
    authorities: Arc<Authorities>,
    listener: TcpListener,
    tls: TlsAcceptor,
    stop: CancellationToken,
) {
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        // An accept that fails is one client's trouble (a reset before it was taken), not the server's.
        let Ok((stream, _)) = accepted else { continue };
        connections.spawn(connection(core.clone(), authorities.clone(), stream, tls.clone(), stop.child_token()));
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn connection(
    core: Core,
    authorities: Arc<Authorities>,
    stream: TcpStream,
    tls: TlsAcceptor,
    token: CancellationToken,
) {
    // Small frames go out at once; without it a request waits for the peer's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    // Whoever waits for this connection to end must be woken however it ends.
    let _ended = token.clone().drop_guard();
    let served = async {
        let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await else { return };
        // Whoever offers HTTP/2, alone or not, gets gRPC.
        if stream.get_ref().1.alpn_protocol() == Some(b"http/1.1") && core.config.version.joins_by_http_on_auth() {
            let router = join_http::router(Services::new(&core, &authorities), join_http::AUTH_PATH);
            let builder = Builder::new(TokioExecutor::new()).http1_only();
            // How a client leaves is no concern of a server's.
            let _ = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await;
            return;
        }
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let caller = caller(certificates);
        if certificates.len() > 1 {
            let user = caller.as_ref().map(|caller| caller.user.clone()).unwrap_or_default();
            core.journal.violation(&user, "handshake", "more than one client certificate");
        }
        let gate = Gate {
            routes: service::routes(&core, &authorities),
            core: core.clone(),
            caller,
            connection: Connection(token.clone()),
        };
        http2(stream, gate).await;
    };
    tokio::select! {
        biased;
        () = token.cancelled() => {}
        () = served => {}
    }
}

async fn http2<I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: I, gate: Gate) {
    let user = gate.caller.as_ref().map(|caller| caller.user.clone()).unwrap_or_default();
    let stream = Counted::new(stream, gate.core.config.keepalive_min_time, gate.core.journal.clone(), user);
    let builder = Builder::new(TokioExecutor::new()).http2_only();
    // How a client leaves is no concern of a server's; a call that broke is in the journal without an answer.
    let _ = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(gate)).await;
}

/// Who shows these certificates. Teleport refuses chains.
fn caller(certificates: &[rustls::pki_types::CertificateDer<'_>]) -> Result<Caller, Status> {
    let leaf = match certificates {
        [] => return Ok(Caller::nobody()),
        [leaf] => leaf,
        _ => return Err(Status::permission_denied("access denied: intermediaries are not supported")),
    };
    let invalid = || Status::permission_denied("access denied: invalid client certificate");
    let (_, certificate) = X509Certificate::from_der(leaf).map_err(|_| invalid())?;
    let subject = certificate.subject();
    let user = subject.iter_common_name().find_map(|value| value.as_str().ok()).ok_or_else(invalid)?;
    Ok(Caller {
        user: user.to_owned(),
        roles: subject.iter_organization().filter_map(|value| value.as_str().ok()).map(str::to_owned).collect(),
        expires: Some(certificate.validity().not_after.timestamp()),
    })
}

/// What stands between the wire and the services.
#[derive(Clone)]
struct Gate {
    core: Core,
    routes: Routes,
    caller: Result<Caller, Status>,
    connection: Connection,
}

impl Gate {
    /// The caller, or why the call goes no further.
    fn admit<B>(&self, request: &Request<B>) -> Result<Caller, Status> {
        let caller = self.caller.clone()?;
        let method = method(request);
        if let Some(version) = request.headers().get("version")
            && !supported(version, self.core.config.version)
        {
            self.core.journal.violation(&caller.user, method, format!("client version {version:?} is unsupported"));
            let connection = self.connection.clone();
            // Teleport closes the connection under the answer; a moment lets most clients read it first.
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                connection.kill();
            });
            return Err(Status::permission_denied("client version is unsupported"));
        }
        if !STREAMING.contains(&method) && !request.headers().contains_key("grpc-timeout") {
            self.core.journal.violation(&caller.user, method, "a unary call without a deadline");
        }
        let known = self.core.read(|state| caller.expires.is_none() || state.users.contains_key(&caller.user));
        if known { Ok(caller) } else { Err(Status::permission_denied(format!("user {:?} not found", caller.user))) }
    }

    /// The answer to a call that no service took: malformed, or for a method that does not exist.
    fn unreached(&self, response: Response<Body>, path: &str) -> Response<Body> {
        if response.headers().get("grpc-status").is_none_or(|status| status != "12") {
            return response;
        }
        let user = self.caller.as_ref().map(|caller| caller.user.as_str()).unwrap_or_default();
        self.core.journal.violation(user, "call", format!("no such method in the simulator: {path}"));
        let (service, method) = path.trim_start_matches('/').rsplit_once('/').unwrap_or_default();
        Status::unimplemented(format!("unknown method {method} for service {service}")).into_http()
    }

    fn finish(&self, mut response: Response<Body>, disguise: Option<Disguise>) -> Response<Body> {
        match disguise {
            Some(Disguise::Html(status)) => {
                let page = "<html><body><h1>upstream connect error</h1></body></html>";
                response = Response::new(whole(page));
                *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::BAD_GATEWAY);
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
            }
            Some(Disguise::Garbage) => {
                // A gRPC frame whose eight bytes are no protobuf message.
                *response.body_mut() = whole(&b"\x00\x00\x00\x00\x08\xff\xff\xff\xff\xff\xff\xff\xff"[..]);
            }
            None => {}
        }
        let version = self.core.config.version;
        if version.answers_with_version()
            && let Ok(version) = HeaderValue::from_str(&version.to_string())
        {
            response.headers_mut().insert("version", version);
        }
        response
    }
}

fn whole(bytes: impl Into<Bytes>) -> Body {
    Body::new(axum::body::Body::from(bytes.into()))
}

fn method<B>(request: &Request<B>) -> &str {
    request.uri().path().rsplit('/').next().unwrap_or_default()
}

/// Source: Teleport's check of the `version` header: not older than the previous major version.
fn supported(version: &HeaderValue, server: ServerVersion) -> bool {
    let version = version.to_str().ok().and_then(|text| ServerVersion::from_str(text).ok());
    version.is_some_and(|version| version >= server.oldest_client())
}

impl<B> Service<Request<B>> for Gate
where
    B: tonic::codegen::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<tonic::codegen::StdError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let gate = self.clone();
        let admitted = self.admit(&request);
        let note = Note::default();
        let path = request.uri().path().to_owned();
        let answer = admitted.map(|caller| {
            let extensions = request.extensions_mut();
            extensions.insert(caller);
            extensions.insert(gate.connection.clone());
            extensions.insert(note.clone());
            self.routes.call(request)
        });
        Box::pin(async move {
            let response = match answer {
                Ok(answer) => {
                    let response = answer.await?;
                    if note.read().reached { response } else { gate.unreached(response, &path) }
                }
                Err(status) => status.into_http(),
            };
            Ok(gate.finish(response, note.read().disguise))
        })
    }
}
