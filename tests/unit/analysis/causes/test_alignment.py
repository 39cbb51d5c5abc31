"""Windows around spikes, and the quiet ones they are compared with."""

import numpy as np
import pytest

from quasarcurves.analysis.causes import alignment
from quasarcurves.analysis.causes.alignment import (
    AFTER,
    BEFORE,
    EVERY,
    LAGS,
    Times,
    align,
    align_runs,
    aligned_averages,
    in_pairs,
    lags,
    match,
)
from quasarcurves.analysis.causes.hypotheses import growth, level
from quasarcurves.analysis.causes.precursors import spike_aucs
from support.planted_runs import T, history, measures, onsets_and_ends, remembered, spike_table

STUDIES = 130


@pytest.fixture
def run():
    rng = np.random.default_rng(1)
    onset, end = onsets_and_ends(rng, 12)
    return align(history(measures(rng, onset, end)), spike_table(onset, end))


def test_lags_are_those_of_the_table():
    assert (LAGS[0], LAGS[-1]) == (-300, 500)
    assert np.isin(np.arange(-50, 51), LAGS).all()
    assert set(np.diff(LAGS)) == {1, 5}


def test_windows_are_cut_at_onsets_and_leave_out_other_spikes():
    spikes = spike_table([3000, 3400], [3010, 3420])
    found = align(history({"loss": np.arange(T)}), spikes)
    assert found.centres[EVERY].tolist() == [3000, 3400]
    windows = found.windows(np.arange(T, dtype=float), EVERY)
    assert windows.shape == (2, BEFORE + 1 + AFTER)
    assert lags(windows, -300, 10)[0].tolist() == list(range(2700, 3011))
    assert np.flatnonzero(np.isnan(windows[0])).tolist() == list(range(400 + 300, 420 + 300))
    assert np.isfinite(windows[1]).all()


def test_windows_end_with_the_run():
    windows = align(history({"loss": np.ones(T)}), spike_table([T - 300], [T - 290])).windows(np.ones(T), EVERY)
    assert np.isfinite(windows[0]).sum() == BEFORE + 300


def test_a_measure_is_relative_to_its_median_200_to_300_steps_before():
    values = np.full(T, 3.0)
    values[2900:] = 12
    found = align(history({"loss": np.ones(T), "gradient_norm": values}), spike_table([3000], [3010]))
    relative = found.relative_windows("gradient_norm", EVERY)
    assert set(lags(relative, -300, -101).ravel()) == {1.0}
    assert set(lags(relative, -100, 500).ravel()) == {4.0}


def test_quiet_windows_have_no_spike_around_their_centre(run):
    spikes, quiet = run.centres["spike"], run.centres["baseline"]
    assert len(spikes) == len(quiet) >= 4
    for centre in quiet:
        assert (run.spike_of[centre - 300 : centre + 151] == -1).all()
    assert not np.isin(quiet, spikes).any()


def test_a_quiet_window_lies_in_an_equal_wake():
    rng, memory, found = np.random.default_rng(2), 700.0, 0
    for _ in range(20):
        runs = [Times(*onsets_and_ends(rng, 4), T, 1250) for _ in range(3)]
        pairs = match(runs, memory, rng)
        assert abs(np.sign(pairs[:, 1] - pairs[:, 3]).sum()) <= 1
        assert sorted(pairs[:, 0]) == sorted(pairs[:, 2])
        assert len(np.unique(pairs[:, :2], axis=0)) == len(pairs)
        for *spike, run, centre in pairs:
            ends = [runs[i].end[runs[i].end <= at] for i, at in (spike, (run, centre))]
            wakes = [np.exp(-(at - end) / memory).sum() for at, end in zip((spike[1], centre), ends, strict=True)]
            assert wakes[1] == pytest.approx(wakes[0], rel=2 / memory)
            assert len(ends[0]) or spike[1] == centre
            found += 1
    assert found > 120


def test_quiet_windows_are_all_that_qualify_and_the_same_every_time():
    onset = np.array([2000, 4000, 4900, 5500])
    end = onset + 20

    def quiet_of(replicate):
        return align(history({"loss": np.ones(T)}, replicate), spike_table(onset, end)).centres

    # an equal wake of one spike is an equal time since it; the older ones are remembered too
    drawn = {tuple(quiet_of(r)["spike"].tolist()) for r in range(40)}
    assert drawn == {(4000, 4900, 5500)}
    for replicate in range(3):
        one, again = quiet_of(replicate), quiet_of(replicate)
        assert np.array_equal(one["baseline"], again["baseline"])
    chosen = np.array([quiet_of(r)["baseline"] for r in range(40)])
    assert len(np.unique(chosen[:, 2])) > 1
    assert (chosen != [4000, 4900, 5500]).all()


def test_the_first_spike_and_one_after_the_longest_quiet_have_no_match():
    onset = np.array([2000, 3000, 7000])
    matched = [match([Times(onset, onset + 20, 7100, 1250)], 1000.0, np.random.default_rng(seed)) for seed in range(9)]
    assert {len(pairs) for pairs in matched} == {0, 1}  # the one there is, a later one, or by lot none
    for pairs in matched:
        assert pairs[:, 1].tolist() == [3000][: len(pairs)]
        assert (pairs[:, 3] > 4000).all()


def test_few_spikes_of_each_run_find_their_windows_in_the_others():
    runs = [Times(onset, onset + 20, T, 1250) for onset in (np.array([2000, 5000]), np.array([3000, 7000]))]
    within, among = (
        np.concatenate([match(some, 1000.0, np.random.default_rng(seed)) for seed in range(8)])
        for some in (runs[:1], runs)
    )
    assert set(within[:, 1]) == {5000}  # its first spike has no match in the run
    assert len(among) == 2 * len(within)
    assert (among[:, 0] != among[:, 2]).any()


def test_windows_of_other_runs_are_paired_with_their_spikes():
    rng = np.random.default_rng(8)
    events = [onsets_and_ends(rng, 4) for _ in range(3)]
    steps = [{"loss": np.ones(T), "place": np.arange(T) + 1e5 * i} for i in range(3)]
    histories = [history(each, i) for i, each in enumerate(steps)]
    runs = align_runs(histories, [spike_table(*each) for each in events])
    values = [{kind: run.windows(run.measures["place"], kind)[:, BEFORE] for kind in alignment.KINDS} for run in runs]
    spike, quiet, run = in_pairs([run.pairs for run in runs], values)
    assert len(spike) == sum(len(run.centres["spike"]) for run in runs) >= 4
    assert (spike // 1e5).tolist() == run.tolist() == sorted(run)
    assert (quiet // 1e5 != run).any()
    assert sorted(quiet // 1e5) == run.tolist()
    for onset, centre in zip(spike, quiet, strict=True):
        wakes = [np.exp(-(at % 1e5 - (end := events[int(at // 1e5)][1])[end <= at % 1e5]) / 1000).sum()
                 for at in (onset, centre)]  # fmt: skip
        assert wakes[1] == pytest.approx(wakes[0], rel=3e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("mean", "drift", "spread"), [(6000, 0, 0.3), (6000, 0.5, 1.0), (3000, 0.5, 0.3)])
def test_runs_that_differ_in_level_do_not_look_like_an_effect(mean, drift, spread):
    """The null of the next test with few spikes in each of four runs, whose levels differ for reasons of their own."""
    rng, larger, grows, areas, across = np.random.default_rng([32, mean]), [], [], [], 0
    for _ in range(STUDIES):
        made = [remembered(rng, mean=mean, drift=drift) for _ in range(4)]
        for *_, steps in made:
            steps["effective_step_q50"] *= np.exp(spread * rng.standard_normal())
        histories = [history({"effective_step_q50": each[2]["effective_step_q50"], "loss": each[2]["loss"]}, replicate)
                     for replicate, each in enumerate(made)]  # fmt: skip
        runs = align_runs(histories, [spike_table(*each[:2]) for each in made])
        values = [{kind: _level_and_growth(run, kind) for kind in alignment.KINDS} for run in runs]
        spike, quiet, _ = in_pairs([run.pairs for run in runs], values)
        larger += list(spike[:, 0] > quiet[:, 0])
        grows += list(spike[:, 1] > quiet[:, 1])
        areas += list(spike_aucs(runs, "effective_step_q50"))
        across += sum(len(set(run.pairs["spike"]) - set(run.pairs["baseline"])) for run in runs)
    assert across > len(larger) / 2 > 500
    assert np.mean(larger) == pytest.approx(0.5, abs=0.03)
    assert np.mean(grows) == pytest.approx(0.5, abs=0.03)
    assert np.mean(areas) == pytest.approx(0.5, abs=0.02)


def _level_and_growth(run, kind):
    windows = run.windows(run.measures["effective_step_q50"], kind)
    return np.stack([level(windows), growth(windows)], axis=1)


@pytest.mark.slow
@pytest.mark.parametrize(("mean", "drift"), [(800, 0), (1500, 0), (3000, 0), (1500, 0.5)])
def test_spikes_at_random_times_with_adams_memory_look_like_quiet_times(mean, drift):
    """The null: the effective step is no larger before spikes and grows no more, whatever v keeps of earlier ones.

    Nor does a drift of the step, to four times the size, look like an effect.
    """
    rng, larger, grows, areas = np.random.default_rng([31, mean]), [], [], []
    for replicate in range(450):
        onset, end, steps = remembered(rng, mean=mean, drift=drift)
        run = align(history(steps, replicate), spike_table(onset, end))
        step = run.measures["effective_step_q50"]
        spike, quiet = (run.windows(step, kind) for kind in alignment.KINDS)
        larger += list(level(spike) > level(quiet))
        grows += list(growth(spike) > growth(quiet))
        areas += list(spike_aucs([run], "effective_step_q50"))
    assert len(larger) > 1200
    assert np.mean(larger) == pytest.approx(0.5, abs=0.03)
    assert np.mean(grows) == pytest.approx(0.5, abs=0.03)
    assert np.mean(areas) == pytest.approx(0.5, abs=0.02)


def test_of_measures_the_last_one_made_is_kept():
    made = []

    def maker(name):
        return lambda: made.append(name) or np.full(2, len(made))

    measures = alignment.MadeOnDemand({name: maker(name) for name in "ab"})
    assert (list(measures), len(measures), "a" in measures, "c" in measures) == (["a", "b"], 2, True, False)
    assert made == []
    first = measures["a"]
    assert measures["a"] is first
    assert measures["b"].tolist() == [2, 2]
    assert measures["a"].tolist() == [3, 3]
    assert made == ["a", "b", "a"]


def test_spikes_before_the_loss_has_settled_and_aftermaths_do_not_count():
    found = align(history({"loss": np.ones(T)}), spike_table([700, 3000, 3040], [720, 3010, 3050]))
    assert found.settled == 50 * 25
    assert found.onsets.tolist() == [3000, 3040]
    assert found.centres[EVERY].tolist() == [3000]


def test_no_spikes_and_no_quiet_time_give_no_windows():
    assert len(align(history({"loss": np.ones(T)}), spike_table([], [])).centres["spike"]) == 0
    onset = np.arange(0, T, 100)
    busy = align(history({"loss": np.ones(T)}), spike_table(onset, onset + 30))
    assert [len(busy.centres[kind]) for kind in (*alignment.KINDS, EVERY)] == [0, 0, 0]
    assert aligned_averages([busy]).empty


def test_spikes_of_another_run_are_refused():
    with pytest.raises(ValueError, match="expected spikes within its 10000 steps"):
        align(history({"loss": np.ones(T)}), spike_table([T + 3], [T + 9]))


def test_curvatures_hold_until_the_next_measurement_and_those_of_a_spike_until_its_end():
    curvature = {
        "step": np.array([2000, 3005, 4000]),
        "sharpness": np.array([38.0, 76, 19]),
        "threshold": np.full(3, 38.0),
    }
    found = align(history({"loss": np.ones(T)}, curvature=curvature), spike_table([3000], [3050]))
    held = found.measures["sharpness_over_threshold"]
    assert np.isnan(held[:2000]).all()
    assert set(held[2000:3005]) == {1.0}
    assert set(held[3005:3050]) == {2.0}
    assert np.isnan(held[3050:4000]).all()
    assert set(held[4000:]) == {0.5}
    assert "gradient_curvature_over_threshold" not in found.measures
    assert found.cadence == 1000


def test_each_curvature_is_over_its_own_threshold_and_ratios_over_none():
    curvature = {
        "step": np.array([100]),
        "sharpness": np.array([19.0]),
        "threshold": np.array([38.0]),
        "batch_sharpness": np.array([3.0]),
        "batch_threshold": np.array([2.0]),
        "descent_cosine": np.array([-0.1]),
        "clipped_share": np.array([0.0]),
    }
    found = align(history({"loss": np.ones(T)}, curvature=curvature), spike_table([], [])).measures
    at_the_end = {name: float(found[name][-1]) for name in found}
    assert at_the_end == {
        "loss": 1,
        "sharpness_over_threshold": 0.5,
        "batch_sharpness_over_threshold": 1.5,
        "descent_cosine": -0.1,
        "clipped_share": 0,
    }


@pytest.mark.parametrize("threshold", [{}, {"threshold": np.array([np.nan])}])
def test_curvatures_without_a_threshold_are_left_out(threshold):
    curvature = {"step": np.array([9]), "sharpness": np.ones(1), **threshold}
    assert list(align(history({"loss": np.ones(T)}, curvature=curvature), spike_table([], [])).measures) == ["loss"]


def test_quantiles_are_those_of_numpy():
    values = np.random.default_rng(3).standard_normal((30, 20))
    values[values > 1] = np.nan
    shares = [0.25, 0.5, 0.9]
    np.testing.assert_allclose(alignment.quantiles(values, shares), np.nanquantile(values, shares, axis=0))
    assert np.isnan(alignment.quantiles(np.full((3, 2), np.nan), shares)).all()


def test_averages_show_the_spike_and_nothing_in_quiet_windows(run):
    table = aligned_averages([run, run]).set_index(["measure", "kind", "lag"])
    assert table.loc[("loss", "spike", 2), "median"] > 5
    assert table.loc[("effective_step_q50", "spike", 2), "median"] < 0.5
    quiet = table.loc["loss"].loc["baseline"].loc[-300:150]
    assert quiet["median"].between(0.6, 1.6).all()
    assert (table["q25"] <= table["median"]).all()
    assert (table["median"] <= table["q75"]).all()
    assert table.loc[("loss", "spike", 0), "n"] == 2 * len(run.centres[EVERY])
