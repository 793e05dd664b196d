//! Pure but for the clock: which of several workers reports.
//!
//! All workers of an object work; one of them speaks for all, so that the status does not go back and forth between their views.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::time::Instant;

use super::Me;
use crate::crd::SlackAccessPluginStatus;

/// A speaker that says nothing for this long is replaced. It speaks at least once a minute.
const PATIENCE: Duration = Duration::from_secs(90);

/// What was last heard of another worker, and when by our own clock: the clocks of two nodes need not agree.
#[derive(Debug, Default)]
pub(super) struct Turns {
    heard: Option<(Option<Time>, String, Instant)>,
}

impl Turns {
    /// Whether it is for us to report.
    pub(super) fn is_mine(&mut self, me: &Me, seen: &SlackAccessPluginStatus, now: Instant) -> bool {
        let wanted = seen.workload.as_ref().map(|workload| workload.config_hash.as_str());
        if wanted.is_some_and(|wanted| wanted != me.revision) && !me.revision.is_empty() {
            return false; // we are being replaced: the next worker knows better
        }
        let Some(speaker) = &seen.worker else { return true };
        if speaker.pod == me.pod || speaker.config_hash != me.revision {
            return true;
        }
        match &self.heard {
            Some((time, pod, since)) if *time == speaker.last_report_time && *pod == speaker.pod => {
                now.duration_since(*since) > PATIENCE
            }
            _ => {
                self.heard = Some((speaker.last_report_time.clone(), speaker.pod.clone(), now));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::status::{WorkerStatus, WorkloadStatus};

    fn me() -> Me {
        Me { pod: "a".into(), revision: "r2".into() }
    }

    fn status(wanted: &str, speaker: Option<(&str, &str, &str)>) -> SlackAccessPluginStatus {
        SlackAccessPluginStatus {
            workload: Some(WorkloadStatus { deployment: "d".into(), config_hash: wanted.into() }),
            worker: speaker.map(|(pod, revision, time)| WorkerStatus {
                pod: pod.into(),
                config_hash: revision.into(),
                last_report_time: Some(Time(time.parse().unwrap())),
                ..WorkerStatus::default()
            }),
            ..SlackAccessPluginStatus::default()
        }
    }

    #[test]
    fn the_first_worker_of_the_wanted_configuration_reports() {
        let now = Instant::now();
        assert!(Turns::default().is_mine(&me(), &status("r2", None), now));
        let old = status("r2", Some(("b", "r1", "2026-01-01T00:00:00Z")));
        assert!(Turns::default().is_mine(&me(), &old, now), "one of an old configuration holds nobody up");
    }

    #[test]
    fn a_worker_that_is_being_replaced_is_quiet() {
        let now = Instant::now();
        assert!(!Turns::default().is_mine(&me(), &status("r3", None), now));
        assert!(!Turns::default().is_mine(&me(), &status("r3", Some(("a", "r2", "2026-01-01T00:00:00Z"))), now));
    }

    #[test]
    fn another_worker_that_reports_is_left_to_it_until_it_falls_silent() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        let first = status("r2", Some(("b", "r2", "2026-01-01T00:00:00Z")));
        let second = status("r2", Some(("b", "r2", "2026-01-01T00:00:40Z")));
        assert!(!turns.is_mine(&me(), &first, now));
        assert!(!turns.is_mine(&me(), &second, now + Duration::from_secs(80)));
        assert!(!turns.is_mine(&me(), &second, now + Duration::from_secs(160)));
        assert!(turns.is_mine(&me(), &second, now + Duration::from_secs(171)));
    }
}
