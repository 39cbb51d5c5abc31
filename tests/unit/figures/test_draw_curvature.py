"""The figure of curvatures shows the record, a panel per optimizer whose threshold is known."""

import numpy as np
import pytest

from quasarcurves.figures import curvature

NAMES = [f"optimizer_{i:02}" for i in range(18)]

STEP = np.arange(0, 2400, 100)


def record(threshold=38000.0):
    sharpness = np.linspace(100, 40000, len(STEP))
    columns = {"step": STEP, "sharpness": sharpness, "gradient_curvature": sharpness / 2 - 5000}
    if threshold is None:
        return columns
    wavy = 1500 + 1000 * np.sin(STEP / 150)
    of_batches = {"batch_sharpness": wavy, "batch_threshold": np.full(len(STEP), threshold / 19)}
    return columns | of_batches | {"threshold": np.full(len(STEP), threshold)}


def test_lines_are_the_record_over_its_thresholds_and_ticks_the_onsets(make, tables_of, legible):
    run = make(curvature=record(), spikes=[(800, 20.0), (1700, 30.0)])
    spikes = tables_of([run]).spikes
    figure = curvature.draw([run], spikes)
    (axes,) = figure.axes
    sharpness, along, of_batches, threshold, onsets = axes.lines
    np.testing.assert_array_equal(sharpness.get_xdata(), STEP)
    np.testing.assert_allclose(sharpness.get_ydata(), record()["sharpness"] / 38000)
    expected = record()["gradient_curvature"] / 38000
    np.testing.assert_allclose(along.get_ydata(), np.where(expected > 0, expected, np.nan))
    np.testing.assert_allclose(of_batches.get_ydata(), record()["batch_sharpness"] / 2000)
    assert list(threshold.get_ydata()) == [1, 1]
    np.testing.assert_array_equal(onsets.get_xdata(), spikes[spikes["scale"] == "step"]["onset"])
    assert len(onsets.get_xdata()) >= 2
    assert axes.get_yscale() == "log"
    legible(figure)


def test_onsets_of_other_runs_are_not_shown(make, tables_of):
    runs = [make(curvature=record()), make(0.4, spikes=[(700, 30.0)]), make(optimizer="sgd", spikes=[(900, 30.0)])]
    spikes = tables_of(runs).spikes
    figure = curvature.draw(runs[:1], spikes)
    mine = spikes[(spikes["scale"] == "step") & (spikes["fraction"] == 0.8) & (spikes["optimizer"] == "adam")]
    assert len(spikes) > len(mine)
    np.testing.assert_array_equal(figure.axes[0].lines[4].get_xdata(), mine["onset"])


def test_optimizers_without_a_threshold_are_named_not_drawn(make, tables_of, legible):
    runs = [make(optimizer=name, curvature=record()) for name in NAMES[:2]]
    runs += [make(optimizer="sgd", curvature=record(np.nan)), make(optimizer="lion", curvature=record(None))]
    figure = curvature.draw(runs, tables_of(runs[:1]).spikes)
    assert [axes.get_title().split("\n") for axes in figure.axes] == [
        [name, "up to: sharpness 1.1, of batches 1.2"] for name in NAMES[:2]
    ]
    words = legible(figure)
    assert "no threshold known: sgd, lion" in words
    assert "1,024 training examples, replicate 0" in words


def test_records_without_batches_are_drawn_without_them(make, tables_of, legible):
    older = {name: column for name, column in record().items() if not name.startswith("batch")}
    run = make(curvature=older)
    figure = curvature.draw([run], tables_of([run]).spikes)
    assert len(figure.axes[0].lines) == 4
    assert "batch sharpness" not in legible(figure)


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 17])
def test_any_number_of_optimizers_is_legible(make, tables_of, legible, n):
    runs = [make(optimizer=name, curvature=record()) for name in NAMES[:n]]
    figure = curvature.draw(runs, tables_of(runs[:1]).spikes.iloc[:0])
    assert sum(axes.axison for axes in figure.axes) == n
    legible(figure)


def test_no_curvature_or_no_threshold_is_said(make, tables_of, legible):
    run = make()
    spikes = tables_of([run]).spikes
    del run.curvature  # as histories were before curvature was measured
    missing = curvature.draw([run], spikes)
    assert "no curvature was measured" in legible(missing)
    unknown = curvature.draw([make(optimizer="sgd", curvature=record(np.nan))], spikes)
    assert "no stability threshold is known for sgd" in legible(unknown)


def test_trainings_on_their_way_to_infinity_have_no_empty_frame(make, tables_of, legible):
    kept = {"step", "threshold", "batch_threshold"}
    gone = {name: values if name in kept else values * np.nan for name, values in record().items()}
    runs = [make(curvature=gone), make(optimizer="sgd", curvature=record())]
    spikes = tables_of(runs).spikes
    (axes,) = curvature.draw(runs[:1], spikes).axes
    assert [each.get_text() for each in axes.texts] == ["no curvature is finite and positive of\nadam"]
    figure = curvature.draw(runs, spikes)
    assert {axes.get_title() for axes in figure.axes} >= {"adam\nnone finite"}
    legible(figure)
