"""What a study will take: trainings, time, memory and disk.

Memory is the need of the largest job, as the table of steps and `resources` have it. Sizes of files were fitted to two
studies; `tests/workflow/test_standing.py` holds what is foretold against what happens. Times are those of a core of a
server processor of 2023 with nothing else to do.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from quasarcurves.quasarnet.settings import NetworkSettings
from quasarcurves.study import resources
from quasarcurves.study.steps import FIGURE_FORMATS, Step
from quasarcurves.study.study import Run, Study

SNAKEMAKE_MB = 200
"""Snakemake itself, while jobs run."""

_TRAINS = {"train", "replay", "magnify_spikes"}

_OTHER_STEPS = 0.6
"""Time of other steps in units of their need, which is meant for requests and so is on the high side."""

_START_SECONDS, _JOB_SECONDS = 6, 0.3
"""Of Snakemake: until the first job starts, and for each."""

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
    longest_seconds : float
        Of the longest job: no number of cores makes the study faster.
    job_mb : float
        Memory of the largest job.
    disk : mapping of str to float
        Bytes of the results by what they are.
    """

    trainings: int
    jobs: int
    seconds: float
    training_seconds: float
    longest_seconds: float
    job_mb: float
    disk: dict[str, float]

    def wall_seconds(self, cores: int) -> float:
        """Return the time on that many cores."""
        return _START_SECONDS + max(self.longest_seconds, self.seconds / cores)

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


def forecast(study: Study, n_spectra: int) -> Forecast:
    """Estimate what a study takes from nothing to its last figure.

    Parameters
    ----------
    study : Study
    n_spectra : int
        Prepared spectra, roughly.
    """
    jobs = list(_jobs(study, n_spectra))
    return Forecast(
        trainings=len(study.runs),
        jobs=len(jobs),
        seconds=sum(seconds for _, seconds, _ in jobs),
        training_seconds=sum(seconds for step, seconds, _ in jobs if step.name in _TRAINS),
        longest_seconds=max(seconds for _, seconds, _ in jobs),
        job_mb=max(mb for _, _, mb in jobs),
        disk=_disk(study, n_spectra, len(jobs)),
    )


def _jobs(study: Study, n_spectra: int) -> Iterator[tuple[Step, float, float]]:
    """Yield the step, the seconds and the memory (MB) of every job, packs as the trainings that are in them."""
    for step in study.steps:
        for each in study.wildcards(step.per) if step.makes else ():
            run = Run(each["fraction"], each["replicate"], each["optimizer"]) if len(each) >= 3 else None
            need = study.need(step.name, n_spectra, run)
            share = 1 if step.name in _TRAINS else _OTHER_STEPS
            yield step, _JOB_SECONDS + share * need.seconds, need.mb


def _disk(study: Study, n_spectra: int, jobs: int) -> dict[str, float]:
    subsets, spectrum = study.config["subsets"], 4 * 443 + 30
    rows = [run.n_train(n_spectra) for run in {run.subset: run for run in study.runs}.values()]
    shared = (subsets["test_fraction"] + subsets["validation_fraction"]) * n_spectra
    lengths = [(study.training_settings(run.optimizer), run.n_train(n_spectra)) for run in study.runs]
    steps = sum(settings.n_steps(n_train) for settings, n_train in lengths)
    epochs = sum(settings.n_epochs(n_train) for settings, n_train in lengths)
    runs, weights = len(study.runs), 4.0 * parameters(study.network)
    models = 2 + 2 * study.config["diagnosis"]["snapshots"]
    tested = subsets["test_fraction"] * n_spectra * (8 * study.network.n_lines + 14)
    histories = runs * _HISTORY_BYTES + _HISTORY_STEP_BYTES * steps
    kept = study.config["training"]["keep_state"]
    figures = sum(len(study.wildcards(step.per)) for step in study.steps if step.figure)
    has_page = any(file.path == "index.html" for step in study.steps for file in step.makes)
    return {
        "spectra and subsets": n_spectra * spectrum + 4 * (sum(rows) + shared * len(rows)) + 2e3 * len(rows),
        "models": runs * models * (_MODEL_BYTES + weights),
        "histories, each and together": 2 * histories,
        "predictions": runs * (_PREDICTIONS_BYTES + models * tested),
        "states to go on from": kept * (runs * (_STATE_BYTES + 4 * weights) + _STATE_STEP_BYTES * steps),
        "tables": _EPOCH_ROW_BYTES * epochs + _RUN_TABLE_BYTES * runs,
        "figures and page": figures * len(FIGURE_FORMATS) * _FIGURE_BYTES + has_page * _PAGE_BYTES,
        "logs and receipts": _JOB_RECORD_BYTES * jobs,
    }


def parameters(network: NetworkSettings) -> int:
    """Return the number of weights of a network, with the running statistics of its normalisation."""
    filters, lengths = network.filters, resources.bins_after(network.layers)
    convolutions = 10 * filters + (len(lengths) - 1) * 10 * filters**2 + len(lengths) * filters
    normalisation = 4 * filters * (len(lengths) + 1)
    dense = lengths[-1] * filters**2 + filters
    heads = 2 * network.n_lines * network.boxes * (filters + 1)
    return convolutions + normalisation + dense + heads
