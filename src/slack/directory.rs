//! E-mail address → Slack user, remembered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use tokio::time::Instant;

use crate::slack::api::{Client, UserId};
use crate::slack::error::Error;

/// A person keeps the same id; an address that moves to another person is rare.
pub const REMEMBER_FOUND: Duration = Duration::from_hours(6);
/// Somebody who is missing today may be invited any minute.
pub const REMEMBER_MISSING: Duration = Duration::from_mins(5);
/// Addresses that are remembered before the outdated ones are forgotten.
const SWEEP_ABOVE: usize = 4096;

type Outcome = Result<UserId, Error>;

#[derive(Debug)]
enum Entry {
    Known { outcome: Outcome, until: Instant },
    Asking { number: u64, lookup: Shared<BoxFuture<'static, Outcome>> },
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<String, Entry>,
    next_number: u64,
}

/// The users found so far. Clones share them.
#[derive(Clone, Debug)]
pub struct Directory {
    state: Arc<Mutex<State>>,
    found: Duration,
    missing: Duration,
}

impl Default for Directory {
    fn default() -> Self {
        Self::new(REMEMBER_FOUND, REMEMBER_MISSING)
    }
}

impl Directory {
    /// An empty directory which remembers users for `found` and that there is none for `missing`.
    pub fn new(found: Duration, missing: Duration) -> Self {
        Self { state: Arc::default(), found, missing }
    }

    /// The user of an address, from memory or from Slack. Whoever asks for an address that is being looked up waits for the
    /// same answer. Only `users_not_found` is remembered as an error.
    pub async fn lookup(&self, client: &Client, email: &str) -> Result<UserId, Error> {
        self.lookup_with(email, |address| {
            let client = client.clone();
            async move { client.lookup_user_by_email(&address).await }
        })
        .await
    }

    /// The answer that is remembered for an address, if there is one.
    pub fn known(&self, email: &str) -> Option<Result<UserId, Error>> {
        match self.state().entries.get(&email.trim().to_lowercase())? {
            Entry::Known { outcome, until } if *until > Instant::now() => Some(outcome.clone()),
            _ => None,
        }
    }

    async fn lookup_with<F>(&self, email: &str, ask: impl FnOnce(String) -> F) -> Outcome
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let address = email.trim().to_lowercase();
        let (number, lookup) = {
            let mut state = self.state();
            match state.entries.get(&address) {
                Some(Entry::Known { outcome, until }) if *until > Instant::now() => return outcome.clone(),
                Some(Entry::Asking { number, lookup }) => (*number, lookup.clone()),
                _ => {
                    let number = state.next_number;
                    state.next_number += 1;
                    let lookup = ask(address.clone()).boxed().shared();
                    state.sweep();
                    state.entries.insert(address.clone(), Entry::Asking { number, lookup: lookup.clone() });
                    (number, lookup)
                }
            }
        };
        let outcome = lookup.await;
        self.remember(&address, number, &outcome);
        outcome
    }

    /// Forgets the user of an address, or that there is none.
    pub fn forget(&self, email: &str) {
        self.state().entries.remove(&email.trim().to_lowercase());
    }

    /// Forgets everything: the token, the address of Slack or the configuration is another.
    pub fn clear(&self) {
        self.state().entries.clear();
    }

    fn remember(&self, address: &str, number: u64, outcome: &Outcome) {
        let mut state = self.state();
        // Cleared or asked anew meanwhile: this answer belongs to the past.
        if !matches!(state.entries.get(address), Some(Entry::Asking { number: current, .. }) if *current == number) {
            return;
        }
        let lasting = match outcome {
            Ok(_) => Some(self.found),
            Err(error) if error.code == "users_not_found" => Some(self.missing),
            Err(_) => None,
        };
        match lasting {
            Some(lasting) => {
                let entry = Entry::Known { outcome: outcome.clone(), until: Instant::now() + lasting };
                state.entries.insert(address.to_owned(), entry);
            }
            None => drop(state.entries.remove(address)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn sweep(&mut self) {
        if self.entries.len() > SWEEP_ABOVE {
            let now = Instant::now();
            self.entries.retain(|_, entry| match entry {
                Entry::Known { until, .. } => *until > now,
                // One that nobody waits for any more would never end.
                Entry::Asking { lookup, .. } => lookup.strong_count().is_some_and(|count| count > 1),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::future::{Ready, join_all, ready};
    use tokio::sync::oneshot;

    use super::*;
    use crate::slack::method;

    #[derive(Default)]
    struct Slack(AtomicU32);

    impl Slack {
        fn answer(&self, outcome: Outcome) -> Ready<Outcome> {
            self.0.fetch_add(1, Ordering::SeqCst);
            ready(outcome)
        }

        fn asked(&self) -> u32 {
            self.0.load(Ordering::SeqCst)
        }
    }

    /// A user by id, or an error by code.
    fn outcome(of: &str) -> Outcome {
        if of.starts_with('U') { Ok(UserId::new(of)) } else { Err(Error::new(method::LOOKUP_BY_EMAIL, of, None)) }
    }

    fn user() -> Outcome {
        outcome("U1")
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_is_asked_for_once_in_hours_whatever_the_case_of_the_address() {
        let (directory, slack) = (Directory::default(), Slack::default());
        for email in ["alice@example.com", " Alice@Example.com"] {
            assert_eq!(directory.lookup_with(email, |_| slack.answer(user())).await, user());
        }
        assert_eq!(slack.asked(), 1);
        tokio::time::advance(REMEMBER_FOUND).await;
        directory.lookup_with("alice@example.com", |_| slack.answer(user())).await.unwrap();
        assert_eq!(slack.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_user_is_asked_for_again_after_minutes() {
        let (directory, slack) = (Directory::default(), Slack::default());
        for _ in 0..2 {
            let answer = directory.lookup_with("a@example.com", |_| slack.answer(outcome("users_not_found"))).await;
            assert_eq!(answer, outcome("users_not_found"));
        }
        assert_eq!(slack.asked(), 1);
        tokio::time::advance(REMEMBER_MISSING).await;
        assert_eq!(directory.lookup_with("a@example.com", |_| slack.answer(user())).await, user());
    }

    #[tokio::test]
    async fn a_missing_user_is_asked_for_again_once_forgotten() {
        let (directory, slack) = (Directory::default(), Slack::default());
        directory.lookup_with("a@example.com", |_| slack.answer(outcome("users_not_found"))).await.unwrap_err();
        directory.forget(" A@Example.com");
        assert_eq!(directory.lookup_with("a@example.com", |_| slack.answer(user())).await, user());
    }

    #[tokio::test]
    async fn other_errors_are_not_remembered() {
        let (directory, slack) = (Directory::default(), Slack::default());
        directory.lookup_with("a@example.com", |_| slack.answer(outcome("ratelimited"))).await.unwrap_err();
        assert_eq!(directory.lookup_with("a@example.com", |_| slack.answer(user())).await, user());
        assert_eq!(slack.asked(), 2);
    }

    #[tokio::test]
    async fn those_who_ask_at_the_same_time_share_one_call() {
        let directory = Directory::default();
        let (answer, answered) = oneshot::channel();
        let first = directory.lookup_with("a@example.com", |_| async { answered.await.unwrap() });
        let others = (0..2).map(|_| directory.lookup_with("A@example.com", |_| async { unreachable!() }));
        let mut all = Box::pin(futures::future::join(first, join_all(others)));
        assert!((&mut all).now_or_never().is_none());
        answer.send(outcome("ratelimited")).unwrap();
        assert_eq!(all.await, (outcome("ratelimited"), vec![outcome("ratelimited"); 2]));
    }

    #[tokio::test]
    async fn who_gives_up_does_not_stop_the_others() {
        let directory = Directory::default();
        let (answer, answered) = oneshot::channel();
        let mut first = Box::pin(directory.lookup_with("a@example.com", |_| async { answered.await.unwrap() }));
        assert!((&mut first).now_or_never().is_none());
        let mut second = Box::pin(directory.lookup_with("a@example.com", |_| async { unreachable!() }));
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        answer.send(user()).unwrap();
        assert_eq!(second.await, user());
    }

    #[tokio::test]
    async fn an_answer_from_before_a_clearing_is_not_remembered() {
        let (directory, slack) = (Directory::default(), Slack::default());
        let (answer, answered) = oneshot::channel();
        let mut old = Box::pin(directory.lookup_with("a@example.com", |_| async { answered.await.unwrap() }));
        assert!((&mut old).now_or_never().is_none());
        directory.clear();
        answer.send(outcome("U-old")).unwrap();
        old.await.unwrap();
        assert_eq!(directory.lookup_with("a@example.com", |_| slack.answer(user())).await, user());
    }
}
