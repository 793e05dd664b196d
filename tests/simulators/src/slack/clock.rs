//! The workspace's clock: real time plus what a test has skipped.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Runs evenly from the system time at its start, whatever happens to the system clock later.
pub(super) struct Clock {
    started: Instant,
    epoch: Duration,
    skipped: Duration,
}

impl Default for Clock {
    fn default() -> Self {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), epoch, skipped: Duration::ZERO }
    }
}

impl Clock {
    /// Microseconds since the epoch.
    pub(super) fn now(&self) -> u64 {
        let now = self.epoch + self.started.elapsed() + self.skipped;
        u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
    }

    /// Jumps ahead.
    pub(super) fn advance(&mut self, by: Duration) {
        self.skipped += by;
    }
}

/// `seconds.micros`, the form of Slack's message ids (Slack docs: message `ts`).
pub(super) fn ts(micros: u64) -> String {
    format!("{:010}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// The opposite of [`ts`]; `None` unless it is digits, a dot and six digits.
pub(super) fn parse_ts(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.split_once('.')?;
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if fraction.len() != 6 || seconds.len() > 11 || !digits(seconds) || !digits(fraction) {
        return None;
    }
    Some(seconds.parse::<u64>().ok()? * 1_000_000 + fraction.parse::<u64>().ok()?)
}

/// The bound of a range of time, which may be less exact than a message id: `1700000000` or `1700000000.5`.
pub(super) fn parse_bound(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 6 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(seconds.parse::<u64>().ok()?.checked_mul(1_000_000)? + format!("{fraction:0<6}").parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ts_is_ten_digits_a_dot_and_six_digits() {
        assert_eq!(ts(1_700_000_000_000_042), "1700000000.000042");
        assert_eq!(parse_ts("1700000000.000042"), Some(1_700_000_000_000_042));
        for bad in ["", "1700000000", "1700000000.42", "abc.000001", "-1.000000", "17 .000000"] {
            assert_eq!(parse_ts(bad), None, "{bad}");
        }
        assert_eq!(parse_bound("1700000000.5"), Some(1_700_000_000_500_000));
    }
}
