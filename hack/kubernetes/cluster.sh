#!/usr/bin/env bash
# A whole Kubernetes node for the end-to-end tests: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, containerd,
# kubelet and kube-proxy, in network, mount and process namespaces of their own. Needs root on Linux and no registry.
#
# usage: cluster.sh up [--owner PID]       starts one and prints the path of its kubeconfig; with --owner it ends when PID does
#        cluster.sh load CLUSTER FILE…     imports images (OCI archives)
#        cluster.sh stop CLUSTER PART      takes one part away (etcd, kube-apiserver, kubelet, …) …
#        cluster.sh start CLUSTER PART     … and brings it back
#        cluster.sh enter CLUSTER CMD…     runs a command inside the node (`ctr -n k8s.io containers list`)
#        cluster.sh down CLUSTER|all       ends it and removes everything it made
#
# CLUSTER is the folder of the kubeconfig. Exit status 77: this machine cannot run a node; the message says why.
#
# The namespaces make the end complete: when the node's first process dies, the kernel kills every other one in it, and mounts,
# interfaces and firewall rules go with the last. What the kernel does not undo (control groups, the machine-wide sysctls that
# kubelet sets, the folder) is undone by the supervisor, or, if somebody killed that too, by the next `up` or `down all`.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/lib.sh
. "$here/../lib.sh"

clusters=${TMPDIR:-/tmp}/slack-access-clusters

# What kubelet changes although it belongs to the whole machine.
machine_sysctls=(vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys kernel.keys.root_maxbytes)

cannot() {
  say "no node on this machine: $*"
  exit 77
}

# --- is it possible here? -------------------------------------------------------------------------------------------------

preflight() {
  [ "$(uname -s)" = Linux ] || cannot "a kubelet needs Linux"
  [ "$(id -u)" = 0 ] || cannot "a kubelet needs root; run it as root"
  # tool:Debian package
  local tool missing=() packages=()
  for tool in containerd:containerd ctr:containerd runc:runc iptables:iptables ip:iproute2 nsenter:util-linux setpriv:util-linux openssl:openssl flock:util-linux; do
    command -v "${tool%%:*}" >/dev/null || { missing+=("${tool%%:*}") && packages+=("${tool##*:}"); }
  done
  cni_plugins >/dev/null || { missing+=("the CNI plugins ptp and host-local") && packages+=(containernetworking-plugins); }
  if [ ${#missing[@]} -gt 0 ]; then
    command -v apt-get >/dev/null || cannot "missing: ${missing[*]}"
    say "installing ${packages[*]} …"
    # policy-rc.d: the packages' own services stay off.
    { apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${packages[@]}"; } >&2 ||
      cannot "missing: ${missing[*]}, and apt-get could not install ${packages[*]}"
  fi
  unshare --net --mount --pid --fork true 2>/dev/null || cannot "the kernel refuses new network, mount and process namespaces"
  [ -d /sys/fs/cgroup/memory ] || grep -qw memory /sys/fs/cgroup/cgroup.controllers 2>/dev/null || cannot "no memory control group at /sys/fs/cgroup"
}

cni_plugins() {
  local folder
  for folder in /opt/cni/bin /usr/lib/cni /usr/libexec/cni; do
    [ -x "$folder/ptp" ] && [ -x "$folder/host-local" ] && { printf '%s' "$folder"; return; }
  done
  return 1
}

# The pod sandbox's process: holds the namespaces, does nothing, ends when told. Prints its path.
pause_binary() {
  local file
  file=$cache_root/pause-$(fingerprint "$here/pause.go")
  [ -x "$file" ] || { CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$file.$$" "$here/pause.go" && mv "$file.$$" "$file"; }
  printf '%s' "$file"
}

# --- what the kernel does not undo ----------------------------------------------------------------------------------------

# One at a time; the lock is on this folder, so that no file stays behind.
locked() { flock "$here" "$@"; }

alive() { [ -n "${1:-}" ] && [ -d "/proc/$1" ] && [ "$(sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null)" != Z ]; }

save_sysctls() {
  [ -e "$clusters/sysctls" ] || sysctl "${machine_sysctls[@]}" 2>/dev/null >"$clusters/sysctls" || true
}

cgroup_roots() {
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    printf '%s\n' /sys/fs/cgroup
  else
    find /sys/fs/cgroup -mindepth 1 -maxdepth 1 -type d
  fi
}

make_cgroups() { # NAME
  local root file
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    tr ' ' '\n' </sys/fs/cgroup/cgroup.controllers | while read -r file; do
      echo "+$file" >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || true
    done
  fi
  cgroup_roots | while read -r root; do
    mkdir -p "$root/$1"
    # Version 1 leaves these empty, and no process can be moved into such a group.
    for file in cpuset.cpus cpuset.mems; do
      if [ -e "$root/$1/$file" ] && [ -e "$root/$file" ]; then cat "$root/$file" >"$root/$1/$file"; fi
    done
  done
}

remove_cgroups() { # NAME
  local root tries
  for tries in $(seq 50); do
    cgroup_roots | while read -r root; do
      [ ! -d "$root/$1" ] || find "$root/$1" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
    cgroup_roots | while read -r root; do [ ! -d "$root/$1" ] || exit 1; done && return
    sleep 0.1 # the kernel lets go of a killed process's group a little later
  done
  say "control groups named $1 stay behind under /sys/fs/cgroup after $tries tries"
}

# Ends whatever is left of a cluster. Safe to repeat.
clean() { # CLUSTER
  local cluster=$1 node
  node=$(cat "$cluster/node.pid" 2>/dev/null || true)
  if alive "$node"; then
    kill -KILL "$node" 2>/dev/null || true
    while alive "$node"; do sleep 0.05; done
  fi
  remove_cgroups "$(basename "$cluster")"
  rm -rf "$cluster"
  if [ -z "$(find "$clusters" -mindepth 1 -maxdepth 1 -type d)" ]; then
    [ ! -s "$clusters/sysctls" ] || sysctl -q -p "$clusters/sysctls" >/dev/null
    rm -rf "$clusters"
  fi
}

# --- commands -------------------------------------------------------------------------------------------------------------

up() {
  local owner=
  [ "${1:-}" = --owner ] && owner=$2
  preflight
  local bin pause
  bin=$("$here/build.sh" node)
  pause=$(pause_binary)
  locked "$0" sweep

  mkdir -p "$clusters"
  local cluster began=$EPOCHREALTIME
  cluster=$(mktemp -d "$clusters/sao-XXXXXX")
  mkdir "$cluster/log" "$cluster/pid" "$cluster/stopped" "$cluster/images"
  "$here/../image.sh" --binary "$pause" --name localhost/pause:1 --output "$cluster/images/pause.tar" --bare >/dev/null
  printf '%s' "$bin" >"$cluster/bin"
  cni_plugins >"$cluster/cni-plugins"

  setsid "$0" supervise "$cluster" "$owner" </dev/null >"$cluster/log/supervisor" 2>&1 &
  local tries
  for tries in $(seq 1200); do
    [ ! -e "$cluster/ready" ] || break
    if [ -e "$cluster/failed" ] || [ ! -d "$cluster" ]; then break; fi
    sleep 0.1
  done
  if [ ! -e "$cluster/ready" ]; then
    say "the node did not become ready ($((tries / 10)) s); the end of its logs:"
    find "$cluster/log" -type f ! -name audit -exec tail -n 5 {} + >&2 || true
    down "$cluster"
    die "the node did not become ready"
  fi
  say "node ready after $(awk "BEGIN {printf \"%.1f\", $EPOCHREALTIME - $began}") s: $cluster"
  printf '%s\n' "$cluster/kubeconfig"
}

supervise() { # CLUSTER OWNER
  local cluster=$1 owner=$2 id
  id=$(basename "$cluster")
  echo $$ >"$cluster/supervisor.pid"
  trap 'exit 143' TERM INT HUP
  # shellcheck disable=SC2064 # expanded now: at the exit the local variable is gone
  trap "locked '$0' clean '$cluster'" EXIT
  locked "$0" save-sysctls
  make_cgroups "$id"

  # Dies with this process (setpriv) and takes everything in the process namespace along (--kill-child).
  setpriv --pdeathsig KILL unshare --net --mount --pid --fork --kill-child --mount-proc --propagation private \
    "$here/node.sh" "$cluster" >"$cluster/log/node" 2>&1 &
  local unshare=$! node=
  while alive $unshare && [ -z "$node" ]; do
    read -r node _ <"/proc/$unshare/task/$unshare/children" || sleep 0.02
  done
  echo "$node" >"$cluster/node.pid"

  # A point-to-point link is all that joins the node to the machine. Two addresses at this end, so that a test can put two
  # servers on port 443; pods ask the first one for names (UDP port 53).
  local net
  net=10.213.$(free_network)
  ip link add "${id: -6}" type veth peer name eth0 netns "$node"
  ip addr add "$net.1/29" dev "${id: -6}"
  ip addr add "$net.3/29" dev "${id: -6}"
  ip link set "${id: -6}" up
  printf '%s\n' "$net.1" "$net.3" >"$cluster/host-addresses"
  printf '%s' "$net.2" >"$cluster/node-address"

  while alive $unshare; do
    [ -z "$owner" ] || alive "$owner" || break
    sleep 0.3
  done
  [ -e "$cluster/ready" ] || { touch "$cluster/failed" && sleep 1; }
}

free_network() {
  local n
  for n in $(shuf -i 1-254); do
    ip -4 -o addr show | grep -q " 10\.213\.$n\." || { printf '%s' "$n"; return; }
  done
  die "no free network in 10.213.0.0/16"
}

down() { # CLUSTER|all
  local cluster supervisor
  if [ "$1" = all ]; then
    for cluster in "$clusters"/sao-*; do [ ! -d "$cluster" ] || down "$cluster"; done
    return
  fi
  cluster=$(folder "$1")
  supervisor=$(cat "$cluster/supervisor.pid" 2>/dev/null || true)
  if alive "$supervisor"; then
    kill -TERM "$supervisor" 2>/dev/null || true
    while alive "$supervisor"; do sleep 0.05; done
  fi
  [ ! -d "$cluster" ] || locked "$0" clean "$cluster"
}

# Removes what clusters left whose supervisor is gone.
sweep() {
  local cluster
  for cluster in "$clusters"/sao-*; do
    [ -d "$cluster" ] || continue
    alive "$(cat "$cluster/supervisor.pid" 2>/dev/null)" && continue
    # One that is just being made has no supervisor yet.
    [ -e "$cluster/supervisor.pid" ] || [ -n "$(find "$cluster" -maxdepth 0 -mmin +5)" ] || continue
    say "removing what is left of $cluster"
    clean "$cluster"
  done
}

enter() { # CLUSTER COMMAND…
  local node
  node=$(cat "$(folder "$1")/node.pid")
  nsenter --target "$node" --net --mount --pid -- "${@:2}"
}

stop_part() { # CLUSTER PART
  local cluster
  cluster=$(folder "$1")
  [ -e "$cluster/pid/$2" ] || die "no part named '$2'; there are: $(find "$cluster/pid" -type f -printf '%f ')"
  touch "$cluster/stopped/$2"
  enter "$cluster" kill -KILL "$(cat "$cluster/pid/$2")"
}

start_part() { # CLUSTER PART
  rm -f "$(folder "$1")/stopped/$2"
}

load() { # CLUSTER FILE…
  local file
  for file in "${@:2}"; do
    enter "$1" ctr -n k8s.io images import --no-unpack "/dev/stdin" <"$file" >&2
  done
}

# A cluster may be named by its kubeconfig too.
folder() {
  local cluster=$1
  [ -d "$cluster" ] || cluster=$(dirname "$cluster")
  [ -d "$cluster" ] || die "no cluster at $1"
  printf '%s' "$cluster"
}

case "${1:-}" in
up) up "${@:2}" ;;
down) down "${2:?which cluster? its folder, or all}" ;;
load) load "${@:2}" ;;
stop) stop_part "$2" "$3" ;;
start) start_part "$2" "$3" ;;
enter) enter "${@:2}" ;;
supervise) supervise "$2" "$3" ;;
clean) clean "$2" ;;
sweep) sweep ;;
save-sysctls) save_sysctls ;;
*) die "unknown command '${1:-}'; see the head of this file" ;;
esac
