//! Protobuf to domain types. Go's zero time (year 1) and an absent time both mean "not set".

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::access_request::{AccessRequest, RequestId, RequestState, ResourceId, Review, Thresholds};
use crate::teleport::pb::{types, wrappers};

/// A Go server sends its zero `time.Time`, year 1, for times that are not set.
const GO_ZERO_SECONDS: i64 = -62_135_596_800;

/// A point in time, unless it is not set or not representable.
pub(crate) fn timestamp(value: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    let value = value.filter(|value| value.seconds != GO_ZERO_SECONDS)?;
    Timestamp::new(value.seconds, value.nanos).ok()
}

fn state(value: i32) -> RequestState {
    match types::RequestState::try_from(value) {
        Ok(types::RequestState::Pending) => RequestState::Pending,
        Ok(types::RequestState::Approved) => RequestState::Approved,
        Ok(types::RequestState::Denied) => RequestState::Denied,
        Ok(types::RequestState::Promoted) => RequestState::Promoted,
        Ok(types::RequestState::None) | Err(_) => RequestState::Unknown,
    }
}

pub(super) fn labels(values: Option<wrappers::LabelValues>) -> BTreeMap<String, Vec<String>> {
    values.unwrap_or_default().values.into_iter().map(|(key, list)| (key, list.values)).collect()
}

fn resource(id: types::ResourceId) -> ResourceId {
    ResourceId { cluster: id.cluster_name, kind: id.kind, name: id.name, sub_resource: id.sub_resource_name }
}

/// The access request in a message; none when it has no name, which no server sends.
pub(crate) fn access_request(message: types::AccessRequestV3) -> Option<AccessRequest> {
    let metadata = message.metadata.filter(|metadata| !metadata.name.is_empty())?;
    let spec = message.spec.unwrap_or_default();
    let thresholds = thresholds(&spec);
    // Where the newer list with constraints is filled, it is the authoritative one.
    let resources = if spec.requested_resource_access_i_ds.is_empty() {
        spec.requested_resource_i_ds
    } else {
        spec.requested_resource_access_i_ds.into_iter().filter_map(|access| access.id).collect()
    };
    let reviews = spec.reviews.into_iter().map(|review| Review {
        author: review.author,
        proposed: state(review.proposed_state),
        reason: review.reason,
        created: timestamp(review.created.as_ref()),
    });
    Some(AccessRequest {
        id: RequestId(metadata.name),
        user: spec.user,
        roles: spec.roles,
        resources: resources.into_iter().map(resource).collect(),
        state: state(spec.state),
        created: timestamp(spec.created.as_ref()),
        access_expires: timestamp(spec.expires.as_ref()),
        request_expires: timestamp(spec.resource_expiry.as_ref()).or_else(|| timestamp(metadata.expires.as_ref())),
        max_duration: timestamp(spec.max_duration.as_ref()),
        reason: spec.request_reason,
        resolve_reason: spec.resolve_reason,
        reviews: reviews.collect(),
        suggested_reviewers: spec.suggested_reviewers,
        system_annotations: labels(spec.system_annotations),
        long_term: spec.request_kind == types::AccessRequestKind::LongTerm as i32,
        thresholds,
    })
}

/// How many reviews it takes in all. Teleport approves when every role has a reached threshold in each of its sets, and denies when
/// any threshold is; a review counts for the thresholds whose indexes it carries, and a threshold of 0 is never reached.
fn thresholds(spec: &types::AccessRequestSpecV3) -> Option<Thresholds> {
    let of_state =
        |state: types::RequestState| spec.reviews.iter().filter(move |review| review.proposed_state() == state);
    let count = |state, index: u32| of_state(state).filter(|review| review.threshold_indexes.contains(&index)).count();
    let missing = |wanted: u32, state, index| {
        let count = u32::try_from(count(state, index)).unwrap_or(u32::MAX);
        (wanted > 0).then(|| wanted.saturating_sub(count))
    };
    let approvals_missing = |index: &u32| {
        let threshold = spec.thresholds.get(usize::try_from(*index).ok()?)?;
        missing(threshold.approve, types::RequestState::Approved, *index)
    };
    let indexes = || 0..u32::try_from(spec.thresholds.len()).unwrap_or(u32::MAX);
    let sets: Vec<_> = spec.role_threshold_mapping.values().flat_map(|sets| &sets.sets).collect();
    let approve = if sets.is_empty() {
        indexes().filter_map(|index| approvals_missing(&index)).min()
    } else {
        // A set that cannot be reached makes the whole unreachable.
        let of_sets: Option<Vec<u32>> =
            sets.iter().map(|set| set.indexes.iter().filter_map(approvals_missing).min()).collect();
        of_sets.and_then(|missing| missing.into_iter().max())
    };
    let denials_missing = indexes().zip(&spec.thresholds);
    let deny = denials_missing
        .filter_map(|(index, threshold)| missing(threshold.deny, types::RequestState::Denied, index))
        .min();
    let in_all =
        |state, missing: u32| u32::try_from(of_state(state).count()).unwrap_or(u32::MAX).saturating_add(missing);
    Some(Thresholds {
        approve: in_all(types::RequestState::Approved, approve?),
        deny: in_all(types::RequestState::Denied, deny?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(spec: types::AccessRequestSpecV3) -> types::AccessRequestV3 {
        let metadata = types::Metadata { name: "id".to_owned(), ..Default::default() };
        types::AccessRequestV3 { metadata: Some(metadata), spec: Some(spec), ..Default::default() }
    }

    #[test]
    fn gos_zero_time_is_not_set() {
        let zero = prost_types::Timestamp { seconds: GO_ZERO_SECONDS, nanos: 0 };
        let request =
            access_request(named(types::AccessRequestSpecV3 { created: Some(zero), ..Default::default() })).unwrap();
        assert_eq!(request.created, None);
    }

    #[test]
    fn a_state_of_a_newer_server_is_kept_as_unknown() {
        let request = access_request(named(types::AccessRequestSpecV3 { state: 99, ..Default::default() })).unwrap();
        assert_eq!(request.state, RequestState::Unknown);
    }

    #[test]
    fn a_request_without_a_name_is_no_request() {
        assert_eq!(access_request(types::AccessRequestV3::default()), None);
    }

    /// A request with these thresholds (approve, deny), these sets of indexes for each role, and these reviews.
    fn counted(thresholds: &[(u32, u32)], roles: &[&[&[u32]]], reviews: &[(bool, &[u32])]) -> Option<(u32, u32)> {
        let threshold =
            |&(approve, deny): &(u32, u32)| types::AccessReviewThreshold { approve, deny, ..Default::default() };
        let sets = |sets: &[&[u32]]| types::ThresholdIndexSets {
            sets: sets.iter().map(|indexes| types::ThresholdIndexSet { indexes: indexes.to_vec() }).collect(),
        };
        let review = |&(approve, indexes): &(bool, &[u32])| types::AccessReview {
            proposed_state: if approve { types::RequestState::Approved } else { types::RequestState::Denied }.into(),
            threshold_indexes: indexes.to_vec(),
            ..Default::default()
        };
        let spec = types::AccessRequestSpecV3 {
            thresholds: thresholds.iter().map(threshold).collect(),
            role_threshold_mapping: roles.iter().enumerate().map(|(n, of)| (n.to_string(), sets(of))).collect(),
            reviews: reviews.iter().map(review).collect(),
            ..Default::default()
        };
        access_request(named(spec))
            .and_then(|request| request.thresholds)
            .map(|counted| (counted.approve, counted.deny))
    }

    #[test]
    fn the_reviews_that_are_missing_are_counted_as_teleport_does() {
        let (all, approve): (&[u32], bool) = (&[0, 1], true);
        for (thresholds, roles, reviews, expected) in [
            (&[(2, 1)][..], &[&[&[0][..]][..]][..], &[(approve, all)][..], Some((2, 1))),
            (&[(2, 2)], &[&[&[0]]], &[(approve, all), (false, all)], Some((2, 2))),
            // The cheaper of two thresholds of one role, the dearer of two roles.
            (&[(3, 1), (1, 1)], &[&[&[0, 1]]], &[], Some((1, 1))),
            (&[(3, 1), (1, 1)], &[&[&[0]], &[&[1]]], &[], Some((3, 1))),
            // An approval that does not count for the threshold that is needed.
            (&[(2, 1), (1, 1)], &[&[&[0]]], &[(approve, &[1])], Some((3, 1))),
            // A threshold that is never reached.
            (&[(0, 1)], &[&[&[0]]], &[], None),
            (&[], &[], &[], None),
            (&[(1, 1)], &[], &[], Some((1, 1))),
        ] {
            let found = counted(thresholds, roles, reviews);
            assert_eq!(found, expected, "{thresholds:?} {roles:?} {reviews:?}");
        }
    }

    #[test]
    fn the_list_with_constraints_wins_over_the_plain_one() {
        let id =
            |name: &str| types::ResourceId { name: name.to_owned(), kind: "node".to_owned(), ..Default::default() };
        let spec = types::AccessRequestSpecV3 {
            requested_resource_i_ds: vec![id("old")],
            requested_resource_access_i_ds: vec![types::ResourceAccessId { id: Some(id("new")) }],
            ..Default::default()
        };
        let request = access_request(named(spec)).unwrap();
        assert_eq!(request.resources.iter().map(|id| id.name.as_str()).collect::<Vec<_>>(), ["new"]);
    }
}
