#!/usr/bin/env bash
# The inside of the node that cluster.sh starts: the first process in its own network, mount and process namespaces.
# usage (by cluster.sh only): node.sh CLUSTER
set -euo pipefail
cluster=$1
bin=$(cat "$cluster/bin")
pods=10.244.0.0/24
services=10.96.0.0/16
node="node-1"

# --- mounts: private to this node, so that fixed paths (/run/containerd, /run/xtables.lock, /var/log/containers) meet nobody's
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/log
disk=/run/node # short: a Unix socket's path ends at 107 characters
mkdir -p $disk "$cluster/disk"
mount --bind "$cluster/disk" $disk
mkdir -p /run/cni $disk/{etcd,certs,volume-plugins}

# --- network
until [ -s "$cluster/node-address" ]; do sleep 0.05; done
address=$(cat "$cluster/node-address")
ip link set lo up
ip addr add "$address/29" dev eth0
ip link set eth0 up
sysctl -qw net.ipv4.ip_forward=1
# There is no default route: what leads nowhere is refused at once, every time.
sysctl -qw net.ipv4.icmp_ratelimit=0
cat >/run/cni/10-pods.conflist <<JSON
{"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "ptp", "ipMasq": true,
  "ipam": {"type": "host-local", "dataDir": "/run/cni/leases", "ranges": [[{"subnet": "$pods"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
JSON

# --- credentials: a token for each part, keys for service accounts
openssl genrsa -out $disk/service-accounts.key 2048 2>/dev/null
tokens=$disk/tokens.csv
token() { # NAME USER GROUPS
  local token
  token=$(openssl rand -hex 16)
  printf '%s,%s,%s,"%s"\n' "$token" "$2" "$1" "$3" >>$tokens
  printf '%s' "$token" >"$disk/$1.token"
}
(
  umask 077
  token admin admin system:masters
  token kube-controller-manager system:kube-controller-manager ''
  token kube-scheduler system:kube-scheduler ''
  token kube-proxy system:kube-proxy ''
  token kubelet system:node:$node system:nodes
)
kubeconfig() { # NAME FILE
  cat >"$2" <<YAML
apiVersion: v1
kind: Config
clusters:
  - name: e2e
    cluster: {server: "https://$address:6443", certificate-authority-data: $(base64 -w0 $disk/certs/apiserver.crt)}
users:
  - name: $1
    user: {token: $(cat "$disk/$1.token")}
contexts:
  - name: e2e
    context: {cluster: e2e, user: $1}
current-context: e2e
YAML
}

# --- parts: each is started again when it ends, unless cluster.sh took it away
part() { # NAME COMMAND…
  local name=$1
  while true; do
    if [ -e "$cluster/stopped/$name" ]; then
      sleep 0.1
      continue
    fi
    "${@:2}" >>"$cluster/log/$name" 2>&1 &
    echo $! >"$cluster/pid/$name"
    wait $! || true
    sleep 0.2
  done &
}
until_true() { # WHAT SECONDS COMMAND…
  local tries
  for tries in $(seq $(($2 * 10))); do
    "${@:3}" >/dev/null 2>&1 && return
    sleep 0.1
  done
  echo "$1 was not there after $((tries / 10)) s" >&2
  exit 1
}

part etcd "$bin/etcd" --data-dir=$disk/etcd --unsafe-no-fsync --listen-peer-urls=http://127.0.0.1:2380 \
  --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379

# Who asked for what: lets a test say that nobody was refused, and count writes.
cat >$disk/audit-policy.yaml <<'YAML'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: None
    userGroups: [system:masters, system:nodes]
  - level: Metadata
    userGroups: [system:serviceaccounts]
YAML
part kube-apiserver "$bin/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 --cert-dir=$disk/certs \
  --bind-address=0.0.0.0 --secure-port=6443 --advertise-address="$address" --allow-privileged \
  --kubelet-preferred-address-types=InternalIP --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --token-auth-file=$tokens \
  --service-cluster-ip-range=$services --service-account-issuer=https://kubernetes.default.svc \
  --service-account-key-file=$disk/service-accounts.key --service-account-signing-key-file=$disk/service-accounts.key \
  --audit-policy-file=$disk/audit-policy.yaml --audit-log-path="$cluster/log/audit"

# containerd starts while the API server does.
cat >$disk/containerd.toml <<TOML
version = 2
root = "$disk/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  disable_apparmor = true
  disable_hugetlb_controller = true
  # Without CAP_SYS_RESOURCE nobody may lower a score: every sandbox would die with "can't get final child's PID from pipe: EOF".
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$(cat "$cluster/cni-plugins")"
    conf_dir = "/run/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
TOML
part containerd containerd --config $disk/containerd.toml
until_true containerd 30 ctr version
ctr -n k8s.io images import "$cluster/images/pause.tar"

until_true "the API server's certificate" 60 test -s $disk/certs/apiserver.crt
for name in kube-controller-manager kube-scheduler kube-proxy kubelet; do kubeconfig $name $disk/$name.kubeconfig; done
kubeconfig admin "$cluster/kubeconfig.new"
chmod 0600 "$cluster/kubeconfig.new"
kubectl() { "$bin/kubectl" --kubeconfig="$cluster/kubeconfig.new" "$@"; }
until_true "the API server" 60 kubectl get --raw /readyz

part kube-controller-manager "$bin/kube-controller-manager" --kubeconfig=$disk/kube-controller-manager.kubeconfig \
  --use-service-account-credentials --leader-elect=false --root-ca-file=$disk/certs/apiserver.crt \
  --service-account-private-key-file=$disk/service-accounts.key
part kube-scheduler "$bin/kube-scheduler" --kubeconfig=$disk/kube-scheduler.kubeconfig --leader-elect=false

cat >$disk/kubelet.yaml <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$(basename "$cluster")
failCgroupV1: false
enforceNodeAllocatable: []
oomScoreAdj: 0
failSwapOn: false
# Nobody but this machine reaches the node.
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
podLogsDir: $disk/pod-logs
volumePluginDir: $disk/volume-plugins
resolvConf: ""
clusterDomain: cluster.local
clusterDNS: [$(head -n 1 "$cluster/host-addresses")]
# A changed Secret shows in the pod within two seconds instead of ninety.
syncFrequency: 1s
serializeImagePulls: false
localStorageCapacityIsolation: false
# The machine's disk is its owner's business.
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 1Mi, nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%"}
YAML
part kubelet "$bin/kubelet" --config=$disk/kubelet.yaml --kubeconfig=$disk/kubelet.kubeconfig --root-dir=$disk/kubelet \
  --cert-dir=$disk/kubelet-certs --hostname-override=$node --node-ip="$address"

# kube-proxy asks for the node once, and then only after a long pause.
until_true "the node object" 60 kubectl get node $node
# The conntrack limits belong to the whole machine: zero leaves them alone.
cat >$disk/kube-proxy.yaml <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clientConnection: {kubeconfig: $disk/kube-proxy.kubeconfig}
hostnameOverride: $node
clusterCIDR: $pods
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s, udpTimeout: 0s, udpStreamTimeout: 0s}
YAML
part kube-proxy "$bin/kube-proxy" --config=$disk/kube-proxy.yaml

until_true "a ready node" 60 kubectl wait --for=condition=Ready node/$node --timeout=60s
until_true "the default service account" 60 kubectl get serviceaccount default
mv "$cluster/kubeconfig.new" "$cluster/kubeconfig"
touch "$cluster/ready"
wait
