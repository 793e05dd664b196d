//! The life of an access request: created, reviewed, resolved, gone.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::{
    access::{Caller, matches_any},
    clock::{GO_ZERO, time, timestamp},
    config::Edition,
    error::Trace,
    pb::types::{
        AccessRequestFilter, AccessRequestSpecV3, AccessRequestV3, AccessReview, AccessReviewThreshold,
        PromotedAccessList, RequestState, ResourceId, ThresholdIndexSet, ThresholdIndexSets,
    },
    review,
    role::{Role, Threshold, label_values, named},
    state::{State, new_uuid},
};

/// A request to be created from inside, with none of the checks that a user meets.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
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
    /// Creates a request from inside.
    pub(crate) fn create_unchecked(&mut self, new: NewRequest) -> AccessRequestV3 {
        let id = new.id.clone().unwrap_or_else(new_uuid);
        let resources = new.resources.iter().map(|text| self.resource_id(text)).collect();
        let mut request = AccessRequestV3 {
            metadata: Some(named(&id)),
            spec: Some(AccessRequestSpecV3 {
                user: new.user,
                roles: new.roles,
                request_reason: new.reason,
                suggested_reviewers: new.suggested_reviewers,
                requested_resource_i_ds: resources,
                request_kind: i32::from(new.long_term) + 1,
                ..AccessRequestSpecV3::default()
            }),
            ..AccessRequestV3::default()
        };
        let ttl = new.ttl_seconds.map_or(self.request_ttl, Duration::from_secs);
        self.complete(&mut request, ttl, &new.thresholds, &new.annotations);
        self.put_request(&id, request.clone());
        request
    }

    /// Creates a request as its user would: `CreateAccessRequestV2`.
    pub(crate) fn create(&mut self, caller: &Caller, mut request: AccessRequestV3) -> Result<AccessRequestV3, Trace> {
        let mut spec = request.spec.take().unwrap_or_default();
        if spec.state() == RequestState::None {
            spec.state = RequestState::Pending.into();
        }
        if let Err(denied) = self.check(caller, "access_request", "create") {
            let own = spec.user == caller.user && spec.state() == RequestState::Pending;
            if !own || self.explicitly_denied(caller, "access_request", "create") {
                return Err(denied);
            }
        }
        let user =
            self.users.get(&spec.user).ok_or_else(|| Trace::not_found(format!("user {:?} not found", spec.user)))?;
        let roles: Vec<Role> = user.roles.iter().filter_map(|name| self.roles.get(name)).cloned().collect();
        if spec.request_reason.is_empty() && roles.iter().any(|role| role.require_reason) {
            return Err(Trace::bad("request reason must be specified (required by static role configuration)"));
        }
        for wanted in &spec.roles {
            let known = self.roles.contains_key(wanted);
            if !known || !roles.iter().any(|role| matches_any(&role.requestable, wanted)) {
                return Err(Trace::bad(format!("user {:?} can not request role {wanted:?}", spec.user)));
            }
        }
        let now = self.clock.now();
        let ttl = match time(request.metadata.as_ref().and_then(|metadata| metadata.expires.as_ref())) {
            Some(expires) => expires
                .duration_since(now)
                .map_err(|_| Trace::bad("invalid request TTL: Access Request can not be created in the past"))?,
            None => self.request_ttl,
        };
        if spec.suggested_reviewers.is_empty() {
            spec.suggested_reviewers = roles.iter().flat_map(|role| role.suggested_reviewers.clone()).collect();
        }
        let dry_run = spec.dry_run;
        let id = new_uuid();
        request.metadata = Some(named(&id));
        request.spec = Some(spec);
        let annotations = merged_annotations(&roles);
        self.complete(&mut request, ttl, &[], &annotations);
        if !dry_run {
            self.put_request(&id, request.clone());
        }
        Ok(request)
    }

    /// Fills in what the server decides.
    fn complete(
        &self,
        request: &mut AccessRequestV3,
        ttl: Duration,
        thresholds: &[Threshold],
        annotations: &BTreeMap<String, Vec<String>>,
    ) {
        let now = self.clock.now();
        "access_request".clone_into(&mut request.kind);
        "v3".clone_into(&mut request.version);
        request.metadata.get_or_insert_default().expires = Some(timestamp(now + ttl));
        let spec = request.spec.get_or_insert_default();
        spec.state = RequestState::Pending.into();
        spec.roles.sort();
        spec.roles.dedup();
        spec.created = Some(timestamp(now));
        let access_expiry = time(spec.expires.as_ref()).unwrap_or(now + self.access_ttl);
        spec.expires = Some(timestamp(access_expiry));
        spec.max_duration = spec.expires;
        // A server written in Go cannot leave this one out.
        spec.session_ttl = Some(spec.session_ttl.unwrap_or(GO_ZERO));
        if !annotations.is_empty() {
            spec.system_annotations = Some(label_values(annotations));
        }
        spec.thresholds = self.thresholds_for(&spec.user, thresholds);
        let indexes: Vec<u32> = (0u32..).take(spec.thresholds.len()).collect();
        let sets = ThresholdIndexSets { sets: vec![ThresholdIndexSet { indexes }] };
        spec.role_threshold_mapping =
            spec.roles.iter().map(|role| (role.clone(), sets.clone())).collect::<HashMap<_, _>>();
    }

    fn thresholds_for(&self, user: &str, wanted: &[Threshold]) -> Vec<AccessReviewThreshold> {
        let of_roles = || {
            let roles = self.users.get(user).into_iter().flat_map(|user| &user.roles);
            roles.filter_map(|name| self.roles.get(name)).flat_map(|role| role.thresholds.clone()).collect::<Vec<_>>()
        };
        let mut thresholds = if wanted.is_empty() { of_roles() } else { wanted.to_vec() };
        if thresholds.is_empty() {
            thresholds.push(Threshold { name: "default".to_owned(), approve: 1, deny: 1 });
        }
        thresholds
            .into_iter()
            .map(|Threshold { name, approve, deny }| AccessReviewThreshold {
                name,
                filter: String::new(),
                approve,
                deny,
            })
            .collect()
    }

    fn resource_id(&self, text: &str) -> ResourceId {
        let (kind, name) = text.split_once('/').unwrap_or(("node", text));
        ResourceId {
            cluster_name: self.cluster_name.clone(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            sub_resource_name: String::new(),
        }
    }

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
    pub(crate) fn check_reviewer(&self, caller: &Caller, author: &str, id: &str) -> Result<(), Trace> {
        let on_behalf = author != caller.user;
        let speaks_for = self.roles_of(caller).any(|role| matches_any(&role.submit_for_users, author));
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
        let rows = self.requests.rows(moment).filter(|(_, request)| filter_matches(filter, request));
        let rows = rows.filter(|(id, request)| {
            let own = request.spec.as_ref().is_some_and(|spec| spec.user == caller.user);
            all.is_ok() || own || self.check_reviewer(caller, &caller.user, id).is_ok()
        });
        Ok(rows.map(|(_, request)| request.as_ref().clone()).collect())
    }
}

fn merged_annotations(roles: &[Role]) -> BTreeMap<String, Vec<String>> {
    let mut merged = BTreeMap::<String, Vec<String>>::new();
    for (key, values) in roles.iter().flat_map(|role| &role.annotations) {
        merged.entry(key.clone()).or_default().extend(values.iter().cloned());
    }
    for values in merged.values_mut() {
        values.sort();
        values.dedup();
    }
    merged
}

fn filter_matches(filter: &AccessRequestFilter, request: &AccessRequestV3) -> bool {
    let id = request.metadata.as_ref().map(|metadata| metadata.name.as_str()).unwrap_or_default();
    let Some(spec) = &request.spec else { return false };
    (filter.id.is_empty() || filter.id == id)
        && (filter.user.is_empty() || filter.user == spec.user)
        && (filter.state() == RequestState::None || filter.state() == spec.state())
}

/// When a request was created; the epoch when it does not say.
pub(crate) fn created(request: &AccessRequestV3) -> SystemTime {
    let spec = request.spec.as_ref();
    time(spec.and_then(|spec| spec.created.as_ref())).unwrap_or(SystemTime::UNIX_EPOCH)
}
