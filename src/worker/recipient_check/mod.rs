//! Whether the configured recipients can be reached, before the first request needs them.
//!
//! What cannot be found out (a scope is missing, Slack does not answer) is not held against a recipient: the first message
//! will tell.

mod schedule;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::{Instant, sleep_until};
use tracing::warn;

use crate::config::recipient::{Recipient, RecipientKey};
use crate::slack::address_book::Address;
use crate::slack::api::{Account, ChannelInfo};
use crate::slack::error::{Class, Error, remedy};
use crate::slack::method;
use crate::slack::recipient_mistake::RecipientMistake;
use crate::worker::context::Context;
use crate::worker::health::report::Reporter;
use crate::worker::missed;
use crate::worker::recipient_check::schedule::{Found, Round, Rounds};

/// Look-ups of people take turns with those of requests under this name.
const OWNER: &str = "recipient check";
/// So many channels in trouble are asked for one by one: their list may be long, and archived ones are not in it.
const FEW: usize = 10;
/// With this scope the bot may post in public channels that it is not in.
const POST_ANYWHERE: &str = "chat:write.public";

/// What is known of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Slack knows it by this id, and the bot may write there.
    Reachable {
        /// Channel or user id.
        id: String,
    },
    /// The channel that had the configured name first: it is called otherwise now, and the bot may write there.
    Moved {
        /// Channel id.
        id: String,
        /// What has moved, and what to do.
        message: String,
    },
    /// It does not exist, or the bot may not write there.
    Unreachable {
        /// Channel id, where it is known.
        id: Option<String>,
        /// What to do.
        remedy: String,
    },
    /// It cannot be told.
    Unknown,
    /// It is being looked for, for the first time.
    Sought,
}

/// Looks for all configured recipients: now, whenever configuration or token change, and from time to time; for those who
/// cannot be reached more often, and at once for those whom a message did not reach. What rests because of them goes on as
/// soon as they can be reached again.
pub(super) async fn keep_looking(context: Arc<Context>, reporter: Reporter) {
    let mut routes = context.routes.clone();
    let mut suspects = context.suspects();
    let mut rounds = Rounds::new(Instant::now());
    loop {
        tokio::select! {
            changed = routes.changed() => match changed {
                Ok(()) => rounds.begin_anew(Instant::now()),
                Err(_) => return,
            },
            Ok(()) = suspects.changed() => rounds.doubt(context.take_suspects(), Instant::now()),
            () = sleep_until(rounds.next_at()) => {
                let configured = routes.borrow_and_update().all();
                let round = rounds.next(configured, Instant::now());
                match look(&context, &reporter, &round).await {
                    Some(found) => {
                        let mended = rounds.took(&round, found, Instant::now());
                        tell(&reporter, rounds.known().clone());
                        for name in &mended {
                            missed::tell(&context, &RecipientKey::new(name));
                        }
                        context.note_recovered(mended);
                    }
                    None => rounds.put_off(Instant::now()),
                }
            }
            () = context.shutdown.cancelled() => return,
        }
    }
}

/// None when Slack does not take the token, or does not answer: nothing is known of any recipient then.
async fn look(context: &Context, reporter: &Reporter, round: &Round) -> Option<Found> {
    let account = context.slack.account().await.ok()?;
    let (names, others): (Vec<_>, Vec<_>) =
        round.recipients.iter().partition(|recipient| matches!(recipient, Recipient::ChannelName(_)));
    let mut found = Found::default();
    found.calls += count(&others);
    for recipient in others {
        let reach = look_for(context, &account, recipient, round.whole).await;
        note(&mut found, recipient.to_string(), reach);
    }
    if !names.is_empty() && reporter.subscribe().borrow().recipients.is_none() {
        // The list may be long: what is known already is not kept back.
        let sought = names.iter().map(|name| (name.to_string(), Reach::Sought));
        tell(reporter, found.reach.iter().map(|(name, reach)| (name.clone(), reach.clone())).chain(sought).collect());
    }
    look_for_channels(context, &account, round.whole, &names, &mut found).await;
    Some(found)
}

/// Notes what was found, unless Slack did not answer.
fn note(found: &mut Found, name: String, reach: Option<Reach>) {
    found.reach.extend(reach.map(|reach| (name, reach)));
}

/// A recipient that Slack can be asked for by itself. None when Slack did not answer.
async fn look_for(context: &Context, account: &Account, recipient: &Recipient, whole: bool) -> Option<Reach> {
    let name = recipient.to_string();
    match recipient {
        Recipient::Email(email) => {
            if !whole {
                // What is remembered of somebody in trouble is what is in doubt.
                context.book.doubt(&Address::Email(email.clone()));
            }
            match context.book.user(OWNER, email).await {
                Ok(user) => Some(Reach::Reachable { id: user.to_string() }),
                Err(error) => refused(account, &error, &name),
            }
        }
        Recipient::ChannelId(id) => match info(context, id).await {
            Ok(info) => Some(channel_reach(account, &info, &name)),
            Err(error) => refused(account, &error, &name),
        },
        Recipient::ChannelName(_) | Recipient::UserId(_) | Recipient::DirectMessage(_) => Some(Reach::Unknown),
    }
}

async fn info(context: &Context, id: &str) -> Result<ChannelInfo, Error> {
    let info = context.limiter.call(method::INFO, context.slack.channel_info(id)).await?;
    context.book.observe(&info);
    Ok(info)
}

fn count<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

/// Channels that are configured by name. A look for many reads the list once; one for few asks first by the ids that the
/// names are pinned to.
async fn look_for_channels(
    context: &Context,
    account: &Account,
    whole: bool,
    recipients: &[&Recipient],
    found: &mut Found,
) {
    let mut missing: BTreeSet<String> = recipients.iter().filter_map(|recipient| channel_name(recipient)).collect();
    for name in missing.extract_if(.., |name| RecipientMistake::find(name).is_some()) {
        // Slack need not be asked: no channel has such a name.
        let remedy = remedy("channel_not_found", &name, &account.user);
        note(found, name, Some(Reach::Unreachable { id: None, remedy }));
    }
    let by_id = !whole && missing.len() <= FEW;
    if by_id {
        look_by_id(context, account, &mut missing, found).await;
    }
    let read = read_list(context, account, &mut missing, found).await;
    if !by_id && read.is_ok() {
        // Archived channels are in no list.
        look_by_id(context, account, &mut missing, found).await;
    }
    for name in missing {
        let shown = Recipient::ChannelName(name).to_string();
        let reach = match &read {
            Ok(()) if sees_private_channels(account) => {
                Some(Reach::Unreachable { id: None, remedy: remedy("channel_not_found", &shown, &account.user) })
            }
            // It may be a private channel, which the list does not show.
            Ok(()) => Some(Reach::Unknown),
            Err(error) => refused(account, error, &shown),
        };
        note(found, shown, reach);
    }
}

fn channel_name(recipient: &Recipient) -> Option<String> {
    match recipient {
        Recipient::ChannelName(name) => Some(name.clone()),
        _ => None,
    }
}

/// Takes those out of `missing` that are pinned to a channel which still exists.
async fn look_by_id(context: &Context, account: &Account, missing: &mut BTreeSet<String>, found: &mut Found) {
    for name in missing.clone() {
        let Some(id) = context.book.known(&Address::ChannelName(name.clone())).into_iter().next() else { continue };
        found.calls += 1;
        let Ok(info) = info(context, &id).await else { continue };
        missing.remove(&name);
        let shown = Recipient::ChannelName(name).to_string();
        let reach = match channel_reach(account, &info, &shown) {
            Reach::Reachable { id } => moved_or_reachable(context, id, &shown),
            reach => reach,
        };
        note(found, shown, Some(reach));
    }
}

fn moved_or_reachable(context: &Context, id: String, shown: &str) -> Reach {
    let moved = context.book.moved().into_iter().find(|moved| format!("#{}", moved.name) == shown);
    match moved {
        Some(moved) => Reach::Moved { id, message: moved.to_string() },
        None => Reach::Reachable { id },
    }
}

/// Takes those out of `missing` that are in the list of channels.
async fn read_list(
    context: &Context,
    account: &Account,
    missing: &mut BTreeSet<String>,
    found: &mut Found,
) -> Result<(), Error> {
    if missing.is_empty() {
        return Ok(());
    }
    let (listed, pages) = context.book.list(missing).await;
    found.pages += pages;
    for (name, info) in listed? {
        // A name that has moved to another channel is looked for by its own channel's id.
        if context.book.known(&Address::ChannelName(name.clone())).first() == Some(&info.id) {
            missing.remove(&name);
            let shown = Recipient::ChannelName(name).to_string();
            let reach = channel_reach(account, &info, &shown);
            note(found, shown, Some(reach));
        }
    }
    Ok(())
}

fn sees_private_channels(account: &Account) -> bool {
    account.scopes.iter().any(|scope| scope == "groups:read")
}

fn channel_reach(account: &Account, info: &ChannelInfo, name: &str) -> Reach {
    let may_post_anywhere = !info.is_private && account.scopes.iter().any(|scope| scope == POST_ANYWHERE);
    let unreachable =
        |code| Reach::Unreachable { id: Some(info.id.clone()), remedy: remedy(code, name, &account.user) };
    if info.is_archived {
        unreachable("is_archived")
    } else if info.is_member || may_post_anywhere {
        Reach::Reachable { id: info.id.clone() }
    } else {
        unreachable("not_in_channel")
    }
}

/// None when Slack did not answer.
fn refused(account: &Account, error: &Error, name: &str) -> Option<Reach> {
    match error.class {
        Class::Config | Class::Recipient => {
            Some(Reach::Unreachable { id: None, remedy: remedy(&error.code, name, &account.user) })
        }
        // An address needs the scope to be found at all; a channel can be written to without being looked up.
        Class::Auth if error.code == "missing_scope" && name.contains('@') => {
            Some(Reach::Unreachable { id: None, remedy: error.remedy() })
        }
        Class::Transient | Class::Ambiguous => None,
        _ => Some(Reach::Unknown),
    }
}

fn tell(reporter: &Reporter, found: BTreeMap<String, Reach>) {
    let known = reporter.subscribe().borrow().recipients.clone().unwrap_or_default();
    for (name, reach) in &found {
        match reach {
            _ if known.get(name) == Some(reach) => {}
            Reach::Unreachable { remedy, .. } => {
                warn!(recipient = name, remedy, "A configured recipient cannot be reached");
            }
            Reach::Moved { message, .. } => warn!(recipient = name, "A configured channel has moved: {message}"),
            Reach::Reachable { .. } | Reach::Unknown | Reach::Sought => {}
        }
    }
    reporter.change(|report| report.recipients = Some(found));
}

#[cfg(test)]
mod tests {
    use crate::worker::recipient_check::*;

    fn info() -> ChannelInfo {
        ChannelInfo { id: "C1".to_owned(), name: "dba".to_owned(), ..ChannelInfo::default() }
    }

    fn account(scopes: &[&str]) -> Account {
        Account {
            user: "gatekeeper".to_owned(),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            ..Account::default()
        }
    }

    fn remedy_of(reach: Reach) -> String {
        match reach {
            Reach::Unreachable { remedy, .. } => remedy,
            reach => format!("{reach:?}"),
        }
    }

    #[test]
    fn a_bot_that_is_not_in_the_channel_is_to_be_invited() {
        let text = remedy_of(channel_reach(&account(&[]), &info(), "#dba"));
        assert!(text.contains("invite @gatekeeper to #dba"), "{text}");
    }

    #[test]
    fn a_public_channel_takes_posts_of_a_bot_that_may_post_anywhere() {
        let account = account(&[POST_ANYWHERE]);
        assert_eq!(channel_reach(&account, &info(), "#dba"), Reach::Reachable { id: "C1".to_owned() });
        let private = ChannelInfo { is_private: true, ..info() };
        assert!(matches!(channel_reach(&account, &private, "#dba"), Reach::Unreachable { .. }));
    }

    #[test]
    fn a_scope_that_only_serves_this_look_is_not_demanded_for_channels() {
        let error = Error::new("conversations.list", "missing_scope", None);
        assert_eq!(refused(&account(&[]), &error, "#dba"), Some(Reach::Unknown));
        let error = Error::new("users.lookupByEmail", "missing_scope", None);
        assert!(matches!(refused(&account(&[]), &error, "alice@example.com"), Some(Reach::Unreachable { .. })));
    }

    #[test]
    fn an_outage_says_nothing_about_a_recipient() {
        let error = Error::new("conversations.list", "service_unavailable", None);
        assert_eq!(refused(&account(&[]), &error, "#dba"), None);
    }
}
