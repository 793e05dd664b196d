//! The Slack token: when it is tested, which workspace it is pinned to, and what a test means. Pure.

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::slack::api::Account;

/// The longest time between tests: Slack does not tell when a token is revoked.
const RETEST_LONGEST: Duration = Duration::from_mins(1);
/// The shortest time after a test until a refusal by Slack leads to another one.
const RETEST_SHORTEST: Duration = Duration::from_secs(10);
/// Between tests of a token that does not work.
const RETEST: Backoff = Backoff::doubling(Duration::from_secs(5), RETEST_LONGEST);

/// A workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Workspace {
    /// `T…`.
    pub id: String,
    /// Its name; empty where only the configuration names the id.
    pub name: String,
}

impl Workspace {
    /// The workspace of an account.
    pub(super) fn of(account: &Account) -> Self {
        Self { id: account.team_id.clone(), name: account.team.clone() }
    }

    /// Whether an account belongs to it. An answer without an id proves nothing.
    pub(super) fn has(&self, account: &Account) -> bool {
        account.team_id.is_empty() || account.team_id == self.id
    }
}

/// `Acme (T0123)`.
impl std::fmt::Display for Workspace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.name.is_empty() { f.write_str(&self.id) } else { write!(f, "{} ({})", self.name, self.id) }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event<'a> {
    /// A test has ended well; `renewed`: with a new token.
    Works {
        /// Whose token it is.
        account: &'a Account,
        /// A new token was taken up.
        renewed: bool,
    },
    /// A test has failed.
    Fails,
    /// The token's file has changed.
    FileChanged,
    /// Slack has refused a message for a reason that concerns every message.
    Refused,
}

/// What follows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Effects {
    /// Drop the test that is under way.
    pub abandon_test: bool,
    /// It is the first of its kind in a row: worth a line in the log.
    pub is_news: bool,
    /// What could not be done before may be possible now: wake every task.
    pub wake_all: bool,
}

/// The state of the token.
#[derive(Debug)]
pub(super) struct SlackToken {
    workspace: Option<Workspace>,
    testing: bool,
    test_at: Option<Instant>,
    tested_at: Option<Instant>,
    failures: u32,
    worked: bool,
}

impl SlackToken {
    /// Begins untested; `expected` is the id of the workspace that the configuration names.
    pub(super) fn new(expected: Option<String>, now: Instant) -> Self {
        let workspace = expected.map(|id| Workspace { id, name: String::new() });
        Self { workspace, testing: false, test_at: Some(now), tested_at: None, failures: 0, worked: false }
    }

    /// The workspace that tokens have to be of: the configured one, or that of the first token that worked.
    pub(super) fn workspace(&self) -> Option<&Workspace> {
        self.workspace.as_ref()
    }

    /// Whether a test is to be begun now.
    pub(super) fn next(&mut self, now: Instant) -> bool {
        let due = !self.testing && self.test_at.is_some_and(|at| at <= now);
        if due {
            self.test_at = None;
            self.testing = true;
        }
        due
    }

    /// When [`SlackToken::next`] may have something to begin.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        self.test_at.filter(|_| !self.testing)
    }

    /// What follows from an event; `chance` is between 0 and 1, fresh for every call.
    pub(super) fn handle(&mut self, event: Event<'_>, now: Instant, chance: f64) -> Effects {
        match event {
            Event::Works { account, renewed } => {
                self.tested(now);
                let recovered = std::mem::take(&mut self.failures) > 0;
                let first = !std::mem::replace(&mut self.worked, true);
                if self.workspace.is_none() && !account.team_id.is_empty() {
                    self.workspace = Some(Workspace::of(account));
                }
                self.test_at = Some(now + RETEST_LONGEST);
                Effects { is_news: first || recovered || renewed, wake_all: recovered || renewed, abandon_test: false }
            }
            Event::Fails => {
                self.tested(now);
                self.failures = self.failures.saturating_add(1);
                self.test_at = Some(now + RETEST.delay(self.failures, chance));
                Effects { is_news: self.failures == 1, ..Effects::default() }
            }
            Event::FileChanged => {
                self.failures = 0;
                self.testing = false;
                self.test_at = Some(now);
                Effects { abandon_test: true, ..Effects::default() }
            }
            Event::Refused => {
                let tested_lately = self.tested_at.is_some_and(|at| now.duration_since(at) < RETEST_SHORTEST);
                if !tested_lately && !self.testing && self.failures == 0 {
                    self.test_at = Some(now);
                }
                Effects::default()
            }
        }
    }

    fn tested(&mut self, now: Instant) {
        self.testing = false;
        self.tested_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(team_id: &str) -> Account {
        Account { team_id: team_id.to_owned(), team: "Acme".to_owned(), ..Account::default() }
    }

    fn works(token: &mut SlackToken, renewed: bool, now: Instant) -> Effects {
        token.handle(Event::Works { account: &account("T1"), renewed }, now, 1.0)
    }

    #[test]
    fn a_token_is_tested_at_the_start_and_once_a_minute() {
        let now = Instant::now();
        let mut token = SlackToken::new(None, now);
        assert!(token.next(now) && !token.next(now), "one test at a time");
        assert_eq!(works(&mut token, false, now), Effects { is_news: true, ..Effects::default() });
        assert_eq!(token.wakes_at(), Some(now + RETEST_LONGEST));
        assert!(!token.next(now + RETEST_LONGEST / 2));
        assert!(token.next(now + RETEST_LONGEST));
        assert_eq!(works(&mut token, false, now), Effects::default());
    }

    #[test]
    fn a_token_that_works_again_wakes_everything_once() {
        let now = Instant::now();
        let mut token = SlackToken::new(None, now);
        assert!(token.next(now));
        assert!(token.handle(Event::Fails, now, 1.0).is_news);
        assert_eq!(token.wakes_at(), Some(now + Duration::from_secs(5)));
        assert!(!token.handle(Event::Fails, now, 1.0).is_news);
        assert_eq!(token.wakes_at(), Some(now + Duration::from_secs(10)));
        assert!(works(&mut token, false, now).wake_all);
        assert!(!works(&mut token, false, now).wake_all);
        assert!(works(&mut token, true, now).wake_all, "a new token");
    }

    #[test]
    fn a_refused_message_leads_to_a_test_but_not_to_many() {
        let now = Instant::now();
        let mut token = SlackToken::new(None, now);
        assert!(token.next(now));
        works(&mut token, false, now);
        token.handle(Event::Refused, now + RETEST_SHORTEST / 2, 1.0);
        assert_eq!(token.wakes_at(), Some(now + RETEST_LONGEST));
        token.handle(Event::Refused, now + RETEST_SHORTEST, 1.0);
        assert_eq!(token.wakes_at(), Some(now + RETEST_SHORTEST));
    }

    #[test]
    fn a_changed_file_is_read_at_once() {
        let now = Instant::now();
        let mut token = SlackToken::new(None, now);
        assert!(token.next(now));
        assert!(token.handle(Event::FileChanged, now, 1.0).abandon_test);
        assert!(token.next(now));
    }

    #[test]
    fn the_first_workspace_is_kept_unless_another_is_configured() {
        let now = Instant::now();
        let mut token = SlackToken::new(None, now);
        assert_eq!(token.workspace(), None);
        works(&mut token, false, now);
        let kept = token.workspace().unwrap();
        assert!(kept.has(&account("T1")) && kept.has(&account("")) && !kept.has(&account("T2")));
        assert_eq!(kept.to_string(), "Acme (T1)");
        let configured = SlackToken::new(Some("T2".to_owned()), now);
        assert!(!configured.workspace().unwrap().has(&account("T1")));
    }
}
