//! What this process remembers about one recipient of one request between two steps: whether something is under way, and
//! when to try again what failed.

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::slack::error::{Class, Error};
use crate::slack::turn::ChannelTurn;
use crate::worker::request::send::Place;

/// Slack shows a message in the history up to this long after it was posted.
pub(super) const HISTORY_LAG: Duration = Duration::from_secs(2);
/// What only a person can mend is tried again ever more rarely; a change of configuration or token makes it sooner, and so does
/// a look that finds the recipient reachable again. Not every token may look.
const REST: Backoff = Backoff::doubling(Duration::from_mins(2), Duration::from_mins(10));
/// For what Slack refuses in any form.
const SLOW: Duration = Duration::from_mins(10);
/// For what passes by itself.
const TRANSIENT: Backoff = Backoff::doubling(Duration::from_millis(500), Duration::from_mins(1));
/// For a token or a scope that is being mended.
const AUTH: Backoff = Backoff::doubling(Duration::from_secs(5), Duration::from_mins(5));

/// One recipient's lane.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// What goes on in it.
    pub state: State,
    /// Nothing before this.
    pub not_before: Option<Instant>,
    /// Failures in a row.
    attempts: u32,
    /// The latest of them.
    failed_at: Option<Instant>,
    /// Slack refused the rich message: send the plain one.
    pub plain: bool,
    /// Looking for a message that may have been posted has failed so often.
    pub look_backs: u32,
    /// Whom Slack last refused, why, and what helps.
    pub problem: Option<Error>,
}

/// What goes on in a lane.
#[derive(Debug, Default)]
pub(super) enum State {
    /// Nothing.
    #[default]
    Idle,
    /// A call, or the wait for the channel's turn.
    Busy,
    /// It is this lane's turn to post in the channel.
    Ready {
        /// The turn; given up when dropped.
        turn: ChannelTurn,
        /// Where to post.
        place: Place,
    },
}

impl Lane {
    /// Whether a new step may begin.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|at| at <= now)
    }

    /// Something worked: failures are forgotten.
    pub(super) fn succeeded(&mut self) {
        self.attempts = 0;
        self.failed_at = None;
        self.not_before = None;
        self.problem = None;
        self.look_backs = 0;
    }

    /// Plans the next attempt after an error. `jitter` is between 0 and 1.
    pub(super) fn failed(&mut self, error: Error, jitter: f64, now: Instant) {
        self.attempts = self.attempts.saturating_add(1);
        let delay = if error.class == Class::Payload && !self.plain {
            self.plain = true;
            Duration::ZERO
        } else {
            delay(&error, self.attempts, jitter)
        };
        self.not_before = Some(now + delay);
        self.failed_at = Some(now);
        self.problem = Some(error);
    }

    /// Configuration, token or scopes have changed: what a person had to mend may be mended.
    pub(super) fn circumstances_changed(&mut self) {
        let limited = self.problem.as_ref().is_some_and(Error::is_rate_limit);
        if !limited {
            self.not_before = None;
            self.attempts = 0;
        }
    }

    /// The recipient could be reached at this time: what failed before may work.
    pub(super) fn recipient_mended(&mut self, at: Instant) {
        if self.failed_at.is_some_and(|failed| failed < at) {
            self.circumstances_changed();
        }
    }
}

fn delay(error: &Error, failures: u32, jitter: f64) -> Duration {
    match error.class {
        // Slack says when; the pacing knows the same.
        _ if error.is_rate_limit() => error.retry_after.unwrap_or_default(),
        Class::Ambiguous => HISTORY_LAG.max(TRANSIENT.delay(failures, jitter)),
        Class::Transient => TRANSIENT.delay(failures, jitter),
        Class::Auth => AUTH.delay(failures, jitter),
        Class::Config | Class::Recipient => REST.delay(failures, jitter),
        Class::Payload | Class::AlreadyDone | Class::Forgotten | Class::AnotherApp => SLOW,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slack::method;

    fn failed(code: &str, at: Instant) -> Lane {
        let mut lane = Lane::default();
        lane.failed(Error::new(method::POST_MESSAGE, code, Some("#dba")), 1.0, at);
        lane
    }

    #[test]
    fn a_refused_recipient_is_left_alone_for_longer_each_time() {
        let now = Instant::now();
        let mut lane = failed("not_in_channel", now);
        assert_eq!(lane.not_before, Some(now + Duration::from_mins(2)));
        for _ in 0..3 {
            lane.failed(Error::new(method::POST_MESSAGE, "not_in_channel", Some("#dba")), 1.0, now);
        }
        assert_eq!(lane.not_before, Some(now + SLOW));
    }

    #[test]
    fn a_recipient_that_can_be_reached_again_is_told_at_once() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut lane = failed("not_in_channel", now);
        lane.recipient_mended(now.checked_sub(second).unwrap());
        assert!(!lane.is_due(now + second), "it failed after that");
        lane.recipient_mended(now + second);
        assert!(lane.is_due(now + second));
    }

    #[test]
    fn nothing_shortens_the_pause_that_slack_asks_for() {
        let now = Instant::now();
        let mut lane = Lane::default();
        let limited =
            Error { retry_after: Some(SLOW), ..Error::new(method::POST_MESSAGE, "ratelimited", Some("#dba")) };
        lane.failed(limited, 1.0, now);
        lane.recipient_mended(now + Duration::from_secs(1));
        assert!(!lane.is_due(now + Duration::from_secs(1)));
    }
}
