package main

import (
	authpb "github.com/gravitational/teleport/api/client/proto"
	"github.com/gravitational/teleport/api/types"
)

func resourceVectors() []vector {
	return []vector{
		{"a question for resources with every field", &authpb.ListResourcesRequest{
			ResourceType:        types.KindNode,
			Namespace:           "default",
			Limit:               1000,
			StartKey:            "next",
			Labels:              map[string]string{"env": "prod"},
			PredicateExpression: `name == "5a8d2f0e-7a35-4b57-9d9b-1c5ed28e2a6b"`,
			SearchKeywords:      []string{"db", "web"},
			NeedTotalCount:      true,
			UseSearchAsRoles:    true,
			UsePreviewAsRoles:   true,
		}},
		{"a page with a node, an application, a user group and a kind that is not declared", &authpb.ListResourcesResponse{
			Resources: []*authpb.PaginatedResource{
				{Resource: &authpb.PaginatedResource_Node{Node: &types.ServerV2{
					Kind:     types.KindNode,
					SubKind:  "sub",
					Version:  types.V2,
					Metadata: metadata("5a8d2f0e-7a35-4b57-9d9b-1c5ed28e2a6b"),
					Spec:     types.ServerSpecV2{Addr: "192.0.2.7:3022", Hostname: "db-1"},
				}}},
				{Resource: &authpb.PaginatedResource_AppServer{AppServer: &types.AppServerV3{
					Kind:     types.KindAppServer,
					SubKind:  "sub",
					Version:  types.V3,
					Metadata: metadata("grafana"),
					Spec: types.AppServerSpecV3{Hostname: "apps-1", App: &types.AppV3{
						Kind: types.KindApp, SubKind: "sub", Version: types.V3, Metadata: metadata("grafana"),
					}},
				}}},
				{Resource: &authpb.PaginatedResource_UserGroup{UserGroup: &types.UserGroupV1{
					ResourceHeader: types.ResourceHeader{
						Kind: types.KindUserGroup, SubKind: "sub", Version: types.V1, Metadata: metadata("group"),
					},
				}}},
				{Resource: &authpb.PaginatedResource_KubeCluster{KubeCluster: &types.KubernetesClusterV3{
					Kind: types.KindKubernetesCluster, Metadata: metadata("prod"),
				}}},
			},
			NextKey:    "next",
			TotalCount: 300,
		}},
		{"an empty page", &authpb.ListResourcesResponse{}},
	}
}
