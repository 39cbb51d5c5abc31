"""Series of more points than a figure has pixels: thinned, with spikes, ends and gaps; short ones stay as they are."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from quasarcurves.figures import curvature, detected_spikes, style
from quasarcurves.figures.style import seen

PAGE_DOTS = 2160
"""7.2 inches of 300 pixels."""


@st.composite
def spiky_series(draw):
    """A series of any length with spikes of one step, up and down, at any places, and the number of bins."""
    t, bins = draw(st.integers(1, 20_000)), draw(st.integers(1, 500))
    places = draw(st.lists(st.integers(0, t - 1), max_size=8, unique=True))
    values = 1 + 0.1 * np.random.default_rng(t).random(t)
    for i, place in enumerate(places):
        values[place] = 2.0 + i if i % 2 else 0.5 / (1 + i)
    kind = draw(st.sampled_from([np.float32, np.float64]))
    return values.astype(kind), bins


@settings(deadline=None)
@given(spiky_series())
def test_no_value_is_higher_or_lower_than_all_that_are_kept_near_it(series):
    values, bins = series
    kept = seen(values, bins)
    assert (kept[0], kept[-1]) == (0, len(values) - 1)
    assert (np.diff(kept) > 0).all()
    assert len(kept) <= max(2 * bins + 2, 2)
    # within a bin and a step of every point there is one kept that is as high, and one as low
    reach = len(values) / bins + 1
    for extreme in (values, -values):
        for place in np.argsort(extreme)[-20:]:
            near = kept[np.abs(kept - place) <= reach]
            assert extreme[near].max() >= extreme[place]


@settings(deadline=None)
@given(st.integers(5000, 100_000), st.data())
def test_a_spike_of_one_step_is_kept_itself_wherever_it_is(t, data):
    values, place = np.ones(t, np.float32), data.draw(st.integers(0, t - 1))
    values[place] = 3
    kept = seen(values, 1000)
    assert place in kept
    assert values[kept].max() == 3
    assert len(kept) <= 2002


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 100))
def test_of_a_short_series_every_point_is_kept(t, bins):
    kept = seen(np.zeros(t), bins)
    if t <= 2 * bins:
        assert kept.tolist() == list(range(t))


def test_a_gap_stays_a_gap_and_what_is_infinite_hides_no_peak():
    values = np.ones(100_000)
    values[40_000:60_000] = np.nan
    values[70_000], values[70_001] = np.inf, 7.0
    kept = seen(values, 1000)
    assert 70_001 in kept
    inside = kept[(kept > 40_200) & (kept < 59_800)]
    assert len(inside) > 100
    assert np.isnan(values[inside]).all()
    assert seen(np.full(9000, np.nan), 1000)[[0, -1]].tolist() == [0, 8999]


def test_bins_are_equally_wide_on_the_axis():
    # 10,000 points in the first hundredth of the axis, 100 in the rest
    at = np.concatenate([np.linspace(0, 1, 10_000), np.linspace(1.5, 100, 100)])
    kept = seen(np.zeros(len(at)), 50, at=at)
    assert (at[kept] > 1).sum() >= 45
    assert (at[kept] <= 1).sum() <= 4


def long_run(make, t=300_000, peak=250_001):
    """A run with one spike that lasts for most of it, and in it a peak of one step."""
    run = make()
    loss = np.random.default_rng(0).lognormal(0, 0.05, t).astype(np.float32)
    loss[20_000:] *= 5
    loss[peak] = 400
    run.steps = {"loss": loss}
    run.epochs = {"loss": loss[: 30_000 * (t // 30_000)].reshape(30_000, -1).mean(axis=1)}
    run.params["outcome"]["steps_per_epoch"] = t // 30_000
    keys = {"fraction": 0.8, "replicate": 0, "optimizer": "adam"}
    at = {"step": (20_000, peak, np.nan), "epoch": (2_000, 25_000, np.nan)}
    rows = [
        {**keys, "scale": scale, "onset": onset, "peak": top, "end": end, "kind": "sustained", "height_ratio": 400.0}
        for scale, (onset, top, end) in at.items()
    ]
    return run, pd.DataFrame(rows)


def test_a_figure_of_a_long_run_is_small_and_shows_the_peak(make, tmp_path):
    run, spikes = long_run(make)
    figure = detected_spikes.draw([run], spikes)
    for axes, highest in zip(figure.axes[:2], (run.epochs["loss"].max(), 400), strict=True):
        x, y = axes.lines[0].get_data()
        assert len(x) <= 2 * PAGE_DOTS + 2
        assert y.max() == pytest.approx(highest)
    left, right = figure.axes[:2]
    assert left.lines[0].get_xdata()[[0, -1]].tolist() == [1, 30_000]
    assert right.lines[0].get_xdata()[-1] == 299_999
    style.save(figure, [tmp_path / f"a.{suffix}" for suffix in ("svg", "pdf")])
    assert all(path.stat().st_size < 600_000 for path in tmp_path.iterdir())


def test_replicates_of_many_epochs_keep_the_median_and_their_spikes(make):
    epochs = np.arange(1, 50_001)
    losses = np.random.default_rng(1).lognormal(0, 0.1, (3, len(epochs)))
    losses[0, 30_000], losses[1, 45_678] = 90, 0.001
    losses[:, 12_345] = 50
    figure = style.new_figure(style.PAGE_WIDTH, 2)
    axes = figure.add_subplot()
    style.draw_replicates(axes, [pd.DataFrame({"epoch": epochs, "loss": loss}) for loss in losses], "loss", "adam")
    x, y = axes.lines[0].get_data()
    assert len(x) <= 2 * PAGE_DOTS + 2
    assert y[x == 12_346] == 50
    first, second, _ = (line.get_data() for line in axes.lines[1:])
    assert len(first[0]) <= 2 * PAGE_DOTS + 2
    assert first[1][first[0] == 30_001] == 90
    assert second[1][second[0] == 45_679] == 0.001


def test_curvatures_and_onsets_by_the_hundred_thousand(make, tmp_path):
    step = np.arange(200_000)
    sharpness = np.where((step > 50_000) & (step < 90_000), -1.0, 100.0)
    sharpness[123_456] = 5000
    run = make(curvature={"step": step, "sharpness": sharpness, "threshold": np.ones(len(step))})
    keys = {"fraction": 0.8, "replicate": 0, "optimizer": "adam", "scale": "step"}
    spikes = pd.DataFrame({"onset": np.arange(0, 200_000, 10)}).assign(**keys)
    figure = curvature.draw([run], spikes)
    line, *_, onsets = figure.axes[0].lines
    x, y = line.get_data()
    assert y[x == 123_456] == 5000
    assert np.isnan(y[(x > 50_500) & (x < 89_500)]).all()
    shown = onsets.get_xdata()
    assert len(shown) <= 2 * 72 * style.COLUMN_WIDTH + 2
    # no stretch of the axis as wide as a symbol is left without one
    assert np.diff(shown).max() <= 2 * 200_000 / (72 * style.COLUMN_WIDTH)
    style.save(figure, [tmp_path / "a.svg"])
    assert (tmp_path / "a.svg").stat().st_size < 400_000


def test_a_series_of_one_point_is_seen():
    axes = Figure().add_subplot()
    assert style.plot_series(axes, np.array([1.0]), np.array([2.0])).get_marker() == "o"
    assert style.plot_series(axes, np.arange(2.0), np.arange(2.0)).get_marker() == "None"


def test_steps_are_whole_numbers_on_their_axis():
    figure = Figure()
    axes = figure.add_subplot()
    axes.set_xlim(0, 2)
    style.add_steps_axis(axes, 1.0, "optimizer steps")
    figure.draw_without_rendering()
    labels = [tick.get_text() for tick in axes.child_axes[0].get_xticklabels()]
    assert len(set(labels)) == len(labels) >= 3
