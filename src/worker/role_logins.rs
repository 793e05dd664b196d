//! The logins of roles, remembered for a while: every request of a role asks for the same ones.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tracing::debug;

use crate::teleport::client::Client;
use crate::teleport::error::{CallError, Kind};
use crate::ttl_cache::TtlCache;

/// How long an answer is good; a role's logins rarely change.
const TTL: Duration = Duration::from_mins(5);
/// How long an answer may take: the message waits for it.
const TIMEOUT: Duration = Duration::from_secs(3);
/// After an answer that did not come the role is not asked for again for this long.
const NEGATIVE_TTL: Duration = Duration::from_secs(10);
/// More roles than a cluster has in use at a time.
const MOST: usize = 1_000;

/// Remembers the logins of roles: none where they may not be known.
pub(super) struct RoleLogins(Mutex<TtlCache<String, Option<Vec<String>>>>);

impl Default for RoleLogins {
    fn default() -> Self {
        Self(Mutex::new(TtlCache::new(MOST)))
    }
}

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
        let (logins, good_for) = match timeout(TIMEOUT, client.role_logins(role)).await {
            Ok(Ok(logins)) => (Some(logins), TTL),
            Ok(Err(error)) => {
                debug!(role, %error, "Could not read the logins of a role");
                (None, if is_lasting(&error) { TTL } else { NEGATIVE_TTL })
            }
            Err(_elapsed) => {
                debug!(role, "The logins of a role did not come in time");
                (None, NEGATIVE_TTL)
            }
        };
        self.lock().insert(role.to_owned(), logins.clone(), good_for, Instant::now().into_std());
        (role.to_owned(), logins)
    }

    #[expect(clippy::option_option, reason = "not asked yet differs from asked in vain")]
    fn known(&self, role: &str) -> Option<Option<Vec<String>>> {
        self.lock().get(role, Instant::now().into_std()).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, TtlCache<String, Option<Vec<String>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_lasting(error: &CallError) -> bool {
    matches!(error.kind, Kind::NotFound | Kind::AccessDenied | Kind::Unimplemented | Kind::BadParameter)
}
