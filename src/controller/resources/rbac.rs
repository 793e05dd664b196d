//! What the pods may do: read their own object and write its status.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};

use crate::controller::resources::{child_name, metadata};
use crate::controller::validate::Owner;
use crate::crd::{self, ServiceAccountSettings};

const RBAC: &str = "rbac.authorization.k8s.io";

pub(super) fn service_account(owner: &Owner, settings: &ServiceAccountSettings) -> ServiceAccount {
    let mut metadata = metadata(owner);
    if !settings.annotations.is_empty() {
        metadata.annotations = Some(settings.annotations.clone());
    }
    ServiceAccount { metadata, automount_service_account_token: Some(false), ..ServiceAccount::default() }
}

pub(super) fn role(owner: &Owner) -> Role {
    let rule = |resource: &str, verb: &str| PolicyRule {
        api_groups: Some(vec![crd::GROUP.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        resource_names: Some(vec![owner.name.clone()]),
        verbs: vec![verb.to_owned()],
        ..PolicyRule::default()
    };
    Role {
        metadata: metadata(owner),
        rules: Some(vec![rule("slackaccessplugins", "get"), rule("slackaccessplugins/status", "patch")]),
    }
}

pub(super) fn role_binding(owner: &Owner) -> RoleBinding {
    RoleBinding {
        metadata: metadata(owner),
        role_ref: RoleRef { api_group: Some(RBAC.to_owned()), kind: "Role".to_owned(), name: child_name(owner) },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: child_name(owner),
            namespace: Some(owner.namespace.clone()),
            ..Subject::default()
        }]),
    }
}
