//! Whether Slack takes the token: tested at the start, when its file changes, from time to time, and more often while it does not.

use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::Instant;
use tracing::{error, info};

use crate::backoff::Backoff;
use crate::metrics::Reload;
use crate::slack::api::Account;
use crate::slack::token::Token;
use crate::worker::health::condition_reason;
use crate::worker::session::token::{self, Tested};
use crate::worker::session::{RETEST_LONGEST, Session, is_due};

/// Between tests of a token that does not work.
const RETEST: Backoff = Backoff::doubling(Duration::from_secs(5), RETEST_LONGEST);

impl Session {
    pub(super) fn slack_tested(&mut self, tested: Tested) {
        self.tested_at = Some(Instant::now());
        match tested {
            Tested::Works(account) => {
                if !self.slack_worked || self.test_failures > 0 {
                    info!(team = account.team, bot = account.user, "Connected to Slack");
                }
                self.slack_works(&account, false);
            }
            Tested::Renewed(account) => {
                self.shared.metrics.token_reload(Reload::Ok);
                info!(team = account.team, bot = account.user, "Took up the new Slack token");
                self.slack_works(&account, true);
            }
            Tested::Fails(error) => {
                if self.test_again() {
                    let remedy = error.remedy();
                    error!(%error, remedy, "Cannot work with Slack: requests wait until this is mended");
                }
                // That there is no token is said already; its file is watched.
                if !self.context.slack.has_token(&Token::new("")) {
                    self.shared.reporter.slack_problem(condition_reason::of_slack(&error));
                }
            }
            Tested::NewFails(error) => {
                if self.test_again() {
                    self.shared.metrics.token_reload(Reload::Failed);
                    if self.context.slack.has_token(&Token::new("")) {
                        error!(%error, "There is still no usable Slack token: waiting for one");
                    } else {
                        error!(%error, "The new Slack token does not work: staying with the old one");
                    }
                }
                self.shared.reporter.slack_problem(condition_reason::of_token(&error));
            }
        }
    }

    pub(super) fn slack_works(&mut self, account: &Account, renewed: bool) {
        self.shared.reporter.slack_connected(account);
        self.count_credentials();
        self.slack_worked = true;
        // Nobody tells that a token was revoked.
        self.test_at = Some(Instant::now() + RETEST_LONGEST);
        if std::mem::take(&mut self.test_failures) > 0 || renewed {
            self.wake_all();
        }
    }

    /// Plans the next test after one that failed. Whether it was the first in a row.
    pub(super) fn test_again(&mut self) -> bool {
        self.test_failures = self.test_failures.saturating_add(1);
        self.test_at = Some(Instant::now() + RETEST.delay(self.test_failures, rand::random()));
        self.test_failures == 1
    }

    pub(super) fn test_slack_if_due(&mut self) {
        if self.testing.is_none() && is_due(self.test_at) {
            self.test_at = None;
            self.testing = Some(token::test(self.shared.config.clone(), self.context.slack.clone()).boxed());
        }
    }

    /// Wakes every task: what could not be done before may be possible now.
    pub(super) fn wake_all(&self) {
        self.context.book.forget_people();
        self.routes.send_modify(|_| {});
    }

    pub(super) fn token_changed(&mut self) {
        self.test_failures = 0;
        self.testing = None;
        self.test_at = Some(Instant::now());
    }
}
