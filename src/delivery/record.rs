//! What is remembered about a request: Teleport's plugin data, decoded and encoded.
//!
//! The keys of the official plugin are kept as it writes them, so that either program can take over from the other with
//! requests in flight. Progress per recipient is kept under one additional key, which the official plugin neither reads
//! nor deletes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::access_request::{AccessRequest, PluginData};
use crate::config::recipient::RecipientKey;
use crate::delivery::state::{Place, Resolution, Shown};
use crate::delivery::{gojson, official_format};
use crate::slack::MessageRef;

/// The key that holds [`Progress`] as JSON.
const PROGRESS: &str = "slack_access_operator";
/// Keys whose stored values a write relies on: they say who was told what.
const GUARDED: [&str; 5] = [USER, MESSAGES, REVIEWS_COUNT, RESOLUTION, PROGRESS];

const USER: &str = "user";
const ROLES: &str = "roles";
const REASON: &str = "request_reason";
const RESOURCES: &str = "resources";
const REVIEWS_COUNT: &str = "reviews_count";
const RESOLUTION: &str = "resolution";
const RESOLVE_REASON: &str = "resolve_reason";
const MESSAGES: &str = "messages";
/// Plugins before v7 kept a single message under these two.
const LEGACY_CHANNEL: &str = "channel_id";
const LEGACY_TIMESTAMP: &str = "timestamp";

/// A longer reason is cut: the record of all plugins together may have 1,000,000 bytes.
const MAX_REASON_BYTES: usize = 64 * 1024;

/// Everything known about one request's messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// As read from Teleport; empty when nothing is stored.
    stored: PluginData,
    /// The request as it was when last written; what is left to show once it is gone.
    pub request: RequestMemory,
    /// Deliveries by recipient.
    pub deliveries: BTreeMap<RecipientKey, Delivery>,
    /// Another program announced this request, or was about to: its recipients are not ours to choose.
    pub foreign: bool,
    /// How the request ended, once every message shows it.
    pub resolution: Option<Resolution>,
}

/// What is remembered of a request itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestMemory {
    /// Requester.
    pub user: String,
    /// Requested roles.
    pub roles: Vec<String>,
    /// Requested resources, as shown.
    pub resources: Vec<String>,
    /// Reason of the request.
    pub reason: String,
    /// Reason of the decision.
    pub resolve_reason: String,
    /// When Teleport deletes the request.
    pub expires: Option<Timestamp>,
}

/// What one recipient was told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Delivery {
    /// The message, once posted.
    #[serde(rename = "m", skip_serializing_if = "Option::is_none")]
    pub message: Option<MessageRef>,
    /// Reviews answered in its thread.
    #[serde(rename = "r", skip_serializing_if = "is_zero")]
    pub replies: usize,
    /// What the message shows.
    #[serde(rename = "s", with = "shown_as_text", skip_serializing_if = "is_unknown")]
    pub shown: Shown,
    /// The reaction on it.
    #[serde(rename = "x", with = "reaction_as_text", skip_serializing_if = "Reaction::is_missing")]
    pub reaction: Reaction,
    /// The message is gone or can no longer be changed: nothing more is done about it.
    #[serde(rename = "l", skip_serializing_if = "std::ops::Not::not")]
    pub lost: bool,
    /// A worker is sending something that must not be sent twice.
    #[serde(rename = "c", skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// Where the recipient's messages arrive, as it was resolved.
    #[serde(rename = "p", with = "place_as_list", skip_serializing_if = "Place::is_unknown")]
    pub place: Place,
    /// The worker that posted the message: others leave changes of it to this worker for a moment.
    #[serde(rename = "o", skip_serializing_if = "String::is_empty")]
    pub owner: String,
    /// Something was sent again since this time (seconds since 1970), and its first sending may have taken effect: a second
    /// message is looked for at the end.
    #[serde(rename = "y", skip_serializing_if = "Option::is_none")]
    pub suspect: Option<i64>,
    /// The message belongs to another Slack app and cannot be updated by this one.
    #[serde(rename = "a", skip_serializing_if = "std::ops::Not::not")]
    pub another_app: bool,
    /// The outcome has to be told with a new message: the old one takes neither updates nor replies.
    #[serde(rename = "n", skip_serializing_if = "std::ops::Not::not")]
    pub anew: bool,
}

/// The reaction on a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reaction {
    /// There is none.
    #[default]
    Missing,
    /// This one; the emoji's name without colons.
    Added(String),
    /// Slack will never take one.
    GivenUp,
}

impl Reaction {
    fn is_missing(&self) -> bool {
        *self == Self::Missing
    }
}

/// A worker's announcement that it is about to send something which Slack could not recognise as a repetition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Claim {
    /// The worker: see [`WorkerId`](super::claims::WorkerId).
    pub by: String,
    /// Seconds since 1970 by that worker's clock: from where to search the channel's history.
    pub at: i64,
    /// Distinguishes this claim from the same worker's next one.
    pub n: u64,
}

impl Claim {
    /// When it was made. A stored value may be anything; what no clock can show is clamped.
    pub fn time(&self) -> Timestamp {
        clamped(self.at)
    }
}

/// Seconds since 1970 as a time between 1970 and 2100.
pub fn clamped(seconds: i64) -> Timestamp {
    const YEAR_2100: i64 = 4_102_444_800;
    Timestamp::from_second(seconds.clamp(0, YEAR_2100)).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(value: &usize) -> bool {
    *value == 0
}

fn is_unknown(shown: &Shown) -> bool {
    *shown == Shown::Unknown
}

/// Text that is not understood reads as unknown: the message is then brought up to date.
mod shown_as_text {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::delivery::state::Shown;

    pub(super) fn serialize<S: Serializer>(shown: &Shown, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(shown)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Shown, D::Error> {
        Ok(Shown::parse(&String::deserialize(deserializer)?))
    }
}

mod reaction_as_text {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::delivery::record::Reaction;

    /// Stands for a reaction that was given up.
    const NONE: &str = "-";

    pub(super) fn serialize<S: Serializer>(reaction: &Reaction, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match reaction {
            Reaction::Missing => "",
            Reaction::Added(name) => name,
            Reaction::GivenUp => NONE,
        })
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Reaction, D::Error> {
        Ok(match String::deserialize(deserializer)? {
            text if text.is_empty() => Reaction::Missing,
            text if text == NONE => Reaction::GivenUp,
            text => Reaction::Added(text),
        })
    }
}

mod place_as_list {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::delivery::state::Place;

    pub(super) fn serialize<S: Serializer>(place: &Place, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(place.ids())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Place, D::Error> {
        Ok(Vec::<String>::deserialize(deserializer)?.into_iter().collect())
    }
}

impl Delivery {
    /// Where its messages arrive: as resolved, and as the message shows.
    pub fn places(&self) -> Place {
        let mut place = self.place.clone();
        if let Some(message) = &self.message {
            place.add(message.channel.clone());
        }
        place
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Progress {
    #[serde(rename = "d")]
    deliveries: BTreeMap<RecipientKey, Delivery>,
    #[serde(rename = "f", skip_serializing_if = "std::ops::Not::not")]
    foreign: bool,
    /// Seconds since 1970.
    #[serde(rename = "e", skip_serializing_if = "Option::is_none")]
    expires: Option<i64>,
}

impl Record {
    /// Decodes what is stored; an empty map is the record of a request that nobody has touched.
    pub fn decode(stored: PluginData) -> Self {
        let text = |key: &str| stored.get(key).cloned().unwrap_or_default();
        let progress: Option<Progress> = stored.get(PROGRESS).and_then(|json| serde_json::from_str(json).ok());
        let foreign = !stored.is_empty() && progress.as_ref().is_none_or(|progress| progress.foreign);
        let progress = progress.unwrap_or_default();
        let mut deliveries = progress.deliveries;
        let replies = text(REVIEWS_COUNT).parse().unwrap_or(0);
        let resolution = Resolution::parse(&text(RESOLUTION));
        let legacy = MessageRef { channel: text(LEGACY_CHANNEL), ts: text(LEGACY_TIMESTAMP) };
        let legacy = (!legacy.channel.is_empty() && !legacy.ts.is_empty()).then_some(legacy);
        for message in legacy.into_iter().chain(official_format::decode(&text(MESSAGES))) {
            if deliveries.values().any(|delivery| delivery.message.as_ref() == Some(&message)) {
                continue;
            }
            // Another program's message shows what that program has recorded.
            let shown = resolution.map_or(Shown::Pending { reviews: replies }, Shown::Ended);
            let delivery = Delivery { replies, shown, message: Some(message.clone()), ..Delivery::default() };
            deliveries.insert(RecipientKey::new(format!("message {message}")), delivery);
        }
        let request = RequestMemory {
            user: text(USER),
            roles: text(ROLES).split(',').filter(|role| !role.is_empty()).map(str::to_owned).collect(),
            resources: serde_json::from_str(&text(RESOURCES)).unwrap_or_default(),
            reason: text(REASON),
            resolve_reason: text(RESOLVE_REASON),
            expires: progress.expires.and_then(|seconds| Timestamp::from_second(seconds).ok()),
        };
        Self { stored, request, deliveries, foreign, resolution }
    }

    /// Whether anything is stored.
    pub fn exists(&self) -> bool {
        !self.stored.is_empty()
    }

    /// Whether any message is known to have been posted.
    pub fn has_messages(&self) -> bool {
        self.deliveries.values().any(|delivery| delivery.message.is_some())
    }

    /// Takes over what a later message must still be able to say.
    pub fn remember(&mut self, request: &AccessRequest) {
        let mut reason = request.reason.clone();
        reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
        let mut resolve_reason = request.resolve_reason.clone();
        resolve_reason.truncate(resolve_reason.floor_char_boundary(MAX_REASON_BYTES));
        self.request = RequestMemory {
            user: request.user.clone(),
            roles: request.roles.clone(),
            resources: request.resources.iter().map(ToString::to_string).collect(),
            reason,
            resolve_reason,
            expires: request.request_expires,
        };
    }

    /// Leaves out what serves only to show a request that is gone, for a record that is too large: other plugins share its
    /// limit. Returns whether there was any of it.
    pub fn shed(&mut self) -> bool {
        let RequestMemory { resources, reason, resolve_reason, .. } = &mut self.request;
        let any = !(resources.is_empty() && reason.is_empty() && resolve_reason.is_empty());
        resources.clear();
        reason.clear();
        resolve_reason.clear();
        any
    }

    /// The write that turns what is stored into this record: the keys to set, and the values that the guarded keys must
    /// still have. Nothing to set means that nothing changed.
    pub fn update(&self) -> (PluginData, PluginData) {
        let wanted = self.encode();
        let set = wanted
            .into_iter()
            .filter(|(key, value)| self.stored.get(*key).map_or("", String::as_str) != value)
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        let expect = GUARDED.iter().map(|key| ((*key).to_owned(), self.stored.get(*key).cloned().unwrap_or_default()));
        (set, expect.collect())
    }

    /// Notes that [`Record::update`]'s write went through.
    pub fn written(&mut self, set: PluginData) {
        for (key, value) in set {
            if value.is_empty() {
                self.stored.remove(&key);
            } else {
                self.stored.insert(key, value);
            }
        }
    }

    fn encode(&self) -> BTreeMap<&'static str, String> {
        let progress = Progress {
            deliveries: self.deliveries.clone(),
            foreign: self.foreign,
            expires: self.request.expires.map(Timestamp::as_second),
        };
        let posted = self.deliveries.values().filter(|delivery| delivery.message.is_some());
        // A message that came later has fewer replies. The count never falls: the official plugin would reply again.
        let counted = self.stored.get(REVIEWS_COUNT).and_then(|count| count.parse().ok()).unwrap_or(0);
        let replies = posted.clone().map(|delivery| delivery.replies).min().unwrap_or(0).max(counted);
        let known = self.stored.get(MESSAGES).map_or("", String::as_str);
        let messages = official_format::append(known, posted.filter_map(|delivery| delivery.message.as_ref()));
        BTreeMap::from([
            (USER, self.request.user.clone()),
            (ROLES, self.request.roles.join(",")),
            (REASON, self.request.reason.clone()),
            (RESOURCES, gojson::strings(&self.request.resources)),
            (REVIEWS_COUNT, if replies == 0 { String::new() } else { replies.to_string() }),
            (RESOLUTION, self.resolution.map_or("", Resolution::as_str).to_owned()),
            (RESOLVE_REASON, self.request.resolve_reason.clone()),
            (MESSAGES, messages),
            // Serialising plain maps, numbers and strings cannot fail.
            (PROGRESS, serde_json::to_string(&progress).unwrap_or_default()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use crate::delivery::record::*;

    fn data(entries: &[(&str, &str)]) -> PluginData {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn message(channel: &str, ts: &str) -> MessageRef {
        MessageRef { channel: channel.to_owned(), ts: ts.to_owned() }
    }

    fn roundtrip(record: &Record) -> Record {
        let mut stored = record.stored.clone();
        stored.extend(record.update().0);
        stored.retain(|_, value| !value.is_empty());
        Record::decode(stored)
    }

    #[test]
    fn the_first_write_expects_that_nothing_is_there() {
        let (_, expect) = Record::decode(PluginData::new()).update();
        assert_eq!(expect.len(), GUARDED.len());
        assert!(expect.values().all(String::is_empty), "{expect:?}");
    }

    #[test]
    fn progress_survives_the_way_through_teleport() {
        let mut record = Record::default();
        record.request.user = "alice".to_owned();
        record.request.roles = vec!["dba".to_owned(), "dev".to_owned()];
        record.request.resources = vec!["/c/node/<a>".to_owned()];
        record.request.expires = Some(Timestamp::from_second(1_700_000_000).unwrap());
        let claim = Claim { by: "x".to_owned(), at: 5, n: 2 };
        record.deliveries.insert(RecipientKey::new("#dba"), Delivery { claim: Some(claim), ..Delivery::default() });
        let posted = Delivery {
            message: Some(message("C1", "1.000001")),
            replies: 1,
            shown: Shown::Pending { reviews: 1 },
            ..Delivery::default()
        };
        record.deliveries.insert(RecipientKey::new("#ops"), posted);
        let read = roundtrip(&record);
        assert_eq!((&read.request, &read.deliveries), (&record.request, &record.deliveries));
        assert!(!read.foreign);
        assert!(read.update().0.is_empty(), "a second write has nothing to say");
    }

    #[test]
    fn the_official_plugin_finds_its_own_keys() {
        let mut record = Record::default();
        record.request.roles = vec!["dba".to_owned(), "dev".to_owned()];
        for (recipient, ts, replies) in [("a", "1.000001", 2), ("b", "1.000002", 1)] {
            let delivery = Delivery { message: Some(message("C1", ts)), replies, ..Delivery::default() };
            record.deliveries.insert(RecipientKey::new(recipient), delivery);
        }
        let (set, _) = record.update();
        assert_eq!(set["messages"], "C1/1.000001,C1/1.000002");
        assert_eq!(set["roles"], "dba,dev");
        // Counted only once every thread has the reply: whoever takes over repeats rather than loses.
        assert_eq!(set["reviews_count"], "1");
        assert!(!set.contains_key("resolution"), "an unresolved request has no resolution key");
    }

    #[test]
    fn a_record_of_the_official_plugin_is_adopted_with_what_it_says_is_shown() {
        let stored = data(&[("user", "alice"), ("messages", "C1/1.5,bad,D2/2.5"), ("reviews_count", "1")]);
        let record = Record::decode(stored);
        assert!(record.foreign);
        let shown: Vec<_> = record.deliveries.values().map(|d| (d.shown, d.replies)).collect();
        assert_eq!(shown, [(Shown::Pending { reviews: 1 }, 1); 2]);
    }

    #[test]
    fn a_message_of_a_plugin_before_v7_is_adopted_too() {
        let record = Record::decode(data(&[("channel_id", "D1"), ("timestamp", "1.5")]));
        assert_eq!(record.deliveries.values().next().unwrap().message, Some(message("D1", "1.5")));
    }

    #[test]
    fn a_record_that_another_program_has_claimed_but_not_filled_is_foreign_and_empty() {
        let record = Record::decode(data(&[("user", "alice"), ("roles", "dba")]));
        assert!(record.foreign && record.exists() && !record.has_messages());
    }

    #[test]
    fn progress_that_does_not_parse_does_not_hide_the_messages() {
        let record = Record::decode(data(&[("messages", "C1/1.5"), (PROGRESS, "{")]));
        assert!(record.has_messages());
    }

    #[test]
    fn a_reason_of_any_length_leaves_room_for_other_plugins() {
        let mut record = Record::default();
        let request = crate::access_request::AccessRequest { reason: "ä".repeat(100_000), ..sample() };
        record.remember(&request);
        assert!(record.request.reason.len() <= MAX_REASON_BYTES);
    }

    fn sample() -> AccessRequest {
        crate::delivery::testing::request()
    }
}
