//! Reviews: which are accepted, and when they resolve a request. Pure. Source: Teleport's behaviour in 14.2.3.

use std::collections::BTreeSet;
use std::time::SystemTime;

use super::clock::timestamp;
use super::error::{Kind, Trace};
use super::pb::types::{AccessRequestSpecV3, AccessReview, RequestState};

/// Adds a review to a request and returns whether it resolved it. On an error the request is left as it was.
pub(crate) fn apply(
    spec: &mut AccessRequestSpecV3,
    mut review: AccessReview,
    now: SystemTime,
    exists_already: bool,
) -> Result<bool, Trace> {
    check(spec, &review, exists_already)?;
    let already = match spec.state() {
        RequestState::Approved => Some("approved"),
        RequestState::Denied => Some("denied"),
        RequestState::Promoted => Some("promoted"),
        RequestState::None | RequestState::Pending => None,
    };
    if let Some(state) = already {
        return Err(Trace::denied(format!("the access request has been already {state}")));
    }
    review.roles.sort();
    review.roles.dedup();
    if super::clock::time(review.created.as_ref()).is_none() {
        review.created = Some(timestamp(now));
    }
    review.threshold_indexes = (0u32..).take(spec.thresholds.len()).collect();
    spec.reviews.push(review);
    let Some(last) = deciding_review(spec) else { return Ok(false) };
    let AccessReview { proposed_state, reason, access_list, .. } = last.clone();
    spec.state = proposed_state;
    spec.resolve_reason = reason;
    if spec.access_list.is_none() {
        spec.access_list = access_list;
    }
    Ok(true)
}

fn check(spec: &AccessRequestSpecV3, review: &AccessReview, exists_already: bool) -> Result<(), Trace> {
    if matches!(review.proposed_state(), RequestState::None | RequestState::Pending) {
        return Err(Trace::bad(format!(
            "invalid state proposal: {} (expected approval/denial)",
            review.proposed_state().as_str_name()
        )));
    }
    if spec.thresholds.is_empty() {
        return Err(Trace::bad("request is uninitialized or does not support reviews"));
    }
    if spec.reviews.iter().any(|earlier| earlier.author == review.author) {
        let kind = if exists_already { Kind::AlreadyExists } else { Kind::AccessDenied };
        return Err(Trace::new(kind, format!("user {:?} has already reviewed this request", review.author)));
    }
    if !review.roles.is_empty() && review.roles.len() != spec.role_threshold_mapping.len() {
        return Err(Trace::new(
            Kind::NotImplemented,
            "role subselection is not yet supported in reviews, try omitting role list",
        ));
    }
    if review.annotations.as_ref().is_some_and(|annotations| !annotations.values.is_empty()) {
        return Err(Trace::new(
            Kind::NotImplemented,
            "annotations are not yet supported in reviews, try omitting annotations field",
        ));
    }
    for role in &review.roles {
        if !spec.role_threshold_mapping.contains_key(role) {
            return Err(Trace::bad(format!("role {role:?} is not a member of this request")));
        }
    }
    Ok(())
}

#[derive(Clone, Copy, Default)]
struct Count {
    approvals: u32,
    denials: u32,
}

/// The review that resolves the request, if the reviews so far do. A promotion does at once; a denial does when any
/// threshold's denials are reached; an approval does when every role has a reached threshold in each of its sets.
fn deciding_review(spec: &AccessRequestSpecV3) -> Option<&AccessReview> {
    let mut counts = vec![Count::default(); spec.thresholds.len()];
    let mut approved = BTreeSet::new();
    for review in &spec.reviews {
        if review.proposed_state() == RequestState::Promoted {
            return Some(review);
        }
        for index in &review.threshold_indexes {
            let Some(count) = counts.get_mut(*index as usize) else { continue };
            match review.proposed_state() {
                RequestState::Approved => count.approvals += 1,
                RequestState::Denied => count.denials += 1,
                _ => {}
            }
        }
        let denied = spec
            .thresholds
            .iter()
            .zip(&counts)
            .any(|(threshold, count)| threshold.deny != 0 && count.denials >= threshold.deny);
        if denied {
            return (review.proposed_state() == RequestState::Denied).then_some(review);
        }
        for (role, sets) in &spec.role_threshold_mapping {
            let reached =
                sets.sets.iter().all(|set| set.indexes.iter().any(|index| is_approved(spec, &counts, *index)));
            if reached {
                approved.insert(role);
            }
        }
        // Teleport knows no request without roles; one that was made from inside needs one threshold of all.
        let is_enough = match spec.role_threshold_mapping.len() {
            0 => (0u32..).zip(&counts).any(|(index, _)| is_approved(spec, &counts, index)),
            roles => approved.len() == roles,
        };
        if is_enough && review.proposed_state() == RequestState::Approved {
            return Some(review);
        }
    }
    None
}

fn is_approved(spec: &AccessRequestSpecV3, counts: &[Count], index: u32) -> bool {
    let index = index as usize;
    match (spec.thresholds.get(index), counts.get(index)) {
        (Some(threshold), Some(count)) => threshold.approve != 0 && count.approvals >= threshold.approve,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::teleport::pb::types::{AccessReviewThreshold, ThresholdIndexSet, ThresholdIndexSets};

    fn request(approve: u32, deny: u32) -> AccessRequestSpecV3 {
        let sets = ThresholdIndexSets { sets: vec![ThresholdIndexSet { indexes: vec![0] }] };
        AccessRequestSpecV3 {
            state: RequestState::Pending.into(),
            thresholds: vec![AccessReviewThreshold { approve, deny, ..AccessReviewThreshold::default() }],
            role_threshold_mapping: [("dba".to_owned(), sets)].into(),
            ..AccessRequestSpecV3::default()
        }
    }

    fn review(spec: &mut AccessRequestSpecV3, author: &str, state: RequestState) -> Result<bool, Trace> {
        let review =
            AccessReview { author: author.to_owned(), proposed_state: state.into(), ..AccessReview::default() };
        apply(spec, review, SystemTime::now(), false)
    }

    #[test]
    fn a_request_is_approved_when_its_threshold_is_met_and_not_before() {
        let mut spec = request(2, 1);
        assert_eq!(review(&mut spec, "a", RequestState::Approved), Ok(false));
        assert_eq!(spec.state(), RequestState::Pending);
        assert_eq!(review(&mut spec, "b", RequestState::Approved), Ok(true));
        assert_eq!(spec.state(), RequestState::Approved);
    }

    #[test]
    fn one_denial_resolves_a_request_that_waits_for_approvals() {
        let mut spec = request(2, 1);
        review(&mut spec, "a", RequestState::Approved).unwrap();
        assert_eq!(review(&mut spec, "b", RequestState::Denied), Ok(true));
        assert_eq!(spec.state(), RequestState::Denied);
    }

    #[test]
    fn every_requested_role_needs_its_own_approvals() {
        let mut spec = request(1, 1);
        spec.thresholds.push(AccessReviewThreshold { approve: 2, deny: 2, ..AccessReviewThreshold::default() });
        let sets = ThresholdIndexSets { sets: vec![ThresholdIndexSet { indexes: vec![1] }] };
        spec.role_threshold_mapping.insert("root".to_owned(), sets);
        assert_eq!(review(&mut spec, "a", RequestState::Approved), Ok(false));
        assert_eq!(review(&mut spec, "b", RequestState::Approved), Ok(true));
    }

    #[test]
    fn refusals_use_teleports_words() {
        let mut spec = request(2, 1);
        let wrong = review(&mut spec, "a", RequestState::Pending).unwrap_err();
        assert_eq!(wrong, Trace::bad("invalid state proposal: PENDING (expected approval/denial)"));
        review(&mut spec, "a", RequestState::Approved).unwrap();
        let twice = review(&mut spec, "a", RequestState::Approved).unwrap_err();
        assert_eq!(twice, Trace::denied("user \"a\" has already reviewed this request"));
        review(&mut spec, "b", RequestState::Approved).unwrap();
        let late = review(&mut spec, "c", RequestState::Denied).unwrap_err();
        assert_eq!(late, Trace::denied("the access request has been already approved"));
        assert_eq!(spec.reviews.len(), 2);
    }
}
