//! The worker's configuration file.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

use super::metadata;
use crate::controller::validate::Owner;
use crate::worker::config::mounts::CONFIG_FILE;

pub(super) fn build(owner: &Owner, text: String) -> ConfigMap {
    ConfigMap {
        metadata: metadata(owner),
        data: Some(BTreeMap::from([(CONFIG_FILE.to_owned(), text)])),
        ..ConfigMap::default()
    }
}
