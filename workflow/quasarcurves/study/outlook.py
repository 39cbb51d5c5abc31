"""What a study will do, and what its replays can show, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator

from quasarcurves.study import limits
from quasarcurves.study.study import Study

HAZARDS = (0.1, 0.3, 1.0)
"""Spikes per 1,000 steps that the power of replays is told for. Adam has about 0.3 at the usual learning rate, from the
middle of a training on, and 1 at three times that rate."""


def describe(study: Study, n_spectra: int) -> Iterator[str]:
    """Yield lines on the trainings of a study, its replays, and what it cannot tell.

    Parameters
    ----------
    study : Study
    n_spectra : int
        Prepared spectra, roughly.
    """
    seconds = sum(study.seconds("train", n_spectra, run) for run in study.runs)
    yield f"{_count(len(study.runs), 'training')}: about {_time(seconds)} on one core."
    if study.replays:
        yield from _replays(study, n_spectra)
    if unanswered := limits.warning(study, n_spectra):
        yield unanswered


def _replays(study: Study, n_spectra: int) -> Iterator[str]:
    settings, runs = study.replay_settings, study.replayed_runs
    seconds = study.replay_jobs * sum(study.seconds("replay", n_spectra, run) for run in runs)
    forks = grid_forks(study, n_spectra)
    yield (
        f"Replays of {_count(len(runs), 'training')}: {_count(forks, 'fork')} on the grid of each, and more for its "
        f"spikes; {len(settings.arms)} arms with {_count(settings.replays, 'replay')} of {settings.steps:,} steps at "
        f"each; about {_time(seconds)} on one core."
    )
    if not forks:
        yield "What they can show cannot be said beforehand: it depends on the spikes."
        return
    from quasarcurves.analysis.replays.power import power  # noqa: PLC0415  (slow to import)

    # runs of one optimizer and size are compared with themselves alone
    alike = len(runs) // len({(run.optimizer, run.fraction) for run in runs})
    exposure, arms = float(alike * forks * settings.replays * settings.steps), max(len(settings.arms) - 1, 1)
    found = [power(each, exposure, forks, alike, replays=settings.replays, arms=arms) for each in HAZARDS]
    chances = ", ".join(f"{each.chance:.0%} at {hazard:g}" for hazard, each in zip(HAZARDS, found, strict=True))
    yield (
        "The grid alone shows an arm that takes the hazard to a fifth with a chance of "
        f"{chances} spikes per 1,000 steps."
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


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun if n == 1 else noun + 's'}"


def _time(seconds: float) -> str:
    minutes = seconds / 60
    return f"{max(1, round(minutes)):,} min" if minutes < 120 else f"{minutes / 60:,.0f} h"
