package main

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// lean rewrites a well-formed message as encoders other than Go's do, prost among them: a map's entry leaves out a key or
// a value that is empty. Protobuf calls both forms the same; whether Teleport's decoder agrees is for render to find out.
func lean(descriptor protoreflect.MessageDescriptor, wire []byte) []byte {
	var out []byte
	for len(wire) > 0 {
		number, kind, tag := protowire.ConsumeTag(wire)
		end := tag + protowire.ConsumeFieldValue(number, kind, wire[tag:])
		value := wire[tag:end]
		wire = wire[end:]
		if field := descriptor.Fields().ByNumber(number); field != nil && field.Message() != nil {
			inner, _ := protowire.ConsumeBytes(value)
			value = protowire.AppendBytes(nil, lean(field.Message(), inner))
		}
		if descriptor.IsMapEntry() && bytes.Equal(value, []byte{0}) {
			continue
		}
		out = protowire.AppendTag(out, number, kind)
		out = append(out, value...)
	}
	return out
}
