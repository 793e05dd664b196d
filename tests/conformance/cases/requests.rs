//! The life of an access request.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;
use simulators::teleport::pb::proto::{ListAccessRequestsRequest, RequestId, RequestStateSetter};
use simulators::teleport::pb::types::{
    AccessRequestV3, AccessReview, AccessReviewSubmission, Metadata, RequestState, ResourceId,
};
use tonic::Code;

use super::client::{Auth, id_of, list, refusal, request, uuid};
use super::{ADMIN, ALICE, CAROL, DBA, EDITOR, NOBODY, Teleport, state};

async fn set(client: &mut Auth, id: &str, state: RequestState, reason: &str) -> Result<(), (Code, String)> {
    let setter =
        RequestStateSetter { id: id.to_owned(), state: state.into(), reason: reason.to_owned(), ..Default::default() };
    match client.set_access_request_state(setter).await {
        Ok(_) => Ok(()),
        refused => Err(refusal(refused)),
    }
}

fn bad(words: &str) -> (Code, String) {
    (Code::InvalidArgument, words.to_owned())
}

fn denied(words: &str) -> (Code, String) {
    (Code::PermissionDenied, words.to_owned())
}

fn missing(words: &str) -> (Code, String) {
    (Code::NotFound, words.to_owned())
}

pub(crate) async fn a_request_is_pending_with_what_the_server_filled_in(teleport: &Teleport) {
    let before = SystemTime::now();
    let sent = request(ALICE, &[EDITOR, DBA], "the index is gone");
    let mut created = teleport.alice().await.create_access_request_v2(sent).await.unwrap().into_inner();
    assert_eq!((created.kind.as_str(), created.version.as_str()), ("access_request", "v3"));
    let metadata = created.metadata.clone().unwrap();
    assert_eq!(metadata.namespace, "default");
    let spec = created.spec.clone().unwrap();
    assert_eq!((spec.user.as_str(), spec.request_reason.as_str()), (ALICE, "the index is gone"));
    assert_eq!(spec.roles, [DBA, EDITOR]);
    assert_eq!(spec.state(), RequestState::Pending);
    let threshold = &spec.thresholds[0];
    assert_eq!((threshold.name.as_str(), threshold.approve, threshold.deny), ("default", 1, 1));
    assert_eq!(spec.role_threshold_mapping.len(), 2);

    let at = |time: Option<Timestamp>| SystemTime::try_from(time.unwrap()).unwrap();
    let hours = |time: Option<Timestamp>| at(time).duration_since(before).unwrap().as_secs().div_ceil(60) / 60;
    assert_eq!(hours(metadata.expires), 1, "a pending request lives an hour");
    assert!(at(spec.expires) > at(metadata.expires), "the access would last longer");
    assert_eq!(spec.max_duration, spec.expires);
    assert_eq!(spec.session_ttl, spec.expires);
    let mut seen = list(&mut teleport.plugin().await, &id_of(&created)).await.unwrap();
    // Whether there are revisions is up to the storage.
    for request in [&mut seen[0], &mut created] {
        request.metadata.as_mut().unwrap().revision.clear();
    }
    assert_eq!(seen, [created]);
}

pub(crate) async fn a_request_that_is_not_allowed_is_refused(teleport: &Teleport) {
    let mut alice = teleport.alice().await;
    for (user, role, expected) in [
        (
            ALICE,
            "conformance-forbidden",
            bad(&format!("user {ALICE:?} can not request role \"conformance-forbidden\"")),
        ),
        (ALICE, "no-such-role", bad(&format!("user {ALICE:?} can not request role \"no-such-role\""))),
        (CAROL, DBA, denied("access denied to perform action \"create\" on \"access_request\"")),
    ] {
        assert_eq!(refusal(alice.create_access_request_v2(request(user, &[role], "")).await), expected);
    }
    let mut nobody = teleport.auth(NOBODY).await;
    let words = format!("user {NOBODY:?} can not request role {DBA:?}");
    assert_eq!(refusal(nobody.create_access_request_v2(request(NOBODY, &[DBA], "")).await), bad(&words));
}

pub(crate) async fn a_request_that_makes_no_sense_is_refused(teleport: &Teleport) {
    let mut alice = teleport.alice().await;
    let mut refused = async |change: fn(&mut AccessRequestV3)| {
        let mut sent = request(ALICE, &[DBA], "");
        change(&mut sent);
        refusal(alice.create_access_request_v2(sent).await)
    };
    let words = "missing parameter Name";
    assert_eq!(refused(|sent| sent.metadata = None).await, bad(words));
    let words = "invalid access request id \"nonsense\"";
    assert_eq!(refused(|sent| "nonsense".clone_into(&mut sent.metadata.as_mut().unwrap().name)).await, bad(words));
    let words = "access request user name not set";
    assert_eq!(refused(|sent| sent.spec.as_mut().unwrap().user.clear()).await, bad(words));
    let words = "access request does not specify any roles or resources";
    assert_eq!(refused(|sent| sent.spec.as_mut().unwrap().roles.clear()).await, bad(words));
    let words = "pending requests cannot include resolve reason";
    assert_eq!(refused(|sent| "x".clone_into(&mut sent.spec.as_mut().unwrap().resolve_reason)).await, bad(words));
    let words = "access request reason is too long, max 4096 bytes";
    assert_eq!(refused(|sent| sent.spec.as_mut().unwrap().request_reason = "x".repeat(4097)).await, bad(words));
}

pub(crate) async fn a_wildcard_stands_for_every_role_that_may_be_requested(teleport: &Teleport) {
    let sent = request(ALICE, &["*"], "");
    let created = teleport.alice().await.create_access_request_v2(sent).await.unwrap().into_inner();
    assert_eq!(created.spec.unwrap().roles, [DBA, EDITOR]);
    let refused = refusal(teleport.auth(NOBODY).await.create_access_request_v2(request(NOBODY, &["*"], "")).await);
    assert_eq!(refused, bad("no requestable roles, please verify static RBAC configuration"));
}

pub(crate) async fn a_request_for_resources_needs_roles_to_search_as(teleport: &Teleport) {
    let id = ResourceId {
        cluster_name: teleport.name.clone(),
        kind: "node".to_owned(),
        name: "web-1".to_owned(),
        ..ResourceId::default()
    };
    let mut alice = teleport.alice().await;
    let mut sent = request(ALICE, &[DBA], "");
    sent.spec.as_mut().unwrap().requested_resource_i_ds = vec![id];
    let refused = refusal(alice.create_access_request_v2(sent.clone()).await);
    assert_eq!(refused, bad(&format!("user {ALICE:?} can not request role {DBA:?}")));
    sent.spec.as_mut().unwrap().roles.clear();
    let refused = refusal(alice.create_access_request_v2(sent).await);
    let words = "Resource Access Requests require usable \"search_as_roles\", none found for user";
    assert_eq!(refused, denied(&format!("{words} {ALICE:?}")));
}

pub(crate) async fn a_request_expires_when_its_user_says(teleport: &Teleport) {
    let mut alice = teleport.alice().await;
    let until = |time: SystemTime| {
        let mut request = request(ALICE, &[DBA], "");
        request.metadata = Some(Metadata { name: uuid(), expires: Some(time.into()), ..Metadata::default() });
        request
    };
    let soon = SystemTime::now() + Duration::from_mins(10);
    let created = alice.create_access_request_v2(until(soon)).await.unwrap().into_inner();
    let expires = SystemTime::try_from(created.metadata.unwrap().expires.unwrap()).unwrap();
    let apart = expires.duration_since(soon).unwrap_or_else(|error| error.duration());
    assert!(apart < Duration::from_secs(5), "{apart:?}");

    let past = SystemTime::now() - Duration::from_mins(10);
    let refused = refusal(alice.create_access_request_v2(until(past)).await);
    assert_eq!(refused, bad("invalid request TTL: Access Request can not be created in the past"));
}

pub(crate) async fn everybody_sees_the_own_requests_and_the_plugin_sees_all(teleport: &Teleport) {
    let id = teleport.request().await;
    let ids = |requests: Vec<_>| requests.iter().map(id_of).collect::<Vec<_>>();
    for (user, sees) in [(ALICE, true), (ADMIN, true), ("conformance-plugin", true), (CAROL, false), (NOBODY, false)] {
        let mut client = teleport.auth(user).await;
        assert_eq!(ids(list(&mut client, "").await.unwrap()).contains(&id), sees, "{user}");
        assert_eq!(list(&mut client, &id).await.unwrap().len(), usize::from(sees), "{user}");
    }
    assert_eq!(list(&mut teleport.plugin().await, &uuid()).await.unwrap(), []);
}

pub(crate) async fn there_is_no_paged_list(teleport: &Teleport) {
    let answer = teleport.plugin().await.list_access_requests(ListAccessRequestsRequest::default()).await;
    let words = "unknown method ListAccessRequests for service proto.AuthService";
    assert_eq!(refusal(answer), (Code::Unimplemented, words.to_owned()));
}

pub(crate) async fn an_approval_extends_the_request_to_the_end_of_the_access(teleport: &Teleport) {
    let id = teleport.request().await;
    let mut admin = teleport.admin().await;
    set(&mut admin, &id, RequestState::Approved, "go ahead").await.unwrap();
    let request = list(&mut admin, &id).await.unwrap().remove(0);
    assert_eq!(state(&request), RequestState::Approved);
    let spec = request.spec.unwrap();
    assert_eq!((spec.resolve_reason.as_str(), spec.reviews.len()), ("go ahead", 0));
    assert_eq!(request.metadata.unwrap().expires, spec.expires);

    // An approval can be repeated, and turned into a denial.
    set(&mut admin, &id, RequestState::Approved, "again").await.unwrap();
    set(&mut admin, &id, RequestState::Denied, "after all not").await.unwrap();
    assert_eq!(state(&list(&mut admin, &id).await.unwrap()[0]), RequestState::Denied);
}

pub(crate) async fn a_denial_may_be_repeated_but_not_taken_back(teleport: &Teleport) {
    let id = teleport.request().await;
    let mut admin = teleport.admin().await;
    set(&mut admin, &id, RequestState::Denied, "no").await.unwrap();
    set(&mut admin, &id, RequestState::Denied, "still no").await.unwrap();
    let refused = set(&mut admin, &id, RequestState::Approved, "well").await.unwrap_err();
    assert_eq!(refused, bad("cannot set request-state \"APPROVED\" (already denied)"));
    let refused = set(&mut admin, &id, RequestState::Pending, "").await.unwrap_err();
    assert_eq!(refused, bad("cannot set request-state \"PENDING\" (already denied)"));
    let request = list(&mut admin, &id).await.unwrap().remove(0);
    assert_eq!(request.spec.unwrap().resolve_reason, "still no");
}

pub(crate) async fn deciding_needs_the_right_to_update(teleport: &Teleport) {
    let id = teleport.request().await;
    let expected = denied("access denied to perform action \"update\" on \"access_request\"");
    for user in [ALICE, NOBODY, "conformance-plugin"] {
        let refused = set(&mut teleport.auth(user).await, &id, RequestState::Approved, "").await.unwrap_err();
        assert_eq!(refused, expected, "{user}");
    }
    let mut admin = teleport.admin().await;
    let gone = uuid();
    assert_eq!(
        set(&mut admin, &gone, RequestState::Approved, "").await.unwrap_err(),
        missing(&format!("cannot set state of access request {gone:?} (not found)"))
    );
    assert_eq!(
        set(&mut admin, &id, RequestState::Promoted, "").await.unwrap_err(),
        bad("state promoted can be only set when promoting to access list")
    );
}

pub(crate) async fn a_decree_that_makes_no_sense_is_refused(teleport: &Teleport) {
    let id = teleport.request().await;
    let mut admin = teleport.admin().await;
    let refused = set(&mut admin, "", RequestState::Approved, "").await.unwrap_err();
    assert_eq!(refused, bad("missing request id"));
    let refused = set(&mut admin, &id, RequestState::None, "").await.unwrap_err();
    assert_eq!(refused, bad("missing request state"));
    let refused = set(&mut admin, &id, RequestState::Pending, "why").await.unwrap_err();
    assert_eq!(refused, bad("pending requests cannot include resolve reason"));
    let refused = set(&mut admin, &id, RequestState::Denied, &"x".repeat(4097)).await.unwrap_err();
    assert_eq!(refused, bad("access request resolve reason is too long, max 4096 bytes"));
    let roles = vec![DBA.to_owned()];
    let setter = RequestStateSetter { id: id.clone(), state: RequestState::Denied.into(), roles, ..Default::default() };
    let refused = refusal(admin.set_access_request_state(setter).await);
    assert_eq!(refused, bad("cannot override roles when setting state: DENIED"));
    assert_eq!(state(&list(&mut admin, &id).await.unwrap()[0]), RequestState::Pending);
}

pub(crate) async fn only_requested_roles_can_be_granted(teleport: &Teleport) {
    let sent = request(ALICE, &[DBA, EDITOR], "");
    let id = id_of(&teleport.alice().await.create_access_request_v2(sent).await.unwrap().into_inner());
    let grant = |role: &str| RequestStateSetter {
        id: id.clone(),
        state: RequestState::Approved.into(),
        roles: vec![role.to_owned()],
        ..Default::default()
    };
    let mut admin = teleport.admin().await;
    let refused = refusal(admin.set_access_request_state(grant(NOBODY)).await);
    assert_eq!(
        refused,
        bad(&format!("role {NOBODY:?} not in original request, overrides must be a subset of original role list"))
    );
    admin.set_access_request_state(grant(DBA)).await.unwrap();
    assert_eq!(list(&mut admin, &id).await.unwrap().remove(0).spec.unwrap().roles, [DBA]);
}

pub(crate) async fn a_deleted_request_is_gone(teleport: &Teleport) {
    let id = teleport.request().await;
    let delete = || RequestId { id: id.clone() };
    let refused = refusal(teleport.alice().await.delete_access_request(delete()).await);
    assert_eq!(refused, denied("access denied to perform action \"delete\" on \"access_request\""));
    let mut admin = teleport.admin().await;
    admin.delete_access_request(delete()).await.unwrap();
    assert_eq!(list(&mut admin, &id).await.unwrap(), []);
    let words = format!("cannot delete access request {id:?} (not found)");
    assert_eq!(refusal(admin.delete_access_request(delete()).await), missing(&words));
}

pub(crate) async fn reviews_are_for_the_enterprise_edition(teleport: &Teleport) {
    let id = teleport.request().await;
    let review = AccessReview { author: ADMIN.to_owned(), proposed_state: 2, ..AccessReview::default() };
    let submission = AccessReviewSubmission { request_id: id, review: Some(review) };
    let refused = refusal(teleport.admin().await.submit_access_review(submission).await);
    assert_eq!(refused, denied(&format!("user {ADMIN:?} cannot submit reviews")));
}
