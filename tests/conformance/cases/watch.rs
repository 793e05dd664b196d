//! The stream of changes.

use simulators::teleport::pb::proto::event::Resource;
use simulators::teleport::pb::proto::{Event, Operation, RequestId, RequestStateSetter};
use simulators::teleport::pb::types::RequestState;
use tonic::{Code, Status};

use super::client::{Auth, id_of, next, watch};
use super::{ALICE, NOBODY, Teleport, state};

/// The kinds that the first event names.
async fn kinds(client: &mut Auth, kinds: &[&str], partial: bool) -> Result<Vec<String>, Status> {
    let mut stream = client.watch_events(watch(kinds, partial)).await?.into_inner();
    let event = next(&mut stream).await?.unwrap();
    assert_eq!(event.r#type(), Operation::Init);
    let Some(Resource::WatchStatus(status)) = event.resource else { panic!("no status: {event:?}") };
    assert_eq!(status.kind, "watch_status");
    Ok(status.spec.unwrap().kinds.into_iter().map(|kind| kind.kind).collect())
}

async fn refused(client: &mut Auth, wanted: &[&str], partial: bool) -> (Code, String) {
    let status = kinds(client, wanted, partial).await.unwrap_err();
    (status.code(), status.message().to_owned())
}

pub(crate) async fn the_first_event_names_the_kinds(teleport: &Teleport) {
    let mut admin = teleport.admin().await;
    assert_eq!(kinds(&mut admin, &["access_request"], false).await.unwrap(), ["access_request"]);
    assert_eq!(kinds(&mut admin, &["access_request", "role"], true).await.unwrap(), ["access_request", "role"]);
}

pub(crate) async fn changes_arrive_in_order_and_a_deletion_by_name_alone(teleport: &Teleport) {
    let mut admin = teleport.admin().await;
    let mut stream = teleport.plugin().await.watch_events(watch(&["access_request"], true)).await.unwrap().into_inner();
    assert_eq!(next(&mut stream).await.unwrap().unwrap().r#type(), Operation::Init);
    let id = teleport.request().await;
    let approve = RequestStateSetter { id: id.clone(), state: 2, ..Default::default() };
    admin.set_access_request_state(approve).await.unwrap();
    admin.delete_access_request(RequestId { id: id.clone() }).await.unwrap();

    let mut states = Vec::new();
    let header = loop {
        // Other requests may change meanwhile.
        match next(&mut stream).await.unwrap().unwrap() {
            Event { resource: Some(Resource::AccessRequest(request)), .. } if id_of(&request) == id => {
                states.push(state(&request));
            }
            event @ Event { resource: Some(Resource::ResourceHeader(_)), .. } => {
                assert_eq!(event.r#type(), Operation::Delete);
                let Some(Resource::ResourceHeader(header)) = event.resource else { unreachable!() };
                if header.metadata.as_ref().unwrap().name == id {
                    break header;
                }
            }
            _ => {}
        }
    };
    assert_eq!(states, [RequestState::Pending, RequestState::Approved]);
    assert_eq!((header.kind.as_str(), header.version.as_str()), ("access_request", "v3"));
    let metadata = header.metadata.unwrap();
    assert_eq!((metadata.namespace.as_str(), metadata.expires), ("default", None));
}

pub(crate) async fn kinds_that_may_not_be_read_are_left_out_if_the_watcher_agrees(teleport: &Teleport) {
    let mut plugin = teleport.plugin().await;
    for other in ["role", "access_monitoring_rule", "no_such_kind"] {
        let allowed = kinds(&mut plugin, &[other, "access_request"], true).await.unwrap();
        assert_eq!(allowed, ["access_request"], "{other}");
    }
    let words = "access denied to perform action \"read\" on \"role\"";
    let answer = refused(&mut plugin, &["access_request", "role"], false).await;
    assert_eq!(answer, (Code::PermissionDenied, words.to_owned()));
}

pub(crate) async fn requests_can_be_watched_by_user_and_state(teleport: &Teleport) {
    let narrowed = |filter: &[(&str, &str)]| {
        let mut watch = watch(&["access_request"], false);
        let filter = filter.iter().map(|&(key, value)| (key.to_owned(), value.to_owned()));
        watch.kinds[0].filter = filter.collect();
        watch
    };
    let (mut admin, mut plugin) = (teleport.admin().await, teleport.plugin().await);
    let mut stream =
        plugin.watch_events(narrowed(&[("user", ALICE), ("state", "APPROVED")])).await.unwrap().into_inner();
    assert_eq!(next(&mut stream).await.unwrap().unwrap().r#type(), Operation::Init);
    let id = teleport.request().await;
    admin
        .set_access_request_state(RequestStateSetter { id: id.clone(), state: 2, ..Default::default() })
        .await
        .unwrap();
    loop {
        // Other requests may be approved meanwhile, and deletions pass every filter.
        let Some(Resource::AccessRequest(request)) = next(&mut stream).await.unwrap().unwrap().resource else {
            continue;
        };
        assert_eq!((request.spec.as_ref().unwrap().user.as_str(), state(&request)), (ALICE, RequestState::Approved));
        if id_of(&request) == id {
            break;
        }
    }

    for (key, value, words) in
        [("odd", "x", "unknown filter key odd"), ("state", "odd", "unknown request state: \"odd\"")]
    {
        let refused = match plugin.watch_events(narrowed(&[(key, value)])).await {
            Ok(answer) => next(&mut answer.into_inner()).await.unwrap_err(),
            Err(refused) => refused,
        };
        assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, words));
    }
}

pub(crate) async fn nothing_to_watch_is_refused(teleport: &Teleport) {
    let mut nobody = teleport.auth(NOBODY).await;
    let none = (Code::InvalidArgument, "none of the requested kinds can be watched".to_owned());
    assert_eq!(refused(&mut nobody, &["access_request", "role"], true).await, none);
    let words = "access denied to perform action \"read\" on \"access_request\"";
    let answer = refused(&mut nobody, &["access_request"], false).await;
    assert_eq!(answer, (Code::PermissionDenied, words.to_owned()));
    let answer = refused(&mut nobody, &[], true).await;
    assert_eq!(answer, (Code::PermissionDenied, "can't setup global watch".to_owned()));
}
