#!/bin/sh
# lock.sh UV: resolve the locks from pyproject.toml. cpu is what runs anywhere, gpu the same on NVIDIA cards, jax and
# jax-gpu add JAX to cpu, cloud and cloud-gpu add to cpu and gpu what sends jobs to Kubernetes and AWS Batch, dev adds to
# jax and cloud the tools of development. One version of everything for all Python versions; no index address is written.
# desispec is an environment by itself, in which tests write DESI's files.
set -eu
uv=$1
export UV_CUSTOM_COMPILE_COMMAND="make lock"
compile() { "$uv" pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --generate-hashes \
    pyproject.toml "$@"; }
compile --extra cpu --output-file requirements/cpu.txt
compile --extra cpu --extra cloud --constraint requirements/cpu.txt --output-file requirements/cloud.txt
compile --extra cpu --extra cloud --extra jax --extra dev --constraint requirements/cloud.txt --output-file requirements/dev.txt
compile --extra cpu --extra jax --constraint requirements/dev.txt --output-file requirements/jax.txt
compile --extra cpu --extra jax-gpu --constraint requirements/jax.txt --output-file requirements/jax-gpu.txt
compile --extra gpu --constraint requirements/cpu.txt --output-file requirements/gpu.txt
compile --extra gpu --extra cloud --constraint requirements/gpu.txt --constraint requirements/cloud.txt --output-file requirements/cloud-gpu.txt
echo "desispec==0.70.0" | "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes - \
    --output-file requirements/desispec.txt
