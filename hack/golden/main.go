// Command golden writes what Teleport's own Go API module says about the wire format, as test data for the Rust side:
//
//   - vectors: messages marshalled by Teleport's code, as bytes and as the values that Teleport's descriptors see in them;
//   - descriptors.txt: number, name, type and cardinality of everything in Teleport's API that proto/ declares a part of.
//
// It is built once per line of Teleport's API (go.mod: 14.2.3; go.v17.mod with the build tag v17) by generate.sh.
package main

import (
	"flag"
	"log"
	"os"
	"path/filepath"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("golden: ")
	protos := flag.String("protos", "proto/teleport", "folder of the .proto files whose messages and services are described")
	out := flag.String("out", "", "folder to write to")
	flag.Parse()
	if *out == "" {
		log.Fatal("-out is needed")
	}
	if err := run(*protos, *out); err != nil {
		log.Fatal(err)
	}
}

func run(protos, out string) error {
	upstream, err := loadUpstream()
	if err != nil {
		return err
	}
	names, err := declaredNames(protos)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, "descriptors.txt"), describe(upstream, names), 0o644); err != nil {
		return err
	}
	for _, subject := range subjects() {
		text, err := render(upstream, subject.vectors)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(out, subject.name+".json"), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
