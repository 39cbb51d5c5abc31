"""The figure of where errors are: what is more than chance is said and marked; nothing is made of nothing."""

import numpy as np
import pandas as pd
import pytest

from quasarcurves.quasarnet.figures import errors

KEYS = {"optimizer": "adam", "fraction": 0.8, "n_train": 800, "models": 3, "diverged": 0}
LINES = ("best", "LYA", "CIV(1548)", "CIII(1909)", "MgII(2796)", "Hbeta", "Halpha")


def make_tables(lost=(), waves=(), rate=12.0, empty=200):
    """Make up tables of 20 bins; completeness is lost in some, some lines have a wave."""
    low = np.round(np.arange(20) * 0.2, 1)
    share = np.where(np.isin(low, lost), 0.5, 0.96)
    redshifts = pd.DataFrame({**KEYS, "z_low": low, "z_high": low + 0.2, "n_quasars": 30, "n_called": 90})
    for name, value in (("completeness", share), ("purity", np.full(20, 0.95))):
        redshifts[name], redshifts[f"{name}_low"], redshifts[f"{name}_high"] = value, value - 0.05, value + 0.03
        redshifts[f"{name}_p_holm"] = np.where(value < 0.9, 1e-4, 1.0)
    redshifts.loc[19, ["completeness", "completeness_low", "completeness_high", "completeness_p_holm"]] = np.nan
    redshifts.loc[19, "n_quasars"] = 0
    place = np.arange(8) / 8
    parts = []
    for line in LINES:
        dv = 200 * np.sin(2 * np.pi * place) * (line in waves)
        parts.append(pd.DataFrame({**KEYS, "line": line, "place_low": place, "place_high": place + 1 / 8, "mean_dv": dv,
                                   "mean_dv_low": dv - 80, "mean_dv_high": dv + 80,
                                   "wiggles": "yes" if line in waves else "no"}))  # fmt: skip
    edges = np.array([np.nan, 1, 2, 4, 8, 16, np.nan])
    fibres = pd.concat([pd.DataFrame({**KEYS, "class": name, "snr_low": edges[:-1], "snr_high": edges[1:]})
                        for name in ("star", "galaxy", "empty")], ignore_index=True)  # fmt: skip
    fibres["n_spectra"] = np.where(fibres["class"] == "empty", np.where(fibres["snr_low"].isna(), empty, 0), 50)
    known = fibres["n_spectra"] > 0
    fibres["per_1000"] = np.where(known, rate, np.nan)
    fibres["per_1000_low"], fibres["per_1000_high"] = 0.4 * fibres["per_1000"], 3 * fibres["per_1000"] + 2
    fibres["false_positives"] = np.where(known & (rate > 0), 2, 0)
    return redshifts, pd.concat(parts, ignore_index=True), fibres


@pytest.fixture
def plotted(tmp_path):
    def plot(*frames, optimizer="adam"):
        files = [tmp_path / f"{i}.csv" for i in range(3)]
        for frame, file in zip(frames, files, strict=True):
            frame.to_csv(file, index=False)
        return errors.plot(*files, optimizer)

    return plot


def test_what_stands_out_is_said_and_marked(plotted, legible):
    figure = plotted(*make_tables(lost=[3.6], waves=["CIV(1548)"]))
    words = legible(figure)
    assert "adam, 800 training spectra, 3 models: completeness is 50 % at z = 3.6 to 3.8" in words
    assert "dv wiggles in CIV(1548); of 1,000 fibres without an object 12 (4.8 to 38) are called quasars" in words
    shares, *panels = figure.axes
    ring = next(line for line in shares.lines if line.get_markersize() == 7 and len(line.get_xdata()))
    assert ring.get_ydata() == pytest.approx([0.5])
    colors = {panel.get_title(): panel.title.get_color() for panel in panels}
    assert colors["CIV(1548)"] == errors._WIGGLES and colors["LYA"] == colors["best line"] == errors._NONE


def test_where_nothing_stands_out_it_says_so(plotted, legible):
    figure = plotted(*make_tables(rate=0.0, empty=0))
    words = legible(figure)
    assert "completeness is lost at no redshift by more than chance; dv wiggles in no line" in words
    assert "object" not in figure.get_suptitle() and "no object" not in words
    # of what never happened the upper limit is drawn
    limits = [line for line in figure.axes[-1].lines if line.get_marker() == "v" and len(line.get_xdata())]
    assert [set(line.get_ydata()) for line in limits] == [{2.0}, {2.0}]
    assert [text.get_text() for text in figure.axes[-1].get_legend().get_texts()] == ["stars", "galaxies"]


def test_tables_of_diverged_models_or_without_redshifts_are_drawn(plotted, legible):
    redshifts, places, fibres = make_tables()
    places["mean_dv"] = np.nan
    assert "no quasar has a good redshift" in legible(plotted(redshifts, places, fibres))
    fibres[["per_1000", "per_1000_low", "per_1000_high"]] = np.nan
    fibres["n_spectra"] = 0
    redshifts[["completeness", "purity"]] = np.nan
    legible(plotted(redshifts, places, fibres))
    for table in (redshifts, places, fibres):
        table["models"] = 0
    assert "adam: all models have diverged" in legible(plotted(redshifts, places, fibres))
