//! Pure: a report → the fields of the status that a worker owns.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::crd::SlackAccessPluginStatus;
use crate::crd::reason::worker as reason;
use crate::crd::status::{
    IDENTITY_VALID, RECIPIENTS_RESOLVED, REVIEW_CONNECTED, REVIEW_ENABLED, RecipientState, RecipientStatus,
    SLACK_CONNECTED, TELEPORT_CONNECTED, WorkerStatus,
};
use crate::worker::health::status::{Check, Me, WorkerReport, is_sought};

/// This many failed recipients are named in the condition; all of them are in the list.
const NAMED: usize = 3;
/// Longer messages are cut: a table has to stay readable.
const LONGEST_MESSAGE: usize = 1024;

/// The status with the worker's fields only: those of the controller stay as they are.
pub(super) fn patch(
    report: &WorkerReport,
    me: &Me,
    seen: &SlackAccessPluginStatus,
    now: &Time,
) -> SlackAccessPluginStatus {
    let WorkerReport { identity, teleport_connected, slack_connected, teleport, slack, recipients, delivery, review } =
        report;
    let resolved = of_recipients(recipients, slack_connected);
    let mut checks = vec![
        (IDENTITY_VALID, identity),
        (TELEPORT_CONNECTED, teleport_connected),
        (SLACK_CONNECTED, slack_connected),
        (RECIPIENTS_RESOLVED, &resolved),
    ];
    if let Some((enabled, connected)) = review {
        checks.extend([(REVIEW_ENABLED, enabled), (REVIEW_CONNECTED, connected)]);
    }
    SlackAccessPluginStatus {
        conditions: checks.into_iter().map(|(type_, check)| condition(type_, check, seen, now)).collect(),
        teleport: Some(teleport.clone()),
        slack: Some(slack.clone()),
        recipients: recipients.clone(),
        delivery: Some(delivery.clone()),
        worker: Some(WorkerStatus {
            pod: me.pod.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config_hash: me.revision.clone(),
            last_report_time: Some(now.clone()),
        }),
        observed_generation: None,
        workload: None,
    }
}

fn condition(type_: &str, check: &Check, seen: &SlackAccessPluginStatus, now: &Time) -> Condition {
    let (status, why, message) = match check {
        Check::Pending(message) => ("Unknown", reason::PENDING, message),
        Check::Ok { reason, message } => ("True", *reason, message),
        Check::Failed { reason, message } => ("False", *reason, message),
    };
    let before = seen.condition(type_).filter(|before| before.status == status);
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: why.to_owned(),
        message: message.chars().take(LONGEST_MESSAGE).collect(),
        // The configuration that the controller wants is the one we run: others do not report.
        observed_generation: seen.observed_generation,
        last_transition_time: before.map_or_else(|| now.clone(), |before| before.last_transition_time.clone()),
    }
}

/// Whether every recipient can be reached.
fn of_recipients(recipients: &[RecipientStatus], slack: &Check) -> Check {
    let failed: Vec<_> =
        recipients.iter().filter(|recipient| recipient.state == RecipientState::Failed).map(problem).collect();
    if !failed.is_empty() {
        let named = failed.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join("; ");
        let more = failed.len().saturating_sub(NAMED);
        let message = if more == 0 { named } else { format!("{named}; and {more} more, see .status.recipients") };
        return Check::Failed { reason: reason::RECIPIENT_FAILED, message };
    }
    let sought = recipients.iter().filter(|recipient| is_sought(recipient)).count();
    if sought > 0 {
        return Check::Pending(format!("{sought} of {} recipients are being looked up", recipients.len()));
    }
    let unknown = recipients.iter().filter(|recipient| recipient.state == RecipientState::Unknown).count();
    let found = recipients.len() - unknown;
    match (found, unknown) {
        (0, 0) => {}
        (_, 0) => return Check::Ok { reason: reason::OK, message: format!("{found} recipients can be reached") },
        // The bot may post where it may not look: the scopes of Teleport's guide are enough.
        _ => {
            let message = format!(
                "{found} recipients can be reached, {unknown} cannot be checked before the first message (the scopes channels:read and groups:read would permit it)"
            );
            return Check::Ok { reason: reason::OK, message };
        }
    }
    Check::Pending(match slack {
        Check::Ok { .. } => "recipients are being looked up".to_owned(),
        Check::Pending(_) | Check::Failed { .. } => "recipients are looked up once Slack is connected".to_owned(),
    })
}

fn problem(recipient: &RecipientStatus) -> String {
    let name = &recipient.name;
    format!("{name}: {}", recipient.message.as_deref().unwrap_or("cannot be reached"))
}

#[cfg(test)]
mod tests {
    use crate::worker::health::status::patch::*;

    fn time(text: &str) -> Time {
        Time(text.parse().unwrap())
    }

    fn ok() -> Check {
        Check::Ok { reason: reason::OK, message: String::new() }
    }

    fn recipient(name: &str, state: RecipientState, message: Option<&str>) -> RecipientStatus {
        RecipientStatus { name: name.into(), id: None, state, message: message.map(Into::into) }
    }

    fn resolved(recipients: Vec<RecipientStatus>) -> Condition {
        let report = WorkerReport { slack_connected: ok(), recipients, ..WorkerReport::default() };
        let seen = SlackAccessPluginStatus::default();
        let status = patch(&report, &Me::default(), &seen, &time("2026-01-01T00:00:00Z"));
        status.condition(RECIPIENTS_RESOLVED).unwrap().clone()
    }

    #[test]
    fn nothing_of_the_controllers_is_written() {
        let seen = SlackAccessPluginStatus { observed_generation: Some(7), ..SlackAccessPluginStatus::default() };
        let status = patch(&WorkerReport::default(), &Me::default(), &seen, &time("2026-01-01T00:00:00Z"));
        assert_eq!((status.observed_generation, status.workload), (None, None));
        let types: Vec<_> = status.conditions.iter().map(|condition| condition.type_.as_str()).collect();
        assert_eq!(types, [IDENTITY_VALID, TELEPORT_CONNECTED, SLACK_CONNECTED, RECIPIENTS_RESOLVED]);
        assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(7)));
    }

    #[test]
    fn reviews_have_conditions_only_where_they_are_on() {
        let report = WorkerReport { review: Some((ok(), Check::default())), ..WorkerReport::default() };
        let seen = SlackAccessPluginStatus::default();
        let status = patch(&report, &Me::default(), &seen, &time("2026-01-01T00:00:00Z"));
        assert_eq!(status.condition(REVIEW_ENABLED).unwrap().status, "True");
        assert_eq!(status.condition(REVIEW_CONNECTED).unwrap().status, "Unknown");
    }

    #[test]
    fn a_failed_recipient_is_said_with_its_remedy() {
        let condition = resolved(vec![
            recipient("access-requests", RecipientState::Resolved, None),
            recipient("dba-oncall", RecipientState::Failed, Some("invite @teleport to #dba-oncall")),
        ]);
        assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("False", reason::RECIPIENT_FAILED));
        assert_eq!(condition.message, "dba-oncall: invite @teleport to #dba-oncall");
    }

    #[test]
    fn many_failed_recipients_are_counted() {
        let failed = |name: &str| recipient(name, RecipientState::Failed, Some("no such channel"));
        let condition = resolved(["a", "b", "c", "d", "e"].into_iter().map(failed).collect());
        assert_eq!(
            condition.message,
            "a: no such channel; b: no such channel; c: no such channel; and 2 more, see .status.recipients"
        );
    }

    #[test]
    fn recipients_are_unknown_until_they_were_looked_for_and_need_not_be_visible() {
        assert_eq!(resolved(vec![]).status, "Unknown");
        assert_eq!(resolved(vec![recipient("a", RecipientState::Unknown, None)]).status, "True");
        assert_eq!(resolved(vec![recipient("a", RecipientState::Resolved, None)]).status, "True");
    }

    #[test]
    fn transition_times_move_only_when_a_status_flips() {
        let me = Me::default();
        let working = WorkerReport { identity: ok(), ..WorkerReport::default() };
        let first = patch(&working, &me, &SlackAccessPluginStatus::default(), &time("2026-01-01T00:00:00Z"));
        let second = patch(&working, &me, &first, &time("2026-01-02T00:00:00Z"));
        assert_eq!(
            first.condition(IDENTITY_VALID).unwrap().last_transition_time,
            second.condition(IDENTITY_VALID).unwrap().last_transition_time
        );
        let broken = WorkerReport {
            identity: Check::Failed { reason: reason::IDENTITY_EXPIRED, message: "expired".into() },
            ..WorkerReport::default()
        };
        let third = patch(&broken, &me, &second, &time("2026-01-03T00:00:00Z"));
        assert_eq!(third.condition(IDENTITY_VALID).unwrap().last_transition_time, time("2026-01-03T00:00:00Z"));
        assert_ne!(second.worker.unwrap().last_report_time, third.worker.unwrap().last_report_time);
    }
}
