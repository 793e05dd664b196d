//! The HTTP endpoints of a running process: `/livez`, `/readyz`, `/metrics`.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::metrics::{self, Exposition};

/// Whether the process is alive and ready; a cheap handle that its parts report to.
#[derive(Clone, Debug, Default)]
pub struct Health {
    state: Arc<Mutex<Parts>>,
}

#[derive(Debug, Default)]
struct Parts {
    gates: BTreeMap<&'static str, bool>,
    heartbeats: BTreeMap<&'static str, Heartbeat>,
}

#[derive(Debug)]
struct Heartbeat {
    last: Instant,
    limit: Duration,
}

impl Health {
    /// A process that is ready once every named gate is open.
    pub fn with_gates(gates: impl IntoIterator<Item = &'static str>) -> Self {
        let health = Self::default();
        health.parts().gates.extend(gates.into_iter().map(|gate| (gate, false)));
        health
    }

    /// Opens a gate.
    pub fn open(&self, gate: &'static str) {
        self.parts().gates.insert(gate, true);
    }

    /// Closes a gate again.
    pub fn close(&self, gate: &'static str) {
        self.parts().gates.insert(gate, false);
    }

    /// The gates that are still closed, sorted.
    #[must_use]
    pub fn pending(&self) -> Vec<&'static str> {
        self.parts().gates.iter().filter(|(_, open)| !**open).map(|(gate, _)| *gate).collect()
    }

    /// A loop makes progress, and will report again within `limit`, or the process is not alive.
    pub fn beat(&self, name: &'static str, limit: Duration) {
        self.parts().heartbeats.insert(name, Heartbeat { last: Instant::now(), limit });
    }

    /// A loop has ended in good order and reports no more.
    pub fn retire(&self, name: &'static str) {
        self.parts().heartbeats.remove(name);
    }

    /// The loops that should have reported, with the time since they did, sorted.
    #[must_use]
    pub fn stuck(&self) -> Vec<(&'static str, Duration)> {
        let now = Instant::now();
        self.parts()
            .heartbeats
            .iter()
            .map(|(name, beat)| (*name, now.duration_since(beat.last), beat.limit))
            .filter(|(_, age, limit)| age > limit)
            .map(|(name, age, _)| (name, age))
            .collect()
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The endpoints, served by nothing yet.
pub fn router<M: Exposition>(health: Health, metrics: M) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(health)
        .merge(Router::new().route("/metrics", get(encoded::<M>)).with_state(metrics))
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

async fn encoded<M: Exposition>(State(metrics): State<M>) -> Response {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics.encode()).into_response()
}

/// The endpoints cannot be served.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} for /livez, /readyz and /metrics: {source}; choose another HOST:PORT with --diag-addr"
)]
pub struct BindError {
    address: String,
    source: std::io::Error,
}

/// A bound address that serves nothing yet: what can fail at start has happened.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
}

impl Listener {
    /// Binds `HOST:PORT`, or `:PORT` for all addresses of the machine, as Teleport's own daemons take it.
    pub async fn bind(address: &str) -> Result<Self, BindError> {
        let bound = match address.strip_prefix(':') {
            None => TcpListener::bind(address).await,
            Some(port) => match TcpListener::bind(format!("[::]:{port}")).await {
                // A machine without IPv6.
                Err(_) => TcpListener::bind(format!("0.0.0.0:{port}")).await,
                bound => bound,
            },
        };
        match bound {
            Ok(listener) => Ok(Self { listener }),
            Err(source) => Err(BindError { address: address.to_owned(), source }),
        }
    }

    /// The address with the port that port 0 became.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` completes.
    pub async fn serve(self, router: Router, stop: impl Future<Output = ()> + Send + 'static) -> std::io::Result<()> {
        axum::serve(self.listener, router).with_graceful_shutdown(stop).await
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;
    use crate::metrics::Metrics;

    async fn get_path(health: &Health, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router(health.clone(), Metrics::new()).oneshot(request).await.unwrap();
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

    #[tokio::test]
    async fn an_address_in_use_is_told_in_one_line() {
        let first = Listener::bind("127.0.0.1:0").await.unwrap();
        let address = first.local_addr().unwrap().to_string();
        let error = Listener::bind(&address).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot listen on {address} ")), "{error}");
        assert!(!error.contains('\n'));
    }

    #[tokio::test]
    async fn a_port_alone_means_every_address() {
        let listener = Listener::bind(":0").await.unwrap();
        assert!(listener.local_addr().unwrap().ip().is_unspecified());
        assert!(Listener::bind(":http?").await.is_err());
    }

    #[tokio::test]
    async fn serving_ends_when_asked() {
        let listener = Listener::bind("127.0.0.1:0").await.unwrap();
        let router = router(Health::default(), Metrics::new());
        listener.serve(router, std::future::ready(())).await.unwrap();
    }
}
