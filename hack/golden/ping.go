package main

import authpb "github.com/gravitational/teleport/api/client/proto"

func pingVectors() []vector {
	return []vector{
		{"a ping", &authpb.PingRequest{}},
		{"an Enterprise server's answer", &authpb.PingResponse{
			ClusterName:     "example.com",
			ServerVersion:   "14.2.3",
			ServerFeatures:  &authpb.Features{AccessControls: true, AdvancedAccessWorkflows: true, Cloud: true},
			ProxyPublicAddr: "teleport.example.com:443",
			IsBoring:        true,
			RemoteAddr:      "192.0.2.7:51234",
			LoadAllCAs:      true,
		}},
		{"an open-source server's answer with features that nobody asked for", &authpb.PingResponse{
			ClusterName:    "example.com",
			ServerVersion:  "14.2.3",
			ServerFeatures: &authpb.Features{Kubernetes: true, App: true, DB: true, Desktop: true},
		}},
	}
}
