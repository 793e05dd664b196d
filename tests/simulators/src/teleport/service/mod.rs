//! Teleport's gRPC services.

mod auth;
mod call;
pub(crate) mod join_http;
mod joining;
mod lists;
mod page;
mod rules;
mod users;

use std::sync::Arc;

use tonic::service::Routes;

use super::authority::Authorities;
use super::core::Core;
use super::pb::proto::auth_service_server::AuthServiceServer;
use super::pb::proto::join_service_server::JoinServiceServer as RegisterServer;
use super::pb::teleport::accesslist::v1::access_list_service_server::AccessListServiceServer;
use super::pb::teleport::accessmonitoringrules::v1::access_monitoring_rules_service_server::AccessMonitoringRulesServiceServer;
use super::pb::teleport::join::v1::join_service_server::JoinServiceServer as StreamServer;
use super::pb::teleport::userloginstate::v1::user_login_state_service_server::UserLoginStateServiceServer;
use super::pb::teleport::users::v1::users_service_server::UsersServiceServer;

/// Messages of any size are taken by the decoder: the limit is Teleport's own, checked in [`call`].
const UNLIMITED: usize = usize::MAX;

/// The services, answering from one shared state.
#[derive(Clone)]
pub(crate) struct Services {
    core: Core,
    authorities: Arc<Authorities>,
}

impl Services {
    pub(crate) fn new(core: &Core, authorities: &Arc<Authorities>) -> Self {
        Self { core: core.clone(), authorities: authorities.clone() }
    }
}

/// All services of the cluster.
pub(crate) fn routes(core: &Core, authorities: &Arc<Authorities>) -> Routes {
    let services = Services::new(core, authorities);
    Routes::new(AuthServiceServer::new(services.clone()).max_decoding_message_size(UNLIMITED))
        .add_service(RegisterServer::new(services.clone()))
        .add_service(StreamServer::new(services.clone()))
        .add_service(UsersServiceServer::new(services.clone()))
        .add_service(UserLoginStateServiceServer::new(services.clone()))
        .add_service(AccessMonitoringRulesServiceServer::new(services.clone()))
        .add_service(AccessListServiceServer::new(services))
}
