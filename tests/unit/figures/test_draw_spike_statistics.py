"""The figure of rates, heights and durations shows the numbers of the table, whatever the size of the study."""

import numpy as np
import pytest

from quasarcurves.figures import spike_statistics

NAMES = [f"optimizer_{i:02}" for i in range(18)]

MEASURES = ("per_1000_steps", "per_epoch", "height", "share_in_spike")


def drawn_points(axes):
    """Heights of all symbols, and ends of all bars."""
    points = [line.get_ydata() for line in axes.lines if line.get_marker() != "None"]
    bars = np.concatenate([np.array(bars.get_segments())[:, :, 1] for bars in axes.collections])
    return np.concatenate(points), bars


def test_points_and_intervals_are_those_of_the_table(statistics_of, legible):
    table = statistics_of([0.8, 0.2], ["adam", "amsgrad"], 3)
    figure = spike_statistics.draw(table)
    for measure, axes in zip(MEASURES, figure.axes[1:], strict=True):
        points, bars = drawn_points(axes)
        np.testing.assert_allclose(np.sort(points), np.sort(table[measure]))
        ends = [table[f"{measure}_{end}"].fillna(table[measure]) for end in ("low", "high")]
        np.testing.assert_allclose(np.sort(bars, axis=0), np.sort(np.column_stack(ends), axis=0))
    legible(figure)


def test_lines_are_medians_over_replicates(statistics_of):
    table = statistics_of([0.8, 0.4, 0.2], ["adam"], 5)
    axes = spike_statistics.draw(table).axes[1]
    (line,) = [line for line in axes.lines if line.get_marker() == "None"]
    np.testing.assert_allclose(line.get_ydata(), table.groupby("fraction")["per_1000_steps"].median())
    np.testing.assert_allclose(line.get_xdata(), [0, 1, 2], atol=0.01)


def test_runs_stand_apart(statistics_of):
    table = statistics_of([0.8, 0.2], NAMES[:6], 5)
    axes = spike_statistics.draw(table).axes[1]
    places = np.sort(np.concatenate([line.get_xdata() for line in axes.lines if line.get_marker() != "None"]))
    assert len(np.unique(places.round(6))) == 60
    assert np.diff(places).max() > 2 * np.diff(places).min()  # sizes are further apart than runs


def test_runs_without_a_spike_are_open_with_an_upper_limit(statistics_of, legible):
    table = statistics_of([0.8], ["adam"], 1, rate=0)
    figure = spike_statistics.draw(table)
    (symbol,) = [line for line in figure.axes[1].lines if line.get_marker() != "None" and len(line.get_xdata())]
    assert (symbol.get_markerfacecolor(), symbol.get_ydata()[0]) == ("white", 0)
    # 32 steps per epoch, 600 epochs: 19,200 steps
    assert drawn_points(figure.axes[1])[1].max() == pytest.approx(3.689 / 19.2, rel=1e-3)
    assert "no spike found" in legible(figure)


def test_runs_too_short_to_be_searched_have_no_rate(statistics_of, legible):
    table = statistics_of([0.8, 0.2], ["adam"], 2, rate=0)
    names = ("per_epoch", "per_1000_steps", "share_in_spike")
    rates = [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
    words = legible(spike_statistics.draw(table.assign(**dict.fromkeys(rates, np.nan))))
    assert "No run is long enough to be searched" in words
    assert words.count("not searched") >= 2
    assert "no spike found" not in words
    table.loc[table["fraction"] == 0.2, rates] = np.nan
    assert "2 more are too short to be searched" in legible(spike_statistics.draw(table))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fractions", "optimizers"),
    [([0.8, 0.2], NAMES), ([0.8, 0.7, 0.4, 0.2, 0.1, 0.05, 0.02], NAMES[:4])],
)
def test_large_studies_stay_legible(statistics_of, legible, fractions, optimizers):
    table = statistics_of(fractions, optimizers, 3)
    figure = spike_statistics.draw(table)
    words = legible(figure).split()
    assert set(optimizers) <= set(words)
    assert f"{1280 * fractions[0]:,.0f}" in words


def test_every_panel_of_a_row_has_one_scale(statistics_of):
    figure = spike_statistics.draw(statistics_of([0.8, 0.2], NAMES, 2))
    for row in np.reshape(figure.axes, (5, 3))[1:]:
        assert len({axes.get_ylim() for axes in row}) == 1


def test_shares_end_at_one(statistics_of):
    table = statistics_of([0.8], ["adam"], 2).assign(share_in_spike_high=1.4)
    assert spike_statistics.draw(table).axes[-1].get_ylim() == (0, 1)


def test_scale_can_be_chosen_and_must_exist(statistics_of):
    table = statistics_of([0.8], ["adam"], 2)
    with pytest.raises(ValueError, match=r"scale 'epoch', found \['step'\]"):
        spike_statistics.draw(table, scale="epoch")
