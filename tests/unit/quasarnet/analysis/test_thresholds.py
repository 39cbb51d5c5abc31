"""Thresholds of equal completeness and purity: right by hand, and their intervals hold planted ones."""

import numpy as np
import pytest
from scipy.special import expit, logit

from quasarcurves.quasarnet.analysis import test_set, thresholds
from quasarcurves.quasarnet.analysis.test_set import Predicted
from quasarcurves.quasarnet.metrics import DV_MAX, purity_completeness
from quasarcurves.spectra.table import QSO_HIGH, STAR

RULE = 0.5, 1, DV_MAX


def said(score, z):
    return Predicted(np.asarray(score, float)[:, None], np.asarray(z, float), np.zeros((len(z), 0)))


def truth(is_qso, z, target_id=None):
    label = np.where(is_qso, QSO_HIGH, STAR).astype(np.uint8)
    ids = np.arange(len(z)) if target_id is None else target_id
    return test_set.Tested(np.asarray(z, float), label, np.zeros(len(z), np.int8), np.ones(len(z)), ids)


def test_by_hand():
    is_qso = np.array([1, 1, 1, 1, 0, 0], bool)
    z = np.where(is_qso, 2.5, 0.0)
    before = said([0.9, 0.8, 0.7, 0.2, 0.6, 0.1], np.full(6, 2.5))  # 3 of 4 found, 3 of 4 called are right
    after = said([0.6, 0.5, 0.3, 0.25, 0.4, 0.1], np.full(6, 2.5))
    table = thresholds.transferred(before, after, *RULE, truth(is_qso, z)).set_index("metric")
    # the third quasar has 0.3, the next spectrum 0.25
    assert table.loc["completeness", ["target", "threshold"]].tolist() == pytest.approx([0.75, 0.275])
    # 4 of 5 down to 0.25, the lowest with 3 of 4 or more; the next has 0.1
    assert table.loc["purity", ["target", "threshold"]].tolist() == pytest.approx([0.75, 0.175])
    assert table.loc["purity", ["completeness", "purity"]].tolist() == pytest.approx([1.0, 0.8])


def test_values_there_are_those_of_the_usual_definition(make):
    made = make(np.random.default_rng(3), n=400)
    other = Predicted(made.predicted.confidence**2, made.predicted.z_best, made.predicted.bal_confidence)
    for row in thresholds.transferred(made.predicted, other, *RULE, made.tested).to_dict("records"):
        called = other.score(1) > row["threshold"]
        tested = made.tested
        purity, completeness = purity_completeness(
            called, other.z_best, tested.is_qso, tested.is_galaxy, tested.is_bad, tested.z
        )
        assert (row["purity"], row["completeness"]) == pytest.approx((purity, completeness))
        # confidences squared: the same spectra are called at the square
        assert row["threshold"] == pytest.approx(0.25, abs=0.03) or row[row["metric"]] == pytest.approx(row["target"])
        assert row[row["metric"]] >= row["target"] - 1e-9


def drawn(n, rng, repeats=1):
    """Two networks of which the second's logits are half as large and 1 lower: equal at expit(-1) for 0.5."""
    is_qso = rng.random(n) < 0.6
    logits = rng.normal(np.where(is_qso, 2.0, -2.0), 2.0)
    # both see the same, but not quite
    first, second = (expit(logits + rng.normal(0, 0.5, n)) for _ in range(2))
    z = np.where(is_qso, 2.5, 0.0)
    index = np.repeat(np.arange(n), repeats)
    both = (
        said(first[index], np.full(len(index), 2.5)),
        said(expit(logit(second[index]) / 2 - 1), np.full(len(index), 2.5)),
    )
    return *both, truth(is_qso[index], z[index], index)


@pytest.mark.slow
@pytest.mark.parametrize("repeats", [1, 3])
def test_intervals_hold_the_planted_threshold(repeats):
    rng, held = np.random.default_rng(4), {metric: 0 for metric in thresholds.METRICS}
    for _ in range(60):
        before, after, tested = drawn(400, rng, repeats)
        for row in thresholds.transferred(before, after, *RULE, tested).to_dict("records"):
            held[row["metric"]] += row["low"] <= expit(-1) <= row["high"]
    # 57 expected: 51 or more with 99 %
    assert all(count >= 51 for count in held.values()), held


def test_what_the_other_never_reaches_is_said():
    is_qso = np.array([1, 1, 0], bool)
    z = np.where(is_qso, 2.5, 0.0)
    before, after = said([0.9, 0.8, 0.1], np.full(3, 2.5)), said([0.9, 0.8, 0.95], [2.5, 0.1, 2.5])
    rows = thresholds.transferred(before, after, *RULE, truth(is_qso, z)).to_dict("records")
    assert np.isnan([row["threshold"] for row in rows]).all()
    assert thresholds.words(rows[0], "B") == "B is nowhere as complete as the network in use (1.0000)."
    assert thresholds.words(rows[1], "B") == "B is nowhere as pure as the network in use (1.0000)."


def test_spectra_without_signal_are_never_called():
    is_qso = np.array([1, 1, 0], bool)
    z = np.where(is_qso, 2.5, 0.0)
    before, after = said([0.9, np.nan, 0.1], np.full(3, 2.5)), said([np.nan, 0.4, 0.1], np.full(3, 2.5))
    row = thresholds.transferred(before, after, *RULE, truth(is_qso, z)).iloc[0]
    assert (row["target"], row["threshold"]) == pytest.approx((0.5, 0.25))
