//! The world: a queue of events in virtual time, between workers, Teleport, Slack and people. Nothing here is left to a clock,
//! to the order of a hash map or to chance that the plan does not hold.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use slack_access_operator::access_request::AccessRequest;
use slack_access_operator::delivery::effect::Effect;
use slack_access_operator::delivery::input::{Answer, CallId, Input, Known, Source};
use slack_access_operator::delivery::state::Observation;

use crate::calls::{SlackCall, StoreCall};
use crate::chance;
use crate::history::{Author, Entry, Happening, History, MachineId, Process, Stored};
use crate::official::Official;
use crate::plan::{Act, Fault, MINUTE, Ms, Plan, SECOND, Trouble};
use crate::sabotage::Sabotage;
use crate::slack::{Condition, Slack};
use crate::teleport::{Teleport, wall};
use crate::worker::Worker;

/// More events than any plan needs.
const MOST_EVENTS: u64 = 60_000;
/// A stopping process ends what is under way within this time, or is killed.
pub const FINISH: Ms = 14 * SECOND;
/// Everything is listed again this often.
pub const RESYNC: Ms = 10 * MINUTE;
/// After the first listing over a connection comes another one.
pub const LAG: Ms = 10 * SECOND;

/// The machines' monotonic clocks begin here, in all worlds: times of one world are then those of another run of it.
static EPOCH: OnceLock<Instant> = OnceLock::new();

/// What is going to happen.
pub enum Event {
    Act(usize),
    FaultBegins(usize),
    FaultEnds(usize),
    Expires(usize),
    Start { worker: usize, other_host: bool },
    Connect(Process),
    List { process: Process, stream: u64, is_regular: bool },
    ListRequests { process: Process, stream: u64, asked: Ms, records: Vec<(usize, Rc<Stored>)> },
    Listed { process: Process, stream: u64, asked: Ms, listed: Vec<(usize, Option<AccessRequest>, Rc<Stored>)> },
    Seen { process: Process, stream: u64, request: usize, version: Option<AccessRequest> },
    Answer { machine: MachineId, call: CallId, answer: Answer, record: Option<Rc<Stored>> },
    StoreTakes { machine: MachineId, call: CallId, what: StoreCall },
    SlackTakes { machine: MachineId, call: CallId, what: SlackCall },
    Wake { machine: MachineId, at: Ms },
    Gate(Process),
    Official(usize),
    Recovered { place: usize },
    Finished(Process),
}

/// One world.
pub struct World {
    pub plan: Plan,
    pub now: Ms,
    pub teleport: Teleport,
    pub slack: Slack,
    pub workers: Vec<Worker>,
    pub official: Official,
    pub sabotage: Option<Sabotage>,
    /// The time of the machines' monotonic clocks at which the world begins. Only differences to it are ever looked at.
    pub epoch: Instant,
    pub serial: u64,
    queue: BTreeMap<(Ms, u64), Event>,
    number: u64,
    calls: u64,
    entries: Vec<Entry>,
}

impl World {
    /// Runs a plan to its end.
    pub fn run(plan: &Plan, sabotage: Option<Sabotage>) -> History {
        let workers = plan.workers.iter().map(Worker::new).collect();
        let mut world = Self {
            plan: plan.clone(),
            now: 0,
            teleport: Teleport::default(),
            slack: Slack::new(plan.places.clone(), plan.scopes),
            workers,
            official: Official::default(),
            sabotage,
            epoch: *EPOCH.get_or_init(|| Instant::now() + Duration::from_hours(1)),
            serial: 0,
            queue: BTreeMap::new(),
            number: 0,
            calls: 0,
            entries: Vec::new(),
        };
        world.begin();
        let mut is_endless = false;
        while let Some(((at, _), event)) = world.queue.pop_first() {
            if at > plan.end() {
                break;
            }
            if world.number > MOST_EVENTS {
                is_endless = true;
                break;
            }
            world.now = at;
            world.happen(event);
        }
        let left = world.workers.iter().flat_map(Worker::machines).collect();
        History { plan: world.plan, entries: world.entries, left, is_endless }
    }

    fn begin(&mut self) {
        for (worker, plan) in self.plan.workers.clone().iter().enumerate() {
            self.at(plan.starts, Event::Start { worker, other_host: false });
        }
        for index in 0..self.plan.acts.len() {
            self.at(self.plan.acts[index].at, Event::Act(index));
        }
        for index in 0..self.plan.faults.len() {
            let Fault { from, to, .. } = self.plan.faults[index];
            self.at(from, Event::FaultBegins(index));
            self.at(to, Event::FaultEnds(index));
        }
    }

    /// Plans an event.
    pub fn at(&mut self, at: Ms, event: Event) {
        self.number += 1;
        self.queue.insert((at.max(self.now), self.number), event);
    }

    /// Notes what has happened.
    pub fn note(&mut self, what: Happening) {
        self.entries.push(Entry { at: self.now, what });
    }

    /// Numbers a call, to find out what becomes of it.
    pub fn next_call(&mut self) -> u64 {
        self.calls += 1;
        self.calls
    }

    /// A number between the limits, of this use and no other.
    pub fn draw(&self, topic: u64, number: u64, low: Ms, high: Ms) -> Ms {
        low + chance::of(self.plan.seed, &[topic, number]) % (high - low + 1)
    }

    /// The faults that are there now for a worker, each with its index.
    pub fn troubles(&self, worker: usize) -> impl Iterator<Item = (usize, &Fault)> {
        let now = self.now;
        self.plan.faults.iter().enumerate().filter(move |(_, fault)| {
            fault.from <= now
                && (now < fault.to || fault.what.is_lasting())
                && fault.worker.is_none_or(|other| other == worker)
        })
    }

    /// The faults that hit one call of a worker.
    pub fn hits(&self, worker: usize, call: u64) -> Vec<Trouble> {
        let hit = |index: usize, fault: &Fault| {
            chance::of(self.plan.seed, &[9, index as u64, call]).is_multiple_of(fault.one_in)
        };
        self.troubles(worker).filter(|(index, fault)| hit(*index, fault)).map(|(_, fault)| fault.what.clone()).collect()
    }

    /// How a place is now.
    pub fn condition(&self, worker: usize, place: usize) -> Condition {
        let mut condition = Condition::default();
        for (_, fault) in self.troubles(worker) {
            match &fault.what {
                Trouble::Renamed { place: other } if *other == place => condition.is_renamed = true,
                Trouble::Archived { place: other } if *other == place => condition.is_archived = true,
                Trouble::Left { place: other } if *other == place => condition.is_left = true,
                Trouble::Refused { place: other, code } if *other == place => condition.refusal = Some(code.clone()),
                _ => {}
            }
        }
        condition
    }

    /// Whether Teleport is away for a worker.
    pub fn is_teleport_down(&self, worker: usize) -> bool {
        self.troubles(worker).any(|(_, fault)| fault.what == Trouble::TeleportDown)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Act(index) => self.act(index),
            Event::FaultBegins(index) => self.break_(index),
            Event::FaultEnds(index) => self.mend(index),
            Event::Expires(request) => {
                if self.teleport.is_expired(request, self.now) && self.teleport.delete(request, self.now) {
                    self.changed(request);
                }
            }
            Event::Start { worker, other_host } => self.start(worker, other_host),
            Event::Connect(process) => self.connect(process),
            Event::List { process, stream, is_regular } => self.list(process, stream, is_regular),
            Event::ListRequests { process, stream, asked, records } => {
                self.list_requests(process, stream, asked, records);
            }
            Event::Official(request) => self.official_works(request),
            Event::Recovered { place } => self.recovered(place),
            Event::Gate(process) => self.grant(process),
            Event::StoreTakes { machine, call, what } => self.store_takes(machine, call, what),
            Event::SlackTakes { machine, call, what } => self.slack_takes(machine, call, what),
            Event::Finished(process) => self.stop(process),
            event => self.reach(event),
        }
    }

    /// What reaches a process: not while it stands still.
    fn reach(&mut self, event: Event) {
        let process = match &event {
            Event::Listed { process, .. } | Event::Seen { process, .. } => *process,
            Event::Answer { machine, .. } | Event::Wake { machine, .. } => machine.process,
            _ => return,
        };
        let Some(stalled_until) = self.process(process).map(|alive| alive.stalled_until) else { return };
        if stalled_until > self.now {
            self.at(stalled_until, event);
            return;
        }
        match event {
            Event::Listed { stream, asked, listed, .. } => self.listed(process, stream, asked, listed),
            Event::Seen { stream, request, version, .. } => self.seen(process, stream, request, version),
            Event::Answer { machine, call, answer, record } => self.answered(machine, call, answer, record),
            Event::Wake { machine, at } => {
                let is_due = self.machine(machine).is_some_and(|running| running.wake == Some(at));
                if is_due {
                    self.tell(machine, vec![Input::Tick]);
                }
            }
            _ => {}
        }
    }

    fn act(&mut self, index: usize) {
        let act = self.plan.acts[index].act.clone();
        self.note(Happening::Acted(act.clone()));
        let now = self.now;
        match act {
            Act::Request { request, waits, access, suggested } => {
                self.teleport.create(request, waits, access, &suggested, now);
                self.at(now + waits, Event::Expires(request));
                self.changed(request);
            }
            Act::Review { request } => {
                if self.teleport.review(request, now) {
                    self.changed(request);
                }
            }
            Act::Decide { request, end } => {
                if self.teleport.decide(request, end, now) {
                    let expires = self.teleport.request(request, now).and_then(|known| known.request_expires);
                    if let Some(expires) = expires {
                        let left = u64::try_from(expires.as_millisecond() - wall(now).as_millisecond()).unwrap_or(0);
                        self.at(now + left, Event::Expires(request));
                    }
                    self.changed(request);
                }
            }
            Act::Delete { request } => {
                if self.teleport.delete(request, now) {
                    self.changed(request);
                }
            }
            Act::DeleteMessage { request, place } => {
                let conversation = self.plan.places[place].conversation();
                let id = Some(request);
                let found = self.slack.messages.iter().find(|(message, held)| {
                    message.channel == conversation && held.metadata == id && held.reply.is_none() && !held.is_deleted
                });
                if let Some(message) = found.map(|(message, _)| message.clone()) {
                    let _ = self.slack.remove(&message, None);
                    self.note(Happening::Deleted { message, by: Author::Person });
                }
            }
            Act::Configure { worker, configuration } => self.configure(worker, configuration),
        }
    }

    /// A request has changed: those who watch are told.
    fn changed(&mut self, request: usize) {
        let version = self.teleport.request(request, self.now).cloned();
        self.note(Happening::Changed { request, now: version.clone().map(Box::new) });
        let open: Vec<(Process, u64)> = self
            .workers
            .iter()
            .filter_map(Worker::process)
            .filter(|alive| alive.is_connected)
            .map(|alive| (alive.id, alive.stream))
            .collect();
        for (process, stream) in open {
            let call = self.next_call();
            let delay = self.draw(2, call, 5, 60);
            let earliest = self.process(process).map_or(0, |alive| alive.events_until + 1);
            let at = earliest.max(self.now + delay);
            if let Some(alive) = self.process_mut(process) {
                alive.events_until = at;
            }
            self.at(at, Event::Seen { process, stream, request, version: version.clone() });
            if self.hits(process.worker, call).contains(&Trouble::EventRepeated) {
                self.at(at, Event::Seen { process, stream, request, version: version.clone() });
            }
        }
        if self.plan.official_until.is_some_and(|until| self.now < until) {
            self.at(self.now + 30, Event::Official(request));
        }
    }

    fn break_(&mut self, index: usize) {
        let fault = self.plan.faults[index].clone();
        self.note(Happening::Broke(fault.clone()));
        let concerned = |process: &Process| fault.worker.is_none_or(|worker| worker == process.worker);
        let alive: Vec<Process> =
            self.workers.iter().filter_map(Worker::process).map(|alive| alive.id).filter(concerned).collect();
        match fault.what {
            Trouble::WatchCut | Trouble::TeleportDown => alive.into_iter().for_each(|process| self.disconnect(process)),
            Trouble::Kill { carried, .. } => {
                for process in alive {
                    if let Some(alive) = self.process_mut(process) {
                        alive.dies_after = Some(carried);
                    }
                }
            }
            Trouble::Drain { .. } => alive.into_iter().for_each(|process| self.drain(process)),
            Trouble::Stall => {
                for process in alive {
                    if let Some(alive) = self.process_mut(process) {
                        alive.stalled_until = fault.to.max(alive.stalled_until);
                    }
                }
            }
            Trouble::ClockJump(seconds) => {
                for (worker, known) in self.workers.iter_mut().enumerate() {
                    if fault.worker.is_none_or(|other| other == worker) {
                        known.clock += seconds;
                    }
                }
            }
            Trouble::AnotherApp => {
                for worker in 0..self.workers.len() {
                    self.workers[worker].app = 2;
                    self.circumstances_changed(worker);
                }
            }
            _ => {}
        }
    }

    fn mend(&mut self, index: usize) {
        let fault = self.plan.faults[index].clone();
        match fault.what {
            Trouble::Kill { other_host, .. } | Trouble::Drain { other_host } => {
                if let Some(worker) = fault.worker {
                    let alive = self.workers[worker].process().map(|alive| alive.id);
                    if let Some(process) = alive {
                        self.stop(process);
                    }
                    self.at(self.now, Event::Start { worker, other_host });
                }
            }
            Trouble::Refused { place, .. }
            | Trouble::Renamed { place }
            | Trouble::Archived { place }
            | Trouble::Left { place }
                if self.plan.seed.is_multiple_of(2) =>
            {
                self.at(self.now + 30 * SECOND, Event::Recovered { place });
            }
            _ => {}
        }
    }

    /// Watch event, or listing, about a request: handed to its machine.
    pub fn observed(
        &mut self,
        process: Process,
        request: usize,
        version: Option<AccessRequest>,
        source: Source,
        known: Known,
    ) {
        let observation = match version {
            Some(request) => Observation::Present(Box::new(request)),
            None => Observation::Gone(self.wall_of(process.worker)),
        };
        let mut inputs = Vec::new();
        let routed = observation.request().map(|request| self.workers[process.worker].select(&self.plan, request));
        inputs.push(Input::Observed { observation, source, known });
        inputs.extend(routed.map(Input::Routed));
        if let Some(machine) = self.machine_for(process, request) {
            self.tell(machine, inputs);
        }
    }

    /// Whether an effect does something: kills fall between those.
    pub fn is_call(effect: &Effect) -> bool {
        !matches!(effect, Effect::Report(_) | Effect::Release(_))
    }
}
