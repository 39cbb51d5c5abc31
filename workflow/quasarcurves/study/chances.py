"""How many spikes a study may expect, from like studies, and whether a cure that removes them would be found."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from quasarcurves.study.limits import SETTLED_EPOCH
from quasarcurves.study.study import Study

RATES = {1e-3: 0.3, 3e-3: 1.0}
"""Sustained spikes of Adam per 1,000 steps by its learning rate, from the middle of a training on, with about 1,000
spectra in batches of 32 and 16 filters (usual_rate, docs/findings.md, replays.md); smaller sets have fewer."""

_PLAIN = {
    **{"amsgrad": False, "epsilon": 1e-7, "beta_1": 0.9, "beta_2": 0.999, "use_ema": False},
    **dict.fromkeys(("weight_decay", "schedule", "match", "clipnorm", "global_clipnorm", "clipvalue")),
}
"""Arguments that plain Adam has, or leaves out."""

_RATES_REACH = 3.0
"""Learning rates beyond those of `RATES` by this factor have no like study."""

LEFT = 0.1
"""Times the spikes of the reference that a cure leaves, as AMSGrad does of the tall ones in docs/findings.md."""

_BETWEEN_RUNS = 0.5
"""Coefficient of variation of the rate between runs, as in the power of replays."""

_SIMULATIONS, _SEED = 60, 20261129


def rate_of(study: Study, optimizer: str) -> float | None:
    """Return the sustained spikes per 1,000 steps to expect of an optimizer; None if no like study is known.

    Plain Adam alone has one: a power law of its learning rate through `RATES`.
    """
    spec = study.config["optimizers"][optimizer]
    if spec["class"] != "Adam" or any(spec.get(name, usual) != usual for name, usual in _PLAIN.items()):
        return None
    rate = float(spec.get("learning_rate", 1e-3))
    low, high = min(RATES), max(RATES)
    if not low / _RATES_REACH <= rate <= high * _RATES_REACH:
        return None
    power = np.log(RATES[high] / RATES[low]) / np.log(high / low)
    return float(RATES[low] * (rate / low) ** power)


def of_spikes(study: Study, n_examples: int) -> Iterator[str]:
    """Yield lines on the spikes to expect at the largest training set of each optimizer, and what they can show."""
    known = {name: rate for name in study.optimizers if (rate := rate_of(study, name))}
    if not known:
        yield "Spikes to expect: not known, no optimizer of the study is plain Adam at a usual learning rate."
        return
    replicates = study.config["study"]["replicates"]
    reference = "adam" if "adam" in known else next(iter(known))
    steps = _settled_steps(study, reference, n_examples)
    expected = known[reference] * steps / 1000
    yield (
        f"Spikes to expect of {reference} at its largest training set: about {expected * replicates:.2g} in "
        f"{replicates} x {steps:,} steps after epoch {SETTLED_EPOCH} (like studies: {known[reference]:.2g} per 1,000)."
    )
    if len(study.optimizers) > 1:
        yield _of_cures(expected, replicates, len(study.optimizers) - 1)


def _settled_steps(study: Study, optimizer: str, n_examples: int) -> int:
    n_train = max(run.n_train(n_examples) for run in study.runs if run.optimizer == optimizer)
    settings = study.training_settings(optimizer)
    return max(0, settings.n_steps(n_train) - SETTLED_EPOCH * settings.steps_per_epoch(n_train))


def _of_cures(expected: float, replicates: int, compared: int) -> str:
    if replicates < 3:
        return "No optimizer can be called a cure of the spikes: that takes 3 replicates."
    none, some = (chance(expected, replicates, compared, left) for left in (0.0, LEFT))
    return (
        f"With {replicates} replicates an optimizer that leaves none of them is called a cure with a chance of about "
        f"{none:.0%}, one that leaves a tenth with {some:.0%}."
    )


def chance(expected: float, replicates: int, compared: int = 1, left: float = LEFT) -> float:
    """Simulate how often an optimizer that leaves few spikes is found to remove them, by the rule of `analysis.cures`.

    Parameters
    ----------
    expected : float
        Spikes of a run of the reference. Runs differ (gamma variables).
    replicates : int
    compared : int
        Optimizers with a verdict, for which it is adjusted (by the strictest step of Holm's method).
    left : float
        True ratio of the rates.
    """
    from quasarcurves.analysis.cures import REMOVED  # noqa: PLC0415  (slow to import)
    from quasarcurves.analysis.stats import ALPHA  # noqa: PLC0415
    from quasarcurves.analysis.stats.rates import Counts  # noqa: PLC0415
    from quasarcurves.analysis.stats.ratios import rate_ratio_p, rate_ratio_p_without_one_run  # noqa: PLC0415

    if replicates < 3 or not expected:
        return 0.0
    rng = np.random.default_rng(_SEED)
    found = 0
    for _ in range(_SIMULATIONS):
        levels = rng.gamma(1 / _BETWEEN_RUNS**2, _BETWEEN_RUNS**2, (2, replicates))
        events = rng.poisson(np.array([[left], [1.0]]) * expected * levels)  # (2, replicates)
        counts = [Counts(each, np.ones(replicates)) for each in events]
        if counts[0].total >= REMOVED * counts[1].total:
            continue
        strata = [(counts[0], counts[1])]
        p = rate_ratio_p(strata, REMOVED) * compared
        found += p < ALPHA and rate_ratio_p_without_one_run(strata, REMOVED) < ALPHA
    return found / _SIMULATIONS
