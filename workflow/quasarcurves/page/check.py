"""What a study's spectra are and what it will take, as one page that needs no other file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import markupsafe
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from quasarcurves.files import whole_file
from quasarcurves.page import templates
from quasarcurves.page.drawing import svg
from quasarcurves.spectra import Spectra
from quasarcurves.spectra.census import CLASSES, Census
from quasarcurves.study import outlook
from quasarcurves.study.outlook import Outlook

_COLOURS = dict(zip(CLASSES.values(), ("#E69F00", "#009E73", "#0072B2", "#56B4E9", "#777777"), strict=True))
"""By label, from the palette of Okabe and Ito, which colour-blind readers tell apart."""

_NAMES = {label: name for name, label in CLASSES.items()}
_COLUMNS, _BINS = 4, 40
_TICKS = (4000, 6000, 8000, 10_000)
"""Angstrom."""


class _Shown(NamedTuple):
    title: str
    svg: markupsafe.Markup
    caption: str


def write(found: Outlook, path: Path) -> None:
    """Write the page; it asks for nothing over the network."""
    template = templates.environment().get_template("check.html")
    disk = [(name, outlook.size_words(size)) for name, size in found.forecast.disk.items() if size]
    text = template.render(
        study=found.study.name,
        warnings=found.warnings,
        cost=list(outlook.about_cost(found)),
        disk=disk,
        chances=found.chances,
        sets=found.sets,
        between=outlook.between,
        spectra=list(outlook.about_spectra(found.census)),
        figures=[_histograms(found.census), _examples(found.census.examples)],
    )
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _histograms(census: Census) -> _Shown:
    figure = histograms(census)
    caption = "Stacked by class; redshifts of stars are left out. Spectra beyond the range stand in the outermost bins."
    return _Shown("Histograms of redshift and of signal to noise by class", svg(figure), caption)


def _examples(spectra: Spectra) -> _Shown:
    caption = (
        "Drawn at random, as many of each class as there are to be had. Flux is normalised to mean 0 and scatter 1."
    )
    return _Shown(f"{len(spectra)} example spectra", svg(examples(spectra)), caption)


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
