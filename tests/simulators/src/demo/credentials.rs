//! The worker's credentials in their files: the Slack token, rotated and revoked, and all of them put right again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::files::{Files, VALID};
use crate::slack::{BOT_TOKEN, Handle, Token, TokenState, scopes};
use crate::teleport::Cluster;

/// The token and the identity that the worker uses. Clones are the same.
#[derive(Clone)]
pub(super) struct Credentials {
    slack: Handle,
    teleport: Cluster,
    token_file: PathBuf,
    identity_file: PathBuf,
    current: Arc<Mutex<String>>,
}

impl Credentials {
    pub(super) fn new(slack: Handle, teleport: Cluster, files: &Files) -> Self {
        let current = Arc::new(Mutex::new(BOT_TOKEN.to_owned()));
        Self { slack, teleport, token_file: files.token(), identity_file: files.identity(), current }
    }

    /// A new token takes the place of the old one, in Slack and in the file; the old one is revoked.
    pub(super) fn rotate(&self) -> io::Result<()> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let next = format!("xoxb-simulated-{:016x}", rand::random::<u64>());
        self.slack.add_token(Token::bot(&next, scopes::NOTIFY_AND_LOOK));
        replace(&self.token_file, &next)?;
        self.slack.revoke_token(&current);
        *current = next;
        Ok(())
    }

    /// Slack does not accept the token any more; the file stays as it is.
    pub(super) fn revoke(&self) {
        self.slack.revoke_token(&self.current.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Slack accepts the token again.
    pub(super) fn restore(&self) {
        self.slack.set_token_state(&self.current.lock().unwrap_or_else(PoisonError::into_inner), TokenState::Active);
    }

    /// Whether Slack accepts the token.
    pub(super) fn is_accepted(&self) -> bool {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        self.slack.token_state(&current) == Some(TokenState::Active)
    }

    /// Slack accepts the token, and the identity is a fresh one.
    pub(super) fn mend(&self) -> io::Result<()> {
        self.restore();
        let identity = self.teleport.user_identity("slack-plugin", VALID).map_err(io::Error::other)?;
        identity.write_identity_file(&self.identity_file)
    }
}

/// Writes beside the file and renames, so that nobody reads half of it.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let beside = file.with_extension("new");
    std::fs::write(&beside, text)?;
    std::fs::rename(beside, file)
}
