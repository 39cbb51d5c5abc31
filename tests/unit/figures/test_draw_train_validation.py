"""Training and validation loss in one figure: each where it is, marks in place, legible for few runs and many."""

import numpy as np
import pandas as pd
import pytest

from quasarcurves.figures import train_validation

COLUMNS = ["fraction", "replicate", "optimizer", "scale", "kind", "onset", "peak", "end"]


def study_of(fractions, replicates=1, epochs=60, spikes=2, validated=True, diverged=False, seed=0):
    rng, losses, runs, found = np.random.default_rng(seed), [], [], []
    for fraction in fractions:
        for replicate in range(replicates):
            keys = {"fraction": fraction, "replicate": replicate, "optimizer": "adam"}
            epoch = np.arange(1, epochs + 1)
            loss, val_loss = rng.lognormal(0, 0.1, epochs) / epoch, np.full(epochs, np.nan)
            if validated:
                val_loss[9::10] = 2 + rng.random(epochs // 10)
            loss[-1] = np.inf if diverged else loss[-1]
            losses.append(pd.DataFrame({**keys, "epoch": epoch, "loss": loss, "val_loss": val_loss}))
            best = int(np.nanargmin(val_loss)) + 1 if validated else epochs
            sizes = {"n_train": round(1280 * fraction), "steps_per_epoch": 10, "epoch_best": best, "diverged": diverged}
            runs.append(keys | sizes)
            at = np.sort(rng.integers(10, 10 * epochs, spikes))
            for scale in ("step", "epoch"):
                found += [(fraction, replicate, "adam", scale, "sustained", i, i, i + 1) for i in at]
    return pd.concat(losses), pd.DataFrame(runs), pd.DataFrame(found, columns=COLUMNS)


def lines_of(axes):
    return {line.get_marker() if line.get_marker() != "None" else line.get_label(): line for line in axes.get_lines()}


def test_both_losses_the_best_epoch_and_the_spikes_stand_where_they_are(legible):
    epochs, runs, spikes = study_of([0.8])
    figure = train_validation.draw(epochs, runs, spikes, "adam")
    said = legible(figure)
    assert "1,024 examples, 2 sustained spikes" in said
    lines = lines_of(figure.axes[0])
    np.testing.assert_allclose(lines["training loss"].get_ydata(), epochs["loss"])
    seen = epochs.dropna(subset="val_loss")
    np.testing.assert_array_equal(lines["validation loss"].get_xydata(), seen[["epoch", "val_loss"]])
    best = seen.loc[seen["val_loss"].idxmin()]
    np.testing.assert_array_equal(lines["o"].get_xydata(), [[best["epoch"], best["val_loss"]]])
    peaks = spikes.loc[spikes["scale"] == "step", "peak"]
    np.testing.assert_allclose(lines["|"].get_xdata(), peaks / 10 + 0.5)


def test_a_run_without_validation_spikes_or_an_end(legible):
    said = legible(train_validation.draw(*study_of([0.8], spikes=0, validated=False, diverged=True), "adam"))
    assert "1,024 examples, no sustained spikes 1 diverged, no validation" in said


@pytest.mark.parametrize("epochs", [1, 9])
def test_a_short_run(epochs, legible):
    legible(train_validation.draw(*study_of([0.8, 0.2], epochs=epochs, spikes=0, validated=False), "adam"))


def test_seven_sizes_with_ten_replicates_are_legible(legible):
    fractions = [0.8, 0.4, 0.2, 0.1, 0.05, 0.025, 0.0125]
    figure = train_validation.draw(*study_of(fractions, replicates=10, epochs=100, spikes=6), "adam")
    assert "16 examples, 10 replicates, 60 sustained spikes" in legible(figure)


def test_it_is_drawn_from_files(tmp_path):
    names = ("epochs", "runs", "spikes")
    for name, table in zip(names, study_of([0.8, 0.4]), strict=True):
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    paths = {name: tmp_path / f"{name}.csv" for name in names}
    figure = train_validation.plot(**paths, optimizer="adam", style={"loss_range": [0.01, 10]})
    assert figure.axes[0].get_ylim() == (0.01, 10)
