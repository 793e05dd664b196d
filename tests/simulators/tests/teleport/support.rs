//! A small client: TLS by rustls, gRPC by tonic, a deadline on every unary call.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use simulators::teleport::pb::proto::auth_service_client::AuthServiceClient;
use simulators::teleport::pb::proto::{Event, Watch};
use simulators::teleport::pb::types::{PluginDataUpdateParams, WatchKind};
use simulators::teleport::{Cluster, Config, Identity, NewRequest};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

pub(crate) const SOON: Duration = Duration::from_secs(10);
pub(crate) const HOUR: Duration = Duration::from_hours(1);

#[derive(Clone)]
pub(crate) struct Deadline;

impl Interceptor for Deadline {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.set_timeout(SOON);
        Ok(request)
    }
}

pub(crate) type Auth = AuthServiceClient<InterceptedService<Channel, Deadline>>;

pub(crate) async fn cluster() -> Cluster {
    Cluster::start(Config::default()).await.unwrap()
}

pub(crate) fn tls(identity: Option<&Identity>, roots: &str, alpn: &[&str]) -> ClientConfig {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(roots.as_bytes()) {
        store.add(certificate.unwrap()).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(store);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let pem = identity.certificate_pem();
            let certificates = CertificateDer::pem_slice_iter(pem.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(identity.key_pem().as_bytes()).unwrap();
            builder.with_client_auth_cert(certificates.collect::<Result<_, _>>().unwrap(), key).unwrap()
        }
    };
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

pub(crate) async fn dial(
    address: SocketAddr,
    name: &str,
    config: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::from_static("http://teleport.cluster.local")
}

pub(crate) async fn channel(
    endpoint: Endpoint,
    address: SocketAddr,
    config: ClientConfig,
) -> Result<Channel, tonic::transport::Error> {
    endpoint
        .connect_with_connector(tower::service_fn(move |_| {
            let config = config.clone();
            async move { dial(address, "teleport.cluster.local", config).await.map(TokioIo::new) }
        }))
        .await
}

pub(crate) async fn try_auth(cluster: &Cluster, identity: Option<&Identity>) -> Result<Auth, tonic::transport::Error> {
    let roots = cluster.sign_identity("x", &[], HOUR).unwrap().authorities_pem();
    let channel = channel(endpoint(), cluster.addr(), tls(identity, &roots, &["h2"])).await?;
    Ok(AuthServiceClient::with_interceptor(channel, Deadline))
}

/// A client with the identity of a user of the cluster.
pub(crate) async fn auth(cluster: &Cluster, user: &str) -> Auth {
    let identity = cluster.user_identity(user, HOUR).unwrap();
    try_auth(cluster, Some(&identity)).await.unwrap()
}

/// The plugin's own client.
pub(crate) async fn plugin(cluster: &Cluster) -> Auth {
    auth(cluster, "slack-plugin").await
}

pub(crate) fn watch(kinds: &[&str], partial: bool) -> Watch {
    let kind = |kind: &&str| WatchKind { kind: (*kind).to_owned(), ..WatchKind::default() };
    Watch { kinds: kinds.iter().map(kind).collect(), allow_partial_success: partial }
}

pub(crate) async fn events(client: &mut Auth, kinds: &[&str]) -> Streaming<Event> {
    client.watch_events(watch(kinds, true)).await.unwrap().into_inner()
}

/// The next event of a stream, waited for with a limit.
pub(crate) async fn next(stream: &mut Streaming<Event>) -> Result<Option<Event>, Status> {
    tokio::time::timeout(SOON, stream.message()).await.expect("no event in time")
}

pub(crate) fn update(id: &str, set: &[(&str, &str)], expect: &[(&str, &str)]) -> PluginDataUpdateParams {
    let map = |pairs: &[(&str, &str)]| pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    PluginDataUpdateParams {
        kind: "access_request".to_owned(),
        resource: id.to_owned(),
        plugin: "slack".to_owned(),
        set: map(set),
        expect: map(expect),
    }
}

pub(crate) fn dba() -> NewRequest {
    NewRequest::new("alice@example.com", &["dba"]).reason("the index is gone")
}
