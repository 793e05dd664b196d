//! The logins of roles, remembered for a while: every request of a role asks for the same ones.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tracing::debug;

use crate::teleport::client::Client;
use crate::teleport::error::{CallError, Kind};

/// How long an answer is good; a role's logins rarely change.
const KNOWN_FOR: Duration = Duration::from_mins(5);
/// How long an answer may take: the message waits for it.
const PATIENCE: Duration = Duration::from_secs(3);
/// After an answer that did not come nobody asks for this long.
const DISCOURAGED: Duration = Duration::from_secs(10);
/// More roles than a cluster has in use at a time.
const MOST: usize = 1_000;

/// Remembers the logins of roles.
#[derive(Default)]
pub(super) struct RoleLogins(Mutex<HashMap<String, Answer>>);

/// Until when an answer is good, and the logins if they may be known.
type Answer = (Instant, Option<Vec<String>>);

impl RoleLogins {
    /// The logins that each role allows; `None` for a role that the identity may not read or that does not exist. They
    /// are shown for convenience: no failure here may hold up a message.
    pub(super) async fn of(&self, client: &Client, roles: &[String]) -> Vec<(String, Option<Vec<String>>)> {
        futures::future::join_all(roles.iter().map(|role| self.of_one(client, role))).await
    }

    async fn of_one(&self, client: &Client, role: &str) -> (String, Option<Vec<String>>) {
        if let Some(known) = self.known(role) {
            return (role.to_owned(), known);
        }
        let (logins, good_for) = match timeout(PATIENCE, client.role_logins(role)).await {
            Ok(Ok(logins)) => (Some(logins), KNOWN_FOR),
            Ok(Err(error)) => {
                debug!(role, %error, "Could not read the logins of a role");
                (None, if is_lasting(&error) { KNOWN_FOR } else { DISCOURAGED })
            }
            Err(_elapsed) => {
                debug!(role, "The logins of a role did not come in time");
                (None, DISCOURAGED)
            }
        };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(role.to_owned(), (Instant::now() + good_for, logins.clone()));
        (role.to_owned(), logins)
    }

    #[expect(clippy::option_option, reason = "not asked yet differs from asked in vain")]
    fn known(&self, role: &str) -> Option<Option<Vec<String>>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, logins) = known.get(role)?;
        (Instant::now() < *until).then(|| logins.clone())
    }
}

fn is_lasting(error: &CallError) -> bool {
    matches!(error.kind, Kind::NotFound | Kind::AccessDenied | Kind::Unimplemented | Kind::BadParameter)
}
