//! As much of an SSH client as Teleport's tunnel needs: one connection, certificate authentication both ways, one
//! channel of a type of the caller's choice.
//!
//! General SSH crates open the standard channel types only, and Teleport's `teleport-transport` is none of them. What
//! is spoken here is deliberately narrow: AEAD ciphers, elliptic-curve key exchange, host certificates and nothing
//! older. The tunnel carries the Auth server's mutual TLS, so this layer gets us past the Proxy and guards nothing more.
//!
//! Sources: RFC 4251 to 4254, RFC 5647 and OpenSSH's `PROTOCOL` (AES-GCM), RFC 5656 and RFC 8731 (key exchange),
//! RFC 8332 (RSA with SHA-2), OpenSSH's `PROTOCOL.certkeys` (certificates).

mod cipher;
mod client;
mod error;
mod kex;
mod packet;
mod pump;
#[cfg(test)]
pub(crate) mod test_server;
#[cfg(test)]
mod tests;

pub(crate) mod certificate;
pub(crate) mod key;
pub(crate) mod wire;

pub(crate) use crate::teleport::tunnel::client::{Login, Request, open_channel};
pub(crate) use crate::teleport::tunnel::error::SshError;
