//go:build v17

package main

import (
	"github.com/gravitational/teleport/api/client/proto"
	"github.com/gravitational/teleport/api/types"
)

// line does what 14.2.3 does not know.
func (r *run) line() {
	page, err := r.plugin.ListAccessRequests(r.ctx, &proto.ListAccessRequestsRequest{
		Filter: &types.AccessRequestFilter{Scope: types.AccessRequestScope_MY_REQUESTS},
		Sort:   proto.AccessRequestSort_CREATED, Descending: true, Limit: 10,
	})
	if err == nil {
		r.say("page of requests", nil, len(page.AccessRequests), page.NextKey)
	}
	rules, _, err := r.plugin.AccessMonitoringRulesClient().ListAccessMonitoringRulesWithFilter(
		r.ctx, 1000, "", []string{types.KindAccessRequest}, "slack")
	r.say("rules", err)
	for _, rule := range rules {
		found, err := r.plugin.AccessMonitoringRulesClient().GetAccessMonitoringRule(r.ctx, rule.Metadata.Name)
		r.say("rule", err, found.GetKind(), found.GetSpec().GetCondition(), found.GetSpec().GetNotification().GetRecipients())
	}
	owners, err := r.plugin.AccessListClient().GetAccessListOwners(r.ctx, "databases")
	r.say("owners", err, len(owners))
	_, err = r.plugin.AccessListClient().GetAccessList(r.ctx, "no-such-list")
	r.say("access list: unknown", err)
	state, err := r.plugin.UserLoginStateClient().GetUserLoginState(r.ctx, r.cast.requester)
	if err == nil {
		r.say("login state", nil, state.GetRoles(), state.GetTraits())
	}
	users, err := r.plugin.GetUsers(r.ctx, false)
	r.say("users", err, len(users) > 0)
}
