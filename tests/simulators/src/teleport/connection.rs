//! One client connection, as the services see it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// A handle by which a service can break the connection that it answers on. Clones are the same connection.
#[derive(Clone)]
pub(crate) struct Connection(pub(crate) CancellationToken);

impl Connection {
    /// Breaks the connection without a word.
    pub(crate) fn kill(&self) {
        self.0.cancel();
    }

    /// Waits until the connection is gone, for whatever reason.
    pub(crate) async fn closed(&self) {
        self.0.cancelled().await;
    }
}

/// What is done to an answer on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disguise {
    /// The message is replaced by bytes that are none.
    Garbage,
    /// An HTML page with this HTTP status, as from a broken load balancer.
    Html(u16),
}

/// A note from a service to the server that sends the answer.
#[derive(Clone, Default)]
pub(crate) struct Note(Arc<Mutex<Option<Disguise>>>);

impl Note {
    pub(crate) fn set(&self, disguise: Disguise) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(disguise);
    }

    pub(crate) fn get(&self) -> Option<Disguise> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
