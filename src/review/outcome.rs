//! How a click ends, and what the person is told. Pure.
//!
//! The words are plain text: who shows them as Slack's mrkdwn escapes them. They say why, and what to do.

use crate::access_request::RequestState;
use crate::review::{Decision, LONGEST_REASON};

/// The end of one click or form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Teleport recorded the review.
    Recorded,
    /// The same review was recorded before, by an earlier click of the same person.
    Repeated,
    /// The review may not be recorded.
    Refused(Refusal),
    /// The review could not be recorded; nothing was.
    NotRecorded(Obstacle),
    /// Teleport did not say whether it recorded the review.
    Unknown,
}

/// Why a review may not be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The envelope is for another app.
    ForeignApp,
    /// The envelope is of another workspace, or of none.
    ForeignTeam,
    /// The person is of another company.
    Stranger,
    /// A guest, and only the e-mail address could tell who it is.
    Guest,
    /// A bot.
    Bot,
    /// A deactivated user.
    Deactivated,
    /// The profile has no address, or Slack does not show it.
    NoEmail,
    /// The profile's address is not confirmed.
    UnconfirmedEmail,
    /// The Teleport user of this address is tied to another Slack user.
    EmailOfAnother,
    /// No Teleport user is tied to this Slack user.
    NoTeleportUser {
        /// The Slack user.
        slack_user: String,
        /// The trait that was searched, if one is.
        trait_name: Option<String>,
        /// The address that was searched, if one was.
        email: Option<String>,
    },
    /// Several Teleport users are tied to this Slack user.
    SeveralTeleportUsers {
        /// The Slack user.
        slack_user: String,
        /// The trait that was searched.
        trait_name: String,
        /// Their names.
        users: Vec<String>,
    },
    /// The Teleport user is locked.
    Locked,
    /// The requester would review the own request.
    OwnRequest,
    /// The Teleport user's roles do not permit this review.
    NotPermitted,
    /// This plugin's role does not permit reviews for the user.
    PluginNotPermitted,
    /// The Teleport user is gone.
    NoSuchUser,
    /// Teleport knows no reviews by plugins.
    Unsupported,
    /// The person decided otherwise before.
    DecidedOtherwise(Decision),
    /// The person has reviewed before; which way cannot be seen.
    ReviewedBefore,
    /// The request was decided before.
    Resolved(RequestState),
    /// The request is gone: expired or deleted, or it never was.
    Gone,
    /// A long-term request, which is decided in Teleport.
    LongTerm,
    /// A reason is needed.
    ReasonMissing,
    /// The reason is longer than Teleport takes.
    ReasonTooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// Teleport refuses the review for a reason of its own.
    Invalid,
    /// The button or the form is not ours.
    NotUnderstood,
}

/// What stood in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Teleport does not answer.
    TeleportAway,
    /// Slack does not tell who clicked.
    SlackAway,
    /// This plugin may not look up users in Teleport.
    NoLookUp,
    /// The form could not be shown.
    NoForm,
    /// Too many clicks at once.
    Busy,
    /// It is not known yet which workspace and app we are.
    NotReady,
}

impl Outcome {
    /// As in logs and metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Repeated => "repeated",
            Self::Unknown => "unknown",
            Self::NotRecorded(Obstacle::TeleportAway) => "teleport_away",
            Self::NotRecorded(Obstacle::SlackAway) => "slack_away",
            Self::NotRecorded(Obstacle::NoLookUp) => "no_look_up",
            Self::NotRecorded(Obstacle::NoForm) => "no_form",
            Self::NotRecorded(Obstacle::Busy) => "busy",
            Self::NotRecorded(Obstacle::NotReady) => "not_ready",
            Self::Refused(refusal) => refusal.label(),
        }
    }

    /// Whether the review stands in Teleport.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Recorded | Self::Repeated)
    }

    /// What the person is told.
    pub fn words(&self, decision: Decision) -> String {
        let done = decision.done();
        match self {
            Self::Recorded => format!("Your review is recorded in Teleport: you {done} this request."),
            Self::Repeated => format!("You have already {done} this request. Your review stands."),
            Self::Unknown => {
                "Teleport did not answer, and it is not known whether your review was recorded. Look at the message or in \
                 Teleport. To click again does no harm: Teleport takes one review of each person."
                    .to_owned()
            }
            Self::NotRecorded(obstacle) => format!("Your review was not recorded: {}", obstacle.words()),
            Self::Refused(refusal) => refusal.words(),
        }
    }
}

impl Obstacle {
    fn words(self) -> &'static str {
        match self {
            Self::TeleportAway => {
                "Teleport does not answer at the moment. Try again in a minute, or review in Teleport."
            }
            Self::SlackAway => "Slack did not tell who you are. Try again in a minute.",
            Self::NoLookUp => {
                "this app may not look up users in Teleport. Ask your Teleport administrator to give its role the verbs list \
                 and read on the resource user."
            }
            Self::NoForm => "the form for your reason could not be shown. Click again.",
            Self::Busy => "too many people are clicking at once. Try again in a minute.",
            Self::NotReady => "this app is still starting. Try again in a minute.",
        }
    }
}

impl Refusal {
    /// As in logs and metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::ForeignApp => "foreign_app",
            Self::ForeignTeam => "foreign_team",
            Self::Stranger => "stranger",
            Self::Guest => "guest",
            Self::Bot => "bot",
            Self::Deactivated => "deactivated",
            Self::NoEmail => "no_email",
            Self::UnconfirmedEmail => "unconfirmed_email",
            Self::EmailOfAnother => "email_of_another",
            Self::NoTeleportUser { .. } => "no_teleport_user",
            Self::SeveralTeleportUsers { .. } => "several_teleport_users",
            Self::Locked => "locked",
            Self::OwnRequest => "own_request",
            Self::NotPermitted => "not_permitted",
            Self::PluginNotPermitted => "plugin_not_permitted",
            Self::NoSuchUser => "no_such_user",
            Self::Unsupported => "unsupported",
            Self::DecidedOtherwise(_) => "decided_otherwise",
            Self::ReviewedBefore => "reviewed_before",
            Self::Resolved(_) => "resolved",
            Self::Gone => "gone",
            Self::LongTerm => "long_term",
            Self::ReasonMissing => "reason_missing",
            Self::ReasonTooLong { .. } => "reason_too_long",
            Self::Invalid => "invalid",
            Self::NotUnderstood => "not_understood",
        }
    }

    /// What the person is told.
    pub fn words(&self) -> String {
        let fixed = match self {
            Self::ForeignApp => "This button belongs to another Slack app. Nothing was recorded.",
            Self::ForeignTeam => "This click comes from another Slack workspace. Nothing was recorded.",
            Self::Stranger => {
                "You belong to another company's Slack workspace. Only members of this workspace can review here. Nothing was \
                 recorded."
            }
            Self::Guest => {
                "Guests of this Slack workspace cannot review by their e-mail address. Review in Teleport, or ask your Teleport \
                 administrator to put your Slack user id into your user's traits. Nothing was recorded."
            }
            Self::Bot => "Apps and bots cannot review. Nothing was recorded.",
            Self::Deactivated => "Your Slack account is deactivated. Nothing was recorded.",
            Self::NoEmail => {
                "Your Slack profile shows no e-mail address, so it is not known who you are in Teleport. Ask your Teleport \
                 administrator to put your Slack user id into your user's traits. Nothing was recorded."
            }
            Self::UnconfirmedEmail => {
                "The e-mail address of your Slack profile is not confirmed. Confirm it in Slack and click again. Nothing was recorded."
            }
            Self::EmailOfAnother => {
                "The Teleport user with your e-mail address is tied to another Slack user. Ask your Teleport administrator to \
                 check the traits of that user. Nothing was recorded."
            }
            Self::Locked => "Your Teleport user is locked. Ask your Teleport administrator. Nothing was recorded.",
            Self::OwnRequest => "This is your own request: somebody else has to review it. Nothing was recorded.",
            Self::NotPermitted => {
                "Your roles in Teleport do not permit you to review this request. Ask your Teleport administrator for a role with \
                 review_requests for the requested roles. Nothing was recorded."
            }
            Self::PluginNotPermitted => {
                "This app may not submit reviews for you. Ask your Teleport administrator to add you to \
                 review_requests.submit_for_users of the app's role, or review in Teleport. Nothing was recorded."
            }
            Self::NoSuchUser => {
                "Your Teleport user does not exist at the moment. If you log in by single sign-on, log in to Teleport and click \
                 again. Nothing was recorded."
            }
            Self::Unsupported => {
                "This Teleport cluster takes no reviews from Slack: they need Teleport Enterprise 18.11 or newer. Nothing was \
                 recorded."
            }
            Self::ReviewedBefore => {
                "Teleport says that you have already reviewed this request, and takes one review of each person. Nothing more \
                 was recorded."
            }
            Self::Gone => "This request has expired or was deleted. Nothing was recorded.",
            Self::LongTerm => "Long-term requests are reviewed in Teleport, not in Slack. Nothing was recorded.",
            Self::ReasonMissing => "A reason is needed. Click again and give one. Nothing was recorded.",
            Self::Invalid => "Teleport refuses this review. Review in Teleport to see why. Nothing was recorded.",
            Self::NotUnderstood => {
                "This app does not know this button: the message may be too old. Review in Teleport. Nothing was recorded."
            }
            Self::NoTeleportUser { slack_user, trait_name, email } => {
                return no_user(slack_user, trait_name.as_deref(), email.as_deref());
            }
            Self::SeveralTeleportUsers { slack_user, trait_name, users } => {
                return format!(
                    "{} Teleport users have your Slack user id {slack_user} in the trait {trait_name}, so it is not known which of \
                     them you are. Ask your Teleport administrator to leave it to one of them. Nothing was recorded.",
                    users.len()
                );
            }
            Self::DecidedOtherwise(earlier) => {
                return format!(
                    "You have already {} this request, and Teleport takes one review of each person. Nothing more was recorded.",
                    earlier.done()
                );
            }
            Self::Resolved(state) => {
                let state = match state {
                    RequestState::Approved => "approved",
                    RequestState::Denied => "denied",
                    RequestState::Promoted => "turned into long-term access",
                    RequestState::Pending | RequestState::Unknown => "decided",
                };
                return format!("This request has already been {state}. Nothing was recorded.");
            }
            Self::ReasonTooLong { bytes } => {
                return format!(
                    "The reason is too long: {bytes} bytes, and Teleport takes {LONGEST_REASON}. Shorten it. Nothing was recorded."
                );
            }
        };
        fixed.to_owned()
    }
}

/// The sentence that an administrator needs.
fn no_user(slack_user: &str, trait_name: Option<&str>, email: Option<&str>) -> String {
    let searched = match (trait_name, email) {
        (Some(name), None) => format!("No Teleport user has your Slack user id {slack_user} in the trait {name}."),
        (Some(name), Some(email)) => format!(
            "No Teleport user has your Slack user id {slack_user} in the trait {name}, and none is named {email} as your Slack \
             profile is."
        ),
        (None, Some(email)) => format!("No Teleport user is named {email}, the e-mail address of your Slack profile."),
        (None, None) => "It is not known who you are in Teleport.".to_owned(),
    };
    let remedy = match trait_name {
        Some(name) => format!(
            "Ask your Teleport administrator to set it, in capital letters as it stands here: tctl users update YOU --set-traits \
             {name}={slack_user}, or in the identity provider. If you log in by single sign-on, log in to Teleport once."
        ),
        None => "Review in Teleport, or ask your Teleport administrator.".to_owned(),
    };
    format!("{searched} {remedy} Nothing was recorded.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_for_an_administrator_names_trait_and_value() {
        let refusal = Refusal::NoTeleportUser {
            slack_user: "U0BOB".to_owned(),
            trait_name: Some("slack_user_id".to_owned()),
            email: None,
        };
        let words = refusal.words();
        assert!(words.contains("--set-traits slack_user_id=U0BOB"), "{words}");
    }

    #[test]
    fn what_was_not_recorded_is_said_to_be_so() {
        let refusals = [
            Refusal::ForeignApp,
            Refusal::Stranger,
            Refusal::Guest,
            Refusal::OwnRequest,
            Refusal::NotPermitted,
            Refusal::Gone,
            Refusal::Resolved(RequestState::Approved),
            Refusal::ReasonTooLong { bytes: 9000 },
            Refusal::NotUnderstood,
        ];
        for refusal in refusals {
            assert!(refusal.words().ends_with("Nothing was recorded."), "{refusal:?}");
        }
        for obstacle in [Obstacle::TeleportAway, Obstacle::Busy, Obstacle::NoForm, Obstacle::SlackAway] {
            let words = Outcome::NotRecorded(obstacle).words(Decision::Deny);
            assert!(words.starts_with("Your review was not recorded: "), "{words}");
        }
        let unknown = Outcome::Unknown.words(Decision::Approve);
        assert!(unknown.contains("not known whether"), "{unknown}");
    }
}
