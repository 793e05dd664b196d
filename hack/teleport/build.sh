#!/usr/bin/env bash
# Builds the real Teleport 14.2.3 for tests (`teleport`, `tctl`) and, for the benchmark, the official Slack plugin
# of the same release, from Teleport's own Go modules: once, cached outside the tree. Prints the folder of the binaries.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/lib.sh
. "$here/../lib.sh"

release=v0.0.0-20231214223850-22e50b45420e # 14.2.3
module=github.com/gravitational/teleport
bin="$cache_root/teleport-14.2.3-$(fingerprint "$here/build.sh" "$here"/*/main.go)"
[ -x "$bin/done" ] && { printf '%s\n' "$bin"; exit 0; }

need go "install Go 1.21 or newer"
need gcc "install the C compiler (Debian: apt-get install gcc libc6-dev); Teleport's sqlite backend needs it"
say "building Teleport 14.2.3 for tests into $bin (12 to 15 minutes on two cores, once) …"

mkdir -p "$cache_root"
work=$(mktemp -d "$cache_root/teleport-build.XXXXXX")
trap 'rm -rf "$work"' EXIT
cp -r "$here/server" "$here/plugin" "$work/"
cd "$work"

printf 'module testteleport\n\ngo 1.21\n' >go.mod
dir=$(go mod download -json "$module@$release" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
{
  printf 'module testteleport\n\ngo 1.21\n\nrequire (\n\t%s %s\n\t%s/api %s\n)\n\n' "$module" "$release" "$module" "$release"
  # Teleport's own replacements, but: its API from the module proxy instead of a folder, and without
  # go-libfido2, which is not compiled here and whose replacement the checksum database does not know.
  sed -n '/^replace (/,/^)/p' "$dir/go.mod" |
    sed -e '/go-libfido2/d' -e "s#$module/api => ./api#$module/api => $module/api $release#"
} >go.mod
cp "$dir/go.sum" go.sum

# Go 1.23's linker refuses the reach into the runtime that one of Teleport's dependencies needs.
flags=(-mod=mod -trimpath "-ldflags=-s -w -checklinkname=0")
mkdir out
go build "${flags[@]}" -o out/teleport ./server
go build "${flags[@]}" -o out/tctl "$module/tool/tctl"
go build "${flags[@]}" -o out/official-plugin ./plugin
install -m 0755 /dev/null out/done

rm -rf "$bin"
mv out "$bin" 2>/dev/null || [ -x "$bin/done" ] # another build may have finished first
printf '%s\n' "$bin"
