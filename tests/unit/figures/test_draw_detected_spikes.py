"""The figure of spikes shows what the table has, and says where there is none."""

import numpy as np
import pytest

from quasarcurves.analysis import tables
from quasarcurves.figures import detected_spikes


def marks(axes, marker):
    """Positions of the symbols of one kind on axes, legend entries left out."""
    lines = [line for line in axes.lines if line.get_marker() == marker and len(line.get_xdata())]
    return np.concatenate([np.column_stack(line.get_data()) for line in lines]) if lines else np.empty((0, 2))


def test_marks_stand_where_the_table_has_them_on_the_loss(make, tables_of, legible):
    run = make(spikes=[(1000, 20.0), (1900, 40.0)])
    spikes = tables_of([run]).spikes
    figure = detected_spikes.draw([run], spikes)
    left, right = figure.axes[:2]
    of_epochs, of_steps = (spikes[spikes["scale"] == scale] for scale in ("epoch", "step"))
    assert len(of_epochs) >= 2
    for name, marker in (("onset", "^"), ("peak", "o")):
        at = of_epochs[name].to_numpy(int)
        expected = np.column_stack([at + 1, run.epochs["loss"][at]])
        np.testing.assert_allclose(marks(left, marker), expected)
    highest = of_steps.loc[of_steps["height_ratio"].idxmax()]
    assert highest["peak"] == pytest.approx(1900, abs=3)
    assert [highest["peak"], run.steps["loss"][int(highest["peak"])]] in marks(right, "o").tolist()
    first, last = right.get_xlim()
    assert first < highest["onset"] < highest["end"] < last
    assert f"{highest['height_ratio']:.3g}x" in right.get_title()
    legible(figure)


def test_the_curves_are_the_losses(make, tables_of):
    run = make()
    figure = detected_spikes.draw([run], tables_of([run]).spikes)
    left, right = figure.axes[:2]
    np.testing.assert_array_equal(left.lines[0].get_xdata(), np.arange(1, 301))
    np.testing.assert_array_equal(left.lines[0].get_ydata(), run.epochs["loss"])
    steps = right.lines[0].get_xdata()
    np.testing.assert_array_equal(right.lines[0].get_ydata(), run.steps["loss"][steps])
    assert left.get_yscale() == right.get_yscale() == "log"


def test_grey_marks_the_same_time_in_epochs(make, tables_of):
    run = make(spikes=[(1600, 30.0)])
    left, right = detected_spikes.draw([run], tables_of([run]).spikes).axes[:2]
    (grey,) = left.patches
    box = grey.get_extents().transformed(left.transData.inverted())
    # 8 steps per epoch; the loss of the first 8 stands at epoch 1
    np.testing.assert_allclose([box.x0, box.x1], np.array(right.get_xlim()) / 8 + [0.5, 1.5], rtol=1e-6)


def test_the_replicate_with_the_highest_spike_is_shown_and_named(make, tables_of, legible):
    runs = [make(0.8, r, spikes=[(1500, height)]) for r, height in enumerate((5.0, 50.0, 10.0))]
    figure = detected_spikes.draw(runs, tables_of(runs).spikes)
    assert "1,024 examples, replicate 1" in figure.axes[0].get_title()
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), runs[1].epochs["loss"])
    legible(figure)


def test_no_spike_is_said(make, tables_of, legible):
    run = make(spikes=())
    spikes = tables_of([run]).spikes
    assert spikes.empty
    figure = detected_spikes.draw([run], spikes)
    words = legible(figure)
    assert "1,024 examples, replicate 0" in words
    assert "no spike found in the losses of steps" in words


def test_a_row_per_fraction_the_largest_first(make, tables_of, legible):
    fractions = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
    runs = [make(fraction, spikes=[(200, 30.0)] if fraction > 0.2 else ()) for fraction in fractions]
    figure = detected_spikes.draw(runs, tables_of(runs).spikes)
    titles = [axes.get_title().split()[0] for axes in figure.axes[::2]]
    assert titles == ["1,024", "768", "640", "512", "384"]
    assert "spikes found at 5 of 7 sizes; no spike with 256, 128 examples" in legible(figure)


def test_a_spike_that_never_ends_and_a_diverged_run(make, tables_of, legible):
    run = make(spikes=[(2300, 30.0)], diverged=True)
    run.steps["loss"][2300:-3] = 30.0
    spikes = tables_of([run]).spikes
    assert spikes["end"].isna().any()
    figure = detected_spikes.draw([run], spikes)
    assert figure.axes[1].get_xlim()[1] == 2399
    assert "diverged" in legible(figure)


def test_runs_of_one_optimizer_are_picked_from_the_collection(make, tables_of):
    runs = [make(f, r, o) for f in (0.8, 0.4) for r in (0, 1) for o in ("adam", "sgd")]
    found = tables_of(runs)
    picked = list(tables.by_run(found.histories, optimizer="sgd"))
    assert [(run.params["fraction"], run.params["replicate"]) for run in picked] == [
        (0.8, 0), (0.8, 1), (0.4, 0), (0.4, 1),
    ]  # fmt: skip
    assert (
        detected_spikes.draw(picked, found.spikes).legends[0].get_title().get_text()
        == "sgd: spikes found at 1 of 2 sizes; no spike with 512 examples"
    )


def test_loss_range_is_that_asked_for(make, tables_of):
    run = make()
    figure = detected_spikes.draw([run], tables_of([run]).spikes, loss_range=[0.01, 10])
    assert figure.axes[0].get_ylim() == (0.01, 10)


def test_nothing_to_draw_is_refused(make, tables_of):
    with pytest.raises(ValueError, match="at least one history"):
        detected_spikes.draw([], tables_of([make()]).spikes)
