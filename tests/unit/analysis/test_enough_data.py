"""How much data is enough, for every optimizer: what is read, and what is left out."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quasarcurves.analysis import enough_data
from quasarcurves.analysis.learning_curve import fit
from quasarcurves.analysis.learning_curve.collection import Costs
from quasarcurves.quasarnet.analysis.description import DESCRIPTION

read_errors = partial(enough_data.read_errors, description=DESCRIPTION)
fit_all = partial(enough_data.fit_all, description=DESCRIPTION)

SIZES = (1000, 3000, 10_000, 30_000, 100_000)
TARGETS = {"test_loss": 0.6, "crossing": 0.985}
TOLD = np.exp(1.96 * 0.01)
"""Upper end of the 95 % interval over the test set, over the error: noise of 1 %."""

LOSS = 30.0
"""Test loss over 1 - crossing point."""


def error_of(n, optimizer):
    return 0.008 + (0.5 if optimizer == "adam" else 0.8) * n**-0.45


@pytest.fixture(scope="module")
def planted():
    """Runs, test losses and test metrics of two optimizers, five sizes and four replicates."""
    rng, runs, losses, metrics = np.random.default_rng(5), [], [], []
    for optimizer in ("adam", "amsgrad"):
        for n in SIZES:
            for replicate in range(4):
                keys = {"fraction": n / 125_000, "replicate": replicate, "optimizer": optimizer}
                error = error_of(n, optimizer)
                runs.append({**keys, "n_train": n, "loss_last": 0.1})
                for model, factor in (("final", 1.0), ("best", 0.9)):
                    loss = factor * LOSS * error * np.exp(0.03 * rng.standard_normal())
                    losses.append({**keys, "model": model, "n_test": 900, "test_loss": loss})
                    for sample, off in (("all", 1.0), ("bal", 3.0)):
                        crossing = 1 - off * factor * error * np.exp(0.05 * rng.standard_normal())
                        row = {**keys, "n_train": n, "model": model, "n_detect": 1, "sample": sample}
                        sigma = 8e4 * (1 - crossing)
                        scores = {"crossing": crossing, "sigma_dv": sigma, "failed": False}
                        scores |= {
                            "crossing_low": 1 - TOLD * (1 - crossing),
                            "crossing_high": 1 - (1 - crossing) / TOLD,
                        }
                        scores |= {"sigma_dv_low": sigma / TOLD, "sigma_dv_high": sigma * TOLD}
                        metrics.append({**row, **scores})
                        metrics.append({**row, **scores, "n_detect": 2, "crossing": 0.5})
    return tuple(map(pd.DataFrame, (runs, losses, metrics)))


@pytest.fixture
def files(planted, tmp_path):
    paths = [tmp_path / f"{name}.csv" for name in ("runs", "test_losses", "test_metrics")]
    for table, path in zip(planted, paths, strict=True):
        table.to_csv(path, index=False)
    return paths


@pytest.fixture(scope="module")
def found(planted, tmp_path_factory):
    folder = tmp_path_factory.mktemp("enough")
    paths = [folder / f"{name}.csv" for name in ("runs", "test_losses", "test_metrics")]
    for table, path in zip(planted, paths, strict=True):
        table.to_csv(path, index=False)
    return fit_all(read_errors(*paths), TARGETS)


def test_errors_are_those_of_final_models_and_all_spectra(planted, files):
    errors = read_errors(*files)
    assert len(errors) == 3 * 2 * len(SIZES) * 4
    _, losses, metrics = planted
    for metric, table, column in (
        ("test_loss", losses, "test_loss"),
        ("crossing", metrics.query("sample == 'all' and n_detect == 1"), "crossing"),
        ("sigma_dv", metrics.query("sample == 'all' and n_detect == 1"), "sigma_dv"),
    ):
        expected = table[table["model"] == "final"][column].to_numpy()
        expected = 1 - expected if metric == "crossing" else expected
        rows = errors[errors["metric"] == metric]
        np.testing.assert_allclose(np.sort(rows["error"]), np.sort(expected))
    assert set(errors["n_train"]) == set(SIZES)


def test_without_metrics_there_is_the_test_loss_alone(files):
    errors = read_errors(*files[:2], None)
    assert set(errors["metric"]) == {"test_loss"}
    assert len(errors) == 2 * len(SIZES) * 4
    assert not errors["failed"].any()


def test_rows_are_the_fits(planted, found):
    assert len(found.curves) == 2 * 3
    _, losses, _ = planted
    final = losses[(losses["model"] == "final") & (losses["optimizer"] == "adam")]
    curve = fit(
        final["fraction"].to_numpy() * 125_000, final["test_loss"].to_numpy(), 0.6, noise=np.full(len(final), 0.01)
    )
    row = found.curves.set_index(["optimizer", "metric"]).loc[("adam", "test_loss")]
    assert row["n_required"] == pytest.approx(curve.n_required, rel=1e-6)
    assert (row["n_required_low"], row["n_required_high"]) == pytest.approx(curve.interval)
    assert row["doubling_gain"] == pytest.approx(curve.doubling_gain)
    assert (row["floor"], row["family"], row["answered"]) == (
        pytest.approx(curve.floor),
        curve.family,
        not curve.reasons,
    )
    assert row["left_out_last1"] == pytest.approx(curve.left_out["last1"])
    assert (row["sizes"], row["runs"], row["n_largest"], row["failed"]) == (5, 20, 100_000, 0)


def test_the_crossing_point_to_reach_becomes_an_error(found):
    row = found.curves.set_index(["optimizer", "metric"]).loc[("amsgrad", "crossing")]
    assert row["target"] == pytest.approx(0.015)
    assert row["target_given"] == 0.985
    truth = (0.8 / (0.015 - 0.008)) ** (1 / 0.45)
    assert row["n_required_low"] <= truth <= row["n_required_high"]


def test_bands_go_along_the_curve(found):
    band = found.bands[(found.bands["optimizer"] == "adam") & (found.bands["metric"] == "crossing")]
    assert (band["error_low"] <= band["error"]).all()
    assert (band["error"] <= band["error_high"]).all()
    assert (band["n"].iat[0], band["n"].iat[-1]) == pytest.approx((1000, 800_000))
    row = found.curves.set_index(["optimizer", "metric"]).loc[("adam", "crossing")]
    (at,) = np.interp([np.log(row["n_required"])], np.log(band["n"]), np.log(band["error"]))
    assert np.exp(at) == pytest.approx(0.015, rel=1e-3)


def test_too_few_sizes_have_no_curve_to_draw(files):
    errors = read_errors(*files).query("n_train > 5000")
    result = fit_all(errors, TARGETS)
    assert result.bands.empty
    assert set(result.curves["family"]) == {"last1"}
    assert (result.curves["reasons"] == "3 sizes of training sets, at least 4 are needed").all()
    assert result.curves[["n_required", "doubling_gain", "floor_low"]].isna().all(axis=None)
    seen = result.curves.set_index(["optimizer", "metric"]).loc[("adam", "crossing")]
    truth = 1 - (error_of(1e5, "adam") / error_of(1e4, "adam")) ** (1 / np.log2(10))
    assert seen["gain_per_doubling_low"] < truth < seen["gain_per_doubling_high"]


def test_failed_runs_are_listed_and_left_out(planted, tmp_path):
    runs, losses, metrics = (table.copy() for table in planted)
    adam = (metrics["optimizer"] == "adam") & (metrics["fraction"] == 0.24)
    metrics.loc[adam & (metrics["replicate"] == 2), "failed"] = True
    metrics.loc[adam & (metrics["replicate"] == 1), "sigma_dv"] = np.nan
    mine = (losses["optimizer"] == "adam") & (losses["fraction"] == 0.08) & (losses["replicate"] == 3)
    losses.loc[mine, "test_loss"] *= 20
    paths = [tmp_path / f"{name}.csv" for name in ("runs", "test_losses", "test_metrics")]
    for table, path in zip((runs, losses, metrics), paths, strict=True):
        table.to_csv(path, index=False)
    result = fit_all(read_errors(*paths).query("optimizer == 'adam'"), {})
    listed = result.curves.set_index("metric")["failed_runs"]
    assert listed["crossing"] == "0.24/2"
    assert sorted(listed["sigma_dv"].split()) == ["0.24/1", "0.24/2"]
    assert sorted(listed["test_loss"].split()) == ["0.08/3", "0.24/2"]
    assert result.errors.groupby("metric")["failed"].sum().to_dict() == {"crossing": 1, "sigma_dv": 2, "test_loss": 2}


def test_a_test_set_too_small_for_any_error_cannot_say(planted):
    rows = [
        {"fraction": n / 1e5, "replicate": r, "optimizer": "adam", "metric": "crossing", "n_train": n, "failed": False,
         "still_training": False, "noise": np.nan, "error": 0.0 if n > 50_000 else 0.1}
        for n in SIZES for r in range(3)
    ]  # fmt: skip
    result = fit_all(pd.DataFrame(rows), {})
    assert "3 runs have no error at all" in result.curves["reasons"].iat[0]
    assert result.bands.empty


def test_no_error_of_any_run_cannot_say(planted):
    rows = [
        {"fraction": 0.1, "replicate": 0, "optimizer": "adam", "metric": "test_loss", "n_train": 9, "failed": False,
         "still_training": False, "noise": np.nan, "error": np.nan}
    ]  # fmt: skip
    result = fit_all(pd.DataFrame(rows), {})
    assert result.curves["reasons"].iat[0] == "no run has a known value of the test loss"


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ({"loss": 1.0}, "expected crossing, test_loss, sigma_dv, found loss"),
        ({"crossing": 1.0}, "learning_curve.targets.crossing: expected a value below 1, found 1.0"),
        ({"test_loss": -1.0}, "learning_curve.targets.test_loss: expected a value above 0, found -1.0"),
    ],
)
def test_wrong_targets_are_refused(targets, message):
    with pytest.raises(ValueError, match=message):
        fit_all(pd.DataFrame(columns=["optimizer", "metric"]), targets)


def test_a_table_without_a_column_is_refused(files):
    pd.read_csv(files[2]).drop(columns="sigma_dv_low").to_csv(files[2], index=False)
    with pytest.raises(ValueError, match=r"test_metrics.csv: expected the columns .*, found no sigma_dv_low"):
        read_errors(*files)


def test_written_files_are_what_was_found(files, found, tmp_path):
    out = [tmp_path / name for name in ("c.csv", "e.csv", "b.csv")]
    enough_data.write(*files, None, TARGETS, None, *out, description=DESCRIPTION)
    for table, path in zip((found.curves, found.errors, found.bands), out, strict=True):
        numbers = table.select_dtypes("number").columns
        back = pd.read_csv(path)
        assert list(back.columns) == list(table.columns)
        np.testing.assert_allclose(back[numbers], table[numbers], rtol=1e-6)


def test_noise_is_that_of_replicates_and_of_the_test_set(planted, tmp_path):
    runs, losses, metrics = planted
    single = metrics["replicate"] == 0
    paths = [tmp_path / f"{name}.csv" for name in ("runs", "test_losses", "test_metrics")]
    for table, path in zip(
        (runs[runs["replicate"] == 0], losses[losses["replicate"] == 0], metrics[single]), paths, strict=True
    ):
        table.to_csv(path, index=False)
    (tmp_path / "all").mkdir()
    whole = [tmp_path / "all" / path.name for path in paths]
    for table, path in zip(planted, whole, strict=True):
        table.to_csv(path, index=False)
    for files, noise, source in (
        (paths, np.hypot(0.01, 0.1), "test set, assumed between runs"),
        (whole, np.hypot(0.01, 0.05), "replicates and test set"),
    ):
        errors = read_errors(*files).query("metric == 'crossing' and optimizer == 'adam'")
        np.testing.assert_allclose(errors["noise"], 0.01, rtol=1e-3)
        (row,) = fit_all(errors, {}).curves.to_dict("records")
        assert row["noise"] == pytest.approx(noise, rel=0.5 if "replicates" in source else 0.02)
        assert row["noise_from"] == source
    bare = read_errors(*paths[:2], None).query("optimizer == 'adam'")
    (row,) = fit_all(bare, {}).curves.to_dict("records")
    assert (row["noise_from"], row["noise"]) == ("assumed", pytest.approx(0.1, rel=1e-3))


def test_intervals_that_end_at_no_error_have_their_upper_half():
    wide = pd.DataFrame({"crossing": [0.95], "crossing_low": [0.9], "crossing_high": [1.0]})
    (noise,) = enough_data._noise(wide, DESCRIPTION.metric("crossing"))
    assert noise == pytest.approx(np.log(0.1 / 0.05) / 1.96, rel=1e-3)


def test_runs_that_still_train_are_counted(planted, files, tmp_path):
    runs = planted[0]
    falling = (runs["optimizer"] == "adam") & (runs["fraction"] == 0.8)
    verdicts = runs[["fraction", "replicate", "optimizer"]].assign(
        convergence=np.where(falling, "still falling", "converged")
    )
    verdicts.to_csv(tmp_path / "convergence.csv", index=False)
    errors = read_errors(*files, tmp_path / "convergence.csv").query("n_train > 5000")
    table = fit_all(errors, {}).curves.set_index("optimizer")
    assert table["still_training"].to_dict() == {"adam": True, "amsgrad": False}
    assert (table.loc["adam", "runs_still_training"] == 4).all()
    verdicts.drop(columns="convergence").to_csv(tmp_path / "convergence.csv", index=False)
    with pytest.raises(ValueError, match=r"convergence.csv: expected the column convergence"):
        read_errors(*files, tmp_path / "convergence.csv")


def test_costs_say_how_many_to_label_next(planted, found, files):
    errors = read_errors(*files).query("optimizer == 'amsgrad' and metric == 'crossing'")
    (row,) = fit_all(errors, TARGETS, Costs(1.0, 1e7, 2)).curves.to_dict("records")
    assert row["answered"]
    rounds = [float(each) for each in row["label_next_rounds"].split()]
    assert len(rounds) == 2
    assert rounds[0] == pytest.approx(row["label_next"], abs=0.5)
    assert 0 <= row["chance_of_missing"] < 0.1
    assert found.curves[["label_next", "label_next_rounds", "chance_of_missing"]].isna().all(axis=None)


ERRORS = st.one_of(st.just(np.nan), st.just(0.0), st.floats(1e-4, 0.9))


@settings(max_examples=12, deadline=None)
@given(
    sizes=st.lists(st.sampled_from([64, 128, 256, 512, 1024, 4096]), min_size=1, max_size=6, unique=True),
    replicates=st.integers(1, 3),
    plain=st.booleans(),
    noise=st.sampled_from([np.nan, 0.05, 0.3]),
    target=st.sampled_from([None, 0.5, 0.9, 0.99]),
    costs=st.sampled_from([None, Costs(1.0, 1e4), Costs(0.1, 1e3, 3)]),
    data=st.data(),
)
def test_whatever_the_errors_the_columns_are_consistent(sizes, replicates, plain, noise, target, costs, data):
    rows = []
    for n in sizes:
        for replicate in range(replicates):
            error = 3 * n**-0.5 if plain else data.draw(ERRORS)
            row = {
                "fraction": n / 5000,
                "replicate": replicate,
                "optimizer": "adam",
                "metric": "crossing",
                "n_train": n,
            }
            failed, falling = data.draw(st.booleans()) and not plain, data.draw(st.booleans())
            rows.append({**row, "error": error, "noise": noise, "failed": failed, "still_training": falling})
    targets = {} if target is None else {"crossing": target}
    (row,) = fit_all(pd.DataFrame(rows), targets, costs).curves.to_dict("records")
    for name in ("n_required", "floor", "doubling_gain", "gain_per_doubling", "ratio_seen"):
        value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
        assert np.isnan([value, low, high]).all() or low <= value <= high, (name, value, low, high)
    assert row["answered"] == (row["reasons"] == "")
    assert np.isnan(row["n_required"]) == (not row["answered"] or target is None)
    planned = costs is not None and np.isfinite(row["n_required_high"])
    assert np.isfinite(row["label_next"]) == np.isfinite(row["chance_of_missing"]) == planned
    assert pd.notna(row["label_next_rounds"]) == planned
    known = not row["reasons"].startswith(enough_data.NOT_KNOWN) and "no error at all" not in row["reasons"]
    assert np.isfinite(row["gain_per_doubling"]) == (known and row["sizes"] >= 3)
    assert np.isfinite(row["ratio_seen"]) == (known and row["sizes"] >= 2)
    assert (row["noise"] > 0) == known
    assert row["runs_still_training"] <= row["runs"]
    assert row["still_training"] == (row["runs_still_training"] > 0)
