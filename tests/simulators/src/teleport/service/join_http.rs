//! The HTTP form of the join: on the Proxy up to 18, on Auth up to 17. Paths, statuses and JSON as 14.2.3 has them.

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::Services;
use crate::teleport::error::{Kind, Trace};
use crate::teleport::pb::types::RegisterUsingTokenRequest;

/// On the Proxy.
pub(crate) const PROXY_PATH: &str = "/webapi/host/credentials";
/// On Auth.
pub(crate) const AUTH_PATH: &str = "/v2/tokens/register";

#[derive(Deserialize)]
struct Asked {
    role: String,
    token: String,
    public_tls_key: String,
    public_ssh_key: String,
    id_token: String,
}

/// Answers joins on this path.
pub(crate) fn router(services: Services, path: &str) -> Router {
    Router::new().route(path, post(join)).with_state(services)
}

async fn join(State(services): State<Services>, asked: Result<Json<Asked>, JsonRejection>) -> Response {
    let answer = match asked {
        Ok(Json(asked)) => answer(&services, asked),
        Err(error) => Err(Trace::bad(error.body_text())),
    };
    match answer {
        Ok(answer) => Json(answer).into_response(),
        Err(error) => {
            let status = match error.kind {
                Kind::AccessDenied => StatusCode::FORBIDDEN,
                Kind::BadParameter => StatusCode::BAD_REQUEST,
                Kind::NotFound => StatusCode::NOT_FOUND,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            (status, Json(json!({"error": {"message": error.message}}))).into_response()
        }
    }
}

fn answer(services: &Services, asked: Asked) -> Result<serde_json::Value, Trace> {
    let bytes = |text: &str| BASE64_STANDARD.decode(text).map_err(|error| Trace::bad(error.to_string()));
    let certs = services.register(&RegisterUsingTokenRequest {
        role: asked.role,
        token: asked.token,
        public_tls_key: bytes(&asked.public_tls_key)?,
        public_ssh_key: bytes(&asked.public_ssh_key)?,
        id_token: asked.id_token,
    })?;
    let text = |bytes: &Vec<u8>| BASE64_STANDARD.encode(bytes);
    let all = |list: &[Vec<u8>]| list.iter().map(text).collect::<Vec<_>>();
    Ok(json!({
        "ssh": text(&certs.ssh),
        "tls": text(&certs.tls),
        "tls_ca_certs": all(&certs.tlsca_certs),
        "ssh_ca_certs": all(&certs.sshca_certs),
    }))
}
