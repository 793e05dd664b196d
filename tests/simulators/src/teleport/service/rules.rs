//! `teleport.accessmonitoringrules.v1.AccessMonitoringRulesService`.

use tonic::{Request, Response, Status, async_trait};

use super::Services;
use super::auth::unknown_service;
use super::call::Call;
use super::page::page;
use crate::teleport::error::Trace;
use crate::teleport::pb::teleport::accessmonitoringrules::v1::access_monitoring_rules_service_server::AccessMonitoringRulesService;
use crate::teleport::pb::teleport::accessmonitoringrules::v1::{
    AccessMonitoringRule, GetAccessMonitoringRuleRequest, ListAccessMonitoringRulesRequest,
    ListAccessMonitoringRulesResponse, ListAccessMonitoringRulesWithFilterRequest,
    ListAccessMonitoringRulesWithFilterResponse,
};
use crate::teleport::state::State;

const SERVICE: &str = "teleport.accessmonitoringrules.v1.AccessMonitoringRulesService";

#[async_trait]
impl AccessMonitoringRulesService for Services {
    async fn get_access_monitoring_rule(
        &self,
        request: Request<GetAccessMonitoringRuleRequest>,
    ) -> Result<Response<AccessMonitoringRule>, Status> {
        self.unary("GetAccessMonitoringRule", request, |call, query| {
            self.core.read(|state| {
                check(state, call, &["read"])?;
                let found = state.rules.get(&query.name).cloned();
                found.ok_or_else(|| Trace::missing("access_monitoring_rule", &query.name))
            })
        })
        .await
    }

    async fn list_access_monitoring_rules(
        &self,
        request: Request<ListAccessMonitoringRulesRequest>,
    ) -> Result<Response<ListAccessMonitoringRulesResponse>, Status> {
        self.unary("ListAccessMonitoringRules", request, |call, query| {
            self.list_rules(call, |_| true, query.page_size, &query.page_token)
        })
        .await
    }

    async fn list_access_monitoring_rules_with_filter(
        &self,
        request: Request<ListAccessMonitoringRulesWithFilterRequest>,
    ) -> Result<Response<ListAccessMonitoringRulesWithFilterResponse>, Status> {
        self.unary("ListAccessMonitoringRulesWithFilter", request, |call, query| -> Result<_, Trace> {
            let wanted = |rule: &AccessMonitoringRule| {
                let spec = rule.spec.clone().unwrap_or_default();
                let notifies =
                    spec.notification.is_some_and(|notification| notification.name == query.notification_name);
                query.subjects.iter().all(|subject| spec.subjects.contains(subject))
                    && (query.notification_name.is_empty() || notifies)
            };
            let ListAccessMonitoringRulesResponse { rules, next_page_token } =
                self.list_rules(call, wanted, query.page_size, &query.page_token)?;
            Ok(ListAccessMonitoringRulesWithFilterResponse { rules, next_page_token })
        })
        .await
    }
}

impl Services {
    fn list_rules(
        &self,
        call: &Call,
        wanted: impl Fn(&AccessMonitoringRule) -> bool,
        size: i64,
        token: &str,
    ) -> Result<ListAccessMonitoringRulesResponse, Trace> {
        self.core.read(|state| {
            check(state, call, &["list", "read"])?;
            let all = state.rules.iter().filter(|(_, rule)| wanted(rule));
            let (page, next_page_token) = page(all, |(name, _)| name, size, token);
            let rules = page.into_iter().map(|(_, rule)| rule.clone()).collect();
            Ok(ListAccessMonitoringRulesResponse { rules, next_page_token })
        })
    }
}

fn check(state: &State, call: &Call, verbs: &[&str]) -> Result<(), Trace> {
    if !state.version.has_monitoring_rules() {
        return Err(unknown_service(SERVICE));
    }
    state.check_all(&call.caller, "access_monitoring_rule", verbs)
}
