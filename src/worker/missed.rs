//! Requests that ended before a recipient could be told of them, and the one line that says so when the recipient can be
//! reached again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tracing::info;

use crate::access_request::RequestId;
use crate::config::recipient::RecipientKey;
use crate::delivery::input::Failure;
use crate::slack::error::Class;
use crate::worker::calls;
use crate::worker::context::Context;

/// Requests that are remembered one by one for a recipient; more are only counted on.
const MOST_REQUESTS: usize = 1_000;
/// Recipients that are remembered.
const MOST_RECIPIENTS: usize = 1_000;

/// What recipients have missed, by recipient.
#[derive(Debug, Default)]
pub(super) struct Missed {
    recipients: BTreeMap<String, Requests>,
}

#[derive(Debug, Default)]
struct Requests {
    ids: BTreeSet<RequestId>,
    /// Those beyond [`MOST_REQUESTS`].
    more: usize,
    /// The line is being posted.
    telling: bool,
}

impl Requests {
    fn count(&self) -> usize {
        self.ids.len() + self.more
    }
}

/// A line to post to a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    /// To whom.
    pub recipient: String,
    /// How many requests it is about.
    pub requests: usize,
}

impl Notice {
    /// What it says. It names no request: the channel may have other readers by now, and Teleport lists what is over.
    pub(super) fn text(&self) -> String {
        match self.requests {
            1 => "While this channel could not be reached, 1 access request ended.".to_owned(),
            requests => format!("While this channel could not be reached, {requests} access requests ended."),
        }
    }
}

impl Missed {
    /// A configured recipient was not told of a request before it ended.
    pub(super) fn missed(&mut self, recipient: &str, request: &RequestId) {
        if !self.recipients.contains_key(recipient) && self.recipients.len() >= MOST_RECIPIENTS {
            return;
        }
        let requests = self.recipients.entry(recipient.to_owned()).or_default();
        if requests.ids.len() < MOST_REQUESTS {
            requests.ids.insert(request.clone());
        } else if !requests.ids.contains(request) {
            requests.more += 1;
        }
    }

    /// A message has reached the recipient: whether there is something to tell it. Nothing more is told before
    /// [`Missed::told`].
    pub(super) fn reached(&mut self, recipient: &str) -> Option<Notice> {
        let requests = self.recipients.get_mut(recipient).filter(|requests| !requests.telling)?;
        requests.telling = true;
        Some(Notice { recipient: recipient.to_owned(), requests: requests.count() })
    }

    /// How the line ended. It is told again later if it did not arrive; if that is not known it is left out, since it would
    /// be there twice.
    pub(super) fn told(&mut self, notice: &Notice, outcome: Told) {
        let Some(requests) = self.recipients.get_mut(&notice.recipient) else { return };
        requests.telling = false;
        let missed_since = requests.count().saturating_sub(notice.requests);
        match outcome {
            Told::Refused => {}
            Told::Posted | Told::Unknown if missed_since == 0 => {
                self.recipients.remove(&notice.recipient);
            }
            // Which of them are new is not told apart: the next line needs their number alone.
            Told::Posted | Told::Unknown => {
                requests.ids.clear();
                requests.more = missed_since;
            }
        }
    }
}

/// What became of a [`Notice`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It is there.
    Posted,
    /// It is not.
    Refused,
    /// It may be there.
    Unknown,
}

/// The recipient can be reached: tells it what it has missed, if anything.
pub(super) fn tell(context: &Arc<Context>, key: &RecipientKey) {
    let Some(notice) = context.missed().reached(key.as_str()) else { return };
    let (context, key) = (context.clone(), key.clone());
    tokio::spawn(async move {
        let result = calls::say(&context, key, notice.text()).await;
        let told = match &result {
            Ok(()) => Told::Posted,
            Err(Failure::Refused(error)) if error.class == Class::Ambiguous => Told::Unknown,
            Err(_) => Told::Refused,
        };
        info!(
            recipient = notice.recipient,
            requests = notice.requests,
            ?told,
            "Told a recipient how many requests it missed"
        );
        context.missed().told(&notice, told);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> RequestId {
        RequestId(format!("request-{number}"))
    }

    fn missed(count: usize) -> Missed {
        let mut missed = Missed::default();
        (0..count).for_each(|number| missed.missed("#dba", &id(number)));
        missed
    }

    #[test]
    fn the_first_message_that_arrives_is_followed_by_one_line() {
        let mut missed = missed(3);
        assert_eq!(missed.reached("#ops"), None);
        let notice = missed.reached("#dba").unwrap();
        assert_eq!(notice.text(), "While this channel could not be reached, 3 access requests ended.");
        assert_eq!(missed.reached("#dba"), None, "it is being told already");
        missed.told(&notice, Told::Posted);
        assert_eq!(missed.reached("#dba"), None);
    }

    #[test]
    fn a_request_counts_once_however_often_it_is_reported() {
        let mut missed = missed(1);
        missed.missed("#dba", &id(0));
        assert_eq!(
            missed.reached("#dba").unwrap().text(),
            "While this channel could not be reached, 1 access request ended."
        );
    }

    #[test]
    fn a_line_that_was_refused_is_told_later_and_one_that_may_be_there_is_not() {
        let mut missed = missed(2);
        let notice = missed.reached("#dba").unwrap();
        missed.told(&notice, Told::Refused);
        assert_eq!(missed.reached("#dba"), Some(notice.clone()));
        missed.told(&notice, Told::Unknown);
        assert_eq!(missed.reached("#dba"), None);
    }

    #[test]
    fn what_is_missed_while_the_line_is_posted_is_told_by_the_next_one() {
        let mut missed = missed(2);
        let notice = missed.reached("#dba").unwrap();
        missed.missed("#dba", &id(7));
        missed.told(&notice, Told::Posted);
        assert_eq!(missed.reached("#dba").map(|notice| notice.requests), Some(1));
    }

    #[test]
    fn more_than_can_be_remembered_are_still_counted() {
        let mut missed = missed(MOST_REQUESTS + 5);
        assert_eq!(missed.reached("#dba").map(|notice| notice.requests), Some(MOST_REQUESTS + 5));
    }
}
