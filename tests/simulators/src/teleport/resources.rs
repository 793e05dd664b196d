//! Servers, applications and user groups, as far as their names are looked up.

use super::access::Caller;
use super::error::{Kind, Trace};
use super::pb::proto::paginated_resource::Resource;
use super::pb::proto::{ListResourcesRequest, ListResourcesResponse, PaginatedResource};
use super::pb::types::{self, Metadata};
use super::requests::contains_all;
use super::role::named;
use super::state::State;

/// Kinds of resources that are listed in pages; only those that [`PaginatedResource`] knows can be here.
const PAGED: [&str; 8] = [
    "node",
    "app_server",
    "user_group",
    "db_server",
    "db_service",
    "kube_server",
    "windows_desktop",
    "windows_desktop_service",
];

/// Resources in a page whose size is not asked for.
const PAGE: usize = 1000;

/// A server with a host name.
pub fn node(name: &str, hostname: &str) -> PaginatedResource {
    PaginatedResource {
        resource: Some(Resource::Node(types::ServerV2 {
            kind: "node".to_owned(),
            version: "v2".to_owned(),
            metadata: Some(named(name)),
            spec: Some(types::ServerSpecV2 { addr: String::new(), hostname: hostname.to_owned() }),
            ..types::ServerV2::default()
        })),
    }
}

/// Metadata of what came from Okta: a label holds the name that people know.
fn from_okta(name: &str, label: &str, friendly: &str) -> Metadata {
    let labels = [("teleport.dev/origin", "okta"), (label, friendly)];
    let labels = labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    Metadata { labels, ..named(name) }
}

/// An application that came from Okta.
pub fn okta_app(name: &str, friendly: &str) -> PaginatedResource {
    let metadata = from_okta(name, "teleport.internal/okta-app-name", friendly);
    PaginatedResource {
        resource: Some(Resource::AppServer(types::AppServerV3 {
            kind: "app_server".to_owned(),
            version: "v3".to_owned(),
            metadata: Some(named(name)),
            spec: Some(types::AppServerSpecV3 {
                hostname: String::new(),
                app: Some(types::AppV3 {
                    kind: "app".to_owned(),
                    version: "v3".to_owned(),
                    metadata: Some(metadata),
                    ..types::AppV3::default()
                }),
            }),
            ..types::AppServerV3::default()
        })),
    }
}

/// A group of users that came from Okta.
pub fn okta_group(name: &str, friendly: &str) -> PaginatedResource {
    PaginatedResource {
        resource: Some(Resource::UserGroup(types::UserGroupV1 {
            header: Some(types::ResourceHeader {
                kind: "user_group".to_owned(),
                sub_kind: String::new(),
                version: "v1".to_owned(),
                metadata: Some(from_okta(name, "teleport.internal/okta-group-name", friendly)),
            }),
        })),
    }
}

fn kind_and_metadata(resource: &PaginatedResource) -> Option<(&'static str, &Metadata)> {
    match resource.resource.as_ref()? {
        Resource::Node(node) => Some(("node", node.metadata.as_ref()?)),
        Resource::AppServer(server) => Some(("app_server", server.spec.as_ref()?.app.as_ref()?.metadata.as_ref()?)),
        Resource::UserGroup(group) => Some(("user_group", group.header.as_ref()?.metadata.as_ref()?)),
    }
}

/// Lists the resources of one kind that the caller may see. Of the predicate language the one form that plugins use is
/// understood: `resource.metadata.name == "<name>"`, joined by `||`.
pub(crate) fn list(
    state: &State,
    caller: &Caller,
    query: &ListResourcesRequest,
) -> Result<ListResourcesResponse, Trace> {
    if !PAGED.contains(&query.resource_type.as_str()) {
        let words = format!("resource type {} does not support pagination", query.resource_type);
        return Err(Trace::new(Kind::NotImplemented, words));
    }
    let sees = state.roles_of(caller).any(|role| role.preview_resources || !role.search_as.is_empty());
    // Everybody may list the other kinds, and sees of them what the own roles reach.
    if !sees && query.resource_type == "user_group" {
        state.check_all(caller, "user_group", &["list", "read"])?;
    }
    let names = predicate_names(&query.predicate_expression)?;
    let mut rows: Vec<&PaginatedResource> = Vec::new();
    for resource in &state.resources {
        let Some((kind, metadata)) = kind_and_metadata(resource) else { continue };
        let asked_for = names.as_ref().is_none_or(|names| names.contains(&metadata.name))
            && query.labels.iter().all(|(key, value)| metadata.labels.get(key) == Some(value))
            && contains_all(&searched(resource, metadata), &query.search_keywords);
        if sees && kind == query.resource_type && asked_for && metadata.name.as_str() >= query.start_key.as_str() {
            rows.push(resource);
        }
    }
    let name = |resource: &PaginatedResource| {
        kind_and_metadata(resource).map(|(_, metadata)| metadata.name.clone()).unwrap_or_default()
    };
    rows.sort_by_key(|resource| name(resource));
    let total = i32::try_from(rows.len()).unwrap_or(i32::MAX);
    let limit = match usize::try_from(query.limit).map_err(|_| Trace::bad("negative parameter limit"))? {
        0 => PAGE,
        limit => limit,
    };
    let next_key = rows.get(limit).map(|resource| name(resource)).unwrap_or_default();
    let resources = rows.into_iter().take(limit).cloned().collect();
    Ok(ListResourcesResponse { resources, next_key, total_count: if query.need_total_count { total } else { 0 } })
}

/// What a search looks at.
fn searched<'a>(resource: &'a PaginatedResource, metadata: &'a Metadata) -> Vec<&'a str> {
    let host = match &resource.resource {
        Some(Resource::Node(node)) => node.spec.as_ref().map(|spec| spec.hostname.as_str()),
        _ => None,
    };
    let labels = metadata.labels.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]);
    [metadata.name.as_str()].into_iter().chain(host).chain(labels).collect()
}

fn predicate_names(expression: &str) -> Result<Option<Vec<String>>, Trace> {
    if expression.trim().is_empty() {
        return Ok(None);
    }
    let name = |term: &str| {
        let quoted = term.trim().strip_prefix("resource.metadata.name")?.trim().strip_prefix("==")?.trim();
        serde_json::from_str::<String>(quoted).ok()
    };
    let names: Option<Vec<String>> = expression.split("||").map(name).collect();
    names.map(Some).ok_or_else(|| Trace::bad(format!("failed to parse predicate expression: {expression}")))
}

#[cfg(test)]
mod tests {
    use super::predicate_names;

    #[test]
    fn names_are_read_from_the_predicate_that_plugins_send() {
        let expression = r#"resource.metadata.name == "a" || resource.metadata.name == "b \"c\"""#;
        assert_eq!(predicate_names(expression).unwrap().unwrap(), ["a", "b \"c\""]);
        assert!(predicate_names("labels.env == \"x\"").is_err());
    }
}
