//! `teleport.accesslist.v1.AccessListService`.

use tonic::{Request, Response, Status, async_trait};

use super::Services;
use super::auth::unknown_service;
use super::call::Call;
use super::page::page;
use crate::teleport::config::Edition;
use crate::teleport::error::Trace;
use crate::teleport::pb::teleport::accesslist::v1::access_list_service_server::AccessListService;
use crate::teleport::pb::teleport::accesslist::v1::{
    AccessList, GetAccessListOwnersRequest, GetAccessListOwnersResponse, GetAccessListRequest, GetAccessListsRequest,
    GetAccessListsResponse, ListAccessListsRequest, ListAccessListsResponse,
};
use crate::teleport::state::State;

/// Nested lists, and with them the question for all owners, came with this major version.
const OWNERS_SINCE: u32 = 17;

#[async_trait]
impl AccessListService for Services {
    async fn get_access_lists(
        &self,
        request: Request<GetAccessListsRequest>,
    ) -> Result<Response<GetAccessListsResponse>, Status> {
        self.unary("GetAccessLists", request, |call, _| {
            self.core.read(|state| {
                check(state, call, &["list", "read"])?;
                Ok::<_, Trace>(GetAccessListsResponse { access_lists: state.access_lists.values().cloned().collect() })
            })
        })
        .await
    }

    async fn list_access_lists(
        &self,
        request: Request<ListAccessListsRequest>,
    ) -> Result<Response<ListAccessListsResponse>, Status> {
        self.unary("ListAccessLists", request, |call, query| {
            self.core.read(|state| {
                check(state, call, &["list", "read"])?;
                let (page, next_token) =
                    page(state.access_lists.iter(), |(name, _)| name, query.page_size.into(), &query.next_token);
                let access_lists = page.into_iter().map(|(_, list)| list.clone()).collect();
                Ok::<_, Trace>(ListAccessListsResponse { access_lists, next_token })
            })
        })
        .await
    }

    async fn get_access_list(&self, request: Request<GetAccessListRequest>) -> Result<Response<AccessList>, Status> {
        self.unary("GetAccessList", request, |call, query| {
            self.core.read(|state| {
                check(state, call, &["read"])?;
                find(state, &query.name)
            })
        })
        .await
    }

    async fn get_access_list_owners(
        &self,
        request: Request<GetAccessListOwnersRequest>,
    ) -> Result<Response<GetAccessListOwnersResponse>, Status> {
        self.unary("GetAccessListOwners", request, |call, query| {
            self.core.read(|state| {
                check(state, call, &["read"]).map_err(Status::from)?;
                if state.version.major < OWNERS_SINCE {
                    return Err(Status::unimplemented(
                        "unknown method GetAccessListOwners for service teleport.accesslist.v1.AccessListService",
                    ));
                }
                let owners = find(state, &query.access_list)?.spec.unwrap_or_default().owners;
                Ok(GetAccessListOwnersResponse { owners })
            })
        })
        .await
    }
}

fn find(state: &State, name: &str) -> Result<AccessList, Trace> {
    state.access_lists.get(name).cloned().ok_or_else(|| Trace::missing("access_list", name))
}

fn check(state: &State, call: &Call, verbs: &[&str]) -> Result<(), Trace> {
    if state.edition == Edition::Oss {
        return Err(unknown_service("teleport.accesslist.v1.AccessListService"));
    }
    state.check_all(&call.caller, "access_list", verbs)
}
