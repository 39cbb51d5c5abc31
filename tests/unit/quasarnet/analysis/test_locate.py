"""Where errors are: planted shares, waves and false positives are found again, with intervals that hold them."""

import json

import h5py
import numpy as np
import pandas as pd
import pytest

from quasarcurves.quasarnet.analysis import locate
from quasarcurves.quasarnet.analysis import test_set as truth
from quasarcurves.quasarnet.analysis.locate import Model, fibre_errors, judged, place_errors, redshift_errors
from quasarcurves.quasarnet.objective import line_targets
from quasarcurves.quasarnet.settings import NetworkSettings
from quasarcurves.spectra import Spectra
from quasarcurves.spectra.empty_fibres import empty_id, is_empty
from quasarcurves.spectra.table import BAD, GALAXY, QSO_HIGH, QSO_LOW, STAR

LINES = ("LYA", "CIV(1548)", "MgII(2796)")
NETWORK = NetworkSettings(16, 4, 13, LINES, ("CIV(1548)",))
EDGES = np.round(np.arange(10, 36) / 10, 1)


def make_truth(rng, quasars=500, stars=100, galaxies=50, empty=80, bad=20, repeats=0):
    """Draw the truth of a test set: quasars from z = 1 to 3.5; the first `repeats` objects are there twice."""
    label = np.repeat([QSO_LOW, STAR, GALAXY, BAD, BAD], [quasars, stars, galaxies, empty, bad]).astype(np.uint8)
    n = len(label)
    z = np.select([label == QSO_LOW, label == GALAXY, label == STAR], [rng.uniform(1, 3.5, n), 0.3, 0.0], np.nan)
    label[(label == QSO_LOW) & (z >= 2.1)] = QSO_HIGH
    ids = np.arange(n)
    nothing = np.arange(quasars + stars + galaxies, quasars + stars + galaxies + empty)
    ids[nothing] = empty_id(nothing)
    snr = np.where(np.isin(ids, empty_id(nothing)), 0.0, rng.lognormal(2, 0.7, n)).astype(np.float32)
    rows = np.concatenate([np.arange(n), np.arange(repeats)])
    return truth.Tested(*(each[rows] for each in (z, label, np.zeros(n, np.int8), snr, ids)))


def model(rng, tested, found=1.0, wrong=0.0, dv=None, wave=0.0, of_line=1):
    """Call quasars so with probabilities `found`, others with `wrong`; redshifts of a line have a `wave` (km/s)."""
    n, is_qso = len(tested.z), tested.is_qso
    called = rng.random(n) < np.where(is_qso, found, wrong)
    confidence = np.full((n, len(LINES)), 0.1)
    box, offset, _ = line_targets(tested.z, is_qso, tested.bal, LINES, (), 13)
    confidence[called[:, None] & (box >= 0)] = 0.8
    confidence[:, of_line] = np.where(called, 0.9, 0.1)
    noise = rng.normal(0, 300, (n, 1)) if dv is None else dv[:, None]
    off = noise + wave * np.sin(2 * np.pi * offset) * (np.arange(len(LINES)) == of_line)
    z_line = np.where(is_qso[:, None], tested.z[:, None] + off / 3e5 * (1 + tested.z[:, None]), 2.0)
    return Model(truth.Predicted(confidence, z_line[:, of_line], np.zeros((n, 1))), z_line, NETWORK)


def shared(rng, tested, level, alike, models):
    """Draw which quasars each model finds: objects are hard for all models together with the probability `alike`."""
    objects = np.unique(tested.target_id, return_inverse=True)[1]
    easy = rng.random(objects.max() + 1)[objects] < level
    return [np.where(rng.random(len(easy)) < alike, easy, rng.random(len(easy)) < level) for _ in range(models)]


@pytest.mark.parametrize("alike", [0.0, 0.7])
def test_planted_completeness_is_within_its_intervals(alike):
    rng, held, far = np.random.default_rng(5), [], []
    for _ in range(25):
        tested = make_truth(rng, stars=10, galaxies=0, empty=0, bad=0, repeats=60)
        models = [model(rng, tested, found) for found in shared(rng, tested, 0.92, alike, 4)]
        table = redshift_errors(tested, models, EDGES)
        inner = table[table["n_quasars"] > 0]
        held.append((inner["completeness_low"] <= 0.92) & (inner["completeness_high"] >= 0.92))
        far.append((table["completeness_p_holm"] < 0.05).any())
    assert 0.92 <= np.mean(np.concatenate(held)) <= 0.985
    assert np.mean(far) <= 0.12  # none differs


def test_a_loss_in_one_bin_is_told_from_chance():
    rng = np.random.default_rng(6)
    tested = make_truth(rng, quasars=1500)
    hard = (tested.z >= 3.0) & (tested.z < 3.1)
    models = [model(rng, tested, np.where(hard, 0.6, 0.97)) for _ in range(3)]
    table = redshift_errors(tested, models, EDGES)
    assert table.loc[table["completeness_p_holm"] < 0.05, "z_low"].tolist() == [3.0]
    row = table[table["z_low"] == 3.0].iloc[0]
    assert row["completeness_low"] < 0.6 < row["completeness_high"] < 0.9
    assert row["n_quasars"] == hard.sum()


def test_purity_goes_by_the_redshift_found():
    rng = np.random.default_rng(7)
    tested = make_truth(rng, stars=400)
    table = redshift_errors(tested, [model(rng, tested, wrong=0.5)], EDGES).set_index("z_low")
    assert table.loc[1.5, "purity"] == 1 and table.loc[2.0, "purity"] < 0.3
    assert table["n_called"].sum() == pytest.approx(tested.is_qso.sum() + 0.5 * 450, abs=40)  # none that is not trusted
    assert table.loc[2.0, "purity_p_holm"] < 1e-6


def test_a_planted_wave_is_recovered_by_its_line_alone_and_a_null_has_none():
    rng, waved, falsely, sizes = np.random.default_rng(8), 0, 0, []
    for _ in range(20):
        tested = make_truth(rng, quasars=400, repeats=40)
        # half of the variance is the object's, the same for all models
        common = rng.normal(0, 280, len(tested.z))
        dv = [common + rng.normal(0, 280, len(tested.z)) for _ in range(3)]
        keys = {"optimizer": "adam", "fraction": 0.8, "n_train": 800}
        table = place_errors(tested, [model(rng, tested, dv=each, wave=250.0) for each in dv]).assign(**keys)
        lines = judged(table).groupby("line").first()
        waved += lines.loc["CIV(1548)", "wiggles"] == "yes"
        sizes.append(lines.loc["CIV(1548)", "amplitude"])
        falsely += (lines.drop(["CIV(1548)", locate.BEST])["wiggles"] == "yes").any()
        null = judged(place_errors(tested, [model(rng, tested, dv=each) for each in dv]).assign(**keys))
        falsely += (null["wiggles"] == "yes").any()
    assert waved == 20 and np.mean(sizes) == pytest.approx(250, rel=0.1)
    assert falsely <= 4  # of 40, at 5 % each


def test_means_in_the_boxes_are_those_of_the_planted_wave():
    rng = np.random.default_rng(9)
    tested = make_truth(rng, quasars=4000)
    table = place_errors(tested, [model(rng, tested, wave=250.0)]).query("line == 'CIV(1548)'")
    middle = (table["place_low"] + table["place_high"]) / 2
    # the mean of a sine over an eighth of its period is a little less than its height in the middle
    expected = 250 * np.sin(2 * np.pi * middle) * np.sinc(1 / 8)
    assert ((table["mean_dv_low"] - 15 <= expected) & (expected <= table["mean_dv_high"] + 15)).all()
    assert (table["note"] == "").all() and table["n_quasars"].sum() == table["n_redshifts"].sum()


def test_planted_false_positives_per_thousand_fibres():
    rng, held = np.random.default_rng(10), []
    for _ in range(60):
        tested = make_truth(rng, quasars=20, stars=300, galaxies=0, empty=300, bad=300)
        rate = np.where(is_empty(tested.label, tested.target_id), 0.02, 0.1)
        models = [model(rng, tested, wrong=wrong) for wrong in shared(rng, tested, rate, 0.5, 3)]
        table = fibre_errors(tested, models)
        for name, each in (("empty", 20), ("star", 100)):
            rows = table[(table["class"] == name) & (table["n_spectra"] > 30)]
            held.append((rows["per_1000_low"] <= each) & (each <= rows["per_1000_high"]))
    assert 0.92 <= np.mean(np.concatenate(held)) <= 0.99
    empty = table[table["class"] == "empty"].set_index("snr_high")
    assert empty.loc[1.0, "n_spectra"] == 300 and empty.loc[2.0, "note"] == "no spectrum"
    assert np.isnan(empty.loc[2.0, "per_1000"]) and empty.loc[1.0, "line"] == "CIV(1548)"
    # spectra that are not trusted are in no row
    assert table["n_spectra"].sum() == 600


def test_galaxies_at_their_right_redshift_are_called_but_not_wrong():
    rng = np.random.default_rng(11)
    tested = make_truth(rng)
    said = model(rng, tested, wrong=1.0)
    said.predicted.z_best[tested.is_galaxy] = np.where(np.arange(50) < 30, 0.3, 1.0)
    rows = fibre_errors(tested, [said]).query("`class` == 'galaxy'")
    assert (rows["called"].sum(), rows["false_positives"].sum()) == (50, 20)


def write(folder, tested, runs):
    """Write what a study leaves, and the tables of it; `runs` by their keys."""
    Spectra(np.zeros((len(tested.z), 443)), tested.z, tested.label, tested.bal, tested.target_id, tested.snr).save(
        folder / "spectra.h5"
    )
    paths, rows = [], []
    for (fraction, replicate, optimizer), said in runs.items():
        path = folder / f"{fraction}_{replicate}_{optimizer}.h5"
        keys = {"fraction": fraction, "replicate": replicate, "optimizer": optimizer}
        rows.append({**keys, "n_train": round(1000 * fraction) + replicate})
        paths.append(path)
        with h5py.File(path, "w") as file:
            file.attrs["run"] = json.dumps({**keys, "network": NETWORK.to_json()})
            file["row"] = np.arange(len(tested.z))
            group = file.create_group("final")
            group["confidence"], group["z_best"] = said.predicted.confidence, said.predicted.z_best
            group["z_line"], group["bal_confidence"] = said.z_line, said.predicted.bal_confidence
            file.create_group("best")
    pd.DataFrame(rows).to_csv(folder / "runs.csv", index=False)
    files = [folder / name for name in ("errors_by_redshift.csv", "redshift_wiggles.csv", "false_positives.csv")]
    locate.write(iter(paths), folder / "spectra.h5", folder / "runs.csv", *files)
    return [pd.read_csv(file) for file in files]


def diverged(tested):
    nothing = np.full((len(tested.z), len(LINES)), np.nan)
    return Model(truth.Predicted(nothing, nothing[:, 0], nothing[:, :1]), nothing, NETWORK)


def test_models_of_a_size_are_taken_together_and_diverged_ones_left_out(tmp_path):
    rng = np.random.default_rng(12)
    tested = make_truth(rng, quasars=300)
    said = [model(rng, tested, 0.9) for _ in range(3)]
    runs = {
        (0.2, 0, "sgd"): diverged(tested), (0.4, 0, "adam"): said[0], (0.2, 0, "adam"): said[1],
        (0.4, 1, "adam"): said[2], (0.4, 2, "adam"): diverged(tested),
    }  # fmt: skip
    redshifts, places, fibres = write(tmp_path, tested, runs)
    for table in (redshifts, places, fibres):
        groups = table.drop_duplicates(["optimizer", "fraction"])
        assert groups[["optimizer", "fraction", "n_train", "models", "diverged"]].values.tolist() == [
            ["adam", 0.4, 401, 2, 1], ["adam", 0.2, 200, 1, 0], ["sgd", 0.2, 200, 0, 1],
        ]  # fmt: skip
    own = redshifts.query("fraction == 0.4")
    expected = redshift_errors(tested, [said[0], said[2]], locate.redshift_edges(tested.z[tested.is_qso]))
    pd.testing.assert_frame_equal(
        own[expected.columns].drop(columns="note"), expected.drop(columns="note"), check_dtype=False, atol=1e-9
    )
    lost = redshifts.query("optimizer == 'sgd'")
    assert (lost["note"] == "all models diverged").all() and lost["completeness"].isna().all()
    assert lost["n_quasars"].sum() == 300  # what is known of the test set stays


def test_without_quasars_or_with_them_alone_nothing_is_invented(tmp_path):
    rng = np.random.default_rng(13)
    for quasars, others in ((0, 30), (30, 0)):
        tested = make_truth(rng, quasars=quasars, stars=others, galaxies=0, empty=0, bad=0)
        folder = tmp_path / str(quasars)
        folder.mkdir()
        redshifts, places, fibres = write(folder, tested, {(0.8, 0, "adam"): model(rng, tested, wrong=0.5)})
        assert redshifts["completeness"].notna().any() == (quasars > 0)
        assert redshifts.loc[redshifts["n_quasars"] == 0, "note"].str.contains("no quasar").all()
        assert fibres["per_1000"].notna().any() == (others > 0)
        assert places["amplitude"].isna().all() and places["wiggles"].isna().all()
        assert (places["mean_dv_low"].notna() <= (places["n_quasars"] >= 10)).all()


def test_bins_are_fine_where_there_are_enough_quasars():
    for n, width in ((20, 1.0), (100, 0.5), (300, 0.2), (600, 0.1), (5000, 0.05)):
        edges = locate.redshift_edges(np.linspace(1.0, 3.49, n))
        np.testing.assert_allclose(np.diff(edges), width)
        assert edges[0] == 1.0 and edges[-1] > 3.49
    assert locate.redshift_edges(np.empty(0)).tolist() == [0, 1]
