//! The HTTP endpoints of a running process: `/livez`, `/readyz`, `/metrics`.
//!
//! ```text
//! server (a thread of its own) ─ connections: who makes room (pure) ─▶ router ─▶ health
//!                                                                       └─────▶ access: token_review ─▶ metrics
//! ```

pub mod access;
mod connections;
mod health;
mod server;
mod tls;
mod token_review;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use crate::admin::access::{Access, Authentication, Refusal};
use crate::metrics::{self, Exposition};

pub use crate::admin::health::Health;
pub use crate::admin::server::{BindError, Listener, Server};
pub use crate::admin::tls::{CertificateError, CertificateFiles, Certificates};
pub use crate::admin::token_review::TokenReviewer;

/// Why the endpoints are not served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be used.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The system gives no thread, or nothing to wait with.
    #[error("cannot serve /livez, /readyz and /metrics: {0}; restart the process")]
    System(#[from] std::io::Error),
}

/// Serves the endpoints at `address` (see [`Listener::bind`]) until told to stop.
pub async fn serve<M: Exposition>(
    address: &str,
    settings: &access::Settings,
    health: Health,
    metrics: M,
    stop: CancellationToken,
) -> Result<Server, Error> {
    let listener = Listener::bind(address).await?;
    let certificates = settings.certificate.clone().map(Certificates::load).transpose()?;
    let reviewer = match settings.authentication {
        Authentication::None => None,
        Authentication::Kubernetes => Some(Arc::new(TokenReviewer::in_cluster())),
    };
    // Port 0 has become another.
    let bound = listener.local_addr().map_or_else(|_| address.to_owned(), |bound| bound.to_string());
    tracing::info!(address = bound, "Serving /livez, /readyz and /metrics");
    let access = Access { encrypted: certificates.is_some(), reviewer };
    Ok(listener.serve(router(health, metrics, access), certificates, stop)?)
}

/// The endpoints, served by nothing yet. `access` guards `/metrics` only: a kubelet brings no credentials.
pub fn router<M: Exposition>(health: Health, metrics: M, access: Access) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(health)
        .merge(Router::new().route("/metrics", get(encoded::<M>)).with_state((metrics, access)))
}

async fn livez(State(health): State<Health>) -> Response {
    let stuck = health.stuck();
    answer(stuck.iter().map(|(name, age)| format!("{name} has made no progress for {} s", age.as_secs())))
}

async fn readyz(State(health): State<Health>) -> Response {
    answer(health.pending().iter().map(|gate| format!("waiting for {gate}")))
}

/// Good when nothing is wrong; what is wrong otherwise, a line each.
fn answer(wrong: impl Iterator<Item = String>) -> Response {
    let told: String = wrong.flat_map(|line| [line, "\n".to_owned()]).collect();
    if told.is_empty() {
        (StatusCode::OK, "ok\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, told).into_response()
    }
}

async fn encoded<M: Exposition>(State((metrics, access)): State<(M, Access)>, request: Request) -> Response {
    let channel = request.extensions().get().copied().unwrap_or_default();
    match access.check(channel, request.headers()).await {
        Ok(()) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics.encode()).into_response(),
        Err(refusal) => refused(&refusal),
    }
}

fn refused(refusal: &Refusal) -> Response {
    let status = match refusal {
        Refusal::Plain | Refusal::Forbidden { .. } => StatusCode::FORBIDDEN,
        Refusal::NoToken | Refusal::Unauthenticated => StatusCode::UNAUTHORIZED,
        Refusal::NotReviewed(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, format!("{refusal}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::{Body, to_bytes};
    use tower::ServiceExt as _;

    use super::*;
    use crate::metrics::Metrics;

    async fn get_path(health: &Health, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router(health.clone(), Metrics::new(), Access::default()).oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn ready_once_every_gate_is_open() {
        let health = Health::with_gates(["config", "teleport", "first list"]);
        health.open("config");
        let (status, body) = get_path(&health, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body, "waiting for first list\nwaiting for teleport\n");
        health.open("teleport");
        health.open("first list");
        assert_eq!(get_path(&health, "/readyz").await, (StatusCode::OK, "ok\n".into()));
        health.close("teleport");
        assert_eq!(get_path(&health, "/readyz").await.1, "waiting for teleport\n");
    }

    #[tokio::test(start_paused = true)]
    async fn alive_while_every_loop_reports_in_time() {
        let health = Health::default();
        assert_eq!(get_path(&health, "/livez").await.0, StatusCode::OK);
        health.beat("watch", Duration::from_mins(1));
        health.beat("queue", Duration::from_secs(10));
        tokio::time::advance(Duration::from_secs(30)).await;
        let told = "queue has made no progress for 30 s\n".to_owned();
        assert_eq!(get_path(&health, "/livez").await, (StatusCode::SERVICE_UNAVAILABLE, told));
        health.beat("queue", Duration::from_secs(10));
        assert_eq!(get_path(&health, "/livez").await.0, StatusCode::OK);
        tokio::time::advance(Duration::from_secs(100)).await;
        health.retire("watch");
        health.retire("queue");
        assert_eq!(get_path(&health, "/livez").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_are_served_as_text() {
        let (status, body) = get_path(&Health::default(), "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(body.contains("slack_access_build_info"));
    }
}
