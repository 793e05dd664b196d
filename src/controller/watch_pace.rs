//! How long a watch on the Kubernetes API waits before it tries again. Pure.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kube::runtime::{utils, watcher};

use crate::backoff::Backoff;
use crate::controller::error::refusal_of_watch;

/// While the API server does not answer. After an outage one attempt may hang, and a second one be told that its version is too old
/// (`410 Gone`): both together take less than a change may wait.
const UNANSWERED: Backoff = Backoff::doubling(Duration::from_millis(500), Duration::from_secs(3));
/// While the API server says no: a right or a definition comes back rarely.
const REFUSED: Backoff = Backoff::doubling(Duration::from_secs(1), Duration::from_secs(30));

/// The waits of one watch.
#[derive(Clone, Debug, Default)]
pub(super) struct WatchPace {
    /// Shared by the two places in the stream: where an error passes, and where is waited for it.
    refused: Arc<AtomicBool>,
    failures: u32,
}

impl WatchPace {
    /// Notes why the watch failed.
    pub(super) fn failed(&self, error: &watcher::Error) {
        self.refused.store(refusal_of_watch(error).is_some(), Ordering::Relaxed);
    }

    fn delay(&self, chance: f64) -> Duration {
        let backoff = if self.refused.load(Ordering::Relaxed) { REFUSED } else { UNANSWERED };
        backoff.delay(self.failures, chance)
    }
}

impl Iterator for WatchPace {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        Some(self.delay(rand::random()))
    }
}

impl utils::Backoff for WatchPace {
    fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::utils::Backoff as _;

    use super::*;

    fn longest(pace: &WatchPace) -> Duration {
        let mut pace = pace.clone();
        (0..20).filter_map(|_| pace.next()).max().unwrap()
    }

    #[test]
    fn an_outage_is_left_soon_and_a_refusal_is_not_asked_about_again_and_again() {
        let mut pace = WatchPace::default();
        pace.failed(&watcher::Error::NoResourceVersion);
        assert!(longest(&pace) <= Duration::from_secs(3));
        let refusal = kube::core::Status::failure("no", "Forbidden").with_code(403);
        pace.failed(&watcher::Error::WatchError(Box::new(refusal)));
        assert!(longest(&pace) > Duration::from_secs(10));
        let _ = pace.by_ref().take(10).count();
        pace.reset();
        assert!(pace.next().unwrap() <= Duration::from_secs(1));
    }
}
