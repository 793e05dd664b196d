//! Slack as the second source of truth: which of our own messages of the last days have to be brought to their end; pure.
//!
//! A late effect, a record that ended before its request, or months of another plugin leave messages that no record leads
//! to any more. Their metadata names the request.

use std::collections::{BTreeMap, BTreeSet};

use crate::access_request::RequestId;
use crate::slack::MessageRef;

/// How a request stands that messages name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It waits for a decision.
    Pending,
    /// It was decided, or Teleport does not have it: that was asked by its id, not taken from a list.
    Ended,
}

/// The messages that the records of requests lead to: the requests' tasks take care of them.
pub type Followed = BTreeMap<RequestId, BTreeSet<MessageRef>>;

/// What to do about one message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Show how the request ended.
    End {
        /// Which message.
        message: MessageRef,
        /// Of which request.
        request: RequestId,
    },
    /// Remove a second message of the same request in the same conversation.
    Remove {
        /// Which message.
        message: MessageRef,
        /// Of which request.
        request: RequestId,
    },
}

/// One message of ours in a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it is.
    pub message: MessageRef,
    /// The request that its metadata names.
    pub request: RequestId,
}

/// The requests that have to be looked up by id before [`plan`] can decide: those of messages that no record leads to, or
/// that are there twice.
pub fn doubtful<'a>(found: &'a [Found], followed: &Followed) -> BTreeSet<&'a RequestId> {
    let doubles = doubles(found);
    let is_doubtful = |one: &&Found| !is_followed(one, followed) || doubles.contains(&one.request);
    found.iter().filter(is_doubtful).map(|one| &one.request).collect()
}

/// What to do about the messages of one conversation, which come oldest first. `known` holds the answers for
/// [`doubtful`] requests; what it does not know is left alone. At most `most` steps: the rest follows with the next sweep.
pub fn plan(found: &[Found], followed: &Followed, known: &BTreeMap<RequestId, Standing>, most: usize) -> Vec<Step> {
    let mut kept: BTreeMap<&RequestId, &MessageRef> = BTreeMap::new();
    // The message that a record leads to is the one that stays; otherwise the oldest.
    for one in found.iter().filter(|one| is_followed(one, followed)) {
        kept.entry(&one.request).or_insert(&one.message);
    }
    for one in found {
        kept.entry(&one.request).or_insert(&one.message);
    }
    // Where a record leads to both messages, both are followed until it leads to one.
    let strays = found.iter().filter(|one| !is_followed(one, followed));
    let steps = strays.filter_map(|one| {
        let standing = known.get(&one.request)?;
        let (message, request) = (one.message.clone(), one.request.clone());
        match standing {
            _ if kept.get(&request) != Some(&&one.message) => Some(Step::Remove { message, request }),
            Standing::Ended => Some(Step::End { message, request }),
            Standing::Pending => None,
        }
    });
    steps.take(most).collect()
}

fn is_followed(found: &Found, followed: &Followed) -> bool {
    followed.get(&found.request).is_some_and(|messages| messages.contains(&found.message))
}

fn doubles(found: &[Found]) -> BTreeSet<&RequestId> {
    let mut seen = BTreeSet::new();
    found.iter().map(|one| &one.request).filter(|request| !seen.insert(*request)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(ts: &str) -> MessageRef {
        MessageRef { channel: "C1".to_owned(), ts: ts.to_owned() }
    }

    fn request(id: &str) -> RequestId {
        RequestId(id.to_owned())
    }

    fn found(messages: &[(&str, &str)]) -> Vec<Found> {
        messages.iter().map(|(id, ts)| Found { message: message(ts), request: request(id) }).collect()
    }

    fn followed(messages: &[(&str, &str)]) -> Followed {
        let mut followed = Followed::new();
        for (id, ts) in messages {
            followed.entry(request(id)).or_default().insert(message(ts));
        }
        followed
    }

    fn known(standings: &[(&str, Standing)]) -> BTreeMap<RequestId, Standing> {
        standings.iter().map(|(id, standing)| (request(id), *standing)).collect()
    }

    fn end(id: &str, ts: &str) -> Step {
        Step::End { message: message(ts), request: request(id) }
    }

    #[test]
    fn what_a_record_leads_to_is_left_to_its_task() {
        let (found, followed) = (found(&[("a", "1")]), followed(&[("a", "1")]));
        assert!(doubtful(&found, &followed).is_empty());
        assert!(plan(&found, &followed, &known(&[("a", Standing::Ended)]), 9).is_empty());
    }

    #[test]
    fn a_message_without_a_record_is_brought_to_its_requests_end() {
        let found = found(&[("ended", "1"), ("also ended", "2"), ("pending", "3"), ("not asked", "4")]);
        let followed = Followed::new();
        assert_eq!(doubtful(&found, &followed).len(), 4);
        let known =
            known(&[("ended", Standing::Ended), ("also ended", Standing::Ended), ("pending", Standing::Pending)]);
        assert_eq!(plan(&found, &followed, &known, 9), [end("ended", "1"), end("also ended", "2")]);
        assert_eq!(plan(&found, &followed, &known, 1), [end("ended", "1")], "no more than may be done at a time");
    }

    #[test]
    fn of_two_messages_the_younger_is_removed() {
        let found = found(&[("a", "1"), ("b", "2"), ("a", "3")]);
        let known = known(&[("a", Standing::Pending)]);
        let remove = Step::Remove { message: message("3"), request: request("a") };
        assert_eq!(plan(&found, &Followed::new(), &known, 9), [remove]);
    }

    #[test]
    fn the_message_of_the_record_stays_even_if_it_is_the_younger() {
        let (found, followed) = (found(&[("a", "1"), ("a", "2")]), followed(&[("a", "2")]));
        assert_eq!(doubtful(&found, &followed).len(), 1);
        let remove = Step::Remove { message: message("1"), request: request("a") };
        assert_eq!(plan(&found, &followed, &known(&[("a", Standing::Pending)]), 9), [remove]);
    }

    #[test]
    fn two_messages_that_a_record_leads_to_are_left_alone() {
        let (found, followed) = (found(&[("a", "1"), ("a", "2")]), followed(&[("a", "1"), ("a", "2")]));
        assert!(plan(&found, &followed, &known(&[("a", Standing::Ended)]), 9).is_empty());
    }
}
