//! The Slack token: from the configuration or a file, and anew when the file changes.

use std::sync::Arc;

use tracing::{error, warn};

use crate::config::{Config, TOKEN_FILE_LIMIT, TokenSource};
use crate::file_watch::Watched;
use crate::slack::api::{Account, Client, Settings, SettingsError};
use crate::slack::error::{Class, Error as SlackError};
use crate::slack::method;
use crate::slack::token::{Token, TokenError};
use crate::worker::health::condition_reason;
use crate::worker::session::slack_token::Workspace;
use crate::worker::{Error, SLACK_BUNDLE, Shared, read_file};

const KEY: &str = "slack.token";

/// A client for the configured workspace. Without a strict start a token that is not there yet is waited for: Slack
/// refuses every call until then.
pub(super) fn client(shared: &Shared, strict: bool) -> Result<Client, Error> {
    let config = &shared.config;
    match read(config) {
        Ok(token) => {
            if let (TokenSource::File(path), Ok(Some(warning))) = (&config.slack.token, token.check_bot_slot()) {
                warn!(file = %path.display(), "{KEY}: {warning}");
            }
            // A token that has to be of a certain workspace is used only once that is known.
            client_with(config, if config.slack.team_id.is_some() { Token::new("") } else { token })
        }
        Err(error) if strict => Err(error),
        Err(error) => {
            error!(%error, "There is no Slack token: waiting for one");
            shared.reporter.slack_problem(condition_reason::of_token(&error));
            client_with(config, Token::new(""))
        }
    }
}

fn client_with(config: &Config, token: Token) -> Result<Client, Error> {
    let mut settings = Settings::new(token);
    settings.api_url.clone_from(&config.slack.api_url);
    if let Some(path) = &config.slack.ca_bundle {
        settings.ca_bundle = Some(read_file(SLACK_BUNDLE, path)?.to_vec());
    }
    Client::new(&settings).map_err(|error| match (error, &config.slack.ca_bundle) {
        (error @ SettingsError::CaBundle { .. }, Some(path)) => {
            Error::Unusable { key: SLACK_BUNDLE, path: path.clone(), reason: error.to_string() }
        }
        (error, _) => error.into(),
    })
}

fn read(config: &Config) -> Result<Token, Error> {
    let path = match &config.slack.token {
        TokenSource::Inline(token) => return Ok(Token::new(token)),
        TokenSource::File(path) => path,
    };
    let mut bytes = read_file(KEY, path)?;
    bytes.truncate(TOKEN_FILE_LIMIT);
    let unusable = |reason: &str| Error::Unusable { key: KEY, path: path.clone(), reason: reason.to_owned() };
    let text = std::str::from_utf8(&bytes).map_err(|_| unusable("not text; put the bot token (xoxb-...) into it"))?;
    // Some editors put a byte order mark in front.
    let token = Token::new(text.trim_start_matches('\u{feff}'));
    match token.check_bot_slot() {
        Ok(Some(_)) if is_withheld(config, &token) => Err(unusable(
            "not a token of Slack's, and therefore not sent to Slack; put the bot token (xoxb-...) into it",
        )),
        Ok(_) => Ok(token),
        Err(TokenError::Empty) => Err(unusable("empty; put the bot token (xoxb-...) into it")),
        Err(error) => Err(unusable(&error.to_string())),
    }
}

fn is_withheld(config: &Config, token: &Token) -> bool {
    let host = reqwest::Url::parse(&config.slack.api_url).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.is_some_and(|host| token.withheld_from(&host).is_some())
}

/// Tells when the token's file changes; never, if it is not in a file.
pub(super) fn watched(config: &Config) -> Watched {
    Watched::await_files(match &config.slack.token {
        TokenSource::File(path) => vec![path.clone()],
        TokenSource::Inline(_) => Vec::new(),
    })
}

/// Whether a person has to act before Slack takes this token.
pub(super) fn is_fatal(error: &SlackError) -> bool {
    error.class == Class::Auth
}

/// An account whose token may post, as far as Slack says which scopes it has: the others each serve a part of the work
/// only, and are asked for when that fails.
pub(super) fn able(account: Account) -> Result<Account, SlackError> {
    // Classic apps have `bot`, or `chat:write:bot`.
    let posts = |scope: &String| matches!(scope.as_str(), POST | "bot") || scope.starts_with("chat:write:");
    if account.scopes.is_empty() || account.scopes.iter().any(posts) {
        return Ok(account);
    }
    Err(SlackError { needed: Some(POST.into()), ..SlackError::new(method::AUTH_TEST, "missing_scope", None) })
}

/// The scope without which nothing can be told to anybody.
const POST: &str = "chat:write";

/// How a test of the token ended.
pub(super) enum Tested {
    /// The token in use works.
    Works(Account),
    /// There was a new one, which works and is in use now.
    Renewed(Account),
    /// The token in use does not work.
    Fails(SlackError),
    /// There is a new one, and it does not work: the old one stays in use.
    NewFails(Error),
}

/// Tries the token, after reading it again: a new one is given to `client` only if it works.
///
/// A token of another workspace than `kept` does not work: the messages that are there belong to `kept`.
pub(super) async fn test(config: Arc<Config>, client: Client, kept: Option<Workspace>) -> Tested {
    let fresh = match read(&config) {
        Ok(token) => (!client.has_token(&token)).then_some(token),
        Err(error) => return Tested::NewFails(error),
    };
    let Some(token) = fresh else {
        return client.auth_test().await.and_then(able).map_or_else(Tested::Fails, Tested::Works);
    };
    let trial = match client_with(&config, token.clone()) {
        Ok(trial) => trial,
        Err(error) => return Tested::NewFails(error),
    };
    match trial.auth_test().await.and_then(able) {
        Ok(account) => {
            if let Some(kept) = kept.filter(|kept| !kept.has(&account)) {
                let found = Workspace::of(&account).to_string();
                return Tested::NewFails(Error::OtherWorkspace { found, kept: kept.to_string() });
            }
            client.set_token(token);
            Tested::Renewed(account)
        }
        Err(error) => Tested::NewFails(Error::Slack { error }),
    }
}
