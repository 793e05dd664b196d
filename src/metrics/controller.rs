//! What the controller measures. A registry of its own: a worker's metrics at zero would look like a broken worker.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::metrics::{Exposition, register_common, text};

/// Upper bounds in seconds: from a look at the caches to an API server that hardly answers.
const DURATION_BUCKETS: [f64; 9] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReadyLabels {
    ready: String,
    reason: String,
}

/// The controller's metrics; a cheap handle.
#[derive(Clone, Debug)]
pub struct ControllerMetrics {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    registry: Registry,
    reconciliations: Family<OutcomeLabel, Counter>,
    duration: Histogram,
    plugins: Family<ReadyLabels, Gauge>,
    watch_errors: Counter,
}

impl Default for ControllerMetrics {
    fn default() -> Self {
        let inner = Inner {
            registry: Registry::with_prefix("slack_access"),
            reconciliations: Family::default(),
            duration: Histogram::new(DURATION_BUCKETS),
            plugins: Family::default(),
            watch_errors: Counter::default(),
        };
        Self { inner: Arc::new(inner.registered()) }
    }
}

impl ControllerMetrics {
    /// An object was reconciled: `ok`, or the reason why not.
    pub fn reconciled(&self, outcome: &'static str, took: Duration) {
        self.inner.reconciliations.get_or_create(&OutcomeLabel { outcome }).inc();
        self.inner.duration.observe(took.as_secs_f64());
    }

    /// How many objects there are, by status and reason of `Ready`.
    pub fn plugins<'a>(&self, ready: impl Iterator<Item = (&'a str, &'a str)>) {
        self.inner.plugins.clear();
        for (ready, reason) in ready {
            self.inner.plugins.get_or_create(&ReadyLabels { ready: ready.to_owned(), reason: reason.to_owned() }).inc();
        }
    }

    /// A watch on the Kubernetes API broke; it is taken up again.
    pub fn watch_failed(&self) {
        self.inner.watch_errors.inc();
    }
}

impl Exposition for ControllerMetrics {
    fn encode(&self) -> String {
        text(&self.inner.registry)
    }
}

impl Inner {
    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        register_common(registry);
        registry.register(
            "reconciliations",
            "Reconciled objects, by `ok` or the reason of the failure",
            self.reconciliations.clone(),
        );
        registry.register("reconcile_duration_seconds", "Time that one reconciliation took", self.duration.clone());
        registry.register(
            "plugins",
            "SlackAccessPlugin objects, by status and reason of their Ready condition",
            self.plugins.clone(),
        );
        registry.register(
            "kubernetes_watch_failures",
            "Watches on the Kubernetes API that broke and were taken up again",
            self.watch_errors.clone(),
        );
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_counted_anew_each_time() {
        let metrics = ControllerMetrics::default();
        metrics.plugins([("True", "Working"), ("True", "Working"), ("False", "TokenRefused")].into_iter());
        assert!(metrics.encode().contains("slack_access_plugins{ready=\"True\",reason=\"Working\"} 2\n"));
        metrics.plugins([("True", "Working")].into_iter());
        let text = metrics.encode();
        assert!(text.contains("slack_access_plugins{ready=\"True\",reason=\"Working\"} 1\n"));
        assert!(!text.contains("TokenRefused"));
    }

    #[test]
    fn nothing_of_a_worker_is_exposed() {
        assert!(!ControllerMetrics::default().encode().contains("teleport_connected"));
    }
}
