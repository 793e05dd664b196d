//! The app-level token: from the configuration or a file, and anew when the file changes.

use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::config::{Review, TOKEN_FILE_LIMIT, TokenSource};
use crate::file_watch::Watched;
use crate::slack::api::{AppClient, Settings, SettingsError};
use crate::slack::token::Token;
use crate::worker::{Error, SLACK_BUNDLE, Shared, read_file};

/// The setting that names it.
const KEY: &str = "review.app_token";

/// A client without a token yet: [`take_up`] gives it one.
pub(super) fn client(shared: &Shared, review: &Review) -> Result<AppClient, Error> {
    let slack = &shared.config.slack;
    let mut settings = Settings::new(Token::new(""));
    settings.api_url.clone_from(&slack.api_url);
    if let Some(path) = &slack.ca_bundle {
        settings.ca_bundle = Some(read_file(SLACK_BUNDLE, path)?.to_vec());
    }
    if let TokenSource::Inline(token) = &review.app_token {
        settings.token = Token::new(token);
    }
    AppClient::new(&settings).map_err(|error| match (error, &slack.ca_bundle) {
        (error @ SettingsError::CaBundle { .. }, Some(path)) => {
            Error::Unusable { key: SLACK_BUNDLE, path: path.clone(), reason: error.to_string() }
        }
        (error, _) => error.into(),
    })
}

/// Tells when the token's file changes; never, if it is not in a file.
pub(super) fn watched(review: &Review) -> Watched {
    Watched::await_files(match &review.app_token {
        TokenSource::File(path) => vec![path.clone()],
        TokenSource::Inline(_) => Vec::new(),
    })
}

/// Reads the token and gives it to the client, whose connections follow. One that cannot be used leaves the old one in place.
pub(super) fn take_up(client: &AppClient, review: &Review, tokens: &watch::Sender<u64>) -> Result<(), Error> {
    match read(review) {
        Ok(token) if client.has_token(&token) => Ok(()),
        Ok(token) => {
            if let Ok(Some(warning)) = token.check_app_slot() {
                warn!("{KEY}: {warning}");
            }
            info!("Found a Slack app token: connecting with it");
            client.set_token(token);
            tokens.send_modify(|number| *number += 1);
            Ok(())
        }
        Err(error) => {
            error!(%error, "Cannot use the Slack app token");
            Err(error)
        }
    }
}

fn read(review: &Review) -> Result<Token, Error> {
    let path = match &review.app_token {
        TokenSource::Inline(token) => return Ok(Token::new(token)),
        TokenSource::File(path) => path,
    };
    let mut bytes = read_file(KEY, path)?;
    bytes.truncate(TOKEN_FILE_LIMIT);
    let unusable = |reason: String| Error::Unusable { key: KEY, path: path.clone(), reason };
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| unusable("not text; put the app-level token (xapp-…) into it".to_owned()))?;
    // Some editors put a byte order mark in front.
    let token = Token::new(text.trim_start_matches('\u{feff}'));
    token.check_app_slot().map_err(|error| unusable(error.to_string()))?;
    Ok(token)
}
