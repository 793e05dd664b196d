#!/usr/bin/env bash
# Runs a command beside a real Teleport of its own, in a throw-away folder, and takes both away afterwards, however the
# command ends. The command finds TELEPORT_CLUSTER_ENV in its environment: the file that start.sh describes.
#
# usage: with.sh [start.sh's options] -- COMMAND [ARGUMENT…]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/lib.sh
. "$here/../lib.sh"

options=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do options+=("$1") && shift; done
[ $# -ge 2 ] || die "usage: with.sh [start.sh's options] -- COMMAND [ARGUMENT…]"
shift

"$here/build.sh" >/dev/null # may take long, and says so; the start itself is bounded
dir=$(mktemp -d "${TMPDIR:-/tmp}/teleport-with.XXXXXX")
pid='' work=''
finish() {
  status=$?
  trap - EXIT TERM INT HUP
  for child in $work $pid; do
    kill "$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
  done
  rm -rf "$dir"
  exit "$status"
}
trap finish EXIT
trap 'exit 143' TERM INT HUP

# If this script is killed outright, Teleport ends too.
guard=()
if command -v setpriv >/dev/null; then guard=(setpriv --pdeathsig TERM); fi
"${guard[@]}" "$here/start.sh" "$dir" "${options[@]}" >/dev/null </dev/null &
pid=$!
until [ -f "$dir/cluster.env" ]; do
  kill -0 "$pid" 2>/dev/null || die "Teleport did not start"
  sleep 0.1
done

TELEPORT_CLUSTER_ENV="$dir/cluster.env" "$@" <&0 &
work=$!
wait "$work"
