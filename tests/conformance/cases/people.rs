//! Who is there: the cluster itself, its roles and users; and which services this release has.

use simulators::teleport::pb::{
    proto::{GetRoleRequest, GetUserRequest, PingRequest},
    teleport::{
        accesslist::v1::{ListAccessListsRequest, access_list_service_client::AccessListServiceClient},
        accessmonitoringrules::v1::{
            ListAccessMonitoringRulesRequest,
            access_monitoring_rules_service_client::AccessMonitoringRulesServiceClient,
        },
        users::v1::{ListUsersRequest, users_service_client::UsersServiceClient},
    },
};
use tonic::Code;

use super::{ADMIN, ALICE, DBA, NOBODY, Teleport, client::refusal};

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
