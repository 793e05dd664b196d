//! Every metric family in one place.
//!
//! Labels have few, fixed values: no channel, role, user or request appears in a label. Everything starts with
//! `slack_access_`, and names end with their unit.

pub mod controller;
pub mod ledger;

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::metrics::ledger::Ledger;
use crate::telemetry;

/// Upper bounds in seconds: from a healthy delivery to one that waited out an outage.
const LATENCY_BUCKETS: [f64; 14] =
    [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0];

/// The content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// State of an access request when it was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestState {
    /// Waits for reviewers.
    Pending,
    /// Granted.
    Approved,
    /// Refused.
    Denied,
    /// Turned into an access list membership.
    Promoted,
    /// Expired or deleted.
    Gone,
    /// One that this version does not know.
    Unknown,
}

impl RequestState {
    const fn label(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Promoted => "promoted",
            Self::Gone => "gone",
            Self::Unknown => "unknown",
        }
    }
}

/// What was to be done in Slack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Announce a request.
    Post,
    /// Tell of a review in the message's thread.
    Reply,
    /// Bring a message up to date.
    Update,
    /// Mark a resolved request's message.
    Reaction,
}

impl Operation {
    const fn label(self) -> &'static str {
        match self {
            Self::Post => "post",
            Self::Reply => "reply",
            Self::Update => "update",
            Self::Reaction => "reaction",
        }
    }
}

/// How one attempt at an [`Operation`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Slack confirmed it.
    Ok,
    /// It failed and will be tried again soon.
    Retry,
    /// It may or may not have happened.
    Ambiguous,
    /// It cannot work until somebody changes something.
    Refused,
}

impl Outcome {
    const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Retry => "retry",
            Self::Ambiguous => "ambiguous",
            Self::Refused => "refused",
        }
    }
}

/// How re-reading a credential ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// The new one is in use.
    Ok,
    /// The new one does not work; the old one stays in use.
    Failed,
}

impl Reload {
    const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
        }
    }
}

/// How an attempt to join Teleport ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// With an identity.
    Ok,
    /// Teleport said no.
    Refused,
    /// Teleport was not reached.
    Unreachable,
}

impl Join {
    const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DeliveryLabels {
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CallLabels {
    method: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReviewLabels {
    decision: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// The process's metrics; a cheap handle.
#[derive(Clone, Debug)]
pub struct Metrics {
    inner: Arc<Inner>,
}

type Seconds = Gauge<f64, AtomicU64>;

#[derive(Debug)]
struct Inner {
    registry: Registry,
    requests_observed: Family<StateLabel, Counter>,
    requests_unrouted: Counter,
    deliveries: Family<DeliveryLabels, Counter>,
    delivery_latency: Histogram,
    deliveries_pending: Gauge,
    deliveries_failing: Gauge,
    oldest_undelivered: Seconds,
    slack_calls: Family<CallLabels, Counter>,
    slack_rate_limited: Counter,
    slack_retry_after: Counter<f64, AtomicU64>,
    teleport_connected: Gauge,
    last_event: Seconds,
    last_resync: Seconds,
    resyncs: Counter,
    requests_recovered: Counter,
    identity_expiry: Seconds,
    identity_reloads: Family<OutcomeLabel, Counter>,
    joins: Family<OutcomeLabel, Counter>,
    token_reloads: Family<OutcomeLabel, Counter>,
    plugin_data_conflicts: Counter,
    ledger: Ledger,
    reviews: Family<ReviewLabels, Counter>,
    review_latency: Histogram,
    reviews_untold: Counter,
    review_configured: Gauge,
    review_connected: Gauge,
    review_other_connections: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Fresh metrics, all at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut inner = Inner {
            registry: Registry::with_prefix("slack_access"),
            requests_observed: Family::default(),
            requests_unrouted: Counter::default(),
            deliveries: Family::default(),
            delivery_latency: Histogram::new(LATENCY_BUCKETS),
            deliveries_pending: Gauge::default(),
            deliveries_failing: Gauge::default(),
            oldest_undelivered: Seconds::default(),
            slack_calls: Family::default(),
            slack_rate_limited: Counter::default(),
            slack_retry_after: Counter::default(),
            teleport_connected: Gauge::default(),
            last_event: Seconds::default(),
            last_resync: Seconds::default(),
            resyncs: Counter::default(),
            requests_recovered: Counter::default(),
            identity_expiry: Seconds::default(),
            identity_reloads: Family::default(),
            joins: Family::default(),
            token_reloads: Family::default(),
            plugin_data_conflicts: Counter::default(),
            ledger: Ledger::new(),
            reviews: Family::default(),
            review_latency: Histogram::new(LATENCY_BUCKETS),
            reviews_untold: Counter::default(),
            review_configured: Gauge::default(),
            review_connected: Gauge::default(),
            review_other_connections: Gauge::default(),
        };
        inner.register();
        inner.ledger.register(&mut inner.registry);
        for outcome in [Reload::Ok, Reload::Failed] {
            // There from the start: an alert on the increase would miss a first value out of nothing.
            let outcome = OutcomeLabel { outcome: outcome.label() };
            drop(inner.identity_reloads.get_or_create(&outcome));
            drop(inner.token_reloads.get_or_create(&outcome));
        }
        for decision in ["approve", "deny"] {
            drop(inner.reviews.get_or_create(&ReviewLabels { decision, outcome: "recorded" }));
        }
        for outcome in [Join::Ok, Join::Refused, Join::Unreachable] {
            drop(inner.joins.get_or_create(&OutcomeLabel { outcome: outcome.label() }));
        }
        Self { inner: Arc::new(inner) }
    }

    /// An access request was looked at.
    pub fn request_observed(&self, state: RequestState) {
        self.inner.requests_observed.get_or_create(&StateLabel { state: state.label() }).inc();
    }

    /// A new request reaches nobody: no role has recipients and no reviewer with an address was suggested.
    pub fn request_unrouted(&self) {
        self.inner.requests_unrouted.inc();
    }

    /// An attempt to bring something to Slack has ended.
    pub fn delivery(&self, operation: Operation, outcome: Outcome) {
        let labels = DeliveryLabels { operation: operation.label(), outcome: outcome.label() };
        self.inner.deliveries.get_or_create(&labels).inc();
    }

    /// Time from the event to its confirmed message.
    pub fn delivery_latency(&self, latency: Duration) {
        self.inner.delivery_latency.observe(latency.as_secs_f64());
    }

    /// How many deliveries wait, how many of them have failed at least once, and for how long the oldest has waited.
    pub fn undelivered(&self, pending: usize, failing: usize, oldest: Option<Duration>) {
        self.inner.deliveries_pending.set(i64::try_from(pending).unwrap_or(i64::MAX));
        self.inner.deliveries_failing.set(i64::try_from(failing).unwrap_or(i64::MAX));
        self.inner.oldest_undelivered.set(oldest.unwrap_or_default().as_secs_f64());
    }

    /// A call of Slack's Web API has ended. `code` is `ok`, one of Slack's error strings that we know, or a class.
    pub fn slack_call(&self, method: &'static str, code: &'static str) {
        self.inner.slack_calls.get_or_create(&CallLabels { method, code }).inc();
    }

    /// Slack asked to wait.
    pub fn slack_rate_limited(&self, retry_after: Duration) {
        self.inner.slack_rate_limited.inc();
        self.inner.slack_retry_after.inc_by(retry_after.as_secs_f64());
    }

    /// Whether the watch on Teleport stands.
    pub fn teleport_connected(&self, connected: bool) {
        self.inner.teleport_connected.set(i64::from(connected));
    }

    /// The watch has yielded something.
    pub fn teleport_event(&self, now: SystemTime) {
        self.inner.last_event.set(unix_seconds(now));
    }

    /// Everything was listed and compared; `recovered` requests had been missed by the watch.
    pub fn resynced(&self, now: SystemTime, recovered: u64) {
        self.inner.resyncs.inc();
        self.inner.last_resync.set(unix_seconds(now));
        self.inner.requests_recovered.inc_by(recovered);
    }

    /// When the identity in use expires.
    pub fn identity_expiry(&self, expiry: SystemTime) {
        self.inner.identity_expiry.set(unix_seconds(expiry));
    }

    /// A changed identity was read.
    pub fn identity_reload(&self, outcome: Reload) {
        self.inner.identity_reloads.get_or_create(&OutcomeLabel { outcome: outcome.label() }).inc();
    }

    /// An attempt to join Teleport with a ServiceAccount token ended.
    pub fn joined(&self, outcome: Join) {
        self.inner.joins.get_or_create(&OutcomeLabel { outcome: outcome.label() }).inc();
    }

    /// A changed Slack token was read.
    pub fn token_reload(&self, outcome: Reload) {
        self.inner.token_reloads.get_or_create(&OutcomeLabel { outcome: outcome.label() }).inc();
    }

    /// Somebody else changed a request's plugin data between our reading and writing.
    pub fn plugin_data_conflict(&self) {
        self.inner.plugin_data_conflicts.inc();
    }

    /// The counters of the promise.
    pub fn ledger(&self) -> &Ledger {
        &self.inner.ledger
    }

    /// A click or a form in Slack came to its end, `latency` after it arrived. `decision` and `outcome` are of a fixed set.
    pub fn review(&self, decision: &'static str, outcome: &'static str, latency: Duration) {
        self.inner.reviews.get_or_create(&ReviewLabels { decision, outcome }).inc();
        self.inner.review_latency.observe(latency.as_secs_f64());
    }

    /// A person could not be told what became of a click.
    pub fn review_untold(&self) {
        self.inner.reviews_untold.inc();
    }

    /// Whether the configuration asks for reviews in Slack.
    pub fn review_configured(&self, configured: bool) {
        self.inner.review_configured.set(i64::from(configured));
    }

    /// Whether a Socket Mode connection serves.
    pub fn review_connected(&self, connected: bool) {
        self.inner.review_connected.set(i64::from(connected));
    }

    /// How many connections the app has that are not this worker's, as counted last.
    pub fn review_other_connections(&self, others: u32) {
        self.inner.review_other_connections.set(i64::from(others));
    }

    /// See [`Exposition::encode`].
    #[must_use]
    pub fn encode(&self) -> String {
        text(&self.inner.registry)
    }
}

/// Metrics that can be served.
pub trait Exposition: Clone + Send + Sync + 'static {
    /// The exposition text, in the format that [`CONTENT_TYPE`] names.
    fn encode(&self) -> String;
}

impl Exposition for Metrics {
    fn encode(&self) -> String {
        Self::encode(self)
    }
}

/// What every role measures.
fn register_common(registry: &mut Registry) {
    registry.register("build", "This program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
    registry.register_collector(Box::new(LogLines));
}

/// Logging counts by itself: it begins before there are metrics.
#[derive(Debug)]
struct LogLines;

impl Collector for LogLines {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let dropped = ConstCounter::new(telemetry::dropped_lines());
        let help = "Log lines that were not written: they came faster than they were read, or could not be written";
        let encoder = encoder.encode_descriptor("log_lines_dropped", help, None, dropped.metric_type())?;
        dropped.encode(encoder)
    }
}

fn text(registry: &Registry) -> String {
    let mut text = String::new();
    if encode(&mut text, registry).is_err() {
        text.clear();
        let _ = write!(text, "# metrics could not be encoded\n# EOF\n");
    }
    text
}

impl Inner {
    fn register(&mut self) {
        let registry = &mut self.registry;
        register_common(registry);
        registry.register(
            "requests_observed",
            "Looks at access requests, by the state found",
            self.requests_observed.clone(),
        );
        registry.register(
            "requests_unrouted",
            "New access requests that reach nobody: no recipients for their roles, no suggested reviewers",
            self.requests_unrouted.clone(),
        );
        registry.register("deliveries", "Attempts to bring something to Slack", self.deliveries.clone());
        registry.register(
            "delivery_latency_seconds",
            "Time from the event to its message in Slack",
            self.delivery_latency.clone(),
        );
        registry.register("deliveries_pending", "Deliveries not yet confirmed", self.deliveries_pending.clone());
        registry.register(
            "deliveries_failing",
            "Deliveries not yet confirmed that have failed at least once",
            self.deliveries_failing.clone(),
        );
        registry.register(
            "oldest_undelivered_seconds",
            "For how long the oldest delivery has waited; 0 when none waits",
            self.oldest_undelivered.clone(),
        );
        registry.register("slack_calls", "Calls of Slack's Web API, by method and result", self.slack_calls.clone());
        registry.register(
            "slack_rate_limited",
            "Calls that Slack answered with a request to wait",
            self.slack_rate_limited.clone(),
        );
        registry.register(
            "slack_retry_after_seconds",
            "Sum of the waits that Slack asked for",
            self.slack_retry_after.clone(),
        );
        registry.register(
            "teleport_connected",
            "1 while the watch on Teleport stands",
            self.teleport_connected.clone(),
        );
        registry.register(
            "teleport_watch_last_event_timestamp_seconds",
            "Unix time at which the watch last yielded something",
            self.last_event.clone(),
        );
        registry.register(
            "teleport_last_resync_timestamp_seconds",
            "Unix time at which everything was last listed and compared",
            self.last_resync.clone(),
        );
        registry.register("resyncs", "How often everything was listed and compared", self.resyncs.clone());
        registry.register(
            "requests_recovered_by_resync",
            "Access requests that the watch had missed",
            self.requests_recovered.clone(),
        );
        registry.register(
            "identity_expiry_timestamp_seconds",
            "Unix time at which the Teleport identity in use expires",
            self.identity_expiry.clone(),
        );
        registry.register("identity_reloads", "Changed Teleport identities read", self.identity_reloads.clone());
        registry.register(
            "teleport_joins",
            "Attempts to join Teleport with the ServiceAccount's token",
            self.joins.clone(),
        );
        registry.register("token_reloads", "Changed Slack tokens read", self.token_reloads.clone());
        registry.register(
            "plugin_data_conflicts",
            "Writes of plugin data that lost against somebody else's",
            self.plugin_data_conflicts.clone(),
        );
        registry.register("reviews", "Clicks and forms in Slack, by what became of them", self.reviews.clone());
        registry.register(
            "review_latency_seconds",
            "Time from a click in Slack to its end",
            self.review_latency.clone(),
        );
        registry.register(
            "reviews_untold",
            "Clicks in Slack whose outcome the person could not be told",
            self.reviews_untold.clone(),
        );
        registry.register(
            "review_configured",
            "1 where the configuration asks for reviews in Slack",
            self.review_configured.clone(),
        );
        registry.register(
            "review_connected",
            "1 while a Socket Mode connection to Slack serves",
            self.review_connected.clone(),
        );
        registry.register(
            "review_other_connections",
            "Socket Mode connections of the app that are not this worker's, as counted last",
            self.review_other_connections.clone(),
        );
    }
}

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::ledger::{Searched, Swept, Untold};

    #[test]
    fn fresh_metrics_tell_the_version_and_that_nothing_waits() {
        let text = Metrics::new().encode();
        assert!(text.contains(&format!("slack_access_build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION"))));
        assert!(text.contains("\nslack_access_oldest_undelivered_seconds 0.0\n"));
        assert!(text.contains("\nslack_access_teleport_connected 0\n"));
        assert!(text.contains("\nslack_access_log_lines_dropped_total "), "{text}");
        for reload in ["identity_reloads_total{outcome=\"failed\"}", "token_reloads_total{outcome=\"failed\"}"] {
            assert!(text.contains(&format!("\nslack_access_{reload} 0\n")), "an alert sees the first failure: {text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn what_happened_is_found_in_the_text() {
        let metrics = Metrics::new();
        let handle = metrics.clone();
        handle.request_observed(RequestState::Pending);
        handle.request_unrouted();
        handle.delivery(Operation::Post, Outcome::Ok);
        handle.delivery(Operation::Post, Outcome::Ok);
        handle.delivery(Operation::Reaction, Outcome::Refused);
        handle.delivery_latency(Duration::from_millis(70));
        handle.undelivered(3, 1, Some(Duration::from_secs(90)));
        handle.slack_call("chat.postMessage", "not_in_channel");
        handle.slack_rate_limited(Duration::from_secs(30));
        handle.teleport_connected(true);
        handle.teleport_event(UNIX_EPOCH + Duration::from_secs(5));
        handle.resynced(UNIX_EPOCH + Duration::from_secs(7), 2);
        handle.identity_expiry(UNIX_EPOCH + Duration::from_secs(9));
        handle.identity_reload(Reload::Failed);
        handle.joined(Join::Refused);
        handle.token_reload(Reload::Ok);
        handle.plugin_data_conflict();
        let ledger = handle.ledger();
        ledger.never_announced(Untold::Slack);
        ledger.outcome_unknown();
        ledger.found();
        ledger.sent_again(Searched::No);
        ledger.double_found();
        ledger.stray_removed();
        ledger.never_updated();
        ledger.shown(Duration::from_mins(1));
        ledger.shown(Duration::from_secs(61));
        ledger.lost();
        ledger.swept(Swept::Removed);
        handle.review("approve", "recorded", Duration::from_millis(70));
        handle.review_untold();
        handle.review_configured(true);
        handle.review_connected(true);
        handle.review_other_connections(2);
        let text = metrics.encode();
        for line in [
            "requests_observed_total{state=\"pending\"} 1",
            "requests_unrouted_total 1",
            "deliveries_total{operation=\"post\",outcome=\"ok\"} 2",
            "deliveries_total{operation=\"reaction\",outcome=\"refused\"} 1",
            "delivery_latency_seconds_bucket{le=\"0.1\"} 1",
            "delivery_latency_seconds_count 1",
            "deliveries_pending 3",
            "deliveries_failing 1",
            "oldest_undelivered_seconds 90.0",
            "slack_calls_total{method=\"chat.postMessage\",code=\"not_in_channel\"} 1",
            "slack_rate_limited_total 1",
            "slack_retry_after_seconds_total 30.0",
            "teleport_connected 1",
            "teleport_watch_last_event_timestamp_seconds 5.0",
            "teleport_last_resync_timestamp_seconds 7.0",
            "resyncs_total 1",
            "requests_recovered_by_resync_total 2",
            "identity_expiry_timestamp_seconds 9.0",
            "identity_reloads_total{outcome=\"failed\"} 1",
            "teleport_joins_total{outcome=\"ok\"} 0",
            "teleport_joins_total{outcome=\"refused\"} 1",
            "token_reloads_total{outcome=\"ok\"} 1",
            "plugin_data_conflicts_total 1",
            "requests_never_announced_total{reason=\"slack\"} 1",
            "requests_never_announced_total{reason=\"waiting\"} 0",
            "outcomes_unknown_total 1",
            "outcomes_found_total 1",
            "sent_again_total{searched=\"no\"} 1",
            "doubles_found_total 1",
            "strays_removed_total 1",
            "messages_never_updated_total 1",
            "messages_shown_late_total 1",
            "messages_lost_total 1",
            "messages_swept_total{what=\"removed\"} 1",
            "reviews_total{decision=\"approve\",outcome=\"recorded\"} 1",
            "review_latency_seconds_count 1",
            "reviews_untold_total 1",
            "review_configured 1",
            "review_connected 1",
            "review_other_connections 2",
        ] {
            assert!(text.contains(&format!("\nslack_access_{line}\n")), "{line}\n{text}");
        }
    }
}
