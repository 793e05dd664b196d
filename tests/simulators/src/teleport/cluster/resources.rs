//! What is in the cluster, looked at and changed from inside: none of it meets the checks that a client meets.

use std::collections::BTreeMap;

use super::Cluster;
use crate::teleport::error::Trace;
use crate::teleport::pb::proto::PaginatedResource;
use crate::teleport::pb::proto::event::Resource;
use crate::teleport::pb::teleport::accesslist::v1::AccessList;
use crate::teleport::pb::teleport::accessmonitoringrules::v1::AccessMonitoringRule;
use crate::teleport::pb::teleport::userloginstate::v1::UserLoginState;
use crate::teleport::pb::types::{
    AccessRequestV3, LockSpecV2, LockTarget, LockV2, PluginDataUpdateParams, PluginDataV3, PromotedAccessList,
    RequestState,
};
use crate::teleport::requests::{NewRequest, NewReview};
use crate::teleport::role::{Role, Rule, User};
use crate::teleport::watch::{change, deletion};
use crate::teleport::{catalog, plugin_data};

impl Cluster {
    // ---- access requests

    /// Creates a request; returns its id.
    pub fn create_request(&self, request: NewRequest) -> String {
        let request = self.core.write(|state| state.create_unchecked(request));
        request.metadata.map(|metadata| metadata.name).unwrap_or_default()
    }

    /// Submits a review, whoever the author is.
    pub fn review(&self, id: &str, review: &NewReview) -> Result<RequestState, Trace> {
        let request = self.core.write(|state| state.apply_review(id, review.message()))?;
        Ok(request.spec.map(|spec| spec.state()).unwrap_or_default())
    }

    /// Approves a request by decree.
    pub fn approve(&self, id: &str, reason: &str) -> Result<(), Trace> {
        self.core.write(|state| state.set_request_state(id, RequestState::Approved, reason, &[]))
    }

    /// Denies a request by decree.
    pub fn deny(&self, id: &str, reason: &str) -> Result<(), Trace> {
        self.core.write(|state| state.set_request_state(id, RequestState::Denied, reason, &[]))
    }

    /// Promotes a request to a membership of an access list.
    pub fn promote(&self, id: &str, author: &str, list: &str, title: &str) -> Result<(), Trace> {
        let review = NewReview::approve(author, "").message();
        let list = PromotedAccessList { name: list.to_owned(), title: title.to_owned() };
        self.core.write(|state| state.promote(id, review, list))
    }

    /// Lets a request's time run out: watchers see a deletion, its plugin data stays. False when there is no such request.
    pub fn expire(&self, id: &str) -> bool {
        self.core.write(|state| state.remove_request(id))
    }

    /// Deletes a request as an administrator would. False when there is no such request.
    pub fn delete(&self, id: &str) -> bool {
        self.expire(id)
    }

    /// Writes a request again without a change: watchers see one more event.
    pub fn touch_request(&self, id: &str) -> bool {
        self.core.write(|state| {
            let request = state.requests.get(id).map(|request| request.as_ref().clone());
            let found = request.is_some();
            if let Some(request) = request {
                state.put_request(id, request);
            }
            found
        })
    }

    /// Stores a request exactly as given; for requests that this handle cannot make.
    pub fn put_request(&self, request: AccessRequestV3) {
        let id = request.metadata.as_ref().map(|metadata| metadata.name.clone()).unwrap_or_default();
        self.core.write(|state| state.put_request(&id, request));
    }

    /// All requests, by id.
    pub fn requests(&self) -> Vec<AccessRequestV3> {
        self.core.read(|state| state.requests.rows(None).map(|(_, request)| request.as_ref().clone()).collect())
    }

    /// One request.
    pub fn request(&self, id: &str) -> Option<AccessRequestV3> {
        self.core.read(|state| state.requests.get(id).map(|request| request.as_ref().clone()))
    }

    // ---- plugin data

    /// What `plugin` stored beside an access request; empty when it stored nothing.
    pub fn plugin_data(&self, id: &str, plugin: &str) -> BTreeMap<String, String> {
        let record = self.plugin_record("access_request", id);
        let entry = record.and_then(|record| record.spec).and_then(|mut spec| spec.entries.remove(plugin));
        entry.map(|entry| entry.data.into_iter().collect()).unwrap_or_default()
    }

    /// The whole record of a resource.
    pub fn plugin_record(&self, kind: &str, resource: &str) -> Option<PluginDataV3> {
        let key = plugin_data::key(kind, resource);
        self.core.read(|state| state.plugin_data.get(&key).map(|record| record.as_ref().clone()))
    }

    /// Writes keys of a plugin's entry, as another instance of the plugin would. An empty value removes its key.
    pub fn set_plugin_data(&self, id: &str, plugin: &str, values: &[(&str, &str)]) -> Result<(), Trace> {
        let params = PluginDataUpdateParams {
            kind: "access_request".to_owned(),
            resource: id.to_owned(),
            plugin: plugin.to_owned(),
            set: values.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect(),
            ..PluginDataUpdateParams::default()
        };
        self.core.write(|state| state.update_plugin_data(&params))
    }

    // ---- roles, users, rules, lists, resources

    /// Adds or replaces a role.
    pub fn put_role(&self, role: Role) {
        self.core.write(|state| {
            let message = role.message();
            state.watchers.publish("role", &change(Resource::Role(message)));
            state.roles.insert(role.name.clone(), role);
        });
    }

    /// Removes a role.
    pub fn remove_role(&self, name: &str) -> bool {
        self.core.write(|state| {
            let found = state.roles.remove(name).is_some();
            if found {
                state.watchers.publish("role", &deletion("role", name));
            }
            found
        })
    }

    /// Adds or replaces a user.
    pub fn put_user(&self, user: User) {
        self.core.write(|state| {
            let message = user.message();
            state.watchers.publish("user", &change(Resource::User(message)));
            state.users.insert(user.name.clone(), user);
        });
    }

    /// Removes a user.
    pub fn remove_user(&self, name: &str) -> bool {
        self.core.write(|state| {
            let found = state.users.remove(name).is_some();
            if found {
                state.watchers.publish("user", &deletion("user", name));
            }
            found
        })
    }

    /// Locks a user out, as `tctl lock --user` does.
    pub fn put_lock(&self, user: &str, message: &str) {
        let target = LockTarget { user: user.to_owned(), ..LockTarget::default() };
        let lock = LockV2 {
            kind: "lock".to_owned(),
            version: "v2".to_owned(),
            metadata: Some(super::super::role::named(user)),
            spec: Some(LockSpecV2 { target: Some(target), message: message.to_owned(), expires: None }),
            ..LockV2::default()
        };
        self.core.write(|state| state.locks.insert(user.to_owned(), lock));
    }

    /// Takes a user's lock away.
    pub fn remove_lock(&self, user: &str) -> bool {
        self.core.write(|state| state.locks.remove(user).is_some())
    }

    /// All roles.
    pub fn roles(&self) -> Vec<Role> {
        self.core.read(|state| state.roles.values().cloned().collect())
    }

    /// All users.
    pub fn users(&self) -> Vec<User> {
        self.core.read(|state| state.users.values().cloned().collect())
    }

    /// Replaces what a user may do, whatever its roles say; `None` takes that back.
    pub fn set_permissions(&self, user: &str, rules: Option<Vec<Rule>>) {
        self.core.write(|state| match rules {
            Some(rules) => drop(state.permissions.insert(user.to_owned(), rules)),
            None => drop(state.permissions.remove(user)),
        });
    }

    /// Sets the state of a user's last login.
    pub fn put_login_state(&self, user: &str, mut login_state: UserLoginState) {
        catalog::complete_login_state(&mut login_state, user);
        self.core.write(|state| state.login_states.insert(user.to_owned(), login_state));
    }

    /// Adds or replaces an access monitoring rule.
    pub fn put_rule(&self, mut rule: AccessMonitoringRule) {
        catalog::complete_rule(&mut rule);
        self.core.write(|state| {
            let name = rule.metadata.as_ref().map(|metadata| metadata.name.clone()).unwrap_or_default();
            let event = change(Resource::AccessMonitoringRule(rule.clone()));
            state.watchers.publish("access_monitoring_rule", &event);
            state.rules.insert(name, rule);
        });
    }

    /// Removes an access monitoring rule.
    pub fn remove_rule(&self, name: &str) -> bool {
        self.core.write(|state| {
            let found = state.rules.remove(name).is_some();
            if found {
                state.watchers.publish("access_monitoring_rule", &deletion("access_monitoring_rule", name));
            }
            found
        })
    }

    /// Adds or replaces an access list.
    pub fn put_access_list(&self, mut list: AccessList) {
        catalog::complete_list(&mut list);
        self.core.write(|state| {
            let metadata = list.header.as_ref().and_then(|header| header.metadata.as_ref());
            let name = metadata.map(|metadata| metadata.name.clone()).unwrap_or_default();
            let event = change(Resource::AccessList(list.clone()));
            state.watchers.publish("access_list", &event);
            state.access_lists.insert(name, list);
        });
    }

    /// Removes an access list.
    pub fn remove_access_list(&self, name: &str) -> bool {
        self.core.write(|state| {
            let found = state.access_lists.remove(name).is_some();
            if found {
                state.watchers.publish("access_list", &deletion("access_list", name));
            }
            found
        })
    }

    /// Adds a resource that `ListResources` finds.
    pub fn add_resource(&self, resource: PaginatedResource) {
        self.core.write(|state| state.resources.push(resource));
    }
}
