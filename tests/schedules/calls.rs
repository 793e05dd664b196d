//! Carrying out effects: when a call takes effect, whether it is answered, and with what.

use slack_access_operator::access_request::PluginData;
use slack_access_operator::config::recipient::{Recipient, RecipientKey};
use slack_access_operator::delivery::effect::{Effect, ReplyKind, Sought, Target};
use slack_access_operator::delivery::input::{Answer, CallId, Failure, NotSearched, Replied, Resolved, StoreError};
use slack_access_operator::delivery::state::{Observation, Place, Shown};
use slack_access_operator::slack::error::{Class, Error, code};
use slack_access_operator::slack::{MessageRef, method};

use crate::history::{Author, Happening, MachineId, Posted, Process};
use crate::plan::{MINUTE, Ms, SECOND, Spot, Trouble};
use crate::sabotage::Sabotage;
use crate::world::{Event, World};

/// A call to Teleport is given up after this.
const STORE_TIMEOUT: Ms = 30 * SECOND;
/// An answer that is lost is waited for as long as this.
const STORE_LOST: Ms = 5 * SECOND;
/// A call to Slack is given up after this.
const SLACK_TIMEOUT: Ms = 10 * SECOND;

/// A call to Teleport under way.
pub struct StoreCall {
    what: Effect,
    began: Ms,
    /// When it is answered; never with what it did where there is none.
    answered: Option<Ms>,
}

/// A call to Slack under way.
pub struct SlackCall {
    what: Effect,
    app: u32,
    begun: Ms,
    /// When it is answered; not with what it did where there is none.
    answered: Option<Ms>,
    lag: Ms,
    history_fails: bool,
}

/// Slack's method behind an effect.
fn method(effect: &Effect) -> &'static str {
    match effect {
        Effect::Update { .. } => method::UPDATE,
        Effect::React { .. } => method::ADD_REACTION,
        Effect::Remove { .. } => method::DELETE,
        Effect::Search { what: Sought::Message { .. }, .. } => method::HISTORY,
        Effect::Search { what: Sought::Reply { .. }, .. } => method::REPLIES,
        Effect::Resolve { .. } => method::LOOKUP_BY_EMAIL,
        _ => method::POST_MESSAGE,
    }
}

/// An effect that ends so.
fn failed(effect: &Effect, failure: Failure, alone: bool) -> Answer {
    match (effect, failure) {
        (Effect::Post { .. }, failure) => Answer::Posted(Err(failure)),
        (Effect::Reply { .. }, failure) => Answer::Replied(Err(failure)),
        (Effect::Search { .. }, failure) => Answer::Found(Err(NotSearched { failure, alone })),
        (Effect::Resolve { .. }, Failure::Refused(error)) => Answer::Resolved(Resolved::Failed(error)),
        (_, failure) => Answer::Done(Err(failure)),
    }
}

/// What Slack takes as the channel of a post.
fn channel(to: &Target) -> String {
    match to {
        Target::Thread(message) => message.channel.clone(),
        Target::Recipient(key, place) => match key.recipient() {
            Some(Recipient::ChannelName(name)) => name,
            Some(Recipient::ChannelId(id) | Recipient::UserId(id) | Recipient::DirectMessage(id)) => id,
            Some(Recipient::Email(_)) | None => {
                let person = place.ids().find(|id| id.starts_with('U'));
                person.or_else(|| place.ids().next()).unwrap_or_default().to_owned()
            }
        },
    }
}

impl World {
    /// Begins an effect.
    pub fn carry_out(&mut self, machine: MachineId, effect: Effect) {
        match &effect {
            Effect::Report(_) => {}
            Effect::Release(slot) => {
                let slot = *slot;
                if let Some(running) = self.machine_mut(machine) {
                    running.open.remove(&slot);
                }
                if let Some(alive) = self.process_mut(machine.process) {
                    alive.gate.leave((machine, slot));
                }
            }
            Effect::Acquire { call, to } => {
                let (call, channel) = (*call, channel(to));
                self.open(machine, &effect);
                if let Some(alive) = self.process_mut(machine.process) {
                    let conversation = alive.learnt.get(&channel).cloned().unwrap_or(channel);
                    alive.gate.join(&conversation, (machine, call));
                }
            }
            Effect::LookUp(_) | Effect::Read(_) | Effect::Write { .. } => {
                self.open(machine, &effect);
                self.begin_store(machine, effect);
            }
            _ => {
                self.open(machine, &effect);
                self.begin_slack(machine, effect);
            }
        }
    }

    fn open(&mut self, machine: MachineId, effect: &Effect) {
        if let (Some(call), Some(running)) = (effect.call(), self.machine_mut(machine)) {
            running.open.insert(call, effect.clone());
        }
    }

    fn answer_at(&mut self, at: Ms, machine: MachineId, call: CallId, answer: Answer) {
        self.at(at, Event::Answer { machine, call, answer, record: None });
    }

    fn begin_store(&mut self, machine: MachineId, what: Effect) {
        let Some(call) = what.call() else { return };
        let (worker, now) = (machine.process.worker, self.now);
        let number = self.next_call();
        let hits = self.hits(worker, number);
        let answer = |error| match &what {
            Effect::LookUp(_) => Answer::Request(Err(error)),
            Effect::Read(_) => Answer::Record(Err(error)),
            _ => Answer::Stored(Err(error)),
        };
        if self.is_teleport_down(worker) {
            let answer = answer(StoreError::Unknown);
            return self.answer_at(now + 50, machine, call, answer);
        }
        let is_write = matches!(what, Effect::Write { .. });
        let lost = hits.contains(&if is_write { Trouble::WriteLost } else { Trouble::ReadLost });
        if lost {
            let answer = answer(StoreError::Unknown);
            return self.answer_at(now + STORE_LOST, machine, call, answer);
        }
        if is_write && hits.contains(&Trouble::Conflict) {
            let answer = answer(StoreError::Conflict);
            return self.answer_at(now + 200, machine, call, answer);
        }
        let slow = hits.iter().filter_map(|hit| if let Trouble::TeleportSlow(by) = hit { Some(*by) } else { None });
        let slow: Ms = slow.sum();
        let latency =
            self.draw(11, number, 2, 60) + if number.is_multiple_of(20) { self.draw(12, number, 0, 400) } else { 0 };
        let takes = now + latency / 2 + slow * self.draw(13, number, 0, 10) / 10;
        let mut answered = Some(now + latency + slow).filter(|at| *at <= now + STORE_TIMEOUT);
        if is_write && hits.contains(&Trouble::WriteUnanswered) {
            answered = None;
        }
        if answered.is_none() {
            let answer = answer(StoreError::Unknown);
            self.answer_at(now + STORE_LOST.max(slow.min(STORE_TIMEOUT)), machine, call, answer);
        }
        let has_claims =
            matches!(&what, Effect::Write { set, .. } if set.values().any(|value| value.contains("\"c\":")));
        if self.sabotage == Some(Sabotage::SendBeforeClaim) && has_claims {
            self.answer_at(now, machine, call, Answer::Stored(Ok(())));
            answered = None;
            let what = StoreCall { what, began: now, answered };
            return self.at(now + SECOND, Event::StoreTakes { machine, call, what });
        }
        self.at(takes, Event::StoreTakes { machine, call, what: StoreCall { what, began: now, answered } });
    }

    /// A call to Teleport takes effect.
    pub fn store_takes(&mut self, machine: MachineId, call: CallId, store: StoreCall) {
        let (request, now) = (machine.request, self.now);
        let StoreCall { what, began, answered } = store;
        let mut record = None;
        let answer = match what {
            Effect::LookUp(_) => {
                let stale = if self.sabotage == Some(Sabotage::LookUpStale) { 15 * SECOND } else { 0 };
                Answer::Request(match self.teleport.request(request, now.saturating_sub(stale)) {
                    Some(known) => Ok(Observation::Present(Box::new(known.clone()))),
                    None => Ok(Observation::Gone(self.wall_of(machine.process.worker))),
                })
            }
            Effect::Read(_) => {
                let stored = self.teleport.record(request, now);
                record = Some(stored.clone());
                Answer::Record(Ok(stored.data.clone()))
            }
            Effect::Write { set, expect, .. } => {
                Answer::Stored(self.write(request, Author::Worker(machine.process), &set, &expect, began))
            }
            _ => return,
        };
        if let Some(at) = answered {
            self.at(at.max(now), Event::Answer { machine, call, answer, record });
        }
    }

    fn write(
        &mut self,
        request: usize,
        by: Author,
        set: &PluginData,
        expect: &PluginData,
        began: Ms,
    ) -> Result<(), StoreError> {
        let now = self.now;
        let is_full =
            self.plan.faults.iter().any(|fault| fault.what == Trouble::TooLarge && fault.from <= now && now < fault.to);
        // Room is left for what the record cannot do without.
        let stored = self.teleport.record(request, now);
        let needed: usize = ["user", "roles", "messages", "reviews_count", "resolution", "slack_access_operator"]
            .iter()
            .map(|name| name.len() + set.get(*name).or(stored.data.get(*name)).map_or(0, String::len))
            .sum();
        let foreign = if is_full { 1_000_000 - needed } else { 0 };
        let mut set = set.clone();
        if self.sabotage == Some(Sabotage::FactForgotten) {
            set.remove("messages");
            set.retain(|_, value| !value.contains("\"m\":"));
        }
        let ignores = self.sabotage == Some(Sabotage::CompareIgnored);
        match self.teleport.write(request, &set, (!ignores).then_some(expect), foreign, now) {
            Ok((before, after)) => {
                self.note(Happening::Stored { request, by, began, before, after });
                Ok(())
            }
            Err(StoreError::Conflict) if self.sabotage == Some(Sabotage::ConflictTakenAsOk) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn begin_slack(&mut self, machine: MachineId, what: Effect) {
        let Some(call) = what.call() else { return };
        let (process, now) = (machine.process, self.now);
        let number = self.next_call();
        let not_after = match &what {
            Effect::Post { not_after, .. } | Effect::Reply { not_after, .. } => Some(self.time(*not_after)),
            _ => None,
        };
        if not_after.is_some_and(|at| at <= now) {
            return self.answer_at(now, machine, call, failed(&what, Failure::TooLate, false));
        }
        let conversation = self.conversation_of(process, &what);
        let method = method(&what);
        let line = (method == method::POST_MESSAGE).then_some(&*conversation);
        let is_ignored = self.sabotage == Some(Sabotage::PauseIgnored);
        // Addresses are looked up as soon as Slack may be asked: their callers do not learn of pauses.
        let is_patient = matches!(what, Effect::Resolve { .. });
        let pause = self.process(process).and_then(|alive| alive.gate.pause(method, line, now));
        let pause = pause.filter(|_| !is_ignored && !is_patient);
        if let Some(until) = pause {
            let failure = Failure::Postponed(self.instant(until));
            return self.answer_at(now, machine, call, failed(&what, failure, false));
        }
        self.note(Happening::Calls { process, method, conversation: conversation.clone() });
        if self.sabotage == Some(Sabotage::SearchSkipped) && matches!(what, Effect::Search { .. }) {
            return self.answer_at(now + 50, machine, call, Answer::Found(Ok(Vec::new())));
        }
        let mut hits = self.hits(process.worker, number);
        hits.retain(|hit| {
            !(is_patient && matches!(hit, Trouble::RateLimited(_) | Trouble::AnswerLost | Trouble::Late(_)))
        });
        let refuse = |code: &str| Failure::Refused(Error::new(method, code, Some(&conversation)));
        let has = |wanted: &Trouble| hits.contains(wanted);
        if has(&Trouble::SlackUnreachable) {
            return self.answer_at(now + 50, machine, call, failed(&what, refuse(code::CONNECT_FAILED), false));
        }
        if has(&Trouble::SlackDown) {
            return self.answer_at(now + 100, machine, call, failed(&what, refuse("http_503"), false));
        }
        let longest = |of: fn(&Trouble) -> Option<u64>| hits.iter().filter_map(of).max();
        if let Some(seconds) =
            longest(|hit| if let Trouble::RateLimited(seconds) = hit { Some(*seconds) } else { None })
        {
            let mut error = Error::new(method, code::RATE_LIMITED, Some(&conversation));
            error.retry_after = Some(std::time::Duration::from_secs(seconds));
            return self.answer_at(now + 60, machine, call, failed(&what, Failure::Refused(error), false));
        }
        let late = longest(|hit| if let Trouble::Late(by) = hit { Some(*by) } else { None });
        let long = longest(|hit| if let Trouble::HistoryLong(by) = hit { Some(*by) } else { None });
        let lag = longest(|hit| if let Trouble::HistoryLag(by) = hit { Some(*by) } else { None }).unwrap_or(0);
        let latency = self.draw(14, number, 20, 200)
            + if number.is_multiple_of(15) { self.draw(15, number, 0, 3_000) } else { 0 };
        let is_search = matches!(what, Effect::Search { .. });
        let delay = late.unwrap_or(0) + if is_search { long.unwrap_or(0) } else { 0 };
        let begun = if self.sabotage == Some(Sabotage::DeadlineIgnored) && not_after.is_some() {
            now + 9 * SECOND
        } else {
            now
        };
        let takes = begun + latency / 2 + delay;
        let answered =
            Some(begun + latency + delay).filter(|at| *at < begun + SLACK_TIMEOUT && !has(&Trouble::AnswerLost));
        if answered.is_none() {
            self.answer_at(begun + SLACK_TIMEOUT, machine, call, failed(&what, refuse(code::TIMEOUT), false));
        }
        let app = self.workers[process.worker].app;
        let history_fails = has(&Trouble::HistoryFails);
        let what = SlackCall { what, app, begun, answered, lag, history_fails };
        self.at(takes, Event::SlackTakes { machine, call, what });
    }

    /// The conversation that a call is about, as its worker knows it.
    fn conversation_of(&self, process: Process, effect: &Effect) -> String {
        let channel = match effect {
            Effect::Post { to, .. } => channel(to),
            Effect::Reply { parent: message, .. }
            | Effect::Update { message, .. }
            | Effect::React { message, .. }
            | Effect::Remove { message, .. }
            | Effect::Search { what: Sought::Reply { parent: message, .. }, .. } => message.channel.clone(),
            Effect::Search { recipient, .. } | Effect::Resolve { recipient, .. } => recipient.to_string(),
            _ => String::new(),
        };
        self.process(process).and_then(|alive| alive.learnt.get(&channel).cloned()).unwrap_or(channel)
    }

    /// A call to Slack takes effect, or is refused.
    pub fn slack_takes(&mut self, machine: MachineId, call: CallId, slack: SlackCall) {
        let worker = machine.process.worker;
        let SlackCall { what, app, begun, answered, lag, history_fails } = slack;
        if let Some(error) = self.refused_everywhere(worker, &what) {
            if let Some(at) = answered {
                self.answer_at(at.max(self.now), machine, call, failed(&what, Failure::Refused(error), false));
            }
            return;
        }
        let answer = match &what {
            Effect::Post { to, shown, plain, .. } => {
                let posted = Posting { channel: channel(to), reply: None, shown: *shown, plain: *plain };
                Answer::Posted(self.post(machine, posted, app, begun, answered.is_some()).map_err(Failure::Refused))
            }
            Effect::Reply { parent, what, .. } => Answer::Replied(if self.slack.has(parent) {
                let reply = Some((parent.clone(), *what));
                let posted = Posting { channel: parent.channel.clone(), reply, shown: Shown::default(), plain: true };
                self.post(machine, posted, app, begun, answered.is_some())
                    .map(|_| Replied::InThread)
                    .map_err(Failure::Refused)
            } else {
                // Slack puts it into the channel, and the caller deletes it there.
                Ok(Replied::Strayed)
            }),
            Effect::Update { message, shown, .. } => {
                let condition = self.condition_at(worker, message);
                let done = self.slack.update(message, &condition, *shown, app);
                if done.is_ok() {
                    self.note(Happening::Updated { message: message.clone(), shown: *shown, begun });
                }
                Answer::Done(done.map_err(Failure::Refused))
            }
            Effect::React { message, name, .. } => {
                let condition = self.condition_at(worker, message);
                let done = self.slack.react(message, &condition, name);
                if done.is_ok() {
                    self.note(Happening::Reacted { message: message.clone(), name: (*name).to_owned() });
                }
                Answer::Done(done.map_err(Failure::Refused))
            }
            Effect::Remove { message, .. } => {
                let done = self.slack.remove(message, Some(app));
                if done == Ok(true) {
                    self.note(Happening::Deleted { message: message.clone(), by: Author::Worker(machine.process) });
                }
                Answer::Done(done.map(drop).map_err(Failure::Refused))
            }
            Effect::Search { recipient, what: sought, .. } => {
                let found = self.search(machine, recipient, sought, app, lag, history_fails);
                Answer::Found(found.map_err(|error| {
                    let alone = matches!(error.class, Class::Transient | Class::Ambiguous);
                    NotSearched { failure: Failure::Refused(error), alone }
                }))
            }
            Effect::Resolve { recipient, .. } => Answer::Resolved(self.resolve(machine.process, recipient)),
            _ => return,
        };
        if let Some(at) = answered {
            self.answer_at(at.max(self.now), machine, call, answer);
        }
    }

    /// A token that Slack refuses is refused for every call.
    fn refused_everywhere(&self, worker: usize, what: &Effect) -> Option<Error> {
        let is_refused = self
            .troubles(worker)
            .any(|(_, fault)| matches!(&fault.what, Trouble::Refused { code, .. } if code == "invalid_auth"));
        is_refused.then(|| Error::new(method(what), "invalid_auth", None))
    }

    fn condition_at(&self, worker: usize, message: &MessageRef) -> crate::slack::Condition {
        self.plan.place_at(&message.channel).map(|place| self.condition(worker, place)).unwrap_or_default()
    }

    fn post(
        &mut self,
        machine: MachineId,
        posting: Posting,
        app: u32,
        begun: Ms,
        answered: bool,
    ) -> Result<MessageRef, Error> {
        let Posting { channel, reply, shown, plain } = posting;
        let worker = machine.process.worker;
        let place = self.slack.place(&channel, |place| self.condition(worker, place));
        let condition = place.map(|place| self.condition(worker, place)).unwrap_or_default();
        let metadata = Some(machine.request);
        let message =
            self.slack.post(place, &condition, &channel, metadata, reply.clone(), shown, plain, app, self.now)?;
        self.note(Happening::Posted(Posted {
            message: message.clone(),
            request: machine.request,
            place: place.unwrap_or(0),
            reply,
            shown,
            by: Author::Worker(machine.process),
            app,
            begun,
            answered,
            is_searchable: self.is_searchable(place.unwrap_or(0), begun),
        }));
        Ok(message)
    }

    /// Whether the history of a place can be read in the minutes after a call.
    fn is_searchable(&self, place: usize, begun: Ms) -> bool {
        let until = begun + 3 * MINUTE;
        let is_hidden = match self.plan.places[place] {
            Spot::Channel { .. } => !self.plan.scopes.list,
            Spot::Person { .. } => !self.plan.scopes.open,
        };
        self.plan.scopes.history
            && !is_hidden
            && !self.plan.faults.iter().any(|fault| {
                let blinds = match &fault.what {
                    Trouble::HistoryFails | Trouble::AnotherApp => true,
                    Trouble::Left { place: other } => *other == place,
                    Trouble::Refused { code, .. } => code == "invalid_auth",
                    _ => false,
                };
                blinds && fault.from <= until && (begun <= fault.to || fault.what.is_lasting())
            })
    }

    fn search(
        &mut self,
        machine: MachineId,
        recipient: &RecipientKey,
        sought: &Sought,
        app: u32,
        lag: Ms,
        fails: bool,
    ) -> Result<Vec<MessageRef>, Error> {
        let worker = machine.process.worker;
        let (conversation, reply) = match sought {
            Sought::Reply { parent, what } => (parent.channel.clone(), Some((parent.clone(), *what))),
            Sought::Message { place, .. } => match self.conversation_for(machine.process, recipient, place)? {
                Some(conversation) => (conversation, None),
                None => return Ok(Vec::new()),
            },
        };
        if fails {
            return Err(Error::new(method::HISTORY, "http_500", Some(&conversation)));
        }
        let place = self.plan.place_at(&conversation);
        let condition = place.map(|place| self.condition(worker, place)).unwrap_or_default();
        let until = self.now.saturating_sub(lag);
        self.slack.search(&conversation, &condition, machine.request, reply.as_ref(), app, until)
    }

    /// The id of the conversation in which a recipient's messages are.
    fn conversation_for(&self, process: Process, key: &RecipientKey, place: &Place) -> Result<Option<String>, Error> {
        if let Some(id) = place.ids().find(|id| !id.starts_with('U')) {
            return Ok(Some(id.to_owned()));
        }
        let learnt = |address: &str| self.process(process).and_then(|alive| alive.learnt.get(address).cloned());
        let address = match (place.ids().next(), key.recipient()) {
            (Some(user), _) => user.to_owned(),
            (None, Some(Recipient::ChannelName(name) | Recipient::Email(name))) => name,
            (None, Some(recipient)) => recipient.to_string(),
            (None, None) => return Ok(None),
        };
        if let Some(known) = learnt(&address) {
            return Ok(Some(known));
        }
        let worker = process.worker;
        let found = self.slack.places.iter().position(|spot| spot.is_named(&address));
        let Some(found) = found else { return Ok(None) };
        match &self.plan.places[found] {
            Spot::Channel { .. } if !self.plan.scopes.list => {
                Err(Error::new(method::LIST, "missing_scope", Some(&address)))
            }
            Spot::Channel { .. } if self.condition(worker, found).is_renamed => Ok(None),
            Spot::Person { .. } if !self.plan.scopes.open => {
                Err(Error::new(method::OPEN, "missing_scope", Some(&address)))
            }
            spot => Ok(Some(spot.conversation().to_owned())),
        }
    }

    fn resolve(&self, process: Process, key: &RecipientKey) -> Resolved {
        let Some(alive) = self.process(process) else { return Resolved::Unknowable };
        match key.recipient() {
            Some(Recipient::Email(email)) => {
                let person = self.plan.places.iter().find_map(|spot| match spot {
                    Spot::Person { user, email: known, .. } if *known == email => Some(user.clone()),
                    _ => None,
                });
                let Some(user) = person else {
                    return Resolved::Failed(Error::new(method::LOOKUP_BY_EMAIL, "users_not_found", Some(&email)));
                };
                let known = alive.learnt.get(&user).or_else(|| alive.learnt.get(&email)).cloned();
                let mut place = Place::of(user);
                if let Some(conversation) = known {
                    place.add(conversation);
                }
                Resolved::Place(place)
            }
            Some(Recipient::ChannelName(name)) => {
                let known = alive.names.get(&name).or_else(|| alive.learnt.get(&name));
                known.map_or(Resolved::Unknowable, |id| Resolved::Place(Place::of(id.clone())))
            }
            Some(recipient) => Resolved::Place(Place::of(recipient.to_string())),
            None => Resolved::Unknowable,
        }
    }

    /// What a worker learns from an answer of Slack's, whichever request it was for.
    pub fn learn(&mut self, process: Process, effect: &Effect, answer: &Answer) {
        let now = self.now;
        let conversation = self.conversation_of(process, effect);
        let method = method(effect);
        let error = match answer {
            Answer::Posted(Ok(message)) => {
                if let (Effect::Post { to, .. }, Some(alive)) = (effect, self.process_mut(process)) {
                    let address = channel(to);
                    if address != message.channel {
                        alive.learnt.insert(address, message.channel.clone());
                    }
                }
                return;
            }
            Answer::Posted(Err(Failure::Refused(error)))
            | Answer::Replied(Err(Failure::Refused(error)))
            | Answer::Done(Err(Failure::Refused(error)))
            | Answer::Found(Err(NotSearched { failure: Failure::Refused(error), .. }))
            | Answer::Resolved(Resolved::Failed(error)) => error.clone(),
            _ => return,
        };
        if error.is_rate_limit() {
            let pause = error.retry_after.map_or(0, |after| u64::try_from(after.as_millis()).unwrap_or(0));
            let until = now + pause;
            let is_post = method == method::POST_MESSAGE;
            if let Some(alive) = self.process_mut(process) {
                alive.gate.limited(method, is_post.then_some(&*conversation), until);
            }
            let conversation = if is_post { conversation } else { String::new() };
            self.note(Happening::Limited { process, method, conversation, until });
        } else if error.class == Class::Config
            && let Some(alive) = self.process_mut(process)
        {
            alive.learnt.retain(|_, known| *known != conversation);
        }
    }
}

/// What is to be posted.
struct Posting {
    channel: String,
    reply: Option<(MessageRef, ReplyKind)>,
    shown: Shown,
    plain: bool,
}
