//! The Proxy's web API, as far as somebody who looks for the Auth server needs it.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, Value, json};

use super::super::service::{Services, join_http};
use super::{Proxy, upgrade};

pub(super) fn router(proxy: Proxy) -> Router {
    let mut joining = Router::new();
    if proxy.core.config.version.joins_by_http_on_proxy() {
        let services = Services::new(&proxy.core, &proxy.tunnel.authorities);
        joining = join_http::router(services, join_http::PROXY_PATH);
    }
    Router::new()
        .route("/webapi/find", get(find))
        .route("/webapi/ping", get(find))
        .route("/webapi/connectionupgrade", get(upgrade_connection))
        .fallback(not_found)
        .with_state(proxy)
        .merge(joining)
}

/// Addresses and version; the same shape for both questions. Source: Teleport's `api/client/webclient`.
async fn find(State(proxy): State<Proxy>) -> Json<Value> {
    let config = &proxy.core.config;
    let web = proxy.web_address.to_string();
    let mut ssh = Map::new();
    ssh.insert("web_listen_addr".to_owned(), json!(web));
    ssh.insert("listen_addr".to_owned(), json!(web));
    ssh.insert("tunnel_listen_addr".to_owned(), json!(proxy.tunnel_address.unwrap_or(proxy.web_address).to_string()));
    if let Some(address) = &proxy.config.public_addr {
        ssh.insert("public_addr".to_owned(), json!(address));
    }
    Json(json!({
        "auth": {"type": "local", "private_key_policy": "none"},
        "proxy": {
            "kube": {"enabled": false},
            "ssh": ssh,
            "db": {},
            "tls_routing_enabled": proxy.config.tls_routing,
        },
        "server_version": config.version.to_string(),
        "min_client_version": format!("{}.0.0-aa", config.version.major.saturating_sub(1)),
        "cluster_name": config.cluster_name,
        "automatic_upgrades": false,
    }))
}

async fn upgrade_connection(State(proxy): State<Proxy>, request: Request) -> Response {
    upgrade::answer(proxy, request)
}

async fn not_found() -> (StatusCode, Json<Value>) {
    (StatusCode::NOT_FOUND, error("path not found"))
}

pub(super) fn error(message: &str) -> Json<Value> {
    Json(json!({"error": {"message": message}}))
}
