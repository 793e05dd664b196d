//! Slots for posts, and the pace of every other call: the one place that decides when Slack is called.
//!
//! [`RateLimit`] decides, without a clock or a runtime of its own. [`RateLimiter`] waits for it.

mod machine;
mod outage;
mod pace;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::slack::error::{Error, code};
use crate::slack::method;

pub use crate::slack::rate_limit::machine::RateLimit;

/// A slot is granted before its post may begin, but no longer than this.
const MOMENT: Duration = machine::LEAD;

/// Names one wait for a slot, and then the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What became of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Slack took the post, or refused it for a reason other than its rate.
    Answered,
    /// Slack takes no post in this conversation for so long.
    Limited(Duration),
    /// No answer came, or one that is not Slack's: Slack may be down.
    Unanswered,
    /// No connection could be made.
    Unconnected,
    /// Nothing was posted.
    Unused,
}

impl Outcome {
    /// What a call's result says about Slack.
    pub fn of<T>(result: &Result<T, Error>) -> Self {
        let Err(error) = result else { return Self::Answered };
        match (&*error.code, error.retry_after) {
            (_, Some(retry_after)) if error.is_rate_limit() => Self::Limited(retry_after),
            (code::CONNECT_FAILED | code::PROXY_FAILED, _) => Self::Unconnected,
            (code::TIMEOUT | code::CONNECTION_LOST, _) => Self::Unanswered,
            (code, _) if code.starts_with("http_5") => Self::Unanswered,
            _ => Self::Answered,
        }
    }
}

/// Hands out slots as [`RateLimit`] decides. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct RateLimiter {
    shared: Arc<Mutex<Shared>>,
    observer: Observer,
}

/// Is told of every call, and of its error.
#[derive(Clone, Default)]
struct Observer(Option<Arc<Observe>>);

type Observe = dyn Fn(&'static str, Option<&Error>) + Send + Sync;

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Shared {
    machine: RateLimit,
    waiting: HashMap<Ticket, oneshot::Sender<()>>,
    next_ticket: u64,
    /// Wakes those who wait when time alone has made it their turn.
    timer: Option<(Instant, AbortHandle)>,
}

/// The right to make one post; the next ticket's once this is dropped.
#[derive(Debug)]
pub struct Slot {
    limiter: RateLimiter,
    ticket: Ticket,
    outcome: Outcome,
}

impl RateLimiter {
    /// A limiter that tells `observe` of every call: its method, and its error if it failed.
    pub fn observed_by(observe: impl Fn(&'static str, Option<&Error>) + Send + Sync + 'static) -> Self {
        Self { observer: Observer(Some(Arc::new(observe))), ..Self::default() }
    }

    /// Waits for a slot to post in the conversation that has these names, in order of arrival. Dropping the future leaves
    /// the line.
    pub async fn acquire<'a>(&self, names: impl IntoIterator<Item = &'a str> + Clone) -> Slot {
        let (turn, slot) = self.enqueue(names);
        // The sender stays in `waiting` until the slot is granted, or dropped together with this future.
        let _ = turn.await;
        slot
    }

    fn enqueue<'a>(&self, names: impl IntoIterator<Item = &'a str> + Clone) -> (oneshot::Receiver<()>, Slot) {
        let (sender, turn) = oneshot::channel();
        let mut shared = self.lock();
        let ticket = Ticket(shared.next_ticket);
        shared.next_ticket += 1;
        let now = now();
        shared.machine.merge(names.clone());
        shared.machine.enqueue(ticket, names.into_iter().next().unwrap_or_default(), now);
        shared.waiting.insert(ticket, sender);
        self.grant(&mut shared, now);
        (turn, Slot { limiter: self.clone(), ticket, outcome: Outcome::Unused })
    }

    /// Lets a call of any method but `chat.postMessage` through, or says when to ask again.
    pub fn permit(&self, method: &'static str) -> Result<(), Instant> {
        self.lock().machine.permit(method, now())
    }

    /// Makes a call of any method but `chat.postMessage`, unless Slack would refuse it now: then says when to ask again.
    pub async fn try_call<T>(
        &self,
        method: &'static str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<Result<T, Error>, Instant> {
        self.permit(method)?;
        let result = call.await;
        self.note(method, &result);
        Ok(result)
    }

    /// The same as soon as Slack may take it.
    pub async fn call<T>(
        &self,
        method: &'static str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.permitted(method).await;
        let result = call.await;
        self.note(method, &result);
        result
    }

    /// Waits until a call of any method but `chat.postMessage` may be made.
    pub async fn permitted(&self, method: &'static str) {
        while let Err(at) = self.permit(method) {
            tokio::time::sleep_until(at.into()).await;
        }
    }

    /// Notes how a call of any method but `chat.postMessage` ended.
    pub fn note<T>(&self, method: &'static str, result: &Result<T, Error>) {
        self.observe(method, result);
        let mut shared = self.lock();
        let now = now();
        match Outcome::of(result) {
            Outcome::Answered => shared.machine.answered(now),
            Outcome::Limited(retry_after) => shared.machine.limited(method, None, retry_after, now),
            Outcome::Unconnected => shared.machine.unconnected(now),
            Outcome::Unanswered | Outcome::Unused => return,
        }
        self.grant(&mut shared, now);
    }

    /// These names turned out to be of one conversation.
    pub fn merge<'a>(&self, names: impl IntoIterator<Item = &'a str> + Clone) {
        self.lock().machine.merge(names);
    }

    /// Whether Slack is known not to answer.
    pub fn is_unreachable(&self) -> bool {
        self.lock().machine.is_unreachable()
    }

    fn observe<T>(&self, method: &'static str, result: &Result<T, Error>) {
        if let Some(observe) = &self.observer.0 {
            observe(method, result.as_ref().err());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn grant(&self, shared: &mut Shared, now: Instant) {
        let (tickets, wake) = shared.machine.granted(now);
        for ticket in tickets {
            if let Some(sender) = shared.waiting.remove(&ticket) {
                // A receiver that is gone is followed by its slot, which gives the ticket back.
                let _ = sender.send(());
            }
        }
        let Some(wake) = wake else { return };
        if shared.timer.as_ref().is_some_and(|(at, _)| *at <= wake) {
            return;
        }
        let (weak, observer) = (Arc::downgrade(&self.shared), self.observer.clone());
        let task = tokio::spawn(async move {
            tokio::time::sleep_until(wake.into()).await;
            if let Some(shared) = weak.upgrade() {
                Self { shared, observer }.wake();
            }
        });
        if let Some((_, earlier)) = shared.timer.replace((wake, task.abort_handle())) {
            earlier.abort();
        }
    }

    fn wake(&self) {
        let mut shared = self.lock();
        shared.timer = None;
        self.grant(&mut shared, now());
    }
}

impl Slot {
    /// Waits until the post may begin, where that is a moment only. A limit that became known after the slot was granted is
    /// told instead: not before this time.
    pub async fn begin(&self) -> Result<(), Instant> {
        loop {
            let now = now();
            let begun = self.limiter.lock().machine.begin(self.ticket, now);
            match begun {
                Err(at) if at.saturating_duration_since(now) <= MOMENT => tokio::time::sleep_until(at.into()).await,
                begun => return begun,
            }
        }
    }

    /// Ends the slot with what its post came to.
    pub fn finish<T>(mut self, result: &Result<T, Error>) {
        self.limiter.observe(method::POST_MESSAGE, result);
        self.outcome = Outcome::of(result);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let limiter = self.limiter.clone();
        let mut shared = limiter.lock();
        let now = now();
        shared.waiting.remove(&self.ticket);
        match self.outcome {
            Outcome::Unused => shared.machine.withdraw(self.ticket, now),
            outcome => shared.machine.finished(self.ticket, outcome, now),
        }
        limiter.grant(&mut shared, now);
    }
}

/// Tokio's clock: in tests it stands still, or jumps.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
