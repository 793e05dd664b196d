//! Events: what changed, for those who read `kubectl describe`.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client, Resource as _};

use crate::controller::resources;
use crate::controller::status::Controlled;
use crate::crd::reason::Reason;
use crate::crd::status::{DeliveryStatus, READY};
use crate::crd::{SlackAccessPlugin, SlackAccessPluginStatus};

/// The longest note that the API server takes, in bytes.
const LONGEST_NOTE: usize = 1024;
/// The name under which events are reported.
const CONTROLLER: &str = "slack-access-operator";

/// Something worth an event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct News {
    /// Whether somebody should look.
    pub is_warning: bool,
    /// One word.
    pub reason: String,
    /// What happened.
    pub note: String,
    /// Tells it from the same news at another time: what was so before.
    pub before: String,
}

/// What changed between two states of an object; pure.
pub fn news(before: &SlackAccessPluginStatus, now: &Controlled) -> Vec<News> {
    let ready = now.conditions.iter().find(|condition| condition.type_ == READY);
    ready.and_then(|now| of_ready(before.condition(READY), now)).into_iter().collect()
}

/// Requests that reached no recipient since `seen` of them were known. The note is the same for all of them, so that they
/// share one event for as long as the API server keeps it.
pub fn unrouted(seen: i64, delivery: &DeliveryStatus) -> Option<News> {
    (delivery.unrouted > seen).then(|| News {
        is_warning: true,
        reason: Reason::Unrouted.to_string(),
        note: "access requests reach no recipient: add their roles, or \"*\", to roleToRecipients; .status.delivery counts them (unrouted) and names the last one (lastUnrouted)".to_owned(),
        before: String::new(),
    })
}

fn of_ready(before: Option<&Condition>, now: &Condition) -> Option<News> {
    if before.is_some_and(|before| before.status == now.status && before.reason == now.reason) {
        return None;
    }
    // That something is on its way is no news; that it arrived, or did not, is.
    let is_news = now.status != "Unknown" || now.reason == Reason::WorkerSilent;
    is_news.then(|| News {
        is_warning: now.status != "True" && now.reason != Reason::Suspended,
        reason: now.reason.clone(),
        note: now.message.clone(),
        before: before.map(as_it_was).unwrap_or_default(),
    })
}

fn as_it_was(before: &Condition) -> String {
    let Condition { status, reason, last_transition_time: Time(since), .. } = before;
    format!("{status} {reason} {since}")
}

/// Publishes events.
#[derive(Clone)]
pub struct Publisher {
    client: Client,
    instance: String,
}

impl Publisher {
    /// Publishes as `instance`: the name of this pod.
    pub const fn new(client: Client, instance: String) -> Self {
        Self { client, instance }
    }

    /// Publishes. An event is a courtesy: when it cannot be written, that is logged and nothing else happens.
    pub async fn publish(&self, plugin: &SlackAccessPlugin, news: Vec<News>) {
        for news in news {
            let regarding = plugin.object_ref(&());
            let namespace = regarding.namespace.clone().unwrap_or_default();
            let event = self.event(regarding, news, since(plugin), Timestamp::now());
            let events: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
            match events.create(&PostParams::default(), &event).await {
                Ok(_) => {}
                // Told already: by another controller, as during a rollout of the operator, or it goes back and forth.
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => tracing::warn!(%error, namespace, "Could not publish an event"),
            }
        }
    }

    fn event(&self, regarding: ObjectReference, news: News, since: Timestamp, now: Timestamp) -> Event {
        let News { is_warning, reason, note, before } = news;
        // The same change has the same name, whoever tells it.
        let uid = regarding.uid.as_deref().unwrap_or_default();
        let change = resources::digest([uid, &reason, &note, &before].map(str::as_bytes));
        // kubectl lists events by name: one that follows another comes after it.
        let order = u64::try_from(since.as_second()).unwrap_or_default();
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{order:08x}{change}", regarding.name.as_deref().unwrap_or(CONTROLLER))),
                namespace: regarding.namespace.clone(),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            type_: Some(if is_warning { "Warning" } else { "Normal" }.to_owned()),
            action: Some("Reconcile".to_owned()),
            reason: Some(reason),
            note: Some(shortened(note)),
            regarding: Some(regarding),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        }
    }
}

/// Since when the object was as it was before the news.
fn since(plugin: &SlackAccessPlugin) -> Timestamp {
    let ready = plugin.status.as_ref().and_then(|status| status.condition(READY));
    let changed = ready.map(|ready| &ready.last_transition_time);
    changed.or(plugin.metadata.creation_timestamp.as_ref()).map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

/// Cuts between characters: the limit is in bytes.
fn shortened(mut note: String) -> String {
    const ELLIPSIS: char = '…';
    if note.len() > LONGEST_NOTE {
        note.truncate(note.floor_char_boundary(LONGEST_NOTE - ELLIPSIS.len_utf8()));
        note.push(ELLIPSIS);
    }
    note
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(status: &str, reason: &str) -> Condition {
        Condition {
            type_: READY.into(),
            status: status.into(),
            reason: reason.into(),
            message: "words".into(),
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
            observed_generation: None,
        }
    }

    #[test]
    fn only_a_change_is_an_event() {
        assert_eq!(of_ready(Some(&ready("True", "Working")), &ready("True", "Working")), None);
        assert_eq!(of_ready(None, &ready("Unknown", Reason::Starting.as_str())), None);
        assert!(!of_ready(None, &ready("True", "Working")).unwrap().is_warning);
        assert!(of_ready(Some(&ready("True", "Working")), &ready("False", "TokenRefused")).unwrap().is_warning);
        assert!(
            of_ready(Some(&ready("True", "Working")), &ready("Unknown", Reason::WorkerSilent.as_str()))
                .unwrap()
                .is_warning
        );
        assert!(
            !of_ready(Some(&ready("True", "Working")), &ready("False", Reason::Suspended.as_str())).unwrap().is_warning
        );
    }

    #[test]
    fn requests_that_reach_no_recipient_share_one_event() {
        let delivery = |unrouted| DeliveryStatus {
            unrouted,
            last_unrouted: Some(format!("request {unrouted}")),
            ..DeliveryStatus::default()
        };
        assert_eq!(unrouted(2, &delivery(2)), None);
        let news = unrouted(1, &delivery(2)).unwrap();
        assert!(news.is_warning && news.note.contains("roleToRecipients"), "{}", news.note);
        assert_eq!(unrouted(2, &delivery(3)), Some(news));
    }

    #[test]
    fn a_note_is_cut_between_characters() {
        for character in ["a", "ä", "日", "🔑"] {
            let note = shortened(format!("x{}", character.repeat(2000)));
            assert!(note.len() <= LONGEST_NOTE && note.ends_with('…'), "{}", note.len());
        }
        assert_eq!(shortened("short".into()), "short");
    }
}
