//! The connection to Teleport: which identity is tried, when, and whether a connection that stands still works. Pure.
//!
//! ```text
//! identity source ─▶ candidate ─ Connect ─▶ up ─ Check every 15 s ─▶ up
//!                        ▲                   │         │ refused: up, and said until a check succeeds
//!                        └──── backoff ◀─────┴─────────┘ no answer: down
//! ```

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::backoff::Backoff;
use crate::crd::condition::Finding;
use crate::crd::reason::Reason;
use crate::teleport::identity::Identity;

/// Between attempts to connect.
const RECONNECT: Backoff = Backoff::doubling(Duration::from_millis(200), Duration::from_secs(10));
/// A connection that lasted this long was a good one: its loss is the first failure of a new series.
const STEADY: Duration = Duration::from_secs(30);
/// Between checks of a connection: a proxy that has died may leave it open without an answer.
const CHECK_EVERY: Duration = Duration::from_secs(15);
/// A check without an answer for this long means that the connection is dead.
pub(super) const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
/// Between checks of the right to write, while it is there.
const RIGHTS_EVERY: Duration = Duration::from_mins(1);
/// A dead connection, and an identity that is refused, are noticed within this time.
const NOTICED_WITHIN: Duration = Duration::from_secs(30);
const _: () = assert!(CHECK_EVERY.as_secs() + CHECK_TIMEOUT.as_secs() < NOTICED_WITHIN.as_secs());

/// The time of an input, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// Monotonic: for intervals.
    pub instant: Instant,
    /// Wall clock: for the validity of identities.
    pub time: Timestamp,
}

/// Whose identity is taken up.
#[derive(Clone, Debug, Default)]
pub(super) struct UserPolicy {
    /// The Teleport user that the configuration names.
    pub expected: Option<String>,
    /// Without such a name, an identity of another user than the first is refused.
    pub first_is_kept: bool,
}

/// What happened.
#[derive(Debug)]
pub(super) enum Event {
    /// The source has yielded an identity, or one that cannot be used.
    Loaded(Result<Arc<Identity>, Finding>),
    /// An attempt to connect with this identity has ended.
    Attempted(Arc<Identity>, Result<(), Finding>),
    /// The watch has ended.
    Ended(Finding),
    /// A check has ended.
    Checked(CheckResult),
}

/// What a check of the connection found.
#[derive(Debug)]
pub(super) enum CheckResult {
    /// Teleport answers, and takes the identity.
    Works,
    /// Teleport answers, and refuses.
    Refused(Finding),
    /// There was no answer.
    Lost(Finding),
}

/// What is to be begun.
#[derive(Debug)]
pub(super) enum Step {
    /// Connect with this identity.
    Connect(Arc<Identity>),
    /// Check that the connection works, and with `rights` also that records may be written.
    Check {
        /// Check the right to write.
        rights: bool,
    },
}

/// What follows from an event.
#[derive(Debug)]
pub(super) enum Effect {
    /// Drop the attempt that is under way.
    AbandonAttempt,
    /// Make no further calls over the connection.
    Disconnect,
    /// The connection just made is the one in use.
    Connected(Arc<Identity>),
    /// What is known of the identity, whether Teleport can be reached or not.
    Identity(Arc<Identity>),
    /// A new identity cannot be used, or there is none.
    IdentityProblem(Finding),
    /// A new identity was taken up, or not.
    Reloaded(bool),
    /// Teleport cannot be reached, or refuses.
    TeleportProblem(Finding),
    /// Teleport takes the identity again.
    TeleportRecovered,
    /// Whether the endpoints say that Teleport answers.
    Ready(bool),
    /// List everything: changes may have been missed.
    List,
}

/// The connection that stands.
#[derive(Clone, Copy, Debug)]
struct Up {
    since: Instant,
    checked_at: Instant,
    rights_checked_at: Instant,
    checking: bool,
    refused: bool,
}

/// The state of the connection.
pub(super) struct ConnectionState {
    policy: UserPolicy,
    /// The identity in use, or the one that was used last.
    identity: Option<Arc<Identity>>,
    /// A newer identity that no connection was made with yet.
    candidate: Option<Arc<Identity>>,
    up: Option<Up>,
    attempting: bool,
    /// The source has yielded before.
    has_loaded: bool,
    /// Attempts to connect that failed, and connections that soon broke, in a row.
    failures: u32,
    retry_at: Option<Instant>,
}

impl ConnectionState {
    /// Begins without a connection.
    pub(super) fn new(policy: UserPolicy) -> Self {
        Self {
            policy,
            identity: None,
            candidate: None,
            up: None,
            attempting: false,
            has_loaded: false,
            failures: 0,
            retry_at: None,
        }
    }

    /// The identity in use, or the one to be tried first.
    pub(super) fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref().or(self.candidate.as_ref())
    }

    /// What is to be begun now; called again until there is nothing.
    pub(super) fn next(&mut self, now: Instant) -> Option<Step> {
        if self.wants_connection() && !self.attempting && self.retry_at.is_none_or(|at| at <= now) {
            let identity = self.choose()?;
            self.retry_at = None;
            self.attempting = true;
            return Some(Step::Connect(identity));
        }
        let up = self.up.as_mut().filter(|up| !up.checking && up.checked_at + CHECK_EVERY <= now)?;
        up.checking = true;
        let rights = up.refused || up.rights_checked_at + RIGHTS_EVERY <= now;
        if rights {
            up.rights_checked_at = now;
        }
        Some(Step::Check { rights })
    }

    /// When [`ConnectionState::next`] may have something to begin; `None` while it waits for an event.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        let retry = self.retry_at.filter(|_| self.wants_connection() && !self.attempting);
        let check = self.up.filter(|up| !up.checking).map(|up| up.checked_at + CHECK_EVERY);
        [retry, check].into_iter().flatten().min()
    }

    /// What follows from an event; `chance` is between 0 and 1, fresh for every call.
    pub(super) fn handle(&mut self, event: Event, now: Now, chance: f64) -> Vec<Effect> {
        match event {
            Event::Loaded(loaded) => {
                let effects = match loaded {
                    Ok(identity) => self.loaded(identity, now),
                    Err(finding) => self.unusable(finding),
                };
                self.has_loaded = true;
                effects
            }
            Event::Attempted(identity, Ok(())) => self.connected(identity, now.instant),
            Event::Attempted(_, Err(finding)) => self.attempt_failed(finding, now.instant, chance),
            Event::Ended(finding) => {
                warn!(reason = %finding.reason, error = finding.message, "The watch ended: reconnecting");
                self.lost(finding, now.instant, chance)
            }
            Event::Checked(result) => self.checked(result, now.instant, chance),
        }
    }

    fn wants_connection(&self) -> bool {
        self.up.is_none() || self.candidate.is_some()
    }

    /// Without a connection both identities get their chance in turn: a new one may be refused for good.
    fn choose(&self) -> Option<Arc<Identity>> {
        let alternates = self.up.is_none() && self.identity.is_some();
        let try_new = !alternates || self.failures.is_multiple_of(2);
        self.candidate.clone().filter(|_| try_new).or_else(|| self.identity.clone())
    }

    fn loaded(&mut self, identity: Arc<Identity>, now: Now) -> Vec<Effect> {
        if self.identity.as_ref().is_some_and(|known| known.fingerprint() == identity.fingerprint()) {
            // Back to the one in use: what was wrong with its successor does not matter any more.
            self.candidate = None;
            return vec![Effect::Identity(identity)];
        }
        if let Some(finding) = self.refuse_user(&identity) {
            return self.unusable(finding);
        }
        if self.identity.is_some() {
            info!(user = identity.user(), expires = %identity.not_after(), "Found a new identity: trying it");
        }
        let in_use = self.identity.as_ref().filter(|known| self.up.is_some() && !known.is_expired(now.time));
        let mut effects = vec![Effect::AbandonAttempt];
        if in_use.is_none() {
            // What it is can be said before Teleport is reached.
            effects.push(Effect::Identity(identity.clone()));
        }
        self.candidate = Some(identity);
        self.attempting = false;
        self.retry_at = None;
        self.failures = 0;
        effects
    }

    /// Why the identity is not taken up for its user, if so.
    fn refuse_user(&self, identity: &Identity) -> Option<Finding> {
        let user = identity.user();
        let first = self.identity.as_ref().map(|known| known.user());
        let (known, refused) = match (&self.policy.expected, first) {
            (Some(expected), _) => (expected.as_str(), true),
            (None, Some(first)) => (first, self.policy.first_is_kept),
            (None, None) => return None,
        };
        if known == user {
            return None;
        }
        if !refused {
            warn!(before = known, now = user, "The new identity is of another Teleport user");
            return None;
        }
        let message = format!(
            "the identity is of Teleport user `{user}`, not of `{known}`: put back an identity of `{known}`, or name `{user}` in spec.teleport.user (teleport.user)"
        );
        Some(Finding::new(Reason::IdentityUserChanged, message))
    }

    fn unusable(&mut self, finding: Finding) -> Vec<Effect> {
        if self.identity.is_some() {
            error!(error = finding.message, "Cannot use the new identity: staying with the old one");
        } else if self.has_loaded {
            error!(error = finding.message, "There is still no usable identity: waiting for one");
        } else {
            error!(error = finding.message, "There is no usable identity: waiting for one");
        }
        vec![Effect::Reloaded(false), Effect::IdentityProblem(finding)]
    }

    fn connected(&mut self, identity: Arc<Identity>, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.attempting = false;
        if self.candidate.as_ref().is_some_and(|candidate| Arc::ptr_eq(candidate, &identity)) {
            self.candidate = None;
            if self.identity.is_some() {
                info!(expires = %identity.not_after(), "Took up the new identity");
                effects.push(Effect::Reloaded(true));
            }
            effects.push(Effect::Identity(identity.clone()));
        } else if self.candidate.is_some() {
            // The old one serves again, and its successor is tried next.
            effects.push(Effect::Identity(identity.clone()));
        }
        self.identity = Some(identity.clone());
        self.up = Some(Up { since: now, checked_at: now, rights_checked_at: now, checking: false, refused: false });
        self.retry_at = None;
        effects.extend([Effect::Connected(identity), Effect::Ready(true), Effect::List]);
        effects
    }

    fn attempt_failed(&mut self, finding: Finding, now: Instant, chance: f64) -> Vec<Effect> {
        self.attempting = false;
        let delay = self.back_off(now, chance);
        if self.up.is_none() {
            error!(error = finding.message, retry_in = ?delay, "Cannot reach Teleport");
            return vec![Effect::TeleportProblem(finding), Effect::Ready(false)];
        }
        let mut effects = Vec::new();
        if self.failures == 1 {
            error!(error = finding.message, "The new identity does not work: staying with the old one");
            effects.push(Effect::Reloaded(false));
        } else {
            debug!(error = finding.message, retry_in = ?delay, "The new identity does not work yet");
        }
        effects.push(Effect::IdentityProblem(finding));
        effects
    }

    fn lost(&mut self, finding: Finding, now: Instant, chance: f64) -> Vec<Effect> {
        if self.up.take().is_some_and(|up| now.duration_since(up.since) >= STEADY) {
            self.failures = 0;
        }
        self.back_off(now, chance);
        vec![Effect::Disconnect, Effect::TeleportProblem(finding)]
    }

    fn back_off(&mut self, now: Instant, chance: f64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let delay = RECONNECT.delay(self.failures, chance);
        self.retry_at = Some(now + delay);
        delay
    }

    fn checked(&mut self, result: CheckResult, now: Instant, chance: f64) -> Vec<Effect> {
        let Some(up) = &mut self.up else { return Vec::new() };
        up.checking = false;
        up.checked_at = now;
        match result {
            CheckResult::Works if std::mem::take(&mut up.refused) => {
                info!("Teleport takes the identity again");
                vec![Effect::TeleportRecovered, Effect::Ready(true), Effect::List]
            }
            CheckResult::Works => Vec::new(),
            CheckResult::Refused(finding) => {
                if !std::mem::replace(&mut up.refused, true) {
                    error!(error = finding.message, "Teleport refuses the identity, though the watch stays open");
                }
                vec![Effect::TeleportProblem(finding), Effect::Ready(false)]
            }
            CheckResult::Lost(finding) => {
                warn!(error = finding.message, "The connection to Teleport is dead: reconnecting");
                let mut effects = self.lost(finding, now, chance);
                effects.push(Effect::Ready(false));
                effects
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::teleport::testing::{Cluster, Validity};

    fn identity(user: &str) -> Arc<Identity> {
        let file = Cluster::new("example").identity_file(user, Validity::Valid);
        Arc::new(Identity::from_identity_file(file.as_bytes(), "auth.pem").unwrap())
    }

    fn expired(user: &str) -> Arc<Identity> {
        let file = Cluster::new("example").identity_file(user, Validity::Expired);
        Arc::new(Identity::from_identity_file(file.as_bytes(), "auth.pem").unwrap())
    }

    fn finding(reason: Reason) -> Finding {
        Finding::new(reason, "why")
    }

    /// A world whose time passes only when told.
    struct World {
        connection: ConnectionState,
        now: Instant,
    }

    impl World {
        fn new(policy: UserPolicy) -> Self {
            Self { connection: ConnectionState::new(policy), now: Instant::now() }
        }

        fn up(identity: &Arc<Identity>, policy: UserPolicy) -> Self {
            let mut world = Self::new(policy);
            world.tell(Event::Loaded(Ok(identity.clone())));
            world.connects_with(identity);
            world.tell(Event::Attempted(identity.clone(), Ok(())));
            world
        }

        fn tell(&mut self, event: Event) -> Vec<Effect> {
            let now = Now { instant: self.now, time: Timestamp::now() };
            self.connection.handle(event, now, 1.0)
        }

        fn connects_with(&mut self, identity: &Arc<Identity>) {
            match self.connection.next(self.now) {
                Some(Step::Connect(chosen)) => assert!(Arc::ptr_eq(&chosen, identity)),
                step => panic!("{step:?}"),
            }
            assert!(self.connection.next(self.now).is_none(), "one attempt at a time");
        }

        fn pass(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
        }
    }

    fn problem(effects: &[Effect]) -> Option<Reason> {
        effects.iter().find_map(|effect| match effect {
            Effect::TeleportProblem(finding) | Effect::IdentityProblem(finding) => Some(finding.reason),
            _ => None,
        })
    }

    fn shows_identity(effects: &[Effect]) -> bool {
        effects.iter().any(|effect| matches!(effect, Effect::Identity(_)))
    }

    fn is_ready(effects: &[Effect]) -> Option<bool> {
        effects.iter().find_map(|effect| if let Effect::Ready(ready) = effect { Some(*ready) } else { None })
    }

    #[test]
    fn an_identity_is_known_before_teleport_can_be_reached() {
        let mut world = World::new(UserPolicy::default());
        let effects = world.tell(Event::Loaded(Err(finding(Reason::IdentityMissing))));
        assert_eq!(problem(&effects), Some(Reason::IdentityMissing));
        assert!(world.connection.next(world.now).is_none());
        let first = identity("plugin");
        assert!(shows_identity(&world.tell(Event::Loaded(Ok(first.clone())))));
        world.connects_with(&first);
        let effects = world.tell(Event::Attempted(first, Err(finding(Reason::TeleportUnreachable))));
        assert_eq!((problem(&effects), is_ready(&effects)), (Some(Reason::TeleportUnreachable), Some(false)));
        assert!(shows_identity(&world.tell(Event::Loaded(Ok(identity("plugin"))))));
    }

    #[test]
    fn the_successor_of_an_expired_identity_is_known_at_once_and_that_of_a_valid_one_once_it_works() {
        let old = expired("plugin");
        let mut world = World::up(&old, UserPolicy::default());
        assert!(shows_identity(&world.tell(Event::Loaded(Ok(identity("plugin"))))));
        let mut world = World::up(&identity("plugin"), UserPolicy::default());
        let new = identity("plugin");
        assert!(!shows_identity(&world.tell(Event::Loaded(Ok(new.clone())))));
        world.connects_with(&new);
        assert!(shows_identity(&world.tell(Event::Attempted(new, Ok(())))));
    }

    #[test]
    fn a_new_identity_that_is_refused_leaves_the_connection_alone() {
        let mut world = World::up(&identity("plugin"), UserPolicy::default());
        let new = identity("plugin");
        world.tell(Event::Loaded(Ok(new.clone())));
        world.connects_with(&new);
        let effects = world.tell(Event::Attempted(new.clone(), Err(finding(Reason::IdentityRefused))));
        assert_eq!(problem(&effects), Some(Reason::IdentityRefused));
        assert!(effects.iter().all(|effect| !matches!(effect, Effect::Disconnect | Effect::Ready(_))), "{effects:?}");
        world.pass(11);
        world.connects_with(&new);
    }

    #[test]
    fn without_a_connection_both_identities_are_tried_in_turn() {
        let old = identity("plugin");
        let mut world = World::up(&old, UserPolicy::default());
        let new = identity("plugin");
        world.tell(Event::Loaded(Ok(new.clone())));
        world.tell(Event::Ended(finding(Reason::TeleportUnreachable)));
        for tried in [&old, &new, &old] {
            world.pass(11);
            world.connects_with(tried);
            world.tell(Event::Attempted(tried.clone(), Err(finding(Reason::IdentityRefused))));
        }
    }

    #[test]
    fn a_broken_new_identity_is_told_until_another_comes_whatever_becomes_of_the_connection() {
        let used = identity("plugin");
        let mut world = World::up(&used, UserPolicy::default());
        world.tell(Event::Loaded(Err(finding(Reason::IdentityMalformed))));
        world.tell(Event::Ended(finding(Reason::TeleportUnreachable)));
        world.pass(1);
        world.connects_with(&used);
        assert!(!shows_identity(&world.tell(Event::Attempted(used.clone(), Ok(())))));
        assert!(shows_identity(&world.tell(Event::Loaded(Ok(used)))));
    }

    #[test]
    fn a_dead_connection_is_noticed_within_thirty_seconds() {
        let mut world = World::up(&identity("plugin"), UserPolicy::default());
        let due = world.connection.wakes_at().unwrap();
        assert!(due + CHECK_TIMEOUT <= world.now + NOTICED_WITHIN);
        world.now = due;
        assert!(matches!(world.connection.next(world.now), Some(Step::Check { .. })));
        assert!(world.connection.next(world.now).is_none() && world.connection.wakes_at().is_none());
        let effects = world.tell(Event::Checked(CheckResult::Lost(finding(Reason::TeleportUnreachable))));
        assert_eq!((problem(&effects), is_ready(&effects)), (Some(Reason::TeleportUnreachable), Some(false)));
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Disconnect)));
        world.pass(1);
        assert!(matches!(world.connection.next(world.now), Some(Step::Connect(_))));
    }

    #[test]
    fn a_refusal_is_told_while_the_watch_stays_open_and_until_a_check_succeeds() {
        let mut world = World::up(&identity("plugin"), UserPolicy::default());
        world.pass(15);
        assert!(matches!(world.connection.next(world.now), Some(Step::Check { rights: false })));
        let effects = world.tell(Event::Checked(CheckResult::Refused(finding(Reason::IdentityRefused))));
        assert_eq!((problem(&effects), is_ready(&effects)), (Some(Reason::IdentityRefused), Some(false)));
        assert!(effects.iter().all(|effect| !matches!(effect, Effect::Disconnect)));
        world.pass(15);
        assert!(matches!(world.connection.next(world.now), Some(Step::Check { rights: true })));
        let effects = world.tell(Event::Checked(CheckResult::Works));
        assert_eq!(is_ready(&effects), Some(true));
        assert!(effects.iter().any(|effect| matches!(effect, Effect::TeleportRecovered)));
        assert!(effects.iter().any(|effect| matches!(effect, Effect::List)));
    }

    #[test]
    fn the_right_to_write_is_checked_once_a_minute() {
        let mut world = World::up(&identity("plugin"), UserPolicy::default());
        let mut checks = Vec::new();
        for _ in 0..8 {
            world.pass(15);
            let Some(Step::Check { rights }) = world.connection.next(world.now) else { panic!("no check") };
            world.tell(Event::Checked(CheckResult::Works));
            checks.push(rights);
        }
        assert_eq!(checks, [false, false, false, true, false, false, false, true]);
    }

    #[test]
    fn an_identity_of_another_user_is_refused_with_both_names_unless_it_is_the_expected_one() {
        let kept = UserPolicy { first_is_kept: true, ..UserPolicy::default() };
        let mut world = World::up(&identity("plugin"), kept);
        let effects = world.tell(Event::Loaded(Ok(identity("intruder"))));
        let Some(Effect::IdentityProblem(finding)) = effects.last() else { panic!("{effects:?}") };
        assert_eq!(finding.reason, Reason::IdentityUserChanged);
        assert!(finding.message.contains("`plugin`") && finding.message.contains("`intruder`"));
        assert!(world.connection.next(world.now).is_none());

        let mut world = World::up(&identity("plugin"), UserPolicy::default());
        let other = identity("other");
        assert_eq!(problem(&world.tell(Event::Loaded(Ok(other.clone())))), None);
        world.connects_with(&other);

        let expected = UserPolicy { expected: Some("other".to_owned()), first_is_kept: true };
        let mut world = World::new(expected);
        let effects = world.tell(Event::Loaded(Ok(identity("plugin"))));
        assert_eq!(problem(&effects), Some(Reason::IdentityUserChanged));
        world.tell(Event::Loaded(Ok(other.clone())));
        world.connects_with(&other);
    }

    #[test]
    fn a_connection_that_soon_breaks_is_made_anew_ever_more_rarely() {
        let used = identity("plugin");
        let mut world = World::up(&used, UserPolicy::default());
        let mut waits = Vec::new();
        for _ in 0..4 {
            world.tell(Event::Ended(finding(Reason::TeleportUnreachable)));
            let due = world.connection.wakes_at().unwrap();
            waits.push(due.duration_since(world.now).as_millis());
            world.now = due;
            world.connects_with(&used);
            world.tell(Event::Attempted(used.clone(), Ok(())));
        }
        assert_eq!(waits, [200, 400, 800, 1600]);
        world.pass(30);
        world.tell(Event::Ended(finding(Reason::TeleportUnreachable)));
        assert_eq!(world.connection.wakes_at(), Some(world.now + Duration::from_millis(200)));
    }
}
