"""What is refused of a study besides what its schema refuses, and how it is said."""

import pytest

from quasarcurves.study import Study
from support.studies import BASE, assert_one_message, changed, optimizers_of, refusal


@pytest.mark.parametrize("share", [0, 1e-4])
def test_the_best_by_a_crossing_point_takes_a_validation_set(share):
    config = changed(subsets__validation_fraction=share, training__best="crossing")
    assert_one_message(refusal(config), "training.best", "'crossing'", f"{share:g}", "validation set")
    Study.from_config(changed(subsets__validation_fraction=share))
    study = Study.from_config(changed(training__best="crossing"))
    assert study.run_params(study.runs[0])["training"]["best"] == "crossing"


def test_independent_replicates_fit_or_are_refused():
    fitting = changed(subsets__scheme="independent", study__replicates=2)
    assert len(Study.from_config(fitting).runs) == 8
    message = refusal(changed(subsets__scheme="independent", study__replicates=3))
    assert_one_message(message, "subsets.fractions", "3 independent replicates of 0.4", "leave 0.8 ")
    assert len(Study.from_config(changed(subsets__scheme="nested", study__replicates=3)).runs) == 12


def test_all_that_is_left_by_test_and_validation_may_be_trained_on():
    assert Study.from_config(changed(subsets__fractions=[0.8])).fractions == [0.8]


@pytest.mark.parametrize(
    ("held", "parts"),
    [
        ({"class": "Adam", "match": "amsgrd"}, ["held.match", "'amsgrd'", "did you mean 'amsgrad'?"]),
        ({"class": "AdamW", "match": "amsgrad"}, ["held", "match is for class Adam"]),
        ({"class": "Adam", "amsgrad": True, "match": "amsgrad"}, ["held", "without amsgrad"]),
        ({"class": "Adam", "match": "held"}, ["held.match", "'held' is itself held to another optimizer"]),
        ({"class": "Adam", "match": "sgd"}, ["held.match", "SGD has no effective step", "RMSprop"]),
        ({"class": "Adam", "match": "amsgrad", "training": {"batch_size": 16}}, ["held.match", "other settings"]),
    ],
)
def test_what_an_effective_step_cannot_be_held_to_is_refused(held, parts):
    assert_one_message(refusal(changed(**optimizers_of(held=held, sgd={"class": "SGD"}))), *parts)


@pytest.mark.parametrize(
    ("own", "parts"),
    [
        ({"fractions": [0.3]}, ["own.fractions", "0.3 is none of subsets.fractions", "0.4, 0.1"]),
        ({"fractions": []}, ["own.fractions"]),
        ({"match": "amsgrad"}, ["own.fractions", "0.1 is none of the fractions of amsgrad", "expected some of 0.4"]),
    ],
)
def test_fractions_that_an_optimizer_cannot_have_are_refused(own, parts):
    changes = optimizers_of(own={"class": "Adam", **own})
    changes["optimizers__amsgrad__fractions"] = [0.4]
    assert_one_message(refusal(changed(**changes, subsets__fractions=[0.1, 0.4])), *parts)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"training__steps": 100}, "training"),
        (optimizers_of(own={"class": "Adam", "training": {"epochs": 3, "steps": 7}}), "optimizers.own.training"),
    ],
)
def test_two_lengths_of_one_training_are_refused(changes, where):
    assert refusal(changed(**changes)) == f"{where}: epochs and steps are both given, expected one of them"


def test_a_backend_that_is_not_installed_is_refused_when_the_study_is_read(monkeypatch):
    monkeypatch.setattr("quasarcurves.study.checks.find_spec", lambda name: None if name == "jax" else name)
    Study.from_config(BASE)
    parts = ["training.backend is 'jax'", "not installed", "install.sh jax"]
    assert_one_message(refusal(changed(training__backend="jax")), *parts)


def test_a_pack_needs_jax_and_has_a_largest_size():
    assert_one_message(refusal(changed(training__pack=True)), "training.pack", "'tensorflow'", "expected 'jax'")
    config = changed(training__pack=True, training__backend="jax")
    config["study"]["replicates"] = 101
    assert_one_message(refusal(config), "training.pack: 2 optimizers with 101 replicates", "202", "at most 200")


@pytest.mark.parametrize(
    "replays, parts",
    [
        ({"optimizers": ["adm"]}, ["diagnosis.replays.optimizers", "adm", "adam, decayed"]),
        ({"fractions": [0.3]}, ["diagnosis.replays.fractions", "0.3", "0.4, 0.1"]),
        ({"arms": ["m_1"]}, ["diagnosis.replays.arms", "m_1", "m_0"]),
    ],
)
def test_replays_of_what_there_is_not_are_refused(replays, parts):
    assert_one_message(refusal(changed(diagnosis={"replays": replays})), *parts)


def test_replays_of_no_run_are_refused():
    config = changed(optimizers__decayed__fractions=[0.1], diagnosis={"replays": {"optimizers": ["decayed"]}})
    assert_one_message(refusal(config), "diagnosis.replays", "no run")


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"data__n_spectra": 1}, ("subsets.test_fraction", "of 1 spectra are none", "expected a test set")),
        ({"subsets__fractions": [0.4, 1e-4]}, ("subsets.fractions: 0.0001 of 400 spectra are none",)),
        (
            {"training": {"last_batch": "drop", "batch_size": 200}},
            ("training.last_batch is 'drop'", "have 200, expected", "at most the 160 of a training set"),
        ),
    ],
)
def test_sets_and_epochs_without_content_are_refused_where_sizes_are_known(changes, parts):
    simulated = {"data": {"source": "simulated", "n_spectra": changes.pop("data__n_spectra", 400)}}
    assert_one_message(refusal(changed(**changes) | simulated), *parts)


def test_more_trainings_than_can_be_planned_are_counted():
    message = refusal(changed(study__replicates=10_000) | {"subsets": {"fractions": [i / 100 for i in range(1, 7)]}})
    assert_one_message(message, "study.replicates", "120,000 trainings", "at most 100,000")
