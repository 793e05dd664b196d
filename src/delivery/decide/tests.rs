use super::*;
use crate::access_request::RequestState;
use crate::delivery::testing::{in_state, key, reviewed, wanted};
use crate::slack::MessageRef;

fn pending(reviews: usize) -> Shown {
    Shown::Pending { reviews }
}

fn posted(shown: Shown) -> Delivery {
    posted_in("C1", shown)
}

fn posted_in(channel: &str, shown: Shown) -> Delivery {
    let message = MessageRef { channel: channel.to_owned(), ts: "1.5".to_owned() };
    Delivery { message: Some(message), shown, ..Delivery::default() }
}

fn with(deliveries: &[(&str, Delivery)]) -> Record {
    let mut record = Record::default();
    record.deliveries.extend(deliveries.iter().map(|(name, delivery)| (key(name), delivery.clone())));
    record
}

fn claim(by: &str) -> Claim {
    Claim { by: by.to_owned(), at: 1, n: 1 }
}

fn claimed(by: &str) -> Delivery {
    Delivery { claim: Some(claim(by)), ..Delivery::default() }
}

fn gone() -> Observation {
    Observation::Gone(jiff::Timestamp::UNIX_EPOCH)
}

struct Given<'a> {
    observation: &'a Observation,
    record: &'a Record,
    wanted: &'a [&'a str],
    abandoned: bool,
    confirmed: bool,
    hopeless: bool,
    places: &'a [(&'a str, &'a str)],
}

impl<'a> Given<'a> {
    fn new(observation: &'a Observation, record: &'a Record, wanted: &'a [&'a str]) -> Self {
        Self { observation, record, wanted, abandoned: false, confirmed: false, hopeless: false, places: &[] }
    }

    fn decide(&self) -> Decision {
        let place = |recipient: &RecipientKey| {
            let known = self.places.iter().filter(|(name, _)| *name == recipient.as_str());
            known.map(|(_, id)| (*id).to_owned()).collect()
        };
        decide(&Situation {
            observation: self.observation,
            decided: None,
            is_confirmed: self.confirmed,
            record: self.record,
            wanted: &wanted(self.wanted),
            place: &place,
            me: &WorkerId::new("me", "2"),
            is_abandoned: &|_, _| self.abandoned,
            is_hopeless: &|_| self.hopeless,
            foreign_is_abandoned: self.abandoned,
        })
    }
}

fn decided(observation: &Observation, record: &Record, wanted: &[&str]) -> Decision {
    Given::new(observation, record, wanted).decide()
}

fn step(name: &str, part: Part, step: Step) -> Planned {
    Planned { key: key(name), part, step }
}

fn of_message(name: &str, of: Step) -> Planned {
    step(name, Part::Message, of)
}

#[test]
fn a_new_request_is_posted_to_every_wanted_recipient() {
    let decision = decided(&reviewed(0), &Record::default(), &["#a", "#b"]);
    assert_eq!(decision.steps, [of_message("#a", Step::Post), of_message("#b", Step::Post)]);
}

#[test]
fn a_recipient_that_was_told_is_left_alone() {
    assert!(decided(&reviewed(0), &with(&[("#a", posted(pending(0)))]), &["#a"]).is_settled());
}

#[test]
fn a_recipient_added_to_the_configuration_hears_of_pending_requests() {
    let decision = decided(&reviewed(0), &with(&[("#a", posted(pending(0)))]), &["#a", "#b"]);
    assert_eq!(decision.steps, [of_message("#b", Step::Post)]);
}

#[test]
fn a_request_that_ended_before_any_recipient_was_told_is_not_announced() {
    for state in [RequestState::Approved, RequestState::Denied, RequestState::Promoted] {
        assert!(decided(&in_state(state), &Record::default(), &["#a"]).is_settled());
    }
    assert!(decided(&gone(), &Record::default(), &["#a"]).is_settled());
}

#[test]
fn reviews_are_answered_one_by_one_before_a_pending_message_counts_them() {
    let mut delivery = posted(pending(0));
    let update = of_message("#a", Step::Update(pending(2)));
    let reply = |index| step("#a", Part::Replies, Step::Reply(ReplyKind::Review(index)));
    for replies in 0..2 {
        delivery.replies = replies;
        let (observed, record) = (reviewed(2), with(&[("#a", delivery.clone())]));
        let given = Given::new(&observed, &record, &["#a"]);
        assert_eq!(given.decide().steps, [reply(replies)]);
        let hopeless = Given { hopeless: true, ..given }.decide();
        assert_eq!(hopeless.steps, [reply(replies), update.clone()], "it does not wait for what Slack refuses");
    }
    delivery.replies = 2;
    assert_eq!(decided(&reviewed(2), &with(&[("#a", delivery)]), &["#a"]).steps, [update]);
}

#[test]
fn the_end_is_shown_first_and_then_the_reaction_is_added() {
    let record = |shown| with(&[("#a", posted(shown))]);
    for (state, resolution, reaction) in [
        (RequestState::Approved, Resolution::Approved, "white_check_mark"),
        (RequestState::Promoted, Resolution::Promoted, "white_check_mark"),
        (RequestState::Denied, Resolution::Denied, "x"),
    ] {
        let end = Shown::Ended(resolution);
        let observed = in_state(state);
        assert_eq!(decided(&observed, &record(pending(0)), &["#a"]).steps, [of_message("#a", Step::Update(end))]);
        assert_eq!(decided(&observed, &record(end), &["#a"]).steps, [of_message("#a", Step::React(reaction))]);
    }
    let expired = Shown::Ended(Resolution::Expired);
    assert_eq!(decided(&gone(), &record(pending(0)), &["#a"]).steps, [of_message("#a", Step::Update(expired))]);
    assert!(decided(&gone(), &record(expired), &["#a"]).steps.is_empty());
}

#[test]
fn a_claimed_reply_does_not_hold_up_the_end() {
    let delivery = Delivery { claim: Some(claim("other.1")), ..posted(pending(0)) };
    let steps = decided(&in_state(RequestState::Denied), &with(&[("#a", delivery)]), &["#a"]).steps;
    let end = of_message("#a", Step::Update(Shown::Ended(Resolution::Denied)));
    assert_eq!(steps, [step("#a", Part::Replies, Step::Await(claim("other.1"))), end]);
}

#[test]
fn a_lost_message_is_not_followed_any_further() {
    let lost = Delivery { lost: true, ..posted(pending(0)) };
    let decision = decided(&in_state(RequestState::Denied), &with(&[("#a", lost)]), &["#a"]);
    assert_eq!(decision, Decision { close: Some(Close::End(Resolution::Denied)), ..Decision::default() });
}

#[test]
fn the_resolution_is_stored_only_when_every_message_shows_it() {
    let denied = Shown::Ended(Resolution::Denied);
    let done = Delivery { reaction: Reaction::Added("x".to_owned()), ..posted(denied) };
    let record = with(&[("#a", done.clone())]);
    let observed = in_state(RequestState::Denied);
    assert_eq!(decided(&observed, &record, &["#a"]).close, Some(Close::End(Resolution::Denied)));
    let record = with(&[("#a", done), ("#b", posted_in("C2", pending(0)))]);
    assert_eq!(decided(&observed, &record, &["#a"]).close, None);
}

#[test]
fn the_deletion_of_a_request_that_has_ended_changes_nothing() {
    let mut record = with(&[("#a", posted(Shown::Ended(Resolution::Approved)))]);
    record.resolution = Some(Resolution::Approved);
    assert!(decided(&gone(), &record, &["#a"]).is_settled());
}

#[test]
fn a_message_that_does_not_show_the_end_yet_learns_it_from_the_others_once_the_request_is_gone() {
    let approved = Shown::Ended(Resolution::Approved);
    let record = with(&[("#a", posted(approved)), ("#b", posted_in("C2", pending(0)))]);
    let steps = decided(&gone(), &record, &[]).steps;
    assert!(steps.contains(&of_message("#b", Step::Update(approved))), "{steps:?}");
}

#[test]
fn a_message_never_goes_back_before_a_look_up_by_id_says_so() {
    for shown in [pending(2), Shown::Ended(Resolution::Denied)] {
        let record = with(&[("#a", posted(shown))]);
        let observed = reviewed(1);
        let decision = Given { hopeless: true, ..Given::new(&observed, &record, &["#a"]) }.decide();
        assert!(decision.must_confirm && decision.steps.iter().all(|planned| planned.part == Part::Replies));
        let confirmed = Given { confirmed: true, hopeless: true, ..Given::new(&observed, &record, &["#a"]) }.decide();
        assert!(confirmed.steps.contains(&of_message("#a", Step::Update(pending(1)))));
    }
}

#[test]
fn a_pending_request_clears_a_stored_end_once_that_is_confirmed() {
    let mut record = with(&[("#a", posted(Shown::Ended(Resolution::Expired)))]);
    record.resolution = Some(Resolution::Expired);
    let observed = reviewed(0);
    assert!(decided(&observed, &record, &["#a"]).must_confirm);
    let confirmed = Given { confirmed: true, ..Given::new(&observed, &record, &["#a"]) }.decide();
    assert_eq!(confirmed.close, Some(Close::Reopen));
    assert_eq!(confirmed.steps, [of_message("#a", Step::Update(pending(0)))]);
}

#[test]
fn a_claim_of_another_worker_is_waited_for_until_it_is_abandoned() {
    let record = with(&[("#a", claimed("other.1"))]);
    let observed = reviewed(0);
    assert_eq!(decided(&observed, &record, &["#a"]).steps, [of_message("#a", Step::Await(claim("other.1")))]);
    let abandoned = Given { abandoned: true, ..Given::new(&observed, &record, &["#a"]) }.decide();
    assert_eq!(abandoned.steps, [of_message("#a", Step::TakeOver(claim("other.1")))]);
}

#[test]
fn a_claim_of_an_earlier_process_at_the_same_place_is_taken_over_at_once() {
    let decision = decided(&reviewed(0), &with(&[("#a", claimed("me.1"))]), &["#a"]);
    assert_eq!(decision.steps, [of_message("#a", Step::TakeOver(claim("me.1")))]);
}

#[test]
fn a_claim_of_this_worker_has_an_unknown_outcome() {
    let decision = decided(&reviewed(0), &with(&[("#a", claimed("me.2"))]), &["#a"]);
    assert_eq!(decision.steps, [of_message("#a", Step::LookBack(claim("me.2")))]);
}

#[test]
fn a_message_that_may_have_been_posted_is_looked_for_even_after_the_request_ended() {
    let decision = decided(&in_state(RequestState::Denied), &with(&[("#a", claimed("me.1"))]), &["#a"]);
    assert_eq!(decision.steps, [of_message("#a", Step::TakeOver(claim("me.1")))]);
}

#[test]
fn one_recipients_claim_does_not_hold_up_another() {
    let decision = decided(&reviewed(0), &with(&[("#a", claimed("other.1"))]), &["#a", "#b"]);
    assert!(decision.steps.contains(&of_message("#b", Step::Post)));
}

#[test]
fn what_another_program_announced_is_updated_but_never_posted_again() {
    let mut record = with(&[("message C1/1.5", posted(pending(0)))]);
    record.foreign = true;
    assert!(decided(&reviewed(0), &record, &["#a"]).is_settled());
    let denied = decided(&in_state(RequestState::Denied), &record, &["#a"]);
    let end = Shown::Ended(Resolution::Denied);
    assert_eq!(denied.steps, [of_message("message C1/1.5", Step::Update(end))]);
}

#[test]
fn another_program_that_stored_a_request_without_a_message_is_waited_for() {
    let mut record = Record::default();
    record.foreign = true;
    let observed = reviewed(0);
    assert!(decided(&observed, &record, &["#a"]).awaits_foreign_program);
    let abandoned = Given { abandoned: true, ..Given::new(&observed, &record, &["#a"]) }.decide();
    assert_eq!(abandoned.steps, [of_message("#a", Step::Post)]);
}

#[test]
fn of_two_recipients_at_one_place_the_first_is_told() {
    let (observed, record) = (reviewed(0), Record::default());
    let given = Given { places: &[("#dba", "C1"), ("C1", "C1")], ..Given::new(&observed, &record, &["#dba", "C1"]) };
    assert_eq!(given.decide().steps, [of_message("#dba", Step::Post)]);
}

#[test]
fn a_place_that_was_told_under_another_name_is_not_told_again() {
    let told = [posted(pending(0)), claimed("other.1"), Delivery { lost: true, ..posted(pending(0)) }];
    for delivery in told {
        let place = Place::of("C1");
        let record = with(&[("C1", Delivery { place, ..delivery })]);
        let observed = reviewed(0);
        let given = Given { places: &[("#dba", "C1")], ..Given::new(&observed, &record, &["#dba"]) };
        assert!(given.decide().steps.iter().all(|planned| planned.step != Step::Post));
    }
}

#[test]
fn the_outcome_is_told_in_the_thread_where_the_message_belongs_to_another_app() {
    let delivery = Delivery { another_app: true, ..posted(pending(0)) };
    let steps = decided(&in_state(RequestState::Denied), &with(&[("#a", delivery)]), &["#a"]).steps;
    assert_eq!(steps, [step("#a", Part::Replies, Step::Reply(ReplyKind::Outcome(Resolution::Denied)))]);
}

#[test]
fn the_outcome_is_told_with_a_new_message_where_the_thread_takes_no_reply() {
    let delivery = Delivery { anew: true, ..Delivery::default() };
    let steps = decided(&in_state(RequestState::Denied), &with(&[("#a", delivery)]), &["#a"]).steps;
    assert_eq!(steps, [of_message("#a", Step::Post)]);
}

#[test]
fn a_doubtful_send_is_followed_by_a_look_for_a_second_message_at_the_end() {
    let expired = Shown::Ended(Resolution::Expired);
    let doubtful = |shown| with(&[("#a", Delivery { suspect: Some(7), ..posted(shown) })]);
    assert!(decided(&reviewed(0), &doubtful(pending(0)), &["#a"]).is_settled());
    assert_eq!(decided(&gone(), &doubtful(expired), &["#a"]).steps, [of_message("#a", Step::Sweep(7))]);
}

#[test]
fn a_listing_is_worth_a_machine_only_if_there_is_something_to_do() {
    let me = WorkerId::new("me", "2");
    let needs = |observation: &Observation, record: &Record, recipients: &[&str]| {
        needs_work(observation, &record.update().0, &wanted(recipients), &me, &|_| Place::default())
    };
    assert!(needs(&reviewed(0), &Record::default(), &["#a"]));
    let unrouted = needs_work(&reviewed(0), &PluginData::new(), &[], &me, &|_| Place::default());
    assert!(unrouted, "it reaches no recipient, which is worth a word");
    assert!(!needs(&reviewed(0), &with(&[("#a", posted(pending(0)))]), &["#a"]));
    assert!(!needs(&in_state(RequestState::Approved), &Record::default(), &["#a"]));
}
