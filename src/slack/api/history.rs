//! Looks for a message that may have been posted although its answer was lost.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::slack::api::{Account, Client, Error, MessageRef, PAGE, optional};
use crate::slack::message::Metadata;
use crate::slack::method;

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
        let oldest = format!("{}.000000", since.as_second());
        let query = [
            ("channel", channel),
            ("oldest", oldest.as_str()),
            ("inclusive", "true"),
            ("limit", PAGE),
            ("include_all_metadata", "true"),
        ];
        self.find_all(method::HISTORY, channel, &query, wanted).await
    }

    /// Our own replies in the thread of `parent`, with metadata as in [`Client::find_posted`].
    pub async fn find_replies(&self, parent: &MessageRef, wanted: &Metadata) -> Result<Vec<MessageRef>, Error> {
        let query = [
            ("channel", parent.channel.as_str()),
            ("ts", parent.ts.as_str()),
            ("limit", PAGE),
            ("include_all_metadata", "true"),
        ];
        self.find_all(method::REPLIES, &parent.channel, &query, wanted).await
    }

    async fn find_all(
        &self,
        method: &'static str,
        channel: &str,
        query: &[(&str, &str)],
        wanted: &Metadata,
    ) -> Result<Vec<MessageRef>, Error> {
        let account = self.account().await?;
        let mut all = Vec::new();
        let collect = |message: &Map<String, Value>| -> Option<()> {
            all.extend(found(&account, channel, message, wanted));
            None
        };
        self.pages(method, channel, query, "messages", collect).await?;
        all.sort_by(|one, other| one.ts.cmp(&other.ts));
        all.dedup();
        Ok(all)
    }
}

fn found(account: &Account, channel: &str, message: &Map<String, Value>, wanted: &Metadata) -> Option<MessageRef> {
    let is_ours = match &account.bot_id {
        Some(bot) => message.get("bot_id").and_then(Value::as_str) == Some(bot),
        None => message.get("user").and_then(Value::as_str) == Some(&account.user_id),
    };
    if !is_ours || !matches(message.get("metadata")?, wanted) {
        return None;
    }
    Some(MessageRef { channel: channel.to_owned(), ts: optional(message, "ts")? })
}

fn matches(metadata: &Value, wanted: &Metadata) -> bool {
    let payload = metadata.get("event_payload");
    metadata.get("event_type").and_then(Value::as_str) == Some(&wanted.event_type)
        && wanted.payload.iter().all(|(key, value)| payload.and_then(|payload| payload.get(key)) == Some(value))
}
