"""What a study takes follows from its table of steps; the workflow's tests hold it against what happens."""

from pathlib import Path

import pandas as pd
import pytest

from quasarcurves.quasarnet import network
from quasarcurves.quasarnet.cost import parameters
from quasarcurves.quasarnet.settings import NetworkSettings
from quasarcurves.study import Study
from quasarcurves.study.forecast import expected_seconds, forecast
from quasarcurves.study.steps import STEPS

ROOT = Path(__file__).parents[3]


def study(**changed):
    config = {
        "study": {"name": "small", "replicates": 2},
        "data": {"source": "simulated", "n_spectra": 400},
        "subsets": {"fractions": [0.4, 0.1]},
        "training": {"epochs": 100, "batch_size": 16},
        "optimizers": {"adam": {"class": "Adam"}},
    }
    return Study.from_config(config | changed)


@pytest.mark.parametrize(("filters", "layers"), [(3, 4), (8, 4), (5, 6)])
def test_weights_are_as_many_as_keras_counts(filters, layers):
    settings = NetworkSettings(filters, layers, 13, ("LYA", "MgII(2796)"), ("CIV(1548)",), 0)
    assert parameters(settings) == pytest.approx(
        network.build(filters=filters, layers=layers, n_lines=3).count_params(), rel=0.03
    )


def test_more_cores_take_less_time_and_more_memory_up_to_what_there_is_to_do():
    found = forecast(study(), 400)
    assert found.trainings == 4
    assert found.seconds > found.training_seconds > 4 * 12
    times = [found.wall_seconds(cores) for cores in (1, 2, 4, 1000)]
    assert times == sorted(times, reverse=True) and times[0] == pytest.approx(found.seconds)
    assert times[-1] == pytest.approx(sum(max(seconds) for seconds, _ in found.stages.values()))
    assert found.memory_mb(2) - found.memory_mb(1) == found.job_mb
    assert found.memory_mb(4) == found.memory_mb(100)


def test_a_training_that_is_forked_imports_nothing():
    """Its need has 12 s for imports and compilation, of which 2.4 are left; Snakemake takes 0.3."""
    one = study()
    run, step = one.runs[0], STEPS["train"]
    need = one.need("train", 400, run).seconds
    # 10 steps of 16 spectra per epoch, a state every 25 epochs
    assert need > 12 + 100 * 10 * 0.002
    assert expected_seconds(one, step, 400, run) == pytest.approx(0.3 + need - 12 + 2.4)
    # with JAX it cannot be forked
    other = study(training={"epochs": 100, "batch_size": 16, "backend": "jax"})
    assert expected_seconds(other, step, 400, run) == pytest.approx(0.3 + need)


def test_other_steps_take_a_share_of_what_is_asked_for():
    # 3 s
    assert expected_seconds(study(), STEPS["write_answer"], 400) == pytest.approx(0.3 + 0.4 * 3)


def test_the_smoke_study_takes_what_was_measured_with_shared_imports():
    """`benchmarks/fork_server.csv`: 88 s of a processor, and 53 s on two cores beside other work."""
    smoke = Study.load(ROOT / "workflow" / "studies" / "smoke.yaml")
    measured = pd.read_csv(ROOT / "benchmarks" / "fork_server.csv").query("server").mean(numeric_only=True)
    found = forecast(smoke, 320)
    assert found.seconds == pytest.approx(measured["cpu_seconds"], rel=0.2)
    assert found.wall_seconds(2) == pytest.approx(measured["seconds"], rel=0.2)


def test_versions_of_spectra_are_made_in_trainings_and_take_no_disk():
    plain, varied = (
        forecast(study(network={"filters": 4, **block}), 400).disk["spectra and subsets"]
        for block in ({}, {"augment": {"copies": 4, "noise": 0.1}})
    )
    assert plain == varied


def test_states_are_counted_where_they_are_kept_and_longer_trainings_take_more():
    training = {"epochs": 100, "batch_size": 16}
    kept, not_kept = (forecast(study(training=training | {"keep_state": keep}), 400) for keep in (True, False))
    assert kept.disk["states to go on from"] > 0 == not_kept.disk["states to go on from"]
    longer = forecast(study(training=training | {"epochs": 1000}), 400)
    assert longer.disk_bytes > kept.disk_bytes and longer.seconds > kept.seconds


DEFAULT_STUDY = {
    "study": {"name": "default", "replicates": 5},
    "data": {"source": "simulated", "n_spectra": 2560},
    "subsets": {
        "test_fraction": 0.4, "validation_fraction": 0.1, "fractions": [0.4, 0.2, 0.1, 0.05, 0.025], "scheme": "nested"
    },
    "network": {"filters": 16},
    "training": {"epochs": 300, "batch_size": 32},
    "optimizers": {
        "adam": {"class": "Adam"},
        "amsgrad": {"class": "Adam", "amsgrad": True, "fractions": [0.4]},
        "adam_matched": {"class": "Adam", "match": "amsgrad", "fractions": [0.4]},
    },
}  # fmt: skip

USED = {
    "spectra and subsets": 4.83e6,
    "models": 10.02e6,
    "histories, each and together": 16.26e6,
    "predictions": 5.45e6,
    "states to go on from": 20.75e6,
    "tables": 11.15e6,
    "figures and page": 22 * 0.297e6 + 5.37e6,
}
"""Bytes of a finished study like that; its figures were 0.297 MB each in three formats, and its page 5.37 MB."""


def test_disk_of_the_default_study_is_foretold_part_by_part():
    found = forecast(Study.from_config(DEFAULT_STUDY), 2560).disk
    for part, used in USED.items():
        assert 1 / 1.5 < found[part] / used < 1.5, part


def test_time_of_the_default_study_is_between_those_of_an_idle_and_of_a_busy_machine():
    """Beside other work its jobs once took 1,743 s together, and the study 14 min 33 s; each imported its own packages.

    That is 2.4 s of each of 35 trainings, and 0.6 s of other jobs.
    """
    found = forecast(Study.from_config(DEFAULT_STUDY), 2560)
    around = pd.read_csv(ROOT / "benchmarks" / "around.csv")
    idle = around.query("study == 'quickstart' and rule == 'study'").iloc[0]
    imports = 35 * 2.4 + (found.jobs - 35) * 0.6
    assert idle["cpu_s"] < found.seconds < 1743 - imports
    assert idle["wall_s"] < found.wall_seconds(2) < 873 - imports / 2
