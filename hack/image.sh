#!/usr/bin/env bash
# Makes an image out of one binary without a container engine: an OCI archive that `ctr images import`, `podman load` and
# `skopeo` read. Holds the binary, the shared libraries it names, CA certificates and a user, and nothing else: what the
# Containerfile makes. The same input gives the same bytes.
#
# usage: image.sh --binary FILE --name REGISTRY/REPOSITORY:TAG --output FILE.tar [--link NAME]… [--bare]
#   --link NAME   another name of the binary, beside it (the operator also answers to `teleport-slack`)
#   --bare        without CA certificates and user database
set -euo pipefail
# shellcheck source=hack/lib.sh
. "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/lib.sh"

binary='' name='' output='' links=() bare=
while [ $# -gt 0 ]; do
  case "$1" in
  --binary) binary=$2 && shift 2 ;;
  --name) name=$2 && shift 2 ;;
  --output) output=$2 && shift 2 ;;
  --link) links+=("$2") && shift 2 ;;
  --bare) bare=yes && shift ;;
  *) die "unknown argument '$1'; see the head of this file" ;;
  esac
done
[ -x "$binary" ] || die "--binary '$binary' is not an executable file"
[ -n "$name" ] || die "--name is needed"
[ -n "$output" ] || die "--output is needed"
uid=65532
umask 022 # the caller's must not show in the image

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
blobs=$work/oci/blobs/sha256
mkdir -p "$root/usr/local/bin" "$root/tmp" "$blobs"
chmod 1777 "$root/tmp"

entry=/usr/local/bin/$(basename "$binary")
install -m 0755 "$binary" "$root$entry"
for link in ${links[@]+"${links[@]}"}; do ln -s "$(basename "$binary")" "$root/usr/local/bin/$link"; done

# The libraries and the loader, each under the very path by which the binary asks for it.
if libraries=$(ldd "$binary" 2>/dev/null); then
  grep -o '/[^ ]*' <<<"$libraries" | sort -u | while read -r library; do
    install -D -m 0755 "$(readlink -f "$library")" "$root$library"
  done
fi

if [ -z "$bare" ]; then
  certificates=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
  [ -r "$certificates" ] || die "no CA certificates at $certificates; install ca-certificates or set SSL_CERT_FILE"
  install -D -m 0644 "$certificates" "$root/etc/ssl/certs/ca-certificates.crt"
  printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:%d:%d:nonroot:/:/sbin/nologin\n' $uid $uid >"$root/etc/passwd"
  printf 'root:x:0:\nnonroot:x:%d:\n' $uid >"$root/etc/group"
fi

deterministic_tar() { tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=gnu -C "$1" -c .; }

# Stores standard input as a blob and prints its digest.
blob() {
  local new
  new=$(mktemp "$work/blob.XXXXXX")
  cat >"$new"
  local digest
  digest=$(sha256sum "$new" | cut -d' ' -f1)
  mv "$new" "$blobs/$digest"
  printf '%s' "$digest"
}
size() { stat -c %s "$blobs/$1"; }

case "$(uname -m)" in
x86_64) architecture=amd64 ;;
aarch64) architecture=arm64 ;;
*) architecture=$(uname -m) ;;
esac

# Not compressed: nothing here travels, and the layer's digest is then its content's digest too.
layer=$(deterministic_tar "$root" | blob)
config=$(printf '{"architecture":"%s","os":"linux","config":{"User":"%d:%d","Entrypoint":["%s"],"Env":["PATH=/usr/local/bin"],"WorkingDir":"/"},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
  "$architecture" $uid $uid "$entry" "$layer" | blob)
manifest=$(printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%d},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:%s","size":%d}]}' \
  "$config" "$(size "$config")" "$layer" "$(size "$layer")" | blob)
printf '{"imageLayoutVersion":"1.0.0"}' >"$work/oci/oci-layout"
printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%d,"platform":{"architecture":"%s","os":"linux"},"annotations":{"io.containerd.image.name":"%s","org.opencontainers.image.ref.name":"%s"}}]}' \
  "$manifest" "$(size "$manifest")" "$architecture" "$name" "${name##*:}" >"$work/oci/index.json"

mkdir -p "$(dirname "$output")"
deterministic_tar "$work/oci" >"$output.new"
mv "$output.new" "$output"
printf '%s\n' "sha256:$manifest"
