"""From predictions of a task of one's own to its tables, its answer and its figures."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest

from quasarcurves.analysis import cures, enough_data, spike_cost, stopping
from quasarcurves.analysis.answer import compose
from quasarcurves.analysis.metrics import own_table, paired
from quasarcurves.analysis.metrics.description import Description
from quasarcurves.analysis.metrics.own import OwnScorer
from quasarcurves.figures import cures as cures_figure
from quasarcurves.figures import learning_curve
from quasarcurves.figures import spike_cost as spike_cost_figure
from support.made_up_answers import make_study

N, OPTIMIZERS, SIZES, REPLICATES = 240, ("adam", "lion"), (100, 400, 1600), (0, 1)
DIGITS = Description("digit", "digits", better={"distance": "lower"})
LOST = {"adam": 0.0, "lion": 0.1}


def measure(targets, outputs):
    called = outputs.argmax(axis=1)
    hits = np.array([np.mean(called[targets == kind] == kind) for kind in np.unique(targets)])
    return {"accuracy": called == targets, "worst_class": hits.min(), "distance": np.abs(called - targets) + 0.1}


SCORER = OwnScorer(measure, DIGITS, "digits")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Predictions of two optimizers at three sizes; the error falls with the size, and lion errs more often."""
    folder, rng = tmp_path_factory.mktemp("digits"), np.random.default_rng(1)
    targets, hard = rng.integers(0, 4, N), rng.random(N)
    with h5py.File(folder / "spectra.h5", "w") as file:
        file["inputs"], file["targets"], file["target_id"] = np.zeros((N, 3)), targets, np.arange(N) // 2
    rows, losses, predictions = [], [], []
    for fraction, n, replicate, optimizer in [
        (size / 2000, size, each, name) for size in SIZES for each in REPLICATES for name in OPTIMIZERS
    ]:
        keys = {"fraction": fraction, "replicate": replicate, "optimizer": optimizer}
        rows.append({**keys, "n_train": n})
        predictions.append(folder / f"{n}_{replicate}_{optimizer}.h5")
        with h5py.File(predictions[-1], "w") as file:
            file.attrs["run"], file["row"] = json.dumps(keys), np.arange(N)
            for name, worse in (("final", 0), ("best", 0.1), ("snapshots/1_before", 0), ("snapshots/1_peak", 0.3)):
                missed = (hard + 0.1 * rng.random(N)) % 1 < 5 * n**-0.6 + LOST[optimizer] + worse
                group = file.create_group(name)
                group["outputs"] = np.eye(4)[(targets + missed) % 4]
                group["loss"] = 0.1 + missed * rng.lognormal(0, 0.3, N)
                group.attrs.update({"epoch": 9, "loss": 0.5, "ratio": 4.0})
                losses.append({**keys, "model": name, "n_test": N, "test_loss": group["loss"][:].mean()})
    pd.DataFrame(rows).to_csv(folder / "runs.csv", index=False)
    losses = pd.DataFrame(losses)
    losses[losses["model"].isin(["final", "best"])].to_csv(folder / "test_losses.csv", index=False)
    own_table.write(predictions, folder / "spectra.h5", folder / "runs.csv", SCORER, folder / "test_metrics.csv")
    return folder, predictions


def test_the_table_of_test_metrics(study):
    folder, predictions = study
    table = pd.read_csv(folder / "test_metrics.csv")
    ends = ("", "_low", "_high")
    metrics = ("loss", "accuracy", "worst_class", "distance")
    keys = ["fraction", "replicate", "optimizer", "n_train", "model", "sample", "n"]
    assert table.columns.tolist() == [*keys, *(f"{name}{end}" for name in metrics for end in ends)]
    assert len(table) == 2 * len(predictions)
    assert set(table["sample"]) == {"all"}
    assert (table["n"] == N).all()
    for name in metrics:
        assert (table[f"{name}_low"] < table[name]).all()
        assert (table[name] < table[f"{name}_high"]).all()
    with h5py.File(predictions[0]) as file, h5py.File(folder / "spectra.h5") as spectra:
        right = file["final/outputs"][:].argmax(axis=1) == spectra["targets"][:]
    assert table["accuracy"][0] == pytest.approx(right.mean(), rel=1e-6)


def test_best_against_last(study, tmp_path):
    folder, predictions = study
    stopping.write(predictions, folder / "spectra.h5", tmp_path / "stopping.csv", SCORER)
    table = pd.read_csv(tmp_path / "stopping.csv")
    assert table.columns.tolist()[3:6] == ["metric", "objects", "final"]
    assert (table["objects"] == N // 2).all()
    assert table["metric"].unique().tolist() == ["loss", "accuracy", "worst_class", "distance"]
    accuracy = table[table["metric"] == "accuracy"]
    assert (accuracy["verdict"] == "best is worse").mean() > 0.8
    assert (table.loc[table["metric"] == "distance", "difference"] > 1).mean() > 0.8  # a ratio


def test_learning_curves_and_targets(study, tmp_path):
    folder, _ = study
    paths = [folder / f"{name}.csv" for name in ("runs", "test_losses", "test_metrics")]
    out = [tmp_path / f"{name}.csv" for name in ("curves", "errors", "bands")]
    enough_data.write(*paths, None, {"accuracy": 0.95, "distance": 0.2}, None, *out, description=DIGITS)
    curves, errors, bands = map(pd.read_csv, out)
    assert curves["metric"].unique().tolist() == ["accuracy", "worst_class", "distance", "test_loss"]
    rows = curves.set_index(["optimizer", "metric"])
    assert rows.loc[("adam", "accuracy"), ["target", "target_given"]].tolist() == pytest.approx([0.05, 0.95])
    assert rows.loc[("adam", "distance"), ["target", "target_given"]].tolist() == pytest.approx([0.2, 0.2])
    assert errors["noise"].notna().all()
    assert (errors.query("metric == 'accuracy'")["error"] < 0.8).all()
    replies = answered(curves)["enough_data"]
    said = " ".join(reply.sentence for reply in replies)
    assert "1 - accuracy" in said
    assert "digits" in said
    assert "the distance" in said
    for word in ("spectra", "quasar", "crossing", "completeness"):
        assert word not in said
    figure = learning_curve.draw(curves, errors, bands, DIGITS)
    assert figure.get_supxlabel() == "training digits"
    labels = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
    assert labels == ["1 - accuracy", "1 - worst class", "distance", "test loss"]


def answered(curves):
    study = make_study(1, optimizers=2, sizes=5)
    return compose.answers(replace(study, learning_curve=curves, description=DIGITS))


def test_a_target_of_no_metric_and_one_that_no_model_reaches():
    errors = pd.DataFrame({"optimizer": ["adam"], "metric": ["accuracy"]})
    with pytest.raises(ValueError, match=r"targets: expected accuracy, found precision"):
        enough_data.fit_all(errors, {"precision": 0.5}, description=DIGITS)
    with pytest.raises(ValueError, match=r"targets.accuracy: expected a value below 1, found 1.5"):
        enough_data.fit_all(errors, {"accuracy": 1.5}, description=DIGITS)


def test_a_metric_above_1_has_no_curve():
    keys = {
        "replicate": 0,
        "optimizer": "adam",
        "metric": "gain",
        "failed": False,
        "still_training": False,
        "noise": 0.1,
    }
    rows = [{**keys, "fraction": n / 100, "n_train": n, "error": 1 - n} for n in (1, 10, 100)]
    (row,) = enough_data.fit_all(pd.DataFrame(rows), {}, description=DIGITS).curves.to_dict("records")
    assert row["reasons"] == "2 runs have gain above 1, which is no error"


def test_prices_of_cures(study):
    folder, predictions = study
    scores = paired.read(predictions, folder / "spectra.h5", SCORER)
    runs = pd.DataFrame(
        {"fraction": fraction, "replicate": replicate, "optimizer": name, "n_train": 2000 * fraction, "diverged": False}
        | dict.fromkeys(cures.MEASURES, 1.0)
        | {f"{what}_{kind}": 1.0 for what in ("spikes", "exposure") for kind in cures.RATES}
        for fraction, replicate, name in scores
    )
    tested = cures.Tested.of(scores, SCORER)
    table = cures.compare_all(runs, "adam", {}, tested)
    rows = table[table["optimizer"] == "lion"]
    assert rows["difference_accuracy"].to_numpy() == pytest.approx(-0.1, abs=0.05)
    assert (rows["difference_accuracy_high"] < 0).sum() >= 2
    assert (rows["ratio_distance"] > 1).all()
    assert rows["difference_worst_class_pairs"].eq(2).all()
    overall = cures.compare_overall(runs, "adam", {}, tested)
    assert overall.loc[0, ["difference_accuracy_verdict", "ratio_distance_verdict"]].tolist() == ["worse", "worse"]
    made_up = make_study(1, spiking=9.0)
    renamed = {
        name: value.replace("amsgrad", "lion") for name, value in vars(made_up).items() if hasattr(value, "iloc")
    }
    known = replace(made_up, **renamed | {"cures": table, "cures_overall": overall}, description=DIGITS)
    said = compose.answers(known)["cures"]
    assert "accuracy changes by -0.1" in said[0].sentence
    assert "worst class changes by" in said[0].sentence
    figure = cures_figure.draw(table.assign(price_train=1.0, price_test=1.0), DIGITS)
    assert [axes.get_xlabel() for axes in figure.axes[-4:]][-1] == "accuracy\nless that of adam"
    assert "1,600 training digits" in figure.axes[0].get_title(loc="left")


def test_a_metric_with_the_name_of_another_column_is_refused(study):
    scores = {(0.5, 0, "adam"): {"pairs": None}}
    with pytest.raises(ValueError, match=r"a test metric is called pairs, expected another name"):
        cures.compare_all(RUNS, "adam", {}, cures.Tested.of(scores, SCORER))


RUNS = pd.DataFrame(
    [{"fraction": 0.1, "replicate": 0, "optimizer": "adam", "n_train": 9, "diverged": False}
     | dict.fromkeys(cures.MEASURES, 1.0)
     | {f"{what}_{kind}": 1.0 for what in ("spikes", "exposure") for kind in cures.RATES}]
)  # fmt: skip


def test_costs_of_spikes(study, tmp_path):
    folder, predictions = study
    spike_cost.write(predictions, folder / "spectra.h5", tmp_path / "c.csv", tmp_path / "s.csv", SCORER)
    costs, summary = pd.read_csv(tmp_path / "c.csv"), pd.read_csv(tmp_path / "s.csv", keep_default_na=False)
    assert spike_cost.measures_of(costs) == ["test_loss", "accuracy", "worst_class", "distance"]
    assert (costs["accuracy_peak"] < costs["accuracy_before"]).mean() > 0.9
    changes = summary.drop_duplicates("measure").set_index("measure")["change"]
    assert changes.to_dict() == {
        "test_loss": "ratio", "accuracy": "difference", "worst_class": "difference", "distance": "ratio",
    }  # fmt: skip
    figure = spike_cost_figure.draw(costs, summary, dict.fromkeys(costs["fraction"], 1234), DIGITS)
    assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == ["test loss", "accuracy"]
    assert "1,234 digits" in {text.get_text() for legend in figure.legends for text in legend.get_texts()}
