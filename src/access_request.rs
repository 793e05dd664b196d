//! The domain types of access requests, as the rest of the program sees them. Protobuf stops in `convert`.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// Identifies an access request: Teleport's `metadata.name`, a UUID.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub String);

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestState {
    /// Waiting for reviewers.
    Pending,
    /// Access was granted.
    Approved,
    /// Access was refused.
    Denied,
    /// Turned into membership of an access list.
    Promoted,
    /// A state that this program does not know: a newer server's.
    Unknown,
}

/// An access request as Teleport holds it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRequest {
    /// Its id.
    pub id: RequestId,
    /// The requester's Teleport user name.
    pub user: String,
    /// Requested roles, deduplicated and sorted by the server.
    pub roles: Vec<String>,
    /// Requested resources; empty for a role request.
    pub resources: Vec<ResourceId>,
    /// Where it stands.
    pub state: RequestState,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// When the elevated access ends, if granted.
    pub access_expires: Option<Timestamp>,
    /// When the request itself is deleted by Teleport.
    pub request_expires: Option<Timestamp>,
    /// Until when access may at most last; a point in time, although Teleport calls it a duration.
    pub max_duration: Option<Timestamp>,
    /// Why the requester wants it.
    pub reason: String,
    /// Why it was decided so.
    pub resolve_reason: String,
    /// Reviews in order of submission.
    pub reviews: Vec<Review>,
    /// User names or e-mail addresses that the requester suggests as reviewers.
    pub suggested_reviewers: Vec<String>,
    /// Annotations that the requester's roles put on it.
    pub system_annotations: BTreeMap<String, Vec<String>>,
    /// Long-term requests ask for membership of an access list instead of a session.
    pub long_term: bool,
    /// How many reviews decide it; none where the server does not say.
    pub thresholds: Option<Thresholds>,
}

/// How many reviews decide a request, those included that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Approvals that it takes, if all further ones count for every role.
    pub approve: u32,
    /// Denials that it takes.
    pub deny: u32,
}

/// One review of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// The reviewer's Teleport user name.
    pub author: String,
    /// What the reviewer proposes.
    pub proposed: RequestState,
    /// Why.
    pub reason: String,
    /// When.
    pub created: Option<Timestamp>,
}

/// Names a requested resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceId {
    /// Cluster that holds it.
    pub cluster: String,
    /// Kind, such as `node` or `app`.
    pub kind: String,
    /// Name; a UUID for nodes.
    pub name: String,
    /// Name of a part of it, such as a Kubernetes namespace; usually empty.
    pub sub_resource: String,
}

impl std::fmt::Display for ResourceId {
    /// Teleport's own spelling: `/cluster/kind/name`, with `/sub` appended when there is one.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "/{}/{}/{}", self.cluster, self.kind, self.name)?;
        if !self.sub_resource.is_empty() {
            write!(f, "/{}", self.sub_resource)?;
        }
        Ok(())
    }
}

/// A plugin's stored data for one request: string keys and values, compared and swapped by key.
pub type PluginData = BTreeMap<String, String>;

/// One stored record of plugin data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// The request it belongs to, which may be gone by now.
    pub request: RequestId,
    /// This plugin's entry.
    pub data: PluginData,
    /// When Teleport drops the record: the access's expiry plus an hour.
    pub expires: Option<Timestamp>,
}
