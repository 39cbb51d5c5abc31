#!/bin/sh
# Debian's SLURM, for the tests of profiles/slurm; does nothing where it is there already. The services are not started.
set -eu
PATH=$PATH:/usr/sbin:/sbin
missing=
for need in munged:munge slurmctld:slurmctld slurmd:slurmd sbatch:slurm-client; do
    command -v "${need%:*}" >/dev/null || missing="$missing ${need#*:}"
done
[ -n "$missing" ] || exit 0
[ "$(id -u)" = 0 ] || { echo "installing$missing needs root" >&2; exit 1; }
# a package's service would take the usual ports: the tests start what they need themselves
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
    trap 'rm -f $policy' EXIT
fi
apt-get update -qq
# shellcheck disable=SC2086  # several words
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
