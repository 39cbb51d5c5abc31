"""Learning curves of QuasarNET: see README.md. `snakemake -n` says what would run, `snakemake --cores all` runs it."""

import json
import os
import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.io import get_flag_value
from snakemake.utils import min_version

min_version("9.0")
sys.path.insert(0, str(Path(workflow.basedir, "workflow")))

from quasarcurves.provenance import fingerprint
from quasarcurves.study.schema import StudyError
from quasarcurves.study import Run, Study

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


# What takes seconds: on a cluster these steps run beside Snakemake and are not submitted
localrules:
    all,
    train_all,
    draw_subset,
    collect_test_losses,
    judge_convergence,
    compare_optimizers,
    write_verdict,
    plot_optimizers,
    plot_fractions,
    plot_spikes,
    plot_spike_statistics,
    plot_curvature,
    plot_aligned,
    plot_cures,
    plot_purity_completeness,
    plot_learning_curves,
    plot_spike_cost,
    show_tables,


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/analysis.smk"
include: "workflow/rules/figures.smk"


rule all:
    default_target: True
    input:
        rules.prepare_spectra.output,
        every(rules.draw_subset.output, zip, **study.run_wildcards()),
        every(rules.train.output, zip, **study.run_wildcards()),
        every(rules.evaluate.output, zip, **study.run_wildcards()),
        rules.collect_histories.output,
        rules.collect_test_losses.output,
        rules.compute_metrics.output,
        rules.find_spikes.output,
        rules.judge_convergence.output,
        rules.compare_optimizers.output,
        rules.write_verdict.output,
        rules.fit_learning_curves.output,
        rules.diagnose_spikes.output,
        rules.plot_optimizers.output,
        every(rules.plot_fractions.output, optimizer=study.optimizers),
        every(rules.plot_spikes.output, optimizer=study.optimizers),
        rules.plot_spike_statistics.output,
        every(rules.plot_curvature.output, fraction=study.fractions if study.measures_curvature else []),
        every(rules.plot_aligned.output, optimizer=study.optimizers),
        rules.plot_cures.output,
        every(rules.plot_purity_completeness.output, optimizer=study.optimizers),
        rules.plot_learning_curves.output,
        rules.plot_spike_cost.output if study.takes_snapshots else [],
        rules.show_tables.output,


# `--until train` stops short where a run is held to another (`match`), as both are steps of that rule
rule train_all:
    input:
        every(rules.train.output, zip, **study.run_wildcards()),


onsuccess:
    if Path(SUMMARY).exists():  # not where only some steps were asked for
        shell(f"python -m quasarcurves.cli summary {RESULTS} >&2")
