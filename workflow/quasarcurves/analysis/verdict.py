"""The tables in plain words: the spikes of each optimizer, what removes them, at what cost, and what is not settled.

Every number and every verdict stands in convergence.csv or cures.csv, or is a count of their rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quasarcurves.analysis import tables
from quasarcurves.analysis.convergence import MATTERS, STOP_CHANCE
from quasarcurves.analysis.cures import AMSGRAD, EQUIVALENT, REMOVED
from quasarcurves.analysis.spikes import EPOCH_WINDOW, HIGH_RATIO, SETTLED_EPOCH
from quasarcurves.analysis.stats import LEVEL
from quasarcurves.analysis.wording import interval, number, percent
from quasarcurves.files import whole_file

_REMOVES = {
    "yes": "It removes them",
    "no": "It does not remove them",
    "cannot say": "Whether it removes them cannot be said",
}
_PRICES = {"same": "as good as the same", "lower": "lower", "higher": "higher", "not settled": "not settled"}
_COMPARED = {
    "rate_ratio_tall": "tall spikes",
    "rate_ratio_sustained": "sustained spikes",
    "price_train": "final training loss",
    "price_test": "final test loss",
}
_QUESTIONS = {
    "removes_spikes_adjusted": ("cannot say", "Whether the tall spikes of {reference} are removed by"),
    "price_train_verdict_adjusted": (
        "not settled",
        "What it costs in final training loss, against {reference}, to use",
    ),
    "price_test_verdict_adjusted": ("not settled", "What it costs in final test loss, against {reference}, to use"),
}


def write(convergence: Path, cures: Path, path: Path) -> None:
    """Write verdict.md.

    Parameters
    ----------
    convergence, cures : Path
        The tables.
    path : Path
        File written.
    """
    with whole_file(path) as temporary:
        temporary.write_text(compose(tables.read(convergence), tables.read(cures)))


def compose(convergence: pd.DataFrame, cures: pd.DataFrame) -> str:
    """Return the tables in plain words, as Markdown.

    Parameters
    ----------
    convergence, cures : DataFrame
        With the columns of `convergence.write` and `cures.write`.

    Raises
    ------
    ValueError
        If a table has no rows.
    """
    for name, table in (("convergence", convergence), ("cures", cures)):
        if table.empty:
            raise ValueError(f"{name}: expected a row per run or comparison, found none")
    main = cures[cures["reference"] == cures["reference"].iloc[0]]
    parts = ["# Verdict", _preamble(main)]
    for optimizer in sorted(set(main["optimizer"]), key=lambda name: (name != main["reference"].iloc[0], name)):
        parts.append(f"## {optimizer}")
        for row in tables.records(main[main["optimizer"] == optimizer]):
            parts.append(" ".join(_of_optimizer(row, _runs_of(convergence, row))))
    if (matched := list(_matched(cures))) or AMSGRAD in set(main["optimizer"]):
        parts += ["## Does AMSGrad do more than take smaller steps?", *(matched or [_NO_MATCH])]
    open_questions = list(unsettled(convergence, cures))
    parts += ["## What is not settled", "\n".join(f"- {item}" for item in open_questions) or "Nothing of the above."]
    return "\n\n".join(parts) + "\n"


_NO_MATCH = (
    "The study has no optimizer whose effective step is held at AMSGrad's, so it cannot tell what AMSGrad does from "
    "what a smaller step does."
)


def _preamble(main: pd.DataFrame) -> str:
    reference = main["reference"].iloc[0]
    return " ".join(
        [
            f"Intervals in brackets are at {percent(LEVEL)}.",
            f"A tall spike is a loss above {HIGH_RATIO:g} times its median over {EPOCH_WINDOW} epochs,"
            f" after epoch {SETTLED_EPOCH}.",
            f"Spikes are removed if they are certainly rarer than {REMOVED:g} times those of {reference}.",
            f"Losses within a factor {MATTERS:g} are the same.",
            f"A model is worse if its loss is more than {MATTERS:g} times the median of its run's late epochs.",
            "Comparisons are by pairs of equal replicate; their verdicts are adjusted for the number of optimizers.",
            "Rates are over all runs of a fraction, other numbers are medians over them.",
        ]
    )


def _of_optimizer(row: Mapping[str, Any], runs: pd.DataFrame) -> Iterator[str]:
    """Yield sentences on an optimizer at one fraction: spikes, cure and price, whether to be concerned."""
    yield f"**Fraction {row['fraction']:g}** ({row['n_train']:,.0f} spectra, {_count(row['replicates'])})."
    yield _spikes(row)
    if row["optimizer"] != row["reference"]:
        yield _cure(row)
        yield _prices(row)
    yield _late(runs)
    if np.isfinite(row["test_loss_final"]):
        yield (
            f"Test loss: {number(row['test_loss_final'])} at the end, {number(row['test_loss_best'])} at the lowest "
            "validation loss."
        )
    if row["diverged"]:
        replicates = ", ".join(_names(row["diverged_replicates"]))
        yield f"Diverged: {_count(row['diverged'])} (replicate {replicates}), left out of comparisons of losses."


def _spikes(row: Mapping[str, Any]) -> str:
    if row["spikes_tall"]:
        tall = f"{interval(row, 'tall_per_1000_steps')} tall spikes per 1,000 steps"
    else:
        tall = f"No tall spike, so fewer than {number(row['tall_per_1000_steps_high'])} per 1,000 steps"
    heights = f", of median height {number(row['height_step'])}" if row["spikes_sustained"] else ""
    steps = f"{interval(row, 'sustained_per_1000_steps')} sustained spikes per 1,000 steps{heights}"
    return f"{tall}; in the losses of steps, {steps}, which take {percent(row['share_in_spike'])} of the time."


def _cure(row: Mapping[str, Any]) -> str:
    alone = "" if row["removes_spikes"] == row["removes_spikes_adjusted"] else f", alone: {row['removes_spikes']}"
    if not np.isfinite(row["rate_ratio_tall"]):
        return f"There is nothing to remove: {row['reference']} has no tall spike."
    ratio = f"{interval(row, 'rate_ratio_tall')} times as many as {row['reference']}"
    return f"{_REMOVES[row['removes_spikes_adjusted']]} ({ratio}{alone})."


def _prices(row: Mapping[str, Any]) -> str:
    parts = [
        f"{name} {interval(row, column)} times that of {row['reference']} ({_price(row, column)})"
        for name, column in (("final training loss", "price_train"), ("final test loss", "price_test"))
        if np.isfinite(row[column])
    ]
    return f"The price: {', '.join(parts)}." if parts else "The price in losses is not known."


def _price(row: Mapping[str, Any], column: str) -> str:
    adjusted, alone = row[f"{column}_verdict_adjusted"], row[f"{column}_verdict"]
    return _PRICES[adjusted] + ("" if adjusted == alone else f", alone: {_PRICES[alone]}")


def _late(runs: pd.DataFrame) -> str:
    """Write whether runs have converged, and the concerns about them."""
    concerns = (concern for text in runs["concern"] for concern in text.split("; "))
    chance = percent(_chances(runs)["value"].median())
    return (
        f"Training loss at the end: {_counted(runs['convergence'])}. Concerns: {_counted(concerns)}. "
        f"A stop at a random late epoch gives a worse model in {chance} of cases."
    )


def _counted(values: Iterable[str]) -> str:
    """List different values with the runs that have them, the most frequent first."""
    counts = pd.Series(list(values)).value_counts()
    return ", ".join(f"{value} ({_count(count)})" for value, count in counts.items())


def _count(runs: int) -> str:
    return f"{runs} {'run' if runs == 1 else 'runs'}"


def _matched(cures: pd.DataFrame) -> Iterator[str]:
    """Yield a paragraph for each fraction and optimizer whose step is held at another's."""
    for row in tables.records(cures[cures["matched"].astype(bool)]):
        ratios = ", ".join(f"{name} {interval(row, column)}" for column, name in _COMPARED.items())
        yield (
            f"**Fraction {row['fraction']:g}.** {row['optimizer']} against {row['reference']}: {_equivalence(row)}. "
            f"Ratios: {ratios}; late effective step {interval(row, 'step_ratio')}.{_unmatched(row)}"
        )


def _equivalence(row: Mapping[str, Any]) -> str:
    if row["equivalence"] == "differs":
        where = ", ".join(_COMPARED[name] for name in _names(row["differs_in"]))
        return f"differs in {where}; a smaller step alone does not explain it"
    if row["equivalence"] == EQUIVALENT:
        return f"{EQUIVALENT}; a smaller step explains it"
    return "not settled"


def _unmatched(row: Mapping[str, Any]) -> str:
    """Warn where the comparison does not answer the question."""
    if 1 / MATTERS < row["step_ratio"] < MATTERS:
        return ""
    if np.isfinite(row["step_ratio"]):
        return " The effective steps are not equal, so the comparison does not answer the question."
    return " Whether the effective steps are equal is not known."


def unsettled(convergence: pd.DataFrame, cures: pd.DataFrame) -> Iterator[str]:
    """Yield the questions that the study leaves open, each with its fractions and optimizers.

    Comparisons with the main reference whose adjusted verdict is `cannot say` or `not settled`; matched steps that
    neither differ nor are equivalent; runs whose convergence cannot be said, or of which 5 % lies within the interval
    of the chance to stop at a worse model; runs that diverged, have no test loss, or are the only replicate.

    Parameters
    ----------
    convergence, cures : DataFrame
        As `compose` takes them.
    """
    for question, rows in (*_open_comparisons(cures), *_open_runs(convergence, cures)):
        if len(rows):
            yield f"{question}: {_where(rows)}."


def _open_comparisons(cures: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    reference = cures["reference"].iloc[0]
    others = cures[(cures["reference"] == reference) & (cures["optimizer"] != reference)]
    for column, (verdict, question) in _QUESTIONS.items():
        yield question.format(reference=reference), others[others[column] == verdict]
    open_pairs = cures["matched"].astype(bool) & (cures["equivalence"] == "not settled")
    yield "Whether AMSGrad does more than a step held at its own", cures[open_pairs]


def _open_runs(convergence: pd.DataFrame, cures: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    diverged, chance = convergence["diverged"].astype(bool), _chances(convergence)
    known = (chance["low"] > STOP_CHANCE) | (chance["high"] <= STOP_CHANCE)
    main = cures[cures["reference"] == cures["reference"].iloc[0]]
    yield "Whether the training loss has converged", convergence[convergence["convergence"] == "cannot say"]
    yield (
        f"Whether a stop at a random late epoch gives a worse model in more than {percent(STOP_CHANCE)} of cases",
        convergence[~known & ~diverged],
    )
    yield "How runs would have ended that diverged", convergence[diverged]
    yield "Test losses that are not known", convergence[convergence["test_loss_final"].isna()]
    yield "How far replicates differ, as there is only one", main[main["replicates"] == 1]


def _where(rows: pd.DataFrame) -> str:
    """List fractions and in each the optimizers, with how many rows they have if more than one."""
    parts = []
    for fraction, some in rows.groupby("fraction", sort=False):
        counts = some["optimizer"].value_counts().sort_index()
        names = (str(name) if count == 1 else f"{name} ({_count(count)})" for name, count in counts.items())
        parts.append(f"fraction {fraction:g}, {', '.join(names)}")
    return "; ".join(parts)


def _chances(runs: pd.DataFrame) -> pd.DataFrame:
    """Return each run's chance to stop at a worse model: by the validation loss, else by the training loss."""
    by_val, by_train = (
        runs[[f"stop_chance_{name}{end}" for end in ("", "_low", "_high")]].set_axis(["value", "low", "high"], axis=1)
        for name in ("val", "train")
    )
    return by_val.fillna(by_train)


def _runs_of(convergence: pd.DataFrame, row: Mapping[str, Any]) -> pd.DataFrame:
    return convergence[(convergence["fraction"] == row["fraction"]) & (convergence["optimizer"] == row["optimizer"])]


def _names(text: Any) -> list[str]:
    # an empty cell comes back as NaN, and a column of single numbers as numbers
    return [] if pd.isna(text) else str(text).removesuffix(".0").split()
