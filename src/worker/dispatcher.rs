//! Hands what was observed to the task of each request: one task per id, begun when there is something to do.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tracing::error;

use crate::access_request::RequestId;
use crate::delivery::input::{Known, Source};
use crate::delivery::machine::Memory;
use crate::delivery::state::Observation;
use crate::worker::context::Context;
use crate::worker::task::{Ended, Task};

/// A request whose task crashed so often is set aside: it must not take the others along.
const MOST_CRASHES: u32 = 2;

/// What was observed of a request.
#[derive(Clone, Debug)]
pub(super) struct Mail {
    /// The request as it was seen.
    pub observation: Observation,
    /// Where that was read.
    pub source: Source,
    /// What came with it of the stored record.
    pub known: Known,
}

/// The tasks at work.
pub(super) struct Dispatcher {
    context: Arc<Context>,
    mailboxes: HashMap<RequestId, mpsc::UnboundedSender<Mail>>,
    tasks: JoinSet<Ended>,
    ids: HashMap<tokio::task::Id, RequestId>,
    /// What this process has announced of requests that are pending and have no task.
    memories: HashMap<RequestId, Memory>,
    crashes: HashMap<RequestId, u32>,
    /// Mails for tasks that have ended and are not cleared up yet.
    late: HashMap<RequestId, Vec<Mail>>,
}

impl Dispatcher {
    /// Begins without tasks.
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            mailboxes: HashMap::new(),
            tasks: JoinSet::new(),
            ids: HashMap::new(),
            memories: HashMap::new(),
            crashes: HashMap::new(),
            late: HashMap::new(),
        }
    }

    /// How many tasks are at work.
    pub(super) fn len(&self) -> usize {
        self.mailboxes.len()
    }

    /// Whether a request has a task.
    pub(super) fn has(&self, id: &RequestId) -> bool {
        self.mailboxes.contains_key(id)
    }

    /// Tells the request's task what was observed; begins the task if there is none.
    pub(super) fn tell(&mut self, id: RequestId, mail: Mail) {
        if self.crashes.get(&id).is_some_and(|crashes| *crashes >= MOST_CRASHES) {
            return;
        }
        let Some(mailbox) = self.mailboxes.get(&id) else { return self.begin(id, vec![mail]) };
        if let Err(mpsc::error::SendError(mail)) = mailbox.send(mail) {
            // The task has just ended: its successor begins when it is cleared up.
            self.late.entry(id).or_default().push(mail);
        }
    }

    fn begin(&mut self, id: RequestId, mails: Vec<Mail>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        for mail in mails {
            // The receiver is at hand: this cannot fail.
            let _ = sender.send(mail);
        }
        let memory = self.memories.remove(&id);
        let handle = self.tasks.spawn(Task::run(self.context.clone(), id.clone(), receiver, memory));
        self.ids.insert(handle.id(), id.clone());
        self.mailboxes.insert(id, sender);
    }

    /// Waits for a task to end, for ever if there is none, and clears up behind it.
    pub(super) async fn reap(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(Ok((task, ended))) => {
                self.ids.remove(&task);
                self.ended(ended);
            }
            Some(Err(failed)) => self.crashed(&failed),
            None => std::future::pending().await,
        }
    }

    fn ended(&mut self, Ended { id, memory, mut unread }: Ended) {
        self.mailboxes.remove(&id);
        unread.extend(self.late.remove(&id).unwrap_or_default());
        match memory {
            Some(memory) => drop(self.memories.insert(id.clone(), memory)),
            None => drop(self.memories.remove(&id)),
        }
        if !unread.is_empty() && !self.context.shutdown.is_cancelled() {
            self.begin(id, unread);
        }
    }

    /// A fault in one task does not take the others along; the next listing begins it anew, once.
    fn crashed(&mut self, failed: &JoinError) {
        let Some(id) = self.ids.remove(&failed.id()) else { return };
        self.mailboxes.remove(&id);
        self.late.remove(&id);
        let crashes = self.crashes.entry(id.clone()).or_default();
        *crashes += 1;
        error!(request_id = %id, error = %failed, crashes, "The task of a request has crashed");
        self.context.board.forget(&id);
        if *crashes >= MOST_CRASHES {
            self.context.board.set_aside(&id);
        }
    }

    /// Waits until every task has finished what is in flight; to be bounded by the caller.
    pub(super) async fn finish(&mut self) {
        while !self.tasks.is_empty() {
            self.reap().await;
        }
    }
}
