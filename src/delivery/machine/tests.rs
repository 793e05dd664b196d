//! A machine with a store and a Slack that tests hold in their hands. The schedules that once broke the promise are played
//! here one by one; thousands of others in `tests/schedules`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::*;
use crate::access_request::{PluginData, RequestState};
use crate::delivery::effect::{Sought, StoreCall, Target};
use crate::delivery::input::{Answer, Failure, NotSearched, Resolved, StoreError};
use crate::delivery::state::Resolution;
use crate::delivery::testing::{in_state, key, request, reviewed, wanted};
use crate::slack::error::Error;
use crate::slack::method;

/// One machine, the record it stores, and the effects that wait for an answer.
struct Rig {
    machine: Machine,
    start: Instant,
    now: Duration,
    stored: PluginData,
    open: VecDeque<Effect>,
    notes: Vec<Note>,
    output: Output,
}

const SECOND: Duration = Duration::from_secs(1);

impl Rig {
    fn new(host: &str) -> Self {
        Self::with(host, PluginData::new())
    }

    fn with(host: &str, stored: PluginData) -> Self {
        Self {
            machine: Machine::new(request().id, WorkerId::new(host, "1"), 7, None),
            start: Instant::now(),
            now: Duration::ZERO,
            stored,
            open: VecDeque::new(),
            notes: Vec::new(),
            output: Output::default(),
        }
    }

    fn clock(&self) -> Now {
        let wall = Timestamp::from_second(1_700_000_000).unwrap();
        Now { monotonic: self.start + self.now, wall: wall.checked_add(self.now).unwrap() }
    }

    fn tell(&mut self, input: Input) {
        self.tell_all(vec![input]);
    }

    fn tell_all(&mut self, inputs: Vec<Input>) {
        let now = self.clock();
        let mut output = self.machine.handle_all(inputs, now);
        for effect in output.effects.drain(..) {
            match effect {
                Effect::Report(note) => self.notes.push(note),
                Effect::Release(slot) => self.open.retain(|open| open.call() != Some(slot)),
                effect => self.open.push_back(effect),
            }
        }
        self.output = output;
        self.serve();
    }

    /// Answers what needs no thought: reads and writes of the record, slots, places.
    fn serve(&mut self) {
        let is_plain = |effect: &Effect| {
            matches!(effect, Effect::Read(_) | Effect::Write { .. } | Effect::Acquire { .. } | Effect::Resolve { .. })
        };
        let Some(index) = self.open.iter().position(is_plain) else { return };
        let effect = self.open.remove(index).unwrap();
        let call = effect.call().unwrap();
        let answer = match effect {
            Effect::Read(_) => Answer::Record(Ok(self.stored.clone())),
            Effect::Write { set, expect, .. } => Answer::Stored(self.write(set, &expect)),
            Effect::Acquire { .. } => Answer::Acquired,
            _ => Answer::Resolved(Resolved::Place(Place::of("U024BE91L"))),
        };
        self.tell(Input::Answer(call, answer));
    }

    fn write(&mut self, set: PluginData, expect: &PluginData) -> Result<(), StoreError> {
        let holds = expect.iter().all(|(name, value)| self.stored.get(name).map_or("", String::as_str) == value);
        if !holds {
            return Err(StoreError::Conflict);
        }
        self.stored.extend(set);
        self.stored.retain(|_, value| !value.is_empty());
        Ok(())
    }

    fn record(&self) -> Record {
        Record::decode(self.stored.clone())
    }

    fn delivery(&self, name: &str) -> Delivery {
        self.record().deliveries.get(name).cloned().unwrap_or_default()
    }

    fn seen(&mut self, observation: Observation, source: Source, known: Known, recipients: &[&str]) {
        self.tell_all(vec![Input::Observed { observation, source, known }, Input::Routed(wanted(recipients))]);
    }

    /// An event about a request that is stored already.
    fn event(&mut self, observation: Observation, recipients: &[&str]) {
        self.seen(observation, Source::Event, Known::Nothing, recipients);
    }

    /// The first event of a new request.
    fn new_request(&mut self, recipients: &[&str]) {
        self.seen(reviewed(0), Source::Event, Known::New, recipients);
    }

    /// Waits until the machine wants to be woken, and wakes it. Panics where it does not.
    fn wake(&mut self) -> Duration {
        let (at, _) = self.output.wake.expect("the machine wants to be woken");
        let waited = at.saturating_duration_since(self.start + self.now);
        self.now += waited;
        self.tell(Input::Tick);
        waited
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.tell(Input::Tick);
    }

    /// Takes the open effect that `pick` chooses.
    fn take<T>(&mut self, mut pick: impl FnMut(&Effect) -> Option<T>) -> Option<(CallId, T)> {
        let index = self.open.iter().position(|effect| pick(effect).is_some())?;
        let effect = self.open.remove(index)?;
        Some((effect.call()?, pick(&effect)?))
    }

    fn post(&mut self) -> Option<CallId> {
        self.take(|effect| matches!(effect, Effect::Post { .. }).then_some(())).map(|(call, ())| call)
    }

    fn posted(&mut self, channel: &str, ts: &str) {
        let call = self.post().expect("a post");
        self.tell(Input::Answer(call, Answer::Posted(Ok(message(channel, ts)))));
    }

    fn post_fails(&mut self, code: &str) {
        let call = self.post().expect("a post");
        self.tell(Input::Answer(call, Answer::Posted(Err(refused(method::POST_MESSAGE, code)))));
    }

    fn search(&mut self) -> Option<CallId> {
        self.take(|effect| matches!(effect, Effect::Search { .. }).then_some(())).map(|(call, ())| call)
    }

    fn found(&mut self, messages: &[MessageRef]) {
        let call = self.search().expect("a search");
        self.tell(Input::Answer(call, Answer::Found(Ok(messages.to_vec()))));
    }

    fn updates(&mut self) -> Option<(CallId, Shown)> {
        self.take(|effect| match effect {
            Effect::Update { shown, .. } => Some(*shown),
            _ => None,
        })
    }

    fn updated(&mut self) -> Shown {
        let (call, shown) = self.updates().expect("an update");
        self.tell(Input::Answer(call, Answer::Done(Ok(()))));
        shown
    }

    fn update_fails(&mut self, code: &str) {
        let (call, _) = self.updates().expect("an update");
        self.tell(Input::Answer(call, Answer::Done(Err(refused(method::UPDATE, code)))));
    }

    fn reacted(&mut self) -> &'static str {
        let pick = |effect: &Effect| match effect {
            Effect::React { name, .. } => Some(*name),
            _ => None,
        };
        let (call, name) = self.take(pick).expect("a reaction");
        self.tell(Input::Answer(call, Answer::Done(Ok(()))));
        name
    }

    fn reply(&mut self) -> Option<(CallId, ReplyKind)> {
        self.take(|effect| match effect {
            Effect::Reply { what, .. } => Some(*what),
            _ => None,
        })
    }

    fn look_up(&mut self) -> Option<CallId> {
        self.take(|effect| matches!(effect, Effect::LookUp(_)).then_some(())).map(|(call, ())| call)
    }

    fn looked_up(&mut self, observation: Observation) {
        let call = self.look_up().expect("a look-up");
        self.tell(Input::Answer(call, Answer::Request(Ok(observation))));
    }

    fn has_note(&self, is: impl Fn(&Note) -> bool) -> bool {
        self.notes.iter().any(is)
    }
}

fn message(channel: &str, ts: &str) -> MessageRef {
    MessageRef { channel: channel.to_owned(), ts: ts.to_owned() }
}

fn refused(method: &'static str, code: &str) -> Failure {
    Failure::Refused(Error::new(method, code, Some("#a")))
}

fn approved() -> Observation {
    in_state(RequestState::Approved)
}

fn gone() -> Observation {
    Observation::Gone(Timestamp::UNIX_EPOCH)
}

/// What is stored after a request was announced in `#a` by `host`.
fn announced_by(host: &str) -> PluginData {
    let mut rig = Rig::new(host);
    rig.new_request(&["#a"]);
    rig.posted("C1", "1.5");
    rig.stored
}

#[test]
fn a_notification_takes_two_writes_and_one_post() {
    let mut rig = Rig::new("me");
    rig.new_request(&["#a"]);
    assert!(rig.delivery("#a").claim.is_some(), "it is claimed before it is sent");
    rig.posted("C1", "1.5");
    assert_eq!(rig.delivery("#a").message, Some(message("C1", "1.5")));
    assert!(rig.output.is_over && rig.open.is_empty());
    assert_eq!(rig.machine.next_call, 4, "a slot, a write, a post, a write");
}

#[test]
fn the_end_is_one_update_one_reaction_and_one_write() {
    let mut rig = Rig::with("me", announced_by("me"));
    rig.event(approved(), &["#a"]);
    assert_eq!(rig.updated(), Shown::Ended(Resolution::Approved));
    assert_eq!(rig.reacted(), "white_check_mark");
    assert_eq!(rig.record().resolution, Some(Resolution::Approved));
    assert!(rig.output.is_over);
    assert_eq!(rig.machine.next_call, 4, "a read, an update, a reaction, and one write of all that");
}

#[test]
fn nothing_is_sent_before_its_claim_is_stored() {
    let mut rig = Rig::new("me");
    let now = rig.clock();
    let inputs = [
        Input::Observed { observation: reviewed(0), source: Source::Event, known: Known::New },
        Input::Routed(wanted(&["#a"])),
    ];
    let slot = rig.machine.handle_all(inputs, now).effects;
    let [Effect::Acquire { call, to: Target::Recipient(..) }] = slot.as_slice() else { panic!("{slot:?}") };
    let written = rig.machine.handle(Input::Answer(*call, Answer::Acquired), now).effects;
    let [Effect::Write { call, .. }] = written.as_slice() else { panic!("{written:?}") };
    let sent = rig.machine.handle(Input::Answer(*call, Answer::Stored(Ok(()))), now).effects;
    assert!(matches!(sent.as_slice(), [Effect::Post { .. }]), "{sent:?}");
}

/// Takes the machine of a new request to the write of its claim; the call is left open.
fn claiming(rig: &mut Rig) -> CallId {
    let now = rig.clock();
    let inputs = [
        Input::Observed { observation: reviewed(0), source: Source::Event, known: Known::New },
        Input::Routed(wanted(&["#a"])),
    ];
    let slot = rig.machine.handle_all(inputs, now).effects;
    let slot = slot.iter().find_map(Effect::call).unwrap();
    let written = rig.machine.handle(Input::Answer(slot, Answer::Acquired), now).effects;
    written.iter().find_map(Effect::call).unwrap()
}

#[test]
fn a_claim_that_took_too_long_to_store_is_given_up() {
    for (after, is_sent) in [(7_999, true), (8_000, false)] {
        let mut rig = Rig::new("me");
        let write = claiming(&mut rig);
        rig.now += Duration::from_millis(after);
        let now = rig.clock();
        let effects = rig.machine.handle(Input::Answer(write, Answer::Stored(Ok(()))), now).effects;
        assert_eq!(effects.iter().any(|effect| matches!(effect, Effect::Post { .. })), is_sent, "{after} ms");
    }
}

#[test]
fn a_write_with_an_unknown_outcome_leads_to_no_post() {
    let mut rig = Rig::new("me");
    let write = claiming(&mut rig);
    rig.tell(Input::Answer(write, Answer::Stored(Err(StoreError::Unknown))));
    assert!(rig.open.is_empty() && rig.has_note(|note| matches!(note, Note::StoreFailing { .. })));
    rig.wake();
    rig.posted("C1", "1.5");
    assert_eq!(rig.delivery("#a").message, Some(message("C1", "1.5")));
}

#[test]
fn a_lost_race_leads_to_a_new_decision() {
    let mut rig = Rig::new("me");
    let write = claiming(&mut rig);
    rig.stored = announced_by("other");
    rig.tell(Input::Answer(write, Answer::Stored(Err(StoreError::Conflict))));
    assert!(rig.post().is_none() && rig.output.is_over, "the other worker has announced it");
}

#[test]
fn a_claim_whose_time_was_that_of_another_claim_is_respected() {
    // Row 6: another worker claims again and again while Slack is away; this one saw the first claim long ago.
    let claimed = |n| {
        let mut record = Record::default();
        let claim = Claim { by: "other.1".to_owned(), at: 1_700_000_000, n };
        record.deliveries.insert(key("#a"), Delivery { claim: Some(claim), ..Delivery::default() });
        let (set, _) = record.update();
        set
    };
    let mut rig = Rig::with("me", claimed(1));
    rig.event(reviewed(0), &["#a"]);
    rig.stored = claimed(7);
    rig.stored = claimed(1);
    let wait = |rig: &mut Rig| (0..3).map(|_| rig.wake()).sum::<Duration>();
    assert_eq!(wait(&mut rig), 10 * SECOND);
    rig.stored = claimed(7);
    assert_eq!(rig.wake(), 10 * SECOND);
    assert!(rig.open.is_empty(), "the seventh claim is seconds old");
    assert_eq!(rig.delivery("#a").claim.unwrap().n, 7);
    assert_eq!(wait(&mut rig) + rig.wake(), 20 * SECOND);
    assert!(rig.delivery("#a").claim.unwrap().by.starts_with("me."), "now its own grace time is over");
    assert!(rig.search().is_some(), "what its worker may have sent is looked for first");
}

#[test]
fn a_claim_of_an_earlier_process_in_the_same_pod_needs_no_grace_time() {
    let mut before = Rig::new("pod");
    before.new_request(&["#a"]);
    let mut rig = Rig::with("pod", before.stored);
    rig.machine.me = WorkerId::new("pod", "2");
    rig.event(reviewed(0), &["#a"]);
    assert!(rig.delivery("#a").claim.unwrap().by == "pod.2", "it is taken over at once");
    assert_eq!(rig.wake(), 2 * SECOND);
    rig.found(&[]);
    assert_eq!(rig.wake(), 4 * SECOND);
    rig.found(&[]);
    rig.posted("C1", "1.5");
    assert!(rig.delivery("#a").suspect.is_some(), "a second message is looked for at the end");
}

#[test]
fn a_post_whose_answer_is_late_is_looked_for_three_times_before_it_is_sent_again() {
    // Row 7.
    let mut rig = Rig::new("me");
    rig.new_request(&["#a"]);
    rig.post_fails("timeout");
    let looks: Vec<Duration> = (0..3)
        .map(|_| {
            let mut waited = Duration::ZERO;
            while rig.search().is_none() {
                waited += rig.wake();
            }
            let call = CallId(rig.machine.next_call - 1);
            rig.tell(Input::Answer(call, Answer::Found(Ok(Vec::new()))));
            waited
        })
        .collect();
    assert_eq!(looks, [4 * SECOND, 11 * SECOND, 15 * SECOND]);
    assert!(rig.has_note(|note| matches!(note, Note::SentAgain { searched: true, .. })));
    while rig.open.is_empty() {
        rig.wake();
    }
    rig.posted("C1", "2.5");
}

#[test]
fn a_post_that_slack_carried_out_late_is_found_and_not_sent_again() {
    let mut rig = Rig::new("me");
    rig.new_request(&["#a"]);
    rig.post_fails("timeout");
    while rig.search().is_none() {
        rig.wake();
    }
    let call = CallId(rig.machine.next_call - 1);
    rig.tell(Input::Answer(call, Answer::Found(Ok(vec![message("C1", "1.5")]))));
    assert_eq!(rig.delivery("#a").message, Some(message("C1", "1.5")));
    assert!(rig.post().is_none());
    assert_eq!(rig.updated(), Shown::Pending { reviews: 0 }, "what a found message shows is not known");
}

#[test]
fn a_second_message_is_looked_for_and_removed_at_the_end() {
    let mut stored = Rig::with("me", announced_by("me"));
    let mut record = stored.record();
    record.deliveries.get_mut("#a").unwrap().suspect = Some(1_700_000_000 - 120);
    stored.stored.extend(record.update().0);
    let mut rig = Rig::with("me", stored.stored);
    rig.event(approved(), &["#a"]);
    rig.updated();
    rig.reacted();
    assert_eq!(rig.wake(), 65 * SECOND, "until nothing can be carried out late any more");
    rig.found(&[message("C1", "1.5"), message("C1", "9.5")]);
    let (call, removed) = rig
        .take(|effect| match effect {
            Effect::Remove { message, .. } => Some(message.clone()),
            _ => None,
        })
        .expect("a removal");
    assert_eq!(removed, message("C1", "9.5"));
    rig.tell(Input::Answer(call, Answer::Done(Ok(()))));
    assert!(rig.output.is_over && rig.delivery("#a").suspect.is_none());
}

#[test]
fn a_history_that_cannot_be_read_is_said_when_the_message_is_sent_again() {
    let mut rig = Rig::new("me");
    rig.new_request(&["#a"]);
    rig.post_fails("timeout");
    while rig.search().is_none() {
        rig.wake();
    }
    let call = CallId(rig.machine.next_call - 1);
    let failure = refused(method::HISTORY, "missing_scope");
    rig.tell(Input::Answer(call, Answer::Found(Err(NotSearched { failure, alone: true }))));
    assert!(rig.has_note(|note| matches!(note, Note::SentAgain { searched: false, .. })));
}

#[test]
fn what_a_listing_says_is_gone_is_looked_up_before_it_is_believed() {
    // Row 5.
    let mut rig = Rig::with("me", announced_by("me"));
    rig.event(reviewed(0), &["#a"]);
    rig.seen(gone(), Source::Listing, Known::Nothing, &["#a"]);
    assert!(rig.updates().is_none(), "it is not shown as deleted");
    rig.looked_up(reviewed(0));
    assert!(rig.updates().is_none() && rig.record().resolution.is_none());
}

#[test]
fn an_older_view_never_takes_a_message_back() {
    let mut rig = Rig::with("me", announced_by("me"));
    rig.event(approved(), &["#a"]);
    rig.updated();
    rig.reacted();
    let mut later = Rig::with("me", rig.stored.clone());
    later.seen(reviewed(0), Source::Listing, Known::Nothing, &["#a"]);
    assert!(later.updates().is_none());
    later.looked_up(approved());
    assert!(later.updates().is_none() && later.output.is_over);
    assert_eq!(later.record().resolution, Some(Resolution::Approved));
}

#[test]
fn a_request_that_is_pending_again_is_shown_so_once_a_look_up_says_it() {
    let mut rig = Rig::with("me", announced_by("me"));
    rig.event(gone(), &["#a"]);
    rig.looked_up(gone());
    assert_eq!(rig.updated(), Shown::Ended(Resolution::Expired));
    let mut later = Rig::with("me", rig.stored.clone());
    later.event(reviewed(0), &["#a"]);
    later.looked_up(reviewed(0));
    assert_eq!(later.updated(), Shown::Pending { reviews: 0 });
    assert_eq!(later.record().resolution, None, "the stored end was wrong");
}

#[test]
fn a_listed_request_is_looked_up_before_it_is_announced() {
    let mut rig = Rig::new("me");
    rig.seen(reviewed(0), Source::Listing, Known::Stored(PluginData::new(), rig.start), &["#a"]);
    assert!(rig.post().is_none());
    rig.looked_up(approved());
    assert!(rig.post().is_none() && rig.output.is_over, "it had ended already");
}

#[test]
fn the_end_is_shown_although_replies_are_refused() {
    // Row 3.
    let mut rig = Rig::with("me", announced_by("me"));
    let mut decided = crate::delivery::testing::request();
    decided.reviews = vec![crate::delivery::testing::review()];
    decided.state = RequestState::Approved;
    rig.event(Observation::Present(Box::new(decided)), &["#a"]);
    let (call, _) = rig.reply().expect("a reply");
    rig.tell(Input::Answer(call, Answer::Replied(Err(refused(method::POST_MESSAGE, "not_in_channel")))));
    assert_eq!(rig.updated(), Shown::Ended(Resolution::Approved));
    assert_eq!(rig.reacted(), "white_check_mark");
    assert_eq!(rig.record().resolution, Some(Resolution::Approved));
    rig.wait(130 * SECOND);
    assert!(rig.reply().is_some(), "the reply is tried again while the record lives");
}

#[test]
fn trying_ends_when_the_request_and_its_record_are_gone() {
    // Row 4.
    let mut rig = Rig::with("me", announced_by("me"));
    rig.event(approved(), &["#a"]);
    rig.update_fails("not_in_channel");
    rig.event(gone(), &[]);
    rig.stored.clear();
    assert!(!rig.output.is_over);
    for _ in 0..3 {
        if rig.output.is_over {
            break;
        }
        rig.wake();
    }
    assert!(rig.output.is_over && rig.open.is_empty());
    assert!(rig.has_note(|note| matches!(note, Note::NeverUpdated(..))));
}

#[test]
fn what_this_process_announced_it_never_announces_again() {
    // Row 9: the record is gone before the request is.
    let mut rig = Rig::new("me");
    rig.new_request(&["#a"]);
    rig.posted("C1", "1.5");
    let memory = rig.machine.into_memory();
    assert!(memory.is_some());
    let mut later = Rig::new("me");
    later.machine = Machine::new(request().id, WorkerId::new("me", "1"), 7, memory);
    later.event(reviewed(0), &["#a"]);
    assert!(later.post().is_none());
    later.event(approved(), &["#a"]);
    assert_eq!(later.updated(), Shown::Ended(Resolution::Approved));
}

#[test]
fn where_a_record_ends_before_its_request_the_history_is_searched_before_the_first_post() {
    let mut rig = Rig::new("me");
    let mut waiting = request();
    waiting.access_expires = rig.clock().wall.checked_sub(3600 * SECOND).ok();
    rig.event(Observation::Present(Box::new(waiting)), &["#a"]);
    assert!(rig.post().is_none());
    rig.found(&[message("C1", "1.5")]);
    assert!(rig.post().is_none());
    assert_eq!(rig.updated(), Shown::Pending { reviews: 0 });
}

#[test]
fn a_stored_value_that_no_clock_can_show_ends_nothing() {
    // Row 16.
    let mut record = Record::default();
    let claim = Claim { by: "me.0".to_owned(), at: -377_705_023_201, n: u64::MAX };
    record.deliveries.insert(key("#a"), Delivery { claim: Some(claim), ..Delivery::default() });
    let mut rig = Rig::with("me", record.update().0);
    rig.event(reviewed(0), &["#a"]);
    while rig.open.is_empty() {
        rig.wake();
    }
    let searched = rig.take(|effect| match effect {
        Effect::Search { what: Sought::Message { since, .. }, .. } => Some(*since),
        _ => None,
    });
    assert_eq!(searched.unwrap().1, Timestamp::UNIX_EPOCH);
}

#[test]
fn a_recipient_that_was_never_told_is_named() {
    // Row 18.
    let mut rig = Rig::new("me");
    rig.new_request(&["#a"]);
    rig.post_fails("not_in_channel");
    rig.event(approved(), &["#a"]);
    let reason = rig.notes.iter().find_map(|note| match note {
        Note::NeverAnnounced { reason: Untold::Slack(error), .. } => Some(error.code.clone()),
        _ => None,
    });
    assert_eq!(reason.as_deref(), Some("not_in_channel"));
    assert!(rig.output.is_over);
}

#[test]
fn the_end_is_told_in_the_thread_where_the_message_is_of_another_app_and_anew_where_that_is_refused() {
    // Row 22.
    let mut rig = Rig::with("me", announced_by("me"));
    rig.event(approved(), &["#a"]);
    rig.update_fails("cant_update_message");
    assert!(rig.has_note(|note| matches!(note, Note::AnotherApp(_))));
    let (call, what) = rig.reply().expect("a reply");
    assert_eq!(what, ReplyKind::Outcome(Resolution::Approved));
    rig.tell(Input::Answer(call, Answer::Replied(Err(refused(method::POST_MESSAGE, "thread_locked")))));
    rig.posted("C1", "7.5");
    assert_eq!(rig.reacted(), "white_check_mark");
    let delivery = rig.delivery("#a");
    assert_eq!((delivery.message, delivery.shown), (Some(message("C1", "7.5")), Shown::Ended(Resolution::Approved)));
    assert!(rig.output.is_over);
}

#[test]
fn a_recipient_that_is_the_same_person_under_another_name_is_not_told_again() {
    // Row 2.
    let mut rig = Rig::new("me");
    rig.new_request(&["bob@example.com"]);
    rig.posted("D1", "1.5");
    let mut later = Rig::with("me", rig.stored.clone());
    later.event(reviewed(0), &["U024BE91L"]);
    assert!(later.post().is_none() && later.output.is_over, "the address was resolved to this person before the post");
}

#[test]
fn a_name_is_posted_to_before_an_id_where_it_cannot_be_resolved() {
    let mut rig = Rig::new("me");
    let now = rig.clock();
    let inputs = [
        Input::Observed { observation: reviewed(0), source: Source::Event, known: Known::New },
        Input::Routed(wanted(&["#dba", "C024BE91L"])),
    ];
    let effects = rig.machine.handle_all(inputs, now).effects;
    let [Effect::Resolve { call, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    rig.tell(Input::Answer(*call, Answer::Resolved(Resolved::Unknowable)));
    rig.posted("C024BE91L", "1.5");
    assert!(rig.post().is_none() && rig.output.is_over, "the answer shows that both are one channel");
}

#[test]
fn a_change_is_left_for_a_moment_to_the_worker_that_posted_the_message() {
    let mut rig = Rig::with("me", announced_by("other"));
    rig.event(approved(), &["#a"]);
    assert!(rig.updates().is_none());
    let mut owner = Rig::with("other", rig.stored.clone());
    owner.event(approved(), &["#a"]);
    owner.updated();
    owner.reacted();
    rig.stored = owner.stored;
    let waited = rig.wake();
    assert!((2 * SECOND..4 * SECOND).contains(&waited), "{waited:?}");
    assert!(rig.updates().is_none() && rig.output.is_over, "it is done");
}

#[test]
fn a_change_that_its_owner_does_not_make_is_made_by_another_worker() {
    let mut rig = Rig::with("me", announced_by("other"));
    rig.event(approved(), &["#a"]);
    rig.wake();
    assert_eq!(rig.updated(), Shown::Ended(Resolution::Approved));
    rig.reacted();
    assert_eq!(rig.wake(), 65 * SECOND, "an older update of the other worker may be carried out late");
    assert_eq!(rig.updated(), Shown::Ended(Resolution::Approved));
    assert!(rig.output.is_over);
}

#[test]
fn an_update_that_may_come_late_is_made_good() {
    let mut rig = Rig::with("me", announced_by("me"));
    rig.event(approved(), &["#a"]);
    rig.update_fails("timeout");
    rig.wake();
    rig.updated();
    rig.reacted();
    let waited = rig.wake();
    assert!(waited > 60 * SECOND, "{waited:?}");
    assert_eq!(rig.updated(), Shown::Ended(Resolution::Approved));
}

#[test]
fn draining_finishes_what_is_in_flight_and_begins_nothing() {
    let mut rig = Rig::new("me");
    rig.new_request(&["#a", "#b"]);
    rig.tell(Input::Drain);
    assert!(!rig.output.is_over);
    rig.posted("C1", "1.5");
    rig.posted("C2", "1.5");
    assert!(rig.output.is_over && rig.delivery("#a").message.is_some() && rig.delivery("#b").message.is_some());
    let mut idle = Rig::new("me");
    idle.tell(Input::Drain);
    idle.new_request(&["#a"]);
    assert!(idle.open.is_empty() && idle.output.is_over);
}

#[test]
fn an_answer_to_no_question_is_dropped() {
    let mut rig = Rig::new("me");
    rig.new_request(&["#a"]);
    let before = rig.open.len();
    rig.tell(Input::Answer(CallId(99), Answer::Posted(Ok(message("C1", "1.5")))));
    assert_eq!(rig.open.len(), before);
    assert!(rig.delivery("#a").message.is_none());
}

#[test]
fn a_record_that_is_too_large_is_written_without_what_can_be_left_out() {
    let mut rig = Rig::new("me");
    let write = claiming(&mut rig);
    rig.tell(Input::Answer(write, Answer::Stored(Err(StoreError::TooLarge))));
    rig.posted("C1", "1.5");
    assert!(!rig.has_note(|note| matches!(note, Note::StoreFailing { what: StoreCall::Write, .. })));
}

#[test]
fn a_tick_at_any_time_is_harmless() {
    let mut rig = Rig::new("me");
    rig.new_request(&["#a"]);
    rig.post_fails("not_in_channel");
    let calls = rig.machine.next_call;
    for _ in 0..5 {
        rig.wait(SECOND);
    }
    assert_eq!(rig.machine.next_call, calls);
    assert!(rig.output.wake.is_some());
}

#[test]
fn a_slot_is_given_back_when_another_worker_holds_the_claim() {
    let mut rig = Rig::new("me");
    let write = claiming(&mut rig);
    let mut other = Rig::new("other");
    other.new_request(&["#a"]);
    rig.stored = other.stored;
    rig.tell(Input::Answer(write, Answer::Stored(Err(StoreError::Conflict))));
    assert!(rig.machine.lanes.values().all(Lane::is_free), "others may post in the channel meanwhile");
}

#[test]
fn a_person_and_the_direct_message_of_the_same_person_do_not_wait_for_each_other() {
    let mut rig = Rig::new("me");
    let now = rig.clock();
    let inputs = [
        Input::Observed { observation: reviewed(0), source: Source::Event, known: Known::New },
        Input::Routed(wanted(&["D024BE91L", "bob@example.com"])),
    ];
    let effects = rig.machine.handle_all(inputs, now).effects;
    let call = effects.iter().find_map(|effect| match effect {
        Effect::Resolve { call, .. } => Some(*call),
        _ => None,
    });
    let place = ["U024BE91L".to_owned(), "D024BE91L".to_owned()].into_iter().collect();
    rig.tell(Input::Answer(call.unwrap(), Answer::Resolved(Resolved::Place(place))));
    rig.posted("D024BE91L", "1.5");
    assert!(rig.post().is_none() && rig.output.is_over);
}

#[test]
fn the_outcome_of_a_request_that_is_gone_is_one_reply() {
    let mut rig = Rig::with("me", announced_by("me"));
    rig.event(gone(), &["#a"]);
    rig.looked_up(gone());
    rig.update_fails("cant_update_message");
    let (call, what) = rig.reply().expect("a reply");
    assert_eq!(what, ReplyKind::Outcome(Resolution::Expired));
    rig.tell(Input::Answer(call, Answer::Replied(Ok(crate::delivery::input::Replied::InThread))));
    assert!(rig.reply().is_none() && rig.output.is_over);
}

#[test]
fn the_count_of_reviews_in_the_record_never_falls() {
    let mut record = Rig::with("me", announced_by("me")).record();
    record.deliveries.get_mut("#a").unwrap().replies = 2;
    let mut stored = record.update().0;
    record.written(stored.clone());
    let late = Delivery { message: Some(message("C2", "9.5")), ..Delivery::default() };
    record.deliveries.insert(key("#b"), late);
    stored.extend(record.update().0);
    assert_eq!(stored["reviews_count"], "2", "the official plugin would reply again");
}

#[test]
fn a_reply_that_is_in_the_thread_of_a_found_message_is_not_sent_again() {
    let mut rig = Rig::new("me");
    let mut waiting = request();
    waiting.access_expires = rig.clock().wall.checked_sub(3600 * SECOND).ok();
    waiting.reviews = vec![crate::delivery::testing::review(); 2];
    rig.event(Observation::Present(Box::new(waiting)), &["#a"]);
    rig.found(&[message("C1", "1.5")]);
    rig.found(&[message("C1", "2.5")]);
    rig.found(&[]);
    assert_eq!(rig.reply().map(|(_, what)| what), Some(ReplyKind::Review(1)));
}

#[test]
fn a_decision_that_this_process_has_seen_is_not_forgotten_when_the_request_is_gone() {
    let mut rig = Rig::with("me", announced_by("me"));
    rig.event(in_state(RequestState::Denied), &["#a"]);
    rig.update_fails("not_in_channel");
    let memory = rig.machine.into_memory();
    let mut later = Rig::with("me", rig.stored.clone());
    later.machine = Machine::new(request().id, WorkerId::new("me", "1"), 7, memory);
    later.event(gone(), &[]);
    later.looked_up(gone());
    assert_eq!(later.updated(), Shown::Ended(Resolution::Denied));
}
