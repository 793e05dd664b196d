//! Calls to the Auth service: each with a deadline, each degrading where an older server lacks the method.

use std::future::Future;
use std::time::Duration;

use futures::future::try_join_all;
use tokio_stream::StreamExt as _;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::access_request::{AccessRequest, PluginData, RequestId, StoredRecord};
use crate::teleport::convert;
use crate::teleport::error::{CallError, Kind};
use crate::teleport::pb::proto::auth_service_client::AuthServiceClient;
use crate::teleport::pb::teleport::users::v1::users_service_client::UsersServiceClient;
use crate::teleport::pb::{proto, types};
use crate::teleport::records;
use crate::teleport::right::{Rule, Rules};
use crate::teleport::watch::Watch;

/// How long one call may take, connecting included.
const DEADLINE: Duration = Duration::from_secs(15);
/// Listing everything may take longer on a large cluster.
const LIST_DEADLINE: Duration = Duration::from_mins(1);
/// gRPC's default of 4 MiB is too little for a page of requests with many reviews. (Records do not arrive in one message:
/// see `records`.)
const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;
/// Requests asked for per page.
const PAGE: i32 = 250;

/// An id that Teleport gives to no request: ids are random.
const NO_REQUEST: &str = "00000000-0000-4000-8000-000000000000";
const ACCESS_REQUEST: &str = "access_request";

/// Speaks to the Auth service. Clones share the connection.
#[derive(Clone)]
pub struct Client {
    pub(super) auth: AuthServiceClient<Channel>,
    pub(super) users: UsersServiceClient<Channel>,
    channel: Channel,
    plugin: String,
}

/// What the server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Name of the cluster.
    pub cluster: String,
    /// Release, without a leading `v`.
    pub version: String,
    /// Public `host[:port]` of the Proxy; empty when there is none.
    pub proxy_public_addr: String,
    /// Whether requests can be reviewed in the web UI: an Enterprise feature.
    pub web_reviews: bool,
}

impl Client {
    /// Speaks over `channel`, keeping its state under the plugin name `plugin`.
    pub fn new(channel: Channel, plugin: &str) -> Self {
        let auth = AuthServiceClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
        Self { auth, users: UsersServiceClient::new(channel.clone()), channel, plugin: plugin.to_owned() }
    }

    /// The cheapest proof that the connection lives and the identity is accepted.
    pub async fn ping(&self) -> Result<Server, CallError> {
        let mut auth = self.auth.clone();
        let answer = call("Ping", DEADLINE, proto::PingRequest {}, |request| async move { auth.ping(request).await });
        let answer = answer.await?;
        Ok(Server {
            cluster: answer.cluster_name,
            version: answer.server_version,
            proxy_public_addr: answer.proxy_public_addr,
            web_reviews: answer.server_features.is_some_and(|features| features.advanced_access_workflows),
        })
    }

    /// All access requests that the identity may see. Without the right to list and read them Teleport does not refuse:
    /// it leaves out those of others.
    pub async fn access_requests(&self) -> Result<Vec<AccessRequest>, CallError> {
        self.list(types::AccessRequestFilter::default()).await
    }

    /// One access request; none when it is gone (or hidden, see [`Client::access_requests`]).
    pub async fn access_request(&self, id: &RequestId) -> Result<Option<AccessRequest>, CallError> {
        let filter = types::AccessRequestFilter { id: id.0.clone(), ..Default::default() };
        Ok(self.list(filter).await?.into_iter().find(|request| request.id == *id))
    }

    async fn list(&self, filter: types::AccessRequestFilter) -> Result<Vec<AccessRequest>, CallError> {
        match self.list_pages(&filter).await {
            Err(error) if error.kind == Kind::Unimplemented => {}
            listed => return listed,
        }
        match self.list_stream(&filter).await {
            Err(error) if error.kind == Kind::Unimplemented => self.list_at_once(filter).await,
            listed => listed,
        }
    }

    async fn list_pages(&self, filter: &types::AccessRequestFilter) -> Result<Vec<AccessRequest>, CallError> {
        let mut requests = Vec::new();
        let mut start_key = String::new();
        let mut limit = PAGE;
        loop {
            let page = proto::ListAccessRequestsRequest {
                filter: Some(filter.clone()),
                limit,
                start_key: start_key.clone(),
                ..Default::default()
            };
            let mut auth = self.auth.clone();
            let answer = call("ListAccessRequests", LIST_DEADLINE, page, |request| async move {
                auth.list_access_requests(request).await
            });
            let answer = match answer.await {
                Err(error) if error.kind == Kind::TooLarge && limit > 1 => {
                    limit /= 2;
                    continue;
                }
                answer => answer?,
            };
            requests.extend(answer.access_requests.into_iter().filter_map(convert::access_request));
            if answer.next_key.is_empty() {
                return Ok(requests);
            }
            start_key = answer.next_key;
        }
    }

    /// Servers up to v14 have no paged list, but this stream.
    async fn list_stream(&self, filter: &types::AccessRequestFilter) -> Result<Vec<AccessRequest>, CallError> {
        const METHOD: &str = "GetAccessRequestsV2";
        let mut auth = self.auth.clone();
        let listing = async {
            let mut request = Request::new(filter.clone());
            request.set_timeout(LIST_DEADLINE);
            let mut stream = auth.get_access_requests_v2(request).await?.into_inner();
            let mut requests = Vec::new();
            while let Some(message) = stream.next().await {
                requests.extend(convert::access_request(message?));
            }
            Ok(requests)
        };
        within(METHOD, LIST_DEADLINE, listing).await
    }

    /// Servers of the v10 era have neither.
    async fn list_at_once(&self, filter: types::AccessRequestFilter) -> Result<Vec<AccessRequest>, CallError> {
        let mut auth = self.auth.clone();
        let answer = call("GetAccessRequests", LIST_DEADLINE, filter, |request| async move {
            auth.get_access_requests(request).await
        })
        .await?;
        Ok(answer.access_requests.into_iter().filter_map(convert::access_request).collect())
    }

    /// This plugin's stored data for one request; empty when there is none.
    pub async fn plugin_data(&self, id: &RequestId) -> Result<PluginData, CallError> {
        Ok(self.read_plugin_data(&id.0).await?.into_iter().next().map(|record| record.data).unwrap_or_default())
    }

    /// This plugin's stored data for every request, those included that are gone.
    pub async fn all_plugin_data(&self) -> Result<Vec<StoredRecord>, CallError> {
        self.read_plugin_data("").await
    }

    async fn read_plugin_data(&self, resource: &str) -> Result<Vec<StoredRecord>, CallError> {
        let filter = types::PluginDataFilter {
            kind: ACCESS_REQUEST.to_owned(),
            resource: resource.to_owned(),
            plugin: self.plugin.clone(),
        };
        let mut stored = Vec::new();
        let read = records::read(self.channel.clone(), filter, LIST_DEADLINE, |record| {
            stored.extend(self.own_entry(record));
        });
        within("GetPluginData", LIST_DEADLINE, read).await?;
        Ok(stored)
    }

    /// This plugin's entry. A record holds every plugin's; the filter only selects the records.
    fn own_entry(&self, record: types::PluginDataV3) -> Option<StoredRecord> {
        let metadata = record.metadata?;
        let entry = record.spec?.entries.remove(&self.plugin)?;
        Some(StoredRecord {
            request: RequestId(metadata.name),
            data: entry.data.into_iter().collect(),
            expires: convert::timestamp(metadata.expires.as_ref()),
        })
    }

    /// Writes `set` if every key of `expect` still has the expected value; an expected empty value means "absent", and
    /// setting an empty value deletes the key. Keys in neither map are left alone and unchecked.
    ///
    /// Ends in [`Kind::CompareFailed`] when an expectation does not hold, in [`Kind::NotFound`] when there is no record
    /// and the request is gone.
    pub async fn update_plugin_data(
        &self,
        id: &RequestId,
        set: PluginData,
        expect: PluginData,
    ) -> Result<(), CallError> {
        let update = types::PluginDataUpdateParams {
            kind: ACCESS_REQUEST.to_owned(),
            resource: id.0.clone(),
            plugin: self.plugin.clone(),
            set: set.into_iter().collect(),
            expect: expect.into_iter().collect(),
        };
        let mut auth = self.auth.clone();
        call("UpdatePluginData", DEADLINE, update, |request| async move { auth.update_plugin_data(request).await })
            .await
    }

    /// The logins that a role allows, as written in the role: templates stay unexpanded.
    pub async fn role_logins(&self, role: &str) -> Result<Vec<String>, CallError> {
        let mut auth = self.auth.clone();
        let name = proto::GetRoleRequest { name: role.to_owned() };
        let role = call("GetRole", DEADLINE, name, |request| async move { auth.get_role(request).await }).await?;
        Ok(role.spec.and_then(|spec| spec.allow).map(|allow| allow.logins).unwrap_or_default())
    }

    /// What a role allows and denies. Every identity may read the roles that it holds.
    pub async fn role_rules(&self, role: &str) -> Result<Rules, CallError> {
        let mut auth = self.auth.clone();
        let name = proto::GetRoleRequest { name: role.to_owned() };
        let role = call("GetRole", DEADLINE, name, |request| async move { auth.get_role(request).await }).await?;
        let spec = role.spec.unwrap_or_default();
        let rules = |conditions: Option<types::RoleConditions>| {
            let rules = conditions.unwrap_or_default().rules.into_iter();
            rules.map(|rule| Rule { kinds: rule.resources, verbs: rule.verbs }).collect()
        };
        Ok(Rules { allow: rules(spec.allow), deny: rules(spec.deny) })
    }

    /// What all these roles of the identity allow and deny; none when one of them cannot be read, or there are none.
    pub async fn rules_of(&self, roles: &[String]) -> Option<Rules> {
        let mut all = Rules::default();
        for role in try_join_all(roles.iter().map(|role| self.role_rules(role))).await.ok()? {
            all.extend(role);
        }
        (!roles.is_empty()).then_some(all)
    }

    /// Whether plugin data may be written, tried on a request that does not exist: Teleport checks the right first.
    pub async fn try_write(&self) -> Result<(), CallError> {
        let none = RequestId(NO_REQUEST.to_owned());
        let unmet = PluginData::from([("slack_access_operator_check".to_owned(), "unmet".to_owned())]);
        match self.update_plugin_data(&none, PluginData::new(), unmet).await {
            Err(error) if matches!(error.kind, Kind::NotFound | Kind::CompareFailed) && !error.is_denial() => Ok(()),
            written => written,
        }
    }

    /// Opens a watch on access requests and waits for its first event, INIT.
    pub async fn watch(&self) -> Result<Watch, CallError> {
        const METHOD: &str = "WatchEvents";
        let kind = types::WatchKind { kind: ACCESS_REQUEST.to_owned(), ..Default::default() };
        let watch = proto::Watch { kinds: vec![kind], allow_partial_success: true };
        let mut auth = self.auth.clone();
        // No deadline travels with the request: the server would end the stream at it.
        let opening = async { Ok(auth.watch_events(watch).await?.into_inner()) };
        let stream = within(METHOD, DEADLINE, opening).await?;
        Watch::start(stream, DEADLINE).await
    }
}

/// One unary call under a deadline that the server is told of, too.
pub(super) async fn call<Q, A, F>(
    method: &'static str,
    deadline: Duration,
    message: Q,
    send: impl FnOnce(Request<Q>) -> F,
) -> Result<A, CallError>
where
    F: Future<Output = Result<Response<A>, Status>>,
{
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    // Kilobytes of state: on the heap while the call lasts, not inside every task that may make one.
    let answer = Box::pin(send(request));
    within(method, deadline, async { answer.await.map(Response::into_inner) }).await
}

pub(super) async fn within<T>(
    method: &'static str,
    deadline: Duration,
    work: impl Future<Output = Result<T, Status>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(deadline, work).await {
        Ok(result) => result.map_err(|status| CallError::new(method, &status)),
        Err(_elapsed) => Err(CallError::deadline(method, deadline)),
    }
}
