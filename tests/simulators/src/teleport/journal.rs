//! What was called, what was answered, and what a real Teleport would have held against the caller.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tonic::{Code, Status};

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Call {
    /// Position, from 1.
    pub number: u64,
    /// Milliseconds since the epoch.
    pub at: u64,
    /// Who called; `Nop` without a certificate.
    pub user: String,
    /// Method, `UpdatePluginData` for example.
    pub method: String,
    /// The message, readable.
    pub request: String,
    /// gRPC code of the answer in words; `None` while there is none.
    pub code: Option<String>,
    /// Message of an answer that is an error.
    pub message: String,
    /// The fault that was applied.
    pub fault: Option<String>,
}

/// Something that a real Teleport would have refused or punished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// What was wrong.
    pub what: String,
    /// Method, or the connection's stage.
    pub place: String,
    /// Who did it.
    pub user: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} by {:?}: {}", self.place, self.user, self.what)
    }
}

/// Older calls are dropped beyond this many.
const KEPT: usize = 100_000;

#[derive(Default)]
struct Book {
    calls: std::collections::VecDeque<Call>,
    next: u64,
    violations: Vec<Violation>,
}

/// The record of calls. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Book>>);

impl Journal {
    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin(&self, at: u64, user: &str, method: &str, request: String) -> u64 {
        let mut book = self.book();
        book.next += 1;
        let number = book.next;
        if book.calls.len() >= KEPT {
            book.calls.pop_front();
        }
        book.calls.push_back(Call {
            number,
            at,
            user: user.to_owned(),
            method: method.to_owned(),
            request,
            code: None,
            message: String::new(),
            fault: None,
        });
        number
    }

    pub(crate) fn fault(&self, number: u64, fault: String) {
        self.change(number, |call| call.fault = Some(fault));
    }

    pub(crate) fn answer(&self, number: u64, error: Option<&Status>) {
        self.change(number, |call| {
            call.code = Some(format!("{:?}", error.map_or(Code::Ok, Status::code)));
            error.map(Status::message).unwrap_or_default().clone_into(&mut call.message);
        });
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut Call)) {
        let mut book = self.book();
        if let Ok(index) = book.calls.binary_search_by_key(&number, |call| call.number)
            && let Some(call) = book.calls.get_mut(index)
        {
            change(call);
        }
    }

    pub(crate) fn violation(&self, user: &str, place: &str, what: impl Into<String>) {
        let violation = Violation { what: what.into(), place: place.to_owned(), user: user.to_owned() };
        // Whoever runs the simulator by hand sees it when it happens.
        tracing::warn!(%violation, "Held against the client");
        self.book().violations.push(violation);
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.book().calls.iter().cloned().collect()
    }

    pub(crate) fn after(&self, number: u64) -> Vec<Call> {
        let book = self.book();
        let first = book.calls.partition_point(|call| call.number <= number);
        book.calls.range(first..).cloned().collect()
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        self.book().violations.clone()
    }

    pub(crate) fn clear(&self) {
        let mut book = self.book();
        book.calls.clear();
        book.violations.clear();
    }
}
