//! Joining Teleport with a Kubernetes ServiceAccount's token: an identity without a file.
//!
//! ```text
//! token file ─▶ server (Proxy or Auth? trusted?) ─▶ form (HTTP, RegisterUsingToken, stream) ─▶ bot certificate ─▶ role certificate
//! ```
//!
//! The bot's certificate has no rights of its own and is dropped as soon as it has got a certificate for the role. Nothing is kept:
//! renewing is joining again, with new keys and with the ServiceAccount token as it is then.

mod form;
mod key;
mod pin;
mod refusal;
pub mod schedule;
mod server;
mod service_account;
#[cfg(test)]
mod tests;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tonic::Request;
use tracing::debug;

use crate::teleport::dial::anonymous::Anonymous;
use crate::teleport::dial::{DialError, DialOptions, NotAnAddress, dial};
use crate::teleport::error::{CallError, Kind};
use crate::teleport::identity::{Identity, IdentityError};
use crate::teleport::join::key::Key;
use crate::teleport::join::refusal::Attempt;
use crate::teleport::join::server::Server;
use crate::teleport::join::service_account::ServiceAccountToken;
use crate::teleport::join::wire::{Application, Certificates};
use crate::teleport::pb::proto::UserCertsRequest;
use crate::teleport::pb::proto::auth_service_client::AuthServiceClient;

pub use crate::teleport::join::form::Form;
pub use crate::teleport::join::key::NoRandomness;
pub use crate::teleport::join::pin::{CaPin, NotAPin};
pub use crate::teleport::join::refusal::{Reason, Refusal};
pub use crate::teleport::join::server::NotFound;
pub use crate::teleport::join::service_account::TokenFileError;
pub use crate::teleport::join::wire::FormError;

/// The role that is taken on unless another is set: that of Teleport's guide for access request plugins.
pub const DEFAULT_ROLE: &str = "access-plugin";

/// How to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name of the token resource; not a secret.
    pub token: String,
    /// The file with the ServiceAccount token.
    pub token_path: PathBuf,
    /// The role to take on.
    pub role: String,
    /// The authorities of an Auth server at the address; of a Proxy the web's authorities count.
    pub ca_pins: Vec<CaPin>,
}

/// What a join yields.
#[derive(Debug)]
pub struct Joined {
    /// The role's certificate with its key and authorities.
    pub identity: Arc<Identity>,
    /// How long it lives from now on, by the server's clock.
    pub life: Duration,
    /// The form that the server knows.
    pub form: Form,
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The address makes no sense.
    #[error("teleport address: {0}")]
    Address(#[from] NotAnAddress),
    /// There is no ServiceAccount token to join with.
    #[error(transparent)]
    TokenFile(#[from] TokenFileError),
    /// No key pair.
    #[error(transparent)]
    Key(#[from] NoRandomness),
    /// Nothing to join through answers, or nothing that is trusted.
    #[error(transparent)]
    Server(#[from] Box<NotFound>),
    /// The join got no answer, or one that is not understood.
    #[error("cannot join Teleport {form}: {error}")]
    Form {
        /// The last form that was tried.
        form: Form,
        /// What happened.
        error: FormError,
    },
    /// Teleport refuses.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// The certificates that Teleport gave make no identity.
    #[error("Teleport's answer to the join is of no use: {0}")]
    Certificates(#[from] IdentityError),
    /// The bot's certificate leads to no connection.
    #[error("joined Teleport, but cannot connect with the bot's certificate: {0}")]
    Dial(#[from] DialError),
    /// The role's certificate was not given for a reason that may pass.
    #[error("joined Teleport, but got no certificate for the role: {0}")]
    Call(CallError),
    /// Teleport gave a certificate for something else.
    #[error(
        "Teleport gave a certificate for the roles '{given}' instead of '{wanted}'; check the bot's roles (tctl get bots)"
    )]
    WrongRole {
        /// What it gave.
        given: String,
        /// What was asked for.
        wanted: String,
    },
}

impl JoinError {
    /// Whether Teleport answers and says no, rather than not answering.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Refused(_) | Self::WrongRole { .. } | Self::Certificates(_) | Self::Address(_) | Self::TokenFile(_)
        )
    }
}

/// Joins once. Takes about 0.1 s, and no longer than dialing's timeout for each of its steps.
pub async fn join(address: &str, settings: &Settings, options: &DialOptions) -> Result<Joined, JoinError> {
    let connect = Anonymous::new(address, options)?;
    let token = ServiceAccountToken::read(&settings.token_path).await?;
    let server = server::find(&connect, &settings.ca_pins, &options.web_authorities).await.map_err(Box::new)?;
    let attempt =
        Attempt { token: &settings.token, claims: &token.claims, cluster: &server.cluster, role: &settings.role };
    let key = Key::generate()?;
    let application = Application { token: &settings.token, jwt: token.jwt(), key: &key };
    let (form, certificates) =
        bot_certificates(&connect, &server, &application).await.map_err(|failed| match failed {
            (_, FormError::Refused(text)) => JoinError::Refused(Box::new(attempt.join_refused(&text))),
            (form, error) => JoinError::Form { form, error },
        })?;
    let bot = Arc::new(identity(&certificates, &key)?);
    let role_key = Key::generate()?;
    let role = role_certificates(address, options, &bot, &attempt, &role_key).await?;
    // Only the answer to the join has the host authorities.
    let role =
        Certificates { authorities: certificates.authorities, ssh_authorities: certificates.ssh_authorities, ..role };
    let identity = identity(&role, &role_key)?;
    if !identity.roles().contains(&settings.role) {
        let (given, wanted) = (identity.roles().join(", "), settings.role.clone());
        return Err(JoinError::WrongRole { given, wanted });
    }
    Ok(Joined { life: life(&identity), identity: Arc::new(identity), form })
}

/// Tries the forms that a server of this release knows, in turn.
async fn bot_certificates(
    connect: &Anonymous,
    server: &Server,
    application: &Application<'_>,
) -> Result<(Form, Certificates), (Form, FormError)> {
    let mut last = (Form::Http, FormError::NotOffered("none of them".to_owned()));
    for form in form::forms(server.service, &server.version).iter().copied() {
        match wire::attempt(form, connect, server, application).await {
            Ok(certificates) => return Ok((form, certificates)),
            Err(error @ FormError::NotOffered(_)) => {
                debug!(%form, %error, "The server does not know this form of the join");
                last = (form, error);
            }
            Err(error) => return Err((form, error)),
        }
    }
    Err(last)
}

/// Asks for certificates of the role, as the bot.
async fn role_certificates(
    address: &str,
    options: &DialOptions,
    bot: &Arc<Identity>,
    attempt: &Attempt<'_>,
    key: &Key,
) -> Result<Certificates, JoinError> {
    const METHOD: &str = "GenerateUserCerts";
    let (channel, _) = dial(address, Arc::clone(bot), options).await?;
    let request = UserCertsRequest {
        public_key: key.ssh_line().into_bytes(),
        username: bot.user().to_owned(),
        // The server's own time: no clock of ours is involved.
        expires: Some(prost_types::Timestamp { seconds: bot.not_after().as_second(), nanos: 0 }),
        role_requests: vec![attempt.role.to_owned()],
        use_role_requests: true,
        // From Teleport 17 on in place of the first.
        ssh_public_key: key.ssh_line().into_bytes(),
        tls_public_key: key.public_pem().into_bytes(),
    };
    let mut request = Request::new(request);
    request.set_timeout(options.timeout);
    let mut client = AuthServiceClient::new(channel);
    let answer = tokio::time::timeout(options.timeout, client.generate_user_certs(request)).await;
    let status = match answer {
        Ok(Ok(answer)) => {
            return wire::from_certs(answer.into_inner()).map_err(|error| JoinError::Form { form: Form::Http, error });
        }
        Ok(Err(status)) => status,
        Err(_elapsed) => return Err(JoinError::Call(CallError::deadline(METHOD, options.timeout))),
    };
    let error = CallError::new(METHOD, &status);
    Err(match error.kind {
        Kind::AccessDenied | Kind::NotFound | Kind::BadParameter => {
            JoinError::Refused(Box::new(attempt.role_refused(bot.user(), &error.message)))
        }
        _ => JoinError::Call(error),
    })
}

fn identity(certificates: &Certificates, key: &Key) -> Result<Identity, IdentityError> {
    let Certificates { tls, authorities, ssh, ssh_authorities } = certificates;
    let hosts: Vec<_> = ssh_authorities.iter().map(|line| format!("@cert-authority * {line}\n")).collect();
    let file = [key.private_pem(), tls, &authorities.join("\n"), ssh, &hosts.concat()].join("\n");
    Identity::from_identity_file(file.as_bytes(), "the joined identity")
}

/// From the certificate's own two times, of which the first is dated back.
fn life(identity: &Identity) -> Duration {
    let life = identity.not_before().duration_until(identity.not_after());
    let life = life - jiff::SignedDuration::from_secs(wire::BACKDATED);
    Duration::try_from(life).unwrap_or_default().max(Duration::from_secs(1))
}
