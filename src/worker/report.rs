//! The worker's own view of its health, in one place: for the log of a running process and the status of its object.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

use super::board::Summary;
use crate::{
    slack::{client::Account, error::Error as SlackError},
    teleport::{client::Server, dial::Route, identity::Identity},
};

/// How it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The identity in use.
    pub identity: Option<IdentityReport>,
    /// A newer identity was found and cannot be used, for this reason; or there is none at all.
    pub identity_problem: Option<String>,
    /// The cluster, while connected.
    pub teleport: Option<TeleportReport>,
    /// Why there is no connection, or why nothing can be listed.
    pub teleport_problem: Option<String>,
    /// The workspace, once the token has worked.
    pub slack: Option<Account>,
    /// What stands between the token and Slack, and what to do.
    pub slack_problem: Option<SlackProblem>,
    /// Deliveries.
    pub delivery: Summary,
    /// Everything has been listed at least once.
    pub listed: bool,
}

/// The identity in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityReport {
    /// Teleport user name.
    pub user: String,
    /// End of validity.
    pub expires: Timestamp,
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

/// Why Slack does not take the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlackProblem {
    /// Slack's error string, or one of our own.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// Collects the report.
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

    fn change(&self, change: impl FnOnce(&mut Report)) {
        self.0.send_if_modified(|report| {
            let before = report.clone();
            change(report);
            *report != before
        });
    }

    /// An identity is in use.
    pub fn identity(&self, identity: &Identity) {
        let (user, expires) = (identity.user().to_owned(), identity.not_after());
        self.change(|report| {
            report.identity = Some(IdentityReport { user, expires });
            report.identity_problem = None;
        });
    }

    /// There is no identity, or a new one that cannot be used.
    pub fn identity_problem(&self, problem: &str) {
        self.change(|report| report.identity_problem = Some(problem.to_owned()));
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
    pub fn teleport_problem(&self, problem: &str) {
        self.change(|report| {
            report.teleport = None;
            report.teleport_problem = Some(problem.to_owned());
        });
    }

    /// Everything was listed.
    pub fn listed(&self) {
        self.change(|report| {
            report.listed = true;
            report.teleport_problem = None;
        });
    }

    /// The token works.
    pub fn slack_connected(&self, account: &Account) {
        let account = account.clone();
        self.change(|report| {
            report.slack = Some(account);
            report.slack_problem = None;
        });
    }

    /// The token does not work, or Slack cannot be reached.
    pub fn slack_problem(&self, error: &SlackError) {
        let problem = SlackProblem { code: error.code.clone(), message: error.to_string(), remedy: error.remedy() };
        self.change(|report| report.slack_problem = Some(problem));
    }

    /// Deliveries have changed.
    pub fn delivery(&self, summary: Summary) {
        self.change(|report| report.delivery = summary);
    }
}
