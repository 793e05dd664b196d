//! Carries out what the token's state asks for: tests of the token in use, and of a new one.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::time::Instant;
use tracing::{error, info};

use crate::file_watch::Watched;
use crate::metrics::Reload;
use crate::slack::api::{Account, Client};
use crate::slack::token::Token;
use crate::worker::health::condition_reason;
use crate::worker::session::slack_token::{Event, SlackToken};
use crate::worker::session::token::{self, Tested};
use crate::worker::session::{at, next_of};
use crate::worker::{Error, Shared};

/// Slack as the session sees it.
pub(super) struct SlackLink {
    shared: Shared,
    state: SlackToken,
    client: Client,
    file: Watched,
    test: Option<BoxFuture<'static, Tested>>,
}

/// What has happened.
pub(super) enum Happening {
    /// A test has ended.
    Tested(Box<Tested>),
    /// The token's file has changed.
    FileChanged,
    /// Something is due.
    Due,
}

/// What could not be done before may be possible now: every task is to be woken.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MustWake(pub bool);

impl SlackLink {
    /// Makes the client; nothing is tested yet.
    pub(super) fn new(shared: &Shared, strict: bool) -> Result<Self, Error> {
        // Watched before it is read: a change in between would be missed otherwise.
        let file = token::watched(&shared.config);
        let client = token::client(shared, strict)?;
        let state = SlackToken::new(shared.config.slack.team_id.clone(), Instant::now());
        Ok(Self { shared: shared.clone(), state, client, file, test: None })
    }

    /// For calls.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Whether there is a token.
    pub(super) fn has_token(&self) -> bool {
        !self.client.has_token(&Token::new(""))
    }

    /// In a strict start: tests once, and what only a person can mend is an error.
    pub(super) async fn test_once(&mut self) -> Result<MustWake, Error> {
        self.state.next(Instant::now());
        match self.run_test().await {
            Tested::Fails(error) | Tested::NewFails(Error::Slack { error }) if error.is_elsewhere() => {
                let address = self.shared.config.slack.api_url.clone();
                Err(Error::NotSlack { address, error: Box::new(error) })
            }
            Tested::Fails(error) | Tested::NewFails(Error::Slack { error }) if token::is_fatal(&error) => {
                Err(Error::Slack { error })
            }
            Tested::NewFails(error @ Error::OtherWorkspace { .. }) => Err(error),
            tested => Ok(self.tested(tested)),
        }
    }

    fn run_test(&self) -> impl Future<Output = Tested> + use<> {
        token::test(self.shared.config.clone(), self.client.clone(), self.state.workspace().cloned())
    }

    /// Begins what is due.
    pub(super) fn begin(&mut self) {
        if self.state.next(Instant::now()) {
            self.test = Some(self.run_test().boxed());
        }
    }

    /// Waits for the next happening. Cancel-safe.
    pub(super) async fn happening(&mut self) -> Happening {
        let wake = self.state.wakes_at();
        tokio::select! {
            tested = next_of(&mut self.test) => Happening::Tested(Box::new(tested)),
            _ = self.file.changed() => Happening::FileChanged,
            () = at(wake) => Happening::Due,
        }
    }

    /// Takes a happening in.
    pub(super) fn handle(&mut self, happening: Happening) -> MustWake {
        match happening {
            Happening::Due => MustWake(false),
            Happening::FileChanged => {
                if self.state.handle(Event::FileChanged, Instant::now(), rand::random()).abandon_test {
                    self.test = None;
                }
                MustWake(false)
            }
            Happening::Tested(tested) => self.tested(*tested),
        }
    }

    fn tested(&mut self, tested: Tested) -> MustWake {
        match tested {
            Tested::Works(account) => self.works(&account, false),
            Tested::Renewed(account) => self.works(&account, true),
            Tested::Fails(error) => {
                if self.fails() {
                    let remedy = error.remedy();
                    error!(%error, remedy, "Cannot work with Slack: requests wait until this is mended");
                }
                // That there is no token is said already; its file is watched.
                if self.has_token() {
                    self.shared.reporter.slack_problem(condition_reason::of_slack(&error));
                }
                MustWake(false)
            }
            Tested::NewFails(error) => {
                if self.fails() {
                    self.shared.metrics.token_reload(Reload::Failed);
                    if self.has_token() {
                        error!(%error, "The new Slack token does not work: staying with the old one");
                    } else {
                        error!(%error, "There is still no usable Slack token: waiting for one");
                    }
                }
                self.shared.reporter.slack_problem(condition_reason::of_token(&error));
                MustWake(false)
            }
        }
    }

    /// Slack has refused a message for a reason that concerns every message: finds out whether the token still works.
    pub(super) fn refused(&mut self) {
        self.state.handle(Event::Refused, Instant::now(), rand::random());
    }

    fn works(&mut self, account: &Account, renewed: bool) -> MustWake {
        let event = Event::Works { account, renewed };
        let effects = self.state.handle(event, Instant::now(), rand::random());
        if renewed {
            self.shared.metrics.token_reload(Reload::Ok);
            info!(team = account.team, bot = account.user, "Took up the new Slack token");
        } else if effects.is_news {
            info!(team = account.team, bot = account.user, "Connected to Slack");
        }
        self.shared.reporter.slack_connected(account);
        MustWake(effects.wake_all)
    }

    /// Whether it is the first failure in a row.
    fn fails(&mut self) -> bool {
        self.state.handle(Event::Fails, Instant::now(), rand::random()).is_news
    }
}
