//! How a request comes to be: what is refused, and what the server fills in. Source: Teleport's behaviour in 14.2.3.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::access::{Caller, matches_any};
use super::clock::{GO_ZERO, time, timestamp};
use super::error::Trace;
use super::pb::types::{
    AccessRequestSpecV3, AccessRequestV3, AccessReviewThreshold, RequestState, ResourceId, ThresholdIndexSet,
    ThresholdIndexSets,
};
use super::requests::NewRequest;
use super::role::{Role, Threshold, label_values, named};
use super::state::{State, is_uuid, new_uuid};

/// The longest reason, in bytes.
const LONGEST_REASON: usize = 4096;

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
                // A server written in Go cannot leave this one out.
                session_ttl: Some(GO_ZERO),
                ..AccessRequestSpecV3::default()
            }),
            ..AccessRequestV3::default()
        };
        let ttl = new.ttl_seconds.map_or(self.request_ttl, Duration::from_secs);
        let held = self.held_by(request.spec.as_ref().map(|spec| spec.user.as_str()).unwrap_or_default());
        self.complete(&mut request, ttl, &held, &new.thresholds);
        if !new.annotations.is_empty() {
            request.spec.get_or_insert_default().system_annotations = Some(label_values(&new.annotations));
        }
        self.put_request(&id, request.clone());
        request
    }

    /// Creates a request as its user would: `CreateAccessRequestV2`.
    pub(crate) fn create(&mut self, caller: &Caller, mut request: AccessRequestV3) -> Result<AccessRequestV3, Trace> {
        let id = request.metadata.as_ref().map(|metadata| metadata.name.as_str()).unwrap_or_default();
        let mut spec = request.spec.clone().unwrap_or_default();
        check(id, &mut spec)?;
        if let Err(denied) = self.check(caller, "access_request", "create") {
            let own = spec.user == caller.user && spec.state() == RequestState::Pending;
            if !own || self.explicitly_denied(caller, "access_request", "create") {
                return Err(denied);
            }
        }
        if !self.users.contains_key(&spec.user) {
            return Err(Trace::not_found(format!("user {:?} not found", spec.user)));
        }
        let held = self.held_by(&spec.user);
        if spec.request_reason.is_empty() && held.iter().any(|role| role.require_reason) {
            return Err(Trace::bad("request reason must be specified (required by static role configuration)"));
        }
        self.settle_roles(&mut spec, &held)?;
        let now = self.clock.now();
        let ttl = match time(request.metadata.as_ref().and_then(|metadata| metadata.expires.as_ref())) {
            Some(expires) => expires
                .duration_since(now)
                .map_err(|_| Trace::bad("invalid request TTL: Access Request can not be created in the past"))?,
            None => self.request_ttl,
        };
        if spec.suggested_reviewers.is_empty() {
            spec.suggested_reviewers = held.iter().flat_map(|role| role.suggested_reviewers.clone()).collect();
        }
        let dry_run = spec.dry_run;
        let id = new_uuid();
        request.metadata = Some(named(&id));
        request.spec = Some(spec);
        self.complete(&mut request, ttl, &held, &[]);
        let spec = request.spec.get_or_insert_default();
        spec.session_ttl = spec.expires;
        let annotations = merged_annotations(&held);
        if !annotations.is_empty() {
            spec.system_annotations = Some(label_values(&annotations));
        }
        if !dry_run {
            self.put_request(&id, request.clone());
        }
        Ok(request)
    }

    /// The roles that a user holds.
    fn held_by(&self, user: &str) -> Vec<Role> {
        let names = self.users.get(user).into_iter().flat_map(|user| &user.roles);
        names.filter_map(|name| self.roles.get(name)).cloned().collect()
    }

    /// Whether each role may be requested; which ones a wildcard or a request for resources alone stands for.
    fn settle_roles(&self, spec: &mut AccessRequestSpecV3, held: &[Role]) -> Result<(), Trace> {
        let of_resources = !spec.requested_resource_i_ds.is_empty();
        if spec.roles == ["*"] {
            let own = |name: &String| held.iter().any(|role| &role.name == name);
            let all = self.roles.keys().filter(|name| !own(name) && may_request(held, name, false));
            spec.roles = all.cloned().collect();
            if spec.roles.is_empty() {
                return Err(Trace::bad("no requestable roles, please verify static RBAC configuration"));
            }
        }
        for role in &spec.roles {
            if !self.roles.contains_key(role) || !may_request(held, role, of_resources) {
                return Err(Trace::bad(format!("user {:?} can not request role {role:?}", spec.user)));
            }
        }
        if of_resources && spec.roles.is_empty() {
            spec.roles = held.iter().flat_map(|role| role.search_as.clone()).collect();
            if spec.roles.is_empty() {
                return Err(Trace::denied(format!(
                    "Resource Access Requests require usable \"search_as_roles\", none found for user {:?}",
                    spec.user
                )));
            }
        }
        Ok(())
    }

    /// Fills in what the server decides.
    fn complete(&self, request: &mut AccessRequestV3, ttl: Duration, held: &[Role], thresholds: &[Threshold]) {
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
        set_thresholds(spec, held, thresholds);
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
}

/// What is refused before anybody looks at rights.
fn check(id: &str, spec: &mut AccessRequestSpecV3) -> Result<(), Trace> {
    if id.is_empty() {
        return Err(Trace::bad("missing parameter Name"));
    }
    if spec.state() == RequestState::None {
        spec.state = RequestState::Pending.into();
    }
    if spec.user.is_empty() {
        return Err(Trace::bad("access request user name not set"));
    }
    if spec.roles.is_empty() && spec.requested_resource_i_ds.is_empty() {
        return Err(Trace::bad("access request does not specify any roles or resources"));
    }
    if !is_uuid(id) {
        return Err(Trace::bad(format!("invalid access request id {id:?}")));
    }
    if spec.state() == RequestState::Pending && !spec.resolve_reason.is_empty() {
        return Err(Trace::bad("pending requests cannot include resolve reason"));
    }
    check_reason("reason", &spec.request_reason)
}

/// A reason that a client writes.
pub(crate) fn check_reason(what: &str, reason: &str) -> Result<(), Trace> {
    if reason.len() <= LONGEST_REASON {
        return Ok(());
    }
    Err(Trace::bad(format!("access request {what} is too long, max {LONGEST_REASON} bytes")))
}

/// With resources, a role has to be one that its user may search as.
fn may_request(held: &[Role], role: &str, of_resources: bool) -> bool {
    held.iter().any(|holder| {
        if of_resources {
            holder.search_as.iter().any(|name| name == role)
        } else {
            matches_any(&holder.requestable, role)
        }
    })
}

/// Each role that lets its holder request another one adds a set of thresholds to that other one; one threshold of every
/// set has to be reached. Thresholds that are given replace all of these.
fn set_thresholds(spec: &mut AccessRequestSpecV3, held: &[Role], given: &[Threshold]) {
    let mut all = Vec::new();
    let mut mapping = HashMap::new();
    for role in &spec.roles {
        let lets = |holder: &&Role| matches_any(&holder.requestable, role) || holder.search_as.contains(role);
        let mut sets: Vec<_> = if given.is_empty() {
            held.iter().filter(lets).map(|holder| push_set(&mut all, &holder.thresholds)).collect()
        } else {
            vec![push_set(&mut all, given)]
        };
        if sets.is_empty() {
            sets.push(push_set(&mut all, &[]));
        }
        mapping.insert(role.clone(), ThresholdIndexSets { sets });
    }
    if all.is_empty() {
        push_set(&mut all, given);
    }
    spec.thresholds = all;
    spec.role_threshold_mapping = mapping;
}

/// Equal thresholds are stored once. No thresholds are one approval or one denial.
fn push_set(all: &mut Vec<AccessReviewThreshold>, thresholds: &[Threshold]) -> ThresholdIndexSet {
    let default = [Threshold { name: "default".to_owned(), approve: 1, deny: 1 }];
    let thresholds = if thresholds.is_empty() { &default } else { thresholds };
    let indexes = thresholds.iter().map(|Threshold { name, approve, deny }| {
        let threshold =
            AccessReviewThreshold { name: name.clone(), filter: String::new(), approve: *approve, deny: *deny };
        let index = all.iter().position(|known| *known == threshold).unwrap_or_else(|| {
            all.push(threshold);
            all.len() - 1
        });
        u32::try_from(index).unwrap_or(u32::MAX)
    });
    ThresholdIndexSet { indexes: indexes.collect() }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn indexes(spec: &AccessRequestSpecV3, role: &str) -> Vec<Vec<u32>> {
        spec.role_threshold_mapping[role].sets.iter().map(|set| set.indexes.clone()).collect()
    }

    #[test]
    fn every_role_that_allows_the_request_adds_a_set_of_its_own() {
        let held = [
            Role::new("a").may_request(&["dba", "root"]).threshold(2, 1).threshold(3, 1),
            Role::new("b").may_request(&["root"]),
            Role::new("c").may_request(&["other"]).threshold(9, 9),
        ];
        let roles = vec!["dba".to_owned(), "root".to_owned()];
        let mut spec = AccessRequestSpecV3 { roles, ..AccessRequestSpecV3::default() };
        set_thresholds(&mut spec, &held, &[]);
        assert_eq!(spec.thresholds.iter().map(|threshold| threshold.approve).collect::<Vec<_>>(), [2, 3, 1]);
        assert_eq!(indexes(&spec, "dba"), [[0, 1]]);
        assert_eq!(indexes(&spec, "root"), [vec![0, 1], vec![2]]);

        set_thresholds(&mut spec, &held, &[Threshold::new(5, 5)]);
        assert_eq!((spec.thresholds.len(), indexes(&spec, "root")), (1, vec![vec![0]]));
    }

    #[test]
    fn a_request_that_nobody_could_read_is_refused_in_teleports_words() {
        let good = AccessRequestSpecV3 {
            user: "alice".to_owned(),
            roles: vec!["dba".to_owned()],
            ..AccessRequestSpecV3::default()
        };
        let said = |id: &str, change: fn(&mut AccessRequestSpecV3)| {
            let mut spec = good.clone();
            change(&mut spec);
            check(id, &mut spec).map_err(|error| error.message)
        };
        let id = new_uuid();
        assert_eq!(said(&id, |_| ()), Ok(()));
        assert_eq!(said(&id, |spec| spec.request_reason = "x".repeat(4096)), Ok(()));
        for (id, change, words) in [
            ("", (|_| ()) as fn(&mut AccessRequestSpecV3), "missing parameter Name"),
            ("nonsense", |_| (), "invalid access request id \"nonsense\""),
            (&id, |spec| spec.user.clear(), "access request user name not set"),
            (&id, |spec| spec.roles.clear(), "access request does not specify any roles or resources"),
            (&id, |spec| "why".clone_into(&mut spec.resolve_reason), "pending requests cannot include resolve reason"),
            (&id, |spec| spec.request_reason = "x".repeat(4097), "access request reason is too long, max 4096 bytes"),
        ] {
            assert_eq!(said(id, change), Err(words.to_owned()));
        }
    }
}
