//! The worker's part of its object's status, from its report: pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{
    reach::Reach,
    report::{IdentityReport, Report, Trouble},
};
use crate::crd::{
    reason::worker as reason,
    status::{
        DeliveryStatus, IDENTITY_VALID, RECIPIENTS_RESOLVED, RecipientState, RecipientStatus, SLACK_CONNECTED,
        SlackAccessPluginStatus, SlackStatus, TELEPORT_CONNECTED, TeleportStatus, WorkerStatus,
    },
};

/// Who reports.
#[derive(Clone, Debug)]
pub(super) struct Author {
    /// The pod's name.
    pub pod: String,
    /// See [`WorkerStatus::config_hash`].
    pub config_hash: String,
}

/// A condition before it is compared with what was said before.
struct Finding {
    status: &'static str,
    reason: &'static str,
    message: String,
}

impl Finding {
    fn ok(message: String) -> Self {
        Self { status: "True", reason: reason::OK, message }
    }

    fn failed(trouble: &Trouble) -> Self {
        Self { status: "False", reason: trouble.reason, message: trouble.message.clone() }
    }

    fn pending(message: &str) -> Self {
        Self { status: "Unknown", reason: reason::PENDING, message: message.to_owned() }
    }
}

/// Everything that the worker writes. Transition times are kept from `previous` where a condition did not flip.
pub(super) fn status(
    report: &Report,
    author: &Author,
    generation: Option<i64>,
    previous: &SlackAccessPluginStatus,
    now: Timestamp,
) -> SlackAccessPluginStatus {
    let recipients = recipients(report);
    let findings = [
        (IDENTITY_VALID, identity(report, now)),
        (TELEPORT_CONNECTED, teleport(report)),
        (SLACK_CONNECTED, slack(report)),
        (RECIPIENTS_RESOLVED, resolved(report, &recipients)),
    ];
    let conditions = findings.map(|(type_, Finding { status, reason, message })| {
        let before = previous.condition(type_).filter(|before| before.status == status);
        Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message,
            observed_generation: generation,
            last_transition_time: before.map_or(Time(now), |before| before.last_transition_time.clone()),
        }
    });
    SlackAccessPluginStatus {
        conditions: conditions.into(),
        teleport: Some(teleport_status(report)),
        slack: report.slack.as_ref().map(|account| SlackStatus {
            team: Some(account.team.clone()),
            team_id: Some(account.team_id.clone()),
            enterprise_id: account.enterprise_id.clone(),
            bot_user: Some(account.user.clone()),
        }),
        recipients,
        delivery: Some(delivery(report)),
        worker: Some(WorkerStatus {
            pod: author.pod.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config_hash: author.config_hash.clone(),
            last_report_time: Some(Time(now)),
        }),
        ..SlackAccessPluginStatus::default()
    }
}

fn identity(report: &Report, now: Timestamp) -> Finding {
    let Some(identity) = &report.identity else {
        return report.identity_trouble.as_ref().map_or_else(|| Finding::pending("not read yet"), Finding::failed);
    };
    let IdentityReport { user, expires, .. } = identity;
    let until = moment(*expires);
    if *expires <= now {
        let message = format!(
            "the identity of {user} expired at {until}: sign a new one (tctl auth sign --user={user}) and update the Secret"
        );
        return Finding::failed(&Trouble { reason: reason::IDENTITY_EXPIRED, message });
    }
    match &report.identity_trouble {
        Some(Trouble { reason, message }) => {
            let message = format!("the new identity cannot be used, the old one of {user} is until {until}: {message}");
            Finding::failed(&Trouble { reason, message })
        }
        None => Finding::ok(format!("identity of {user}, valid until {until}")),
    }
}

fn teleport(report: &Report) -> Finding {
    match (&report.teleport_trouble, &report.teleport) {
        (Some(trouble), _) => Finding::failed(trouble),
        (None, Some(teleport)) => {
            Finding::ok(format!("connected to {} ({}) {}", teleport.cluster, teleport.version, teleport.route))
        }
        (None, None) => Finding::pending("not tried yet: an identity is needed first"),
    }
}

fn slack(report: &Report) -> Finding {
    match (&report.slack_trouble, &report.slack) {
        (Some(trouble), _) => Finding::failed(trouble),
        (None, Some(account)) => Finding::ok(format!("connected to {} as {}", account.team, account.user)),
        (None, None) => Finding::pending("not tried yet"),
    }
}

/// Every configured recipient, and those whom a message could not reach lately.
fn recipients(report: &Report) -> Vec<RecipientStatus> {
    let problems = &report.delivery.problems;
    let configured = report.recipients.iter().flatten();
    let mut recipients: Vec<_> = configured
        .map(|(name, reach)| {
            let (id, state, message) = match reach {
                Reach::Reachable { id } => (Some(id.clone()), RecipientState::Resolved, None),
                Reach::Unreachable { id, remedy } => (id.clone(), RecipientState::Failed, Some(remedy.clone())),
                Reach::Unknown => (None, RecipientState::Unknown, None),
            };
            match problems.get(name).filter(|problem| problem.of_recipient) {
                Some(problem) => RecipientStatus {
                    name: name.clone(),
                    id,
                    state: RecipientState::Failed,
                    message: Some(problem.remedy.clone()),
                },
                None => RecipientStatus { name: name.clone(), id, state, message },
            }
        })
        .collect();
    let others = problems.iter().filter(|(name, problem)| {
        problem.of_recipient && report.recipients.as_ref().is_none_or(|configured| !configured.contains_key(*name))
    });
    recipients.extend(others.map(|(name, problem)| RecipientStatus {
        name: name.clone(),
        id: None,
        state: RecipientState::Failed,
        message: Some(problem.remedy.clone()),
    }));
    recipients
}

fn resolved(report: &Report, recipients: &[RecipientStatus]) -> Finding {
    let failed: Vec<_> =
        recipients.iter().filter(|one| one.state == RecipientState::Failed).map(|one| describe(one)).collect();
    if let Some(first) = failed.first() {
        let more = match failed.len() {
            1 => String::new(),
            count => format!(" (and {} more, see status.recipients)", count - 1),
        };
        let message = format!("{first}{more}");
        return Finding::failed(&Trouble { reason: reason::RECIPIENT_FAILED, message });
    }
    match &report.recipients {
        None => Finding::pending("not looked for yet: a Slack token is needed first"),
        Some(_) => {
            let unknown = recipients.iter().filter(|one| one.state == RecipientState::Unknown).count();
            let checked = recipients.len() - unknown;
            Finding::ok(match unknown {
                0 => format!("{checked} of {checked} recipients found"),
                _ => format!("{checked} recipients found, {unknown} cannot be checked before the first message"),
            })
        }
    }
}

fn describe(recipient: &RecipientStatus) -> String {
    format!("{}: {}", recipient.name, recipient.message.as_deref().unwrap_or("cannot be reached"))
}

fn teleport_status(report: &Report) -> TeleportStatus {
    let teleport = report.teleport.as_ref();
    TeleportStatus {
        cluster: teleport.map(|teleport| teleport.cluster.clone()),
        server_version: teleport.map(|teleport| teleport.version.clone()),
        route: teleport.map(|teleport| teleport.route.clone()),
        identity_user: report.identity.as_ref().map(|identity| identity.user.clone()),
        identity_expires_at: report.identity.as_ref().map(|identity| Time(identity.expires)),
    }
}

fn delivery(report: &Report) -> DeliveryStatus {
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let summary = &report.delivery;
    DeliveryStatus {
        pending: count(report.open_requests),
        failing: count(summary.failing_requests),
        unrouted: count(summary.unrouted),
        last_unrouted: summary.last_unrouted.clone(),
        last_success_time: summary.last_success.map(Time),
        last_error: summary.problems.iter().next().map(|(name, problem)| format!("{name}: {}", problem.remedy)),
    }
}

/// To the second: nobody needs more, and a status must not change without news.
fn moment(at: Timestamp) -> Timestamp {
    at.round(jiff::Unit::Second).unwrap_or(at)
}

/// Whether two statuses say the same, but for when it was said.
pub(super) fn says_the_same(one: &SlackAccessPluginStatus, other: &SlackAccessPluginStatus) -> bool {
    let timeless = |status: &SlackAccessPluginStatus| {
        let mut status = status.clone();
        if let Some(worker) = &mut status.worker {
            worker.last_report_time = None;
        }
        for condition in &mut status.conditions {
            condition.last_transition_time = Time(Timestamp::UNIX_EPOCH);
        }
        status
    };
    timeless(one) == timeless(other)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        slack::client::Account,
        worker::{board::Problem, report::TeleportReport},
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn working() -> Report {
        Report {
            identity: Some(IdentityReport { user: "access-plugin".to_owned(), valid_from: at(0), expires: at(3600) }),
            teleport: Some(TeleportReport {
                cluster: "example".to_owned(),
                version: "18.0.0".to_owned(),
                route: "directly".to_owned(),
            }),
            slack: Some(Account { team: "Acme".to_owned(), user: "teleport".to_owned(), ..Account::default() }),
            recipients: Some(BTreeMap::from([("#dba".to_owned(), Reach::Reachable { id: "C1".to_owned() })])),
            ..Report::default()
        }
    }

    fn told(report: &Report, previous: &SlackAccessPluginStatus, now: i64) -> SlackAccessPluginStatus {
        let author = Author { pod: "slack-0".to_owned(), config_hash: "h".to_owned() };
        status(report, &author, Some(3), previous, at(now))
    }

    fn shown(status: &SlackAccessPluginStatus, type_: &str) -> (String, String, String) {
        let condition = status.condition(type_).unwrap();
        (condition.status.clone(), condition.reason.clone(), condition.message.clone())
    }

    #[test]
    fn everything_that_works_is_said_to_work() {
        let status = told(&working(), &SlackAccessPluginStatus::default(), 10);
        assert!(status.conditions.iter().all(|condition| condition.status == "True"), "{:?}", status.conditions);
        assert_eq!(status.conditions.len(), 4);
        assert_eq!(status.conditions[0].observed_generation, Some(3));
    }

    #[test]
    fn nothing_is_claimed_before_it_was_tried() {
        let status = told(&Report::default(), &SlackAccessPluginStatus::default(), 10);
        assert!(status.conditions.iter().all(|condition| condition.status == "Unknown"), "{:?}", status.conditions);
    }

    #[test]
    fn an_identity_expires_without_anybody_reporting_it() {
        let status = told(&working(), &SlackAccessPluginStatus::default(), 3600);
        let (state, why, message) = shown(&status, IDENTITY_VALID);
        assert_eq!((state.as_str(), why.as_str()), ("False", reason::IDENTITY_EXPIRED));
        assert!(message.contains("tctl auth sign --user=access-plugin"), "{message}");
    }

    #[test]
    fn a_broken_new_identity_is_reported_together_with_the_old_one_that_still_serves() {
        let trouble = Trouble::new(reason::IDENTITY_MALFORMED, "no PEM block in it");
        let status =
            told(&Report { identity_trouble: Some(trouble), ..working() }, &SlackAccessPluginStatus::default(), 10);
        let (state, why, message) = shown(&status, IDENTITY_VALID);
        assert_eq!((state.as_str(), why.as_str()), ("False", reason::IDENTITY_MALFORMED));
        assert!(message.contains("no PEM block") && message.contains("1970-01-01T01:00:00Z"), "{message}");
    }

    #[test]
    fn a_recipient_that_a_message_did_not_reach_is_named_with_its_remedy() {
        let problem = Problem {
            code: "not_in_channel".to_owned(),
            remedy: "invite @teleport to #dba".to_owned(),
            of_recipient: true,
        };
        let mut report = working();
        report.delivery.problems.insert("#dba".to_owned(), problem);
        let status = told(&report, &SlackAccessPluginStatus::default(), 10);
        let (state, _, message) = shown(&status, RECIPIENTS_RESOLVED);
        assert_eq!((state.as_str(), message.as_str()), ("False", "#dba: invite @teleport to #dba"));
        assert_eq!(status.recipients[0].state, RecipientState::Failed);
        assert_eq!(status.recipients[0].id.as_deref(), Some("C1"));
    }

    #[test]
    fn transition_times_move_only_when_a_condition_flips() {
        let first = told(&working(), &SlackAccessPluginStatus::default(), 10);
        let second = told(&working(), &first, 20);
        assert_eq!(second.conditions, first.conditions);
        assert!(says_the_same(&first, &second));
        let expired = told(&working(), &second, 4000);
        let moved: Vec<_> = expired.conditions.iter().map(|condition| condition.last_transition_time.0).collect();
        assert_eq!(moved, [at(4000), at(10), at(10), at(10)]);
        assert!(!says_the_same(&second, &expired));
    }
}
