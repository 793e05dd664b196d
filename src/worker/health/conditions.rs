//! Facts → what the status says: pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::crd::condition::{Finding, Status};
use crate::crd::reason::Reason;
use crate::crd::status::{
    DELIVERING, DeliveryStatus, IDENTITY_VALID, RECIPIENTS_RESOLVED, REVIEW_CONNECTED, REVIEW_ENABLED, RecipientState,
    RecipientStatus, SLACK_CONNECTED, SlackStatus, TELEPORT_CONNECTED, TeleportStatus,
};
use crate::worker::health::report::{Delayed, IdentityReport, Probed, Report};

use crate::worker::recipient_check::Reach;

/// This many failed recipients are named in the condition; all of them are in the list.
const NAMED: usize = 3;
/// What is said of a recipient that is being looked for.
const BEING_LOOKED_UP: &str = "being looked up";

/// The worker's part of the status, but for the times of transitions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkerReport {
    /// Each of the worker's conditions, by type.
    pub conditions: Vec<(&'static str, Check)>,
    /// The cluster and the identity.
    pub teleport: TeleportStatus,
    /// The workspace and the bot.
    pub slack: SlackStatus,
    /// Every recipient of the configuration.
    pub recipients: Vec<RecipientStatus>,
    /// Messages under way.
    pub delivery: DeliveryStatus,
}

/// Whether one condition holds, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Whether it holds.
    pub status: Status,
    /// Why.
    pub finding: Finding,
}

impl Check {
    /// The part works.
    pub fn ok(message: impl Into<String>) -> Self {
        Self { status: Status::True, finding: Finding::new(Reason::Ok, message) }
    }

    /// The part does not work.
    pub const fn failed(finding: Finding) -> Self {
        Self { status: Status::False, finding }
    }

    /// Nothing is known of the part yet.
    pub fn pending(message: impl Into<String>) -> Self {
        Self { status: Status::Unknown, finding: Finding::new(Reason::Pending, message) }
    }

    fn untried() -> Self {
        Self::pending("not tried yet")
    }
}

impl WorkerReport {
    /// What the status says at `now`.
    #[must_use]
    pub fn of(report: &Report, now: Timestamp) -> Self {
        let (slack_check, recipients) = (slack_connected(report), recipients(report));
        let review = report.review.iter().flat_map(|review| {
            [(REVIEW_ENABLED, probed(&review.enabled)), (REVIEW_CONNECTED, probed(&review.connected))]
        });
        Self {
            conditions: [
                (IDENTITY_VALID, identity(report, now)),
                (TELEPORT_CONNECTED, teleport_connected(report)),
                (RECIPIENTS_RESOLVED, recipients_resolved(&recipients, slack_check.status)),
                (SLACK_CONNECTED, slack_check),
                (DELIVERING, delivering(report)),
            ]
            .into_iter()
            .chain(review)
            .collect(),
            teleport: teleport(report),
            slack: slack(report),
            recipients,
            delivery: delivery(report),
        }
    }

    /// Whether everything was tried, or enough to know what does not work.
    pub(super) fn has_tried(&self) -> bool {
        let any = |status| self.conditions.iter().any(|(_, check)| check.status == status);
        any(Status::False) || !(self.conditions.is_empty() || any(Status::Unknown))
    }
}

fn probed(probed: &Probed) -> Check {
    match probed {
        None => Check::untried(),
        Some(Ok(message)) => Check::ok(message),
        Some(Err(problem)) => Check::failed(problem.clone()),
    }
}

fn identity(report: &Report, now: Timestamp) -> Check {
    let Some(IdentityReport { user, valid_from, expires, joined }) = &report.identity else {
        return report.identity_problem.clone().map_or_else(Check::untried, Check::failed);
    };
    if *joined && let Some(problem) = &report.identity_problem {
        return renewal(user, *expires, problem, now);
    }
    if *expires <= now {
        let message = format!(
            "the identity of {user} expired at {expires}: sign a new one (tctl auth sign --user={user}) and update the Secret"
        );
        return Check::failed(Finding::new(Reason::IdentityExpired, message));
    }
    if let Some(Finding { reason, message }) = &report.identity_problem {
        let message =
            format!("the new identity cannot be used, the old one of {user} serves until {expires}: {message}");
        return Check::failed(Finding::new(*reason, message));
    }
    // With tbot's rhythm a third of the life is left when it is renewed.
    let life = valid_from.duration_until(*expires);
    if now.duration_until(*expires) < life / 10 {
        let message = format!("identity of {user}; it ends soon, at {expires}, and its renewal is overdue");
        return Check { status: Status::True, finding: Finding::new(Reason::IdentityExpiresSoon, message) };
    }
    Check::ok(format!("identity of {user}, valid until {expires}"))
}

/// What it means that joining again fails: nothing yet, as long as the last certificate serves. A lock concerns that, too.
fn renewal(user: &str, expires: Timestamp, problem: &Finding, now: Timestamp) -> Check {
    let Finding { reason, message } = problem;
    if expires <= now {
        let message = format!("the identity of {user} expired at {expires}, and joining again fails: {message}");
        return Check::failed(Finding::new(*reason, message));
    }
    if *reason == Reason::IdentityLocked {
        return Check::failed(problem.clone());
    }
    let message =
        format!("the identity of {user} serves until {expires}, but joining again fails ({reason}): {message}");
    Check { status: Status::True, finding: Finding::new(Reason::RenewalFailing, message) }
}

fn teleport_connected(report: &Report) -> Check {
    match (report.teleport_problem.as_ref().or(report.name_shared.as_ref()), &report.teleport) {
        (Some(problem), _) => Check::failed(problem.clone()),
        (None, Some(teleport)) => {
            Check::ok(format!("connected to {} ({}) {}", teleport.cluster, teleport.version, teleport.route))
        }
        (None, None) if report.identity.is_none() => Check::pending("an identity is needed first"),
        (None, None) => Check::untried(),
    }
}

fn slack_connected(report: &Report) -> Check {
    match (&report.slack_problem, &report.slack) {
        (Some(problem), _) => Check::failed(problem.clone()),
        (None, Some(account)) => Check::ok(format!("connected to {} as {}", account.team, account.user)),
        (None, None) => Check::untried(),
    }
}

/// Whether every recipient can be reached.
fn recipients_resolved(recipients: &[RecipientStatus], slack: Status) -> Check {
    let failed: Vec<_> =
        recipients.iter().filter(|recipient| recipient.state == RecipientState::Failed).map(problem).collect();
    if !failed.is_empty() {
        let named = failed.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join("; ");
        let more = failed.len().saturating_sub(NAMED);
        let message = if more == 0 { named } else { format!("{named}; and {more} more, see .status.recipients") };
        return Check::failed(Finding::new(Reason::RecipientFailed, message));
    }
    let is_being_looked_up = |recipient: &&RecipientStatus| {
        recipient.state == RecipientState::Unknown && recipient.message.as_deref() == Some(BEING_LOOKED_UP)
    };
    let looked_up = recipients.iter().filter(is_being_looked_up).count();
    if looked_up > 0 {
        return Check::pending(format!("{looked_up} of {} recipients are being looked up", recipients.len()));
    }
    let mut moved = recipients.iter().filter(|recipient| recipient.state == RecipientState::Resolved);
    if let Some(message) = moved.find_map(|recipient| recipient.message.as_deref()) {
        return Check { status: Status::True, finding: Finding::new(Reason::ChannelMoved, message) };
    }
    let unknown = recipients.iter().filter(|recipient| recipient.state == RecipientState::Unknown).count();
    let found = recipients.len() - unknown;
    match (found, unknown) {
        (0, 0) if slack == Status::True => Check::pending("recipients are being looked up"),
        (0, 0) => Check::pending("recipients are looked up once Slack is connected"),
        (_, 0) => Check::ok(format!("{found} recipients can be reached")),
        // The bot may post where it may not look: the scopes of Teleport's guide are enough.
        _ => Check::ok(format!(
            "{found} recipients can be reached, {unknown} cannot be checked before the first message (the scopes channels:read and groups:read would permit it)"
        )),
    }
}

fn problem(recipient: &RecipientStatus) -> String {
    let name = &recipient.name;
    format!("{name}: {}", recipient.message.as_deref().unwrap_or("cannot be reached"))
}

/// Whether each message is told within a minute, whatever would keep it.
fn delivering(report: &Report) -> Check {
    if let Some(first) = report.delivery.set_aside.first() {
        let count = report.delivery.set_aside.len();
        let message = format!(
            "{count} requests are set aside, because working on them has crashed again and again; the first is {first}: please report this with the worker's log"
        );
        return Check::failed(Finding::new(Reason::Delayed, message));
    }
    let Some(Delayed { messages, since }) = report.delayed else {
        return if report.listed {
            Check::ok("no message waits for longer than a minute")
        } else {
            Check::pending("access requests are listed once Teleport is connected")
        };
    };
    let cause = report.delivery.problems.iter().next().map_or_else(
        || "see the worker's log for the cause".to_owned(),
        |(name, problem)| format!("{name}: {}", problem.remedy),
    );
    let message = format!("{messages} messages wait, the oldest since {since}; {cause}");
    Check::failed(Finding::new(Reason::Delayed, message))
}

fn teleport(report: &Report) -> TeleportStatus {
    let teleport = report.teleport.as_ref();
    TeleportStatus {
        cluster: teleport.map(|teleport| teleport.cluster.clone()),
        server_version: teleport.map(|teleport| teleport.version.clone()),
        route: teleport.map(|teleport| teleport.route.clone()),
        identity_user: report.identity.as_ref().map(|identity| identity.user.clone()),
        identity_expires_at: report.identity.as_ref().map(|identity| Time(identity.expires)),
    }
}

fn slack(report: &Report) -> SlackStatus {
    let Some(account) = &report.slack else { return SlackStatus::default() };
    SlackStatus {
        team: Some(account.team.clone()),
        team_id: Some(account.team_id.clone()),
        enterprise_id: account.enterprise_id.clone(),
        bot_user: Some(account.user.clone()),
    }
}

/// Every configured recipient, and any other (a suggested reviewer) whom a message did not reach.
fn recipients(report: &Report) -> Vec<RecipientStatus> {
    let Some(configured) = &report.recipients else { return Vec::new() };
    let problems: Vec<_> = report.delivery.problems.iter().filter(|(_, problem)| problem.of_recipient).collect();
    let problem =
        |name: &str| problems.iter().find(|(other, _)| *other == name).map(|(_, problem)| problem.remedy.clone());
    let mut recipients: Vec<_> = configured
        .iter()
        .map(|(name, reach)| {
            let (id, state, message) = match reach {
                Reach::Reachable { id } => (Some(id.clone()), RecipientState::Resolved, None),
                Reach::Moved { id, message } => (Some(id.clone()), RecipientState::Resolved, Some(message.clone())),
                Reach::Unreachable { id, remedy } => (id.clone(), RecipientState::Failed, Some(remedy.clone())),
                Reach::Unknown => (None, RecipientState::Unknown, None),
                Reach::Sought => (None, RecipientState::Unknown, Some(BEING_LOOKED_UP.to_owned())),
            };
            match problem(name) {
                Some(remedy) => failed_recipient(name, id, remedy),
                None => RecipientStatus { name: name.clone(), id, state, message },
            }
        })
        .collect();
    let others = problems.iter().filter(|(name, _)| !configured.contains_key(*name));
    recipients.extend(others.map(|(name, problem)| failed_recipient(name, None, problem.remedy.clone())));
    recipients
}

fn failed_recipient(name: &str, id: Option<String>, remedy: String) -> RecipientStatus {
    RecipientStatus { name: name.to_owned(), id, state: RecipientState::Failed, message: Some(remedy) }
}

fn delivery(report: &Report) -> DeliveryStatus {
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let summary = &report.delivery;
    DeliveryStatus {
        pending: count(report.open_requests),
        failing: count(summary.failing_requests),
        unrouted: count(summary.unrouted),
        unreachable_reviewers: count(summary.unreachable_reviewers),
        last_unrouted: summary.last_unrouted.clone(),
        last_success_time: summary.last_success.map(Time),
        last_error: summary.problems.iter().next().map(|(name, problem)| format!("{name}: {}", problem.remedy)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::slack::api::Account;
    use crate::worker::health::conditions::*;
    use crate::worker::health::report::{ReviewReport, TeleportReport};
    use crate::worker::health::undelivered::{Problem, Summary};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn working() -> Report {
        Report {
            identity: Some(IdentityReport {
                user: "access-plugin".to_owned(),
                valid_from: at(0),
                expires: at(3600),
                joined: false,
            }),
            teleport: Some(TeleportReport {
                cluster: "example".to_owned(),
                version: "18.0.0".to_owned(),
                route: "directly".to_owned(),
            }),
            slack: Some(Account { team: "Acme".to_owned(), user: "teleport".to_owned(), ..Account::default() }),
            recipients: Some(BTreeMap::from([("#dba".to_owned(), Reach::Reachable { id: "C1".to_owned() })])),
            listed: true,
            ..Report::default()
        }
    }

    fn view_at(report: &Report, now: Timestamp) -> WorkerReport {
        WorkerReport::of(report, now)
    }

    fn check<'a>(report: &'a WorkerReport, type_: &str) -> &'a Check {
        report.conditions.iter().find(|(other, _)| *other == type_).map(|(_, check)| check).unwrap()
    }

    fn reason_of(check: &Check) -> (Reason, &str) {
        (check.finding.reason, &check.finding.message)
    }

    #[test]
    fn everything_that_works_is_said_to_work() {
        let said = view_at(&working(), at(10));
        for (type_, check) in &said.conditions {
            assert_eq!((check.status, check.finding.reason), (Status::True, Reason::Ok), "{type_}");
        }
        assert_eq!(said.recipients[0].state, RecipientState::Resolved);
    }

    #[test]
    fn nothing_is_claimed_before_it_was_tried() {
        let said = view_at(&Report::default(), at(10));
        assert!(said.conditions.iter().all(|(_, check)| check.status == Status::Unknown), "{said:?}");
        assert!(said.recipients.is_empty());
    }

    #[test]
    fn an_identity_expires_without_anybody_reporting_it() {
        let said = view_at(&working(), at(3600));
        let (why, message) = reason_of(check(&said, IDENTITY_VALID));
        assert_eq!(why, Reason::IdentityExpired);
        assert!(message.contains("tctl auth sign --user=access-plugin"), "{message}");
        let said = view_at(&working(), at(3300));
        assert_eq!(check(&said, IDENTITY_VALID).finding.reason, Reason::IdentityExpiresSoon);
    }

    #[test]
    fn reviews_have_conditions_only_where_they_are_on() {
        let off = view_at(&working(), at(10));
        assert!(off.conditions.iter().all(|(type_, _)| ![REVIEW_ENABLED, REVIEW_CONNECTED].contains(type_)));
        let problem = Finding::new(Reason::TeleportTooOld, "upgrade it");
        let review = ReviewReport { enabled: Some(Err(problem)), connected: None };
        let on = view_at(&Report { review: Some(review), ..working() }, at(10));
        assert_eq!(check(&on, REVIEW_ENABLED).finding.reason, Reason::TeleportTooOld);
        assert_eq!(check(&on, REVIEW_CONNECTED).status, Status::Unknown);
    }

    #[test]
    fn a_message_that_waits_for_longer_than_a_minute_fails_whatever_the_cause() {
        let summary = Summary { configured: 2, oldest_configured: Some(at(100)), ..Summary::default() };
        assert_eq!(Delayed::find(&summary, at(159)), None);
        let delayed = Delayed::find(&summary, at(160));
        assert_eq!(delayed, Some(Delayed { messages: 2, since: at(100) }));
        let said = view_at(&Report { delayed, ..working() }, at(160));
        let check = check(&said, DELIVERING);
        assert_eq!((check.status, check.finding.reason), (Status::False, Reason::Delayed));
    }

    #[test]
    fn many_failed_recipients_are_counted() {
        let failed = |name: &str| failed_recipient(name, None, "no such channel".to_owned());
        let recipients: Vec<_> = ["a", "b", "c", "d", "e"].into_iter().map(failed).collect();
        assert_eq!(
            recipients_resolved(&recipients, Status::True).finding.message,
            "a: no such channel; b: no such channel; c: no such channel; and 2 more, see .status.recipients"
        );
    }

    #[test]
    fn recipients_are_unknown_until_they_were_looked_for_and_need_not_be_visible() {
        let one = |state| RecipientStatus { name: "a".to_owned(), id: None, state, message: None };
        assert_eq!(recipients_resolved(&[], Status::True).status, Status::Unknown);
        assert_eq!(recipients_resolved(&[one(RecipientState::Unknown)], Status::True).status, Status::True);
        assert_eq!(recipients_resolved(&[one(RecipientState::Resolved)], Status::True).status, Status::True);
    }

    #[test]
    fn a_worker_has_tried_when_all_is_known_or_something_failed() {
        assert!(view_at(&working(), at(10)).has_tried());
        let lacking: [fn(&mut Report); 3] =
            [|report| report.teleport = None, |report| report.slack = None, |report| report.recipients = None];
        for lack in lacking {
            let mut report = working();
            lack(&mut report);
            assert!(!view_at(&report, at(10)).has_tried(), "{report:?}");
        }
        let looked_up = Some(BTreeMap::from([("#dba".to_owned(), Reach::Sought)]));
        assert!(!view_at(&Report { recipients: looked_up, ..working() }, at(10)).has_tried());
        let problem = Some(Finding::new(Reason::TokenRefused, ""));
        let refused = Report { teleport: None, slack_problem: problem, ..working() };
        assert!(view_at(&refused, at(10)).has_tried(), "what does not work is worth saying");
    }

    #[test]
    fn a_broken_new_identity_is_reported_together_with_the_old_one_that_still_serves() {
        let problem = Finding::new(Reason::IdentityMalformed, "no PEM block in it");
        let said = view_at(&Report { identity_problem: Some(problem), ..working() }, at(10));
        let (why, message) = reason_of(check(&said, IDENTITY_VALID));
        assert_eq!(why, Reason::IdentityMalformed);
        assert!(message.contains("no PEM block") && message.contains("1970-01-01T01:00:00Z"), "{message}");
    }

    #[test]
    fn a_channel_that_has_moved_is_said_and_fails_nothing() {
        let moved = Reach::Moved { id: "C1".to_owned(), message: "#dba was the channel C1".to_owned() };
        let report = Report { recipients: Some(BTreeMap::from([("#dba".to_owned(), moved)])), ..Report::default() };
        let check = recipients_resolved(&recipients(&report), Status::True);
        assert_eq!((check.status, check.finding.reason), (Status::True, Reason::ChannelMoved));
        assert_eq!(check.finding.message, "#dba was the channel C1");
    }

    #[test]
    fn a_renewal_that_fails_costs_nothing_until_the_certificate_ends() {
        let mut report = working();
        report.identity.as_mut().unwrap().joined = true;
        let said = |report: &Report, second| {
            let check = check(&view_at(report, at(second)), IDENTITY_VALID).clone();
            (check.status, check.finding.reason, check.finding.message)
        };
        report.identity_problem = Some(Finding::new(Reason::JoinNotAllowed, "add an allow rule"));
        let (status, reason, message) = said(&report, 10);
        assert_eq!((status, reason), (Status::True, Reason::RenewalFailing));
        assert!(message.contains("JoinNotAllowed") && message.contains("add an allow rule"), "{message}");
        let (status, reason, _) = said(&report, 3600);
        assert_eq!((status, reason), (Status::False, Reason::JoinNotAllowed));
        report.identity_problem = Some(Finding::new(Reason::IdentityLocked, "maintenance"));
        let (status, reason, _) = said(&report, 10);
        assert_eq!((status, reason), (Status::False, Reason::IdentityLocked));
    }

    #[test]
    fn a_recipient_that_a_message_did_not_reach_is_named_with_its_remedy() {
        let problem = Problem {
            code: "not_in_channel".to_owned(),
            remedy: "invite @teleport to #dba".to_owned(),
            of_recipient: true,
        };
        let mut report = working();
        report.delivery.problems.insert("#dba".to_owned(), problem.clone());
        report.delivery.problems.insert("bob@example.com".to_owned(), problem);
        let said = view_at(&report, at(10));
        let states: Vec<_> =
            said.recipients.iter().map(|one| (one.name.as_str(), one.state, one.id.as_deref())).collect();
        assert_eq!(
            states,
            [("#dba", RecipientState::Failed, Some("C1")), ("bob@example.com", RecipientState::Failed, None)]
        );
    }
}
