//! Whom to look for next, and when: pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::config::recipient::Recipient;
use crate::worker::recipient_check::Reach;

/// Between two looks for all, when nothing changes in between.
const AGAIN: Duration = Duration::from_mins(10);
/// While a recipient cannot be reached: whoever invites the bot waits to see that it helped.
const WHILE_UNREACHABLE: Duration = Duration::from_secs(30);
/// After Slack could not be asked.
const SOON: Duration = Duration::from_secs(15);
/// After Slack did not answer for somebody.
const UNANSWERED: Backoff = Backoff::doubling(SOON, Duration::from_mins(5));
/// At least between two looks, whatever fails meanwhile.
const GAP: Duration = Duration::from_secs(3);
/// For each page of the list of channels that a look took: half of what Slack permits, some 20 a minute, is left to others.
const PER_PAGE: Duration = Duration::from_secs(6);
/// For each other call, of which Slack permits some 50 a minute.
const PER_CALL: Duration = Duration::from_millis(2_400);

/// One look.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Round {
    /// Everybody is looked for; otherwise those who are in trouble.
    pub whole: bool,
    /// Whom to look for.
    pub recipients: Vec<Recipient>,
}

/// What came of a look.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// By recipient. Whoever is missing could not be asked for: Slack did not answer.
    pub reach: BTreeMap<String, Reach>,
    /// Pages read of the list of channels.
    pub pages: u32,
    /// Other calls.
    pub calls: u32,
}

/// The looks that were taken, and those to come.
#[derive(Debug)]
pub(super) struct Rounds {
    known: BTreeMap<String, Reach>,
    /// To be looked for, although they are not known to be unreachable.
    doubted: BTreeSet<String>,
    /// Looks in a row in which Slack did not answer for somebody.
    unanswered: u32,
    /// When to look for all.
    whole_at: Instant,
    /// When to look for those in trouble.
    again_at: Option<Instant>,
    /// Nothing before this.
    rested_at: Instant,
}

impl Rounds {
    /// Begins with a look for all.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            known: BTreeMap::new(),
            doubted: BTreeSet::new(),
            unanswered: 0,
            whole_at: now,
            again_at: None,
            rested_at: now,
        }
    }

    /// When the next look is due.
    pub(super) fn next_at(&self) -> Instant {
        self.again_at.map_or(self.whole_at, |again| again.min(self.whole_at))
    }

    /// Everything may be different now: look for all.
    pub(super) fn begin_anew(&mut self, now: Instant) {
        self.whole_at = now;
    }

    /// Messages did not reach these. Who is known to be unreachable is looked for soon enough.
    pub(super) fn doubt(&mut self, names: BTreeSet<String>, now: Instant) {
        let news = names.into_iter().filter(|name| self.known.contains_key(name) && !self.is_unreachable(name));
        let news: Vec<_> = news.collect();
        if !news.is_empty() {
            self.doubted.extend(news);
            self.advance(now);
        }
    }

    fn advance(&mut self, now: Instant) {
        let at = self.rested_at.max(now);
        self.again_at = Some(self.again_at.map_or(at, |again| again.min(at)));
    }

    /// The look that is due.
    pub(super) fn next(&self, configured: Vec<Recipient>, now: Instant) -> Round {
        if self.whole_at <= now {
            return Round { whole: true, recipients: configured };
        }
        let in_trouble = |name: &String| self.doubted.contains(name) || self.is_unreachable(name);
        let recipients = configured.into_iter().filter(|recipient| in_trouble(&recipient.to_string())).collect();
        Round { whole: false, recipients }
    }

    /// Notes what a look found. Returns those who can be reached again.
    pub(super) fn took(&mut self, round: &Round, found: Found, now: Instant) -> Vec<String> {
        let Found { reach, pages, calls } = found;
        let is_mended = |(name, reach): (&String, &Reach)| {
            (matches!(reach, Reach::Reachable { .. } | Reach::Moved { .. }) && self.is_unreachable(name))
                .then(|| name.clone())
        };
        let mended = reach.iter().filter_map(is_mended).collect();
        let names: BTreeSet<_> = round.recipients.iter().map(ToString::to_string).collect();
        self.doubted = names.iter().filter(|name| !reach.contains_key(*name)).cloned().collect();
        if round.whole {
            self.known.retain(|name, _| names.contains(name));
            self.whole_at = now + AGAIN;
        }
        // What could not be asked for is as it was.
        for name in names {
            self.known.entry(name).or_insert(Reach::Unknown);
        }
        self.known.extend(reach);
        let unreachable = self.known.values().any(|reach| matches!(reach, Reach::Unreachable { .. }));
        let cost = PER_PAGE * pages + PER_CALL * calls;
        self.rested_at = now + GAP;
        self.unanswered = if self.doubted.is_empty() { 0 } else { self.unanswered.saturating_add(1) };
        self.again_at = match (self.unanswered, unreachable) {
            (0, true) => Some(now + WHILE_UNREACHABLE.max(cost)),
            (0, false) => None,
            (looks, _) => Some(now + UNANSWERED.ceiling(looks).max(cost)),
        };
        mended
    }

    /// Slack could not be asked for anybody.
    pub(super) fn put_off(&mut self, now: Instant) {
        self.whole_at = self.whole_at.max(now + SOON);
        self.again_at = Some(now + SOON);
    }

    /// What is known of every configured recipient.
    pub(super) fn known(&self) -> &BTreeMap<String, Reach> {
        &self.known
    }

    fn is_unreachable(&self, name: &str) -> bool {
        matches!(self.known.get(name), Some(Reach::Unreachable { .. }))
    }
}

#[cfg(test)]
mod tests {
    use crate::worker::recipient_check::schedule::*;

    fn recipients() -> Vec<Recipient> {
        ["#dba", "#ops"].into_iter().filter_map(Recipient::parse).collect()
    }

    fn reachable() -> Reach {
        Reach::Reachable { id: "C1".to_owned() }
    }

    fn unreachable() -> Reach {
        Reach::Unreachable { id: None, remedy: "invite @teleport to #dba".to_owned() }
    }

    fn found<const N: usize>(reach: [(&str, Reach); N]) -> Found {
        Found { reach: reach.map(|(name, reach)| (name.to_owned(), reach)).into(), pages: 1, calls: 1 }
    }

    fn names(round: &Round) -> Vec<String> {
        round.recipients.iter().map(ToString::to_string).collect()
    }

    fn doubt(rounds: &mut Rounds, name: &str, now: Instant) {
        rounds.doubt([name.to_owned()].into(), now);
    }

    /// Rounds that have just found these.
    fn after(reach: [(&str, Reach); 2], now: Instant) -> Rounds {
        let mut rounds = Rounds::new(now);
        let round = rounds.next(recipients(), now);
        assert!(round.whole, "at first everybody is looked for");
        assert!(rounds.took(&round, found(reach), now).is_empty());
        rounds
    }

    #[test]
    fn whoever_can_be_reached_is_looked_for_rarely() {
        let now = Instant::now();
        let rounds = after([("#dba", reachable()), ("#ops", Reach::Unknown)], now);
        assert_eq!(rounds.next_at(), now + AGAIN);
        assert_eq!(names(&rounds.next(recipients(), now + AGAIN)), ["#dba", "#ops"]);
    }

    #[test]
    fn whoever_cannot_be_reached_is_looked_for_alone_until_that_is_mended() {
        let now = Instant::now();
        let mut rounds = after([("#dba", unreachable()), ("#ops", reachable())], now);
        let later = now + WHILE_UNREACHABLE;
        assert_eq!(rounds.next_at(), later);
        let round = rounds.next(recipients(), later);
        assert_eq!((round.whole, names(&round)), (false, vec!["#dba".to_owned()]));
        assert_eq!(rounds.took(&round, found([("#dba", reachable())]), later), ["#dba"]);
        assert_eq!(rounds.next_at(), now + AGAIN);
    }

    #[test]
    fn whoever_a_message_did_not_reach_is_looked_for_at_once_but_not_without_a_pause() {
        let now = Instant::now();
        let mut rounds = after([("#dba", reachable()), ("#ops", reachable())], now);
        let later = now + AGAIN / 2;
        doubt(&mut rounds, "#dba", later);
        assert_eq!(rounds.next_at(), later);
        let round = rounds.next(recipients(), later);
        assert_eq!(names(&round), ["#dba"]);
        let mended = rounds.took(&round, found([("#dba", reachable())]), later);
        assert!(mended.is_empty(), "nothing has changed that the message could not have met");
        doubt(&mut rounds, "#dba", later);
        assert_eq!(rounds.next_at(), later + GAP);
    }

    #[test]
    fn further_messages_to_somebody_unreachable_change_nothing() {
        let now = Instant::now();
        let mut rounds = after([("#dba", unreachable()), ("#ops", reachable())], now);
        doubt(&mut rounds, "#dba", now);
        doubt(&mut rounds, "bob@example.com", now);
        assert_eq!(rounds.next_at(), now + WHILE_UNREACHABLE);
    }

    #[test]
    fn whoever_could_not_be_asked_for_stays_as_it_was_and_is_asked_for_soon() {
        let now = Instant::now();
        let mut rounds = after([("#dba", unreachable()), ("#ops", reachable())], now);
        let later = now + AGAIN;
        let round = rounds.next(recipients(), later);
        assert!(rounds.took(&round, found([("#ops", reachable())]), later).is_empty());
        assert_eq!(rounds.known()["#dba"], unreachable());
        assert_eq!(rounds.next_at(), later + SOON);
        let round = rounds.next(recipients(), later + SOON);
        assert_eq!(names(&round), ["#dba"]);
        rounds.took(&round, Found::default(), later + SOON);
        assert_eq!(rounds.next_at(), later + SOON * 3, "after twice the time");
        rounds.put_off(later + SOON);
        assert_eq!(rounds.next_at(), later + SOON * 2);
    }

    #[test]
    fn a_look_that_takes_many_calls_is_taken_less_often() {
        let now = Instant::now();
        let mut rounds = Rounds::new(now);
        let round = rounds.next(recipients(), now);
        let found = Found { pages: 10, calls: 25, ..found([("#dba", unreachable()), ("#ops", reachable())]) };
        rounds.took(&round, found, now);
        assert_eq!(rounds.next_at(), now + Duration::from_mins(2));
    }

    #[test]
    fn what_is_configured_no_more_is_forgotten() {
        let now = Instant::now();
        let mut rounds = after([("#dba", unreachable()), ("#ops", reachable())], now);
        rounds.begin_anew(now);
        let round = rounds.next(recipients().split_off(1), now);
        rounds.took(&round, found([("#ops", reachable())]), now);
        assert_eq!((rounds.known().len(), rounds.next_at()), (1, now + AGAIN));
    }
}
