//! What has become true at Slack and must be remembered: pure changes of a record, which may be applied again to a newer
//! version of it.

use crate::delivery::record::{Claim, Delivery, Record};
use crate::slack::MessageRef;

/// Stands for a reaction that was given up.
const NO_REACTION: &str = "-";

/// Something that happened to one recipient's delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// This worker is about to send something.
    Claimed(Claim),
    /// This claim of ours leads to nothing: it was never stored, or its send did not take effect.
    Released(Claim),
    /// The message is there and shows this.
    Posted {
        /// Where it is.
        message: MessageRef,
        /// What it shows.
        shown: String,
    },
    /// So many reviews are answered now.
    Replied(usize),
    /// The message shows this now.
    Shown(String),
    /// The reaction is there.
    Reacted(&'static str),
    /// The reaction cannot be added.
    ReactionGivenUp,
    /// The message is gone or can no longer be changed.
    Lost,
}

impl Fact {
    /// Changes what `record` says of the recipient `key`.
    pub(crate) fn apply(&self, key: &str, record: &mut Record) {
        let delivery = record.deliveries.entry(key.to_owned()).or_default();
        match self {
            Self::Claimed(claim) => {
                delivery.claim = Some(claim.clone());
                // From now on the recipients are ours to choose.
                record.foreign &= record.has_messages();
            }
            Self::Released(claim) => {
                // Anybody else's claim stands.
                if delivery.claim.as_ref() == Some(claim) {
                    delivery.claim = None;
                }
                if *delivery == Delivery::default() {
                    record.deliveries.remove(key);
                }
            }
            Self::Posted { message, shown } => {
                delivery.message = Some(message.clone());
                delivery.shown.clone_from(shown);
                delivery.claim = None;
            }
            Self::Replied(count) => {
                delivery.replies = delivery.replies.max(*count);
                delivery.claim = None;
            }
            Self::Shown(shown) => delivery.shown.clone_from(shown),
            Self::Reacted(name) => (*name).clone_into(&mut delivery.reaction),
            Self::ReactionGivenUp => NO_REACTION.clone_into(&mut delivery.reaction),
            Self::Lost => {
                delivery.lost = true;
                delivery.claim = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::delivery::change::*;

    fn claim() -> Claim {
        Claim { by: "me".to_owned(), at: 1, n: 1 }
    }

    #[test]
    fn a_released_claim_leaves_no_trace() {
        let mut record = Record::default();
        Fact::Claimed(claim()).apply("a", &mut record);
        Fact::Released(claim()).apply("a", &mut record);
        assert_eq!(record, Record::default());
    }

    #[test]
    fn a_claim_that_is_released_leaves_another_workers_alone() {
        let theirs = Claim { by: "other".to_owned(), ..claim() };
        let mut record = Record::default();
        Fact::Claimed(theirs.clone()).apply("a", &mut record);
        Fact::Released(claim()).apply("a", &mut record);
        assert_eq!(record.deliveries["a"].claim, Some(theirs));
        Fact::Released(claim()).apply("b", &mut record);
        assert!(!record.deliveries.contains_key("b"));
    }

    #[test]
    fn facts_may_be_applied_again_to_a_newer_record() {
        let posted = Fact::Posted {
            message: MessageRef { channel: "C1".to_owned(), ts: "1.5".to_owned() },
            shown: "PENDING:0".to_owned(),
        };
        let mut once = Record::default();
        for fact in [&posted, &Fact::Replied(2)] {
            fact.apply("a", &mut once);
        }
        let mut twice = once.clone();
        for fact in [&posted, &Fact::Replied(1)] {
            fact.apply("a", &mut twice);
        }
        assert_eq!(once, twice);
    }

    #[test]
    fn claiming_what_another_program_left_unannounced_makes_it_ours() {
        let mut record = Record::default();
        record.foreign = true;
        Fact::Claimed(claim()).apply("a", &mut record);
        assert!(!record.foreign);
    }
}
