//! A connection that is proven to work: dialed, answered, and with a watch past its first event.

use std::sync::Arc;

use crate::config::Config;
use crate::teleport::client::Client;
use crate::teleport::dial::{DialError, DialOptions, Refusal, Route, dial};
use crate::teleport::error::{CallError, Kind};
use crate::teleport::identity::Identity;
use crate::teleport::right::{self, Right};
use crate::teleport::watch::Watch;
use crate::worker::context::Teleport;

/// A connection with an open watch.
pub(super) struct Connection {
    /// For calls.
    pub teleport: Teleport,
    /// The changes since.
    pub watch: Watch,
    /// How Teleport was reached.
    pub route: Route,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answers there.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// Teleport answers, but not to us.
    #[error("{error}; {}", refused_remedy(.error, .user, .expires))]
    Refused {
        /// The identity's user.
        user: String,
        /// The end of the identity's validity.
        expires: String,
        /// Teleport's answer.
        error: CallError,
    },
    /// The roles of the identity lack rights without which nothing can be announced. Teleport refuses no call for some of
    /// them: it leaves out what may not be seen.
    #[error(
        "the roles of user {user:?} ({}) lack a right in Teleport: {}; add to a role's allow.rules what is missing (`tctl edit role/{}`)",
        .roles.join(", "), right::in_words(.missing), .roles.first().map_or("access-plugin", String::as_str)
    )]
    Lacks {
        /// The identity's user.
        user: String,
        /// The user's roles.
        roles: Vec<String>,
        /// The rights, none of which is there.
        missing: Vec<Right>,
    },
    /// The identity's time is over.
    #[error(
        "the identity of user {user:?} expired at {expires}; sign a new one (tctl auth sign --user={user} --ttl=...) and put it in place of the old one"
    )]
    Expired {
        /// The identity's user.
        user: String,
        /// When it expired.
        expires: String,
    },
    /// The identity's time has not come.
    #[error(
        "Teleport refuses the identity of user {user:?}, which is not valid before {from}; check the clocks of this machine, of Teleport, and of where it was signed"
    )]
    TooEarly {
        /// The identity's user.
        user: String,
        /// When it becomes valid.
        from: String,
    },
    /// Teleport broke off.
    #[error("{0}")]
    Call(#[from] CallError),
}

impl ConnectError {
    /// No connection came about. TLS has one word for both ends of a certificate's time: `now` tells them apart.
    fn dial(error: DialError, identity: &Identity, now: jiff::Timestamp) -> Self {
        let out_of_time = matches!(error, DialError::Refused { refusal: Refusal::Expired, .. });
        if out_of_time && now < identity.not_before() {
            let (user, from) = (identity.user().to_owned(), identity.not_before().to_string());
            return Self::TooEarly { user, from };
        }
        Self::Dial(error)
    }

    /// Teleport turns the identity down.
    pub(super) fn refused(identity: Option<&Identity>, error: CallError) -> Self {
        let user = identity.map(|identity| identity.user().to_owned()).unwrap_or_default();
        let expires = identity.map(|identity| identity.not_after().to_string()).unwrap_or_default();
        Self::Refused { user, expires, error }
    }
}

/// Dials, asks who is there, and opens the watch.
pub(super) async fn connect(
    config: &Config,
    identity: Arc<Identity>,
    options: &DialOptions,
) -> Result<Connection, ConnectError> {
    if identity.is_expired(jiff::Timestamp::now()) {
        let (user, expires) = (identity.user().to_owned(), identity.not_after().to_string());
        return Err(ConnectError::Expired { user, expires });
    }
    let refused = |error: CallError| match error.kind {
        // BadParameter: nothing is left to watch of what was asked for.
        Kind::AccessDenied | Kind::BadParameter => ConnectError::refused(Some(&identity), error),
        _ => ConnectError::Call(error),
    };
    let dialed = dial(&config.teleport.addr, identity.clone(), options).await;
    let (channel, route) = dialed.map_err(|error| ConnectError::dial(error, &identity, jiff::Timestamp::now()))?;
    let client = Client::new(channel, &config.teleport.plugin_name);
    let server = client.ping().await.map_err(&refused)?;
    let (allowed, watch, write) = tokio::join!(client.rules_of(identity.roles()), client.watch(), client.try_write());
    let missing = allowed.map(|allowed| allowed.missing()).unwrap_or_default();
    if !missing.is_empty() {
        let (user, roles) = (identity.user().to_owned(), identity.roles().to_vec());
        return Err(ConnectError::Lacks { user, roles, missing });
    }
    let watch = watch.map_err(|error| match error.kind {
        // How Teleport puts it that none of what is to be watched may be.
        Kind::BadParameter => ConnectError::refused(Some(&identity), error),
        _ => refused(error),
    })?;
    if let Err(error) = write
        && error.is_denial()
    {
        return Err(ConnectError::refused(Some(&identity), error));
    }
    let review_rights = match config.review {
        Some(_) => Some(client.review_rights().await.map_err(&refused)?),
        None => None,
    };
    Ok(Connection { teleport: Teleport { client, server, review_rights }, watch, route })
}

fn refused_remedy(error: &CallError, user: &str, expires: &str) -> String {
    match error.missing_right() {
        Some(right) => format!("give the role of user {user:?} the right to {} {}", right.verb, right.kind),
        None => format!(
            "check that the identity of user {user:?} (valid until {expires}) belongs to this cluster and that its role may list and read access_request, and update access_plugin_data"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::teleport::dial::Address;
    use crate::teleport::testing::{Cluster, Validity};

    #[test]
    fn an_identity_whose_time_has_not_come_is_not_called_expired() {
        let file = Cluster::new("example").identity_file("plugin", Validity::Valid);
        let identity = Identity::from_identity_file(file.as_bytes(), "auth.pem").unwrap();
        let refused = || DialError::Refused { address: Address::new("auth", 3025), refusal: Refusal::Expired };
        let second = jiff::SignedDuration::from_secs(1);
        let early = ConnectError::dial(refused(), &identity, identity.not_before() - second).to_string();
        assert!(
            early.contains("not valid before") && early.contains("clocks") && !early.contains("expired"),
            "{early}"
        );
        let late = ConnectError::dial(refused(), &identity, identity.not_after() + second).to_string();
        assert!(late.contains("expired"), "{late}");
    }
}
