package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

var (
	packageLine     = regexp.MustCompile(`(?m)^package ([\w.]+);`)
	declarationLine = regexp.MustCompile(`(?m)^(?:message|enum|service) (\w+)`)
)

// declaredNames lists the full names of what the .proto files in a folder declare at their top level; they nest nothing.
func declaredNames(folder string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.proto"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		pkg := packageLine.FindSubmatch(text)
		if pkg == nil {
			return nil, fmt.Errorf("%s: no package line", path)
		}
		for _, declaration := range declarationLine.FindAllSubmatch(text, -1) {
			names = append(names, string(pkg[1])+"."+string(declaration[1]))
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: no .proto file declares anything", folder)
	}
	sort.Strings(names)
	return names, nil
}

// describe prints each field, enum value and method below its owner, whether or not our .proto files declare it too.
func describe(upstream *protoregistry.Files, names []string) []byte {
	var table bytes.Buffer
	for _, name := range names {
		found, err := upstream.FindDescriptorByName(protoreflect.FullName(name))
		if err != nil {
			continue // newer than this line
		}
		switch found := found.(type) {
		case protoreflect.MessageDescriptor:
			fmt.Fprintf(&table, "message %s\n", name)
			for i := 0; i < found.Fields().Len(); i++ {
				field := found.Fields().Get(i)
				fmt.Fprintf(&table, "  %d %s %s %s\n", field.Number(), field.Name(), cardinality(field), kind(field))
			}
		case protoreflect.EnumDescriptor:
			fmt.Fprintf(&table, "enum %s\n", name)
			for i := 0; i < found.Values().Len(); i++ {
				value := found.Values().Get(i)
				fmt.Fprintf(&table, "  %d %s\n", value.Number(), value.Name())
			}
		case protoreflect.ServiceDescriptor:
			fmt.Fprintf(&table, "service %s\n", name)
			for i := 0; i < found.Methods().Len(); i++ {
				method := found.Methods().Get(i)
				fmt.Fprintf(&table, "  %s %s%s -> %s%s\n", method.Name(),
					stream(method.IsStreamingClient()), method.Input().FullName(),
					stream(method.IsStreamingServer()), method.Output().FullName())
			}
		}
	}
	return table.Bytes()
}

func cardinality(field protoreflect.FieldDescriptor) string {
	switch {
	case field.IsMap():
		return "map"
	case field.IsList():
		return "repeated"
	case field.HasOptionalKeyword():
		return "optional"
	case field.ContainingOneof() != nil:
		return "oneof"
	default:
		return "singular"
	}
}

func kind(field protoreflect.FieldDescriptor) string {
	switch {
	case field.IsMap():
		return fmt.Sprintf("<%s,%s>", kind(field.MapKey()), kind(field.MapValue()))
	case field.Message() != nil:
		return string(field.Message().FullName())
	case field.Enum() != nil:
		return string(field.Enum().FullName())
	default:
		return field.Kind().String()
	}
}

func stream(streaming bool) string {
	if streaming {
		return "stream "
	}
	return ""
}
