//go:build v17

package main

import (
	"time"

	authpb "github.com/gravitational/teleport/api/client/proto"
	accesslistv1 "github.com/gravitational/teleport/api/gen/proto/go/teleport/accesslist/v1"
	rulesv1 "github.com/gravitational/teleport/api/gen/proto/go/teleport/accessmonitoringrules/v1"
	usersv1 "github.com/gravitational/teleport/api/gen/proto/go/teleport/users/v1"
	"github.com/gravitational/teleport/api/types"
)

// newerSubjects holds what 14.2.3 does not know.
func newerSubjects() []subject {
	return []subject{
		{"requests-since-15", newerRequestVectors()},
		{"monitoring-rules", ruleVectors()},
		{"join-since-17", []vector{{"a bot's question with both keys", &authpb.UserCertsRequest{
			Username:     "bot-slack",
			SSHPublicKey: []byte("ecdsa-sha2-nistp256 AAAA\n"),
			TLSPublicKey: []byte("-----BEGIN PUBLIC KEY-----\n"),
		}}}},
		{"users-and-roles", peopleInPagesVectors()},
		{"access-list-owners", []vector{
			{"a question for owners", &accesslistv1.GetAccessListOwnersRequest{AccessList: "dba-list"}},
			{"owners", &accesslistv1.GetAccessListOwnersResponse{Owners: accessList().Spec.Owners}},
		}},
	}
}

func newerRequestVectors() []vector {
	start, expiry := created.Add(time.Hour), created.Add(240*time.Hour)
	later := minimalRequest()
	later.Spec.AssumeStartTime, later.Spec.ResourceExpiry = &start, &expiry
	planned := review(types.RequestState_APPROVED)
	planned.AssumeStartTime = &start
	return []vector{
		{"a request that starts later", later},
		{"a review that moves the start", &types.AccessReviewSubmission{RequestID: requestID, Review: planned}},
		{"a decision that moves the start", &authpb.RequestStateSetter{
			ID: requestID, State: types.RequestState_APPROVED, AssumeStartTime: &start,
		}},
		{"a filter with every field", &types.AccessRequestFilter{
			ID:             requestID,
			User:           "alice@example.com",
			State:          types.RequestState_PENDING,
			SearchKeywords: []string{"dba"},
			Scope:          types.AccessRequestScope_NEEDS_REVIEW,
			Requester:      "bob@example.com",
		}},
		{"a question for a page of requests", &authpb.ListAccessRequestsRequest{
			Filter:     &types.AccessRequestFilter{State: types.RequestState_PENDING},
			Sort:       authpb.AccessRequestSort_CREATED,
			Descending: true,
			Limit:      1000,
			StartKey:   "next",
		}},
		{"a page of requests", &authpb.ListAccessRequestsResponse{
			AccessRequests: []*types.AccessRequestV3{fullRequest(), minimalRequest()}, NextKey: "next",
		}},
		{"an empty page", &authpb.ListAccessRequestsResponse{}},
	}
}

func ruleVectors() []vector {
	return []vector{
		{"a question for a page of rules", &rulesv1.ListAccessMonitoringRulesRequest{PageSize: 1 << 40, PageToken: "next"}},
		{"a question for a rule", &rulesv1.GetAccessMonitoringRuleRequest{Name: "databases"}},
		{"a question for a plugin's rules", &rulesv1.ListAccessMonitoringRulesWithFilterRequest{
			PageSize:         100,
			PageToken:        "next",
			Subjects:         []string{types.KindAccessRequest},
			NotificationName: "slack",
		}},
		{"a page of rules", &rulesv1.ListAccessMonitoringRulesResponse{
			Rules: []*rulesv1.AccessMonitoringRule{rule(), {}}, NextPageToken: "next",
		}},
		{"a page of a plugin's rules", &rulesv1.ListAccessMonitoringRulesWithFilterResponse{
			Rules: []*rulesv1.AccessMonitoringRule{rule()}, NextPageToken: "next",
		}},
		{"PUT of a rule", &authpb.Event{
			Type: authpb.Operation_PUT, Resource: &authpb.Event_AccessMonitoringRule{AccessMonitoringRule: rule()},
		}},
	}
}

func rule() *rulesv1.AccessMonitoringRule {
	return &rulesv1.AccessMonitoringRule{
		Metadata: headerMetadata("databases"),
		Kind:     types.KindAccessMonitoringRule,
		SubKind:  "sub",
		Version:  types.V1,
		Spec: &rulesv1.AccessMonitoringRuleSpec{
			Subjects:     []string{types.KindAccessRequest},
			States:       []string{"approved"},
			Condition:    `contains(access_request.spec.roles, "dba")`,
			Notification: &rulesv1.Notification{Name: "slack", Recipients: []string{"dba-oncall", "bob@example.com"}},
		},
	}
}

func peopleInPagesVectors() []vector {
	return []vector{
		{"a question for a user", &usersv1.GetUserRequest{Name: "alice@example.com", CurrentUser: true, WithSecrets: true}},
		{"a user", &usersv1.GetUserResponse{User: user()}},
		{"a question for a page of users", &usersv1.ListUsersRequest{
			PageSize: 100, PageToken: "next", WithSecrets: true, Filter: &types.UserFilter{SearchKeywords: []string{"alice"}},
		}},
		{"a question for a page of roles", &authpb.ListRolesRequest{
			Limit: 100, StartKey: "next", Filter: &types.RoleFilter{SearchKeywords: []string{"dba"}, SkipSystemRoles: true},
		}},
		{"a page of roles", &authpb.ListRolesResponse{Roles: []*types.RoleV6{role()}, NextKey: "next"}},
		{"a page of users", &usersv1.ListUsersResponse{Users: []*types.UserV2{user()}, NextPageToken: "next"}},
	}
}
