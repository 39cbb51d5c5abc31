"""Scores on the test set: purity and completeness against the threshold, and the errors of redshifts.

The figure of Farr, Font-Ribera & Pontzen (2020, arXiv:2007.10348), with this study's runs; their numbers can be drawn
beside them.

Caption
-------
Purity (solid) and completeness (dashed) of the test set against the confidence threshold, and the distribution of the
redshift error dv of the quasars found, with {optimizer}: one colour per size of the training set; lines are medians
over replicates. Dots mark where purity and completeness are equal. Their bars, and with a single size the bands, go
from the lowest to the highest replicate; where there is one, they are 95 % intervals over the objects of the test set.
Of several sizes, the largest and the smallest alone have a distribution of dv. Thin dotted lines are failed replicates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from quasarcurves.figures import style

_PANEL_HEIGHT = 2.8
_LINE_HEIGHT = 0.16
"""Inches of a line of the legend."""

_CURVES = {"purity": "-", "completeness": (0, (4, 1.5))}
_MODELS = {"final": "models at the end of training", "best": "best models by the validation set"}
_CHUNK = 500_000
_WIDTH = 100
"""km/s: bins of the table."""

_BINS = 8, 40
"""Fewest and most bins of dv that are shown."""

_PER_BIN = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20)
"""Bins of the table per bin that is drawn: divisors of their number."""


_MANY = 1000
"""Fewest quasars of the test set for hundredths of a per cent."""


class Published(NamedTuple):
    """Published results for one size of the training set."""

    n_train: int
    fraction: float
    crossing: float
    threshold: float
    median_dv: float
    sigma_dv: float


PUBLISHED: dict[str, list[Published]] = {
    "none": [],
    "farr2020": [
        Published(563_000, 0.9, 0.9953, 0.15, -7.8, 618),
        Published(63_000, 0.1, 0.9940, 0.08, 18.4, 793),
        Published(31_000, 0.05, 0.9905, 0.25, -18.3, 910),
    ],
}
"""Published results, by the value of `figures.purity_completeness.published` in the config."""


def load(path: Path, optimizer: str, model: str) -> pd.DataFrame:
    """Read the rows of metrics.csv, test_metrics.csv or dv_histogram.csv that are drawn, a part of the file at a time.

    Parameters
    ----------
    path : Path
    optimizer, model : str

    Returns
    -------
    DataFrame
        Rows of that optimizer and model; if the table has them, of sample `all` and one line.

    Raises
    ------
    ValueError
        If there are none.
    """
    parts = []
    for part in pd.read_csv(path, dtype={"optimizer": str}, chunksize=_CHUNK):
        wanted = (part["optimizer"] == optimizer) & (part["model"] == model)
        if "sample" in part:
            wanted &= (part["sample"] == "all") & (part["n_detect"] == 1)
        parts.append(part[wanted])
    table = pd.concat(parts, ignore_index=True)
    if table.empty:
        raise ValueError(f"{path}: expected rows of the optimizer {optimizer!r} and its {model} models, found none")
    return table


def draw(
    metrics: pd.DataFrame,
    scores: pd.DataFrame,
    histogram: pd.DataFrame,
    model: str = "final",
    published: str = "none",
) -> Figure:
    """Draw the curves and the distribution of dv of one optimizer, a colour per size of the training set.

    Parameters
    ----------
    metrics, scores, histogram : DataFrame
        The tables of `load` from metrics.csv, test_metrics.csv and dv_histogram.csv.
    model : {"final", "best"}
        The models of these tables.
    published : str
        Key of `PUBLISHED`.

    Returns
    -------
    Figure
        Two columns wide. Lines are medians over the replicates that have not failed. Bars at the crossing points, and
        with a single size bands, go from the lowest to the highest of them; with a single one they are its 95 %
        intervals. Failed replicates are thin dotted lines. The vertical range is three times as far from 1 as the
        lowest crossing point.
    """
    fractions = sorted(scores["fraction"].unique(), reverse=True)
    others = PUBLISHED[published]
    legend_height = _LINE_HEIGHT * (len(fractions) + len(others) + 1)
    figure = style.new_figure(style.PAGE_WIDTH, _PANEL_HEIGHT + legend_height + 0.4)
    with style.house_style():
        (curves, errors), legend = figure.subplots(2, 2, height_ratios=[_PANEL_HEIGHT, legend_height])
        handles = []
        limit, per_bin = _dv_range(scores)
        for fraction, color in zip(fractions, style.sequential(len(fractions)), strict=True):
            runs = scores[scores["fraction"] == fraction]
            alone = len(fractions) == 1  # bands of several sizes merge
            _draw_curves(curves, metrics[metrics["fraction"] == fraction], runs, color, alone)
            if fraction in (fractions[0], fractions[-1]):  # more steps would hide each other
                _draw_errors(errors, histogram[histogram["fraction"] == fraction], runs, color, per_bin, alone)
            handles.append(Line2D([], [], color=color, label=_describe(runs)))
        for each, marker in zip(others, "Ds^", strict=False):
            shown: dict[str, Any] = {
                "color": "black",
                "marker": marker,
                "markersize": 5,
                "markerfacecolor": "none",
                "linestyle": "none",
            }
            curves.plot(each.threshold, each.crossing, zorder=4, **shown)
            handles.append(Line2D([], [], label=_describe_published(each), **shown))
        _set_axes(curves, errors, scores, others, limit, per_bin)
        _add_legend(legend, handles, scores, model)
        figure.suptitle(_finding(scores, fractions), fontsize=8)
    return figure


def _finding(scores: pd.DataFrame, fractions: Sequence[float]) -> str:
    """Return where purity and completeness of the largest and the smallest size are equal, in words."""
    found = []
    for fraction in dict.fromkeys((fractions[0], fractions[-1])):
        runs = scores[scores["fraction"] == fraction]
        equal = runs.loc[~runs["failed"], "crossing"].median()
        level = f"meet at {_percent(equal, runs)}" if np.isfinite(equal) else "never meet"
        found.append(f"{level} with {runs['n_train'].median():,.0f} training spectra")
    return f"{scores['optimizer'].iat[0]}: purity and completeness {', and '.join(found)}"


def _percent(share: float, runs: pd.DataFrame) -> str:
    return f"{100 * share:.{2 if runs['quasars'].to_numpy()[0] >= _MANY else 1}f} %"


def _draw_curves(axes: Axes, metrics: pd.DataFrame, runs: pd.DataFrame, color: Any, banded: bool) -> None:
    """Draw purity and completeness of one size."""
    failed = set(runs.loc[runs["failed"], "replicate"])
    kept = metrics[~metrics["replicate"].isin(failed)]
    for name, dash in _CURVES.items():
        table = kept.pivot(index="threshold", columns="replicate", values=name)
        low, high = table.min(axis=1), table.max(axis=1)
        if table.shape[1] == 1:
            low, high = (kept.set_index("threshold")[f"{name}_{end}"] for end in ("low", "high"))
        axes.plot(table.index, table.median(axis=1), color=color, linestyle=dash)
        if banded:
            axes.fill_between(table.index, low, high, color=color, alpha=0.15, linewidth=0)
        for replicate in failed:
            row = metrics[metrics["replicate"] == replicate]
            axes.plot(row["threshold"], row[name], color=color, linestyle=":", linewidth=0.5)
    good = runs[~runs["failed"]]
    at, equal = good["crossing_threshold"].median(), good["crossing"]
    axes.plot(at, equal.median(), "o", color=color, markersize=4, zorder=3)
    low, high = (good["crossing_low"], good["crossing_high"]) if len(good) == 1 else (equal, equal)
    axes.vlines(at, low.min(), high.max(), color=color, linewidth=1.6, zorder=3)


def _dv_range(scores: pd.DataFrame) -> tuple[float, int]:
    """Return the range of dv to either side of 0 (km/s), and the bins of the table per bin that is drawn."""
    widest = scores.loc[~scores["failed"], "sigma_dv_mad"].max()
    limit = 6000.0 if not np.isfinite(widest) else min(max(math.ceil(5 * widest / 1000) * 1000.0, 1000.0), 6000.0)
    # twice the root of the number of quasars: shows the peak of a few hundred well, that of ten still
    quasars = scores["called_quasars"] * (1 - scores["outlier_share"].fillna(1))
    bins = np.clip(2 * math.sqrt(quasars.median()), *_BINS)
    return limit, next((n for n in _PER_BIN if 2 * limit / (_WIDTH * n) <= bins), _PER_BIN[-1])


def _draw_errors(
    axes: Axes, histogram: pd.DataFrame, runs: pd.DataFrame, color: Any, per_bin: int, banded: bool
) -> None:
    """Draw the distribution of dv of one size; each replicate's adds up to 1."""
    failed = runs.loc[runs["failed"], "replicate"]
    kept = histogram[~histogram["replicate"].isin(failed)]
    table = kept.pivot(index="dv", columns="replicate", values="quasars")
    counts = table.to_numpy(float).reshape(-1, per_bin, table.shape[1]).sum(axis=1)
    edges = table.index.min() - _WIDTH / 2 + _WIDTH * per_bin * np.arange(len(counts) + 1)
    total = counts.sum(axis=0)
    shares = counts[:, total > 0] / total[total > 0]
    if not shares.size:
        return
    axes.stairs(np.median(shares, axis=1), edges, color=color, baseline=None, linewidth=0.8)
    if banded and shares.shape[1] > 1:
        axes.stairs(shares.max(axis=1), edges, baseline=shares.min(axis=1), color=color, fill=True, alpha=0.12)


def _describe(runs: pd.DataFrame) -> str:
    """Describe the replicates of one size, for the legend."""
    good, failed = runs[~runs["failed"]], int(runs["failed"].sum())
    measures = ("crossing", "crossing_threshold", "median_dv", "sigma_dv")
    crossing, threshold, median_dv, sigma_dv = (float(good[name].median()) for name in measures)
    named = f"{runs['n_train'].median():,.0f} ({runs['fraction'].iat[0]:g})"
    digits = 2 if runs["quasars"].to_numpy()[0] >= _MANY else 1
    return _sentence(named, crossing, threshold, median_dv, sigma_dv, digits) + (
        f"; {failed} of {len(runs)} failed" if failed else ""
    )


def _describe_published(each: Published) -> str:
    values = (each.crossing, each.threshold, each.median_dv, each.sigma_dv)
    return _sentence(f"Farr et al. (2020), {each.n_train:,} ({each.fraction:g})", *values)


def _sentence(named: str, crossing: float, threshold: float, median_dv: float, sigma_dv: float, digits: int = 2) -> str:
    equal = f"{100 * crossing:.{digits}f} % at {threshold:.2f}" if np.isfinite(crossing) else "never equal"
    errors = f"dv {median_dv:+.0f} \N{PLUS-MINUS SIGN} {sigma_dv:.0f} km/s" if np.isfinite(sigma_dv) else "dv not known"
    return f"{named}: {equal}; {errors}".replace("-", "\N{MINUS SIGN}")


def _set_axes(
    curves: Axes, errors: Axes, scores: pd.DataFrame, others: list[Published], limit: float, per_bin: int
) -> None:
    crossings = [*scores.loc[~scores["failed"], "crossing"].dropna(), *(each.crossing for each in others)]
    bottom = max(0.0, 1 - 3 * (1 - min(crossings, default=0.0)))
    curves.set(xlabel="confidence threshold", ylabel="purity, completeness", xlim=(0, 1))
    curves.set_ylim(bottom, 1 + 0.03 * (1 - bottom))
    shown = [Line2D([], [], color="black", linestyle=dash, label=name) for name, dash in _CURVES.items()]
    shown.append(Line2D([], [], color="black", marker="o", markersize=4, linestyle="none", label="equal"))
    curves.legend(handles=shown, loc="lower left")
    if scores["fraction"].nunique() > 2:
        errors.set_title("largest and smallest size")
    errors.set(xlabel="dv (km/s)", ylabel=f"share of quasars per {_WIDTH * per_bin:,} km/s", xlim=(-limit, limit))
    errors.set_ylim(bottom=0)
    for axes in (curves, errors):
        axes.tick_params(axis="x", pad=5)  # two labels meet in the corner
    errors.axvline(0, color="0.7", linewidth=0.6, linestyle=":", zorder=0)


def _add_legend(panels: np.ndarray, handles: list[Line2D], scores: pd.DataFrame, model: str) -> None:
    """Write the legend below both panels."""
    grid = panels[0].get_gridspec()
    figure = panels[0].figure
    for axes in panels:
        axes.remove()
    axes = figure.add_subplot(grid[1, :])
    axes.set_axis_off()
    title = f"{scores['optimizer'].iat[0]}, {_MODELS[model]}: training spectra (fraction), "
    title += "where purity = completeness, median and sigma of dv"
    legend = axes.legend(handles=handles, title=title, loc="center", ncols=1)
    legend.set_in_layout(False)  # its space is the panel's


def plot(*, metrics: Path, test_metrics: Path, dv_histogram: Path, optimizer: str, style: dict) -> Figure:
    """Return what the models of one optimizer are worth on the test set."""
    curves, scores, dv = (load(path, optimizer, style["model"]) for path in (metrics, test_metrics, dv_histogram))
    return draw(curves, scores, dv, **style)
