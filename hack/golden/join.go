package main

import (
	authpb "github.com/gravitational/teleport/api/client/proto"
	"github.com/gravitational/teleport/api/types"
)

func joinVectors() []vector {
	return []vector{
		{"a join with a ServiceAccount token", &types.RegisterUsingTokenRequest{
			Role:         types.RoleBot,
			Token:        "slack-k8s",
			PublicTLSKey: []byte("-----BEGIN PUBLIC KEY-----\n"),
			PublicSSHKey: []byte("ecdsa-sha2-nistp256 AAAA\n"),
			IDToken:      "header.claims.signature",
		}},
		{"a bot's question for a role's certificates", &authpb.UserCertsRequest{
			PublicKey:       []byte("ecdsa-sha2-nistp256 AAAA\n"),
			Username:        "bot-slack",
			Expires:         created,
			RoleRequests:    []string{"access-plugin"},
			UseRoleRequests: true,
		}},
		{"certificates", &authpb.Certs{
			SSH:        []byte("ecdsa-sha2-nistp256-cert-v01@openssh.com AAAA"),
			TLS:        []byte("-----BEGIN CERTIFICATE-----\n"),
			TLSCACerts: [][]byte{[]byte("user"), []byte("host")},
			SSHCACerts: [][]byte{[]byte("user"), []byte("host")},
		}},
		{"the cluster's authorities", &authpb.GetClusterCACertResponse{TLSCA: []byte("-----BEGIN CERTIFICATE-----\n")}},
	}
}
