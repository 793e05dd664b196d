//! Asks Teleport and Slack. Nothing is changed: the one write is to a request that does not exist.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;

use crate::access_request::RequestState;
use crate::check::facts::{Calls, Facts, IdentityFacts, Lookup, Records, SlackFacts, TeleportFacts, Tried};
use crate::check::source::Materials;
use crate::config::recipient::{Recipient, WILDCARD};
use crate::delivery::record::Record;
use crate::slack::api::{AppClient, ChannelList, Client as Slack, Settings};
use crate::slack::error::Error as SlackError;
use crate::slack::recipient_mistake::RecipientMistake;
use crate::slack::token::{Kind as TokenKind, Token};
use crate::teleport::client::Client as Teleport;
use crate::teleport::dial::{self, DialOptions};
use crate::teleport::error::{CallError, Kind};
use crate::teleport::identity::Identity;
use crate::teleport::join;

/// How often a call is made again that Slack limits.
const MOST_LIMITS: u32 = 5;
/// How long a limited call waits where Slack does not say.
const REST: Duration = Duration::from_secs(5);

/// Everything that can be found out, and the client for Slack where there is a token.
pub(super) async fn probe(materials: &Materials) -> (Facts, Option<Slack>) {
    let config = &materials.config;
    let token = materials.token();
    let client = token.as_ref().ok().map(|token| {
        let mut settings = Settings::new(token.clone());
        settings.api_url.clone_from(&config.slack.api_url);
        match materials.slack_bundle() {
            Ok(bundle) => settings.ca_bundle = bundle,
            Err(line) => return Err(line),
        }
        Slack::new(&settings).map_err(|error| error.to_string())
    });
    let (client, token) = match client {
        Some(Err(line)) => (None, Err(line)),
        Some(Ok(client)) => (Some(client), token.map(|token| token_warning(&token))),
        None => (None, token.map(|_| None)),
    };
    let (dial, bundle_problem) = match materials.dial_options() {
        Ok(options) => (options, None),
        Err(line) => (DialOptions::from_env(), Some(line)),
    };
    let identity = match materials.join() {
        Some(settings) => {
            let joined = join::join(&config.teleport.addr, settings, &dial).await;
            joined.map(|joined| joined.identity).map_err(|error| error.to_string())
        }
        None => materials.identity().map(Arc::new),
    };
    let (teleport, slack, socket_mode) = tokio::join!(
        async {
            match &identity {
                Ok(identity) => Some(teleport(materials, identity, &dial).await),
                Err(_) => None,
            }
        },
        async {
            match &client {
                Some(client) => Some(self::slack(materials, client).await),
                None => None,
            }
        },
        socket_mode(materials),
    );
    let facts = Facts {
        now: Timestamp::now(),
        tried: Tried {
            addr: config.teleport.addr.clone(),
            api_url: config.slack.api_url.clone(),
            plugin_name: config.teleport.plugin_name.clone(),
            routes: config.role_to_recipients.clone(),
        },
        config_failures: materials.failures.iter().cloned().chain(bundle_problem).collect(),
        config_warnings: materials.warnings.clone(),
        identity: identity.map(|identity| IdentityFacts {
            user: identity.user().to_owned(),
            cluster: identity.cluster().to_owned(),
            roles: identity.roles().to_vec(),
            not_before: identity.not_before(),
            not_after: identity.not_after(),
        }),
        teleport,
        token,
        slack,
        socket_mode,
    };
    (facts, client)
}

/// Whether the app-level token opens Socket Mode connections. None is opened: a click could go astray.
async fn socket_mode(materials: &Materials) -> Option<Result<(), String>> {
    let token = match materials.app_token()? {
        Ok(token) => token,
        Err(line) => return Some(Err(line)),
    };
    let mut settings = Settings::new(token);
    settings.api_url.clone_from(&materials.config.slack.api_url);
    settings.ca_bundle = materials.slack_bundle().ok().flatten();
    Some(match AppClient::new(&settings) {
        Err(error) => Err(error.to_string()),
        Ok(client) => patiently(|| client.may_open())
            .await
            .map_err(|error| format!("review.app_token: {error}; {}", error.remedy_for("the app"))),
    })
}

/// What a person should know about a token that works.
fn token_warning(token: &Token) -> Option<String> {
    match token.kind() {
        TokenKind::RotatedBot => Some(
            "the Slack bot token is a rotated one, which ends after 12 hours: switch token rotation off for the app, or put each new token in its place"
                .to_owned(),
        ),
        _ => token.check_bot_slot().ok().flatten(),
    }
}

async fn teleport(materials: &Materials, identity: &Arc<Identity>, options: &DialOptions) -> TeleportFacts {
    let addr = &materials.config.teleport.addr;
    let ways = dial::survey(addr, Arc::clone(identity), options);
    let connected = async {
        let (channel, route) = dial::dial(addr, Arc::clone(identity), options).await?;
        let client = Teleport::new(channel, &materials.config.teleport.plugin_name);
        let (server, rules, watch, write, records, known_roles) = tokio::join!(
            client.ping(),
            client.rules_of(identity.roles()),
            async { client.watch().await.map(drop) },
            client.try_write(),
            records(&client),
            roles(materials, &client),
        );
        Ok(Calls { route, server, rules, watch, write, records, known_roles })
    };
    let (ways, connected) = tokio::join!(ways, connected);
    TeleportFacts { ways, connected }
}

async fn records(client: &Teleport) -> Result<Records, CallError> {
    let requests = client.access_requests().await?;
    let pending: BTreeSet<_> = requests
        .into_iter()
        .filter(|request| request.state == RequestState::Pending)
        .map(|request| request.id)
        .collect();
    let records = client.all_plugin_data().await?;
    let of_pending = records.into_iter().filter(|record| pending.contains(&record.request));
    let foreign = of_pending.filter(|record| Record::decode(record.data.clone()).foreign).count();
    Ok(Records { pending: pending.len(), foreign })
}

/// Whether each configured role exists, as far as the identity may know.
async fn roles(materials: &Materials, client: &Teleport) -> BTreeMap<String, bool> {
    let names = materials.config.role_to_recipients.iter().map(|(role, _)| role).filter(|role| *role != WILDCARD);
    let looked = join_all(names.map(|role| async move { (role.to_owned(), client.role_logins(role).await) })).await;
    let known = looked.into_iter().filter_map(|(role, answer)| match answer {
        Ok(_) => Some((role, true)),
        Err(error) if error.kind == Kind::NotFound && !error.is_denial() => Some((role, false)),
        Err(_) => None,
    });
    known.collect()
}

async fn slack(materials: &Materials, client: &Slack) -> SlackFacts {
    let account = patiently(|| client.auth_test()).await;
    let mut recipients = Vec::new();
    if account.is_ok() {
        let all = materials.config.role_to_recipients.all();
        let mut names: BTreeSet<String> = BTreeSet::new();
        for recipient in &all {
            match recipient {
                Recipient::ChannelName(name) if RecipientMistake::find(name).is_none() => {
                    names.insert(name.clone());
                }
                other => recipients.push((other.clone(), look_up(client, other).await)),
            }
        }
        recipients.extend(
            channels(client, names).await.into_iter().map(|(name, found)| (Recipient::ChannelName(name), found)),
        );
    }
    SlackFacts { account, recipients }
}

async fn look_up(client: &Slack, recipient: &Recipient) -> Lookup {
    match recipient {
        Recipient::Email(email) => match patiently(|| client.lookup_user_by_email(email)).await {
            Ok(id) => Lookup::Person(id),
            Err(error) => Lookup::Refused(error),
        },
        Recipient::ChannelId(id) => match patiently(|| client.channel_info(id)).await {
            Ok(info) => Lookup::Channel(info),
            Err(error) => Lookup::Refused(error),
        },
        Recipient::UserId(_) | Recipient::DirectMessage(_) => Lookup::AsItIs,
        Recipient::ChannelName(_) => Lookup::NotListed,
    }
}

/// Channels by name: the list is read once for all of them.
async fn channels(client: &Slack, mut names: BTreeSet<String>) -> Vec<(String, Lookup)> {
    let mut found = Vec::new();
    let mut list = ChannelList::default();
    let mut limits = 0;
    let outcome = loop {
        if names.is_empty() {
            break None;
        }
        match list.next_page(client).await {
            Ok(Some(page)) => {
                for info in page {
                    if let Some(name) = names.take(&info.name) {
                        found.push((name, Lookup::Channel(info)));
                    }
                }
            }
            Ok(None) => break None,
            Err(error) if error.is_rate_limit() && limits < MOST_LIMITS => {
                limits += 1;
                tokio::time::sleep(error.retry_after.unwrap_or(REST)).await;
            }
            Err(error) => break Some(error),
        }
    };
    found.extend(names.into_iter().map(|name| {
        let lookup = outcome.clone().map_or(Lookup::NotListed, Lookup::Refused);
        (name, lookup)
    }));
    found
}

/// Makes a call, and again after the rest that Slack asks for.
pub(super) async fn patiently<T, F>(mut call: impl FnMut() -> F) -> Result<T, SlackError>
where
    F: Future<Output = Result<T, SlackError>>,
{
    for _ in 0..MOST_LIMITS {
        match call().await {
            Err(error) if error.is_rate_limit() => tokio::time::sleep(error.retry_after.unwrap_or(REST)).await,
            answered => return answered,
        }
    }
    call().await
}
