//! Pure but for the clock: which of several workers reports.
//!
//! All workers of an object work; one of them speaks for all, so that the status does not go back and forth between their views.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::time::Instant;

use crate::crd::SlackAccessPluginStatus;
use crate::worker::health::status::Me;

/// A speaker that says nothing for this long is replaced. It speaks at least once a minute.
const PATIENCE: Duration = Duration::from_secs(90);

/// Who is to report.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Turn {
    /// We.
    Mine,
    /// Another worker of our configuration.
    Others,
    /// One of another configuration, which is about to replace us, unless the object is changed back.
    Successors,
}

/// What was last heard of another worker, and when by our own clock: the clocks of two nodes need not agree.
#[derive(Debug, Default)]
pub(super) struct Turns {
    heard: Option<(Option<Time>, String, Instant)>,
}

impl Turns {
    /// Who is to report. `succeeds`: the object asks for a single worker and we work, so that another one of our
    /// configuration is gone or about to go, and there is nobody to wait for.
    pub(super) fn whose(&mut self, me: &Me, succeeds: bool, seen: &SlackAccessPluginStatus, now: Instant) -> Turn {
        let wanted = seen.workload.as_ref().map(|workload| workload.config_hash.as_str());
        if wanted.is_some_and(|wanted| wanted != me.revision) && !me.revision.is_empty() {
            return Turn::Successors; // the next worker knows better
        }
        let Some(speaker) = &seen.worker else { return Turn::Mine };
        if succeeds || speaker.pod == me.pod || speaker.config_hash != me.revision {
            return Turn::Mine;
        }
        match &self.heard {
            Some((time, pod, since)) if *time == speaker.last_report_time && *pod == speaker.pod => {
                if now.duration_since(*since) > PATIENCE { Turn::Mine } else { Turn::Others }
            }
            _ => {
                self.heard = Some((speaker.last_report_time.clone(), speaker.pod.clone(), now));
                Turn::Others
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::crd::status::{WorkerStatus, WorkloadStatus};
    use crate::worker::health::status::turn::*;

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
        let whose = |seen: &SlackAccessPluginStatus| Turns::default().whose(&me(), false, seen, now);
        assert_eq!(whose(&status("r2", None)), Turn::Mine);
        let old = status("r2", Some(("b", "r1", "2026-01-01T00:00:00Z")));
        assert_eq!(whose(&old), Turn::Mine, "one of an old configuration holds nobody up");
    }

    #[test]
    fn a_worker_that_is_being_replaced_is_quiet() {
        let now = Instant::now();
        let whose = |seen: &SlackAccessPluginStatus| Turns::default().whose(&me(), false, seen, now);
        assert_eq!(whose(&status("r3", None)), Turn::Successors);
        assert_eq!(whose(&status("r3", Some(("a", "r2", "2026-01-01T00:00:00Z")))), Turn::Successors);
    }

    #[test]
    fn a_single_worker_does_not_wait_for_the_one_before_it_to_fall_silent() {
        let now = Instant::now();
        let whose = |seen: &SlackAccessPluginStatus| Turns::default().whose(&me(), true, seen, now);
        assert_eq!(whose(&status("r2", Some(("b", "r2", "2026-01-01T00:00:00Z")))), Turn::Mine);
        assert_eq!(whose(&status("r3", None)), Turn::Successors, "one that is being replaced is quiet all the same");
    }

    #[test]
    fn another_worker_that_reports_is_left_to_it_until_it_falls_silent() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        let first = status("r2", Some(("b", "r2", "2026-01-01T00:00:00Z")));
        let second = status("r2", Some(("b", "r2", "2026-01-01T00:00:40Z")));
        assert_eq!(turns.whose(&me(), false, &first, now), Turn::Others);
        assert_eq!(turns.whose(&me(), false, &second, now + Duration::from_secs(80)), Turn::Others);
        assert_eq!(turns.whose(&me(), false, &second, now + Duration::from_secs(160)), Turn::Others);
        assert_eq!(turns.whose(&me(), false, &second, now + Duration::from_secs(171)), Turn::Mine);
    }
}
