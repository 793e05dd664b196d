use simulators::teleport::pb::proto::paginated_resource::Resource;
use simulators::teleport::pb::proto::{
    GetRoleRequest, GetUserRequest, GetUsersRequest, ListResourcesRequest, ListRolesRequest,
};
use simulators::teleport::pb::teleport::accesslist::v1::access_list_service_client::AccessListServiceClient;
use simulators::teleport::pb::teleport::accesslist::v1::{
    AccessList, AccessListOwner, AccessListSpec, GetAccessListOwnersRequest, GetAccessListRequest,
    ListAccessListsRequest,
};
use simulators::teleport::pb::teleport::accessmonitoringrules::v1::access_monitoring_rules_service_client::AccessMonitoringRulesServiceClient;
use simulators::teleport::pb::teleport::accessmonitoringrules::v1::{
    AccessMonitoringRule, AccessMonitoringRuleSpec, GetAccessMonitoringRuleRequest, ListAccessMonitoringRulesRequest,
    ListAccessMonitoringRulesWithFilterRequest, Notification,
};
use simulators::teleport::pb::teleport::header::v1::{Metadata, ResourceHeader};
use simulators::teleport::pb::teleport::userloginstate::v1::user_login_state_service_client::UserLoginStateServiceClient;
use simulators::teleport::pb::teleport::userloginstate::v1::{GetUserLoginStateRequest, Spec, UserLoginState};
use simulators::teleport::pb::teleport::users::v1::ListUsersRequest;
use simulators::teleport::pb::teleport::users::v1::users_service_client::UsersServiceClient;
use simulators::teleport::pb::types::{RoleFilter, UserFilter};
use simulators::teleport::pb::wrappers::{LabelValues, StringValues};
use simulators::teleport::resources::{node, okta_app};
use simulators::teleport::{Cluster, Config, Role, User};
use tonic::Code;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

use crate::support::{Deadline, HOUR, auth, channel, cluster, endpoint, plugin, tls};

async fn connection(cluster: &Cluster) -> InterceptedService<Channel, Deadline> {
    let identity = cluster.user_identity("slack-plugin", HOUR).unwrap();
    let config = tls(Some(&identity), &identity.authorities_pem(), &["h2"]);
    InterceptedService::new(channel(endpoint(), cluster.addr(), config).await.unwrap(), Deadline)
}

fn named(name: &str) -> Metadata {
    Metadata { name: name.to_owned(), ..Metadata::default() }
}

#[tokio::test]
async fn roles_are_read_by_whoever_may_or_holds_them() {
    let cluster = cluster().await;
    cluster.put_role(Role::new("oncall").logins(&["root", "{{internal.logins}}"]));
    let get = |name: &str| GetRoleRequest { name: name.to_owned() };
    let role = plugin(&cluster).await.get_role(get("oncall")).await.unwrap().into_inner();
    assert_eq!(role.spec.unwrap().allow.unwrap().logins, ["root", "{{internal.logins}}"]);
    let missing = plugin(&cluster).await.get_role(get("nope")).await.unwrap_err();
    assert_eq!((missing.code(), missing.message()), (Code::NotFound, "role nope is not found"));
    let mut alice = auth(&cluster, "alice@example.com").await;
    alice.get_role(get("requester")).await.unwrap();
    let denied = alice.get_role(get("oncall")).await.unwrap_err();
    assert_eq!(denied.message(), "access denied to perform action \"read\" on \"role\"");
}

#[tokio::test]
async fn roles_are_listed_at_once_by_old_servers_and_in_pages_by_new_ones() {
    let filter = RoleFilter { search_keywords: vec!["PLUG".to_owned()], ..RoleFilter::default() };
    let search = ListRolesRequest { filter: Some(filter), ..ListRolesRequest::default() };
    let cluster = cluster().await;
    let mut client = plugin(&cluster).await;
    let page = ListRolesRequest { limit: 3, ..ListRolesRequest::default() };
    let first = client.list_roles(page.clone()).await.unwrap().into_inner();
    let second = ListRolesRequest { start_key: first.next_key, ..page };
    let second = client.list_roles(second).await.unwrap().into_inner();
    assert_eq!((first.roles.len(), second.roles.len(), second.next_key.as_str()), (3, 2, ""));
    assert_eq!(client.list_roles(search.clone()).await.unwrap().into_inner().roles.len(), 1);
    assert_eq!(client.get_roles(()).await.unwrap_err().code(), Code::Unimplemented);

    let old = Cluster::start(Config::old()).await.unwrap();
    let mut client = plugin(&old).await;
    assert_eq!(client.get_roles(()).await.unwrap().into_inner().roles.len(), 5);
    assert_eq!(client.list_roles(search).await.unwrap_err().code(), Code::Unimplemented);
    let mut alice = auth(&old, "alice@example.com").await;
    assert_eq!(alice.get_roles(()).await.unwrap_err().code(), Code::PermissionDenied);
    old.assert_no_violations();
}

#[tokio::test]
async fn everybody_may_ask_who_they_are() {
    let cluster = cluster().await;
    let mut alice = auth(&cluster, "alice@example.com").await;
    let user = alice.get_current_user(()).await.unwrap().into_inner();
    assert_eq!(user.metadata.unwrap().name, "alice@example.com");
    let mut roles = alice.get_current_user_roles(()).await.unwrap().into_inner();
    assert_eq!(roles.message().await.unwrap().unwrap().metadata.unwrap().name, "requester");
    assert_eq!(roles.message().await.unwrap(), None);
}

#[tokio::test]
async fn all_users_come_in_a_stream_for_whoever_may_list_them_without_their_secrets() {
    let cluster = cluster().await;
    let mut client = plugin(&cluster).await;
    let mut users = client.get_users(GetUsersRequest { with_secrets: false }).await.unwrap().into_inner();
    let mut count = 0;
    while users.message().await.unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, cluster.users().len());
    let secrets = client.get_users(GetUsersRequest { with_secrets: true }).await.unwrap_err();
    assert_eq!(secrets.message(), "this request can be only executed by an admin");
    let mut alice = auth(&cluster, "alice@example.com").await;
    let denied = alice.get_users(GetUsersRequest { with_secrets: false }).await.unwrap_err();
    let words = |verb: &str| format!("access denied to perform action {verb:?} on \"user\"");
    assert_eq!(denied.message(), [words("list"), words("read")].join(", "));
}

#[tokio::test]
async fn users_are_listed_in_pages_and_filtered_by_trait() {
    let cluster = cluster().await;
    cluster.put_user(User::new("dave", &["access"]).with_trait("slack_user_id", &["U1"]));
    let mut client = UsersServiceClient::new(connection(&cluster).await);
    let page = ListUsersRequest { page_size: 2, ..ListUsersRequest::default() };
    let first = client.list_users(page.clone()).await.unwrap().into_inner();
    assert_eq!(first.users.len(), 2);
    let second = ListUsersRequest { page_token: first.next_page_token, ..page };
    assert_eq!(client.list_users(second).await.unwrap().into_inner().users.len(), 2);
    let wanted = StringValues { values: vec!["U1".to_owned()] };
    let traits = LabelValues { values: [("slack_user_id".to_owned(), wanted)].into() };
    let filter = UserFilter { traits: Some(traits), ..UserFilter::default() };
    let query = ListUsersRequest { filter: Some(filter), ..ListUsersRequest::default() };
    let found = client.list_users(query.clone()).await.unwrap().into_inner().users;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].metadata.as_ref().unwrap().name, "dave");

    let older = Cluster::start(Config { version: "15.4.0".parse().unwrap(), ..Config::default() }).await.unwrap();
    let mut client = UsersServiceClient::new(connection(&older).await);
    assert_eq!(client.list_users(query).await.unwrap().into_inner().users.len(), 4, "before v16 the filter is ignored");
}

#[tokio::test]
async fn an_old_server_answers_the_old_question_for_a_user() {
    let cluster = Cluster::start(Config::old()).await.unwrap();
    let mut client = plugin(&cluster).await;
    let query = GetUserRequest { name: "alice@example.com".to_owned(), with_secrets: false };
    assert_eq!(client.get_user(query).await.unwrap().into_inner().spec.unwrap().roles, ["requester"]);
    let mut newer = UsersServiceClient::new(connection(&cluster).await);
    assert_eq!(newer.list_users(ListUsersRequest::default()).await.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn login_states_are_found_or_not() {
    let cluster = cluster().await;
    let mut client = UserLoginStateServiceClient::new(connection(&cluster).await);
    let query = GetUserLoginStateRequest { name: "alice@example.com".to_owned() };
    assert_eq!(client.get_user_login_state(query.clone()).await.unwrap_err().code(), Code::NotFound);
    let spec = Spec { roles: vec!["requester".to_owned()], traits: vec![] };
    cluster.put_login_state("alice@example.com", UserLoginState { header: None, spec: Some(spec) });
    let found = client.get_user_login_state(query).await.unwrap().into_inner();
    assert_eq!(found.spec.unwrap().roles, ["requester"]);
    let header = found.header.unwrap();
    assert_eq!(
        (header.kind.as_str(), header.metadata.unwrap().name.as_str()),
        ("user_login_state", "alice@example.com")
    );
}

#[tokio::test]
async fn resources_are_found_by_name_for_whoever_may_preview_them() {
    let cluster = cluster().await;
    cluster.add_resource(node("0001", "db-1"));
    cluster.add_resource(node("0002", "db-2"));
    cluster.add_resource(okta_app("app-1", "Payroll"));
    let query = |kind: &str, name: &str| ListResourcesRequest {
        resource_type: kind.to_owned(),
        limit: 10,
        predicate_expression: format!("resource.metadata.name == {name:?}"),
        use_preview_as_roles: true,
        ..ListResourcesRequest::default()
    };
    let mut client = plugin(&cluster).await;
    let found = client.list_resources(query("node", "0002")).await.unwrap().into_inner().resources;
    assert_eq!(found.len(), 1);
    let Some(Resource::Node(server)) = &found[0].resource else { panic!("no node") };
    assert_eq!(server.spec.as_ref().unwrap().hostname, "db-2");
    assert_eq!(client.list_resources(query("app_server", "app-1")).await.unwrap().into_inner().resources.len(), 1);
    let search = |word: &str| ListResourcesRequest {
        resource_type: "node".to_owned(),
        limit: 10,
        search_keywords: vec![word.to_owned()],
        ..ListResourcesRequest::default()
    };
    assert_eq!(client.list_resources(search("DB-2")).await.unwrap().into_inner().resources.len(), 1);
    assert_eq!(client.list_resources(search("db-3")).await.unwrap().into_inner().resources.len(), 0);
    let labels = ListResourcesRequest { labels: [("env".to_owned(), "prod".to_owned())].into(), ..search("db") };
    assert_eq!(client.list_resources(labels).await.unwrap().into_inner().resources.len(), 0);
    let mut alice = auth(&cluster, "alice@example.com").await;
    assert!(alice.list_resources(query("node", "0002")).await.unwrap().into_inner().resources.is_empty());
    let unlimited = ListResourcesRequest { limit: 0, ..query("node", "0001") };
    assert_eq!(client.list_resources(unlimited).await.unwrap().into_inner().resources.len(), 1);
}

fn rule(name: &str, plugin: &str) -> AccessMonitoringRule {
    AccessMonitoringRule {
        metadata: Some(named(name)),
        spec: Some(AccessMonitoringRuleSpec {
            subjects: vec!["access_request".to_owned()],
            notification: Some(Notification { name: plugin.to_owned(), recipients: vec![] }),
            ..AccessMonitoringRuleSpec::default()
        }),
        ..AccessMonitoringRule::default()
    }
}

#[tokio::test]
async fn rules_are_listed_in_pages_and_by_plugin() {
    let cluster = cluster().await;
    for (name, plugin) in [("a", "slack"), ("b", "jira"), ("c", "slack")] {
        cluster.put_rule(rule(name, plugin));
    }
    let mut client = AccessMonitoringRulesServiceClient::new(connection(&cluster).await);
    let mut query = ListAccessMonitoringRulesRequest { page_size: 2, page_token: String::new() };
    let first = client.list_access_monitoring_rules(query.clone()).await.unwrap().into_inner();
    query.page_token = first.next_page_token;
    let second = client.list_access_monitoring_rules(query).await.unwrap().into_inner();
    assert_eq!((first.rules.len(), second.rules.len(), second.next_page_token.as_str()), (2, 1, ""));
    let filter = ListAccessMonitoringRulesWithFilterRequest {
        subjects: vec!["access_request".to_owned()],
        notification_name: "slack".to_owned(),
        ..ListAccessMonitoringRulesWithFilterRequest::default()
    };
    let rules = client.list_access_monitoring_rules_with_filter(filter).await.unwrap().into_inner().rules;
    assert_eq!(rules.len(), 2);
    let mut get = async |name: &str| {
        client.get_access_monitoring_rule(GetAccessMonitoringRuleRequest { name: name.to_owned() }).await
    };
    assert_eq!(get("b").await.unwrap().into_inner().kind, "access_monitoring_rule");
    let missing = get("d").await.unwrap_err();
    assert_eq!((missing.code(), missing.message()), (Code::NotFound, "access_monitoring_rule \"d\" doesn't exist"));
}

#[tokio::test]
async fn an_old_server_has_no_rules_and_the_open_source_edition_no_access_lists() {
    let cluster = Cluster::start(Config::old()).await.unwrap();
    let mut rules = AccessMonitoringRulesServiceClient::new(connection(&cluster).await);
    let query = ListAccessMonitoringRulesRequest::default();
    assert_eq!(rules.list_access_monitoring_rules(query).await.unwrap_err().code(), Code::Unimplemented);
    let mut lists = AccessListServiceClient::new(connection(&cluster).await);
    let refused = lists.list_access_lists(ListAccessListsRequest::default()).await.unwrap_err();
    let words = "unknown service teleport.accesslist.v1.AccessListService";
    assert_eq!((refused.code(), refused.message()), (Code::Unimplemented, words));
    cluster.assert_no_violations();
}

#[tokio::test]
async fn access_lists_and_their_owners_are_told() {
    let cluster = cluster().await;
    let owner = AccessListOwner { name: "bob@example.com".to_owned(), description: String::new() };
    cluster.put_access_list(AccessList {
        header: Some(ResourceHeader { metadata: Some(named("list-1")), ..ResourceHeader::default() }),
        spec: Some(AccessListSpec { title: "Databases".to_owned(), owners: vec![owner], ..AccessListSpec::default() }),
    });
    let mut client = AccessListServiceClient::new(connection(&cluster).await);
    let lists = client.list_access_lists(ListAccessListsRequest::default()).await.unwrap().into_inner();
    let spec = lists.access_lists[0].spec.clone().unwrap();
    assert_eq!(spec.title, "Databases");
    // Without one of these Teleport's own client refuses the answer.
    assert!(spec.audit.is_some() && spec.grants.is_some());
    assert!(spec.membership_requires.is_some() && spec.ownership_requires.is_some());
    let get = |name: &str| GetAccessListRequest { name: name.to_owned() };
    assert_eq!(client.get_access_list(get("list-1")).await.unwrap().into_inner(), lists.access_lists[0]);
    let missing = client.get_access_list(get("list-2")).await.unwrap_err();
    assert_eq!((missing.code(), missing.message()), (Code::NotFound, "access_list \"list-2\" doesn't exist"));
    let query = GetAccessListOwnersRequest { access_list: "list-1".to_owned() };
    let owners = client.get_access_list_owners(query).await.unwrap().into_inner().owners;
    assert_eq!(owners[0].name, "bob@example.com");
}
