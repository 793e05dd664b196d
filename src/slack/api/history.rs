//! Looks for messages of ours: those that may have been posted although the answer was lost, and all of the last days.

use jiff::Timestamp;
use serde_json::Value;

use crate::slack::api::answer::{Message, Messages};
use crate::slack::api::{Account, Client, Error, MOST_PAGES, MessageRef, PAGE, begin_again};
use crate::slack::error::code;
use crate::slack::message::{CLUSTER, Metadata, REQUEST_EVENT};
use crate::slack::method;

/// A message of ours about a request, as the history shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnMessage {
    /// Where it is.
    pub message: MessageRef,
    /// The request that its metadata names; at most 200 characters of its id.
    pub request_id: String,
    /// The cluster that its metadata names, if it does.
    pub cluster: Option<String>,
}

impl Client {
    /// Our own messages in `channel`, oldest first, no older than `since` (Slack's clock: leave a margin), whose metadata has
    /// the event type and all payload entries of `wanted`.
    ///
    /// `channel` must be an id (`D…` for direct messages) and the bot a member; takes the scope `channels:history`,
    /// `groups:history` or `im:history`. Slack may show a message only a second or two after it took it.
    pub async fn find_posted(
        &self,
        channel: &str,
        since: Timestamp,
        wanted: &Metadata,
    ) -> Result<Vec<MessageRef>, Error> {
        let found = self.history(channel, since, |message| matches(message, wanted).then_some(())).await?;
        Ok(found.into_iter().map(|(message, ())| message).collect())
    }

    /// All messages of ours in `channel` about any request, oldest first, no older than `since` by Slack's clock.
    pub async fn own_messages(&self, channel: &str, since: Timestamp) -> Result<Vec<OwnMessage>, Error> {
        let found = self.history(channel, since, request_of).await?;
        let own = |(message, (request_id, cluster))| OwnMessage { message, request_id, cluster };
        Ok(found.into_iter().map(own).collect())
    }

    /// Our own replies in the thread of `parent`, oldest first, with metadata as in [`Client::find_posted`].
    pub async fn find_replies(&self, parent: &MessageRef, wanted: &Metadata) -> Result<Vec<MessageRef>, Error> {
        let account = self.account().await?;
        let query = [
            ("channel", parent.channel.as_str()),
            ("ts", parent.ts.as_str()),
            ("limit", PAGE),
            ("include_all_metadata", "true"),
        ];
        let mut found = Vec::new();
        self.read_messages(method::REPLIES, &parent.channel, &query, |message| {
            if is_ours(&account, message) && matches(message, wanted) {
                found.push(MessageRef { channel: parent.channel.clone(), ts: message.ts.clone() });
            }
        })
        .await?;
        Ok(found)
    }

    /// Our messages that `pick` takes, oldest first.
    async fn history<T>(
        &self,
        channel: &str,
        since: Timestamp,
        mut pick: impl FnMut(&Message) -> Option<T>,
    ) -> Result<Vec<(MessageRef, T)>, Error> {
        let account = self.account().await?;
        // Slack knows no time before 1970.
        let oldest = format!("{}.000000", since.as_second().max(0));
        let query = [
            ("channel", channel),
            ("oldest", oldest.as_str()),
            ("inclusive", "true"),
            ("limit", PAGE),
            ("include_all_metadata", "true"),
        ];
        let mut found = Vec::new();
        self.read_messages(method::HISTORY, channel, &query, |message| {
            if let Some(picked) = is_ours(&account, message).then(|| pick(message)).flatten() {
                found.push((MessageRef { channel: channel.to_owned(), ts: message.ts.clone() }, picked));
            }
        })
        .await?;
        // The history begins with the newest.
        found.reverse();
        Ok(found)
    }

    /// Reads a list of messages page by page, to its end. One that does not end is an error: what was not read is unknown.
    async fn read_messages(
        &self,
        method: &'static str,
        channel: &str,
        query: &[(&str, &str)],
        mut take: impl FnMut(&Message),
    ) -> Result<(), Error> {
        let mut cursor = String::new();
        for _ in 0..MOST_PAGES {
            let mut query = query.to_vec();
            if !cursor.is_empty() {
                query.push(("cursor", &cursor));
            }
            let page = self.read::<Messages>(method, channel, &query).await;
            let page = page.map_err(|error| begin_again(error, &cursor))?;
            page.messages.iter().filter(|message| !message.ts.is_empty()).for_each(&mut take);
            match page.response_metadata.next() {
                Some(next) if next != cursor => cursor = next,
                _ => return Ok(()),
            }
        }
        Err(Error::new(method, code::ANSWER_TOO_LARGE, Some(channel)).because(format!("more than {MOST_PAGES} pages")))
    }
}

fn is_ours(account: &Account, message: &Message) -> bool {
    match &account.bot_id {
        Some(bot) => message.bot_id.as_ref() == Some(bot),
        None => message.user.as_ref() == Some(&account.user_id),
    }
}

/// The request that a message is the message of, not a reply, and its cluster.
fn request_of(message: &Message) -> Option<(String, Option<String>)> {
    let metadata = message.metadata.as_ref().filter(|metadata| metadata.event_type == REQUEST_EVENT)?;
    let entry = |key: &str| metadata.event_payload.get(key).and_then(Value::as_str).map(str::to_owned);
    Some((entry("request_id")?, entry(CLUSTER)))
}

fn matches(message: &Message, wanted: &Metadata) -> bool {
    message.metadata.as_ref().is_some_and(|metadata| {
        metadata.event_type == wanted.event_type
            && wanted.payload.iter().all(|(key, value)| metadata.event_payload.get(key) == Some(value))
    })
}
