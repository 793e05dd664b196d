# Shared by the scripts under hack/: where built things are kept, and how a build is done at most once.
# shellcheck shell=bash

# Built tools live outside the tree, so that every clone and every checkout shares them.
cache_root="${SLACK_ACCESS_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/slack-access-operator}"

say() { printf '%s\n' "$*" >&2; }
die() {
  say "$(basename "$0"): $*"
  exit 1
}

need() {
  command -v "$1" >/dev/null 2>&1 || die "'$1' is needed and was not found on PATH; $2"
}

# Names a build by the content of everything it is made from, so that an edited recipe builds anew.
# usage: fingerprint FILE...
fingerprint() { cat "$@" | sha256sum | cut -c1-16; }
