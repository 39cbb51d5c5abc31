"""Spikes step by step: lines are those of the table, thresholds are drawn, and any number of spikes is legible."""

import numpy as np
import pandas as pd
import pytest

from quasarcurves.figures import microscope

OFFSETS = np.arange(-100, 21)


def table(spikes=2, optimizers=("adam",), **changed):
    rng, tables = np.random.default_rng(0), []
    for optimizer in optimizers:
        for spike in range(spikes):
            noise = rng.lognormal(0, 0.2, (4, len(OFFSETS)))
            growth = np.exp(np.maximum(OFFSETS, 0) / 8)
            values = {
                "loss": 0.01 * growth * noise[0],
                "batch_sharpness": 1500 * noise[1] * growth,
                "batch_threshold": 2000.0,
                "update_curvature": 800 * noise[2] - 500,
                "square_over_past": 300 * noise[3] * growth**2,
                "descent_cosine": np.cos(noise[0] + 1),
                "clipped_share": 0.02 * noise[1],
            }
            keys = {"run": f"f0.8_r{spike // 2}/{optimizer}", "optimizer": optimizer, "onset": 1000 + 500 * spike}
            tables.append(pd.DataFrame({**values, "offset": OFFSETS, **keys, **changed}))
    return pd.concat(tables, ignore_index=True)


def test_lines_are_those_of_the_table_and_their_median_is_thicker(legible):
    rows = table(3)
    figure = microscope.draw(rows)
    legible(figure)
    loss, sharpness, along, square, _, clipped = figure.axes
    for axes, expected in (
        (sharpness, rows["batch_sharpness"] / 2000),
        (along, rows["update_curvature"] / 2000),
        (square, rows["square_over_past"]),
        (clipped, rows["clipped_share"]),
    ):
        drawn = [line.get_ydata() for line in axes.lines[:4]]
        np.testing.assert_allclose(np.concatenate(drawn[:3]), expected)
        np.testing.assert_allclose(drawn[3], np.median(drawn[:3], axis=0))
        assert axes.lines[3].get_linewidth() > 2 * axes.lines[0].get_linewidth()
    early = loss.lines[0].get_ydata()[OFFSETS < -50]
    assert np.median(early) == pytest.approx(1)


def test_thresholds_and_onset_are_drawn():
    figure = microscope.draw(table())
    levels = {"batch": 1, "curvature": 1, "largest": 5000, "cosine": 0}
    for axes in figure.axes:
        assert any(list(line.get_xdata()) == [0, 0] for line in axes.lines)
        level = levels.get(axes.get_ylabel().split()[0].split("\n")[0])
        found = [line.get_ydata()[0] for line in axes.lines if list(line.get_xdata()) == [0, 1]]
        assert found == ([] if level is None else [level])


@pytest.mark.slow
@pytest.mark.parametrize(("spikes", "optimizers"), [(1, ("adam",)), (12, ("adam",)), (2, ("adam", "amsgrad", "small"))])
def test_any_number_of_spikes_is_legible(legible, spikes, optimizers):
    words = legible(microscope.draw(table(spikes, optimizers)))
    assert f"batch sharpness is above 2/lr in 0 of {spikes * len(optimizers)} spikes" in words
    assert f"adam: {spikes} spike{'s' if spikes > 1 else ''}" in words


def test_measures_that_no_optimizer_has_are_left_out(legible):
    figure = microscope.draw(table(square_over_past=np.nan, batch_threshold=np.nan))
    assert [axes.get_ylabel().split()[0] for axes in figure.axes] == ["loss", "cosine", "boxes"]
    legible(figure)


def test_a_spike_at_the_very_beginning_is_drawn(legible):
    rows = table(1)
    legible(microscope.draw(rows[rows["offset"] >= -20]))


def test_no_spike_is_said(legible):
    assert "no sustained spike in the replayed trainings" in legible(microscope.draw(table().iloc[:0]))
