//! What has to be in Slack in the end, from what people did and how the workers are configured. It knows ends, not ways.

use std::collections::BTreeMap;

use slack_access_operator::delivery::state::{Observation, Resolution};

use crate::history::{Author, Happening, History};
use crate::plan::{Act, HOUR, MINUTE, Ms, Trouble};

/// As long as this without faults, everything that can be done is done.
const LONG_ENOUGH: Ms = MINUTE;
/// The same after faults, whose retries have grown long.
const LONG_AFTER_FAULTS: Ms = 10 * MINUTE;

/// How one request went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Story {
    pub made: Ms,
    pub expires: Ms,
    pub ended: Option<(Ms, Resolution)>,
    pub gone: Option<Ms>,
    /// When each review was submitted.
    pub reviews: Vec<Ms>,
}

/// What is due in one place for one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// There must be a message.
    pub must: bool,
    /// There may be one.
    pub may: bool,
}

impl History {
    /// When a request's own time is up, as planned.
    pub fn plan_expiry(&self, wanted: usize) -> Option<Ms> {
        self.plan.acts.iter().find_map(|timed| match timed.act {
            Act::Request { request, waits, .. } if request == wanted => Some(timed.at + waits),
            _ => None,
        })
    }

    /// When its record ends.
    pub fn record_ends(&self, wanted: usize) -> Option<Ms> {
        self.plan.acts.iter().find_map(|timed| match timed.act {
            Act::Request { request, access, .. } if request == wanted => Some(timed.at + access + HOUR),
            _ => None,
        })
    }

    /// How each request went, by Teleport's own truth.
    pub fn stories(&self) -> BTreeMap<usize, Story> {
        let mut stories: BTreeMap<usize, Story> = BTreeMap::new();
        for entry in &self.entries {
            let Happening::Changed { request, now } = &entry.what else { continue };
            let story = stories.entry(*request).or_insert_with(|| Story {
                made: entry.at,
                expires: self.plan_expiry(*request).unwrap_or(0),
                ..Story::default()
            });
            let Some(known) = now else {
                story.gone = Some(entry.at);
                story.ended.get_or_insert((entry.at, Resolution::Expired));
                continue;
            };
            story.reviews.resize(known.reviews.len(), entry.at);
            if let Some(resolution) = Observation::Present(known.clone()).resolution() {
                story.ended.get_or_insert((entry.at, resolution));
            }
        }
        stories
    }

    /// The recipients that each worker is configured for in the end.
    pub fn final_recipients(&self) -> Vec<String> {
        let mut configurations: Vec<usize> = self.plan.workers.iter().map(|worker| worker.configuration).collect();
        for timed in &self.plan.acts {
            if let Act::Configure { worker, configuration } = timed.act
                && let Some(current) = configurations.get_mut(worker)
            {
                *current = configuration;
            }
        }
        configurations.into_iter().flat_map(|index| self.plan.configurations[index].clone()).collect()
    }

    /// What is due for a request in a place.
    pub fn due(&self, request: usize, place: usize, story: &Story) -> Due {
        let suggested = self.plan.acts.iter().find_map(|timed| match &timed.act {
            Act::Request { request: other, suggested, .. } if *other == request => Some(suggested.clone()),
            _ => None,
        });
        let suggested = suggested.unwrap_or_default();
        let named = |texts: &[&String]| texts.iter().any(|text| self.plan.places[place].is_named(text));
        let may = named(&self.plan.configurations.iter().flatten().chain(&suggested).collect::<Vec<_>>());
        let wanted = named(&self.final_recipients().iter().chain(&suggested).collect::<Vec<_>>());
        let is_official = self.entries.iter().any(|entry| {
            matches!(entry.what, Happening::Stored { request: other, by: Author::Official, .. } if other == request)
        });
        Due { must: wanted && !is_official && self.had_time(story), may }
    }

    /// Whether a request was pending so long that it must have been announced.
    fn had_time(&self, story: &Story) -> bool {
        let ended = story.ended.map_or(Ms::MAX, |(at, _)| at);
        if self.plan.faults.is_empty() {
            let starts = self.plan.workers.iter().map(|worker| worker.starts).max().unwrap_or(0);
            return ended >= story.made.max(starts) + LONG_ENOUGH;
        }
        let is_fresh = story.made >= self.plan.heal && ended >= story.made + LONG_ENOUGH;
        is_fresh || ended >= self.plan.heal.max(story.made) + LONG_AFTER_FAULTS
    }

    /// Whether all that is known of a request since `since` could be shown before it was gone.
    pub fn could_be_seen(&self, story: &Story, since: Ms) -> bool {
        let gone = story.gone.unwrap_or(Ms::MAX);
        let needed = if self.plan.faults.is_empty() { LONG_ENOUGH } else { LONG_AFTER_FAULTS };
        let begin = if self.plan.faults.is_empty() { since } else { since.max(self.plan.heal) };
        let begin = self.plan.workers.iter().map(|worker| worker.starts).max().unwrap_or(0).max(begin);
        gone >= begin.saturating_add(needed)
    }

    /// Whether a fault of this kind is in the plan.
    pub fn has(&self, is_it: impl Fn(&Trouble) -> bool) -> bool {
        self.plan.faults.iter().any(|fault| is_it(&fault.what))
    }
}
