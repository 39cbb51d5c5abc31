#!/bin/sh
# install.sh cpu|gpu|jax|jax-gpu|dev: make .venv hold exactly what the lock says, and this package. Does nothing when it does already.
set -eu
lock=requirements/$1.txt
venv=.venv
# the lock that was installed is kept beside it: a touched file is not a changed one. dev holds all that cpu does.
for done in "$1" dev; do
    if cmp -s "requirements/$done.txt" "$venv/installed-$done.txt" && cmp -s pyproject.toml "$venv/installed-pyproject.toml"
    then exit 0
    fi
done
[ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
rm -f "$venv"/installed-*
echo "installing $lock into $venv"
# pip would compile the modules one after the other, which takes half of its time: all cores do it below
pip_install() { "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile "$@"; }
pip_install --require-hashes --requirement "$lock"
pip_install --no-deps --no-build-isolation --editable .
# as for pip, a module that is of another Python is no error
"$venv/bin/python" -m compileall -qq -j 0 "$venv/lib" || :
cp "$lock" "$venv/installed-$1.txt"
cp pyproject.toml "$venv/installed-pyproject.toml"
