//go:build !v17

package main

import (
	authpb "github.com/gravitational/teleport/api/client/proto"
	"github.com/gravitational/teleport/api/types"
)

// newerSubjects: 14.2.3 is the older line. What the newer one has given up is here instead.
func newerSubjects() []subject {
	return []subject{
		{"roles-before-17", []vector{{"all roles", &authpb.GetRolesResponse{Roles: []*types.RoleV6{role()}}}}},
	}
}
