"""Looking at spikes closely: it changes nothing of the training, and says which spectra carry them."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from quasarcurves.analysis import tables
from quasarcurves.analysis.replays import forks
from quasarcurves.spectra.table import Spectra
from quasarcurves.steps import microscope
from quasarcurves.steps.microscope import MicroscopeJob, chosen, magnify
from quasarcurves.steps.training import Job, train_runs
from quasarcurves.study import Run, Study
from quasarcurves.training.history import History
from quasarcurves.training.replays import NotReproduced
from quasarcurves.training.settings import StateSettings
from support import wrong_labels


def trained(folder, n, n_train, filters, learning_rate, steps):
    """Train on simulated spectra, some with wrong labels; return the microscope's job and the wrong rows."""
    wrong = wrong_labels.save(folder, n, n_train, seed=1)
    config = {
        "study": {"name": "planted", "seed": 1, "replicates": 1},
        "data": {"source": "simulated", "n_spectra": n},
        "subsets": {"fractions": [0.8], "test_fraction": 0.1, "validation_fraction": 0.05},
        "network": {"filters": filters},
        "training": {"steps": steps, "batch_size": 32, "validate_every": 1000},
        "optimizers": {"adam": {"class": "Adam", "learning_rate": learning_rate}},
    }
    run = Study.from_config(config).run_settings(Run(0.8, 0, "adam"))
    files = {
        name: folder / name for name in ("spectra.h5", "subset.h5", "state", "history.h5", "model.keras", "best.keras")
    }
    spectra, subset, state, history, model, best = files.values()
    train_runs(spectra, [Job(run, "key", subset, state, history, model, best)], StateSettings(1000, False))
    return SimpleNamespace(job=MicroscopeJob(run, 1, spectra, subset, history), wrong=wrong, folder=folder)


def look(made, **settings):
    steps, spectra = made.folder / "steps.csv", made.folder / "spectra.csv"
    magnify(made.job, steps, spectra, **settings)
    return tables.read(steps), tables.read(spectra)


def test_the_tallest_spikes_are_chosen_and_stay_in_order():
    spikes = pd.DataFrame({"onset": [10, 20, 30, 40], "height_ratio": [3.0, 50.0, 8.0, 9.0]})
    assert list(chosen(spikes, 2)["onset"]) == [20, 40]
    assert list(chosen(spikes, 9)["onset"]) == [10, 20, 30, 40]
    assert chosen(spikes, 0).empty


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("small"), 160, 128, 2, 1e-3, steps=60)


@pytest.fixture
def spike_at_20(monkeypatch):
    spike = pd.DataFrame({"onset": [20], "peak": [24], "end": [30.0], "height_ratio": [5.0]})
    monkeypatch.setattr(forks, "sustained_spikes", lambda history: spike)
    monkeypatch.setattr(microscope, "FIRST", -6)
    monkeypatch.setattr(microscope, "LAST", 4)


@pytest.mark.slow
def test_every_step_about_the_onset_is_measured(small, spike_at_20):
    steps, spectra = look(small)
    assert list(steps["offset"]) == list(range(-6, 5))
    assert steps[microscope.MEASURES].notna().all(axis=None)
    record = History.load(small.job.history).steps
    for name in ("loss", "square_over_past"):
        np.testing.assert_allclose(steps[name], record[name][14:25], rtol=1e-6)
    np.testing.assert_allclose(steps["batch_threshold"], 2 / 1e-3, rtol=1e-6)
    assert steps["descent_cosine"].between(-1, 1).all()
    # the spectra are those of the training set, with what the prepared file says of them
    known = Spectra.load(small.job.spectra, spectra["row"].to_numpy())
    np.testing.assert_array_equal(spectra["target_id"], known.target_id)
    np.testing.assert_array_equal(spectra["label"], known.label)
    rise = spectra["loss_peak"] - spectra["loss_before"]
    assert rise.is_monotonic_decreasing
    assert len(spectra) == microscope.LISTED


@pytest.mark.slow
@pytest.mark.parametrize("step", [17, 40])
def test_the_training_goes_on_as_its_record_says(small, spike_at_20, step):
    # in and after what is looked at: any other bit is refused, so that `look` shows that there is none
    history = History.load(small.job.history)
    columns = {name: np.array(column) for name, column in history.steps.items()}
    columns["loss"][step] = np.nextafter(columns["loss"][step], np.float32(np.inf))
    History(history.epochs, columns, history.params).save(small.folder / "other.h5")
    job = MicroscopeJob(small.job.run, 1, small.job.spectra, small.job.subset, small.folder / "other.h5")
    with pytest.raises(NotReproduced, match=f"step {step}: "):
        magnify(job, small.folder / "a.csv", small.folder / "b.csv")


@pytest.mark.slow
def test_without_a_spike_the_tables_have_no_row(small):
    steps, spectra = look(small)
    assert len(steps) == len(spectra) == 0
    assert list(steps.columns[-len(microscope.STEP_COLUMNS) :]) == microscope.STEP_COLUMNS


@pytest.mark.slow
def test_wrong_labels_are_few_of_the_carriers_of_a_spike(tmp_path, monkeypatch):
    # Measured with 1 % of labels wrong: 3 of the 37 carriers of half of the rise of the tallest spike, 8 times their
    # share of the training set, and none of the 6 of the smaller spike before it; with the record cut off as here, 1 of
    # 20, 5 times. So they are not ten times enriched for sure. At the learning rate here, at which a spike is all but
    # certain, the first spikes of six seeds have 5 to 49 carriers. Wrong labels are enriched 0, 0 and 13 to 19 times
    # among them, and never more than a fifth.
    monkeypatch.setattr(microscope, "FIRST", -2)
    monkeypatch.setattr(microscope, "LAST", 2)
    # one in the tail of another may have no rise of its own
    found = forks.sustained_spikes
    monkeypatch.setattr(forks, "sustained_spikes", lambda history: found(history).head(1))
    made = trained(tmp_path, 1280, 1024, 16, 7e-3, steps=3000)
    _, spectra = look(made, listed=1024)
    assert spectra["onset"].nunique() == 1
    carriers = spectra[spectra["rank"] <= spectra["n_half"]]
    share = np.isin(carriers["row"], made.wrong).mean()
    enrichment = share / (len(made.wrong) / 1024)
    print(f"{len(carriers)} carriers, wrong labels {enrichment:.1f} times enriched")
    assert share < 0.5
    # few spectra carry the spike all the same
    assert len(carriers) < 0.15 * 1024
