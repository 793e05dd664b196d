//! Hands what was observed to the task of each request: one task per id, begun when there is something to do.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tracing::error;

use crate::access_request::RequestId;
use crate::delivery::decide::Observation;
use crate::worker::context::Context;
use crate::worker::request::{Hint, Mail, Task};

/// The tasks at work.
pub(super) struct Dispatcher {
    context: Arc<Context>,
    mailboxes: HashMap<RequestId, watch::Sender<Mail>>,
    tasks: JoinSet<(RequestId, u64)>,
    ids: HashMap<tokio::task::Id, RequestId>,
}

impl Dispatcher {
    /// Begins without tasks.
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { context, mailboxes: HashMap::new(), tasks: JoinSet::new(), ids: HashMap::new() }
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
    pub(super) fn tell(&mut self, id: RequestId, observed: Observation, hint: Hint) {
        let at = Instant::now();
        if let Some(mailbox) = self.mailboxes.get(&id) {
            mailbox.send_modify(|mail| *mail = Mail { observed, at, hint, number: mail.number + 1 });
        } else {
            self.begin(id, Mail { observed, at, hint, number: 0 });
        }
    }

    fn begin(&mut self, id: RequestId, mail: Mail) {
        let (sender, receiver) = watch::channel(mail);
        let context = self.context.clone();
        let work = {
            let id = id.clone();
            async move { (id.clone(), Task::run(context, id, receiver).await) }
        };
        let handle = self.tasks.spawn(work);
        self.ids.insert(handle.id(), id.clone());
        self.mailboxes.insert(id, sender);
    }

    /// Waits for a task to end, for ever if there is none, and clears up behind it.
    pub(super) async fn reap(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(Ok((task, (id, seen)))) => {
                self.ids.remove(&task);
                self.ended(&id, seen);
            }
            Some(Err(failed)) => self.crashed(&failed),
            None => std::future::pending().await,
        }
    }

    fn ended(&mut self, id: &RequestId, seen: u64) {
        let Some(mailbox) = self.mailboxes.remove(id) else { return };
        // Told between its last look and its end: begin anew.
        let mail = mailbox.borrow().clone();
        if mail.number > seen && !self.context.shutdown.is_cancelled() {
            self.begin(id.clone(), mail);
        }
    }

    /// A fault in one task must not take the others along; the next listing begins it anew.
    fn crashed(&mut self, failed: &JoinError) {
        if let Some(id) = self.ids.remove(&failed.id()) {
            error!(request_id = %id, error = %failed, "The task of a request has crashed");
            self.mailboxes.remove(&id);
            self.context.board.forget(&id);
        }
    }

    /// Waits until every task has finished what is in flight; to be bounded by the caller.
    pub(super) async fn finish(&mut self) {
        while !self.tasks.is_empty() {
            self.reap().await;
        }
    }
}
