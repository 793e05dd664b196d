//! One review, from the click to its end. Pure: it asks for one thing at a time and takes the answer.
//!
//! ```text
//! origin ─▶ who (trait, else confirmed e-mail) ─▶ locked? ─▶ the request now ─▶ submit ─▶ recorded
//!                                                                 ▲               │ no answer
//!                                                                 └──── wait ◀────┘
//! ```
//!
//! A submission without an answer is repeated only after a look at the request: Teleport takes one review of each author, so that a
//! repetition can never count twice.

use std::time::Duration;

use crate::access_request::{AccessRequest, RequestId, RequestState};
use crate::config::ReasonPolicy;
use crate::review::origin::{Clicker, Home, Origin, Standing, standing};
use crate::review::outcome::{Obstacle, Outcome, Refusal};
use crate::review::{Decision, LONGEST_REASON};
use crate::slack::api::Profile;
use crate::teleport::review::{SubmitError, User};

/// Waits before each look after a submission that was not answered. Together with the calls themselves: less than the worker
/// has to end.
const WAITS: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// What the configuration and the connections say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Who we are to Slack.
    pub home: Home,
    /// The trait that holds a Slack user id.
    pub trait_name: Option<String>,
    /// Whether a confirmed address may be the Teleport user's name.
    pub allow_email: bool,
    /// When a reason is needed.
    pub reason: ReasonPolicy,
    /// Whether this plugin may list locks.
    pub checks_locks: bool,
}

/// What a person wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Which request.
    pub request: RequestId,
    /// What is to become of it.
    pub decision: Decision,
    /// Why; cleaned, may be empty.
    pub reason: String,
    /// Who clicked.
    pub clicker: Clicker,
    /// Where.
    pub origin: Origin,
}

/// What to do next; exactly one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Find the Teleport users with this trait.
    FindByTrait {
        /// The trait.
        name: String,
        /// Its value, the Slack user id.
        value: String,
    },
    /// Read the Slack user's profile.
    ReadProfile {
        /// The Slack user.
        user: String,
    },
    /// Read the Teleport user of this name.
    FindByName(String),
    /// Look whether a lock is in force.
    CheckLocks(User),
    /// Read the request as it is now.
    ReadRequest(RequestId),
    /// Submit the review for this Teleport user.
    Submit {
        /// Who reviews.
        author: String,
    },
    /// Wait.
    Wait(Duration),
    /// It is over.
    Done(Outcome),
}

/// What came of a step.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Of [`Step::FindByTrait`].
    Users(Result<Vec<User>, Trouble>),
    /// Of [`Step::ReadProfile`].
    Profile(Result<Box<Profile>, Trouble>),
    /// Of [`Step::FindByName`].
    User(Result<Option<User>, Trouble>),
    /// Of [`Step::CheckLocks`].
    Locked(Result<bool, Trouble>),
    /// Of [`Step::ReadRequest`].
    Request(Result<Option<Box<AccessRequest>>, Trouble>),
    /// Of [`Step::Submit`].
    Submitted(Result<(), SubmitError>),
    /// Of [`Step::Wait`].
    Waited,
}

/// Why a step has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The other side does not answer, or wants to be left alone.
    Away,
    /// The other side refuses us.
    Refused,
}

/// Whom an earlier click of the same Slack user was found to be.
pub type Identity = Result<User, Refusal>;

/// One review on its way.
#[derive(Debug)]
pub struct Machine {
    policy: Policy,
    wish: Wish,
    profile: Option<Box<Profile>>,
    searched_trait: bool,
    user: Option<User>,
    /// Found by this walk, not remembered from an earlier one.
    found: Option<Identity>,
    /// A submission has begun.
    submitted: bool,
    /// Submissions that were not answered.
    unanswered: usize,
    /// Looks that were not answered after such a submission.
    blind: usize,
    /// A submission was refused because of an earlier review or decision: one look tells which.
    conflict: Option<Refusal>,
}

impl Machine {
    /// A review by the person of this wish.
    pub fn new(policy: Policy, wish: Wish) -> Self {
        Self {
            policy,
            wish,
            profile: None,
            searched_trait: false,
            user: None,
            found: None,
            submitted: false,
            unanswered: 0,
            blind: 0,
            conflict: None,
        }
    }

    /// The Teleport user who reviews, once known.
    pub fn author(&self) -> Option<&str> {
        self.user.as_ref().map(|user| user.name.as_str())
    }

    /// Who the Slack user was found to be, for a short time true for further clicks too.
    pub fn found(&self) -> Option<&Identity> {
        self.found.as_ref()
    }

    /// Ends a walk that takes too long.
    pub fn abandon(&self) -> Outcome {
        if self.submitted { Outcome::Unknown } else { Outcome::NotRecorded(Obstacle::TeleportAway) }
    }

    /// Begins; `known` is what an earlier click has found.
    pub fn begin(&mut self, known: Option<Identity>) -> Step {
        let Wish { decision, reason, clicker, origin, .. } = &self.wish;
        let refusal = match standing(&self.policy.home, origin, clicker) {
            Standing::ForeignApp => Some(Refusal::ForeignApp),
            Standing::ForeignTeam => Some(Refusal::ForeignTeam),
            Standing::Stranger => Some(Refusal::Stranger),
            Standing::Member | Standing::Unknown if clicker.user_id.is_empty() => Some(Refusal::NotUnderstood),
            Standing::Member | Standing::Unknown if decision.needs_reason(self.policy.reason) && reason.is_empty() => {
                Some(Refusal::ReasonMissing)
            }
            Standing::Member | Standing::Unknown if reason.len() > LONGEST_REASON => {
                Some(Refusal::ReasonTooLong { bytes: reason.len() })
            }
            Standing::Member | Standing::Unknown => None,
        };
        match (refusal, known) {
            (Some(refusal), _) | (None, Some(Err(refusal))) => refused(refusal),
            (None, Some(Ok(user))) => self.identified(user),
            (None, None) if self.is_doubtful() => self.read_profile(),
            (None, None) => self.find(),
        }
    }

    /// Takes the answer to the last step.
    pub fn handle(&mut self, answer: Answer) -> Step {
        match answer {
            Answer::Users(Ok(users)) => self.by_trait(users),
            Answer::Profile(Ok(profile)) => self.profiled(profile),
            Answer::User(Ok(user)) => self.by_name(user),
            Answer::Users(Err(trouble)) | Answer::User(Err(trouble)) => {
                Step::Done(Outcome::NotRecorded(match trouble {
                    Trouble::Away => Obstacle::TeleportAway,
                    Trouble::Refused => Obstacle::NoLookUp,
                }))
            }
            Answer::Profile(Err(_)) => Step::Done(Outcome::NotRecorded(Obstacle::SlackAway)),
            Answer::Locked(Ok(true)) => refused(Refusal::Locked),
            Answer::Locked(Err(Trouble::Away)) => Step::Done(Outcome::NotRecorded(Obstacle::TeleportAway)),
            Answer::Request(request) => self.request_read(request),
            Answer::Submitted(Ok(())) => Step::Done(Outcome::Recorded),
            Answer::Submitted(Err(error)) => self.not_submitted(error),
            // Whether it may list locks was known before; without that right Teleport's own checks remain.
            Answer::Locked(Ok(false) | Err(Trouble::Refused)) | Answer::Waited => self.read_request(),
        }
    }

    // ---- who

    /// The envelope does not say that the user is a member.
    fn is_doubtful(&self) -> bool {
        standing(&self.policy.home, &self.wish.origin, &self.wish.clicker) == Standing::Unknown
    }

    fn find(&mut self) -> Step {
        match self.policy.trait_name.clone() {
            Some(name) => Step::FindByTrait { name, value: self.wish.clicker.user_id.clone() },
            None => self.find_by_email(),
        }
    }

    fn by_trait(&mut self, mut users: Vec<User>) -> Step {
        self.searched_trait = true;
        let slack_user = self.wish.clicker.user_id.clone();
        let trait_name = self.policy.trait_name.clone().unwrap_or_default();
        // Held once more, whatever the server filtered by.
        users.retain(|user| user.traits.get(&trait_name).is_some_and(|values| values.contains(&slack_user)));
        match (users.pop(), users.is_empty()) {
            (Some(user), true) => self.identity(Ok(user)),
            (Some(last), false) => {
                let users = users.into_iter().chain([last]).map(|user| user.name).collect();
                self.identity(Err(Refusal::SeveralTeleportUsers { slack_user, trait_name, users }))
            }
            (None, _) if self.policy.allow_email => self.find_by_email(),
            (None, _) => {
                let trait_name = self.policy.trait_name.clone();
                self.identity(Err(Refusal::NoTeleportUser { slack_user, trait_name, email: None }))
            }
        }
    }

    fn find_by_email(&mut self) -> Step {
        let Some(profile) = &self.profile else { return self.read_profile() };
        let refusal = if !self.is_of_ours(profile) || profile.is_stranger {
            Refusal::Stranger
        } else if profile.deleted {
            Refusal::Deactivated
        } else if profile.is_bot {
            Refusal::Bot
        } else if profile.is_restricted || profile.is_ultra_restricted {
            Refusal::Guest
        } else {
            match profile.email() {
                None => Refusal::NoEmail,
                Some(_) if profile.is_email_confirmed == Some(false) => Refusal::UnconfirmedEmail,
                Some(email) => return Step::FindByName(email.to_owned()),
            }
        };
        self.identity(Err(refusal))
    }

    fn by_name(&mut self, user: Option<User>) -> Step {
        let email = self.profile.as_ref().and_then(|profile| profile.email()).unwrap_or_default().to_owned();
        let slack_user = self.wish.clicker.user_id.clone();
        let trait_name = self.policy.trait_name.clone();
        let Some(user) = user.filter(|user| user.name == email) else {
            return self.identity(Err(Refusal::NoTeleportUser { slack_user, trait_name, email: Some(email) }));
        };
        // The trait says who this user is in Slack, and it is somebody else: the address was put into the profile.
        let tied = trait_name.and_then(|name| user.traits.get(&name).cloned()).unwrap_or_default();
        if tied.iter().any(|id| !id.trim().is_empty()) && !tied.contains(&slack_user) {
            return self.identity(Err(Refusal::EmailOfAnother));
        }
        self.identity(Ok(user))
    }

    fn read_profile(&self) -> Step {
        Step::ReadProfile { user: self.wish.clicker.user_id.clone() }
    }

    fn profiled(&mut self, profile: Box<Profile>) -> Step {
        let of_ours = self.is_of_ours(&profile) && !profile.is_stranger;
        let (deleted, bot) = (profile.deleted, profile.is_bot);
        self.profile = Some(profile);
        if !of_ours {
            return self.identity(Err(Refusal::Stranger));
        }
        if deleted {
            return self.identity(Err(Refusal::Deactivated));
        }
        if bot {
            return self.identity(Err(Refusal::Bot));
        }
        // It was read before anything else, or because the trait led to no one.
        if self.searched_trait { self.find_by_email() } else { self.find() }
    }

    fn is_of_ours(&self, profile: &Profile) -> bool {
        let Home { team_id, enterprise_id, .. } = &self.policy.home;
        let same_enterprise = enterprise_id.is_some() && profile.enterprise_id() == enterprise_id.as_deref();
        profile.id == self.wish.clicker.user_id && (profile.team_id == *team_id || same_enterprise)
    }

    fn identity(&mut self, identity: Identity) -> Step {
        self.found = Some(identity.clone());
        match identity {
            Ok(user) => self.identified(user),
            Err(refusal) => refused(refusal),
        }
    }

    fn identified(&mut self, user: User) -> Step {
        self.user = Some(user.clone());
        if user.locked {
            return refused(Refusal::Locked);
        }
        if self.policy.checks_locks { Step::CheckLocks(user) } else { self.read_request() }
    }

    // ---- what

    fn read_request(&self) -> Step {
        Step::ReadRequest(self.wish.request.clone())
    }

    fn request_read(&mut self, request: Result<Option<Box<AccessRequest>>, Trouble>) -> Step {
        let request = match request {
            Ok(request) => request,
            Err(_) if self.unanswered == 0 && self.conflict.is_none() => {
                return Step::Done(Outcome::NotRecorded(Obstacle::TeleportAway));
            }
            Err(_) if self.conflict.is_some() => return Step::Done(Outcome::Unknown),
            Err(_) => {
                self.blind += 1;
                return WAITS.get(self.blind).map_or(Step::Done(Outcome::Unknown), |wait| Step::Wait(*wait));
            }
        };
        let Some(author) = self.author().map(str::to_owned) else {
            return refused(Refusal::NotUnderstood);
        };
        let Some(request) = request else {
            // What is gone keeps no record of a review that was not answered.
            return if self.unanswered > 0 { Step::Done(Outcome::Unknown) } else { refused(Refusal::Gone) };
        };
        let own = request.reviews.iter().find(|review| review.author == author).map(|review| review.proposed);
        match own {
            Some(RequestState::Approved) => return self.reviewed(Decision::Approve),
            Some(RequestState::Denied) => return self.reviewed(Decision::Deny),
            Some(state) => return refused(Refusal::Resolved(state)),
            None => {}
        }
        if request.user == author {
            return refused(Refusal::OwnRequest);
        }
        if request.state != RequestState::Pending {
            return refused(Refusal::Resolved(request.state));
        }
        if request.long_term {
            return refused(Refusal::LongTerm);
        }
        if let Some(refusal) = self.conflict.take() {
            return refused(refusal);
        }
        self.submitted = true;
        Step::Submit { author }
    }

    /// The author's review is there.
    fn reviewed(&self, earlier: Decision) -> Step {
        if earlier != self.wish.decision {
            return refused(Refusal::DecidedOtherwise(earlier));
        }
        Step::Done(if self.unanswered > 0 { Outcome::Recorded } else { Outcome::Repeated })
    }

    fn not_submitted(&mut self, error: SubmitError) -> Step {
        match error {
            SubmitError::AlreadyReviewed => {
                // Which way, only a look tells.
                self.conflict = Some(Refusal::ReviewedBefore);
                self.read_request()
            }
            SubmitError::AlreadyResolved => {
                self.conflict = Some(Refusal::Resolved(RequestState::Unknown));
                self.read_request()
            }
            SubmitError::Gone => refused(Refusal::Gone),
            SubmitError::NotForAuthor => refused(Refusal::PluginNotPermitted),
            SubmitError::NotPermitted => refused(Refusal::NotPermitted),
            SubmitError::NoSuchUser => refused(Refusal::NoSuchUser),
            SubmitError::Unsupported => refused(Refusal::Unsupported),
            SubmitError::Invalid => refused(Refusal::Invalid),
            SubmitError::Unclear => {
                let wait = WAITS.get(self.unanswered).copied();
                self.unanswered += 1;
                wait.map_or(Step::Done(Outcome::Unknown), Step::Wait)
            }
        }
    }
}

fn refused(refusal: Refusal) -> Step {
    Step::Done(Outcome::Refused(refusal))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::access_request::Review;
    use crate::delivery::testing::request;

    const BOB: &str = "bob@example.com";

    fn policy(trait_name: Option<&str>, allow_email: bool) -> Policy {
        Policy {
            home: Home { app_id: Some("A1".to_owned()), team_id: "T1".to_owned(), enterprise_id: None },
            trait_name: trait_name.map(str::to_owned),
            allow_email,
            reason: ReasonPolicy::Never,
            checks_locks: false,
        }
    }

    fn wish(decision: Decision) -> Wish {
        let clicker = Clicker { user_id: "U0BOB".to_owned(), team_id: Some("T1".to_owned()) };
        let origin = Origin { app_id: Some("A1".to_owned()), team_id: Some("T1".to_owned()), enterprise_id: None };
        Wish { request: RequestId("r".to_owned()), decision, reason: String::new(), clicker, origin }
    }

    fn user(name: &str, slack_ids: &[&str]) -> User {
        let ids = slack_ids.iter().map(|&id| id.to_owned()).collect();
        User { name: name.to_owned(), traits: BTreeMap::from([("slack".to_owned(), ids)]), ..User::default() }
    }

    fn profile(changes: &serde_json::Value) -> Answer {
        let mut profile =
            json!({"id": "U0BOB", "team_id": "T1", "profile": {"email": BOB}, "is_email_confirmed": true});
        for (key, value) in changes.as_object().unwrap() {
            profile[key] = value.clone();
        }
        Answer::Profile(Ok(Box::new(serde_json::from_value(profile).unwrap())))
    }

    /// A request of alice's, with these reviews.
    fn pending(reviews: &[(&str, RequestState)]) -> AccessRequest {
        let review = |&(author, proposed): &(&str, RequestState)| Review {
            author: author.to_owned(),
            proposed,
            reason: String::new(),
            created: None,
        };
        AccessRequest { reviews: reviews.iter().map(review).collect(), ..request() }
    }

    fn read(request: AccessRequest) -> Answer {
        Answer::Request(Ok(Some(Box::new(request))))
    }

    /// Walks until the answers are used up; the last step.
    fn walk(mut machine: Machine, answers: impl IntoIterator<Item = Answer>) -> Step {
        let mut step = machine.begin(None);
        for answer in answers {
            assert!(!matches!(step, Step::Done(_)), "over before {answer:?}: {step:?}");
            step = machine.handle(answer);
        }
        step
    }

    fn by_trait(answers: impl IntoIterator<Item = Answer>) -> Step {
        let found = Answer::Users(Ok(vec![user(BOB, &["U0BOB"])]));
        walk(Machine::new(policy(Some("slack"), false), wish(Decision::Approve)), [found].into_iter().chain(answers))
    }

    fn refusal(step: &Step) -> &Refusal {
        let Step::Done(Outcome::Refused(refusal)) = step else { panic!("{step:?}") };
        refusal
    }

    #[test]
    fn a_member_with_the_trait_reviews_in_their_own_name() {
        let step = by_trait([read(pending(&[]))]);
        assert_eq!(step, Step::Submit { author: BOB.to_owned() });
        assert_eq!(by_trait([read(pending(&[])), Answer::Submitted(Ok(()))]), Step::Done(Outcome::Recorded));
    }

    #[test]
    fn exactly_one_user_has_the_trait() {
        for (users, label) in [
            (vec![], "no_teleport_user"),
            (vec![user(BOB, &["U0BOB"]), user("eve", &["U0EVE", "U0BOB"])], "several_teleport_users"),
            // A server that does not filter, and a trait in another case.
            (vec![user("eve", &["U0EVE"]), user("carol", &["u0bob"])], "no_teleport_user"),
        ] {
            let machine = Machine::new(policy(Some("slack"), false), wish(Decision::Approve));
            assert_eq!(refusal(&walk(machine, [Answer::Users(Ok(users))])).label(), label);
        }
    }

    #[test]
    fn an_address_counts_only_of_a_confirmed_member() {
        for (changes, label) in [
            (json!({"is_restricted": true}), "guest"),
            (json!({"is_ultra_restricted": true}), "guest"),
            (json!({"is_stranger": true}), "stranger"),
            (json!({"team_id": "T2"}), "stranger"),
            (json!({"id": "U0EVE"}), "stranger"),
            (json!({"is_bot": true}), "bot"),
            (json!({"deleted": true}), "deactivated"),
            (json!({"profile": {}}), "no_email"),
            (json!({"is_email_confirmed": false}), "unconfirmed_email"),
        ] {
            let machine = Machine::new(policy(None, true), wish(Decision::Approve));
            let step = walk(machine, [profile(&changes)]);
            assert_eq!(refusal(&step).label(), label, "{changes}");
        }
    }

    #[test]
    fn an_address_is_the_name_of_a_user_that_no_one_else_is_tied_to() {
        let walk_to = |allow_email, found: Option<User>| {
            let machine = Machine::new(policy(Some("slack"), allow_email), wish(Decision::Approve));
            walk(machine, [Answer::Users(Ok(vec![])), profile(&json!({})), Answer::User(Ok(found))])
        };
        assert!(matches!(walk_to(true, Some(user(BOB, &[]))), Step::ReadRequest(_)));
        assert!(matches!(walk_to(true, Some(user(BOB, &[""]))), Step::ReadRequest(_)), "an empty trait ties no one");
        assert_eq!(*refusal(&walk_to(true, Some(user(BOB, &["U0EVE"])))), Refusal::EmailOfAnother);
        assert_eq!(refusal(&walk_to(true, Some(user("Bob@example.com", &[])))).label(), "no_teleport_user");
        assert_eq!(refusal(&walk_to(true, None)).label(), "no_teleport_user");
    }

    #[test]
    fn without_leave_no_address_is_looked_at() {
        let machine = Machine::new(policy(Some("slack"), false), wish(Decision::Approve));
        assert!(matches!(walk(machine, [Answer::Users(Ok(vec![]))]), Step::Done(Outcome::Refused(_))));
    }

    #[test]
    fn a_click_from_elsewhere_ends_before_any_call() {
        let home = wish(Decision::Approve);
        let app = |id: Option<&str>| Origin { app_id: id.map(str::to_owned), ..home.origin.clone() };
        let team = |id: Option<&str>| Origin { team_id: id.map(str::to_owned), ..home.origin.clone() };
        for (origin, team_of_user, label) in [
            (app(Some("A2")), "T1", "foreign_app"),
            (app(None), "T1", "foreign_app"),
            (team(Some("T2")), "T1", "foreign_team"),
            (team(None), "T1", "foreign_team"),
            (home.origin.clone(), "T2", "stranger"),
        ] {
            let clicker = Clicker { team_id: Some(team_of_user.to_owned()), ..home.clicker.clone() };
            let mut machine =
                Machine::new(policy(Some("slack"), true), Wish { clicker, origin, ..wish(Decision::Approve) });
            let step = machine.begin(Some(Ok(user(BOB, &["U0BOB"]))));
            assert_eq!(refusal(&step).label(), label, "also where the person is known already");
        }
    }

    #[test]
    fn in_an_organization_the_profile_tells_whose_member_it_is() {
        let mut policy = policy(Some("slack"), false);
        policy.home.enterprise_id = Some("E1".to_owned());
        let mut wish = wish(Decision::Approve);
        wish.clicker.team_id = Some("T2".to_owned());
        let of = |enterprise: &str| {
            let profile = profile(&json!({"team_id": "T2", "enterprise_user": {"enterprise_id": enterprise}}));
            walk(Machine::new(policy.clone(), wish.clone()), [profile])
        };
        assert!(matches!(of("E1"), Step::FindByTrait { .. }));
        assert_eq!(*refusal(&of("E2")), Refusal::Stranger);
    }

    #[test]
    fn a_locked_user_does_not_review() {
        let locked = User { locked: true, ..user(BOB, &["U0BOB"]) };
        let machine = Machine::new(policy(Some("slack"), false), wish(Decision::Approve));
        assert_eq!(*refusal(&walk(machine, [Answer::Users(Ok(vec![locked]))])), Refusal::Locked);
        let checked = |answer| {
            let policy = Policy { checks_locks: true, ..policy(Some("slack"), false) };
            let machine = Machine::new(policy, wish(Decision::Approve));
            walk(machine, [Answer::Users(Ok(vec![user(BOB, &["U0BOB"])])), Answer::Locked(answer)])
        };
        assert_eq!(*refusal(&checked(Ok(true))), Refusal::Locked);
        assert!(matches!(checked(Ok(false)), Step::ReadRequest(_)));
        assert_eq!(checked(Err(Trouble::Away)), Step::Done(Outcome::NotRecorded(Obstacle::TeleportAway)));
    }

    #[test]
    fn only_a_pending_request_of_another_is_reviewed() {
        let own = AccessRequest { user: BOB.to_owned(), ..pending(&[]) };
        let approved = AccessRequest { state: RequestState::Approved, ..pending(&[]) };
        let promoted = AccessRequest { state: RequestState::Promoted, ..pending(&[]) };
        let long_term = AccessRequest { long_term: true, ..pending(&[]) };
        for (request, label) in
            [(own, "own_request"), (approved, "resolved"), (promoted, "resolved"), (long_term, "long_term")]
        {
            assert_eq!(refusal(&by_trait([read(request)])).label(), label);
        }
        assert_eq!(*refusal(&by_trait([Answer::Request(Ok(None))])), Refusal::Gone);
    }

    #[test]
    fn a_second_click_is_a_success_or_says_what_stands() {
        let approved_by_bob = || pending(&[(BOB, RequestState::Approved)]);
        assert_eq!(by_trait([read(approved_by_bob())]), Step::Done(Outcome::Repeated));
        let resolved = AccessRequest { state: RequestState::Approved, ..approved_by_bob() };
        assert_eq!(by_trait([read(resolved)]), Step::Done(Outcome::Repeated), "the own review has decided it");
        let denied_by_bob = pending(&[(BOB, RequestState::Denied)]);
        assert_eq!(*refusal(&by_trait([read(denied_by_bob)])), Refusal::DecidedOtherwise(Decision::Deny));
        // Two clicks at once: the other worker was faster.
        let refused = Answer::Submitted(Err(SubmitError::AlreadyReviewed));
        let step = by_trait([read(pending(&[])), refused.clone(), read(approved_by_bob())]);
        assert_eq!(step, Step::Done(Outcome::Repeated));
        let step = by_trait([read(pending(&[])), refused, read(pending(&[]))]);
        assert_eq!(*refusal(&step), Refusal::ReviewedBefore, "never submitted in a loop");
        // Two people at once, one approval needed.
        let resolved = AccessRequest { state: RequestState::Approved, ..pending(&[("carol", RequestState::Approved)]) };
        let step = by_trait([read(pending(&[])), Answer::Submitted(Err(SubmitError::AlreadyResolved)), read(resolved)]);
        assert_eq!(*refusal(&step), Refusal::Resolved(RequestState::Approved));
    }

    #[test]
    fn a_submission_without_an_answer_is_looked_for_before_it_is_repeated() {
        let unclear = || Answer::Submitted(Err(SubmitError::Unclear));
        let step = by_trait([read(pending(&[])), unclear()]);
        assert_eq!(step, Step::Wait(WAITS[0]));
        let step =
            by_trait([read(pending(&[])), unclear(), Answer::Waited, read(pending(&[(BOB, RequestState::Approved)]))]);
        assert_eq!(step, Step::Done(Outcome::Recorded), "it had arrived");
        let step = by_trait([read(pending(&[])), unclear(), Answer::Waited, read(pending(&[]))]);
        assert_eq!(step, Step::Submit { author: BOB.to_owned() }, "it had not");
        let gone = by_trait([read(pending(&[])), unclear(), Answer::Waited, Answer::Request(Ok(None))]);
        assert_eq!(gone, Step::Done(Outcome::Unknown));
    }

    #[test]
    fn a_walk_that_is_given_up_says_whether_something_may_have_been_recorded() {
        let mut machine = Machine::new(policy(Some("slack"), false), wish(Decision::Approve));
        machine.begin(Some(Ok(user(BOB, &["U0BOB"]))));
        assert_eq!(machine.abandon(), Outcome::NotRecorded(Obstacle::TeleportAway));
        machine.handle(read(pending(&[])));
        assert_eq!(machine.abandon(), Outcome::Unknown);
    }

    #[test]
    fn what_stays_unknown_is_said_to_be_unknown_and_the_walk_ends() {
        let mut machine = Machine::new(policy(Some("slack"), false), wish(Decision::Approve));
        let mut step = machine.begin(Some(Ok(user(BOB, &["U0BOB"]))));
        let mut steps = 0;
        while !matches!(step, Step::Done(_)) {
            steps += 1;
            assert!(steps < 30, "no end");
            step = match step {
                Step::ReadRequest(_) if steps == 1 => machine.handle(read(pending(&[]))),
                Step::ReadRequest(_) => machine.handle(Answer::Request(Err(Trouble::Away))),
                Step::Submit { .. } => machine.handle(Answer::Submitted(Err(SubmitError::Unclear))),
                Step::Wait(_) => machine.handle(Answer::Waited),
                step => panic!("{step:?}"),
            };
        }
        assert_eq!(step, Step::Done(Outcome::Unknown));
    }

    #[test]
    fn an_outage_before_the_submission_means_not_recorded() {
        let away = || Err(Trouble::Away);
        let step = by_trait([Answer::Request(Err(Trouble::Away))]);
        assert_eq!(step, Step::Done(Outcome::NotRecorded(Obstacle::TeleportAway)));
        let machine = || Machine::new(policy(Some("slack"), true), wish(Decision::Approve));
        assert_eq!(walk(machine(), [Answer::Users(away())]), Step::Done(Outcome::NotRecorded(Obstacle::TeleportAway)));
        assert_eq!(
            walk(machine(), [Answer::Users(Err(Trouble::Refused))]),
            Step::Done(Outcome::NotRecorded(Obstacle::NoLookUp))
        );
        assert_eq!(
            walk(machine(), [Answer::Users(Ok(vec![])), Answer::Profile(Err(Trouble::Away))]),
            Step::Done(Outcome::NotRecorded(Obstacle::SlackAway))
        );
    }

    #[test]
    fn what_teleport_refuses_has_words_of_its_own() {
        for (error, label) in [
            (SubmitError::NotPermitted, "not_permitted"),
            (SubmitError::NotForAuthor, "plugin_not_permitted"),
            (SubmitError::NoSuchUser, "no_such_user"),
            (SubmitError::Gone, "gone"),
            (SubmitError::Unsupported, "unsupported"),
            (SubmitError::Invalid, "invalid"),
        ] {
            let step = by_trait([read(pending(&[])), Answer::Submitted(Err(error))]);
            assert_eq!(refusal(&step).label(), label);
        }
    }

    #[test]
    fn a_reason_is_there_where_it_has_to_be_and_not_too_long() {
        let with = |reason: &str| {
            let policy = Policy { reason: ReasonPolicy::OnDeny, ..policy(Some("slack"), false) };
            Machine::new(policy, Wish { reason: reason.to_owned(), ..wish(Decision::Deny) }).begin(None)
        };
        assert_eq!(*refusal(&with("")), Refusal::ReasonMissing);
        assert_eq!(*refusal(&with(&"é".repeat(2049))), Refusal::ReasonTooLong { bytes: 4098 });
        assert!(matches!(with(&"x".repeat(4096)), Step::FindByTrait { .. }));
    }

    #[test]
    fn a_known_person_is_not_looked_up_again_and_a_known_refusal_stands() {
        let mut machine = Machine::new(policy(Some("slack"), false), wish(Decision::Approve));
        assert!(matches!(machine.begin(Some(Ok(user(BOB, &["U0BOB"])))), Step::ReadRequest(_)));
        assert_eq!(machine.found(), None, "what was remembered is not remembered for longer");
        let step = Machine::new(policy(Some("slack"), false), wish(Decision::Approve)).begin(Some(Err(Refusal::Guest)));
        assert_eq!(*refusal(&step), Refusal::Guest);
    }
}
