package main

import (
	authpb "github.com/gravitational/teleport/api/client/proto"
	headerv1 "github.com/gravitational/teleport/api/gen/proto/go/teleport/header/v1"
	traitv1 "github.com/gravitational/teleport/api/gen/proto/go/teleport/trait/v1"
	userloginstatev1 "github.com/gravitational/teleport/api/gen/proto/go/teleport/userloginstate/v1"
	"github.com/gravitational/teleport/api/types"
	"github.com/gravitational/teleport/api/types/wrappers"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func peopleVectors() []vector {
	return []vector{
		{"a question for a role", &authpb.GetRoleRequest{Name: "dba"}},
		{"a role with logins", role()},
		{"a question for all users", &authpb.GetUsersRequest{WithSecrets: true}},
		{"a question for a user", &authpb.GetUserRequest{Name: "alice@example.com", WithSecrets: true}},
		{"a user with traits", user()},
		{"a question for a login state", &userloginstatev1.GetUserLoginStateRequest{Name: "alice@example.com"}},
		{"a login state", &userloginstatev1.UserLoginState{
			Header: resourceHeader(types.KindUserLoginState, "alice@example.com"),
			Spec: &userloginstatev1.Spec{
				Roles:  []string{"access"},
				Traits: []*traitv1.Trait{{Key: "logins", Values: []string{"alice", "root"}}, {Key: "empty"}},
			},
		}},
		{"a login state with what is not declared", &userloginstatev1.UserLoginState{
			Spec: &userloginstatev1.Spec{UserType: "sso", OriginalRoles: []string{"access"}, Roles: []string{"access"}},
		}},
	}
}

func role() *types.RoleV6 {
	return &types.RoleV6{
		Kind:     types.KindRole,
		SubKind:  "sub",
		Version:  types.V6,
		Metadata: metadata("dba"),
		Spec: types.RoleSpecV6{
			Allow: types.RoleConditions{
				Logins:     []string{"root", "{{internal.logins}}"},
				Namespaces: []string{"default"},
				Rules: []types.Rule{
					{Resources: []string{types.KindAccessRequest, types.KindRole}, Verbs: []string{types.VerbList, types.VerbRead}},
					{Resources: []string{"*"}, Verbs: []string{"*"}, Where: `equals(user.metadata.name, "alice")`},
				},
			},
			Deny: types.RoleConditions{
				Logins: []string{"guest"},
				Rules:  []types.Rule{{Resources: []string{types.KindUser}, Verbs: []string{types.VerbUpdate}}},
			},
		},
	}
}

func user() *types.UserV2 {
	return &types.UserV2{
		Kind:     types.KindUser,
		SubKind:  "sub",
		Version:  types.V2,
		Metadata: metadata("alice@example.com"),
		Spec: types.UserSpecV2{
			Roles:  []string{"access", "requester"},
			Traits: wrappers.Traits{"logins": {"alice", "root"}},
		},
	}
}

func resourceHeader(kind, name string) *headerv1.ResourceHeader {
	return &headerv1.ResourceHeader{Kind: kind, SubKind: "sub", Version: types.V1, Metadata: headerMetadata(name)}
}

func headerMetadata(name string) *headerv1.Metadata {
	return &headerv1.Metadata{
		Name:        name,
		Namespace:   "default",
		Description: "described",
		Labels:      map[string]string{"env": "prod"},
		Expires:     timestamppb.New(expires),
		Revision:    "2f6b1a50-77a4-4b9e-8a53-cb8b7f1f0c3e",
	}
}
