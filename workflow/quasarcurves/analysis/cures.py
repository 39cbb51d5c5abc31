"""What removes the spikes, and at what price: every optimizer against a reference, paired by replicate.

Within a replicate all optimizers start from the same weights and see the same spectra in the same order, so losses are
compared pair by pair.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quasarcurves.analysis import tables
from quasarcurves.analysis.convergence import MATTERS, read_test_losses
from quasarcurves.analysis.spikes import count_excursions, settled_ratio
from quasarcurves.analysis.stats.comparisons import compare, holm, removes
from quasarcurves.analysis.stats.rates import Counts, rate
from quasarcurves.analysis.stats.ratios import paired_ratio, rate_ratio, rate_ratio_p
from quasarcurves.training.history import History, runs_of

REMOVED = 0.5
"""Spikes are removed if they are certainly rarer than this many times the reference's."""

EQUIVALENT = f"equivalent within a factor {MATTERS:g} in losses and {1 / REMOVED:g} in spikes"

RATES = {"tall": "tall_per_1000_steps", "epoch": "per_epoch", "step": "per_1000_steps"}
"""Kinds of spikes with the name of their rate: how often the loss of an epoch rises above 3 times its running median,
once it has settled (the phenomenon as it was published), and all spikes found in the losses of epochs and of steps."""

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

REMOVALS = {"tall": "removes_spikes", "epoch": "removes_spikes_epoch", "step": "removes_spikes_step"}
"""Verdicts on the kinds of spikes."""

PRICES = ("price_train", "price_lowest", "price_test", "price_test_best")
"""The ratios of losses: each has a verdict."""

AMSGRAD = "amsgrad"
_LATE = 0.1
_INTERVAL = ("", "_low", "_high", "_p")


def write(histories: Path, statistics: Path, test_losses: Path | None, reference: str, path: Path) -> None:
    """Write cures.csv, a row per fraction, optimizer and reference.

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
    spikes_<kind>, tall_per_1000_steps, per_epoch, per_1000_steps
        Spikes of all replicates by kind (see `RATES`), and their rates with intervals (`stats.rates.rate`).
    share_in_spike, height_step, height_epoch
        Medians over replicates: share of the steps in a spike, median height of a run's spikes in the losses of steps
        and of epochs.
    loss_final, loss_lowest, test_loss_final, test_loss_best, late_effective_step
        Medians over replicates: median loss of the last 10 % of epochs, lowest loss of an epoch, test loss at the end
        and at the lowest validation loss, mean over the last 10 % of steps of the median effective step.
    rate_ratio_<kind>
        Rate of spikes over that of the reference (`stats.ratios.rate_ratio`).
    removes_spikes, removes_spikes_epoch, removes_spikes_step
        `yes` if spikes (tall ones, all of epochs, all of steps) are certainly rarer than half the reference's, `no` if
        certainly not, else `cannot say`; so too for a single replicate, as nothing shows how far replicates differ. The
        `_p` is that of a true ratio of one half.
    price_train, price_lowest, price_test, price_test_best
        Final and lowest training loss, final and best test loss over those of the reference, as geometric means over
        `<name>_pairs` replicates. `<name>_verdict`: `same` within a factor 1.1, `lower`, `higher` or `not settled`.
    height_ratio, step_ratio
        The same for heights (of steps) and late effective step, without verdict.
    equivalence, differs_in
        Whether the two optimizers are told apart by any of these, as `equivalence` has it, and by which.

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
    path : Path
        File written.

    Raises
    ------
    ValueError
        If there is no such optimizer, or the tables lack a run.
    """
    runs = measure(histories, statistics, test_losses)
    tables.write(compare_all(runs, reference, matched(histories)), path)


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
    runs["spikes_epoch"], runs["exposure_epoch"] = of_epochs["spikes"], of_epochs["points"]
    runs["spikes_step"], runs["exposure_step"] = of_steps["spikes"], of_steps["steps"] / 1000
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


def compare_all(runs: pd.DataFrame, reference: str, matches: Mapping[str, str]) -> pd.DataFrame:
    """Compare every optimizer with every reference at every fraction.

    Parameters
    ----------
    runs : DataFrame
        The table of `measure`.
    reference : str
        The main one; its rows come first.
    matches : mapping of str to str
        The mapping of `matched`.

    Returns
    -------
    DataFrame
        With the columns of `write`.

    Raises
    ------
    ValueError
        If the main reference has no runs.
    """
    optimizers = list(dict.fromkeys(runs["optimizer"]))
    if reference not in optimizers:
        raise ValueError(f"expected a reference among {', '.join(optimizers)}, found {reference!r}")
    references = [name for name in dict.fromkeys([reference, *matches.values(), AMSGRAD]) if name in optimizers]
    rows: list[dict[str, Any]] = []
    for fraction in dict.fromkeys(runs["fraction"]):
        groups = dict(list(runs[runs["fraction"] == fraction].set_index("replicate").groupby("optimizer")))
        rows += _of_fraction(groups, [name for name in references if name in groups], matches)
    return pd.DataFrame(rows).reindex(columns=list(_columns_of_table()))


def _of_fraction(
    groups: Mapping[str, pd.DataFrame], references: Sequence[str], matches: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the rows of one fraction, those of the main reference first."""
    rows: list[dict[str, Any]] = []
    removers: dict[str, set[str]] = {}
    for reference in references:
        compared = [_row(groups, optimizer, reference) for optimizer in groups]
        others = [row for row in compared if row["optimizer"] != reference]
        _judge(others)
        if reference == references[0]:
            removers = {kind: _with_verdict(others, name, "yes") for kind, name in REMOVALS.items()}
        for row in others:
            row["matched"] = matches.get(row["optimizer"]) == reference
            gone = [kind for kind, those in removers.items() if those >= {row["optimizer"], reference}]
            row["equivalence"], row["differs_in"] = equivalence(row, gone)
        rows += compared
    return rows


def _columns_of_table() -> Iterator[str]:
    """Yield all columns in order, so that a study of one optimizer has those of comparisons too."""
    yield from ("fraction", "optimizer", "reference", "n_train", "matched")
    yield from ("replicates", "pairs", "diverged", "diverged_replicates")
    for kind, name in RATES.items():
        yield from (f"spikes_{kind}", name, f"{name}_low", f"{name}_high")
    yield from MEASURES
    for kind, name in REMOVALS.items():
        yield from (f"rate_ratio_{kind}{end}" for end in _INTERVAL)
        yield from (f"{name}{end}" for end in ("", "_adjusted", "_p", "_p_holm"))
    for name in RATIOS:
        yield from (f"{name}{end}" for end in (*_INTERVAL, "_pairs"))
        if name in PRICES:
            yield from (f"{name}{end}" for end in ("_p_holm", "_verdict", "_verdict_adjusted"))
    yield from ("equivalence", "differs_in")


def _with_verdict(rows: Iterable[Mapping[str, Any]], name: str, verdict: str) -> set[str]:
    return {row["optimizer"] for row in rows if row.get(name) == verdict}


def _row(groups: Mapping[str, pd.DataFrame], optimizer: str, reference: str) -> dict[str, Any]:
    """Describe an optimizer and, unless it is the reference itself, compare it."""
    runs = groups[optimizer]
    row: dict[str, Any] = {"fraction": runs["fraction"].iloc[0], "optimizer": optimizer, "reference": reference}
    row |= {"n_train": runs["n_train"].median(), "matched": False, **_summary(runs)}
    both = runs.index.intersection(groups[reference].index)
    if optimizer == reference or not len(both):
        return row
    row["pairs"] = len(both)
    pair = (runs.loc[both], groups[reference].loc[both])
    for kind, verdict in REMOVALS.items():
        counts, others = (_counts(side, kind) for side in pair)
        row |= _columns(f"rate_ratio_{kind}", astuple(rate_ratio(counts, others)))
        row[f"{verdict}_p"] = rate_ratio_p(counts, others, REMOVED)
    for name, of in RATIOS.items():
        losses, others_losses = (side[of].where(~side["diverged"]).to_numpy(float) for side in pair)
        ratio = paired_ratio(losses, others_losses)
        row |= _columns(name, astuple(ratio)) | {f"{name}_pairs": ratio.pairs}
    return row


def _summary(runs: pd.DataFrame) -> dict[str, Any]:
    """Describe the runs of one optimizer at one fraction."""
    diverged = runs.index[runs["diverged"]]
    row: dict[str, Any] = {"replicates": len(runs), "diverged": len(diverged)}
    row["diverged_replicates"] = " ".join(str(replicate) for replicate in diverged)
    for kind, name in RATES.items():
        counts = _counts(runs, kind)
        row |= {f"spikes_{kind}": int(counts.total), **_columns(name, rate(counts))}
    return row | {name: float(runs[name].median()) for name in MEASURES}


def _counts(runs: pd.DataFrame, kind: str) -> Counts:
    # a run that diverges at once has no exposure to divide by
    exposures = np.maximum(runs[f"exposure_{kind}"].to_numpy(float), 1e-3)
    return Counts(runs[f"spikes_{kind}"].to_numpy(float), exposures)


def _columns(name: str, values: Iterable[float]) -> dict[str, float]:
    return {f"{name}{end}": value for end, value in zip(_INTERVAL, values, strict=False)}


def _judge(rows: list[dict[str, Any]]) -> None:
    """Add the verdicts to the rows of all optimizers compared with one reference, alone and adjusted for each other."""
    for name in (*REMOVALS.values(), *PRICES):
        adjusted = holm([row.get(f"{name}_p", np.nan) for row in rows])
        for row, p in zip(rows, adjusted, strict=True):
            row[f"{name}_p_holm"] = float(p)
    for row in rows:
        for suffix, end in (("", "_p"), ("_adjusted", "_p_holm")):
            for kind, name in REMOVALS.items():
                row[f"{name}{suffix}"] = _removal(row, kind, row.get(f"{name}{end}", np.nan))
            for name in PRICES:
                row[f"{name}_verdict{suffix}"] = _price(row, name, row.get(f"{name}{end}", np.nan))


def _removal(row: Mapping[str, Any], kind: str, p: float) -> str:
    verdict = removes(row.get(f"rate_ratio_{kind}", np.nan), p, REMOVED)
    # an optimizer with a diverged run is no cure, however few spikes it had before
    known = row.get("pairs", 0) > 1 and not (verdict == "yes" and row["diverged"])
    return verdict if known else "cannot say"


def _price(row: Mapping[str, Any], name: str, p: float) -> str:
    value, low, high = (row.get(f"{name}{end}", np.nan) for end in ("", "_low", "_high"))
    verdict = compare(value, low, high, p, MATTERS)
    # the diverged runs, which are left out, are the worst ones
    return "not settled" if verdict in ("same", "lower") and row["diverged"] else verdict


def equivalence(row: Mapping[str, Any], gone: Collection[str] = ()) -> tuple[str, str]:
    """Judge whether spikes, final training loss and final test loss tell two optimizers apart.

    Parameters
    ----------
    row : mapping
        Of the table, with the ratios, intervals and `_p` of rate_ratio_tall, rate_ratio_step, price_train, price_test.
    gone : collection of str
        Kinds of spikes that both optimizers remove, against the main reference. Both rates are then below half of its
        rate. That counts as equivalent unless the rates tell them apart: without spikes there is no ratio.

    Returns
    -------
    verdict : str
        `differs` if one of the four ratios does (by Holm's method over the four, and by a factor that may matter),
        `EQUIVALENT` if the intervals of all four lie within its factors, else `not settled`.
    where : str
        The ratios that differ.
    """
    margins = {f"rate_ratio_{kind}": 1 / REMOVED for kind in ("tall", "step")}
    margins |= dict.fromkeys(("price_train", "price_test"), MATTERS)
    ratios = {name: [row.get(f"{name}{end}", np.nan) for end in _INTERVAL] for name in margins}
    adjusted = holm([values[-1] for values in ratios.values()])
    different, settled = [], not row["diverged"]
    if row.get("pairs", 0) < 2:
        return "not settled", ""
    for (name, (value, low, high, _)), p in zip(ratios.items(), adjusted, strict=True):
        verdict = compare(value, low, high, p, margins[name])
        if verdict in ("lower", "higher"):
            different.append(name)
        settled &= verdict == "same" or name.removeprefix("rate_ratio_") in gone
    if different:
        return "differs", " ".join(different)
    return (EQUIVALENT if settled else "not settled"), ""
