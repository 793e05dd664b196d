//! `teleport.users.v1.UsersService` and `teleport.userloginstate.v1.UserLoginStateService`.

use tonic::{Request, Response, Status, async_trait};

use super::Services;
use super::auth::{check_secrets, unknown_service};
use super::page::page;
use crate::teleport::error::Trace;
use crate::teleport::pb::teleport::userloginstate::v1::user_login_state_service_server::UserLoginStateService;
use crate::teleport::pb::teleport::userloginstate::v1::{GetUserLoginStateRequest, UserLoginState};
use crate::teleport::pb::teleport::users::v1::users_service_server::UsersService;
use crate::teleport::pb::teleport::users::v1::{GetUserRequest, GetUserResponse, ListUsersRequest, ListUsersResponse};
use crate::teleport::pb::types::UserFilter;
use crate::teleport::requests::contains_all;
use crate::teleport::role::User;

const SERVICE: &str = "teleport.users.v1.UsersService";

#[async_trait]
impl UsersService for Services {
    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<GetUserResponse>, Status> {
        self.unary("GetUser", request, |call, query| {
            self.core.read(|state| {
                if !state.version.has_users_service() {
                    return Err(unknown_service(SERVICE));
                }
                let name = if query.current_user { &call.caller.user } else { &query.name };
                let user = state.user_message(call, name, query.with_secrets)?;
                Ok(GetUserResponse { user: Some(user) })
            })
        })
        .await
    }

    async fn list_users(&self, request: Request<ListUsersRequest>) -> Result<Response<ListUsersResponse>, Status> {
        self.unary("ListUsers", request, |call, query| {
            self.core.read(|state| {
                if !state.version.has_users_service() {
                    return Err(unknown_service(SERVICE));
                }
                check_secrets(query.with_secrets)?;
                state.check_all(&call.caller, "user", &["list", "read"])?;
                let filter = query.filter.filter(|_| state.version.filters_users()).unwrap_or_default();
                let all = state.users.values().filter(|user| matches(user, &filter));
                let (page, next_page_token) = page(all, |user| &user.name, query.page_size.into(), &query.page_token);
                Ok(ListUsersResponse { users: page.into_iter().map(User::message).collect(), next_page_token })
            })
        })
        .await
    }
}

fn matches(user: &User, filter: &UserFilter) -> bool {
    let fields: Vec<&str> = [&user.name].into_iter().chain(&user.roles).map(String::as_str).collect();
    let words = contains_all(&fields, &filter.search_keywords);
    let traits = filter.traits.iter().flat_map(|traits| &traits.values).all(|(key, wanted)| {
        let held = user.traits.get(key);
        wanted.values.iter().all(|value| held.is_some_and(|held| held.contains(value)))
    });
    words && traits
}

#[async_trait]
impl UserLoginStateService for Services {
    async fn get_user_login_state(
        &self,
        request: Request<GetUserLoginStateRequest>,
    ) -> Result<Response<UserLoginState>, Status> {
        self.unary("GetUserLoginState", request, |call, query| {
            self.core.read(|state| {
                state.check(&call.caller, "user_login_state", "read")?;
                let found = state.login_states.get(&query.name).cloned();
                found.ok_or_else(|| Trace::missing("user_login_state", &query.name))
            })
        })
        .await
    }
}
