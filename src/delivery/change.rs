//! What has happened and must be remembered: changes of a record that may be applied again to a newer version of it.

use crate::config::recipient::RecipientKey;
use crate::delivery::record::{Claim, Delivery, Reaction, Record};
use crate::delivery::state::{Place, Shown};
use crate::slack::MessageRef;

/// Something that happened to one recipient's delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Which recipient.
    pub key: RecipientKey,
    /// The claim that it happened under. Only this very claim is cleared by it: a later one stands.
    pub under: Option<Claim>,
    /// What happened.
    pub change: Change,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// This worker is about to send something to this place.
    Claimed(Place),
    /// The claim leads to nothing: it was never stored, or its send did not take effect, as far as can be known.
    Released {
        /// The send may have taken effect after all (seconds since 1970 of its claim): look for a second message at the end.
        suspect: Option<i64>,
    },
    /// The message is there.
    Posted {
        /// Where.
        message: MessageRef,
        /// What it shows.
        shown: Shown,
        /// The worker that posted it.
        owner: String,
    },
    /// So many reviews are answered now.
    Replied(usize),
    /// The message shows this now, or its thread tells it.
    Shown {
        /// What it showed, as far as this worker knew.
        before: Shown,
        /// What it shows.
        now: Shown,
    },
    /// The reaction is there.
    Reacted(&'static str),
    /// Slack will never take the reaction.
    ReactionGivenUp,
    /// The message is gone or can never be changed.
    Lost,
    /// The message belongs to another Slack app.
    AnotherApp,
    /// Neither the message nor its thread can tell the outcome: a new message has to.
    TellAnew,
    /// A second message was looked for.
    Swept,
}

impl Fact {
    /// Changes what `record` says of the recipient. Returns a message that is one too many: the record has another already.
    pub fn apply(&self, record: &mut Record) -> Option<MessageRef> {
        let has_messages = record.has_messages();
        let in_use = |message: &MessageRef, record: &Record| {
            record.deliveries.iter().any(|(key, other)| *key != self.key && tells(other, &message.channel))
        };
        let second = match &self.change {
            Change::Posted { message, .. } => in_use(message, record),
            _ => false,
        };
        let delivery = record.deliveries.entry(self.key.clone()).or_default();
        if self.under.is_some() && delivery.claim == self.under && !matches!(self.change, Change::Claimed(_)) {
            delivery.claim = None;
        }
        let mut stray = None;
        match &self.change {
            Change::Claimed(place) => {
                delivery.claim.clone_from(&self.under);
                delivery.place.merge(place);
                // From now on the recipients are this program's to choose.
                record.foreign &= has_messages;
            }
            Change::Released { suspect } => {
                delivery.suspect = [delivery.suspect, *suspect].into_iter().flatten().min();
                if *delivery == Delivery::default() {
                    record.deliveries.remove(&self.key);
                }
            }
            Change::Posted { message, shown, owner } => {
                delivery.place.add(message.channel.clone());
                match &delivery.message {
                    Some(known) if known == message => delivery.shown = delivery.shown.max_stage(*shown),
                    Some(_) => stray = Some(message.clone()),
                    None if second => stray = Some(message.clone()),
                    None => {
                        delivery.message = Some(message.clone());
                        delivery.shown = *shown;
                        delivery.owner.clone_from(owner);
                        delivery.anew = false;
                    }
                }
            }
            Change::Replied(count) => delivery.replies = delivery.replies.max(*count),
            // Two workers have updated it at once: which update came last only Slack knows.
            Change::Shown { before, now } if delivery.shown != *before && delivery.shown != *now => {
                delivery.shown = Shown::Unknown;
            }
            Change::Shown { now, .. } => delivery.shown = *now,
            Change::Reacted(name) => delivery.reaction = Reaction::Added((*name).to_owned()),
            Change::ReactionGivenUp => delivery.reaction = Reaction::GivenUp,
            Change::Lost => {
                delivery.lost = true;
                delivery.claim = None;
            }
            Change::AnotherApp => delivery.another_app = true,
            Change::TellAnew => {
                delivery.message = None;
                delivery.another_app = false;
                delivery.anew = true;
                delivery.reaction = Reaction::Missing;
            }
            Change::Swept => delivery.suspect = None,
        }
        stray
    }
}

/// Whether the recipient's message is in this conversation.
fn tells(delivery: &Delivery, conversation: &str) -> bool {
    delivery.message.as_ref().is_some_and(|message| message.channel == conversation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::state::Resolution;

    fn claim(n: u64) -> Claim {
        Claim { by: "me.1".to_owned(), at: 1, n }
    }

    fn fact(under: Option<Claim>, change: Change) -> Fact {
        Fact { key: RecipientKey::new("#a"), under, change }
    }

    fn claimed(n: u64) -> Fact {
        fact(Some(claim(n)), Change::Claimed(Place::default()))
    }

    fn released(n: u64, suspect: Option<i64>) -> Fact {
        fact(Some(claim(n)), Change::Released { suspect })
    }

    fn posted(n: u64, ts: &str) -> Fact {
        let message = MessageRef { channel: "C1".to_owned(), ts: ts.to_owned() };
        let change = Change::Posted { message, shown: Shown::Pending { reviews: 0 }, owner: "me.1".to_owned() };
        fact(Some(claim(n)), change)
    }

    fn delivery(record: &Record) -> Delivery {
        record.deliveries.get("#a").cloned().unwrap_or_default()
    }

    #[test]
    fn a_released_claim_leaves_no_trace() {
        let mut record = Record::default();
        claimed(1).apply(&mut record);
        released(1, None).apply(&mut record);
        assert_eq!(record, Record::default());
    }

    #[test]
    fn a_claim_is_cleared_only_by_what_happened_under_it() {
        let mut record = Record::default();
        claimed(2).apply(&mut record);
        released(1, None).apply(&mut record);
        assert_eq!(delivery(&record).claim, Some(claim(2)));
        posted(1, "1.5").apply(&mut record);
        assert_eq!(delivery(&record).claim, Some(claim(2)), "the later claim stands");
        posted(2, "1.5").apply(&mut record);
        assert_eq!(delivery(&record).claim, None);
    }

    #[test]
    fn a_second_message_of_one_recipient_is_one_too_many() {
        let mut record = Record::default();
        assert_eq!(posted(1, "1.5").apply(&mut record), None);
        let stray = posted(2, "2.5").apply(&mut record);
        assert_eq!(stray.map(|message| message.ts), Some("2.5".to_owned()));
        assert_eq!(delivery(&record).message.unwrap().ts, "1.5");
    }

    #[test]
    fn a_second_message_in_one_conversation_is_one_too_many_whatever_the_recipient_is_called() {
        let mut record = Record::default();
        posted(1, "1.5").apply(&mut record);
        let other = Fact { key: RecipientKey::new("C1"), ..posted(2, "2.5") };
        assert!(other.apply(&mut record).is_some());
        let kept = &record.deliveries["C1"];
        assert!(kept.message.is_none() && kept.place.has("C1"), "it is known from now on that both are one place");
    }

    #[test]
    fn facts_may_be_applied_again_to_a_newer_record() {
        let facts = [posted(1, "1.5"), fact(None, Change::Replied(2)), fact(None, Change::Swept)];
        let mut once = Record::default();
        for fact in &facts {
            fact.apply(&mut once);
        }
        let mut twice = once.clone();
        fact(None, Change::Replied(1)).apply(&mut twice);
        for fact in &facts {
            fact.apply(&mut twice);
        }
        assert_eq!(once, twice);
    }

    #[test]
    fn what_two_workers_updated_at_once_shows_something_unknown() {
        let (pending, denied) = (Shown::Pending { reviews: 0 }, Shown::Ended(Resolution::Denied));
        let shown = |before, now| fact(None, Change::Shown { before, now });
        let mut record = Record::default();
        posted(1, "1.5").apply(&mut record);
        shown(pending, Shown::Ended(Resolution::Expired)).apply(&mut record);
        shown(pending, denied).apply(&mut record);
        assert_eq!(delivery(&record).shown, Shown::Unknown);
        shown(Shown::Unknown, denied).apply(&mut record);
        shown(Shown::Unknown, denied).apply(&mut record);
        assert_eq!(delivery(&record).shown, denied);
    }

    #[test]
    fn claiming_what_another_program_left_unannounced_makes_it_ours() {
        let mut record = Record::default();
        record.foreign = true;
        claimed(1).apply(&mut record);
        assert!(!record.foreign);
    }

    #[test]
    fn the_earliest_doubtful_send_is_remembered() {
        let mut record = Record::default();
        released(1, Some(20)).apply(&mut record);
        released(2, Some(10)).apply(&mut record);
        released(3, None).apply(&mut record);
        assert_eq!(delivery(&record).suspect, Some(10));
    }
}
