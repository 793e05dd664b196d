//! Slack: conversations with messages, threads and reactions. A call either takes effect or is refused; when it does so, and
//! whether its caller hears of it, is decided by the world.

use std::collections::{BTreeMap, BTreeSet};

use slack_access_operator::delivery::effect::ReplyKind;
use slack_access_operator::delivery::state::Shown;
use slack_access_operator::slack::error::Error;
use slack_access_operator::slack::{MessageRef, method};

use crate::plan::{Ms, Scopes, Spot};

/// What Slack holds of a message.
#[derive(Clone, Debug)]
pub struct Message {
    pub at: Ms,
    /// The request that its metadata names; none for messages of the official plugin, which have no metadata.
    pub metadata: Option<usize>,
    pub reply: Option<(MessageRef, ReplyKind)>,
    pub app: u32,
    pub shown: Shown,
    pub reactions: BTreeSet<String>,
    pub is_deleted: bool,
}

/// How a place is at the moment of a call.
#[derive(Clone, Debug, Default)]
pub struct Condition {
    pub is_renamed: bool,
    pub is_archived: bool,
    pub is_left: bool,
    /// Refuses posts.
    pub refusal: Option<String>,
}

/// One workspace.
pub struct Slack {
    pub places: Vec<Spot>,
    pub scopes: Scopes,
    pub messages: BTreeMap<MessageRef, Message>,
    next: u64,
}

impl Slack {
    pub fn new(places: Vec<Spot>, scopes: Scopes) -> Self {
        Self { places, scopes, messages: BTreeMap::new(), next: 0 }
    }

    /// The place that a call's `channel` leads to.
    pub fn place(&self, channel: &str, condition: impl Fn(usize) -> Condition) -> Option<usize> {
        self.places
            .iter()
            .position(|place| match place {
                Spot::Channel { id, .. } if id == channel => true,
                Spot::Channel { name, .. } => name == channel,
                Spot::Person { user, direct, .. } => user == channel || direct == channel,
            })
            .filter(|place| {
                let is_by_name = matches!(&self.places[*place], Spot::Channel { name, .. } if name == channel);
                !(is_by_name && condition(*place).is_renamed)
            })
    }

    /// A message is posted.
    #[expect(clippy::too_many_arguments, reason = "the arguments of one call")]
    pub fn post(
        &mut self,
        place: Option<usize>,
        condition: &Condition,
        channel: &str,
        metadata: Option<usize>,
        reply: Option<(MessageRef, ReplyKind)>,
        shown: Shown,
        plain: bool,
        app: u32,
        now: Ms,
    ) -> Result<MessageRef, Error> {
        let refuse = |code: &str| Err(Error::new(method::POST_MESSAGE, code, Some(channel)));
        let Some(place) = place else { return refuse("channel_not_found") };
        if condition.is_archived {
            return refuse("is_archived");
        }
        if condition.is_left {
            return refuse("not_in_channel");
        }
        if let Some(code) = &condition.refusal {
            let is_of_form = matches!(&**code, "invalid_blocks" | "msg_too_long");
            if !(is_of_form && plain) {
                return refuse(code);
            }
        }
        self.next += 1;
        let channel = self.places[place].conversation().to_owned();
        let message = MessageRef { channel, ts: format!("{}.{:06}", 1_700_000_000 + now / 1_000, self.next) };
        let held = Message { at: now, metadata, reply, app, shown, reactions: BTreeSet::new(), is_deleted: false };
        self.messages.insert(message.clone(), held);
        Ok(message)
    }

    /// A message is changed.
    pub fn update(&mut self, message: &MessageRef, condition: &Condition, shown: Shown, app: u32) -> Result<(), Error> {
        let refuse = |code: &str| Err(Error::new(method::UPDATE, code, Some(&message.channel)));
        let Some(held) = self.messages.get_mut(message).filter(|held| !held.is_deleted) else {
            return refuse("message_not_found");
        };
        if condition.is_archived {
            return refuse("is_inactive");
        }
        if held.app != app {
            return refuse("cant_update_message");
        }
        held.shown = shown;
        Ok(())
    }

    /// A reaction is added; it is no error if it is there.
    pub fn react(&mut self, message: &MessageRef, condition: &Condition, name: &str) -> Result<(), Error> {
        let refuse = |code: &str| Err(Error::new(method::ADD_REACTION, code, Some(&message.channel)));
        let Some(held) = self.messages.get_mut(message).filter(|held| !held.is_deleted) else {
            return refuse("message_not_found");
        };
        if condition.is_archived {
            return refuse("is_archived");
        }
        held.reactions.insert(name.to_owned());
        Ok(())
    }

    /// A message is deleted; it is no error if it is gone.
    pub fn remove(&mut self, message: &MessageRef, app: Option<u32>) -> Result<bool, Error> {
        match self.messages.get_mut(message) {
            Some(held) if app.is_some_and(|app| app != held.app) => {
                Err(Error::new(method::DELETE, "cant_delete_message", Some(&message.channel)))
            }
            Some(held) => Ok(!std::mem::replace(&mut held.is_deleted, true)),
            None => Ok(false),
        }
    }

    /// The messages of one app about a request in a conversation, or the replies in a thread, oldest first.
    pub fn search(
        &self,
        conversation: &str,
        condition: &Condition,
        request: usize,
        reply: Option<&(MessageRef, ReplyKind)>,
        app: u32,
        until: Ms,
    ) -> Result<Vec<MessageRef>, Error> {
        let method = if reply.is_some() { method::REPLIES } else { method::HISTORY };
        let refuse = |code: &str| Err(Error::new(method, code, Some(conversation)));
        if !self.scopes.history {
            return refuse("missing_scope");
        }
        if condition.is_left {
            return refuse("not_in_channel");
        }
        let found = self.messages.iter().filter(|(message, held)| {
            message.channel == conversation
                && held.metadata == Some(request)
                && held.reply.as_ref() == reply
                && held.app == app
                && !held.is_deleted
                && held.at <= until
        });
        let mut found: Vec<_> = found.map(|(message, held)| (held.at, message.clone())).collect();
        found.sort();
        Ok(found.into_iter().map(|(_, message)| message).collect())
    }

    /// Whether the thread of a message is there.
    pub fn has(&self, message: &MessageRef) -> bool {
        self.messages.get(message).is_some_and(|held| !held.is_deleted)
    }
}
