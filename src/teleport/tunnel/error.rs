//! What can go wrong on an SSH connection.

use std::io;

use crate::teleport::tunnel::wire::Damaged;

/// Why there is no channel.
#[derive(Debug, thiserror::Error)]
pub enum SshError {
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// The server sent what cannot be read.
    #[error("the server sent a damaged message")]
    Damaged,
    /// What answers is no SSH server.
    #[error("the server does not speak SSH 2")]
    NotSsh,
    /// Nothing in common with the server.
    #[error("the server offers no {0} that is supported here")]
    NothingInCommon(&'static str),
    /// The server could not prove who it is.
    #[error("{0}")]
    UntrustedHost(&'static str),
    /// The user certificate was not accepted.
    #[error("the Proxy did not accept the identity's SSH certificate for the login '{0}': it may have expired")]
    LoginRefused(String),
    /// The channel was not opened.
    #[error("the Proxy refused the tunnel: {0}")]
    ChannelRefused(String),
    /// The server ended the connection.
    #[error("the server ended the connection: {0}")]
    Disconnected(String),
    /// The server sent a message that does not belong here.
    #[error("the server sent an unexpected message (number {0})")]
    Unexpected(u8),
    /// The local cryptography failed; the message names the step.
    #[error("{0} failed")]
    Crypto(&'static str),
}

impl From<Damaged> for SshError {
    fn from(_: Damaged) -> Self {
        Self::Damaged
    }
}
