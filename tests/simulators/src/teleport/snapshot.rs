//! The cluster's state in JSON, for a page that shows it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::Cluster;
use super::clock::time;
use super::config::{Edition, ServerVersion};
use super::pb::types::{AccessRequestV3, PluginDataV3, ResourceId};
use super::pb::wrappers::LabelValues;

/// Everything at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// Name of the cluster.
    pub cluster: String,
    /// Version that it claims.
    pub version: ServerVersion,
    /// Edition that it claims.
    pub edition: Edition,
    /// Where Auth listens.
    pub auth: String,
    /// Where the Proxy listens.
    pub proxy: Option<String>,
    /// The cluster's clock.
    pub now: String,
    /// Watches that are open.
    pub watchers: usize,
    /// Requests, newest first.
    pub requests: Vec<RequestView>,
    /// Plugin data of requests that are gone.
    pub orphaned_plugin_data: BTreeMap<String, PluginDataView>,
    /// Names of roles.
    pub roles: Vec<String>,
    /// Users and their roles.
    pub users: BTreeMap<String, Vec<String>>,
}

/// Plugin name → key → value.
pub type PluginDataView = BTreeMap<String, BTreeMap<String, String>>;

/// One request.
#[derive(Clone, Debug, Serialize)]
pub struct RequestView {
    /// Its id.
    pub id: String,
    /// Who asks.
    pub user: String,
    /// For which roles.
    pub roles: Vec<String>,
    /// For which resources.
    pub resources: Vec<String>,
    /// `PENDING`, `APPROVED`, `DENIED` or `PROMOTED`.
    pub state: String,
    /// Why it is asked for.
    pub reason: String,
    /// Why it was resolved so.
    pub resolve_reason: String,
    /// When it was created.
    pub created: Option<String>,
    /// When it goes away.
    pub expires: Option<String>,
    /// Approvals needed, denials needed.
    pub thresholds: Vec<(u32, u32)>,
    /// Reviews so far.
    pub reviews: Vec<ReviewView>,
    /// Whom the requester suggested.
    pub suggested_reviewers: Vec<String>,
    /// What the requester's roles say beside it.
    pub annotations: BTreeMap<String, Vec<String>>,
    /// What plugins stored beside it.
    pub plugin_data: PluginDataView,
}

/// One review.
#[derive(Clone, Debug, Serialize)]
pub struct ReviewView {
    /// Who reviewed.
    pub author: String,
    /// `APPROVED`, `DENIED` or `PROMOTED`.
    pub state: String,
    /// Why.
    pub reason: String,
    /// When.
    pub created: Option<String>,
}

impl Cluster {
    /// Everything at one moment.
    pub fn snapshot(&self) -> Snapshot {
        self.core.read(|state| {
            let mut data: BTreeMap<String, PluginDataView> = state
                .plugin_data
                .rows(None)
                .filter_map(|(key, record)| Some((key.strip_prefix("access_request/")?.to_owned(), entries(record))))
                .collect();
            let mut requests: Vec<_> = state
                .requests
                .rows(None)
                .map(|(id, request)| view(id, request, data.remove(id).unwrap_or_default()))
                .collect();
            requests.sort_by(|a, b| b.created.cmp(&a.created));
            Snapshot {
                cluster: state.cluster_name.clone(),
                version: state.version,
                edition: state.edition,
                auth: self.addr().to_string(),
                proxy: self.proxy_addr().map(|address| address.to_string()),
                now: Timestamp::try_from(state.clock.now()).map(|now| now.to_string()).unwrap_or_default(),
                watchers: state.watchers.open(),
                requests,
                orphaned_plugin_data: data,
                roles: state.roles.keys().cloned().collect(),
                users: state.users.values().map(|user| (user.name.clone(), user.roles.clone())).collect(),
            }
        })
    }
}

fn entries(record: &PluginDataV3) -> PluginDataView {
    let entries = record.spec.iter().flat_map(|spec| &spec.entries);
    entries.map(|(plugin, entry)| (plugin.clone(), entry.data.clone().into_iter().collect())).collect()
}

fn view(id: &str, request: &AccessRequestV3, plugin_data: PluginDataView) -> RequestView {
    let spec = request.spec.clone().unwrap_or_default();
    let reviews = spec.reviews.iter().map(|review| ReviewView {
        author: review.author.clone(),
        state: review.proposed_state().as_str_name().to_owned(),
        reason: review.reason.clone(),
        created: text(review.created.as_ref()),
    });
    RequestView {
        id: id.to_owned(),
        state: spec.state().as_str_name().to_owned(),
        reviews: reviews.collect(),
        resources: spec.requested_resource_i_ds.iter().map(resource).collect(),
        created: text(spec.created.as_ref()),
        expires: text(request.metadata.as_ref().and_then(|metadata| metadata.expires.as_ref())),
        thresholds: spec.thresholds.iter().map(|threshold| (threshold.approve, threshold.deny)).collect(),
        annotations: spec.system_annotations.as_ref().map(labels).unwrap_or_default(),
        user: spec.user,
        roles: spec.roles,
        reason: spec.request_reason,
        resolve_reason: spec.resolve_reason,
        suggested_reviewers: spec.suggested_reviewers,
        plugin_data,
    }
}

fn resource(id: &ResourceId) -> String {
    format!("/{}/{}/{}", id.cluster_name, id.kind, id.name)
}

fn labels(values: &LabelValues) -> BTreeMap<String, Vec<String>> {
    values.values.iter().map(|(key, values)| (key.clone(), values.values.clone())).collect()
}

fn text(field: Option<&prost_types::Timestamp>) -> Option<String> {
    Timestamp::try_from(time(field)?).ok().map(|time| time.to_string())
}
