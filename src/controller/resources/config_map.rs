//! The worker's configuration file.
//!
//! Each text has a map of its own, which never changes. A node may mount an old copy of a map for a while after it was changed
//! (kubelet caches them), so that a pod made for a new configuration would run with the old one; a map of another name cannot be
//! mixed up, and a pod of an earlier revision that is started anew finds what it was made for.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::config::paths::CONFIG_FILE;
use crate::controller::resources::{child_name, digest, metadata};
use crate::controller::validate::Owner;

pub(super) fn build(owner: &Owner, text: String) -> ConfigMap {
    let name = format!("{}-{}", child_name(owner), digest([text.as_bytes()]));
    ConfigMap {
        metadata: ObjectMeta { name: Some(name), ..metadata(owner) },
        data: Some(BTreeMap::from([(CONFIG_FILE.to_owned(), text)])),
        immutable: Some(true),
        ..ConfigMap::default()
    }
}
