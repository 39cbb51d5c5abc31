"""What is said of a study before it runs: its trainings, its replays, and what these can show."""

import re

import numpy as np
import pytest

from quasarcurves.quasarnet.steps import first_look
from quasarcurves.spectra import Spectra, subsets
from quasarcurves.spectra.sources import read_chunks
from quasarcurves.spectra.table import STAR
from quasarcurves.study import Study, outlook

STUDY = {
    "study": {"name": "s", "replicates": 4},
    "data": {"source": "simulated", "n_spectra": 400},
    "subsets": {"fractions": [0.4, 0.1]},
    "training": {"epochs": 100, "batch_size": 16},
    "optimizers": {"adam": {"class": "Adam"}},
}


def looked_at(chunks=None, **changed):
    study = Study.from_config(STUDY | changed)
    return outlook.look(study, first_look.look(read_chunks(study.data) if chunks is None else chunks))


def described(**replays):
    return "\n".join(outlook.describe(looked_at(**({"diagnosis": {"replays": replays}} if replays else {}))))


def test_all_that_is_known_beforehand_is_said():
    text = described()
    for words in (
        r"^400 usable spectra, 0 rejected$", r"^Classes: star: \d+, galaxy: \d+, quasar", r"^test +60 +\d+$",
        r"^training, fraction 0.4 +160 +\d+ to \d+$", r"^8 trainings: about \d+ min on one core",
        r"^Memory: \d+ MB for the largest job", "Disk: \\d+ MB", r"^Spikes to expect of adam",
        r"^WARNING: cannot tell how many spectra are enough", "quasars in the test set: a completeness of 90%",
    ):  # fmt: skip
        assert re.search(words, text, re.MULTILINE), words
    assert "eplay" not in text


def test_sizes_of_sets_are_those_that_are_drawn():
    found = looked_at()
    drawn = [subsets.draw(np.arange(400), **found.study.subset_params(0.1, replicate)) for replicate in range(4)]
    quasars = [int(found.seen.kind.members[each.train].sum()) for each in drawn]
    assert found.sets[-1] == outlook.SetSize("training, fraction 0.1", (40, 40), (min(quasars), max(quasars)))


def test_forty_spectra_of_one_class_are_warned_of():
    only = Spectra.concatenate(read_chunks({"source": "simulated", "n_spectra": 400, "seed": 1}))
    stars = only.take(np.flatnonzero(only.label == STAR)[:40])
    found = "\n".join(looked_at([stars], data={"source": "simulated", "n_spectra": 40}).warnings)
    assert "the set test has no quasar" in found and "fewer than 100" in found


def test_conflicts_and_copies_are_warned_of():
    spectra = Spectra.concatenate(read_chunks({"source": "simulated", "n_spectra": 400, "seed": 1}))
    other = np.flatnonzero(spectra.label == STAR)[0]
    quasar = np.flatnonzero(spectra.is_quasar)[0]
    spectra.target_id[other] = spectra.target_id[quasar]
    spectra.flux[5] = spectra.flux[6]
    found = looked_at([spectra]).warnings
    assert f"1 object with more than one class: {spectra.target_id[quasar]}" in found
    assert "1 spectrum with the flux of another target id: what is tested may have been trained on" in found


def test_forks_on_the_grid_are_as_many_as_a_quiet_training_has():
    # 1,000 steps; 10 a epoch, so that the grid begins at step 200
    study = Study.from_config(STUDY | {"diagnosis": {"replays": {"every": 75, "after_epoch": 20}}})
    assert outlook.grid_forks(study, 400) == len(range(225, 1000, 75)) == 11


@pytest.mark.slow
def test_the_chance_grows_with_the_hazard_and_the_replays():
    def chances(replays):
        text = described(every=50, after_epoch=10, replays=replays, steps=300, arms=["m_0", "v_x4"])
        assert "4 trainings: 18 forks on the grid of each" in text and f"3 arms with {replays} replays of 300" in text
        return [int(number) for number in re.findall(r"(\d+)% at", text)]

    few, many = chances(2), chances(16)
    assert few == sorted(few) and many == sorted(many)
    assert many[-1] > 90 > few[0]


def test_without_a_grid_nothing_is_promised():
    assert "cannot be said beforehand: it depends on the spikes" in described(every=0)


@pytest.mark.parametrize("jobs", [1, 3])
def test_more_jobs_take_more_time_in_all_as_each_goes_through_the_training(jobs):
    study = Study.from_config(STUDY | {"diagnosis": {"replays": {"jobs": jobs}}})
    run = study.replayed_runs[0]
    assert study.replay_jobs * study.seconds("replay", 400, run) > jobs * study.seconds("train", 400, run)
