//! Joining with a Kubernetes ServiceAccount token: who may, and the certificates that result. The simulator believes what a
//! ServiceAccount token says of itself; keys and signatures are the real Teleport's part in the tests.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rcgen::PublicKeyData as _;
use rcgen::SubjectPublicKeyInfo;
use russh::keys::Certificate;
use russh::keys::PublicKey;
use russh::keys::ssh_key::certificate::CertType;
use rustls::pki_types::CertificateDer;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::authority::{Authorities, BACKDATED, SshContents};
use super::error::{Kind, Trace};
use super::keys::SigningError;
use super::state::State;
use super::x509::{Name, oid};

/// How long a bot's certificate lives when the client does not say.
pub(crate) const LIFE: Duration = Duration::from_hours(1);

/// A token resource of join method `kubernetes`, with the bot that it makes of its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinToken {
    /// Its name.
    pub name: String,
    /// The bot: its user is `bot-<name>`.
    pub bot: String,
    /// Who may: `NAMESPACE:NAME`.
    pub service_account: String,
    /// The roles that the bot may take on.
    pub roles: Vec<String>,
}

impl JoinToken {
    /// The bot's user.
    pub fn user(&self) -> String {
        format!("bot-{}", self.bot)
    }
}

/// A public key in the encodings of one request.
pub(crate) struct PublicKeys {
    pub(crate) tls: SubjectPublicKeyInfo,
    pub(crate) ssh: PublicKey,
}

/// Certificates for a public key.
pub(crate) struct Issued {
    pub(crate) tls: CertificateDer<'static>,
    pub(crate) ssh: Certificate,
}

#[derive(Deserialize)]
struct Claims {
    aud: Vec<String>,
    sub: String,
}

impl State {
    /// Teleport's checks of a join, with its words.
    pub(crate) fn join(&self, token: &str, role: &str, jwt: &str) -> Result<JoinToken, Trace> {
        let known = self.join_tokens.get(token).ok_or_else(|| {
            Trace::denied(format!("\"\" can not join the cluster with role {role:?}, token expired or not found"))
        })?;
        if role != "Bot" {
            return Err(Trace::bad("missing parameter HostID"));
        }
        let claims = claims(jwt).ok_or_else(|| Trace::bad("IDToken not provided"))?;
        if !claims.aud.contains(&self.cluster_name) {
            return Err(Trace::new(Kind::Other, "validation failed, invalid audience claim (aud)"));
        }
        if claims.sub != format!("system:serviceaccount:{}", known.service_account) {
            return Err(Trace::denied("kubernetes token did not match any allow rules"));
        }
        if !self.users.contains_key(&known.user()) {
            return Err(Trace::denied("access denied"));
        }
        Ok(known.clone())
    }

    /// Teleport's checks of a request for certificates of other roles.
    pub(crate) fn impersonate(&self, user: &str, roles: &[String]) -> Result<(), Trace> {
        let bot = self.join_tokens.values().find(|token| token.user() == user);
        if let Some(role) = roles.iter().find(|role| !self.roles.contains_key(*role)) {
            return Err(Trace::not_found(format!("role {role} is not found")));
        }
        if bot.is_none_or(|bot| roles.iter().any(|role| !bot.roles.contains(role))) {
            return Err(Trace::denied(format!("user {user:?} has requested role impersonation for {roles:?}")));
        }
        Ok(())
    }
}

fn claims(jwt: &str) -> Option<Claims> {
    let payload = BASE64_URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&payload).ok()
}

/// Certificates of a user with these roles, as Teleport makes them.
pub(crate) fn issue(
    authorities: &Authorities,
    cluster: &str,
    user: &str,
    roles: &[String],
    keys: &PublicKeys,
    not_after: SystemTime,
) -> Result<Issued, SigningError> {
    let not_before = SystemTime::now() - BACKDATED;
    let mut subject: Name = roles.iter().map(|role| (oid::ORGANIZATION, role.clone())).collect();
    subject.push((oid::COMMON_NAME, user.to_owned()));
    subject.push((oid::TELEPORT_CLUSTER, cluster.to_owned()));
    let principals = [format!("-teleport-nologin-{user}")];
    let contents = SshContents {
        kind: CertType::User,
        key_id: user,
        principals: &principals,
        not_before,
        not_after,
        extensions: &[],
    };
    Ok(Issued {
        tls: authorities.user.issue_user(&subject, &keys.tls, not_before, not_after)?,
        ssh: authorities.user.issue_ssh(&keys.ssh, &contents)?,
    })
}

/// `sha256:` and the hash of the key of a certificate.
pub(crate) fn ca_pin(certificate: &CertificateDer<'_>) -> String {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return String::new() };
    let hash = Sha256::digest(certificate.tbs_certificate.subject_pki.raw);
    hash.iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

impl PublicKeys {
    /// PEM and a line of `authorized_keys`.
    pub(crate) fn from_text(tls: &[u8], ssh: &[u8]) -> Result<Self, Trace> {
        let damaged = |_| Trace::bad("ssh: no key found");
        let tls = std::str::from_utf8(tls).map_err(damaged)?;
        let ssh = std::str::from_utf8(ssh).map_err(damaged)?;
        let tls = SubjectPublicKeyInfo::from_pem(tls).map_err(|error| Trace::bad(error.to_string()))?;
        let ssh = PublicKey::from_openssh(ssh.trim()).map_err(|error| Trace::bad(error.to_string()))?;
        Self { tls, ssh }.checked()
    }

    /// DER and SSH's wire form.
    pub(crate) fn from_wire(tls: &[u8], ssh: &[u8]) -> Result<Self, Trace> {
        let tls = SubjectPublicKeyInfo::from_der(tls).map_err(|error| Trace::bad(error.to_string()))?;
        let ssh = PublicKey::from_bytes(ssh).map_err(|error| Trace::bad(error.to_string()))?;
        Self { tls, ssh }.checked()
    }

    /// A client whose two keys differ has made a mistake.
    fn checked(self) -> Result<Self, Trace> {
        let ssh = self.ssh.to_bytes().unwrap_or_default();
        if ssh.ends_with(self.tls.der_bytes()) { Ok(self) } else { Err(Trace::bad("the two public keys differ")) }
    }
}
