"""Purity, completeness and dv of a study: lines and bands are those of the tables, others' only if asked for."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import StepPatch

from quasarcurves.analysis import tables
from quasarcurves.analysis.metrics import THRESHOLDS
from quasarcurves.figures import style
from quasarcurves.quasarnet.figures import purity_completeness

FRACTIONS = (0.8, 0.2)


def make_tables(fractions=FRACTIONS, replicates=3, failed=(), crossing=0.95, quasars=400):
    """Plausible tables: purity rises and completeness falls with the threshold; the smaller, the less."""
    curves, scores, histograms = [], [], []
    dv = np.arange(-5950.0, 6000, 100)
    for fraction in fractions:
        for replicate in range(replicates):
            level = crossing - 0.02 * (1 - fraction) - 0.002 * replicate - (0.3 if replicate in failed else 0)
            keys = {
                "fraction": fraction,
                "replicate": replicate,
                "optimizer": "adam",
                "n_train": round(1280 * fraction),
            }
            keys |= {"model": "final"}
            table = pd.DataFrame({"n_detect": 1, "sample": "all", "threshold": THRESHOLDS})
            table["purity"] = level + 0.04 * (THRESHOLDS - 0.4)
            table["completeness"] = level - 0.2 * (THRESHOLDS - 0.4)
            for name in ("purity", "completeness"):
                table[f"{name}_low"], table[f"{name}_high"] = table[name] - 0.01, table[name] + 0.008
            table.loc[100, ["purity", "purity_low", "purity_high"]] = np.nan
            curves.append(table.assign(**keys))
            numbers = {
                "crossing": level,
                "crossing_threshold": 0.4,
                "crossing_low": level - 0.01,
                "crossing_high": level + 0.008,
                "median_dv": -12.0,
                "sigma_dv": 650.0,
            }
            numbers |= {"sigma_dv_mad": 500.0, "outlier_share": 0.01, "called_quasars": quasars, "quasars": quasars}
            scores.append({**keys, "n_detect": 1, "sample": "all", **numbers, "failed": replicate in failed})
            counts = np.round(quasars * 100 / 650 / 2.5 * np.exp(-0.5 * (dv / 650) ** 2)) + replicate * (dv == 50)
            histograms.append(pd.DataFrame({"dv": dv, "quasars": counts}).assign(**keys))
    return pd.concat(curves, ignore_index=True), pd.DataFrame(scores), pd.concat(histograms, ignore_index=True)


def lines(axes, color, dash):
    """Drawn curves of one colour and line style."""
    return [
        line for line in axes.lines
        if to_hex(line.get_color()) == to_hex(color) and line.get_linestyle() == dash and len(line.get_xdata()) > 2
    ]  # fmt: skip


def bars(axes):
    """Vertical bars: where they begin and end."""
    return [path.vertices.ravel().tolist() for each in axes.collections for path in each.get_paths()
            if path.vertices.shape == (2, 2)]  # fmt: skip


def stairs(axes):
    """Distributions drawn as lines: shares and edges."""
    return [each.get_data()[:2] for each in axes.patches if isinstance(each, StepPatch) and not each.get_fill()]


def test_lines_are_medians_and_bars_the_extremes(legible):
    metrics, scores, histogram = make_tables()
    axes, _ = purity_completeness.draw(metrics, scores, histogram).axes[:2]
    for fraction, color in zip(FRACTIONS, style.sequential(2), strict=True):
        rows = metrics[metrics["fraction"] == fraction].pivot(index="threshold", columns="replicate", values="purity")
        (line,) = lines(axes, color, "-")
        np.testing.assert_allclose(line.get_ydata(), rows.median(axis=1))
        np.testing.assert_allclose(line.get_xdata(), THRESHOLDS)
        equal = scores.loc[scores["fraction"] == fraction, "crossing"]
        assert [0.4, equal.min(), 0.4, equal.max()] in [pytest.approx(bar) for bar in bars(axes)]
    assert len(axes.collections) == 2  # bands of two sizes would merge
    words = legible(purity_completeness.draw(metrics, scores, histogram))
    assert "1,024 (0.8): 94.4 % at 0.40; dv \N{MINUS SIGN}12 ± 650 km/s" in words
    assert (
        "adam: purity and completeness meet at 94.4 % with 1,024 training spectra, and meet at 93.2 % with 256" in words
    )
    assert "Farr" not in words


def test_one_replicate_has_the_bootstrap_for_a_band(legible):
    metrics, scores, histogram = make_tables(fractions=[0.8], replicates=1)
    figure = purity_completeness.draw(metrics, scores, histogram)
    band = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((metrics["purity_low"].min(), metrics["purity_high"].max()))
    assert bars(figure.axes[0]) == [pytest.approx([0.4, *scores["crossing_low"], 0.4, *scores["crossing_high"]])]
    legible(figure)


def test_failed_replicates_are_shown_but_not_in_the_band(legible):
    metrics, scores, histogram = make_tables(fractions=[0.8], replicates=5, failed=[2])
    figure = purity_completeness.draw(metrics, scores, histogram)
    axes, color = figure.axes[0], style.sequential(1)[0]
    kept = metrics[metrics["replicate"] != 2].pivot(index="threshold", columns="replicate", values="purity")
    np.testing.assert_allclose(lines(axes, color, "-")[0].get_ydata(), kept.median(axis=1))
    assert axes.collections[0].get_paths()[0].vertices[:, 1].min() == pytest.approx(kept.min().min())
    dotted = lines(axes, color, ":")
    assert len(dotted) == 2
    np.testing.assert_allclose(dotted[0].get_ydata(), metrics.loc[metrics["replicate"] == 2, "purity"])
    assert "1 of 5 failed" in legible(figure)


def test_published_points_are_drawn_if_asked_for(legible):
    metrics, scores, histogram = make_tables()
    figure = purity_completeness.draw(metrics, scores, histogram, published="farr2020")
    points = [line.get_xydata()[0] for line in figure.axes[0].lines if line.get_marker() in "Ds^"]
    np.testing.assert_allclose(points, [[0.15, 0.9953], [0.08, 0.9940], [0.25, 0.9905]])
    words = legible(figure)
    assert "Farr et al. (2020), 563,000 (0.9): 99.53 % at 0.15; dv \N{MINUS SIGN}8 ± 618 km/s" in words


def test_distribution_of_dv_adds_up_to_one():
    _, axes = purity_completeness.draw(*make_tables(quasars=2000)).axes[:2]
    assert len(stairs(axes)) == 2
    for shares, edges in stairs(axes):
        assert shares.sum() == pytest.approx(1, abs=0.02)  # medians of shares
        assert edges[shares.argmax()] <= 0 <= edges[shares.argmax() + 1]
        assert (edges[0], edges[-1]) == (-6000, 6000)


def test_few_quasars_have_wide_bins():
    few, many = (purity_completeness.draw(*make_tables(quasars=n)).axes[1] for n in (12, 5000))
    assert len(stairs(few)[0][0]) < 30 < len(stairs(many)[0][0])


def test_eight_sizes_are_legible(legible):
    fractions = (0.9, 0.8, 0.5, 0.2, 0.1, 0.05, 0.025, 0.01)
    legible(purity_completeness.draw(*make_tables(fractions=fractions, replicates=2), published="farr2020"))


def test_curves_that_never_meet_and_nothing_found_are_said(legible):
    metrics, scores, histogram = make_tables(fractions=[0.1], replicates=1)
    scores[["crossing", "crossing_threshold", "median_dv", "sigma_dv", "sigma_dv_mad", "outlier_share"]] = np.nan
    metrics[["purity", "purity_low", "purity_high"]] = np.nan
    figure = purity_completeness.draw(metrics, scores, histogram.assign(quasars=0))
    words = legible(figure)
    assert "never equal; dv not known" in words
    assert "purity and completeness never meet with 128 training spectra" in words
    assert figure.axes[0].get_ylim()[0] == 0


def test_what_is_drawn_is_read(tmp_path, monkeypatch):
    metrics, *_ = make_tables()
    others = [metrics.assign(model="best"), metrics.assign(optimizer="1e-3"), metrics.assign(sample="bal")]
    tables.write(pd.concat([metrics, *others, metrics.assign(n_detect=2)]), tmp_path / "metrics.csv")
    monkeypatch.setattr(purity_completeness, "_CHUNK", 100)
    found = purity_completeness.load(tmp_path / "metrics.csv", "adam", "final")
    pd.testing.assert_frame_equal(found[metrics.columns], metrics, check_dtype=False, rtol=1e-7)
    assert len(purity_completeness.load(tmp_path / "metrics.csv", "1e-3", "final")) == len(metrics)
    with pytest.raises(ValueError, match=r"metrics.csv: expected rows of the optimizer 'sgd' and its best models"):
        purity_completeness.load(tmp_path / "metrics.csv", "sgd", "best")
