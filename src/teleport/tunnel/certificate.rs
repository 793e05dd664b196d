//! SSH certificates: OpenSSH's `PROTOCOL.certkeys`.

use crate::teleport::tunnel::key::PublicKey;
use crate::teleport::tunnel::wire::{Damaged, Reader};

/// Who a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Somebody who logs in.
    User,
    /// A server.
    Host,
}

/// A decoded certificate whose own signature has been checked; whether its authority is trusted is another question.
#[derive(Clone)]
pub(crate) struct Certificate {
    pub(crate) blob: Vec<u8>,
    /// The algorithm of the certified key, such as `ssh-rsa`.
    pub(crate) algorithm: String,
    pub(crate) key: PublicKey,
    pub(crate) holder: Holder,
    pub(crate) key_id: String,
    pub(crate) principals: Vec<String>,
    /// Seconds since 1970, inclusive.
    pub(crate) valid_after: u64,
    /// Seconds since 1970, exclusive; all ones for "forever".
    pub(crate) valid_before: u64,
    pub(crate) has_critical_options: bool,
    pub(crate) authority: PublicKey,
}

impl Certificate {
    pub(crate) fn decode(blob: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(blob);
        let algorithm = reader.text()?.strip_suffix("-cert-v01@openssh.com").ok_or(Damaged)?.to_owned();
        reader.string()?; // nonce
        let key = PublicKey::decode_fields(&algorithm, &mut reader)?;
        reader.u64()?; // serial
        let holder = match reader.u32()? {
            1 => Holder::User,
            2 => Holder::Host,
            _ => return Err(Damaged),
        };
        let key_id = reader.text()?.to_owned();
        let mut list = Reader::new(reader.string()?);
        let mut principals = Vec::new();
        while !list.rest().is_empty() {
            principals.push(list.text()?.to_owned());
        }
        let valid_after = reader.u64()?;
        let valid_before = reader.u64()?;
        let has_critical_options = !reader.string()?.is_empty();
        reader.string()?; // extensions
        reader.string()?; // reserved
        let authority = PublicKey::decode(reader.string()?)?;
        let signed = blob.len().checked_sub(reader.rest().len()).and_then(|end| blob.get(..end)).ok_or(Damaged)?;
        let signature = reader.string()?;
        reader.finish()?;
        authority.verify(signed, signature)?;
        Ok(Self {
            blob: blob.to_vec(),
            algorithm,
            key,
            holder,
            key_id,
            principals,
            valid_after,
            valid_before,
            has_critical_options,
            authority,
        })
    }

    /// Why this is no acceptable host certificate at `now` (seconds since 1970), given the trusted authorities.
    /// Host names are not compared: Teleport's Proxies go by many, and the Auth server behind is checked by TLS.
    pub(crate) fn host_problem(&self, authorities: &[PublicKey], now: u64) -> Option<&'static str> {
        if self.holder != Holder::Host {
            Some("the server showed a user certificate as its own")
        } else if !authorities.contains(&self.authority) {
            Some("the server's certificate was signed by none of the identity's host authorities")
        } else if now < self.valid_after {
            Some("the server's certificate is not valid yet")
        } else if now >= self.valid_before {
            Some("the server's certificate has expired")
        } else if self.has_critical_options {
            Some("the server's certificate has conditions that are not understood")
        } else {
            None
        }
    }
}
