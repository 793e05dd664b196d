//! The worker's own view of its health, in one place: what its object's status tells people.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use crate::crd::condition::Finding;
use crate::slack::api::Account;
use crate::teleport::client::Server;
use crate::teleport::dial::Route;
use crate::teleport::identity::Identity;
use crate::worker::health::undelivered::Summary;
use crate::worker::recipient_check::Reach;

/// Facts about the worker's health.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The identity in use.
    pub identity: Option<IdentityReport>,
    /// There is no identity, or a newer one cannot be used.
    pub identity_problem: Option<Finding>,
    /// The cluster, while connected.
    pub teleport: Option<TeleportReport>,
    /// Why there is no connection, or why nothing can be listed.
    pub teleport_problem: Option<Finding>,
    /// Another object or program uses the same plugin name.
    pub name_shared: Option<Finding>,
    /// The workspace, once the token has worked.
    pub slack: Option<Account>,
    /// What stands between the token and Slack.
    pub slack_problem: Option<Finding>,
    /// Whether the configured recipients can be reached; none before they were looked for.
    pub recipients: Option<BTreeMap<String, Reach>>,
    /// Deliveries.
    pub delivery: Summary,
    /// Messages that have been waiting for too long.
    pub delayed: Option<Delayed>,
    /// Everything was listed once.
    pub listed: bool,
    /// Requests that wait for a decision.
    pub open_requests: usize,
    /// Reviews in Slack; none where they are off.
    pub review: Option<ReviewReport>,
}

/// How reviews in Slack are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReviewReport {
    /// Whether Teleport takes them.
    pub enabled: Probed,
    /// Whether clicks arrive.
    pub connected: Probed,
}

/// What was found out about a part: nothing yet, what works, or what does not.
pub type Probed = Option<Result<String, Finding>>;

/// The identity in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityReport {
    /// Teleport user name.
    pub user: String,
    /// Begin of validity.
    pub valid_from: Timestamp,
    /// End of validity.
    pub expires: Timestamp,
    /// It is the fruit of a join, and is renewed by another.
    pub joined: bool,
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeleportReport {
    /// Cluster name.
    pub cluster: String,
    /// Release.
    pub version: String,
    /// How it is reached, for people.
    pub route: String,
}

/// Messages that have been waiting for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delayed {
    /// How many messages wait.
    pub messages: usize,
    /// Since when the oldest of them waits.
    pub since: Timestamp,
}

/// A message that waits for longer than this is delayed, whatever the cause.
pub const DELAYED_AFTER: SignedDuration = SignedDuration::from_secs(60);

impl Delayed {
    /// What is delayed at `now`.
    #[must_use]
    pub fn find(summary: &Summary, now: Timestamp) -> Option<Self> {
        // What a requester writes never decides about the worker's health.
        let since = summary.oldest_configured.filter(|since| now.duration_since(*since) >= DELAYED_AFTER)?;
        Some(Self { messages: summary.configured, since })
    }
}

/// Collects the report. Clones share it.
#[derive(Clone)]
pub struct Reporter(Arc<watch::Sender<Report>>);

impl Default for Reporter {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Report::default())))
    }
}

impl Reporter {
    /// Tells when the report changes.
    pub fn subscribe(&self) -> watch::Receiver<Report> {
        self.0.subscribe()
    }

    /// Changes the report; nobody is told of a change that changes nothing.
    pub fn change(&self, change: impl FnOnce(&mut Report)) {
        self.0.send_if_modified(|report| {
            let before = report.clone();
            change(report);
            *report != before
        });
    }

    /// An identity is in use.
    pub fn identity(&self, identity: &Identity, joined: bool) {
        let identity = IdentityReport {
            user: identity.user().to_owned(),
            valid_from: identity.not_before(),
            expires: identity.not_after(),
            joined,
        };
        self.change(|report| {
            report.identity = Some(identity);
            report.identity_problem = None;
        });
    }

    /// There is no identity, or a new one that cannot be used.
    pub fn identity_problem(&self, problem: Finding) {
        self.change(|report| report.identity_problem = Some(problem));
    }

    /// Teleport answers.
    pub fn teleport_connected(&self, server: &Server, route: &Route) {
        let teleport = TeleportReport {
            cluster: server.cluster.clone(),
            version: server.version.clone(),
            route: route.to_string(),
        };
        self.change(|report| {
            report.teleport = Some(teleport);
            report.teleport_problem = None;
        });
    }

    /// Teleport does not answer, or not what is needed.
    pub fn teleport_problem(&self, problem: Finding) {
        self.change(|report| report.teleport_problem = Some(problem));
    }

    /// Teleport takes the identity again.
    pub fn teleport_recovered(&self) {
        self.change(|report| report.teleport_problem = None);
    }

    /// What stands against the identity now.
    pub fn identity_problem_now(&self) -> String {
        self.0.borrow().identity_problem.as_ref().map(|problem| problem.message.clone()).unwrap_or_default()
    }

    /// Everything was listed.
    pub fn listed(&self) {
        self.change(|report| {
            report.teleport_problem = None;
            report.listed = true;
        });
    }

    /// Something was found out about reviews in Slack.
    pub fn review(&self, change: impl FnOnce(&mut ReviewReport)) {
        self.change(|report| change(report.review.get_or_insert_default()));
    }

    /// Reviews in Slack are off.
    pub fn no_review(&self) {
        self.change(|report| report.review = None);
    }

    /// The token works.
    pub fn slack_connected(&self, account: &Account) {
        let account = account.clone();
        self.change(|report| {
            report.slack = Some(account);
            report.slack_problem = None;
        });
    }

    /// There is no token, it does not work, or Slack cannot be reached.
    pub fn slack_problem(&self, problem: Finding) {
        self.change(|report| report.slack_problem = Some(problem));
    }
}
