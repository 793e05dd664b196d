//! A worker: its process, the machines of its requests, and what lies between them and the world. It decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use slack_access_operator::access_request::{AccessRequest, RequestState};
use slack_access_operator::config::recipient::{Recipient, RecipientKey, RoleToRecipients};
use slack_access_operator::delivery::claims::WorkerId;
use slack_access_operator::delivery::effect::Effect;
use slack_access_operator::delivery::input::{Answer, CallId, Input, Known, Source, Wanted};
use slack_access_operator::delivery::machine::{Machine, Memory};
use slack_access_operator::delivery::state::{Now, Observation};

use crate::chance;
use crate::gate::Gate;
use crate::history::{Happening, MachineId, Process, Stored};
use crate::plan::{MINUTE, Ms, Plan, SECOND, Spot, Trouble, WorkerPlan};
use crate::sabotage::Sabotage;
use crate::teleport::{id, wall};
use crate::world::{Event, FINISH, LAG, RESYNC, World};

/// A request that is younger than this when its event arrives is expected to be new.
const NEW: SignedDuration = SignedDuration::from_secs(60);

/// A machine at work.
pub struct Running {
    pub machine: Machine,
    pub serial: u64,
    /// Calls under way, and lines that it stands in.
    pub open: BTreeMap<CallId, Effect>,
    pub wake: Option<Ms>,
}

/// One life of the process.
pub struct Alive {
    pub id: Process,
    pub me: WorkerId,
    pub machines: BTreeMap<usize, Running>,
    pub memories: BTreeMap<usize, Memory>,
    pub gate: Gate,
    /// When the gate is asked again.
    pub asks_again: Option<Ms>,
    /// Addresses to conversations, as posts showed them.
    pub learnt: BTreeMap<String, String>,
    /// Names of channels to ids, as the first look found them.
    pub names: BTreeMap<String, String>,
    pub is_connected: bool,
    pub stream: u64,
    /// Requests with events since the listing under way began.
    pub touched: BTreeSet<usize>,
    pub events_until: Ms,
    pub stalled_until: Ms,
    pub is_draining: bool,
    /// It dies after so many effects of its next output.
    pub dies_after: Option<usize>,
}

/// A place for a process.
pub struct Worker {
    pub alive: Option<Alive>,
    pub incarnations: u32,
    pub host: u32,
    pub configuration: usize,
    /// Seconds that its wall clock is ahead.
    pub clock: i64,
    /// Whose token it has.
    pub app: u32,
}

impl Worker {
    pub fn new(plan: &WorkerPlan) -> Self {
        Self { alive: None, incarnations: 0, host: 0, configuration: plan.configuration, clock: plan.clock, app: 1 }
    }

    pub fn process(&self) -> Option<&Alive> {
        self.alive.as_ref()
    }

    pub fn machines(&self) -> impl Iterator<Item = MachineId> + '_ {
        self.alive.iter().flat_map(|alive| {
            let process = alive.id;
            alive.machines.iter().map(move |(request, running)| MachineId {
                process,
                request: *request,
                serial: running.serial,
            })
        })
    }

    /// Whom the configuration selects.
    pub fn select(&self, plan: &Plan, request: &AccessRequest) -> Vec<Wanted> {
        let recipients: Vec<_> =
            plan.configurations[self.configuration].iter().filter_map(|text| Recipient::parse(text)).collect();
        let roles = RoleToRecipients::new([("dba".to_owned(), recipients)]);
        let selected = roles.select(&request.roles, &request.suggested_reviewers);
        let wanted = |suggested| move |recipient| Wanted { key: RecipientKey::from(recipient), suggested };
        let configured = selected.recipients.iter().map(wanted(false));
        configured.chain(selected.reviewers.iter().map(wanted(true))).collect()
    }
}

impl World {
    /// A process that is alive.
    pub fn process(&self, process: Process) -> Option<&Alive> {
        self.workers.get(process.worker)?.alive.as_ref().filter(|alive| alive.id == process)
    }

    pub fn process_mut(&mut self, process: Process) -> Option<&mut Alive> {
        self.workers.get_mut(process.worker)?.alive.as_mut().filter(|alive| alive.id == process)
    }

    /// A machine that is at work.
    pub fn machine(&self, machine: MachineId) -> Option<&Running> {
        self.process(machine.process)?.machines.get(&machine.request).filter(|running| running.serial == machine.serial)
    }

    pub fn machine_mut(&mut self, machine: MachineId) -> Option<&mut Running> {
        let alive = self.process_mut(machine.process)?;
        alive.machines.get_mut(&machine.request).filter(|running| running.serial == machine.serial)
    }

    /// A worker's own wall clock.
    pub fn wall_of(&self, worker: usize) -> Timestamp {
        wall(self.now) + SignedDuration::from_secs(self.workers[worker].clock)
    }

    fn speed(&self) -> u64 {
        if self.sabotage == Some(Sabotage::GraceHalved) { 2 } else { 1 }
    }

    fn clocks(&self, worker: usize) -> Now {
        let monotonic = self.epoch + Duration::from_millis(self.now * self.speed());
        Now { monotonic, wall: self.wall_of(worker) }
    }

    /// A time of a machine, rounded up as timers are.
    pub fn time(&self, at: std::time::Instant) -> Ms {
        let since = at.saturating_duration_since(self.epoch);
        u64::try_from(since.as_nanos().div_ceil(1_000_000)).unwrap_or(Ms::MAX).div_ceil(self.speed())
    }

    /// The time that a machine knows as this one.
    pub fn instant(&self, at: Ms) -> std::time::Instant {
        self.epoch + Duration::from_millis(at * self.speed())
    }

    pub fn start(&mut self, worker: usize, other_host: bool) {
        if self.workers[worker].alive.is_some() {
            return;
        }
        let known = &mut self.workers[worker];
        known.incarnations += 1;
        known.host += u32::from(other_host);
        let process = Process { worker, incarnation: known.incarnations };
        let me = WorkerId::new(format!("host-{worker}-{}", known.host), known.incarnations.to_string());
        let mut names = BTreeMap::new();
        if self.plan.scopes.list {
            for (place, spot) in self.plan.places.iter().enumerate() {
                if let Spot::Channel { id, name } = spot
                    && !self.condition(worker, place).is_renamed
                {
                    names.insert(name.clone(), id.clone());
                }
            }
        }
        self.workers[worker].alive = Some(Alive {
            id: process,
            me,
            machines: BTreeMap::new(),
            memories: BTreeMap::new(),
            gate: Gate::default(),
            asks_again: None,
            learnt: BTreeMap::new(),
            names,
            is_connected: false,
            stream: 0,
            touched: BTreeSet::new(),
            events_until: 0,
            stalled_until: 0,
            is_draining: false,
            dies_after: None,
        });
        self.note(Happening::Started(process));
        self.at(self.now + 100, Event::Connect(process));
    }

    /// The process ends, whatever it is doing. What it has sent goes on.
    pub fn stop(&mut self, process: Process) {
        if self.process(process).is_some() {
            self.workers[process.worker].alive = None;
            self.note(Happening::Stopped(process));
        }
    }

    pub fn drain(&mut self, process: Process) {
        let Some(alive) = self.process_mut(process) else { return };
        alive.is_draining = true;
        self.tell_all(process, &Input::Drain);
        self.at(self.now + FINISH, Event::Finished(process));
        if self.process(process).is_some_and(|alive| alive.machines.is_empty()) {
            self.stop(process);
        }
    }

    pub fn connect(&mut self, process: Process) {
        let Some(alive) = self.process(process) else { return };
        if alive.is_connected || alive.is_draining {
            return;
        }
        if alive.stalled_until > self.now {
            self.at(alive.stalled_until, Event::Connect(process));
            return;
        }
        if self.is_teleport_down(process.worker) {
            self.at(self.now + 2 * SECOND, Event::Connect(process));
            return;
        }
        let Some(alive) = self.process_mut(process) else { return };
        alive.is_connected = true;
        alive.stream += 1;
        let stream = alive.stream;
        self.tell_all(process, &Input::Connected(true));
        self.at(self.now + 10, Event::List { process, stream, is_regular: false });
        self.at(self.now + 10 + LAG, Event::List { process, stream, is_regular: false });
        self.at(self.now + RESYNC, Event::List { process, stream, is_regular: true });
    }

    pub fn disconnect(&mut self, process: Process) {
        let Some(alive) = self.process_mut(process) else { return };
        if !std::mem::take(&mut alive.is_connected) {
            return;
        }
        alive.stream += 1;
        self.tell_all(process, &Input::Connected(false));
        let call = self.next_call();
        let delay = self.draw(3, call, 500, 5 * SECOND);
        self.at(self.now + delay, Event::Connect(process));
    }

    fn has_stream(&self, process: Process, stream: u64) -> bool {
        self.process(process).is_some_and(|alive| alive.is_connected && alive.stream == stream && !alive.is_draining)
    }

    pub fn list(&mut self, process: Process, stream: u64, is_regular: bool) {
        if !self.has_stream(process, stream) {
            return;
        }
        if let Some(alive) = self.process_mut(process) {
            alive.touched.clear();
        }
        let now = self.now;
        // In this order: a record without a request is then one whose request is gone.
        let stored = (0..self.teleport.count()).map(|request| (request, self.teleport.record(request, now)));
        let records = stored.filter(|(_, record)| !record.data.is_empty()).collect();
        let call = self.next_call();
        let delay = self.draw(4, call, 5, 300);
        self.at(now + delay, Event::ListRequests { process, stream, asked: now, records });
        // The last one is over before the world is.
        if is_regular && now + RESYNC + MINUTE < self.plan.end() {
            self.at(now + RESYNC, Event::List { process, stream, is_regular });
        }
    }

    pub fn list_requests(&mut self, process: Process, stream: u64, asked: Ms, records: Vec<(usize, Rc<Stored>)>) {
        let call = self.next_call();
        let hits = self.hits(process.worker, call);
        let age = hits.iter().filter_map(|trouble| match trouble {
            Trouble::StaleListing(age) => Some(*age),
            _ => None,
        });
        let as_of = self.now.saturating_sub(age.max().unwrap_or(0));
        let mut records: BTreeMap<_, _> = records.into_iter().collect();
        let mut listed = Vec::new();
        for request in 0..self.teleport.count() {
            let record = records.remove(&request);
            let version = self.teleport.request(request, as_of).cloned();
            if version.is_some() || record.is_some() {
                listed.push((request, version, record.unwrap_or_default()));
            }
        }
        let delay = self.draw(5, call, 5, 200);
        self.at(self.now + delay, Event::Listed { process, stream, asked, listed });
    }

    pub fn listed(
        &mut self,
        process: Process,
        stream: u64,
        asked: Ms,
        listed: Vec<(usize, Option<AccessRequest>, Rc<Stored>)>,
    ) {
        for (request, version, record) in listed {
            let is_touched = self.process(process).is_some_and(|alive| alive.touched.contains(&request));
            if !self.has_stream(process, stream) || is_touched {
                continue;
            }
            for (key, delivery) in &record.record.deliveries {
                // Where earlier direct messages went.
                if let (Some(Recipient::Email(email)), Some(message)) = (key.recipient(), &delivery.message)
                    && let Some(alive) = self.process_mut(process)
                {
                    alive.learnt.insert(email, message.channel.clone());
                }
            }
            let known = Known::Stored(record.data.clone(), self.instant(asked));
            self.note(Happening::Saw { process, request, record });
            self.observed(process, request, version, Source::Listing, known);
        }
    }

    pub fn seen(&mut self, process: Process, stream: u64, request: usize, version: Option<AccessRequest>) {
        if !self.has_stream(process, stream) {
            return;
        }
        if let Some(alive) = self.process_mut(process) {
            alive.touched.insert(request);
        }
        let wall = self.wall_of(process.worker);
        let is_new = version.as_ref().is_some_and(|version| {
            let is_untouched = version.state == RequestState::Pending && version.reviews.is_empty();
            is_untouched && version.created.is_some_and(|made| made.duration_until(wall) < NEW)
        });
        let known = if is_new { Known::New } else { Known::Nothing };
        self.observed(process, request, version, Source::Event, known);
    }

    /// The machine of a request; a new one where there is none.
    pub fn machine_for(&mut self, process: Process, request: usize) -> Option<MachineId> {
        let seed =
            chance::of(self.plan.seed, &[10, process.worker as u64, u64::from(process.incarnation), request as u64]);
        self.serial += 1;
        let fresh = self.serial;
        let alive = self.process_mut(process).filter(|alive| !alive.is_draining)?;
        let memory = (!alive.machines.contains_key(&request)).then(|| alive.memories.remove(&request)).flatten();
        let me = alive.me.clone();
        let running = alive.machines.entry(request).or_insert_with(|| Running {
            machine: Machine::new(id(request), me, seed, memory),
            serial: fresh,
            open: BTreeMap::new(),
            wake: None,
        });
        Some(MachineId { process, request, serial: running.serial })
    }

    fn tell_all(&mut self, process: Process, input: &Input) {
        let machines: Vec<_> = self.workers[process.worker].machines().collect();
        for machine in machines {
            self.tell(machine, vec![input.clone()]);
        }
    }

    pub fn configure(&mut self, worker: usize, configuration: usize) {
        self.workers[worker].configuration = configuration;
        self.circumstances_changed(worker);
        // A changed configuration begins a new session, which lists: requests that have no machine may reach a recipient now.
        let alive = self.workers[worker].process().filter(|alive| alive.is_connected);
        if let Some((process, stream)) = alive.map(|alive| (alive.id, alive.stream)) {
            self.at(self.now + 10, Event::List { process, stream, is_regular: false });
        }
    }

    /// Token or configuration have changed.
    pub fn circumstances_changed(&mut self, worker: usize) {
        let machines: Vec<_> = self.workers[worker].machines().collect();
        for machine in machines {
            let observed = self.machine(machine).and_then(|running| running.machine.observation().cloned());
            let request = observed.as_ref().and_then(Observation::request);
            let wanted = request.map(|request| self.workers[worker].select(&self.plan, request)).unwrap_or_default();
            self.tell(machine, vec![Input::Routed(wanted), Input::CircumstancesChanged]);
        }
    }

    /// The workers' own checks find a place reachable again.
    pub fn recovered(&mut self, place: usize) {
        let keys: Vec<_> =
            self.plan.places[place].spellings().iter().map(|text| RecipientKey::new(text.clone())).collect();
        let machines: Vec<_> = self.workers.iter().flat_map(Worker::machines).collect();
        for machine in machines {
            self.tell(machine, keys.iter().cloned().map(Input::Recovered).collect());
        }
    }

    pub fn answered(&mut self, machine: MachineId, call: CallId, answer: Answer, record: Option<Rc<Stored>>) {
        let Some(running) = self.machine_mut(machine) else { return };
        let Some(effect) = running.open.remove(&call) else { return };
        if let Some(slot) = effect.slot()
            && let Some(alive) = self.process_mut(machine.process)
        {
            alive.gate.leave((machine, slot));
        }
        if let Some(record) = record {
            self.note(Happening::Saw { process: machine.process, request: machine.request, record });
        }
        self.learn(machine.process, &effect, &answer);
        self.tell(machine, vec![Input::Answer(call, answer)]);
        self.grant(machine.process);
    }

    /// Hands inputs to a machine and carries out what it wants.
    pub fn tell(&mut self, machine: MachineId, inputs: Vec<Input>) {
        let was_tick = inputs == [Input::Tick];
        self.handle(machine, inputs, was_tick);
        // A tick at any other time changes nothing: tried now and then.
        let call = self.next_call();
        if self.machine(machine).is_some() && self.draw(6, call, 0, 15) == 0 {
            self.handle(machine, vec![Input::Tick], true);
        }
    }

    fn handle(&mut self, machine: MachineId, inputs: Vec<Input>, was_tick: bool) {
        let clocks = self.clocks(machine.process.worker);
        if self.machine(machine).is_none() {
            return;
        }
        for input in &inputs {
            self.note(Happening::Told(machine, input.clone()));
        }
        let Some(running) = self.machine_mut(machine) else { return };
        let output = running.machine.handle_all(inputs, clocks);
        let wake = output.wake.map(|(at, _)| self.time(at));
        let Some(alive) = self.process_mut(machine.process) else { return };
        let is_connected = alive.is_connected;
        let calls = output.effects.iter().filter(|effect| Self::is_call(effect)).count();
        let dies_after = alive.dies_after.filter(|_| calls > 0);
        let mut carried = 0;
        for effect in output.effects {
            self.note(Happening::Wants(machine, effect.clone()));
            if Self::is_call(&effect) {
                if dies_after.is_some_and(|most| carried >= most) {
                    break;
                }
                carried += 1;
            }
            self.carry_out(machine, effect);
        }
        if dies_after.is_some() {
            self.stop(machine.process);
            return;
        }
        let Some(running) = self.machine_mut(machine) else { return };
        let is_news = running.wake != wake;
        running.wake = wake;
        let open = running.open.len();
        self.note(Happening::Rests { machine, wake, is_over: output.is_over, open, is_connected, was_tick });
        if let Some(at) = wake.filter(|at| is_news || *at <= self.now) {
            self.at(at, Event::Wake { machine, at });
        }
        if output.is_over {
            self.over(machine);
        }
        self.grant(machine.process);
    }

    fn over(&mut self, machine: MachineId) {
        let Some(alive) = self.process_mut(machine.process) else { return };
        alive.gate.forget(machine);
        if let Some(ended) = alive.machines.remove(&machine.request) {
            match ended.machine.into_memory() {
                Some(memory) => drop(alive.memories.insert(machine.request, memory)),
                None => drop(alive.memories.remove(&machine.request)),
            }
        }
        if alive.is_draining && alive.machines.is_empty() {
            self.stop(machine.process);
        }
    }

    /// Hands out the turns that are free.
    pub fn grant(&mut self, process: Process) {
        let now = self.now;
        let ignores = self.sabotage == Some(Sabotage::PauseIgnored);
        let Some(alive) = self.process_mut(process) else { return };
        let (granted, again) = alive.gate.grant(if ignores { now + 120 * SECOND } else { now });
        for (machine, call) in granted {
            self.at(now, Event::Answer { machine, call, answer: Answer::Acquired, record: None });
        }
        if let Some(at) = again
            && let Some(alive) = self.process_mut(process)
            && alive.asks_again != Some(at)
        {
            alive.asks_again = Some(at);
            self.at(at, Event::Gate(process));
        }
    }
}
