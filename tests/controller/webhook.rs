//! A mutating webhook of a cluster's own, for the Deployments of one namespace.

use std::convert::Infallible;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::Api;
use kube::api::PostParams;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::room::Room;

/// What a webhook makes of a Deployment: operations of a JSON Patch (RFC 6902).
pub type Change = fn(&Value) -> Value;

/// Lets every Deployment of the room pass through `change`, at each write.
pub async fn install(room: &Room, change: Change) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key);
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, acceptor.clone(), change));
        }
    });
    let configuration = json!({
        "metadata": {"name": room.namespace},
        "webhooks": [{
            "name": "mutate.example.com",
            "clientConfig": {"url": format!("https://{address}/"), "caBundle": STANDARD.encode(made.cert.pem())},
            "rules": [{
                "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"], "operations": ["CREATE", "UPDATE"],
            }],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": room.namespace}},
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
        }],
    });
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(room.client.clone());
    let configuration = serde_json::from_value(configuration).unwrap();
    configurations.create(&PostParams::default(), &configuration).await.unwrap();
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, change: Change) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let answer = |request: Request<Incoming>| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let review: Value = serde_json::from_slice(&body).unwrap();
        let request = &review["request"];
        let patch = STANDARD.encode(change(&request["object"]).to_string());
        let answer = json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "response": {"uid": request["uid"], "allowed": true, "patchType": "JSONPatch", "patch": patch},
        });
        let response = Response::builder().header("content-type", "application/json");
        Ok::<_, Infallible>(response.body(Full::new(Bytes::from(answer.to_string()))).unwrap())
    };
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await;
}
