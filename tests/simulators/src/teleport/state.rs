//! Everything the cluster knows, and the one place where it changes: each write tells the watchers.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::clock::{Clock, time};
use super::config::{Config, Edition, ServerVersion};
use super::error::Trace;
use super::join::JoinToken;
use super::pb::proto::PaginatedResource;
use super::pb::proto::event::Resource;
use super::pb::teleport::accesslist::v1::AccessList;
use super::pb::teleport::accessmonitoringrules::v1::AccessMonitoringRule;
use super::pb::teleport::userloginstate::v1::UserLoginState;
use super::pb::types::{AccessRequestV3, LockV2, PluginDataUpdateParams, PluginDataV3};
use super::plugin_data;
use super::role::{Role, Rule, User};
use super::table::Table;
use super::watch::{Watchers, change, deletion};

/// The cluster's state.
pub(crate) struct State {
    pub(crate) cluster_name: String,
    pub(crate) version: ServerVersion,
    pub(crate) edition: Edition,
    pub(crate) request_ttl: Duration,
    pub(crate) access_ttl: Duration,
    pub(crate) clock: Clock,
    pub(crate) requests: Table<AccessRequestV3>,
    pub(crate) plugin_data: Table<PluginDataV3>,
    pub(crate) roles: BTreeMap<String, Role>,
    pub(crate) users: BTreeMap<String, User>,
    /// Rules that replace those of a user's roles.
    pub(crate) permissions: BTreeMap<String, Vec<Rule>>,
    pub(crate) rules: BTreeMap<String, AccessMonitoringRule>,
    pub(crate) access_lists: BTreeMap<String, AccessList>,
    pub(crate) login_states: BTreeMap<String, UserLoginState>,
    pub(crate) resources: Vec<PaginatedResource>,
    pub(crate) join_tokens: BTreeMap<String, JoinToken>,
    /// Locks in force, by the name of the user that they lock out.
    pub(crate) locks: BTreeMap<String, LockV2>,
    pub(crate) watchers: Watchers,
}

impl State {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            cluster_name: config.cluster_name.clone(),
            version: config.version,
            edition: config.edition,
            request_ttl: config.request_ttl,
            access_ttl: config.access_ttl,
            clock: Clock::default(),
            requests: Table::default(),
            plugin_data: Table::default(),
            roles: config.roles.iter().map(|role| (role.name.clone(), role.clone())).collect(),
            users: config.users.iter().map(|user| (user.name.clone(), user.clone())).collect(),
            permissions: BTreeMap::new(),
            rules: BTreeMap::new(),
            access_lists: BTreeMap::new(),
            login_states: BTreeMap::new(),
            resources: Vec::new(),
            join_tokens: BTreeMap::new(),
            locks: BTreeMap::new(),
            watchers: Watchers::default(),
        }
    }

    /// Stores a request and tells the watchers. Every write gets a new revision.
    pub(crate) fn put_request(&mut self, id: &str, mut request: AccessRequestV3) {
        request.metadata.get_or_insert_default().revision = new_uuid();
        self.watchers.publish("access_request", &change(Resource::AccessRequest(request.clone())));
        self.requests.put(id, request);
    }

    /// Removes a request; its plugin data stays.
    pub(crate) fn remove_request(&mut self, id: &str) -> bool {
        let removed = self.requests.remove(id);
        if removed {
            self.watchers.publish("access_request", &deletion("access_request", id));
        }
        removed
    }

    /// Updates a plugin's entry, under the rules of compare-and-swap.
    pub(crate) fn update_plugin_data(&mut self, params: &PluginDataUpdateParams) -> Result<(), Trace> {
        plugin_data::check_kind(&params.kind)?;
        let key = plugin_data::key(&params.kind, &params.resource);
        let record = match self.plugin_data.get(&key) {
            Some(record) => record.as_ref().clone(),
            None => plugin_data::fresh(&params.kind, &params.resource, self.expiry_of_access(params)?),
        };
        let mut record = plugin_data::update(record, params, self.clock.now())?;
        record.metadata.get_or_insert_default().revision = new_uuid();
        self.plugin_data.put(&key, record);
        Ok(())
    }

    /// Only the first record of a request needs the request.
    fn expiry_of_access(&self, params: &PluginDataUpdateParams) -> Result<Option<SystemTime>, Trace> {
        if params.kind != "access_request" {
            return Ok(None);
        }
        let request = self
            .requests
            .get(&params.resource)
            .ok_or_else(|| Trace::not_found(format!("no access request matching {:?}", params.resource)))?;
        Ok(request.spec.as_ref().and_then(|spec| time(spec.expires.as_ref())))
    }

    /// Removes what has expired.
    pub(crate) fn sweep(&mut self) {
        let now = self.clock.now();
        let due = |expires: Option<SystemTime>| expires.is_some_and(|expires| expires <= now);
        let requests: Vec<_> =
            self.requests.rows(None).filter(|(_, row)| due(expiry(row))).map(|(id, _)| id.to_owned()).collect();
        let records: Vec<_> = self
            .plugin_data
            .rows(None)
            .filter(|(_, row)| due(plugin_data::expiry(row)))
            .map(|(key, _)| key.to_owned())
            .collect();
        for id in requests {
            self.remove_request(&id);
        }
        for key in records {
            self.plugin_data.remove(&key);
        }
    }

    /// Time until something expires.
    pub(crate) fn next_expiry(&self) -> Option<Duration> {
        let requests = self.requests.rows(None).filter_map(|(_, row)| expiry(row));
        let records = self.plugin_data.rows(None).filter_map(|(_, row)| plugin_data::expiry(row));
        let next = requests.chain(records).min()?;
        Some(next.duration_since(self.clock.now()).unwrap_or_default())
    }
}

/// End of a request's life as a resource.
fn expiry(request: &AccessRequestV3) -> Option<SystemTime> {
    time(request.metadata.as_ref()?.expires.as_ref())
}

/// A random (version 4) UUID.
pub(crate) fn new_uuid() -> String {
    let bits = (rand::random::<u128>() & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

/// Whether this is a UUID as Teleport writes them.
pub(crate) fn is_uuid(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_uuid_is_of_version_four() {
        let id = super::new_uuid();
        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "4");
        assert!("89ab".contains(&id[19..20]));
        assert!(super::is_uuid(&id));
        assert!(!super::is_uuid(&id[1..]) && !super::is_uuid("x"));
    }
}
