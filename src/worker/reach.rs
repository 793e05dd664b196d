//! Whether the configured recipients can be reached, before the first request needs them.
//!
//! What cannot be found out (a scope is missing, Slack does not answer) is not held against a recipient: the first message
//! will tell.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::sleep;
use tracing::warn;

use super::{context::Context, paced, recipients::Recipient, report::Reporter};
use crate::slack::{
    client::{Account, ChannelInfo},
    error::{Class, Error, remedy},
    method,
};

/// Between two looks, when nothing changes in between.
const AGAIN: Duration = Duration::from_mins(10);
/// While a recipient cannot be reached: whoever invites the bot waits to see that it helped.
const WHILE_UNREACHABLE: Duration = Duration::from_secs(30);
/// After Slack could not be asked.
const SOON: Duration = Duration::from_secs(15);
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
    /// It does not exist, or the bot may not write there.
    Unreachable {
        /// Channel id, where it is known.
        id: Option<String>,
        /// What to do.
        remedy: String,
    },
    /// It cannot be told.
    Unknown,
}

/// Looks for all configured recipients: now, whenever configuration or token change, and from time to time.
pub(super) async fn keep_looking(context: Arc<Context>, reporter: Reporter) {
    let mut routes = context.routes.clone();
    loop {
        let recipients = routes.borrow_and_update().all();
        let pause = match look(&context, &recipients).await {
            Some(found) => {
                let unreachable = found.values().any(|reach| matches!(reach, Reach::Unreachable { .. }));
                tell(&reporter, found);
                if unreachable { WHILE_UNREACHABLE } else { AGAIN }
            }
            None => SOON,
        };
        tokio::select! {
            changed = routes.changed() => if changed.is_err() { return },
            () = sleep(pause) => {}
            () = context.shutdown.cancelled() => return,
        }
    }
}

/// None when Slack does not take the token, or does not answer: nothing is known of any recipient then.
async fn look(context: &Context, recipients: &[Recipient]) -> Option<BTreeMap<String, Reach>> {
    let account = context.slack.account().await.ok()?;
    let mut found = BTreeMap::new();
    for recipient in recipients {
        found.insert(recipient.to_string(), look_for(context, &account, recipient).await);
    }
    Some(found)
}

async fn look_for(context: &Context, account: &Account, recipient: &Recipient) -> Reach {
    let name = recipient.to_string();
    match recipient {
        Recipient::Email(email) => match paced::patient_lookup(context, email).await {
            Ok(user) => Reach::Reachable { id: user.to_string() },
            Err(error) => refused(account, &error, &name),
        },
        Recipient::ChannelName(channel) => {
            match paced::patiently(context, method::LIST, context.slack.resolve_channel_name(channel)).await {
                Ok(Some(info)) => channel_reach(account, &info, &name),
                Ok(None) if sees_private_channels(account) => {
                    Reach::Unreachable { id: None, remedy: remedy("channel_not_found", &name, &account.user) }
                }
                // It may be a private channel, which the list does not show.
                Ok(None) => Reach::Unknown,
                Err(error) => refused(account, &error, &name),
            }
        }
        Recipient::ChannelId(id) => match paced::patiently(context, method::INFO, context.slack.channel_info(id)).await
        {
            Ok(info) => channel_reach(account, &info, &name),
            Err(error) => refused(account, &error, &name),
        },
        Recipient::UserId(_) | Recipient::DirectMessage(_) => Reach::Unknown,
    }
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

fn refused(account: &Account, error: &Error, name: &str) -> Reach {
    match error.class {
        Class::Config | Class::Recipient => {
            Reach::Unreachable { id: None, remedy: remedy(&error.code, name, &account.user) }
        }
        // An address needs the scope to be found at all; a channel can be written to without being looked up.
        Class::Auth if error.code == "missing_scope" && name.contains('@') => {
            Reach::Unreachable { id: None, remedy: error.remedy() }
        }
        _ => Reach::Unknown,
    }
}

fn tell(reporter: &Reporter, found: BTreeMap<String, Reach>) {
    let known = reporter.subscribe().borrow().recipients.clone().unwrap_or_default();
    for (name, reach) in &found {
        if let Reach::Unreachable { remedy, .. } = reach
            && known.get(name) != Some(reach)
        {
            warn!(recipient = name, remedy, "A configured recipient cannot be reached");
        }
    }
    for (one, other, id) in same(&found) {
        let both_new = !(known.contains_key(one) && known.contains_key(other));
        if both_new {
            warn!(
                id,
                "Recipients {one} and {other} are one and the same: a request that concerns both is announced there twice; keep one"
            );
        }
    }
    reporter.change(|report| report.recipients = Some(found));
}

/// Pairs of recipients that are two names of one place, with its id.
fn same(found: &BTreeMap<String, Reach>) -> Vec<(&str, &str, &str)> {
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    let mut pairs = Vec::new();
    for (name, reach) in found {
        if let Reach::Reachable { id } = reach
            && let Some(other) = first.insert(id, name)
        {
            pairs.push((other, name.as_str(), id.as_str()));
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn two_names_of_one_channel_are_noticed() {
        let reachable = |id: &str| Reach::Reachable { id: id.to_owned() };
        let found = BTreeMap::from([
            ("#dba".to_owned(), reachable("C1")),
            ("#ops".to_owned(), reachable("C2")),
            ("C1".to_owned(), reachable("C1")),
            ("C3".to_owned(), Reach::Unknown),
        ]);
        assert_eq!(same(&found), [("#dba", "C1", "C1")]);
    }

    #[test]
    fn a_scope_that_only_serves_this_look_is_not_demanded_for_channels() {
        let error = Error::new("conversations.list", "missing_scope", None);
        assert_eq!(refused(&account(&[]), &error, "#dba"), Reach::Unknown);
        let error = Error::new("users.lookupByEmail", "missing_scope", None);
        assert!(matches!(refused(&account(&[]), &error, "alice@example.com"), Reach::Unreachable { .. }));
    }
}
