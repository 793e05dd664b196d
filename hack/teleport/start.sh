#!/usr/bin/env bash
# Runs the real Teleport (Auth and Proxy in one process) on loopback for tests, in the foreground, until SIGTERM or
# SIGINT, and takes everything down with it. When it is ready it writes DIR/cluster.env and prints it;
# DIR/tctl is a tctl for this cluster.
#
# usage: start.sh DIR [--mode multiplex|separate] [--cluster NAME]
#                     [--auth-port N] [--web-port N] [--tunnel-port N] [--ssh-port N]
#
#   DIR          throw-away folder for data, certificates, configuration and log; made if it is not there.
#                Started again on the same folder, it is the same cluster on the same ports.
#   --mode       multiplex: the Proxy has one port and routes by TLS (default).
#                separate: no TLS routing; the SSH tunnel has a port of its own.
#
# Ports that are not given are chosen at random among the free ones. Everything is bounded: ready within 60 s or an
# error with the end of the log.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/lib.sh
. "$here/../lib.sh"

usage() { die "usage: start.sh DIR [--mode multiplex|separate] [--cluster NAME] [--auth-port N] [--web-port N] [--tunnel-port N] [--ssh-port N]"; }

[ $# -ge 1 ] || usage
dir=$1 && shift
case $dir in -*) usage ;; esac
mode='' cluster='' auth_port='' web_port='' tunnel_port='' ssh_port=''
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || usage
  case $1 in
  --mode) mode=$2 ;;
  --cluster) cluster=$2 ;;
  --auth-port) auth_port=$2 ;;
  --web-port) web_port=$2 ;;
  --tunnel-port) tunnel_port=$2 ;;
  --ssh-port) ssh_port=$2 ;;
  *) usage ;;
  esac
  shift 2
done

need openssl "install it (Debian: apt-get install openssl)"
need curl "install it (Debian: apt-get install curl)"
bin=$("$here/build.sh")
mkdir -p "$dir"
chmod 0700 "$dir"
dir=$(cd "$dir" && pwd)
log=$dir/teleport.log

# The same folder is the same cluster: what is not asked for stays as it was.
remembered() { [ ! -f "$dir/settings" ] || sed -n "s/^$1=//p" "$dir/settings"; }
mode=${mode:-$(remembered mode)} mode=${mode:-multiplex}
cluster=${cluster:-$(remembered cluster)} cluster=${cluster:-test.cluster}
case $mode in multiplex | separate) ;; *) usage ;; esac

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
taken=' '
# Below the range that systems take outgoing ports from.
free_port() {
  local port
  for _ in {1..100}; do
    port=$((10000 + RANDOM % 22000))
    case $taken in *" $port "*) continue ;; esac
    listening "$port" || { chosen=$port taken+="$port " && return; }
  done
  die "no free port found"
}
# usage: settle NAME: a given port, a remembered one, or a free one
settle() {
  local value=${!1}
  value=${value:-$(remembered "$1")}
  if [ -z "$value" ]; then
    free_port
    value=$chosen
  fi
  printf -v "$1" %s "$value"
}
random_ports=no
[ -n "$auth_port$web_port$tunnel_port$ssh_port" ] || [ -f "$dir/settings" ] || random_ports=yes

# The Proxy's web certificate, from an authority that nobody else trusts.
make_certificates() {
  [ -f "$dir/web.crt" ] && return
  {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=test web authority" \
      -keyout "$dir/web-ca.key" -out "$dir/web-ca.crt"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=localhost" \
      -keyout "$dir/web.key" -out "$dir/web.csr"
    openssl x509 -req -in "$dir/web.csr" -CA "$dir/web-ca.crt" -CAkey "$dir/web-ca.key" -CAcreateserial -days 30 \
      -extfile <(printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n') \
      -out "$dir/web.crt.new"
  } 2>>"$log"
  mv "$dir/web.crt.new" "$dir/web.crt"
}

configure() {
  local separate=''
  if [ "$mode" = separate ]; then
    separate="
  listen_addr: 127.0.0.1:$ssh_port
  tunnel_listen_addr: 127.0.0.1:$tunnel_port"
  fi
  cat >"$dir/teleport.yaml" <<YAML
version: v3
teleport:
  nodename: test
  data_dir: $dir/data
  log: {output: stderr, severity: INFO}
  storage: {type: sqlite, path: $dir/data/backend, poll_stream_period: 100000000}
auth_service:
  enabled: true
  cluster_name: $cluster
  listen_addr: 127.0.0.1:$auth_port
  proxy_listener_mode: $mode
  authentication: {type: local, second_factor: "off"}
proxy_service:
  enabled: true
  web_listen_addr: 127.0.0.1:$web_port$separate
  https_keypairs: [{key_file: $dir/web.key, cert_file: $dir/web.crt}]
ssh_service: {enabled: false}
YAML
  printf '%s\n' "mode=$mode" "cluster=$cluster" "auth_port=$auth_port" "web_port=$web_port" \
    "tunnel_port=$tunnel_port" "ssh_port=$ssh_port" "diag_port=$diag_port" >"$dir/settings"
}

pid=''
stop() {
  trap - EXIT TERM INT HUP
  rm -f "$dir/cluster.env"
  if [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; then
    # SIGINT is Teleport's quick stop; SIGTERM waits for connections to end.
    kill -INT "$pid" 2>/dev/null || true
    for _ in {1..50}; do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  fi
  exit "${1:-0}"
}
trap 'stop 1' EXIT
trap 'stop 0' TERM INT HUP

# If this script is killed outright, the kernel ends Teleport.
guard=()
if command -v setpriv >/dev/null; then guard=(setpriv --pdeathsig KILL); fi

launch() {
  # Nothing leaves the machine: the release check and the like run into a closed port.
  HTTP_PROXY=http://127.0.0.1:1 HTTPS_PROXY=http://127.0.0.1:1 NO_PROXY="127.0.0.1,localhost,$cluster" \
    SSL_CERT_FILE="$dir/web-ca.crt" \
    "${guard[@]}" "$bin/teleport" start --config="$dir/teleport.yaml" --diag-addr="127.0.0.1:$diag_port" \
    >>"$log" 2>&1 </dev/null &
  pid=$!
}

ready() { curl --noproxy '*' --silent --fail --max-time 2 --output /dev/null "http://127.0.0.1:$diag_port/readyz"; }

diag_port=''
make_certificates
for attempt in 1 2 3; do
  for name in auth_port web_port tunnel_port ssh_port diag_port; do settle "$name"; done
  configure
  launched_at=$(wc -c <"$log" 2>/dev/null || echo 0)
  launch
  for _ in {1..300}; do
    kill -0 "$pid" 2>/dev/null || break
    ready && break 2
    sleep 0.2
  done
  if kill -0 "$pid" 2>/dev/null; then
    tail -n 20 "$log" >&2
    die "Teleport was not ready within 60 s; its log is $log"
  fi
  # Somebody else was quicker to take a port that looked free.
  if [ "$random_ports" = yes ] && [ "$attempt" -lt 3 ] &&
    tail -c "+$((launched_at + 1))" "$log" | grep -q 'address already in use'; then
    rm -f "$dir/settings"
    auth_port='' web_port='' tunnel_port='' ssh_port='' diag_port=''
    continue
  fi
  tail -n 20 "$log" >&2
  die "Teleport ended before it was ready; its log is $log"
done

tunnel=$tunnel_port
[ "$mode" = separate ] || tunnel=$web_port
# tctl asks the Proxy too when it signs an identity, and then wants to trust its web certificate.
cat >"$dir/tctl" <<SH
#!/bin/sh
export SSL_CERT_FILE='$dir/web-ca.crt' NO_PROXY='127.0.0.1,localhost'
exec '$bin/tctl' --config='$dir/teleport.yaml' --auth-server='127.0.0.1:$auth_port' "\$@"
SH
chmod 0755 "$dir/tctl"
cat >"$dir/cluster.env.new" <<ENV
TELEPORT_CLUSTER=$cluster
TELEPORT_MODE=$mode
TELEPORT_AUTH_ADDR=127.0.0.1:$auth_port
TELEPORT_PROXY_ADDR=127.0.0.1:$web_port
TELEPORT_TUNNEL_ADDR=127.0.0.1:$tunnel
TELEPORT_DIAG_ADDR=127.0.0.1:$diag_port
TELEPORT_WEB_CA=$dir/web-ca.crt
TELEPORT_DATA_DIR=$dir/data
TELEPORT_LOG=$log
TELEPORT_PID=$pid
TELEPORT_BIN=$bin
TCTL=$dir/tctl
ENV
mv "$dir/cluster.env.new" "$dir/cluster.env"
cat "$dir/cluster.env"

status=0
wait "$pid" || status=$?
say "Teleport ended by itself (status $status); its log is $log"
stop 1
