"""Calibration of a study's models: fitted on the validation set, measured on the test set, by sample."""

import json

import h5py
import numpy as np
import pandas as pd
import pytest

from quasarcurves.quasarnet.analysis import calibrate
from quasarcurves.quasarnet.calibration import expected_error, fit
from quasarcurves.quasarnet.figures import calibration as figure
from quasarcurves.spectra import Spectra
from quasarcurves.spectra.table import BAD

N_TEST, N_VALIDATION = 400, 300


@pytest.fixture(scope="module")
def study(make, tmp_path_factory):
    """Prepared spectra and the predictions of three runs, one of a larger size and one that diverged."""
    folder = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(20261129)
    made = make(rng, n=N_TEST + N_VALIDATION)
    tested, n = made.tested, N_TEST + N_VALIDATION
    flux = np.zeros((n, 443), np.float32)
    Spectra(flux, tested.z, tested.label, tested.bal, tested.target_id, tested.snr).save(folder / "spectra.h5")
    runs = [(0.4, 0, "adam", 1.0), (0.2, 0, "adam", 3.0), (0.2, 0, "sgd", np.nan)]
    paths = [predicted(folder, made.predicted, *run) for run in runs]
    rows = [{"fraction": f, "replicate": r, "optimizer": o, "n_train": round(1000 * f)} for f, r, o, _ in runs]
    pd.DataFrame(rows).to_csv(folder / "runs.csv", index=False)
    files = [folder / name for name in ("calibration.csv", "reliability.csv", "calibration.json")]
    calibrate.write(paths, folder / "spectra.h5", folder / "runs.csv", *files)
    return folder, made, files


def predicted(folder, said, fraction, replicate, optimizer, sharper):
    """What evaluation writes; logits of confidences are `sharper` times too large."""
    path = folder / f"{fraction}_{optimizer}.h5"
    confidence = 1 / (1 + ((1 - said.confidence) / said.confidence) ** sharper)
    with h5py.File(path, "w") as file:
        file.attrs["run"] = json.dumps({"fraction": fraction, "replicate": replicate, "optimizer": optimizer})
        for prefix, rows in (("", np.arange(N_TEST)), ("validation/", np.arange(N_TEST, N_TEST + N_VALIDATION))):
            file[f"{prefix}row"] = rows
            for model in ("final", "best"):
                group = file.create_group(f"{prefix}{model}")
                group["confidence"], group["z_best"] = confidence[rows], said.z_best[rows]
                group["bal_confidence"] = said.bal_confidence[rows]
    return path


def test_scalings_are_of_the_validation_set_and_errors_of_the_test_set(study):
    _, made, files = study
    table = pd.read_csv(files[0])
    row = table.query("fraction == 0.4 and model == 'final' and n_detect == 2 and sample == 'all'").iloc[0]
    trusted = made.tested.label != BAD
    test, held_out = (np.arange(len(trusted)) < N_TEST) & trusted, (np.arange(len(trusted)) >= N_TEST) & trusted
    score, is_qso = np.sort(made.predicted.confidence, axis=1)[:, -2], made.tested.is_qso
    scaling = fit(score[held_out], is_qso[held_out])
    assert (row["slope"], row["offset"], row["n_fitted"]) == pytest.approx((scaling.slope, scaling.offset, scaling.n))
    for of, prefix, values in (("calibration", "", score), ("scaled", "scaled_", scaling.apply(score))):
        expected = expected_error(values[test], is_qso[test], made.tested.target_id[test])
        assert row[f"{of}_error"] == pytest.approx(expected.error)
        assert row[f"{prefix}by_chance_high"] == pytest.approx(expected.perfect_high)
        assert str(row[f"{prefix}is_off"]) == str(expected.is_off)
    assert (row["n"], row["quasars"]) == (test.sum(), is_qso[test].sum())
    found = calibrate.scalings_of(files[2], "f0.4_r0/adam", "final")
    assert (found["2"].slope, found["2"].offset) == pytest.approx((scaling.slope, scaling.offset))


def test_sharper_confidences_are_off_and_scaling_undoes_it(study):
    table = pd.read_csv(study[2][0]).query("optimizer == 'adam' and model == 'final' and n_detect == 1")
    table = table[table["sample"] == "all"].set_index("fraction")
    assert table.loc[0.2, "is_off"] and table.loc[0.2, "scaled_error"] < table.loc[0.2, "calibration_error"]
    # the same order of spectra, three times the logits: a third of the slope
    assert table.loc[0.2, "slope"] == pytest.approx(table.loc[0.4, "slope"] / 3, rel=1e-3)
    assert table.loc[0.2, "scaled_error"] == pytest.approx(table.loc[0.4, "scaled_error"], abs=1e-3)


def test_samples_are_of_one_line_and_the_last_model_alone_and_parts_of_the_whole(study):
    table = pd.read_csv(study[2][0]).query("optimizer == 'adam' and fraction == 0.4")
    whole = table.groupby(["model", "n_detect"])["sample"].apply(set).to_dict()
    assert whole.pop(("final", 1)) == {
        "all", "z_found<2.1", "z_found>=2.1", "snr_low", "snr_mid", "snr_high",
    }  # fmt: skip
    assert all(each == {"all"} for each in whole.values())
    sizes = table.query("model == 'final' and n_detect == 1").set_index("sample")["n"]
    assert sizes["z_found<2.1"] + sizes["z_found>=2.1"] == sizes["all"]
    assert sizes["snr_low"] + sizes["snr_mid"] + sizes["snr_high"] == sizes["all"]


def test_a_run_that_diverged_is_not_known(study):
    row = pd.read_csv(study[2][0]).query("optimizer == 'sgd' and sample == 'all'")
    assert row[["calibration_error", "scaled_error", "slope"]].isna().all().all() and (row["n_fitted"] == 0).all()
    assert calibrate.scalings_of(study[2][2], "f0.2_r0/sgd", "final") == {}
    with pytest.raises(FileNotFoundError, match="the study makes it"):
        calibrate.scalings_of(study[0] / "none.json", "f0.2_r0/sgd", "final")


def test_without_a_validation_set_nothing_is_scaled(study, tmp_path):
    with h5py.File(study[0] / "0.4_adam.h5") as file, h5py.File(tmp_path / "p.h5", "w") as other:
        other.attrs.update(file.attrs)
        for name in ("row", "final", "best"):
            file.copy(name, other)
    files = [tmp_path / name for name in ("a.csv", "b.csv", "c.json")]
    calibrate.write([tmp_path / "p.h5"], study[0] / "spectra.h5", study[0] / "runs.csv", *files)
    table = pd.read_csv(files[0])
    assert table["calibration_error"].notna().all() and table["scaled_error"].isna().all()
    assert set(pd.read_csv(files[1])["kind"]) == {"as it is"}
    assert "too few spectra to scale them by" in texts(figure.plot(*files[:2], "adam"))


def texts(drawn):
    return drawn.get_suptitle() or " ".join(
        text.get_text() for text in drawn.findobj(lambda each: hasattr(each, "get_text"))
    )


def test_the_figure_says_how_many_are_off_and_that_nothing_is_known(study):
    files = study[2]
    drawn = figure.plot(*files[:2], "adam")
    assert drawn.get_suptitle().startswith("adam: confidences of ") and "scaled ones of" in drawn.get_suptitle()
    assert drawn.axes[0].get_title() == "400 training spectra"
    assert "no test spectrum of known class has a confidence" in texts(figure.plot(*files[:2], "sgd"))
