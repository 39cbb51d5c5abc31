#!/bin/sh
# Debian's Chromium and its driver, for the tests of pages; does nothing where they are there already.
set -eu
missing=
for need in chromium:chromium chromedriver:chromium-driver; do
    command -v "${need%:*}" >/dev/null || missing="$missing ${need#*:}"
done
[ -n "$missing" ] || exit 0
[ "$(id -u)" = 0 ] || { echo "installing$missing needs root" >&2; exit 1; }
apt-get update -qq
# shellcheck disable=SC2086  # several words
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
