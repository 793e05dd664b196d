//! When everything is listed: what the watch has no memory of. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// Between attempts to list.
const RETRY: Duration = Duration::from_secs(5);
/// After the first listing over a connection comes a second one: what a server answers from may lag behind what was
/// written, and what changed before the watch was open is in no event.
const LAG: Duration = Duration::from_secs(10);
/// Everything is listed again this often, whatever the watch says.
const RESYNC: Duration = Duration::from_mins(10);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A watch was opened, or Teleport answers again: what was listed before is no longer current.
    Connected,
    /// A listing has succeeded.
    Listed,
    /// A listing has failed.
    Failed,
}

/// The state of the listing.
#[derive(Debug, Default)]
pub(super) struct Listing {
    due: Option<Instant>,
    running: bool,
    /// Nothing was listed over this connection yet.
    unconfirmed: bool,
    succeeded: bool,
}

impl Listing {
    /// Whether a listing is to be begun now.
    pub(super) fn next(&mut self, now: Instant) -> bool {
        let due = !self.running && self.due.is_some_and(|at| at <= now);
        if due {
            self.due = None;
            self.running = true;
        }
        due
    }

    /// When [`Listing::next`] may have something to begin.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        self.due.filter(|_| !self.running)
    }

    /// Whether a listing is under way.
    pub(super) fn is_running(&self) -> bool {
        self.running
    }

    /// Whether everything was listed once.
    pub(super) fn has_succeeded(&self) -> bool {
        self.succeeded
    }

    /// Notes an event. A listing that is under way is to be dropped at [`Event::Connected`].
    pub(super) fn handle(&mut self, event: Event, now: Instant) {
        self.running = false;
        let wait = match event {
            Event::Connected => {
                self.unconfirmed = true;
                Duration::ZERO
            }
            Event::Listed => {
                self.succeeded = true;
                if std::mem::take(&mut self.unconfirmed) { LAG } else { RESYNC }
            }
            Event::Failed => RETRY,
        };
        self.due = Some(now + wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_listed_at_once_soon_again_and_then_rarely() {
        let (mut listing, mut now) = (Listing::default(), Instant::now());
        assert!(!listing.next(now), "not before there is a connection");
        listing.handle(Event::Connected, now);
        for wait in [LAG, RESYNC, RESYNC] {
            assert!(listing.next(now) && !listing.next(now), "one at a time");
            listing.handle(Event::Listed, now);
            assert_eq!(listing.wakes_at(), Some(now + wait));
            now += wait;
        }
        listing.handle(Event::Connected, now);
        assert!(listing.next(now), "another connection");
    }

    #[test]
    fn a_listing_that_fails_is_tried_again_and_still_confirmed() {
        let (mut listing, now) = (Listing::default(), Instant::now());
        listing.handle(Event::Connected, now);
        assert!(listing.next(now));
        listing.handle(Event::Failed, now);
        assert!(!listing.has_succeeded());
        assert!(!listing.next(now) && listing.next(now + RETRY));
        listing.handle(Event::Listed, now);
        assert!(listing.has_succeeded());
        assert_eq!(listing.wakes_at(), Some(now + LAG));
    }
}
