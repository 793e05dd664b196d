//! Teleport's gRPC services.

mod auth;
mod call;
mod lists;
mod page;
mod rules;
mod users;

use tonic::service::Routes;

use super::core::Core;
use super::pb::proto::auth_service_server::AuthServiceServer;
use super::pb::teleport::accesslist::v1::access_list_service_server::AccessListServiceServer;
use super::pb::teleport::accessmonitoringrules::v1::access_monitoring_rules_service_server::AccessMonitoringRulesServiceServer;
use super::pb::teleport::userloginstate::v1::user_login_state_service_server::UserLoginStateServiceServer;
use super::pb::teleport::users::v1::users_service_server::UsersServiceServer;

/// Messages of any size are taken by the decoder: the limit is Teleport's own, checked in [`call`].
const UNLIMITED: usize = usize::MAX;

/// The services, answering from one shared state.
#[derive(Clone)]
pub(crate) struct Services {
    core: Core,
}

/// All services of the cluster.
pub(crate) fn routes(core: &Core) -> Routes {
    let services = Services { core: core.clone() };
    Routes::new(AuthServiceServer::new(services.clone()).max_decoding_message_size(UNLIMITED))
        .add_service(UsersServiceServer::new(services.clone()))
        .add_service(UserLoginStateServiceServer::new(services.clone()))
        .add_service(AccessMonitoringRulesServiceServer::new(services.clone()))
        .add_service(AccessListServiceServer::new(services))
}
