//! The Slack token: from the configuration or a file, and anew when the file changes.

use tracing::error;

use crate::{
    files::Watched,
    slack::{
        client::{Account, Client, Settings},
        error::{Class, Error as SlackError},
        token::Token,
    },
    worker::{
        Error, Shared,
        config::{Config, TOKEN_FILE_LIMIT, TokenSource},
        read_file, trouble,
    },
};

const KEY: &str = "slack.token";

/// A client for the configured workspace. Without a strict start a token that is not there yet is waited for: Slack
/// refuses every call until then.
pub(super) fn client(shared: &Shared, strict: bool) -> Result<Client, Error> {
    let config = &shared.config;
    match read(config) {
        Ok(token) => client_with(config, token),
        Err(error) if strict => Err(error),
        Err(error) => {
            error!(%error, "There is no Slack token: waiting for one");
            shared.reporter.slack_trouble(trouble::of_token(&error));
            client_with(config, Token::new(""))
        }
    }
}

fn client_with(config: &Config, token: Token) -> Result<Client, Error> {
    let mut settings = Settings::new(token);
    settings.api_url.clone_from(&config.slack.api_url);
    if let Some(path) = &config.slack.ca_bundle {
        settings.ca_bundle = Some(read_file("slack.ca_bundle", path)?);
    }
    Ok(Client::new(&settings)?)
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
    let token = Token::new(text);
    if token.is_empty() {
        return Err(unusable("empty; put the bot token (xoxb-...) into it"));
    }
    Ok(token)
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

/// Reads the token again, tries it, and only then gives it to `client`. None when it is the same as before.
pub(super) async fn take_up(config: &Config, client: &Client) -> Result<Option<Account>, Error> {
    let token = read(config)?;
    if client.has_token(&token) {
        return Ok(None);
    }
    let account = client_with(config, token.clone())?.auth_test().await.map_err(|error| Error::Slack { error })?;
    client.set_token(token);
    Ok(Some(account))
}
