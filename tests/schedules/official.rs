//! The official plugin, as it writes: what it knows of the request first, then messages, then the list of them; the count of
//! reviews before its replies, the resolution before its updates.

use std::collections::BTreeMap;

use slack_access_operator::access_request::PluginData;
use slack_access_operator::delivery::state::{Observation, Shown};
use slack_access_operator::slack::MessageRef;

use crate::history::{Author, Happening, Posted};
use crate::plan::Ms;
use crate::slack::Condition;
use crate::world::{Event, World};

/// Between its steps.
const STEP: Ms = 250;
/// The keys whose values it always asserts.
const ASSERTED: [&str; 8] =
    ["user", "roles", "resources", "request_reason", "reviews_count", "resolution", "resolve_reason", "messages"];

/// What its process knows.
#[derive(Default)]
pub struct Official {
    posted: BTreeMap<usize, Vec<MessageRef>>,
    shown: BTreeMap<MessageRef, Shown>,
}

impl World {
    /// The next step for a request.
    pub fn official_works(&mut self, request: usize) {
        let now = self.now;
        if self.plan.official_until.is_none_or(|until| now >= until) {
            return;
        }
        let record = self.teleport.record(request, now);
        let text = |key: &str| record.data.get(key).cloned().unwrap_or_default();
        let Some(known) = self.teleport.request(request, now).cloned() else { return };
        let observation = Observation::Present(Box::new(known.clone()));
        let set = |key: &str, value: String| PluginData::from([(key.to_owned(), value)]);
        if record.data.is_empty() {
            if observation.is_pending() {
                let mut first = set("user", known.user.clone());
                first.insert("roles".to_owned(), known.roles.join(","));
                first.insert("request_reason".to_owned(), known.reason.clone());
                self.official_writes(request, &first);
            }
            return;
        }
        let recipients = self.plan.configurations.first().cloned().unwrap_or_default();
        let mut places: Vec<usize> = recipients.iter().filter_map(|text| self.plan.place_of(text)).collect();
        places.sort_unstable();
        places.dedup();
        let posted = self.official.posted.get(&request).cloned().unwrap_or_default();
        if text("messages").is_empty() {
            if let Some(place) = places.get(posted.len()) {
                self.official_posts(request, *place);
            } else {
                let list: Vec<_> = posted.iter().map(ToString::to_string).collect();
                self.official_writes(request, &set("messages", list.join(",")));
            }
            return;
        }
        let reviews = known.reviews.len();
        if text("reviews_count").parse().unwrap_or(0) < reviews {
            self.official_writes(request, &set("reviews_count", reviews.to_string()));
            return;
        }
        let Some(resolution) = observation.resolution() else { return };
        if text("resolution").is_empty() {
            self.official_writes(request, &set("resolution", resolution.as_str().to_owned()));
            return;
        }
        let target = Shown::Ended(resolution);
        let next = posted.into_iter().find(|message| self.official.shown.get(message) != Some(&target));
        if let Some(message) = next {
            self.official.shown.insert(message.clone(), target);
            if self.slack.update(&message, &Condition::default(), target, 1).is_ok() {
                self.note(Happening::Updated { message: message.clone(), shown: target, begun: now });
            }
            if let Some(name) = resolution.reaction()
                && self.slack.react(&message, &Condition::default(), name).is_ok()
            {
                self.note(Happening::Reacted { message, name: name.to_owned() });
            }
            self.at(now + STEP, Event::Official(request));
        }
    }

    fn official_writes(&mut self, request: usize, set: &PluginData) {
        let now = self.now;
        let stored = self.teleport.record(request, now);
        let expect: PluginData = ASSERTED
            .iter()
            .map(|key| ((*key).to_owned(), stored.data.get(*key).cloned().unwrap_or_default()))
            .collect();
        if let Ok((before, after)) = self.teleport.write(request, set, Some(&expect), 0, now) {
            self.note(Happening::Stored { request, by: Author::Official, began: now, before, after });
        }
        self.at(now + STEP, Event::Official(request));
    }

    fn official_posts(&mut self, request: usize, place: usize) {
        let now = self.now;
        let shown = Shown::Pending { reviews: 0 };
        let channel = self.plan.places[place].conversation().to_owned();
        let posted = self.slack.post(Some(place), &Condition::default(), &channel, None, None, shown, true, 1, now);
        if let Ok(message) = posted {
            self.official.posted.entry(request).or_default().push(message.clone());
            self.official.shown.insert(message.clone(), shown);
            self.note(Happening::Posted(Posted {
                message,
                request,
                place,
                reply: None,
                shown,
                by: Author::Official,
                app: 1,
                begun: now,
                answered: true,
                is_searchable: false,
            }));
        }
        self.at(now + STEP, Event::Official(request));
    }
}
