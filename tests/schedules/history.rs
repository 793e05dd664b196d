//! What happened in a world, in order: the one thing that is judged, printed and compared.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::rc::Rc;

use slack_access_operator::access_request::{AccessRequest, PluginData};
use slack_access_operator::delivery::effect::{Effect, ReplyKind};
use slack_access_operator::delivery::input::Input;
use slack_access_operator::delivery::record::Record;
use slack_access_operator::delivery::state::Shown;
use slack_access_operator::slack::MessageRef;

use crate::plan::{Act, Fault, Ms, Plan};

/// One life of a worker's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process {
    pub worker: usize,
    pub incarnation: u32,
}

/// The machine of one request in one process. A process may make several for a request, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineId {
    pub process: Process,
    pub request: usize,
    pub serial: u64,
}

/// Where a change comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    Worker(Process),
    Official,
    Person,
}

/// A version of a record.
#[derive(Debug, Default, PartialEq)]
pub struct Stored {
    pub data: PluginData,
    pub record: Record,
}

/// A message or a reply that Slack holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Posted {
    pub message: MessageRef,
    pub request: usize,
    pub place: usize,
    /// The message of a request where there is none.
    pub reply: Option<(MessageRef, ReplyKind)>,
    pub shown: Shown,
    pub by: Author,
    pub app: u32,
    /// When the call began.
    pub begun: Ms,
    /// Whether its caller was answered.
    pub answered: bool,
    /// Whether the history of this place could be read by its caller.
    pub is_searchable: bool,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    Started(Process),
    Stopped(Process),
    Told(MachineId, Input),
    Wants(MachineId, Effect),
    /// After the effects of a call of the machine.
    Rests {
        machine: MachineId,
        wake: Option<Ms>,
        is_over: bool,
        open: usize,
        is_connected: bool,
        was_tick: bool,
    },
    /// A process calls Slack.
    Calls {
        process: Process,
        method: &'static str,
        conversation: String,
    },
    /// Slack has told a process to pause.
    Limited {
        process: Process,
        method: &'static str,
        conversation: String,
        until: Ms,
    },
    Posted(Posted),
    Updated {
        message: MessageRef,
        shown: Shown,
        begun: Ms,
    },
    Reacted {
        message: MessageRef,
        name: String,
    },
    Deleted {
        message: MessageRef,
        by: Author,
    },
    /// Teleport's own truth; none when the request is gone.
    Changed {
        request: usize,
        now: Option<Box<AccessRequest>>,
    },
    Stored {
        request: usize,
        by: Author,
        began: Ms,
        before: Rc<Stored>,
        after: Rc<Stored>,
    },
    Acted(Act),
    Broke(Fault),
    /// A machine was told what came from a listing, or read: the claims in it were seen.
    Saw {
        process: Process,
        request: usize,
        record: Rc<Stored>,
    },
}

/// A happening and its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub at: Ms,
    pub what: Happening,
}

/// A world that has ended.
#[derive(Clone, Debug)]
pub struct History {
    pub plan: Plan,
    pub entries: Vec<Entry>,
    /// Machines that still have something to do.
    pub left: Vec<MachineId>,
    /// It was stopped because it did not come to an end.
    pub is_endless: bool,
}

impl History {
    /// Which request an entry is about.
    fn is_about(what: &Happening, wanted: usize) -> bool {
        match what {
            Happening::Told(machine, _) | Happening::Wants(machine, _) | Happening::Rests { machine, .. } => {
                machine.request == wanted
            }
            Happening::Posted(Posted { request, .. })
            | Happening::Changed { request, .. }
            | Happening::Saw { request, .. }
            | Happening::Stored { request, .. } => *request == wanted,
            _ => true,
        }
    }

    /// Names the whole trace: two runs of one plan have the same.
    pub fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for line in self.lines() {
            line.hash(&mut hasher);
        }
        hasher.finish()
    }

    /// The whole trace as text.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.entries.iter().map(ToString::to_string)
    }

    /// The latest lines about a request up to a time.
    pub fn trace(&self, request: Option<usize>, until: Ms, most: usize) -> Vec<String> {
        let about: Vec<_> = self
            .entries
            .iter()
            .filter(|entry| entry.at <= until)
            .filter(|entry| request.is_none_or(|request| Self::is_about(&entry.what, request)))
            .filter(|entry| !matches!(entry.what, Happening::Saw { .. }))
            .collect();
        about.iter().skip(about.len().saturating_sub(most)).map(ToString::to_string).collect()
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}.{}", self.worker, self.incarnation)
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} r{}", self.process, self.request)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.3} ", std::time::Duration::from_millis(self.at).as_secs_f64())?;
        match &self.what {
            Happening::Started(process) => write!(f, "{process} starts"),
            Happening::Stopped(process) => write!(f, "{process} stops"),
            Happening::Told(machine, input) => write!(f, "{machine} <- {}", brief(input)),
            Happening::Wants(machine, effect) => write!(f, "{machine} -> {}", brief(effect)),
            Happening::Rests { machine, wake, is_over, open, .. } => {
                let wake =
                    wake.map(|at| format!(", wakes at {:.3}", std::time::Duration::from_millis(at).as_secs_f64()));
                write!(
                    f,
                    "{machine} {}{open} open{}",
                    if *is_over { "is over, " } else { "" },
                    wake.unwrap_or_default()
                )
            }
            Happening::Calls { process, method, conversation } => write!(f, "{process} calls {method} {conversation}"),
            Happening::Limited { process, method, conversation, until } => {
                write!(f, "{process} is to pause {method} {conversation} until {until}")
            }
            Happening::Posted(posted) => write!(f, "Slack has {}", brief(posted)),
            Happening::Updated { message, shown, .. } => write!(f, "Slack shows {message} as {shown}"),
            Happening::Reacted { message, name } => write!(f, "Slack has :{name}: on {message}"),
            Happening::Deleted { message, by } => write!(f, "Slack has no {message} any more, by {by:?}"),
            Happening::Changed { request, now } => {
                let now = now.as_ref().map(|now| format!("{:?}, {} reviews", now.state, now.reviews.len()));
                write!(f, "Teleport r{request} is {}", now.as_deref().unwrap_or("gone"))
            }
            Happening::Stored { request, by, began, after, .. } => {
                write!(f, "Teleport r{request} stores what {by:?} wrote at {began}: {:?}", after.data)
            }
            Happening::Acted(act) => write!(f, "people: {act:?}"),
            Happening::Broke(fault) => {
                write!(f, "fault until {}: {:?} w{:?} 1/{}", fault.to, fault.what, fault.worker, fault.one_in)
            }
            Happening::Saw { process, request, .. } => write!(f, "{process} sees the record of r{request}"),
        }
    }
}

/// Without the parts of a request that say nothing here.
fn brief(what: &impl fmt::Debug) -> String {
    let text = format!("{what:?}");
    let Some((before, rest)) = text.split_once("Present(AccessRequest {") else { return text };
    let state = rest.split("state: ").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or_default();
    let reviews = rest.matches("Review {").count();
    let tail = rest.rsplit_once("long_term: false })").map_or("", |(_, tail)| tail);
    format!("{before}Present({state}, {reviews} reviews){tail}")
}
