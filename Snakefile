"""Learning curves of QuasarNET: see README.md. `snakemake -n` says what would run, `snakemake --cores all` runs it."""

import json
import os
import re
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.0")
sys.path.insert(0, str(Path(workflow.basedir, "workflow")))

from quasarcurves.page import captions
from quasarcurves.provenance import fingerprint
from quasarcurves.study import Run, Study, StudyError
from quasarcurves.study.steps import FILES, MAKERS, PLACES, STEPS, WILDCARDS

# Snakemake would merge a study given by --configfile into this one: its optimizers would be added, not replaced
if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


try:
    study = Study.from_config(config)
except StudyError as error:
    raise WorkflowError(f"This study cannot be run as it is written.\n{error}") from None


report: "workflow/report/workflow.rst"


# the image that each step runs in with `--sdm apptainer`, a file or an address: see docs/container.md
container: os.environ.get("QUASARCURVES_IMAGE")


include: "workflow/rules/common.smk"
include: "workflow/rules/base.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/results.smk"


rule all:
    default_target: True
    input:
        [study.paths(file.path, step.per) for step in study.steps for file in step.makes if study.has(file)],
    localrule: True


# `--until train` stops short where a run is held to another (`match`), as both are steps of that rule
rule train_all:
    input:
        [study.paths(file.path, "run") for file in STEPS["train"].makes if study.has(file)],
    localrule: True


onsuccess:
    if Path(at(FILES["runs"].path)).exists():  # not where only some steps were asked for
        shell(f"python -m quasarcurves.cli summary {RESULTS} >&2")
