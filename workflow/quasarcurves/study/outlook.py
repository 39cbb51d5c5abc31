"""What a study will do, what it takes, and what it can show, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from quasarcurves.spectra import Spectra, census, subsets
from quasarcurves.spectra.census import Census
from quasarcurves.study import chances, limits
from quasarcurves.study.forecast import Forecast, cores, forecast, in_words
from quasarcurves.study.study import Study

HAZARDS = (0.1, 0.3, 1.0)
"""Spikes per 1,000 steps that the power of replays is told for; those of `chances.RATES`, and a lower one."""

_WORST_SHARE = 0.9
"""Completeness for which the uncertainty of the test set is told."""


@dataclass(frozen=True)
class SetSize:
    """Spectra and quasars of a set; of replicates the least and the most.

    Parameters
    ----------
    name : str
    spectra, quasars : (int, int)
    """

    name: str
    spectra: tuple[int, int]
    quasars: tuple[int, int]


@dataclass(frozen=True)
class Outlook:
    """What is known of a study before it is run.

    Parameters
    ----------
    study : Study
    census : Census
        Of its spectra.
    sets : list of SetSize
        Test and validation set, and the training sets, the largest first.
    forecast : Forecast
    cores : int
        Of this machine.
    chances : list of str
        How many spikes to expect, and what they can show.
    warnings : list of str
        What should be looked at before the study is run.
    """

    study: Study
    census: Census
    sets: list[SetSize]
    forecast: Forecast
    cores: int
    chances: list[str]
    warnings: list[str]


def look(study: Study, chunks: Iterable[Spectra]) -> Outlook:
    """Find out what can be known of a study before it is run.

    Parameters
    ----------
    study : Study
    chunks : iterable of Spectra
        Its spectra: as its source reads them, or as they were prepared.

    Raises
    ------
    ValueError
        If there is no usable spectrum, or the subsets cannot be drawn.
    """
    found = census.take(chunks)
    sets, n = list(_sets(study, found)), len(found)
    told = [*chances.of_spikes(study, n), *_of_replays(study, n), _of_the_test_set(sets[0])]
    warnings = [*_about_spectra(found, sets), *(f"cannot tell {each}" for each in limits.unanswered(study, n))]
    return Outlook(study, found, sets, forecast(study, n), cores(), told, warnings)


def describe(outlook: Outlook) -> Iterator[str]:
    """Yield lines on a study's spectra, sets, trainings, what they take and can show, and what to look at."""
    yield from about_spectra(outlook.census)
    yield ""
    yield f"{'set':<28}{'spectra':>14}{'of them quasars':>18}"
    yield from (f"{each.name:<28}{between(each.spectra):>14}{between(each.quasars):>18}" for each in outlook.sets)
    yield ""
    yield from about_cost(outlook)
    yield ""
    yield from outlook.chances
    yield ""
    yield from (f"WARNING: {each}" for each in outlook.warnings)
    if not outlook.warnings:
        yield "Nothing to warn of."


def describe_task(study: Study, about: Iterable[str], target_id: np.ndarray) -> Iterator[str]:
    """Yield lines on a study of a task file: what was found of it, its sets, what it takes, and what to look at.

    Parameters
    ----------
    study : Study
    about : iterable of str
        Of examples and model.
    target_id : (n,) array
        The group of each example.

    Raises
    ------
    ValueError
        If the subsets cannot be drawn.
    """
    n = len(target_id)
    yield from about
    yield ""
    yield f"{'set':<28}{study.task.examples:>14}"
    for name, rows in _rows_of_sets(study, target_id):
        sizes = [len(each) for each in rows]
        yield f"{name:<28}{between((min(sizes), max(sizes))):>14}"
    yield ""
    yield from _about_cost(forecast(study, n), cores())
    yield "Times are those of a small convolutional network: nothing is known of this one before it is trained."
    yield ""
    yield from chances.of_spikes(study, n)
    yield ""
    warnings = list(limits.unanswered(study, n))
    yield from (f"WARNING: cannot tell {each}" for each in warnings)
    if not warnings:
        yield "Nothing to warn of."


def about_spectra(found: Census) -> Iterator[str]:
    """Yield lines on spectra: how many, of which classes, their redshifts and S/N, what is double or contradictory."""
    rejected = sum(found.rejected.values())
    yield f"{_count(len(found), 'usable spectrum', 'usable spectra')}, {rejected:,} rejected" + _each(found.rejected)
    yield f"Classes: {', '.join(f'{name}: {count:,}' for name, count in found.classes.items())}"
    redshifts, snr = found.columns["z"][found.is_quasar], found.columns["snr"]
    yield f"Redshifts of quasars: {_spread(redshifts)}; S/N per bin: {_spread(snr)}"
    conflicts = found.conflicts()
    yield (
        f"Repeat observations: {found.repeated_observations:,}; the same flux under another id: {found.copies:,}; "
        f"objects of two classes: {len(conflicts['class']):,}, of two redshifts: {len(conflicts['redshift']):,}"
    )


def about_cost(outlook: Outlook) -> Iterator[str]:
    """Yield lines on trainings, time, memory and disk."""
    yield from _about_cost(outlook.forecast, outlook.cores)


def _about_cost(cost: Forecast, n: int) -> Iterator[str]:
    yield (
        f"{_count(cost.trainings, 'training')}: {in_words(cost.wall_seconds(1))} on one core, "
        f"{in_words(cost.wall_seconds(n))} on the {n} of this machine; {_count(cost.jobs, 'job')} in all."
    )
    yield (
        f"Memory: {size_words(cost.job_mb * 1e6)} for the largest job, {size_words(cost.memory_mb(n) * 1e6)} with {n} "
        f"at once. Disk: {size_words(cost.disk_bytes)}."
    )


def _sets(study: Study, found: Census) -> Iterator[SetSize]:
    """Yield the sizes of all sets, drawn as the study draws them."""
    for name, rows in _rows_of_sets(study, found.columns["target_id"]):
        yield _size(name, rows, found.is_quasar)


def _rows_of_sets(study: Study, target_id: np.ndarray) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Yield name and rows of all sets, those of the replicates of a training set together."""
    by_fraction: dict[float, list[subsets.Subset]] = {}
    for each in study.wildcards("subset"):
        drawn = subsets.draw(target_id, **study.subset_params(each["fraction"], each["replicate"]))
        by_fraction.setdefault(each["fraction"], []).append(drawn)
    first = next(iter(by_fraction.values()))[0]
    for name, rows in {"test": first.test, "validation": first.validation}.items():
        yield name, [rows]
    for fraction, replicates in by_fraction.items():
        yield f"training, fraction {fraction:g}", [each.train for each in replicates]


def _size(name: str, rows: list[np.ndarray], quasar: np.ndarray) -> SetSize:
    spectra, quasars = [len(each) for each in rows], [int(quasar[each].sum()) for each in rows]
    return SetSize(name, (min(spectra), max(spectra)), (min(quasars), max(quasars)))


def _about_spectra(found: Census, sets: list[SetSize]) -> Iterator[str]:
    """Yield what is wrong with spectra and sets."""
    for kind, ids in found.conflicts().items():
        if len(ids):
            yield f"{_count(len(ids), 'object')} with more than one {kind}: {_some(ids)}"
    if found.copies:
        copied = _count(found.copies, "spectrum", "spectra")
        yield f"{copied} with the flux of another target id: what is tested may have been trained on"
    for each in sets:
        if each.quasars[0] == 0 and each.spectra[1]:
            yield f"the set {each.name} has no quasar"


def _of_the_test_set(tested: SetSize) -> str:
    n = max(tested.quasars[0], 1)
    error = 2 * np.sqrt(_WORST_SHARE * (1 - _WORST_SHARE) / n)
    return (
        f"{_count(tested.quasars[0], 'quasar')} in the test set: a completeness of {_WORST_SHARE:.0%} is known to "
        f"{error:.1%} either way."
    )


def _of_replays(study: Study, n_spectra: int) -> Iterator[str]:
    if not study.replays:
        return
    settings, runs = study.replay_settings, study.replayed_runs
    seconds = study.replay_jobs * sum(study.seconds("replay", n_spectra, run) for run in runs)
    forks = grid_forks(study, n_spectra)
    yield (
        f"Replays of {_count(len(runs), 'training')}: {_count(forks, 'fork')} on the grid of each, and more for its "
        f"spikes; {len(settings.arms)} arms with {_count(settings.replays, 'replay')} of {settings.steps:,} steps at "
        f"each; {in_words(seconds)} on one core."
    )
    if not forks:
        yield "What they can show cannot be said beforehand: it depends on the spikes."
        return
    from quasarcurves.analysis.replays.power import power  # noqa: PLC0415  (slow to import)

    # runs of one optimizer and size are compared with themselves alone
    alike = len(runs) // len({(run.optimizer, run.fraction) for run in runs})
    exposure, arms = float(alike * forks * settings.replays * settings.steps), max(len(settings.arms) - 1, 1)
    found = [power(each, exposure, forks, alike, replays=settings.replays, arms=arms) for each in HAZARDS]
    shown = ", ".join(f"{each.chance:.0%} at {hazard:g}" for hazard, each in zip(HAZARDS, found, strict=True))
    yield (
        f"The grid alone shows an arm that takes the hazard to a fifth with a chance of {shown} spikes per 1,000 steps."
    )


def grid_forks(study: Study, n_spectra: int) -> int:
    """Return the forks on the grid of the longest training replayed, if no spike hides one."""
    settings = study.replay_settings
    if not settings.every:
        return 0
    found = []
    for run in study.replayed_runs:
        training, n_train = study.training_settings(run.optimizer), run.n_train(n_spectra)
        first = max(1, settings.after_epoch * training.steps_per_epoch(n_train))
        found.append(
            len(range(-(-first // settings.every) * settings.every, training.n_steps(n_train), settings.every))
        )
    return max(found)


def between(ends: tuple[int, int]) -> str:
    """Return a number or a range in words."""
    return f"{ends[0]:,}" if ends[0] == ends[1] else f"{ends[0]:,} to {ends[1]:,}"


def size_words(size: float) -> str:
    """Return a number of bytes in words."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{max(size / 1e6, 1):,.0f} MB"


def _count(n: int, noun: str, plural: str = "") -> str:
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def _each(counts: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{reason} {count:,}' for reason, count in counts.items())})" if counts else ""


def _spread(values: np.ndarray) -> str:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return "none known"
    low, middle, high = np.percentile(finite, [5, 50, 95])
    return f"median {middle:.3g}, 5 to 95 % {low:.3g} to {high:.3g}"


def _some(ids: np.ndarray, most: int = 5) -> str:
    shown = ", ".join(map(str, ids[:most]))
    return shown if len(ids) <= most else f"{shown} and {len(ids) - most:,} more"
