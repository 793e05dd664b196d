//! What the status says, from the worker's own view of its health: pure but for the clock.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::crd::reason::worker as reason;
use crate::crd::status::{DeliveryStatus, RecipientState, RecipientStatus, SlackStatus, TeleportStatus};
use crate::worker::health::report::{IdentityReport, Report, Trouble};
use crate::worker::health::status::{Check, SOUGHT, WorkerReport};
use crate::worker::recipient_check::Reach;

/// What the status says now.
pub(crate) fn view(report: &Report) -> WorkerReport {
    view_at(report, Timestamp::now())
}

fn view_at(report: &Report, now: Timestamp) -> WorkerReport {
    WorkerReport {
        identity: identity(report, now),
        teleport_connected: teleport_connected(report),
        slack_connected: slack_connected(report),
        teleport: teleport(report),
        slack: slack(report),
        recipients: recipients(report),
        delivery: delivery(report),
    }
}

fn ok(message: String) -> Check {
    Check::Ok { reason: reason::OK, message }
}

fn failed(trouble: &Trouble) -> Check {
    Check::Failed { reason: trouble.reason, message: trouble.message.clone() }
}

fn identity(report: &Report, now: Timestamp) -> Check {
    let Some(IdentityReport { user, valid_from, expires, joined }) = &report.identity else {
        return report.identity_trouble.as_ref().map_or_else(Check::default, failed);
    };
    if *joined && let Some(trouble) = &report.identity_trouble {
        return renewal(user, *expires, trouble, now);
    }
    if *expires <= now {
        let message = format!(
            "the identity of {user} expired at {expires}: sign a new one (tctl auth sign --user={user}) and update the Secret"
        );
        return Check::Failed { reason: reason::IDENTITY_EXPIRED, message };
    }
    if let Some(Trouble { reason, message }) = &report.identity_trouble {
        let message =
            format!("the new identity cannot be used, the old one of {user} serves until {expires}: {message}");
        return Check::Failed { reason, message };
    }
    // With tbot's rhythm a third of the life is left when it is renewed.
    let life = valid_from.duration_until(*expires);
    if now.duration_until(*expires) < life / 10 {
        let message = format!("identity of {user}; it ends soon, at {expires}, and its renewal is overdue");
        return Check::Ok { reason: reason::IDENTITY_EXPIRES_SOON, message };
    }
    ok(format!("identity of {user}, valid until {expires}"))
}

/// What it means that joining again fails: nothing yet, as long as the last certificate serves. A lock concerns that, too.
fn renewal(user: &str, expires: Timestamp, Trouble { reason, message }: &Trouble, now: Timestamp) -> Check {
    if expires <= now {
        let message = format!("the identity of {user} expired at {expires}, and joining again fails: {message}");
        return Check::Failed { reason, message };
    }
    if *reason == reason::IDENTITY_LOCKED {
        return Check::Failed { reason, message: message.clone() };
    }
    let message =
        format!("the identity of {user} serves until {expires}, but joining again fails ({reason}): {message}");
    Check::Ok { reason: reason::RENEWAL_FAILING, message }
}

fn teleport_connected(report: &Report) -> Check {
    match (&report.teleport_trouble, &report.teleport) {
        (Some(trouble), _) => failed(trouble),
        (None, Some(teleport)) => {
            ok(format!("connected to {} ({}) {}", teleport.cluster, teleport.version, teleport.route))
        }
        (None, None) if report.identity.is_none() => Check::Pending("an identity is needed first".to_owned()),
        (None, None) => Check::default(),
    }
}

fn slack_connected(report: &Report) -> Check {
    match (&report.slack_trouble, &report.slack) {
        (Some(trouble), _) => failed(trouble),
        (None, Some(account)) => ok(format!("connected to {} as {}", account.team, account.user)),
        (None, None) => Check::default(),
    }
}

fn teleport(report: &Report) -> TeleportStatus {
    let teleport = report.teleport.as_ref();
    TeleportStatus {
        cluster: teleport.map(|teleport| teleport.cluster.clone()),
        server_version: teleport.map(|teleport| teleport.version.clone()),
        route: teleport.map(|teleport| teleport.route.clone()),
        identity_user: report.identity.as_ref().map(|identity| identity.user.clone()),
        identity_expires_at: report.identity.as_ref().map(|identity| Time(identity.expires)),
    }
}

fn slack(report: &Report) -> SlackStatus {
    let Some(account) = &report.slack else { return SlackStatus::default() };
    SlackStatus {
        team: Some(account.team.clone()),
        team_id: Some(account.team_id.clone()),
        enterprise_id: account.enterprise_id.clone(),
        bot_user: Some(account.user.clone()),
    }
}

/// Every configured recipient, and any other (a suggested reviewer) whom a message did not reach.
fn recipients(report: &Report) -> Vec<RecipientStatus> {
    let Some(configured) = &report.recipients else { return Vec::new() };
    let problems: Vec<_> = report.delivery.problems.iter().filter(|(_, problem)| problem.of_recipient).collect();
    let problem =
        |name: &str| problems.iter().find(|(other, _)| *other == name).map(|(_, problem)| problem.remedy.clone());
    let mut recipients: Vec<_> = configured
        .iter()
        .map(|(name, reach)| {
            let (id, state, message) = match reach {
                Reach::Reachable { id } => (Some(id.clone()), RecipientState::Resolved, None),
                Reach::Unreachable { id, remedy } => (id.clone(), RecipientState::Failed, Some(remedy.clone())),
                Reach::Unknown => (None, RecipientState::Unknown, None),
                Reach::Sought => (None, RecipientState::Unknown, Some(SOUGHT.to_owned())),
            };
            match problem(name) {
                Some(remedy) => failed_recipient(name, id, remedy),
                None => RecipientStatus { name: name.clone(), id, state, message },
            }
        })
        .collect();
    let others = problems.iter().filter(|(name, _)| !configured.contains_key(*name));
    recipients.extend(others.map(|(name, problem)| failed_recipient(name, None, problem.remedy.clone())));
    recipients
}

fn failed_recipient(name: &str, id: Option<String>, remedy: String) -> RecipientStatus {
    RecipientStatus { name: name.to_owned(), id, state: RecipientState::Failed, message: Some(remedy) }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::slack::api::Account;
    use crate::worker::health::report::TeleportReport;
    use crate::worker::health::status::view::*;
    use crate::worker::health::undelivered::Problem;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn working() -> Report {
        Report {
            identity: Some(IdentityReport {
                user: "access-plugin".to_owned(),
                valid_from: at(0),
                expires: at(3600),
                joined: false,
            }),
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

    fn reason_of(check: &Check) -> (&'static str, &str) {
        match check {
            Check::Pending(message) => ("Pending", message),
            Check::Ok { reason, message } | Check::Failed { reason, message } => (reason, message),
        }
    }

    #[test]
    fn everything_that_works_is_said_to_work() {
        let said = view_at(&working(), at(10));
        for check in [&said.identity, &said.teleport_connected, &said.slack_connected] {
            assert!(matches!(check, Check::Ok { reason: reason::OK, .. }), "{check:?}");
        }
        assert_eq!(said.recipients[0].state, RecipientState::Resolved);
    }

    #[test]
    fn nothing_is_claimed_before_it_was_tried() {
        let said = view_at(&Report::default(), at(10));
        for check in [&said.identity, &said.teleport_connected, &said.slack_connected] {
            assert!(matches!(check, Check::Pending(_)), "{check:?}");
        }
        assert!(said.recipients.is_empty());
    }

    #[test]
    fn an_identity_expires_without_anybody_reporting_it() {
        let said = view_at(&working(), at(3600));
        let (why, message) = reason_of(&said.identity);
        assert_eq!(why, reason::IDENTITY_EXPIRED);
        assert!(message.contains("tctl auth sign --user=access-plugin"), "{message}");
        assert_eq!(reason_of(&view_at(&working(), at(3300)).identity).0, reason::IDENTITY_EXPIRES_SOON);
    }

    #[test]
    fn a_broken_new_identity_is_reported_together_with_the_old_one_that_still_serves() {
        let trouble = Trouble::new(reason::IDENTITY_MALFORMED, "no PEM block in it");
        let said = view_at(&Report { identity_trouble: Some(trouble), ..working() }, at(10));
        let (why, message) = reason_of(&said.identity);
        assert_eq!(why, reason::IDENTITY_MALFORMED);
        assert!(message.contains("no PEM block") && message.contains("1970-01-01T01:00:00Z"), "{message}");
    }

    #[test]
    fn a_renewal_that_fails_costs_nothing_until_the_certificate_ends() {
        let mut report = working();
        let trouble = |reason| Some(Trouble::new(reason, "add an allow rule"));
        report.identity.as_mut().unwrap().joined = true;
        report.identity_trouble = trouble(reason::JOIN_NOT_ALLOWED);
        let serving = view_at(&report, at(10)).identity;
        assert!(matches!(serving, Check::Ok { reason: reason::RENEWAL_FAILING, .. }), "{serving:?}");
        assert!(
            reason_of(&serving).1.contains("JoinNotAllowed") && reason_of(&serving).1.contains("add an allow rule")
        );
        let ended = view_at(&report, at(3600)).identity;
        assert!(matches!(ended, Check::Failed { reason: reason::JOIN_NOT_ALLOWED, .. }), "{ended:?}");
        report.identity_trouble = trouble(reason::IDENTITY_LOCKED);
        let locked = view_at(&report, at(10)).identity;
        assert!(matches!(locked, Check::Failed { reason: reason::IDENTITY_LOCKED, .. }), "{locked:?}");
    }

    #[test]
    fn a_recipient_that_a_message_did_not_reach_is_named_with_its_remedy() {
        let problem = Problem {
            code: "not_in_channel".to_owned(),
            remedy: "invite @teleport to #dba".to_owned(),
            of_recipient: true,
        };
        let mut report = working();
        report.delivery.problems.insert("#dba".to_owned(), problem.clone());
        report.delivery.problems.insert("bob@example.com".to_owned(), problem);
        let said = view_at(&report, at(10));
        let states: Vec<_> =
            said.recipients.iter().map(|one| (one.name.as_str(), one.state, one.id.as_deref())).collect();
        assert_eq!(
            states,
            [("#dba", RecipientState::Failed, Some("C1")), ("bob@example.com", RecipientState::Failed, None)]
        );
    }
}
