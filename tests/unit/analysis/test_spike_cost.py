"""What spikes cost: the table against numbers worked by hand, and verdicts on studies whose truth is known."""

import json

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quasarcurves.analysis import spike_cost
from quasarcurves.analysis.stats import resampling
from quasarcurves.quasarnet.analysis.description import DESCRIPTION
from quasarcurves.quasarnet.analysis.scorer import QuasarNetScorer
from quasarcurves.spectra import Spectra

N = 40
TEST = np.arange(5, N)


@pytest.fixture(scope="module")
def spectra(tmp_path_factory):
    rng = np.random.default_rng(1)
    path = tmp_path_factory.mktemp("cost") / "spectra.h5"
    label = np.tile([0, 1, 2, 3, 4], N // 5)
    columns = {"z": rng.uniform(0.5, 3.5, N), "label": label, "bal": np.zeros(N), "snr": np.ones(N)}
    Spectra(rng.normal(size=(N, 443)), target_id=np.arange(N), **columns).save(path)
    return path


def write_predictions(path, spectra, optimizer="adam", replicate=0, spikes=2, seed=2):
    """Random predictions of a final and a best model, and of snapshots; give what was said by each."""
    rng, said = np.random.default_rng(seed), {}
    truth = Spectra.load(spectra, TEST)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.attrs["run"] = json.dumps({"fraction": 0.8, "replicate": replicate, "optimizer": optimizer, "network": {}})
        file["row"] = TEST
        names = [
            "final",
            "best",
            *(f"snapshots/{n}_{kind}" for n in range(1, spikes + 1) for kind in ("before", "peak")),
        ]
        for i, name in enumerate(names):
            group = file.create_group(name)
            z = truth.z + rng.normal(0, 0.02, len(TEST)) * (1 + truth.z)
            said[name] = {"confidence": rng.random((len(TEST), 3)), "z_best": z, "loss": rng.lognormal(0, 1, len(TEST))}
            said[name]["bal_confidence"] = rng.random((len(TEST), 1))
            for column, values in said[name].items():
                group[column] = np.float32(values)
            if "/" in name:
                group.attrs.update({"epoch": 100 + i, "loss": 0.5 + i, "ratio": 4.0 + i})
    return said


def worth_by_hand(said, truth, threshold):
    """Completeness and purity by a plain loop."""
    right = called = found = quasars = 0
    for i in range(len(TEST)):
        is_called = any(c > threshold for c in np.float32(said["confidence"][i]))
        good = abs(300_000 * (np.float32(said["z_best"][i]) - truth.z[i]) / (1 + truth.z[i])) <= 6000
        is_quasar = truth.label[i] in (2, 3)
        quasars += is_quasar
        found += is_quasar and is_called and good
        if is_called and truth.label[i] != 4:
            called += 1
            right += good and truth.label[i] in (1, 2, 3)
    return found / quasars, right / called if called else np.nan


def test_a_row_per_spike_with_what_its_models_are_worth(spectra, tmp_path):
    said = write_predictions(tmp_path / "a" / "predictions.h5", spectra)
    write_predictions(tmp_path / "b" / "predictions.h5", spectra, "amsgrad", spikes=0)
    spike_cost.write(
        [tmp_path / name / "predictions.h5" for name in "ab"],
        spectra,
        tmp_path / "c.csv",
        tmp_path / "s.csv",
        QuasarNetScorer(),
    )
    truth = Spectra.load(spectra, TEST)
    costs, summary = pd.read_csv(tmp_path / "c.csv"), pd.read_csv(tmp_path / "s.csv", keep_default_na=False)
    assert list(costs.columns[:9]) == [
        "fraction", "replicate", "optimizer", "spike", "height", "epoch_before", "epoch_peak", "train_loss_before",
        "train_loss_peak",
    ]  # fmt: skip
    assert costs["spike"].tolist() == [1, 2]
    assert costs.iloc[1][["height", "epoch_before", "epoch_peak"]].tolist() == [9, 104, 105]
    assert costs.iloc[1][["train_loss_before", "train_loss_peak"]].tolist() == [4.5, 5.5]
    for n, row in zip((1, 2), costs.to_dict("records"), strict=True):
        for moment, name in (("before", f"snapshots/{n}_before"), ("peak", f"snapshots/{n}_peak"), ("end", "final")):
            assert row[f"test_loss_{moment}"] == pytest.approx(np.mean(said[name]["loss"]), rel=1e-6)
            completeness, purity = worth_by_hand(said[name], truth, 0.5)
            assert row[f"completeness_{moment}"] == pytest.approx(completeness)
            assert row[f"purity_{moment}"] == pytest.approx(purity)
            curves = np.array([worth_by_hand(said[name], truth, threshold) for threshold in np.linspace(0, 1, 101)])
            beyond = np.flatnonzero(curves[:, 1] >= curves[:, 0])[0]
            low, high = np.sort(curves[max(beyond - 1, 0) : beyond + 1, 0])[[0, -1]]
            assert low - 1e-7 <= row[f"crossing_{moment}"] <= high + 1e-7
    assert summary["optimizer"].tolist() == ["adam"] * 8 + ["amsgrad"] * 8
    first = summary.iloc[0]
    ratios = costs["test_loss_peak"] / costs["test_loss_before"]
    assert (first["moment"], first["measure"], first["change"]) == ("peak", "test_loss", "ratio")
    assert float(first["value"]) == pytest.approx(np.sqrt(ratios.prod()), rel=1e-6)
    assert (first["spikes"], first["runs"], first["verdict"]) == (2, 1, "cannot say")
    assert "median of 2 spikes of 1 runs" in first["sentence"]
    assert set(summary["verdict"][8:]) == {"no spikes", ""}
    assert summary["sentence"][8] == "amsgrad has no tall spikes."


def test_a_study_without_a_spike_has_empty_tables(spectra, tmp_path):
    write_predictions(tmp_path / "predictions.h5", spectra, spikes=0)
    spike_cost.write([tmp_path / "predictions.h5"], spectra, tmp_path / "c.csv", tmp_path / "s.csv", QuasarNetScorer())
    costs = pd.read_csv(tmp_path / "c.csv")
    assert not len(costs)
    assert "test_loss_end" in costs
    assert pd.read_csv(tmp_path / "s.csv")["spikes"].tolist() == [0] * 8


# -- verdicts


def study(rng, peak, end=1.0, replicates=5, spikes=4, within=0.2, between=0.1, optimizer="adam"):
    """Spikes whose test loss is on average `peak` times that before."""
    rows = []
    for replicate in range(replicates):
        of_run = rng.normal(0, between, 2)
        for spike in range(spikes):
            before = rng.lognormal(0, 0.5)
            row = {"fraction": 0.8, "replicate": replicate, "optimizer": optimizer, "spike": spike}
            for i, (moment, factor) in enumerate((("peak", peak), ("end", end))):
                row[f"test_loss_{moment}"] = before * factor * np.exp(of_run[i] + rng.normal(0, within))
            row["test_loss_before"] = before
            for name in ("completeness", "purity", "crossing"):
                row |= {f"{name}_{moment}": rng.normal(0.9, 0.01) for moment in ("before", "peak", "end")}
            rows.append(row)
    return pd.DataFrame(rows)


def summarised(costs, moment="peak", measure="test_loss"):
    return spike_cost.cost(costs, "adam", moment, DESCRIPTION.metric(measure))


@pytest.mark.parametrize("studies", [60, pytest.param(600, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("replicates", "spikes", "between"), [(3, 5, 0.0), (3, 5, 0.2), (5, 4, 0.1), (10, 3, 0.2), (2, 5, 0.1)]
)
def test_intervals_cover_a_planted_ratio(studies, replicates, spikes, between):
    """Between runs they differ by up to as much as within: 0.2 in the logarithm."""
    rng, inside = np.random.default_rng(3), 0
    for _ in range(studies):
        row = summarised(study(rng, 2.0, replicates=replicates, spikes=spikes, between=between))
        inside += row["low"] <= 2.0 <= row["high"]
    assert inside / studies >= (0.93 if studies > 100 else 0.9)


def test_spikes_that_do_nothing_make_no_difference():
    """Precisely known, they are said to; else nothing is said but in 5 % of cases."""
    rng = np.random.default_rng(4)
    precise = [summarised(study(rng, 1.0, within=0.03, between=0.01))["verdict"] for _ in range(60)]
    vague = [summarised(study(rng, 1.0))["verdict"] for _ in range(60)]
    assert precise.count("no difference") >= 57
    assert sum(verdict in ("better", "worse") for verdict in vague) <= 4
    assert "cannot say" in vague


@pytest.mark.parametrize(("truth", "verdict"), [(2.0, "worse"), (0.5, "better")])
def test_spikes_that_do_something_are_found(truth, verdict):
    rng = np.random.default_rng(5)
    assert [summarised(study(rng, truth, end=truth), "end")["verdict"] for _ in range(20)].count(verdict) >= 19


def test_one_replicate_says_nothing_of_others():
    row = summarised(study(np.random.default_rng(6), 3.0, replicates=1, spikes=20))
    assert row["low"] > 1
    assert row["verdict"] == "cannot say"


def test_differences_are_medians_of_differences():
    costs = study(np.random.default_rng(7), 1.0)
    row = summarised(costs, "end", "purity")
    expected = np.median(costs["purity_end"] - costs["purity_before"])
    assert row["value"] == pytest.approx(expected)
    assert row["low"] <= expected <= row["high"]
    assert (row["verdict"], row["sentence"]) == ("", "")


def test_a_run_that_diverged_has_no_end():
    costs = study(np.random.default_rng(8), 2.0)
    costs.loc[costs["replicate"] == 0, "test_loss_end"] = np.nan
    row = summarised(costs, "end")
    assert 0.5 < row["low"] < 1 < row["high"] < 2
    with_all = summarised(costs, "peak")
    assert with_all["verdict"] == "worse"


def test_no_loss_at_the_end_settles_nothing():
    costs = study(np.random.default_rng(8), 2.0).assign(test_loss_end=np.nan)
    assert summarised(costs, "end")["verdict"] == "cannot say"


def test_the_sentence_has_the_numbers():
    row = summarised(study(np.random.default_rng(9), 2.0))
    assert row["sentence"] == (
        f"adam: the test loss at the peak of a spike is {row['value']:.3g} times that just before the spike (median of "
        f"20 spikes of 5 runs; 95 % interval {row['low']:.3g} to {row['high']:.3g}): worse."
    )


@settings(deadline=None, max_examples=15)
@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-5, 5)), min_size=1, max_size=30))
def test_medians_of_weighted_values_are_those_of_values_repeated(pairs):
    run, values = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    weights = resampling.draw_weights(run, np.random.default_rng(1))
    medians = [np.median(np.repeat(values, each)) for each in weights.astype(int)]
    expected = resampling.bounds(np.array(medians), len(set(run)))
    found = resampling.median_interval(values, run, np.random.default_rng(1))
    np.testing.assert_allclose(found, [np.median(values), *expected], atol=1e-12)


def test_values_that_are_not_finite_have_no_part_in_a_median():
    rng = np.random.default_rng
    found = resampling.median_interval(np.array([1.0, np.nan, 2.0, np.inf]), np.array([0, 0, 1, 1]), rng(1))
    assert found == resampling.median_interval(np.array([1.0, 2.0]), np.array([0, 1]), rng(1))
    assert np.isnan(resampling.median_interval(np.array([np.nan]), np.array([0]), rng(1))).all()
