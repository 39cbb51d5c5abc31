"""What a study will do, what it takes, and what it can show, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from quasarcurves.spectra import subsets
from quasarcurves.study import chances, limits
from quasarcurves.study.forecast import Forecast, cores, forecast, in_words
from quasarcurves.study.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HAZARDS = (0.1, 0.3, 1.0)
"""Spikes per 1,000 steps that the power of replays is told for; those of `chances.RATES`, and a lower one."""

_WORST_SHARE = 0.9
"""Share of those found for which the uncertainty of the test set is told."""


class Kind(NamedTuple):
    """A kind of examples that is to be found among the others.

    Attributes
    ----------
    name : str
        What one is called.
    found : str
        What the share of them that is found is called.
    members : (n,) bool array
        Which examples are of the kind.
    """

    name: str
    found: str
    members: np.ndarray


class Shown(NamedTuple):
    """A figure of the examples, with the words that go with it."""

    title: str
    figure: Figure
    caption: str


@dataclass(frozen=True)
class Seen:
    """What the task tells of the examples of a study before it is run.

    Parameters
    ----------
    about : list of str
        Lines on them, and on the model where it was tried.
    target_id : (n,) array
        The object that each is of: no object is in two sets.
    kind : Kind, optional
        What the model looks for among them.
    warnings : list of str
        What is wrong with them.
    figures : list of Shown
    known_cost : bool
        Whether times and memory are foretold for this model, or for a small network in its place.
    """

    about: list[str]
    target_id: np.ndarray
    kind: Kind | None = None
    warnings: list[str] = field(default_factory=list)
    figures: list[Shown] = field(default_factory=list)
    known_cost: bool = True


@dataclass(frozen=True)
class SetSize:
    """Examples of a set, and those of the kind that is looked for; of replicates the least and the most.

    Parameters
    ----------
    name : str
    examples : (int, int)
    of_kind : (int, int) or None
        None where no kind is looked for.
    """

    name: str
    examples: tuple[int, int]
    of_kind: tuple[int, int] | None


@dataclass(frozen=True)
class Outlook:
    """What is known of a study before it is run.

    Parameters
    ----------
    study : Study
    seen : Seen
        Its examples.
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
    seen: Seen
    sets: list[SetSize]
    forecast: Forecast
    cores: int
    chances: list[str]
    warnings: list[str]

    @property
    def columns(self) -> list[str]:
        """What the columns of the table of sets are called."""
        kind = self.seen.kind
        return ["set", self.study.task.examples, *([f"of them {kind.name}s"] if kind else [])]


def look(study: Study, seen: Seen) -> Outlook:
    """Find out what can be known of a study before it is run.

    Parameters
    ----------
    study : Study
    seen : Seen
        Its examples.

    Raises
    ------
    ValueError
        If the subsets cannot be drawn.
    """
    sets, n = list(_sets(study, seen)), len(seen.target_id)
    told = [*chances.of_spikes(study, n), *_of_replays(study, n), *_of_the_test_set(sets[0], seen.kind)]
    warnings = [
        *seen.warnings,
        *_lacking(sets, seen.kind),
        *(f"cannot tell {each}" for each in limits.unanswered(study, n)),
    ]
    return Outlook(study, seen, sets, forecast(study, n), cores(), told, warnings)


def describe(outlook: Outlook) -> Iterator[str]:
    """Yield lines on a study's examples, sets, trainings, what they take and can show, and what to look at."""
    yield from outlook.seen.about
    yield ""
    yield _row(outlook.columns)
    yield from (_row([each.name, *sizes(each)]) for each in outlook.sets)
    yield ""
    yield from about_cost(outlook)
    yield ""
    yield from outlook.chances
    yield ""
    yield from (f"WARNING: {each}" for each in outlook.warnings)
    if not outlook.warnings:
        yield "Nothing to warn of."


def _row(cells: list[str]) -> str:
    return f"{cells[0]:<28}{cells[1]:>14}" + "".join(f"{cell:>18}" for cell in cells[2:])


def sizes(of: SetSize) -> list[str]:
    """Return the sizes of a set in words, in the order of `Outlook.columns`."""
    return [between(each) for each in (of.examples, of.of_kind) if each is not None]


def about_cost(outlook: Outlook) -> Iterator[str]:
    """Yield lines on trainings, time, memory and disk."""
    cost, n = outlook.forecast, outlook.cores
    yield (
        f"{count(cost.trainings, 'training')}: {in_words(cost.wall_seconds(1))} on one core, "
        f"{in_words(cost.wall_seconds(n))} on the {n} of this machine; {count(cost.jobs, 'job')} in all."
    )
    yield (
        f"Memory: {size_words(cost.job_mb * 1e6)} for the largest job, {size_words(cost.memory_mb(n) * 1e6)} with {n} "
        f"at once. Disk: {size_words(cost.disk_bytes)}."
    )
    if not outlook.seen.known_cost:
        yield "Times are those of a small convolutional network: nothing is known of this one before it is trained."


def _sets(study: Study, seen: Seen) -> Iterator[SetSize]:
    """Yield the sizes of all sets, drawn as the study draws them."""
    for name, rows in _rows_of_sets(study, seen.target_id):
        of_kind = [int(seen.kind.members[each].sum()) for each in rows] if seen.kind else []
        yield SetSize(name, _ends([len(each) for each in rows]), _ends(of_kind) if of_kind else None)


def _ends(counts: list[int]) -> tuple[int, int]:
    return min(counts), max(counts)


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


def _lacking(sets: list[SetSize], kind: Kind | None) -> Iterator[str]:
    """Yield the sets that have none of the kind that is looked for."""
    for each in sets:
        if kind and each.of_kind and each.of_kind[0] == 0 and each.examples[1]:
            yield f"the set {each.name} has no {kind.name}"


def _of_the_test_set(tested: SetSize, kind: Kind | None) -> Iterator[str]:
    if kind is None or tested.of_kind is None:
        return
    n = tested.of_kind[0]
    error = 2 * np.sqrt(_WORST_SHARE * (1 - _WORST_SHARE) / max(n, 1))
    yield (
        f"{count(n, kind.name)} in the test set: a {kind.found} of {_WORST_SHARE:.0%} is known to {error:.1%} either "
        "way."
    )


def _of_replays(study: Study, n_examples: int) -> Iterator[str]:
    if not study.replays:
        return
    settings, runs = study.replay_settings, study.replayed_runs
    seconds = study.replay_jobs * sum(study.seconds("replay", n_examples, run) for run in runs)
    forks = grid_forks(study, n_examples)
    yield (
        f"Replays of {count(len(runs), 'training')}: {count(forks, 'fork')} on the grid of each, and more for its "
        f"spikes; {len(settings.arms)} arms with {count(settings.replays, 'replay')} of {settings.steps:,} steps at "
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


def grid_forks(study: Study, n_examples: int) -> int:
    """Return the forks on the grid of the longest training replayed, if no spike hides one."""
    settings = study.replay_settings
    if not settings.every:
        return 0
    found = []
    for run in study.replayed_runs:
        training, n_train = study.training_settings(run.optimizer), run.n_train(n_examples)
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


def count(n: int, noun: str, plural: str = "") -> str:
    """Return a number of things in words."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"
