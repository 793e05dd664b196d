//! The stream of changes. It has no memory: whoever opens it lists afterwards what it missed.

use std::time::Duration;

use tokio_stream::StreamExt as _;
use tonic::{Status, Streaming};
use tracing::debug;

use crate::access_request::{AccessRequest, RequestId};
use crate::teleport::convert;
use crate::teleport::error::{CallError, Kind};
use crate::teleport::pb::proto;
use crate::teleport::pb::proto::event::Resource;

const METHOD: &str = "WatchEvents";
const ACCESS_REQUEST: &str = "access_request";

/// A change of an access request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was created or changed; this is its whole content.
    Put(Box<AccessRequest>),
    /// It expired or was deleted.
    Deleted(RequestId),
}

/// An open watch, past its INIT event.
pub struct Watch {
    stream: Streaming<proto::Event>,
}

impl Watch {
    /// Waits at most `deadline` for INIT.
    pub(crate) async fn start(mut stream: Streaming<proto::Event>, deadline: Duration) -> Result<Self, CallError> {
        let first = tokio::time::timeout(deadline, stream.next())
            .await
            .map_err(|_elapsed| CallError::deadline(METHOD, deadline))?
            .unwrap_or_else(|| Err(Status::unavailable("the watch ended before it began")))
            .map_err(|status| CallError::new(METHOD, &status))?;
        check_init(&first)?;
        Ok(Self { stream })
    }

    /// The next change; an error when the watch is over, for whatever reason.
    pub async fn next(&mut self) -> Result<Change, CallError> {
        loop {
            let event = self
                .stream
                .next()
                .await
                .unwrap_or_else(|| Err(Status::unavailable("the server ended the watch")))
                .map_err(|status| CallError::new(METHOD, &status))?;
            if let Some(change) = change(event) {
                return Ok(change);
            }
        }
    }
}

/// INIT is the enum's default: an event without a type. Newer servers add which kinds are really watched.
fn check_init(event: &proto::Event) -> Result<(), CallError> {
    let refuse = |kind, message: &str| Err(CallError { method: METHOD, kind, message: message.to_owned() });
    if event.r#type != proto::Operation::Init as i32 {
        return refuse(Kind::Unavailable, "the first event is not INIT");
    }
    let Some(Resource::WatchStatus(status)) = &event.resource else { return Ok(()) };
    let watched = status.spec.iter().flat_map(|spec| &spec.kinds).any(|kind| kind.kind == ACCESS_REQUEST);
    if watched {
        Ok(())
    } else {
        refuse(
            Kind::AccessDenied,
            "the identity may not watch access requests: give its role the verbs list and read on access_request",
        )
    }
}

/// The change that an event stands for; none for kinds, arms and types that this program does not know.
fn change(event: proto::Event) -> Option<Change> {
    match (proto::Operation::try_from(event.r#type), event.resource) {
        (Ok(proto::Operation::Put), Some(Resource::AccessRequest(request))) => {
            convert::access_request(request).map(|request| Change::Put(Box::new(request)))
        }
        (Ok(proto::Operation::Delete), Some(Resource::ResourceHeader(header))) if header.kind == ACCESS_REQUEST => {
            header.metadata.map(|metadata| Change::Deleted(RequestId(metadata.name)))
        }
        (operation, _) => {
            debug!(?operation, "Skipped an event of the watch that means nothing here");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::teleport::pb::types;

    fn header(kind: &str) -> types::ResourceHeader {
        let metadata = types::Metadata { name: "id".to_owned(), ..Default::default() };
        types::ResourceHeader { kind: kind.to_owned(), metadata: Some(metadata), ..Default::default() }
    }

    #[test]
    fn init_without_a_status_comes_from_an_older_server() {
        assert!(check_init(&proto::Event::default()).is_ok());
    }

    #[test]
    fn init_that_leaves_out_access_requests_says_which_right_is_missing() {
        let event = proto::Event {
            r#type: 0,
            resource: Some(Resource::WatchStatus(types::WatchStatusV1 {
                spec: Some(types::WatchStatusSpecV1::default()),
                ..Default::default()
            })),
        };
        let error = check_init(&event).unwrap_err();
        assert_eq!(error.kind, Kind::AccessDenied);
        assert!(error.message.contains("list and read on access_request"), "{error}");
    }

    #[test]
    fn a_deletion_carries_only_kind_and_name() {
        let deleted = |kind| proto::Event {
            r#type: proto::Operation::Delete as i32,
            resource: Some(Resource::ResourceHeader(header(kind))),
        };
        assert_eq!(change(deleted("access_request")), Some(Change::Deleted(RequestId("id".to_owned()))));
        assert_eq!(change(deleted("access_list")), None);
    }

    #[test]
    fn an_event_of_an_unknown_arm_is_skipped() {
        assert_eq!(change(proto::Event { r#type: proto::Operation::Put as i32, resource: None }), None);
        assert_eq!(change(proto::Event { r#type: 77, resource: None }), None);
    }
}
