//! Pure: a report → the fields of the status that a worker owns.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::crd::SlackAccessPluginStatus;
use crate::crd::condition::condition;
use crate::crd::status::WorkerStatus;
use crate::worker::health::conditions::WorkerReport;
use crate::worker::health::status::Me;

/// The status with the worker's fields only: those of the controller stay as they are.
pub(super) fn patch(
    report: &WorkerReport,
    me: &Me,
    seen: &SlackAccessPluginStatus,
    now: &Time,
) -> SlackAccessPluginStatus {
    let WorkerReport { conditions, teleport, slack, recipients, delivery } = report;
    let conditions = conditions.iter().map(|(type_, check)| {
        let why = (check.finding.reason.as_str(), check.finding.message.as_str());
        // The configuration that the controller wants is the one we run: others do not report.
        condition(type_, check.status, why, seen.observed_generation, seen.condition(type_), now)
    });
    SlackAccessPluginStatus {
        conditions: conditions.collect(),
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

#[cfg(test)]
mod tests {
    use crate::crd::condition::Finding;
    use crate::crd::reason::Reason;
    use crate::crd::status::IDENTITY_VALID;
    use crate::worker::health::conditions::Check;
    use crate::worker::health::status::patch::*;

    fn time(text: &str) -> Time {
        Time(text.parse().unwrap())
    }

    fn report(check: Check) -> WorkerReport {
        WorkerReport { conditions: vec![(IDENTITY_VALID, check)], ..WorkerReport::default() }
    }

    #[test]
    fn nothing_of_the_controllers_is_written() {
        let seen = SlackAccessPluginStatus { observed_generation: Some(7), ..SlackAccessPluginStatus::default() };
        let status = patch(&report(Check::ok("")), &Me::default(), &seen, &time("2026-01-01T00:00:00Z"));
        assert_eq!((status.observed_generation, status.workload), (None, None));
        let conditions: Vec<_> = status
            .conditions
            .iter()
            .map(|condition| (condition.type_.as_str(), condition.observed_generation))
            .collect();
        assert_eq!(conditions, [(IDENTITY_VALID, Some(7))]);
    }

    #[test]
    fn transition_times_move_only_when_a_status_flips() {
        let me = Me::default();
        let working = report(Check::ok(""));
        let first = patch(&working, &me, &SlackAccessPluginStatus::default(), &time("2026-01-01T00:00:00Z"));
        let second = patch(&working, &me, &first, &time("2026-01-02T00:00:00Z"));
        assert_eq!(
            first.condition(IDENTITY_VALID).unwrap().last_transition_time,
            second.condition(IDENTITY_VALID).unwrap().last_transition_time
        );
        let broken = report(Check::failed(Finding::new(Reason::IdentityExpired, "expired")));
        let third = patch(&broken, &me, &second, &time("2026-01-03T00:00:00Z"));
        assert_eq!(third.condition(IDENTITY_VALID).unwrap().last_transition_time, time("2026-01-03T00:00:00Z"));
        assert_ne!(second.worker.unwrap().last_report_time, third.worker.unwrap().last_report_time);
    }
}
