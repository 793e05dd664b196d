#!/usr/bin/env bash
# Builds the conversation with Teleport's own Go client (main.go), in both lines of its API: once, cached outside the tree.
# Prints the folder of the binaries `v14` and `v17`.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/lib.sh
. "$here/../lib.sh"

bin="$cache_root/teleport-client-$(fingerprint "$here"/build.sh "$here"/*.go "$here"/*.mod)"
[ -x "$bin/done" ] && { printf '%s\n' "$bin"; exit 0; }

need go "install Go 1.23 or newer"
say "building Teleport's own client for tests into $bin (some minutes, once) …"
mkdir -p "$cache_root"
out=$(mktemp -d "$cache_root/client-build.XXXXXX")
trap 'rm -rf "$out"' EXIT
cd "$here"
go build -modfile=go.mod -o "$out/v14" .
go build -modfile=go.v17.mod -tags=v17 -o "$out/v17" .
install -m 0755 /dev/null "$out/done"
mv -T "$out" "$bin" 2>/dev/null || [ -x "$bin/done" ] # another build may have finished first
printf '%s\n' "$bin"
