//! One attempt in one form: the request, and the certificates or the refusal that come back.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use tokio_stream::StreamExt as _;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tracing::warn;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::cause::with_innermost;
use crate::teleport::dial::StepError;
use crate::teleport::dial::anonymous::{Anonymous, Protocol};
use crate::teleport::dial::exchange::exchange;
use crate::teleport::identity::API_DOMAIN;
use crate::teleport::join::form::{Form, Service};
use crate::teleport::join::key::{Key, pem};
use crate::teleport::join::server::Server;
use crate::teleport::pb::proto::Certs;
use crate::teleport::pb::proto::join_service_client::JoinServiceClient as RegisterClient;
use crate::teleport::pb::teleport::join::v1 as join;
use crate::teleport::pb::teleport::join::v1::join_service_client::JoinServiceClient as StreamClient;
use crate::teleport::pb::types::RegisterUsingTokenRequest;
use crate::teleport::tunnel::wire::Reader;

/// The system role of a bot, exactly so.
const BOT: &str = "Bot";
const METHOD: &str = "kubernetes";
/// How long the bot's certificate lives where the client has to say it, in seconds: what the other forms give by themselves.
const LIFE: i64 = 3600;
/// Teleport dates certificates back by this much, in seconds.
pub(super) const BACKDATED: i64 = 60;
/// Clocks that differ by more than this, in seconds, matter for `LIFE`.
const SKEW: i64 = 120;

/// Certificates as every form yields them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Certificates {
    /// PEM.
    pub(super) tls: String,
    /// PEM, each.
    pub(super) authorities: Vec<String>,
    /// One line of `authorized_keys`.
    pub(super) ssh: String,
    /// One line of `authorized_keys`, each.
    pub(super) ssh_authorities: Vec<String>,
}

/// Why a form yields no certificates.
#[derive(Debug, thiserror::Error)]
pub enum FormError {
    /// The server does not know this form.
    #[error("the server does not know this form of the join ({0})")]
    NotOffered(String),
    /// The server refuses; its words.
    #[error("{0}")]
    Refused(String),
    /// The server is not well; trying again may help.
    #[error("{0}")]
    Unavailable(String),
    /// The connection failed.
    #[error("{0}")]
    Step(#[from] StepError),
    /// The server's answer makes no sense.
    #[error("the server's answer to the join is not understood: {0}")]
    Answer(&'static str),
}

/// What goes to the server.
pub(super) struct Application<'a> {
    /// The name of the token resource.
    pub(super) token: &'a str,
    /// The ServiceAccount token.
    pub(super) jwt: &'a str,
    /// The key pair to certify.
    pub(super) key: &'a Key,
}

/// Joins in one form.
pub(super) async fn attempt(
    form: Form,
    connect: &Anonymous,
    server: &Server,
    application: &Application<'_>,
) -> Result<Certificates, FormError> {
    match form {
        Form::Http => by_http(connect, server, application).await,
        Form::Register => by_register(channel(connect, server).await?, connect, application).await,
        Form::Stream => {
            let channel = match channel(connect, server).await {
                Ok(channel) => channel,
                // A Proxy without this service cuts the connection.
                Err(error) if server.service == Service::Proxy => {
                    return Err(FormError::NotOffered(error.to_string()));
                }
                Err(error) => return Err(error.into()),
            };
            by_stream(channel, connect, application).await
        }
    }
}

async fn channel(connect: &Anonymous, server: &Server) -> Result<Channel, StepError> {
    match &server.trust {
        Some(trust) => connect.auth_grpc(trust).await,
        None => connect.proxy_grpc().await,
    }
}

// ---- HTTP

/// `types.RegisterUsingTokenRequest`, as Teleport writes it in JSON.
#[derive(Serialize)]
struct HttpRequest<'a> {
    role: &'static str,
    token: &'a str,
    public_tls_key: String,
    public_ssh_key: String,
    id_token: &'a str,
}

/// `proto.Certs`, as Teleport writes it in JSON: every value in base64.
#[derive(Default, Deserialize)]
#[serde(default)]
struct HttpAnswer {
    ssh: String,
    tls: String,
    tls_ca_certs: Vec<String>,
    ssh_ca_certs: Vec<String>,
}

async fn by_http(
    connect: &Anonymous,
    server: &Server,
    application: &Application<'_>,
) -> Result<Certificates, FormError> {
    let (path, host) = match server.service {
        Service::Proxy => ("/webapi/host/credentials", connect.address.to_string()),
        Service::Auth => ("/v2/tokens/register", API_DOMAIN.to_owned()),
    };
    let body = HttpRequest {
        role: BOT,
        token: application.token,
        public_tls_key: BASE64_STANDARD.encode(application.key.public_pem()),
        public_ssh_key: BASE64_STANDARD.encode(application.key.ssh_line()),
        id_token: application.jwt,
    };
    let body = serde_json::to_vec(&body).map_err(|_| FormError::Answer("the request cannot be written"))?;
    let request = Request::post(path)
        .header(header::HOST, host)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| FormError::Unavailable(error.to_string()))?;
    let stream = match &server.trust {
        Some(trust) => connect.auth(trust, Protocol::Http).await?,
        None => connect.proxy_http().await?,
    };
    let answer = connect
        .bounded(async { Ok(exchange(stream, request).await) })
        .await?
        .map_err(|error| FormError::Unavailable(error.to_string()))?;
    match answer.status() {
        StatusCode::OK => from_json(answer.body()),
        status => Err(http_error(status, answer.body())),
    }
}

fn from_json(body: &[u8]) -> Result<Certificates, FormError> {
    let answer: HttpAnswer =
        serde_json::from_slice(body).map_err(|_| FormError::Answer("it is not the JSON expected"))?;
    let decoded = |text: &String| BASE64_STANDARD.decode(text).map_err(|_| FormError::Answer("it is not in base64"));
    let all = |texts: &Vec<String>| texts.iter().map(decoded).collect::<Result<Vec<_>, _>>();
    from_certs(Certs {
        ssh: decoded(&answer.ssh)?,
        tls: decoded(&answer.tls)?,
        tlsca_certs: all(&answer.tls_ca_certs)?,
        sshca_certs: all(&answer.ssh_ca_certs)?,
    })
}

/// Certificates in Teleport's older answers: PEM and lines.
pub(super) fn from_certs(certs: Certs) -> Result<Certificates, FormError> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| FormError::Answer("a certificate is not text"));
    let line = |bytes: Vec<u8>| text(bytes).map(|line| line.trim().to_owned());
    Ok(Certificates {
        tls: text(certs.tls)?,
        authorities: certs.tlsca_certs.into_iter().map(text).collect::<Result<_, _>>()?,
        ssh: line(certs.ssh)?,
        ssh_authorities: certs.sshca_certs.into_iter().map(line).collect::<Result<_, _>>()?,
    })
}

fn http_error(status: StatusCode, body: &[u8]) -> FormError {
    let text = error_text(body);
    match status {
        // Also the answer of a server which has lost the endpoint.
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
            FormError::NotOffered(format!("{status}"))
        }
        StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT
        | StatusCode::TOO_MANY_REQUESTS => FormError::Unavailable(format!("answered {status}: {text}")),
        _ if text.is_empty() => FormError::Unavailable(format!("answered {status}")),
        // A refused ServiceAccount token is among what arrives as 500.
        _ => FormError::Refused(text),
    }
}

/// The words of an error: `error.message`, with those that a direct answer has beside it.
fn error_text(body: &[u8]) -> String {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Answer {
        error: Message,
        messages: Vec<String>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Message {
        message: String,
    }
    let Answer { error, messages } = serde_json::from_slice(body).unwrap_or_default();
    // Outermost first, as the Proxy has them.
    let parts = messages.into_iter().rev().chain([error.message]);
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\t")
}

// ---- gRPC

async fn by_register(
    channel: Channel,
    connect: &Anonymous,
    application: &Application<'_>,
) -> Result<Certificates, FormError> {
    let request = RegisterUsingTokenRequest {
        role: BOT.to_owned(),
        token: application.token.to_owned(),
        public_tls_key: application.key.public_pem().into_bytes(),
        public_ssh_key: application.key.ssh_line().into_bytes(),
        id_token: application.jwt.to_owned(),
    };
    let mut client = RegisterClient::new(channel);
    let answer = connect.bounded(async { Ok(client.register_using_token(connect.request(request)).await) }).await?;
    from_certs(answer.map_err(|status| of_status(&status))?.into_inner())
}

/// `expires` is the client's clock in this form: when the server's turns out to be another, the join is made once more with that.
async fn by_stream(
    channel: Channel,
    connect: &Anonymous,
    application: &Application<'_>,
) -> Result<Certificates, FormError> {
    let now = Timestamp::now().as_second();
    let first = one_stream(&channel, connect, application, now + LIFE).await?;
    match server_time(&first) {
        Some(server) if (server - now).abs() > SKEW => {
            warn!(seconds = server - now, "Teleport's clock and this machine's differ; joining by Teleport's clock");
            one_stream(&channel, connect, application, server + LIFE).await
        }
        _ => Ok(first),
    }
}

/// The server's time when it made the certificate, in seconds since 1970.
fn server_time(certificates: &Certificates) -> Option<i64> {
    let der = CertificateDer::from_pem_slice(certificates.tls.as_bytes()).ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    Some(certificate.validity().not_before.timestamp() + BACKDATED)
}

async fn one_stream(
    channel: &Channel,
    connect: &Anonymous,
    application: &Application<'_>,
    expires: i64,
) -> Result<Certificates, FormError> {
    use join::{client_params, join_request, join_response, result};
    let message = |payload| join::JoinRequest { payload: Some(payload) };
    let init = message(join_request::Payload::ClientInit(join::ClientInit {
        join_method: Some(METHOD.to_owned()),
        token_name: application.token.to_owned(),
        system_role: BOT.to_owned(),
    }));
    let oidc = message(join_request::Payload::OidcInit(join::OidcInit {
        client_params: Some(join::ClientParams {
            payload: Some(client_params::Payload::BotParams(join::BotParams {
                public_keys: Some(join::PublicKeys {
                    public_tls_key: application.key.public_der().to_vec(),
                    public_ssh_key: application.key.ssh_blob().to_vec(),
                }),
                expires: Some(prost_types::Timestamp { seconds: expires, nanos: 0 }),
            })),
        }),
        id_token: application.jwt.as_bytes().to_vec(),
    }));
    let (sender, requests) = tokio::sync::mpsc::channel(2);
    let mut client = StreamClient::new(channel.clone());
    let exchange = async {
        let closed = |_| FormError::Answer("the stream ended");
        sender.send(init).await.map_err(closed)?;
        let opened = client.join(tokio_stream::wrappers::ReceiverStream::new(requests)).await;
        let mut answers = opened.map_err(|status| before_init(&status))?.into_inner();
        match answers.next().await {
            Some(Ok(join::JoinResponse { payload: Some(join_response::Payload::Init(_)) })) => {}
            Some(Ok(_)) => return Err(FormError::Answer("the stream does not begin with ServerInit")),
            Some(Err(status)) => return Err(before_init(&status)),
            None => return Err(FormError::NotOffered("the stream ended at once".to_owned())),
        }
        sender.send(oidc).await.map_err(closed)?;
        match answers.next().await {
            Some(Ok(join::JoinResponse { payload: Some(join_response::Payload::Result(answer)) })) => {
                match answer.payload {
                    Some(result::Payload::BotResult(join::BotResult { certificates: Some(certificates) })) => {
                        from_der(&certificates)
                    }
                    _ => Err(FormError::Answer("the result is not a bot's")),
                }
            }
            Some(Ok(_)) => Err(FormError::Answer("the server wants more than a ServiceAccount token")),
            Some(Err(status)) => Err(of_status(&status)),
            None => Err(FormError::Answer("the stream ended without a result")),
        }
    };
    connect.bounded(async { Ok(exchange.await) }).await?
}

/// Certificates in Teleport's newer answers: DER and SSH's wire form.
fn from_der(certificates: &join::Certificates) -> Result<Certificates, FormError> {
    let line = |blob: &Vec<u8>| ssh_line(blob).ok_or(FormError::Answer("an SSH key is damaged"));
    Ok(Certificates {
        tls: pem("CERTIFICATE", &certificates.tls_cert),
        authorities: certificates.tls_ca_certs.iter().map(|der| pem("CERTIFICATE", der)).collect(),
        ssh: line(&certificates.ssh_cert)?,
        ssh_authorities: certificates.ssh_ca_keys.iter().map(line).collect::<Result<_, _>>()?,
    })
}

/// A key or certificate in SSH's wire form begins with the name of its type.
fn ssh_line(blob: &[u8]) -> Option<String> {
    let kind = Reader::new(blob).text().ok()?;
    Some(format!("{kind} {}", BASE64_STANDARD.encode(blob)))
}

/// As Teleport's own client has it: until the server has spoken, everything but a refusal may mean that it does not know the stream.
fn before_init(status: &Status) -> FormError {
    match status.code() {
        Code::PermissionDenied | Code::InvalidArgument => of_status(status),
        _ => FormError::NotOffered(words(status)),
    }
}

fn of_status(status: &Status) -> FormError {
    match status.code() {
        Code::Unimplemented => FormError::NotOffered(words(status)),
        Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Aborted => {
            FormError::Unavailable(words(status))
        }
        _ => FormError::Refused(words(status)),
    }
}

fn words(status: &Status) -> String {
    with_innermost(status.message().to_owned(), status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_same_words_directly_and_through_a_proxy() {
        let direct = br#"{"error":{"message":"inner"},"messages":["outer","outermost"]}"#;
        let proxied = br#"{"error":{"message":"outermost\n\touter\n\t\tinner"}}"#;
        for body in [&direct[..], proxied] {
            let text = error_text(body);
            assert_eq!(text.split_whitespace().collect::<Vec<_>>(), ["outermost", "outer", "inner"]);
        }
        assert_eq!(error_text(b"<html>"), "");
    }

    #[test]
    fn a_status_tells_a_refusal_from_an_outage_and_from_another_release() {
        let body = br#"{"error":{"message":"invalid audience claim (aud)"}}"#;
        assert!(matches!(http_error(StatusCode::INTERNAL_SERVER_ERROR, body), FormError::Refused(_)));
        assert!(matches!(http_error(StatusCode::FORBIDDEN, body), FormError::Refused(_)));
        assert!(matches!(http_error(StatusCode::INTERNAL_SERVER_ERROR, b""), FormError::Unavailable(_)));
        assert!(matches!(http_error(StatusCode::BAD_GATEWAY, body), FormError::Unavailable(_)));
        for status in [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_IMPLEMENTED] {
            assert!(matches!(http_error(status, body), FormError::NotOffered(_)), "{status}");
        }
        assert!(matches!(before_init(&Status::unavailable("")), FormError::NotOffered(_)));
        assert!(matches!(before_init(&Status::permission_denied("x")), FormError::Refused(_)));
        assert!(matches!(of_status(&Status::unavailable("")), FormError::Unavailable(_)));
        assert!(matches!(of_status(&Status::unknown("verifying OIDC token")), FormError::Refused(_)));
    }
}
