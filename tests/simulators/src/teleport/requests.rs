//! The life of an access request once it is there: seen, reviewed, resolved, promoted.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::access::{Caller, matches_any};
use super::clock::time;
use super::config::Edition;
use super::creation::check_reason;
use super::error::Trace;
use super::pb::types::{
    AccessRequestFilter, AccessRequestScope, AccessRequestV3, AccessReview, PromotedAccessList, RequestState,
};
use super::review;
use super::role::Threshold;
use super::state::State;

/// A request to be created from inside, with none of the checks that a user meets.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewRequest {
    /// Who asks.
    pub user: String,
    /// For which roles.
    pub roles: Vec<String>,
    /// Why.
    pub reason: String,
    /// Whom the requester suggests.
    pub suggested_reviewers: Vec<String>,
    /// `kind/name` of requested resources.
    pub resources: Vec<String>,
    /// What the requester's roles say beside it.
    pub annotations: BTreeMap<String, Vec<String>>,
    /// Reviews needed; without any, those of the user's roles, or one approval or one denial.
    pub thresholds: Vec<Threshold>,
    /// The id; a new one without it.
    pub id: Option<String>,
    /// Seconds until it expires.
    pub ttl_seconds: Option<u64>,
    /// Whether it asks for long-term access.
    pub long_term: bool,
}

impl NewRequest {
    /// A request of a user for roles.
    pub fn new(user: &str, roles: &[&str]) -> Self {
        Self { user: user.to_owned(), roles: roles.iter().map(|&role| role.to_owned()).collect(), ..Self::default() }
    }

    /// With a reason.
    #[must_use]
    pub fn reason(mut self, reason: &str) -> Self {
        reason.clone_into(&mut self.reason);
        self
    }

    /// Expires after this long.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl_seconds = Some(ttl.as_secs());
        self
    }

    /// Needs this many approvals, or this many denials.
    #[must_use]
    pub fn threshold(mut self, approve: u32, deny: u32) -> Self {
        self.thresholds.push(Threshold::new(approve, deny));
        self
    }

    /// With suggested reviewers.
    #[must_use]
    pub fn suggest(mut self, reviewers: &[&str]) -> Self {
        self.suggested_reviewers = reviewers.iter().map(|&name| name.to_owned()).collect();
        self
    }

    /// Asks for a resource, `node/web-1` for example.
    #[must_use]
    pub fn resource(mut self, kind_and_name: &str) -> Self {
        self.resources.push(kind_and_name.to_owned());
        self
    }
}

/// One review, submitted from inside.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewReview {
    /// Who reviews.
    pub author: String,
    /// Approves, or denies.
    pub approve: bool,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

impl NewReview {
    /// An approval.
    pub fn approve(author: &str, reason: &str) -> Self {
        Self { author: author.to_owned(), approve: true, reason: reason.to_owned() }
    }

    /// A denial.
    pub fn deny(author: &str, reason: &str) -> Self {
        Self { author: author.to_owned(), approve: false, reason: reason.to_owned() }
    }

    pub(crate) fn message(&self) -> AccessReview {
        let state = if self.approve { RequestState::Approved } else { RequestState::Denied };
        AccessReview {
            author: self.author.clone(),
            proposed_state: state.into(),
            reason: self.reason.clone(),
            ..AccessReview::default()
        }
    }
}

impl State {
    /// Resolves a request by decree: `SetAccessRequestState`.
    pub(crate) fn set_request_state(
        &mut self,
        id: &str,
        wanted: RequestState,
        reason: &str,
        roles: &[String],
    ) -> Result<(), Trace> {
        let mut request = self
            .requests
            .get(id)
            .ok_or_else(|| Trace::not_found(format!("cannot set state of access request {id:?} (not found)")))?
            .as_ref()
            .clone();
        let spec = request.spec.get_or_insert_default();
        // Denials overwrite approvals, but not the other way round.
        if spec.state() == RequestState::Denied && wanted != RequestState::Denied {
            return Err(Trace::bad(format!("cannot set request-state {:?} (already denied)", wanted.as_str_name())));
        }
        if let Some(role) = roles.iter().find(|role| !spec.roles.contains(role)) {
            return Err(Trace::bad(format!(
                "role {role:?} not in original request, overrides must be a subset of original role list"
            )));
        }
        if !roles.is_empty() {
            spec.roles = roles.to_vec();
        }
        spec.state = wanted.into();
        reason.clone_into(&mut spec.resolve_reason);
        if wanted == RequestState::Approved {
            request.metadata.get_or_insert_default().expires = spec.expires;
        }
        self.put_request(id, request);
        Ok(())
    }

    /// Adds a review: `SubmitAccessReview`, after its author's rights were checked.
    pub(crate) fn apply_review(&mut self, id: &str, review: AccessReview) -> Result<AccessRequestV3, Trace> {
        let mut request = self
            .requests
            .get(id)
            .ok_or_else(|| Trace::not_found(format!("cannot apply review to access request {id:?} (not found)")))?
            .as_ref()
            .clone();
        let spec = request.spec.get_or_insert_default();
        if review::apply(spec, review, self.clock.now(), self.version.second_review_exists_already())? {
            request.metadata.get_or_insert_default().expires = spec.expires;
        }
        self.put_request(id, request.clone());
        Ok(request)
    }

    /// Turns a request into a membership of an access list.
    pub(crate) fn promote(&mut self, id: &str, review: AccessReview, list: PromotedAccessList) -> Result<(), Trace> {
        let review = AccessReview { proposed_state: RequestState::Promoted.into(), access_list: Some(list), ..review };
        self.apply_review(id, review).map(drop)
    }

    /// Whether `author` may review requests of others at all, and this one.
    pub(crate) fn check_reviewer(
        &self,
        caller: &Caller,
        author: &str,
        for_author: bool,
        id: &str,
    ) -> Result<(), Trace> {
        let on_behalf = author != caller.user;
        let allowed = for_author && self.version.takes_reviews_for_users();
        let speaks_for = allowed && self.roles_of(caller).any(|role| matches_any(&role.submit_for_users, author));
        if on_behalf && !speaks_for {
            return Err(Trace::denied(format!("user {:?} cannot submit reviews on behalf of {author:?}", caller.user)));
        }
        let held = match self.users.get(author) {
            Some(user) => user.roles.clone(),
            None if on_behalf => return Err(Trace::not_found(format!("user {author:?} not found"))),
            None => caller.roles.clone(),
        };
        let reviewable: Vec<String> =
            held.iter().filter_map(|name| self.roles.get(name)).flat_map(|role| role.reviewable.clone()).collect();
        // Roles with `review_requests` are an Enterprise feature: nobody has them elsewhere.
        if reviewable.is_empty() || self.edition == Edition::Oss {
            return Err(Trace::denied(format!("user {author:?} cannot submit reviews")));
        }
        let Some(request) = self.requests.get(id) else { return Ok(()) };
        let spec = request.spec.clone().unwrap_or_default();
        let covers = spec.user != author && spec.roles.iter().all(|role| matches_any(&reviewable, role));
        if covers { Ok(()) } else { Err(Trace::denied(format!("user {author:?} cannot review request {id:?}"))) }
    }

    /// Requests that this caller may see: all with list and read, else those of its own and those it may review.
    pub(crate) fn visible_requests(
        &self,
        caller: &Caller,
        filter: &AccessRequestFilter,
        moment: Option<std::time::Instant>,
    ) -> Result<Vec<AccessRequestV3>, Trace> {
        let all = self.check_all(caller, "access_request", &["list", "read"]);
        for verb in ["list", "read"] {
            if self.explicitly_denied(caller, "access_request", verb) {
                return Err(Trace::denied(format!("access denied to perform action {verb:?} on \"access_request\"")));
            }
        }
        let rows = self.requests.rows(moment).filter(|(_, request)| {
            filter_matches(filter, request)
                && (!self.version.searches_access_requests() || is_in_scope(filter, request, &caller.user))
        });
        let rows = rows.filter(|(id, request)| {
            let own = request.spec.as_ref().is_some_and(|spec| spec.user == caller.user);
            all.is_ok() || own || self.check_reviewer(caller, &caller.user, false, id).is_ok()
        });
        Ok(rows.map(|(_, request)| request.as_ref().clone()).collect())
    }
}

/// What is refused of a client's `SetAccessRequestState`, whatever the request.
pub(crate) fn check_decree(id: &str, wanted: RequestState, reason: &str, roles: &[String]) -> Result<(), Trace> {
    if id.is_empty() {
        return Err(Trace::bad("missing request id"));
    }
    if wanted == RequestState::None {
        return Err(Trace::bad("missing request state"));
    }
    if !roles.is_empty() && wanted != RequestState::Approved {
        return Err(Trace::bad(format!("cannot override roles when setting state: {}", wanted.as_str_name())));
    }
    if wanted == RequestState::Pending && !reason.is_empty() {
        return Err(Trace::bad("pending requests cannot include resolve reason"));
    }
    check_reason("resolve reason", reason)
}

fn filter_matches(filter: &AccessRequestFilter, request: &AccessRequestV3) -> bool {
    let id = request.metadata.as_ref().map(|metadata| metadata.name.as_str()).unwrap_or_default();
    let Some(spec) = &request.spec else { return false };
    (filter.id.is_empty() || filter.id == id)
        && (filter.user.is_empty() || filter.user == spec.user)
        && (filter.state() == RequestState::None || filter.state() == spec.state())
}

/// What later releases can narrow a list by: whose part a request is in, and words that it contains.
fn is_in_scope(filter: &AccessRequestFilter, request: &AccessRequestV3, caller: &str) -> bool {
    let Some(spec) = &request.spec else { return false };
    let own = spec.user == caller;
    let reviewed = spec.reviews.iter().any(|review| review.author == caller);
    let part = match filter.scope() {
        AccessRequestScope::Default => true,
        AccessRequestScope::MyRequests => own,
        AccessRequestScope::NeedsReview => !own && !reviewed && spec.state() == RequestState::Pending,
        AccessRequestScope::Reviewed => !own && reviewed,
    };
    let metadata = request.metadata.clone().unwrap_or_default();
    let fields = [&metadata.name, &spec.user].into_iter().chain(&spec.roles);
    let fields = fields.chain(metadata.labels.iter().flat_map(|(key, value)| [key, value]));
    let fields: Vec<_> =
        fields.chain(spec.requested_resource_i_ds.iter().map(|id| &id.name)).map(String::as_str).collect();
    part && contains_all(&fields, &filter.search_keywords)
}

/// Teleport's search: every word is a part of some field, in upper or lower case.
pub(crate) fn contains_all(fields: &[&str], words: &[String]) -> bool {
    words.iter().all(|word| {
        let word = word.to_lowercase();
        fields.iter().any(|field| field.to_lowercase().contains(&word))
    })
}

/// When a request was created; the epoch when it does not say.
pub(crate) fn created(request: &AccessRequestV3) -> SystemTime {
    let spec = request.spec.as_ref();
    time(spec.and_then(|spec| spec.created.as_ref())).unwrap_or(SystemTime::UNIX_EPOCH)
}
