"""What every step of a study needs, estimated before it starts: memory and time, for schedulers.

The need of most steps stands in the table of steps (`steps.py`); trainings and evaluations have estimates of their
own. A request is the need times a safety factor, the room that Snakemake itself takes in a job of a cluster, and a
few minutes for its start; a retry asks for twice as much. The numbers come from `benchmarks/training_use.csv` and
from the benchmark files of studies, on one core of a server processor of 2023 with little else to do;
`benchmarks/requests_use.py` holds requests against use. Nothing here was measured on a GPU: there a training is
faster than asked for, and TensorFlow takes more memory of the host (see `GPU_MB`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from quasarcurves.study.steps import STEPS, Need
from quasarcurves.training import optimizer_traits
from quasarcurves.training.cost import Cost
from quasarcurves.training.run_settings import RunSettings
from quasarcurves.training.settings import ReplaySettings

MEMORY_SAFETY = 1.4
"""Of memory asked for over the need. Estimates are within 15 % of the use."""

TIME_SAFETY = 2.5
"""Of time asked for over the need: a core may be half as fast as the one measured on, or shared."""

START_SECONDS = 240
"""Asked for whatever a job does. Importing TensorFlow from a network file system may take a minute or two."""

SNAKEMAKE_MB, SNAKEMAKE_MB_PER_RUN = 380, 0.04
"""A job of a cluster holds two more Snakemake processes, of 160 MB each, and more where the study has many runs."""

SNAKEMAKE_SECONDS_PER_RUN = 0.005
"""Each of them sorts out the runs of the study before it starts its job."""

GPU_MB = 3000
"""Asked for where a job is given a GPU, whose libraries take memory of the host: an allowance, not a measurement."""

_TENSORFLOW_MB, START_OF_TRAINING = 615, 12
"""What importing TensorFlow, building a network and compiling takes; the seconds are those of a job by itself."""

_HELD, _VARIED = 1.02, 2.85
"""Of an example's bytes: it is held once, with its row number and what its target is made of. Versions are put together
in memory that is not aligned, so that the backend copies it: what each takes, the one that was read among them."""

_ACTIVATIONS, _WORKSPACE = 3.2, 1.9
"""Of a training batch, in units of what the convolutions give: kept for the backward pass, and its own. The same in
units of what layers keep besides."""

_VALIDATED_ROWS, _FORWARD_ACTIVATIONS = 1024, 1.25
"""Examples validated at a time, and what each takes in the same units."""

_EVALUATED_ROWS, _APPLIED_ROWS, _APPLIED_ACTIVATIONS = 2048, 128, 3.5
"""Examples evaluated at a time and passed through the network at a time, and what each of the latter takes."""

_RECORD_BYTES = 4 * 11 * 4
"""Of a step: eleven measures, copied where the training state is saved."""

_STEP_SECONDS = 0.0008
"""Of a step without its arithmetic, with Adam; other optimizers differ by their trait `step_cost`."""

_SPEEDUP = 0.6
"""Of the arithmetic by threads, as their power: four threads are 2.3 times as fast as one. Assumed, not measured."""

_EPOCH_SECONDS, _STATE_SECONDS, _STATE_SECONDS_PER_STEP = 0.004, 0.05, 1.5e-7
"""Of an epoch's record; of saving the training state, and for each step that is in it by then."""

_PORTION_MB = 1024

_CURVATURE_GRADIENTS, _CURVATURE_MB, _CURVATURE_ACTIVATIONS, _CURVATURE_WORKSPACE = 35, 16, 12.8, 3.4
"""Gradients of the probe that measuring the curvature takes as long as; its memory, and that of a probe's example in
units of what the convolutions give and of what layers keep besides."""

_BATCH_GRADIENTS = 4
"""Gradients of a batch that measuring its sharpness takes as long as."""

_SPIKES, _FORK_SECONDS, _ARM_SECONDS, _VARIANT_MB = 5, 2, 5, 30
"""Of replays: spikes assumed of a run, curvature and losses at a fork, compilation of an arm with its memory."""

_ARM_COST = {"norm_256": 7, "float64": 2, "batch_x0.5": 1.2}
"""Time of a replay in units of that as it is, where it differs much."""


_MAGNIFIED_STEPS, _MAGNIFIED_PROBE, _MAGNIFIED_BATCHES, _MAGNIFIED_SECONDS = 121, 256, 8, 15
"""Of a spike that is looked at: its steps, examples of the probe and batches at each; compilation, once."""

_PROBE_GRADIENTS = 1.3
"""Gradients of the probe that a step looked at takes: one, and the outputs."""


def training_need(
    run: RunSettings, cost: Cost, n_train: int, n_validation: int, checkpoint_every: int, threads: int
) -> Need:
    """Estimate the need of a training.

    Parameters
    ----------
    run : RunSettings
    cost : Cost
        Of an example.
    n_train, n_validation : int
        Examples.
    checkpoint_every : int
        Epochs between training states.
    threads : int
    """
    settings = run.training
    batch = min(settings.batch_size, n_train)
    epochs, steps = settings.n_epochs(n_train), settings.n_steps(n_train)
    example, forward = cost.seconds / threads**_SPEEDUP, cost.forward_seconds / threads**_SPEEDUP
    step = _STEP_SECONDS * optimizer_traits.of_name(run.optimizer_spec["class"]).step_cost + batch * example
    # without gradients
    validation = n_validation * forward
    states = (epochs / checkpoint_every + 1) * (_STATE_SECONDS + _STATE_SECONDS_PER_STEP * steps / 2)
    training = Need(
        _TENSORFLOW_MB + _data_mb(cost, n_train, n_validation, steps) + _held_mb(cost, batch, n_validation),
        START_OF_TRAINING + steps * step + epochs * (_EPOCH_SECONDS + validation / settings.validate_every) + states,
    )
    curvature = _curvature_need(run, cost, n_train, steps, example)
    return Need(training.mb + curvature.mb, training.seconds + curvature.seconds)


def held_mb(cost: Cost, n_train: int, n_validation: int) -> float:
    """Return the memory of the examples of a training; those to validate on have no versions."""
    by_trained = _HELD if cost.versions == 1 else _VARIED * cost.versions
    return cost.example_bytes * (by_trained * n_train + _HELD * n_validation) / 1e6


def pack_need(alone: Sequence[Need], each_mb: float, all_mb: float) -> Need:
    """Estimate the need of trainings in one program: what each takes, but what they share only once.

    Parameters
    ----------
    alone : sequence of Need
        Of each by itself.
    each_mb, all_mb : float
        Of the examples that one holds, and that all of them hold together (`held_mb`).
    """
    shared = len(alone) * each_mb - all_mb
    imports = (len(alone) - 1) * _TENSORFLOW_MB
    return Need(sum(need.mb for need in alone) - imports - shared, sum(need.seconds for need in alone))


def replay_need(
    alone: Need, run: RunSettings, cost: Cost, replays: ReplaySettings, n_train: int, jobs: int, threads: int
) -> Need:
    """Estimate the need of the replays of some forks of a run.

    Parameters
    ----------
    alone : Need
        Of its training, which is gone through again.
    run : RunSettings
    cost : Cost
        Of an example.
    replays : ReplaySettings
    n_train : int
        Examples that the run trains on.
    jobs : int
        Jobs that share the forks.
    threads : int
    """
    steps, settings = run.training.n_steps(n_train), run.training
    grid = steps // replays.every if replays.every else 0
    forks = grid + _SPIKES * (len(replays.before) + replays.quiet)
    examples = settings.batch_size * cost.seconds / threads**_SPEEDUP
    per_replay = replays.steps * (_STEP_SECONDS + examples)
    arms = sum(_ARM_COST.get(arm, 1) for arm in replays.arms)
    seconds = forks / jobs * (replays.replays * arms * per_replay + _FORK_SECONDS)
    return Need(alone.mb + _VARIANT_MB * len(replays.arms), alone.seconds + _ARM_SECONDS * len(replays.arms) + seconds)


def microscope_need(alone: Need, run: RunSettings, cost: Cost, n_train: int, spikes: int, threads: int) -> Need:
    """Estimate the need of looking at spikes of a run step by step.

    Parameters
    ----------
    alone : Need
        Of its training, which is gone through again.
    run : RunSettings
    cost : Cost
        Of an example.
    n_train : int
        Examples that the run trains on.
    spikes : int
    threads : int
    """
    example = cost.seconds / threads**_SPEEDUP
    batch, probe = min(run.training.batch_size, n_train), min(_MAGNIFIED_PROBE, n_train)
    batches = _BATCH_GRADIENTS * (_MAGNIFIED_BATCHES + 1) * (_STEP_SECONDS + batch * example)
    step = batches + _PROBE_GRADIENTS * (_STEP_SECONDS + probe * example)
    memory = _differentiated_mb(cost, max(probe, batch))
    memory += _MAGNIFIED_BATCHES * batch * cost.example_bytes / 1e6
    seconds = _MAGNIFIED_SECONDS + spikes * _MAGNIFIED_STEPS * step
    return Need(alone.mb + memory, alone.seconds + seconds)


def _data_mb(cost: Cost, n_train: int, n_validation: int, steps: int) -> float:
    """Memory of examples, record and weights."""
    return held_mb(cost, n_train, n_validation) + steps * _RECORD_BYTES / 1e6 + cost.model_mb


def _held_mb(cost: Cost, batch: int, n_validation: int) -> float:
    """Memory of the activations: of a batch, or of the examples validated at a time if those take more."""
    trained = batch * (_ACTIVATIONS * cost.activation_bytes + _WORKSPACE * cost.workspace_bytes)
    validated = min(n_validation, _VALIDATED_ROWS) * _FORWARD_ACTIVATIONS * cost.activation_bytes
    return max(trained, validated) / 1e6


def _differentiated_mb(cost: Cost, examples: int) -> float:
    """Memory of measuring a curvature with so many examples at a time."""
    of_example = _CURVATURE_ACTIVATIONS * cost.activation_bytes + _CURVATURE_WORKSPACE * cost.workspace_bytes
    return _CURVATURE_MB + examples * of_example / 1e6


def _curvature_need(run: RunSettings, cost: Cost, n_train: int, steps: int, example: float) -> Need:
    """What measuring the curvature adds to a training."""
    if run.diagnosis is None:
        return Need(0, 0)
    probe = min(run.diagnosis.probe_size, n_train)
    measurements = steps / run.diagnosis.curvature_every
    batch = min(run.training.batch_size, n_train)
    memory = _differentiated_mb(cost, max(probe, batch))
    memory += run.diagnosis.batches * batch * cost.example_bytes / 1e6
    probed = _CURVATURE_GRADIENTS * (_STEP_SECONDS + probe * example)
    batched = run.diagnosis.batches * _BATCH_GRADIENTS * (_STEP_SECONDS + batch * example)
    return Need(memory, 5 + measurements * (probed + batched))


def evaluation_need(cost: Cost, n_examples: int, n_test: int, models: int) -> Need:
    """Estimate the need of applying that many models of a run to the test set."""
    applied = _APPLIED_ACTIVATIONS * min(n_test, _APPLIED_ROWS) * cost.activation_bytes / 1e6
    memory = 46 + applied + 0.009 * min(n_test, _EVALUATED_ROWS) + 4e-5 * n_examples
    keras = (_TENSORFLOW_MB, START_OF_TRAINING) if cost.with_keras else (0, 0)
    return Need(memory + keras[0], 1 + keras[1] + models * (0.1 + n_test * cost.forward_seconds))


def request(rule: str, need: Need, runs: int, attempt: int = 1, gpu: bool = False) -> dict[str, int]:
    """Say what to ask for, for a job with that need.

    Parameters
    ----------
    rule : str
    need : Need
    runs : int
        Of the study.
    attempt : int
        From 1; each asks for twice what the one before did.
    gpu : bool
        Whether the job is given one.

    Returns
    -------
    dict
        `mem_mb` and `runtime` (minutes), as Snakemake's resources.
    """
    light = STEPS[rule].light
    beside = 0 if light else SNAKEMAKE_MB + SNAKEMAKE_MB_PER_RUN * runs
    start = START_SECONDS + (0 if light else SNAKEMAKE_SECONDS_PER_RUN * runs)
    memory = MEMORY_SAFETY * need.mb + beside + (GPU_MB if gpu else 0)
    factor = 2 ** (attempt - 1)
    minutes = (start + TIME_SAFETY * need.seconds) / 60
    return {
        "mem_mb": _in_portions(factor * memory),
        "runtime": math.ceil(factor * minutes),
    }


def _in_portions(megabytes: float) -> int:
    """Round up; above 2 GB to whole ones, as AWS Batch takes memory, whose plugin cuts what is not such."""
    portion = 1 if megabytes <= 2 * _PORTION_MB else _PORTION_MB
    return math.ceil(megabytes / portion) * portion
