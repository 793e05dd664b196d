//! Reviews that this plugin submits for users: who they are, whether they are locked out, and the submission itself.
//!
//! Teleport has this since 18.11: the review names its author and carries `submitted_on_behalf_of_author`. The server asks whether the
//! plugin's role may submit for this author (`review_requests.submit_for_users`) and whether the author may review this request.
//! It does not ask the author for MFA.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio_stream::StreamExt as _;

use crate::access_request::{AccessRequest, RequestId, RequestState};
use crate::teleport::client::{Client, call, within};
use crate::teleport::convert;
use crate::teleport::error::{CallError, Kind};
use crate::teleport::pb::teleport::users::v1::{GetUserRequest, ListUsersRequest};
use crate::teleport::pb::{proto, types, wrappers};

/// How long one call on behalf of a person who waits may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// Users asked for per page.
const PAGE: i32 = 200;
/// A search that does not end after so many pages is given up: the server does not filter.
const MOST_PAGES: usize = 500;

/// A user of Teleport, as far as it matters who reviews.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// User name.
    pub name: String,
    /// The roles that the user holds.
    pub roles: Vec<String>,
    /// The user's traits.
    pub traits: BTreeMap<String, Vec<String>>,
    /// Locked after too many failed logins.
    pub locked: bool,
}

/// A review for a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The request.
    pub request: RequestId,
    /// The user who reviews.
    pub author: String,
    /// To approve; otherwise to deny.
    pub approve: bool,
    /// Why, in the reviewer's words.
    pub reason: String,
    /// When.
    pub created: Timestamp,
}

/// What this plugin's identity may do for reviewers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReviewRights {
    /// The users for whom it may submit; `*` for all. None where the server does not tell.
    pub submit_for_users: Option<Vec<String>>,
    /// It may list users.
    pub lists_users: bool,
    /// It may list locks.
    pub lists_locks: bool,
}

impl Client {
    /// The users whose trait `name` has the value `value`. Servers before 16 do not filter: it is done here too.
    pub async fn users_with_trait(&self, name: &str, value: &str) -> Result<Vec<User>, CallError> {
        let mut found = Vec::new();
        let mut page_token = String::new();
        for _ in 0..MOST_PAGES {
            let values = wrappers::StringValues { values: vec![value.to_owned()] };
            let traits = wrappers::LabelValues { values: [(name.to_owned(), values)].into() };
            let filter = types::UserFilter { traits: Some(traits), ..Default::default() };
            let query = ListUsersRequest { page_size: PAGE, page_token, filter: Some(filter), with_secrets: false };
            let mut users = self.users.clone();
            let send = |request| async move { users.list_users(request).await };
            let page = call("ListUsers", DEADLINE, query, send).await?;
            let has_value = |user: &User| user.traits.get(name).is_some_and(|values| values.iter().any(|v| v == value));
            found.extend(page.users.into_iter().map(user).filter(has_value));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(found);
            }
        }
        Err(CallError::deadline("ListUsers", DEADLINE))
    }

    /// The user of this name; none when there is none.
    pub async fn user(&self, name: &str) -> Result<Option<User>, CallError> {
        let query = GetUserRequest { name: name.to_owned(), current_user: false, with_secrets: false };
        let mut users = self.users.clone();
        let answer = call("GetUser", DEADLINE, query, |request| async move { users.get_user(request).await }).await;
        match answer {
            Ok(answer) => Ok(answer.user.map(user)),
            // A refusal may come as NotFound too, and then begins with these words.
            Err(error) if error.kind == Kind::NotFound && !error.message.starts_with("access denied") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a lock is in force on this user or on one of its roles.
    pub async fn is_locked(&self, user: &User) -> Result<bool, CallError> {
        let of_user = types::LockTarget { user: user.name.clone(), ..Default::default() };
        let of_roles = user.roles.iter().map(|role| types::LockTarget { role: role.clone(), ..Default::default() });
        let targets = std::iter::once(of_user).chain(of_roles).collect();
        Ok(self.locks(targets).await?.iter().any(|target| {
            (!target.user.is_empty() && target.user == user.name)
                || (target.user.is_empty() && !target.role.is_empty() && user.roles.contains(&target.role))
        }))
    }

    async fn locks(&self, targets: Vec<types::LockTarget>) -> Result<Vec<types::LockTarget>, CallError> {
        let mut auth = self.auth.clone();
        let query = proto::GetLocksRequest { targets, in_force_only: true };
        let answer = call("GetLocks", DEADLINE, query, |request| async move { auth.get_locks(request).await }).await?;
        let now = Timestamp::now();
        let specs = answer.locks.into_iter().filter_map(|lock| lock.spec);
        let in_force =
            specs.filter(|spec| convert::timestamp(spec.expires.as_ref()).is_none_or(|expires| now < expires));
        Ok(in_force.filter_map(|spec| spec.target).collect())
    }

    /// Submits a review for its author. Not idempotent, but Teleport takes one review of an author: a second one is refused.
    pub async fn submit_review(&self, review: &Submission) -> Result<Option<AccessRequest>, CallError> {
        let state = if review.approve { types::RequestState::Approved } else { types::RequestState::Denied };
        let submission = types::AccessReviewSubmission {
            request_id: review.request.0.clone(),
            review: Some(types::AccessReview {
                author: review.author.clone(),
                proposed_state: state.into(),
                reason: review.reason.clone(),
                created: Some(prost_types::Timestamp {
                    seconds: review.created.as_second(),
                    nanos: review.created.subsec_nanosecond(),
                }),
                submitted_on_behalf_of_author: true,
                ..Default::default()
            }),
        };
        let mut auth = self.auth.clone();
        let send = |request| async move { auth.submit_access_review(request).await };
        Ok(convert::access_request(call("SubmitAccessReview", DEADLINE, submission, send).await?))
    }

    /// What the identity in use may do for reviewers.
    pub async fn review_rights(&self) -> Result<ReviewRights, CallError> {
        let submit_for_users = match self.submit_for_users().await {
            Ok(users) => Some(users),
            Err(error) if matches!(error.kind, Kind::Unimplemented | Kind::AccessDenied) => None,
            Err(error) => return Err(error),
        };
        let query = ListUsersRequest { page_size: 1, ..Default::default() };
        let mut users = self.users.clone();
        let listed = call("ListUsers", DEADLINE, query, |request| async move { users.list_users(request).await });
        Ok(ReviewRights {
            submit_for_users,
            lists_users: permitted(listed.await)?,
            lists_locks: permitted(
                self.locks(vec![types::LockTarget { user: "-".to_owned(), ..Default::default() }]).await,
            )?,
        })
    }

    async fn submit_for_users(&self) -> Result<Vec<String>, CallError> {
        const METHOD: &str = "GetCurrentUserRoles";
        let mut auth = self.auth.clone();
        let mut roles =
            within(METHOD, DEADLINE, async { Ok(auth.get_current_user_roles(()).await?.into_inner()) }).await?;
        let (mut allowed, mut denied) = (Vec::new(), Vec::new());
        while let Some(role) = within(METHOD, DEADLINE, async { roles.next().await.transpose() }).await? {
            let spec = role.spec.unwrap_or_default();
            let users = |conditions: Option<types::RoleConditions>| {
                conditions.and_then(|conditions| conditions.review_requests).unwrap_or_default().submit_for_users
            };
            allowed.extend(users(spec.allow));
            denied.extend(users(spec.deny));
        }
        if denied.iter().any(|user| user == "*") {
            allowed.clear();
        }
        allowed.retain(|user| !denied.contains(user));
        Ok(allowed)
    }
}

fn permitted<T>(outcome: Result<T, CallError>) -> Result<bool, CallError> {
    match outcome {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind, Kind::AccessDenied | Kind::Unimplemented) => Ok(false),
        Err(error) => Err(error),
    }
}

fn user(message: types::UserV2) -> User {
    let spec = message.spec.unwrap_or_default();
    let now = Timestamp::now();
    let is_locked = |status: types::LoginStatus| {
        status.is_locked && convert::timestamp(status.lock_expires.as_ref()).is_none_or(|expires| now < expires)
    };
    User {
        name: message.metadata.unwrap_or_default().name,
        roles: spec.roles,
        traits: convert::labels(spec.traits),
        locked: spec.status.is_some_and(is_locked),
    }
}

/// What a refused submission means, as far as Teleport's words tell: it has no code of its own for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubmitError {
    /// The author has reviewed this request before.
    AlreadyReviewed,
    /// The request was decided before.
    AlreadyResolved,
    /// There is no such request (any more).
    Gone,
    /// This plugin's role does not permit reviews for this author.
    NotForAuthor,
    /// The author's roles do not permit this review.
    NotPermitted,
    /// The author's user does not exist (any more).
    NoSuchUser,
    /// The server knows no reviews.
    Unsupported,
    /// The server refuses the review as it is.
    Invalid,
    /// It may have been recorded, or not.
    Unclear,
}

impl SubmitError {
    /// Reads a failed submission.
    pub fn of(error: &CallError) -> Self {
        let says = |words: &str| error.message.contains(words);
        if says("has already reviewed") {
            return Self::AlreadyReviewed;
        }
        if says("has been already") {
            return Self::AlreadyResolved;
        }
        match error.kind {
            Kind::AlreadyExists => Self::AlreadyReviewed,
            Kind::AccessDenied if says("on behalf of") => Self::NotForAuthor,
            // Told as NotFound without further words where the role may not review for its users.
            Kind::AccessDenied if error.message == "access denied" => Self::NotForAuthor,
            Kind::AccessDenied => Self::NotPermitted,
            Kind::NotFound if says("user") && !says("access request") => Self::NoSuchUser,
            Kind::NotFound => Self::Gone,
            Kind::Unimplemented => Self::Unsupported,
            Kind::BadParameter => Self::Invalid,
            Kind::CompareFailed | Kind::TooLarge | Kind::LimitExceeded | Kind::Unavailable => Self::Unclear,
        }
    }
}

/// What a review proposes, in the words of the domain.
pub fn proposed(approve: bool) -> RequestState {
    if approve { RequestState::Approved } else { RequestState::Denied }
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use super::*;

    #[test]
    fn every_refusal_of_a_submission_is_told_apart() {
        for (status, expected) in [
            (Status::already_exists("x"), SubmitError::AlreadyReviewed),
            (Status::permission_denied("user \"bob\" has already reviewed this request"), SubmitError::AlreadyReviewed),
            (Status::permission_denied("the access request has been already approved"), SubmitError::AlreadyResolved),
            (
                Status::permission_denied("user \"bot\" cannot submit reviews on behalf of \"bob\""),
                SubmitError::NotForAuthor,
            ),
            (Status::permission_denied("user \"bob\" cannot submit reviews"), SubmitError::NotPermitted),
            (Status::not_found("cannot apply review to access request \"1\" (not found)"), SubmitError::Gone),
            (Status::not_found("user \"bob\" not found"), SubmitError::NoSuchUser),
            (Status::not_found("access denied"), SubmitError::NotForAuthor),
            (Status::unimplemented("x"), SubmitError::Unsupported),
            (Status::invalid_argument("x"), SubmitError::Invalid),
            (Status::unavailable("x"), SubmitError::Unclear),
            (Status::unknown("x"), SubmitError::Unclear),
            (Status::failed_precondition("x"), SubmitError::Unclear),
        ] {
            let error = CallError::new("SubmitAccessReview", &status);
            assert_eq!(SubmitError::of(&error), expected, "{status:?}");
        }
    }
}
