//! Which object keeps its records under a plugin name on a Teleport cluster: the oldest one that asks for it. Pure.

use kube::ResourceExt as _;

use crate::crd::SlackAccessPlugin;

/// The object that has `plugin`'s name on its cluster already, as `namespace/name`.
///
/// One cluster is known by its address; by another address, once workers have reported its name.
pub(super) fn holder<'a>(
    plugin: &SlackAccessPlugin,
    others: impl IntoIterator<Item = &'a SlackAccessPlugin>,
) -> Option<String> {
    let holder = others
        .into_iter()
        .filter(|other| other.metadata.uid != plugin.metadata.uid)
        .filter(|other| other.spec.plugin_name == plugin.spec.plugin_name && is_one_cluster(other, plugin))
        .min_by(|one, other| age(one).cmp(&age(other)))
        .filter(|other| age(other) < age(plugin))?;
    Some(format!("{}/{}", holder.namespace().unwrap_or_default(), holder.name_any()))
}

fn is_one_cluster(one: &SlackAccessPlugin, other: &SlackAccessPlugin) -> bool {
    one.spec.teleport.address.eq_ignore_ascii_case(&other.spec.teleport.address)
        || cluster(one).is_some_and(|name| cluster(other) == Some(name))
}

fn cluster(plugin: &SlackAccessPlugin) -> Option<&str> {
    plugin.status.as_ref()?.teleport.as_ref()?.cluster.as_deref().filter(|name| !name.is_empty())
}

/// Objects of one second are told apart by their UIDs.
fn age(plugin: &SlackAccessPlugin) -> (i64, &str) {
    let created = plugin.metadata.creation_timestamp.as_ref().map_or(i64::MAX, |time| time.0.as_second());
    (created, plugin.metadata.uid.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;

    use super::*;
    use crate::controller::fixtures::minimal;
    use crate::crd::SlackAccessPluginStatus;
    use crate::crd::status::TeleportStatus;

    fn object(namespace: &str, created: i64) -> SlackAccessPlugin {
        let mut plugin = minimal();
        plugin.metadata.namespace = Some(namespace.to_owned());
        plugin.metadata.uid = Some(namespace.to_owned());
        plugin.metadata.creation_timestamp = Some(Time(Timestamp::from_second(created).unwrap()));
        plugin
    }

    fn at(mut plugin: SlackAccessPlugin, address: &str, cluster: Option<&str>) -> SlackAccessPlugin {
        address.clone_into(&mut plugin.spec.teleport.address);
        let teleport = Some(TeleportStatus { cluster: cluster.map(str::to_owned), ..TeleportStatus::default() });
        plugin.status = Some(SlackAccessPluginStatus { teleport, ..SlackAccessPluginStatus::default() });
        plugin
    }

    #[test]
    fn the_older_of_two_objects_keeps_the_name() {
        let (old, new) = (object("a", 1), object("b", 2));
        let all = [old.clone(), new.clone()];
        assert_eq!(holder(&new, &all).as_deref(), Some("a/slack"));
        assert_eq!(holder(&old, &all), None);
        let (one, other) = (object("a", 1), object("b", 1));
        let all = [one.clone(), other.clone()];
        assert!(holder(&one, &all).is_some() != holder(&other, &all).is_some(), "one of the two");
    }

    #[test]
    fn other_names_and_other_clusters_do_no_harm() {
        let (old, mut new) = (at(object("a", 1), "a:443", Some("x")), at(object("b", 2), "b:443", Some("y")));
        assert_eq!(holder(&new, [&old]), None);
        "A:443".clone_into(&mut new.spec.teleport.address);
        assert!(holder(&new, [&old]).is_some());
        "another".clone_into(&mut new.spec.plugin_name);
        assert_eq!(holder(&new, [&old]), None);
    }

    #[test]
    fn one_cluster_at_two_addresses_is_known_by_its_name() {
        let (old, new) = (at(object("a", 1), "auth:3025", Some("x")), at(object("b", 2), "proxy:443", Some("x")));
        assert!(holder(&new, [&old]).is_some());
        assert_eq!(holder(&at(new, "proxy:443", None), [&at(old, "auth:3025", None)]), None);
    }
}
