"""What is refused of a study before anything is computed, besides what its schema and its task refuse."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from quasarcurves.spectra import subsets
from quasarcurves.study.runs import ARMS_OF_USUAL, FROZEN, LENGTHS, WITHOUT, Runs, spec_alone
from quasarcurves.study.schema import StudyError
from quasarcurves.study.steps import STEPS
from quasarcurves.training import optimizer_specs
from quasarcurves.training.extras import install_hint
from quasarcurves.training.settings import LOSS

_MISSING = {"NA", "NULL", "NaN", "None", "nan", "null"}
"""Names that tables take for a missing value."""

_LARGEST_PACK = 200
"""Trainings in one job: its command line names the files of each, and may have 128 kB on Linux."""

_MOST_RUNS = 100_000
"""Trainings of a study: Snakemake takes 100 kB for each (docs/scale.md)."""


def check(study: Runs, config: Mapping[str, Any]) -> None:
    """Refuse a study that cannot be done as it is written.

    Parameters
    ----------
    study : Runs
        Of the whole configuration.
    config : mapping
        As it is written, without defaults.

    Raises
    ------
    StudyError, ValueError
        With the key, what it says, and what is expected.
    """
    _check_lengths(config)
    _check_number(study)
    _check_task(study, config)
    _check_subsets(study)
    _check_known_sizes(study)
    _check_optimizers(study)
    _check_backend(study)
    _check_best(study)
    _check_pack(study)
    _check_replays(study)


def _check_lengths(config: Mapping[str, Any]) -> None:
    """Refuse two lengths of one training, before defaults are filled in."""
    blocks = {f"optimizers.{name}.training": spec.get("training") for name, spec in config["optimizers"].items()}
    for where, block in {"training": config.get("training"), **blocks}.items():
        if block and block.keys() >= LENGTHS:
            raise StudyError(f"{where}: epochs and steps are both given, expected one of them")


def _check_number(study: Runs) -> None:
    replicates = study.config["study"]["replicates"]
    n = replicates * sum(len(study.fractions_of(name)) for name in study.optimizers)
    if n > _MOST_RUNS:
        raise StudyError(
            f"study.replicates: {replicates:,} replicates of every optimizer and fraction are {n:,} trainings, "
            f"expected at most {_MOST_RUNS:,}"
        )


def _check_task(study: Runs, config: Mapping[str, Any]) -> None:
    """Refuse what the task cannot do; `config` is without defaults, which are left out silently."""
    if study.usual:
        return
    replays = config.get("diagnosis", {}).get("replays") or {}
    for arm in ARMS_OF_USUAL:
        if arm in replays.get("arms", []):
            raise StudyError(
                f"diagnosis.replays.arms: {arm} needs another way to compute QuasarNET's loss, which the task "
                f"{study.task.name} does not have"
            )
    for figure in config.get("figures") or {}:
        if not study.has(STEPS[f"plot_{figure}"]):
            raise StudyError(f"figures.{figure}: there is no such figure of the task {study.task.name}")


def _check_subsets(study: Runs) -> None:
    subset, replicates = study.config["subsets"], study.config["study"]["replicates"]
    available = subsets.available_fraction(subset["test_fraction"], subset["validation_fraction"])
    shares = (
        f"test_fraction {subset['test_fraction']} and validation_fraction {subset['validation_fraction']} "
        f"leave {available:g} of the {study.task.examples}"
    )
    for fraction in study.fractions:
        if fraction > available:
            raise StudyError(f"subsets.fractions: {fraction} is too large, {shares}")
        if subset["scheme"] == "independent" and round(fraction * replicates, 12) > available:
            raise StudyError(
                f"subsets.fractions: {replicates} independent replicates of {fraction} do not fit, {shares}"
            )


def _check_known_sizes(study: Runs) -> None:
    """Refuse sets without examples, and epochs without a whole batch, where the number of examples is known."""
    n = study.task.known_examples(study.config["data"])
    if n is None:
        return
    share = study.config["subsets"]["test_fraction"]
    if not study.share(n, "test_fraction"):
        raise StudyError(f"subsets.test_fraction: {share:g} of {n} {study.task.examples} are none, expected a test set")
    for run in study.runs:
        if not run.n_train(n):
            raise StudyError(
                f"subsets.fractions: {run.fraction:g} of {n} {study.task.examples} are none, expected a training set"
            )
        training = study.training_settings(run.optimizer)
        if training.last_batch == "drop" and training.batch_size > run.n_train(n):
            raise StudyError(
                f"training.last_batch is 'drop' and batches of {run.optimizer} have {training.batch_size}, "
                f"expected at most the {run.n_train(n)} of a training set: an epoch would have no step"
            )


def _check_optimizers(study: Runs) -> None:
    specs = study.config["optimizers"]
    _check_names(specs)
    for name, spec in specs.items():
        optimizer_specs.check(spec_alone(spec), f"optimizers.{name}")
        if "match" in spec:
            optimizer_specs.check_match(specs, name)
        _check_fractions(study, name)
        for key, without in WITHOUT.items():
            if key in spec and without not in study.config["network"]:
                raise StudyError(f"optimizers.{name}.{key}: expected network.{without}, without which all runs are so")
        _check_frozen(study, name)


def _check_names(optimizers: Mapping[str, Any]) -> None:
    """Refuse names of optimizers that paths or tables cannot tell apart."""
    known: dict[str, str] = {}
    for name in optimizers:
        if name in _MISSING:
            raise StudyError(f"optimizers.{name}: tables take this name for a missing value, expected another one")
        other = known.setdefault(name.lower(), name)
        if other != name:
            raise StudyError(
                f"optimizers.{name} and {other} differ by capital letters alone; some disks have one file for both"
            )


def _check_fractions(study: Runs, optimizer: str) -> None:
    """Refuse fractions of an optimizer that the study, or the optimizer it is matched to, does not have."""
    match = study.config["optimizers"][optimizer].get("match")
    others = {"subsets.fractions": study.fractions}
    if match:
        others[f"the fractions of {match}, which it is matched to"] = study.fractions_of(match)
    for fraction in study.fractions_of(optimizer):
        for where, known in others.items():
            if fraction not in known:
                found = f"optimizers.{optimizer}.fractions: {fraction:g} is none of {where}"
                raise StudyError(f"{found}, expected some of {', '.join(f'{each:g}' for each in known)}")


def _check_frozen(study: Runs, optimizer: str) -> None:
    """Refuse to keep layers of a file that a run does not start from, and more than there are."""
    spec, key = study.config["optimizers"][optimizer], f"optimizers.{optimizer}.{FROZEN}"
    if FROZEN not in spec:
        return
    if "start" not in study.network_of(optimizer):
        raise StudyError(f"{key}: expected a run from the weights of network.start, found one from fresh weights")
    most = study.config["network"]["layers"] + 1
    if spec[FROZEN] > most:
        raise StudyError(f"{key}: expected at most {most}, the convolutions and the common layer, found {spec[FROZEN]}")


def _check_backend(study: Runs) -> None:
    # TensorFlow, the default, is asked for where it is needed: what looks after results does without
    if study.backend == "jax" and find_spec("jax") is None:
        raise StudyError(
            f"training.backend is 'jax', which is not installed: {install_hint('jax')}, "
            "or in a checkout `sh requirements/install.sh jax`"
        )


def _check_best(study: Runs) -> None:
    share = study.config["subsets"]["validation_fraction"]
    n = study.task.known_examples(study.config["data"])
    best = study.config["training"]["best"]
    if best != LOSS and (not share or (n and not round(share * n))):
        raise StudyError(
            f"training.best is {best!r} and subsets.validation_fraction is {share:g}: expected a validation set to "
            "choose the best weights by"
        )


def _check_pack(study: Runs) -> None:
    if study.config["training"]["pack"] and study.backend != "jax":
        raise StudyError(
            f"training.pack is true and training.backend is {study.backend!r}, expected 'jax': it alone can pack"
        )
    n, replicates = len(study.pack(study.fractions[0])), study.config["study"]["replicates"]
    if n > _LARGEST_PACK:
        raise StudyError(
            f"training.pack: {len(study.packed)} optimizers with {replicates} replicates are {n} trainings in one "
            f"program, expected at most {_LARGEST_PACK}"
        )


def _check_replays(study: Runs) -> None:
    """Refuse replays of trainings that there are not."""
    chosen = study.config["diagnosis"].get("replays", {})
    known: dict[str, list[Any]] = {"optimizers": study.optimizers, "fractions": study.fractions}
    for key, names in known.items():
        for name in chosen.get(key, []):
            if name not in names:
                raise StudyError(
                    f"diagnosis.replays.{key}: {name} is none of the study's, expected some of "
                    f"{', '.join(map(str, names))}"
                )
    if study.replays and not study.replayed_runs:
        raise StudyError("diagnosis.replays: no run has both an optimizer and a fraction of those named")
