#!/usr/bin/env bash
# Makes an image of a server that was built on this machine, with no base image and so from no registry.
#
#   docs/deploy/image.sh [BINARY]
#
# It wants Debian's `buildah`, and `strip`. The image has the server, its libraries, the system's certificates
# and `upload-server.toml`, and runs as user 10001.
set -euo pipefail

binary=${1:-target/release/upload-server}
here=$(dirname "$(realpath "$0")")
container=$(buildah from scratch)
root=$(buildah mount "$container")
trap 'buildah rm "$container" > /dev/null' EXIT

mkdir -p "$root"/{etc/ssl/certs,tmp,usr/local/bin,var/lib/upload-server}
strip -o "$root/usr/local/bin/upload-server" "$binary"
for library in $(ldd "$binary" | grep -o '/[^ ]*'); do
  mkdir -p "$root$(dirname "$library")"
  cp --dereference "$library" "$root$library"
done
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
cp "$here/upload-server.toml" "$root/etc/"
chown 10001:10001 "$root/var/lib/upload-server"
chmod 1777 "$root/tmp"

buildah unmount "$container" > /dev/null
buildah config --user 10001 --workingdir /var/lib/upload-server --volume /var/lib/upload-server \
  --env UPLOAD_LISTEN=0.0.0.0:8080 --env UPLOAD_ADMIN_LISTEN=0.0.0.0:9090 --port 8080 --port 9090 \
  --entrypoint '["/usr/local/bin/upload-server", "--config", "/etc/upload-server.toml"]' "$container"
buildah commit --quiet "$container" upload-server
