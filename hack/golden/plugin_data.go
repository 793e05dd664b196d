package main

import (
	authpb "github.com/gravitational/teleport/api/client/proto"
	"github.com/gravitational/teleport/api/types"
)

const plugin = "slack"

func pluginDataVectors() []vector {
	const channel = "C0123456789/1714979289.123456"
	return []vector{
		{"a question for all plugin data", &types.PluginDataFilter{Kind: types.KindAccessRequest, Plugin: plugin}},
		{"a question for one request's plugin data", &types.PluginDataFilter{
			Kind: types.KindAccessRequest, Resource: requestID, Plugin: plugin,
		}},
		{"no plugin data", &authpb.PluginDataSeq{}},
		{"plugin data of two requests", &authpb.PluginDataSeq{PluginData: []*types.PluginDataV3{
			pluginData(requestID, &types.PluginDataEntry{Data: map[string]string{"messages": channel}}),
			pluginData("another", &types.PluginDataEntry{Data: map[string]string{"user": "alice@example.com"}}),
		}}},
		{"plugin data with nothing left in it", &authpb.PluginDataSeq{PluginData: []*types.PluginDataV3{
			pluginData(requestID, &types.PluginDataEntry{}),
		}}},
		{"a swap of plugin data", &types.PluginDataUpdateParams{
			Kind:     types.KindAccessRequest,
			Resource: requestID,
			Plugin:   plugin,
			Set:      map[string]string{"messages": channel},
			Expect:   map[string]string{"messages": ""},
		}},
		{"a removal of a key, by setting it to nothing", &types.PluginDataUpdateParams{
			Kind: types.KindAccessRequest, Resource: requestID, Plugin: plugin, Set: map[string]string{"messages": ""},
		}},
	}
}

func pluginData(id string, entry *types.PluginDataEntry) *types.PluginDataV3 {
	return &types.PluginDataV3{
		Kind:     types.KindPluginData,
		SubKind:  types.KindAccessRequest,
		Version:  types.V3,
		Metadata: metadata(id),
		Spec:     types.PluginDataSpecV3{Entries: map[string]*types.PluginDataEntry{plugin: entry}},
	}
}
