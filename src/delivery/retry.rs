//! When a recipient is tried again after a failure.

use std::time::{Duration, Instant};

use crate::backoff::Backoff;
use crate::slack::error::{Class, Error};

/// Slack shows a message in the history up to this long after it was posted.
pub const HISTORY_LAG: Duration = Duration::from_secs(2);
/// For what needs a person. A change of configuration or token makes it sooner, and so does a recipient check that finds
/// the recipient reachable again.
const NEEDS_PERSON: Backoff = Backoff::doubling(Duration::from_mins(2), Duration::from_mins(10));
/// For what Slack refuses in any form.
const REFUSED_IN_ANY_FORM: Duration = Duration::from_mins(10);
/// For what passes by itself.
const TRANSIENT: Backoff = Backoff::doubling(Duration::from_millis(500), Duration::from_mins(1));
/// For a token or a scope that is being mended.
const CREDENTIALS: Backoff = Backoff::doubling(Duration::from_secs(5), Duration::from_mins(5));

/// The failures of one recipient in a row.
#[derive(Clone, Debug, Default)]
pub struct Retry {
    /// Nothing before this.
    not_before: Option<Instant>,
    /// Failures in a row.
    failures: u32,
    /// The latest of them.
    failed_at: Option<Instant>,
    /// Slack refused the rich message: the plain one is sent.
    plain: bool,
    /// What went wrong last.
    problem: Option<Error>,
}

impl Retry {
    /// When the next attempt may begin; at once where there is no time.
    pub fn due(&self) -> Option<Instant> {
        self.not_before
    }

    /// Whether the next attempt may begin.
    pub fn is_due(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|at| at <= now)
    }

    /// What went wrong last.
    pub fn problem(&self) -> Option<&Error> {
        self.problem.as_ref()
    }

    /// Whether the plain form is sent.
    pub fn plain(&self) -> bool {
        self.plain
    }

    /// Whether the latest failure is one that needs a person.
    pub fn needs_person(&self) -> bool {
        self.problem.as_ref().is_some_and(|error| matches!(error.class, Class::Config | Class::Recipient | Class::Auth))
    }

    /// It worked: failures are forgotten.
    pub fn succeeded(&mut self) {
        *self = Self { plain: self.plain, ..Self::default() };
    }

    /// Not before this time, and not for a fault.
    pub fn postpone(&mut self, until: Instant) {
        self.not_before = self.not_before.max(Some(until));
    }

    /// Plans the next attempt after an error. `chance` is between 0 and 1. Returns whether it is another error than before.
    pub fn failed(&mut self, error: Error, chance: f64, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        let delay = if error.class == Class::Payload && !self.plain {
            self.plain = true;
            Duration::ZERO
        } else {
            delay(&error, self.failures, chance)
        };
        self.not_before = Some(now + delay);
        self.failed_at = Some(now);
        let is_news = self.problem.as_ref().is_none_or(|known| known.code != error.code);
        self.problem = Some(error);
        is_news
    }

    /// Configuration, token or scopes have changed: what a person had to mend may be mended.
    pub fn circumstances_changed(&mut self) {
        let limited = self.problem.as_ref().is_some_and(Error::is_rate_limit);
        if !limited {
            self.not_before = None;
            self.failures = 0;
        }
    }

    /// The recipient could be reached at this time: what failed before may work.
    pub fn recovered(&mut self, at: Instant) {
        if self.failed_at.is_some_and(|failed| failed < at) {
            self.circumstances_changed();
        }
    }
}

fn delay(error: &Error, failures: u32, chance: f64) -> Duration {
    match error.class {
        // Slack says when; the rate limiter knows the same.
        _ if error.is_rate_limit() => error.retry_after.unwrap_or_default(),
        Class::Ambiguous => HISTORY_LAG.max(TRANSIENT.delay(failures, chance)),
        Class::Transient => TRANSIENT.delay(failures, chance),
        Class::Auth => CREDENTIALS.delay(failures, chance),
        Class::Config | Class::Recipient => NEEDS_PERSON.delay(failures, chance),
        Class::Payload | Class::AlreadyDone | Class::Forgotten | Class::AnotherApp => REFUSED_IN_ANY_FORM,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slack::method;

    fn refused(code: &str) -> Error {
        Error::new(method::POST_MESSAGE, code, Some("#dba"))
    }

    #[test]
    fn a_refused_recipient_is_left_alone_for_longer_each_time() {
        let now = Instant::now();
        let mut retry = Retry::default();
        assert!(retry.failed(refused("not_in_channel"), 1.0, now));
        assert_eq!(retry.due(), Some(now + Duration::from_mins(2)));
        for _ in 0..3 {
            assert!(!retry.failed(refused("not_in_channel"), 1.0, now));
        }
        assert_eq!(retry.due(), Some(now + Duration::from_mins(10)));
        assert!(retry.needs_person());
    }

    #[test]
    fn a_recipient_that_can_be_reached_again_is_told_at_once() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut retry = Retry::default();
        retry.failed(refused("not_in_channel"), 1.0, now + second);
        retry.recovered(now);
        assert!(!retry.is_due(now + 2 * second), "it failed after that");
        retry.recovered(now + 2 * second);
        assert!(retry.is_due(now + 2 * second));
    }

    #[test]
    fn nothing_shortens_the_pause_that_slack_asks_for() {
        let now = Instant::now();
        let mut retry = Retry::default();
        let limited = Error { retry_after: Some(Duration::from_mins(10)), ..refused("ratelimited") };
        retry.failed(limited, 1.0, now);
        retry.recovered(now + Duration::from_secs(1));
        assert!(!retry.is_due(now + Duration::from_secs(599)));
    }

    #[test]
    fn what_slack_refuses_for_its_form_is_sent_plain_at_once_and_then_rarely() {
        let now = Instant::now();
        let mut retry = Retry::default();
        retry.failed(refused("invalid_blocks"), 1.0, now);
        assert!(retry.plain() && retry.is_due(now));
        retry.failed(refused("invalid_blocks"), 1.0, now);
        assert_eq!(retry.due(), Some(now + Duration::from_mins(10)));
        retry.succeeded();
        assert!(retry.plain(), "the rich form stays refused");
    }

    #[test]
    fn an_unknown_outcome_waits_until_the_history_can_show_it() {
        let now = Instant::now();
        let mut retry = Retry::default();
        retry.failed(refused("timeout"), 0.0, now);
        assert!(!retry.is_due(now + Duration::from_millis(1_999)));
    }
}
