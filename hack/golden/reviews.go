package main

import (
	authpb "github.com/gravitational/teleport/api/client/proto"
	"github.com/gravitational/teleport/api/types"
	"github.com/gravitational/teleport/api/types/wrappers"
)

// reviewVectors are about who may review, and who is locked out.
func reviewVectors() []vector {
	return []vector{
		{"a role that reviews", &types.RoleV6{
			Kind:     types.KindRole,
			Version:  types.V6,
			Metadata: metadata("reviewer"),
			Spec: types.RoleSpecV6{
				Allow: types.RoleConditions{ReviewRequests: &types.AccessReviewConditions{
					Roles: []string{"dba", "editor"}, PreviewAsRoles: []string{"access"},
				}},
				Deny: types.RoleConditions{ReviewRequests: &types.AccessReviewConditions{Roles: []string{"root"}}},
			},
		}},
		{"a user who is locked after failed logins", &types.UserV2{
			Kind:     types.KindUser,
			Version:  types.V2,
			Metadata: metadata("bob@example.com"),
			Spec: types.UserSpecV2{
				Roles:  []string{"reviewer"},
				Traits: wrappers.Traits{"slack_user_id": {"U0BOB0001"}},
				Status: types.LoginStatus{IsLocked: true, LockExpires: expires},
			},
		}},
		{"a question for locks", &authpb.GetLocksRequest{
			Targets:     []*types.LockTarget{{User: "bob@example.com"}, {Role: "reviewer"}},
			InForceOnly: true,
		}},
		{"locks", &authpb.GetLocksResponse{Locks: []*types.LockV2{{
			Kind:     types.KindLock,
			SubKind:  "sub",
			Version:  types.V2,
			Metadata: metadata("a lock"),
			Spec: types.LockSpecV2{
				Target:  types.LockTarget{User: "bob@example.com", Role: "reviewer"},
				Message: "left the company",
				Expires: &expires,
			},
		}}}},
	}
}
