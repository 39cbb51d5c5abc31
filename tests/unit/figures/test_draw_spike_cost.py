"""What spikes cost, drawn: points are those of the table, numbers those of the summary."""

import numpy as np
import pandas as pd
import pytest

from quasarcurves.analysis import tables
from quasarcurves.analysis.spike_cost import MOMENTS, summarise
from quasarcurves.figures import spike_cost
from quasarcurves.quasarnet.analysis.description import DESCRIPTION

N_TRAIN = {0.8: 1024, 0.2: 256}


def table(optimizers=("adam",), fractions=(0.8,), replicates=3, spikes=4, peak=3.0):
    rng, rows = np.random.default_rng(2), []
    for optimizer in optimizers:
        for fraction in fractions:
            for replicate in range(replicates):
                for spike in range(1, spikes + 1):
                    row = {"fraction": fraction, "replicate": replicate, "optimizer": optimizer, "spike": spike}
                    before = rng.lognormal(0.5, 0.2)
                    for moment, factor in zip(MOMENTS, (1, peak, 1.1), strict=True):
                        row[f"test_loss_{moment}"] = before * factor * rng.lognormal(0, 0.2)
                        row |= {
                            f"{name}_{moment}": rng.uniform(0.8, 1)
                            for name in ("test_loss", "completeness", "purity", "crossing")
                            if name != "test_loss"
                        }
                    rows.append(row)
    return pd.DataFrame(rows)


def lines(axes):
    return np.array([line.get_ydata() for line in axes.lines if line.get_label() != "median"])


def medians(axes):
    (line,) = (line for line in axes.lines if line.get_label() == "median")
    return line.get_ydata()


def test_lines_are_the_spikes_and_black_is_their_median(legible):
    costs = table()
    summary = summarise(costs, ["adam", "amsgrad"], DESCRIPTION)
    figure = spike_cost.draw(costs, summary, N_TRAIN, DESCRIPTION)
    for axes, measure in zip(figure.axes, ("test_loss", "completeness"), strict=True):
        values = costs[[f"{measure}_{moment}" for moment in ("before", "peak", "end")]].to_numpy()
        np.testing.assert_array_equal(lines(axes), values)
        np.testing.assert_allclose(medians(axes), np.median(values, axis=0))
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "linear"]
    words = legible(figure)
    row = summary.iloc[0]
    assert f"peak: {row['value']:.3g} ({row['low']:.3g} to {row['high']:.3g}), worse" in words
    assert "adam: 12 spikes of 3 runs" in words
    assert "no tall spikes: amsgrad" in words
    assert figure.get_size_inches()[0] == 3.5


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 3, 4, 7])
def test_many_optimizers_are_legible(legible, n):
    names = [f"adam_variant_{i}" for i in range(n)]
    costs = table(names, fractions=(0.8, 0.2))
    figure = spike_cost.draw(costs, summarise(costs, names, DESCRIPTION), N_TRAIN, DESCRIPTION)
    words = legible(figure)
    assert all(name in words for name in names)
    assert "256 spectra" in words
    assert figure.get_size_inches()[0] == 7.2
    drawn = [axes for axes in figure.axes if axes.lines]
    assert len(drawn) == 2 * n
    assert len({axes.get_ylim() for axes in drawn if axes.get_yscale() == "log"}) == 1


def test_eight_sizes_of_one_optimizer_are_legible_and_a_figure_of_many_is_no_tower(legible):
    sizes = {1 / n: 1280 // n for n in range(1, 9)}
    costs = table(fractions=sizes, replicates=1, spikes=2)
    words = legible(spike_cost.draw(costs, summarise(costs, ["adam"], DESCRIPTION), sizes, DESCRIPTION))
    assert all(f"{n:,} spectra" in words for n in sizes.values())
    names = [f"adam_{i}" for i in range(17)]
    costs = table(names, replicates=1, spikes=1)
    assert spike_cost.draw(costs, summarise(costs, names, DESCRIPTION), N_TRAIN, DESCRIPTION).get_size_inches()[1] < 20


def test_the_figure_is_read_from_files(tmp_path):
    costs = table()
    runs = costs[["fraction", "replicate", "optimizer"]].drop_duplicates().assign(n_train=1024)
    paths = {"spike_cost": costs, "spike_cost_summary": summarise(costs, ["adam"], DESCRIPTION), "runs": runs}
    for name, each in paths.items():
        tables.write(each, tmp_path / f"{name}.csv")
    figure = spike_cost.plot(**{name: tmp_path / f"{name}.csv" for name in paths}, description=DESCRIPTION)
    assert figure.legends[0].get_texts()[0].get_text() == "1,024 spectra"


def test_a_run_without_an_end_is_drawn_as_far_as_it_is_known(legible):
    costs = table()
    costs.loc[:3, "test_loss_end"] = np.nan
    axes = spike_cost.draw(costs, summarise(costs, ["adam"], DESCRIPTION), N_TRAIN, DESCRIPTION).axes[0]
    assert np.isnan(lines(axes)[:4, 2]).all()
    assert np.isfinite(medians(axes)).all()


def test_no_spikes_are_said(legible):
    costs = table().iloc[:0]
    assert "no tall spike in any of these runs" in legible(
        spike_cost.draw(costs, summarise(costs, ["adam"], DESCRIPTION), N_TRAIN, DESCRIPTION)
    )
