#!/usr/bin/env bash
# Writes tests/golden/wire anew with Teleport's own Go API module, in both lines that we speak to.
# usage: generate.sh [--check]     --check writes nothing, and fails when the committed files are not what would be written
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/lib.sh
. "$here/../lib.sh"

need go "install Go 1.23 or newer"
golden="$here/../../tests/golden/wire"
new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT

cd "$here"
say "asking Teleport's API for golden vectors (the first build takes some minutes) …"
go run -modfile=go.mod . -protos ../../proto/teleport -out "$new/v14"
go run -modfile=go.v17.mod -tags=v17 . -protos ../../proto/teleport -out "$new/v17"

if [ "${1-}" = --check ]; then
  diff -r "$golden" "$new" >&2 || die "tests/golden/wire is out of date: run hack/golden/generate.sh"
else
  rm -rf "$golden"
  mkdir -p "$golden"
  cp -r "$new"/. "$golden"
fi
