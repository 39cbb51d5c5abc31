#!/bin/sh
# strip.sh VENV: take out of a virtual environment what no study runs. docs/container.md says how much that is.
set -eu
packages=$(echo "$1"/lib/python3*/site-packages)
# headers, to compile operations of one's own; libclang, which only tools that compile TensorFlow's models load
rm -rf "$packages/tensorflow/include" "$packages/clang"
# the packages' tests, of the four that have megabytes of them; astropy needs its own to be imported
for package in matplotlib numpy pandas scipy; do
    find "$packages/$package" -type d -name tests -prune -exec rm -rf {} +
done
# pip: nothing is installed into a finished image
rm -rf "$packages"/pip "$packages"/pip-*.dist-info "$1"/bin/pip*
