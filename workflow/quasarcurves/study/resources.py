"""What every step of a study needs, estimated before it starts: memory and time, for schedulers.

Each step has a line in a table, each training an estimate of its own. A request is the need times a safety factor, the
room that Snakemake itself takes in a job of a cluster, and a few minutes for its start; a retry asks for twice as much.
The numbers come from `benchmarks/training_use.csv` and from the benchmark files of studies, on one core of a server
processor of 2023 with little else to do; `benchmarks/requests.py` holds requests against use. Nothing here was measured
on a GPU: there a training is faster than asked for, and TensorFlow takes more memory of the host (see `GPU_MB`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from quasarcurves.spectra import sources
from quasarcurves.spectra.grid import N_BINS

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

LIGHT = frozenset({
    "draw_subset", "collect_test_losses", "judge_convergence", "compare_optimizers", "write_verdict", "plot_optimizers",
    "plot_fractions", "plot_spikes", "plot_spike_statistics", "plot_curvature", "plot_aligned", "plot_cures",
    "plot_purity_completeness", "plot_learning_curves", "plot_spike_cost", "show_tables",
})  # fmt: skip
"""Steps that run beside Snakemake on a cluster as well: no Snakemake of their own needs room."""

_KERNEL, _STRIDE = 10, 2
_SPECTRUM_BYTES = 4 * N_BINS

_TENSORFLOW_MB, _TENSORFLOW_SECONDS = 585, 12
"""What importing it, building a network and compiling takes."""

_HELD = 1.02
"""Of a spectrum's bytes: it is held once, with its row number and what its target is made of."""

_ACTIVATIONS = 3.2
"""Of a training batch, in units of what the convolutions give: kept for the backward pass, and its own."""

_VALIDATED_ROWS, _FORWARD_ACTIVATIONS = 1024, 1.25
"""Spectra validated at a time, and what each takes in the same units."""

_EVALUATED_ROWS, _APPLIED_ROWS, _APPLIED_ACTIVATIONS = 2048, 128, 3.5
"""Spectra evaluated at a time and passed through the network at a time, and what each of the latter takes."""

_RECORD_BYTES = 4 * 10 * 4
"""Of a step: ten measures, copied where the training state is saved."""

_STEP_SECONDS = 0.002
"""Of a step without its arithmetic; optimizers differ by `_STEP_COST`."""

_STEP_COST = {"SGD": 0.6, "Lion": 0.8, "StableAdamW": 1.4}
"""Of a step without the network's arithmetic, over that of Adam; of optimizers that are measured to differ."""

_FLOPS, _SECONDS_PER_ACTIVATION = 9e10, 7e-9
"""Arithmetic per second in convolutions, and what batch normalisation and the like take for each number they treat."""

_DROPOUT_SECONDS = 1e-8
"""Of drawing whether to drop one of these numbers."""

_SPEEDUP = 0.6
"""Of the arithmetic by threads, as their power: four threads are 2.3 times as fast as one. Assumed, not measured."""

_EPOCH_SECONDS, _STATE_SECONDS, _STATE_SECONDS_PER_STEP = 0.004, 0.05, 1.5e-7
"""Of an epoch's record; of saving the training state, and for each step that is in it by then."""

_PORTION_MB = 1024

_CURVATURE_GRADIENTS, _CURVATURE_MB, _CURVATURE_ACTIVATIONS = 35, 16, 12.8
"""Gradients of the probe that measuring the curvature takes as long as; its memory, and that of a probe's spectrum in
units of what the convolutions give."""


class Need(NamedTuple):
    """What a job uses where nothing else runs: megabytes, and seconds on one core (a training on those it has)."""

    mb: float
    seconds: float


@dataclass(frozen=True)
class Sizes:
    """What the needs of a study's steps grow with.

    Parameters
    ----------
    spectra, tested : int
        Spectra in all, and in the test set.
    source_bytes : int
        Of the files that spectra are read from.
    runs, replicates : int
    groups : int
        Pairs of a fraction and an optimizer.
    steps, epochs : int
        Of all runs together.
    longest_steps, longest_epochs : int
        Of the longest run.
    """

    spectra: int
    tested: int
    source_bytes: int
    runs: int
    replicates: int
    groups: int
    steps: int
    epochs: int
    longest_steps: int
    longest_epochs: int

    @property
    def group_steps(self) -> int:
        """Steps of all replicates of one optimizer and fraction, at most."""
        return self.longest_steps * self.replicates

    @property
    def scored(self) -> int:
        """Test spectra of all runs."""
        return self.tested * self.runs


_STEPS: dict[str, Callable[[Sizes], Need]] = {
    # megabytes; seconds
    "prepare_spectra": lambda s: Need(75 + 0.025 * min(s.spectra, 4096), 2 + 1e-4 * s.spectra + 1e-7 * s.source_bytes),
    "draw_subset": lambda s: Need(52 + 7e-5 * s.spectra, 1 + 1e-6 * s.spectra),
    "collect_histories": lambda s: Need(155 + 6e-4 * s.longest_epochs + 0.03 * s.runs, 3 + 3e-6 * s.steps),
    "collect_test_losses": lambda s: Need(145 + 1e-5 * s.tested, 2 + 0.01 * s.runs + 1e-7 * s.scored),
    "compute_metrics": lambda s: Need(153 + 7e-3 * s.tested + 0.02 * s.runs, 2 + 0.7 * s.runs + 3e-4 * s.scored),
    "measure_spike_cost": lambda s: Need(150 + 2e-4 * s.tested, 2 + 0.2 * s.runs + 1e-5 * s.scored),
    "find_spikes": lambda s: Need(151 + 1e-5 * s.steps + 6.5e-5 * s.longest_steps, 2 + 0.1 * s.runs + 1e-5 * s.steps),
    "diagnose_spikes": lambda s: Need(153 + s.groups + 8e-5 * s.group_steps, 2 + 0.1 * s.groups + 5e-6 * s.steps),
    "judge_convergence": lambda s: Need(165 + 2.5e-4 * s.epochs, 2 + 0.02 * s.runs + 1e-4 * s.longest_epochs),
    "compare_optimizers": lambda s: Need(163 + 2.5e-4 * s.epochs, 2 + 0.05 * s.runs),
    "write_verdict": lambda s: Need(148, 2),
    "fit_learning_curves": lambda s: Need(149 + 0.01 * s.runs, 3 + 0.1 * s.runs),
    "plot_fractions": lambda s: Need(196 + 4e-4 * s.epochs, 5 + 1e-4 * s.epochs),
    "plot_optimizers": lambda s: Need(200 + 4e-4 * s.epochs, 5 + 1e-4 * s.epochs),
    "plot_spikes": lambda s: Need(203 + 0.1 * s.runs + 5e-6 * s.longest_steps, 5 + 0.1 * s.runs + 1e-6 * s.steps),
    "plot_spike_statistics": lambda s: Need(200 + 0.1 * s.runs, 5 + 0.02 * s.runs),
    "plot_curvature": lambda s: Need(205 + 0.2 * s.runs, 5 + 0.1 * s.runs),
    "plot_aligned": lambda s: Need(195 + 1.2 * s.groups, 5 + 0.05 * s.groups),
    "plot_cures": lambda s: Need(208 + 0.1 * s.groups, 5 + 0.02 * s.runs),
    "plot_purity_completeness": lambda s: Need(175 + 0.2 * s.runs, 5 + 0.05 * s.runs),
    "plot_learning_curves": lambda s: Need(206 + 0.1 * s.groups, 5 + 0.1 * s.groups),
    "plot_spike_cost": lambda s: Need(199 + 0.1 * s.runs, 5 + 0.02 * s.runs),
    "show_tables": lambda s: Need(148 + 0.02 * s.runs, 3 + 0.02 * s.runs),
}  # fmt: skip


def step_need(rule: str, sizes: Sizes) -> Need:
    """Estimate the need of a step that is no training or evaluation."""
    return _STEPS[rule](sizes)


def training_need(
    params: Mapping[str, Any], n_train: int, n_validation: int, checkpoint_every: int, threads: int
) -> Need:
    """Estimate the need of a training.

    Parameters
    ----------
    params : mapping
        `Study.run_params` of the run.
    n_train, n_validation : int
        Spectra.
    checkpoint_every : int
        Epochs between training states.
    threads : int
    """
    network, settings = params["network"], params["training"]
    batch = min(settings["batch_size"], n_train)
    per_epoch, epochs = training_length(settings, n_train)
    steps = per_epoch * epochs
    spectrum = spectrum_seconds(network) / threads**_SPEEDUP
    step = _STEP_SECONDS * _STEP_COST.get(params["optimizer_spec"]["class"], 1) + batch * spectrum
    validation = n_validation * spectrum / 3
    states = (epochs / checkpoint_every + 1) * (_STATE_SECONDS + _STATE_SECONDS_PER_STEP * steps / 2)
    training = Need(
        _TENSORFLOW_MB + _data_mb(network, n_train + n_validation, steps) + _held_mb(network, batch, n_validation),
        _TENSORFLOW_SECONDS
        + steps * step
        + epochs * (_EPOCH_SECONDS + validation / settings["validate_every"])
        + states,
    )
    curvature = _curvature_need(params, n_train, steps, spectrum)
    return Need(training.mb + curvature.mb, training.seconds + curvature.seconds)


def pack_need(alone: Sequence[Need], n_each: int, n_all: int) -> Need:
    """Estimate the need of trainings in one program: what each takes, but what they share only once.

    Parameters
    ----------
    alone : sequence of Need
        Of each by itself.
    n_each, n_all : int
        Spectra that one reads, and all of them together.
    """
    shared = _HELD * (len(alone) * n_each - n_all) * _SPECTRUM_BYTES / 1e6
    imports = (len(alone) - 1) * _TENSORFLOW_MB
    return Need(sum(need.mb for need in alone) - imports - shared, sum(need.seconds for need in alone))


def _data_mb(network: Mapping[str, Any], n_spectra: int, steps: int) -> float:
    """Memory of spectra, record and weights."""
    return (_HELD * n_spectra * _SPECTRUM_BYTES + steps * _RECORD_BYTES) / 1e6 + 0.3 * network["filters"]


def _held_mb(network: Mapping[str, Any], batch: int, n_validation: int) -> float:
    """Memory of the activations: of a batch, or of the spectra validated at a time if those take more."""
    held = max(_ACTIVATIONS * batch, _FORWARD_ACTIVATIONS * min(n_validation, _VALIDATED_ROWS))
    return held * _activation_bytes(network) / 1e6


def _curvature_need(params: Mapping[str, Any], n_train: int, steps: int, spectrum: float) -> Need:
    """What measuring the curvature adds to a training."""
    if "diagnosis" not in params:
        return Need(0, 0)
    probe = min(params["diagnosis"]["probe_size"], n_train)
    measurements = steps / params["diagnosis"]["curvature_every"]
    gradients = measurements * _CURVATURE_GRADIENTS
    memory = _CURVATURE_MB + _CURVATURE_ACTIVATIONS * probe * _activation_bytes(params["network"]) / 1e6
    return Need(memory, 5 + gradients * (_STEP_SECONDS + probe * spectrum))


def evaluation_need(network: Mapping[str, Any], n_spectra: int, n_test: int, models: int) -> Need:
    """Estimate the need of applying that many models of a run to the test set."""
    applied = _APPLIED_ACTIVATIONS * min(n_test, _APPLIED_ROWS) * _activation_bytes(network) / 1e6
    memory = 46 + applied + 0.009 * min(n_test, _EVALUATED_ROWS) + 4e-5 * n_spectra
    return Need(memory, 1 + models * (0.1 + n_test * spectrum_seconds(network) / 3))


def training_length(settings: Mapping[str, Any], n_train: int) -> tuple[int, int]:
    """Steps of an epoch, and epochs, of a training with those settings."""
    rounded = math.floor if settings.get("last_batch") == "drop" else math.ceil
    per_epoch = max(1, rounded(n_train / settings["batch_size"]))
    return per_epoch, settings.get("epochs") or math.ceil(settings["steps"] / per_epoch)


def spectrum_seconds(network: Mapping[str, Any]) -> float:
    """Time of one spectrum in one training step, on one thread."""
    per_activation = _SECONDS_PER_ACTIVATION + (_DROPOUT_SECONDS if network["dropout"] else 0)
    return flops_per_spectrum(network) / _FLOPS + per_activation * _activation_bytes(network) / 4


def _activation_bytes(network: Mapping[str, Any]) -> int:
    """Size of what the convolutions give for one spectrum."""
    return 4 * network["filters"] * sum(_lengths(network["layers"]))


def _lengths(layers: int) -> list[int]:
    """Bins left by each convolution."""
    lengths = [N_BINS]
    for _ in range(layers):
        lengths.append(-(-lengths[-1] // _STRIDE) if layers > 4 else (lengths[-1] - _KERNEL) // _STRIDE + 1)
    return lengths[1:]


def flops_per_spectrum(network: Mapping[str, Any]) -> float:
    """Floating-point operations of one spectrum in one training step: forward, and twice that backward."""
    filters, lengths = network["filters"], _lengths(network["layers"])
    products = lengths[0] * _KERNEL * filters + sum(lengths[1:]) * _KERNEL * filters**2
    heads = 2 * network["boxes"] * (len(network["lines"]) + len(network["bal_lines"]))
    return 3 * 2 * (products + lengths[-1] * filters**2 + filters * heads)


def spectra_in_file(size_mb: float) -> int:
    """Number of spectra in a file of prepared spectra of that size (in MB of 2**20 bytes)."""
    return round(size_mb * 2**20 / _SPECTRUM_BYTES)


def spectra_in_source(source: str, source_bytes: int) -> int:
    """Number of spectra in the files of a source, roughly."""
    return round(source_bytes / sources.bytes_per_spectrum(source))


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
    beside = 0 if rule in LIGHT else SNAKEMAKE_MB + SNAKEMAKE_MB_PER_RUN * runs
    start = START_SECONDS + (0 if rule in LIGHT else SNAKEMAKE_SECONDS_PER_RUN * runs)
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
