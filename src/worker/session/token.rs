//! The Slack token: from the configuration or a file, and anew when the file changes.

use crate::{
    files::Watched,
    slack::{
        client::{Account, Client, Settings},
        error::{Class, Error as SlackError},
        token::Token,
    },
    worker::{
        Error,
        config::{Config, TokenSource},
        read_ca_bundle,
    },
};

/// A client for the configured workspace.
pub fn client(config: &Config) -> Result<Client, Error> {
    client_with(config, read(config)?)
}

fn client_with(config: &Config, token: Token) -> Result<Client, Error> {
    let mut settings = Settings::new(token);
    settings.api_url.clone_from(&config.slack.api_url);
    if let Some(path) = &config.slack.ca_bundle {
        settings.ca_bundle = Some(read_ca_bundle("slack.ca_bundle", path)?);
    }
    Ok(Client::new(&settings)?)
}

fn read(config: &Config) -> Result<Token, Error> {
    Ok(Token::new(config.slack.token.read()?))
}

/// Tells when the token's file changes; never, if it is not in a file.
pub fn watched(config: &Config) -> Watched {
    Watched::new(match &config.slack.token {
        TokenSource::File(path) => vec![path.as_path()],
        TokenSource::Inline(_) => Vec::new(),
    })
}

/// Whether a person has to act before Slack takes this token.
pub fn is_fatal(error: &SlackError) -> bool {
    error.class == Class::Auth
}

/// Reads the token again, tries it, and only then gives it to `client`. None when it is the same as before.
pub async fn take_up(config: &Config, client: &Client) -> Result<Option<Account>, Error> {
    let token = read(config)?;
    if client.has_token(&token) {
        return Ok(None);
    }
    let account = client_with(config, token.clone())?.auth_test().await.map_err(Error::Slack)?;
    client.set_token(token);
    Ok(Some(account))
}
