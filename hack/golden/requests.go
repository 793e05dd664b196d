package main

import (
	"time"

	authpb "github.com/gravitational/teleport/api/client/proto"
	"github.com/gravitational/teleport/api/types"
	"github.com/gravitational/teleport/api/types/wrappers"
)

func requestVectors() []vector {
	return []vector{
		{"a request with every field", fullRequest()},
		{"a request with nothing but what it needs; its times are Go's zero time", minimalRequest()},
		{"an empty request", &types.AccessRequestV3{}},
		{"a denied request", resolved(types.RequestState_DENIED)},
		{"an approved request", resolved(types.RequestState_APPROVED)},
		{"a request in a state of a newer server", resolved(types.RequestState(99))},
		{"a request promoted to an access list", promotedRequest()},
		{"a request for resources", resourceRequest()},
		{"a request with text that is hard to carry", hostileRequest()},
		{"an approving review", &types.AccessReviewSubmission{RequestID: requestID, Review: review(types.RequestState_APPROVED)}},
		{"a denying review", &types.AccessReviewSubmission{RequestID: requestID, Review: review(types.RequestState_DENIED)}},
		{"a decision with every field", &authpb.RequestStateSetter{
			ID:          requestID,
			State:       types.RequestState_APPROVED,
			Delegator:   "slack:alice@example.com",
			Reason:      "on call",
			Annotations: wrappers.Traits{"ticket": {"OPS-1", "OPS-2"}},
			Roles:       []string{"dba", "editor"},
		}},
		{"a denial", &authpb.RequestStateSetter{ID: requestID, State: types.RequestState_DENIED}},
		{"a request's id", &authpb.RequestID{ID: requestID}},
		{"a filter by id", &types.AccessRequestFilter{ID: requestID}},
		{"a filter by user and state", &types.AccessRequestFilter{User: "alice@example.com", State: types.RequestState_PENDING}},
		{"an empty filter", &types.AccessRequestFilter{}},
		{"a question for capabilities", &types.AccessCapabilitiesRequest{
			User: "alice@example.com", RequestableRoles: true, SuggestedReviewers: true,
		}},
		{"capabilities", &types.AccessCapabilities{
			RequestableRoles: []string{"dba", "editor"}, SuggestedReviewers: []string{"bob@example.com"},
		}},
	}
}

func minimalRequest() *types.AccessRequestV3 {
	return &types.AccessRequestV3{
		Kind:     types.KindAccessRequest,
		Version:  types.V3,
		Metadata: types.Metadata{Name: requestID},
		Spec: types.AccessRequestSpecV3{
			User: "alice@example.com", Roles: []string{"dba"}, State: types.RequestState_PENDING,
		},
	}
}

func resolved(state types.RequestState) *types.AccessRequestV3 {
	request := minimalRequest()
	request.Spec.State = state
	request.Spec.Created = created
	request.Spec.Expires = expires
	request.Spec.ResolveReason = "because"
	request.Spec.ResolveAnnotations = wrappers.Traits{"ticket": {"OPS-1"}}
	return request
}

func promotedRequest() *types.AccessRequestV3 {
	request := resolved(types.RequestState_PROMOTED)
	request.Spec.AccessList = promotion()
	return request
}

func resourceRequest() *types.AccessRequestV3 {
	request := minimalRequest()
	request.Spec.RequestedResourceIDs = resourceIDs()
	return request
}

func hostileRequest() *types.AccessRequestV3 {
	request := minimalRequest()
	request.Spec.RequestReason = "<!channel> *bold* & \"quoted\"\r\n\t\u202eright to left\u202c 🦀\u0000\uffff"
	request.Spec.Roles = []string{"", "日本語", "a b"}
	return request
}

func fullRequest() *types.AccessRequestV3 {
	return &types.AccessRequestV3{
		Kind:     types.KindAccessRequest,
		SubKind:  "sub",
		Version:  types.V3,
		Metadata: metadata(requestID),
		Spec: types.AccessRequestSpecV3{
			User:               "alice@example.com",
			Roles:              []string{"dba", "editor"},
			State:              types.RequestState_APPROVED,
			Created:            created,
			Expires:            expires,
			RequestReason:      "disk full on db-1",
			ResolveReason:      "go ahead",
			ResolveAnnotations: wrappers.Traits{"ticket": {"OPS-1"}},
			SystemAnnotations:  wrappers.Traits{"pagerduty-service": {"db", "storage"}},
			Thresholds: []types.AccessReviewThreshold{
				{Name: "two of the team", Filter: `contains(reviewer.roles, "dba")`, Approve: 2, Deny: 1},
				{Approve: 1, Deny: 300},
			},
			RoleThresholdMapping: map[string]types.ThresholdIndexSets{
				"dba": {Sets: []types.ThresholdIndexSet{{Indexes: []uint32{0, 1}}, {Indexes: []uint32{300}}}},
			},
			Reviews:              []types.AccessReview{review(types.RequestState_APPROVED), {Author: "carol@example.com"}},
			SuggestedReviewers:   []string{"bob@example.com", "carol@example.com"},
			RequestedResourceIDs: resourceIDs(),
			LoginHint:            "root",
			DryRun:               true,
			MaxDuration:          created.Add(4 * time.Hour),
			SessionTTL:           created.Add(time.Hour),
			AccessList:           promotion(),
		},
	}
}

func review(state types.RequestState) types.AccessReview {
	return types.AccessReview{
		Author:           "bob@example.com",
		Roles:            []string{"reviewer"},
		ProposedState:    state,
		Reason:           "seen the alert",
		Created:          created,
		Annotations:      wrappers.Traits{"source": {"slack"}},
		ThresholdIndexes: []uint32{0, 300},
		AccessList:       promotion(),
	}
}

func promotion() *types.PromotedAccessList {
	return &types.PromotedAccessList{Name: "dba-list", Title: "Database people"}
}

func resourceIDs() []types.ResourceID {
	return []types.ResourceID{
		{ClusterName: "example.com", Kind: types.KindNode, Name: "5a8d2f0e-7a35-4b57-9d9b-1c5ed28e2a6b"},
		{ClusterName: "leaf.example.com", Kind: types.KindKubePod, Name: "prod", SubResourceName: "default/web-*"},
	}
}
