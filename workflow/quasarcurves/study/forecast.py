"""What a study will take: trainings, time, memory and disk.

Memory is the need of the largest job, as the table of steps and `resources` have it. Sizes of files were fitted to two
studies; `tests/workflow/test_standing.py` holds what is foretold against what happens. Times are those of a core of a
server processor of 2023 with nothing else to do.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from quasarcurves.study.resources import START_OF_TRAINING
from quasarcurves.study.runs import Run
from quasarcurves.study.steps import FIGURE_FORMATS, Step
from quasarcurves.study.study import Study

SNAKEMAKE_MB = 200
"""Snakemake itself, while jobs run."""

STAGES = ("preparing", "trainings", "replays", "evaluations", "tables", "figures")
"""A study is done in these, one after the other."""

TRAINS = frozenset({"trainings", "replays"})
"""Stages whose steps train."""

_STAGE_OF = {
    "prepare_spectra": "preparing",
    "draw_subset": "preparing",
    "train": "trainings",
    "train_pack": "trainings",
    "replay": "replays",
    "magnify_spikes": "replays",
    "evaluate": "evaluations",
}

_START_OF_TRAINING = 2.4
"""Of a training that is forked from a process which has imported TensorFlow: reading, building, tracing and compiling.
`benchmarks/around.csv`: `work`, `reading, building` and `first block` of a training, 2.35 s in the smoke study and 2.47
in the default one."""

_OTHER_STEPS = 0.4
"""Time of steps that do not train in units of their need, which is meant for requests and for jobs that import their
packages themselves. Forked ones take 0.17 of it in the smoke study (`benchmarks/around.csv`, `start` and `work`). On
two busy cores, in processor time, it was 0.46 in boss_like_frozen and 0.44 in sharpness."""

_JOB_SECONDS = 0.3
"""Of Snakemake, for each job."""

_MODEL_BYTES, _HISTORY_BYTES, _STATE_BYTES, _PREDICTIONS_BYTES = 77_000, 65_000, 45_000, 13_000
"""Of a file of each kind whatever its content."""

_HISTORY_STEP_BYTES, _STATE_STEP_BYTES = 30, 44
"""Of a step in a history (compressed) and in a state."""

_EPOCH_ROW_BYTES, _RUN_TABLE_BYTES, _JOB_RECORD_BYTES = 140, 265_000, 4_500
"""A row of epochs.csv; all tables' rows of a run; a job's receipt, log and benchmark."""

_FIGURE_BYTES, _PAGE_BYTES = 75_000, 5_000_000
"""A figure in one format; a page with a chart that one can zoom into."""


@dataclass(frozen=True)
class Forecast:
    """What a study will take.

    Parameters
    ----------
    trainings, jobs : int
    seconds : float
        On one core, all jobs one after the other.
    training_seconds : float
        Of these, what trains.
    stages : dict of str to (list of float, int)
        Seconds of the jobs of each stage, and the cores that each of them takes.
    job_mb : float
        Memory of the largest job.
    disk : mapping of str to float
        Bytes of the results by what they are.
    """

    trainings: int
    jobs: int
    seconds: float
    training_seconds: float
    stages: dict[str, tuple[list[float], int]]
    job_mb: float
    disk: dict[str, float]

    def wall_seconds(self, cores: int) -> float:
        """Return the time on that many cores."""
        return sum(stage_seconds(seconds, at_once(cores, threads)) for seconds, threads in self.stages.values())

    def memory_mb(self, cores: int) -> float:
        """Return the memory while that many of the largest jobs run at once."""
        return SNAKEMAKE_MB + min(cores, self.trainings) * self.job_mb

    @property
    def disk_bytes(self) -> float:
        """All results."""
        return sum(self.disk.values())


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def forecast(study: Study, n_examples: int) -> Forecast:
    """Estimate what a study takes from nothing to its last figure.

    Parameters
    ----------
    study : Study
    n_examples : int
        Prepared spectra, roughly.
    """
    jobs = list(_jobs(study, n_examples))
    stages: dict[str, tuple[list[float], int]] = {}
    for step, seconds, _ in jobs:
        stages.setdefault(stage_of(step), ([], threads_of(study, step)))[0].append(seconds)
    return Forecast(
        trainings=len(study.runs),
        jobs=len(jobs),
        seconds=sum(seconds for _, seconds, _ in jobs),
        training_seconds=sum(seconds for step, seconds, _ in jobs if stage_of(step) in TRAINS),
        stages=stages,
        job_mb=max(mb for _, _, mb in jobs),
        disk=_disk(study, n_examples, len(jobs)),
    )


def _jobs(study: Study, n_examples: int) -> Iterator[tuple[Step, float, float]]:
    """Yield the step, the seconds and the memory (MB) of every job."""
    packs = {fraction: study.pack(fraction) for fraction in study.fractions} if study.packs else {}
    for step in study.steps:
        for each in study.wildcards(step.per):
            run = Run(each["fraction"], each["replicate"], each["optimizer"]) if len(each) >= 3 else None
            if step.name == "train_pack":
                run = packs[each["fraction"]][0]
            elif step.name == "train" and run in packs.get(each["fraction"], ()):
                continue
            yield step, expected_seconds(study, step, n_examples, run), study.need(step.name, n_examples, run).mb


def stage_of(step: Step) -> str:
    """Return the stage that a step is done in."""
    return _STAGE_OF.get(step.name, "figures" if step.figure else "tables")


def expected_seconds(study: Study, step: Step, n_examples: int, run: Run | None = None) -> float:
    """Return the time that a job is expected to take on this machine; `run` as `Study.need` has it."""
    seconds = study.need(step.name, n_examples, run).seconds
    if stage_of(step) not in TRAINS:
        return _JOB_SECONDS + _OTHER_STEPS * seconds
    # processes with JAX cannot be forked
    imported = START_OF_TRAINING - _START_OF_TRAINING if study.backend != "jax" else 0
    return _JOB_SECONDS + seconds - imported


def stage_seconds(seconds: Sequence[float], at_once: int) -> float:
    """Return how long a stage takes: as its jobs' work shared by those at once, and no shorter than its longest job."""
    return max(sum(seconds) / at_once, *seconds) if seconds else 0.0


def threads_of(study: Study, step: Step) -> int:
    """Return the cores that a job takes."""
    return study.config["training"]["threads"] if stage_of(step) in {*TRAINS, "evaluations"} else 1


def at_once(cores: int, threads: int) -> int:
    """Return how many jobs of so many threads run at once."""
    return max(cores // min(threads, cores), 1)


def in_words(seconds: float) -> str:
    """Write how long something will take, no more exactly than it is known; never none at all."""
    if seconds < 10:
        return "a few seconds"
    if seconds < 55:
        return f"about {10 * math.ceil(seconds / 10):.0f} s"
    if seconds < 285:
        return f"about {max(1, round(seconds / 30) / 2):g} min"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"about {minutes} min"
    hours, minutes = divmod(5 * round(minutes / 5), 60)
    return f"about {hours} h {minutes:02d} min" if hours < 10 else f"about {round(seconds / 3600):,} h"


def _disk(study: Study, n_examples: int, jobs: int) -> dict[str, float]:
    subsets, cost = study.config["subsets"], study.cost
    example = cost.example_bytes + 30
    rows = [run.n_train(n_examples) for run in {run.subset: run for run in study.runs}.values()]
    shared = (subsets["test_fraction"] + subsets["validation_fraction"]) * n_examples
    lengths = [(study.training_settings(run.optimizer), run.n_train(n_examples)) for run in study.runs]
    steps = sum(settings.n_steps(n_train) for settings, n_train in lengths)
    epochs = sum(settings.n_epochs(n_train) for settings, n_train in lengths)
    runs, weights = len(study.runs), 4.0 * cost.parameters
    models = 2 + 2 * study.config["diagnosis"]["snapshots"]
    tested = subsets["test_fraction"] * n_examples * cost.output_bytes
    histories = runs * _HISTORY_BYTES + _HISTORY_STEP_BYTES * steps
    kept = study.config["training"]["keep_state"]
    figures = sum(len(study.wildcards(step.per)) for step in study.steps if step.figure)
    has_page = any(file.path == "index.html" for step in study.steps for file in step.makes)
    return {
        f"{study.task.examples} and subsets": n_examples * example
        + 4 * (sum(rows) + shared * len(rows))
        + 2e3 * len(rows),
        "models": runs * models * (_MODEL_BYTES + weights),
        "histories, each and together": 2 * histories,
        "predictions": runs * (_PREDICTIONS_BYTES + models * tested),
        "states to go on from": kept * (runs * (_STATE_BYTES + 4 * weights) + _STATE_STEP_BYTES * steps),
        "tables": _EPOCH_ROW_BYTES * epochs + _RUN_TABLE_BYTES * runs,
        "figures and page": figures * len(FIGURE_FORMATS) * _FIGURE_BYTES + has_page * _PAGE_BYTES,
        "logs and receipts": _JOB_RECORD_BYTES * jobs,
    }
