"""Where the errors are: against redshift, against the place within a box, and among fibres without a quasar.

Caption
-------
Errors of the final models of {optimizer} on the test set at its largest size, all replicates together, by one line with
a confidence above 0.5; bars are 95 % intervals over objects, of dv where there are ten quasars. Top: completeness
against the true redshift and purity against the one found, in fine bins; an empty bin has no point, and a ring marks
what differs from all other bins by more than chance. Middle: mean redshift error against the true place of a line
within its box, by line; in colour where dv goes up and down with it more than by chance (5 %, adjusted for all lines,
optimizers and sizes). Bottom: false positives among 1,000 fibres of a class and S/N; an open triangle is the upper
limit where there was none. The tables are ``errors_by_redshift.csv``, ``redshift_wiggles.csv`` and
``false_positives.csv``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from quasarcurves.analysis import tables
from quasarcurves.analysis.stats import ALPHA
from quasarcurves.figures import style
from quasarcurves.quasarnet.analysis.locate import BEST

_SHARES = {"completeness": ("#0072B2", "o"), "purity": ("#D55E00", "s")}
_CLASSES = {"star": ("#0072B2", "o", "stars"), "galaxy": ("#D55E00", "s", "galaxies"),
            "empty": ("#000000", "^", "no object")}  # fmt: skip
_WIGGLES, _NONE = "#D55E00", "0.35"
_COLUMNS = 4
"""Panels of lines side by side."""

_BEST = "best line"

_LEAST_RANGE = 100.0
"""km/s: the axis of dv goes so far to either side at least."""


def draw(redshifts: pd.DataFrame, places: pd.DataFrame, fibres: pd.DataFrame, title: str) -> Figure:
    """Draw where the errors of one optimizer at one size are.

    Parameters
    ----------
    redshifts, places, fibres : DataFrame
        Rows of one optimizer and size of the tables of `analysis.locate.write`.
    title : str
    """
    lines = [(str(name), rows) for name, rows in places.groupby("line", sort=False) if rows["mean_dv"].notna().any()]
    depth = max(-(-len(lines) // _COLUMNS), 1)
    heights = [1.9, 0.25 + 0.9 * depth, 1.75]
    figure = style.new_figure(style.COLUMN_WIDTH, sum(heights) + 0.4)
    with style.house_style():
        top, middle, bottom = figure.subfigures(3, 1, squeeze=False, height_ratios=heights)[:, 0]
        _draw_shares(top.subplots(), redshifts)
        _draw_lines(middle, lines, depth)
        _draw_fibres(bottom.subplots(), fibres)
        style.titled_legend(figure, [], title, 1)
    return figure


def _draw_shares(axes: Axes, table: pd.DataFrame) -> None:
    inner = table.dropna(subset=["z_low", "z_high"])
    middle, width = (inner["z_low"] + inner["z_high"]) / 2, inner["z_high"] - inner["z_low"]
    for i, (name, (color, mark)) in enumerate(_SHARES.items()):
        at = middle + width * (i - 0.5) * 0.3
        _bars(axes, at, inner, name, color, mark, name)
        far = inner[f"{name}_p_holm"] < ALPHA
        axes.plot(at[far], inner.loc[far, name], "o", markersize=7, markerfacecolor="none", color=color)
    axes.set(xlabel="redshift", ylabel="share", xlim=(inner["z_low"].min(), inner["z_high"].max()))
    low, _ = axes.get_ylim()
    axes.set_ylim(low - 0.05 * (1 - low), 1 + 0.05 * (1 - low))  # room for a ring
    axes.legend(loc="lower center", ncols=2, bbox_to_anchor=(0.5, 1.0), borderaxespad=0.1)


def _draw_lines(figure: SubFigure, lines: list[tuple[str, pd.DataFrame]], depth: int) -> None:
    if not lines:
        style.say(figure.subplots(), "no quasar has a good redshift")
        return
    panels = figure.subplots(depth, _COLUMNS, sharex=True, sharey=True, squeeze=False)
    reach = max(
        [*(rows[["mean_dv_low", "mean_dv_high", "mean_dv"]].abs().max().max() for _, rows in lines), _LEAST_RANGE]
    )
    for axes, (name, rows) in zip(panels.flat, lines, strict=False):
        color = _WIGGLES if (rows["wiggles"] == "yes").any() else _NONE
        axes.axhline(0, color="0.7", linewidth=0.6, zorder=0)
        _bars(axes, (rows["place_low"] + rows["place_high"]) / 2, rows, "mean_dv", color, "o", None)
        axes.set_title(_BEST if name == BEST else name, fontsize=7, color=color, pad=2)
    for i, axes in enumerate(panels.flat):
        axes.tick_params(labelbottom=i >= len(lines) - _COLUMNS)  # the lowest panel of each column
        if i >= len(lines):
            axes.set_axis_off()
    panels[0, 0].set(xlim=(0, 1), xticks=(0, 0.5, 1), xticklabels=("0", "½", "1"), ylim=(-1.1 * reach, 1.1 * reach))
    figure.supxlabel("place of the line within its box", fontsize=8)
    figure.supylabel("mean dv (km/s)", fontsize=8)


def _draw_fibres(axes: Axes, table: pd.DataFrame) -> None:
    edges = table.drop_duplicates(["snr_low", "snr_high"])[["snr_low", "snr_high"]]
    places = {tuple(pair): i for i, pair in enumerate(edges.fillna(-1).to_numpy())}
    for i, (name, (color, mark, label)) in enumerate(_CLASSES.items()):
        rows = table[(table["class"] == name) & table["per_1000"].notna()]
        at = np.array([places[tuple(pair)] for pair in rows[["snr_low", "snr_high"]].fillna(-1).to_numpy()], float)
        at += 0.2 * (i - 1)
        if len(rows):
            none = (rows["false_positives"] == 0).to_numpy()
            if not none.all():
                _bars(axes, at[~none], rows[~none], "per_1000", color, mark, label)
            # of what never happened only the upper limit is known
            limit = rows.loc[none, "per_1000_high"]
            axes.plot(at[none], limit, "v", color=color, markerfacecolor="none", markersize=4,
                      label=label if none.all() else None)  # fmt: skip
    axes.set_xticks(range(len(edges)), [_between(*pair) for pair in edges.to_numpy()])
    axes.set(xlabel="S/N per bin", ylabel="false positives\nof 1,000 fibres", xlim=(-0.5, len(edges) - 0.5))
    axes.set_yscale("log")
    style.decades(axes.yaxis)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower center", ncols=3, bbox_to_anchor=(0.5, 1.0), borderaxespad=0.1)


def _between(low: float, high: float) -> str:
    if not np.isfinite(low):
        return f"< {high:g}"
    return f"{low:g}\N{EN DASH}{high:g}" if np.isfinite(high) else f"> {low:g}"


def _bars(
    axes: Axes, at: np.ndarray | pd.Series, rows: pd.DataFrame, name: str, color: str, mark: str, label: str | None
) -> None:
    """Draw values with their intervals."""
    reach = [rows[name] - rows[f"{name}_low"], rows[f"{name}_high"] - rows[name]]
    axes.errorbar(
        at, rows[name], np.maximum(reach, 0), fmt=mark, color=color, markersize=3, elinewidth=0.8, label=label
    )


def _finding(redshifts: pd.DataFrame, places: pd.DataFrame, fibres: pd.DataFrame) -> str:
    """Return what stands out by more than chance, in words."""
    overall = float(np.average(redshifts["completeness"].fillna(0), weights=redshifts["n_quasars"] + 1e-9))
    lost = redshifts[(redshifts["completeness_p_holm"] < ALPHA) & (redshifts["completeness"] < overall)]
    said = ["completeness is lost at no redshift by more than chance"]
    if len(lost):
        worst = lost.iloc[int(lost["completeness_p_holm"].to_numpy().argmin())]
        share, low, high = 100 * worst["completeness"], worst["z_low"], worst["z_high"]
        said = [f"completeness is {share:.0f} % at z = {low:g} to {high:g}"]
    waves = [_BEST if name == BEST else name for name in places.loc[places["wiggles"] == "yes", "line"].unique()]
    said.append(f"dv wiggles in {', '.join(waves)}" if waves else "dv wiggles in no line")
    empty = fibres[(fibres["class"] == "empty") & (fibres["n_spectra"] > 0)]
    if len(empty):
        most = empty.iloc[int(empty["n_spectra"].to_numpy().argmax())]
        rate, ends = most["per_1000"], (most["per_1000_low"], most["per_1000_high"])
        said.append(f"of 1,000 fibres without an object {rate:.2g} ({ends[0]:.2g} to {ends[1]:.2g}) are called quasars")
    return "; ".join(said)


def plot(errors_by_redshift: Path, redshift_wiggles: Path, false_positives: Path, optimizer: str) -> Figure:
    """Return the figure of one optimizer from the tables of a study."""
    found = [tables.read(path) for path in (errors_by_redshift, redshift_wiggles, false_positives)]
    own = [table[(table["optimizer"] == optimizer) & (table["models"] > 0)] for table in found]
    if not len(own[0]):
        return style.say_only(f"{optimizer}: all models have diverged")
    largest = own[0]["n_train"].max()
    redshifts, places, fibres = (table[table["n_train"] == largest] for table in own)
    models = redshifts["models"].iloc[0]
    of = f"{models} models" if models > 1 else "one model"
    title = f"{optimizer}, {largest:,} training spectra, {of}: {_finding(redshifts, places, fibres)}"
    return draw(redshifts, places, fibres, title)
