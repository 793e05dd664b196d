package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
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
		{"join", joinVectors()},
		{"watch", watchVectors()},
		{"requests", requestVectors()},
		{"plugin-data", pluginDataVectors()},
		{"people", peopleVectors()},
		{"reviews", reviewVectors()},
		{"resources", resourceVectors()},
		{"access-lists", accessListVectors()},
	}, newerSubjects()...)
}

// line is a vector as it is written down.
type line struct {
	Name    string `json:"name"`
	Message string `json:"message"`
	// The bytes as Teleport's code marshals them, and without the empty parts of map entries if it reads these as the same.
	Hex  string `json:"hex"`
	Lean string `json:"lean,omitempty"`
	// The values in the bytes, as Teleport's descriptors read them.
	Value json.RawMessage `json:"value"`
}

func render(upstream *protoregistry.Files, vectors []vector) ([]byte, error) {
	lines := make([]line, 0, len(vectors))
	for _, vector := range vectors {
		line, err := write(upstream, vector)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", vector.name, err)
		}
		lines = append(lines, line)
	}
	text, err := json.MarshalIndent(lines, "", " ")
	return append(text, '\n'), err
}

func write(upstream *protoregistry.Files, vector vector) (line, error) {
	name, wire, err := marshal(vector.message)
	if err != nil {
		return line{}, err
	}
	found, err := upstream.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return line{}, fmt.Errorf("%s: %w", name, err)
	}
	descriptor, ok := found.(protoreflect.MessageDescriptor)
	if !ok {
		return line{}, fmt.Errorf("%s is no message", name)
	}
	values := dynamicpb.NewMessage(descriptor)
	if err := proto.Unmarshal(wire, values); err != nil {
		return line{}, err
	}
	value, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(values)
	if err != nil {
		return line{}, err
	}
	written := line{Name: vector.name, Message: name, Hex: hex.EncodeToString(wire), Value: value}
	if lean := lean(descriptor, wire); !bytes.Equal(lean, wire) {
		same, err := readsAs(vector.message, lean, wire)
		if err != nil {
			return line{}, err
		}
		if same {
			written.Lean = hex.EncodeToString(lean)
		}
	}
	return written, nil
}

// readsAs says whether Teleport's own type, read from other bytes, is written as wire.
func readsAs(message any, other, wire []byte) (bool, error) {
	fresh := reflect.New(reflect.TypeOf(message).Elem()).Interface()
	var err error
	switch fresh := fresh.(type) {
	case proto.Message:
		err = proto.Unmarshal(other, fresh)
	case gogo.Message:
		err = gogo.Unmarshal(other, fresh)
	}
	if err != nil {
		return false, err
	}
	_, again, err := marshal(fresh)
	return bytes.Equal(again, wire), err
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
