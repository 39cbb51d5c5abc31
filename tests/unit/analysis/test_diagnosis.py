"""The tables of a study, from files to files."""

import numpy as np
import pandas as pd
import pytest

from quasarcurves.analysis import diagnosis, tables
from quasarcurves.analysis.spikes import detection
from quasarcurves.training.history import collect
from support.planted_runs import history, measures, onsets_and_ends, ramp


@pytest.fixture
def study(tmp_path):
    """Four replicates each of an optimizer whose effective step grows before spikes and of one without spikes."""
    rng, runs = np.random.default_rng(1), []
    for optimizer, count in (("adam", 12), ("amsgrad", 0)):
        for replicate in range(4):
            onset, end = onsets_and_ends(rng, count)
            steps = measures(rng, onset, end)
            steps["effective_step_q50"] *= np.exp(0.3 * ramp(onset, 100))
            made = history(steps, replicate, optimizer=optimizer)
            made.epochs = {"loss": steps["loss"].reshape(-1, 25).mean(axis=1)}
            made.save(tmp_path / f"{optimizer}{replicate}.h5")
            runs.append((f"f0.8_r{replicate}/{optimizer}", tmp_path / f"{optimizer}{replicate}.h5"))
    collect(runs, tmp_path / "histories.h5")
    detection.write(*(tmp_path / name for name in ("histories.h5", "spikes.csv", "statistics.csv", "trends.csv")))
    return tmp_path


def diagnose(folder):
    names = ("histories.h5", "spikes.csv", "trends.csv", "aligned.csv", "predictors.csv", "hypotheses.csv")
    diagnosis.write(*(folder / name for name in names))
    return [tables.read(folder / name) for name in names[3:]]


def test_a_study_is_diagnosed(study):
    aligned, predictors, hypotheses = diagnose(study)
    assert list(aligned.columns) == [
        "optimizer", "fraction", "n_train", "measure", "kind", "lag", "n", "q25", "median", "q75",
    ]  # fmt: skip
    assert set(aligned["n_train"]) == {800}
    assert set(aligned["optimizer"]) == {"adam"}
    assert list(predictors.columns[:5]) == ["optimizer", "fraction", "measure", "n_spikes", "n_runs"]
    step = predictors.set_index(["optimizer", "measure"]).loc[("adam", "effective_step_q50")]
    assert step["moves_first"] in (True, "True")
    assert 50 <= step["first_move"] <= 110
    assert (predictors.loc[predictors["optimizer"] == "amsgrad", "note"] == "too few spikes").all()
    verdict = hypotheses.set_index(["optimizer", "hypothesis"])["verdict"]
    assert verdict["adam", "effective step grows"] == "supported"
    assert verdict["amsgrad", "effective step grows"] == "not settled"


def test_the_same_study_gives_the_same_tables(study):
    for one, again in zip(diagnose(study), diagnose(study), strict=True):
        pd.testing.assert_frame_equal(one, again)


def test_fractions_of_many_digits_find_their_spikes(tmp_path):
    made = history({"loss": np.ones(9)})
    made.params["fraction"] = 1 / 3
    spikes = pd.DataFrame(
        {"fraction": [0.33333333], "replicate": [0], "optimizer": ["adam"], "onset": [3], "end": [4.0]}
    )
    made.save(tmp_path / "0.h5")
    collect([("run", tmp_path / "0.h5")], tmp_path / "all.h5")
    ((_, fraction, (run,)),) = diagnosis.groups(tmp_path / "all.h5", spikes)
    assert fraction == 1 / 3
    assert np.flatnonzero(run.spike_of >= 0).tolist() == [3]


def test_a_table_without_its_columns_is_refused(study):
    tables.write(pd.DataFrame({"onset": [1]}), study / "spikes.csv")
    with pytest.raises(ValueError, match=r"spikes\.csv: expected the columns .* missing fraction"):
        diagnose(study)
