//! Where identities come from: files that change under us.

use std::sync::Arc;

use crate::file_watch::Watched;
use crate::teleport::identity::{Credentials, Identity, IdentityError};

/// Yields identities.
#[derive(Debug)]
pub struct IdentitySource {
    credentials: Credentials,
    files: Watched,
    /// `NAME-cert.pub` beside an identity file: it may be missing, so it is watched by itself.
    beside: Watched,
}

impl IdentitySource {
    /// Watches the files from now on: what changes before [`IdentitySource::load`] is not missed.
    pub fn watch(credentials: Credentials) -> Self {
        let files = Watched::await_files(credentials.paths().into_iter().map(ToOwned::to_owned));
        let beside = Watched::await_files(credentials.ssh_certificate_beside());
        Self { credentials, files, beside }
    }

    /// The identity as it is now.
    pub fn load(&self) -> Result<Arc<Identity>, IdentityError> {
        self.credentials.load().map(Arc::new)
    }

    /// Waits for a change, and loads what is there then. Cancel-safe.
    pub async fn changed(&mut self) -> Result<Arc<Identity>, IdentityError> {
        tokio::select! {
            _ = self.files.changed() => {}
            _ = self.beside.changed() => {}
        }
        self.load()
    }
}
