//! What every part of the cluster shares.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::watch;

use super::clock::since_epoch;
use super::config::Config;
use super::journal::Journal;
use super::state::State;
use crate::faults::Faults;

/// State, faults and journal. Clones share them.
#[derive(Clone)]
pub(crate) struct Core {
    pub(crate) config: Arc<Config>,
    pub(crate) faults: Faults,
    pub(crate) journal: Journal,
    state: Arc<Mutex<State>>,
    changes: watch::Sender<u64>,
    proxy: Arc<OnceLock<String>>,
}

impl Core {
    pub(crate) fn new(config: Config) -> Self {
        let changes = watch::Sender::new(0);
        Self {
            state: Arc::new(Mutex::new(State::new(&config))),
            config: Arc::new(config),
            faults: Faults::of(changes.clone()),
            journal: Journal::default(),
            changes,
            proxy: Arc::default(),
        }
    }

    /// Looks at the state.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the state, after what has expired is gone, and wakes whoever waits for a change.
    pub(crate) fn write<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let result = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.sweep();
            change(&mut state)
        };
        self.touch();
        result
    }

    /// Wakes whoever waits for a change.
    pub(crate) fn touch(&self) {
        self.changes.send_modify(|number| *number += 1);
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Where the Proxy is reached from outside; set once it listens.
    pub(crate) fn set_proxy_public_addr(&self, address: String) {
        // A cluster has one Proxy, whose address does not change.
        let _ = self.proxy.set(address);
    }

    /// Empty without a Proxy.
    pub(crate) fn proxy_public_addr(&self) -> String {
        self.proxy.get().cloned().unwrap_or_default()
    }

    /// Milliseconds since the epoch on the cluster's clock.
    pub(crate) fn millis(&self) -> u64 {
        let now = self.read(|state| state.clock.now());
        u64::try_from(since_epoch(now).as_millis()).unwrap_or(u64::MAX)
    }

    /// Removes requests and records when their time comes. Runs until it is dropped.
    pub(crate) async fn expire(self) {
        let mut changes = self.subscribe();
        loop {
            changes.mark_unchanged();
            let wait = self.read(State::next_expiry);
            let due = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => self.write(|_| ()),
                more = changes.changed() => if more.is_err() { return },
            }
        }
    }
}
