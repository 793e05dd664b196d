//! What happens in one world, as data: a seed yields a plan, and a plan is run. A plan that once failed is kept as a file,
//! because a seed means something else after each change of this file.

use serde::{Deserialize, Serialize};

use crate::chance::Chance;

/// Milliseconds since the world began.
pub type Ms = u64;

/// One second.
pub const SECOND: Ms = 1_000;
/// One minute.
pub const MINUTE: Ms = 60 * SECOND;
/// One hour.
pub const HOUR: Ms = 60 * MINUTE;

/// How long after the last fault a request that is still pending is decided: longer than any retry waits.
const DECIDED_AFTER: Ms = 11 * MINUTE;
/// How long after the last fault a fresh request is made.
pub const FRESH_AFTER: Ms = 20 * MINUTE;
/// How long after the last fault nothing may be left to do.
pub const END_AFTER: Ms = 45 * MINUTE;

/// Everything that one world is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Chance of what is not in the plan: how long each call takes, which calls a fault hits.
    pub seed: u64,
    /// Where messages can arrive.
    pub places: Vec<Spot>,
    /// Each a list of recipients as they are written, for the one role that is requested.
    pub configurations: Vec<Vec<String>>,
    pub workers: Vec<WorkerPlan>,
    /// The official plugin runs until this time, with the first configuration.
    pub official_until: Option<Ms>,
    pub scopes: Scopes,
    /// What people do.
    pub acts: Vec<Timed>,
    pub faults: Vec<Fault>,
    /// From now on nothing goes wrong.
    pub heal: Ms,
}

/// A conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Spot {
    Channel { id: String, name: String },
    Person { user: String, direct: String, email: String },
}

impl Spot {
    /// The id of its conversation.
    pub fn conversation(&self) -> &str {
        match self {
            Self::Channel { id, .. } => id,
            Self::Person { direct, .. } => direct,
        }
    }

    /// The ways in which a recipient list may name it.
    pub fn spellings(&self) -> Vec<String> {
        match self {
            Self::Channel { id, name } => vec![id.clone(), format!("#{name}")],
            Self::Person { user, direct, email } => vec![email.clone(), user.clone(), direct.clone()],
        }
    }

    /// Whether this text names it. A channel's name is known without its `#` too.
    pub fn is_named(&self, text: &str) -> bool {
        self.spellings().iter().any(|known| known == text || known.strip_prefix('#') == Some(text))
    }
}

/// What the app may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scopes {
    /// Read the history of conversations.
    pub history: bool,
    /// List channels, which tells the id behind a name.
    pub list: bool,
    /// Open direct messages, which tells their ids.
    pub open: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerPlan {
    pub configuration: usize,
    pub starts: Ms,
    /// How far its clock is ahead, in seconds.
    pub clock: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timed {
    pub at: Ms,
    pub act: Act,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// A request is made, to be decided within a time, for access of some length.
    Request {
        request: usize,
        waits: Ms,
        access: Ms,
        suggested: Vec<String>,
    },
    Review {
        request: usize,
    },
    Decide {
        request: usize,
        end: End,
    },
    /// Deleted before its time.
    Delete {
        request: usize,
    },
    /// A person deletes the message of a request.
    DeleteMessage {
        request: usize,
        place: usize,
    },
    /// A worker gets another configuration.
    Configure {
        worker: usize,
        configuration: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    Approved,
    Denied,
    Promoted,
}

/// Something goes wrong for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub from: Ms,
    pub to: Ms,
    /// Of the calls that it could hit, it hits one in so many.
    pub one_in: u64,
    /// The worker that it concerns; all where there is none.
    pub worker: Option<usize>,
    pub what: Trouble,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trouble {
    /// Teleport's own retries of a write are used up.
    Conflict,
    /// A write is stored and not answered.
    WriteUnanswered,
    /// A write is neither stored nor answered.
    WriteLost,
    /// Reads and look-ups are not answered.
    ReadLost,
    /// Every call to Teleport takes this much longer.
    TeleportSlow(Ms),
    /// No call to Teleport is answered, no connection is made, watches are cut.
    TeleportDown,
    /// Listings are as old as this.
    StaleListing(Ms),
    /// The watch ends once.
    WatchCut,
    /// An event is told twice.
    EventRepeated,
    /// Other plugins fill the record of this request.
    TooLarge,
    /// Slack carries a call out and its answer is lost.
    AnswerLost,
    /// Slack carries a call out so much later, when its caller has given it up.
    Late(Ms),
    /// Slack asks for a pause of so many seconds.
    RateLimited(u64),
    /// Slack refuses posts to a place.
    Refused {
        place: usize,
        code: String,
    },
    /// The history shows a message this much later.
    HistoryLag(Ms),
    /// The history cannot be read, while other calls work.
    HistoryFails,
    /// The history has so many pages that reading it takes this long.
    HistoryLong(Ms),
    /// Slack answers with an HTTP error of its own.
    SlackDown,
    /// No connection to Slack.
    SlackUnreachable,
    /// A channel has another name.
    Renamed {
        place: usize,
    },
    Archived {
        place: usize,
    },
    /// The bot is not in the channel.
    Left {
        place: usize,
    },
    /// From now on the token is that of another app of the workspace.
    AnotherApp,
    /// The process dies after it has carried out so many effects of one output, and a new one starts at the end.
    Kill {
        carried: usize,
        other_host: bool,
    },
    /// The process is asked to stop, and a new one starts at the end.
    Drain {
        other_host: bool,
    },
    /// The process stands still; what it has sent goes on.
    Stall,
    /// The clock of the worker's machine jumps by so many seconds, and stays so.
    ClockJump(i64),
}

impl Trouble {
    /// Whether it stays when everything else is healed.
    pub fn is_lasting(&self) -> bool {
        matches!(self, Self::AnotherApp | Self::ClockJump(_))
    }
}

impl Plan {
    /// The plan of a seed. The seed first decides what kind of world it is: which faults there are at all, and how often.
    pub fn of(seed: u64) -> Self {
        let mut shape = Chance::new(seed, 1);
        let is_long = shape.one_in(12);
        let span = if is_long { shape.between(90, 150) * MINUTE } else { shape.between(40, 400) * SECOND };
        let is_calm = shape.one_in(10);
        let has_official = shape.one_in(6);
        let scopes = Scopes { history: !shape.one_in(5), list: !shape.one_in(4), open: !shape.one_in(4) };
        let places = places(&mut Chance::new(seed, 2));
        let configurations = configurations(&places, &mut Chance::new(seed, 3));
        let official_until = has_official.then(|| shape.between(2, 60) * SECOND);
        let workers = workers(&configurations, official_until, &mut Chance::new(seed, 4));
        let mut acts = acts(span, &places, &mut Chance::new(seed, 5));
        edits(span, &workers, &configurations, &mut acts, &mut Chance::new(seed, 6));
        let faults = if is_calm { Vec::new() } else { faults(span, &places, &workers, &mut Chance::new(seed, 7)) };
        let lasts_until = faults.iter().map(|fault| fault.to).max().unwrap_or(0);
        let heal = lasts_until.max(span).max(official_until.unwrap_or(0) + 30 * SECOND);
        let mut plan = Self { seed, places, configurations, workers, official_until, scopes, acts, faults, heal };
        plan.settle();
        plan
    }

    /// What remains pending is decided after the last fault, and one more request is made and decided.
    fn settle(&mut self) {
        let mut chance = Chance::new(self.seed, 8);
        let requests = self.requests();
        for request in 0..requests {
            let is_decided = self.acts.iter().any(|timed| match timed.act {
                Act::Decide { request: other, .. } | Act::Delete { request: other } => other == request,
                _ => false,
            });
            if !is_decided {
                let at = self.heal + DECIDED_AFTER + chance.below(3 * MINUTE);
                let end = chance.pick(&[End::Approved, End::Denied, End::Promoted]);
                self.acts.push(Timed { at, act: Act::Decide { request, end } });
            }
        }
        let fresh = self.heal + FRESH_AFTER;
        let act = Act::Request { request: requests, waits: 8 * HOUR, access: 10 * HOUR, suggested: Vec::new() };
        self.acts.push(Timed { at: fresh, act });
        self.acts.push(Timed { at: fresh + MINUTE, act: Act::Review { request: requests } });
        let act = Act::Decide { request: requests, end: End::Approved };
        self.acts.push(Timed { at: fresh + 2 * MINUTE, act });
        self.acts.sort_by_key(|timed| timed.at);
    }

    /// How many requests are made.
    pub fn requests(&self) -> usize {
        let made = self.acts.iter().filter_map(|timed| match timed.act {
            Act::Request { request, .. } => Some(request + 1),
            _ => None,
        });
        made.max().unwrap_or(0)
    }

    /// The request that is made after everything is healed.
    pub fn fresh(&self) -> Option<usize> {
        let after = self.heal + FRESH_AFTER;
        self.acts.iter().filter(|timed| timed.at >= after).find_map(|timed| match timed.act {
            Act::Request { request, .. } => Some(request),
            _ => None,
        })
    }

    /// The place that a recipient names.
    pub fn place_of(&self, text: &str) -> Option<usize> {
        self.places.iter().position(|place| place.is_named(text))
    }

    /// The place whose conversation has this id.
    pub fn place_at(&self, conversation: &str) -> Option<usize> {
        self.places.iter().position(|place| place.conversation() == conversation)
    }

    /// When the world ends.
    pub fn end(&self) -> Ms {
        self.heal + END_AFTER
    }
}

fn places(chance: &mut Chance) -> Vec<Spot> {
    let count = chance.between(1, 3);
    let mut places = Vec::new();
    for number in 0..count {
        places.push(if chance.one_in(3) {
            Spot::Person {
                user: format!("U00000000{number}"),
                direct: format!("D00000000{number}"),
                email: format!("person{number}@example.com"),
            }
        } else {
            Spot::Channel { id: format!("C00000000{number}"), name: format!("access-{number}") }
        });
    }
    places
}

fn configurations(places: &[Spot], chance: &mut Chance) -> Vec<Vec<String>> {
    let count = chance.pick(&[1, 1, 2]);
    let one = |chance: &mut Chance| {
        let mut recipients = Vec::new();
        for place in places {
            let spellings = place.spellings();
            if !chance.one_in(6) {
                recipients.push(chance.pick(&spellings));
            }
            // The same place by another name.
            if chance.one_in(5) {
                recipients.push(chance.pick(&spellings));
            }
        }
        if recipients.is_empty() {
            recipients.extend(places.first().map(|place| chance.pick(&place.spellings())));
        }
        recipients.sort();
        recipients.dedup();
        recipients
    };
    (0..count).map(|_| one(chance)).collect()
}

fn workers(configurations: &[Vec<String>], official_until: Option<Ms>, chance: &mut Chance) -> Vec<WorkerPlan> {
    let count = chance.pick(&[1, 1, 2, 2, 3]);
    let begin = official_until.unwrap_or(0);
    (0..count)
        .map(|number| WorkerPlan {
            configuration: chance.index(configurations.len()),
            starts: begin + if number == 0 { 0 } else { chance.below(20 * SECOND) },
            clock: if chance.one_in(3) { i64::try_from(chance.below(600)).unwrap_or(0) - 300 } else { 0 },
        })
        .collect()
}

fn acts(span: Ms, places: &[Spot], chance: &mut Chance) -> Vec<Timed> {
    let mut acts = Vec::new();
    for request in 0..chance.pick(&[1, 1, 2, 2, 3, 5]) {
        // Most at the beginning: what is made late meets no fault.
        let made = if chance.one_in(3) { chance.below(span) } else { chance.below(span.min(30 * SECOND)) };
        let waits = match chance.below(6) {
            0 => chance.between(20 * SECOND, 4 * MINUTE),
            1 => chance.between(5 * MINUTE, 30 * MINUTE),
            _ => 8 * HOUR,
        };
        let access = if chance.one_in(3) { chance.between(MINUTE, 30 * MINUTE) } else { 10 * HOUR };
        let mut suggested = Vec::new();
        if chance.one_in(4) {
            suggested.push("unknown@example.com".to_owned());
        }
        for place in places {
            if let Spot::Person { email, .. } = place
                && chance.one_in(3)
            {
                suggested.push(email.clone());
            }
        }
        acts.push(Timed { at: made, act: Act::Request { request, waits, access, suggested } });
        let left = span.saturating_sub(made).max(SECOND);
        for _ in 0..chance.pick(&[0, 0, 1, 1, 2, 4]) {
            acts.push(Timed { at: made + 1 + chance.below(left.min(2 * MINUTE)), act: Act::Review { request } });
        }
        if chance.one_in(8) {
            let place = chance.index(places.len());
            acts.push(Timed { at: made + 1 + chance.below(left), act: Act::DeleteMessage { request, place } });
        }
        let at = made + 1 + if chance.one_in(4) { chance.below(left.min(5 * SECOND)) } else { chance.below(left) };
        match chance.below(8) {
            0 => acts.push(Timed { at, act: Act::Delete { request } }),
            1..5 => {
                let end = chance.pick(&[End::Approved, End::Denied, End::Promoted]);
                acts.push(Timed { at, act: Act::Decide { request, end } });
                if chance.one_in(4) {
                    acts.push(Timed { at: at + chance.below(left), act: Act::Delete { request } });
                }
            }
            _ => {}
        }
    }
    acts
}

fn edits(span: Ms, workers: &[WorkerPlan], configurations: &[Vec<String>], acts: &mut Vec<Timed>, chance: &mut Chance) {
    if configurations.len() > 1 && chance.one_in(2) {
        let configuration = chance.index(configurations.len());
        for worker in 0..workers.len() {
            acts.push(Timed { at: chance.below(span), act: Act::Configure { worker, configuration } });
        }
    }
}

/// The kinds of trouble that one world has, and how often.
fn faults(span: Ms, places: &[Spot], workers: &[WorkerPlan], chance: &mut Chance) -> Vec<Fault> {
    const KINDS: u64 = 26;
    let kinds: Vec<u64> = (0..chance.between(1, 4)).map(|_| chance.below(KINDS)).collect();
    let mut faults = Vec::new();
    for _ in 0..chance.between(1, 6) {
        let what = trouble(chance.pick(&kinds), places, chance);
        let from = chance.below(span);
        let lasts = match what {
            Trouble::Kill { .. } | Trouble::Drain { .. } => chance.between(SECOND / 2, 40 * SECOND),
            Trouble::Stall => chance.between(SECOND, 50 * SECOND),
            Trouble::RateLimited(_) => chance.between(5 * SECOND, 5 * MINUTE),
            Trouble::TeleportDown | Trouble::SlackDown | Trouble::SlackUnreachable => {
                chance.between(SECOND, 2 * MINUTE)
            }
            _ => chance.between(5 * SECOND, span.max(10 * SECOND)),
        };
        let is_of_one =
            matches!(what, Trouble::Kill { .. } | Trouble::Drain { .. } | Trouble::Stall | Trouble::ClockJump(_))
                || chance.one_in(3);
        let worker = is_of_one.then(|| chance.index(workers.len()));
        let worker = if matches!(what, Trouble::AnotherApp) { None } else { worker };
        faults.push(Fault { from, to: from + lasts, one_in: chance.pick(&[1, 1, 2, 3, 5]), worker, what });
    }
    faults
}

fn trouble(kind: u64, places: &[Spot], chance: &mut Chance) -> Trouble {
    let place = chance.index(places.len());
    match kind {
        0 => Trouble::Conflict,
        1 => Trouble::WriteUnanswered,
        2 => Trouble::WriteLost,
        3 => Trouble::ReadLost,
        4 => Trouble::TeleportSlow(chance.pick(&[500, 2_000, 7_900, 8_100, 15_000, 25_000])),
        5 => Trouble::TeleportDown,
        6 => Trouble::StaleListing(chance.between(1_000, 15_000)),
        9 => Trouble::TooLarge,
        10 | 11 => Trouble::AnswerLost,
        12 | 13 => {
            // Each time of the machine's is tried from both sides.
            let bound = chance.pick(&[4_000, 8_000, 10_000, 14_000, 20_000, 25_000, 40_000, 60_000]);
            let any = chance.between(1_000, 60_000);
            Trouble::Late(chance.pick(&[bound - 100, bound, bound + 100, any]))
        }
        14 => Trouble::RateLimited(chance.pick(&[1, 5, 30, 60])),
        15 => {
            let code = chance.pick(&[
                "not_in_channel",
                "channel_not_found",
                "restricted_action",
                "invalid_blocks",
                "fatal_error",
                "msg_too_long",
                "service_unavailable",
                "invalid_auth",
            ]);
            Trouble::Refused { place, code: code.to_owned() }
        }
        16 => Trouble::HistoryLag(chance.between(500, 2_000)),
        17 => Trouble::HistoryFails,
        18 => Trouble::HistoryLong(chance.between(2_000, 9_000)),
        19 => chance.pick(&[Trouble::SlackDown, Trouble::SlackUnreachable]),
        20 if matches!(places[place], Spot::Channel { .. }) => {
            chance.pick(&[Trouble::Renamed { place }, Trouble::Archived { place }, Trouble::Left { place }])
        }
        7 | 20 => Trouble::WatchCut,
        // A person has another direct message with another app.
        21 if places.iter().all(|place| matches!(place, Spot::Channel { .. })) => Trouble::AnotherApp,
        8 | 21 => Trouble::EventRepeated,
        22 | 23 => Trouble::Kill { carried: chance.pick(&[0, 0, 1, 1, 2, 9]), other_host: chance.one_in(2) },
        24 => chance.pick(&[
            Trouble::Drain { other_host: false },
            Trouble::Drain { other_host: true },
            Trouble::ClockJump(-400),
            Trouble::ClockJump(400),
        ]),
        _ => Trouble::Stall,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_back_as_it_was_written() {
        for seed in 0..50 {
            let plan = Plan::of(seed);
            let json = serde_json::to_string(&plan).unwrap();
            assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
        }
    }

    #[test]
    fn every_request_is_decided_in_the_end() {
        for seed in 0..200 {
            let plan = Plan::of(seed);
            for request in 0..plan.requests() {
                assert!(plan.acts.iter().any(|timed| matches!(timed.act,
                    Act::Decide { request: other, .. } | Act::Delete { request: other } if other == request)));
            }
            assert!(plan.faults.iter().all(|fault| fault.to <= plan.heal));
        }
    }
}
