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

/// What a service tells the server that sends the answer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    /// A service took the call.
    pub(crate) reached: bool,
    pub(crate) disguise: Option<Disguise>,
}

/// A note from a service to the server that sends the answer.
#[derive(Clone, Default)]
pub(crate) struct Note(Arc<Mutex<Told>>);

impl Note {
    pub(crate) fn tell(&self, change: impl FnOnce(&mut Told)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn read(&self) -> Told {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
