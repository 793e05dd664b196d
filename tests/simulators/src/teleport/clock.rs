//! The cluster's clock: real time plus whatever a test has skipped.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost_types::Timestamp;

/// Go's zero time as servers written in Go send it in fields that cannot be absent.
pub const GO_ZERO: Timestamp = Timestamp { seconds: -62_135_596_800, nanos: 0 };

/// Real time, moved forward by [`Clock::advance`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    skipped: Duration,
}

impl Clock {
    pub(crate) fn now(self) -> SystemTime {
        SystemTime::now() + self.skipped
    }

    pub(crate) fn advance(&mut self, by: Duration) {
        self.skipped += by;
    }
}

/// Time since the epoch; zero for times before it.
pub(crate) fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

pub(crate) fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::from(time)
}

/// The time in a field, `None` when the field is absent or holds Go's zero time.
pub(crate) fn time(field: Option<&Timestamp>) -> Option<SystemTime> {
    field.filter(|value| **value != GO_ZERO).and_then(|value| SystemTime::try_from(*value).ok())
}
