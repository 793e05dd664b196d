//! What Slack holds in the end, from a history alone.

use std::collections::{BTreeMap, BTreeSet};

use slack_access_operator::delivery::state::Shown;
use slack_access_operator::slack::MessageRef;

use crate::history::{Author, Happening, History, Posted};
use crate::plan::Ms;

/// A message or reply, and what became of it.
#[derive(Clone, Debug)]
pub struct Held {
    pub at: Ms,
    pub posted: Posted,
    pub shown: Shown,
    pub reactions: BTreeSet<String>,
    pub deleted: Option<(Ms, Author)>,
}

/// Everything that was ever posted.
pub fn of(history: &History) -> BTreeMap<MessageRef, Held> {
    let mut ledger: BTreeMap<MessageRef, Held> = BTreeMap::new();
    for entry in &history.entries {
        match &entry.what {
            Happening::Posted(posted) => {
                let held = Held {
                    at: entry.at,
                    posted: posted.clone(),
                    shown: posted.shown,
                    reactions: BTreeSet::new(),
                    deleted: None,
                };
                ledger.insert(posted.message.clone(), held);
            }
            Happening::Updated { message, shown, .. } => {
                if let Some(held) = ledger.get_mut(message) {
                    held.shown = *shown;
                }
            }
            Happening::Reacted { message, name } => {
                if let Some(held) = ledger.get_mut(message) {
                    held.reactions.insert(name.clone());
                }
            }
            Happening::Deleted { message, by } => {
                if let Some(held) = ledger.get_mut(message) {
                    held.deleted.get_or_insert((entry.at, *by));
                }
            }
            _ => {}
        }
    }
    ledger
}

/// The messages of requests, replies left out, that are there in the end.
pub fn living(ledger: &BTreeMap<MessageRef, Held>) -> impl Iterator<Item = &Held> {
    ledger.values().filter(|held| held.deleted.is_none() && held.posted.reply.is_none())
}
