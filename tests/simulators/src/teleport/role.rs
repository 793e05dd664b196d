//! Roles and users of the simulated cluster, as far as access requests depend on them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::pb::types;

/// Allows (or denies) verbs on kinds of resources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Kinds such as `access_request`; `*` for all.
    pub kinds: Vec<String>,
    /// Verbs: `list`, `read`, `create`, `update`, `delete`; `*` for all.
    pub verbs: Vec<String>,
}

impl Rule {
    /// A rule for one kind.
    pub fn new(kind: &str, verbs: &[&str]) -> Self {
        Self { kinds: vec![kind.to_owned()], verbs: owned(verbs) }
    }

    pub(crate) fn covers(&self, kind: &str, verb: &str) -> bool {
        let has = |list: &[String], wanted: &str| list.iter().any(|item| item == wanted || item == "*");
        has(&self.kinds, kind) && has(&self.verbs, verb)
    }
}

/// How many reviews resolve a request for a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// Shown in Teleport's UI.
    #[serde(default)]
    pub name: String,
    /// Approvals needed; 0 is never reached.
    pub approve: u32,
    /// Denials needed; 0 is never reached.
    pub deny: u32,
}

impl Threshold {
    /// A threshold without a name.
    pub fn new(approve: u32, deny: u32) -> Self {
        Self { name: String::new(), approve, deny }
    }
}

/// A role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// `allow.logins`, unexpanded.
    pub logins: Vec<String>,
    /// `allow.rules`.
    pub rules: Vec<Rule>,
    /// `deny.rules`.
    pub denied: Vec<Rule>,
    /// `allow.request.roles`: what its holders may request; `*` for every role.
    pub requestable: Vec<String>,
    /// `allow.request.search_as_roles`: what a request for resources of its holders is for.
    pub search_as: Vec<String>,
    /// `allow.request.thresholds` of those requests; without any, one approval or one denial.
    pub thresholds: Vec<Threshold>,
    /// `allow.request.annotations`.
    pub annotations: BTreeMap<String, Vec<String>>,
    /// `allow.request.suggested_reviewers`.
    pub suggested_reviewers: Vec<String>,
    /// `allow.review_requests.roles`: whose requests its holders may review; `*` for every role.
    pub reviewable: Vec<String>,
    /// `allow.review_requests.submit_for_users`: for whom its holders may review; `*` for every user.
    pub submit_for_users: Vec<String>,
    /// `allow.review_requests.preview_as_roles`: sees names of resources, as who has `search_as` does.
    pub preview_resources: bool,
    /// `options.max_session_ttl`.
    pub max_session_ttl: Option<Duration>,
    /// Whether a request needs a reason (`options.request_access: reason`).
    pub require_reason: bool,
}

impl Role {
    /// A role that allows nothing.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// With these logins.
    #[must_use]
    pub fn logins(mut self, logins: &[&str]) -> Self {
        self.logins = owned(logins);
        self
    }

    /// Allows these verbs on this kind.
    #[must_use]
    pub fn allow(mut self, kind: &str, verbs: &[&str]) -> Self {
        self.rules.push(Rule::new(kind, verbs));
        self
    }

    /// Denies these verbs on this kind, whatever else is allowed.
    #[must_use]
    pub fn deny(mut self, kind: &str, verbs: &[&str]) -> Self {
        self.denied.push(Rule::new(kind, verbs));
        self
    }

    /// Its holders may request these roles.
    #[must_use]
    pub fn may_request(mut self, roles: &[&str]) -> Self {
        self.requestable = owned(roles);
        self
    }

    /// Its holders may request resources that these roles give access to.
    #[must_use]
    pub fn may_search_as(mut self, roles: &[&str]) -> Self {
        self.search_as = owned(roles);
        self
    }

    /// Requests of its holders need this.
    #[must_use]
    pub fn threshold(mut self, approve: u32, deny: u32) -> Self {
        self.thresholds.push(Threshold::new(approve, deny));
        self
    }

    /// Its holders may review requests for these roles.
    #[must_use]
    pub fn may_review(mut self, roles: &[&str]) -> Self {
        self.reviewable = owned(roles);
        self
    }

    /// Teleport's preset `access-plugin`.
    pub fn access_plugin() -> Self {
        let mut role = Self::new("access-plugin")
            .allow("access_request", &["list", "read"])
            .allow("access_plugin_data", &["list", "create", "read", "update", "delete"])
            .allow("access_monitoring_rule", &["list", "read"])
            .allow("access_list", &["list", "read"])
            .allow("role", &["list", "read"])
            .allow("user", &["list", "read"])
            .allow("user_login_state", &["list", "read"]);
        role.preview_resources = true;
        role
    }

    /// Teleport's preset `access-plugin-with-review`.
    pub fn access_plugin_with_review() -> Self {
        Self { name: "access-plugin-with-review".to_owned(), submit_for_users: owned(&["*"]), ..Self::access_plugin() }
    }

    pub(crate) fn message(&self) -> types::RoleV6 {
        types::RoleV6 {
            kind: "role".to_owned(),
            sub_kind: String::new(),
            version: "v7".to_owned(),
            metadata: Some(named(&self.name)),
            spec: Some(types::RoleSpecV6 {
                allow: Some(types::RoleConditions {
                    logins: self.logins.clone(),
                    rules: messages(&self.rules),
                    review_requests: Some(types::AccessReviewConditions {
                        roles: self.reviewable.clone(),
                        submit_for_users: self.submit_for_users.clone(),
                    }),
                }),
                deny: Some(types::RoleConditions { rules: messages(&self.denied), ..Default::default() }),
            }),
        }
    }
}

fn messages(rules: &[Rule]) -> Vec<types::Rule> {
    let message = |rule: &Rule| types::Rule {
        resources: rule.kinds.clone(),
        verbs: rule.verbs.clone(),
        ..types::Rule::default()
    };
    rules.iter().map(message).collect()
}

/// A user of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct User {
    /// Its name, often an e-mail address.
    pub name: String,
    /// Its roles.
    pub roles: Vec<String>,
    /// Its traits.
    pub traits: BTreeMap<String, Vec<String>>,
    /// Locked after too many failed logins. (A lock that an administrator makes is a resource of its own: `put_lock`.)
    pub locked: bool,
}

impl User {
    /// A user with these roles.
    pub fn new(name: &str, roles: &[&str]) -> Self {
        Self { name: name.to_owned(), roles: owned(roles), ..Self::default() }
    }

    /// With this trait.
    #[must_use]
    pub fn with_trait(mut self, key: &str, values: &[&str]) -> Self {
        self.traits.insert(key.to_owned(), owned(values));
        self
    }

    pub(crate) fn message(&self) -> types::UserV2 {
        types::UserV2 {
            kind: "user".to_owned(),
            sub_kind: String::new(),
            version: "v2".to_owned(),
            metadata: Some(named(&self.name)),
            spec: Some(types::UserSpecV2 {
                roles: self.roles.clone(),
                traits: Some(label_values(&self.traits)),
                status: self.locked.then_some(types::LoginStatus { is_locked: true, lock_expires: None }),
            }),
        }
    }
}

pub(crate) fn named(name: &str) -> types::Metadata {
    types::Metadata { name: name.to_owned(), namespace: "default".to_owned(), ..types::Metadata::default() }
}

pub(crate) fn label_values(map: &BTreeMap<String, Vec<String>>) -> super::pb::wrappers::LabelValues {
    let values = map
        .iter()
        .map(|(key, values)| (key.clone(), super::pb::wrappers::StringValues { values: values.clone() }))
        .collect();
    super::pb::wrappers::LabelValues { values }
}

fn owned(list: &[&str]) -> Vec<String> {
    list.iter().map(|&item| item.to_owned()).collect()
}
