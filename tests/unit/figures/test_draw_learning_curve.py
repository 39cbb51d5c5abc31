"""The figure of learning curves shows runs, curves, bands and targets as the tables have them."""

import numpy as np
import pandas as pd
import pytest

from quasarcurves.figures import learning_curve
from quasarcurves.quasarnet.analysis.description import DESCRIPTION

SIZES = (1000, 3000, 10_000, 30_000, 100_000)


def tables_of(
    optimizers=("adam", "amsgrad"), metrics=("crossing", "test_loss", "sigma_dv"), target=0.012, answered=True
):
    rng, curves, errors, bands = np.random.default_rng(0), [], [], []
    for optimizer in optimizers:
        for metric in metrics:
            keys = {"optimizer": optimizer, "metric": metric}
            for n in SIZES:
                for replicate in range(3):
                    error = (0.008 + 0.5 * n**-0.45) * rng.lognormal(0, 0.05)
                    row = {**keys, "fraction": n / 1e5, "replicate": replicate, "n_train": n, "error": error}
                    falling = (n, optimizer) == (100_000, "adam")
                    errors.append({**row, "failed": (n, replicate) == (3000, 1), "still_training": falling})
            n = np.geomspace(1000, 800_000, 20)
            curve = 0.008 + 0.5 * n**-0.45
            bands.append(
                pd.DataFrame({"n": n, "error": curve, "error_low": 0.9 * curve, "error_high": 1.1 * curve}).assign(
                    **keys
                )
            )
            needed = {"n_required": 9e4, "n_required_low": 6e4, "n_required_high": 2e5}
            seen = {"gain_per_doubling": 0.2, "gain_per_doubling_low": -0.1, "gain_per_doubling_high": 0.5}
            seen |= {"ratio_seen": 0.2, "ratio_seen_low": 0.1, "ratio_seen_high": 0.4, "noise": 0.23}
            given = {"target": target, "target_given": 1 - target if metric == "crossing" else target}
            more = {"noise_from": "test set", **given, **seen, **needed}
            curves.append({**keys, "answered": answered, **more})
    return pd.DataFrame(curves), pd.DataFrame(errors), pd.concat(bands)


def lines(axes, label):
    return [line for line in axes.lines if line.get_label() == label]


def test_points_curve_band_and_target_are_those_of_the_tables(legible):
    curves, errors, bands = tables_of()
    figure = learning_curve.draw(curves, errors, bands, DESCRIPTION)
    assert len(figure.axes) == 6
    axes = figure.axes[0]
    mine = errors[(errors["optimizer"] == "adam") & (errors["metric"] == "crossing")]
    used = mine[~mine["failed"]]
    for label, rows in (
        ("run", used[~used["still_training"]]),
        ("run still training", used[used["still_training"]]),
        ("failed run", mine[mine["failed"]]),
    ):
        (points,) = lines(axes, label)
        np.testing.assert_allclose(points.get_xydata(), rows[["n_train", "error"]])
    band = bands[(bands["optimizer"] == "adam") & (bands["metric"] == "crossing")]
    (curve,) = lines(axes, "fitted curve")
    np.testing.assert_allclose(curve.get_xydata(), band[["n", "error"]])
    corners = axes.collections[0].get_paths()[0].vertices
    assert (corners[:, 1].min(), corners[:, 1].max()) == pytest.approx(
        (band["error_low"].min(), band["error_high"].max())
    )
    (target,), (needed,) = lines(axes, "target"), lines(axes, "spectra it takes")
    assert set(target.get_ydata()) == {0.012}
    np.testing.assert_allclose(needed.get_xydata(), [[6e4, 0.012], [2e5, 0.012]])
    words = legible(figure)
    assert "error where purity = completeness" in words
    assert "training spectra" in words
    assert "crossing 0.988" in words
    assert "each doubling: 20 % off (-10 to 50) noise 23 %" in words
    assert {axes.get_xscale() for axes in figure.axes} | {axes.get_yscale() for axes in figure.axes} == {"log"}


def test_panels_of_a_metric_have_the_same_axes():
    figure = learning_curve.draw(*tables_of(), DESCRIPTION)
    for row in np.reshape(figure.axes, (3, 2)):
        assert len({(axes.get_xlim(), axes.get_ylim()) for axes in row}) == 1


def test_no_interval_is_drawn_where_the_data_cannot_say():
    figure = learning_curve.draw(*tables_of(answered=False), DESCRIPTION)
    assert not any(lines(axes, "spectra it takes") for axes in figure.axes)
    assert all(lines(axes, "target") for axes in figure.axes)
    assert not any(lines(axes, "fitted curve") or axes.collections for axes in figure.axes)
    dotted = [lines(axes, "fit, not to be prolonged")[0] for axes in figure.axes]
    assert all(line.get_xdata().max() <= max(SIZES) for line in dotted)
    figure = learning_curve.draw(*tables_of(target=np.nan), DESCRIPTION)
    assert not any(lines(axes, "target") for axes in figure.axes)


def test_what_the_smallest_size_reaches_is_an_arrow():
    curves, errors, bands = tables_of(("adam",), ("test_loss",))
    curves["n_required_low"] = 0.0
    (axes,) = learning_curve.draw(curves, errors, bands, DESCRIPTION).axes
    (arrow,) = [text for text in axes.texts if not text.get_text()]
    assert arrow.xyann == (2e5, 0.012)


def test_a_floor_of_zero_can_be_drawn(legible):
    curves, errors, bands = tables_of(("adam",), ("test_loss",))
    legible(learning_curve.draw(curves, errors, bands.assign(error_low=0.0), DESCRIPTION))


def test_points_stand_alone_where_there_is_no_curve(legible):
    curves, errors, bands = tables_of(("adam",), ("test_loss",), answered=False, target=np.nan)
    words = legible(learning_curve.draw(curves, errors, bands.iloc[:0], DESCRIPTION))
    assert "fitted curve" not in words
    assert "failed run" in words


@pytest.mark.parametrize("optimizers", [("adam",), tuple(f"optimizer_{i:02}" for i in range(9))])
def test_few_and_many_optimizers_stay_legible(legible, optimizers):
    figure = learning_curve.draw(*tables_of(optimizers, metrics=("test_loss",)), DESCRIPTION)
    words = legible(figure).split()
    assert set(optimizers) <= set(words)


def test_two_sizes_and_one_metric_stay_legible(legible):
    curves, errors, bands = tables_of(metrics=("test_loss",))
    legible(learning_curve.draw(curves, errors[errors["n_train"] > 20_000], bands, DESCRIPTION))
    legible(learning_curve.draw(curves, errors[errors["n_train"] > 50_000], bands, DESCRIPTION))


def test_two_sizes_show_a_ratio_and_assumed_noise_is_said(legible):
    curves, errors, bands = tables_of(("adam",), ("test_loss",), answered=False)
    gains = ["gain_per_doubling", "gain_per_doubling_low", "gain_per_doubling_high"]
    words = legible(
        learning_curve.draw(
            curves.assign(noise_from="assumed", **dict.fromkeys(gains, np.nan)), errors, bands, DESCRIPTION
        )
    )
    assert "largest / smallest: 0.2 (0.1 to 0.4) noise 23 % (assumed)" in words


def test_nothing_to_draw_is_said(legible):
    curves, errors, bands = tables_of()
    figure = learning_curve.draw(curves, errors.assign(error=np.nan), bands, DESCRIPTION)
    assert "no test errors to draw" in legible(figure)
