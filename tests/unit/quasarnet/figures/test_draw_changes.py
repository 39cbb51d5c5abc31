"""Spectra that change, and reliability, as figures."""

import numpy as np
import pandas as pd

from quasarcurves.quasarnet.calibration import reliability as curve_of
from quasarcurves.quasarnet.figures import changes, reliability
from quasarcurves.quasarnet.objective import LINES
from quasarcurves.spectra.grid import LINEAR


def rows(n):
    return pd.DataFrame({
        "target_id": np.arange(n), "snr": 4.0, "z_before": 2.5, "z_after": 1.1, "confidence_before": 0.9,
        "confidence_after": 0.8, "class": "quasar", "z": 2.5,
    })  # fmt: skip


def texts(axes):
    return {(each.get_text(), each.get_color()) for each in axes.texts}


def test_lines_stand_where_a_network_calls_a_quasar():
    flux = np.random.default_rng(0).normal(size=(3, 458))
    for kind, colours in (("gained", {"#D55E00"}), ("lost", {"#0072B2"}), ("redshift", {"#D55E00", "#0072B2"})):
        figure = changes.draw(kind, rows(3), flux, list(LINES))
        shown = [axes for axes in figure.axes if axes.axison]
        assert len(shown) == 3
        assert {colour for axes in shown for _, colour in texts(axes)} == colours
        assert shown[0].get_xlim() == (LINEAR.wavelength[0], LINEAR.wavelength[-1])
    title = shown[1].get_title(loc="left")
    assert title == "1: quasar, z 2.500, S/N 4.0\nz 2.500 (0.90) \N{RIGHTWARDS ARROW} z 1.100 (0.80)"


def test_the_share_of_quasars_stands_at_its_confidence():
    rng = np.random.default_rng(1)
    confidence = rng.random(400)
    curve = curve_of(confidence, rng.random(400) < confidence)
    figure = reliability.draw({"one": curve})
    line = next(line for line in figure.axes[0].lines if len(line.get_xdata()) == 10)
    np.testing.assert_allclose(line.get_xdata(), curve.confidence)
    np.testing.assert_allclose(line.get_ydata(), curve.share)
