//! The SSH server behind a Proxy's tunnel port: as much of SSH as Teleport's clients use to reach Auth.
//!
//! One key exchange (Curve25519, a host certificate on ECDSA P-256), AES-128-GCM, login with a user certificate, one
//! channel of Teleport's own type. Written here because russh's server refuses channel types that it does not know.

mod channel;
mod handshake;
mod packet;
#[cfg(test)]
mod tests;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, split};

use self::packet::{Incoming, Outgoing};
use super::authority::Authorities;
use super::core::Core;

pub(crate) use handshake::Host;

/// A client that does not log in is let go after this long.
const LOGIN: Duration = Duration::from_secs(10);

/// What the tunnel's server needs.
#[derive(Clone)]
pub(crate) struct Tunnel {
    pub(crate) core: Core,
    pub(crate) authorities: Arc<Authorities>,
    pub(crate) host: Arc<Host>,
    pub(crate) auth: SocketAddr,
}

impl Tunnel {
    /// Serves one connection until it ends.
    pub(crate) async fn serve<I: AsyncRead + AsyncWrite + Unpin + Send>(&self, io: I) -> io::Result<()> {
        let (reading, writing) = split(io);
        let mut incoming = Incoming { io: reading, cipher: None };
        let mut outgoing = Outgoing { io: writing, cipher: None };
        let now = self.core.read(|state| state.clock.now());
        let login = handshake::accept(&mut incoming, &mut outgoing, &self.host, &self.authorities.user, now);
        let user = tokio::time::timeout(LOGIN, login).await??;
        let number = self.core.journal.begin(self.core.millis(), &user, "ssh", "teleport-transport".to_owned());
        let result = channel::serve(incoming, outgoing, self.auth).await;
        self.core.journal.answer(number, None);
        result
    }
}
