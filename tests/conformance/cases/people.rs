//! Who is there: the cluster itself, its roles and users; and which services this release has.

use simulators::teleport::pb::proto::{
    GetRoleRequest, GetUserRequest, GetUsersRequest, ListResourcesRequest, PingRequest,
};
use simulators::teleport::pb::teleport::accesslist::v1::ListAccessListsRequest;
use simulators::teleport::pb::teleport::accesslist::v1::access_list_service_client::AccessListServiceClient;
use simulators::teleport::pb::teleport::accessmonitoringrules::v1::ListAccessMonitoringRulesRequest;
use simulators::teleport::pb::teleport::accessmonitoringrules::v1::access_monitoring_rules_service_client::AccessMonitoringRulesServiceClient;
use simulators::teleport::pb::teleport::users::v1::ListUsersRequest;
use simulators::teleport::pb::teleport::users::v1::users_service_client::UsersServiceClient;
use tonic::{Code, Status};

use super::client::refusal;
use super::{ADMIN, ALICE, DBA, NOBODY, Teleport};

pub(crate) async fn ping_tells_name_and_version_to_anybody(teleport: &Teleport) {
    let answer = teleport.auth(NOBODY).await.ping(PingRequest {}).await.unwrap();
    assert_eq!(answer.metadata().get("version"), None, "later releases say it in a header too");
    let answer = answer.into_inner();
    assert_eq!((answer.cluster_name.as_str(), answer.server_version.as_str()), (&*teleport.name, "14.2.3"));
    assert!(!answer.server_features.unwrap().advanced_access_workflows);
}

pub(crate) async fn roles_can_be_read_with_the_right_or_by_their_holders(teleport: &Teleport) {
    let role = |name: &str| GetRoleRequest { name: name.to_owned() };
    let mut admin = teleport.admin().await;
    let dba = admin.get_role(role(DBA)).await.unwrap().into_inner();
    assert_eq!(dba.metadata.unwrap().name, DBA);
    assert_eq!(dba.spec.unwrap().allow.unwrap().logins, ["postgres", "root"]);
    let refused = refusal(admin.get_role(role("no-such-role")).await);
    assert_eq!(refused, (Code::NotFound, "role no-such-role is not found".to_owned()));

    let mut nobody = teleport.auth(NOBODY).await;
    assert_eq!(nobody.get_role(role(NOBODY)).await.unwrap().into_inner().metadata.unwrap().name, NOBODY);
    let words = "access denied to perform action \"read\" on \"role\"";
    for name in [DBA, "no-such-role"] {
        assert_eq!(refusal(nobody.get_role(role(name)).await), (Code::PermissionDenied, words.to_owned()));
    }
}

pub(crate) async fn all_roles_and_users_come_at_once_for_whoever_may_list_and_read_them(teleport: &Teleport) {
    let mut admin = teleport.admin().await;
    let roles = admin.get_roles(()).await.unwrap().into_inner().roles;
    assert!(roles.iter().any(|role| role.metadata.as_ref().unwrap().name == DBA));
    let mut users = admin.get_users(GetUsersRequest { with_secrets: false }).await.unwrap().into_inner();
    let mut names = Vec::new();
    while let Some(user) = users.message().await.unwrap() {
        names.push(user.metadata.unwrap().name);
    }
    assert!(names.iter().any(|name| name == ALICE), "{names:?}");

    let mut nobody = teleport.auth(NOBODY).await;
    let both = |kind: &str| {
        let words = |verb: &str| format!("access denied to perform action {verb:?} on {kind:?}");
        (Code::PermissionDenied, [words("list"), words("read")].join(", "))
    };
    assert_eq!(refusal(nobody.get_roles(()).await), both("role"));
    let refused = match nobody.get_users(GetUsersRequest { with_secrets: false }).await {
        Ok(answer) => answer.into_inner().message().await.unwrap_err(),
        Err(refused) => refused,
    };
    assert_eq!((refused.code(), refused.message().to_owned()), both("user"));
}

pub(crate) async fn everybody_knows_who_they_are(teleport: &Teleport) {
    let mut nobody = teleport.auth(NOBODY).await;
    assert_eq!(nobody.get_current_user(()).await.unwrap().into_inner().metadata.unwrap().name, NOBODY);
    let mut roles = nobody.get_current_user_roles(()).await.unwrap().into_inner();
    assert_eq!(roles.message().await.unwrap().unwrap().metadata.unwrap().name, NOBODY);
    assert_eq!(roles.message().await.unwrap(), None);
}

pub(crate) async fn resources_are_listed_by_kind(teleport: &Teleport) {
    let mut nobody = teleport.auth(NOBODY).await;
    let mut listed = async |kind: &str, limit: i32| {
        let query = ListResourcesRequest { resource_type: kind.to_owned(), limit, ..ListResourcesRequest::default() };
        nobody.list_resources(query).await.map(|answer| answer.into_inner().resources.len())
    };
    assert_eq!(listed("node", 10).await.unwrap(), 0, "what may not be seen is left out without a word");
    let said = |refused: Status| (refused.code(), refused.message().to_owned());
    let words = "resource type nothing does not support pagination";
    assert_eq!(said(listed("nothing", 10).await.unwrap_err()), (Code::Unimplemented, words.to_owned()));
    let words = "access denied to perform action \"list\" on \"user_group\", \
                 access denied to perform action \"read\" on \"user_group\"";
    assert_eq!(said(listed("user_group", 10).await.unwrap_err()), (Code::PermissionDenied, words.to_owned()));
    assert_eq!(listed("node", 0).await.unwrap(), 0, "a page of the size that the server likes");
    let negative = (Code::InvalidArgument, "negative parameter limit".to_owned());
    assert_eq!(said(listed("node", -1).await.unwrap_err()), negative);
}

pub(crate) async fn users_can_be_read_with_the_right_or_by_themselves(teleport: &Teleport) {
    let user = |name: &str| GetUserRequest { name: name.to_owned(), with_secrets: false };
    let mut admin = teleport.admin().await;
    let alice = admin.get_user(user(ALICE)).await.unwrap().into_inner();
    assert_eq!(alice.spec.unwrap().roles, ["conformance-requester"]);
    let refused = refusal(admin.get_user(user("no-such-user")).await);
    assert_eq!(refused, (Code::NotFound, "user \"no-such-user\" not found".to_owned()));
    let secrets = GetUserRequest { name: ADMIN.to_owned(), with_secrets: true };
    let words = "this request can be only executed by an admin";
    assert_eq!(refusal(admin.get_user(secrets).await), (Code::PermissionDenied, words.to_owned()));

    let mut nobody = teleport.auth(NOBODY).await;
    assert_eq!(nobody.get_user(user(NOBODY)).await.unwrap().into_inner().metadata.unwrap().name, NOBODY);
    let words = "access denied to perform action \"read\" on \"user\"";
    assert_eq!(refusal(nobody.get_user(user(ALICE)).await), (Code::PermissionDenied, words.to_owned()));
}

pub(crate) async fn services_of_later_releases_are_unknown(teleport: &Teleport) {
    let wire = teleport.wire(ADMIN).await;
    let unknown = |service: &str| (Code::Unimplemented, format!("unknown service {service}"));
    let mut users = UsersServiceClient::new(wire.clone());
    let refused = refusal(users.list_users(ListUsersRequest::default()).await);
    assert_eq!(refused, unknown("teleport.users.v1.UsersService"));
    let mut rules = AccessMonitoringRulesServiceClient::new(wire.clone());
    let refused = refusal(rules.list_access_monitoring_rules(ListAccessMonitoringRulesRequest::default()).await);
    assert_eq!(refused, unknown("teleport.accessmonitoringrules.v1.AccessMonitoringRulesService"));
    let mut lists = AccessListServiceClient::new(wire);
    let refused = refusal(lists.list_access_lists(ListAccessListsRequest::default()).await);
    assert_eq!(refused, unknown("teleport.accesslist.v1.AccessListService"));
}
