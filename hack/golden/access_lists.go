package main

import (
	"time"

	accesslistv1 "github.com/gravitational/teleport/api/gen/proto/go/teleport/accesslist/v1"
	traitv1 "github.com/gravitational/teleport/api/gen/proto/go/teleport/trait/v1"
	"github.com/gravitational/teleport/api/types"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func accessListVectors() []vector {
	undeclared := accessList()
	undeclared.Spec.Audit.Recurrence = &accesslistv1.Recurrence{Frequency: accesslistv1.ReviewFrequency_REVIEW_FREQUENCY_SIX_MONTHS}
	return []vector{
		{"an access list", accessList()},
		{"an access list with what is not declared", undeclared},
		{"a question for all access lists", &accesslistv1.GetAccessListsRequest{}},
		{"all access lists", &accesslistv1.GetAccessListsResponse{AccessLists: []*accesslistv1.AccessList{accessList(), {}}}},
		{"a question for a page of access lists", &accesslistv1.ListAccessListsRequest{PageSize: 100, NextToken: "next"}},
		{"a question for an access list", &accesslistv1.GetAccessListRequest{Name: "dba-list"}},
		{"a page of access lists", &accesslistv1.ListAccessListsResponse{
			AccessLists: []*accesslistv1.AccessList{accessList()}, NextToken: "next",
		}},
	}
}

func accessList() *accesslistv1.AccessList {
	traits := []*traitv1.Trait{{Key: "team", Values: []string{"databases"}}}
	return &accesslistv1.AccessList{
		Header: resourceHeader(types.KindAccessList, "dba-list"),
		Spec: &accesslistv1.AccessListSpec{
			Title:       "Database people",
			Description: "who may touch the databases",
			Owners:      []*accesslistv1.AccessListOwner{{Name: "bob@example.com", Description: "team lead"}, {Name: "carol@example.com"}},
			Audit: &accesslistv1.AccessListAudit{
				NextAuditDate: timestamppb.New(expires),
				Notifications: &accesslistv1.Notifications{Start: durationpb.New(14*24*time.Hour + 500*time.Millisecond)},
			},
			MembershipRequires: &accesslistv1.AccessListRequires{Roles: []string{"access"}, Traits: traits},
			OwnershipRequires:  &accesslistv1.AccessListRequires{},
			Grants:             &accesslistv1.AccessListGrants{Roles: []string{"dba"}, Traits: traits},
		},
	}
}
