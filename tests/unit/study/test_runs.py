"""Which runs a study has, how each is trained, and which of them are packed and replayed."""

from quasarcurves.study import Run, Study
from support.studies import BASE, assert_one_message, changed, optimizers_of, refusal


def test_runs_are_every_combination_once_in_order():
    study = Study.from_config(changed(subsets__fractions=[0.1, 0.4]))
    assert study.runs == [
        Run(fraction, replicate, optimizer)
        for fraction in (0.4, 0.1)
        for replicate in (0, 1)
        for optimizer in ("adam", "decayed")
    ]
    assert study.runs[0].name == "f0.4_r0/adam"


def test_a_matched_run_knows_what_it_is_held_to():
    held = {"class": "Adam", "match": "amsgrad"}
    study = Study.from_config(changed(**optimizers_of(held=held)))
    run = Run(0.4, 1, "held")
    assert study.matched_run(run) == Run(0.4, 1, "amsgrad")
    assert study.matched_run(Run(0.4, 1, "amsgrad")) is None
    params = study.run_params(run)
    assert params["optimizer_spec"] == held
    # whatever makes the other's record another one changes this run as well
    assert params["matched_spec"] == {"class": "Adam", "learning_rate": 0.001, "amsgrad": True}
    assert "matched_spec" not in study.run_params(Run(0.4, 1, "amsgrad"))


def test_an_optimizer_may_be_trained_in_its_own_way():
    own = {"class": "Adam", "training": {"batch_size": 16, "last_batch": "drop", "steps": 700}}
    study = Study.from_config(changed(**optimizers_of(own=own)))
    assert study.run_params(Run(0.4, 0, "own"))["training"] == {
        "steps": 700,
        "batch_size": 16,
        "last_batch": "drop",
        "validate_every": 10,
        "backend": "tensorflow",
        "precision": "float32",
        "pack": False,
    }
    assert study.run_params(Run(0.4, 0, "own"))["optimizer_spec"] == {"class": "Adam"}
    assert study.run_params(Run(0.4, 0, "amsgrad"))["training"]["epochs"] == 5
    assert_one_message(
        refusal(changed(**optimizers_of(own={"class": "Adam", "training": {"batchsize": 16}}))),
        "optimizers.own.training",
        "'batchsize'",
        "did you mean 'batch_size'?",
    )


def test_an_optimizer_may_be_trained_on_some_fractions_alone():
    own = {"class": "Adam", "fractions": ["4e-1"]}
    study = Study.from_config(changed(**optimizers_of(own=own), subsets__fractions=[0.1, 0.4]))
    runs = [(run.fraction, run.replicate) for run in study.runs if run.optimizer == "own"]
    assert runs == [(0.4, 0), (0.4, 1)]
    assert study.fractions_of("amsgrad") == [0.4, 0.1]
    assert len(study.runs) == 2 + 4 * (len(study.optimizers) - 1)
    # which fractions there are changes no run
    assert study.run_params(Run(0.4, 0, "own"))["optimizer_spec"] == {"class": "Adam"}


def test_own_epochs_come_before_the_steps_of_the_study():
    config = changed(**optimizers_of(own={"class": "Adam", "training": {"epochs": 3}}))
    config["training"] = {"steps": 100}
    study = Study.from_config(config)
    assert study.run_params(Run(0.4, 0, "own"))["training"]["epochs"] == 3
    assert study.run_params(Run(0.4, 0, "amsgrad"))["training"]["steps"] == 100


def test_a_pack_holds_all_that_train_as_the_study_says():
    own, held = {"class": "Adam", "training": {"epochs": 3}}, {"class": "Adam", "match": "amsgrad"}
    config = changed(
        training__backend="jax", training__pack=True, **optimizers_of(adam={"class": "Adam"}, own=own, held=held)
    )
    config["study"]["replicates"] = 2
    study = Study.from_config(config)
    assert study.packed == ["adam", "amsgrad"]
    assert study.pack(0.4) == [Run(0.4, replicate, name) for name in study.packed for replicate in range(2)]
    packed = {name: study.run_params(Run(0.4, 0, name))["training"]["pack"] for name in study.optimizers}
    assert packed == {"adam": True, "amsgrad": True, "held": False, "own": False}


def test_nothing_is_packed_unless_the_study_says_so():
    study = Study.from_config(changed(training__backend="jax"))
    assert study.packed == study.pack(0.4) == []


def test_runs_that_there_are_not_are_known_by_name():
    own = {"class": "Adam", "fractions": [0.4]}
    study = Study.from_config(changed(**optimizers_of(own=own), subsets__fractions=[0.1, 0.4]))
    assert study.absent == ["f0.1_r0/own", "f0.1_r1/own"]
    assert Study.from_config(BASE).absent == []


# Replays


def test_the_trainings_of_the_largest_fraction_are_replayed_unless_others_are_named():
    study = Study.from_config(changed(diagnosis={"replays": {}}))
    assert [run.name for run in study.replayed_runs] == [
        f"f0.4_r{replicate}/{name}" for replicate in (0, 1) for name in ("adam", "decayed")
    ]
    chosen = Study.from_config(changed(diagnosis={"replays": {"optimizers": ["adam"], "fractions": [0.1]}}))
    assert [run.name for run in chosen.replayed_runs] == ["f0.1_r0/adam", "f0.1_r1/adam"]
    none = Study.from_config(BASE)
    assert not none.replays and not none.replayed_runs and not none.paths("{group}", "forks")


def test_replays_are_compared_with_as_it_is_whatever_arms_are_named():
    study = Study.from_config(changed(diagnosis={"replays": {"arms": ["m_0", "as_it_is", "v_x4"]}}))
    assert study.replay_settings.arms == ("as_it_is", "m_0", "v_x4")
    assert study.replay_settings.from_json(study.replay_settings.to_json()) == study.replay_settings
