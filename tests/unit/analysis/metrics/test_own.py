"""Scores of a task of one's own: by hand, on planted truth with groups, and where there is nothing to score."""

import h5py
import numpy as np
import pytest

from quasarcurves.analysis import stopping
from quasarcurves.analysis.metrics import paired
from quasarcurves.analysis.metrics.bootstrap import Draws, draw, once
from quasarcurves.analysis.metrics.description import Description
from quasarcurves.analysis.metrics.own import OwnScored, OwnScorer, OwnTestSet
from quasarcurves.analysis.stats.resampling import percentile_interval

BETTER = {"distance": "lower"}


def f1(truth, called):
    return 2 * np.sum(truth & called) / (np.sum(truth) + np.sum(called))


def measure(targets, outputs):
    """Two metrics with a value per example, and two that are numbers; outputs have a class and a quantity."""
    kind, quantity = targets
    called = outputs[:, 0] > 0.5
    residual = outputs[:, 1] - quantity
    return {
        "accuracy": called == kind,
        "distance": np.abs(residual),
        "f1": f1(kind, called),
        "r2": 1 - np.sum(residual**2) / np.sum((quantity - quantity.mean()) ** 2),
    }


SCORER = OwnScorer(measure, Description(better=BETTER), "t.py")
TRUTH = {"accuracy": 0.8, "distance": 0.5 * np.sqrt(2 / np.pi), "f1": 0.8, "r2": 0.75}
"""Of a model of `predict` with the usual share of mistakes and the usual noise."""


def make_truth(rng, objects=200, scorer=SCORER):
    """A test set whose objects have one to three examples each; half of the objects are of the class asked for."""
    times = rng.integers(1, 4, objects)
    owner = np.repeat(np.arange(objects), times)
    return OwnTestSet(scorer, ((rng.random(objects) < 0.5)[owner], rng.standard_normal(objects)[owner]), owner * 7)


def predict(rng, truth, mistakes=0.2, noise=0.5, hard=None, loss=1.0):
    """A model that errs alike on all examples of an object; `hard` is a number per object, shared by models."""
    _, owner = np.unique(truth.target_id, return_inverse=True)
    objects = owner.max() + 1
    kind, quantity = truth.targets
    luck = rng.random(objects) if hard is None else hard[0]
    off = rng.standard_normal(objects) if hard is None else hard[1]
    wrong = (luck + 0.1 * rng.random(objects) * (hard is not None)) % 1 < mistakes
    own = rng.standard_normal(objects)
    error = noise * (off if hard is None else np.sqrt(0.5) * (off + own))
    outputs = np.stack([kind ^ wrong[owner], quantity + error[owner]], axis=1)
    return OwnScored(truth, outputs, loss * rng.lognormal(0, 0.5, objects)[owner])


def test_values_are_means_and_numbers():
    rng = np.random.default_rng(1)
    truth = make_truth(rng)
    model = predict(rng, truth)
    found = {name: values.tolist() for name, values in model.drawn(once(model.n)).items()}
    by_hand = measure(truth.targets, model.outputs)
    assert list(found) == ["loss", "accuracy", "distance", "f1", "r2"]
    assert found["loss"] == [pytest.approx(model.loss.mean())]
    for name, value in by_hand.items():
        assert found[name] == [pytest.approx(np.mean(value))]


def test_a_draw_weighs_means_and_measures_numbers_anew():
    rng = np.random.default_rng(2)
    truth = make_truth(rng, 30)
    model = predict(rng, truth)
    drawn = draw(truth.target_id, rng, 20)
    found = model.drawn(drawn)
    for i, weights in enumerate(drawn.weights):
        rows = np.repeat(np.arange(model.n), weights.astype(int))
        assert len(np.unique(weights[truth.target_id == 0])) == 1  # objects are drawn whole
        again = measure(truth.at(rows), model.outputs[rows])
        assert found["r2"][i] == pytest.approx(again["r2"])
        assert found["f1"][i] == pytest.approx(again["f1"])
        assert found["distance"][i] == pytest.approx(again["distance"].mean())
        assert found["loss"][i] == pytest.approx(model.loss[rows].mean())
        right, wrong = drawn.right[i], drawn.wrong[i]  # the two objects that are added to a share
        assert found["accuracy"][i] == pytest.approx((again["accuracy"].sum() + right) / (len(rows) + right + wrong))


def test_what_objects_pull_is_what_leaving_them_out_does():
    rng = np.random.default_rng(3)
    truth = make_truth(rng)
    model = predict(rng, truth)
    whole = model.estimates()
    for i, left in enumerate(np.unique(truth.target_id)[:3]):
        kept = truth.target_id != left
        part = OwnTestSet(SCORER, truth.at(kept), truth.target_id[kept])
        less = OwnScored(part, model.outputs[kept], model.loss[kept])
        for name in ("accuracy", "distance"):
            change = less.estimates()[name].value - whole[name].value
            assert change == pytest.approx(-whole[name].pull[i], rel=0.05, abs=1e-4)
    assert np.exp(whole["distance"].value) == pytest.approx(model.value("distance"))


def coverage(seed, trials, covers):
    rng = np.random.default_rng(seed)
    found = np.array([covers(rng) for _ in range(trials)])
    return dict(zip(TRUTH, found.mean(axis=0), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("objects", [60, 200])
def test_intervals_cover(objects):
    def covers(rng):
        truth = make_truth(rng, objects)
        drawn = predict(rng, truth).drawn(draw(truth.target_id, rng, 199))
        bounds = {name: percentile_interval(drawn[name]) for name in TRUTH}
        return [bounds[name][0] <= value <= bounds[name][1] for name, value in TRUTH.items()]

    found = coverage(4, 200, covers)
    print(objects, found)
    assert min(found.values()) >= (0.90 if objects < 100 else 0.92)
    assert max(found.values()) <= 0.99


@pytest.mark.slow
@pytest.mark.parametrize(("mistakes", "noise"), [(0.2, 0.5), (0.3, 0.6)])
def test_paired_differences_cover(mistakes, noise):
    """The same mistakes and noise are the null."""
    true = {
        "accuracy": 0.2 - mistakes,
        "distance": np.log(noise / 0.5),
        "f1": 0.2 - mistakes,
        "r2": 0.25 - noise**2,
    }

    def covers(rng):
        truth = make_truth(rng)
        hard = rng.random(200), rng.standard_normal(200)
        one, other = (predict(rng, truth, *how, hard=hard).estimates() for how in ((mistakes, noise), ()))
        found = {name: paired.difference([(one[name], other[name])]) for name in true}
        return [found[name].low <= value <= found[name].high for name, value in true.items()]

    found = coverage(5, 100, covers)
    print(mistakes, noise, found)
    assert min(found.values()) >= 0.90


@pytest.mark.slow
def test_best_and_final_of_equal_worth_are_seldom_told_apart():
    rng, said = np.random.default_rng(6), []
    for _ in range(120):
        truth = make_truth(rng)
        hard = rng.random(200), rng.standard_normal(200)
        models = {name: predict(rng, truth, hard=hard) for name in ("final", "best")}
        rows = stopping.compare(SCORER, truth, models, draw(truth.target_id, rng, 199))
        said.append([row["verdict"] in (stopping.BETTER, stopping.WORSE) for row in rows])
    print(np.mean(said, axis=0))
    assert max(np.mean(said, axis=0)) <= 0.10


def test_a_worse_model_is_told():
    rng = np.random.default_rng(7)
    truth = make_truth(rng)
    models = {"final": predict(rng, truth), "best": predict(rng, truth, 0.4, 1.0, loss=3.0)}
    rows = stopping.compare(SCORER, truth, models, draw(truth.target_id, rng, 199))
    assert [row["metric"] for row in rows] == ["loss", "accuracy", "distance", "f1", "r2"]
    assert {row["verdict"] for row in rows} == {stopping.WORSE}
    assert [round(row["difference"], 1) for row in rows[::2]] == pytest.approx([3.0, 2.0, -0.7], abs=0.4)
    alike = stopping.compare(SCORER, truth, dict.fromkeys(models, models["final"]), draw(truth.target_id, rng, 9))
    assert {row["verdict"] for row in alike} == {stopping.SAME}


def scored(values, n=40, **more):
    """A model of which `measure` says what is given, whatever examples it gets."""
    scorer = OwnScorer(lambda targets, outputs: values(targets) if callable(values) else values, name="t.py")
    truth = OwnTestSet(scorer, np.arange(n), np.arange(n))
    return OwnScored(truth, np.zeros((n, 2)), np.ones(n) * more.get("loss", 1.0))


@pytest.mark.parametrize(
    "values",
    [
        lambda targets: {"m": np.nan},
        lambda targets: {"m": np.where(targets == 3, np.nan, 1.0)},
        lambda targets: {"m": np.full(len(targets), np.inf)},
    ],
)
def test_what_is_not_finite_is_not_known(values):
    model = scored(values)
    assert np.isnan(model.drawn(once(40))["m"]).all()
    assert np.isnan(model.drawn(draw(np.arange(40), np.random.default_rng(1), 9))["m"]).all()
    assert paired.difference([(model.estimates()["m"],) * 2]).pairs == 0


@pytest.mark.parametrize("values", [lambda targets: {"m": 0.7}, lambda targets: {"m": np.full(len(targets), 0.7)}])
def test_a_value_that_never_changes_has_no_interval(values):
    model = scored(values)
    assert model.value("m") == pytest.approx(0.7)
    assert np.isnan(model.drawn(draw(np.arange(40), np.random.default_rng(1), 99))["m"]).all()
    found = paired.difference([(model.estimates()["m"],) * 2])
    assert (found.value, found.pairs) == (0, 1)
    assert np.isnan([found.low, found.high]).all()


def test_a_model_that_is_always_right_has_an_interval_nevertheless():
    model = scored(lambda targets: {"right": np.ones(len(targets), bool)})
    low, high = percentile_interval(model.drawn(draw(np.arange(40), np.random.default_rng(1), 499))["right"])
    assert 0.85 < low < 0.97
    assert high == 1
    found = paired.difference([(model.estimates()["right"],) * 2])
    assert found.low < -0.04 < 0.04 < found.high


def test_a_number_that_few_draws_lack_is_known_and_one_that_many_lack_is_not():
    """Such as an AUC, which a draw of a single class does not have: it raises there, or is NaN."""

    def first_drawn(least):
        def values(targets):
            if np.isin(targets, range(least)).sum() == 0:
                raise ValueError("only one class")
            return {"m": targets.mean()}

        return scored(values)

    drawn = draw(np.arange(40), np.random.default_rng(1), 499)
    often, seldom = (first_drawn(least).drawn(drawn)["m"] for least in (6, 1))
    assert 0 < np.isnan(often).sum() < 25
    assert np.isnan(seldom).all()
    assert np.isnan(first_drawn(1).estimates()["m"].pull).all()
    assert np.isfinite(first_drawn(6).estimates()["m"].pull).all()


def test_an_error_that_is_zero_or_negative_has_no_ratio():
    scorer = OwnScorer(None, Description(better={"m": "lower"}))
    for value in (0.0, -1.0):
        truth = OwnTestSet(OwnScorer(lambda t, o, v=value: {"m": v}, scorer.description), np.zeros(5), np.arange(5))
        assert np.isnan(OwnScored(truth, np.zeros(5), np.ones(5)).estimates()["m"].value)


def test_no_examples_and_no_measure():
    for model in (
        scored(lambda targets: {"m": targets.mean()}, 0),
        OwnScored(OwnTestSet(OwnScorer(), np.ones(3), np.ones(3)), np.ones(3), np.ones(3)),
    ):
        assert list(model.found) == ["loss"]
    assert np.isnan(scored({}, 0).drawn(once(0))["loss"]).all()


def test_a_draw_without_examples_has_no_metrics():
    model = scored(lambda targets: {"m": targets.mean(), "each": targets * 1.0}, 3)
    nothing = Draws(np.zeros((2, 3), np.float32), np.ones(2), np.ones(2))
    assert all(np.isnan(values).all() for values in model.drawn(nothing).values())


def test_a_metric_that_one_model_lacks():
    one = scored(lambda targets: {"m": targets * 1.0, "other": targets.mean()})
    other = OwnScored(
        OwnTestSet(OwnScorer(lambda t, o: {"m": t * 2.0}), np.arange(40), np.arange(40)), np.ones(40), np.ones(40)
    )
    rows = stopping.compare(
        one.truth.scorer, one.truth, {"final": one, "best": other}, draw(np.arange(40), np.random.default_rng(1), 99)
    )
    assert [row["metric"] for row in rows] == ["loss", "m", "other"]
    assert np.isnan([rows[2][name] for name in ("best", "difference", "low", "high")]).all()
    assert rows[2]["verdict"] == "cannot say"
    assert rows[1]["difference"] == pytest.approx(19.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0], "returned list, expected a dict from names to numbers or arrays"),
        ({"m": np.zeros((40, 2))}, r"m: expected a number or an array of shape \(40,\), found shape \(40, 2\)"),
        ({"m": np.zeros(39)}, r"m: expected a number or an array of shape \(40,\), found shape \(39,\)"),
        ({"m": [[1.0], [2.0, 3.0]]}, r"m: expected a number or 40 values, found \[\[1.0\], \[2.0, 3.0\]\]"),
        ({"m": "good"}, "m: expected a number or 40 values, found"),
        ({"m": None}, "m: expected a number or 40 values, found object None"),
        ({3: 1.0}, "returned the name 3, expected a word of letters, digits and _"),
        ({"top 5": 1.0}, "returned the name 'top 5', expected a word"),
        ({"loss": 1.0}, "returned the name 'loss', expected one whose columns are not taken"),
        ({"m": 1.0, "m_low": 1.0}, "returned the name 'm', expected one whose columns are not taken"),
    ],
)
def test_what_measure_must_not_return(values, message):
    with pytest.raises(ValueError, match=rf"t.py: measure\(\).*{message}"):
        _ = scored(values).found


@pytest.mark.parametrize(
    ("other", "found"),
    [
        ({"m": np.ones(40), "r": 1.0}, "m: a value per example, r: a number"),
        ({"m": 1.0}, "m: a number"),
        ({"r": 1.0, "m": 1.0, "more": np.ones(40)}, "r: a number, m: a number, more: a value per example"),
        ({}, "nothing"),
    ],
)
def test_all_models_are_measured_alike(other, found):
    answers = iter([{"m": 1.0, "r": 0.5}, {"r": np.nan, "m": 2.0}, other])
    truth = OwnTestSet(OwnScorer(lambda targets, outputs: next(answers), name="t.py"), np.arange(40), np.arange(40))
    first, alike, last = (OwnScored(truth, np.zeros(40), np.ones(40)) for _ in range(3))
    assert list(first.found) == ["loss", "m", "r"]
    assert np.isnan(alike.value("r"))
    with pytest.raises(ValueError) as error:
        _ = last.found
    expected = "m: a number, r: a number, as for another model"
    assert str(error.value) == f"t.py: measure() returned {found}; expected {expected}"


@pytest.fixture
def files(tmp_path):
    with h5py.File(tmp_path / "spectra.h5", "w") as file:
        file["inputs"], file["targets_0"], file["targets_1"] = (
            np.zeros((9, 2)),
            np.arange(9),
            np.arange(18).reshape(9, 2),
        )
        file["target_id"] = np.arange(9) // 2
    with h5py.File(tmp_path / "predictions.h5", "w") as file:
        file["final/outputs"], file["final/loss"] = np.arange(6).reshape(3, 2), np.arange(3)
        file["short/outputs"], file["short/loss"] = np.arange(4).reshape(2, 2), np.arange(2)
        file["other/loss"] = np.arange(3)
    return tmp_path


def test_files_are_read(files):
    truth = OwnScorer().test_set(files / "spectra.h5", np.array([7, 1, 4]))
    assert truth.target_id.tolist() == [3, 0, 2]
    assert [each.tolist() for each in truth.targets] == [[7, 1, 4], [[14, 15], [2, 3], [8, 9]]]
    with h5py.File(files / "predictions.h5") as file:
        model = truth.score(file["final"])
        assert model.outputs.tolist() == [[0, 1], [2, 3], [4, 5]]
        assert model.loss.tolist() == [0, 1, 2]
        with pytest.raises(
            ValueError, match=r"predictions.h5: /other: expected outputs of 3 examples, found no outputs"
        ):
            truth.score(file["other"])
        with pytest.raises(ValueError, match=r"/short: expected outputs of 3 examples, found 2 of them"):
            truth.score(file["short"])
    with pytest.raises(ValueError, match=r"predictions.h5: expected targets and target_id, found final, other, short"):
        OwnScorer().test_set(files / "predictions.h5", np.arange(3))
