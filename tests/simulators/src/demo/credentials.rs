//! The Slack token in its file: rotated, revoked, and put right again.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use crate::slack::{BOT_TOKEN, Handle, Token, TokenState, scopes};

/// The token that the worker uses. Clones are the same.
#[derive(Clone)]
pub(super) struct Credentials {
    slack: Handle,
    file: PathBuf,
    current: Arc<Mutex<String>>,
}

impl Credentials {
    pub(super) fn new(slack: Handle, file: PathBuf) -> Self {
        Self { slack, file, current: Arc::new(Mutex::new(BOT_TOKEN.to_owned())) }
    }

    /// A new token takes the place of the old one, in Slack and in the file; the old one is revoked.
    pub(super) fn rotate(&self) -> io::Result<()> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let next = format!("xoxb-simulated-{:016x}", rand::random::<u64>());
        self.slack.add_token(Token::bot(&next, scopes::NOTIFY_AND_LOOK));
        replace(&self.file, &next)?;
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
}

/// Writes beside the file and renames, so that nobody reads half of it.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let beside = file.with_extension("new");
    std::fs::write(&beside, text)?;
    std::fs::rename(beside, file)
}
