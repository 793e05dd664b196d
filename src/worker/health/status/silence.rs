//! What to log about reports that cannot be written: once for each thing, however long it lasts. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// A fresh ServiceAccount or a restarted API server may be unknown to somebody for a moment.
const STRANGER: Duration = Duration::from_mins(1);

/// What is worth a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The first report that could not be written.
    Failing,
    /// The API has not known our token for a while: waiting does not help.
    TokenUnknown,
}

/// Reports that could not be written, in a row.
#[derive(Debug, Default)]
pub(super) struct Silence {
    failures: u32,
    /// Since when the API answers that it does not know us (401).
    stranger_since: Option<Instant>,
    said: bool,
}

impl Silence {
    /// A report could not be written; `stranger`: the API does not know our token.
    pub(super) fn failed(&mut self, stranger: bool, now: Instant) -> Option<News> {
        self.failures = self.failures.saturating_add(1);
        self.stranger_since = stranger.then(|| self.stranger_since.unwrap_or(now));
        if self.failures == 1 {
            return Some(News::Failing);
        }
        let lasts = self.stranger_since.is_some_and(|since| now.duration_since(since) >= STRANGER);
        (lasts && !std::mem::replace(&mut self.said, true)).then_some(News::TokenUnknown)
    }

    /// A report was written. Whether others before it were not.
    pub(super) fn ended(&mut self) -> bool {
        std::mem::take(self).failures > 0
    }

    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use crate::worker::health::status::silence::*;

    fn at(start: Instant, second: u64) -> Instant {
        start + Duration::from_secs(second)
    }

    #[test]
    fn an_unknown_token_is_told_once_and_only_if_it_lasts() {
        let (mut silence, now) = (Silence::default(), Instant::now());
        assert_eq!(silence.failed(true, now), Some(News::Failing));
        assert_eq!(silence.failed(true, at(now, 59)), None);
        assert_eq!(silence.failed(true, at(now, 60)), Some(News::TokenUnknown));
        assert_eq!(silence.failed(true, at(now, 90)), None);
        assert!(silence.ended() && !silence.ended());
        assert_eq!(silence.failed(true, at(now, 100)), Some(News::Failing), "it is another time");
    }

    #[test]
    fn an_api_server_that_is_away_says_nothing_about_the_token() {
        let (mut silence, now) = (Silence::default(), Instant::now());
        assert_eq!(silence.failed(false, now), Some(News::Failing));
        assert_eq!(silence.failed(false, at(now, 300)), None);
        assert_eq!(silence.failed(true, at(now, 301)), None);
        assert_eq!(silence.failed(true, at(now, 361)), Some(News::TokenUnknown));
    }
}
