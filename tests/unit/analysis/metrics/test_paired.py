"""Differences of test metrics between pairs of models: the metrics are those of the tables, and intervals cover."""

import numpy as np
import pytest

from quasarcurves.analysis.metrics import paired
from quasarcurves.analysis.metrics.bootstrap import draw
from quasarcurves.quasarnet.analysis import scorer
from quasarcurves.quasarnet.analysis.scores import score
from quasarcurves.quasarnet.analysis.test_set import Predicted
from quasarcurves.quasarnet.analysis.test_set import Tested as Truth

QSO = 3


def make_truth(rng, n=400, observations=1):
    label = np.repeat(rng.choice([0, 1, QSO], n // observations, p=[0.2, 0.2, 0.6]), observations)
    z = np.repeat(rng.uniform(2.2, 3, n // observations), observations)
    bal = np.where(label == QSO, np.repeat(rng.choice([1, -1], n // observations, p=[0.3, 0.7]), observations), 0)
    names = np.repeat(np.arange(n // observations), observations)
    return Truth(z, label.astype(np.uint8), bal.astype(np.int8), np.ones(n, np.float32), names)


def make_model(truth, hard, rng, found=0.8, sigma=1000.0, own=0.5):
    """A model that finds this share of quasars, those that are hard for all models last, with this scatter in dv."""
    n = len(truth.z)
    ease = np.argsort(np.argsort(hard + own * rng.normal(size=n))) / n
    chance = np.where(truth.is_qso, found, 0.1)
    dv = np.clip(rng.normal(0, sigma, n), -5900, 5900)
    z = truth.z + dv / 300_000 * (1 + truth.z)
    return Predicted((ease < chance)[:, None] * 0.9, z, (rng.random((n, 1)) < 0.6) * 0.9)


def test_metrics_are_those_of_the_tables():
    rng = np.random.default_rng(1)
    truth = make_truth(rng)
    model = make_model(truth, rng.normal(size=400), rng)
    found = scorer.score(truth, model)
    row, _ = next(score(truth, model, draw(truth.target_id, rng, 9)))
    for name in ("completeness", "purity", "bal_completeness"):
        assert found[name].value == pytest.approx(row[name])
    assert np.exp(found["sigma_dv"].value) == pytest.approx(row["sigma_dv"])


def test_what_objects_pull_is_what_leaving_them_out_does():
    """To first order, with repeat observations of one object left out together."""
    rng = np.random.default_rng(2)
    truth = make_truth(rng, 400, observations=2)
    model = make_model(truth, rng.normal(size=400), rng)
    whole = scorer.score(truth, model)
    for left in (0, 7, 123):
        kept = truth.target_id != left
        part = Truth(*(getattr(truth, name)[kept] for name in ("z", "label", "bal", "snr", "target_id")))
        less = Predicted(model.confidence[kept], model.z_best[kept], model.bal_confidence[kept])
        for name, metric in scorer.score(part, less).items():
            assert metric.value - whole[name].value == pytest.approx(-whole[name].pull[left], rel=0.05, abs=2e-4)


@pytest.mark.parametrize("lost", [0.0, 0.1])
@pytest.mark.parametrize(("replicates", "spread"), [(1, 0.0), (3, 0.0), (3, 0.05)])
def test_intervals_of_differences_cover(lost, replicates, spread):
    """Runs differ by `spread`; all share test objects, of which some are hard for every model. No loss is the null."""
    rng, covered, told = np.random.default_rng(3), [], []
    for _ in range(150):
        truth = make_truth(rng)
        hard, pairs = rng.normal(size=400), []
        for _ in range(replicates):
            one, other = (
                scorer.score(truth, make_model(truth, hard, rng, 0.8 - less + rng.normal(0, spread)))
                for less in (lost, 0.0)
            )
            pairs.append((one["completeness"], other["completeness"]))
        found = paired.difference(pairs)
        covered.append(found.low <= -lost <= found.high)
        told.append(found.high < 0)
    assert np.mean(covered) >= 0.93
    if not lost:
        assert np.mean(told) <= 0.05
    elif not spread:
        assert np.mean(told) >= 0.6


def test_intervals_of_ratios_of_scatter_cover():
    rng, covered = np.random.default_rng(4), []
    for _ in range(150):
        truth = make_truth(rng)
        hard = rng.normal(size=400)
        pairs = [
            tuple(scorer.score(truth, make_model(truth, hard, rng, sigma=s))["sigma_dv"] for s in (1200.0, 1000.0))
            for _ in range(2)
        ]
        found = paired.difference(pairs)
        covered.append(found.low <= np.log(1.2) <= found.high)
    assert np.mean(covered) >= 0.93


def test_pairing_by_objects_narrows_the_interval():
    """Two models that fail on the same objects differ by less than two that fail on different ones."""
    rng = np.random.default_rng(5)
    truth, hard = make_truth(rng), rng.normal(size=400)
    widths = []
    for own in (0.1, 5.0):
        one, other = (scorer.score(truth, make_model(truth, hard, rng, own=own))["completeness"] for _ in range(2))
        found = paired.difference([(one, other)])
        widths.append(found.high - found.low)
    assert widths[0] < 0.7 * widths[1]


def test_models_that_agree_on_every_object_have_an_interval():
    rng = np.random.default_rng(6)
    truth = make_truth(rng, 40)
    model = scorer.score(truth, make_model(truth, rng.normal(size=40), rng))["bal_completeness"]
    found = paired.difference([(model, model)])
    assert (found.value, found.pairs) == (0, 1)
    assert found.low < -0.1 < 0.1 < found.high


def test_without_quasars_there_is_no_difference():
    rng = np.random.default_rng(7)
    truth = make_truth(rng, 40)
    stars = Truth(truth.z, np.zeros(40, np.uint8), truth.bal, truth.snr, truth.target_id)
    none = scorer.score(stars, make_model(truth, rng.normal(size=40), rng, found=0.0))
    for name, metric in none.items():
        found = paired.difference([(metric, metric)])
        assert (found.pairs == 0) == (name != "purity")
