#!/usr/bin/env bash
# Builds a real Kubernetes for tests from the Go module proxy: once, cached outside the tree. Prints the folder of the binaries.
#
# usage: build.sh [STAGE]
#   api   etcd, kube-apiserver, kube-controller-manager and kubectl: what the controller's tests start (the default)
#   helm  the above and helm: what the chart's tests need
#   node  all of it, with kube-scheduler, kubelet and kube-proxy: a whole node, for the end-to-end journey
#
# Tools found in $KUBEBUILDER_ASSETS are used as they are; only what is missing there is built.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/lib.sh
. "$here/../lib.sh"

kubernetes=1.34.3
etcd=3.6.4
helm=3.19.0

case "${1:-api}" in
api) tools=(etcd kube-apiserver kube-controller-manager kubectl) ;;
helm) tools=(etcd kube-apiserver kube-controller-manager kubectl helm) ;;
node) tools=(etcd kube-apiserver kube-controller-manager kubectl helm kube-scheduler kubelet kube-proxy) ;;
*) die "unknown stage '$1'; the stages are: api, helm, node" ;;
esac

bin="$cache_root/kubernetes-$kubernetes-$(fingerprint "$here/build.sh" <(printf '%s' "${KUBEBUILDER_ASSETS:-}"))"
mkdir -p "$bin"
missing=()
for tool in "${tools[@]}"; do
  if [ -n "${KUBEBUILDER_ASSETS:-}" ] && [ -x "$KUBEBUILDER_ASSETS/$tool" ]; then
    ln -sf "$KUBEBUILDER_ASSETS/$tool" "$bin/$tool"
  elif [ ! -x "$bin/$tool" ]; then
    missing+=("$tool")
  fi
done
[ ${#missing[@]} -eq 0 ] && { printf '%s\n' "$bin"; exit 0; }

need go "install Go 1.24 or newer, or set KUBEBUILDER_ASSETS to a folder that holds: ${missing[*]}"
say "building ${missing[*]} (Kubernetes $kubernetes) into $bin, once; all stages together take about 15 minutes on two cores …"

work=$(mktemp -d "$cache_root/kubernetes-build.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

# Kubernetes can be built from the module proxy only inside a module that replaces each of its staging modules
# by the published one; so can etcd, which refuses `go install …@version`.
printf 'module testkubernetes\n\ngo 1.24.0\n' >go.mod
dir=$(go mod download -json "k8s.io/kubernetes@v$kubernetes" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
{
  printf 'module testkubernetes\n\ngo 1.24.0\n\nrequire (\n\tk8s.io/kubernetes v%s\n\tgo.etcd.io/etcd/server/v3 v%s\n)\n\n' "$kubernetes" "$etcd"
  sed -n 's#^\t*\(replace \)\{0,1\}\(k8s.io/[a-z-]*\) => ./staging/src/.*#replace \2 => \2 v0'".${kubernetes#1.}"'#p' "$dir/go.mod"
} >go.mod
cp "$dir/go.sum" go.sum

# Without the version, charts' `kubeVersion` checks fail.
version=k8s.io/component-base/version
minor=${kubernetes#1.}
stamp="-X $version.gitVersion=v$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=${minor%%.*}"
export CGO_ENABLED=0

for tool in "${missing[@]}"; do
  say "  $tool …"
  case "$tool" in
  etcd) go build -mod=mod -trimpath -ldflags '-s -w' -o etcd go.etcd.io/etcd/server/v3 ;;
  helm) GOBIN="$work" go install -trimpath -ldflags '-s -w' "helm.sh/helm/v3/cmd/helm@v$helm" ;;
  *) go build -mod=mod -trimpath -ldflags "-s -w $stamp" -o "$tool" "k8s.io/kubernetes/cmd/$tool" ;;
  esac
  mv "$tool" "$bin/$tool" # at once: a stage that is cut short is taken up where it ended
done
printf '%s\n' "$bin"
