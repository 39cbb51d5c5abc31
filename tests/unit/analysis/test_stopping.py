"""Best model against last: by hand, on models that differ as planted, and where there is nothing to compare."""

import json

import h5py
import numpy as np
import pandas as pd
import pytest

from quasarcurves.analysis import stopping
from quasarcurves.analysis.metrics.bootstrap import draw
from quasarcurves.quasarnet.analysis import test_set
from quasarcurves.quasarnet.analysis.description import DESCRIPTION
from quasarcurves.quasarnet.analysis.scorer import QuasarNetScorer, QuasarScored, QuasarTestSet
from quasarcurves.spectra import Spectra

NAN = float("nan")
SCORER = QuasarNetScorer()
METRICS = SCORER.chosen["stopping"]


def truth(n, repeats=1, quasars=True):
    """Stars, galaxies and quasars in turn; each object observed `repeats` times."""
    kind = np.arange(n) % 3
    label = np.select([kind == 0, kind == 1], [0, 1], 2 if quasars else 1)
    z = 1.0 + np.arange(n) / n
    return test_set.Tested(
        z, label.astype(np.uint8), np.zeros(n, np.int8), np.ones(n, np.float32), np.arange(n) // repeats
    )


def says(tested, found, wrongly_called, dv, loss=None):
    """Call the quasars that are found, and the others that are wrongly called; dv in km/s."""
    called = np.where(tested.is_qso, found, wrongly_called)
    # of what is called rightly half is more certain than all that is called wrongly
    u = np.random.default_rng(len(called)).random(len(called))
    confidence = np.where(called, 0.5 + u / np.where(tested.is_qso, 2, 4), u / 2)[:, None]
    z = tested.z + dv / 300_000 * (1 + tested.z)
    z = np.where(tested.is_qso, z, tested.z + 1)
    n = len(z)
    return test_set.Predicted(confidence, z, np.zeros((n, 1))), np.ones(n) if loss is None else loss


def compared(tested, final, best, seed=1, draws=199):
    drawn = draw(tested.target_id, np.random.default_rng(seed), draws)
    scored = {name: QuasarScored(tested, *said) for name, said in (("final", final), ("best", best))}
    rows = stopping.compare(SCORER, QuasarTestSet(tested), scored, drawn)
    return pd.DataFrame(rows).set_index("metric")


def two_models(rng, n, found=(0.8, 0.8), called=(0.1, 0.1), scatter=(500, 500), loss=(1.0, 1.0), shared=0.8, repeats=1):
    """Two models that agree on a share of objects beyond chance; `found` and so on are those of final and best."""
    tested = truth(n, repeats)
    objects = len(np.unique(tested.target_id))

    def per_object(draws):
        return np.repeat(draws, repeats)[:n]

    common, own = rng.random(objects), rng.random((2, objects))
    alike = rng.random(objects) < shared
    hard, heavy = rng.standard_normal(n), rng.lognormal(0, 1, n)
    models = []
    for i in range(2):
        u = per_object(np.where(alike, common, own[i]))
        dv = scatter[i] * (0.7 * hard + np.sqrt(1 - 0.49) * rng.standard_normal(n))
        losses = loss[i] * heavy * rng.lognormal(0, 0.3, n)
        models.append(says(tested, u < found[i], u < called[i], dv, losses))
    return tested, models


def test_differences_by_hand():
    rng = np.random.default_rng(2)
    tested, (final, best) = two_models(rng, 300, found=(0.9, 0.6), called=(0.05, 0.2), loss=(1.0, 0.5))
    rows = compared(tested, final, best)
    assert list(rows.index) == list(METRICS)
    called = [said[0].confidence[:, 0] > 0.5 for said in (final, best)]
    share = [np.mean(each[tested.is_qso]) for each in called]
    assert rows.loc["completeness", ["final", "best", "difference"]].tolist() == pytest.approx(
        [*share, share[1] - share[0]]
    )
    purity = [np.mean(tested.is_qso[each]) for each in called]
    assert rows.loc["purity", "difference"] == pytest.approx(purity[1] - purity[0])
    assert rows.loc["loss", "difference"] == pytest.approx(best[1].mean() / final[1].mean())
    dv = [300_000 * (said[0].z_best - tested.z) / (1 + tested.z) for said in (final, best)]
    sigma = [np.std(each[mask & tested.is_qso], ddof=1) for each, mask in zip(dv, called, strict=True)]
    assert rows.loc["sigma_dv", "difference"] == pytest.approx(sigma[1] / sigma[0])
    assert rows["objects"].eq(300).all()
    assert rows["quasars"].eq(100).all()
    assert rows.loc[["completeness", "purity"], "verdict"].eq("best is worse").all()
    assert rows.loc["loss", "verdict"] == "best is better"


@pytest.mark.parametrize(
    ("metric", "low", "high", "verdict"),
    [
        ("loss", 0.5, 0.9, "best is better"),
        ("sigma_dv", 1.1, 1.4, "best is worse"),
        ("sigma_dv", 0.95, 1.05, "same"),
        ("loss", 0.8, 1.05, "cannot say"),
        ("crossing", 0.02, 0.1, "best is better"),
        ("purity", -0.1, -0.02, "best is worse"),
        ("completeness", -0.005, 0.009, "same"),
        ("completeness", -0.02, 0.0, "cannot say"),
        ("purity", NAN, NAN, "cannot say"),
        ("loss", NAN, NAN, "cannot say"),
    ],
)
def test_verdicts(metric, low, high, verdict):
    assert stopping.judge(DESCRIPTION.metric(metric), low, high) == verdict


def test_a_model_compared_with_itself_is_the_same():
    tested, (final, _) = two_models(np.random.default_rng(3), 60)
    rows = compared(tested, final, final)
    assert rows["verdict"].eq("same").all()
    assert rows.loc["completeness", ["difference", "low", "high"]].tolist() == [0, 0, 0]


def test_two_models_that_agree_on_few_objects_may_differ_on_others():
    tested, (final, _) = two_models(np.random.default_rng(4), 30)
    row = compared(tested, final, (final[0], final[1] * 0.9)).loc["completeness"]
    assert row["low"] < -0.05
    assert row["high"] > 0.05
    assert row["verdict"] == "cannot say"


@pytest.mark.parametrize("n", [1, 2])
def test_a_test_set_of_no_quasars_says_nothing_of_them(n):
    tested = truth(n, quasars=False)
    said = [says(tested, np.zeros(n, bool), np.zeros(n, bool), np.zeros(n), np.full(n, loss)) for loss in (1.0, 2.0)]
    rows = compared(tested, *said)
    assert rows.loc[["crossing", "completeness", "purity", "sigma_dv"], "verdict"].eq("cannot say").all()
    assert rows.loc[["crossing", "completeness", "sigma_dv"], ["difference", "low", "high"]].isna().all(axis=None)


def rates(truths, size, seed, **options):
    """Share of intervals that hold the truth, and of verdicts for better or worse, by metric."""
    rng, covered, said = np.random.default_rng(seed), [], []
    for i in range(size):
        tested, models = two_models(rng, **options)
        rows = compared(tested, *models, seed=i)
        covered.append([rows.loc[name, "low"] <= value <= rows.loc[name, "high"] for name, value in truths.items()])
        said.append(rows["verdict"].isin(["best is better", "best is worse"]))
    return dict(zip(truths, np.mean(covered, axis=0), strict=True)), pd.DataFrame(said).mean()


NULL = {"loss": 1.0, "completeness": 0.0, "purity": 0.0, "sigma_dv": 1.0, "crossing": 0.0}


@pytest.mark.slow
@pytest.mark.parametrize(("n", "repeats"), [(120, 1), (360, 1), (240, 2)])
def test_models_of_equal_worth_are_seldom_told_apart(n, repeats):
    covered, told = rates(NULL, 150, 6, n=n, repeats=repeats)
    print(n, repeats, covered, told.to_dict())
    assert min(covered.values()) >= 0.90
    assert told.max() <= 0.10


@pytest.mark.slow
def test_intervals_hold_differences_that_are_there():
    truths = {"loss": 0.6, "completeness": -0.2, "sigma_dv": 1.5}
    covered, told = rates(truths, 120, 7, n=360, found=(0.85, 0.65), scatter=(500, 750), loss=(1.0, 0.6))
    print(covered, told.to_dict())
    assert min(covered.values()) >= 0.90
    assert told[list(truths)].min() >= 0.9


def test_a_paired_interval_is_narrower_than_one_of_separate_test_sets():
    tested, (final, best) = two_models(np.random.default_rng(8), 600, shared=0.95)
    row = compared(tested, final, best).loc["completeness"]
    apart = 2 * 1.96 * np.sqrt(2 * 0.8 * 0.2 / 200)
    assert row["high"] - row["low"] < 0.7 * apart


N = 45


@pytest.fixture
def spectra(tmp_path):
    rng = np.random.default_rng(1)
    columns = {"z": rng.uniform(0.5, 3.5, N), "label": np.arange(N) % 4, "bal": np.zeros(N), "snr": np.ones(N)}
    Spectra(rng.normal(size=(N, 443)), target_id=np.arange(N), **columns).save(tmp_path / "spectra.h5")
    return tmp_path / "spectra.h5"


def write_predictions(path, optimizer="adam", rows=None, models=("final", "best")):
    rows = np.arange(5, N) if rows is None else rows
    rng = np.random.default_rng(2)
    with h5py.File(path, "w") as file:
        file.attrs["run"] = json.dumps({"fraction": 0.8, "replicate": 0, "optimizer": optimizer})
        file["row"] = rows
        for name in models:
            group = file.create_group(name)
            group["confidence"], group["z_best"] = rng.random((len(rows), 3)), rng.uniform(0.5, 3.5, len(rows))
            group["bal_confidence"], group["loss"] = rng.random((len(rows), 1)), rng.lognormal(0, 1, len(rows))
    return path


def test_a_row_per_run_and_metric(spectra, tmp_path):
    predictions = [write_predictions(tmp_path / f"{name}.h5", name) for name in ("adam", "amsgrad")]
    stopping.write(predictions, spectra, tmp_path / "stopping.csv", SCORER)
    table = pd.read_csv(tmp_path / "stopping.csv")
    assert table.columns.tolist() == [
        "fraction", "replicate", "optimizer", "metric", "objects", "quasars", "final", "best", "difference", "low",
        "high", "verdict",
    ]  # fmt: skip
    assert table["optimizer"].tolist() == ["adam"] * 5 + ["amsgrad"] * 5
    assert table["metric"].tolist() == [*METRICS] * 2
    # the same draws for all: equal predictions, equal intervals
    pd.testing.assert_frame_equal(table.iloc[:5, 3:], table.iloc[5:, 3:].reset_index(drop=True))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": ("final",)}, "expected row and the models final, best, found no best"),
        ({"rows": np.arange(6, N)}, "expected the test set of the other runs, found another one"),
    ],
)
def test_wrong_predictions_are_refused(spectra, tmp_path, changes, message):
    predictions = [write_predictions(tmp_path / "a.h5"), write_predictions(tmp_path / "b.h5", **changes)]
    with pytest.raises(ValueError, match=f"b.h5: {message}"):
        stopping.write(predictions, spectra, tmp_path / "stopping.csv", SCORER)
