#!/usr/bin/env bash
# Runs cargo-deny: the one on PATH, or one built once into the cache.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/lib.sh
. "$here/lib.sh"

version=0.20.2
if command -v cargo-deny >/dev/null 2>&1; then
  exec cargo-deny "$@"
fi
root="$cache_root/cargo-deny-$version"
if ! [ -x "$root/bin/cargo-deny" ]; then
  need cargo "install Rust from https://rustup.rs"
  say "building cargo-deny $version into $root (a few minutes, once) …"
  cargo install cargo-deny --locked --version "$version" --root "$root" >&2
fi
exec "$root/bin/cargo-deny" "$@"
