"""Spectra as they are before anything is trained: histograms by class, and examples."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from quasarcurves.spectra import Spectra
from quasarcurves.spectra.census import CLASSES, Census

_COLOURS = dict(zip(CLASSES.values(), ("#E69F00", "#009E73", "#0072B2", "#56B4E9", "#777777"), strict=True))
"""By label, from the palette of Okabe and Ito, which colour-blind readers tell apart."""

_NAMES = {label: name for name, label in CLASSES.items()}
_COLUMNS, _BINS = 4, 40
_TICKS = (4000, 6000, 8000, 10_000)
"""Angstrom."""


def histograms(census: Census) -> Figure:
    """Return the histograms of redshift and S/N, stacked by class."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    label, columns = census.columns["label"], census.columns
    present = [each for each in _NAMES if np.any(label == each)]
    far = [each for each in present if _NAMES[each] not in ("star", "not trusted")]
    _stack(left, [columns["z"][label == each] for each in far], far)
    _stack(right, [columns["snr"][label == each] for each in present], present)
    left.set(xlabel="true redshift", ylabel="spectra")
    right.set(xlabel="median S/N per bin", ylabel="spectra")
    right.legend(frameon=False, fontsize=8)
    return figure


def _stack(axes: mpl.axes.Axes, values: list[np.ndarray], labels: list[int]) -> None:
    finite = [each[np.isfinite(each)] for each in values]
    together = np.concatenate(finite) if finite else np.empty(0)
    if not len(together):
        axes.text(0.5, 0.5, "none", ha="center", transform=axes.transAxes)
        return
    low, high = np.percentile(together, [0.5, 99.5])
    edges = np.linspace(low, max(high, low + 1e-3), _BINS + 1).tolist()
    inside = [np.clip(each, edges[0], edges[-1]) for each in finite]
    axes.hist(
        inside, edges, stacked=True, color=[_COLOURS[each] for each in labels], label=[_NAMES[each] for each in labels]
    )


def examples(spectra: Spectra) -> Figure:
    """Return the examples, a small frame each."""
    rows = max(1, -(-len(spectra) // _COLUMNS))
    figure = Figure(figsize=(9, 0.3 + 1.25 * rows), layout="constrained")
    frames = figure.subplots(rows, _COLUMNS, sharex=True, squeeze=False)
    for axes in frames.flat[len(spectra) :]:
        axes.set_axis_off()
    for i, axes in enumerate(frames.flat[: len(spectra)]):
        label = int(spectra.label[i])
        axes.plot(spectra.grid.wavelength, spectra.flux[i], lw=0.6, color=_COLOURS[label])
        z = round(float(spectra.z[i]), 2) + 0.0  # no minus before a zero
        axes.set_title(f"{_NAMES[label].split(' z')[0]}, z = {z:.2f}, S/N {spectra.snr[i]:.1f}", fontsize=7)
        axes.tick_params(labelsize=6)
        axes.set_xticks(_TICKS)
        axes.set_ylim(*np.percentile(spectra.flux[i], [0.3, 99.7]) + np.array([-0.5, 0.5]))
    figure.supxlabel("observed wavelength (Å)", fontsize=8)
    figure.supylabel("normalised flux", fontsize=8)
    return figure
