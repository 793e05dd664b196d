package main

import (
	authpb "github.com/gravitational/teleport/api/client/proto"
	"github.com/gravitational/teleport/api/types"
)

func watchVectors() []vector {
	return []vector{
		{"a watch with every field", &authpb.Watch{
			Kinds: []types.WatchKind{
				{Kind: types.KindAccessRequest, Filter: map[string]string{"state": "PENDING"}},
				{Kind: types.KindAccessList, LoadSecrets: true, Name: "dba-list", SubKind: "sub", Version: types.V3},
			},
			AllowPartialSuccess: true,
		}},
		{"the watch of the official plugin", &authpb.Watch{Kinds: []types.WatchKind{{Kind: types.KindAccessRequest}}}},
		{"INIT of a server without a watch status", &authpb.Event{Type: authpb.Operation_INIT}},
		{"INIT with the kinds that were accepted", &authpb.Event{
			Type: authpb.Operation_INIT,
			Resource: &authpb.Event_WatchStatus{WatchStatus: &types.WatchStatusV1{
				Kind:     types.KindWatchStatus,
				SubKind:  "sub",
				Version:  types.V1,
				Metadata: metadata(types.KindWatchStatus),
				Spec:     types.WatchStatusSpecV1{Kinds: []types.WatchKind{{Kind: types.KindAccessRequest}}},
			}},
		}},
		{"PUT of an access request", &authpb.Event{
			Type: authpb.Operation_PUT, Resource: &authpb.Event_AccessRequest{AccessRequest: minimalRequest()},
		}},
		{"DELETE of an access request, which carries a header alone", &authpb.Event{
			Type: authpb.Operation_DELETE,
			Resource: &authpb.Event_ResourceHeader{ResourceHeader: &types.ResourceHeader{
				Kind: types.KindAccessRequest, SubKind: "sub", Version: types.V3, Metadata: metadata(requestID),
			}},
		}},
		{"PUT of a user", &authpb.Event{Type: authpb.Operation_PUT, Resource: &authpb.Event_User{User: user()}}},
		{"PUT of a role", &authpb.Event{Type: authpb.Operation_PUT, Resource: &authpb.Event_Role{Role: role()}}},
		{"PUT of an access list", &authpb.Event{
			Type: authpb.Operation_PUT, Resource: &authpb.Event_AccessList{AccessList: accessList()},
		}},
		{"PUT of a kind that is not declared", &authpb.Event{
			Type:     authpb.Operation_PUT,
			Resource: &authpb.Event_Namespace{Namespace: &types.Namespace{Kind: types.KindNamespace, Metadata: metadata("default")}},
		}},
		{"an operation of a newer server", &authpb.Event{Type: authpb.Operation(99)}},
	}
}
