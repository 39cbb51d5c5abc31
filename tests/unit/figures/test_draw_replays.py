"""Hazards and interventions as drawn: values are those of the tables, and all text can be read."""

import numpy as np
import pandas as pd
import pytest
from tests.support.planted_replays import make

from quasarcurves.analysis import tables
from quasarcurves.analysis.replays import hazards, interventions, survival
from quasarcurves.analysis.replays.hazards import level
from quasarcurves.analysis.replays.words import in_words
from quasarcurves.figures import hazard
from quasarcurves.figures import interventions as forest

ARMS = {"step_x0.3": 0.02, "step_x0.5": 0.1, "m_0": 1.0, "batch_x0.5": 3.0, "batch_x4": 0.0, "worst_out": 1.0}


@pytest.fixture(scope="module")
def made():
    return make("rising", 3, arms=ARMS, before=2, absent=["amsgrad"], replays=6, seed=1)


def drawn(made):
    return hazard.draw(hazards.per_fork(made), made.forks, survival.curves(made))


def test_hazards_are_those_of_the_table(made, legible):
    figure = drawn(made)
    text = legible(figure)
    own = hazards.per_fork(made).query("arm == 'as_it_is'").merge(made.forks[["run", "fork_step", "kind"]])
    grid = own[own["kind"] == "grid"]
    assert f"adam, 1,024 examples, learning rate 0.001: {level(grid)[0]:.3g} (" in text
    left, right = figure.axes
    dots = [line.get_ydata() for line in left.lines if line.get_marker() == "o"]
    expected = [rows["hazard"].to_numpy() for _, rows in grid.groupby("run")]
    assert np.allclose(np.sort(np.concatenate(dots)), np.sort(np.concatenate(expected)))
    curve = survival.curves(made).query("arm == 'as_it_is'")
    assert f"as it is, {100 * curve['survival'].iloc[-1]:.0f} % have no spike in 600 steps" in text
    np.testing.assert_allclose(right.lines[0].get_ydata(), curve["survival"])
    assert right.get_legend_handles_labels()[1][0] == "as it is"


def test_ratios_are_those_of_the_table(made, legible):
    table = interventions.compare(made)
    figure = forest.draw(table, "digits")
    text = legible(figure)
    axes = figure.axes[0]
    assert "10 worst digits left out" in text
    assert "AMSGrad from here: cannot be had: Adam without amsgrad has no maximum" in text
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert sorted(names) == sorted(in_words(arm, "digits") for arm in ARMS)
    points = [line for line in axes.lines if line.get_marker() == "o"]
    expected = table.assign(arm=[in_words(arm, "digits") for arm in table["arm"]]).set_index("arm")["ratio"]
    for line in points:
        name = names[int(line.get_ydata()[0])]
        assert line.get_xdata()[0] == pytest.approx(expected[name])
    lines = {
        line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2
    }
    assert {1, 0.5, 0.2} <= lines
    counts = table["verdict"].value_counts()
    assert counts["lowers"] > 1 == counts["raises"]
    assert f"of 6 arms, {counts['lowers']} lower the hazard and 1 raises it" in text
    row = table.set_index("arm").loc["batch_x4"]
    assert f"0 / {row['events_as_it_is']:,.0f}" in text
    assert any(line.get_marker() == "<" for line in axes.lines)


@pytest.mark.parametrize(("factor", "farthest"), [(1.0, (2.0, 20.0)), (300.0, (500.0, 5000.0))])
def test_the_panel_reaches_to_the_largest_ratio(made, legible, factor, farthest):
    table = interventions.compare(made)
    columns = ["ratio", "ratio_low", "ratio_high"]
    table.loc[table["arm"] == "batch_x0.5", columns] *= factor
    axes = forest.draw(table).axes[0]
    legible(axes.figure)
    points = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert table["ratio"].max() == pytest.approx(max(points))
    low, high = axes.get_xlim()
    assert low >= 0.02
    assert farthest[0] <= high <= farthest[1]


@pytest.mark.parametrize(("ratio", "does"), [(0.01, "lowers"), (1.0, "is not shown to change")])
def test_what_one_arm_does_is_said_in_words(legible, ratio, does):
    text = legible(forest.draw(interventions.compare(make(arms={"step_x0.5": ratio}))))
    assert f"this arm {does} the hazard" in text


@pytest.mark.parametrize("process", ["none", "state"])
def test_few_or_no_spikes_are_drawn(process, legible):
    made = make(process, 1, hazard=1.0)
    legible(drawn(made))
    assert ("no spikes" in legible(forest.draw(interventions.compare(made)))) == (process == "none")


def test_arms_as_good_as_none_are_left_out_and_bins_have_as_many_forks(legible):
    made = make("none", 1, arms=dict.fromkeys(ARMS, 1.0))
    left, right = drawn(made).axes
    assert right.get_legend_handles_labels()[1] == ["as it is"]
    ends = left.collections[-1].get_paths()[0].vertices[:, 1]
    assert len(np.unique(np.round(ends, 9))) == 2  # 0, and one upper end: all bins have the same exposure


def test_groups_are_panels(made, legible):
    other = make(seed=2)
    other.replays["run"] = other.forks["run"] = "f0.2_r0/adam"
    other.replays["n_train"] = other.forks["n_train"] = 512
    pairs = ((made.replays, other.replays), (made.forks, other.forks))
    both = type(made)(*(pd.concat(pair, ignore_index=True) for pair in pairs))
    panels = forest.draw(interventions.compare(both)).axes
    assert len(panels) == 2
    assert panels[0].get_xlim() == panels[1].get_xlim()
    figure = drawn(both)
    assert len(figure.axes) == 4
    legible(figure)


def test_nothing_to_draw_is_said(made, legible):
    assert "no arms to compare" in legible(forest.draw(interventions.compare(make(arms={}))))
    table = hazards.per_fork(made)
    assert "no replays" in legible(hazard.draw(table.iloc[:0], made.forks, survival.curves(made)))


def test_figures_are_read_from_files(made, tmp_path):
    paths = {"hazards": hazards.per_fork(made), "all_forks": made.forks, "survival": survival.curves(made)}
    for name, table in paths.items():
        tables.write(table, tmp_path / f"{name}.csv")
    assert len(hazard.plot(**{name: tmp_path / f"{name}.csv" for name in paths}).axes) == 2
    tables.write(interventions.compare(made), tmp_path / "interventions.csv")
    assert len(forest.plot(interventions=tmp_path / "interventions.csv").axes) == 1
