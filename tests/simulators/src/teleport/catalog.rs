//! Access monitoring rules, access lists, login states and resources in a short form, and what a real server never
//! leaves out of them.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::clock::timestamp;
use super::pb::proto::PaginatedResource;
use super::pb::teleport::accesslist::v1::{
    AccessList, AccessListAudit, AccessListGrants, AccessListOwner, AccessListSpec, Notifications,
};
use super::pb::teleport::accessmonitoringrules::v1::{AccessMonitoringRule, AccessMonitoringRuleSpec, Notification};
use super::pb::teleport::header::v1::{Metadata, ResourceHeader};
use super::pb::teleport::r#trait::v1::Trait;
use super::pb::teleport::userloginstate::v1::{Spec, UserLoginState};
use super::resources;

/// Reminders of an access list's review start this long before it, unless its owners say otherwise.
const TWO_WEEKS: Duration = Duration::from_hours(14 * 24);

/// An access monitoring rule that notifies people through a plugin.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewRule {
    /// Its name.
    pub name: String,
    /// Kinds of resources that it is about.
    pub subjects: Vec<String>,
    /// When it applies, in Teleport's predicate language.
    pub condition: String,
    /// Which plugin notifies.
    pub plugin: String,
    /// Whom.
    pub recipients: Vec<String>,
}

impl Default for NewRule {
    fn default() -> Self {
        Self {
            name: String::new(),
            subjects: vec!["access_request".to_owned()],
            condition: "true".to_owned(),
            plugin: "slack".to_owned(),
            recipients: Vec::new(),
        }
    }
}

impl From<NewRule> for AccessMonitoringRule {
    fn from(new: NewRule) -> Self {
        Self {
            metadata: Some(named(&new.name)),
            spec: Some(AccessMonitoringRuleSpec {
                subjects: new.subjects,
                condition: new.condition,
                notification: Some(Notification { name: new.plugin, recipients: new.recipients }),
                ..AccessMonitoringRuleSpec::default()
            }),
            ..Self::default()
        }
    }
}

/// An access list.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewAccessList {
    /// Its name, by which it is found.
    pub name: String,
    /// What people read.
    pub title: String,
    /// Who reviews it.
    pub owners: Vec<String>,
    /// Roles that its members get.
    pub grants: Vec<String>,
    /// Seconds until its next review is due; half a year without it.
    pub review_in_seconds: Option<u64>,
}

impl NewAccessList {
    /// As a message; `now` is the cluster's time.
    pub fn message(self, now: SystemTime) -> AccessList {
        let due = self.review_in_seconds.map_or(Duration::from_hours(183 * 24), Duration::from_secs);
        AccessList {
            header: Some(ResourceHeader { metadata: Some(named(&self.name)), ..ResourceHeader::default() }),
            spec: Some(AccessListSpec {
                title: self.title,
                owners: self
                    .owners
                    .into_iter()
                    .map(|name| AccessListOwner { name, ..AccessListOwner::default() })
                    .collect(),
                audit: Some(AccessListAudit { next_audit_date: Some(timestamp(now + due)), notifications: None }),
                grants: Some(AccessListGrants { roles: self.grants, traits: Vec::new() }),
                ..AccessListSpec::default()
            }),
        }
    }
}

/// What a user's last login left behind.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewLoginState {
    /// Roles.
    pub roles: Vec<String>,
    /// Traits.
    pub traits: BTreeMap<String, Vec<String>>,
}

impl From<NewLoginState> for UserLoginState {
    fn from(new: NewLoginState) -> Self {
        let traits = new.traits.into_iter().map(|(key, values)| Trait { key, values }).collect();
        Self { header: None, spec: Some(Spec { roles: new.roles, traits }) }
    }
}

/// A resource with a name that people know.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewResource {
    /// What it is.
    pub kind: ResourceKind,
    /// Its name, by which it is requested.
    pub name: String,
    /// Host name of a node; name in Okta of an application or a group.
    pub friendly: String,
}

/// Kinds of resources whose friendly names are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceKind {
    /// A server.
    Node,
    /// An application.
    App,
    /// A group of users.
    UserGroup,
}

impl From<NewResource> for PaginatedResource {
    fn from(new: NewResource) -> Self {
        match new.kind {
            ResourceKind::Node => resources::node(&new.name, &new.friendly),
            ResourceKind::App => resources::okta_app(&new.name, &new.friendly),
            ResourceKind::UserGroup => resources::okta_group(&new.name, &new.friendly),
        }
    }
}

fn named(name: &str) -> Metadata {
    Metadata { name: name.to_owned(), ..Metadata::default() }
}

/// Teleport's own clients refuse a list in which one of these is missing.
pub(crate) fn complete_list(list: &mut AccessList) {
    complete_header(&mut list.header, "access_list");
    let spec = list.spec.get_or_insert_default();
    let audit = spec.audit.get_or_insert_default();
    let start = audit.notifications.get_or_insert(Notifications { start: None }).start;
    audit.notifications.get_or_insert_default().start = start.or_else(|| TWO_WEEKS.try_into().ok());
    spec.membership_requires.get_or_insert_default();
    spec.ownership_requires.get_or_insert_default();
    spec.grants.get_or_insert_default();
}

/// A login state has its user's name.
pub(crate) fn complete_login_state(state: &mut UserLoginState, user: &str) {
    complete_header(&mut state.header, "user_login_state");
    let metadata = state.header.get_or_insert_default().metadata.get_or_insert_default();
    user.clone_into(&mut metadata.name);
    state.spec.get_or_insert_default();
}

/// Kind and version of a rule.
pub(crate) fn complete_rule(rule: &mut AccessMonitoringRule) {
    "access_monitoring_rule".clone_into(&mut rule.kind);
    "v1".clone_into(&mut rule.version);
    rule.metadata.get_or_insert_default();
    rule.spec.get_or_insert_default();
}

fn complete_header(header: &mut Option<ResourceHeader>, kind: &str) {
    let header = header.get_or_insert_default();
    kind.clone_into(&mut header.kind);
    "v1".clone_into(&mut header.version);
    header.metadata.get_or_insert_default();
}
