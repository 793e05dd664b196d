#!/usr/bin/env bash
# Runs cargo-deny: the one on PATH, or one built once into the cache. Looks at the platforms of deny.toml alone, whose crates a
# build has fetched already: once it is built, it needs no network.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/lib.sh
. "$here/lib.sh"

version=0.20.2
need cargo "install Rust from https://rustup.rs"
if ! deny=$(command -v cargo-deny 2>/dev/null); then
  root="$cache_root/cargo-deny-$version"
  deny="$root/bin/cargo-deny"
  if ! [ -x "$deny" ]; then
    say "building cargo-deny $version into $root (a few minutes, once) …"
    cargo install cargo-deny --locked --version "$version" --root "$root" >&2
  fi
fi

cd "$here/.."
platforms=()
while read -r platform; do platforms+=(--filter-platform "$platform"); done < <(sed -n 's/^targets = //p' deny.toml | grep -o '[a-z0-9_-]*-linux-[a-z]*')
[ ${#platforms[@]} -gt 0 ] || die "deny.toml names no targets"
metadata=$(mktemp)
trap 'rm -f "$metadata"' EXIT
cargo metadata --locked --all-features --format-version 1 "${platforms[@]}" >"$metadata"
"$deny" --metadata-path "$metadata" "$@"
