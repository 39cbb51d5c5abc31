"""What steps are told of a study besides files: a change of it reruns them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from quasarcurves.study.runs import Run
from quasarcurves.study.steps import MAKERS, Step
from quasarcurves.study.study import Study

SCORED = ("compute_metrics", "compare_stopping", "compare_optimizers", "measure_spike_cost")
"""Steps that measure models on the test set as the task does."""

RUNS_TASK = (*SCORED, "plot_worst_examples")
"""Steps that call functions of the task file, which may import Keras."""

DESCRIBED = (
    "compute_hazards", "fit_learning_curves", "write_answer", "plot_aligned", "plot_cures", "plot_curvature",
    "plot_detected_spikes",
    "plot_hazard", "plot_interventions", "plot_learning_curve", "plot_loss_by_fraction", "plot_loss_by_optimizer",
    "plot_spike_cost", "plot_spike_statistics", "plot_train_validation",
)  # fmt: skip
"""Steps that call examples and metrics as the task does."""


def words(study: Study) -> dict[str, Any]:
    """Return what a task file calls its examples, and which measures are the better how; empty for the usual task."""
    own = study.task
    return {} if study.usual else {"example": own.example, "examples": own.examples, "better": own.better}


def keys(study: Study) -> dict[str, dict[str, Any]]:
    """Return, by step, what the steps for the whole study and the figures are told of its keys."""
    tables = _of_steps(study)
    described, runs = {"words": words(study)}, {"task": task(study), "words": words(study)}
    more = {**dict.fromkeys(DESCRIBED, described), **dict.fromkeys(RUNS_TASK, runs)}
    return {name: {**tables.get(name, {}), **more.get(name, {})} for name in {**tables, **more}}


def _of_steps(study: Study) -> dict[str, dict[str, Any]]:
    curve = study.config["learning_curve"]
    return {
        # what others are compared with: plain Adam where the study has it
        "compare_optimizers": {
            "reference": "adam" if "adam" in study.optimizers else study.optimizers[0],
        },
        "fit_learning_curves": {
            "targets": curve["targets"],
            "costs": {key: value for key, value in curve.items() if key != "targets"},
        },
        **{f"plot_{name}": {"style": style} for name, style in study.config["figures"].items()},
    }


def runs(study: Study, step: Step) -> dict[str, list[str]]:
    """Return the runs that a step for the whole study reads files of, by what they are made of; empty for others."""
    if step.per == "study" and any(MAKERS[name].per == "run" for name in step.reads):
        return {"subsets": study.subset_names, "optimizers": study.optimizers, "absent": study.absent}
    return {}


def task(study: Study) -> dict[str, Any]:
    """Return what says of a study's task how to find it, and its code; empty for the usual one."""
    return asdict(study.task.settings) if study.task.settings else {}


def settings(study: Study, step: Step, job: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the receipt of a job holds of the study, were it done now.

    Parameters
    ----------
    study : Study
    step : Step
    job : mapping
        Its wildcards.
    """
    if step.name == "prepare_spectra":
        return {"task": task(study), "data": study.data}
    if step.name == "draw_subset":
        return {"settings": study.subset_params(float(job["fraction"]), int(job["replicate"]))}
    if step.per in ("run", "replayed", "forks"):
        return _of_run(study, step, Run(float(job["fraction"]), int(job["replicate"]), job["optimizer"]))
    return {**runs(study, step), **keys(study).get(step.name, {})}


def _of_run(study: Study, step: Step, run: Run) -> dict[str, Any]:
    if step.name == "train":
        return study.run_params(run)
    if step.name == "evaluate":
        return {"run": study.evaluation_params(run)}
    if step.name == "replay":
        replays = study.replay_settings.to_json()
        return {"run": study.run_params(run), "replays": replays, "groups": study.replay_jobs}
    if step.name == "magnify_spikes":
        return {"run": study.run_params(run), "number": study.magnified_spikes}
    return {}
