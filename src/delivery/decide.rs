//! What is to be done about one request, from what is known about it: a pure function.
//!
//! It looks at levels, not at events: whatever was missed, the same situation leads to the same steps.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::access_request::{AccessRequest, RequestState};
use crate::delivery::record::{Claim, Delivery, Record};

/// A request that vanishes this much before its time was deleted; otherwise it has expired. Teleport's sweep and the two
/// clocks make the difference blurry.
const EXPIRY_SLACK: SignedDuration = SignedDuration::from_secs(60);

/// Stands for the claim of a program that stored the request but no message, and tells nothing else.
pub const FOREIGN: &str = "another program";

/// The request as it is now.
#[expect(clippy::large_enum_variant, reason = "nearly every observation is of a request that is there")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// Teleport has it.
    Present(AccessRequest),
    /// It expired or was deleted; seen at this time.
    Gone(Timestamp),
}

/// All that a decision depends on.
#[derive(Clone, Copy)]
pub struct Situation<'a> {
    /// The request.
    pub observed: &'a Observation,
    /// What is stored about it.
    pub record: &'a Record,
    /// Recipients that the configuration names for it, by key.
    pub wanted: &'a [String],
    /// This worker.
    pub instance: &'a str,
    /// Recipients (or [`FOREIGN`]) whose claim by somebody else has outlived its grace time.
    pub abandoned: &'a BTreeSet<String>,
}

/// One step towards the wanted state, for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Post the request's message.
    Post,
    /// Answer the review of this index in the message's thread.
    Reply(usize),
    /// A claim without a known outcome: look for what it may have sent.
    LookBack(Claim),
    /// Bring message and reaction up to date.
    Refresh {
        /// What the message shall show, if it shows something else.
        show: Option<String>,
        /// The reaction that is missing.
        reaction: Option<&'static str>,
    },
    /// Somebody else is at it: see whether they get done.
    AwaitClaim(Claim),
}

/// The decision about a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// The next step of each recipient that needs one.
    pub steps: Vec<(String, Step)>,
    /// Every message shows how the request ended: store this resolution.
    pub close: Option<&'static str>,
}

impl Decision {
    /// Nothing is left to do or to wait for.
    pub fn is_settled(&self) -> bool {
        self.steps.is_empty() && self.close.is_none()
    }
}

/// How the request stands, in the words of the stored record.
pub fn resolution(observed: &Observation) -> Option<&'static str> {
    match observed {
        Observation::Gone(_) => Some("EXPIRED"),
        Observation::Present(request) => match request.state {
            RequestState::Approved => Some("APPROVED"),
            RequestState::Denied => Some("DENIED"),
            RequestState::Promoted => Some("PROMOTED"),
            RequestState::Pending | RequestState::Unknown => None,
        },
    }
}

/// Whether a vanished request was deleted before its time.
pub fn was_deleted(seen: Timestamp, expires: Option<Timestamp>) -> bool {
    expires.is_some_and(|expires| seen.duration_until(expires) > EXPIRY_SLACK)
}

/// A short name of what a message shows: it is rendered anew when this changes.
pub fn shown(observed: &Observation) -> String {
    match (resolution(observed), observed) {
        (Some(resolution), _) => resolution.to_owned(),
        (None, Observation::Present(request)) => format!("PENDING:{}", request.reviews.len()),
        (None, Observation::Gone(_)) => String::new(),
    }
}

fn reaction(observed: &Observation) -> Option<&'static str> {
    match resolution(observed)? {
        "APPROVED" | "PROMOTED" => Some("white_check_mark"),
        "DENIED" => Some("x"),
        _ => None,
    }
}

/// Decides the next step for every recipient of a request.
pub fn decide(situation: Situation<'_>) -> Decision {
    let Situation { observed, record, wanted, abandoned, .. } = situation;
    // Once a request was seen to end, its later deletion is no news.
    if !record.resolution.is_empty() && matches!(observed, Observation::Gone(_)) {
        return Decision::default();
    }
    if waits_for_foreign_program(&situation) {
        let claim = Claim { by: FOREIGN.to_owned(), at: 0, n: 0 };
        return Decision { steps: vec![(FOREIGN.to_owned(), Step::AwaitClaim(claim))], close: None };
    }
    let announces = announces(observed, record, abandoned);
    let mut recipients: Vec<&String> = record.deliveries.keys().collect();
    recipients.extend(wanted.iter().filter(|key| announces && !record.deliveries.contains_key(*key)));
    let nothing_yet = Delivery::default();
    let steps: Vec<_> = recipients
        .into_iter()
        .filter_map(|key| {
            let delivery = record.deliveries.get(key).unwrap_or(&nothing_yet);
            let may_post = announces && wanted.contains(key);
            step(&situation, key, delivery, may_post).map(|step| (key.clone(), step))
        })
        .collect();
    let ended = resolution(observed).filter(|_| steps.is_empty() && record.has_messages());
    Decision { steps, close: ended.filter(|resolution| record.resolution != *resolution) }
}

/// Whether recipients without a message get one. Requests that have ended are not announced any more; requests that
/// another program announced have their recipients already.
fn announces(observed: &Observation, record: &Record, abandoned: &BTreeSet<String>) -> bool {
    let pending = matches!(observed, Observation::Present(request) if request.state == RequestState::Pending);
    pending && (!record.foreign || (!record.has_messages() && abandoned.contains(FOREIGN)))
}

/// Another program has stored the request but no message: it is posting right now, or it died before it could, or all
/// its posts failed. Nothing tells which but time.
fn waits_for_foreign_program(situation: &Situation<'_>) -> bool {
    let Situation { observed, record, abandoned, .. } = situation;
    let pending = resolution(observed).is_none();
    let untold = record.foreign && record.deliveries.is_empty() && record.resolution.is_empty();
    pending && untold && !abandoned.contains(FOREIGN)
}

fn step(situation: &Situation<'_>, key: &String, delivery: &Delivery, may_post: bool) -> Option<Step> {
    if let Some(claim) = &delivery.claim {
        let ours = claim.by == situation.instance;
        return Some(if ours || situation.abandoned.contains(key) {
            Step::LookBack(claim.clone())
        } else {
            Step::AwaitClaim(claim.clone())
        });
    }
    if delivery.lost {
        return None;
    }
    if delivery.message.is_none() {
        return may_post.then_some(Step::Post);
    }
    if let Observation::Present(request) = situation.observed
        && delivery.replies < request.reviews.len()
    {
        return Some(Step::Reply(delivery.replies));
    }
    let shown = shown(situation.observed);
    let show = (delivery.shown != shown).then_some(shown);
    let reaction = reaction(situation.observed).filter(|_| delivery.reaction.is_empty());
    (show.is_some() || reaction.is_some()).then_some(Step::Refresh { show, reaction })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use crate::access_request::{PluginData, RequestId, Review};
    use crate::delivery::decide::*;
    use crate::slack::MessageRef;

    pub(crate) fn request() -> AccessRequest {
        AccessRequest {
            id: RequestId("id".to_owned()),
            user: "alice".to_owned(),
            roles: vec!["dba".to_owned()],
            resources: Vec::new(),
            state: RequestState::Pending,
            created: None,
            access_expires: None,
            request_expires: None,
            max_duration: None,
            reason: String::new(),
            resolve_reason: String::new(),
            reviews: Vec::new(),
            suggested_reviewers: Vec::new(),
            system_annotations: BTreeMap::new(),
            long_term: false,
            thresholds: None,
        }
    }

    fn in_state(state: RequestState) -> Observation {
        Observation::Present(AccessRequest { state, ..request() })
    }

    fn reviewed(count: usize) -> Observation {
        let review =
            Review { author: "bob".to_owned(), proposed: RequestState::Approved, reason: String::new(), created: None };
        Observation::Present(AccessRequest { reviews: vec![review; count], ..request() })
    }

    fn posted(shown: &str) -> Delivery {
        let message = MessageRef { channel: "C1".to_owned(), ts: "1.5".to_owned() };
        Delivery { message: Some(message), shown: shown.to_owned(), ..Delivery::default() }
    }

    fn with(key: &str, delivery: Delivery) -> Record {
        let mut record = Record::default();
        record.deliveries.insert(key.to_owned(), delivery);
        record
    }

    fn claimed(by: &str) -> Delivery {
        Delivery { claim: Some(claim(by)), ..Delivery::default() }
    }

    fn claim(by: &str) -> Claim {
        Claim { by: by.to_owned(), at: 1, n: 1 }
    }

    fn decided(observed: &Observation, record: &Record, wanted: &[&str], abandoned: &[&str]) -> Decision {
        let wanted: Vec<String> = wanted.iter().map(|key| (*key).to_owned()).collect();
        let abandoned = abandoned.iter().map(|key| (*key).to_owned()).collect();
        decide(Situation { observed, record, wanted: &wanted, instance: "me", abandoned: &abandoned })
    }

    fn one(key: &str, step: Step) -> Decision {
        Decision { steps: vec![(key.to_owned(), step)], close: None }
    }

    fn refresh(show: Option<&str>, reaction: Option<&'static str>) -> Step {
        Step::Refresh { show: show.map(str::to_owned), reaction }
    }

    #[test]
    fn a_new_request_is_posted_to_everybody_wanted() {
        let decision = decided(&reviewed(0), &Record::default(), &["a", "b"], &[]);
        assert_eq!(decision.steps, [("a".to_owned(), Step::Post), ("b".to_owned(), Step::Post)]);
    }

    #[test]
    fn a_recipient_that_was_told_is_left_alone() {
        assert!(decided(&reviewed(0), &with("a", posted("PENDING:0")), &["a"], &[]).is_settled());
    }

    #[test]
    fn a_recipient_added_to_the_configuration_hears_of_open_requests() {
        let decision = decided(&reviewed(0), &with("a", posted("PENDING:0")), &["a", "b"], &[]);
        assert_eq!(decision, one("b", Step::Post));
    }

    #[test]
    fn a_request_that_ended_before_anybody_was_told_is_not_announced() {
        for state in [RequestState::Approved, RequestState::Denied, RequestState::Promoted] {
            assert!(decided(&in_state(state), &Record::default(), &["a"], &[]).is_settled());
        }
        assert!(decided(&Observation::Gone(Timestamp::UNIX_EPOCH), &Record::default(), &["a"], &[]).is_settled());
    }

    #[test]
    fn reviews_are_answered_one_by_one_before_the_message_changes() {
        let mut delivery = posted("PENDING:0");
        assert_eq!(decided(&reviewed(2), &with("a", delivery.clone()), &["a"], &[]), one("a", Step::Reply(0)));
        delivery.replies = 1;
        assert_eq!(decided(&reviewed(2), &with("a", delivery.clone()), &["a"], &[]), one("a", Step::Reply(1)));
        delivery.replies = 2;
        let update = refresh(Some("PENDING:2"), None);
        assert_eq!(decided(&reviewed(2), &with("a", delivery), &["a"], &[]), one("a", update));
    }

    #[test]
    fn a_decision_updates_the_message_and_reacts_to_it() {
        let record = with("a", posted("PENDING:0"));
        let approved = refresh(Some("APPROVED"), Some("white_check_mark"));
        assert_eq!(decided(&in_state(RequestState::Approved), &record, &["a"], &[]), one("a", approved));
        let denied = refresh(Some("DENIED"), Some("x"));
        assert_eq!(decided(&in_state(RequestState::Denied), &record, &["a"], &[]), one("a", denied));
        let expired = refresh(Some("EXPIRED"), None);
        assert_eq!(decided(&Observation::Gone(Timestamp::UNIX_EPOCH), &record, &["a"], &[]), one("a", expired));
    }

    #[test]
    fn a_reaction_that_failed_is_tried_again_without_touching_the_message() {
        let record = with("a", posted("DENIED"));
        let decision = decided(&in_state(RequestState::Denied), &record, &["a"], &[]);
        assert_eq!(decision, one("a", refresh(None, Some("x"))));
    }

    #[test]
    fn a_message_that_was_deleted_in_slack_is_not_followed_any_further() {
        let lost = Delivery { lost: true, ..posted("PENDING:0") };
        let decision = decided(&in_state(RequestState::Denied), &with("a", lost), &["a"], &[]);
        assert_eq!(decision, Decision { steps: Vec::new(), close: Some("DENIED") });
    }

    #[test]
    fn the_resolution_is_stored_only_when_every_message_shows_it() {
        let done = Delivery { reaction: "x".to_owned(), ..posted("DENIED") };
        let mut record = with("a", done);
        assert_eq!(decided(&in_state(RequestState::Denied), &record, &["a"], &[]).close, Some("DENIED"));
        record.deliveries.insert("b".to_owned(), posted("PENDING:0"));
        assert_eq!(decided(&in_state(RequestState::Denied), &record, &["a"], &[]).close, None);
    }

    #[test]
    fn the_deletion_of_a_request_that_has_ended_changes_nothing() {
        let mut record = with("a", posted("APPROVED"));
        record.resolution = "APPROVED".to_owned();
        assert!(decided(&Observation::Gone(Timestamp::UNIX_EPOCH), &record, &["a"], &[]).is_settled());
    }

    #[test]
    fn a_claim_of_another_worker_is_waited_for_until_it_is_abandoned() {
        let record = with("a", claimed("other"));
        assert_eq!(decided(&reviewed(0), &record, &["a"], &[]), one("a", Step::AwaitClaim(claim("other"))));
        assert_eq!(decided(&reviewed(0), &record, &["a"], &["a"]), one("a", Step::LookBack(claim("other"))));
    }

    #[test]
    fn a_claim_of_our_own_has_an_unknown_outcome() {
        assert_eq!(
            decided(&reviewed(0), &with("a", claimed("me")), &["a"], &[]),
            one("a", Step::LookBack(claim("me")))
        );
    }

    #[test]
    fn a_message_that_may_have_been_posted_is_looked_for_even_after_the_request_ended() {
        let decision = decided(&in_state(RequestState::Denied), &with("a", claimed("other")), &["a"], &["a"]);
        assert_eq!(decision, one("a", Step::LookBack(claim("other"))));
    }

    #[test]
    fn one_recipients_claim_does_not_hold_up_another() {
        let decision = decided(&reviewed(0), &with("a", claimed("other")), &["a", "b"], &[]);
        assert_eq!(decision.steps.last(), Some(&("b".to_owned(), Step::Post)));
    }

    #[test]
    fn what_another_program_announced_is_updated_but_never_posted_again() {
        let mut record = with("message C1/1.5", posted("PENDING:0"));
        record.foreign = true;
        assert!(decided(&reviewed(0), &record, &["a"], &[]).is_settled());
        assert_eq!(decided(&reviewed(1), &record, &["a"], &[]), one("message C1/1.5", Step::Reply(0)));
    }

    #[test]
    fn what_another_program_stored_but_did_not_announce_is_announced_after_the_grace_time() {
        let stored = PluginData::from([("user".to_owned(), "alice".to_owned())]);
        let record = Record::decode(stored);
        let decision = decided(&reviewed(0), &record, &["a"], &[]);
        assert!(matches!(decision.steps.as_slice(), [(key, Step::AwaitClaim(_))] if key == FOREIGN));
        assert_eq!(decided(&reviewed(0), &record, &["a"], &[FOREIGN]), one("a", Step::Post));
    }

    #[test]
    fn a_request_that_vanishes_before_its_time_was_deleted() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(was_deleted(at(0), Some(at(3600))));
        assert!(!was_deleted(at(3600), Some(at(3600))));
        assert!(!was_deleted(at(3590), Some(at(3600))));
        assert!(!was_deleted(at(0), None));
    }

    #[test]
    fn deciding_twice_over_the_same_situation_leads_to_the_same_steps() {
        let record = with("a", posted("PENDING:0"));
        let observed = in_state(RequestState::Approved);
        assert_eq!(decided(&observed, &record, &["a"], &[]), decided(&observed, &record, &["a"], &[]));
    }
}
