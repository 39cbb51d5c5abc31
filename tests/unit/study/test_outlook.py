"""What is said of a study before it runs: its trainings, its replays, and what these can show."""

import re

import pytest

from quasarcurves.study import Study, outlook

STUDY = {
    "study": {"name": "s", "replicates": 4},
    "data": {"source": "simulated", "n_spectra": 400},
    "subsets": {"fractions": [0.4, 0.1]},
    "training": {"epochs": 100, "batch_size": 16},
    "optimizers": {"adam": {"class": "Adam"}},
}


def described(**replays):
    study = Study.from_config(STUDY | ({"diagnosis": {"replays": replays}} if replays else {}))
    return "\n".join(outlook.describe(study, 400))


def test_a_study_without_replays_has_its_trainings_and_what_it_cannot_tell():
    text = described()
    assert re.match(r"8 trainings: about \d+ min on one core\.\nWhat this study cannot tell: ", text)
    assert "eplay" not in text


def test_forks_on_the_grid_are_as_many_as_a_quiet_training_has():
    # 1,000 steps; 10 a epoch, so that the grid begins at step 200
    study = Study.from_config(STUDY | {"diagnosis": {"replays": {"every": 75, "after_epoch": 20}}})
    assert outlook.grid_forks(study, 400) == len(range(225, 1000, 75)) == 11


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
