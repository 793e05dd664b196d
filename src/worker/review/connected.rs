//! Whether clicks arrive: what the status says of the connection.

use std::io::ErrorKind;
use std::sync::{Arc, PoisonError};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::config::paths;
use crate::crd::condition::Finding;
use crate::crd::reason::Reason;
use crate::slack::error::{Class, Error as SlackError};
use crate::slack::socket::{Failure, State};
use crate::worker::Error;
use crate::worker::health::report::Probed;
use crate::worker::review::{Desk, TOLERANCE};

/// What is known of the connection.
pub(super) struct Health {
    desk: Arc<Desk>,
    /// When a connection that was lost becomes news.
    news_at: Option<Instant>,
    /// A connection has served.
    served: bool,
    clicked: bool,
    up: bool,
    /// The apps of the two tokens differ: of the bot's, then of the app-level one's.
    mismatch: Option<(String, String)>,
    /// The bot and the app that were compared last.
    compared: Option<(String, String)>,
    comparing: Option<BoxFuture<'static, Comparison>>,
}

/// The bot and the app, and the bot's own app if Slack told it.
type Comparison = (String, String, Option<String>);

impl Health {
    pub(super) fn new(desk: &Arc<Desk>) -> Self {
        Self {
            desk: desk.clone(),
            news_at: None,
            served: false,
            clicked: false,
            up: false,
            mismatch: None,
            compared: None,
            comparing: None,
        }
    }

    /// When to look again although nothing has changed.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.news_at
    }

    /// A click has arrived: interactivity is switched on.
    pub(super) fn clicked(&mut self) {
        if !std::mem::replace(&mut self.clicked, true) && self.up && self.mismatch.is_none() {
            self.desk.reviews.reporter.review(|review| review.connected = Some(Ok(up(true, 0))));
        }
    }

    /// Takes the state of the connection, and what is wrong with the token's file.
    pub(super) fn look(&mut self, state: &State, token: Option<&Error>) {
        let metrics = &self.desk.context.metrics;
        let mut was_up = std::mem::replace(&mut self.up, matches!(state, State::Up { .. }));
        metrics.review_connected(self.up);
        let finding: Probed = match state {
            State::Up { app_id, others } => {
                metrics.review_other_connections(*others);
                self.served = true;
                self.news_at = None;
                let others = *others;
                if !std::mem::replace(&mut was_up, true) {
                    self.compare(app_id.clone());
                }
                match (&self.mismatch, token) {
                    (Some((bot, app)), _) => Some(Err(mismatch(bot, app))),
                    (None, Some(error)) => Some(Err(of_token(error))),
                    (None, None) => Some(Ok(up(self.clicked, others))),
                }
            }
            _ if token.is_some() => token.map(|error| Err(of_token(error))),
            State::Connecting => None,
            State::Down(failure) => {
                let trouble = of_failure(failure);
                let passes = matches!(trouble.reason, Reason::SlackUnreachable);
                let news_at = *self.news_at.get_or_insert_with(|| Instant::now() + TOLERANCE);
                if self.served && passes && Instant::now() < news_at {
                    return;
                }
                Some(Err(trouble))
            }
        };
        if finding.is_some() || !self.served {
            self.news_at = self.news_at.filter(|at| Instant::now() < *at);
            self.desk.reviews.reporter.review(|review| review.connected = finding);
        }
    }

    /// Clicks on the bot's messages go to the bot's app: the app-level token has to be of the same one.
    fn compare(&mut self, app_id: Option<String>) {
        app_id.clone_into(&mut self.desk.app_id.lock().unwrap_or_else(PoisonError::into_inner));
        let Some(app) = app_id else { return };
        let slack = self.desk.context.slack.clone();
        let compared = self.compared.clone();
        self.comparing = Some(
            async move {
                let bot = slack.account().await.ok().and_then(|account| account.bot_id).unwrap_or_default();
                let known = compared.is_some_and(|pair| pair == (bot.clone(), app.clone()));
                let bots_app = if known || bot.is_empty() { None } else { slack.app_of_bot(&bot).await.ok().flatten() };
                (bot, app, bots_app)
            }
            .boxed(),
        );
    }

    /// Waits until the apps of the two tokens are compared; for ever where that is not under way.
    pub(super) async fn compared(&mut self) {
        let Some(comparing) = &mut self.comparing else { return std::future::pending().await };
        let (bot, app, bots_app) = comparing.await;
        self.comparing = None;
        // Where Slack does not tell, the two are taken to belong together.
        if let Some(bots_app) = bots_app {
            self.mismatch = (bots_app != app).then(|| (bots_app, app.clone()));
            self.compared = Some((bot, app));
        }
    }
}

fn up(clicked: bool, others: u32) -> String {
    let beside = match others {
        0 => String::new(),
        1 => ", beside 1 other connection of the app".to_owned(),
        others => format!(", beside {others} other connections of the app"),
    };
    let mut message = format!("connected to Slack's Socket Mode{beside}");
    if !clicked {
        message.push_str(
            "; no click has arrived yet: if a click shows an error in Slack and nothing arrives here, switch on Interactivity & \
             Shortcuts in the app's settings",
        );
    }
    message
}

fn mismatch(bot: &str, app: &str) -> Finding {
    Finding::new(
        Reason::AppMismatch,
        format!(
            "the bot token belongs to the app {bot} and the app-level token to {app}: clicks go to the former and do not arrive here; \
             generate an app-level token for {bot}"
        ),
    )
}

fn of_token(error: &Error) -> Finding {
    match error {
        Error::File { path, source, .. } if source.kind() == ErrorKind::NotFound => {
            let message = paths::origin(path).map_or_else(|| error.to_string(), |origin| origin.missing());
            Finding::new(Reason::AppTokenMissing, message)
        }
        error => Finding::new(Reason::AppTokenMalformed, error.to_string()),
    }
}

fn of_failure(failure: &Failure) -> Finding {
    let unreachable = |message: &str| Finding::new(Reason::SlackUnreachable, message);
    match failure {
        Failure::Call(error) => of_call(error),
        Failure::Disabled => Finding::new(
            Reason::SocketModeDisabled,
            "Socket Mode is switched off for the app: switch it on in the app's settings, and Interactivity & Shortcuts with it",
        ),
        Failure::TooMany => Finding::new(
            Reason::TooManyConnections,
            "the app has ten Socket Mode connections already, and Slack permits no more: is its token used elsewhere?",
        ),
        Failure::Silent => unreachable(
            "Slack says nothing over its Socket Mode connections: check the network and the proxy on the way",
        ),
        Failure::Lost => unreachable("the Socket Mode connection was lost; it is opened again"),
    }
}

fn of_call(error: &SlackError) -> Finding {
    const TOKEN: &str = "generate an app-level token (xapp-...) with the scope connections:write under Basic Information > App-Level Tokens";
    match (error.class, &*error.code) {
        (_, "missing_scope") => Finding::new(Reason::ScopeMissing, format!("{error}; {TOKEN}")),
        (_, "link_disabled" | "socket_mode_disabled") => of_failure(&Failure::Disabled),
        (Class::Auth, _) => {
            Finding::new(Reason::AppTokenRefused, format!("Slack refuses the app token: {error}; {TOKEN}"))
        }
        _ => Finding::new(Reason::SlackUnreachable, format!("{error}; {}", error.remedy())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slack::method::CONNECTIONS_OPEN;

    #[test]
    fn every_failure_is_told_with_the_remedy() {
        let call = |code: &str| Failure::Call(Box::new(SlackError::new(CONNECTIONS_OPEN, code, None)));
        for (failure, expected, words) in [
            (call("invalid_auth"), Reason::AppTokenRefused, "connections:write"),
            (call("not_allowed_token_type"), Reason::AppTokenRefused, "xapp-"),
            (call("missing_scope"), Reason::ScopeMissing, "connections:write"),
            (call("link_disabled"), Reason::SocketModeDisabled, "switch it on"),
            (call("connect_failed"), Reason::SlackUnreachable, "network"),
            (Failure::Disabled, Reason::SocketModeDisabled, "Interactivity"),
            (Failure::TooMany, Reason::TooManyConnections, "ten"),
            (Failure::Silent, Reason::SlackUnreachable, "proxy"),
        ] {
            let trouble = of_failure(&failure);
            assert_eq!(trouble.reason, expected, "{failure:?}");
            assert!(trouble.message.contains(words), "{}", trouble.message);
        }
    }

    #[test]
    fn a_connection_without_clicks_says_how_to_check_the_switch() {
        assert!(up(false, 0).contains("Interactivity"));
        assert!(!up(true, 0).contains("Interactivity"));
        assert!(up(true, 2).contains("2 other connections"));
    }
}
