//! `proto.AuthService`: ping, watch, access requests, plugin data, roles, users, resources.

use futures::{StreamExt, stream};
use tonic::{Request, Response, Status, async_trait};

use super::Services;
use super::call::{Answers, Call};
use super::page::page;
use crate::teleport::access::matches_any;
use crate::teleport::config::Edition;
use crate::teleport::error::{Kind, Trace};
use crate::teleport::pb::proto::auth_service_server::AuthService;
use crate::teleport::pb::proto::{
    AccessRequestSort, AccessRequests, Certs, Event, Features, GetClusterCaCertResponse, GetLocksRequest,
    GetLocksResponse, GetRoleRequest, GetRolesResponse, GetUserRequest, GetUsersRequest, ListAccessRequestsRequest,
    ListAccessRequestsResponse, ListResourcesRequest, ListResourcesResponse, ListRolesRequest, ListRolesResponse,
    PingRequest, PingResponse, PluginDataSeq, RequestId, RequestStateSetter, UserCertsRequest, Watch,
};
use crate::teleport::pb::types;
use crate::teleport::plugin_data;
use crate::teleport::requests::{check_decree, contains_all, created};
use crate::teleport::role::{Role, User};
use crate::teleport::state::State;
use crate::teleport::watch::{self, Ending, Subscription};
use crate::teleport::x509::pem;

fn unimplemented(method: &str) -> Status {
    Status::unimplemented(format!("unknown method {method} for service proto.AuthService"))
}

#[async_trait]
impl AuthService for Services {
    type WatchEventsStream = Answers<Event>;
    type GetAccessRequestsV2Stream = Answers<types::AccessRequestV3>;
    type GetCurrentUserRolesStream = Answers<types::RoleV6>;
    type GetUsersStream = Answers<types::UserV2>;

    async fn ping(&self, request: Request<PingRequest>) -> Result<Response<PingResponse>, Status> {
        self.unary("Ping", request, |_, _| {
            let config = &self.core.config;
            let enterprise = config.edition == Edition::Enterprise;
            Ok::<_, Trace>(PingResponse {
                cluster_name: config.cluster_name.clone(),
                server_version: config.version.to_string(),
                server_features: Some(Features {
                    access_controls: enterprise,
                    advanced_access_workflows: enterprise,
                    cloud: false,
                }),
                proxy_public_addr: self.core.proxy_public_addr(),
                is_boring: false,
                remote_addr: String::new(),
                load_all_c_as: false,
            })
        })
        .await
    }

    async fn watch_events(&self, request: Request<Watch>) -> Result<Response<Answers<Event>>, Status> {
        self.streaming("WatchEvents", request, |call, watch| {
            if watch.kinds.is_empty() {
                self.core.journal.violation(&call.caller.user, "WatchEvents", "a watch without kinds");
            }
            let buffer = self.core.config.watch_buffer;
            let subscription = self.core.write(|state| {
                let kinds = state.watchable(call, &watch)?;
                Ok::<_, Trace>(state.watchers.subscribe(kinds, state.version.has_partial_watch(), buffer))
            })?;
            Ok::<_, Trace>(events(subscription, call))
        })
        .await
    }

    async fn list_access_requests(
        &self,
        request: Request<ListAccessRequestsRequest>,
    ) -> Result<Response<ListAccessRequestsResponse>, Status> {
        self.unary("ListAccessRequests", request, |call, query| {
            if !self.core.config.version.lists_access_requests() {
                return Err(unimplemented("ListAccessRequests"));
            }
            let filter = query.filter.clone().unwrap_or_default();
            let requests = self.core.read(|state| state.visible_requests(&call.caller, &filter, call.moment))?;
            Ok(page_of_requests(requests, &query, self.core.config.page_size))
        })
        .await
    }

    async fn get_access_requests_v2(
        &self,
        request: Request<types::AccessRequestFilter>,
    ) -> Result<Response<Answers<types::AccessRequestV3>>, Status> {
        self.streaming("GetAccessRequestsV2", request, |call, filter| {
            let requests = self.core.read(|state| state.visible_requests(&call.caller, &filter, call.moment))?;
            Ok::<_, Trace>(all(requests))
        })
        .await
    }

    async fn get_access_requests(
        &self,
        request: Request<types::AccessRequestFilter>,
    ) -> Result<Response<AccessRequests>, Status> {
        self.unary("GetAccessRequests", request, |call, filter| {
            if !self.core.config.version.gets_access_requests_unary() {
                return Err(unimplemented("GetAccessRequests"));
            }
            let access_requests = self.core.read(|state| state.visible_requests(&call.caller, &filter, call.moment))?;
            Ok(AccessRequests { access_requests })
        })
        .await
    }

    async fn create_access_request_v2(
        &self,
        request: Request<types::AccessRequestV3>,
    ) -> Result<Response<types::AccessRequestV3>, Status> {
        self.unary("CreateAccessRequestV2", request, |call, message| {
            self.core.write(|state| state.create(&call.caller, message))
        })
        .await
    }

    async fn set_access_request_state(&self, request: Request<RequestStateSetter>) -> Result<Response<()>, Status> {
        self.unary("SetAccessRequestState", request, |call, message| {
            self.core.write(|state| {
                state.check(&call.caller, "access_request", "update")?;
                let wanted = message.state();
                if wanted == types::RequestState::Promoted {
                    return Err(Trace::bad("state promoted can be only set when promoting to access list"));
                }
                check_decree(&message.id, wanted, &message.reason, &message.roles)?;
                state.set_request_state(&message.id, wanted, &message.reason, &message.roles)
            })
        })
        .await
    }

    async fn submit_access_review(
        &self,
        request: Request<types::AccessReviewSubmission>,
    ) -> Result<Response<types::AccessRequestV3>, Status> {
        self.unary("SubmitAccessReview", request, |call, submission| {
            let mut review = submission.review.unwrap_or_default();
            if review.proposed_state() == types::RequestState::Promoted {
                return Err(Trace::bad("state promoted can be only set when promoting to access list"));
            }
            if review.author.is_empty() {
                review.author.clone_from(&call.caller.user);
            }
            self.core.write(|state| {
                let for_author = review.submitted_on_behalf_of_author;
                state.check_reviewer(&call.caller, &review.author, for_author, &submission.request_id)?;
                if review.author != call.caller.user {
                    review.submitted_by.clone_from(&call.caller.user);
                }
                state.apply_review(&submission.request_id, review)
            })
        })
        .await
    }

    async fn delete_access_request(&self, request: Request<RequestId>) -> Result<Response<()>, Status> {
        self.unary("DeleteAccessRequest", request, |call, message| {
            self.core.write(|state| {
                state.check(&call.caller, "access_request", "delete")?;
                if state.remove_request(&message.id) {
                    return Ok(());
                }
                Err(Trace::not_found(format!("cannot delete access request {:?} (not found)", message.id)))
            })
        })
        .await
    }

    async fn get_access_capabilities(
        &self,
        request: Request<types::AccessCapabilitiesRequest>,
    ) -> Result<Response<types::AccessCapabilities>, Status> {
        self.unary("GetAccessCapabilities", request, |call, query| {
            self.core.read(|state| state.capabilities(call, &query))
        })
        .await
    }

    async fn get_plugin_data(
        &self,
        request: Request<types::PluginDataFilter>,
    ) -> Result<Response<PluginDataSeq>, Status> {
        self.unary("GetPluginData", request, |call, filter| {
            self.core.read(|state| {
                plugin_data::check_kind(&filter.kind)?;
                for verb in ["list", "read"] {
                    state.check_plugin_data(&call.caller, &filter.kind, verb)?;
                }
                let rows: Vec<_> = if filter.resource.is_empty() {
                    state.plugin_data.rows(call.moment).map(|(_, record)| record).collect()
                } else {
                    let key = plugin_data::key(&filter.kind, &filter.resource);
                    state.plugin_data.get_at(&key, call.moment).into_iter().collect()
                };
                let rows = rows
                    .into_iter()
                    .filter(|record| record.sub_kind == filter.kind && plugin_data::has_plugin(record, &filter.plugin));
                Ok::<_, Trace>(PluginDataSeq { plugin_data: rows.map(|record| record.as_ref().clone()).collect() })
            })
        })
        .await
    }

    async fn update_plugin_data(
        &self,
        request: Request<types::PluginDataUpdateParams>,
    ) -> Result<Response<()>, Status> {
        self.unary("UpdatePluginData", request, |call, params| {
            self.core.write(|state| {
                plugin_data::check_kind(&params.kind)?;
                state.check_plugin_data(&call.caller, &params.kind, "update")?;
                state.update_plugin_data(&params)
            })
        })
        .await
    }

    async fn get_role(&self, request: Request<GetRoleRequest>) -> Result<Response<types::RoleV6>, Status> {
        self.unary("GetRole", request, |call, query| {
            self.core.read(|state| {
                // Everybody may read the roles that they hold.
                if !call.caller.roles.contains(&query.name) {
                    state.check(&call.caller, "role", "read")?;
                }
                let role = state.roles.get(&query.name);
                role.map(Role::message).ok_or_else(|| Trace::not_found(format!("role {} is not found", query.name)))
            })
        })
        .await
    }

    async fn get_roles(&self, request: Request<()>) -> Result<Response<GetRolesResponse>, Status> {
        self.unary("GetRoles", request, |call, ()| {
            self.core.read(|state| {
                if !state.version.gets_roles_at_once() {
                    return Err(unimplemented("GetRoles"));
                }
                state.check_all(&call.caller, "role", &["list", "read"])?;
                Ok(GetRolesResponse { roles: state.roles.values().map(Role::message).collect() })
            })
        })
        .await
    }

    async fn list_roles(&self, request: Request<ListRolesRequest>) -> Result<Response<ListRolesResponse>, Status> {
        self.unary("ListRoles", request, |call, query| {
            self.core.read(|state| {
                if !state.version.lists_roles() {
                    return Err(unimplemented("ListRoles"));
                }
                state.check_all(&call.caller, "role", &["list", "read"])?;
                let filter = query.filter.unwrap_or_default();
                let found = state.roles.values().filter(|role| contains_all(&[&role.name], &filter.search_keywords));
                let (page, next_key) = page(found, |role| &role.name, query.limit.into(), &query.start_key);
                Ok(ListRolesResponse { roles: page.into_iter().map(Role::message).collect(), next_key })
            })
        })
        .await
    }

    async fn get_current_user_roles(&self, request: Request<()>) -> Result<Response<Answers<types::RoleV6>>, Status> {
        self.streaming("GetCurrentUserRoles", request, |call, ()| {
            let roles = self.core.read(|state| state.roles_of(&call.caller).map(Role::message).collect());
            Ok::<_, Trace>(all(roles))
        })
        .await
    }

    async fn get_users(&self, request: Request<GetUsersRequest>) -> Result<Response<Answers<types::UserV2>>, Status> {
        self.streaming("GetUsers", request, |call, query| {
            let users = self.core.read(|state| {
                check_secrets(query.with_secrets)?;
                state.check_all(&call.caller, "user", &["list", "read"])?;
                Ok::<_, Trace>(state.users.values().map(User::message).collect())
            })?;
            Ok::<_, Trace>(all(users))
        })
        .await
    }

    async fn get_current_user(&self, request: Request<()>) -> Result<Response<types::UserV2>, Status> {
        self.unary("GetCurrentUser", request, |call, ()| {
            self.core.read(|state| state.user_message(call, &call.caller.user, false))
        })
        .await
    }

    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<types::UserV2>, Status> {
        self.unary("GetUser", request, |call, query| {
            self.core.read(|state| state.user_message(call, &query.name, query.with_secrets))
        })
        .await
    }

    async fn list_resources(
        &self,
        request: Request<ListResourcesRequest>,
    ) -> Result<Response<ListResourcesResponse>, Status> {
        self.unary("ListResources", request, |call, query| {
            self.core.read(|state| crate::teleport::resources::list(state, &call.caller, &query))
        })
        .await
    }

    async fn get_cluster_ca_cert(&self, request: Request<()>) -> Result<Response<GetClusterCaCertResponse>, Status> {
        self.unary("GetClusterCACert", request, |_, ()| {
            Ok::<_, Trace>(GetClusterCaCertResponse {
                tlsca: pem("CERTIFICATE", &self.authorities.host.certificate).into(),
            })
        })
        .await
    }

    async fn get_locks(&self, request: Request<GetLocksRequest>) -> Result<Response<GetLocksResponse>, Status> {
        self.unary("GetLocks", request, |call, query| {
            self.core.read(|state| {
                state.check_all(&call.caller, "lock", &["list", "read"])?;
                let locks = state.locks.values().filter(|lock| is_target(lock, &query.targets));
                Ok::<_, Trace>(GetLocksResponse { locks: locks.cloned().collect() })
            })
        })
        .await
    }

    async fn generate_user_certs(&self, request: Request<UserCertsRequest>) -> Result<Response<Certs>, Status> {
        self.unary("GenerateUserCerts", request, |call, asked| self.user_certs(&call.caller, &asked)).await
    }
}

/// Without targets every lock is meant.
fn is_target(lock: &types::LockV2, targets: &[types::LockTarget]) -> bool {
    let locked = lock.spec.as_ref().and_then(|spec| spec.target.as_ref());
    let matches = |wanted: &types::LockTarget| {
        let same = |wanted: &str, locked: &str| wanted.is_empty() || wanted == locked;
        locked.is_some_and(|locked| same(&wanted.user, &locked.user) && same(&wanted.role, &locked.role))
    };
    targets.is_empty() || targets.iter().any(matches)
}

/// A stream of what is known already.
fn all<T: Send + 'static>(items: Vec<T>) -> Answers<T> {
    Box::pin(stream::iter(items.into_iter().map(Ok)))
}

/// Nobody but an administrator's console reads users with their secrets.
pub(super) fn check_secrets(wanted: bool) -> Result<(), Trace> {
    if wanted { Err(Trace::denied("this request can be only executed by an admin")) } else { Ok(()) }
}

/// The stream of a watch: its events, then how it ended.
fn events(subscription: Subscription, call: &Call) -> Answers<Event> {
    let connection = call.connection();
    let state = (subscription, connection, false);
    Box::pin(
        stream::unfold(state, |(mut subscription, connection, finished)| async move {
            if finished {
                return None;
            }
            let event = tokio::select! {
                biased;
                () = subscription.ended.cancelled() => None,
                event = subscription.events.recv() => event,
            };
            if let Some(event) = event {
                return Some((Some(Ok(event)), (subscription, connection, false)));
            }
            let last = match subscription.ending.get() {
                Some(Ending::Failed(status)) => Some(Err(status.clone())),
                Some(Ending::Cut) => {
                    connection.kill();
                    None
                }
                Some(Ending::End) | None => None,
            };
            Some((last, (subscription, connection, true)))
        })
        .filter_map(|item| async move { item }),
    )
}

impl State {
    /// The kinds of a watch that its caller may see.
    fn watchable(&self, call: &Call, watch: &Watch) -> Result<Vec<types::WatchKind>, Trace> {
        if watch.kinds.is_empty() {
            return Err(Trace::denied("can't setup global watch"));
        }
        let partial = watch.allow_partial_success && self.version.has_partial_watch();
        let mut kinds = Vec::new();
        for kind in &watch.kinds {
            let own = kind.kind == "access_request" && kind.filter.get("user") == Some(&call.caller.user);
            let allowed = if own { Ok(()) } else { self.check(&call.caller, &kind.kind, "read") };
            match allowed.and_then(|()| self.check_watchable(kind)) {
                Ok(()) => kinds.push(kind.clone()),
                Err(_) if partial => {}
                Err(error) => return Err(error),
            }
        }
        if kinds.is_empty() {
            return Err(Trace::bad("none of the requested kinds can be watched"));
        }
        Ok(kinds)
    }

    fn check_watchable(&self, kind: &types::WatchKind) -> Result<(), Trace> {
        let known = match kind.kind.as_str() {
            "access_request" => return watch::check_filter(&kind.filter),
            "role" | "user" | "user_login_state" | "node" | "app_server" | "user_group" => true,
            "access_list" => self.edition == Edition::Enterprise,
            "access_monitoring_rule" => self.version.has_monitoring_rules(),
            _ => false,
        };
        let words = || format!("cache \"auth\" does not support watching resource {:?}", kind.kind);
        if known { Ok(()) } else { Err(Trace::bad(words())) }
    }

    fn capabilities(
        &self,
        call: &Call,
        query: &types::AccessCapabilitiesRequest,
    ) -> Result<types::AccessCapabilities, Trace> {
        let name = if query.user.is_empty() { &call.caller.user } else { &query.user };
        if name != &call.caller.user {
            self.check_all(&call.caller, "user", &["read"])?;
        }
        let user = self.users.get(name).ok_or_else(|| Trace::not_found(format!("user {name:?} not found")))?;
        let held: Vec<_> = user.roles.iter().filter_map(|role| self.roles.get(role)).collect();
        let mut answer = types::AccessCapabilities::default();
        if query.requestable_roles {
            let all = self.roles.keys().filter(|role| !user.roles.contains(role));
            answer.requestable_roles =
                all.filter(|role| held.iter().any(|held| matches_any(&held.requestable, role))).cloned().collect();
        }
        if query.suggested_reviewers {
            answer.suggested_reviewers = held.iter().flat_map(|role| role.suggested_reviewers.clone()).collect();
        }
        Ok(answer)
    }

    /// A user as its readers see it.
    pub(super) fn user_message(&self, call: &Call, name: &str, secrets: bool) -> Result<types::UserV2, Trace> {
        check_secrets(secrets)?;
        if name != call.caller.user {
            self.check(&call.caller, "user", "read")?;
        }
        let user = self.users.get(name).ok_or_else(|| Trace::not_found(format!("user {name:?} not found")))?;
        Ok(user.message())
    }
}

/// One page, in the asked-for order. The next key is the id of the first request of the next page.
fn page_of_requests(
    mut requests: Vec<types::AccessRequestV3>,
    query: &ListAccessRequestsRequest,
    default: usize,
) -> ListAccessRequestsResponse {
    let id = |request: &types::AccessRequestV3| {
        request.metadata.as_ref().map(|metadata| metadata.name.clone()).unwrap_or_default()
    };
    let spec = |request: &types::AccessRequestV3| request.spec.clone().unwrap_or_default();
    match query.sort() {
        AccessRequestSort::Default => {}
        AccessRequestSort::Created => requests.sort_by_key(created),
        AccessRequestSort::State => requests.sort_by_key(|request| spec(request).state),
        AccessRequestSort::User => requests.sort_by_key(|request| spec(request).user),
    }
    if query.descending {
        requests.reverse();
    }
    let limit = usize::try_from(query.limit).ok().filter(|limit| *limit > 0).unwrap_or(default).min(default).max(1);
    let start = if query.start_key.is_empty() {
        0
    } else {
        // A request that went away between two pages: go on with the next one in the default order.
        let exact = requests.iter().position(|request| id(request) == query.start_key);
        exact.unwrap_or_else(|| requests.iter().filter(|request| id(request) < query.start_key).count())
    };
    let mut page: Vec<_> = requests.into_iter().skip(start).take(limit + 1).collect();
    let next_key =
        if page.len() > limit { page.pop().map(|next| id(&next)).unwrap_or_default() } else { String::new() };
    ListAccessRequestsResponse { access_requests: page, next_key }
}

/// What Teleport says of a service that this edition or version does not have.
pub(super) fn unknown_service(service: &str) -> Trace {
    Trace::new(Kind::NotImplemented, format!("unknown service {service}"))
}
