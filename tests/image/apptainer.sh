#!/bin/sh
# apptainer.sh PREFIX: unpack Apptainer and all that it needs into a folder, from Debian sid: Debian 12 has none, and sid's wants
# a newer C library, so it gets sid's own. Does nothing where it is there already. Nothing is installed but patchelf.
set -eu
prefix=$1
[ ! -x "$prefix/done" ] || exit 0
command -v patchelf >/dev/null || apt-get install -y -qq --no-install-recommends patchelf >/dev/null
rm -rf "$prefix"
mkdir -p "$prefix/apt/state/lists/partial" "$prefix/apt/cache/archives/partial"
touch "$prefix/apt/status"

# the machine's own mirror, with another release
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Codename: bookworm' | head -n 1)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" >"$prefix/apt/sources.list"
sid() {
    apt-get -qq -o Dir::Etc::sourcelist="$prefix/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State="$prefix/apt/state" -o Dir::State::status="$prefix/apt/status" -o Dir::Cache="$prefix/apt/cache" \
        -o Acquire::Languages=none -o APT::Sandbox::User=root "$@"
}
sid update
sid install --yes --no-install-recommends --download-only apptainer
for package in "$prefix"/apt/cache/archives/*.deb; do
    dpkg-deb --extract "$package" "$prefix"
done
rm -rf "$prefix/apt"

libraries=$prefix/usr/lib/x86_64-linux-gnu
for program in "$prefix/usr/bin/apptainer" "$prefix/usr/bin/mksquashfs" "$prefix/usr/bin/unsquashfs" \
    "$libraries/apptainer/bin/starter"; do
    patchelf --set-interpreter "$libraries/ld-linux-x86-64.so.2" --force-rpath --set-rpath "$libraries" "$program"
done
# it looks for its settings beside itself; with all capabilities root could read files that the study's user cannot
mkdir -p "$prefix/usr/etc" "$prefix/usr/var/lib/apptainer/mnt/session" "$prefix/usr/lib/var/lib/apptainer/mnt/session"
ln -s ../../etc/apptainer "$prefix/usr/etc/apptainer"
sed -i 's/^root default capabilities.*/root default capabilities = no/' "$prefix/etc/apptainer/apptainer.conf"
ln -s usr/bin/apptainer "$prefix/done"
