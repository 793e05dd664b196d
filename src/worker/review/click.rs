//! One click or form, from the envelope to the last word.

use std::sync::PoisonError;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tracing::{debug, info, warn};

use crate::access_request::{AccessRequest, RequestId, RequestState};
use crate::config::ReasonPolicy;
use crate::review::machine::{Answer, Machine, Policy, Step, Trouble, Wish};
use crate::review::origin::{Clicker, Home, Origin, Standing, standing};
use crate::review::outcome::{Obstacle, Outcome, Refusal};
use crate::review::{Decision, clean_reason};
use crate::slack::api::UserId;
use crate::slack::interaction::{Button, Click as Pressed, Context as Place, Interaction, Submission as Filled};
use crate::slack::message::review::{Choice, REASON_BLOCK, is_request_id};
use crate::slack::message::{ReviewForm, render_form};
use crate::slack::socket::{Event, Responder};
use crate::slack::text::shorten;
use crate::teleport::error::{CallError, Kind};
use crate::teleport::review::{Submission, SubmitError};
use crate::worker::review::{Desk, tell::tell};

/// Slack waits 3 s for an acknowledgement; ours has to travel, too.
const ANSWER_WITHIN: Duration = Duration::from_millis(2_400);
/// How long a form may wait for what it shows of the request: the trigger lives 3 s.
const PREVIEW_WITHIN: Duration = Duration::from_millis(700);
/// One look at the request for a person who waits.
const READ_WITHIN: Duration = Duration::from_secs(5);
/// When a review without an end is given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(25);

/// What comes back with a form.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Metadata {
    /// The request.
    r: String,
    /// `approve` or `deny`; absent where the form asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    d: Option<String>,
    /// The conversation of the click.
    #[serde(skip_serializing_if = "Option::is_none")]
    c: Option<String>,
    /// Its thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    t: Option<String>,
}

/// A click or a form that a person waits for.
pub(super) struct Click {
    interaction: Interaction,
    place: Place,
    responder: Responder,
    received: Instant,
}

impl Click {
    /// What of an envelope is one; everything else is acknowledged and over.
    pub(super) fn of(event: Event) -> Option<Self> {
        let Event { envelope, responder, received } = event;
        if envelope.kind != "interactive" {
            debug!(kind = shorten(&envelope.kind, 50), "Slack told something that is not asked for");
            responder.acknowledge(None);
            return None;
        }
        let interaction = Interaction::parse(&envelope.payload);
        let place = match &interaction {
            Interaction::Click(click) => click.context.clone(),
            Interaction::Submission(form) => form.context.clone(),
            Interaction::Unknown(place) => place.clone(),
            Interaction::Nothing => {
                responder.acknowledge(None);
                return None;
            }
        };
        Some(Self { interaction, place, responder, received })
    }

    /// The Slack user.
    pub(super) fn person(&self) -> &str {
        &self.place.user_id
    }

    /// Does what was asked for, and tells the person.
    pub(super) async fn carry_out(self, desk: &Desk, busy: bool) {
        let Self { interaction, place, responder, received } = self;
        let end = End { desk, place, responder, received };
        if busy {
            return end.without_review(Outcome::NotRecorded(Obstacle::Busy), None).await;
        }
        match interaction {
            Interaction::Click(pressed) => end.pressed(pressed).await,
            Interaction::Submission(filled) => end.filled(filled).await,
            Interaction::Unknown(_) | Interaction::Nothing => {
                end.without_review(Outcome::Refused(Refusal::NotUnderstood), None).await;
            }
        }
    }
}

/// A click on its way to its end.
struct End<'a> {
    desk: &'a Desk,
    place: Place,
    responder: Responder,
    received: Instant,
}

/// For the log line: what is known of a review.
#[derive(Default)]
struct Known {
    request: String,
    decision: Option<Decision>,
    author: Option<String>,
}

impl End<'_> {
    async fn pressed(self, pressed: Pressed) {
        if !is_request_id(&pressed.value) {
            return self.without_review(Outcome::Refused(Refusal::NotUnderstood), None).await;
        }
        let decision = match pressed.button {
            Button::Decide(choice) => Some(decision_of(choice)),
            Button::WithReason => None,
        };
        let policy = self.desk.config.reason;
        let request = RequestId(pressed.value);
        match decision {
            Some(decision) if !decision.needs_reason(policy) => {
                let wish = self.wish(request, decision, String::new());
                self.review(wish, Shown::Message).await;
            }
            // A message from before the policy was changed.
            None if policy == ReasonPolicy::Never => {
                self.without_review(Outcome::Refused(Refusal::NotUnderstood), None).await;
            }
            decision => self.ask(request, decision).await,
        }
    }

    async fn filled(self, mut filled: Filled) {
        let Ok(metadata) = serde_json::from_str::<Metadata>(&filled.metadata) else {
            return self.without_review(Outcome::Refused(Refusal::NotUnderstood), None).await;
        };
        let chosen = match metadata.d.as_deref() {
            Some("approve") => Some(Decision::Approve),
            Some("deny") => Some(Decision::Deny),
            _ => filled.choice.map(decision_of),
        };
        let (Some(decision), true) = (chosen, is_request_id(&metadata.r)) else {
            return self.without_review(Outcome::Refused(Refusal::NotUnderstood), None).await;
        };
        let reason = clean_reason(&std::mem::take(&mut filled.reason));
        // A form has no conversation of its own: it is that of the click.
        let place = Place { channel: metadata.c, thread_ts: metadata.t, ..self.place.clone() };
        let end = End { place, ..self };
        let wish = end.wish(RequestId(metadata.r), decision, reason);
        end.review(wish, Shown::Form).await;
    }

    fn wish(&self, request: RequestId, decision: Decision, reason: String) -> Wish {
        Wish { request, decision, reason, clicker: self.clicker(), origin: self.origin() }
    }

    fn clicker(&self) -> Clicker {
        Clicker { user_id: self.place.user_id.clone(), team_id: self.place.user_team_id.clone() }
    }

    fn origin(&self) -> Origin {
        Origin {
            app_id: self.place.app_id.clone(),
            team_id: self.place.team_id.clone(),
            enterprise_id: self.place.enterprise_id.clone(),
        }
    }

    /// Who we are to Slack; none while that is not known.
    async fn home(&self) -> Option<Home> {
        let account = self.desk.context.slack.account().await.ok()?;
        let app_id = self.desk.app_id.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(Home { app_id, team_id: account.team_id, enterprise_id: account.enterprise_id })
    }

    // ---- a review

    /// Submits the review, and answers Slack afterwards; or in time, when that takes too long.
    async fn review(self, wish: Wish, shown: Shown) {
        let decision = wish.decision;
        let mut known = Known { request: wish.request.0.clone(), decision: Some(decision), author: None };
        let answer_at = self.received + ANSWER_WITHIN;
        let mut walk = std::pin::pin!(self.walk(wish));
        let (outcome, author, late) = match timeout_at(answer_at, &mut walk).await {
            Ok((outcome, author)) => (outcome, author, false),
            Err(_elapsed) => {
                // A form closes; a button stops to wait.
                self.responder.acknowledge(None);
                let (outcome, author) = walk.await;
                (outcome, author, true)
            }
        };
        known.author = author;
        let words = outcome.words(decision);
        let acknowledged = late || self.responder.acknowledge(shown.answer(&outcome, &words).as_ref());
        // The message shows what was recorded, and the form what was not; everything else needs words.
        let seen = !late && acknowledged && (outcome == Outcome::Recorded || matches!(shown, Shown::Form));
        self.note(&outcome, &known);
        if !seen {
            self.tell(&words).await;
        }
    }

    /// Walks the machine to its end.
    async fn walk(&self, wish: Wish) -> (Outcome, Option<String>) {
        let Some(home) = self.home().await else { return (Outcome::NotRecorded(Obstacle::NotReady), None) };
        let config = &self.desk.config;
        let policy = Policy {
            home,
            trait_name: config.slack_user_id_trait.clone(),
            allow_email: config.allow_email_match,
            reason: config.reason,
            checks_locks: self.desk.reviews.rights().lists_locks,
        };
        let slack_user = wish.clicker.user_id.clone();
        let mut machine = Machine::new(policy, wish.clone());
        let mut step = machine.begin(self.desk.known(&slack_user));
        let give_up = self.received + GIVE_UP_AFTER;
        let outcome = loop {
            if let Step::Done(outcome) = step {
                break outcome;
            }
            let answer = tokio::select! {
                answer = self.perform(step, &wish) => answer,
                () = sleep_until(give_up) => break machine.abandon(),
                () = self.desk.abandon.cancelled() => break machine.abandon(),
            };
            step = machine.handle(answer);
        };
        if let Some(identity) = machine.found() {
            self.desk.remember(&slack_user, identity);
        }
        (outcome, machine.author().map(str::to_owned))
    }

    async fn perform(&self, step: Step, wish: &Wish) -> Answer {
        if let Step::ReadProfile { user } = step {
            let profile = self.desk.context.slack.user_profile(&UserId::new(user)).await;
            return Answer::Profile(profile.map(Box::new).map_err(|error| {
                warn!(%error, "Slack does not tell who clicked");
                if error.code == "missing_scope" { Trouble::Refused } else { Trouble::Away }
            }));
        }
        let teleport = self.desk.context.teleport.borrow().clone();
        let away = || Trouble::Away;
        match step {
            Step::Done(_) | Step::ReadProfile { .. } => Answer::Waited,
            Step::Wait(time) => {
                sleep(time).await;
                Answer::Waited
            }
            Step::FindByTrait { name, value } => Answer::Users(match teleport {
                Some(teleport) => {
                    teleport.client.users_with_trait(&name, &value).await.map_err(|error| trouble(&error))
                }
                None => Err(away()),
            }),
            Step::FindByName(name) => Answer::User(match teleport {
                Some(teleport) => teleport.client.user(&name).await.map_err(|error| trouble(&error)),
                None => Err(away()),
            }),
            Step::CheckLocks(user) => Answer::Locked(match teleport {
                Some(teleport) => teleport.client.is_locked(&user).await.map_err(|error| trouble(&error)),
                None => Err(away()),
            }),
            Step::ReadRequest(id) => Answer::Request(self.read(&id).await.map(|request| request.map(Box::new))),
            Step::Submit { author } => {
                let Some(teleport) = teleport else { return Answer::Submitted(Err(SubmitError::Unclear)) };
                let review = Submission {
                    request: wish.request.clone(),
                    author,
                    approve: wish.decision == Decision::Approve,
                    reason: wish.reason.clone(),
                    created: Timestamp::now(),
                };
                Answer::Submitted(teleport.client.submit_review(&review).await.map(drop).map_err(|error| {
                    debug!(%error, request_id = %wish.request, "Teleport did not take a review");
                    SubmitError::of(&error)
                }))
            }
        }
    }

    async fn read(&self, id: &RequestId) -> Result<Option<AccessRequest>, Trouble> {
        let Some(teleport) = self.desk.context.teleport.borrow().clone() else { return Err(Trouble::Away) };
        match timeout(READ_WITHIN, teleport.client.access_request(id)).await {
            Ok(read) => read.map_err(|error| trouble(&error)),
            Err(_elapsed) => Err(Trouble::Away),
        }
    }

    // ---- a form

    /// Shows the form for a reason, while Slack permits it.
    async fn ask(self, request: RequestId, decision: Option<Decision>) {
        let known = Known { request: request.0.clone(), decision, author: None };
        let deadline = self.received + ANSWER_WITHIN;
        let standing = match timeout_at(deadline, self.home()).await {
            Ok(Some(home)) => standing(&home, &self.origin(), &self.clicker()),
            _ => return self.without_review(Outcome::NotRecorded(Obstacle::NotReady), Some(known)).await,
        };
        let foreign = match standing {
            Standing::Member | Standing::Unknown => None,
            Standing::Stranger => Some(Refusal::Stranger),
            Standing::ForeignTeam => Some(Refusal::ForeignTeam),
            Standing::ForeignApp => Some(Refusal::ForeignApp),
        };
        if let Some(refusal) = foreign {
            return self.without_review(Outcome::Refused(refusal), Some(known)).await;
        }
        let preview = timeout(PREVIEW_WITHIN, self.read(&request)).await;
        let mut form = ReviewForm {
            decision: decision.map(|decision| match decision {
                Decision::Approve => Choice::Approve,
                Decision::Deny => Choice::Deny,
            }),
            // Where the form asks for the decision, the machine says which of them needs a reason.
            reason_required: decision.map_or(self.desk.config.reason == ReasonPolicy::Always, |decision| {
                decision.needs_reason(self.desk.config.reason)
            }),
            ..ReviewForm::default()
        };
        match preview {
            Ok(Ok(None)) => return self.without_review(Outcome::Refused(Refusal::Gone), Some(known)).await,
            Ok(Ok(Some(read))) if read.state != RequestState::Pending => {
                return self.without_review(Outcome::Refused(Refusal::Resolved(read.state)), Some(known)).await;
            }
            Ok(Ok(Some(read))) if read.long_term => {
                return self.without_review(Outcome::Refused(Refusal::LongTerm), Some(known)).await;
            }
            Ok(Ok(Some(read))) => {
                form.wanted = read.roles.into_iter().chain(read.resources.iter().map(ToString::to_string)).collect();
                (form.user, form.request_reason) = (read.user, read.reason);
            }
            // It is read again when the form is submitted.
            Ok(Err(_)) | Err(_) => {}
        }
        let metadata = Metadata {
            r: request.0,
            d: decision.map(|decision| decision.label().to_owned()),
            c: self.place.channel.clone(),
            t: self.place.thread_ts.clone(),
        };
        form.metadata = json!(metadata).to_string();
        let trigger = self.place.trigger_id.clone().unwrap_or_default();
        let view = render_form(&form);
        match timeout_at(deadline, self.desk.context.slack.open_view(&trigger, &view)).await {
            Ok(Ok(())) => {
                debug!(request_id = known.request, slack_user = self.place.user_id, "Asked a person for a reason");
                if !self.responder.acknowledge(None) {
                    debug!("A form is open although its click could not be acknowledged");
                }
            }
            Ok(Err(error)) => {
                warn!(%error, "Cannot show the form for a reason");
                self.without_review(Outcome::NotRecorded(Obstacle::NoForm), Some(known)).await;
            }
            Err(_elapsed) => self.without_review(Outcome::NotRecorded(Obstacle::NoForm), Some(known)).await,
        }
    }

    // ---- the end

    /// Ends a click from which no review came.
    async fn without_review(self, outcome: Outcome, known: Option<Known>) {
        let known = known.unwrap_or_default();
        self.responder.acknowledge(None);
        self.note(&outcome, &known);
        let words = outcome.words(known.decision.unwrap_or(Decision::Approve));
        self.tell(&words).await;
    }

    async fn tell(&self, words: &str) {
        if self.place.user_id.is_empty() {
            debug!("Slack told of an interaction of no person");
            return;
        }
        if !tell(&self.desk.context.slack, &self.place, words).await {
            self.desk.context.metrics.review_untold();
        }
    }

    /// The one line of each click, for audits, and the counter.
    fn note(&self, outcome: &Outcome, known: &Known) {
        let (label, decision) = (outcome.label(), known.decision.map_or("none", Decision::label));
        info!(
            request_id = shorten(&known.request, 100),
            slack_user = shorten(&self.place.user_id, 50),
            slack_team = self.place.user_team_id.as_deref().map(|team| shorten(team, 50)),
            teleport_user = known.author.as_deref().map(|author| shorten(author, 200)),
            decision,
            outcome = label,
            "Review from Slack"
        );
        self.desk.context.metrics.review(decision, label, self.received.elapsed());
    }
}

/// Where the person sees what became of the click.
#[derive(Clone, Copy)]
enum Shown {
    Message,
    Form,
}

impl Shown {
    /// What the acknowledgement says: errors stay in the form, under the reason.
    fn answer(self, outcome: &Outcome, words: &str) -> Option<Value> {
        match self {
            Self::Form if !outcome.is_success() => {
                Some(json!({"response_action": "errors", "errors": {REASON_BLOCK: words}}))
            }
            Self::Form | Self::Message => None,
        }
    }
}

fn decision_of(choice: Choice) -> Decision {
    match choice {
        Choice::Approve => Decision::Approve,
        Choice::Deny => Decision::Deny,
    }
}

fn trouble(error: &CallError) -> Trouble {
    match error.kind {
        Kind::AccessDenied | Kind::Unimplemented => Trouble::Refused,
        _ => Trouble::Away,
    }
}
