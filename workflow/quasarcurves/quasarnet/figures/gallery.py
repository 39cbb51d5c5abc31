"""The errors of a model on the test set: how many, where the redshifts went, and the worst spectra of each kind.

Caption
-------
Errors of {optimizer} on the test set: of its largest training set, the first replicate, at the end of training. At the
top, what spectra of each class are called (a quasar has a line with a confidence above 0.5; a redshift is right within
6000 km/s), and the redshift found against the true one of all that are called quasars. Below, the worst spectra of each
kind of error: normalised flux (grey; gaps where there are no data), the same smoothed (black), lines at the true
redshift (blue, solid, named at the top) and at the one found (orange, dashed, named at the bottom), and the confidence
of every line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import scipy
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quasarcurves.analysis import tables
from quasarcurves.figures import style
from quasarcurves.quasarnet.analysis.gallery import KINDS
from quasarcurves.quasarnet.metrics import DV_MAX, SPEED_OF_LIGHT
from quasarcurves.quasarnet.objective import LINES
from quasarcurves.spectra.grid import grid_with
from quasarcurves.spectra.table import load_column

TITLES = {
    "missed": ("Missed quasars", "quasars", "least confident first"),
    "contaminant": ("Called quasars, but are none", "stars and galaxies", "most confident first"),
    "redshift": ("Wrong redshifts", "quasars called so", "farthest off first"),
    "bal": ("Wrong on broad absorption", "quasars called so whose absorption is known", "surest first"),
}
"""Of each kind of error: what it is, among which spectra, and the order of the worst."""

IN_STUDY = 2
"""Spectra of each kind in the figure of a study."""

SMOOTHING = 2.5
"""Bins of the grid: the standard deviation of the Gaussian that smooths the flux."""

_TRUE, _FOUND = "#0072B2", "#D55E00"
_SYMBOLS = {"star": "*", "galaxy": "s", "quasar z < 2.1": "o", "quasar z >= 2.1": "o", "not trusted": "x"}
_COLORS = {"star": "#E69F00", "galaxy": "#009E73", "quasar z < 2.1": "#0072B2", "quasar z >= 2.1": "#56B4E9"}
_KEY = (
    "blue: lines at the true redshift; orange, dashed: at the redshift found; above each spectrum: confidence per line"
)
_CALLED = {
    "right_redshift": "quasar,\nright z",
    "wrong_redshift": "quasar,\nwrong z",
    "not_called": "no\nquasar",
    "unusable": "not\nfinite",
}
_SHORT = {"LYA": "Ly\N{GREEK SMALL LETTER ALPHA}", "Hbeta": "H\N{GREEK SMALL LETTER BETA}",
          "Halpha": "H\N{GREEK SMALL LETTER ALPHA}"}  # fmt: skip
_COLUMNS = 2
_SPECTRUM_HEIGHT, _HEAD_HEIGHT, _TOP_HEIGHT = 1.65, 0.26, 2.5
"""Inches of a row of spectra, of the title of a kind, and of the panels at the top."""


def draw(
    title: str,
    examples: pd.DataFrame,
    flux: np.ndarray,
    confusion: pd.DataFrame,
    counts: pd.DataFrame,
    redshifts: pd.DataFrame,
    number: int = IN_STUDY,
) -> Figure:
    """Draw the errors of one model.

    Parameters
    ----------
    title : str
        What the model is.
    examples : DataFrame
        Rows as of examples.csv.
    flux : (n, bins) array
        Normalised flux of these spectra.
    confusion, counts, redshifts : DataFrame
        Rows as of confusion.csv (one number of lines), error_counts.csv and redshift_counts.csv, of this model.
    number : int
        Spectra of each kind at most.

    Returns
    -------
    Figure
        Two columns wide. A kind without an error is said to have none.
    """
    shown = (examples["rank"] <= number).to_numpy()
    examples, flux = examples[shown], flux[shown]
    # a model that diverged makes no errors: it says nothing
    kinds = KINDS if (confusion["unusable"] < confusion["spectra"]).any() else ()
    rows = [-(-int((examples["kind"] == kind).sum()) // _COLUMNS) for kind in kinds]
    heights = [_TOP_HEIGHT, *(_HEAD_HEIGHT + _SPECTRUM_HEIGHT * n for n in rows)]
    figure = style.new_figure(style.PAGE_WIDTH, sum(heights) + 0.3)
    with style.house_style():
        figure.suptitle(title, fontsize=9, fontweight="bold", x=0.01, ha="left")
        if any(rows):
            figure.supxlabel(_KEY, fontsize=7)
        top, *parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        left, right = top.subplots(1, 2, width_ratios=[1.15, 1])
        draw_confusion(left, confusion)
        draw_redshifts(right, redshifts)
        for kind, part, n in zip(kinds, parts, rows, strict=True):
            own = (examples["kind"] == kind).to_numpy()
            part.suptitle(_heading(kind, counts, int(own.sum())), fontsize=8, fontweight="bold", x=0.01, ha="left")
            if n:
                _draw_spectra(list(part.subplots(n, _COLUMNS, squeeze=False).flat), examples[own], flux[own])
    return figure


def draw_kind(title: str, kind: str, examples: pd.DataFrame, flux: np.ndarray, counts: pd.DataFrame) -> Figure:
    """Draw all examples of one kind of error, on a page of its own; the arguments are those of `draw`."""
    own = (examples["kind"] == kind).to_numpy()
    rows = -(-int(own.sum()) // _COLUMNS)
    figure = style.new_figure(style.PAGE_WIDTH, _HEAD_HEIGHT + 0.4 + _SPECTRUM_HEIGHT * rows)
    with style.house_style():
        if not rows:
            style.say(figure.subplots(), f"{title}\n{_heading(kind, counts, 0)}")
            return figure
        heading = f"{title}\n{_heading(kind, counts, int(own.sum()))}"
        figure.suptitle(heading, fontsize=8, fontweight="bold", x=0.01, ha="left")
        figure.supxlabel(_KEY, fontsize=7)
        _draw_spectra(list(figure.subplots(rows, _COLUMNS, squeeze=False).flat), examples[own], flux[own])
    return figure


def _draw_spectra(panels: Sequence[Axes], examples: pd.DataFrame, flux: np.ndarray) -> None:
    spectra = zip(tables.records(examples), flux, strict=True)
    for axes, (example, each) in zip(panels, spectra, strict=False):
        draw_spectrum(axes, example, each)
    for axes in panels[len(flux) :]:
        axes.set_axis_off()
    for axes in panels[max(0, len(flux) - _COLUMNS) : len(flux)]:
        axes.set_xlabel("wavelength (\u00c5)", labelpad=1)
    for axes in panels[::_COLUMNS]:
        axes.set_ylabel("normalised flux")


def _heading(kind: str, counts: pd.DataFrame, shown: int) -> str:
    """Say how many errors of a kind there are."""
    name, among, order = TITLES[kind]
    row = counts[counts["kind"] == kind].iloc[0]
    errors, of = int(row["errors"]), int(row["among"])
    if not of:
        return f"{name}: there are no {among}"
    if not errors:
        return f"{name}: none of {of:,} {among}"
    text = f"{name}: {errors:,} of {of:,} {among}"
    if shown < errors:
        return f"{text}; {shown} shown, {order}"
    return f"{text}; {order}" if errors > 1 else text


def draw_confusion(axes: Axes, confusion: pd.DataFrame) -> None:
    """Draw how many spectra of each class are called what, shaded by their share of the class."""
    confusion = confusion[confusion["spectra"] > 0]
    if confusion.empty:
        style.say(axes, "there is no spectrum")
        return
    columns = [name for name in _CALLED if name != "unusable" or confusion["unusable"].any()]
    numbers = confusion[columns].to_numpy()
    share = numbers / confusion["spectra"].to_numpy()[:, None]
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1.6, aspect="auto")
    for i, row in enumerate(numbers):
        for j, n in enumerate(row):
            text = f"{n:,}\n{100 * share[i, j]:.1f} %" if n else "0"
            axes.text(j, i, text, ha="center", va="center", fontsize=7, linespacing=0.95)
    axes.set_yticks(range(len(confusion)), [_class(name) for name in confusion["class"]])
    axes.set_xticks(range(len(columns)), [_CALLED[name] for name in columns])
    axes.tick_params(length=0)
    axes.set(xlabel="called", ylabel="is", title="What the spectra are called")


def draw_redshifts(axes: Axes, redshifts: pd.DataFrame) -> None:
    """Draw the redshift found against the true one of what is called a quasar."""
    if redshifts.empty:
        style.say(axes, "no spectrum of known redshift\nis called a quasar")
        return
    top = max(redshifts["z"].max(), redshifts["z_found"].max()) * 1.05 + 0.1
    z = np.linspace(0, top, 50)
    off = DV_MAX / SPEED_OF_LIGHT * (1 + z)
    axes.fill_between(z, z - off, z + off, color="0.8", linewidth=0, zorder=0)
    for name, symbol in _SYMBOLS.items():
        own = redshifts[redshifts["class"] == name]
        if len(own):
            label = f"{_class(name)} ({int(own['spectra'].sum()):,})"
            axes.plot(own["z"], own["z_found"], symbol, color=_COLORS.get(name, "0.4"), markersize=3,
                      markeredgewidth=0.6, alpha=0.8, label=label)  # fmt: skip
    low = min(0.0, redshifts["z_found"].min(), redshifts["z"].min()) - 0.1
    axes.set(xlim=(low, top), ylim=(low, top), xlabel="true redshift", ylabel="redshift found")
    axes.set_title("Called quasars; grey: right within 6,000 km/s")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handletextpad=0.1, borderaxespad=0.2)


def draw_spectrum(axes: Axes, example: dict, flux: np.ndarray) -> None:
    """Draw one spectrum with what is known and what the network says of it.

    Parameters
    ----------
    axes : Axes
    example : dict
        A row as of examples.csv.
    flux : (bins,) array
        On one of `spectra.grid.GRIDS`.
    """
    draw_flux(axes, flux)
    names = [name.removeprefix("c_") for name in example if name.startswith("c_") and not name.startswith("c_bal_")]
    if example["class"] != "star" and np.isfinite(example["z"]):
        mark_lines(axes, names, example["z"], _TRUE, "-", 1.0)
    mark_lines(axes, names, example["z_found"], _FOUND, (0, (4, 2)), 0.0)
    axes.set_title(describe(example), loc="left", fontsize=7, pad=2, linespacing=1.05)


def draw_flux(axes: Axes, flux: np.ndarray) -> None:
    """Draw normalised flux (bins,), of one of `spectra.grid.GRIDS`, and the same smoothed, with room for labels."""
    grid = grid_with(len(flux))
    flux, smooth = with_gaps(flux)
    axes.plot(grid.centre, flux, color="0.72", linewidth=0.4)
    axes.plot(grid.centre, smooth, color="black", linewidth=0.8)
    low, high = np.nanpercentile(flux, [1, 99])
    low, high = min(low, np.nanmin(smooth)), max(high, np.nanmax(smooth))
    room = 0.22 * max(high - low, 1e-3)
    axes.set(xlim=(grid.wavelength[0], grid.wavelength[-1]), ylim=(low - room, high + room))


def with_gaps(flux: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the flux, and the same smoothed, as NaN where there are no data.

    Prepared spectra do not say which bins have none. But all of these have the same value (0 before the spectrum was
    normalised), and no two others next to each other do.
    """
    flux = np.asarray(flux, float)
    empty = np.isin(flux, flux[1:][flux[1:] == flux[:-1]])
    if empty.all():
        return flux, flux
    weight = scipy.ndimage.gaussian_filter1d((~empty).astype(float), SMOOTHING)
    smooth = scipy.ndimage.gaussian_filter1d(np.where(empty, 0.0, flux), SMOOTHING) / np.where(empty, 1.0, weight)
    return np.where(empty, np.nan, flux), np.where(empty, np.nan, smooth)


def mark_lines(axes: Axes, names: Iterable[str], z: float, color: str, dashes: object, edge: float) -> None:
    """Mark and name the lines of a redshift, their names at the upper (1) or lower (0) edge."""
    first, last = axes.get_xlim()
    for name in names:
        at = LINES[name] * (1 + z)
        if first < at < last:
            axes.axvline(at, color=color, linestyle=dashes, linewidth=0.7, zorder=0.5)
            right = at > first + 0.93 * (last - first)
            axes.annotate(_line(name), (at, edge), (-2 if right else 2, -2 if edge else 2), color=color, fontsize=7,
                          xycoords=axes.get_xaxis_transform(), textcoords="offset points",
                          bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.4},
                          ha="right" if right else "left", va="top" if edge else "bottom")  # fmt: skip


def describe(example: dict) -> str:
    """Say in three lines which spectrum it is, what was found, and how sure the network is of each line."""
    found = f"found z {_round(example['z_found'])}" + ("" if example["called"] else " (not called)")
    mistaken = example.get("mistaken")
    if example["called"] and isinstance(mistaken, str) and mistaken:
        seen, taken = (_line(name) for name in mistaken.split(" for "))
        found += f": {seen} taken for {taken}"
    if example.get("replicates", 1) > 1:
        found += f"; wrong in {example['wrong_in']} of {example['replicates']} runs"
    truth = _class(example["class"]).split(" z ")[0] + (
        f", z {_round(example['z'])}" if np.isfinite(example["z"]) else ""
    )
    if example["bal"] == 1:
        truth += ", BAL"
    first = f"{example['target_id']}: {truth}, S/N {example['snr']:.1f}"
    sure = [f"{_line(name.removeprefix('c_'))} {value:.2f}" for name, value in example.items()
            if name.startswith("c_") and not name.startswith("c_bal_") and np.isfinite(value)]  # fmt: skip
    absorbed = [value for name, value in example.items() if name.startswith("c_bal_") and np.isfinite(value)]
    sure += [f"BAL {max(absorbed):.2f}"] if absorbed else []
    return f"{first}\n{found}\n{' '.join(sure)}"


def _line(name: str) -> str:
    """Return the short name of a line: CIV for CIV(1548)."""
    return _SHORT.get(name, name.split("(", maxsplit=1)[0])


def _round(z: float) -> str:
    """Write a redshift to three digits; -0.0001 is 0."""
    return f"{round(z, 3) + 0.0:.3f}".replace("-", "\N{MINUS SIGN}")


def _class(name: str) -> str:
    return name.replace(">=", "\N{GREATER-THAN OR EQUAL TO}")


def plot(
    *, examples: Path, confusion: Path, error_counts: Path, redshift_counts: Path, spectra: Path, optimizer: str
) -> Figure:
    """Return the errors of the final model of an optimizer's first replicate at its largest size."""
    read = [tables.read(path) for path in (examples, confusion, error_counts, redshift_counts)]
    worst, calls, counts, redshifts = (table[table["optimizer"] == optimizer] for table in read)
    fraction = calls["fraction"].max()
    replicate = next(iter([*worst["replicate"], *redshifts["replicate"], calls["replicate"].min()]))
    calls, counts = (
        table[(table["fraction"] == fraction) & (table["replicate"] == replicate) & (table["model"] == "final")]
        for table in (calls, counts)
    )
    calls = calls[calls["n_detect"] == 1]
    flux = load_column(spectra, "flux", worst["row"].to_numpy(int))
    return draw(title_of(f"f{fraction:g}_r{replicate}/{optimizer}, final model", calls), worst, flux, calls, counts,
                redshifts)  # fmt: skip


def title_of(model: str, confusion: pd.DataFrame) -> str:
    """Return the title of the errors of a model: whether it says anything at all."""
    spectra, unusable = int(confusion["spectra"].sum()), int(confusion["unusable"].sum())
    if unusable == spectra and spectra:
        return f"{model}: it diverged, nothing that it says of {spectra:,} spectra is a number"
    return f"Errors of {model}, on {spectra:,} spectra"
