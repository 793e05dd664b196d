//! The task of one access request: carries out its machine's effects and feeds the answers back. It decides nothing.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _, Shared};
use futures::stream::{FuturesUnordered, StreamExt as _};
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use crate::access_request::RequestId;
use crate::config::recipient::RecipientKey;
use crate::delivery::effect::{Effect, Output, Target};
use crate::delivery::input::{Answer, CallId, Input};
use crate::delivery::machine::{Machine, Memory};
use crate::delivery::state::{Now, Observation};
use crate::worker::calls::{self, Slot};
use crate::worker::context::{Context, Teleport};
use crate::worker::dispatcher::Mail;
use crate::worker::notes::report;
use crate::worker::render::{Logins, Subject};

/// What is left of a task.
pub(super) struct Ended {
    /// Which request's.
    pub id: RequestId,
    /// What was announced, while the request is pending.
    pub memory: Option<Memory>,
    /// Mails that came after its last look.
    pub unread: Vec<Mail>,
}

/// An answer, or a slot that has been taken.
pub(super) enum Finished {
    /// Of any effect but the next.
    Answer(Answer),
    /// The slot of [`Effect::Acquire`].
    Slot(Slot),
}

/// The task of one request.
pub(super) struct Task {
    context: Arc<Context>,
    machine: Machine,
    /// Calls under way.
    calls: FuturesUnordered<BoxFuture<'static, (CallId, Option<Finished>)>>,
    /// Slots that are held.
    slots: BTreeMap<CallId, Slot>,
    /// Waits for slots.
    lines: BTreeMap<CallId, AbortHandle>,
    logins: Option<Shared<BoxFuture<'static, Logins>>>,
    /// When the request was first seen as it is.
    seen_at: Instant,
    /// An event or a listing with evidence said that the request is gone.
    was_reported_gone: bool,
}

impl Task {
    /// Runs until nothing is left to do.
    pub(super) async fn run(
        context: Arc<Context>,
        id: RequestId,
        mailbox: mpsc::UnboundedReceiver<Mail>,
        memory: Option<Memory>,
    ) -> Ended {
        let machine = Machine::new(id.clone(), context.me.clone(), rand::random(), memory);
        let mut task = Self {
            context,
            machine,
            calls: FuturesUnordered::new(),
            slots: BTreeMap::new(),
            lines: BTreeMap::new(),
            logins: None,
            seen_at: Instant::now(),
            was_reported_gone: false,
        };
        let unread = task.work(mailbox).await;
        task.context.board.forget(&id);
        Ended { id, memory: task.machine.into_memory(), unread }
    }

    async fn work(&mut self, mut mailbox: mpsc::UnboundedReceiver<Mail>) -> Vec<Mail> {
        let context = self.context.clone();
        let mut routes = context.routes.clone();
        routes.mark_unchanged();
        let mut connections = context.teleport.clone();
        let mut recoveries = context.recovered();
        let mut looked_at = Instant::now();
        let mut is_draining = false;
        let mut inputs = Vec::new();
        loop {
            while let Ok(mail) = mailbox.try_recv() {
                self.read(mail, &mut inputs);
            }
            while let Some(Some((call, finished))) = self.calls.next().now_or_never() {
                self.finished(call, finished, &mut inputs);
            }
            let output = self.machine.handle_all(inputs.drain(..), now());
            let wake = output.wake.map(|(at, _)| Instant::from_std(at));
            let is_over = output.is_over;
            self.carry_out(output);
            self.context
                .board
                .update(self.machine.id(), &self.machine.undelivered(), |error| context.slack.remedy(error));
            if is_over {
                mailbox.close();
                let mut unread = Vec::new();
                while let Ok(mail) = mailbox.try_recv() {
                    unread.push(mail);
                }
                return unread;
            }
            tokio::select! {
                biased;
                Some((call, finished)) = self.calls.next() => self.finished(call, finished, &mut inputs),
                mail = mailbox.recv(), if !is_draining => if let Some(mail) = mail {
                    self.read(mail, &mut inputs);
                } else {
                    // The session has ended: finish what is under way.
                    is_draining = true;
                    inputs.push(Input::Drain);
                },
                Ok(()) = routes.changed() => {
                    routes.mark_unchanged();
                    inputs.extend([self.routed(), Input::CircumstancesChanged]);
                }
                Ok(()) = recoveries.changed() => {
                    let since = std::mem::replace(&mut looked_at, Instant::now());
                    let known = recoveries.borrow_and_update();
                    let recent = known.iter().filter(|(_, at)| **at >= since);
                    inputs.extend(recent.map(|(key, _)| Input::Recovered(RecipientKey::new(key))));
                }
                Ok(()) = connections.changed() => inputs.push(Input::Connected(connections.borrow_and_update().is_some())),
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => inputs.push(Input::Tick),
                () = context.shutdown.cancelled(), if !is_draining => {
                    is_draining = true;
                    inputs.push(Input::Drain);
                }
            }
        }
    }

    fn read(&mut self, mail: Mail, inputs: &mut Vec<Input>) {
        let Mail { observation, source, known } = mail;
        if self.machine.observation() != Some(&observation) {
            self.seen_at = Instant::now();
        }
        self.was_reported_gone |= matches!(observation, Observation::Gone(_));
        let wanted = match &observation {
            Observation::Present(request) => Some(self.context.select(request)),
            Observation::Gone(_) => None,
        };
        inputs.push(Input::Observed { observation, source, known });
        inputs.extend(wanted.map(Input::Routed));
    }

    /// Whom the configuration selects for the request as it is.
    fn routed(&self) -> Input {
        let request = self.machine.observation().and_then(Observation::request);
        Input::Routed(request.map(|request| self.context.select(request)).unwrap_or_default())
    }

    fn finished(&mut self, call: CallId, finished: Option<Finished>, inputs: &mut Vec<Input>) {
        let answer = match finished {
            Some(Finished::Answer(answer)) => answer,
            // One that was given up meanwhile is given back by being dropped.
            Some(Finished::Slot(slot)) if self.lines.remove(&call).is_some() => {
                self.slots.insert(call, slot);
                Answer::Acquired
            }
            Some(Finished::Slot(_)) | None => return,
        };
        inputs.push(Input::Answer(call, answer));
    }

    fn carry_out(&mut self, output: Output) {
        for effect in output.effects {
            match effect {
                Effect::Report(note) => report(&self.context, self.machine.id(), &note, self.seen_at),
                Effect::Release(slot) => {
                    self.slots.remove(&slot);
                    if let Some(line) = self.lines.remove(&slot) {
                        line.abort();
                    }
                }
                Effect::Acquire { call, to } => self.acquire(call, to),
                effect => self.call(effect),
            }
        }
    }

    fn acquire(&mut self, call: CallId, to: Target) {
        self.learn_logins();
        let line = self.push(call, calls::acquire(self.context.clone(), to).map(Finished::Slot));
        self.lines.insert(call, line);
    }

    fn call(&mut self, effect: Effect) {
        let Some(call) = effect.call() else { return };
        let slot = effect.slot().and_then(|slot| self.slots.remove(&slot));
        let subject = self.subject(&effect);
        let teleport = self.context.teleport.borrow().clone();
        let was_reported_gone = self.was_reported_gone;
        let context = self.context.clone();
        let id = self.machine.id().clone();
        let perform =
            async move { calls::perform(&context, teleport, &id, effect, slot, subject, was_reported_gone).await };
        // A task of its own: Slack's answer is taken, however long another call keeps this request waiting.
        self.push(call, perform.map(Finished::Answer));
    }

    fn push(&mut self, call: CallId, work: impl Future<Output = Finished> + Send + 'static) -> AbortHandle {
        let work = AbortOnDropHandle::new(tokio::spawn(work));
        let abort = work.abort_handle();
        let work = async move {
            match work.await {
                Ok(finished) => (call, Some(finished)),
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => resume_unwind(panic),
                    Err(_cancelled) => (call, None),
                },
            }
        };
        self.calls.push(work.boxed());
        abort
    }

    /// What a message about the request is rendered from, for effects that render one.
    fn subject(&mut self, effect: &Effect) -> Option<Subject> {
        if !matches!(effect, Effect::Post { .. } | Effect::Reply { .. } | Effect::Update { .. }) {
            return None;
        }
        self.learn_logins();
        Some(Subject {
            observation: self.machine.observation()?.clone(),
            remembered: self.machine.remembered().cloned().unwrap_or_default(),
            logins: self.logins.clone(),
        })
    }

    /// Learns the logins of the requested roles, once.
    fn learn_logins(&mut self) {
        let Some(request) = self.machine.observation().and_then(Observation::request) else { return };
        if self.logins.is_some() {
            return;
        }
        let Some(Teleport { client, .. }) = self.context.teleport.borrow().clone() else { return };
        let (context, roles) = (self.context.clone(), request.roles.clone());
        self.logins = Some(async move { context.roles.of(&client, &roles).await }.boxed().shared());
    }
}

/// The clocks, read once for each call of a machine.
pub(super) fn now() -> Now {
    Now { monotonic: Instant::now().into_std(), wall: Timestamp::now() }
}
