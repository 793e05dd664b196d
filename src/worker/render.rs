//! From what is known of a request to what Slack shows: pure but for the wait for the logins of roles.

use futures::future::{BoxFuture, Shared};
use jiff::{SignedDuration, Timestamp};

use crate::access_request::{AccessRequest, RequestId, RequestState};
use crate::config::recipient::RecipientKey;
use crate::delivery::effect::ReplyKind;
use crate::delivery::record::RequestMemory;
use crate::delivery::state::{Observation, Resolution, Shown};
use crate::slack::message::{self, Content, Notification, Review, ReviewButtons, RoleLogins, State, Thresholds};
use crate::teleport::client::Server;

/// The logins of the requested roles, as far as known.
pub(super) type Logins = Vec<(String, Option<Vec<String>>)>;

/// What a message is rendered from: the request as it was when the message was decided.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// The request.
    pub observation: Observation,
    /// What the record remembers of it.
    pub remembered: RequestMemory,
    /// The logins of the requested roles, which are being learnt.
    pub logins: Option<Shared<BoxFuture<'static, Logins>>>,
}

impl Subject {
    /// The request's message, as it shows `shown`.
    pub(super) async fn message(
        self,
        id: &RequestId,
        recipient: &RecipientKey,
        shown: Shown,
        plain: bool,
        server: Option<&Server>,
        review: Option<ReviewButtons>,
    ) -> Content {
        let logins = match self.logins {
            Some(logins) => logins.await,
            None => Logins::new(),
        };
        let notification =
            Notification { review, ..notification(id, &self.observation, &self.remembered, shown, server, &logins) };
        if plain {
            message::render_plain(&notification, recipient.as_str())
        } else {
            message::render(&notification, recipient.as_str())
        }
    }

    /// A reply in the message's thread.
    pub(super) fn reply(&self, id: &RequestId, what: ReplyKind) -> Content {
        match what {
            ReplyKind::Review(index) => {
                let request = self.observation.request();
                let about = request.and_then(|request| request.reviews.get(index)).map(review).unwrap_or_default();
                message::render_reply(&id.0, index, &about)
            }
            ReplyKind::Outcome(resolution) => {
                let reason = match &self.observation {
                    Observation::Present(request) => &request.resolve_reason,
                    Observation::Gone(_) => &self.remembered.resolve_reason,
                };
                message::render_outcome(&id.0, resolution.as_str(), state_of(resolution), reason)
            }
        }
    }
}

fn state_of(resolution: Resolution) -> State {
    match resolution {
        Resolution::Approved => State::Approved,
        Resolution::Denied => State::Denied,
        Resolution::Promoted => State::Promoted,
        Resolution::Expired => State::Expired,
    }
}

/// Describes the request as it is now.
pub(super) fn notification(
    id: &RequestId,
    observation: &Observation,
    remembered: &RequestMemory,
    shown: Shown,
    server: Option<&Server>,
    logins: &Logins,
) -> Notification {
    let base = Notification {
        request_id: id.0.clone(),
        cluster: server.map(|server| server.cluster.clone()).unwrap_or_default(),
        link: server.and_then(|server| link(server, id)),
        ..Notification::default()
    };
    match observation {
        Observation::Present(request) => present(base, request, logins),
        Observation::Gone(seen) => Notification {
            user: remembered.user.clone(),
            roles: remembered.roles.iter().map(|role| with_logins(role, logins)).collect(),
            resources: remembered.resources.clone(),
            reason: remembered.reason.clone(),
            resolve_reason: remembered.resolve_reason.clone(),
            state: match shown {
                Shown::Ended(resolution) if resolution != Resolution::Expired => state_of(resolution),
                _ if was_deleted(*seen, remembered.expires) => State::Deleted,
                _ => State::Expired,
            },
            ..base
        },
    }
}

/// A request that vanishes this much before its time was deleted; otherwise it has expired. Teleport's sweep and the two
/// clocks make the difference blurry.
const EXPIRY_SLACK: SignedDuration = SignedDuration::from_secs(60);

/// Whether a vanished request was deleted before its time.
fn was_deleted(seen: Timestamp, expires: Option<Timestamp>) -> bool {
    expires.is_some_and(|expires| seen.duration_until(expires) > EXPIRY_SLACK)
}

fn present(base: Notification, request: &AccessRequest, logins: &Logins) -> Notification {
    let state = state(request.state);
    let deciders: Vec<_> =
        request.reviews.iter().filter(|review| state.is_resolved() && review.proposed == request.state).collect();
    let names: Vec<_> = deciders.iter().map(|review| review.author.as_str()).collect();
    let decided_at = deciders.iter().filter_map(|review| review.created).max();
    Notification {
        user: request.user.clone(),
        roles: request.roles.iter().map(|role| with_logins(role, logins)).collect(),
        resources: request.resources.iter().map(ToString::to_string).collect(),
        reason: request.reason.clone(),
        suggested_reviewers: request.suggested_reviewers.clone(),
        created: request.created,
        request_expires: request.request_expires.filter(|_| !state.is_resolved()),
        access_expires: request.access_expires,
        long_term: request.long_term,
        state,
        resolved_by: names.join(", "),
        resolve_reason: request.resolve_reason.clone(),
        resolved_at: decided_at,
        reviews: request.reviews.iter().map(review).collect(),
        thresholds: request
            .thresholds
            .filter(|_| !state.is_resolved())
            .map(|counted| Thresholds { approve: counted.approve, deny: counted.deny }),
        ..base
    }
}

/// Describes one review.
pub(super) fn review(review: &crate::access_request::Review) -> Review {
    Review {
        author: review.author.clone(),
        proposed: state(review.proposed),
        reason: review.reason.clone(),
        at: review.created,
    }
}

fn state(state: RequestState) -> State {
    match state {
        RequestState::Pending | RequestState::Unknown => State::Pending,
        RequestState::Approved => State::Approved,
        RequestState::Denied => State::Denied,
        RequestState::Promoted => State::Promoted,
    }
}

fn with_logins(role: &str, logins: &Logins) -> RoleLogins {
    let known = logins.iter().find(|(name, _)| name == role).and_then(|(_, logins)| logins.clone());
    RoleLogins { role: role.to_owned(), logins: known }
}

/// The request's page in the web UI, where it can be reviewed; only Enterprise clusters have that.
fn link(server: &Server, id: &RequestId) -> Option<String> {
    let proxy = server.proxy_public_addr.trim_end_matches('/');
    if !server.web_reviews || proxy.is_empty() {
        return None;
    }
    let proxy = if proxy.contains("://") { proxy.to_owned() } else { format!("https://{proxy}") };
    let proxy = proxy.strip_suffix(":443").unwrap_or(&proxy);
    Some(format!("{proxy}/web/requests/{id}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access_request::Review as TeleportReview;
    use crate::delivery::record::Record;
    use crate::delivery::testing::request;

    fn server() -> Server {
        Server {
            cluster: "example".to_owned(),
            version: "18.0.0".to_owned(),
            proxy_public_addr: "teleport.example.com:443".to_owned(),
            web_reviews: true,
        }
    }

    fn rendered(observation: &Observation, remembered: &RequestMemory) -> Notification {
        let id = RequestId("id".to_owned());
        notification(&id, observation, remembered, Shown::of(observation), Some(&server()), &Vec::new())
    }

    #[test]
    fn the_link_leaves_out_the_default_port() {
        let shown = rendered(&Observation::Present(Box::new(request())), &RequestMemory::default());
        assert_eq!(shown.link.as_deref(), Some("https://teleport.example.com/web/requests/id"));
    }

    #[test]
    fn a_cluster_without_web_reviews_gets_no_link() {
        let server = Server { web_reviews: false, ..server() };
        assert_eq!(link(&server, &RequestId("id".to_owned())), None);
    }

    #[test]
    fn those_who_proposed_what_was_decided_are_named_as_deciders() {
        let review = |author: &str, proposed| TeleportReview {
            author: author.to_owned(),
            proposed,
            reason: String::new(),
            created: None,
        };
        let decided = AccessRequest {
            state: RequestState::Denied,
            reviews: vec![review("bob", RequestState::Approved), review("carol", RequestState::Denied)],
            ..request()
        };
        let shown = rendered(&Observation::Present(Box::new(decided)), &RequestMemory::default());
        assert_eq!((shown.state, shown.resolved_by.as_str()), (State::Denied, "carol"));
    }

    #[test]
    fn a_request_that_is_gone_is_shown_from_the_record() {
        let mut record = Record::default();
        record.remember(&AccessRequest { reason: "why".to_owned(), ..request() });
        let shown = rendered(&Observation::Gone(Timestamp::UNIX_EPOCH), &record.request);
        assert_eq!((shown.user.as_str(), shown.reason.as_str(), shown.state), ("alice", "why", State::Expired));
        record.request.expires = Some(Timestamp::from_second(7200).unwrap());
        assert_eq!(rendered(&Observation::Gone(Timestamp::UNIX_EPOCH), &record.request).state, State::Deleted);
    }
}
