"""Spectra that two networks call differently: the lines of both redshifts in each.

Drawn for `quasarcurves compare`; no figure of a study.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quasarcurves.analysis import tables
from quasarcurves.figures import style
from quasarcurves.quasarnet.analysis.comparison import KINDS
from quasarcurves.quasarnet.figures.gallery import draw_flux, mark_lines

_BEFORE, _AFTER = "#0072B2", "#D55E00"
_COLUMNS, _HEIGHT, _HEAD = 2, 1.55, 0.5
"""Spectra in a row, inches of a row, and of what stands above all."""

KEY = "blue: lines at the redshift before; orange, dashed: at that after; only where a network calls it a quasar"


def draw(kind: str, changes: pd.DataFrame, flux: np.ndarray, lines: Sequence[str]) -> Figure:
    """Draw spectra that change in one way.

    Parameters
    ----------
    kind : str
        One of `comparison.KINDS`.
    changes : DataFrame
        Rows as of `comparison.changes`, of that kind.
    flux : (n, bins) array
        Normalised flux of these spectra, on one of `spectra.grid.GRIDS`.
    lines : sequence of str
        Names of the emission lines.
    """
    rows = -(-len(changes) // _COLUMNS)
    figure = style.new_figure(style.PAGE_WIDTH, _HEAD + _HEIGHT * max(rows, 1))
    with style.house_style():
        if not rows:
            style.say(figure.subplots(), f"no {KINDS[kind]}")
            return figure
        panels = list(figure.subplots(rows, _COLUMNS, squeeze=False, sharex=True).flat)
        for axes, row, each in zip(panels, tables.records(changes), flux, strict=False):
            _draw_spectrum(axes, kind, row, each, lines)
        for axes in panels[len(changes) :]:
            axes.set_axis_off()
        figure.supxlabel(f"wavelength (\u00c5)\n{KEY}", fontsize=7)
        figure.supylabel("normalised flux", fontsize=8)
    return figure


def _draw_spectrum(axes: Axes, kind: str, row: dict, flux: np.ndarray, lines: Sequence[str]) -> None:
    draw_flux(axes, flux)
    if kind != "gained":
        mark_lines(axes, lines, row["z_before"], _BEFORE, "-", 1.0)
    if kind != "lost":
        mark_lines(axes, lines, row["z_after"], _AFTER, (0, (4, 2)), 0.0)
    axes.set_title(describe(row), loc="left", fontsize=7, pad=2, linespacing=1.05)


def describe(row: dict) -> str:
    """Say in two lines which spectrum it is, and what both networks say of it."""
    truth = ""
    if row.get("class"):
        truth = f": {row['class']}" + (f", z {row['z']:.3f}" if np.isfinite(row["z"]) else "")
    said = [f"z {row[f'z_{each}']:.3f} ({row[f'confidence_{each}']:.2f})" for each in ("before", "after")]
    return f"{row['target_id']}{truth}, S/N {row['snr']:.1f}\n{said[0]} \N{RIGHTWARDS ARROW} {said[1]}"
