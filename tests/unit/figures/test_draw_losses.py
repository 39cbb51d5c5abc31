"""The first two figures: loss against epoch, by size of the training set and by optimizer."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.lines import Line2D

from quasarcurves.figures import loss_by_fraction, loss_by_optimizer, style

NAMES = ("adam", "amsgrad")


def study_of(epochs, optimizers=NAMES, replicates=3, diverged=()):
    """`epochs.csv` and `runs.csv` of a study; `epochs` has the length of a training per fraction."""
    rng, losses, runs = np.random.default_rng(0), [], []
    for fraction, length in epochs.items():
        for optimizer in optimizers:
            for replicate in range(replicates):
                keys = {"fraction": fraction, "replicate": replicate, "optimizer": optimizer}
                loss = rng.lognormal(0, 0.1, length) / np.arange(1, length + 1)
                gone = (fraction, replicate, optimizer) in diverged
                loss[-2:] = np.inf if gone else loss[-2:]
                losses.append(pd.DataFrame({**keys, "epoch": np.arange(1, length + 1), "loss": loss}))
                sizes = {"n_train": round(1280 * fraction), "steps_per_epoch": max(round(40 * fraction), 1)}
                runs.append({**keys, **sizes, "diverged": gone})
    return pd.concat(losses), pd.DataFrame(runs)


def drawn(axes, label):
    (line,) = [line for line in axes.get_lines() if line.get_label().startswith(label)]
    return line.get_xdata(), line.get_ydata()


def test_a_line_per_fraction_is_the_median_over_replicates(legible):
    epochs, runs = study_of({0.8: 60, 0.2: 60})
    figure = loss_by_fraction.draw(epochs, runs, "amsgrad")
    said = legible(figure)
    assert "1,024 (0.8)" in said.replace("  ", " ")
    assert "32 steps an epoch" in said
    assert "none of 6" in said
    for fraction, label in ((0.8, "1,024"), (0.2, "256")):
        rows = epochs[(epochs["fraction"] == fraction) & (epochs["optimizer"] == "amsgrad")]
        x, y = drawn(figure.axes[0], label)
        np.testing.assert_array_equal(x, np.arange(1, 61))
        np.testing.assert_allclose(y, rows.groupby("epoch")["loss"].median())


def test_a_panel_per_fraction_with_a_line_per_optimizer(legible):
    epochs, runs = study_of({0.8: 60, 0.2: 60})
    figure = loss_by_optimizer.draw(epochs, runs)
    said = legible(figure)
    assert all(name in said for name in NAMES)
    assert "256 training examples" in said
    rows = epochs[(epochs["fraction"] == 0.2) & (epochs["optimizer"] == "adam")]
    np.testing.assert_allclose(drawn(figure.axes[1], "adam")[1], rows.groupby("epoch")["loss"].median())


@pytest.mark.parametrize("lengths", [{0.8: 60, 0.2: 60}, {0.8: 60, 0.2: 240}])
def test_trainings_of_equal_steps_fill_their_panels(legible, lengths):
    figure = loss_by_optimizer.draw(*study_of(lengths))
    legible(figure)
    for axes, length in zip(figure.axes[:2], lengths.values(), strict=True):
        assert axes.get_xlim() == (0, length)


def test_a_diverged_run_is_marked_at_its_last_finite_loss(legible):
    gone = (0.8, 1, "adam")
    epochs, runs = study_of({0.8: 60, 0.2: 60}, diverged=[gone])
    for figure in (loss_by_fraction.draw(epochs, runs, "adam"), loss_by_optimizer.draw(epochs, runs)):
        legible(figure)
        (mark,) = [line for line in figure.axes[0].get_lines() if line.get_marker() == "X"]
        lost = epochs[(epochs["fraction"] == 0.8) & (epochs["replicate"] == 1) & (epochs["optimizer"] == "adam")]
        assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (58, lost["loss"].iloc[57])


@pytest.mark.slow
@pytest.mark.parametrize("replicates", [1, 5])
@pytest.mark.parametrize("length", [1, 20])
def test_one_epoch_and_runs_all_diverged_are_legible(legible, length, replicates):
    fractions, names = {0.8: length, 0.2: length}, NAMES
    gone = [(fraction, r, name) for fraction in fractions for r in range(replicates) for name in names]
    for diverged in ((), gone):
        epochs, runs = study_of(fractions, replicates=replicates, diverged=diverged)
        for figure in (loss_by_fraction.draw(epochs, runs, "adam"), loss_by_optimizer.draw(epochs, runs)):
            words = legible(figure)
            assert ("no finite loss" in words) == (length == 1 and bool(diverged))


def test_the_title_counts_the_runs_that_rise(legible):
    epochs, runs = study_of({0.8: 20}, replicates=2)
    high = (epochs["optimizer"] == "adam") & (epochs["replicate"] == 1) & (epochs["epoch"] == 15)
    epochs = epochs.assign(loss=epochs["loss"].mask(high, 5.0))
    assert "times their lowest loss so far: adam 1 of 2, amsgrad none of 2" in legible(
        loss_by_optimizer.draw(epochs, runs)
    )
    thin = [line for line in loss_by_optimizer.draw(epochs, runs).axes[0].lines if line.get_linewidth() == 0.5]
    assert max(np.max(line.get_ydata()) for line in thin) == 5


def test_steps_that_differ_between_batch_sizes_have_no_axis(legible):
    epochs, runs = study_of({0.8: 20}, replicates=1)
    runs.loc[runs["optimizer"] == "amsgrad", "steps_per_epoch"] *= 4
    assert "optimizer steps" not in legible(loss_by_optimizer.draw(epochs, runs))


@pytest.mark.slow
def test_seventeen_optimizers_and_seven_sizes_are_legible(legible):
    fractions = {round(0.8 / 2**i, 4): 50 for i in range(7)}
    names = [f"optimizer_{i}" for i in range(17)]
    epochs, runs = study_of(fractions, names, replicates=1)
    assert all(name in legible(loss_by_optimizer.draw(epochs, runs)) for name in names)
    legible(loss_by_fraction.draw(epochs, runs, names[0]))


def test_the_range_of_losses_can_be_set():
    epochs, runs = study_of({0.8: 60})
    assert loss_by_optimizer.draw(epochs, runs, loss_range=(0.1, 10)).axes[0].get_ylim() == (0.1, 10)
    assert loss_by_fraction.draw(epochs, runs, "adam", loss_range=(0.1, 10)).axes[0].get_ylim() == (0.1, 10)


def test_one_size_and_long_names_are_legible(legible):
    names = ["adam", "amsgrad", "adam_matched", "adam_cosine", "adam_beta2_0.99", "adam_eps_1e-2"]
    said = legible(loss_by_optimizer.draw(*study_of({0.8: 60}, names)))
    assert all(name in said for name in names)


@pytest.mark.parametrize("width", [style.COLUMN_WIDTH, style.PAGE_WIDTH])
def test_a_title_fits_wherever_its_lines_break(legible, width):
    names = ("adam", "adam_b256", "adam_matched", "amsgrad")
    for counts in itertools.product(("2 of 2", "none of 2"), repeat=len(names)):
        figure = style.new_figure(width, 2)
        said = f"{style.RISES}: " + ", ".join(map(" ".join, zip(names, counts, strict=True)))
        with style.house_style():
            style.titled_legend(figure, [Line2D([], [], label="adam")], said, 2)
        legible(figure)
