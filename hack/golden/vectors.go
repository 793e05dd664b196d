package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	gogo "github.com/gogo/protobuf/proto"
	"github.com/gravitational/teleport/api/types"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// subject is one file of vectors.
type subject struct {
	name    string
	vectors []vector
}

// vector is a message of one of Teleport's own Go types, with a name that says what it stands for.
// A map in it has one entry at most: Go marshals maps in random order.
type vector struct {
	name    string
	message any
}

func subjects() []subject {
	return append([]subject{
		{"ping", pingVectors()},
		{"watch", watchVectors()},
		{"requests", requestVectors()},
		{"plugin-data", pluginDataVectors()},
		{"people", peopleVectors()},
		{"resources", resourceVectors()},
		{"access-lists", accessListVectors()},
	}, newerSubjects()...)
}

// render gives the bytes as Teleport's code marshals them, and their values as Teleport's descriptors read them.
func render(upstream *protoregistry.Files, vectors []vector) ([]byte, error) {
	type line struct {
		Name    string          `json:"name"`
		Message string          `json:"message"`
		Hex     string          `json:"hex"`
		Value   json.RawMessage `json:"value"`
	}
	lines := make([]line, 0, len(vectors))
	for _, vector := range vectors {
		name, wire, err := marshal(vector.message)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", vector.name, err)
		}
		value, err := read(upstream, name, wire)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", vector.name, err)
		}
		lines = append(lines, line{vector.name, name, hex.EncodeToString(wire), value})
	}
	text, err := json.MarshalIndent(lines, "", " ")
	return append(text, '\n'), err
}

func marshal(message any) (name string, wire []byte, err error) {
	switch message := message.(type) {
	case proto.Message:
		wire, err = proto.MarshalOptions{Deterministic: true}.Marshal(message)
		return string(message.ProtoReflect().Descriptor().FullName()), wire, err
	case gogo.Message:
		wire, err = gogo.Marshal(message)
		return gogo.MessageName(message), wire, err
	default:
		return "", nil, fmt.Errorf("%T is no message", message)
	}
}

func read(upstream *protoregistry.Files, name string, wire []byte) (json.RawMessage, error) {
	descriptor, err := upstream.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	message := dynamicpb.NewMessage(descriptor.(protoreflect.MessageDescriptor))
	if err := proto.Unmarshal(wire, message); err != nil {
		return nil, err
	}
	return protojson.MarshalOptions{UseProtoNames: true}.Marshal(message)
}

// ---- what several subjects use

var (
	created = time.Date(2024, time.May, 6, 7, 8, 9, 123456789, time.UTC)
	expires = time.Date(2024, time.May, 6, 19, 8, 9, 0, time.UTC)
)

const requestID = "018f4c1e-6d2a-7cc3-9a51-3f0d5c1b7e42"

func metadata(name string) types.Metadata {
	return types.Metadata{
		Name:        name,
		Namespace:   "default",
		Description: "described",
		Labels:      map[string]string{"env": "prod"},
		Expires:     &expires,
		Revision:    "2f6b1a50-77a4-4b9e-8a53-cb8b7f1f0c3e",
	}
}
