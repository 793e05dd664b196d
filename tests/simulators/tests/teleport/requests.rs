use std::time::Duration;

use simulators::teleport::pb::proto::{
    AccessRequestSort, GetLocksRequest, ListAccessRequestsRequest, RequestId, RequestStateSetter,
};
use simulators::teleport::pb::types::{
    AccessCapabilitiesRequest, AccessRequestFilter, AccessRequestScope, AccessRequestSpecV3, AccessRequestV3,
    AccessReview, AccessReviewSubmission, LockTarget, Metadata, RequestState,
};
use simulators::teleport::{Cluster, Config, NewRequest, NewReview};
use tonic::{Code, Status};

use crate::support::{Auth, SOON, auth, cluster, dba, plugin};

fn new(user: &str, roles: &[&str]) -> AccessRequestV3 {
    AccessRequestV3 {
        // Clients have to send an id, and the server replaces it.
        metadata: Some(Metadata { name: "11111111-1111-4111-8111-111111111111".to_owned(), ..Metadata::default() }),
        spec: Some(AccessRequestSpecV3 {
            user: user.to_owned(),
            roles: roles.iter().map(|&role| role.to_owned()).collect(),
            ..AccessRequestSpecV3::default()
        }),
        ..AccessRequestV3::default()
    }
}

fn said(status: &Status) -> (Code, &str) {
    (status.code(), status.message())
}

async fn submit(client: &mut Auth, id: &str, author: &str, state: RequestState) -> Result<RequestState, Status> {
    let review = AccessReview {
        author: author.to_owned(),
        proposed_state: state.into(),
        submitted_on_behalf_of_author: !author.is_empty(),
        ..AccessReview::default()
    };
    let submission = AccessReviewSubmission { request_id: id.to_owned(), review: Some(review) };
    Ok(client.submit_access_review(submission).await?.into_inner().spec.unwrap().state())
}

#[tokio::test]
async fn a_user_creates_a_request_for_itself_with_sorted_roles() {
    let cluster = cluster().await;
    let mut alice = auth(&cluster, "alice@example.com").await;
    let made = alice.create_access_request_v2(new("alice@example.com", &["dba", "access", "dba"])).await.unwrap();
    let made = made.into_inner();
    let spec = made.spec.unwrap();
    assert_eq!(spec.roles, ["access", "dba"]);
    assert_eq!(spec.state(), RequestState::Pending);
    assert_eq!(spec.session_ttl, spec.expires);
    assert!(spec.expires.unwrap().seconds > made.metadata.unwrap().expires.unwrap().seconds);
}

#[tokio::test]
async fn what_a_user_may_not_request_is_a_bad_parameter() {
    let cluster = cluster().await;
    let mut alice = auth(&cluster, "alice@example.com").await;
    let unknown = alice.create_access_request_v2(new("alice@example.com", &["nope"])).await.unwrap_err();
    let words = "user \"alice@example.com\" can not request role \"nope\"";
    assert_eq!(said(&unknown), (Code::InvalidArgument, words));
    let foreign = alice.create_access_request_v2(new("bob@example.com", &["dba"])).await.unwrap_err();
    let words = "access denied to perform action \"create\" on \"access_request\"";
    assert_eq!(said(&foreign), (Code::PermissionDenied, words));
    assert!(cluster.requests().is_empty());
}

#[tokio::test]
async fn a_dry_run_is_answered_but_not_stored() {
    let cluster = cluster().await;
    let mut request = new("alice@example.com", &["dba"]);
    request.spec.as_mut().unwrap().dry_run = true;
    auth(&cluster, "alice@example.com").await.create_access_request_v2(request).await.unwrap();
    assert!(cluster.requests().is_empty());
}

#[tokio::test]
async fn reviews_resolve_a_request_at_its_threshold_and_errors_use_teleports_words() {
    let cluster = cluster().await;
    let id = cluster.create_request(dba().threshold(2, 1));
    let mut bob = auth(&cluster, "bob@example.com").await;
    let mut carol = auth(&cluster, "carol@example.com").await;
    assert_eq!(submit(&mut bob, &id, "", RequestState::Approved).await.unwrap(), RequestState::Pending);
    let twice = submit(&mut bob, &id, "", RequestState::Approved).await.unwrap_err();
    assert_eq!(said(&twice), (Code::AlreadyExists, "user \"bob@example.com\" has already reviewed this request"));
    let other = submit(&mut bob, &id, "carol@example.com", RequestState::Approved).await.unwrap_err();
    let words = "user \"bob@example.com\" cannot submit reviews on behalf of \"carol@example.com\"";
    assert_eq!(said(&other), (Code::PermissionDenied, words));
    let promoted = submit(&mut carol, &id, "", RequestState::Promoted).await.unwrap_err();
    assert_eq!(promoted.code(), Code::InvalidArgument);
    assert_eq!(submit(&mut carol, &id, "", RequestState::Approved).await.unwrap(), RequestState::Approved);
    let gone = submit(&mut carol, "nope", "", RequestState::Approved).await.unwrap_err();
    assert_eq!(said(&gone), (Code::NotFound, "cannot apply review to access request \"nope\" (not found)"));
    let mut plugin = plugin(&cluster).await;
    let unfit = submit(&mut plugin, &id, "", RequestState::Approved).await.unwrap_err();
    assert_eq!(said(&unfit), (Code::PermissionDenied, "user \"slack-plugin\" cannot submit reviews"));
}

#[tokio::test]
async fn lists_are_narrowed_by_the_callers_part_and_by_words_since_version_15() {
    let cluster = cluster().await;
    let open = cluster.create_request(dba());
    let reviewed = cluster.create_request(dba().threshold(2, 2).resource("node/web-1"));
    cluster.review(&reviewed, &NewReview::approve("bob@example.com", "")).unwrap();
    let own = cluster.create_request(NewRequest::new("bob@example.com", &["access"]));
    let mut bob = auth(&cluster, "bob@example.com").await;
    let mut found = async |scope: AccessRequestScope, words: &[&str]| {
        let filter = AccessRequestFilter {
            scope: scope.into(),
            search_keywords: words.iter().map(|&word| word.to_owned()).collect(),
            ..AccessRequestFilter::default()
        };
        let query = ListAccessRequestsRequest { filter: Some(filter.clone()), ..ListAccessRequestsRequest::default() };
        let answer = bob.list_access_requests(query).await.unwrap().into_inner();
        answer.access_requests.into_iter().map(|request| request.metadata.unwrap().name).collect::<Vec<_>>()
    };
    assert_eq!(found(AccessRequestScope::Default, &[]).await.len(), 3);
    assert_eq!(found(AccessRequestScope::MyRequests, &[]).await, [own.as_str()]);
    assert_eq!(found(AccessRequestScope::NeedsReview, &[]).await, [open.as_str()]);
    assert_eq!(found(AccessRequestScope::Reviewed, &[]).await, [reviewed.as_str()]);
    assert_eq!(found(AccessRequestScope::Default, &["WEB-1", "dba"]).await, [reviewed.as_str()]);
    assert_eq!(found(AccessRequestScope::Default, &["dba", "nothing like it"]).await, [""; 0]);

    let old = Cluster::start(Config::old()).await.unwrap();
    old.create_request(dba());
    let filter = AccessRequestFilter { search_keywords: vec!["nothing".to_owned()], ..AccessRequestFilter::default() };
    let mut answers = plugin(&old).await.get_access_requests_v2(filter).await.unwrap().into_inner();
    assert!(answers.message().await.unwrap().is_some(), "14.2.3 does not know the field");
}

#[tokio::test]
async fn a_review_of_a_resolved_request_says_so() {
    let cluster = cluster().await;
    let id = cluster.create_request(dba());
    cluster.approve(&id, "").unwrap();
    let mut bob = auth(&cluster, "bob@example.com").await;
    let late = submit(&mut bob, &id, "", RequestState::Denied).await.unwrap_err();
    assert_eq!(said(&late), (Code::PermissionDenied, "the access request has been already approved"));
}

#[tokio::test]
async fn a_plugin_with_the_right_reviews_on_behalf_of_users() {
    let cluster = cluster().await;
    let role = simulators::teleport::Role::access_plugin_with_review();
    cluster.put_user(simulators::teleport::User::new("slack-plugin", &[role.name.as_str()]));
    cluster.put_role(role);
    let id = cluster.create_request(dba());
    let mut plugin = plugin(&cluster).await;
    submit(&mut plugin, &id, "bob@example.com", RequestState::Approved).await.unwrap();
    let review = cluster.request(&id).unwrap().spec.unwrap().reviews.remove(0);
    assert_eq!((review.author.as_str(), review.submitted_by.as_str()), ("bob@example.com", "slack-plugin"));
    let alice = submit(&mut plugin, &id, "alice@example.com", RequestState::Approved).await.unwrap_err();
    assert_eq!(alice.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_server_before_18_11_takes_no_reviews_on_behalf_of_users() {
    let version = "18.10.9".parse().unwrap();
    let cluster = Cluster::start(Config { version, ..Config::default() }).await.unwrap();
    let role = simulators::teleport::Role::access_plugin_with_review();
    cluster.put_user(simulators::teleport::User::new("slack-plugin", &[role.name.as_str()]));
    cluster.put_role(role);
    let id = cluster.create_request(dba());
    let mut plugin = plugin(&cluster).await;
    let refused = submit(&mut plugin, &id, "bob@example.com", RequestState::Approved).await.unwrap_err();
    let words = "user \"slack-plugin\" cannot submit reviews on behalf of \"bob@example.com\"";
    assert_eq!(said(&refused), (Code::PermissionDenied, words));
}

#[tokio::test]
async fn a_lock_is_seen_by_those_who_may_list_locks() {
    let cluster = cluster().await;
    cluster.put_lock("bob@example.com", "left the company");
    let target = LockTarget { user: "bob@example.com".to_owned(), ..LockTarget::default() };
    let query = GetLocksRequest { targets: vec![target], in_force_only: true };
    let mut plugin = plugin(&cluster).await;
    assert_eq!(plugin.get_locks(query.clone()).await.unwrap_err().code(), Code::PermissionDenied);
    let role = simulators::teleport::Role::access_plugin().allow("lock", &["list", "read"]);
    cluster.put_role(role);
    assert_eq!(plugin.get_locks(query.clone()).await.unwrap().into_inner().locks.len(), 1);
    assert!(cluster.remove_lock("bob@example.com"));
    assert_eq!(plugin.get_locks(query).await.unwrap().into_inner().locks.len(), 0);
}

#[tokio::test]
async fn the_open_source_edition_takes_no_reviews() {
    let cluster = Cluster::start(Config::old()).await.unwrap();
    let id = cluster.create_request(dba());
    let mut bob = auth(&cluster, "bob@example.com").await;
    let refused = submit(&mut bob, &id, "", RequestState::Approved).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_denial_stands_and_may_be_repeated() {
    let cluster = cluster().await;
    let id = cluster.create_request(dba());
    cluster.approve(&id, "yes").unwrap();
    cluster.deny(&id, "no").unwrap();
    cluster.deny(&id, "still no").unwrap();
    let refused = cluster.approve(&id, "").unwrap_err();
    assert_eq!(refused.message, "cannot set request-state \"APPROVED\" (already denied)");
    assert_eq!(cluster.request(&id).unwrap().spec.unwrap().resolve_reason, "still no");
}

#[tokio::test]
async fn a_state_is_set_only_with_the_right_and_only_on_what_is_there() {
    let cluster = cluster().await;
    let setter = |id: &str| RequestStateSetter {
        id: id.to_owned(),
        state: RequestState::Approved.into(),
        ..RequestStateSetter::default()
    };
    let mut client = plugin(&cluster).await;
    let denied = client.set_access_request_state(setter("x")).await.unwrap_err();
    assert_eq!(said(&denied).1, "access denied to perform action \"update\" on \"access_request\"");
    let rule = simulators::teleport::Rule::new("access_request", &["update", "delete"]);
    cluster.set_permissions("slack-plugin", Some(vec![rule]));
    let missing = client.set_access_request_state(setter("x")).await.unwrap_err();
    assert_eq!(said(&missing), (Code::NotFound, "cannot set state of access request \"x\" (not found)"));
    let id = cluster.create_request(dba());
    client.set_access_request_state(setter(&id)).await.unwrap();
    client.delete_access_request(RequestId { id: id.clone() }).await.unwrap();
    let gone = client.delete_access_request(RequestId { id }).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
}

#[tokio::test]
async fn a_promotion_names_the_access_list() {
    let cluster = cluster().await;
    let id = cluster.create_request(dba());
    cluster.promote(&id, "bob@example.com", "list-1", "Databases").unwrap();
    let spec = cluster.request(&id).unwrap().spec.unwrap();
    assert_eq!(spec.state(), RequestState::Promoted);
    assert_eq!(spec.access_list.unwrap().title, "Databases");
}

#[tokio::test]
async fn requests_expire_by_the_real_clock_and_by_an_advanced_one() {
    let cluster = cluster().await;
    let soon = cluster.create_request(dba().ttl(Duration::from_secs(1)));
    let later = cluster.create_request(dba());
    cluster.wait_for(SOON, |cluster| cluster.request(&soon).is_none()).await.unwrap();
    assert!(cluster.request(&later).is_some());
    cluster.advance(Duration::from_hours(2));
    assert!(cluster.request(&later).is_none());
}

#[tokio::test]
async fn an_approved_request_lives_as_long_as_its_access() {
    let cluster = cluster().await;
    let id = cluster.create_request(dba());
    cluster.review(&id, &NewReview::approve("bob@example.com", "")).unwrap();
    cluster.advance(Duration::from_hours(2));
    assert!(cluster.request(&id).is_some());
    cluster.advance(Duration::from_hours(11));
    assert!(cluster.request(&id).is_none());
}

#[tokio::test]
async fn lists_come_in_pages_and_in_order() {
    let cluster = cluster().await;
    let mut ids: Vec<_> = (0..7).map(|_| cluster.create_request(dba())).collect();
    let mut client = plugin(&cluster).await;
    let mut seen = Vec::new();
    let mut query = ListAccessRequestsRequest { limit: 3, ..ListAccessRequestsRequest::default() };
    query.set_sort(AccessRequestSort::Created);
    let mut pages = 0;
    loop {
        let page = client.list_access_requests(query.clone()).await.unwrap().into_inner();
        pages += 1;
        seen.extend(page.access_requests.into_iter().map(|request| request.metadata.unwrap().name));
        if page.next_key.is_empty() {
            break;
        }
        query.start_key = page.next_key;
    }
    assert_eq!((pages, seen), (3, ids.clone()));
    query = ListAccessRequestsRequest::default();
    let all = client.list_access_requests(query).await.unwrap().into_inner().access_requests;
    ids.sort();
    assert_eq!(all.into_iter().map(|request| request.metadata.unwrap().name).collect::<Vec<_>>(), ids);
}

#[tokio::test]
async fn an_old_server_knows_the_streamed_list_only() {
    let cluster = Cluster::start(Config::old()).await.unwrap();
    let id = cluster.create_request(dba());
    cluster.deny(&id, "").unwrap();
    cluster.create_request(dba());
    let mut client = plugin(&cluster).await;
    let missing = client.list_access_requests(ListAccessRequestsRequest::default()).await.unwrap_err();
    let words = "unknown method ListAccessRequests for service proto.AuthService";
    assert_eq!(said(&missing), (Code::Unimplemented, words));
    assert_eq!(
        client.get_access_requests(AccessRequestFilter::default()).await.unwrap_err().code(),
        Code::Unimplemented
    );
    let filter = AccessRequestFilter { state: RequestState::Pending.into(), ..AccessRequestFilter::default() };
    let mut stream = client.get_access_requests_v2(filter).await.unwrap().into_inner();
    let mut count = 0;
    while let Some(request) = stream.message().await.unwrap() {
        assert_eq!(request.spec.unwrap().state(), RequestState::Pending);
        count += 1;
    }
    assert_eq!(count, 1);
}

#[tokio::test]
async fn a_server_of_version_ten_answers_the_unary_list() {
    let config = Config { version: "10.1.4".parse().unwrap(), ..Config::old() };
    let cluster = Cluster::start(config).await.unwrap();
    cluster.create_request(dba());
    let seen = plugin(&cluster).await.get_access_requests(AccessRequestFilter::default()).await.unwrap();
    assert_eq!(seen.into_inner().access_requests.len(), 1);
}

#[tokio::test]
async fn a_user_learns_what_it_may_request() {
    let cluster = cluster().await;
    let mut alice = auth(&cluster, "alice@example.com").await;
    let query = AccessCapabilitiesRequest { requestable_roles: true, ..AccessCapabilitiesRequest::default() };
    let answer = alice.get_access_capabilities(query).await.unwrap().into_inner();
    assert_eq!(answer.requestable_roles, ["access", "access-plugin", "dba", "reviewer"]);
}

#[tokio::test]
async fn a_list_of_more_than_four_mebibytes_is_answered() {
    let cluster = Cluster::start(Config { page_size: 10_000, ..Config::default() }).await.unwrap();
    let reason = "x".repeat(100_000);
    for _ in 0..50 {
        cluster.create_request(NewRequest::new("alice@example.com", &["dba"]).reason(&reason));
    }
    let mut small = plugin(&cluster).await;
    assert!(small.list_access_requests(ListAccessRequestsRequest::default()).await.is_err());
    let mut large = plugin(&cluster).await.max_decoding_message_size(64 << 20);
    let seen = large.list_access_requests(ListAccessRequestsRequest::default()).await.unwrap();
    assert_eq!(seen.into_inner().access_requests.len(), 50);
}
