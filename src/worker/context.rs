//! What the tasks of all requests share.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{board::Board, recipients::RoleToRecipients, roles::RoleLogins};
use crate::{
    metrics::Metrics,
    slack::{self, directory::Directory, pacing::Pacing, turn::Turns},
    teleport::client::{Client, Server},
};

/// Shared by every task; cheap to clone behind its `Arc`.
pub(super) struct Context {
    /// The connection in use; it changes with a new identity.
    pub teleport: watch::Receiver<Option<Teleport>>,
    /// Slack, as the bot.
    pub slack: slack::client::Client,
    /// When the next call may start.
    pub pacing: Mutex<Pacing>,
    /// One post at a time per channel.
    pub turns: Turns,
    /// E-mail addresses to users.
    pub directory: Directory,
    /// Addresses of posts (channel names, user ids) to the ids of the conversations that they reached.
    channel_ids: Mutex<HashMap<String, String>>,
    /// Logins of roles.
    pub roles: RoleLogins,
    /// Who is to be told of what. Replaced when the configuration or the token changes, which wakes every task.
    pub routes: watch::Receiver<Arc<RoleToRecipients>>,
    /// What is undelivered, and why.
    pub board: Board,
    /// Counters.
    pub metrics: Metrics,
    /// This process, new with every start.
    pub instance: String,
    /// Finish what is in flight, begin nothing new.
    pub shutdown: CancellationToken,
}

/// A connection that works, and who answers there.
#[derive(Clone)]
pub(super) struct Teleport {
    /// For calls.
    pub client: Client,
    /// The server.
    pub server: Server,
}

/// The parts that a context is made of.
pub(super) struct Parts {
    /// See [`Context::teleport`].
    pub teleport: watch::Receiver<Option<Teleport>>,
    /// See [`Context::slack`].
    pub slack: slack::client::Client,
    /// See [`Context::routes`].
    pub routes: watch::Receiver<Arc<RoleToRecipients>>,
    /// See [`Context::board`].
    pub board: Board,
    /// See [`Context::metrics`].
    pub metrics: Metrics,
    /// See [`Context::shutdown`].
    pub shutdown: CancellationToken,
}

impl Context {
    /// Begins with nothing known.
    pub(super) fn new(parts: Parts) -> Arc<Self> {
        let Parts { teleport, slack, routes, board, metrics, shutdown } = parts;
        Arc::new(Self {
            directory: Directory::default(),
            teleport,
            slack,
            routes,
            board,
            metrics,
            shutdown,
            pacing: Mutex::default(),
            turns: Turns::default(),
            channel_ids: Mutex::default(),
            roles: RoleLogins::default(),
            instance: format!("{:016x}", rand::random::<u64>()),
        })
    }

    /// The schedule of calls; never held across a wait.
    pub(super) fn pacing(&self) -> std::sync::MutexGuard<'_, Pacing> {
        self.pacing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id behind a channel's name or a user's id, if a post there has shown it.
    pub(super) fn channel_id(&self, address: &str) -> Option<String> {
        self.channel_ids.lock().unwrap_or_else(PoisonError::into_inner).get(address).cloned()
    }

    /// Notes that a post addressed to `address` went to `id`; the pace of the one becomes that of the other. To be called
    /// before the turn passes on.
    pub(super) fn learn_channel_id(&self, address: &str, id: &str) {
        if address == id {
            return;
        }
        let mut ids = self.channel_ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.insert(address.to_owned(), id.to_owned());
        drop(ids);
        self.pacing().rename(address, id);
    }
}
