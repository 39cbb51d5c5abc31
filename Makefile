# Two commands: `make study` and `make test`. Each sets itself up on a fresh machine with python3, its venv module and make.
PYTHON ?= python3
STUDY ?= config.yaml
CORES ?= all
N ?= 50
BIN := .venv/bin
# two processes share two cores, so each computes on one; bytecode is kept, else every process compiles all modules anew
PYTEST := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python $(COVERAGE) -m pytest

.PHONY: study help setup setup-dev test test-slow test-cluster test-page test-image kills bench docs lint audit lock

study: setup  ## run a study (STUDY=file; the default one is config.yaml) and say where its figures are
	$(BIN)/quasarcurves run $(STUDY) --cores $(CORES)

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*  ## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

setup:  ## make .venv hold what the lock says; does nothing where it does already
	@PYTHON=$(PYTHON) sh requirements/install.sh cpu

setup-dev:  ## the same, with what tests and development need
	@PYTHON=$(PYTHON) sh requirements/install.sh dev

test: setup-dev  ## all tests but the long ones and those below that need a cluster or build the image
	$(PYTEST) -n 2 --dist loadgroup --no-loadscope-reorder -m "not slow and not cluster and not page and not image"

test-slow: setup-dev  ## the long ones alone
	$(PYTEST) -n 2 --dist loadgroup --no-loadscope-reorder --durations=60 -m slow

test-cluster: setup-dev  ## the profile for SLURM, on a cluster made of this machine; as root, on Debian
	sh tests/cluster/install.sh
	$(BIN)/python -m pytest -m cluster tests/cluster

test-page: setup-dev  ## open the pages of studies in Chromium; as root, on Debian
	sh tests/page/install.sh
	$(BIN)/python -m pytest -m page tests/page

test-image: setup-dev  ## build the container image and run the smoke study in it; as root, on Debian
	sh tests/image/install.sh
	$(BIN)/python -m pytest -m image tests/image

kills: setup-dev  ## kill processes of studies at N random moments, 50 unless given, and compare what they end with; minutes
	KILLS=$(N) $(BIN)/python -m pytest -s -m slow -k 'any_process or random_moments' tests/workflow/test_kills.py

bench: setup-dev  ## speed of training against keras.Model.fit, side by side: benchmarks/fit.csv and fit.png; minutes
	$(BIN)/python benchmarks/fit.py

docs: setup-dev  ## build the site into site/: the pages, and the reference of the library
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lint: setup-dev  ## format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/snakefmt --check Snakefile workflow/Snakefile workflow/rules
	$(BIN)/snakemake --lint
	$(BIN)/mypy

audit:  ## print known vulnerabilities of the packages in the locks; says so where it has no network
	$(PYTHON) .ci/audit.py

lock: setup-dev  ## resolve the locks anew from pyproject.toml
	sh requirements/lock.sh $(BIN)/uv
