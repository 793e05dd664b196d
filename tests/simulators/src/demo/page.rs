//! The page over HTTP: its files, the events, and the controls of all three parts.

use std::path::PathBuf;

use axum::Router;
use axum::routing::get;
use http::HeaderName;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use tokio::net::TcpListener;

use super::assets::ASSETS;
use super::events::events;
use super::{Shared, controls};
use crate::{slack, teleport};

/// Nothing from anywhere else: the page works without internet, and what users write cannot become part of it.
const POLICY: &str =
    "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Serves until it is stopped.
pub(super) async fn serve(listener: TcpListener, shared: Shared, identity: PathBuf) {
    let stop = shared.stop.clone();
    let router = router(shared, identity);
    // A browser may keep connections open for as long as it likes; they do not hold up the end.
    let serving = axum::serve(listener, router);
    tokio::select! {
        served = serving => {
            if let Err(error) = served {
                tracing::error!("the page is not served any more: {error}");
            }
        }
        () = stop.cancelled() => {}
    }
}

fn router(shared: Shared, identity: PathBuf) -> Router {
    let mut router = Router::new().route("/events", get(events)).merge(controls::router());
    for asset in ASSETS {
        let headers: [(HeaderName, &str); 3] =
            [(CONTENT_TYPE, asset.kind), (CONTENT_SECURITY_POLICY, POLICY), (CACHE_CONTROL, "no-cache")];
        router = router.route(asset.path, get(move || async move { (headers, asset.text) }));
    }
    let slack = slack::control_router(shared.slack.clone());
    let teleport = teleport::control::router(shared.teleport.clone(), Some(identity));
    router.with_state(shared).nest("/slack", slack).nest("/teleport", teleport)
}
