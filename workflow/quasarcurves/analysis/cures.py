"""What removes the spikes, and at what price: every optimizer against a reference, paired by replicate.

Within a replicate all optimizers start from the same weights and see the same examples in the same order, so losses are
compared pair by pair.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quasarcurves.analysis import tables
from quasarcurves.analysis.convergence import MATTERS, read_test_losses
from quasarcurves.analysis.metrics import paired
from quasarcurves.analysis.metrics.description import Metric
from quasarcurves.analysis.metrics.scorer import Estimate, Scorer
from quasarcurves.analysis.spikes import SHORTEST, count_excursions, settled_ratio
from quasarcurves.analysis.stats.comparisons import compare, holm, removes
from quasarcurves.analysis.stats.rates import Counts, rate
from quasarcurves.analysis.stats.ratios import (
    Strata,
    exact_rate_ratio_p,
    paired_ratio,
    rate_ratio,
    rate_ratio_p,
    rate_ratio_p_without_one_run,
)
from quasarcurves.training.history import History, runs_of

REMOVED = 0.5
"""Spikes are removed if they are certainly rarer than this many times the reference's."""

EQUIVALENT = f"equivalent within a factor {MATTERS:g} in losses and {1 / REMOVED:g} in spikes"

RATES = {kind: f"{kind}_per_1000_steps" for kind in ("sustained", "tall", "outlier")}
"""Kinds of spikes with the name of their rate: sustained ones in the losses of steps (the headline), how often the loss
of an epoch rises above 3 times its running median once it has settled (the phenomenon as it was published), and single
hard batches."""

MEASURES = (
    "share_in_spike",
    "height_step",
    "height_epoch",
    "loss_final",
    "loss_lowest",
    "test_loss_final",
    "test_loss_best",
    "late_effective_step",
)
"""One value per run; the table has their medians."""

RATIOS = {
    "price_train": "loss_final",
    "price_lowest": "loss_lowest",
    "price_test": "test_loss_final",
    "price_test_best": "test_loss_best",
    "height_ratio": "height_step",
    "step_ratio": "late_effective_step",
}
"""Ratios to the reference, by name; the values are the measures that are divided."""

REMOVAL, LOWERING = "removes_spikes", "lowers_spikes"
"""The verdicts, on sustained spikes."""

_LIMITS = {REMOVAL: REMOVED, LOWERING: 1.0}
"""What the ratio of rates is certainly below, if a verdict is yes."""

PRICES = ("price_train", "price_lowest", "price_test", "price_test_best")
"""The ratios of losses: each has a verdict."""

MATTERS_SHARE = 0.01
"""Shares, and other metrics that are 1 at best, that differ by less are as good as the same."""

AMSGRAD = "amsgrad"
_LATE = 0.1
_INTERVAL = ("", "_low", "_high", "_p")
_BOUNDS = ("", "_low", "_high")


def write(
    histories: Path,
    statistics: Path,
    test_losses: Path | None,
    reference: str,
    path: Path,
    overall: Path,
    predictions: Iterable[Path] = (),
    spectra: Path | None = None,
    scorer: Scorer | None = None,
) -> None:
    """Write cures.csv, a row per fraction, optimizer and reference, and cures_overall.csv, over all fractions.

    The references are the one given, those that another optimizer's step is matched to, and `amsgrad`. A `_low` and
    `_high` bound the 95 % interval, `_p` is the two-sided probability by chance, `_p_holm` the same adjusted for all
    optimizers compared with one reference at one fraction, and verdicts with `_adjusted` are by it.

    Columns
    -------
    fraction, optimizer, reference, n_train
    matched
        Whether the optimizer's step is held at that of the reference (its spec has `match`).
    replicates, pairs, diverged, diverged_replicates
        Runs, those that the reference has too, how many diverged, and which. The final loss of a diverged run is
        infinite; it is left out of ratios, its spikes count up to where it ended, and the verdict on removing spikes is
        never `yes`.
    within_run
        Whether all rates and ratios of the row are of single runs: their intervals say nothing about other runs.
    spikes_<kind>, <kind>_per_1000_steps
        Spikes of all replicates by kind (see `RATES`), and their rates with intervals (`stats.rates.rate`); a rate is
        empty where no run is long enough to be searched.
    share_in_spike, height_step, height_epoch
        Medians over replicates: share of the steps in a sustained spike, median height of a run's sustained spikes in
        the losses of steps and of epochs.
    loss_final, loss_lowest, test_loss_final, test_loss_best, late_effective_step
        Medians over replicates: median loss of the last 10 % of epochs, lowest loss of an epoch, test loss at the end
        and of the model kept as the best, mean over the last 10 % of steps of the median effective step.
    <metric>
        Medians over replicates of the final models' test metrics. Of QuasarNET these are `completeness`, `purity`,
        `bal_completeness` and `sigma_dv`, at a confidence of 0.5.
    rate_ratio_<kind>
        Rate of spikes over that of the reference (`stats.ratios.rate_ratio`).
    removes_spikes
        `yes` if sustained spikes are certainly rarer than half the reference's, `no` if certainly not, else `cannot
        say`. `removes_spikes_p` is the probability at a true ratio of one half, `removes_spikes_p_without_one_run` the
        largest that is left without any one run. Both must settle it. There is none for fewer than 3 pairs, so that one
        or two replicates never settle it.
    lowers_spikes
        The same for rarer than the reference's at all: `no` means certainly more frequent.
    price_train, price_lowest, price_test, price_test_best
        Final and lowest training loss, final and best test loss over those of the reference, as geometric means over
        `<name>_pairs` replicates. `<name>_verdict`: `same` within a factor 1.1, `lower`, `higher` or `not settled`.
    difference_<metric>, ratio_<metric>
        Test metrics of the final models less those of the reference (over them where less is better, as of `sigma_dv`),
        over `<name>_pairs` replicates and the same test objects (`metrics.paired.difference`). `<name>_verdict`: `same`
        within 0.01 (a factor 1.1), `better`, `worse`, or `not settled`, as always for a single pair.
    height_ratio, step_ratio
        The same for heights (of steps) and late effective step, without verdict.
    equivalence, differs_in
        Whether the two optimizers are told apart by any of these, as `equivalence` has it, and by which.

    Columns of cures_overall.csv
    ----------------------------
    optimizer, reference, strata, pairs, within_run
        `strata`: fractions that both have.
    spikes_sustained, spikes_reference, rate_ratio
        Sustained spikes of both, and the ratio of their rates, which are compared within each fraction. `exact_p` is
        its probability for the runs seen, as if others had the same rates.
    removes_spikes, lowers_spikes, price_<loss>, difference_<metric>, ratio_<metric>
        As above, over the pairs of all fractions; adjusted for all optimizers compared with one reference.

    Parameters
    ----------
    histories : Path
        HDF5 file of all runs.
    statistics : Path
        spike_statistics.csv of these.
    test_losses : Path or None
        CSV file as `convergence.read_test_losses` takes it.
    reference : str
        Optimizer that the others are compared with.
    path, overall : Path
        Files written.
    predictions : iterable of Path
        Of every run; without them there are no metrics.
    spectra : Path, optional
        The prepared examples, with predictions.
    scorer : Scorer, optional
        Of these.

    Raises
    ------
    ValueError
        If there is no such optimizer, the tables lack a run, or runs differ in their test sets.
    """
    runs, matches = measure(histories, statistics, test_losses), matched(histories)
    tested = Tested.of(paired.read(predictions, spectra, scorer), scorer) if spectra and scorer else Tested()
    tables.write(compare_all(runs, reference, matches, tested), path)
    tables.write(compare_overall(runs, reference, matches, tested), overall)


@dataclass(frozen=True)
class Tested:
    """Test metrics of the final models.

    Parameters
    ----------
    scores : mapping
        Of `metrics.paired.read`.
    metrics : tuple of Metric
        Those that are compared.
    """

    scores: paired.Scores = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()

    @classmethod
    def of(cls, scores: paired.Scores, scorer: Scorer) -> Tested:
        """Return all metrics that some model has."""
        names = dict.fromkeys(name for of_run in scores.values() for name in of_run)
        return cls(scores, tuple(map(scorer.description.metric, names)))

    def of_metric(self, key: tuple[float, int, str], name: str) -> Estimate:
        """Return a metric of a run that has scores."""
        return self.scores[key].get(name, Estimate.unknown())


def measure(histories: Path, statistics: Path, test_losses: Path | None) -> pd.DataFrame:
    """Return a row per run: `spikes_<kind>`, the `exposure_<kind>` of its rate, and the values of `MEASURES`.

    Parameters
    ----------
    histories, statistics, test_losses
        As `write` takes them.
    """
    runs = pd.DataFrame([_of_history(history) for history in tables.by_run(histories)]).set_index(tables.RUN_KEYS)
    found = tables.read(statistics).set_index(tables.RUN_KEYS)
    of_epochs, of_steps = (_of_scale(found, scale, runs.index, statistics) for scale in ("epoch", "step"))
    for kind, column in (("sustained", "spikes"), ("outlier", "outliers")):
        # a run that is too short to be searched shows nothing
        searched = of_steps["steps"].where(of_steps["steps"] >= SHORTEST, 0)
        runs[f"spikes_{kind}"], runs[f"exposure_{kind}"] = of_steps[column], searched / 1000
    runs["height_epoch"], runs["height_step"] = of_epochs["height"], of_steps["height"]
    runs["share_in_spike"] = of_steps["share_in_spike"]
    return runs.reset_index().merge(read_test_losses(test_losses), how="left", on=tables.RUN_KEYS)


def _of_scale(found: pd.DataFrame, scale: str, runs: pd.Index, path: Path) -> pd.DataFrame:
    """Return the rows of one scale. Every run must have one."""
    rows = found[found["scale"] == scale]
    if len(missing := runs.difference(rows.index)):
        fraction, replicate, optimizer = missing[0]
        raise ValueError(
            f"{path}: expected a row per run, found none at scale {scale} of fraction {fraction:g}, replicate "
            f"{replicate}, optimizer {optimizer}"
        )
    return rows


def _of_history(history: History) -> dict[str, Any]:
    outcome, loss = history.params["outcome"], np.asarray(history.epochs["loss"], float)
    row = {key: history.params[key] for key in tables.RUN_KEYS}
    row |= {"n_train": outcome["n_train"], "diverged": bool(outcome["diverged"])}
    ratio = settled_ratio(loss)
    row |= {"spikes_tall": count_excursions(ratio), "exposure_tall": len(ratio) * outcome["steps_per_epoch"] / 1000}
    row["loss_final"] = np.inf if outcome["diverged"] else float(np.median(_last(loss)))
    row["loss_lowest"] = np.nanmin(loss) if np.isfinite(loss).any() else np.inf
    step = np.asarray(history.steps.get("effective_step_q50", []), float)
    row["late_effective_step"] = float(np.mean(_last(step))) if len(step) and not outcome["diverged"] else np.nan
    return row


def _last(values: np.ndarray) -> np.ndarray:
    return values[-max(round(_LATE * len(values)), 1) :]


def matched(histories: Path) -> dict[str, str]:
    """Return the optimizers with a key `match` in their spec, and the one whose effective step each is held at."""
    return {
        params["optimizer"]: params["optimizer_spec"]["match"]
        for _, params in runs_of(histories)
        if "match" in params.get("optimizer_spec", {})
    }


def compare_all(
    runs: pd.DataFrame, reference: str, matches: Mapping[str, str], tested: Tested | None = None
) -> pd.DataFrame:
    """Compare every optimizer with every reference at every fraction.

    Parameters
    ----------
    runs : DataFrame
        The table of `measure`.
    reference : str
        The main one; its rows come first.
    matches : mapping of str to str
        The mapping of `matched`.
    tested : Tested, optional
        Their test metrics.

    Returns
    -------
    DataFrame
        With the columns of `write`.

    Raises
    ------
    ValueError
        If the main reference has no runs.
    """
    references, tested = _references(runs, reference, matches), tested or Tested()
    rows: list[dict[str, Any]] = []
    for fraction in dict.fromkeys(runs["fraction"]):
        groups = _by_optimizer(runs[runs["fraction"] == fraction])
        rows += _of_fraction(groups, [name for name in references if name in groups], matches, tested)
    return pd.DataFrame(rows).reindex(columns=_distinct(_columns_of_table(tested.metrics)))


def compare_overall(
    runs: pd.DataFrame, reference: str, matches: Mapping[str, str], tested: Tested | None = None
) -> pd.DataFrame:
    """Compare every optimizer with every other reference over all fractions, each a stratum.

    Parameters
    ----------
    runs, reference, matches, tested
        As `compare_all` takes them.

    Returns
    -------
    DataFrame
        With the columns of `write`.
    """
    references, groups = _references(runs, reference, matches), _by_optimizer(runs)
    tested = tested or Tested()
    rows: list[dict[str, Any]] = []
    for other in references:
        compared = [_overall(groups[name], groups[other], tested) for name in groups if name != other]
        compared = [row for row in compared if row["strata"]]
        _judge(compared, tested.metrics)
        rows += compared
    return pd.DataFrame(rows).reindex(columns=_distinct(_columns_overall(tested.metrics)))


def _references(runs: pd.DataFrame, reference: str, matches: Mapping[str, str]) -> list[str]:
    optimizers = list(dict.fromkeys(runs["optimizer"]))
    if reference not in optimizers:
        raise ValueError(f"expected a reference among {', '.join(optimizers)}, found {reference!r}")
    return [name for name in dict.fromkeys([reference, *matches.values(), AMSGRAD]) if name in optimizers]


def _by_optimizer(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the runs of each optimizer, by fraction and replicate."""
    by_run = runs.set_index(["fraction", "replicate"], drop=False)
    return {str(name): own for name, own in by_run.groupby("optimizer")}


def _of_fraction(
    groups: Mapping[str, pd.DataFrame],
    references: Sequence[str],
    matches: Mapping[str, str],
    tested: Tested,
) -> list[dict[str, Any]]:
    """Return the rows of one fraction, those of the main reference first."""
    rows: list[dict[str, Any]] = []
    gone: set[str] = set()
    for reference in references:
        compared = [_row(groups, optimizer, reference, tested) for optimizer in groups]
        others = [row for row in compared if row["optimizer"] != reference]
        _judge(others, tested.metrics)
        if reference == references[0]:
            gone = {row["optimizer"] for row in others if row.get(REMOVAL) == "yes"}
        for row in others:
            row["matched"] = matches.get(row["optimizer"]) == reference
            row["equivalence"], row["differs_in"] = equivalence(row, gone >= {row["optimizer"], reference})
        rows += compared
    return rows


def _columns_of_table(metrics: Sequence[Metric]) -> Iterator[str]:
    """Yield all columns in order, so that a study of one optimizer has those of comparisons too."""
    yield from ("fraction", "optimizer", "reference", "n_train", "matched")
    yield from ("replicates", "pairs", "diverged", "diverged_replicates", "within_run")
    for kind, name in RATES.items():
        yield f"spikes_{kind}"
        yield from (f"{name}{end}" for end in _BOUNDS)
    yield from (*MEASURES, *(metric.name for metric in metrics))
    for kind in RATES:
        yield from (f"rate_ratio_{kind}{end}" for end in _INTERVAL)
    yield from _columns_of_comparison(metrics)
    yield from ("equivalence", "differs_in")


def _columns_overall(metrics: Sequence[Metric]) -> Iterator[str]:
    yield from ("optimizer", "reference", "strata", "pairs", "diverged", "within_run")
    yield from ("spikes_sustained", "spikes_reference")
    yield from (f"rate_ratio{end}" for end in _INTERVAL)
    yield "exact_p"
    yield from _columns_of_comparison(metrics)


def _columns_of_comparison(metrics: Sequence[Metric]) -> Iterator[str]:
    for name in _LIMITS:
        yield from (f"{name}{end}" for end in ("", "_adjusted", "_p", "_p_holm", "_p_without_one_run"))
    for name in RATIOS:
        yield from (f"{name}{end}" for end in (*_INTERVAL, "_pairs"))
        if name in PRICES:
            yield from (f"{name}{end}" for end in ("_p_holm", "_verdict", "_verdict_adjusted"))
    for metric in metrics:
        yield from (f"{metric.comparison}{end}" for end in (*_BOUNDS, "_pairs", "_verdict"))


def _distinct(columns: Iterable[str]) -> list[str]:
    """Return the columns of a table; refuse metrics whose names are those of other columns."""
    columns = list(columns)
    if twice := [name for name in columns if columns.count(name) > 1]:
        raise ValueError(
            f"a test metric is called {twice[0]}, expected another name: cures.csv has a column of this one"
        )
    return columns


def _row(groups: Mapping[str, pd.DataFrame], optimizer: str, reference: str, tested: Tested) -> dict[str, Any]:
    """Describe an optimizer and, unless it is the reference itself, compare it."""
    runs = groups[optimizer]
    row: dict[str, Any] = {"fraction": runs["fraction"].iloc[0], "optimizer": optimizer, "reference": reference}
    row |= {"n_train": runs["n_train"].median(), "matched": False, **_summary(runs, tested)}
    both = runs.index.intersection(groups[reference].index)
    if optimizer == reference or not len(both):
        return row
    row |= {"pairs": len(both), "within_run": len(both) < 2}
    pair = (runs.loc[both], groups[reference].loc[both])
    for kind in RATES:
        row |= _columns(f"rate_ratio_{kind}", astuple(rate_ratio([_sides(pair, kind)])))
    return row | _rarity_p([_sides(pair, "sustained")]) | _compare(*pair, tested)


def _overall(runs: pd.DataFrame, reference: pd.DataFrame, tested: Tested) -> dict[str, Any]:
    """Compare an optimizer with another over all fractions."""
    both = runs.index.intersection(reference.index)
    pair = (runs.loc[both], reference.loc[both])
    row: dict[str, Any] = {"optimizer": runs["optimizer"].iloc[0], "reference": reference["optimizer"].iloc[0]}
    strata = [
        _sides([side.loc[[fraction]] for side in pair], "sustained")
        for fraction in dict.fromkeys(both.get_level_values("fraction"))
    ]
    row |= {"strata": len(strata), "pairs": len(both), "diverged": int(pair[0]["diverged"].sum())}
    if not strata:
        return row
    row["within_run"] = len(both) == len(strata)
    row["spikes_sustained"], row["spikes_reference"] = (int(side["spikes_sustained"].sum()) for side in pair)
    row |= _columns("rate_ratio", astuple(rate_ratio(strata)))
    row["exact_p"] = exact_rate_ratio_p(strata, 1.0)
    return row | _rarity_p(strata) | _compare(*pair, tested)


def _sides(pair: Sequence[pd.DataFrame], kind: str) -> tuple[Counts, Counts]:
    runs, others = pair
    return _counts(runs, kind), _counts(others, kind)


def _rarity_p(strata: Strata) -> dict[str, float]:
    return {
        f"{name}{end}": function(strata, limit)
        for name, limit in _LIMITS.items()
        for end, function in (("_p", rate_ratio_p), ("_p_without_one_run", rate_ratio_p_without_one_run))
    }


def _compare(runs: pd.DataFrame, others: pd.DataFrame, tested: Tested) -> dict[str, Any]:
    """Compare losses and test metrics of the runs of two optimizers, pair by pair."""
    row: dict[str, Any] = {}
    for name, of in RATIOS.items():
        ratio = paired_ratio(*(side[of].where(~side["diverged"]).to_numpy(float) for side in (runs, others)))
        row |= _columns(name, astuple(ratio)) | {f"{name}_pairs": ratio.pairs}
    keys = zip(*(_score_keys(side) for side in (runs, others)), strict=True)
    pairs = [pair for pair in keys if all(key in tested.scores for key in pair)]
    for metric in tested.metrics:
        found = paired.difference(
            [(tested.of_metric(one, metric.name), tested.of_metric(other, metric.name)) for one, other in pairs]
        )
        bounds = (found.value, found.low, found.high)
        row |= _columns(metric.comparison, np.exp(bounds) if metric.is_ratio else bounds)
        row[f"{metric.comparison}_pairs"] = found.pairs
    return row


def _score_keys(runs: pd.DataFrame) -> list[tuple[float, int, str]]:
    """Return the keys of runs in a table of scores; those that diverged have one that it lacks."""
    keys = zip(*(runs[key] for key in (*tables.RUN_KEYS, "diverged")), strict=True)
    return [(fraction, replicate, "" if diverged else optimizer) for fraction, replicate, optimizer, diverged in keys]


def _summary(runs: pd.DataFrame, tested: Tested) -> dict[str, Any]:
    """Describe the runs of one optimizer at one fraction."""
    diverged = runs.loc[runs["diverged"], "replicate"]
    row: dict[str, Any] = {"replicates": len(runs), "diverged": len(diverged), "within_run": len(runs) < 2}
    row["diverged_replicates"] = " ".join(str(replicate) for replicate in diverged)
    for kind, name in RATES.items():
        counts = _counts(runs, kind)
        searched = bool((runs[f"exposure_{kind}"] > 0).any())
        row |= {f"spikes_{kind}": int(counts.total), **_columns(name, rate(counts) if searched else [np.nan] * 3)}
    keys = [key for key in _score_keys(runs) if key in tested.scores]
    for metric in tested.metrics:
        values = [tested.of_metric(key, metric.name).value for key in keys]
        middle = float(np.median(values)) if values else np.nan
        row[metric.name] = float(np.exp(middle)) if metric.is_ratio else middle
    return row | {name: float(runs[name].median()) for name in MEASURES}


def _counts(runs: pd.DataFrame, kind: str) -> Counts:
    # a run that was not searched, as it diverged at once or is short, has no exposure to divide by
    exposures = np.maximum(runs[f"exposure_{kind}"].to_numpy(float), 1e-3)
    return Counts(runs[f"spikes_{kind}"].to_numpy(float), exposures)


def _columns(name: str, values: Iterable[float]) -> dict[str, float]:
    return {f"{name}{end}": value for end, value in zip(_INTERVAL, values, strict=False)}


def _judge(rows: list[dict[str, Any]], metrics: Sequence[Metric]) -> None:
    """Add the verdicts to the rows of all optimizers compared with one reference, alone and adjusted for each other."""
    for name in (*_LIMITS, *PRICES):
        adjusted = holm([row.get(f"{name}_p", np.nan) for row in rows])
        for row, p in zip(rows, adjusted, strict=True):
            row[f"{name}_p_holm"] = float(p)
    for row in rows:
        for suffix, end in (("", "_p"), ("_adjusted", "_p_holm")):
            for name in _LIMITS:
                row[f"{name}{suffix}"] = _rarer(row, name, row.get(f"{name}{end}", np.nan))
            for name in PRICES:
                row[f"{name}_verdict{suffix}"] = _price(row, name, row.get(f"{name}{end}", np.nan))
        for metric in metrics:
            row[f"{metric.comparison}_verdict"] = _metric_verdict(row, metric)


def _rarer(row: Mapping[str, Any], name: str, p: float) -> str:
    # NaN where runs are too few to leave one out
    p = float(np.maximum(p, row.get(f"{name}_p_without_one_run", np.nan)))
    verdict = removes(row.get("rate_ratio", row.get("rate_ratio_sustained", np.nan)), p, _LIMITS[name])
    # an optimizer with a diverged run is no cure, however few spikes it had before
    return "cannot say" if verdict == "yes" and row["diverged"] else verdict


def _metric_verdict(row: Mapping[str, Any], metric: Metric) -> str:
    """Judge a difference of test metrics: same, better, worse, or not settled."""
    value, low, high = (row.get(f"{metric.comparison}{end}", np.nan) for end in _BOUNDS)
    if row.get(f"{metric.comparison}_pairs", 0) < 2:
        return "not settled"
    if metric.is_ratio:  # less is better
        bounds, margin = (1 / value, 1 / high, 1 / low), MATTERS
    else:
        with np.errstate(over="ignore"):
            bounds, margin = (np.exp(value), np.exp(low), np.exp(high)), float(np.exp(MATTERS_SHARE))
    verdict = {"higher": "better", "lower": "worse"}.get(found := compare(*bounds, None, margin), found)
    # the diverged runs, which are left out, are the worst ones
    return "not settled" if verdict in ("same", "better") and row["diverged"] else verdict


def _price(row: Mapping[str, Any], name: str, p: float) -> str:
    value, low, high = (row.get(f"{name}{end}", np.nan) for end in ("", "_low", "_high"))
    verdict = compare(value, low, high, p, MATTERS)
    # the diverged runs, which are left out, are the worst ones
    return "not settled" if verdict in ("same", "lower") and row["diverged"] else verdict


def equivalence(row: Mapping[str, Any], gone: bool = False) -> tuple[str, str]:
    """Judge whether spikes, final training loss and final test loss tell two optimizers apart.

    Parameters
    ----------
    row : mapping
        Of the table, with the ratios, intervals and `_p` of rate_ratio_sustained, price_train, price_test.
    gone : bool
        Whether both optimizers remove the spikes, against the main reference. Both rates are then below half of its
        rate. That counts as equivalent unless the rates tell them apart: without spikes there is no ratio.

    Returns
    -------
    verdict : str
        `differs` if one of the three ratios does (by Holm's method over the three, and by a factor that may matter),
        `EQUIVALENT` if the intervals of all three lie within its factors, else `not settled`.
    where : str
        The ratios that differ.
    """
    margins = {"rate_ratio_sustained": 1 / REMOVED, "price_train": MATTERS, "price_test": MATTERS}
    ratios = {name: [row.get(f"{name}{end}", np.nan) for end in _INTERVAL] for name in margins}
    adjusted = holm([values[-1] for values in ratios.values()])
    different, settled = [], not row["diverged"]
    if row.get("pairs", 0) < 2:
        return "not settled", ""
    for (name, (value, low, high, _)), p in zip(ratios.items(), adjusted, strict=True):
        verdict = compare(value, low, high, p, margins[name])
        if verdict in ("lower", "higher"):
            different.append(name)
        settled &= verdict == "same" or (gone and name == "rate_ratio_sustained")
    if different:
        return "differs", " ".join(different)
    return (EQUIVALENT if settled else "not settled"), ""
