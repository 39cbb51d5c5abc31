# Two commands: `make study` and `make test`. Each sets itself up on a fresh machine.
PYTHON ?= python3
BIN := .venv/bin
STUDY ?= config.yaml
CORES ?= all

.PHONY: study setup test lint lock clean

study: setup  ## run the default study (STUDY=file for another) and say where the figures are
	$(BIN)/quasarcurves run --configfile $(STUDY) --cores $(CORES)

setup:  ## create .venv from the hashed lock; does nothing when it is up to date
	@PYTHON=$(PYTHON) sh requirements/install.sh cpu

setup-dev:
	@PYTHON=$(PYTHON) sh requirements/install.sh dev

test: setup-dev  ## everything but the tests marked slow
	$(BIN)/python -m pytest -m "not slow"

test-slow: setup-dev  ## the long ones alone
	$(BIN)/python -m pytest -m slow

lint: setup-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/snakefmt --check Snakefile workflow/rules
	$(BIN)/snakemake --lint

lock:  ## resolve the locks anew from pyproject.toml
	sh requirements/lock.sh $(BIN)/uv
