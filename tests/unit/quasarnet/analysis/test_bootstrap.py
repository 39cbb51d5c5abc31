"""Weighted statistics against the same of arrays written out, and intervals against planted truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from quasarcurves.analysis.metrics import bootstrap, purity_completeness
from quasarcurves.analysis.stats import resampling
from quasarcurves.quasarnet.analysis.scores import CURVES, MEASURES, Marks
from quasarcurves.quasarnet.analysis.test_set import samples
from quasarcurves.quasarnet.metrics import THRESHOLDS


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 4), st.integers(0, 1)), min_size=1, max_size=40),
)
def test_statistics_are_those_of_values_written_out(rows):
    values, *weights = (np.array(column, float) for column in zip(*rows, strict=True))
    weights = np.stack(weights)
    medians = resampling.weighted_medians(values, weights)
    distances = resampling.weighted_median_deviations(values, weights, medians)
    spreads = resampling.weighted_deviations(values, weights)
    for i, each in enumerate(weights):
        drawn = np.repeat(values, each.astype(int))
        if len(drawn):
            assert medians[i] == np.median(drawn)
            assert distances[i] == pytest.approx(stats.median_abs_deviation(drawn), abs=1e-6)
        else:
            assert np.isnan([medians[i], distances[i]]).all()
        expected = drawn.std(ddof=1) if len(drawn) > 1 else np.nan
        # a difference of two squares: its root is known to half of the digits
        assert spreads[i] == pytest.approx(expected, abs=1e-5, nan_ok=True)


def test_nothing_has_no_statistics():
    none, weights = np.empty(0), np.empty((3, 0))
    medians = resampling.weighted_medians(none, weights)
    assert np.isnan(medians).all()
    assert np.isnan(resampling.weighted_median_deviations(none, weights, medians)).all()
    assert np.isnan(resampling.weighted_deviations(none, weights)).all()


def test_shares_of_draws_are_those_of_test_sets_written_out(make):
    """Purity and completeness of every draw, with the two quasars added, by the definition itself."""
    made = make(np.random.default_rng(3), n=60, repeats=15)
    tested, predicted = made.tested, made.predicted
    draws = bootstrap.draw(tested.target_id, np.random.default_rng(4), 20)
    called = predicted.score(1)[:, None] > THRESHOLDS
    marks = Marks(tested, predicted, called, samples(tested, predicted)["all"])
    found = marks.measure(draws)
    for i in range(20):
        rows = np.repeat(np.arange(75), draws.weights[i].astype(int))
        added = np.repeat([0.0, 1.0], [int(draws.right[i]), int(draws.wrong[i])])  # at z = 0 and 300,000 km/s off it
        none = np.zeros(len(added), bool)
        for j in (0, 37, 50, 99):
            expected = purity_completeness(
                np.concatenate([called[rows, j], ~none]),
                np.concatenate([predicted.z_best[rows], added]),
                np.concatenate([tested.is_qso[rows], ~none]),
                np.concatenate([tested.is_galaxy[rows], none]),
                np.concatenate([tested.is_bad[rows], none]),
                np.concatenate([tested.z[rows], np.zeros(len(added))]),
            )
            assert (found["purity"][i, j], found["completeness"][i, j]) == pytest.approx(expected, nan_ok=True)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 30), st.integers(1, 12), st.booleans())
def test_shares_are_sums_of_weights(seed, n, k, nested):
    """Of any masks, those that lose examples as the threshold rises and others, by sums over all examples."""
    rng = np.random.default_rng(seed)
    level = rng.random((n, 1))
    part, whole = (level > np.linspace(0, 1, k) if nested else rng.random((n, k)) > 0.5 for _ in range(2))
    whole = whole | part
    draws = bootstrap.draw(np.arange(n), rng, 7)
    alone = draws.right + draws.wrong
    for examples, among in ((part, whole), (part, whole[:, 0]), (part[:, 0], whole[:, 0])):
        expected = draws.weights.astype(np.float64) @ examples + draws.right[(..., *[None] * (examples.ndim - 1))]
        total = draws.weights.astype(np.float64) @ among + alone[(..., *[None] * (among.ndim - 1))]
        total = total[:, None] if total.ndim < expected.ndim else total
        with np.errstate(invalid="ignore", divide="ignore"):
            np.testing.assert_array_equal(
                bootstrap.shares(examples, among, draws), np.where(total > 0, expected / total, np.nan)
            )


def test_repeat_observations_are_drawn_together():
    target_id = np.array([7, 3, 7, 9, 3, 7])
    draws = bootstrap.draw(target_id, np.random.default_rng(0), 4000)
    for name in (3, 7, 9):
        times = draws.weights[:, target_id == name]
        assert (times == times[:, :1]).all()
    objects = draws.weights[:, [0, 1, 3]].sum(axis=1) + draws.right + draws.wrong
    assert (objects == 3 + 2 * bootstrap.ADDED).all()
    np.testing.assert_allclose(draws.weights.mean(axis=0), 1, atol=0.06)
    np.testing.assert_allclose([draws.right.mean(), draws.wrong.mean()], bootstrap.ADDED, atol=0.06)


def measure(marks, draws):
    """What `measure` and `of_bal` give, curves at 0.5 alone."""
    found = {**marks.measure(draws), **marks.of_bal(draws)}
    at_once = marks.of_bal(draws, 50)
    for name, each in at_once.items():
        np.testing.assert_array_equal(each, found[name][:, 50])
    return {name: each[:, 50] if name in CURVES else each for name, each in found.items()}


def marks_of(made):
    called = made.predicted.score(1)[:, None] > THRESHOLDS
    return Marks(made.tested, made.predicted, called, samples(made.tested, made.predicted)["all"])


def coverage(make, trials, n, repeats=0, **population):
    """Share of intervals that hold the truth of the population, which 200,000 spectra tell."""
    large = make(np.random.default_rng(1), n=200_000, **population)
    truth = {name: each[0] for name, each in measure(marks_of(large), bootstrap.once(200_000)).items()}
    rng, inside = np.random.default_rng(2), {name: [] for name in MEASURES}
    for _ in range(trials):
        made = make(rng, n=n, repeats=repeats, **population)
        drawn = measure(marks_of(made), bootstrap.draw(made.tested.target_id, rng, 199))
        for name in MEASURES:
            low, high = resampling.percentile_interval(drawn[name])
            inside[name].append(low <= truth[name] <= high)
    return {name: np.mean(each) for name, each in inside.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "population"),
    [
        (200, {"right": 0.95}),
        (200, {"right": 0.995, "separation": 4.0}),
        (1000, {"right": 0.995, "separation": 4.0}),
        (200, {"right": 0.8, "separation": 1.0}),
        (200, {"right": 0.95, "repeats": 100}),
    ],
)
def test_intervals_cover_the_truth(make, n, population):
    """95 % nominal; 400 trials have a standard error of 1.1 %. The worst are standard deviations of 100 redshifts."""
    for name, share in coverage(make, 400, n, **population).items():
        assert share >= 0.90, f"{name}: {share:.3f}"


@pytest.mark.slow
def test_repeats_drawn_one_by_one_would_be_too_sure(make, monkeypatch):
    """Half of the objects observed twice: rows drawn as if each were an object give intervals that cover less."""
    population = {"right": 0.8, "separation": 1.0, "repeats": 150}
    together = coverage(make, 300, 150, **population)
    draw = bootstrap.draw
    monkeypatch.setattr(bootstrap, "draw", lambda target_id, *others: draw(np.arange(len(target_id)), *others))
    apart = coverage(make, 300, 150, **population)
    for name in ("completeness", "purity", "crossing"):
        assert together[name] >= 0.92
        assert apart[name] < 0.90


def test_a_perfect_model_is_not_certain(make):
    """All of 130 quasars found: the interval is as the rule of three has it, 1 - 3/130, not of no width."""
    made = make(np.random.default_rng(5), right=1.0, separation=30.0)
    drawn = measure(marks_of(made), bootstrap.draw(made.tested.target_id, np.random.default_rng(6)))
    quasars = made.tested.is_qso.sum()
    low, high = resampling.percentile_interval(drawn["completeness"])
    assert high == 1
    assert 1 - 5 / quasars < low < 1 - 1.5 / quasars


def test_intervals_leave_out_what_is_not_known():
    values = np.column_stack([np.arange(1000.0), np.full(1000, np.nan), np.where(np.arange(1000) % 2, np.nan, 3.0)])
    low, high = resampling.percentile_interval(values)
    np.testing.assert_allclose(low, [24.975, np.nan, 3])
    np.testing.assert_allclose(high, [974.025, np.nan, 3])
