//! Slack's answers, as far as they are read. Fields that are missing or null have their defaults: what is left out differs
//! from method to method.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::slack::api::ChannelInfo;

/// Of `auth.test`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Identity {
    #[serde(deserialize_with = "or_default")]
    pub(super) team: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) team_id: String,
    pub(super) enterprise_id: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) is_enterprise_install: bool,
    #[serde(deserialize_with = "or_default")]
    pub(super) user: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) user_id: String,
    pub(super) bot_id: Option<String>,
    pub(super) app_id: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) url: String,
}

/// Of `chat.postMessage`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Posted {
    pub(super) channel: Option<String>,
    pub(super) ts: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) message: Message,
}

/// Of methods whose answer is read for its `ok` alone.
#[derive(Deserialize)]
pub(super) struct Done {}

/// Something of which the id alone is read.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Id {
    pub(super) id: Option<String>,
}

/// Of `users.lookupByEmail`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct FoundUser {
    #[serde(deserialize_with = "or_default")]
    pub(super) user: Id,
}

/// Of `conversations.open`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Opened {
    #[serde(deserialize_with = "or_default")]
    pub(super) channel: Id,
}

/// Of `conversations.info`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Info {
    pub(super) channel: Option<ChannelInfo>,
}

/// Of `conversations.list`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Channels {
    #[serde(deserialize_with = "items")]
    pub(super) channels: Vec<ChannelInfo>,
    #[serde(deserialize_with = "or_default")]
    pub(super) response_metadata: Paging,
}

/// Of `conversations.history` and `conversations.replies`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Messages {
    #[serde(deserialize_with = "items")]
    pub(super) messages: Vec<Message>,
    #[serde(deserialize_with = "or_default")]
    pub(super) response_metadata: Paging,
}

/// Where a list goes on.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Paging {
    #[serde(deserialize_with = "or_default")]
    next_cursor: String,
}

/// A message in a list, or in the answer to a post.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Message {
    #[serde(deserialize_with = "or_default")]
    pub(super) ts: String,
    pub(super) thread_ts: Option<String>,
    pub(super) user: Option<String>,
    pub(super) bot_id: Option<String>,
    pub(super) metadata: Option<MessageMetadata>,
}

/// What an app has attached to its message.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct MessageMetadata {
    #[serde(deserialize_with = "or_default")]
    pub(super) event_type: String,
    pub(super) event_payload: Value,
}

impl Paging {
    /// The next page's cursor; only this says where a list ends, because pages may be empty.
    pub(super) fn next(self) -> Option<String> {
        Some(self.next_cursor).filter(|cursor| !cursor.is_empty())
    }
}

pub(super) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// The items of a list that can be read: one of a new kind does not make the others unreadable.
fn items<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let items: Vec<Value> = or_default(deserializer)?;
    Ok(items.into_iter().filter_map(|item| serde_json::from_value(item).ok()).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn null_is_as_good_as_missing() {
        let answer = json!({"channels": null, "response_metadata": null});
        let channels: Channels = serde_json::from_value(answer).unwrap();
        assert!(channels.channels.is_empty() && channels.response_metadata.next().is_none());
        let identity: Identity = serde_json::from_value(json!({"team": null, "is_enterprise_install": null})).unwrap();
        assert_eq!(identity.team, "");
    }

    #[test]
    fn one_item_of_a_new_kind_does_not_hide_the_others() {
        let answer = json!({"messages": [{"ts": {"new": 1}}, {"ts": "1.1", "text": 7}, "?"]});
        let messages: Messages = serde_json::from_value(answer).unwrap();
        assert_eq!(messages.messages.iter().map(|message| &*message.ts).collect::<Vec<_>>(), ["1.1"]);
    }
}
