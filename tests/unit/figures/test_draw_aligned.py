"""Event-aligned averages: lines and bands are those of the table, spikes beside the baseline."""

import numpy as np
import pandas as pd
import pytest

from quasarcurves.figures import aligned

LAGS = np.arange(-300, 501, 20)
MEASURES = (
    "loss", "gradient_norm", "effective_step_q50", "rms_worst", "gradient_curvature_over_threshold",
    "sharpness_over_threshold", "batch_sharpness_over_threshold",
)  # fmt: skip


def table(fractions=(0.8, 0.2), measures=MEASURES, kinds=("spike", "baseline"), optimizer="adam", n=17):
    rng, tables = np.random.default_rng(0), []
    for fraction in fractions:
        for measure in measures:
            for kind in kinds:
                height = 1 + 20 * (kind == "spike") * np.exp(-np.abs(LAGS) / 100) * (LAGS >= 0)
                median = height * rng.lognormal(0, 0.1, len(LAGS))
                keys = {
                    "optimizer": optimizer,
                    "fraction": fraction,
                    "n_train": round(1280 * fraction),
                    "measure": measure,
                    "kind": kind,
                    "n": n,
                }
                values = {"lag": LAGS, "q25": 0.7 * median, "median": median, "q75": 1.5 * median}
                tables.append(pd.DataFrame(values).assign(**keys))
    return pd.concat(tables, ignore_index=True)


def test_lines_and_bands_are_those_of_the_table(legible):
    rows = table()
    figure = aligned.draw(rows, "adam")
    panels = np.reshape(figure.axes, (len(MEASURES), 2))
    for measure, row in zip(MEASURES, panels, strict=True):
        for fraction, axes in zip((0.8, 0.2), row, strict=True):
            for kind, line, band in zip(("baseline", "spike"), axes.lines, axes.collections, strict=False):
                of = rows[(rows["measure"] == measure) & (rows["fraction"] == fraction) & (rows["kind"] == kind)]
                np.testing.assert_array_equal(line.get_xydata(), of[["lag", "median"]])
                extent = band.get_paths()[0].get_extents()
                np.testing.assert_allclose([extent.y0, extent.y1], [of["q25"].min(), of["q75"].max()])
    words = legible(figure)
    assert "1,024 examples: 17 spikes" in words
    loss = rows[(rows["measure"] == "loss") & (rows["kind"] == "spike")]
    assert f"the loss goes to {loss['median'].max():.2g} times that before, at the onset" in words


def test_steps_near_the_onset_are_thinned_as_those_far_off_and_a_flat_measure_has_ticks(legible):
    lags = np.union1d(np.arange(-300, 501, 5), np.arange(-50, 51))
    rows = [
        pd.DataFrame({"lag": lags, "q25": level - 1e-4, "median": level, "q75": level + 1e-4}).assign(
            optimizer="adam", fraction=0.8, n_train=1024, measure=measure, kind="spike", n=3
        )
        for measure, level in (("loss", 1.0), ("gradient_norm", 1.0))
    ]
    figure = aligned.draw(pd.concat(rows), "adam")
    line = figure.axes[0].lines[1].get_xdata()
    assert np.diff(line).max() < 9 and len(line) == 161
    legible(figure)
    ticks = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(set(ticks)) == len(ticks) > 2


def test_onset_and_threshold_are_marked():
    figure = aligned.draw(table([0.8]), "adam")
    for measure, axes in zip(MEASURES, figure.axes, strict=True):
        assert list(axes.lines[2].get_xdata()) == [0, 0]
        thresholds = [line for line in axes.lines if list(line.get_ydata()) == [1, 1]]
        assert len(thresholds) == measure.endswith("_over_threshold")


def test_only_measures_that_there_are(legible):
    figure = aligned.draw(table([0.8], measures=("loss", "update_norm", "gradient_norm")), "adam")
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "gradient\nnorm"]
    legible(figure)


def test_a_size_without_spikes_beside_one_with_spikes(legible):
    rows = pd.concat([table([0.8], MEASURES[:2], n=1), table([0.2], MEASURES[:2], kinds=("baseline",))])
    words = legible(aligned.draw(rows, "adam"))
    assert "1,024 examples: 1 spike " in words
    assert "256 examples: no spikes" in words


def test_curvature_at_one_size_alone_is_said(legible):
    rows = pd.concat([table([0.8], MEASURES[:3]), table([0.2], MEASURES[:1])])
    assert legible(aligned.draw(rows, "adam")).count("not measured") == 2


@pytest.mark.slow
@pytest.mark.parametrize("fractions", [(0.8,), (0.8, 0.7, 0.4, 0.2, 0.1, 0.05, 0.025)])
def test_any_number_of_sizes_is_legible(legible, fractions):
    legible(aligned.draw(table(fractions), "adam"))


@pytest.mark.parametrize("rows", [table(), table().iloc[:0], table(optimizer="sgd", kinds=("baseline",))])
def test_no_spike_is_said(legible, rows):
    assert "sgd: no spike to align the steps at" in legible(aligned.draw(rows, "sgd"))
