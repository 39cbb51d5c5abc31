"""Every number of a model against the definitions applied to the spectra one sample and threshold at a time."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from quasarcurves.analysis.metrics import THRESHOLDS, bootstrap, crossing, has_good_redshift, velocity
from quasarcurves.quasarnet.analysis.scores import CURVES, DV_EDGES, MEASURES, dv_counts, score
from quasarcurves.quasarnet.analysis.test_set import SAMPLES, Predicted, samples
from quasarcurves.quasarnet.objective import Decoded


@pytest.fixture(scope="module")
def made(make):
    return make(np.random.default_rng(8), n=300, repeats=20)


@pytest.fixture(scope="module")
def scored(made):
    draws = bootstrap.draw(made.tested.target_id, np.random.default_rng(9), 99)
    rows, curves = zip(*score(made.tested, made.predicted, draws), strict=True)
    return pd.DataFrame(rows).set_index(["n_detect", "sample"]), pd.concat(curves).set_index(["n_detect", "sample"])


def masks_by_hand(made):
    """Rows that count for purity, and for completeness, of every sample."""
    tested, z = made.tested, made.predicted.z_best
    snr = np.argsort(np.argsort(tested.snr, kind="stable"))
    n, bal = len(z), (tested.bal == 1) & np.isin(tested.label, [2, 3])
    third = [np.isin(snr, part) for part in (np.arange(107), np.arange(107, 213), np.arange(213, n))]
    yes = np.ones(n, bool)
    both = [(yes, yes), (z < 2.1, tested.z < 2.1), (z >= 2.1, tested.z >= 2.1), *((t, t) for t in third), (bal, bal)]
    return dict(zip(SAMPLES, both, strict=True))


def test_samples_are_those_described(made):
    for name, (for_purity, for_completeness) in masks_by_hand(made).items():
        sample = samples(made.tested, made.predicted)[name]
        np.testing.assert_array_equal(sample.for_purity, for_purity, err_msg=name)
        np.testing.assert_array_equal(sample.for_completeness, for_completeness, err_msg=name)


@pytest.mark.parametrize("n_detect", [1, 2])
@pytest.mark.parametrize("name", SAMPLES)
def test_curves_are_those_of_a_loop(made, scored, n_detect, name):
    tested, predicted = made.tested, made.predicted
    for_purity, for_completeness = masks_by_hand(made)[name]
    curves = scored[1].loc[(n_detect, name)]
    np.testing.assert_array_equal(curves["threshold"], THRESHOLDS)
    decoded = Decoded(predicted.confidence, None, predicted.z_best, predicted.bal_confidence, None)
    good, qso = has_good_redshift(predicted.z_best, tested.z), np.isin(tested.label, [2, 3])
    for threshold, row in zip(THRESHOLDS[::9], curves.to_dict("records")[::9], strict=True):
        called = decoded.is_quasar(threshold, n_detect)
        counts = dict.fromkeys(CURVES, (0, 0))

        def add(measure, right, counts=counts):
            counts[measure] = (counts[measure][0] + int(right), counts[measure][1] + 1)

        for i in range(len(called)):
            called_bal = called[i] and predicted.bal_confidence[i, 0] > threshold
            is_bal, unknown = qso[i] and tested.bal[i] == 1, qso[i] and tested.bal[i] == 0
            if for_purity[i] and called[i] and tested.label[i] != 4:
                add("purity", good[i] and (qso[i] or tested.label[i] == 1))
                if called_bal and not unknown:
                    add("bal_purity", is_bal)
            if for_completeness[i] and qso[i]:
                add("completeness", called[i] and good[i])
                if is_bal:
                    add("bal_completeness", called_bal)
        for measure, (right, of) in counts.items():
            assert row[measure] == pytest.approx(right / of if of else np.nan, nan_ok=True), (measure, threshold)


def test_numbers_at_the_threshold(made, scored):
    rows, curves = scored
    tested, predicted = made.tested, made.predicted
    found = np.isin(tested.label, [2, 3]) & (predicted.confidence.max(axis=1) > 0.5)
    dv = velocity(predicted.z_best, tested.z)[found]
    row, good = rows.loc[(1, "all")], dv[np.abs(dv) <= 6000]
    assert row["threshold"] == 0.5
    assert row["outlier_share"] == pytest.approx(1 - len(good) / len(dv))
    assert row["median_dv"] == pytest.approx(np.median(good))
    assert row["sigma_dv"] == pytest.approx(good.std(ddof=1))
    assert row["sigma_dv_mad"] == pytest.approx(1.4826 * stats.median_abs_deviation(good), rel=1e-6)
    assert row["called_quasars"] == len(dv)
    at = curves.loc[(1, "all")].set_index("threshold").loc[0.5]
    for name in CURVES:
        assert row[name] == at[name]
    assert (at["purity_low"], at["completeness_high"]) == (row["purity_low"], row["completeness_high"])


def test_crossings_are_those_of_the_curves(scored):
    for key, row in scored[0].iterrows():
        curves = scored[1].loc[key]
        value, threshold = crossing(curves["purity"], curves["completeness"])
        assert (row["crossing"], row["crossing_threshold"]) == pytest.approx((value, threshold), nan_ok=True)


def test_intervals_hold_what_they_are_of(scored):
    for name in MEASURES:
        value, low, high = (scored[0][f"{name}{end}"] for end in ("", "_low", "_high"))
        known = value.notna() & low.notna()
        assert known.sum() >= 6, name
        assert (low[known] <= value[known]).all(), name
        assert (value[known] <= high[known]).all(), name
        assert low[value.isna()].isna().all()


def test_intervals_at_every_threshold_are_those_of_the_main_sample(scored):
    with_interval = scored[1]["purity_low"].notna()
    assert set(scored[1].index[with_interval]) == {(1, "all")}
    main = scored[1].loc[(1, "all")].dropna(subset=["purity"])
    for name in ("purity", "completeness"):
        assert (main[f"{name}_low"] <= main[name]).all()
        assert (main[name] <= main[f"{name}_high"]).all()


def test_few_redshifts_have_no_interval(make):
    made = make(np.random.default_rng(10), n=12)
    draws = bootstrap.draw(made.tested.target_id, np.random.default_rng(11), 99)
    row = next(iter(score(made.tested, made.predicted, draws)))[0]
    assert np.isfinite(row["sigma_dv"])
    assert np.isnan([row["sigma_dv_low"], row["median_dv_high"], row["sigma_dv_mad_low"]]).all()
    assert np.isfinite(row["outlier_share_low"])


def test_histogram_counts_good_redshifts(made, scored):
    counts = dv_counts(made.tested, made.predicted)
    row = scored[0].loc[(1, "all")]
    assert counts.sum() == round(row["called_quasars"] * (1 - row["outlier_share"]))
    dv = velocity(made.predicted.z_best, made.tested.z)
    found = made.tested.is_qso & (made.predicted.confidence.max(axis=1) > 0.5)
    assert counts[60] == np.sum(found & (dv >= 0) & (dv < 100))
    assert (DV_EDGES[60], DV_EDGES[61]) == (0, 100)


def test_a_model_that_says_nan_finds_nothing(made):
    n = len(made.tested.z)
    broken = Predicted(np.full((n, 2), np.nan), np.full(n, np.nan), np.full((n, 1), np.nan))
    draws = bootstrap.draw(made.tested.target_id, np.random.default_rng(12), 19)
    for row, curves in score(made.tested, broken, draws):
        assert (curves["completeness"] == 0).all()
        assert curves["purity"].isna().all()
        assert np.isnan(row["crossing"])


def test_fewer_lines_than_asked_for_call_nothing(made):
    one_line = Predicted(made.predicted.confidence[:, :1], made.predicted.z_best, np.empty((len(made.tested.z), 0)))
    assert not (one_line.score(2) > 0).any()
    assert not (one_line.bal_score > 0).any()
