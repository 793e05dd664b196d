//! A bare gRPC client with an identity: what Teleport says, in Teleport's own words.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use simulators::teleport::pb::proto::auth_service_client::AuthServiceClient;
use simulators::teleport::pb::proto::{Event, Watch};
use simulators::teleport::pb::types::{
    AccessRequestFilter, AccessRequestSpecV3, AccessRequestV3, Metadata, PluginDataUpdateParams, WatchKind,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};

/// Longer than anything here takes on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// The three files of `tctl auth sign --format=tls`.
#[derive(Clone)]
pub(crate) struct Pems {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) authorities: String,
}

#[derive(Clone)]
pub(crate) struct Deadline;

impl Interceptor for Deadline {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.set_timeout(SOON);
        Ok(request)
    }
}

pub(crate) type Wire = InterceptedService<Channel, Deadline>;
pub(crate) type Auth = AuthServiceClient<Wire>;

/// A connection to the Auth service, with a deadline on every call.
pub(crate) async fn wire(address: &str, identity: &Pems) -> Wire {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(identity.authorities.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let certificates = CertificateDer::pem_slice_iter(identity.certificate.as_bytes());
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            certificates.collect::<Result<_, _>>().unwrap(),
            PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let address = address.to_owned();
    let channel = Endpoint::from_static("http://teleport.cluster.local")
        .connect_timeout(SOON)
        .connect_with_connector(tower::service_fn(move |_| {
            let (connector, address) = (connector.clone(), address.clone());
            async move {
                let name = ServerName::try_from("teleport.cluster.local").unwrap();
                connector.connect(name, TcpStream::connect(address).await?).await.map(TokioIo::new)
            }
        }))
        .await
        .unwrap();
    InterceptedService::new(channel, Deadline)
}

/// A refusal: its code and its words.
pub(crate) fn refusal<T: std::fmt::Debug>(answer: Result<Response<T>, Status>) -> (Code, String) {
    let status = answer.map(Response::into_inner).unwrap_err();
    (status.code(), status.message().to_owned())
}

/// A request as its user's client sends it.
pub(crate) fn request(user: &str, roles: &[&str], reason: &str) -> AccessRequestV3 {
    AccessRequestV3 {
        kind: "access_request".to_owned(),
        version: "v3".to_owned(),
        metadata: Some(Metadata { name: uuid(), ..Metadata::default() }),
        spec: Some(AccessRequestSpecV3 {
            user: user.to_owned(),
            roles: roles.iter().map(|&role| role.to_owned()).collect(),
            request_reason: reason.to_owned(),
            state: 1,
            ..AccessRequestSpecV3::default()
        }),
        ..AccessRequestV3::default()
    }
}

/// A random id of the form that Teleport wants.
pub(crate) fn uuid() -> String {
    let bits = rand::random::<u128>();
    let hex = format!("{bits:032x}");
    format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

/// The id of a request.
pub(crate) fn id_of(request: &AccessRequestV3) -> String {
    request.metadata.as_ref().unwrap().name.clone()
}

/// The requests that the caller sees, by id; all of them without one.
pub(crate) async fn list(client: &mut Auth, id: &str) -> Result<Vec<AccessRequestV3>, Status> {
    let filter = AccessRequestFilter { id: id.to_owned(), ..AccessRequestFilter::default() };
    let mut stream = client.get_access_requests_v2(filter).await?.into_inner();
    let mut requests = Vec::new();
    while let Some(request) = stream.message().await? {
        requests.push(request);
    }
    Ok(requests)
}

/// A write of plugin data.
pub(crate) fn update(id: &str, plugin: &str, set: &[(&str, &str)], expect: &[(&str, &str)]) -> PluginDataUpdateParams {
    let map = |pairs: &[(&str, &str)]| -> HashMap<String, String> {
        pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    };
    PluginDataUpdateParams {
        kind: "access_request".to_owned(),
        resource: id.to_owned(),
        plugin: plugin.to_owned(),
        set: map(set),
        expect: map(expect),
    }
}

/// A watch on kinds of resources.
pub(crate) fn watch(kinds: &[&str], partial: bool) -> Watch {
    let kind = |kind: &&str| WatchKind { kind: (*kind).to_owned(), ..WatchKind::default() };
    Watch { kinds: kinds.iter().map(kind).collect(), allow_partial_success: partial }
}

/// The next event of a stream, waited for with a limit.
pub(crate) async fn next(stream: &mut Streaming<Event>) -> Result<Option<Event>, Status> {
    tokio::time::timeout(SOON, stream.message()).await.expect("no event in time")
}
