"""The first two figures: loss against epoch, by size of the training set and by optimizer."""

import numpy as np
import pandas as pd
import pytest

from quasarcurves.figures import loss_by_fraction, loss_by_optimizer

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
    assert "optimizer steps" not in said, "an epoch of the sizes has other numbers of steps"
    assert "optimizer steps" in legible(loss_by_fraction.draw(epochs, runs[runs["fraction"] == 0.8], "amsgrad"))
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
    assert "256 training spectra" in said
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


def test_few_replicates_have_lines_of_their_own():
    """A spike of one replicate of three is in no median."""
    epochs, runs = study_of({0.8: 60})
    epochs.loc[(epochs["epoch"] == 30) & (epochs["replicate"] == 1), "loss"] = 99.0
    for replicates, highest in ((3, 99.0), (1, None)):
        kept = [table[table["replicate"] < replicates] for table in (epochs, runs)]
        lines = loss_by_optimizer.draw(*kept).axes[0].get_lines()
        assert len(lines) == len(NAMES) * (4 if replicates > 1 else 1)
        assert highest is None or max(line.get_ydata().max() for line in lines) == highest


def test_one_epoch_is_a_dot_in_the_middle(legible):
    epochs, runs = study_of({0.8: 1}, replicates=1)
    for figure in (loss_by_fraction.draw(epochs, runs, "adam"), loss_by_optimizer.draw(epochs, runs)):
        legible(figure)
        line = figure.axes[0].get_lines()[0]
        assert (line.get_marker(), len(line.get_xdata())) == ("o", 1)
        assert figure.axes[0].get_xlim() == (0, 2)


def test_a_run_that_diverged_at_once_has_no_invented_loss(legible):
    epochs, runs = study_of({0.8: 2}, replicates=1, diverged=[(0.8, 0, "adam")])
    figure = loss_by_optimizer.draw(epochs, runs)
    legible(figure)
    (mark,) = [line for line in figure.axes[0].get_lines() if line.get_marker() == "X"]
    assert mark.get_transform() == figure.axes[0].get_xaxis_transform()
    losses = epochs.loc[epochs["optimizer"] == "amsgrad", "loss"]
    low, high = figure.axes[0].get_ylim()
    assert losses.min() / 2 < low and high < losses.max() * 2


def test_a_panel_of_several_batch_sizes_has_no_axis_of_steps():
    epochs, runs = study_of({0.8: 60})
    runs.loc[runs["optimizer"] == "amsgrad", "steps_per_epoch"] = 64
    assert not loss_by_optimizer.draw(epochs, runs).axes[0].child_axes


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
