//! The way through a Proxy's SSH tunnel: log in with the SSH certificate, ask for the Auth server, get raw bytes.

use crate::teleport::dial::error::StepError;
use crate::teleport::dial::tls::{BoxedStream, Stream};
use crate::teleport::identity::Identity;
use crate::teleport::tunnel::{self, Login, Request};

/// Channel and request by which Teleport's Proxy connects somebody to something (`api/constants`: `ChanTransport`,
/// `ChanTransportDialReq`).
const CHANNEL: &str = "teleport-transport";
const REQUEST: &str = "teleport-transport-dial";
/// The Auth server's name in such a request (`RemoteAuthServer`).
const TO_AUTH: &[u8] = br#"{"address":"@remote-auth-server","conn_type":"node"}"#;

/// Opens a tunnel over a stream to the tunnel's port. Closing the result closes the stream.
pub(super) async fn open(stream: impl Stream + 'static, identity: &Identity) -> Result<BoxedStream, StepError> {
    let material = identity.ssh().ok_or_else(|| missing(identity))?;
    let login = Login {
        user: material.login(),
        certificate: &material.certificate,
        key: material.key.as_ref(),
        host_authorities: &material.host_authorities,
    };
    let request = Request { channel: CHANNEL, name: REQUEST, payload: TO_AUTH };
    Ok(Box::new(tunnel::open_channel(stream, &login, &request).await?))
}

/// Why no tunnel can be opened with this identity.
pub(super) fn missing(identity: &Identity) -> StepError {
    StepError::NotOffered(format!(
        "an SSH tunnel cannot be opened: {}; use an identity file made with `tctl auth sign --format=file`",
        identity.ssh_problem().unwrap_or("the identity holds nothing for SSH")
    ))
}
