//! Whether the process is alive and ready.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Whether the process is alive and ready; a cheap handle that its parts report to.
#[derive(Clone, Debug, Default)]
pub struct Health {
    state: Arc<Mutex<Parts>>,
}

#[derive(Debug, Default)]
struct Parts {
    gates: BTreeMap<&'static str, bool>,
    heartbeats: BTreeMap<&'static str, Heartbeat>,
}

#[derive(Debug)]
struct Heartbeat {
    last: Instant,
    limit: Duration,
}

impl Health {
    /// A process that is ready once every named gate is open.
    pub fn with_gates(gates: impl IntoIterator<Item = &'static str>) -> Self {
        let health = Self::default();
        health.parts().gates.extend(gates.into_iter().map(|gate| (gate, false)));
        health
    }

    /// Opens a gate.
    pub fn open(&self, gate: &'static str) {
        self.parts().gates.insert(gate, true);
    }

    /// Closes a gate again.
    pub fn close(&self, gate: &'static str) {
        self.parts().gates.insert(gate, false);
    }

    /// The gates that are still closed, sorted.
    #[must_use]
    pub fn pending(&self) -> Vec<&'static str> {
        self.parts().gates.iter().filter(|(_, open)| !**open).map(|(gate, _)| *gate).collect()
    }

    /// A loop makes progress, and will report again within `limit`, or the process is not alive.
    pub fn beat(&self, name: &'static str, limit: Duration) {
        self.parts().heartbeats.insert(name, Heartbeat { last: Instant::now(), limit });
    }

    /// A loop has ended in good order and reports no more.
    pub fn retire(&self, name: &'static str) {
        self.parts().heartbeats.remove(name);
    }

    /// The loops that should have reported, with the time since they did, sorted.
    #[must_use]
    pub fn stuck(&self) -> Vec<(&'static str, Duration)> {
        let now = Instant::now();
        self.parts()
            .heartbeats
            .iter()
            .map(|(name, beat)| (*name, now.duration_since(beat.last), beat.limit))
            .filter(|(_, age, limit)| age > limit)
            .map(|(name, age, _)| (name, age))
            .collect()
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
